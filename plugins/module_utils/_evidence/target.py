# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``target`` section: which host this is, with which rights it was looked at, and what that costs."""

from __future__ import annotations

import grp
import os
import platform
import time
from typing import Optional

from .context import Context
from .model import Backend, Section
from .proc import clock_ticks, iso, read_stat, slurp, user_name

CAP_SYS_PTRACE = 19
_NO_ROOT = (
    "not root: environment, open files and sockets of other users' processes stay hidden, so the owner of a port may be "
    "unknown",
    "not root: the import test can't run as another user, and log files of other users may be unreadable",
)
_NO_JOURNAL = "not in the group systemd-journal or adm: the journal shows this user's own messages only"
_NO_PTRACE = (
    "root without CAP_SYS_PTRACE (a restricted container or service): executables, directories and sockets of other "
    "users' processes stay hidden, so the owner of a port may be unknown"
)


def section(backend: Backend, ctx: Context) -> Section:
    """Facts of the host. ``host`` is the controller's word for it and is filled in there."""
    system = os.uname()
    capabilities = effective_capabilities(slurp("/proc/self/status") or "")
    return {
        "host": None,
        "hostname": system.nodename,
        "os": os_release(slurp("/etc/os-release") or slurp("/usr/lib/os-release") or ""),
        "kernel": system.release,
        "arch": system.machine,
        "container": container(),
        "python": platform.python_version(),
        "user": user_name(ctx.euid),
        "euid": ctx.euid,
        "privileged": ctx.euid == 0,
        "runtime": backend.runtime,
        "service": backend.name,
        "selected_because": backend.selected_because,
        "collected_at": iso(time.time()),
        "boot_id": (slurp("/proc/sys/kernel/random/boot_id") or "").strip() or None,
        "uptime_s": _uptime(),
        "missing_privileges": missing_privileges(ctx.euid, capabilities, os.getgroups()),
        "self": _self_cost(),
    }


def _self_cost() -> Section:
    """What this process has cost the host so far, since its start and without its children."""
    stat = read_stat(os.getpid())
    # Not from the boot's wall clock time, which the kernel gives in whole seconds.
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - stat.start_ticks / clock_ticks() if stat else None
    peak = next(
        (line.split()[1] for line in (slurp("/proc/self/status") or "").splitlines() if line.startswith("VmHWM:")), None
    )
    return {
        "wall_ms": int(age * 1000) if age is not None else None,
        "cpu_ms": int(time.process_time() * 1000),
        "peak_rss_bytes": int(peak) * 1024 if peak else None,
    }


def os_release(text: str) -> dict[str, Optional[str]]:
    """``/etc/os-release`` in the three fields of the schema."""
    values = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals:
            values[name.strip()] = value.strip().strip("\"'")
    return {"id": values.get("ID"), "version": values.get("VERSION_ID"), "pretty": values.get("PRETTY_NAME")}


def effective_capabilities(status: str) -> Optional[int]:
    """The CapEff mask of ``/proc/PID/status``."""
    for line in status.splitlines():
        if line.startswith("CapEff:"):
            try:
                return int(line.split()[1], 16)
            except (IndexError, ValueError):
                return None
    return None


def missing_privileges(euid: int, capabilities: Optional[int], groups: list[int]) -> list[str]:
    """Sentences on what could not be seen for lack of rights."""
    if euid == 0:
        lacks = capabilities is not None and not capabilities >> CAP_SYS_PTRACE & 1
        return [_NO_PTRACE] if lacks else []
    readers = {_gid(name) for name in ("systemd-journal", "adm")}
    return [*_NO_ROOT, *([] if readers & set(groups) else [_NO_JOURNAL])]


def container() -> Optional[str]:
    """The kind of container we are in, None on a host."""
    known = (slurp("/run/systemd/container") or "").strip()
    if known:
        return known
    if os.path.exists("/.dockerenv"):
        return "docker"
    if os.path.exists("/run/.containerenv"):
        return "podman"
    return None


def _gid(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return -1


def _uptime() -> Optional[float]:
    words = (slurp("/proc/uptime") or "").split()
    return float(words[0]) if words else None
