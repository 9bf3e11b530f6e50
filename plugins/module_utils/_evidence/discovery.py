# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding the patient: services that loop, failed, restart now and then, or run without working, and look like Python."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, Optional

from . import exit_status, supervisor, supervisor_instances, supervisor_log, systemd
from .context import MIB, Context
from .discovery_alive import suspect
from .discovery_python import by_command, by_directory, looks_like_python
from .model import Backend, Unavailable
from .selection import Candidate
from .systemd_journal import RESTART_SCHEDULED
from .systemd_service import commands
from .systemd_show import Properties, main_exit, show
from .systemd_words import parse_count, parse_timestamp

DAY_S = 86400.0
# So many restarts within a day are a pattern, however long it runs in between.
RESTARTS_PER_DAY = 3
# Hosts with hundreds of units under load take seconds.
SHOW_ALL_SECONDS = 10.0
_PROPERTIES = (
    "Id", "LoadState", "ActiveState", "SubState", "Result", "NRestarts", "MainPID", "ControlGroup", "Type", "UnitFileState",
    "FragmentPath", "ExecStart", "WorkingDirectory", "ExecMainCode", "ExecMainStatus", "ExecMainExitTimestamp",
    "ActiveEnterTimestamp", "StateChangeTimestamp", "Restart", "LoadError", "InactiveEnterTimestamp",
)  # fmt: skip
_PACKAGED = ("/lib/systemd/", "/usr/lib/systemd/", "/run/systemd/generator")


def discover(runtime: str, ctx: Context) -> list[Candidate]:
    """All services of a runtime, with a verdict on each.

    :raises Unavailable: the runtime can't be asked.
    """
    finders: dict[str, Callable[[Context], list[Candidate]]] = {"systemd": of_systemd, "supervisor": of_supervisor}
    return finders[runtime](ctx)


def of_systemd(ctx: Context) -> list[Candidate]:
    """Services that systemd has loaded; one call for all, a closer look only at those that run Python."""
    units = show(ctx, ["*.service"], _PROPERTIES, SHOW_ALL_SECONDS)
    candidates: dict[str, Candidate] = {}
    python: dict[str, Properties] = {}
    for unit in units:
        name = unit.get("Id")
        if not name or unit.get("LoadState") in ("not-found", "masked"):
            continue
        state = f"{unit.get('ActiveState')} ({unit.get('SubState')})"
        candidate = Candidate(name, "systemd", state, restarts=parse_count(unit.get("NRestarts")))
        candidates[name] = candidate
        candidate.python = _is_python(unit, ctx)
        if candidate.python:
            python[name] = unit
            candidate.sick = sick_by_state(unit)
    _sick_by_history([(python[name], candidates[name]) for name in python if not candidates[name].sick], ctx)
    running = [name for name in python if not candidates[name].sick and python[name].number("MainPID")]
    for name, reason in suspect(_light_backends(running, ctx), ctx).items():
        candidates[name].sick = reason
    return list(candidates.values())


def of_supervisor(ctx: Context) -> list[Candidate]:
    """The processes of all programs of all supervisord instances.

    :raises Unavailable: there is no supervisord, or it does not answer.
    """
    instances = supervisor_instances.find(ctx)
    if not instances:
        raise Unavailable("no supervisord was found: none runs, and none of its usual configuration files exists")
    candidates: list[Candidate] = []
    running: list[Backend] = []
    for instance in instances:
        for program in instance.programs:
            info = supervisor.info_of(instance, program)
            state = info.get("statename")
            history = supervisor_log.read(instance.log_path(), program.name, ctx)
            candidate = Candidate(
                program.full_name, "supervisor", state or "unknown", restarts=len(history.restart_times)
            )
            pids = [info["pid"]] if info.get("pid") else []
            candidate.python = looks_like_python(program.argv, info.get("pid") or 0, pids, program.directory, ctx)
            candidates.append(candidate)
            if not candidate.python:
                continue
            unexpected = supervisor.unexpected_exit(program, info, history)
            window = float(ctx.params.get("window") or supervisor.DEFAULT_WINDOW_S)
            candidate.sick = sick_program(state, info, unexpected, history.restart_times, window, time.time())
            if state is None:
                candidate.sick = f"supervisord can't be asked: {instance.error}"
            if not candidate.sick and pids:
                running.append(supervisor.build(instance, program, ctx))
    reasons = suspect(running, ctx)
    for candidate in candidates:
        candidate.sick = candidate.sick or reasons.get(candidate.name)
    return candidates


def sick_by_state(unit: Properties) -> Optional[str]:
    """What the unit's state alone says against it."""
    restarts = parse_count(unit.get("NRestarts")) or 0
    active, sub = unit.get("ActiveState"), unit.get("SubState")
    if unit.get("LoadState") in ("bad-setting", "error"):
        return f"systemd could not load it ({unit.get('LoadState')})"
    if active == "failed":
        after = f" after {restarts} restarts" if restarts else ""
        return f"it failed{after}: {_ending(unit)}"
    if sub in ("auto-restart", "auto-restart-queued"):
        return f"it restarts in a loop ({restarts} restarts so far): {_ending(unit)}"
    if active in ("activating", "deactivating") and restarts:
        return f"it restarts in a loop ({restarts} restarts so far) and is {active} ({sub})"
    return None


def sick_by_restarts(times: list[float], restarts: int, window_s: float, now: float) -> Optional[str]:
    """What a restart counter says against a service that runs at the moment.

    :param times: when restarts were scheduled, seconds since 1970; empty where no journal tells.
    """
    recent = [when for when in times if when >= now - window_s]
    today = [when for when in times if when >= now - DAY_S]
    if recent or len(today) >= RESTARTS_PER_DAY:
        last = now - max(today)
        return f"it runs, but was restarted {len(today)} times in the last day, the last time {last:.0f} s ago"
    return None


def sick_program(
    state: Optional[str], info: dict[str, Any], unexpected: bool, times: list[float], window_s: float, now: float
) -> Optional[str]:
    """What supervisord's state and log say against a program."""
    said = info.get("spawnerr") or info.get("description") or ""
    if state == "FATAL":
        return f"supervisord gave it up (FATAL): {said}"
    if state == "BACKOFF":
        return f"it restarts in a loop (BACKOFF): {said}"
    if state == "EXITED" and unexpected:
        return f"it ended unexpectedly and was not restarted ({said})"
    if state == "STARTING" and times:
        return "it restarts in a loop (STARTING)"
    if state == "RUNNING":
        return sick_by_restarts(times, len(times), window_s, now)
    return None


def ended_by_itself(unit: Properties, now: Optional[float] = None) -> bool:
    """Whether an enabled long-running service ended with success on its own and stays down."""
    outcome = main_exit(unit)
    return (
        unit.get("ActiveState") == "inactive"
        and unit.get("UnitFileState") in ("enabled", "enabled-runtime")
        and unit.get("Type") in ("simple", "exec", "notify", "notify-reload", "forking")
        and outcome is not None
        and outcome["code"] == 0
    )


def _ending(unit: Properties) -> str:
    outcome = main_exit(unit)
    if outcome is None or (outcome["code"] == 0 and unit.get("Result") not in ("success", "start-limit-hit")):
        return f"result {unit.get('Result')}"
    told = exit_status.explain(outcome["code"], outcome["signal"], outcome["core_dumped"])
    kind = "signal" if outcome["signal"] is not None else "status"
    return f"its main process ended with {kind} {told['status_text']}"


def _is_python(unit: Properties, ctx: Context) -> bool:
    """Cheap for the many services that run well; all signs are tried for those that don't."""
    argv = [word for status in commands(unit, "ExecStart")[:1] for word in [status.path, *status.words[1:]]]
    if any(word.endswith("/supervisord") for word in argv[:2]):
        # Its programs are looked at by themselves.
        return False
    if unit.get("Type") == "oneshot" and unit.get("FragmentPath").startswith(_PACKAGED):
        return False
    folder = unit.get("WorkingDirectory").lstrip("!")
    if sick_by_state(unit) or ended_by_itself(unit):
        return looks_like_python(argv, 0, [], folder, ctx)
    if unit.get("ActiveState") not in ("active", "reloading", "activating"):
        return by_command(argv)
    pids = [] if by_command(argv) else systemd.cgroup_pids(unit.get("ControlGroup"))
    return by_command(argv) or looks_like_python(argv, unit.number("MainPID"), pids, None, ctx) or by_directory(folder)


def _sick_by_history(looked_at: list[tuple[Properties, Candidate]], ctx: Context) -> None:
    """Judge what only the journal tells: when a running service was restarted, whether a stopped one was told to."""
    now = time.time()
    window = float(ctx.params.get("window") or systemd.DEFAULT_WINDOW_S)
    restarted = [(unit, candidate) for unit, candidate in looked_at if candidate.restarts]
    if restarted:
        times = _restart_times(ctx)
        for unit, candidate in restarted:
            candidate.sick = sick_by_restarts(times.get(candidate.name, []), candidate.restarts or 0, window, now)
            entered = parse_timestamp(unit.get("ActiveEnterTimestamp"))
            if not times and not candidate.sick and entered and now - entered < window:
                candidate.sick = (
                    f"it runs, but was restarted {candidate.restarts} times, the last time {now - entered:.0f} s ago"
                )
    for unit, candidate in looked_at:
        if ended_by_itself(unit) and not _was_stopped(candidate.name, ctx):
            candidate.sick = "it ended by itself with exit status 0 and stays down"


def _restart_times(ctx: Context) -> dict[str, list[float]]:
    """When systemd scheduled restarts in the last day, by unit."""
    argv = [
        "journalctl", "--quiet", "--no-pager", "--output=json", "--output-fields=UNIT", "--since=-24h", "--reverse",
        "--lines=2000", "_PID=1", f"MESSAGE_ID={RESTART_SCHEDULED}",
    ]  # fmt: skip
    times: dict[str, list[float]] = {}
    for line in ctx.run(argv, 3.0, 2 * MIB).stdout.splitlines():
        try:
            entry = json.loads(line)
            times.setdefault(str(entry["UNIT"]), []).append(int(entry["__REALTIME_TIMESTAMP"]) / 1e6)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            continue
    return times


def _was_stopped(name: str, ctx: Context) -> bool:
    """Whether systemd's last words on a unit are those of a stop that somebody asked for."""
    argv = ["journalctl", "--quiet", "--no-pager", "--output=cat", "--lines=4", "_PID=1", f"UNIT={name}"]
    words = ctx.run(argv, 2.0).stdout.splitlines()
    return not words or any(line.startswith(("Stopping ", "Stopped ")) for line in words)


def _light_backends(names: list[str], ctx: Context) -> list[Backend]:
    """Backends good enough to judge whether they work, without their journal."""
    return systemd.describe(names, ctx) if names else []
