# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``resources`` section: memory, disks, descriptors and limits as the backend meets them."""

from __future__ import annotations

import os
import pwd
import re
import threading
from typing import Any, Optional

from . import cgroups, proc
from .context import MIB, Context
from .model import Backend, Section
from .numerals import whole

DISK_SECONDS = 1.5
_LIMITS = {
    "Max open files": "NOFILE",
    "Max processes": "NPROC",
    "Max address space": "AS",
    "Max data size": "DATA",
    "Max stack size": "STACK",
    "Max file size": "FSIZE",
    "Max core file size": "CORE",
    "Max locked memory": "MEMLOCK",
    "Max resident set": "RSS",
}
# File systems of this host's own disks and memory; asking a network's could take for ever.
_LOCAL = frozenset("btrfs ext2 ext3 ext4 f2fs jfs overlay reiserfs tmpfs xfs zfs".split())
MAX_MOUNTS = 60
_OCTAL = re.compile(r"\\([0-7]{3})")
_ST_RDONLY = 1


def collect(backend: Backend, ctx: Context) -> Section:
    """Read limits and usage. Disks are asked in a thread of their own, since a dead network mount never answers."""
    pid = backend.main_pid if backend.main_pid and os.path.isdir(f"/proc/{backend.main_pid}") else None
    memory_group, tasks_group = cgroups.of_backend(backend)
    memory = parse_meminfo(proc.slurp("/proc/meminfo") or "")
    memory["cgroup"] = (cgroups.memory(memory_group) if memory_group else None) or _configured(backend)
    disks, fault = _disks(backend, pid, min(DISK_SECONDS, ctx.remaining()))
    limits = parse_limits(proc.slurp(f"/proc/{pid}/limits") or "") if pid else _unit_limits(backend)
    load = (proc.slurp("/proc/loadavg") or "").split()[:3]
    section: Section = {
        "memory": memory,
        "disks": disks,
        "fds": _descriptors(backend, pid, limits),
        "limits": limits,
        "limits_from": "process" if pid else "unit",
        "load": [float(value) for value in load],
        "cpus": os.cpu_count(),
        "pids": cgroups.tasks(tasks_group) if tasks_group else {"current": None, "max": None},
    }
    if fault:
        section["_partial"] = fault
    return section


def parse_meminfo(text: str) -> dict[str, Any]:
    """Memory of the machine from /proc/meminfo, in bytes."""
    found = {match.group(1): int(match.group(2)) * 1024 for match in re.finditer(r"^(\w+):\s+(\d+) kB", text, re.M)}
    return {
        "total_bytes": found.get("MemTotal"),
        "available_bytes": found.get("MemAvailable", found.get("MemFree")),
        "swap_total_bytes": found.get("SwapTotal"),
        "swap_free_bytes": found.get("SwapFree"),
    }


def parse_limits(text: str) -> dict[str, dict[str, Optional[int]]]:
    """/proc/PID/limits; None stands for unlimited, a limit that is not known has no key."""
    found = {}
    for line in text.splitlines():
        for label, name in _LIMITS.items():
            if line.startswith(label + " "):
                words = line[len(label) :].split()
                if len(words) >= 2:
                    found[name] = {"soft": _limit(words[0]), "hard": _limit(words[1])}
    return found


def _limit(text: str) -> Optional[int]:
    return whole(text)


def _configured(backend: Backend) -> Optional[dict[str, Any]]:
    """The memory limit that the next start will get, for a backend that is down and has no group."""
    limit = (backend.unit.get("limits") or {}).get("memory_max")
    if not isinstance(limit, int):
        return None
    shape = dict.fromkeys(("version", "path", "current_bytes", "high_bytes", "peak_bytes", "oom_kills", "fail_count"))
    return {**shape, "max_bytes": limit, "slice_oom_kills": None}


def _unit_limits(backend: Backend) -> dict[str, dict[str, Optional[int]]]:
    limits = backend.unit.get("limits") or {}
    found: dict[str, dict[str, Optional[int]]] = {}
    for key, name in (("nofile", "NOFILE"), ("nproc", "NPROC")):
        value = limits.get(key)
        if isinstance(value, int):
            found[name] = {"soft": value, "hard": value}
        elif isinstance(value, dict):
            found[name] = {"soft": value.get("soft"), "hard": value.get("hard")}
    return found


def _descriptors(
    backend: Backend, pid: Optional[int], limits: dict[str, dict[str, Optional[int]]]
) -> dict[str, Optional[int]]:
    """Open descriptors: of the system, and of the backend's process that has the most."""
    system = (proc.slurp("/proc/sys/fs/file-nr") or "").split()
    most: tuple[int, Optional[int]] = (-1, None)
    for own in {pid, *backend.pids} - {None}:
        try:
            most = max(most, (len(os.listdir(f"/proc/{own}/fd")), own), key=lambda item: item[0])
        except OSError:
            continue
    return {
        "system_used": int(system[0]) if len(system) == 3 else None,
        "system_max": cgroups.number(system[2]) if len(system) == 3 else None,
        "open": most[0] if most[1] is not None else None,
        "pid": most[1],
        "soft_limit": limits.get("NOFILE", {}).get("soft"),
    }


def purposes(backend: Backend) -> dict[str, list[str]]:
    """The directories that matter to the backend, each with what it is for."""
    home = backend.environ.get("HOME")
    if not home and backend.uid is not None:
        try:
            home = pwd.getpwuid(backend.uid).pw_dir
        except KeyError:
            home = None
    named = [
        ("root", "/"),
        ("tmp", backend.environ.get("TMPDIR") or "/tmp"),
        ("working_directory", backend.cwd),
        ("code", backend.app.code_dir),
        ("home", home),
        *(("log", os.path.dirname(reference.path)) for reference in backend.log_files),
    ]
    found: dict[str, list[str]] = {}
    for purpose, path in named:
        if path and path.startswith("/"):
            uses = found.setdefault(os.path.normpath(path), [])
            if purpose not in uses:
                uses.append(purpose)
    return found


def _disks(backend: Backend, pid: Optional[int], seconds: float) -> tuple[list[dict[str, Any]], Optional[str]]:
    """The file systems of the backend's directories, and a sentence when some did not answer in time."""
    wanted = purposes(backend)
    # The process may have its own mounts (PrivateTmp=, ProtectSystem=): its view counts, where we may take it.
    view = f"/proc/{pid}/root" if pid and os.access(f"/proc/{pid}/root/", os.X_OK) else ""
    table = proc.slurp(f"/proc/{pid if view else 'self'}/mountinfo", 4 * MIB) or ""
    mounts = parse_mountinfo(table)
    found: dict[str, dict[str, Any]] = {}

    others: list[dict[str, Any]] = []

    def ask() -> None:
        for path in wanted:
            found[path] = disk(path, view, mounts, backend.uid)
        # Where else the backend writes isn't known, so whatever is full belongs to the facts.
        known = {entry["mount"] for entry in found.values()}
        points = {point for point, _device, fstype, _options in mounts if fstype in _LOCAL} - known
        for point in sorted(points)[:MAX_MOUNTS]:
            entry = disk(point, view, mounts, backend.uid)
            if entry["exists"] and is_full(entry):
                others.append({**entry, "purpose": ["other"]})

    worker = threading.Thread(target=ask, name="statvfs", daemon=True)
    worker.start()
    worker.join(seconds)
    answers = dict(found)
    disks = [{**answers[path], "purpose": uses} for path, uses in wanted.items() if path in answers]
    disks += list(others)
    missing = [path for path in wanted if path not in answers]
    if not missing:
        return disks, None
    return disks, f"the file system of {missing[0]} did not answer within {seconds:.1f} s; not asked: {missing}"


def disk(path: str, view: str, mounts: list[tuple[str, str, str, str]], uid: Optional[int]) -> dict[str, Any]:
    """One file system in the evidence's shape; for a path that does not exist, of its nearest existing parent."""
    existing = os.path.realpath(path)
    wanted = existing
    while existing != "/" and not os.path.isdir(view + existing):
        existing = os.path.dirname(existing)
    mount, device, fstype = mount_of(existing, mounts)
    entry: dict[str, Any] = {
        "path": path,
        "exists": existing == wanted,
        "mount": mount,
        "device": device,
        "fstype": fstype,
        "seen_from": "process" if view else "host",
    }
    try:
        status = os.statvfs(view + existing)
    except OSError as exc:
        names = "read_only size_bytes free_bytes free_for_user_bytes inodes_total inodes_free".split()
        return {**entry, **dict.fromkeys(names), "error": f"statvfs of {existing} failed: {exc.strerror}"}
    available = status.f_bfree if uid == 0 else status.f_bavail
    return {
        **entry,
        "read_only": bool(status.f_flag & _ST_RDONLY),
        "size_bytes": status.f_blocks * status.f_frsize,
        "free_bytes": status.f_bfree * status.f_frsize,
        "free_for_user_bytes": available * status.f_frsize,
        # Zero in total means that the file system does not count them (btrfs).
        "inodes_total": status.f_files or None,
        "inodes_free": status.f_ffree if status.f_files else None,
        "error": None,
    }


def is_full(entry: dict[str, Any]) -> bool:
    """Whether nothing more can be written to a file system: no byte for the user, or no inode."""
    if entry["error"] or entry["read_only"]:
        return False
    return entry["free_for_user_bytes"] == 0 or (entry["inodes_free"] == 0 and bool(entry["inodes_total"]))


def parse_mountinfo(text: str) -> list[tuple[str, str, str, str]]:
    """/proc/PID/mountinfo: (mount point, device, type, options), later mounts last."""
    found = []
    for line in text.splitlines():
        left, separator, right = line.partition(" - ")
        fields, types = left.split(" "), right.split(" ")
        if separator and len(fields) >= 6 and len(types) >= 2:
            found.append((_unescape(fields[4]), _unescape(types[1]), types[0], fields[5]))
    return found


def _unescape(text: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match.group(1), 8)), text)


def mount_of(path: str, mounts: list[tuple[str, str, str, str]]) -> tuple[Optional[str], Optional[str], Optional[str]]:
    """The mount that a path lies on: (mount point, device, type); of stacked ones the last counts."""
    best: tuple[int, Optional[str], Optional[str], Optional[str]] = (-1, None, None, None)
    for point, device, fstype, _options in mounts:
        inside = point == "/" or path == point or path.startswith(point + "/")
        if inside and len(point) >= best[0]:
            best = (len(point), point, device, fstype)
    return best[1], best[2], best[3]
