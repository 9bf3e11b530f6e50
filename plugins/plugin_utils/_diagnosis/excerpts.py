# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a very large log is read: its head, its end, and the places in between where something failed or started.

Reading a line costs some microseconds and a few hundred bytes, so a log of many megabytes is searched as one text first,
which is a thousand times cheaper. Up to :data:`WHOLE` nothing is left out. Beyond it line numbers stay those of the
log, and the diagnosis says how many lines were only searched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .text import JSON_LIMIT, LINE_LIMIT, cap, split_lines

WHOLE = 512 * 1024
"""Characters of all log sources together that are read line by line."""

# How many of them a line stands for at least, so that short lines don't cost more than long ones.
_PER_LINE = 64
_HEAD_SHARE, _TAIL_SHARE = 1 / 12, 7 / 12
# Around a place: characters before and after, how many tracebacks from the beginning, and places of each kind from the end.
_BEFORE, _AFTER = 400, 12 * 1024
_OLDEST, _NEWEST = 3, 40
_LEAST = 4 * 1024
MARKS = (
    "Traceback (most recent call last)", "Error: ", "Exception: ", "SyntaxError", "Fatal Python error", "CRITICAL", "FATAL",
    "atal error", "rror while", "ailed to", "failed with", "annot ", "Unable to", "ermission denied", "o such file",
    "No module named", "in use", "imed out", "refused", "Main process exited", "Failed with result", "Scheduled restart job",
    "exited: ", "exited with", "gave up: ", "spawned: ", "Started server process", "Starting gunicorn", "Worker failed to boot",
    "WORKER TIMEOUT", "was sent SIG", "Application startup", "celery@", "Out of memory", "oom-kill", "Killed", "core dumped",
    "[Errno", "[WinError", "error: ", "ERROR",
)  # fmt: skip


class Piece(NamedTuple):
    """Lines that follow one another, with the number of the first."""

    first_line: int
    lines: list[str]


class Excerpt(NamedTuple):
    """The pieces of a log that are read, and how many lines lie between them."""

    pieces: list[Piece]
    omitted: int


def cost(text: str) -> int:
    """What reading a text costs, in characters of ordinary length."""
    return max(len(text), text.count("\n") * _PER_LINE)


def excerpt(text: str, first_line: int = 1, limit: int = WHOLE) -> Excerpt:
    """The part of a log's text that is worth reading.

    :param limit: characters in sum; short lines count as :data:`_PER_LINE` each.
    """
    if cost(text) <= limit:
        return Excerpt([Piece(first_line, list(split_lines(text)))], 0)
    spans = _merged(_chosen(text, limit))
    pieces: list[Piece] = []
    number = first_line
    at = omitted = 0
    for start, end in spans:
        skipped = text.count("\n", at, start)
        number, omitted = number + skipped, omitted + skipped
        lines = _lines(text, start, end)
        pieces.append(Piece(number, lines))
        number += len(lines)
        at = end
        if end < len(text):
            lines.append("")  # what is cut off here must not run on into the next piece
    return Excerpt(pieces, omitted + text.count("\n", at))


def _chosen(text: str, limit: int) -> list[tuple[int, int]]:
    """Spans of whole lines: the head, the end, and places in between from the newest to the oldest until the limit."""
    head = _back_to_line(text, _forward(text, 0, int(limit * _HEAD_SHARE)))
    tail = _backward(text, len(text), int(limit * _TAIL_SHARE))
    if tail <= head:
        return [(0, len(text))]
    spans = [(0, head), (tail, len(text))]
    left = limit - int(limit * _HEAD_SHARE) - int(limit * _TAIL_SHARE)
    covered: list[tuple[int, int]] = []
    for place in _places(text, head, tail):
        if left <= 0:
            break
        if any(start <= place < end for start, end in covered):
            continue
        start = max(head, _back_to_line(text, max(head, place - _BEFORE)))
        end = min(tail, _back_to_line(text, min(tail, _forward(text, place, min(_AFTER, max(left, _LEAST))))))
        end = max(end, min(tail, _line_end(text, place)))
        covered.append((start, end))
        left -= max(_LEAST // 4, min(cost(text[start : min(end, start + 2 * _AFTER)]), 2 * _AFTER))
    return spans + covered


def _places(text: str, start: int, end: int) -> list[int]:
    """Where a mark stands: the oldest few tracebacks first, then the newest of all kinds backwards."""
    oldest: list[int] = []
    at = text.find(MARKS[0], start, end)
    while at >= 0 and len(oldest) < _OLDEST:
        oldest.append(at)
        at = text.find(MARKS[0], at + _AFTER, end)
    newest: set[int] = set()
    for mark in MARKS:
        at = text.rfind(mark, start, end)
        for _count in range(_NEWEST):
            if at < 0:
                break
            newest.add(at)
            at = text.rfind(mark, start, max(start, at - _AFTER // 4))
    return oldest + sorted(newest, reverse=True)


def _forward(text: str, at: int, budget: int) -> int:
    """The place up to which the budget reaches, counted in lines where these are short."""
    end = min(len(text), at + budget)
    lines = budget // _PER_LINE
    if text.count("\n", at, end) <= lines:
        return end
    # Lines are short here: the share of the budget that they leave, measured on the stretch itself.
    return at + _measured(text, at, end, lines)


def _measured(text: str, start: int, end: int, lines: int) -> int:
    """Characters from the start that hold at most so many lines, found by halving."""
    low, high = 0, end - start
    while high - low > 256:
        middle = (low + high) // 2
        if text.count("\n", start, start + middle) <= lines:
            low = middle
        else:
            high = middle
    return low


def _backward(text: str, end: int, budget: int) -> int:
    """The start of the first whole line within the budget before a place; that of the line itself when it is longer."""
    start = max(0, end - budget)
    lines = budget // _PER_LINE
    if text.count("\n", start, end) > lines:
        low, high = start, end
        while high - low > 256:
            middle = (low + high) // 2
            if text.count("\n", middle, end) <= lines:
                high = middle
            else:
                low = middle
        start = high
    if start == 0:
        return 0
    following = text.find("\n", start - 1, end)
    return following + 1 if 0 <= following < end - 1 else _back_to_line(text, start)


def _back_to_line(text: str, at: int) -> int:
    """The start of the line that a place is in."""
    return at if at >= len(text) else text.rfind("\n", 0, at) + 1


def _line_end(text: str, at: int) -> int:
    """Behind the newline of the line that a place is in."""
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _lines(text: str, start: int, end: int) -> list[str]:
    """The lines of a span; of a gigantic one only what is read of it is copied."""
    lines = []
    while start < end:
        stop = text.find("\n", start, end)
        stop = end if stop < 0 else stop
        lines.append(_shortened(text, start, stop))
        start = stop + 1
    return lines


def _shortened(text: str, start: int, stop: int) -> str:
    if stop - start <= 2 * LINE_LIMIT:
        return text[start:stop]
    if "{" in text[start : start + 300]:
        return text[start : min(stop, start + JSON_LIMIT)]
    return cap(text[start : start + LINE_LIMIT] + text[stop - LINE_LIMIT : stop])


def excerpted(evidence: Mapping[str, Any]) -> Mapping[str, Any]:
    """The evidence itself, or with very large log sources cut down to what is read; they get ``omitted_lines`` then."""
    logs = evidence.get("logs")
    sources = logs.get("sources") if isinstance(logs, Mapping) else None
    if not isinstance(logs, Mapping) or not isinstance(sources, list):
        return evidence
    costs = [_cost_of(source) for source in sources]
    if sum(costs) <= WHOLE:
        return evidence
    limits = _shares(costs, WHOLE)
    smaller = [
        source if cost <= limit else _source(source, limit)
        for source, cost, limit in zip(sources, costs, limits, strict=True)
    ]
    return {**evidence, "logs": {**logs, "sources": smaller}}


def _shares(costs: Sequence[int], whole: int) -> list[int]:
    """The same share for each, and what the small ones don't need for the large ones."""
    shares = [0] * len(costs)
    left, waiting = whole, sorted(range(len(costs)), key=lambda number: costs[number])
    for position, number in enumerate(waiting):
        shares[number] = min(costs[number], left // (len(waiting) - position))
        left -= shares[number]
    return shares


def _cost_of(source: Any) -> int:
    """At least what :func:`cost` says of the source's text, for much less time."""
    attempts = source.get("attempts") if isinstance(source, Mapping) else None
    segments = (
        [segment for attempt in attempts if attempt for segment in _segments(attempt)]
        if isinstance(attempts, list)
        else []
    )
    found = [lines for segment in segments if (lines := _lines_of(segment))]
    return sum(max(sum(map(len, lines)) + len(lines), len(lines) * _PER_LINE) for lines in found)


def _source(source: Mapping[str, Any], limit: int) -> Mapping[str, Any]:
    """One source within its limit, the newest attempts as fully as possible."""
    attempts = source["attempts"]
    left, omitted = limit, 0
    kept = []
    for attempt in reversed(attempts):
        segments: list[Any] = []
        for segment in reversed(_segments(attempt)):
            pieces, skipped, used = _segment(segment, max(left, _LEAST))
            segments[:0] = pieces
            left, omitted = left - used, omitted + skipped
        kept.append({**attempt, "segments": segments} if isinstance(attempt, Mapping) else attempt)
    return {**source, "attempts": kept[::-1], "omitted_lines": omitted}


def _segments(attempt: Any) -> list[Any]:
    segments = attempt.get("segments") if isinstance(attempt, Mapping) else None
    return segments if isinstance(segments, list) else []


def _lines_of(segment: Any) -> list[str]:
    lines = segment.get("lines") if isinstance(segment, Mapping) else None
    if not isinstance(lines, list):
        return []
    return lines if set(map(type, lines)) <= {str} else [line if isinstance(line, str) else "" for line in lines]


def _segment(segment: Any, limit: int) -> tuple[list[Any], int, int]:
    """A segment as the segments that are read of it, how many lines were left out, and what reading it costs."""
    lines = _lines_of(segment)
    text = "\n".join(lines)
    if text.count("\n") >= max(1, len(lines)):
        lines = [line.replace("\n", " ") for line in lines]
        text = "\n".join(lines)
    spent = cost(text)
    if spent <= limit:
        return [segment], 0, spent
    first = segment.get("first_line")
    first = first if isinstance(first, int) else 1
    found = excerpt(text, first, limit)
    pieces = []
    for piece in found.pieces:
        begin = piece.first_line - first
        columns = {
            name: column[begin : begin + len(piece.lines)]
            for name, column in segment.items()
            if name != "lines" and isinstance(column, list) and len(column) == len(lines)
        }
        pieces.append({**segment, **columns, "first_line": piece.first_line, "lines": piece.lines})
    return pieces, found.omitted, limit


def source_of_text(text: str, path: str) -> dict[str, Any]:
    """A log source of the evidence from one text; of a very large one with the hash of all of it."""
    source: dict[str, Any] = {"id": "log", "kind": "file", "path": path}
    if cost(text) <= WHOLE:
        return {**source, "attempts": [{"segments": [{"first_line": 1, "lines": text.split("\n")}]}]}
    found = excerpt(text)
    digest = hashlib.sha256()
    for start in range(0, len(text), JSON_LIMIT):
        digest.update(text[start : start + JSON_LIMIT].encode("utf-8", "surrogatepass"))
    segments: Sequence[dict[str, Any]] = [{"first_line": p.first_line, "lines": p.lines} for p in found.pieces]
    return {
        **source,
        "sha256": digest.hexdigest(),
        "omitted_lines": found.omitted,
        "attempts": [{"segments": segments}],
    }
