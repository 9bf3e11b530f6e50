# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends processes: gracefully first, then firmly, each known by its PID and start time, so that no other can be hit."""

from __future__ import annotations

import errno
import os
import signal
import time
from dataclasses import dataclass
from typing import Optional

from .._evidence import proc

GRACE_S = 10.0
KILL_S = 5.0
POLL_S = 0.05


@dataclass(frozen=True)
class Who:
    """One process: ``start`` is field 22 of ``/proc/<pid>/stat``, in clock ticks since boot."""

    pid: int
    start: int


class StillThere(Exception):
    """Processes did not end, or may not be ended; the message is one sentence for the reader."""


def alive(who: Who) -> bool:
    """Whether this very process still runs. One that ended and waits for its parent (a zombie) runs no more."""
    stat = proc.read_stat(who.pid)
    return stat is not None and stat.start_ticks == who.start and stat.state not in "ZX"


def family(root: Who) -> list[Who]:
    """The process and its descendants of the same control group, parents first.

    A descendant in another group was handed over to another service, and is that one's.
    """
    stats = proc.scan()
    if root.pid not in stats or stats[root.pid].start_ticks != root.start:
        return []
    group = _group(root.pid)
    spared = proc.ancestors(os.getpid(), stats) | {1, os.getpid()}
    found, queue = [root], [root.pid]
    while queue:
        parent = queue.pop(0)
        for pid, stat in sorted(stats.items()):
            if stat.ppid == parent and pid not in spared and _group(pid) == group:
                found.append(Who(pid, stat.start_ticks))
                queue.append(pid)
    return found


def send(who: Who, number: signal.Signals) -> bool:
    """Signal this very process; False when it is gone.

    The descriptor of the process is opened before its start time is read, so that a PID that is given to somebody else in between
    gets no signal. Kernels without such descriptors leave the time between two system calls.

    :raises StillThere: these rights don't reach the process.
    """
    if who.pid <= 1 or who.pid == os.getpid():
        raise StillThere(f"process {who.pid} is not one that may be ended")
    handle: Optional[int] = None
    try:
        handle = os.pidfd_open(who.pid) if hasattr(os, "pidfd_open") else None
    except ProcessLookupError:
        return False
    except OSError as exc:
        if exc.errno not in (errno.ENOSYS, errno.EPERM, errno.EINVAL, errno.EMFILE):
            raise StillThere(f"process {who.pid} can't be reached: {exc.strerror}") from exc
    try:
        if not alive(who):
            return False
        if handle is not None and hasattr(signal, "pidfd_send_signal"):
            signal.pidfd_send_signal(handle, number)
        else:
            os.kill(who.pid, number)
    except ProcessLookupError:
        return False
    except PermissionError as exc:
        raise StillThere(f"process {who.pid} belongs to another user: run it with become") from exc
    finally:
        if handle is not None:
            os.close(handle)
    return True


def end(roots: list[Who], grace: float = GRACE_S, kill: float = KILL_S) -> list[Who]:
    """End processes with their descendants; returns those that were there.

    The first of each family is asked alone: a server ends its own workers best. Who outlives it is asked too, and at the end of
    ``grace`` seconds all that are left are killed.

    :raises StillThere: something is left ``kill`` seconds after that, or may not be signalled.
    """
    members = list(dict.fromkeys(who for root in roots for who in family(root)))
    if not members:
        return []
    asked = {root for root in roots if send(root, signal.SIGTERM)}
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline:
        left = [who for who in members if alive(who)]
        if not left:
            return members
        if not any(alive(root) for root in roots):
            asked |= {who for who in left if who not in asked and send(who, signal.SIGTERM)}
        time.sleep(POLL_S)
    deadline = time.monotonic() + kill
    while True:
        # A parent may have started new ones meanwhile; it is killed first, so that it starts no more.
        members += [who for root in list(members) if alive(root) for who in family(root) if who not in members]
        left = [who for who in members if alive(who)]
        if not left:
            return members
        if time.monotonic() > deadline:
            names = ", ".join(str(who.pid) for who in left)
            raise StillThere(f"process {names} did not end, not even by SIGKILL: it waits in the kernel (state D)")
        for who in left:
            send(who, signal.SIGKILL)
        time.sleep(POLL_S)


def _group(pid: int) -> Optional[str]:
    return proc.parse_cgroup(proc.slurp(f"/proc/{pid}/cgroup") or "")
