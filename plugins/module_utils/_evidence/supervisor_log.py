# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""supervisord's own log: the history of one process, which its status does not keep."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import Any, Optional

from .context import KIB, Context
from .exit_status import signal_number
from .proc import iso

TAIL_BYTES = 512 * KIB
MAX_MESSAGES = 40
MAX_RESTART_TIMES = 50
_LINE = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)[,.](\d{1,6}) (?:TRAC|BLAT|DEBG|INFO|WARN|ERRO|CRIT) (.+)$")
_SPAWNED = re.compile(r"^spawned: '(.+)' with pid (\d+)$")
_EXITED = re.compile(
    r"^(?:exited|stopped): (\S+) \((?:exit status (-?\d+)|terminated by (SIG\w+|signal \d+))( \(core dumped\))?"
)
_SPAWN_ERROR = re.compile(r"^spawnerr: (.+)$")
_NAMED = re.compile(r"^(?:success|gave up|exited|stopped|waiting for|killing): '?([^\s']+)'?")
_SUPERVISORD_STARTED = re.compile(r"^supervisord started with pid (\d+)$")


@dataclass
class History:
    """One process since supervisord's last start, oldest first; times in seconds since 1970.

    ``ordered`` is the position in ``spawned`` of the last start that somebody gave the order for: after it was stopped, or
    given up, supervisord starts nothing by itself.
    """

    messages: list[str] = field(default_factory=list)
    spawned: list[float] = field(default_factory=list)
    last_exit: Optional[dict[str, Any]] = None
    gave_up: bool = False
    ordered: int = 0
    at_rest: bool = False
    supervisord_pid: Optional[int] = None
    error: Optional[str] = None

    @property
    def restart_times(self) -> list[float]:
        """All starts but the first."""
        return self.spawned[1:][-MAX_RESTART_TIMES:]

    @property
    def restarts(self) -> int:
        """How often supervisord itself has started it since the last order to."""
        return max(0, len(self.spawned) - 1 - self.ordered)


def read(path: Optional[str], name: str, ctx: Context) -> History:
    """The history of the process ``name`` from the end of the log at ``path``."""
    if not path:
        return History(error="supervisord keeps no log file, so its restarts are not known")
    content = ctx.read(path, max_bytes=TAIL_BYTES, tail=True)
    history = parse(content.text, name)
    history.error = content.error
    return history


def parse(text: str, name: str) -> History:
    """Pick out what the log says about one process."""
    history = History()
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        when, message = _seconds(match.group(1), match.group(2)), match.group(3)
        if when is None:
            continue
        started = _SUPERVISORD_STARTED.match(message)
        if started:
            history = History(supervisord_pid=int(started.group(1)))
            continue
        _take(history, when, message, name)
    history.messages = history.messages[-MAX_MESSAGES:]
    return history


def _take(history: History, when: float, message: str, name: str) -> None:
    spawned = _SPAWNED.match(message)
    if spawned:
        if spawned.group(1) == name:
            if history.at_rest:
                history.ordered, history.at_rest = len(history.spawned), False
            history.spawned.append(when)
            history.messages.append(message)
            history.gave_up = False
        return
    spawn_error = _SPAWN_ERROR.match(message)
    named = _NAMED.match(message)
    # A spawn error does not name its process; the sentences of the same program tell, so only near ones are taken.
    if not (named and named.group(1) == name) and not (spawn_error and _speaks_of(message, name)):
        return
    history.messages.append(message)
    history.gave_up = history.gave_up or message.startswith("gave up")
    history.at_rest = history.at_rest or message.startswith(("gave up", "stopped"))
    ended = _EXITED.match(message)
    if ended:
        code, signal_ = ended.group(2), ended.group(3)
        history.last_exit = {
            "code": int(code) if code is not None else None,
            "signal": signal_number(signal_.replace("signal ", "")) if signal_ else None,
            "core_dumped": bool(ended.group(4)),
            "at": iso(when),
            "expected": "; expected" in message or message.startswith("stopped"),
        }


def _speaks_of(message: str, name: str) -> bool:
    return re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])", message) is not None


def _seconds(stamp: str, fraction: str) -> Optional[float]:
    """supervisord writes local time; None for a line that has the shape of its log and a time that can't be."""
    try:
        return time.mktime(time.strptime(stamp, "%Y-%m-%d %H:%M:%S")) + float(f"0.{fraction}")
    except (ValueError, OverflowError):
        return None
