# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a user may read, write or enter a path, computed from owners, modes and access lists, without trying it.

Trying would have to be done as that user, and writing would leave traces.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Optional

READ, WRITE, EXECUTE = 4, 2, 1
# What the kernel allows (MAXSYMLINKS).
MAX_LINKS = 40

# Tags of a POSIX access list as the kernel stores it in the attribute system.posix_acl_access.
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20


@dataclass(frozen=True)
class Identity:
    """The user whose access is asked for. A uid of None means that nothing is known: everything counts as root's."""

    uid: Optional[int] = None
    gid: Optional[int] = None
    groups: Sequence[int] = field(default_factory=tuple)

    @property
    def root(self) -> bool:
        return self.uid in (0, None)

    def in_group(self, gid: int) -> bool:
        """Whether a group is the user's own or one of the further ones."""
        return gid == self.gid or gid in self.groups


@dataclass
class Access:
    """The answer for one path; ``blocked_at`` is the first component that refuses, with ``reason`` in words."""

    path: str
    status: Optional[os.stat_result] = None
    readable: bool = False
    writable: bool = False
    executable: bool = False
    blocked_at: Optional[str] = None
    reason: Optional[str] = None


def check(path: str, who: Identity) -> Access:
    """What ``who`` may do with a path, links followed. Never raises; what can't be looked at counts as refused."""
    result = Access(path)
    real = os.path.realpath(path)
    blocked, reason = blocked_on_the_way(path, who)
    if blocked:
        result.blocked_at, result.reason = blocked, reason
        return result
    try:
        result.status = os.stat(real)
    except OSError as exc:
        result.blocked_at, result.reason = real, exc.strerror or "can't be looked at"
        return result
    bits = permitted(real, result.status, who)
    result.readable = bool(bits & READ)
    result.writable = bool(bits & WRITE)
    result.executable = bool(bits & EXECUTE)
    if read_only(real):
        result.writable = False
        result.reason = "the file system is mounted read-only"
    if result.executable and stat.S_ISREG(result.status.st_mode) and _no_exec(real):
        result.executable = False
        result.reason = "the file system is mounted noexec"
    if not (result.readable and result.writable) and not result.reason:
        result.reason = (
            f"mode {stat.S_IMODE(result.status.st_mode):04o}, owner {result.status.st_uid}:{result.status.st_gid}"
        )
    return result


def blocked_on_the_way(path: str, who: Identity) -> tuple[Optional[str], Optional[str]]:
    """The first directory on the way to a path that ``who`` can't pass, and why; (None, None) when the way is free.

    Links are followed one by one, as the kernel does: also the directories that hold a link must be passed.
    """
    left = [part for part in path.split("/") if part][::-1]
    current = "/"
    links = 0
    while left:
        reason = _impassable(current, who)
        if reason:
            return current, reason
        part = left.pop()
        if part == "..":
            current = os.path.dirname(current)
            continue
        step = os.path.join(current, part)
        if not os.path.islink(step):
            current = step
            continue
        links += 1
        if links > MAX_LINKS:
            return step, "a loop of symbolic links"
        target = os.readlink(step)
        if target.startswith("/"):
            current = "/"
        left += [item for item in target.split("/") if item not in ("", ".")][::-1]
    return None, None


def _impassable(directory: str, who: Identity) -> Optional[str]:
    """Why a directory can't be passed, None when it can."""
    try:
        status = os.stat(directory)
    except OSError as exc:
        return exc.strerror or "can't be looked at"
    if not stat.S_ISDIR(status.st_mode):
        return "not a directory"
    if not permitted(directory, status, who) & EXECUTE:
        return f"mode {stat.S_IMODE(status.st_mode):04o}, owner {status.st_uid}:{status.st_gid}"
    return None


def permitted(path: str, status: os.stat_result, who: Identity) -> int:
    """The permission bits that ``who`` has on a file: read 4, write 2, execute 1."""
    mode = status.st_mode
    if who.root:
        executable = stat.S_ISDIR(mode) or mode & 0o111
        return READ | WRITE | (EXECUTE if executable else 0)
    entries = access_list(path)
    if entries:
        return by_access_list(entries, status, who)
    if status.st_uid == who.uid:
        return (mode >> 6) & 7
    if who.in_group(status.st_gid):
        return (mode >> 3) & 7
    return mode & 7


def access_list(path: str) -> list[tuple[int, int, int]]:
    """(tag, bits, id) of a path's access list; empty when it has none or the file system knows none."""
    try:
        raw = os.getxattr(path, "system.posix_acl_access")
    except OSError:
        return []
    return parse_access_list(raw)


def parse_access_list(raw: bytes) -> list[tuple[int, int, int]]:
    """Decode version 2 of the attribute; anything else gives nothing."""
    if len(raw) < 4 or struct.unpack_from("<I", raw)[0] != 2:
        return []
    return [struct.unpack_from("<HHI", raw, offset) for offset in range(4, len(raw) - 7, 8)]


def by_access_list(entries: Sequence[tuple[int, int, int]], status: os.stat_result, who: Identity) -> int:
    """The algorithm of acl(5): owner, named users under the mask, then all groups that match, then others."""
    mask = next((bits for tag, bits, _id in entries if tag == _MASK), 7)
    if who.uid == status.st_uid:
        return next((bits for tag, bits, _id in entries if tag == _USER_OBJ), 0)
    for tag, bits, number in entries:
        if tag == _USER and number == who.uid:
            return bits & mask
    matching = [
        bits
        for tag, bits, number in entries
        if (tag == _GROUP_OBJ and who.in_group(status.st_gid)) or (tag == _GROUP and who.in_group(number))
    ]
    if matching:
        # Any one entry may grant a request; entries are not added up for one request, but they are asked one by one.
        union = 0
        for bits in matching:
            union |= bits & mask
        return union
    return next((bits for tag, bits, _id in entries if tag == _OTHER), 0)


def read_only(path: str) -> bool:
    """Whether the file system of a path is mounted read-only, as this process sees it."""
    return _mounted_with(path, os.ST_RDONLY)


def _no_exec(path: str) -> bool:
    return _mounted_with(path, getattr(os, "ST_NOEXEC", 8))


def _mounted_with(path: str, flag: int) -> bool:
    try:
        return bool(os.statvfs(path).f_flag & flag)
    except OSError:
        return False
