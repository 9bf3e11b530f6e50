# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Log files read safely: only regular files, only their end, and nothing behind a link that the service planted."""

from __future__ import annotations

import errno
import os
import re
import stat
from dataclasses import dataclass
from typing import Optional

from .context import KIB, MIB
from .reach import OutOfReach, Reader, file_type, open_file

TAIL_BYTES = 256 * KIB
# Counting newlines runs at about 1 GB/s; reading the file from disk is what takes time.
COUNT_BYTES = 8 * MIB
TINY_BYTES = 4 * KIB
MAX_SIBLINGS = 5000
_ROTATED = re.compile(r"^(?:\.1|[.-]\d{8}(?:[-_T]?\d+)?|\.\d{4}-\d\d-\d\d(?:_\d\d-\d\d-\d\d)?)$")
_COMPRESSED = (".gz", ".xz", ".bz2", ".zst", ".lz4")


@dataclass
class Tail:
    """The end of a log file. ``first_line`` is None where the lines before it were not counted."""

    path: str
    exists: bool = False
    raw: bytes = b""
    size: Optional[int] = None
    modified: Optional[float] = None
    first_line: Optional[int] = None
    truncated: bool = False
    error: Optional[str] = None


def read_tail(path: str, reader: Reader, max_bytes: int = TAIL_BYTES) -> Tail:
    """Read the last ``max_bytes`` of a log, from the start of a line on. Never blocks on a FIFO or device."""
    tail = Tail(path)
    try:
        real = os.path.realpath(path)
        status = os.stat(real, follow_symlinks=False)
    except OSError as exc:
        tail.error = _sentence(path, exc)
        return tail
    tail.exists = True
    if real.startswith(("/proc/", "/sys/", "/dev/")):
        # Reading /proc/kmsg takes messages away from whoever else waits for them.
        tail.error = f"{path} leads to {real}, which is no log file and is not read"
        return tail
    if stat.S_ISLNK(status.st_mode):
        # realpath leaves a link standing only where it leads back to itself.
        tail.error = f"{path} is a link that leads in a circle"
        return tail
    if not stat.S_ISREG(status.st_mode):
        tail.error = f"{path} is {file_type(status.st_mode)}, which is not read"
        return tail
    try:
        descriptor = open_file(path, reader)
    except OutOfReach as exc:
        tail.error = exc.strerror
        return tail
    except OSError as exc:
        tail.error = _sentence(path, exc)
        return tail
    try:
        opened = os.fstat(descriptor)
        _read(descriptor, opened, tail, max_bytes)
    except OSError as exc:
        tail.error = _sentence(path, exc)
    finally:
        os.close(descriptor)
    return tail


def _read(descriptor: int, status: os.stat_result, tail: Tail, max_bytes: int) -> None:
    """Fill ``tail`` from an open regular file."""
    tail.size, tail.modified = status.st_size, status.st_mtime
    start = max(0, status.st_size - max_bytes)
    tail.raw = os.pread(descriptor, max_bytes, start)
    while 0 < len(tail.raw) < min(max_bytes, status.st_size - start):
        more = os.pread(descriptor, max_bytes - len(tail.raw), start + len(tail.raw))
        if not more:
            break
        tail.raw += more
    if not start:
        tail.first_line = 1
        return
    tail.truncated = True
    # The window starts in the middle of a line: leave that piece out, unless there is nothing else.
    newline = tail.raw.find(b"\n")
    skipped = newline + 1 if 0 <= newline < len(tail.raw) - 1 else 0
    tail.raw = tail.raw[skipped:]
    if start <= COUNT_BYTES:
        tail.first_line = 1 + _count_newlines(descriptor, start + skipped)


def _count_newlines(descriptor: int, end: int) -> int:
    count, position = 0, 0
    while position < end:
        block = os.pread(descriptor, min(MIB, end - position), position)
        if not block:
            break
        count += block.count(b"\n")
        position += len(block)
    return count


def rotated(path: str) -> Optional[str]:
    """The newest uncompressed rotation of a log (``app.log.1``, ``app.log-20261122``), None without one."""
    folder, name = os.path.split(path)
    newest: tuple[float, str] = (0.0, "")
    try:
        with os.scandir(folder or "/") as entries:
            for count, entry in enumerate(entries):
                if count > MAX_SIBLINGS:
                    break
                suffix = entry.name[len(name) :]
                if not entry.name.startswith(name) or entry.name.endswith(_COMPRESSED) or not _ROTATED.match(suffix):
                    continue
                if entry.is_file(follow_symlinks=False):
                    newest = max(newest, (entry.stat(follow_symlinks=False).st_mtime, entry.path))
    except OSError:
        return None
    return newest[1] or None


def _sentence(path: str, exc: OSError) -> str:
    reason = {errno.ENOENT: "does not exist", errno.EACCES: "is not readable by the gathering user"}
    return f"{path} {reason.get(exc.errno or 0) or f'could not be read: {exc.strerror}'}"
