# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemd itself wrote into the journal about one unit: restarts, exits, results, refused settings.

Only entries that the journal attests to come from PID 1 count, since anybody may write the same words.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from typing import Any, Optional

from .context import MIB, Context
from .exit_status import signal_number
from .journal import message_text, query_error
from .numerals import whole
from .proc import iso

JOURNAL_SECONDS = 4.0
MAX_ENTRIES = 400
MAX_MESSAGES = 40
MAX_RESTART_TIMES = 50
FIELDS = (
    "MESSAGE,MESSAGE_ID,_PID,_EXE,UNIT,INVOCATION_ID,N_RESTARTS,UNIT_RESULT,EXIT_CODE,EXIT_STATUS,COMMAND,"
    "CONFIG_FILE,CONFIG_LINE"
)
RESTART_SCHEDULED = "5eb03494b6584870a536b337290809b3"
PROCESS_EXIT = "98e322203f7a4ed290d09fe03c09fe15"
INVALID_CONFIGURATION = "c772d24e9a884cbeb9ea12625c306c01"
# Written by the child before it executes the command; the only other voice that is asked for.
SPAWN_FAILED = "641257651c1b4ec9a8624d7a40a9e1e7"
TOO_QUICKLY = "repeated too quickly"
_EXIT_TEXT = re.compile(r"^\S+: (Main|Control) process exited, code=(exited|killed|dumped), status=(\d+)(?:/(\w+))?")
_STARTED = re.compile(r"^(?:Starting|Started) ")


@dataclass
class History:
    """Oldest first. ``start_limit`` tells whether the last word was that it restarts too quickly."""

    messages: list[str] = field(default_factory=list)
    restart_times: list[float] = field(default_factory=list)
    last_exit: Optional[dict[str, Any]] = None
    start_limit: bool = False
    problems: list[dict[str, Any]] = field(default_factory=list)
    error: Optional[str] = None


def read(unit: str, ctx: Context) -> History:
    """The supervisor's side of the unit's history, bounded to its latest entries."""
    argv = [
        "journalctl", "--quiet", "--no-pager", "--all", "--output=json", f"--output-fields={FIELDS}", "--reverse",
        f"--lines={MAX_ENTRIES}", "_PID=1", f"UNIT={unit}", "+", f"MESSAGE_ID={SPAWN_FAILED}", f"UNIT={unit}",
    ]  # fmt: skip
    result = ctx.run(argv, timeout=JOURNAL_SECONDS, max_bytes=4 * MIB)
    history = parse(result.stdout)
    history.error = query_error(result, bool(history.messages))
    if not history.messages and not history.error and ctx.euid != 0:
        # With --quiet journalctl does not say that it leaves out what is not for this user.
        history.error = "the journal shows this user none of systemd's messages, so restarts and their times are not known: run with become"
    return history


def parse(text: str) -> History:
    """Entries as ``journalctl --reverse --output=json`` prints them; what is no entry is left out."""
    history = History()
    entries = []
    for line in text.split("\n"):
        if not line.startswith("{"):
            continue
        try:
            entry = json.loads(line)
            entries.append((int(entry["__REALTIME_TIMESTAMP"]) / 1e6, entry))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            continue
    for when, entry in reversed(entries):
        _take(history, when, entry)
    history.messages = history.messages[-MAX_MESSAGES:]
    history.restart_times = history.restart_times[-MAX_RESTART_TIMES:]
    return history


def restarts_within(history: History, window_s: float, now: Optional[float] = None) -> int:
    """How many restarts were scheduled in the last ``window_s`` seconds."""
    since = (time.time() if now is None else now) - window_s
    return sum(1 for when in history.restart_times if when >= since)


def _take(history: History, when: float, entry: dict[str, Any]) -> None:
    message = message_text(entry.get("MESSAGE"))
    kind = entry.get("MESSAGE_ID")
    if kind == INVALID_CONFIGURATION or entry.get("CONFIG_FILE"):
        problem = {
            "file": entry.get("CONFIG_FILE"),
            "line": whole(str(entry.get("CONFIG_LINE", ""))),
            "text": message,
        }
        if problem not in history.problems:
            history.problems.append(problem)
        return
    history.messages.append(message)
    if kind == RESTART_SCHEDULED:
        history.restart_times.append(when)
    elif TOO_QUICKLY in message:
        history.start_limit = True
    elif _STARTED.match(message):
        history.start_limit = False
    outcome = _exit(message, entry)
    if outcome is not None:
        history.last_exit = {**outcome, "at": iso(when)}


def _exit(message: str, entry: dict[str, Any]) -> Optional[dict[str, Any]]:
    """The end of the main process, from the entry's fields or else from its words."""
    match = _EXIT_TEXT.match(message)
    if match is None or match.group(1) != "Main":
        return None
    code = str(entry.get("EXIT_CODE") or match.group(2))
    status = str(entry.get("EXIT_STATUS") or match.group(3))
    number = signal_number(status)
    if code == "exited":
        return {"code": number, "signal": None, "core_dumped": False}
    return {"code": None, "signal": number, "core_dumped": code == "dumped"}
