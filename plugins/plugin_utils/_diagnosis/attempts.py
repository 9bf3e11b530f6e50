# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A log cut into attempts: one for each start of the backend, the oldest first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .frames import CHAIN_SENTENCES, is_module_level_head
from .log_lines import read_lines, sample_of
from .log_model import Attempt, Line
from .prefixes import SAMPLE, SPEAKER, detect
from .restarts import Event, event_of

_HEADER = "Traceback (most recent call last)"
_STILL_MESSAGE = re.compile(
    r"\s|$|\(Background on|\[SQL|\[parameters|DETAIL:|HINT:|LINE \d|During handling|The above exc"
)
# What supervisors add when a process is gone already.
_AFTERMATH = re.compile(
    r"(?:\S{1,200}: )?(?:Start request repeated|Failed with result|Failed to start|Consumed |Unit entered|Triggering OnFailure"
    r"|Main process exited|Failed to enqueue)|supervisor: |-- |Stopping |Stopped |Starting |gave up: "
)
_NOT_LAST = (*CHAIN_SENTENCES, "Exception ignored", "Exception in", "Error in", '"""', "> ")
_LOOKAHEAD = 400


def read_log(text_or_lines: str | Sequence[str], source: str) -> list[Attempt]:
    """Read a bare log. The last attempt is the newest; an empty log has none."""
    return cut(read_lines(text_or_lines, source), source)


def attempts_from_evidence(evidence: Mapping[str, Any]) -> list[Attempt]:
    """The attempts of every log source in the evidence, source by source, each with its oldest first.

    Where the collector knew the supervisor's invocation, its cut stands; otherwise its attempts are cut further at the
    restarts that the text shows. Sources and attempts of a shape that isn't the contract's are left out.
    """
    section = evidence.get("logs")
    sources = section.get("sources") if isinstance(section, Mapping) else None
    result: list[Attempt] = []
    for source in sources if isinstance(sources, list) else []:
        if isinstance(source, Mapping):
            result.extend(_of_source(source))
    return result


def _of_source(source: Mapping[str, Any]) -> list[Attempt]:
    name = str(source.get("id") or source.get("path") or "log")
    given = [attempt for attempt in source.get("attempts") or [] if isinstance(attempt, Mapping)]
    sample: list[str] = []
    for segment in [segment for attempt in (*given[:3], *given[-3:]) for segment in _segments(attempt)]:
        sample.extend(sample_of(segment[1]))
    transports = detect(sample if len(sample) <= 4 * SAMPLE else sample[: 2 * SAMPLE] + sample[-2 * SAMPLE :])
    if source.get("kind") == "journal":
        transports.insert(0, SPEAKER)
    found: list[Attempt] = []
    for attempt in given:
        lines = [
            line
            for first, texts, pids in _segments(attempt)
            for line in _by_writer(read_lines(texts, name, first, transports), first, pids)
        ]
        if not lines:
            continue
        invocation = attempt.get("invocation")
        pieces = [_assemble(name, lines, None, [])] if invocation else cut(lines, name)
        for number, piece in enumerate(pieces):
            found.append(_with_facts(piece, attempt, first=number == 0, last=number == len(pieces) - 1))
    return _numbered(found)


def _segments(attempt: Mapping[str, Any]) -> list[tuple[int, list[str], list[Any]]]:
    """First line number, lines, and the writing process of each line where the journal told."""
    result = []
    for segment in attempt.get("segments") or []:
        if isinstance(segment, Mapping) and isinstance(segment.get("lines"), list):
            first = segment.get("first_line")
            pids = segment.get("pids")
            texts = [line if isinstance(line, str) else "" for line in segment["lines"]]
            result.append((first if isinstance(first, int) else 1, texts, pids if isinstance(pids, list) else []))
    return result


def _by_writer(lines: Sequence[Line], first: int, pids: Sequence[Any]) -> Iterator[Line]:
    """The lines, told apart by the process that wrote each of them."""
    for line in lines:
        pid = pids[line.number - first] if 0 <= line.number - first < len(pids) else None
        if isinstance(pid, int) and line.mark.unit is None:
            lane = f"{line.mark.lane}[{pid}]"
            mark = replace(line.mark, lane=lane, pid=line.mark.pid if line.mark.pid is not None else pid)
            yield Line(line.source, line.number, line.text, mark)
        else:
            yield line


def _with_facts(piece: Attempt, given: Mapping[str, Any], *, first: bool, last: bool) -> Attempt:
    pid = given.get("pid")
    return Attempt(
        source=piece.source,
        index=piece.index,
        lines=piece.lines,
        invocation=str(given["invocation"]) if given.get("invocation") else None,
        started=str(given["started"]) if first and given.get("started") else piece.started,
        pid=pid if isinstance(pid, int) and (first or last) else piece.pid,
        began_with="supervisor" if first and given.get("invocation") else piece.began_with,
        ended=piece.ended or not last or bool(given.get("ended")),
        served=piece.served,
    )


def _numbered(attempts: Sequence[Attempt]) -> list[Attempt]:
    last = len(attempts) - 1
    return [
        Attempt(
            a.source, index, a.lines, a.invocation, a.started, a.pid, a.began_with, a.ended or index < last, a.served,
            newest=index == last,
        )
        for index, a in enumerate(attempts)
    ]  # fmt: skip


@dataclass
class _Open:
    """The attempt being cut."""

    start: int
    began_with: str | None = None
    subjects: set[str] = field(default_factory=set)
    parents: set[str] = field(default_factory=set)
    starting: bool = False
    gone: bool = False
    crash_at: int | None = None


def cut(lines: Sequence[Line], source: str) -> list[Attempt]:
    """Cut the lines of one source where a new start of the same thing shows."""
    supervised = any(line.mark.unit == "systemd" for line in lines)
    current = _Open(0)
    cuts: list[tuple[int, str | None]] = []
    events: dict[int, Event] = {}
    for index, line in enumerate(lines):
        event = event_of(line)
        at: int | None = None
        if event is not None:
            events[index] = event
            at = _cut_at_event(current, event, index)
            if at is None and current.crash_at is not None and event.kind in ("start", "worker") and not supervised:
                at = _after_crash(lines, current.crash_at, index)
        elif _HEADER in line.text and _dies_here(lines, index):
            event = Event("start", "traceback", "traceback")
            if current.crash_at is not None and not supervised:
                at = _after_crash(lines, current.crash_at, index)
            if at is None:
                current.crash_at = index
        elif current.gone and line.text.strip() and _AFTERMATH.match(line.text) is None:
            event, at = Event("start", "restart"), index
        if at is not None and event is not None and at > current.start:
            cuts.append((at, event.server))
            current = _Open(at, event.server)
            current.crash_at = index if event.server == "traceback" else None
        if event is not None:
            _note(current, event)
    return _numbered(_assembled(lines, source, cuts, events))


def _cut_at_event(current: _Open, event: Event, index: int) -> int | None:
    if event.kind == "starting":
        return index
    if event.kind == "start":
        if event.server == "systemd" and current.starting:
            return None
        return index if event.subject in current.subjects or current.gone else None
    if event.kind == "parent":
        return index if event.subject in current.parents else None
    if event.kind == "worker":
        below = any(subject.split(":")[0] in ("gunicorn", "uvicorn") for subject in current.parents)
        below = below or any(subject.startswith("gunicorn:") for subject in current.subjects)
        return index if not below and (event.subject in current.subjects or current.gone) else None
    return None


def _note(current: _Open, event: Event) -> None:
    if event.kind == "starting":
        current.starting = True
    elif event.kind in ("start", "worker"):
        current.starting = current.starting and event.server != "systemd"
        current.subjects.add(event.subject)
    elif event.kind == "parent":
        current.parents.add(event.subject)
    elif event.kind == "gone":
        current.gone = True


def _dies_here(lines: Sequence[Line], index: int) -> bool:
    """Whether the traceback that begins here goes up to module level and isn't a logger's, nor part of a chain."""
    line = lines[index]
    if line.mark.record or not line.text.startswith("Traceback"):
        return False
    before = next((other for other in reversed(lines[max(0, index - 3) : index]) if other.text.strip()), None)
    if before is not None and (before.text.startswith(_NOT_LAST) or before.level in ("WARNING", "ERROR", "CRITICAL")):
        return False
    after = next((o.text for o in lines[index + 1 : index + 4] if o.mark.lane == line.mark.lane and o.text.strip()), "")
    return is_module_level_head(after)


def _after_crash(lines: Sequence[Line], crash: int, index: int) -> int:
    """The first line after the previous fatal traceback's message; what a new process printed before it died."""
    lane = lines[crash].mark.lane
    message_seen = False
    for at in range(crash + 1, min(index, crash + _LOOKAHEAD)):
        line = lines[at]
        if line.mark.lane != lane:
            continue
        if line.text.startswith("Traceback"):
            message_seen = False
        elif message_seen and not (_STILL_MESSAGE.match(line.text) and not line.mark.record):
            return at
        elif line.text[:1] not in ("", " ", "\t") and not line.text.startswith(CHAIN_SENTENCES):
            message_seen = True
    return index


def _assembled(
    lines: Sequence[Line], source: str, cuts: Sequence[tuple[int, str | None]], events: Mapping[int, Event]
) -> list[Attempt]:
    bounds: list[tuple[int, str | None]] = [(0, None), *cuts]
    result = []
    for number, (start, began_with) in enumerate(bounds):
        end = bounds[number + 1][0] if number + 1 < len(bounds) else len(lines)
        inside = [event for at, event in events.items() if start <= at < end] if len(bounds) == 1 else None
        if inside is None:
            inside = [events[at] for at in range(start, end) if at in events]
        if any(line.text.strip() for line in lines[start:end]):
            result.append(_assemble(source, lines[start:end], began_with, inside))
    return result


def _assemble(source: str, lines: Sequence[Line], began_with: str | None, events: Sequence[Event]) -> Attempt:
    known = events or [event for line in lines if (event := event_of(line)) is not None]
    return Attempt(
        source=source,
        index=0,
        lines=tuple(lines),
        started=next((line.mark.time for line in lines if line.mark.time), None),
        pid=next((event.pid for event in known if event.pid is not None and event.kind != "gone"), None),
        began_with=began_with or next((e.server for e in known if e.kind in ("starting", "start", "worker")), None),
        ended=any(event.kind in ("end", "gone") for event in known),
        served=any(event.kind == "served" for event in known),
    )
