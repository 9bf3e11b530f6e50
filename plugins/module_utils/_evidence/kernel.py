# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``kernel`` section: out-of-memory kills, crashes and trouble with disks, from the kernel's own log."""

from __future__ import annotations

import calendar
import os
import re
import signal as signals
import time
from dataclasses import dataclass
from typing import Any, Callable, Optional

from . import proc
from .context import KIB, MIB, Context
from .logs_text import cap_line, clean
from .model import Backend, Section
from .numerals import whole

QUERY_LINES = 4000
KMSG_SECONDS = 1.0
MAX_EVENTS = 50
# A crash that the kernel logs and the supervisor's note of the exit lie closer together than this.
SAME_MOMENT_S = 5.0

_KILLED = re.compile(
    r"(?P<scope>Memory cgroup out of memory|Out of memory(?: \(oom_kill_allocating_task\))?)?:? ?"
    r"Killed process (?P<pid>\d+)(?:,? (?:UID (?P<uid>\d+), )?)\(?(?P<comm>[^)]*)\)?"
)
_OOM_FACTS = re.compile(
    r"^oom-kill:constraint=(?P<constraint>\w+).*?(?:oom_memcg=(?P<oom>[^,]*),)?"
    r"task_memcg=(?P<task>[^,]*),task=(?P<comm>.*),pid=(?P<pid>\d+),uid=(?P<uid>\d+)"
)
_CRASHES = (
    (re.compile(r"^(?P<comm>.+)\[(?P<pid>\d+)\]: segfault at "), "SIGSEGV"),
    (re.compile(r"^traps: (?P<comm>.+)\[(?P<pid>\d+)\] general protection"), "SIGSEGV"),
    (re.compile(r"^(?P<comm>.+)\[(?P<pid>\d+)\] general protection"), "SIGSEGV"),
    (re.compile(r"^(?:traps: )?(?P<comm>.+)\[(?P<pid>\d+)\] trap invalid opcode"), "SIGILL"),
    (re.compile(r"^(?:traps: )?(?P<comm>.+)\[(?P<pid>\d+)\] trap divide error"), "SIGFPE"),
    (re.compile(r"^(?:traps: )?(?P<comm>.+)\[(?P<pid>\d+)\] trap int3"), "SIGTRAP"),
    (re.compile(r"^(?:traps: )?(?P<comm>.+)\[(?P<pid>\d+)\] trap stack segment"), "SIGBUS"),
    (re.compile(r"^(?P<comm>.+)\[(?P<pid>\d+)\]: unhandled .*fault \(11\)"), "SIGSEGV"),
    (re.compile(r"^(?P<comm>.+)\[(?P<pid>\d+)\]: undefined instruction"), "SIGILL"),
    (
        re.compile(r"(?:type=1326|\bSECCOMP\b).*?\bpid=(?P<pid>\d+) comm=\"(?P<comm>[^\"]*)\".*?\bsig=(?!0\b)\d+"),
        "SIGSYS",
    ),
)
# What AppArmor and SELinux write; with "permissive=1" it was only noted, not refused.
DENIED = re.compile(r"apparmor=\"DENIED\"|\bavc:\s+denied\b", re.IGNORECASE)
_OTHER = (
    ("read_only_remount", re.compile(r"Remounting filesystem read-only|forced readonly|Filesystem has been shut down")),
    ("read_only_remount", re.compile(r"^XFS \(\S+\): .*[Ss]hutting down filesystem")),
    ("io_error", re.compile(r"\bI/O error\b|critical (?:medium|target|space) error|\bmedium error\b", re.IGNORECASE)),
    ("io_error", re.compile(r"^(?:EXT4-fs|BTRFS|XFS|F2FS-fs)\b.*\b(?:error|corrupt\w*)\b", re.IGNORECASE)),
    ("audit", DENIED),
    ("hung_task", re.compile(r"INFO: task .+ blocked for more than \d+ seconds|soft lockup|hung_task")),
)
_DENIED_TO = re.compile(r"\bpid=(?P<pid>\d{1,10})\b[^\n]{0,200}?\bcomm=\"(?P<comm>[^\"]{0,200})\"")
_AUDIT_LINE = re.compile(
    r"(?:node=\S{1,255} )?type=\S{1,40} msg=audit\((?P<time>\d{1,12}\.\d{1,9}):\d{1,20}\): (?P<text>.*)"
)
AUDIT_LOG = "/var/log/audit/audit.log"
AUDIT_BYTES = 256 * KIB
_HUNG = re.compile(r"INFO: task (?P<comm>.+):(?P<pid>\d+) blocked")
_SHORT_UNIX = re.compile(r"^(?P<time>\d+\.\d+) (?:(?P<speaker>[^\s:\[]+)(?:\[\d+\])?: )(?P<text>.*)$")
_KMSG = re.compile(r"^\d+,\d+,(?P<usec>\d+),[^;]*;(?P<text>.*)$")


# (pid, name, cgroup, time, signal) → whether that process was the backend's, None where nobody can tell.
Owns = Callable[[Optional[int], str, Optional[str], float, str], Optional[bool]]


@dataclass(frozen=True)
class Line:
    """One line of the kernel log: seconds since 1970 and text."""

    time: float
    text: str


def collect(backend: Backend, ctx: Context) -> Section:
    """Read this boot's kernel log from the journal, or where that has none from /dev/kmsg."""
    lines, source, error = _read(ctx)
    lines = sorted([*lines, *_audit_log(ctx)], key=lambda line: line.time)
    owns = _Ownership(backend)
    section: Section = {"source": source, **parse(lines, owns), "error": error}
    if error:
        section["_partial"] = error
    return section


def _audit_log(ctx: Context) -> list[Line]:
    """Denials since the boot where auditd keeps them for itself, as Red Hat's systems do; a host without it has no such file."""
    found = parse_audit(ctx.read(AUDIT_LOG, AUDIT_BYTES, tail=True).text)
    since = proc.boot_epoch() or 0.0
    return [line for line in found if line.time >= since]


def _read(ctx: Context) -> tuple[list[Line], str, Optional[str]]:
    argv = "journalctl --boot --output=short-unix --no-hostname --no-pager --all --reverse".split()
    argv += [f"--lines={QUERY_LINES}", "_TRANSPORT=kernel", "+", "_TRANSPORT=audit"]
    result = ctx.run(argv, timeout=3.0, max_bytes=2 * MIB)
    lines = parse_short_unix(result.stdout)
    if lines:
        return lines, "journal", None
    records, fault = _read_kmsg()
    if records:
        return records, "kmsg", None
    if fault:
        return (
            [],
            "none",
            f"the kernel log can't be read here, so kills and crashes by the kernel would not show: {fault}",
        )
    return [], "kmsg", None


def _read_kmsg() -> tuple[list[Line], Optional[str]]:
    """The kernel's ring buffer. Reading takes nothing away from it and returns at once when there is no more."""
    try:
        descriptor = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        return [], f"/dev/kmsg: {exc.strerror}"
    boot = time.time() - time.monotonic()
    records: list[str] = []
    end = time.monotonic() + KMSG_SECONDS
    fault = None
    try:
        while time.monotonic() < end:
            try:
                records.append(os.read(descriptor, 8 * KIB).decode("utf-8", errors="replace"))
            except BrokenPipeError:
                # The record was overwritten meanwhile; the next read goes on behind it.
                continue
            except BlockingIOError:
                break
    except OSError as exc:
        fault = f"/dev/kmsg: {exc.strerror}"
    finally:
        os.close(descriptor)
    return parse_kmsg(records, boot), fault


def parse_short_unix(text: str) -> list[Line]:
    """Lines of ``journalctl --output=short-unix --no-hostname --reverse``, oldest first."""
    found = []
    for raw in text.splitlines():
        match = _SHORT_UNIX.match(raw)
        if match and match.group("speaker") in ("kernel", "audit"):
            found.append(Line(float(match.group("time")), cap_line(clean(match.group("text")))))
    found.reverse()
    return found


def parse_audit(text: str) -> list[Line]:
    """The denials among the lines of audit.log, in its order."""
    return [
        Line(float(match.group("time")), cap_line(clean(match.group("text"))))
        for match in map(_AUDIT_LINE.match, text.splitlines())
        if match and DENIED.search(match.group("text"))
    ]


def parse_kmsg(records: list[str], boot: float) -> list[Line]:
    """Records of /dev/kmsg; ``boot`` is when its clock was zero, in seconds since 1970."""
    found = []
    for record in records:
        match = _KMSG.match(record.split("\n", 1)[0])
        if match:
            found.append(Line(boot + int(match.group("usec")) / 1e6, cap_line(clean(match.group("text")))))
    return found


def parse(lines: list[Line], owns: Owns) -> Section:
    """Sort kernel messages into kills, crashes and other trouble; ``owns`` says whether one is the backend's."""
    kills: list[dict[str, Any]] = []
    crashes: list[dict[str, Any]] = []
    other: list[dict[str, Any]] = []
    facts: dict[int, dict[str, Optional[str]]] = {}
    for line in lines:
        fact = _OOM_FACTS.match(line.text)
        if fact:
            facts[int(fact.group("pid"))] = fact.groupdict()
            continue
        killed = _KILLED.search(line.text)
        if killed:
            kills.append(_kill(line, killed, facts.pop(int(killed.group("pid")), {}), owns))
            continue
        crash = _crash(line, owns)
        if crash:
            crashes.append(crash)
            continue
        kind = next((kind for kind, pattern in _OTHER if pattern.search(line.text)), None)
        if kind:
            who = _HUNG.search(line.text) or (_DENIED_TO.search(line.text) if kind == "audit" else None)
            own = owns(int(who.group("pid")), who.group("comm"), None, line.time, "") if who else None
            other.append({"time": proc.iso(line.time), "kind": kind, "text": line.text, "own": own})
    return {"oom_kills": kills[-MAX_EVENTS:], "crashes": crashes[-MAX_EVENTS:], "other": other[-MAX_EVENTS:]}


def _kill(
    line: Line,
    killed: re.Match[str],
    fact: dict[str, Optional[str]],
    owns: Owns,
) -> dict[str, Any]:
    pid, comm, cgroup = int(killed.group("pid")), killed.group("comm"), fact.get("task")
    limited = (killed.group("scope") or "").startswith("Memory cgroup") or fact.get("constraint") == "CONSTRAINT_MEMCG"
    return {
        "time": proc.iso(line.time),
        "pid": pid,
        "process": comm,
        "cgroup": cgroup,
        "scope": "cgroup" if limited else "system",
        "limit_cgroup": fact.get("oom") if limited else None,
        "text": line.text,
        "own": owns(pid, comm, cgroup, line.time, "SIGKILL"),
    }


def _crash(line: Line, owns: Owns) -> Optional[dict[str, Any]]:
    for pattern, signal in _CRASHES:
        match = pattern.search(line.text)
        if match:
            pid, comm = int(match.group("pid")), match.group("comm")
            return {
                "time": proc.iso(line.time),
                "pid": pid,
                "process": comm,
                "signal": signal,
                "text": line.text,
                "own": owns(pid, comm, None, line.time, signal),
            }
    return None


class _Ownership:
    """Decides whether a process of the kernel log was the backend's; by now it is usually gone."""

    def __init__(self, backend: Backend) -> None:
        self.pids = {pid for pid in [*backend.pids, backend.main_pid or 0] if pid}
        known = backend.cgroup or _cgroup_of(backend)
        self.cgroup = known if known != "/" else None
        self.within = proc.unit_of(known) if known else None
        self.knows = known is not None
        self.prefix = proc.cgroup_prefix()
        self.unit = backend.name if backend.runtime == "systemd" else None
        if self.unit and not self.unit.endswith(".service"):
            self.unit += ".service"
        # The kernel keeps 15 characters of a process's name.
        self.names = {os.path.basename(word)[:15] for word in backend.argv[:2] if word}
        self.names |= {os.path.basename(path)[:15] for path in (backend.python, _real(backend.python)) if path}
        service = backend.service
        moments = [*(service.get("restart_times") or []), service.get("since"), service.get("main_pid_start")]
        self.moments = [seconds for seconds in (_epoch(moment) for moment in moments) if seconds is not None]
        self.ended_by = _signal_name((service.get("exit") or {}).get("signal"))

    def __call__(
        self, pid: Optional[int], comm: str, cgroup: Optional[str], when: float, signal: str
    ) -> Optional[bool]:
        """True or False where facts say so; a name alone, shared by every Python service, gives None."""
        if cgroup and cgroup != "/":
            if self.cgroup and proc.in_cgroup(cgroup, self.cgroup, self.prefix):
                return True
            if self.unit:
                return proc.unit_of(cgroup) == self.unit
            unit = proc.unit_of(cgroup) or ""
            if self.knows and unit.endswith(".service") and unit != self.within:
                # It was in another unit than the one that supervisord and its programs are in.
                return False
        if pid in self.pids:
            return True
        near = any(abs(moment - when) <= SAME_MOMENT_S for moment in self.moments)
        if comm in self.names:
            return True if near and signal and signal == self.ended_by else None
        # Threads and workers carry names of their own choice, so a strange name proves little.
        return None if near else False


def _cgroup_of(backend: Backend) -> Optional[str]:
    """The control group of its process, or of the supervisord that would start it there."""
    pids = [backend.main_pid, (backend.service.get("supervisor") or {}).get("pid")]
    found = [proc.parse_cgroup(proc.slurp(f"/proc/{pid}/cgroup") or "") for pid in pids if pid]
    return next((path for path in found if path), None)


def _signal_name(value: Any) -> Optional[str]:
    """A signal as the service section gives it, by name or number."""
    if value is None:
        return None
    text = str(value).upper()
    number = whole(text)
    if number is not None:
        try:
            return signals.Signals(number).name
        except ValueError:
            return None
    return text if text.startswith("SIG") else f"SIG{text}"


def _real(path: Optional[str]) -> Optional[str]:
    return os.path.realpath(path) if path else None


def _epoch(text: Any) -> Optional[float]:
    try:
        return float(calendar.timegm(time.strptime(str(text)[:19], "%Y-%m-%dT%H:%M:%S")))
    except ValueError:
        return None
