# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory of one run: made by this run alone, readable by its owner alone, complete or not there.

Everything below the output directory is reached through directory descriptors and is never followed through a link,
so that nobody who may write next to it can lead the files somewhere else.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import stat
import time
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

PREFIX = "backend-diagnostics-"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Directories kept open; a process may have 256 descriptors on some controllers, and a fleet has more hosts than that.
_MAX_OPEN = 64
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class StoreError(Exception):
    """The bundle can't be written; the message says where, why and what to do."""


def open_output_directory(path: str) -> int:
    """A descriptor of the output directory, after it has been proved safe to write to.

    :raises StoreError: the path is relative, missing, a link or no directory, belongs to somebody else or leads through
        something that does, may be changed by everybody, or isn't writable.
    """
    if not path.startswith("/"):
        raise StoreError(f"backend_output_dir is {path!r}: give an absolute path, for instance /tmp")
    path = os.path.normpath(path)
    advice = "give backend_output_dir a directory of your own, or /tmp"
    try:
        status = os.lstat(path)
    except OSError as exc:
        if exc.errno == errno.ENOENT:
            raise StoreError(
                f"the output directory {path} doesn't exist: create it (mkdir -p {path}) or {advice}"
            ) from exc
        raise StoreError(f"the output directory {path} can't be used ({exc.strerror}): {advice}") from exc
    if stat.S_ISLNK(status.st_mode):
        # /tmp itself is a link on macOS; only root can place a link directly under the root directory.
        if status.st_uid != 0 or os.path.dirname(path) != "/":
            raise StoreError(
                f"the output directory {path} is a symbolic link (to {os.readlink(path)}): name the real directory instead"
            )
    elif not stat.S_ISDIR(status.st_mode):
        raise StoreError(f"the output directory {path} isn't a directory: {advice}")
    _check_owners(path, advice)
    try:
        descriptor = os.open(os.path.realpath(path), _DIRECTORY)
    except OSError as exc:
        raise StoreError(f"the output directory {path} can't be opened ({exc.strerror}): {advice}") from exc
    if not os.access(".", os.W_OK | os.X_OK, dir_fd=descriptor):
        os.close(descriptor)
        raise StoreError(f"the output directory {path} isn't writable for {_me()}: {advice}")
    return descriptor


def _me() -> str:
    return f"user id {os.geteuid()}"


def _check_owners(path: str, advice: str) -> None:
    """Every link and directory on the way must belong to root or to whoever runs this."""
    trusted = {0, os.geteuid()}
    steps = [str(step) for name in (path, os.path.realpath(path)) for step in (*PurePosixPath(name).parents, name)]
    for step in dict.fromkeys(steps):
        status = os.lstat(step)
        if status.st_uid not in trusted:
            what = "is" if step == path else f"lies inside {step}, which is"
            raise StoreError(
                f"the output directory {path} {what} owned by user id {status.st_uid}, who could replace what is written there: {advice}"
            )
    final = os.stat(path)
    if final.st_mode & stat.S_IWOTH and not final.st_mode & stat.S_ISVTX:
        raise StoreError(
            f"everybody may rename what lies in the output directory {path} (mode {stat.S_IMODE(final.st_mode):04o} without the sticky bit): "
            f"chmod +t it, or {advice}"
        )


class Store:
    """One bundle being made. ``directories`` hold files of mode 0600 and are 0700 themselves."""

    def __init__(self, output_dir: str, extend: str | None = None) -> None:
        """Start a new bundle under ``output_dir``, or go on with ``extend``, which an earlier batch of this run made.

        :raises StoreError: see :func:`open_output_directory`.
        """
        self.output_dir = os.path.normpath(output_dir)
        self._parent = open_output_directory(output_dir)
        self._descriptors: dict[str, int] = {}
        self._final = os.path.basename(extend) if extend else ""
        self._work = self._final or f".{PREFIX}{secrets.token_hex(8)}.partial"
        try:
            if not extend:
                os.mkdir(self._work, 0o700, dir_fd=self._parent)
            root = os.open(self._work, _DIRECTORY, dir_fd=self._parent)
            self._descriptors[""] = root
            if os.fstat(root).st_uid != os.geteuid():
                raise StoreError(f"{self.path} belongs to somebody else: it isn't touched")
        except OSError as exc:
            self.close()
            raise StoreError(f"the bundle can't be started in {self.output_dir} ({exc.strerror})") from exc
        except StoreError:
            self.close()
            raise

    @property
    def path(self) -> str:
        return os.path.join(self.output_dir, self._final or self._work)

    def write(self, name: str, text: str, replace: bool = False) -> None:
        """Write one new file; ``name`` is relative, its directories are made on the way.

        :param replace: the file may exist, and is then replaced in one step.
        :raises StoreError: the file exists, or the disk is full or failing.
        """
        directory, _slash, leaf = name.rpartition("/")
        try:
            parent = self._directory(directory)
            target = f".{leaf}.new" if replace else leaf
            descriptor = os.open(target, _NEW_FILE, 0o600, dir_fd=parent)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(text.encode("utf-8", errors="replace"))
            if replace:
                os.replace(target, leaf, src_dir_fd=parent, dst_dir_fd=parent)
        except OSError as exc:
            raise StoreError(f"{os.path.join(self.path, name)} can't be written ({exc.strerror})") from exc

    def write_json(self, name: str, value: Any, replace: bool = False) -> None:
        """Write a JSON document: one line for each top-level key, so that it can be both searched and parsed."""
        self.write(name, dump_json(value), replace)

    def _directory(self, name: str) -> int:
        if name not in self._descriptors:
            if len(self._descriptors) > _MAX_OPEN:
                for other in [known for known in self._descriptors if known and not name.startswith(known)]:
                    os.close(self._descriptors.pop(other))
            upper, _slash, leaf = name.rpartition("/")
            parent = self._directory(upper)
            try:
                os.mkdir(leaf, 0o700, dir_fd=parent)
            except FileExistsError:
                # Made by an earlier batch of this run: nobody else can write in here.
                pass
            self._descriptors[name] = os.open(leaf, _DIRECTORY, dir_fd=parent)
        return self._descriptors[name]

    def finish(self, now: float | None = None) -> str:
        """Give the bundle its name with the time in UTC, and return its path; a taken name gets a number at its end."""
        if self._final:
            return self.path
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        for number in range(1, 1000):
            name = f"{PREFIX}{stamp}" if number == 1 else f"{PREFIX}{stamp}-{number}"
            try:
                os.stat(name, dir_fd=self._parent, follow_symlinks=False)
                continue
            except FileNotFoundError:
                pass
            try:
                os.rename(self._work, name, src_dir_fd=self._parent, dst_dir_fd=self._parent)
            except OSError as exc:
                if exc.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                    continue
                raise StoreError(f"{self.path} can't be given its final name ({exc.strerror})") from exc
            self._final = name
            return self.path
        raise StoreError(f"there are already 999 bundles of this second in {self.output_dir}")

    def keep_partial(self) -> str:
        """Keep what was written so far under a name that says that it is incomplete, and return the path."""
        if not self._final:
            name = f"{PREFIX}{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-incomplete-{secrets.token_hex(2)}"
            try:
                os.rename(self._work, name, src_dir_fd=self._parent, dst_dir_fd=self._parent)
                self._final = name
            except OSError:
                # The hidden working name still holds the files; the error that brought us here names it.
                pass
        return self.path

    def close(self) -> None:
        for descriptor in [*self._descriptors.values(), self._parent]:
            os.close(descriptor)
        self._descriptors.clear()


def dump_json(value: Any) -> str:
    """JSON in ASCII, so that no byte of it can steer a terminal; the top level has one line a key."""
    if not isinstance(value, Mapping) or not value:
        return json.dumps(value) + "\n"
    return "{\n" + ",\n".join(f"{json.dumps(str(key))}: {json.dumps(part)}" for key, part in value.items()) + "\n}\n"
