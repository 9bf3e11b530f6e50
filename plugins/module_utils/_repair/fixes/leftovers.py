# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a process is a leftover of this very backend. What isn't proved is somebody else's, and is never touched."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Optional, Union

from ..._evidence import proc
from ..._evidence.ports import View
from ..._evidence.redaction import Redactor
from ..._evidence.sockets import LISTENING
from ..ending import Who
from ..model import Change, Host

OWN, LEFTOVER, FOREIGN = "own", "leftover", "foreign"
_CONTAINER = re.compile(r"(?:docker|libpod|crio|cri-containerd|lxc)[-/.](?P<id>[0-9a-f]{12})|/(?P<pod>kubepods)")
_TRACED = re.compile(r"^TracerPid:\s+([1-9]\d*)", re.MULTILINE)
_DELETED = " (deleted)"
COMMAND_CHARS = 160


@dataclass(frozen=True)
class Verdict:
    """``kind`` is own, leftover or foreign; ``why`` a clause for the reader."""

    kind: str
    why: str


@dataclass
class Judge:
    """Judges processes for one backend. ``stats`` is one look at all processes of the host."""

    host: Host
    stats: dict[int, proc.Stat] = field(default_factory=proc.scan)
    main_pid: Optional[int] = None
    state: str = "unknown"
    _seen: dict[int, Verdict] = field(default_factory=dict)
    _view: Optional[View] = None

    def __post_init__(self) -> None:
        state = self.host.control.state()
        self.state = state.state
        self.main_pid = state.main_pid if state.main_pid in self.stats else None
        self._spared = proc.ancestors(os.getpid(), self.stats) | {os.getpid()}
        self._prefix = proc.cgroup_prefix()
        self._tree = proc.with_descendants({self.main_pid}, self.stats) if self.main_pid else set()

    def verdict(self, pid: int, holds_port: bool = False) -> Verdict:
        """Whose process this is.

        :param holds_port: it has the port that the backend wants, so it is no helper that a starting backend runs for a moment.
        """
        if pid not in self._seen:
            self._seen[pid] = Verdict(FOREIGN, "it is its own ancestor")
            self._seen[pid] = self._judge(pid, holds_port)
        return self._seen[pid]

    def _judge(self, pid: int, holds_port: bool) -> Verdict:
        stat = self.stats.get(pid)
        if stat is None:
            return Verdict(FOREIGN, "it ended meanwhile")
        if pid in self._spared or pid <= 1 or stat.ppid == 2:
            return Verdict(FOREIGN, "it is part of the system, or of this run")
        process = proc.inspect(stat)
        if not proc.same_root(pid):
            return Verdict(FOREIGN, "it runs in a container or a root directory of its own")
        if proc.in_cgroup(process.cgroup, self.host.backend.cgroup, self._prefix):
            return self._in_group(process, holds_port)
        if pid in self._tree:
            return Verdict(OWN, "it is a process of the running backend")
        return self._outside(process, holds_port)

    def _in_group(self, process: proc.Process, holds_port: bool) -> Verdict:
        """Of a process in the unit's own control group: what is older than its main process was left behind by an earlier start."""
        name = self.host.backend.name
        if self.main_pid:
            if process.pid in self._tree or process.stat.start_ticks >= self.stats[self.main_pid].start_ticks:
                return Verdict(OWN, f"it is a process of {name}")
            return Verdict(LEFTOVER, f"it is in the control group of {name} and older than its main process")
        if self.state in ("failed", "stopped"):
            return Verdict(LEFTOVER, f"it is in the control group of {name}, which does not run")
        if holds_port or proc.runs_same_code(process, self.host.backend):
            return Verdict(LEFTOVER, f"it is in the control group of {name}, whose main process is gone")
        return Verdict(OWN, f"it is a process of {name}, which is starting")

    def _outside(self, process: proc.Process, holds_port: bool) -> Verdict:
        """Of a process anywhere else: user, interpreter, code and a parent that is gone have to agree."""
        backend = self.host.backend
        units = [unit for unit in _services(process.cgroup) if unit not in self._own_units()]
        if units:
            return Verdict(FOREIGN, f"it belongs to {units[-1]}")
        if backend.uid is None or process.uid != backend.uid:
            return Verdict(FOREIGN, f"it runs as user {proc.user_name(process.uid)}, the backend as {backend.user}")
        if not proc.runs_same_code(process, backend):
            return Verdict(FOREIGN, "it runs something else than the backend's command")
        if not _same_interpreter(process, backend.python):
            return Verdict(FOREIGN, f"it runs with another interpreter ({process.exe})")
        other = None if holds_port else self._other_copy(process)
        if other:
            return Verdict(FOREIGN, other)
        if _terminal(process.pid):
            return Verdict(FOREIGN, "it runs in a terminal, so somebody may be at work with it")
        if _TRACED.search(proc.slurp(f"/proc/{process.pid}/status") or ""):
            return Verdict(FOREIGN, "a debugger is attached to it")
        parent = process.stat.ppid
        if parent > 1 and parent in self.stats:
            above = self.verdict(parent)
            if above.kind != LEFTOVER:
                return Verdict(FOREIGN, f"process {parent} ({self.stats[parent].comm}) started it and still runs")
        return Verdict(LEFTOVER, "user, interpreter, code and directory are the backend's, and who started it is gone")

    def _other_copy(self, process: proc.Process) -> Optional[str]:
        """Why a process that runs the same code is another copy of it, such as one for another port or queue; None for this backend's."""
        app = self.host.backend.app
        wanted = {place for place in (app.port, app.uds) if place}
        has = self._listens(process.pid)
        if wanted & has:
            return None
        if wanted and has:
            return f"it listens on {', '.join(sorted(map(str, has)))}, which isn't the backend's"
        if any(proc.same_command(process, argv) for argv in (self.host.backend.argv, app.argv)):
            return None
        return "its command is not the backend's in all its arguments"

    def _listens(self, pid: int) -> set[Union[int, str]]:
        """The ports and Unix sockets on which a process listens."""
        if self._view is None:
            self._view = View(self.host.backend, self.host.ctx)
        found: set[Union[int, str]] = set()
        for item in self._view.sockets:
            if item.state == LISTENING and pid in self._view.holders(item):
                place = item.address if item.proto == "unix" else item.port
                found.update([place] if place else [])
        return found

    def _own_units(self) -> set[str]:
        """Units in whose control group a leftover may be: its own, and supervisord's, which is that of all its programs."""
        backend = self.host.backend
        own = {backend.name}
        if backend.runtime == "supervisor":
            supervisor = backend.service.get("supervisor")
            pid = supervisor.get("pid") if isinstance(supervisor, dict) else None
            text = proc.slurp(f"/proc/{pid}/cgroup") if pid else None
            own.update(_services(proc.parse_cgroup(text or "")))
        return own

    def root(self, pid: int) -> int:
        """The topmost leftover above a leftover: what would start it again is ended with it."""
        while True:
            parent = self.stats[pid].ppid
            if parent <= 1 or parent not in self.stats or self.verdict(parent).kind != LEFTOVER:
                return pid
            pid = parent

    def describe(self, pid: int) -> str:
        """Who a process is, for the reader: user, PID, command without secrets, unit or container, since when."""
        stat = self.stats.get(pid)
        if stat is None:
            return f"process {pid}, which ended meanwhile"
        process = proc.inspect(stat)
        facts = process.as_dict()
        command = hidden(str(facts["command"]), self.host)[:COMMAND_CHARS]
        belongs = container(process.cgroup) or (f"unit {process.unit}" if process.unit else "no unit")
        return f"process {pid} of user {facts['user']}, {belongs}, since {facts['start_time']}: {command}"


def change(judge: Judge, pid: int, why: str, grace_s: float) -> Change:
    """The change that ends a leftover."""
    who = Who(pid, judge.stats[pid].start_ticks)
    return Change("end_process", f"/proc/{pid}", why, pid=pid, start_time=who.start, options={"grace_s": grace_s})


def hidden(text: str, host: Host) -> str:
    """Text of a foreign process without what looks like, or is known as, a secret."""
    redactor = Redactor(host.ctx.secrets, os.urandom(16), host.ctx.params.get("redaction_extra") or ())
    return redactor.text(text)


def container(cgroup: Optional[str]) -> Optional[str]:
    """The container of a control group."""
    # What this host itself is in, if it is a container, tells nothing.
    path = (cgroup or "")[len(proc.cgroup_prefix().rstrip("/")) :]
    match = _CONTAINER.search(path)
    return f"container {match.group('id') or match.group('pod')}" if match else None


def _services(cgroup: Optional[str]) -> list[str]:
    """All services in a control group's path: those of a user lie below his own manager's."""
    return [part for part in (cgroup or "").split("/") if part.endswith(".service")]


def _same_interpreter(process: proc.Process, python: Optional[str]) -> bool:
    if not process.exe or not python:
        return False
    exe = process.exe[: -len(_DELETED)] if process.exe.endswith(_DELETED) else process.exe
    return os.path.realpath(python) == exe


def _terminal(pid: int) -> bool:
    """Whether a process has a controlling terminal (field 7 of its stat)."""
    text = proc.slurp(f"/proc/{pid}/stat", 4096) or ""
    fields = text[text.rfind(")") + 1 :].split()
    return len(fields) > 4 and fields[4] not in ("0", "-1")
