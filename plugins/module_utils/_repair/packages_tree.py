# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a Python environment: listed, kept, and brought back exactly. Bytecode doesn't count.

A service's user may be able to write there while this runs as root, so every directory is opened from its parent without
following links, and nothing is reached by a whole path.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Optional

from .changes import ChangeError, Keep

MIB = 1024 * 1024
MAX_ENTRIES = 400_000
MAX_DEPTH = 60
# A file's content is read and kept in pieces of this size; a kept blob has at most twice as much.
PIECE_BYTES = 16 * MIB
# Where installers write beside site-packages; .lock is uv's.
EXTRA_ROOTS = ("bin", "share", "include", "etc", "man", ".lock")

# Path below the environment -> [type, mode, uid, gid, size, modified (ns), target of a link].
Entry = list[Any]
Listing = dict[str, Entry]
Content = Callable[[str], Optional[Iterator[bytes]]]
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def roots_of(prefix: str, sites: Iterable[str]) -> list[str]:
    """The directories below an environment that an installation may change, relative to it, none inside another."""
    top = os.path.realpath(prefix)
    found = [os.path.relpath(os.path.realpath(site), top) for site in sites]
    found = [path for path in found if not path.startswith("..") and path != "."]
    return list(dict.fromkeys([*found, *EXTRA_ROOTS]))


class Tree:
    """The roots of one environment. Use as a context: it holds the environment's directory open."""

    def __init__(self, prefix: str, roots: Iterable[str]) -> None:
        self.prefix, self.roots, self._top = os.path.realpath(prefix), list(roots), -1

    def __enter__(self) -> Tree:
        try:
            self._top = os.open(self.prefix, _DIRECTORY)
        except OSError as exc:
            raise ChangeError(f"The environment {self.prefix} can't be opened: {exc.strerror}.") from exc
        return self

    def __exit__(self, *_details: object) -> None:
        os.close(self._top)

    @contextmanager
    def directory(self, path: str) -> Iterator[int]:
        """A descriptor of a directory below the environment; '' is the environment itself.

        :raises OSError: it is not there, or a link is on the way.
        """
        descriptor = os.dup(self._top)
        try:
            for part in [item for item in path.split("/") if item]:
                if part == "..":
                    raise OSError(errno.EINVAL, "leads out of the environment")
                inner = os.open(part, _DIRECTORY, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def parent(self, path: str) -> Iterator[tuple[int, str]]:
        """A descriptor of the directory that holds a path, and the path's last part."""
        head, _slash, name = path.rpartition("/")
        with self.directory(head) as descriptor:
            yield descriptor, name

    def listing(self) -> Listing:
        """Everything below the roots as it is now.

        :raises ChangeError: it can't be read, or is too large to be one environment.
        """
        result: Listing = {}
        for root in self.roots:
            try:
                with self.parent(root) as (descriptor, name):
                    status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                    result[root] = _entry(status, name, descriptor)
                if stat.S_ISDIR(status.st_mode):
                    with self.directory(root) as descriptor:
                        self._walk(descriptor, root, 0, result)
            except FileNotFoundError:
                continue
            except OSError as exc:
                raise ChangeError(f"{self.prefix}/{root} can't be read: {exc.strerror}.") from exc
        return result

    def _walk(self, descriptor: int, path: str, depth: int, result: Listing) -> None:
        if depth > MAX_DEPTH or len(result) > MAX_ENTRIES:
            raise ChangeError(f"{self.prefix}/{path} is too deep or too large to be kept: install by hand.")
        with os.scandir(descriptor) as entries:
            names = sorted(entry.name for entry in entries)
        for name in names:
            if name == "__pycache__" or name.endswith(".pyc"):
                continue
            inner = f"{path}/{name}"
            try:
                status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                result[inner] = _entry(status, name, descriptor)
                if not stat.S_ISDIR(status.st_mode):
                    continue
                child = os.open(name, _DIRECTORY, dir_fd=descriptor)
            except FileNotFoundError:
                continue
            try:
                self._walk(child, inner, depth + 1, result)
            finally:
                os.close(child)

    def read(self, path: str) -> Iterator[bytes]:
        """The content of a regular file, in pieces."""
        with self.parent(path) as (descriptor, name):
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=descriptor)
            with os.fdopen(handle, "rb") as stream:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    raise OSError(errno.EINVAL, "not a regular file")
                while True:
                    piece = stream.read(PIECE_BYTES)
                    if not piece:
                        return
                    yield piece

    def keep(self, paths: Iterable[str], listing: Listing, keep: Keep) -> str:
        """Keep the content of the regular files among these; returns the name of the index.

        :raises ChangeError: a file can't be read.
        """
        index: dict[str, list[list[Any]]] = {}
        chunk = bytearray()
        waiting: list[tuple[str, int, int]] = []
        count = 0
        for path in sorted(set(paths)):
            if listing.get(path, [None])[0] != "file":
                continue
            index[path] = []
            try:
                for piece in self.read(path):
                    packed = zlib.compress(piece, 1)
                    waiting.append((path, len(chunk), len(packed)))
                    chunk += packed
                    if len(chunk) >= PIECE_BYTES:
                        count += 1
                        _store(chunk, waiting, index, keep, count)
                        chunk, waiting = bytearray(), []
            except OSError as exc:
                raise ChangeError(f"{self.prefix}/{path} can't be kept: {exc.strerror}.") from exc
        if waiting:
            _store(chunk, waiting, index, keep, count + 1)
        return keep.write(json.dumps(index).encode(), "-index.json")

    def remove(self, path: str) -> None:
        """Remove a file, link, or directory with all in it. What is not there is fine."""
        try:
            with self.parent(path) as (descriptor, name):
                _remove(descriptor, name)
                if name.endswith(".py"):
                    _forget_bytecode(descriptor, name)
        except (FileNotFoundError, NotADirectoryError):
            return

    def restore(self, before: Listing, content: Content) -> None:
        """Make the roots what they were; ``content`` gives what was kept of a file, None when it wasn't.

        :raises ChangeError: something could not be brought back; the sentence names it.
        """
        lost: list[str] = []
        now = self.listing()
        for path in sorted(now, reverse=True):
            if path not in before or before[path][0] != now[path][0]:
                self._attempt(path, lost, lambda path=path: self.remove(path))  # type: ignore[misc]
        now = self.listing()
        for path in sorted(before):
            if now.get(path) == before[path]:
                continue
            self._attempt(path, lost, lambda path=path: self._bring_back(path, before[path], now.get(path), content))  # type: ignore[misc]
        os.sync()
        now = self.listing()
        lost += [path for path in sorted(set(now) | set(before)) if now.get(path) != before.get(path)]
        if lost:
            shown = ", ".join(f"{self.prefix}/{path}" for path in list(dict.fromkeys(lost))[:5])
            raise ChangeError(
                f"{len(set(lost))} paths could not be brought back: {shown}. Install the packages anew by hand."
            )

    def _attempt(self, path: str, lost: list[str], step: Callable[[], None]) -> None:
        try:
            step()
        except OSError:
            lost.append(path)

    def _bring_back(self, path: str, entry: Entry, now: Optional[Entry], content: Content) -> None:
        kind, mode, uid, gid, size, modified, target = entry
        with self.parent(path) as (descriptor, name):
            if kind == "directory":
                if now is None:
                    os.mkdir(name, 0o700, dir_fd=descriptor)
                handle = os.open(name, _DIRECTORY, dir_fd=descriptor)
                try:
                    _attributes(handle, mode, uid, gid, None)
                finally:
                    os.close(handle)
            elif kind == "link":
                temporary = f".{name}.firstaid"
                _remove(descriptor, temporary)
                os.symlink(target, temporary, dir_fd=descriptor)
                os.chown(temporary, uid, gid, dir_fd=descriptor, follow_symlinks=False)
                os.utime(temporary, ns=(modified, modified), dir_fd=descriptor, follow_symlinks=False)
                os.rename(temporary, name, src_dir_fd=descriptor, dst_dir_fd=descriptor)
            elif kind == "file":
                # Only its attributes differ: its content needs no copy.
                same = now is not None and now[0] == "file" and (now[4], now[5]) == (size, modified)
                data = self.read(path) if same else content(path)
                if data is None:
                    raise OSError(errno.ENOENT, "its content was not kept")
                _write(descriptor, name, data, mode, uid, gid, modified)
                if name.endswith(".py"):
                    _forget_bytecode(descriptor, name)


def digest(listing: Listing) -> str:
    """One value for a listing; equal when nothing that counts differs."""
    return hashlib.sha256(json.dumps(listing, sort_keys=True).encode()).hexdigest()


def kept_content(keep: Keep, name: str) -> Content:
    """The function for ``Tree.restore`` that reads what ``Tree.keep`` kept. Holds one blob in memory."""
    index = json.loads(keep.read(name))
    blobs: dict[str, bytes] = {}

    def pieces(places: list[list[Any]]) -> Iterator[bytes]:
        for blob, start, length in places:
            if blob not in blobs:
                blobs.clear()
                blobs[blob] = keep.read(blob)
            yield zlib.decompress(blobs[blob][start : start + length])

    def content(path: str) -> Optional[Iterator[bytes]]:
        return pieces(index[path]) if path in index else None

    return content


def _store(
    chunk: bytearray, waiting: list[tuple[str, int, int]], index: dict[str, list[list[Any]]], keep: Keep, count: int
) -> None:
    blob = keep.write(bytes(chunk), f"-files-{count:04d}")
    for path, start, length in waiting:
        index[path].append([blob, start, length])


def _entry(status: os.stat_result, name: str, descriptor: int) -> Entry:
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISDIR(status.st_mode):
        return ["directory", mode, status.st_uid, status.st_gid, None, None, None]
    if stat.S_ISLNK(status.st_mode):
        target = os.readlink(name, dir_fd=descriptor)
        return ["link", None, status.st_uid, status.st_gid, None, status.st_mtime_ns, target]
    kind = "file" if stat.S_ISREG(status.st_mode) else "other"
    return [kind, mode, status.st_uid, status.st_gid, status.st_size, status.st_mtime_ns, None]


def _write(descriptor: int, name: str, data: Iterator[bytes], mode: int, uid: int, gid: int, modified: int) -> None:
    temporary = f".{name}.firstaid"
    _remove(descriptor, temporary)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(temporary, flags, 0o600, dir_fd=descriptor)
    with os.fdopen(handle, "wb") as stream:
        for piece in data:
            stream.write(piece)
        stream.flush()
        _attributes(handle, mode, uid, gid, modified)
    os.rename(temporary, name, src_dir_fd=descriptor, dst_dir_fd=descriptor)


def _attributes(handle: int, mode: int, uid: int, gid: int, modified: Optional[int]) -> None:
    status = os.fstat(handle)
    if (status.st_uid, status.st_gid) != (uid, gid):
        os.fchown(handle, uid, gid)
    os.fchmod(handle, mode)
    if modified is not None:
        os.utime(handle, ns=(modified, modified))


def _remove(descriptor: int, name: str) -> None:
    try:
        status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(status.st_mode):
        os.unlink(name, dir_fd=descriptor)
        return
    child = os.open(name, _DIRECTORY, dir_fd=descriptor)
    try:
        with os.scandir(child) as entries:
            names = [entry.name for entry in entries]
        for inner in names:
            _remove(child, inner)
    finally:
        os.close(child)
    os.rmdir(name, dir_fd=descriptor)


def _forget_bytecode(descriptor: int, name: str) -> None:
    """Remove the bytecode of a source file: its time and size might fit another version of it."""
    try:
        child = os.open("__pycache__", _DIRECTORY, dir_fd=descriptor)
    except OSError:
        return
    try:
        with os.scandir(child) as entries:
            names = [
                entry.name for entry in entries if entry.name.startswith(name[:-2]) and entry.name.endswith(".pyc")
            ]
        for inner in names:
            os.unlink(inner, dir_fd=child)
    finally:
        os.close(child)
