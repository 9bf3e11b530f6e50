# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of change that end processes, and that stop the backend where its supervisor would leave some behind."""

from __future__ import annotations

import os
import threading
from typing import Any

from .._evidence import proc
from .changes import ChangeError, Means, Record, State
from .ending import GRACE_S, StillThere, Who, alive, end
from .model import Change, ControlError

POLL_S = 0.3


def facts(who: Who) -> State:
    """Who a process is, for the manifest: without its arguments, which may hold secrets."""
    stat = proc.read_stat(who.pid)
    if stat is None or not alive(who):
        return {"pid": who.pid, "start_time": who.start, "alive": False}
    process = proc.inspect(stat)
    return {
        "pid": who.pid,
        "start_time": who.start,
        "alive": True,
        "program": os.path.basename(process.exe or stat.comm),
        "user": proc.user_name(process.uid),
        "cwd": process.cwd,
        "unit": process.unit,
        "started": proc.iso(proc.start_epoch(who.start)),
    }


def line(state: State) -> str:
    """One line of a diff about a process."""
    if not state.get("alive"):
        return ""
    unit = f", {state['unit']}" if state.get("unit") else ""
    return f"process {state['pid']}: {state['program']}, user {state['user']}{unit}, since {state['started']}\n"


class EndProcess:
    """``end_process``: ends one process and its descendants. ``options``: ``grace_s``, seconds between asking and killing."""

    reversible = False
    atomic = True

    def before(self, change: Change, means: Means) -> State:
        if change.pid is None or change.start_time is None:
            raise ChangeError("A process to end needs its PID and its start time.")
        if change.pid in proc.ancestors(os.getpid(), proc.scan()) or change.pid <= 1:
            raise ChangeError(f"Process {change.pid} runs this repair itself, so it can't be ended.")
        return facts(Who(change.pid, change.start_time))

    def after(self, change: Change, before: State, means: Means) -> State:
        return {"pid": change.pid, "start_time": change.start_time, "alive": False}

    def apply(self, change: Change, record: Record, means: Means) -> None:
        who = Who(int(record["before"]["pid"]), int(record["before"]["start_time"]))
        try:
            ended = end([who], float(change.options.get("grace_s") or GRACE_S))
        except StillThere as exc:
            raise ChangeError(f"The leftover was not ended: {exc}.") from exc
        record["after"] = {**record.get("after", {}), "ended": [one.pid for one in ended]}

    def undo(self, record: Record, means: Means) -> None:
        """Nothing: an ended process can't be brought back."""

    def is_before(self, record: Record, means: Means) -> bool:
        return alive(Who(int(record["before"]["pid"]), int(record["before"]["start_time"])))

    def is_after(self, record: Record, means: Means) -> bool:
        return not self.is_before(record, means)

    def diff(self, change: Change, before: State, means: Means) -> dict[str, str]:
        return {
            "before": line(before),
            "after": "",
            "before_header": change.path,
            "after_header": f"{change.path} (ended)",
        }


class Stop:
    """``stop``: stops the backend and ends what its supervisor leaves in its control group (``KillMode=process`` and ``none``)."""

    reversible = True
    atomic = False

    def before(self, change: Change, means: Means) -> State:
        state = means.control.state()
        return {"state": state.state, "main_pid": state.main_pid, "pids": means.control.pids()}

    def after(self, change: Change, before: State, means: Means) -> State:
        return {"state": "stopped", "main_pid": None, "pids": []}

    def apply(self, change: Change, record: Record, means: Means) -> None:
        problem: list[str] = []

        def stop() -> None:
            try:
                means.control.stop()
            except ControlError as exc:
                problem.append(str(exc))

        # The supervisor's stop is over only when no process is left, and what it doesn't end itself is ended here meanwhile.
        order = threading.Thread(target=stop, name="stop", daemon=True)
        order.start()
        ended: list[Who] = []
        try:
            while order.is_alive():
                order.join(POLL_S)
                ended += self._end_the_rest(change, means)
            ended += self._end_the_rest(change, means)
        except StillThere as exc:
            raise ChangeError(f"A process that the stop left behind was not ended: {exc}.") from exc
        if means.control.state().state in ("running", "starting") or means.control.pids():
            raise ChangeError(f"The backend could not be stopped: {problem[0] if problem else 'it runs again'}")
        record["after"] = {**record.get("after", {}), "ended": [one.pid for one in ended]}

    def undo(self, record: Record, means: Means) -> None:
        if record["before"]["state"] not in ("running", "starting"):
            return
        try:
            means.control.start()
        except ControlError as exc:
            raise ChangeError(f"The backend was stopped and could not be started again: {exc}") from exc

    def is_before(self, record: Record, means: Means) -> bool:
        return self._up(means) is (record["before"]["state"] in ("running", "starting"))

    def is_after(self, record: Record, means: Means) -> bool:
        # A start is what comes next in every run, so either is as it was left.
        return True

    def diff(self, change: Change, before: State, means: Means) -> dict[str, str]:
        pids: list[Any] = list(before.get("pids") or [])
        return {
            "before": "".join(line(facts(_who(pid))) for pid in pids),
            "after": "",
            "before_header": change.path,
            "after_header": f"{change.path} (stopped, before it is started again)",
        }

    @staticmethod
    def _end_the_rest(change: Change, means: Means) -> list[Who]:
        """End what is left in the control group once the supervisor calls the backend down."""
        if means.control.state().state not in ("failed", "stopped"):
            return []
        stats = proc.scan()
        left = [Who(pid, stats[pid].start_ticks) for pid in means.control.pids() if pid in stats]
        return end(left, float(change.options.get("grace_s") or GRACE_S)) if left else []

    @staticmethod
    def _up(means: Means) -> bool:
        return means.control.state().state in ("running", "starting")


def _who(pid: int) -> Who:
    stat = proc.read_stat(pid)
    return Who(pid, stat.start_ticks if stat else -1)


END_PROCESS = EndProcess()
STOP = Stop()
