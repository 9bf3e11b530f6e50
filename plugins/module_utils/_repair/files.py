# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Touching files as root in trees that other users can write to: by directory descriptors, never through their links."""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import secrets
import stat
from dataclasses import dataclass, field
from typing import Any, Optional

MIB = 1024 * 1024
MAX_CONTENT = 64 * MIB
MAX_LINKS = 40
TEMPORARY = ".firstaid-"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_WORDS = {
    errno.ENOSPC: "the file system is full: free some space there and try again",
    errno.EDQUOT: "the quota of its owner is used up: free some space there and try again",
    errno.EROFS: "the file system is read-only: remount it writable and try again",
    errno.EPERM: "the system does not permit it (immutable attribute, security module, or not root)",
    errno.EACCES: "permission denied: run this with become",
}
TYPES = {stat.S_IFREG: "file", stat.S_IFLNK: "link", stat.S_IFDIR: "directory"}


class FileError(Exception):
    """A file can't be touched safely. The message is one sentence that names it."""


@dataclass
class Look:
    """What is at a path, itself, not what a link points to. ``type`` is file, link, directory, none or other."""

    type: str = "none"
    size: Optional[int] = None
    mode: Optional[int] = None
    uid: Optional[int] = None
    gid: Optional[int] = None
    target: Optional[str] = None
    sha256: Optional[str] = None
    mtime_ns: Optional[int] = None
    links: int = 1
    xattrs: dict[str, str] = field(default_factory=dict)
    content: bytes = b""

    @property
    def exists(self) -> bool:
        return self.type != "none"

    def as_state(self) -> dict[str, Any]:
        """For the manifest: all but the content, and nothing that is not known."""
        values = {
            "type": self.type,
            "size": self.size,
            "mode": None if self.mode is None else f"{self.mode:04o}",
            "uid": self.uid,
            "gid": self.gid,
            "target": self.target,
            "sha256": self.sha256,
            "mtime_ns": self.mtime_ns,
            "xattrs": self.xattrs or None,
        }
        return {"exists": self.exists, **{name: value for name, value in values.items() if value is not None}}


def words(exc: OSError) -> str:
    """What a system error means for the reader, with the next step where there is one."""
    return _WORDS.get(exc.errno or 0) or exc.strerror or type(exc).__name__


def split(path: str) -> tuple[str, str]:
    """Directory and last name of a path.

    :raises FileError: it is not absolute, or ends in ``.`` or ``..`` or a slash.
    """
    folder, name = os.path.split(path)
    if not path.startswith("/") or name in ("", ".", "..") or "\0" in path:
        raise FileError(f"{path!r} is no absolute path of a file")
    return folder, name


def open_directory(path: str) -> int:
    """Open a directory, one component after the other.

    Links on the way that root or this user made are followed; one that another user made only to a directory of that same user, so that
    nobody can lead us into places where he could not write himself.

    :raises FileError: there is an untrusted link or a loop on the way.
    :raises OSError: the directory is not there or can't be opened.
    """
    if not path.startswith("/"):
        raise FileError(f"{path!r} is no absolute path")
    return _walk(os.open("/", _DIRECTORY), path.split("/"), path, [MAX_LINKS])


def _walk(descriptor: int, parts: list[str], path: str, budget: list[int]) -> int:
    for part in parts:
        if part in ("", "."):
            continue
        try:
            below = _step(descriptor, part, path, budget)
        finally:
            os.close(descriptor)
        descriptor = below
    return descriptor


def _step(descriptor: int, part: str, path: str, budget: list[int]) -> int:
    try:
        return os.open(part, _DIRECTORY, dir_fd=descriptor)
    except OSError as exc:
        # O_DIRECTORY with O_NOFOLLOW says ENOTDIR for a link.
        if exc.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        status = os.stat(part, dir_fd=descriptor, follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode):
            raise
    budget[0] -= 1
    if budget[0] < 0:
        raise FileError(f"{path} leads through too many links")
    target = os.readlink(part, dir_fd=descriptor)
    start = os.open("/", _DIRECTORY) if target.startswith("/") else os.dup(descriptor)
    reached = _walk(start, target.split("/"), path, budget)
    owner = os.fstat(reached).st_uid
    if status.st_uid not in (0, os.geteuid()) and owner != status.st_uid:
        os.close(reached)
        raise FileError(
            f"{path} leads through the link {part}, which user {status.st_uid} made into a directory of user {owner}: "
            "such a link isn't followed; name the real path"
        )
    return reached


class Place:
    """A name in a directory that is held open. Use as a context manager.

    :raises FileError: the path can't be reached safely.
    :raises OSError: the directory is missing or can't be opened.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        folder, self.name = split(path)
        self.folder = open_directory(folder)

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_args: object) -> None:
        os.close(self.folder)

    def look(self, content: bool = False) -> Look:
        """What is there now; ``content`` reads a regular file too, for its hash.

        :raises FileError: a file is larger than ``MAX_CONTENT``.
        """
        try:
            status = os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return Look()
        found = _look_of(status)
        if found.type == "link":
            found.target = os.readlink(self.name, dir_fd=self.folder)
        if found.type != "file" or not content:
            return found
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
        descriptor = os.open(self.name, flags, dir_fd=self.folder)
        try:
            found = _look_of(os.fstat(descriptor))
            if found.type != "file" or (found.size or 0) > MAX_CONTENT:
                raise FileError(f"{self.path} is no regular file of at most {MAX_CONTENT // MIB} MiB")
            found.content = read_all(descriptor)
            found.size = len(found.content)
            found.sha256 = hashlib.sha256(found.content).hexdigest()
            found.xattrs = _xattrs(descriptor)
        finally:
            os.close(descriptor)
        return found

    def put_file(self, temporary: str, content: bytes, wanted: Look) -> None:
        """Replace what is there by a file, in one step: owner, mode, extended attributes and content are complete when it appears."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self.remove_temporary(temporary)
        descriptor = os.open(temporary, flags, 0o600, dir_fd=self.folder)
        try:
            write_all(descriptor, content)
            _dress(descriptor, wanted)
            os.fsync(descriptor)
        except BaseException:
            self.remove_temporary(temporary)
            raise
        finally:
            os.close(descriptor)
        self._move(temporary)

    def put_link(self, temporary: str, target: str, uid: Optional[int], gid: Optional[int]) -> None:
        """Replace what is there by a symbolic link, in one step."""
        self.remove_temporary(temporary)
        os.symlink(target, temporary, dir_fd=self.folder)
        try:
            made = os.stat(temporary, dir_fd=self.folder, follow_symlinks=False)
            if (uid, gid) not in ((made.st_uid, made.st_gid), (None, None)):
                os.chown(
                    temporary,
                    -1 if uid is None else uid,
                    -1 if gid is None else gid,
                    dir_fd=self.folder,
                    follow_symlinks=False,
                )
        except BaseException:
            self.remove_temporary(temporary)
            raise
        self._move(temporary)

    def remove(self) -> None:
        """Remove a file or link; a directory is refused by the kernel."""
        os.unlink(self.name, dir_fd=self.folder)
        os.fsync(self.folder)

    def remove_temporary(self, temporary: str) -> None:
        """Remove what a killed run left beside the place."""
        try:
            os.unlink(temporary, dir_fd=self.folder)
        except FileNotFoundError:
            pass

    def _move(self, temporary: str) -> None:
        try:
            os.rename(temporary, self.name, src_dir_fd=self.folder, dst_dir_fd=self.folder)
        except BaseException:
            self.remove_temporary(temporary)
            raise
        os.fsync(self.folder)


def follow(path: str) -> tuple[str, Look]:
    """The path of a file at the end of its links, and what is there. A link that another user made counts only when what it leads to is
    that user's own: else a service user could make us open, or change, the files of root.

    :raises FileError: there is such a link, or too many.
    :raises OSError: a directory on the way is missing or can't be opened.
    """
    real = path
    for _number in range(MAX_LINKS):
        with Place(real) as place:
            found = place.look(content=True)
        if found.type != "link":
            return real, found
        following = os.path.normpath(os.path.join(os.path.dirname(real), found.target or ""))
        if found.uid not in (0, os.geteuid()):
            with Place(following) as place:
                end = place.look()
            if end.exists and end.uid != found.uid:
                raise FileError(f"{real} is a link that user {found.uid} made to a file of another user")
        real = following
    raise FileError(f"{path} leads through too many links")


def temporary_name() -> str:
    """A name that nobody else uses; it goes to the manifest first, so that a killed run's file is found."""
    return TEMPORARY + secrets.token_hex(8)


def absent_directories(path: str) -> list[str]:
    """The directories that have to be made before ``path`` can be, outermost first.

    :raises FileError: something that is no directory is in the way, or the way is not safe.
    """
    absent: list[str] = []
    folder = split(path)[0]
    while True:
        try:
            os.close(open_directory(folder))
            return absent[::-1]
        except FileNotFoundError:
            absent.append(folder)
            if os.path.basename(folder) in ("", ".", ".."):
                raise FileError(f"{path} can't be reached") from None
            folder = os.path.dirname(folder)
        except NotADirectoryError as exc:
            raise FileError(f"{folder} is no directory, so {path} can't be made") from exc


def make_directory(path: str) -> None:
    """Make a directory with mode 0755 that belongs to the owner of the one above; one that is there stays as it is."""
    with Place(path) as place:
        above = os.fstat(place.folder)
        try:
            os.mkdir(place.name, 0o755, dir_fd=place.folder)
        except FileExistsError:
            return
        descriptor = os.open(place.name, _DIRECTORY, dir_fd=place.folder)
        try:
            if os.geteuid() == 0:
                os.fchown(descriptor, above.st_uid, above.st_gid)
            os.fchmod(descriptor, 0o755)
            os.fsync(place.folder)
        finally:
            os.close(descriptor)


def remove_empty_directory(path: str) -> None:
    """Remove a directory that a run made; one that isn't empty, or isn't there, stays as it is."""
    try:
        with Place(path) as place:
            os.rmdir(place.name, dir_fd=place.folder)
            os.fsync(place.folder)
    except OSError as exc:
        if exc.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise


def read_all(descriptor: int, limit: int = MAX_CONTENT) -> bytes:
    """All that a descriptor gives, at most ``limit`` bytes."""
    chunks = []
    while limit > 0:
        chunk = os.read(descriptor, min(limit, MIB))
        if not chunk:
            break
        chunks.append(chunk)
        limit -= len(chunk)
    return b"".join(chunks)


def write_all(descriptor: int, content: bytes) -> None:
    """Write everything; a short write is not the end of it."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest[:MIB]) :]


def _look_of(status: os.stat_result) -> Look:
    return Look(
        type=TYPES.get(stat.S_IFMT(status.st_mode), "other"),
        size=status.st_size,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime_ns=status.st_mtime_ns,
        links=status.st_nlink,
    )


def _xattrs(descriptor: int) -> dict[str, str]:
    try:
        names = os.listxattr(descriptor)
    except OSError:
        return {}
    found = {}
    for name in names:
        try:
            found[name] = base64.b64encode(os.getxattr(descriptor, name)).decode("ascii")
        except OSError:
            continue
    return found


def _dress(descriptor: int, wanted: Look) -> None:
    """Owner, then mode (a change of owner clears bits), then extended attributes (an access list is finer than the mode)."""
    status = os.fstat(descriptor)
    if (wanted.uid, wanted.gid) != (status.st_uid, status.st_gid):
        os.fchown(descriptor, -1 if wanted.uid is None else wanted.uid, -1 if wanted.gid is None else wanted.gid)
    os.fchmod(descriptor, 0o600 if wanted.mode is None else wanted.mode)
    for name, value in wanted.xattrs.items():
        try:
            os.setxattr(descriptor, name, base64.b64decode(value))
        except OSError as exc:
            # Some are the system's own and can't be set (security.evm), or mean nothing on this file system.
            if exc.errno not in (errno.EPERM, errno.ENOTSUP, errno.EACCES, errno.EINVAL):
                raise
    if wanted.mtime_ns is not None:
        os.utime(descriptor, ns=(wanted.mtime_ns, wanted.mtime_ns))
