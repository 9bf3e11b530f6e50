# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals about memory, disks, descriptors, the kernel's verdicts and access to files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .observe import Observed
from .observed import Hit, cite_fact, resolve
from .signals import signal
from .state import determine, running

MIB = 1024 * 1024
# Below this a file system is full for a server that writes logs and temporary files.
FULL_BYTES = 4 * MIB
_DENIED_PATH = re.compile(r"\b(?:name|path)=\"([^\"]{1,1000})\"")
_ABSENT = ("missing", "dangling_link", "loop", "absent")
_CRASH_CODES = {132: "SIGILL", 134: "SIGABRT", 135: "SIGBUS", 136: "SIGFPE", 139: "SIGSEGV", 159: "SIGSYS"}
_CRASH_SIGNALS = {"SIGILL", "SIGABRT", "SIGBUS", "SIGFPE", "SIGSEGV", "SIGSYS", "SIGTRAP"}


def exit_signal(observed: Observed) -> tuple[str, str] | None:
    """(evidence path, signal name) of the last exit, by signal or by the code that shells and containers report."""
    if running(observed) and determine(observed).name != "crash_loop":
        return None  # that was an earlier run, which this one has survived
    name = observed.fact("service.exit.signal")
    numbers = {
        9: "SIGKILL",
        11: "SIGSEGV",
        6: "SIGABRT",
        4: "SIGILL",
        7: "SIGBUS",
        8: "SIGFPE",
        1: "SIGHUP",
        13: "SIGPIPE",
        15: "SIGTERM",
    }
    if isinstance(name, str) and name:
        return "service.exit.signal", name.upper() if name.upper().startswith("SIG") else f"SIG{name.upper()}"
    if isinstance(name, int) and not isinstance(name, bool) and name in numbers:
        return "service.exit.signal", numbers[name]
    code = observed.fact("service.exit.code")
    if code == 137:
        return "service.exit.code", "SIGKILL"
    if isinstance(code, int) and code in _CRASH_CODES:
        return "service.exit.code", _CRASH_CODES[code]
    if isinstance(code, int) and -64 < code < 0:
        return "service.exit.code", numbers.get(-code, f"signal {-code}")
    return None


@signal("oom_kill")
def oom_kill(observed: Observed) -> list[Hit]:
    """The kernel or the supervisor says that memory ran out for this backend."""
    hits = []
    for path, kill in resolve(observed.evidence, "kernel.oom_kills[*]"):
        # A kill that may be the backend's counts where the backend was ended that way: kernels are shared by many.
        if isinstance(kill, Mapping) and (kill.get("own") is True or (kill.get("own") is None and sigkill(observed))):
            hits.append(
                Hit((cite_fact(path, kill.get("text") or kill),), captures={"process": str(kill.get("process") or "")})
            )
    if observed.fact("service.result") == "oom-kill":
        hits.append(Hit((cite_fact("service.result", "oom-kill"),)))
    kills = observed.fact("resources.memory.cgroup.oom_kills")
    if isinstance(kills, int) and kills > 0:
        hits.append(Hit((cite_fact("resources.memory.cgroup.oom_kills", kills),)))
    if observed.fact("service.exit.oom_killed") is True:
        hits.append(Hit((cite_fact("service.exit.oom_killed", True),)))
    return hits


@signal("oom_denied")
def oom_denied(observed: Observed) -> list[Hit]:
    """The kernel log or the container engine was asked and knows of no kill for lack of memory."""
    if oom_kill(observed):
        return []
    source = observed.fact("kernel.source")
    if source in ("journal", "kmsg") and observed.fact("kernel.oom_kills") == []:
        return [Hit((cite_fact("kernel.oom_kills", "none"),))]
    if observed.fact("service.exit.oom_killed") is False:
        return [Hit((cite_fact("service.exit.oom_killed", False),))]
    if observed.fact("resources.memory.cgroup.oom_kills") == 0:
        return [Hit((cite_fact("resources.memory.cgroup.oom_kills", 0),))]
    return []


@signal("memory_at_limit")
def memory_at_limit(observed: Observed) -> list[Hit]:
    """The control group's peak reached its limit, or the limit was hit and refused (cgroup v1)."""
    group = observed.fact("resources.memory.cgroup")
    if not isinstance(group, Mapping):
        return []
    limit, peak = group.get("max_bytes"), group.get("peak_bytes") or group.get("current_bytes")
    full = isinstance(limit, int) and isinstance(peak, int) and 0 < limit < 1 << 60 and peak >= 0.97 * limit
    failed = (
        isinstance(group.get("fail_count"), int)
        and group["fail_count"] > 0
        and isinstance(limit, int)
        and limit < 1 << 60
    )
    return (
        [Hit((cite_fact("resources.memory.cgroup", group),), captures={"limit": str(limit)})] if full or failed else []
    )


@signal("memory_limited")
def memory_limited(observed: Observed) -> list[Hit]:
    """A memory limit is set for this backend, so that SIGKILL may come from it (cgroup v1 tells no more)."""
    for path in ("unit.limits.memory_max", "resources.memory.cgroup.max_bytes"):
        limit = observed.fact(path)
        if isinstance(limit, int) and 0 < limit < 1 << 60:
            return [Hit((cite_fact(path, limit),), captures={"limit": str(limit)})]
    return []


@signal("memory_plentiful")
def memory_plentiful(observed: Observed) -> list[Hit]:
    """No limit is set for this backend, the host has memory to spare, and no counter tells of a kill."""
    if oom_kill(observed) or memory_limited(observed):
        return []
    total, free = observed.fact("resources.memory.total_bytes"), observed.fact("resources.memory.available_bytes")
    if isinstance(total, int) and isinstance(free, int) and free > 0.25 * total and free > 1 << 30:
        quote = f"{free >> 20} MiB of {total >> 20} MiB available, no limit set"
        return [Hit((cite_fact("resources.memory", quote),))]
    return []


@signal("sigkill")
def sigkill(observed: Observed) -> list[Hit]:
    """It was ended by SIGKILL (137 in containers), which doesn't say by whom."""
    found = exit_signal(observed)
    if found and found[1] == "SIGKILL":
        return [Hit((cite_fact(found[0], observed.fact(found[0])),), captures={"signal": "SIGKILL"})]
    return []


@signal("native_crash")
def native_crash(observed: Observed) -> list[Hit]:
    """It was ended by a signal that native code causes: SIGSEGV, SIGABRT, SIGILL, SIGBUS, SIGFPE, SIGSYS."""
    hits = []
    found = exit_signal(observed)
    if found and found[1] in _CRASH_SIGNALS:
        hits.append(Hit((cite_fact(found[0], observed.fact(found[0])),), captures={"signal": found[1]}))
    for path, crash in resolve(observed.evidence, "kernel.crashes[*]"):
        if isinstance(crash, Mapping) and crash.get("own"):
            captures = {"signal": str(crash.get("signal") or "SIGSEGV")}
            hits.append(Hit((cite_fact(path, crash.get("text") or crash),), captures=captures))
    if observed.fact("service.exit.core_dumped") is True and not hits:
        hits.append(Hit((cite_fact("service.exit.core_dumped", True),)))
    return hits


@signal("hangup")
def hangup(observed: Observed) -> list[Hit]:
    """It was ended by SIGHUP or SIGPIPE: its terminal, session or reader went away."""
    found = exit_signal(observed)
    if found and found[1] in ("SIGHUP", "SIGPIPE"):
        return [Hit((cite_fact(found[0], observed.fact(found[0])),), captures={"signal": found[1]})]
    if observed.fact("service.exit.code") in (129, 141):
        return [
            Hit((cite_fact("service.exit.code", observed.fact("service.exit.code")),), captures={"signal": "SIGHUP"})
        ]
    return []


OTHER = ["other"]


def _disks(observed: Observed) -> list[tuple[str, Mapping[str, Any]]]:
    return [
        (path, disk) for path, disk in resolve(observed.evidence, "resources.disks[*]") if isinstance(disk, Mapping)
    ]


@signal("disk_is_full")
def disk_is_full(observed: Observed) -> list[Hit]:
    """A file system that the backend uses has no bytes or no inodes left."""
    hits = []
    for path, disk in _disks(observed):
        if disk.get("read_only") or disk.get("purpose") == OTHER:
            continue
        free = disk.get("free_for_user_bytes", disk.get("free_bytes"))
        size, inodes, total = disk.get("size_bytes"), disk.get("inodes_free"), disk.get("inodes_total")
        full = (
            isinstance(free, (int, float))
            and free < FULL_BYTES
            and not (isinstance(size, (int, float)) and 0 < size < FULL_BYTES)
        )
        out = inodes == 0 and bool(total)
        if full or out:
            place = str(disk.get("mount") or disk.get("path") or "")
            captures = {"path": place, "what": "inodes" if out and not full else "space"}
            hits.append(Hit((cite_fact(path, disk),), captures=captures))
    return hits


@signal("other_disk_is_full")
def other_disk_is_full(observed: Observed) -> list[Hit]:
    """A file system of the host is full that isn't known to be the backend's; it means something beside an error alone."""
    return [
        Hit((cite_fact(path, disk),), captures={"path": str(disk.get("mount") or ""), "what": "space"})
        for path, disk in _disks(observed)
        if disk.get("purpose") == OTHER
    ]


@signal("disk_is_read_only")
def disk_is_read_only(observed: Observed) -> list[Hit]:
    """A file system that the backend writes to is mounted read-only."""
    hits = []
    for path, disk in _disks(observed):
        if disk.get("read_only") is True:
            hits.append(
                Hit((cite_fact(path, disk),), captures={"path": str(disk.get("mount") or disk.get("path") or "")})
            )
    for path, other in resolve(observed.evidence, "kernel.other[*]"):
        if isinstance(other, Mapping) and other.get("kind") == "read_only_remount":
            hits.append(Hit((cite_fact(path, other.get("text") or other),)))
    return hits


@signal("descriptors_used_up")
def descriptors_used_up(observed: Observed) -> list[Hit]:
    """The process has as many descriptors open as its limit allows."""
    used, limit = observed.fact("resources.fds.open"), observed.fact("resources.fds.soft_limit")
    if isinstance(used, int) and isinstance(limit, int) and limit > 0 and used >= 0.97 * limit:
        return [Hit((cite_fact("resources.fds", observed.fact("resources.fds")),), captures={"limit": str(limit)})]
    return []


@signal("path_not_accessible")
def path_not_accessible(observed: Observed) -> list[Hit]:
    """A path that the backend needs can't be read, entered or executed by its user."""
    hits = []
    for path, item in resolve(observed.evidence, "access.paths[*]"):
        if not isinstance(item, Mapping) or item.get("type") in _ABSENT:
            continue  # what isn't there is no matter of permissions
        purpose = str(item.get("purpose") or "")
        needs = "executable" if purpose in ("interpreter", "command", "working_directory") else "readable"
        refused = item["ok"] is False if isinstance(item.get("ok"), bool) else item.get(needs) is False
        if refused or (item.get("blocked_at") and item.get("ok") is not True):
            captures = {"path": str(item.get("blocked_at") or item.get("path") or ""), "purpose": purpose}
            hits.append(Hit((cite_fact(path, item),), captures=captures))
    return hits


@signal("access_denial")
def access_denial(observed: Observed) -> list[Hit]:
    """SELinux or AppArmor denied something to this backend: to one of its processes, or by the name of a path that it needs.

    Processes of a crash loop are gone by now, so their numbers rarely tell.
    """
    hits = []
    needed = [
        str(item.get("path"))
        for _path, item in resolve(observed.evidence, "access.paths[*]")
        if isinstance(item, Mapping)
    ]
    for path, item in resolve(observed.evidence, "kernel.other[*]"):
        if not isinstance(item, Mapping) or item.get("kind") != "audit" or item.get("own") is False:
            continue
        text = str(item.get("text"))
        # In permissive mode it is only noted.
        if "permissive=1" in text:
            continue
        denied = _DENIED_PATH.findall(text)
        meant = next((one for one in needed for name in denied if one == name or one.endswith(f"/{name}")), None)
        if item.get("own") is True or meant:
            hits.append(Hit((cite_fact(path, text),), captures={"path": meant or (denied or [""])[-1]}))
    return hits
