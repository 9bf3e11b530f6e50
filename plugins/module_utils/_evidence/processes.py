# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``processes`` section: the backend's processes, what it left behind, and what they are doing right now."""

from __future__ import annotations

import os
import re
import time
from typing import Any, Optional

from . import proc
from .context import Context
from .model import Backend, Section
from .proc import Process, Stat
from .sockets import parse_tcp

MAX_PROCESSES = 100
MAX_BLOCKED = 12
SAMPLE_S = 0.1
# Servers whose main process always watches workers, and those where it does from two workers on. uwsgi and celery also
# serve in the main process, depending on master and pool, so that no child is no sign of trouble there.
_ALWAYS_WORKERS = {"gunicorn"}
_FROM_TWO = {"uvicorn", "hypercorn"}
_MAYBE_WORKERS = {"uwsgi", "celery"}
# Numbers from the kernel's asm/unistd.h; the first argument of each is the descriptor, where it says so.
_SYSCALLS = {
    "x86_64": {
        0: ("read", True),
        1: ("write", True),
        7: ("poll", False),
        23: ("select", False),
        35: ("nanosleep", False),
        42: ("connect", True),
        43: ("accept", True),
        44: ("sendto", True),
        45: ("recvfrom", True),
        46: ("sendmsg", True),
        47: ("recvmsg", True),
        61: ("wait4", False),
        72: ("fcntl", True),
        73: ("flock", True),
        202: ("futex", False),
        230: ("clock_nanosleep", False),
        232: ("epoll_wait", True),
        247: ("waitid", False),
        257: ("openat", False),
        270: ("pselect6", False),
        271: ("ppoll", False),
        281: ("epoll_pwait", True),
        288: ("accept4", True),
    },
    "aarch64": {
        22: ("epoll_pwait", True),
        25: ("fcntl", True),
        32: ("flock", True),
        56: ("openat", False),
        63: ("read", True),
        64: ("write", True),
        72: ("pselect6", False),
        73: ("ppoll", False),
        95: ("waitid", False),
        98: ("futex", False),
        101: ("nanosleep", False),
        115: ("clock_nanosleep", False),
        202: ("accept", True),
        203: ("connect", True),
        206: ("sendto", True),
        207: ("recvfrom", True),
        211: ("sendmsg", True),
        212: ("recvmsg", True),
        242: ("accept4", True),
        260: ("wait4", False),
    },
}


_RECYCLING = (
    "--max-requests",
    "--limit-max-requests",
    "--max-tasks-per-child",
    "--max-memory-per-child",
    "--maxtasksperchild",
)


def collect(backend: Backend, ctx: Context) -> Section:
    """Describe the backend's processes; their CPU time is sampled over a tenth of a second."""
    stats = proc.scan()
    if not stats:
        return {"unavailable": "/proc shows no processes: it is not mounted or hides them (hidepid)"}
    own_pids = proc.own_pids(backend, stats)
    before = {pid: stats[pid].cpu_ticks for pid in own_pids}
    begun = time.monotonic()
    own = [proc.inspect(stats[pid], count_fds=True) for pid in sorted(own_pids)[:MAX_PROCESSES]]
    copies = find_copies(backend, stats, own_pids)
    leftovers = [item for item in copies if item.unit == backend.name or not (item.unit or "").endswith(".service")]
    living = [process for process in own if process.stat.state != "Z"]
    blocked = _blocked(living[:MAX_BLOCKED])
    section: Section = {
        "own": [process.as_dict() for process in living],
        "young_workers": young_workers(backend, living),
        "leftovers": [process.as_dict() for process in leftovers],
        "other_copies": [process.as_dict() for process in copies if process not in leftovers],
        "zombies": [process.as_dict() for process in own if process.stat.state == "Z"],
        "cpu_ms_sampled": None,
        "sample_ms": None,
        "blocked_in": blocked,
    }
    if before:
        time.sleep(max(0.0, min(SAMPLE_S, ctx.remaining()) - (time.monotonic() - begun)))
        after = {pid: stat.cpu_ticks for pid in before for stat in [proc.read_stat(pid)] if stat}
        ticks = sum(max(0, after[pid] - before[pid]) for pid in after)
        section["cpu_ms_sampled"] = round(ticks * 1000 / proc.clock_ticks())
        section["sample_ms"] = round((time.monotonic() - begun) * 1000)
    if len(own_pids) > MAX_PROCESSES:
        section["_truncated"] = True
    return section


def find_copies(backend: Backend, stats: dict[int, Stat], own_pids: set[int]) -> list[Process]:
    """Processes outside the backend that run its code: leftovers, another service's, somebody's test in a terminal."""
    ours = proc.ancestors(os.getpid(), stats)
    found = []
    for pid, stat in stats.items():
        # Kernel threads are children of 2.
        if pid in own_pids or pid in ours or pid <= 2 or stat.ppid == 2 or stat.state == "Z":
            continue
        process = proc.inspect(stat)
        if proc.runs_same_code(process, backend) and proc.same_root(pid):
            found.append(process)
    return found


def young_workers(backend: Backend, own: list[Process]) -> Optional[dict[str, Any]]:
    """The ages of a main process and its workers; None for a server without workers or one that is down.

    Workers that die behind a living parent show as an old parent whose oldest worker is young, or as none at all.
    The children of any other program come and go as it likes, and mean nothing.
    """
    parent = next((process for process in own if process.pid == backend.main_pid), None)
    if parent is None or not has_workers(backend):
        return None
    expected = expected_workers(backend)
    workers = workers_of(parent, own)
    if not workers and not expected:
        return None
    ages = [_age(process) for process in workers]
    known = [age for age in ages if age is not None]
    return {
        "parent_pid": parent.pid,
        "parent_age_s": _age(parent),
        "oldest_worker_age_s": max(known) if known else None,
        "count": len(workers),
        "expected": expected,
        "replaced": parent.stat.ended_faults > 0,
        "recycled": recycles_workers(backend),
    }


def has_workers(backend: Backend) -> bool:
    """Whether the main process of this server watches workers, as far as the command line tells."""
    server = backend.app.server
    return server in _ALWAYS_WORKERS | _MAYBE_WORKERS or (server in _FROM_TWO and (backend.app.workers or 1) >= 2)


def expected_workers(backend: Backend) -> Optional[int]:
    """How many workers the server keeps; None where it may have none."""
    if backend.app.server in _MAYBE_WORKERS:
        return None
    return backend.app.workers or 1


def workers_of(parent: Process, own: list[Process]) -> list[Process]:
    """The workers among a main process's children: without multiprocessing's helpers and other programs."""
    return [
        process
        for process in own
        if process.stat.ppid == parent.pid
        and not proc.is_helper(process.argv)
        and (process.exe == parent.exe or proc.is_python_like(process))
    ]


def recycles_workers(backend: Backend) -> bool:
    """Whether the server was told to replace its workers now and then, so that young ones mean nothing."""
    words = [*backend.argv, *backend.environ.get("GUNICORN_CMD_ARGS", "").split()]
    return any(word.startswith(_RECYCLING) for word in words)


def _age(process: Process) -> Optional[float]:
    start = proc.start_epoch(process.stat.start_ticks)
    return None if start is None else round(max(0.0, time.time() - start), 1)


def _blocked(processes: list[Process]) -> list[str]:
    """What the main thread of each process waits for, one sentence each."""
    said = []
    tables: dict[str, dict[int, str]] = {}
    for process in processes:
        base = f"/proc/{process.pid}"
        call = parse_syscall(proc.slurp(f"{base}/syscall", 512) or "", os.uname().machine)
        where = (proc.slurp(f"{base}/wchan", 256) or "").strip()
        words = [f"pid {process.pid} ({process.stat.comm}), state {process.stat.state}:"]
        if call is not None:
            name, descriptor = call
            words.append(f"in {name}")
            if descriptor is not None:
                words.append(f"on {_describe_descriptor(process.pid, descriptor, tables)}")
        elif where and where != "0":
            words.append(f"in the kernel's {where}")
        else:
            words.append("running" if process.stat.state == "R" else "waiting, for what is not readable")
        said.append(" ".join(words))
    return said


def parse_syscall(text: str, machine: str) -> Optional[tuple[str, Optional[int]]]:
    """Parse /proc/PID/syscall: (name, descriptor it works on). None while running or without permission."""
    words = text.split()
    if len(words) < 2 or not re.match(r"^\d+$", words[0]):
        return None
    number = int(words[0])
    name, takes_descriptor = _SYSCALLS.get(machine, {}).get(number, (f"system call {number}", False))
    try:
        descriptor = int(words[1], 16) if takes_descriptor else None
    except ValueError:
        descriptor = None
    return name, descriptor


def _describe_descriptor(pid: int, descriptor: int, tables: dict[str, dict[int, str]]) -> str:
    """A descriptor's file, or the peer of its socket."""
    target = proc.readlink(f"/proc/{pid}/fd/{descriptor}")
    if target is None:
        return f"descriptor {descriptor}"
    match = re.match(r"^socket:\[(\d+)\]$", target)
    if not match:
        return target
    space = proc.readlink(f"/proc/{pid}/ns/net") or ""
    if space not in tables:
        tables[space] = {}
        for proto in ("tcp", "tcp6"):
            for item in parse_tcp(proc.slurp(f"/proc/{pid}/net/{proto}", 4 * 1024 * 1024) or "", proto):
                if item.remote and item.remote[1]:
                    tables[space][item.inode] = f"the {item.state} connection to {item.remote[0]} port {item.remote[1]}"
                else:
                    tables[space][item.inode] = f"its {item.state} socket {item.address} port {item.port}"
    return tables[space].get(int(match.group(1)), target)
