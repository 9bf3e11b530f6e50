# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory and task limits of a control group, version 1 and 2, and how often they were hit."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Optional

from . import proc
from .model import Backend
from .numerals import whole

# "No limit" on version 1 is the largest multiple of a page; nobody has a machine of 2^60 bytes.
NO_LIMIT = 1 << 60


@dataclass(frozen=True)
class Group:
    """A control group: where its files are, its path, and the version of its hierarchy."""

    folder: str
    mount: str
    version: int


def parse_mounts(mountinfo: str) -> dict[str, tuple[str, str]]:
    """Mounted hierarchies: controller, or ``unified``, → (mount point, the group that is mounted there)."""
    found: dict[str, tuple[str, str]] = {}
    for line in mountinfo.splitlines():
        left, separator, right = line.partition(" - ")
        fields, types = left.split(), right.split()
        if not separator or len(fields) < 5 or len(types) < 3:
            continue
        if types[0] == "cgroup2":
            found.setdefault("unified", (fields[4], fields[3]))
        elif types[0] == "cgroup":
            for option in types[2].split(","):
                found.setdefault(option, (fields[4], fields[3]))
    return found


def parse_paths(cgroup: str) -> dict[str, str]:
    """/proc/PID/cgroup: controller, or ``unified``, → path."""
    found: dict[str, str] = {}
    for line in cgroup.splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3:
            for controller in parts[1].split(",") if parts[1] else ["unified"]:
                found[controller] = parts[2]
    return found


def locate(controller: str, mounts: dict[str, tuple[str, str]], paths: dict[str, str]) -> Optional[Group]:
    """The directory of a process's group for one controller; version 1 where that hierarchy has the controller."""
    for name, version in ((controller, 1), ("unified", 2)):
        if name not in mounts or name not in paths:
            continue
        mount, root = mounts[name]
        path = paths[name]
        if root != "/" and (path == root or path.startswith(root + "/")):
            path = path[len(root) :] or "/"
        folder = os.path.normpath(mount + "/" + path.lstrip("/"))
        if version == 2 and not _has(folder, mount, controller):
            continue
        return Group(folder, mount, version)
    return None


def _has(folder: str, mount: str, controller: str) -> bool:
    """Whether a version 2 group is under a controller; the files of the hierarchy's root don't show limits."""
    listed = (proc.slurp(f"{folder}/cgroup.controllers") or "").split()
    return controller in listed and folder != mount


def of_backend(backend: Backend) -> tuple[Optional[Group], Optional[Group]]:
    """The groups that limit the backend's memory and tasks; None where it is down and its group is gone."""
    mounts = parse_mounts(proc.slurp("/proc/self/mountinfo", 1024 * 1024) or "")
    text = proc.slurp(f"/proc/{backend.main_pid}/cgroup") if backend.main_pid else None
    if text is None:
        text = next((found for found in (proc.slurp(f"/proc/{pid}/cgroup") for pid in backend.pids) if found), None)
    if text is not None:
        paths = parse_paths(text)
    elif backend.cgroup and backend.cgroup != "/":
        path = backend.cgroup
        prefix = proc.cgroup_prefix()
        path = path if prefix and path.startswith(prefix) else prefix + path
        paths = dict.fromkeys(("memory", "pids", "unified"), path)
    else:
        return None, None
    return locate("memory", mounts, paths), locate("pids", mounts, paths)


def memory(group: Group) -> Optional[dict[str, Any]]:
    """Memory of a group in the evidence's shape; its limit is the smallest of its own and its ancestors'."""
    if not os.path.isdir(group.folder):
        return None
    if group.version == 2:
        events = _pairs(proc.slurp(f"{group.folder}/memory.events"))
        parent = _pairs(proc.slurp(f"{os.path.dirname(group.folder)}/memory.events"))
        return {
            "version": 2,
            "path": group.folder,
            "current_bytes": number(proc.slurp(f"{group.folder}/memory.current")),
            "max_bytes": _smallest(group, ("memory.max",)),
            "high_bytes": _smallest(group, ("memory.high",)),
            "peak_bytes": number(proc.slurp(f"{group.folder}/memory.peak")),
            "oom_kills": events.get("oom_kill"),
            "fail_count": events.get("max"),
            # A unit's group is made anew at each start; its slice remembers. Version 2 counts for all below.
            "slice_oom_kills": parent.get("oom_kill"),
        }
    return {
        "version": 1,
        "path": group.folder,
        "current_bytes": number(proc.slurp(f"{group.folder}/memory.usage_in_bytes")),
        "max_bytes": _smallest(group, ("memory.limit_in_bytes",)),
        "high_bytes": None,
        "peak_bytes": number(proc.slurp(f"{group.folder}/memory.max_usage_in_bytes")),
        "oom_kills": _pairs(proc.slurp(f"{group.folder}/memory.oom_control")).get("oom_kill"),
        "fail_count": number(proc.slurp(f"{group.folder}/memory.failcnt")),
        "slice_oom_kills": None,
    }


def tasks(group: Group) -> dict[str, Optional[int]]:
    """Tasks of a group and the most it may have."""
    return {
        "current": number(proc.slurp(f"{group.folder}/pids.current")),
        "max": _smallest(group, ("pids.max",)),
    }


def number(text: Optional[str]) -> Optional[int]:
    """A control file's number; None for ``max``, for version 1's way to say so, and for a missing file."""
    value = whole((text or "").strip())
    return None if value is None or value >= NO_LIMIT else value


def _smallest(group: Group, names: tuple[str, ...]) -> Optional[int]:
    limits = []
    folder = group.folder
    while folder.startswith(group.mount) and len(folder) > 1:
        limits += [number(proc.slurp(f"{folder}/{name}")) for name in names]
        folder = os.path.dirname(folder)
    return min((limit for limit in limits if limit is not None), default=None)


def _pairs(text: Optional[str]) -> dict[str, int]:
    found = {}
    for line in (text or "").splitlines():
        words = line.split()
        value = whole(words[1]) if len(words) == 2 else None
        if value is not None:
            found[words[0]] = value
    return found
