# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every exception that an attempt's log shows, whoever printed it, in order of appearance."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace

from .blocks import Block, parse_block
from .caught import from_import_test
from .chains import Chain, Row, group_column, is_header, parse_chain
from .exceptions import SYNTAX_ERRORS
from .frames import is_location, is_module_level_head
from .log_model import Attempt, Line, Mark, Raised, Traceback
from .restarts import event_of

__all__ = ["fingerprint", "fold", "from_import_test", "tracebacks"]

_LOOK_BACK = 10
_LOUD = frozenset({"WARNING", "ERROR", "CRITICAL"})
_IGNORED = ("Exception ignored", "--- Logging error ---", "Error in atexit", "Exception during reset")
# A logger or parent process prints these, and the process dies all the same.
_FATAL_INTROS = (
    "Exception in worker process", "Unrecoverable error", "Error loading ASGI", "Failed to read config file",
    "Exception in 'lifespan' protocol",
)  # fmt: skip
_FATAL_PROCESS = re.compile(r"Process \w*Process-\d+|While (?:trying to load the module|importing) ")
_ENDINGS = ("Application startup failed", "Worker exiting", "Shutting down: Master", "Worker failed to boot")
_VOLATILE = re.compile(r"0x[0-9a-fA-F]+|\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\b[0-9a-f]{16,}\b|\d+")
_HINTS = ("rror", "xception", "raceback", "File \"", "atal", "sage: ", "recent call", "Exit", "Interrupt", "annot ",
          "ailed", "ailure", "an't ", "couldn't", "No such", "No module", "enied", "not found", "NotFound", "Timeout", "Invalid",
          "DoesNotExist", "Refused", "imeout (", "nable to", "must be", "Unsupported", "Missing", "Improperly", "FAILED",
          "Connection in use", "no app loaded", "dependent libraries", "chdir()", "bind()", "Connect", "Lost", "Expired",
          "Import string", "is a package", "Invalid", "Required", "Registered", "NotReady", "Conflict", "Mismatch")  # fmt: skip
_HINT = re.compile("|".join(re.escape(hint) for hint in sorted(set(_HINTS))))


def tracebacks(attempt: Attempt) -> list[Traceback]:
    """All of them, in order; identical ones are folded into the first, whose ``count`` tells how often it came.

    Lines of different writers (containers, processes, streams) are read apart, so that interleaving does no harm.
    """
    found: list[Traceback] = []
    for rows in _lanes(attempt.lines):
        found.extend(_scan(rows, attempt))
    found.sort(key=lambda tb: (tb.first_line, tb.last_line))
    return fold(found)


def fold(found: Sequence[Traceback]) -> list[Traceback]:
    """Identical ones become one; it keeps the place of the first and the strongest of what is known of each."""
    folded: dict[tuple[str, bool], Traceback] = {}
    for tb in found:
        key = (fingerprint(tb), tb.ignored)
        known = folded.get(key)
        folded[key] = (
            tb
            if known is None
            else replace(
                known, count=known.count + tb.count, fatal=known.fatal or tb.fatal, logged=known.logged and tb.logged
            )
        )
    return list(folded.values())


def fingerprint(tb: Traceback) -> str:
    """12 hexadecimal digits that stay the same over restarts: types, messages without numbers, and raising places."""
    parts = []
    for raised in tb.walk():
        frame = raised.last_app_frame or raised.innermost
        place = f"{frame.file}:{frame.function}" if frame else ""
        parts.append(f"{raised.qualified}|{_VOLATILE.sub('#', raised.first_line)}|{place}")
    return hashlib.sha256("\n".join(parts).encode("utf-8", "replace")).hexdigest()[:12]


def _lanes(lines: Sequence[Line]) -> list[list[Row]]:
    lanes: dict[str, list[Row]] = {}
    interesting: set[str] = set()
    for line in lines:
        lane = line.mark.lane
        lanes.setdefault(lane, []).append(Row(line, line.text))
        if lane not in interesting and _HINT.search(line.text):
            interesting.add(lane)
    return [rows for lane, rows in lanes.items() if lane in interesting]


def _scan(rows: Sequence[Row], attempt: Attempt) -> list[Traceback]:
    found: list[Traceback] = []
    at = previous_end = 0
    served = _last_served(rows) if attempt.served else -1
    while at < len(rows):
        text = rows[at].text
        if not text or _HINT.search(text) is None:
            at += 1
            continue
        tb, end = _at(rows, at, previous_end, attempt, served)
        if tb is not None:
            found.append(tb)
            previous_end = end
        at = max(end, at + 1)
    return found


def _at(rows: Sequence[Row], at: int, previous_end: int, attempt: Attempt, served: int) -> tuple[Traceback | None, int]:
    """The traceback or block at this row, and the index behind it; ``served`` is where the writer last finished starting."""
    text = rows[at].text
    if is_header(text) or group_column(text) is not None:
        chain = parse_chain(rows, at)
        return _traceback(rows, at, previous_end, attempt, chain, served), chain.end
    if is_location(text):
        chain = parse_chain(rows, at)
        last = chain.raised[-1]
        if not last.type and len(last.frames) < 2:
            return None, at + 1
        tb = _traceback(rows, at, previous_end, attempt, chain, served)
        only_place = last.type in SYNTAX_ERRORS and not last.frames and len(chain.raised) == 1
        if only_place:
            return replace(tb, kind="syntax", fatal=not tb.logged and not tb.ignored), chain.end
        return replace(tb, header_missing=True), chain.end
    block = parse_block(rows, at)
    if block is None or any(not _says_something(raised) for raised in block.chain):
        # A dump of nothing is passed as a whole: its rows, looked at one by one, would each be read to the end again.
        return None, block.end if block is not None and block.kind == "faulthandler" else at + 1
    return _from_block(rows, at, attempt, block), block.end


def _says_something(raised: Raised) -> bool:
    return bool(raised.type or raised.message or raised.frames)


def _last_line(rows: Sequence[Row], at: int, end: int) -> int:
    while end - 1 > at and not rows[end - 1].text.strip():
        end -= 1
    return rows[end - 1].line.number


def _from_block(rows: Sequence[Row], at: int, attempt: Attempt, block: Block) -> Traceback:
    mark = rows[at].line.mark
    return Traceback(
        chain=block.chain,
        source=attempt.source,
        first_line=rows[at].line.number,
        last_line=_last_line(rows, at, block.end),
        attempt=attempt.index,
        kind=block.kind,
        logged=mark.record,
        level=mark.level,
        logger=mark.logger,
        fatal=block.fatal,
        pid=mark.pid,
        signal=block.signal,
        time=mark.time,
    )


def _traceback(
    rows: Sequence[Row],
    at: int,
    previous_end: int,
    attempt: Attempt,
    read: Chain,
    served: int,
) -> Traceback:
    chain, end = read.raised, read.end
    mark, intro = _announced(rows, at, previous_end)
    logged = mark is not None
    ignored = intro is not None and intro.startswith(_IGNORED)
    above = next((row.text.strip() for row in reversed(rows[max(0, at - 3) : at]) if row.text.strip()), "")
    after = next((row.text for row in rows[end : end + 4] if row.text.strip()), "")
    head = next((row.text for row in rows[at + 1 : at + 4] if row.text.strip()), "")
    fatal = (
        after.startswith(_ENDINGS)
        or (intro is not None and intro.startswith(_FATAL_INTROS))
        or _FATAL_PROCESS.match(above) is not None
        or (not logged and _outermost_is_module(chain, head) and served < end)
    )
    own = mark or rows[at].line.mark
    return Traceback(
        chain=chain,
        source=attempt.source,
        first_line=rows[at].line.number,
        last_line=_last_line(rows, at, end),
        attempt=attempt.index,
        logged=logged,
        level=own.level,
        logger=own.logger,
        intro=intro,
        fatal=fatal and not ignored,
        ignored=ignored,
        remote=at > 0 and rows[at - 1].text.strip() == '"""',
        unfinished=read.unfinished,
        pid=own.pid,
        time=own.time,
    )


def _announced(rows: Sequence[Row], at: int, previous_end: int) -> tuple[Mark | None, str | None]:
    """The record that prints this traceback, if one does, and the text above the traceback."""
    own = rows[at].line.mark
    before, header, _after = rows[at].text.partition("Traceback (most")
    intro: str | None = (before.replace("Exception Group", "").strip(" |+╭─┌") or None) if header else None
    if own.record:
        same = [row.text for row in rows[max(0, at - 3) : at] if row.line.number == rows[at].line.number]
        return own, intro or (same[-1] if same else None)
    for index in range(at - 1, max(previous_end, at - _LOOK_BACK) - 1, -1):
        row = rows[index]
        if intro is None and row.text.strip(' "'):
            intro = row.text.strip()
        if row.line.mark.record:
            if row.line.mark.level in _LOUD or (row.line.mark.level is None and index == at - 1):
                return row.line.mark, row.text.strip()
            break
    return None, intro


def _last_served(rows: Sequence[Row]) -> int:
    """Where this writer last finished starting, -1 if nowhere: tracebacks above it were only printed."""
    events = ((index, event_of(rows[index].line)) for index in range(len(rows) - 1, -1, -1))
    return next((index for index, event in events if event is not None and event.kind == "served"), -1)


def _outermost_is_module(chain: tuple[Raised, ...], head: str) -> bool:
    final = chain[-1]
    if not final.frames and final.group:
        return any(_outermost_is_module(inner, "") for inner in final.group)
    if final.frames:
        first = final.frames[0]
        return first.function in ("<module>", "_run_module_as_main") and first.file != "<stdin>"
    return is_module_level_head(head)
