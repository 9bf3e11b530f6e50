# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``systemctl show``: one call for any number of units, and its text as data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from .context import MIB, CommandResult, Context
from .exit_status import signal_number
from .model import Unavailable
from .numerals import whole
from .proc import iso
from .systemd_words import parse_timestamp

SHOW_SECONDS = 5.0
# Sorted into one call; what a version does not know it leaves out.
UNIT_PROPERTIES = (
    "Id", "Names", "Description", "LoadState", "LoadError", "ActiveState", "SubState", "UnitFileState", "FragmentPath",
    "DropInPaths", "SourcePath", "NeedDaemonReload", "InvocationID", "StateChangeTimestamp", "ActiveEnterTimestamp",
    "InactiveEnterTimestamp", "StartLimitBurst", "StartLimitIntervalUSec", "Transient", "ConditionResult", "Following",
    "AssertResult", "TriggeredBy",
)  # fmt: skip
SERVICE_PROPERTIES = (
    "Type", "Restart", "RestartUSec", "NRestarts", "Result", "MainPID", "ControlPID", "ControlGroup", "StatusText",
    "StatusErrno", "ExecMainStartTimestamp", "ExecMainExitTimestamp", "ExecMainPID", "ExecMainCode", "ExecMainStatus",
    "ExecStart", "ExecStartEx", "ExecStartPre", "ExecStartPreEx", "ExecStartPost", "ExecStartPostEx", "ExecCondition",
    "ExecConditionEx", "User", "Group", "SupplementaryGroups", "DynamicUser", "WorkingDirectory", "RootDirectory",
    "RootImage", "Environment", "EnvironmentFiles", "PassEnvironment", "UnsetEnvironment", "PAMName",
    "StandardOutput", "StandardError", "TimeoutStartUSec", "TimeoutStopUSec", "WatchdogUSec", "RuntimeDirectory",
    "StateDirectory", "CacheDirectory", "LogsDirectory", "ConfigurationDirectory", "LoadCredential", "NotifyAccess",
    "LimitNOFILE", "LimitNPROC", "LimitAS", "MemoryMax", "MemoryHigh", "TasksMax", "MemoryCurrent", "KillMode",
    "RemainAfterExit", "SuccessExitStatus", "OOMPolicy", "RuntimeMaxUSec",
)  # fmt: skip
_PROPERTY = re.compile(r"([A-Za-z][A-Za-z0-9]*)=(.*)", re.DOTALL)
_EXEC_FIELD = re.compile(r"(?:^|; )(path|argv\[\]|ignore_errors|flags|start_time|stop_time|pid|code|status)=")
_NO_MANAGER = re.compile(r"not been booted with systemd|Failed to connect to bus|Host is down|Connection refused", re.I)


@dataclass
class Properties:
    """The properties of one unit; a property that is printed on several lines keeps them all."""

    values: dict[str, list[str]] = field(default_factory=dict)

    def get(self, name: str, default: str = "") -> str:
        """The value as text; what systemd prints for "not set" counts as the default."""
        found = self.values.get(name)
        return default if not found or found[0] in ("", "[not set]", "[unset]") else found[0]

    def all(self, name: str) -> list[str]:
        return [value for value in self.values.get(name, []) if value]

    def yes(self, name: str) -> bool:
        return self.get(name) == "yes"

    def number(self, name: str) -> int:
        """The value as a number, 0 when it is none."""
        text = self.get(name)
        number = whole(text[text.startswith("-") :]) or 0
        return -number if text.startswith("-") else number


@dataclass
class ExecStatus:
    """One command of a unit with the outcome of its last run. ``words`` are split at blanks: ``show`` loses quotes."""

    path: str = ""
    words: list[str] = field(default_factory=list)
    flags: str = ""
    pid: int = 0
    code: Optional[int] = None
    signal: Optional[int] = None
    core_dumped: bool = False
    started: Optional[str] = None
    stopped: Optional[str] = None

    @property
    def failed(self) -> bool:
        return self.signal is not None or bool(self.code)


def show(
    ctx: Context, units: Sequence[str], properties: Iterable[str], seconds: float = SHOW_SECONDS
) -> list[Properties]:
    """The properties of the units (patterns allowed), in the manager's order; with no unit, the manager's own.

    :param seconds: time limit. An answer that is cut by it is no answer, because what it lacks would count as fine.
    :raises Unavailable: systemd does not answer; the sentence says why.
    """
    argv = ["systemctl", "show", "--no-pager", "--all", "--property=" + ",".join(dict.fromkeys(properties))]
    result = ctx.run([*argv, "--", *units] if units else argv, seconds, 16 * MIB, {"TZ": "UTC"})
    if result.timed_out or result.truncated:
        raise Unavailable(f"systemd did not tell all about {', '.join(units) or 'itself'} within {seconds:.0f} s")
    if result.exit_status != 0 and not result.stdout.strip():
        raise Unavailable(_why_not(result))
    return parse_show(result.stdout)


def list_names(ctx: Context, suffix: str = ".service") -> list[str]:
    """Names of all units that the manager or the disk knows, for suggestions; empty when it does not answer."""
    kind = suffix.lstrip(".")
    options = [f"--type={kind}", "--all", "--no-legend", "--no-pager", "--plain", "--full"]
    names: dict[str, None] = {}
    for command in (["systemctl", "list-unit-files", *options], ["systemctl", "list-units", *options]):
        for line in ctx.run(command, SHOW_SECONDS).stdout.splitlines():
            words = line.split()
            name = next((word for word in words[:2] if word.endswith(suffix)), None)
            if name:
                names[name] = None
    return list(names)


def parse_show(text: str) -> list[Properties]:
    """Blocks are separated by an empty line; a line that is no assignment continues the value before it."""
    blocks: list[Properties] = []
    current: Optional[Properties] = None
    last = ""
    for line in text.split("\n"):
        match = _PROPERTY.match(line)
        if match and (current is None or last == ""):
            current = Properties()
            blocks.append(current)
        if match and current is not None:
            last = match.group(1)
            current.values.setdefault(last, []).append(match.group(2))
        elif line and current is not None and last:
            current.values[last][-1] += "\n" + line
        elif not line:
            last = ""
    return blocks


def parse_exec(text: str) -> Optional[ExecStatus]:
    """``{ path=/usr/bin/x ; argv[]=x a b ; ignore_errors=no ; … ; code=exited ; status=1 }`` as data."""
    body = text.strip()
    if not body.startswith("{") or not body.endswith("}"):
        return None
    # Fields are found from the end, because the command line in between may contain anything.
    fields: dict[str, str] = {}
    body = body[1:-1].strip()
    matches = list(_EXEC_FIELD.finditer(body))
    if len(matches) < 2 or matches[0].group(1) != "path":
        return None
    ends = [*(match.start() for match in matches[1:]), len(body)]
    for match, end in zip(matches, ends):
        value = body[match.end() : end].strip().rstrip(";").strip() if match.group(1) != "argv[]" else None
        if value is None:
            value = body[match.end() : end].rstrip()
        fields[match.group(1)] = value
    status = ExecStatus(path=fields.get("path", ""), words=fields.get("argv[]", "").split())
    flags = fields.get("flags", "").split()
    status.flags = ("-" if "ignore-failure" in flags or fields.get("ignore_errors") == "yes" else "") + (
        ":" if "no-env-expand" in flags else ""
    )
    status.pid = whole(fields.get("pid", "")) or 0
    _outcome(status, fields.get("code", ""), fields.get("status", ""))
    status.started = iso(parse_timestamp(fields.get("start_time", "").strip("[]")))
    status.stopped = iso(parse_timestamp(fields.get("stop_time", "").strip("[]")))
    return status


def parse_environment_file(text: str) -> tuple[str, bool]:
    """``/etc/api.env (ignore_errors=yes)`` → the path and whether it may be missing."""
    path, _blank, rest = text.rpartition(" (ignore_errors=")
    return (path, rest.startswith("yes")) if path else (text, False)


def main_exit(properties: Properties) -> Optional[dict[str, Any]]:
    """Code, signal and core dump of the main process' last end, None while it runs or when it never ran."""
    code, status = properties.number("ExecMainCode"), properties.number("ExecMainStatus")
    # The numbers of waitid(2): CLD_EXITED, CLD_KILLED, CLD_DUMPED.
    if code == 1:
        return {"code": status, "signal": None, "core_dumped": False}
    if code in (2, 3):
        return {"code": None, "signal": status, "core_dumped": code == 3}
    return None


def _outcome(status: ExecStatus, code: str, number: str) -> None:
    value, _slash, name = number.partition("/")
    if code == "exited":
        status.code = whole(value)
    elif code in ("killed", "dumped"):
        status.signal = signal_number(value) or signal_number(name)
        status.core_dumped = code == "dumped"


def _why_not(result: CommandResult) -> str:
    said = (result.stderr.strip().splitlines() or [result.error or "no reason given"])[0]
    if result.error and result.exit_status is None:
        return f"systemd can't be asked: {result.error}"
    if _NO_MANAGER.search(said):
        return f"systemd is not the running init system here, or its bus is down ({said})"
    return f"systemctl failed with exit status {result.exit_status}: {said}"
