# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A variable for a limited time, such as one that turns a start-up check off, or a log level.

It is set only when asked for. All of it lies below ``/run``, so a reboot ends it, and a timer that is started before the variable is set ends it
earlier, whether or not anybody logs in again. A process that runs keeps its environment: the variable counts until its next restart.
"""

from __future__ import annotations

import datetime
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional
from urllib.parse import quote as percent

from ..._evidence.model import Backend
from ..model import Change, Host, Refused
from . import dropin
from .settings_files import CannotWrite, quote
from .settings_source import Sources
from .settings_values import name_reason, text_of

RUNTIME_DIRECTORY = "/run/systemd/system"
DEFAULT_MINUTES = 30
MAX_MINUTES = 24 * 60
FIX = "temporary"
_ENDS = re.compile(r"^# ends (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)$", re.MULTILINE)
_TIMER = """# Written by firstaid.backend: ends the temporary variable of {unit}. A reboot ends it too.
# ends {ends}
[Unit]
Description=End of the temporary variable of {unit}

[Timer]
OnActiveSec={seconds}
AccuracySec=1
Unit={name}.service
"""
_SERVICE = """# Written by firstaid.backend: takes the temporary variable of {unit} away.
[Unit]
Description=Take the temporary variable of {unit} away

[Service]
Type=oneshot
ExecStart=/bin/rm -f {files}
ExecStart=/bin/systemctl daemon-reload
{restart}ExecStart=/bin/systemctl --no-block stop {name}.timer
# Last, because a reload without it would end this.
ExecStart=/bin/rm -f {own}
"""


@dataclass(frozen=True)
class Bypass:
    """What was asked for. ``restart``: restart the backend at the end, so that the variable stops counting at once."""

    variable: str
    value: str
    minutes: int = DEFAULT_MINUTES
    restart: bool = False


@dataclass
class Plan:
    """The changes that set it and the timer that ends it."""

    decision: str = ""
    changes: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def parse(host: Host) -> Optional[Bypass]:
    """The option ``bypass``; None when it was not given.

    :raises Refused: it is not complete, or may not be set.
    """
    given = host.options.get("bypass")
    if not given:
        return None
    if (
        not isinstance(given, Mapping)
        or not given.get("variable")
        or set(given) - {"variable", "value", "minutes", "restart"}
    ):
        raise Refused("settings_bypass needs variable and value, and may have minutes and restart, and nothing else.")
    name, value = str(given["variable"]), text_of(given.get("value"))
    try:
        minutes = int(given.get("minutes") or DEFAULT_MINUTES)
    except (TypeError, ValueError):
        minutes = 0
    if value is None or "\0" in value or "\n" in value or not 1 <= minutes <= MAX_MINUTES:
        raise Refused(f"settings_bypass needs a value of one line, and minutes from 1 to {MAX_MINUTES}.")
    reason = name_reason(name)
    if reason:
        raise Refused(f"{name} is not set, not even for a while: {reason}.")
    return Bypass(name, value, minutes, str(given.get("restart", "")).lower() in ("true", "yes", "1"))


def changes(host: Host, asked: Bypass, sources: Sources, unset: Sequence[str], now: Optional[float] = None) -> Plan:
    """The changes, in an order in which the variable is never set without the timer that ends it.

    :param unset: variables that stay missing or refused meanwhile.
    :raises Refused: the backend doesn't know the variable, or its supervisor can't end it by itself.
    """
    backend = host.backend
    if backend.runtime != "systemd":
        raise Refused(
            f"{asked.variable} is not set for a while: nothing would end it by itself under {backend.runtime}. Add it by hand, and take it away again.",
            supervisor_lines(host, [asked.variable]),
        )
    if sources.read and not any(
        asked.variable.lower() in text.lower() or text.lower() in _tails(asked.variable) for text in sources.mentioned
    ):
        raise Refused(
            f"{asked.variable} is not set: the code of {backend.name} never names it, so it would change nothing.",
            [f"grep -rn --include='*.py' -iE 'skip|strict|bypass' '{backend.app.code_dir or backend.cwd or '.'}'"],
        )
    running = _running(backend, asked)
    if running:
        return Plan(notes=[f"{asked.variable} is set already for a while. {_until(running, asked, backend)}"])
    return _plan(host, asked, unset, time.time() if now is None else now)


def _plan(host: Host, asked: Bypass, unset: Sequence[str], now: float) -> Plan:
    backend = host.backend
    name = f"firstaid-end-{percent(backend.name, safe='._-').replace('%', '-')}"
    drop = dropin.open_for(backend, FIX, RUNTIME_DIRECTORY)
    env_file = drop.path[: -len(".conf")] + ".env"
    units = [f"{RUNTIME_DIRECTORY}/{name}.{suffix}" for suffix in ("service", "timer")]
    ends = _stamp(now + asked.minutes * 60)
    facts = {"unit": dropin.literal(backend.name), "name": name, "ends": ends, "seconds": asked.minutes * 60}
    files = dropin.words([dropin.literal(path) for path in (drop.path, env_file, units[1])])
    restart = (
        f"ExecStart=/bin/systemctl --no-block try-restart {dropin.word(dropin.literal(backend.name))}\n"
        if asked.restart
        else ""
    )
    # EnvironmentFile= wins over Environment=, and the last one wins over the others.
    text = f"# {asked.variable} for a while, set by firstaid.backend on request.\n# ends {ends}\n[Service]\nEnvironmentFile=-{dropin.whole(env_file)}\n"
    try:
        content = f"{asked.variable}={quote(asked.value, 'systemd')}\n"
    except CannotWrite as exc:
        raise Refused(f"The value for {asked.variable} can't be written: {exc}.") from exc

    def put(path: str, why: str, text: str, mode: int = 0o644) -> Change:
        return Change("file", path, why, content=text.encode(), mode=mode, uid=0, gid=0, secret=mode == 0o600)

    plan = Plan(
        f"Sets {asked.variable} until {ends}, on your request; it is taken away by itself then, or by a reboot.",
        [
            put(
                units[0],
                f"takes {asked.variable} away again",
                _SERVICE.format(files=files, restart=restart, own=dropin.word(dropin.literal(units[0])), **facts),
            ),
            put(units[1], f"says when: {ends}", _TIMER.format(**facts)),
            Change("start_unit", units[1], "starts the clock before the variable is set"),
            put(env_file, f"sets {asked.variable}", content, 0o600),
            put(drop.path, f"lets the unit read {env_file} until {ends}", text),
        ],
        [_until(ends, asked, backend)],
    )
    if unset:
        plan.notes.append(
            f"Meanwhile it runs with settings that it would refuse: {', '.join(unset)} stay as they are. Correct them before then."
        )
    return plan


def _until(ends: str, asked: Bypass, backend: Backend) -> str:
    if asked.restart:
        return f"It ends {ends}: {backend.name} is restarted then, and runs with its checks again."
    return (
        f"It ends {ends}. The process that runs keeps the variable until its next restart, which then runs with all checks; "
        f"to end it sooner: systemctl start {'firstaid-end-' + percent(backend.name, safe='._-').replace('%', '-')}.service."
    )


def _running(backend: Backend, asked: Bypass) -> Optional[str]:
    """When the same variable with the same value ends; None when it is not set for a while."""
    if backend.environ.get(asked.variable) != asked.value:
        return None
    for item in backend.unit.get("files", []):
        if item["path"] == f"{RUNTIME_DIRECTORY}/{backend.name}.d/90-firstaid-{FIX}.conf":
            match = _ENDS.search(item["text"])
            return match.group(1) if match else None
    return None


def _tails(name: str) -> set[str]:
    """The name without its first words: code with a prefix names only the rest."""
    parts = name.lower().split("_")
    return {"_".join(parts[index:]) for index in range(1, len(parts)) if len("_".join(parts[index:])) > 3}


def _stamp(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(int(seconds), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def supervisor_lines(host: Host, names: Sequence[str]) -> list[str]:
    """What somebody types to set variables of a supervisord program, without values."""
    backend = host.backend
    supervisor = backend.service.get("supervisor")
    config = supervisor.get("config") if isinstance(supervisor, Mapping) else None
    files = [item["path"] for item in backend.unit.get("files", []) if item.get("path")]
    path = files[0] if files else str(config or "/etc/supervisor/conf.d/*.conf")
    inside = ",".join(f'{name}="..."' for name in names)
    ctl = f"supervisorctl{f' -c {config}' if config else ''}"
    return [
        f"sudoedit {path}   # in [program:{backend.name}], add to environment=: {inside}",
        f"{ctl} reread && {ctl} update",
    ]
