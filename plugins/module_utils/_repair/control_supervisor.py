# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""supervisord as a supervisor, over its own XML-RPC. Only the one program, or its group where its configuration changed, is touched."""

from __future__ import annotations

import xmlrpc.client
from typing import Any, Optional

from .._evidence import proc, supervisor, supervisor_instances, supervisor_rpc
from .._evidence.context import Context
from .._evidence.model import Unavailable
from .._evidence.supervisor_config import Program
from .._evidence.supervisor_instances import Instance
from .control import poll
from .model import ControlError, ServiceState

CALL_S = 10.0
# supervisord sends SIGKILL by itself after stopwaitsecs; this is its time to do so.
STOP_GRACE_S, STOP_MOST_S = 10.0, 180.0
TAKEN_S = 5.0
BAD_NAME, NOT_RUNNING, ALREADY_STARTED, SPAWN_ERROR, ABNORMAL = 10, 70, 60, 50, 40
_STATES = {
    "RUNNING": "running",
    "STARTING": "starting",
    "BACKOFF": "starting",
    "STOPPING": "stopped",
    "STOPPED": "stopped",
    "EXITED": "stopped",
    "FATAL": "failed",
    "UNKNOWN": "unknown",
}
# The states that supervisord itself calls running: a start is refused in them.
_HELD = ("RUNNING", "STARTING", "BACKOFF")


class Supervisor:
    """One process of one program. See ``model.Control``."""

    runtime = "supervisor"

    def __init__(self, name: str, ctx: Context) -> None:
        self.name = name
        self.ctx = ctx
        self.instance, self.program = self._find()
        where = supervisor_rpc.address(self.instance.config)
        if where is None:
            raise ControlError(
                f"{self.instance.config.path} has no section unix_http_server or inet_http_server, so supervisord takes no orders"
            )
        self.where = where
        self.full = f"{self.program.group}:{self.program.name}"
        self._take_over = False

    def state(self) -> ServiceState:
        """How the process is now, in supervisord's words."""
        info = self._info()
        word = str(info.get("statename") or "UNKNOWN")
        state = _STATES.get(word, "unknown")
        if word == "EXITED" and str(info.get("exitstatus", 0)) not in self._expected():
            state = "failed"
        detail = word + (f", {info['description']}" if info.get("description") else "")
        return ServiceState(state, detail, info.get("pid") or None, None, self.program.yes("autostart", True))

    def pids(self) -> list[int]:
        """The main process, its process group where it leads one, and their descendants."""
        main = self._info().get("pid")
        stats = proc.scan()
        if not main or main not in stats:
            return []
        own = {main} | {pid for pid, stat in stats.items() if stat.pgrp == main}
        grown = True
        while grown:
            more = {pid for pid, stat in stats.items() if stat.ppid in own} - own
            own |= more
            grown = bool(more)
        return sorted(pid for pid in own if stats[pid].state != "Z")

    def reload(self) -> None:
        """Have supervisord read its files. What changed takes effect with the next start or restart here, and only for this group.

        A change that somebody else left waiting is not taken over along with a restart, unless nothing but this program is in its group.
        """
        fresh, _program = self._find()
        touched = fresh.config.texts != self.instance.config.texts
        try:
            waiting = self.program.group in self._changed()
        except ControlError:
            if touched:
                raise
            return
        self._take_over = waiting and (touched or not self._others())

    def start(self) -> None:
        """Start it, with its configuration as ``reload`` found it."""
        if self._take_over:
            self._apply_configuration()
        word = self._word()
        if word == "BACKOFF":
            # It waits for its next try; a start is refused until it is taken out of that.
            self._stop()
        if word in ("RUNNING", "STARTING"):
            return
        self._start()

    def restart(self) -> None:
        """Stop it and start it again, with its configuration as ``reload`` found it."""
        if self._take_over:
            self.start()
            return
        self._stop()
        self._start()

    def stop(self) -> None:
        """Stop it, and wait until its processes are gone."""
        former = self.pids()
        self._stop()
        poll(lambda: not self._still(former), TAKEN_S)
        left = self._still(former)
        if left:
            raise ControlError(
                f"{self.name} was stopped, and left process {', '.join(map(str, left[:5]))} behind (stopasgroup and killasgroup are off)"
            )

    def _still(self, pids: list[int]) -> list[int]:
        stats = proc.scan()
        return [pid for pid in pids if pid in stats and stats[pid].state != "Z"]

    def _start(self) -> None:
        try:
            self._call("supervisor.startProcess", self.full, False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode not in (ALREADY_STARTED, SPAWN_ERROR, ABNORMAL):
                raise self._refused("start", fault) from fault

    def _stop(self) -> None:
        limit = min(self.program.number("stopwaitsecs", 10) + STOP_GRACE_S, STOP_MOST_S)
        try:
            self._call("supervisor.stopProcess", self.full, False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != NOT_RUNNING:
                raise self._refused("stop", fault) from fault
        if not poll(lambda: self._word() not in (*_HELD, "STOPPING"), limit):
            raise ControlError(
                f"{self.name} did not stop within {limit:.0f} s ({self._word()}): look at `supervisorctl status`"
            )

    def _others(self) -> list[str]:
        """Other programs of its group: they can't be told apart when the group's configuration is replaced."""
        group = [one.program for one in self.instance.programs if one.group == self.program.group]
        return sorted({*group} - {self.program.program})

    def _apply_configuration(self) -> None:
        """Replace the program's group, which stops and starts its processes. Other groups wait for their own order."""
        changed, group = self._changed(), self.program.group
        if group not in changed:
            return
        if self._others():
            raise ControlError(
                f"the configuration of {self.name} changed, and taking it over restarts its whole group, {', '.join(self._others())} included: "
                f"do that by hand with `supervisorctl update {group}`"
            )
        ran = self._up_in(group)
        try:
            if changed[group] != "added":
                self._call("supervisor.stopProcessGroup", group, False)
                if not poll(lambda: not self._up_in(group), STOP_MOST_S):
                    raise ControlError(
                        f"the group {group} did not stop within {STOP_MOST_S:.0f} s: look at `supervisorctl status`"
                    )
                self._call("supervisor.removeProcessGroup", group)
            if changed[group] != "removed":
                self._call("supervisor.addProcessGroup", group)
                self._start_again(ran - self._up_in(group) - {self.full})
        except xmlrpc.client.Fault as fault:
            raise self._refused("take the changed configuration of", fault) from fault
        self.instance, self.program = self._find()
        self._take_over = False

    def _up_in(self, group: str) -> set[str]:
        """Processes of a group that run, or are about to."""
        infos = self._call("supervisor.getAllProcessInfo")
        up = (*_HELD, "STOPPING")
        return {
            f"{group}:{info['name']}" for info in infos if info.get("group") == group and info.get("statename") in up
        }

    def _start_again(self, names: set[str]) -> None:
        """Other processes of this same program that ran and aren't started by themselves."""
        for name in sorted(names):
            try:
                self._call("supervisor.startProcess", name, False)
            except xmlrpc.client.Fault as fault:
                # Fewer processes than before are configured now, or it is under way already.
                if fault.faultCode not in (BAD_NAME, ALREADY_STARTED, SPAWN_ERROR, ABNORMAL):
                    raise

    def _changed(self) -> dict[str, str]:
        """Groups whose configuration differs from what runs: added, changed or removed."""
        try:
            answer = self._call("supervisor.reloadConfig")
        except xmlrpc.client.Fault as fault:
            raise ControlError(f"supervisord can't read its changed configuration: {fault.faultString}") from fault
        try:
            added, changed, removed = answer[0]
        except (TypeError, ValueError, IndexError) as exc:
            raise ControlError(f"supervisord at {self.where} gave no answer about its configuration") from exc
        return {
            **dict.fromkeys(map(str, removed), "removed"),
            **dict.fromkeys(map(str, changed), "changed"),
            **dict.fromkeys(map(str, added), "added"),
        }

    def _info(self) -> dict[str, Any]:
        try:
            found = self._call("supervisor.getProcessInfo", self.full)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == BAD_NAME:
                return {"statename": "STOPPED", "description": "not known to the running supervisord"}
            raise self._refused("tell the state of", fault) from fault
        return dict(found) if isinstance(found, dict) else {}

    def _word(self) -> str:
        return str(self._info().get("statename"))

    def _expected(self) -> list[str]:
        return [code.strip() for code in self.program.options.get("exitcodes", "0").split(",")]

    def _refused(self, verb: str, fault: xmlrpc.client.Fault) -> ControlError:
        return ControlError(f"supervisord refused to {verb} {self.name}: {fault.faultString}")

    def _call(self, method: str, *params: Any) -> Any:
        """One call; faults are raised as they are.

        :raises ControlError: supervisord does not answer.
        """
        body = xmlrpc.client.dumps(params, method).encode("utf-8")
        try:
            text = supervisor_rpc.post(self.where, body, min(CALL_S, max(0.1, self.ctx.remaining())))
        except Unavailable as exc:
            raise ControlError(f"{self.name} can't be controlled: {exc}") from exc
        try:
            return xmlrpc.client.loads(text)[0][0]
        except xmlrpc.client.Fault:
            raise
        except Exception as exc:  # expat and xmlrpc raise many kinds for text that is no answer
            raise ControlError(f"the answer at {self.where} is none of supervisord's ({type(exc).__name__})") from exc

    def _find(self) -> tuple[Instance, Program]:
        try:
            instances = supervisor_instances.find(self.ctx)
        except Unavailable as exc:
            raise ControlError(f"{self.name} can't be controlled: {exc}") from exc
        for instance in instances:
            program: Optional[Program] = supervisor.pick(self.name, instance)
            if program is not None:
                return instance, program
        raise ControlError(f"{self.name} is in no configuration of supervisord any more")
