# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From evidence to observations: which exceptions and lines there are, and how much their place says.

The weight of a place follows one question: how likely is it that the backend stopped because of what stands here?
The exception that ended the latest attempt has 1. What the application survived, what came in an attempt that later
ones did not repeat, and what was only a warning have less.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

from .attempts import attempts_from_evidence
from .log_model import Attempt, Traceback
from .log_model import Line as LogLine
from .observed import Citation, Hit, Seen, SeenLine, fact, resolve
from .patterns import Pattern, bounded
from .tracebacks import from_import_test, tracebacks

# Lines per attempt that patterns look at: the head says what started, the tail says what ended it.
HEAD_LINES = 200
TAIL_LINES = 500
# The same for different exceptions.
FIRST_ERRORS = 40
LAST_ERRORS = 160
ATTEMPTS_PER_SOURCE = 4
_NEAR_END = 30

_SERVED = re.compile(
    r"Application startup complete|Uvicorn running on|\bRunning on (?:http|all addresses|unix)|celery@\S{1,100} ready|"
    r"Starting development server at|Listening on TCP address|Serving on http|======== Running on|Goin' Fast|"
    r"Starting worker \[|WSGI app \d+ \(mountpoint|spawned uWSGI worker|HTTP/[\d.]+\"? [23]\d\d\b|"
    r"Starting worker for \d+ functions|app started successfully|\bListening started|Huey consumer started|"
    r"Connected to (?:redis|amqp|sqs|memory)|Quart .{0,40}running|Scheduler started|-> [23]\d\d\b",
    re.IGNORECASE,
)
_SHUTDOWN = re.compile(
    r"^Shutting down$|Waiting for application shutdown|Handling signal: (?:term|int|quit)|Worker exiting|"
    r"Shutting down: Master|warm shutdown|Finished server process|Received SIG(?:TERM|INT)",
    re.IGNORECASE,
)
_SERVED_WORDS = (
    "startup complete", "running", " ready", "starting", "listening", "serving", "goin'", "mountpoint", "spawned", "http/",
    "connected to", "scheduler", "-> ", "started",
)  # fmt: skip
_SHUTDOWN_WORDS = ("shut", "signal", "exiting", "finished", "sig")
_SUPERVISORS = re.compile(r"^(?:systemd|supervisord|init|dockerd|containerd|podman|kubelet|\(.*\))$")
_SUPERVISOR_TEXT = re.compile(
    r"^(?:\d{4}-\d\d-\d\d [\d:,]+ )?(?:INFO |WARN |CRIT |ERRO )?(?:spawned: '|exited: |gave up: |supervisor: |success: |"
    r"spawnerr: |supervisord started)|^\S+\.service: |^/\S+\.service(?:\.d/\S+)?:\d+: "
)
_FAILURE = re.compile(
    r"Failed with result|code=(?:killed|dumped)|code=exited, status=[1-9]|not expected\)|entered FATAL|exited with code [1-9]",
    re.IGNORECASE,
)
# Errors that servers and the interpreter print and go on after.
_HARMLESS = re.compile(
    r"Control server error|resource_tracker: |leaked \w+ objects|Task was destroyed but it is pending|Unclosed client session|"
    r"Task exception was never retrieved|\(trapped\) error reading bcrypt version",
    re.IGNORECASE,
)
# What a server's parent process says of its workers, often only as a warning.
WORKER_DEATH = re.compile(
    r"Worker (?:\(pid: ?\d+\)|with pid \d+) (?:was sent|exited|was terminated)|WORKER TIMEOUT|Worker failed to boot|Child process \[\d+\] died|"
    r"worker \d+ \(pid: \d+\) died|HARAKIRI ON WORKER|exited prematurely|Process Spawn(?:Process)?-\d+:|Unexpected exit from worker",
    re.IGNORECASE,
)
_LEVELS = {"CRITICAL": 1.0, "FATAL": 1.0, "ERROR": 0.95, "WARNING": 0.6, "INFO": 0.4, "DEBUG": 0.2}
# Lookups that libraries try and translate: what is raised during their handling is what failed.
_LOOKUPS = {"KeyError", "AttributeError", "IndexError", "StopIteration", "LookupError", "StopAsyncIteration", "Empty"}


@dataclass
class Observed:
    """Everything that conditions and signals look at. ``served`` and ``ended`` are of the latest attempt."""

    evidence: Mapping[str, Any]
    attempts: list[Attempt] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    lines: list[SeenLine] = field(default_factory=list)
    served: bool = False
    ended: bool = False
    failed_starts: int = 0
    _searched: dict[tuple[str, str], list[Hit]] = field(default_factory=dict)
    memo: dict[str, Any] = field(default_factory=dict)
    _text: str = ""
    _starts: list[int] | None = None

    def fact(self, path: str) -> Any:
        """The first value at an evidence path, or None."""
        return fact(self.evidence, path)

    def search(self, pattern: Pattern, by: str = "") -> list[Hit]:
        """All lines that a pattern finds, the weightiest first; ``by`` restricts whose lines (app, supervisor, …)."""
        key = (pattern.text, by)
        if key not in self._searched:
            hits = []
            for line in self._lines_with(pattern.literals):
                if by and line.by != by:
                    continue
                match = pattern.search(line.text, line.lowered)
                if match is not None:
                    kind = "health" if line.by == "health" else "log"
                    hits.append(Hit((line.citation,), kind, line.weight, named(match)))
            hits.sort(key=lambda hit: -hit.weight)
            self._searched[key] = hits
        return self._searched[key]

    def _lines_with(self, literals: tuple[str, ...]) -> Iterable[SeenLine]:
        """The lines that hold one of the substrings, found in all lines as one text; all of them when there are none."""
        if not literals:
            return self.lines
        if self._starts is None or len(self._starts) != len(self.lines) + 1:
            self._text = "\n".join(line.lowered for line in self.lines)
            self._starts = list(accumulate((len(line.lowered) + 1 for line in self.lines), initial=0))
        found: set[int] = set()
        for literal in literals:
            at = self._text.find(literal)
            while at >= 0:
                index = bisect_right(self._starts, at) - 1
                found.add(index)
                at = self._text.find(literal, self._starts[index + 1])
        return [self.lines[index] for index in sorted(found)]


def named(match: re.Match[str]) -> dict[str, str]:
    """The named groups that took part in a match."""
    return {name: value for name, value in match.groupdict().items() if value}


def observe(evidence: Mapping[str, Any]) -> Observed:
    """Read logs, import test and health answers of the evidence into observations, the weightiest exceptions first."""
    observed = Observed(evidence, attempts_from_evidence(evidence))
    paths = {str(source.get("id")): source for source in _sources(evidence)}
    by_source: dict[str, list[Attempt]] = {}
    for attempt in observed.attempts:
        by_source.setdefault(attempt.source, []).append(attempt)
    for source, attempts in by_source.items():
        path = str(paths.get(source, {}).get("path") or source)
        _observe_source(observed, attempts, path, _stale(evidence, paths.get(source, {})))
    for name in ("import_test", "foreground_test"):
        _observe_test(observed, name)
    _observe_sentences(observed)
    observed.seen.sort(key=lambda seen: -seen.weight)
    return observed


def _sources(evidence: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = fact(evidence, "logs.sources")
    return [source for source in found if isinstance(source, Mapping)] if isinstance(found, list) else []


def _stale(evidence: Mapping[str, Any], source: Mapping[str, Any]) -> bool:
    """Whether a log file was last written long before the current start, so that it tells of another time."""
    modified, since = source.get("modified"), fact(evidence, "service.since")
    if not (isinstance(modified, str) and isinstance(since, str)):
        return False
    return modified[:10] < since[:10]


def _observe_source(observed: Observed, attempts: list[Attempt], path: str, stale: bool) -> None:
    newest = attempts[-1]
    if _ended_by_facts(observed.evidence) and not newest.ended:
        newest = replace(newest, ended=True)
        attempts = [*attempts[:-1], newest]
    if _refused_after_start(newest):
        newest = replace(newest, ended=True, served=False)
        attempts = [*attempts[:-1], newest]
    pending = len(attempts) > 1 and not (newest.ended or newest.served) and not tracebacks(newest)
    # Starts that served and then failed: that the latest one serves proves nothing.
    relapsing = any(attempt.served and _failed(attempt) for attempt in attempts[-ATTEMPTS_PER_SOURCE:-1])
    observed.served = observed.served or (newest.served and not stale and not relapsing)
    observed.ended = observed.ended or newest.ended
    observed.failed_starts = max(observed.failed_starts, sum(1 for attempt in attempts if attempt.ended))
    for back, attempt in enumerate(reversed(attempts[-ATTEMPTS_PER_SOURCE:])):
        age = max(0, back - 1) if pending else back
        fade = _fade(age)
        if age and newest.served and not (newest.ended or relapsing):
            fade = 0.15  # the latest start succeeded: what stopped earlier ones is over
        if stale:
            fade *= 0.3
        _observe_attempt(observed, attempt, path, age, fade)


def _failed(attempt: Attempt) -> bool:
    """Whether the supervisor says of an attempt that it failed."""
    return any(_FAILURE.search(line.text[:300]) for line in attempt.lines[-40:] if speaker(line) == "supervisor")


def _refused_after_start(attempt: Attempt) -> bool:
    """Whether an error right after the start made the server shut down again: the port, in nearly all cases."""
    if not attempt.served:
        return False
    tail = attempt.lines[-60:]
    for index, line in enumerate(tail):
        if _is_shutdown(line.text):
            before = tail[max(0, index - 2) : index]
            return any(item.level in ("ERROR", "CRITICAL") for item in before)
    return False


def _says(pattern: re.Pattern[str], words: tuple[str, ...], text: str) -> bool:
    """Whether a pattern is in the head of a line; plain substrings sort most lines out, which is ten times faster."""
    head = text[:400]
    lowered = head.lower()
    return any(word in lowered for word in words) and pattern.search(head) is not None


def _is_shutdown(text: str) -> bool:
    return _says(_SHUTDOWN, _SHUTDOWN_WORDS, text)


def _ended_by_facts(evidence: Mapping[str, Any]) -> bool:
    """Whether the supervisor knows of an exit with an error and of no new start."""
    if _runs(evidence):
        return False
    code, name = fact(evidence, "service.exit.code"), fact(evidence, "service.exit.signal")
    return bool(name) or (isinstance(code, int) and not isinstance(code, bool) and code not in (0, 143, 130))


def _observe_attempt(observed: Observed, attempt: Attempt, path: str, age: int, fade: float) -> None:
    lines = attempt.lines
    window = _window(len(lines))
    served = [index for index in window if _says(_SERVED, _SERVED_WORDS, lines[index].text)]
    first_served, last_served = (served[0], served[-1]) if served else (len(lines), -1)
    shutdown = next((i for i in window if i > first_served and _is_shutdown(lines[i].text)), len(lines))
    found = _telling(tracebacks(attempt))
    index_of: dict[int, int] = {}
    for index, line in enumerate(lines):
        index_of.setdefault(line.number, index)
    covered: dict[int, float] = {}
    final = max((tb.last_line for tb in found if not tb.ignored), default=-1)
    for tb in found:
        index = index_of.get(tb.first_line, 0)
        end = index_of.get(tb.last_line, index)
        phase = _phase(index, first_served, shutdown)
        handled = end < last_served and not tb.fatal
        harmless = any(_HARMLESS.search(lines[at].text[:300]) for at in (max(0, index - 1), index) if at < len(lines))
        weight = 0.12 if harmless else _traceback_weight(tb, attempt, handled, tb.last_line == final, phase)
        weight *= fade
        _add_chain(observed, tb, path, "log", phase, handled, age, weight)
        for covered_index in range(index, end + 1):
            covered[covered_index] = weight
    last_place = {lines[index].text: index for index in window}
    for index in window:
        line = lines[index]
        if not line.text.strip() or last_place[line.text] != index:
            continue  # of lines that repeat the last one stands for all
        place = _line_weight(line, index, len(lines), last_served, attempt)
        weight = covered.get(index, fade * place)
        text = bounded(line.text)
        citation = Citation(path, line.number, line.quote)
        phase = _phase(index, first_served, shutdown)
        observed.lines.append(SeenLine(text, text.lower(), citation, age, weight, phase, speaker(line), line.level))


def _telling(found: list[Traceback]) -> list[Traceback]:
    """All different exceptions of an attempt, or of very many the first, the last, and those that ended a process."""
    if len(found) <= FIRST_ERRORS + LAST_ERRORS:
        return found
    middle = [tb for tb in found[FIRST_ERRORS:-LAST_ERRORS] if tb.fatal]
    return [*found[:FIRST_ERRORS], *middle[-FIRST_ERRORS:], *found[-LAST_ERRORS:]]


def _window(count: int) -> Sequence[int]:
    if count <= HEAD_LINES + TAIL_LINES:
        return range(count)
    return [*range(HEAD_LINES), *range(count - TAIL_LINES, count)]


def _phase(index: int, first_served: int, shutdown: int) -> str:
    if index >= shutdown:
        return "shutdown"
    return "serving" if index > first_served else "start"


def speaker(line: LogLine) -> str:
    """Who speaks: ``kernel``, ``supervisor`` or ``app``."""
    unit = line.mark.unit or ""
    if unit == "kernel":
        return "kernel"
    if _SUPERVISORS.match(unit) or _SUPERVISOR_TEXT.match(line.text):
        return "supervisor"
    return "app"


def _traceback_weight(tb: Traceback, attempt: Attempt, handled: bool, final: bool, phase: str) -> float:
    if tb.ignored:
        return 0.1
    if tb.fatal:
        return 1.0
    level = _LEVELS.get(tb.level or "", 0.9) if tb.logged else 1.0
    if handled:
        return 0.3 * level if attempt.ended else 0.2 * level
    if phase != "start" and not attempt.ended:
        return 0.5 * level
    return (1.0 if final else 0.75) * max(level, 0.5)


def _line_weight(line: LogLine, index: int, count: int, last_served: int, attempt: Attempt) -> float:
    if speaker(line) != "app":
        return 1.0
    if WORKER_DEATH.search(line.text[:200]):
        return 0.95
    if _HARMLESS.search(line.text[:300]):
        return 0.12
    weight = _LEVELS.get(line.level or "", 0.85)
    if index < last_served:
        return weight * 0.25
    return weight if index >= count - _NEAR_END else weight * 0.75


def _add_chain(
    observed: Observed, tb: Traceback, path: str, source: str, phase: str, handled: bool, age: int, weight: float
) -> None:
    chain = list(tb.walk())
    packages = tuple(dict.fromkeys(f.package for raised in chain for f in raised.frames if f.package))
    for index, raised in enumerate(chain):
        position = "only" if len(chain) == 1 else "root" if not index else "last" if raised is chain[-1] else "middle"
        share = 1.0 if position in ("only", "root") else 0.92
        innermost = raised.innermost
        if raised.relation == "context" and raised.type in _LOOKUPS and innermost and innermost.origin != "app":
            share = 0.4
        if not raised.type:
            share *= 0.3  # the log was cut off before the line that says what was raised
        quote = f"{raised.qualified}: {raised.first_line}" if raised.first_line else raised.qualified
        frame = raised.last_app_frame
        if frame is not None:
            code = f": {frame.code.strip()}" if frame.code else ""
            quote = f"{quote[:180]} (at {frame.file}:{frame.line}{code})"
        attested = source != "log"
        citation = (
            Citation(f"{source}.exception", None, quote[:300], True)
            if attested
            else Citation(path, raised.line or tb.last_line, quote[:300])
        )
        observed.seen.append(
            Seen(raised, tb, position, source, citation, phase, handled, age, weight * share, packages)
        )


def _observe_test(observed: Observed, name: str) -> None:
    """The import test saw the exception itself; what its sandbox withheld is not held against the backend."""
    section = observed.evidence.get(name)
    if not isinstance(section, Mapping) or not section.get("ran") or section.get("outcome") == "withheld":
        return
    found = from_import_test(section, source=name)
    if found is None:
        return
    withheld = section.get("withheld") or []
    excused = bool(withheld) and any(raised.errno in _WITHHELD_ERRNOS for raised in found.walk())
    if not excused:
        _add_chain(observed, found, f"{name}.exception", name, "start", False, 0, 1.0)


# EPERM, EACCES, EROFS, ENETUNREACH, ECONNREFUSED, EADDRNOTAVAIL and resolver errors: what a sandbox answers.
_WITHHELD_ERRNOS = {1, 13, 30, 99, 101, 111, -2, -3, -5}


def _observe_sentences(observed: Observed) -> None:
    """The supervisor's own sentences and what health endpoints answered are lines, too."""
    sources = (
        ("service.messages[*]", "supervisor", True),
        ("service.load_error", "supervisor", True),
        ("service.exit.status_text", "supervisor", True),
        ("app.health.body", "health", False),
        ("app.health.tried[*].body", "health", False),
        ("kernel.other[*].text", "kernel", True),
    )
    ages = _message_ages(observed.evidence)
    survived = 0.2 if _runs(observed.evidence) else None
    for path, by, attested in sources:
        for concrete, value in resolve(observed.evidence, path):
            if isinstance(value, str) and value.strip():
                age = ages.get(concrete, 0)
                weight = survived if age and survived else _fade(age)
                for piece in value.splitlines()[:40]:
                    text = bounded(piece)
                    citation = Citation(concrete, None, text[:300], attested)
                    observed.lines.append(SeenLine(text, text.lower(), citation, age, weight, by=by))


def _message_ages(evidence: Mapping[str, Any]) -> dict[str, int]:
    """How many starts ago each of the supervisor's sentences was said; 0 for those of the start that runs, or was the last to end."""
    ages: dict[str, int] = {}
    age, pending = 0, not _runs(evidence)
    for path, value in reversed(list(resolve(evidence, "service.messages[*]"))):
        ages[path] = age
        pending = pending and not _ENDED.search(str(value)[:300])
        age += str(value).startswith("Started ") and not pending
    return ages


# systemd says how a start ended.
_ENDED = re.compile(r"Main process exited|Failed with result|Deactivated successfully|Succeeded\.$")


def _fade(age: int) -> float:
    """What a sentence of so many starts ago weighs."""
    return (1.0, 0.75, 0.6, 0.5)[min(age, 3)]


def _runs(evidence: Mapping[str, Any]) -> bool:
    return str(fact(evidence, "service.active_state") or "").lower() in ("active", "running", "reloading")
