# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at a backend: what its supervisor says, and which of its processes live. Reads only."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from .._evidence import proc, processes, supervisor, supervisor_instances, supervisor_rpc, systemd_journal
from .._evidence.context import Context
from .._evidence.model import Backend, Unavailable
from .._evidence.proc import Process, Stat
from .._evidence.supervisor_config import Program
from .._evidence.supervisor_instances import Instance
from .._evidence.supervisor_log import History
from .._evidence.systemd import cgroup_pids
from .._evidence.systemd_show import Properties, show
from .._evidence.systemd_words import parse_count

UP = ("running", "finished")
ASK_SECONDS = 5.0
_PROPERTIES = (
    "Id", "LoadState", "ActiveState", "SubState", "Result", "Type", "MainPID", "NRestarts", "InvocationID", "ControlGroup",
    "Job", "ExecMainStartTimestamp", "ExecMainCode", "ExecMainStatus", "RemainAfterExit",
)  # fmt: skip
# Between two starts that systemd makes by itself; the second pair passes in no time, and looks like the end.
_BETWEEN = {"auto-restart", "auto-restart-queued", "failed-before-auto-restart", "dead-before-auto-restart"}
# "Succeeded." is what systemd before 248 says.
_FINISHED = re.compile(r"^Finished |: Deactivated successfully|: Succeeded\.")
# supervisord's states to ours; EXITED depends on the program's options.
_SUPERVISOR_STATES = {
    "RUNNING": "running",
    "STARTING": "starting",
    "BACKOFF": "restarting",
    "STOPPING": "stopping",
    "STOPPED": "stopped",
    "FATAL": "failed",
}
# Servers whose number of workers follows the load, so that one that goes away means nothing.
_SCALING = ("--autoscale", "--cheaper")

Worker = tuple[int, int]


@dataclass(frozen=True)
class Word:
    """The supervisor's word. ``state`` is ``running``, ``finished`` (a job that ended well), ``starting``, ``restarting`` (waits
    for its next automatic start), ``stopping``, ``stopped``, ``failed`` (for good) or ``unknown``; ``detail`` its own words."""

    state: str
    detail: str = ""
    main_pid: Optional[int] = None
    restarts: Optional[int] = None
    invocation: Optional[str] = None
    cgroup: Optional[str] = None
    gave_up: bool = False


@dataclass
class Seen:
    """The backend at one moment.

    ``identity`` changes with every start. ``workers`` are (pid, start in clock ticks), None for a server without any; ``own`` are
    all of its living processes, and ``stats`` all of this host's.
    """

    word: Word
    backend: Backend
    identity: Optional[tuple[Any, ...]] = None
    workers: Optional[frozenset[Worker]] = None
    own: set[int] = field(default_factory=set)
    stats: dict[int, Stat] = field(default_factory=dict)


def asker(backend: Backend, ctx: Context) -> Callable[[], Word]:
    """The function that asks this backend's supervisor how it is now; it never raises."""
    if backend.runtime == "supervisor":
        return _ask_supervisor(backend, ctx)
    return lambda: ask_systemd(backend.name, ctx)


def ask_systemd(name: str, ctx: Context) -> Word:
    """What systemd says of a unit."""
    try:
        found = show(ctx, [name], _PROPERTIES, ASK_SECONDS)
    except Unavailable as exc:
        return Word("unknown", str(exc))
    if not found:
        return Word("unknown", f"systemd knows nothing of {name}")
    word = read_unit(found[0])
    if word.state == "stopped" and found[0].get("Type") == "oneshot" and _finished_by_journal(name, ctx):
        return replace(word, state="finished")
    return word


def _finished_by_journal(name: str, ctx: Context) -> bool:
    """Whether systemd's last word on a job was that it succeeded: it forgets an inactive unit, and how that ended, at once."""
    messages = systemd_journal.read(name, ctx).messages
    return bool(messages) and bool(_FINISHED.search(messages[-1]))


def read_unit(unit: Properties) -> Word:
    """A unit's properties as a word."""
    active, sub, result = unit.get("ActiveState"), unit.get("SubState"), unit.get("Result")
    detail = f"{active} ({sub})" + ("" if result in ("", "success") else f", {result}")
    if active in ("failed", "inactive") and unit.number("ExecMainCode") == 1:
        detail += f", status {unit.number('ExecMainStatus')}"
    state = "unknown"
    if sub in _BETWEEN:
        state = "restarting"
    elif active in ("active", "reloading"):
        # A job that stays active after its end; any other service without a process has lost it.
        state = "finished" if sub == "exited" else "running"
    elif active == "activating":
        state = "starting"
    elif active == "deactivating":
        state = "stopping"
    elif unit.number("Job"):
        state = "starting"
        detail += ", a job is queued"
    elif active == "failed":
        state = "failed"
    elif active == "inactive":
        state = "finished" if _ended_well(unit) else "stopped"
    return Word(
        state,
        detail,
        unit.number("MainPID") or None,
        parse_count(unit.get("NRestarts")),
        unit.get("InvocationID") or None,
        unit.get("ControlGroup") or None,
        active == "failed" and result == "start-limit-hit",
    )


def _ended_well(unit: Properties) -> bool:
    """Whether this is a job (``Type=oneshot``) that ran and succeeded. Any other service is meant to go on running."""
    return (
        unit.get("Type") == "oneshot"
        and unit.get("Result") == "success"
        and unit.number("ExecMainCode") == 1
        and unit.get("ExecMainStartTimestamp") not in ("", "n/a")
    )


def _ask_supervisor(backend: Backend, ctx: Context) -> Callable[[], Word]:
    """The instance and its configuration are found once; each further question is one call to supervisord."""
    try:
        pairs = [(item, supervisor.pick(backend.name, item)) for item in supervisor_instances.find(ctx)]
    except Unavailable as exc:
        reason = str(exc)
        return lambda: Word("unknown", reason)
    known = [(item, program) for item, program in pairs if program is not None]
    if not known:
        return lambda: Word("unknown", f"no supervisord has a program {backend.name}")
    instance, program = known[0]
    where = supervisor_rpc.address(instance.config)
    if where is None:
        return lambda: Word("unknown", instance.error or "supervisord can't be asked")

    def ask() -> Word:
        try:
            instance.status = supervisor_rpc.ask(where, ASK_SECONDS)
        except Unavailable as exc:
            return Word("unknown", str(exc))
        return read_program(instance, program)

    return ask


def read_program(instance: Instance, program: Program) -> Word:
    """supervisord's answer on one process as a word. It counts no restarts; the identity of the process tells them."""
    info = supervisor.info_of(instance, program)
    name = str(info.get("statename") or "")
    detail = name or "supervisord does not know it"
    if info.get("spawnerr"):
        detail += f", {info['spawnerr']}"
    state = _SUPERVISOR_STATES.get(name, "unknown")
    if name == "EXITED":
        state = _after_exit(program, info)
    return Word(state, detail, info.get("pid") or None, gave_up=name == "FATAL")


def _after_exit(program: Program, info: dict[str, Any]) -> str:
    policy = program.options.get("autorestart", "unexpected").lower()
    unexpected = supervisor.unexpected_exit(program, info, History())
    if policy in ("true", "1", "yes", "on") or (policy == "unexpected" and unexpected):
        return "restarting"
    if unexpected:
        return "failed"
    # Whoever sets startsecs=0 says that the program may end at once: a job.
    return "finished" if program.number("startsecs", 1) == 0 else "stopped"


def look(backend: Backend, word: Word) -> Seen:
    """The processes behind the supervisor's word."""
    stats = proc.scan()
    pids = cgroup_pids(word.cgroup) if word.cgroup else [word.main_pid] if word.main_pid else []
    now = replace(
        backend,
        main_pid=word.main_pid,
        pids=pids,
        cgroup=word.cgroup if backend.runtime == "systemd" else backend.cgroup,
        running=bool(pids),
    )
    own = {pid for pid in proc.own_pids(now, stats) if stats[pid].state not in "ZX"}
    main = word.main_pid if word.main_pid in stats else min(own, key=lambda pid: stats[pid].start_ticks, default=None)
    identity: Optional[tuple[Any, ...]] = None
    # While it starts, systemd's main process may still change (forking, several commands); it counts restarts itself.
    if word.state == "running" or (backend.runtime == "supervisor" and main is not None):
        identity = (word.invocation, main, stats[main].start_ticks if main is not None else None)
    seen = Seen(word, now, identity, None, own, stats)
    if main is not None and has_workers(backend):
        seen.workers = find_workers(main, own, stats)
    return seen


def has_workers(backend: Backend) -> bool:
    """Whether the death of a child behind the living parent is a fault of this server."""
    words = [*backend.argv, *backend.app.argv]
    return processes.has_workers(backend) and not any(word.startswith(_SCALING) for word in words)


def find_workers(main: int, own: set[int], stats: dict[int, Stat]) -> frozenset[Worker]:
    """The workers of the server; a shell or launcher that only waits for it is passed over."""
    living = [proc.inspect(stats[pid]) for pid in sorted(own)]
    parent = next((item for item in living if item.pid == main), None)
    if parent is None:
        return frozenset()
    parent = _server(parent, living)
    return frozenset((item.pid, item.stat.start_ticks) for item in processes.workers_of(parent, living))


def _server(process: Process, living: list[Process]) -> Process:
    """Down from a wrapper (``sh -c``, ``dumb-init``) to the server that it started."""
    while not proc.is_python_like(process):
        children = [item for item in living if item.stat.ppid == process.pid]
        if len(children) != 1:
            break
        process = children[0]
    return process
