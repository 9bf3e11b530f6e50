# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts the backend afresh: leftovers, stale PID files and bytecode of this backend gone, large logs rotated, start limit cleared.

Nothing of anybody else is touched, enablement stays as it is, and a backend that is well goes on undisturbed.
"""

from __future__ import annotations

import os
from typing import Any, Optional

from ..._evidence import proc
from ..._evidence.import_test import code_dirs
from ..._evidence.processes import find_copies
from ..change_bytecode import walk
from ..ending import GRACE_S
from ..files import FileError
from ..model import Change, Host, Proposal, Refused
from . import clean_restart_logs, clean_restart_pids, leftovers
from .leftovers import FOREIGN, LEFTOVER, Judge

ROTATE_OVER_MB = 100.0
# A server that has not opened its port after this is taken for hung; before, for starting.
STARTING_S = 60.0
# A manual start sets the supervisor's count back, so a backend that this fix started is not taken for a looping one.
LOOPING = 2
NEEDED, ALWAYS = "needed", "always"
# What systemd does not end by itself when it stops a unit.
LEAVES_BEHIND = ("process", "none")
# Directories that hold much else than one backend's code.
SHARED = frozenset(
    "/ /bin /boot /dev /etc /home /lib /lib64 /media /mnt /opt /proc /root /run /sbin /srv /sys /tmp /usr /usr/bin /usr/lib "
    "/usr/local /usr/local/bin /usr/local/lib /usr/sbin /usr/share /var /var/lib /var/log /var/opt /var/tmp /var/www".split()
)


def propose(host: Host) -> Proposal:
    """What is in the way of a clean start, and whether there is a reason for one."""
    when = str(host.options.get("when") or NEEDED)
    if when not in (NEEDED, ALWAYS):
        raise Refused(f"clean_restart_when is {when!r}: it can be {NEEDED} or {ALWAYS}.")
    judge = Judge(host)
    notes: list[str] = []
    found = _leftovers(host, judge, notes)
    reason = "it was asked for" if when == ALWAYS else reason_to_restart(host, judge)
    if reason is not None:
        _must_import(host)
    grace = float(host.options.get("grace") or GRACE_S)
    changes: list[Change] = []
    if reason is not None and _leaves_behind(host, judge):
        why = f"KillMode={host.backend.unit.get('kill_mode')} leaves its processes behind when it is stopped"
        changes.append(Change("stop", host.backend.name, why, options={"grace_s": grace}))
    changes += [leftovers.change(judge, pid, why, grace) for pid, why in sorted(found.items())]
    ending = set(found)
    changes += clean_restart_pids.changes(host, judge, ending, notes)
    over = _number(host, "rotate_over_mb", ROTATE_OVER_MB)
    changes += clean_restart_logs.changes(host, judge, over, reason is not None, notes)
    if reason is not None:
        changes += _bytecode(host)
    if reason is None and not changes:
        return Proposal(_well(host, judge), restart=False, prove=False, notes=notes)
    return Proposal(
        _decision(host, judge, reason, changes),
        changes,
        restart=reason is not None,
        prove=reason is not None,
        start=when == ALWAYS,
        notes=notes,
    )


def reason_to_restart(host: Host, judge: Judge) -> Optional[str]:
    """Why the backend needs a start, as a clause; None when it is well, or stopped by somebody."""
    state = host.control.state()
    if state.state == "failed":
        return f"it has failed: {state.detail}" if state.detail else "it has failed"
    if (state.restarts or 0) >= LOOPING and (_is_young(judge) or state.state == "starting"):
        return f"it keeps restarting ({state.restarts} times since it was last started by somebody)"
    if state.state == "starting" and not judge.main_pid:
        return f"it doesn't get to run: {state.detail}" if state.detail else "it doesn't get to run"
    if state.state != "running" or _is_young(judge):
        return None
    health = host.evidence("health")
    timed_out = [entry for entry in health.get("tried") or [] if "timed out" in str(entry.get("error") or "")]
    if timed_out and health.get("status") is None:
        return "it listens and doesn't answer"
    ports = host.evidence("ports")
    wanted = ports.get("wanted") or []
    if (
        any(entry.get("port") for entry in wanted)
        and ports.get("listening_on_wanted") is False
        and ports.get("owner_visible")
    ):
        return "it runs and doesn't listen on its port"
    return None


def _is_young(judge: Judge) -> bool:
    """Whether the main process started a moment ago, so that it may still be on its way."""
    stat = judge.stats.get(judge.main_pid or 0)
    if stat is None:
        return False
    uptime = float((proc.slurp("/proc/uptime") or "0").split()[0])
    return uptime - stat.start_ticks / proc.clock_ticks() < STARTING_S


def _must_import(host: Host) -> None:
    """A restart can't help while the application can't be imported, and takes down what may still run."""
    test = host.evidence("import_test")
    outcome = str(test.get("outcome") or "")
    if test.get("ran") and outcome not in ("ok", "withheld"):
        said = str(test.get("statement") or outcome).rstrip(".")
        raise Refused(
            f"It isn't restarted: the import test fails ({leftovers.hidden(said, host)}). A restart can't help before that is repaired; "
            "diagnose it first.",
            [f"ansible-playbook playbooks/diagnose-backend-crash.yml -e backend_service={host.backend.name}"],
        )


def _leftovers(host: Host, judge: Judge, notes: list[str]) -> dict[int, str]:
    """Leftovers by PID, the topmost of each family; other copies of the code are named in the notes."""
    backend = host.backend
    own = proc.own_pids(backend, judge.stats)
    candidates = [process.pid for process in find_copies(backend, judge.stats, own)]
    candidates += [pid for pid in own | proc.cgroup_pids(backend, judge.stats) if judge.stats[pid].state != "Z"]
    found: dict[int, str] = {}
    for pid in candidates:
        verdict = judge.verdict(pid)
        if verdict.kind == LEFTOVER:
            found[judge.root(pid)] = verdict.why
        elif verdict.kind == FOREIGN:
            notes.append(f"Left alone: {judge.describe(pid)} runs the same code, but {verdict.why}.")
    return found


def _leaves_behind(host: Host, judge: Judge) -> bool:
    killed = str(host.backend.unit.get("kill_mode") or "")
    return host.backend.runtime == "systemd" and killed in LEAVES_BEHIND and judge.state in ("running", "starting")


def _bytecode(host: Host) -> list[Change]:
    """The backend's own code directories, by their real paths; those that are shared with others are left alone."""
    found: dict[str, None] = {}
    for path in [host.backend.app.code_dir, *code_dirs(host.backend)]:
        real = os.path.realpath(path) if path else "/"
        shared = real in SHARED or os.path.dirname(real) == "/home" or "-packages" in real or "/lib/python" in real
        if not shared and os.path.isdir(real):
            found.setdefault(real)
    roots = [path for path in found if not any(path.startswith(other + "/") for other in found)]
    return [
        Change("remove_bytecode", path, "Python makes it again from the source")
        for path in roots
        if _has_bytecode(path)
    ]


def _has_bytecode(path: str) -> bool:
    try:
        return bool(walk(path, remove=False).files)
    except (OSError, FileError):
        return False


def _decision(host: Host, judge: Judge, reason: Optional[str], changes: list[Change]) -> str:
    words = {
        "end_process": "leftover process{s} {paths} ended",
        "file": "stale PID file{s} {paths} removed",
        "rotate": "log{s} {paths} rotated",
        "remove_bytecode": "bytecode below {paths} removed",
    }
    done = []
    for kind, text in words.items():
        paths = [str(change.pid) if change.pid else change.path for change in changes if change.kind == kind]
        if paths:
            done.append(text.format(s="s" if len(paths) > 1 else "", paths=", ".join(paths)))
    told = f": {'; '.join(done)}" if done else ""
    if reason is None:
        return f"{host.backend.name} goes on as it is{told}."
    verb = "started" if judge.state in ("failed", "stopped") else "restarted"
    return f"{host.backend.name} is {verb} afresh, because {reason}{told}."


def _well(host: Host, judge: Judge) -> str:
    if judge.state == "stopped":
        return (
            f"{host.backend.name} was stopped by somebody and stays so; with clean_restart_when=always it is started."
        )
    if judge.state != "running":
        return f"{host.backend.name} is starting right now; nothing is to be done yet."
    return f"{host.backend.name} runs and nothing is in its way; nothing is to be done. With clean_restart_when=always it is restarted all the same."


def _number(host: Host, name: str, default: float) -> float:
    given: Any = host.options.get(name)
    try:
        return default if given in (None, "") else float(given)
    except (TypeError, ValueError):
        raise Refused(f"clean_restart_{name} is {given!r}, which is no number.") from None
