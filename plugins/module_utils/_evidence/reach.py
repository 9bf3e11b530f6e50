# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening files with more rights than those had who decided which file it is.

Whoever looks at a backend as root reads paths that the backend's user chose: links in its tree, names inside its files
(``-r /etc/shadow``, ``load_dotenv("/root/.env")``, a log's path). None of them may give away more than that user could
read himself. So the way to a file is gone by directory descriptors, one component after the other, and from the first
step that somebody else than root decided on, each step must be open to that somebody too.
"""

from __future__ import annotations

import errno
import os
import pwd
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from .access_check import EXECUTE, MAX_LINKS, READ, WRITE, Identity, permitted
from .model import Backend

_NOBODY = 65534
_PATH_ONLY = getattr(os, "O_PATH", 0)
_STEP = _PATH_ONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


# Where the supervisor's own configuration, which is root's, or the operator names a file of a backend.
_ENV_FILE_BY_ROOT = ("EnvironmentFile", "override", "application, override")
_LOG_BY_ROOT = (
    "Standard",
    "stdout_logfile",
    "stderr_logfile",
    "supervisord",
    "shell redirection in ExecStart",
    "override",
)
_PARAMETERS = ("code_dir", "env_file", "python", "supervisor_config")
# A working directory like these is not a backend's own.
_SHARED = frozenset("/var/lib /var/log /var/tmp /var/run /usr/bin /usr/lib /usr/local /etc/systemd /run/user".split())


class OutOfReach(OSError):
    """The file is not for whoever led here; the text is a sentence that names the path, and says who and why."""


@dataclass(frozen=True)
class Reader:
    """On whose behalf files are read: the backend's user, by default nobody in particular.

    ``trees`` are absolute paths that root's configuration or the operator names (files, or directories with all in them):
    what lies there without a link of somebody else's is read with our own rights, all else with the user's.
    """

    who: Optional[Identity] = None
    trees: Sequence[str] = ()

    def judge(self, path: str) -> Optional[Identity]:
        """Who must be allowed to read ``path`` by its name alone; None when the name is root's or the operator's."""
        if self.who is None or self.who.root or self.who.uid == os.geteuid():
            return None
        path = os.path.normpath(path)
        return None if any(path == tree or path.startswith(tree + "/") for tree in self.trees) else self.who


NOBODY_IN_PARTICULAR = Reader()


def reader_for(backend: Backend, params: Mapping[str, Any]) -> Reader:
    """The backend's user, and what root and the operator name of it; see ``Reader``."""
    who: Optional[Identity] = Identity(backend.uid, backend.gid, tuple(backend.groups))
    if backend.uid is None:
        # A user who isn't there, or only while the unit runs; without any name, nobody knows whose backend it is.
        who = Identity(_NOBODY, _NOBODY, ()) if backend.user or backend.unit.get("dynamic_user") else None
    named = [backend.unit.get("working_directory"), *backend.argv]
    if "cwd" not in backend.app.origin:  # else a start script or the server's own settings chose it
        named.append(backend.cwd)
    named += [ref.path for ref in backend.env_files if ref.origin.startswith(_ENV_FILE_BY_ROOT)]
    named += [ref.path for ref in backend.log_files if ref.origin.startswith(_LOG_BY_ROOT)]
    named += [params.get(name) for name in _PARAMETERS]
    named += [path for path in params.get("log_files") or [] if isinstance(path, str)]
    trees = [os.path.normpath(path) for path in named if isinstance(path, str) and path.startswith("/")]
    return Reader(who, tuple(path for path in dict.fromkeys(trees) if path.count("/") > 1 and path not in _SHARED))


def open_file(path: str, reader: Reader = NOBODY_IN_PARTICULAR) -> int:
    """A descriptor for reading a regular file; nothing else is ever opened, so no FIFO or device notices.

    :raises OutOfReach: the file is no regular one, or not for those who named it or made a link to it.
    :raises OSError: it can't be opened, as ever.
    """
    if "\0" in path:
        raise OutOfReach(errno.EINVAL, f"a path with a NUL in it names no file: {path!r}")
    if not _PATH_ONLY or not path.startswith("/"):
        return _checked(os.open(path, _READ), path)
    walk = _Walk(path, reader)
    try:
        status = os.fstat(walk.here)
        if not stat.S_ISREG(status.st_mode):
            raise OutOfReach(errno.EINVAL, f"{path} is {file_type(status.st_mode)}, not a regular file")
        walk.check_file(status)
        # The very file that was looked at, whatever its name leads to by now.
        return os.open(f"/proc/self/fd/{walk.here}", _READ)
    finally:
        os.close(walk.here)


def closed(path: str, reader: Reader = NOBODY_IN_PARTICULAR, right: int = READ) -> bool:
    """Whether a path is not for those who named it or made a link to it: the names in a directory, or with ``WRITE`` a socket.

    What isn't there, or can't be opened anyway, is not closed: whoever lists it meets that himself.
    """
    if not _PATH_ONLY or not path.startswith("/") or "\0" in path:
        return False
    try:
        walk = _Walk(path, reader)
    except OutOfReach:
        return True
    except OSError:
        return False
    try:
        return walk.judge is not None and not _may(walk.here, os.fstat(walk.here), walk.judge, right)
    finally:
        os.close(walk.here)


class _Walk:
    """The way to a path; ``here`` is a descriptor of where it ended. ``judge`` must be allowed what we do from now on."""

    def __init__(self, path: str, reader: Reader) -> None:
        self.path, self.reader = path, reader
        self.judge = reader.judge(path)
        self.link: Optional[str] = None
        self.folder_mode: Optional[os.stat_result] = None
        self.here = os.open("/", _PATH_ONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._go([part for part in path.split("/") if part not in ("", ".")][::-1])
        except BaseException:
            os.close(self.here)
            raise

    def _go(self, left: list[str]) -> None:
        links = 0
        while left:
            folder = os.fstat(self.here)
            if self.judge is not None and not _may(self.here, folder, self.judge, EXECUTE):
                self._refuse()
            part = left.pop()
            below = os.open(part, _STEP if part != ".." else _STEP | os.O_DIRECTORY, dir_fd=self.here)
            status = os.fstat(below)
            if not stat.S_ISLNK(status.st_mode):
                os.close(self.here)
                self.here, self.folder_mode = below, folder
                continue
            try:
                target = os.readlink("", dir_fd=below)
            finally:
                os.close(below)
            links += 1
            if links > MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), self.path)
            if self.judge is None and (status.st_uid not in _trusted() or _open_to_others(folder)):
                self._planted(part, status.st_uid, folder)
            if target.startswith("/"):
                os.close(self.here)
                self.here = os.open("/", _PATH_ONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            left += [item for item in target.split("/") if item not in ("", ".")][::-1]

    def _planted(self, name: str, owner: int, folder: os.stat_result) -> None:
        """Somebody else than root could have made a link, or another name of a file: from here on he must be able to go the way."""
        self.link = name
        who = self.reader.who
        if who is not None and not who.root:
            self.judge = None if who.uid == os.geteuid() else who
            return
        makers = [uid for uid in (owner, folder.st_uid) if uid not in _trusted()]
        self.judge = identity_of(makers[0] if makers else _NOBODY)

    def check_file(self, status: os.stat_result) -> None:
        """Refuse what those who led here may neither read nor write themselves (a log may be for writing only)."""
        folder = self.folder_mode
        if self.judge is None and status.st_nlink > 1 and folder is not None and _open_to_others(folder):
            self._planted(os.path.basename(self.path), status.st_uid, folder)
        if self.judge is not None and not _may(self.here, status, self.judge, READ | WRITE):
            self._refuse()

    def _refuse(self) -> None:
        uid = self.judge.uid if self.judge else None
        way = f"leads through the link {self.link} to" if self.link else "is"
        raise OutOfReach(
            errno.EACCES,
            f"{self.path} {way} what {name_of(uid)}, on whose word it would be read, may not read: not followed",
        )


def identity_of(uid: int) -> Identity:
    """A user with his groups; one that has no account has none."""
    try:
        account = pwd.getpwuid(uid)
        return Identity(uid, account.pw_gid, tuple(os.getgrouplist(account.pw_name, account.pw_gid)))
    except (KeyError, OSError):
        return Identity(uid, uid, ())


def name_of(uid: Optional[int]) -> str:
    """A user for sentences."""
    try:
        return f"user {pwd.getpwuid(uid).pw_name}" if uid is not None else "its user"
    except KeyError:
        return f"user {uid}"


def _trusted() -> tuple[int, int]:
    return 0, os.geteuid()


def _open_to_others(folder: os.stat_result) -> bool:
    """Whether somebody else than root and us can put entries into a directory, or allow it to himself.

    With an access list the group's bits are its mask, so they tell of that too.
    """
    return folder.st_uid not in _trusted() or bool(folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def _may(descriptor: int, status: os.stat_result, who: Identity, right: int) -> bool:
    return bool(permitted(f"/proc/self/fd/{descriptor}", status, who) & right)


def _checked(descriptor: int, path: str) -> int:
    """For systems without ``O_PATH``, and relative paths: the kind of file is looked at behind its opening."""
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise OutOfReach(errno.EINVAL, f"{path} is {file_type(mode)}, not a regular file")
    return descriptor


def file_type(mode: int) -> str:
    """The type in an ``st_mode``, with its article, as it stands in a sentence."""
    table = (
        (stat.S_ISREG, "a regular file"),
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISLNK, "a symbolic link"),
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a character device"),
        (stat.S_ISBLK, "a block device"),
    )
    return next((name for test, name in table if test(mode)), "of an unknown type")
