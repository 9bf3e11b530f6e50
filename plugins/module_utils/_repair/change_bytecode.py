# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kind of change that removes compiled bytecode of a code tree, which Python makes again."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from .changes import ChangeError, Means, Record, State
from .files import FileError, open_directory, words
from .model import Change

CACHE = "__pycache__"
MAX_ENTRIES = 200000
MAX_DEPTH = 20
MAX_SECONDS = 20.0
SHOWN = 20
# Not this backend's own code: environments, packages of others, version control, what build tools keep.
NOT_OWN = frozenset(
    ".git .hg .svn .venv venv env .tox .nox .conda node_modules site-packages dist-packages __pypackages__ .eggs".split()
)
# module.cpython-311.pyc, module.cpython-311.opt-1.pyc: what PEP 3147 and 488 call them.
_CACHED = re.compile(r"(?P<module>[^/]+)\.(?:cpython|pypy|graalpy)[\w.-]*?(?:\.opt-\w+)?\.pyc\Z")
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass
class Walk:
    """The bytecode files of a tree, by path; ``truncated`` when a bound was reached."""

    files: list[str] = field(default_factory=list)
    removed: int = 0
    truncated: bool = False
    entries: int = 0
    end: float = 0.0


def walk(root: str, remove: bool) -> Walk:
    """Find, and remove if wanted, the bytecode whose source lies where Python would look for it.

    Without its source (a program that is shipped compiled) bytecode is the program. No link is followed: the tree may belong
    to a service user, and this runs as root. Environments and other file systems below are left alone.

    :raises FileError: the way to the directory isn't safe.
    :raises OSError: the directory itself can't be opened.
    """
    found = Walk(end=time.monotonic() + MAX_SECONDS)
    descriptor = open_directory(root)
    try:
        device = os.fstat(descriptor).st_dev
        _directory(descriptor, root, device, remove, found, 0)
    finally:
        os.close(descriptor)
    return found


def _directory(descriptor: int, path: str, device: int, remove: bool, found: Walk, depth: int) -> None:
    names = sorted(os.listdir(descriptor))
    present = set(names)
    if depth and ("pyvenv.cfg" in present or "conda-meta" in present):
        return
    for name in names:
        found.entries += 1
        if found.entries > MAX_ENTRIES or time.monotonic() > found.end:
            found.truncated = True
            return
        if name.endswith(".pyc") and f"{name[:-1]}" in present and _regular(descriptor, name):
            _take(descriptor, name, path, remove, found)
            continue
        if name in NOT_OWN or name.endswith(".egg-info") or depth >= MAX_DEPTH:
            continue
        for child in _opened(descriptor, name, device):
            if name == CACHE:
                _cache(child, descriptor, os.path.join(path, name), remove, found)
            else:
                _directory(child, os.path.join(path, name), device, remove, found, depth + 1)


def _cache(cache: int, holder: int, path: str, remove: bool, found: Walk) -> None:
    for name in sorted(os.listdir(cache)):
        found.entries += 1
        match = _CACHED.match(name)
        if match and _regular(cache, name) and _regular(holder, f"{match.group('module')}.py", links=True):
            _take(cache, name, path, remove, found)


def _opened(descriptor: int, name: str, device: int) -> Iterator[int]:
    """A directory below, opened without following a link; nothing for whatever else it is."""
    try:
        if not stat.S_ISDIR(os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode):
            return
        child = os.open(name, _OPEN, dir_fd=descriptor)
    except OSError:
        return
    try:
        if os.fstat(child).st_dev == device:
            yield child
    finally:
        os.close(child)


def _regular(descriptor: int, name: str, links: bool = False) -> bool:
    try:
        return stat.S_ISREG(os.stat(name, dir_fd=descriptor, follow_symlinks=links).st_mode)
    except OSError:
        return False


def _take(descriptor: int, name: str, path: str, remove: bool, found: Walk) -> None:
    found.files.append(os.path.join(path, name))
    if remove:
        try:
            os.unlink(name, dir_fd=descriptor)
            found.removed += 1
        except FileNotFoundError:
            pass


class RemoveBytecode:
    """``remove_bytecode``: removes the bytecode of a directory of source code."""

    reversible = False
    atomic = False

    def before(self, change: Change, means: Means) -> State:
        try:
            found = walk(change.path, remove=False)
        except (OSError, FileError) as exc:
            raise ChangeError(f"The bytecode in {change.path} can't be looked at: {_why(exc)}.") from exc
        return {"directory": change.path, "files": len(found.files), "truncated": found.truncated}

    def after(self, change: Change, before: State, means: Means) -> State:
        return {"directory": change.path, "files": 0}

    def apply(self, change: Change, record: Record, means: Means) -> None:
        try:
            found = walk(change.path, remove=True)
        except (OSError, FileError) as exc:
            raise ChangeError(f"The bytecode in {change.path} can't be removed: {_why(exc)}.") from exc
        record["after"] = {"directory": change.path, "files": 0, "removed": found.removed, "truncated": found.truncated}

    def undo(self, record: Record, means: Means) -> None:
        """Nothing: Python makes it again."""

    def is_before(self, record: Record, means: Means) -> bool:
        # Bytecode comes and goes with each start; it says nothing about whether somebody was here.
        return "removed" not in (record.get("after") or {})

    def is_after(self, record: Record, means: Means) -> bool:
        return True

    def diff(self, change: Change, before: State, means: Means) -> dict[str, str]:
        try:
            files = walk(change.path, remove=False).files
        except (OSError, FileError):
            files = []
        more = f"… and {len(files) - SHOWN} more\n" if len(files) > SHOWN else ""
        return {
            "before": "".join(f"{path}\n" for path in files[:SHOWN]) + more,
            "after": "",
            "before_header": f"{change.path} (bytecode)",
            "after_header": f"{change.path} (bytecode)",
        }


def _why(exc: Exception) -> str:
    return words(exc) if isinstance(exc, OSError) else str(exc)


REMOVE_BYTECODE = RemoveBytecode()
