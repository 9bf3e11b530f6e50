# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of a backend: a lease in ``lock.json``, so that it outlives the modules of a session and not a dead controller."""

from __future__ import annotations

import calendar
import os
import time
from collections.abc import Mapping
from typing import Any, Optional

from .._evidence.proc import read_stat
from .store import Folder, run_id, stamp

FILE = "lock.json"
LEASE_S = 1800.0
# A clock that was set back must not lock a backend for longer than a lease.
_LEAST, _MOST = 30.0, 86400.0
BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Locked(Exception):
    """Somebody else holds the lock. ``holder`` is what ``lock.json`` says; the message is one sentence for the reader."""

    def __init__(self, message: str, holder: dict[str, Any]) -> None:
        super().__init__(message)
        self.holder = holder


def boot_id(path: str = BOOT_ID) -> Optional[str]:
    """Changes at every boot; None where the kernel doesn't tell."""
    try:
        with open(path, encoding="ascii") as stream:
            return stream.read(100).strip() or None
    except OSError:
        return None


def identity(pid: int) -> dict[str, Any]:
    """A process of this host, so that it can be told from a later one of the same number."""
    stat = read_stat(pid)
    return {"pid": pid, "started": stat.start_ticks if stat else None}


def is_running(process: Mapping[str, Any]) -> bool:
    """Whether that process of this host still runs; when in doubt it does."""
    pid, started = process.get("pid"), process.get("started")
    if not isinstance(pid, int) or pid <= 0:
        return True
    stat = read_stat(pid)
    if stat is not None:
        return stat.state != "Z" and (started is None or stat.start_ticks == started)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def holder(folder: Folder) -> Optional[dict[str, Any]]:
    """Who holds the lock, as the file says; None when nobody does.

    :raises StateError: the file is damaged.
    """
    return folder.read_json(FILE)


def take(
    folder: Folder,
    controller: Optional[Mapping[str, Any]] = None,
    lease_s: float = LEASE_S,
    gone: Optional[str] = None,
    now: Optional[float] = None,
    boot: Optional[str] = None,
    own: bool = False,
) -> tuple[str, Optional[dict[str, Any]]]:
    """Take the lock; call it inside ``store.exclusive``. Returns the session, and the former holder when it was taken over.

    :param controller: host, pid and started of the process that asks, for whoever finds the lock later.
    :param own: for the time of this process only: once it is gone, the lock holds nobody back.
    :param gone: a session whose process the controller found to be gone, where both have the same host.
    :raises Locked: somebody holds it.
    :raises StateError: it can't be read or written.
    """
    now = time.time() if now is None else now
    boot = boot or boot_id()
    found = holder(folder)
    why = None if found is None else free_because(found, controller, gone, now, boot)
    if found is not None and why is None:
        raise Locked(told(found), found)
    session = run_id(now)
    _write(folder, session, controller, stamp(now), lease_s, now, boot, identity(os.getpid()) if own else None)
    return session, None if found is None else {**found, "taken_over_because": why}


def free_because(
    found: Mapping[str, Any],
    controller: Optional[Mapping[str, Any]],
    gone: Optional[str],
    now: float,
    boot: Optional[str],
) -> Optional[str]:
    """Why a lock that is there holds nobody back, as a clause; None when it does."""
    until, since = epoch(found.get("lease_until")), epoch(found.get("since"))
    if until is None or until <= now:
        return f"its lease ended at {found.get('lease_until')}"
    if until - now > _MOST or (since is not None and since - now > _MOST):
        return "its times lie in the future: the clock was set back"
    if boot and found.get("boot_id") and found["boot_id"] != boot:
        return "the host booted since"
    process = found.get("process")
    if isinstance(process, Mapping) and not is_running(process):
        return "the module that held it for itself is gone"
    theirs = found.get("controller")
    same = isinstance(theirs, Mapping) and controller is not None and theirs.get("host") == controller.get("host")
    if same and gone is not None and gone == found.get("session"):
        return "the process that held it is gone from its controller"
    return None


def renew(folder: Folder, session: str, lease_s: float = LEASE_S, now: Optional[float] = None) -> None:
    """Prolong the lease of a session that holds the lock.

    :raises Locked: it does not hold it any more: its lease ended and somebody else took over.
    """
    now = time.time() if now is None else now
    found = holder(folder)
    if found is None or found.get("session") != session:
        raise Locked(
            f"Session {session} does not hold the lock of this backend any more"
            + (f": {told(found)}" if found else ": it was released. Begin a new session."),
            found or {},
        )
    since, boot = str(found.get("since")), found.get("boot_id")
    _write(folder, session, found.get("controller"), since, lease_s, now, boot, found.get("process"))


def release(folder: Folder, session: str) -> bool:
    """Let go; False when this session did not hold it (any more), and then nothing is done."""
    found = holder(folder)
    if found is None or found.get("session") != session:
        return False
    folder.remove(FILE)
    return True


def told(found: Mapping[str, Any]) -> str:
    """Who holds it and what to do, as a sentence."""
    controller = found.get("controller")
    who = f" from {controller.get('host')} (process {controller.get('pid')})" if isinstance(controller, Mapping) else ""
    return (
        f"Session {found.get('session')}{who} works on this backend since {found.get('since')}: wait until it has ended, "
        f"or until its lease ends at {found.get('lease_until')}."
    )


def epoch(text: Any) -> Optional[float]:
    """Seconds since 1970 of a time that was written here; None when it is none."""
    try:
        return float(calendar.timegm(time.strptime(str(text), "%Y-%m-%dT%H:%M:%SZ")))
    except ValueError:
        return None


def _write(
    folder: Folder,
    session: str,
    controller: Optional[Mapping[str, Any]],
    since: str,
    lease_s: float,
    now: float,
    boot: Optional[str],
    process: Optional[Mapping[str, Any]],
) -> None:
    lease_s = min(max(lease_s, _LEAST), _MOST)
    folder.write_json(
        FILE,
        {
            "session": session,
            "since": since,
            "lease_until": stamp(now + lease_s),
            "boot_id": boot,
            "controller": dict(controller) if controller else None,
            "process": dict(process) if process else None,
        },
    )
