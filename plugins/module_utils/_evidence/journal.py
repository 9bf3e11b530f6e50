# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of one unit: bounded queries, and entries sorted into one attempt per invocation."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Optional

from .context import KIB, MIB, CommandResult, Context
from .logs_text import Cut, cap_line, clean
from .numerals import whole
from .proc import iso

QUERY_SECONDS = 4.0
QUERY_BYTES = 6 * MIB
HEAD_BYTES = 192 * KIB
DEFAULT_LINES = 1500
FIELDS = (
    "MESSAGE",
    "PRIORITY",
    "_PID",
    "_SYSTEMD_UNIT",
    "_SYSTEMD_INVOCATION_ID",
    "INVOCATION_ID",
    "UNIT",
    "SYSLOG_IDENTIFIER",
    "_COMM",
)
_REFUSED_ASSIGNMENT = re.compile(r"(invalid environment assignment ['\"])(.*?)(['\"](?:: \S|\Z))", re.DOTALL)
# Lines of keys and hashes end in "=" or hold "==".
_NAME_IN_FRONT = re.compile(r"(?:export\s+)?[A-Za-z_][\w.-]{0,39}\s*=(?!=|\s*\Z)")
_NO_ACCESS = re.compile(r"not seeing messages from other users|insufficient permissions", re.IGNORECASE)
# PID 1 announces a start before the invocation is known on old versions.
_STARTING = re.compile(r"^(?:Starting|Started) ")


@dataclass(frozen=True)
class Entry:
    """One journal entry; ``speaker`` is empty for the unit's own output, else who says it (``systemd[1]``)."""

    time: float
    message: str
    speaker: str
    pid: Optional[int]
    invocation: Optional[str]


def query(ctx: Context, unit: str, lines: int = DEFAULT_LINES) -> tuple[list[Entry], Optional[str], bool]:
    """The unit's latest entries, oldest first: (entries, error sentence, whether the query was cut).

    Entries come newest first from journalctl, so that a cut loses the oldest.
    """
    argv = ["journalctl", f"--unit={unit}", "--reverse", f"--lines={lines}", *_format()]
    result = ctx.run(argv, timeout=QUERY_SECONDS, max_bytes=QUERY_BYTES)
    entries = [entry for entry in (parse_entry(line, unit) for line in result.stdout.split("\n")) if entry]
    entries.reverse()
    return entries, query_error(result, bool(entries)), result.truncated or result.timed_out


def query_head(ctx: Context, unit: str, invocation: str) -> list[Entry]:
    """The first entries of one invocation, for an attempt whose start lies before the window."""
    argv = ["journalctl", f"_SYSTEMD_INVOCATION_ID={invocation}", *_format()]
    result = ctx.run(argv, timeout=QUERY_SECONDS / 2, max_bytes=HEAD_BYTES)
    return [entry for entry in (parse_entry(line, unit) for line in result.stdout.split("\n")) if entry]


def _format() -> list[str]:
    return ["--output=json", f"--output-fields={','.join(FIELDS)}", "--all", "--no-pager"]


def query_error(result: CommandResult, found: bool) -> Optional[str]:
    """A sentence for a journal that could not be read fully, None when it could."""
    if _NO_ACCESS.search(result.stderr):
        return (
            "the journal was read without the right to see other users' messages: "
            "run with become, or as a member of systemd-journal"
        )
    if result.timed_out:
        return f"journalctl did not finish within {QUERY_SECONDS:.0f} s; what it had printed is here"
    if result.truncated or found or result.exit_status == 0:
        return None
    reason = result.error or (result.stderr.strip().splitlines() or ["no reason given"])[-1]
    return f"the journal could not be read: {reason}"


def parse_entry(line: str, unit: str) -> Optional[Entry]:
    """One line of ``journalctl --output=json``; None for what is no complete entry, such as the end of a cut answer."""
    if not line.startswith("{"):
        return None
    try:
        data = json.loads(line)
        when = int(data["__REALTIME_TIMESTAMP"]) / 1e6
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    pid = _number(data.get("_PID"))
    source = _first(data.get("_SYSTEMD_UNIT"))
    speaker = ""
    if (source is not None and source != unit) or pid == 1:
        name = _first(data.get("SYSLOG_IDENTIFIER")) or _first(data.get("_COMM")) or source or "unknown"
        speaker = clean(f"{name}[{pid}]" if pid is not None else name)
    elif source is None and _first(data.get("SYSLOG_IDENTIFIER")) in ("systemd", "kernel"):
        speaker = str(_first(data["SYSLOG_IDENTIFIER"]))
    # PID 1 speaks about a unit's run in INVOCATION_ID; its own run is in the trusted field.
    invocation = _first(data.get("INVOCATION_ID") if speaker else data.get("_SYSTEMD_INVOCATION_ID"))
    return Entry(when, message_text(data.get("MESSAGE")), speaker, pid, invocation)


def message_text(value: Any) -> str:
    """MESSAGE as text: journalctl gives bytes that are no UTF-8 as a list of numbers, and null for what it left out."""
    if value is None:
        return "[message left out by journalctl]"
    if isinstance(value, list):
        if value and all(isinstance(item, int) and 0 <= item < 256 for item in value):
            return without_assignment(clean(bytes(value).decode("utf-8", errors="replace")))
        return "\n".join(message_text(item) for item in value)
    return without_assignment(clean(str(value)))


def without_assignment(text: str) -> str:
    """systemd quotes a line of an environment file that it doesn't take: its value is a secret, and if somebody made the
    file a link to another one, so is the whole line. What looks like a name stays."""

    def hide(match: re.Match[str]) -> str:
        name = _NAME_IN_FRONT.match(match[2])
        return f"{match[1]}{name[0] if name else ''}<hidden>{match[3]}"

    return _REFUSED_ASSIGNMENT.sub(hide, text) if "invalid environment assignment" in text else text


def to_cuts(entries: list[Entry]) -> list[Cut]:
    """One cut per invocation, in the order in which they began; PID 1's words about a run stand with it."""
    cuts: list[Cut] = []
    by_invocation: dict[str, Cut] = {}
    for entry in entries:
        cut = by_invocation.get(entry.invocation) if entry.invocation else (cuts[-1] if cuts else None)
        begins = not entry.invocation and bool(entry.speaker) and bool(_STARTING.match(entry.message))
        if cut is None or (begins and cut.pid is not None and cut.invocation is None):
            cut = Cut(1, started=iso(entry.time), epoch=entry.time, invocation=entry.invocation)
            cuts.append(cut)
            if entry.invocation:
                by_invocation[entry.invocation] = cut
        if cut.pid is None and not entry.speaker:
            cut.pid = entry.pid
        prefix = f"{entry.speaker}: " if entry.speaker else ""
        offset = round(entry.time - cut.epoch, 3)
        for text in entry.message.split("\n"):
            cut.lines.append(cap_line(prefix + text))
            cut.offsets.append(offset)
            cut.pids.append(entry.pid or 0)
        cut.ended = iso(entry.time)
    return _renumber(cuts)


def _renumber(cuts: list[Cut]) -> list[Cut]:
    """Lines are numbered in the order shown, since entries of two invocations may have been mixed."""
    number = 1
    for cut in cuts:
        cut.first_line = number
        number += len(cut.lines)
    return cuts


def prepend(cut: Cut, head: list[Entry], limit: int) -> bool:
    """Put the true beginning of a run, at most ``limit`` lines, before the part that the window holds."""
    early = to_cuts([entry for entry in head if not entry.speaker])
    if not early or early[0].epoch >= cut.epoch:
        return False
    first = early[0]
    shift = cut.epoch - first.epoch
    before = sum(1 for offset in first.offsets if offset < shift)
    kept = min(before, limit)
    cut.lines = first.lines[:kept] + cut.lines
    cut.offsets = first.offsets[:kept] + [round(offset + shift, 3) for offset in cut.offsets]
    cut.pids = first.pids[:kept] + cut.pids
    cut.gaps = [kept]
    cut.started, cut.epoch = first.started, first.epoch
    return True


def _first(value: Any) -> Optional[str]:
    """A field that occurs several times in an entry is a list; the first counts."""
    if isinstance(value, list):
        value = value[0] if value and isinstance(value[0], str) else None
    return value if isinstance(value, str) and value else None


def _number(value: Any) -> Optional[int]:
    text = _first(value)
    return whole(text) if text else None
