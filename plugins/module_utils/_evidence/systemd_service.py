# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``service`` section of a systemd unit: state, last exit, restarts, start limit, in the supervisor's own words."""

from __future__ import annotations

import time
from typing import Any, Optional

from . import exit_status
from .model import Section
from .proc import iso
from .systemd_journal import History, restarts_within
from .systemd_show import ExecStatus, Properties, main_exit, parse_exec
from .systemd_words import parse_count, parse_timespan, parse_timestamp

_CONTROL_STEPS = ("ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost")
_ENABLED = {"enabled": True, "enabled-runtime": True, "alias": True, "disabled": False, "masked": False}


def section(unit: Properties, history: History, window_s: float, now: Optional[float] = None) -> Section:
    """Build the section from the unit's properties and what systemd wrote about it.

    :param window_s: seconds that count for ``restarts_in_window``.
    """
    now = time.time() if now is None else now
    active_since = parse_timestamp(unit.get("ActiveEnterTimestamp"))
    running = unit.get("ActiveState") in ("active", "reloading")
    return {
        "name": unit.get("Id"),
        "runtime": "systemd",
        "exists": unit.get("LoadState") != "not-found",
        "load_state": unit.get("LoadState") or None,
        "active_state": unit.get("ActiveState") or None,
        "sub_state": unit.get("SubState") or None,
        "result": unit.get("Result") or None,
        "result_explained": exit_status.RESULTS.get(unit.get("Result")),
        "masked": unit.get("LoadState") == "masked",
        "enabled": _ENABLED.get(unit.get("UnitFileState")),
        "description": unit.get("Description") or None,
        "exit": last_exit(unit, history),
        "control_exits": control_exits(unit),
        "main_pid": unit.number("MainPID") or None,
        "main_pid_start": iso(parse_timestamp(unit.get("ExecMainStartTimestamp"))) if unit.number("MainPID") else None,
        "restarts": parse_count(unit.get("NRestarts")),
        "restart_times": [iso(when) for when in history.restart_times],
        "restarts_in_window": restarts_within(history, window_s, now) if not history.error else None,
        "window_s": window_s,
        "restart_policy": unit.get("Restart") or None,
        "restart_delay_s": parse_timespan(unit.get("RestartUSec")),
        "start_limit": {
            "hit": start_limit_hit(unit, history),
            "burst": parse_count(unit.get("StartLimitBurst")),
            "interval_s": parse_timespan(unit.get("StartLimitIntervalUSec")),
        },
        "since": iso(parse_timestamp(unit.get("StateChangeTimestamp"))),
        "uptime_s": round(max(0.0, now - active_since), 1) if running and active_since else None,
        "invocation_id": unit.get("InvocationID") or None,
        "status_text": unit.get("StatusText") or None,
        "load_error": load_error(unit),
        "near_names": [],
        "messages": history.messages,
    }


def last_exit(unit: Properties, history: History) -> dict[str, Any]:
    """How the main process last ended. While it runs again, only the journal still knows."""
    outcome = main_exit(unit)
    at = iso(parse_timestamp(unit.get("ExecMainExitTimestamp")))
    if outcome is None or unit.number("MainPID"):
        outcome = history.last_exit or {"code": None, "signal": None, "core_dumped": False}
        at = outcome.get("at")
    return {**exit_status.explain(outcome["code"], outcome["signal"], outcome["core_dumped"]), "at": at}


def control_exits(unit: Properties) -> list[dict[str, Any]]:
    """The commands around the main one whose last run failed; of a oneshot unit, its main commands too."""
    failed = []
    for step in _CONTROL_STEPS:
        if step == "ExecStart" and unit.get("Type") != "oneshot":
            continue
        for command in commands(unit, step):
            if command.failed:
                failed.append(
                    {
                        "step": step,
                        "command": " ".join(command.words),
                        "code": command.code,
                        "signal": command.signal,
                        "ignored": "-" in command.flags,
                    }
                )
    return failed


def commands(unit: Properties, step: str) -> list[ExecStatus]:
    """The commands of one ``Exec…`` setting, in order."""
    texts = unit.all(f"{step}Ex") or unit.all(step)
    return [status for status in map(parse_exec, texts) if status is not None]


def start_limit_hit(unit: Properties, history: History) -> bool:
    """Whether systemd gave up. A unit that fails on its own keeps that as its result, so the journal decides."""
    if unit.get("ActiveState") != "failed":
        return False
    return unit.get("Result") == "start-limit-hit" or history.start_limit


def load_error(unit: Properties) -> Optional[str]:
    """Why systemd could not load the unit: ``org.freedesktop… "text"`` as text."""
    text = unit.get("LoadError")
    if not text:
        return None
    _name, quote, rest = text.partition(' "')
    return rest.rstrip('"') if quote else text
