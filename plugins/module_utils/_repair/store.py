# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory on the target that keeps lock, history, manifests and former content. See "State on the target" in docs/repair.md."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Optional
from urllib.parse import quote

from . import files
from .changes import ChangeError
from .files import FileError

DEFAULT_STATE_DIR = "/var/lib/firstaid"
HISTORY = "history.jsonl"
MAX_HISTORY_BYTES = 4 * files.MIB
KEPT_ROWS = 2000
MAX_NAME = 200
RUN_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}")
# Not blocking, so that a FIFO in a file's place ends in a sentence.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class StateError(Exception):
    """The state can't be read or written. The message is one sentence that names the file and the next step."""


def run_id(now: Optional[float] = None) -> str:
    """A new id of a run or session: UTC time, and six hexadecimal digits of which the first three are the fraction of the second, so that ids sort."""
    moment = time.time() if now is None else now
    return (
        time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(moment))
        + f"-{int(moment % 1 * 4096):03x}{secrets.randbelow(4096):03x}"
    )


def stamp(now: Optional[float] = None) -> str:
    """ISO 8601 UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))


def file_name(backend: str) -> str:
    """A backend's name as the name of a directory: percent-encoded where it is no plain one."""
    name = quote(backend, safe="@:+,=")
    if name.startswith("."):
        name = "%2E" + name[1:]
    if len(name) <= MAX_NAME:
        return name
    return name[:MAX_NAME] + "+" + hashlib.sha256(os.fsencode(backend)).hexdigest()[:16]


class Folder:
    """A directory of the state that is held open; it and all in it are reached by descriptor only.

    Without ``create`` a missing directory is held as one that has nothing in it (``missing``).
    """

    def __init__(self, path: str, descriptor: Optional[int]) -> None:
        self.path = path
        self._descriptor = descriptor

    @property
    def missing(self) -> bool:
        return self._descriptor is None

    @property
    def descriptor(self) -> int:
        """:raises StateError: the directory is not there."""
        if self._descriptor is None:
            raise StateError(f"{self.path} does not exist: no repair was made here yet")
        return self._descriptor

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def folder(self, name: str, create: bool = False) -> Folder:
        """The directory of that name in this one.

        :raises StateError: it is a link, belongs to somebody else, or can't be made.
        """
        path = f"{self.path}/{name}"
        if self.missing:
            return Folder(path, None)
        with told(path):
            return Folder(path, _open_private(self.descriptor, name, path, create))

    def names(self) -> list[str]:
        """What is in it, sorted; empty when it is not there."""
        return [] if self.missing else sorted(os.listdir(self.descriptor))

    def write(self, name: str, content: bytes) -> None:
        """Write a file beside its place, sync, rename, sync; mode 0600."""
        temporary = f".new-{name}"
        with told(f"{self.path}/{name}"):
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(temporary, flags, 0o600, dir_fd=self.descriptor)
            try:
                files.write_all(descriptor, content)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.rename(temporary, name, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)
            os.fsync(self.descriptor)

    def read(self, name: str, limit: int = files.MAX_CONTENT) -> Optional[bytes]:
        """The content of a file, None when it is not there."""
        if self.missing:
            return None
        with told(f"{self.path}/{name}"):
            try:
                descriptor = os.open(name, _READ, dir_fd=self.descriptor)
            except FileNotFoundError:
                return None
            try:
                return files.read_all(descriptor, limit)
            finally:
                os.close(descriptor)

    def remove(self, name: str) -> None:
        """Remove a file; one that is not there is fine."""
        with told(f"{self.path}/{name}"):
            try:
                os.unlink(name, dir_fd=self.descriptor)
            except FileNotFoundError:
                return
            os.fsync(self.descriptor)

    def write_json(self, name: str, value: Any) -> None:
        """Write plain data."""
        self.write(name, (json.dumps(value, indent=1, sort_keys=False) + "\n").encode("utf-8"))

    def read_json(self, name: str) -> Optional[dict[str, Any]]:
        """An object that was written, None when it is not there.

        :raises StateError: it can't be read, is cut off, or is no object.
        """
        content = self.read(name)
        if content is None:
            return None
        try:
            value = json.loads(content.decode("utf-8"))
        except (UnicodeDecodeError, ValueError, RecursionError) as exc:
            raise StateError(
                f"{self.path}/{name} is damaged or cut off ({len(content)} bytes): look at it, and move it away by hand "
                "once it is clear what it was about"
            ) from exc
        if not isinstance(value, dict):
            raise StateError(
                f"{self.path}/{name} does not hold what belongs there: look at it, and move it away by hand"
            )
        return value


def open_state(path: str = DEFAULT_STATE_DIR, create: bool = False) -> Folder:
    """The state directory; ``create`` makes it, with mode 0700.

    :raises StateError: it is a link, belongs to somebody else, others can write to it, or it can't be made.
    """
    path = os.path.normpath(path)
    with told(path):
        try:
            folder, name = files.split(path)
            if create:
                for above in files.absent_directories(path):
                    files.make_directory(above)
            above_it = files.open_directory(folder)
        except FileNotFoundError:
            return Folder(path, None)
        except FileError as exc:
            raise StateError(f"the state directory can't be used: {exc}") from exc
        try:
            return Folder(path, _open_private(above_it, name, path, create))
        finally:
            os.close(above_it)


def append_row(folder: Folder, row: dict[str, Any]) -> None:
    """Add a row to a backend's history, synced. A line that a killed run left unfinished is ended first, one that doesn't fit is taken back."""
    path = f"{folder.path}/{HISTORY}"
    line = json.dumps(row, sort_keys=True).encode("utf-8") + b"\n"
    with told(path):
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(HISTORY, flags, 0o600, dir_fd=folder.descriptor)
        try:
            size = os.fstat(descriptor).st_size
            unfinished = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            try:
                files.write_all(descriptor, (b"\n" if unfinished else b"") + line)
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)
    if size > MAX_HISTORY_BYTES:
        rows = history(folder)[-KEPT_ROWS:]
        folder.write(HISTORY, b"".join(json.dumps(item, sort_keys=True).encode("utf-8") + b"\n" for item in rows))


def history(folder: Folder) -> list[dict[str, Any]]:
    """All rows that can be read, oldest first; a line that was cut off is left out."""
    rows = []
    for line in (folder.read(HISTORY) or b"").splitlines():
        if not line.startswith(b"{"):
            continue
        try:
            row = json.loads(line.decode("utf-8"))
        except (UnicodeDecodeError, ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


@contextmanager
def exclusive(folder: Folder, seconds: float) -> Iterator[None]:
    """Hold the directory for this process alone; the kernel lets go when the process ends, however it ends.

    :raises StateError: another process holds it and did not let go in time.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(folder.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError as exc:
            if time.monotonic() >= end:
                raise StateError(
                    f"another repair is at work in {folder.path} at this moment: wait until it has ended, and try again"
                ) from exc
            time.sleep(0.1)
    try:
        yield
    finally:
        fcntl.flock(folder.descriptor, fcntl.LOCK_UN)


class RunKeep:
    """Former content of one change, in ``files`` of the run's directory. The name holds the number, and the file its own hash."""

    def __init__(self, run: Folder, number: int) -> None:
        self._run, self._number = run, number

    def write(self, content: bytes, suffix: str = "") -> str:
        """Keep content; see ``changes.Keep``."""
        name = f"{self._number:04d}{suffix}"
        digest = hashlib.sha256(content).hexdigest()
        folder = self._run.folder("files", create=True)
        try:
            folder.write(name, content)
        finally:
            folder.close()
        return f"{name}#{digest}"

    def read(self, name: str) -> bytes:
        """The content that was kept; see ``changes.Keep``."""
        plain, _mark, digest = name.partition("#")
        path = f"{self._run.path}/files/{plain}"
        if not re.fullmatch(r"[0-9]{4}[A-Za-z0-9._-]*", plain):
            raise ChangeError(f"the manifest in {self._run.path} names a former content that can't be one ({plain!r})")
        try:
            folder = self._run.folder("files")
            try:
                content = folder.read(plain)
            finally:
                folder.close()
        except StateError as exc:
            raise ChangeError(str(exc)) from exc
        if content is None:
            raise ChangeError(f"the former content is not in {path} any more, so it can't be put back")
        if hashlib.sha256(content).hexdigest() != digest:
            raise ChangeError(f"{path} is not what was kept there, so it isn't put back: compare it by hand")
        return content


class NoKeep:
    """Keeps nothing, for check mode."""

    def write(self, content: bytes, suffix: str = "") -> str:
        """Only a name."""
        return ""

    def read(self, name: str) -> bytes:
        """Never there."""
        raise ChangeError("nothing was kept in check mode")


@contextmanager
def told(path: str) -> Iterator[None]:
    """Errors of the system on a path of the state as sentences."""
    try:
        yield
    except OSError as exc:
        raise StateError(f"{path} can't be used for the state of repairs: {files.words(exc)}") from exc


def _open_private(above: int, name: str, path: str, create: bool) -> Optional[int]:
    if create:
        try:
            os.mkdir(name, 0o700, dir_fd=above)
            os.fsync(above)
        except FileExistsError:
            pass
    try:
        descriptor = os.open(name, _DIRECTORY, dir_fd=above)
    except FileNotFoundError:
        return None
    except NotADirectoryError as exc:
        raise StateError(f"{path} is a link or no directory: move it away, or name another state directory") from exc
    status = os.fstat(descriptor)
    if status.st_uid == os.geteuid() and not stat.S_IMODE(status.st_mode) & 0o022:
        return descriptor
    os.close(descriptor)
    whose = f"belongs to user {status.st_uid}" if status.st_uid != os.geteuid() else "can be written to by others"
    raise StateError(
        f"{path} {whose}: what it holds can't be trusted by user {os.geteuid()}; move it away, correct its owner and mode, "
        "or name another state directory"
    )
