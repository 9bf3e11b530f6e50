# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd as a supervisor. Orders are given with ``--no-block`` and watched, so a unit that never gets ready can't hang a repair."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Optional

from .._evidence import proc
from .._evidence.context import CommandResult, Context
from .._evidence.model import Unavailable
from .._evidence.systemd_show import Properties, show
from .._evidence.systemd_words import parse_count, parse_timespan
from .control import poll
from .model import ControlError, ServiceState

COMMAND_S = 20.0
RELOAD_S = 90.0
# An order counts as taken when the start is under way, at the latest after this.
TAKEN_S = 10.0
# systemd kills by itself after TimeoutStopSec; this is its time to do so, and the most that is waited for "infinity".
STOP_GRACE_S, STOP_MOST_S = 15.0, 180.0
LEFT_S = 3.0
_PROPERTIES = (
    "Id", "LoadState", "ActiveState", "SubState", "Result", "MainPID", "NRestarts", "UnitFileState", "ControlGroup", "Job",
    "TimeoutStopUSec", "Restart", "Type", "ExecMainStartTimestampMonotonic", "InvocationID",
)  # fmt: skip
_ENABLED = {"enabled": True, "enabled-runtime": True, "alias": True, "disabled": False, "masked": False}
_STATES = {
    "active": "running",
    "reloading": "running",
    "refreshing": "running",
    "activating": "starting",
    "failed": "failed",
    "inactive": "stopped",
    "maintenance": "stopped",
}
_COLON = re.compile(r"^(?:Failed to [a-z]+ [^:]*|Job [^:]*): ")


class Systemd:
    """One unit. See ``model.Control``."""

    runtime = "systemd"

    def __init__(self, name: str, ctx: Context) -> None:
        self.name = name
        self.ctx = ctx

    def state(self) -> ServiceState:
        """How the unit is now."""
        unit = self._show()
        active, sub = unit.get("ActiveState"), unit.get("SubState")
        state = _STATES.get(active, "unknown")
        if active == "deactivating":
            # Between an end and the automatic restart, unless somebody gave the order to stop.
            comes_back = unit.get("Restart") not in ("", "no") and not self._stop_is_ordered(unit)
            state = "starting" if comes_back else "stopped"
        detail = f"{active} ({sub})" + (
            f", result {unit.get('Result')}" if unit.get("Result") not in ("", "success") else ""
        )
        return ServiceState(
            state=state,
            detail=detail,
            main_pid=unit.number("MainPID") or None,
            restarts=parse_count(unit.get("NRestarts")),
            enabled=_ENABLED.get(unit.get("UnitFileState")),
        )

    def pids(self) -> list[int]:
        """Processes of the unit's control group and those below it."""
        group = self._show().get("ControlGroup")
        if not group or group == "/":
            return []
        prefix = proc.cgroup_prefix()
        found = []
        for pid, stat in proc.scan().items():
            cgroup = proc.parse_cgroup(proc.slurp(f"{proc.PROC}/{pid}/cgroup") or "")
            if stat.state != "Z" and proc.in_cgroup(cgroup, group, prefix):
                found.append(pid)
        return sorted(found)

    def reload(self) -> None:
        """``daemon-reload``: runs nothing anew, reads unit files."""
        self._order(["daemon-reload"], RELOAD_S)

    def start(self) -> None:
        """Clear failed state and start limit, and give the order."""
        self._begin("start")

    def restart(self) -> None:
        """Clear failed state and start limit, and give the order. Returns when the former processes are gone and the start is under way."""
        self._begin("restart")

    def stop(self) -> None:
        """Stop, and wait until no process is left in the control group."""
        limit = self._stop_limit(self._show())
        self._order(["--no-block", "stop", "--", self.name])
        if not poll(self._is_down, limit):
            raise ControlError(
                f"{self.name} did not stop within {limit:.0f} s ({self.state().detail}): look at `systemctl status {self.name}`"
            )
        # systemd is done with it; what KillMode= spared, or what just ends, is seen here.
        if not poll(lambda: not self.pids(), LEFT_S):
            left = ", ".join(map(str, self.pids()[:5]))
            raise ControlError(f"{self.name} is stopped, and left process {left} in its control group (KillMode=)")

    def _begin(self, verb: str) -> None:
        before = self._show()
        if before.get("LoadState") == "masked":
            raise ControlError(f"{self.name} is masked: `systemctl unmask {self.name}` allows it to start again")
        if before.get("LoadState") not in ("loaded", ""):
            raise ControlError(
                f"systemd can't load {self.name} ({before.get('LoadState')}): see `systemctl status {self.name}`"
            )
        # It fails for a unit that systemd has dropped from memory, which has nothing to be cleared.
        self.ctx.run(["systemctl", "reset-failed", "--", self.name], COMMAND_S)
        self._order(["--no-block", verb, "--", self.name])
        former = before.get("ExecMainStartTimestampMonotonic")
        was_up = before.get("ActiveState") in ("active", "reloading", "deactivating", "activating")
        limit = self._stop_limit(before) if was_up else 0.0

        def taken() -> bool:
            unit = self._show()
            active, sub = unit.get("ActiveState"), unit.get("SubState")
            began = unit.get("ExecMainStartTimestampMonotonic") != former or unit.get("InvocationID") != before.get(
                "InvocationID"
            )
            if verb == "start" and active in ("active", "reloading"):
                return True
            # A condition or a dependency can make the job end without a start: then there is nothing to wait for.
            over = not unit.get("Job") or unit.get("Job") == "0"
            return (began and active != "deactivating") or (
                over and not sub.startswith("stop") and active != "deactivating"
            )

        if not poll(taken, limit + TAKEN_S):
            raise ControlError(
                f"{self.name} did not {verb} within {limit + TAKEN_S:.0f} s ({self.state().detail}): look at `systemctl status {self.name}`"
            )

    def _is_down(self) -> bool:
        return self._show().get("ActiveState") in ("inactive", "failed")

    def _stop_limit(self, unit: Properties) -> float:
        """Seconds that a stop may take."""
        told = parse_timespan(unit.get("TimeoutStopUSec"))
        # Two signals, SIGTERM and SIGKILL, have that time each.
        return STOP_MOST_S if told is None else min(2 * told + STOP_GRACE_S, STOP_MOST_S)

    def _stop_is_ordered(self, unit: Properties) -> bool:
        if unit.get("Job") in ("", "0"):
            return False
        result = self.ctx.run(["systemctl", "list-jobs", "--no-legend", "--no-pager", "--plain", "--full"], COMMAND_S)
        jobs = [line.split() for line in result.stdout.splitlines()]
        return any(words[1:3] == [self.name, "stop"] for words in jobs)

    def _show(self) -> Properties:
        try:
            return (show(self.ctx, [self.name], _PROPERTIES, COMMAND_S) or [Properties()])[0]
        except Unavailable as exc:
            raise ControlError(f"{self.name} can't be controlled: {exc}") from exc

    def _order(self, words: Sequence[str], seconds: float = COMMAND_S) -> None:
        result = self.ctx.run(["systemctl", *words], seconds)
        if not result.ok:
            raise ControlError(f"systemctl {' '.join(words)} failed: {_reason(result)}")


def _reason(result: CommandResult) -> str:
    lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
    first: Optional[str] = lines[0] if lines else None
    return _COLON.sub("", first) if first else result.error or f"exit status {result.exit_status}"
