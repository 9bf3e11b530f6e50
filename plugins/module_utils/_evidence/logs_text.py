# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Log text made harmless and small: decoding, control characters, attempts, and head and tail of what is too long."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

LINE_BYTES = 4 * 1024
WHOLE_ATTEMPTS = 3
SAMPLED_ATTEMPTS = 3
SAMPLE_LINES = 60
HEAD_LINES = 120

_ESCAPE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours and cursor movement
    r"|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?"  # titles, hyperlinks, device control strings
    r"|\x1b[ -/]*[0-~]?"
)
# C0 but tab and newline, delete, C1, and the marks that reorder text on a screen; line separators are no newlines here.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")

_SEPARATOR = re.compile(r"(?<=[^\0\n])\0(?=[^\0\n])")

# What a server prints once when it starts; a line that matches begins a new attempt.
START_MARKS = (
    r"Started parent process \[\d+\]",
    r"Started server process \[\d+\]",
    r"Will watch for changes in these directories",
    r"\[INFO\] Starting gunicorn ",
    r"\[INFO\] Running on https?://.*\(CTRL \+ C to quit\)",
    r"Starting server at (?:tcp|unix|fd|ssl):",
    r"Watching for file changes with ",
    r"Performing system checks\.\.\.",
    r"\*\*\* Starting uWSGI ",
    r"-{14} celery@",
    r"^ \* Serving Flask app ",
)
_START = re.compile("|".join(START_MARKS))
_TRACEBACK = "Traceback (most recent call last):"
_FRAME = re.compile(r'^\s*(?:\|\s*)?File "[^"]*", line \d+(?:, in (.+))?$')
_EXCEPTION = re.compile(r"^[A-Za-z_][\w.]*(?:: |$)")
_RECORD = re.compile(r"^\[?\d{4}-\d\d-\d\d|^(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)\b|^\[\d\d/")
_LINK = re.compile(r"^(?:During handling of the above exception|The above exception was the direct cause)")


@dataclass
class Cut:
    """One run of the backend within a log: the lines, the number of the first, and what is known about the run.

    ``epoch`` is ``started`` in seconds since 1970. ``offsets`` are seconds since then, one a line, and ``pids`` the
    process of each line; both only from the journal. ``gaps`` are indexes before which lines were never gathered.
    """

    first_line: int
    lines: list[str] = field(default_factory=list)
    started: Optional[str] = None
    epoch: float = 0.0
    ended: Optional[str] = None
    invocation: Optional[str] = None
    pid: Optional[int] = None
    offsets: list[float] = field(default_factory=list)
    pids: list[int] = field(default_factory=list)
    gaps: list[int] = field(default_factory=list)


def looks_binary(raw: bytes) -> bool:
    """Whether bytes are no text. Runs of NUL alone are not enough: copytruncate leaves them in front of real text."""
    sample = raw[-64 * 1024 :].replace(b"\0", b"")
    if not sample:
        return bool(raw)
    controls = sum(sample.count(byte) for byte in range(32) if byte not in (8, 9, 10, 12, 13, 27))
    broken = sample.decode("utf-8", errors="replace").count("\ufffd")
    # Latin-1 text has a broken byte here and there; compressed data has them everywhere.
    return controls * 20 > len(sample) or broken * 4 > len(sample)


def decode(raw: bytes) -> str:
    """Bytes of a log as text; UTF-16 only with its byte-order mark."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", errors="replace")
    return raw.decode("utf-8", errors="replace")


def clean(text: str) -> str:
    """Text without terminal control: escape sequences and control characters go, tab and newline stay."""
    if "\r" in text:
        # A progress bar overwrites itself with carriage returns: what stands there in the end is its last state.
        text = re.sub(r"[^\n]*\r(?=[^\n])", "", text.replace("\r\n", "\n"))
    if "\x1b" in text:
        text = _ESCAPE.sub("", text)
    if "\0" in text:
        # One NUL separates entries, of an environment for instance, and is shown; rows of them are holes in the file.
        text = _SEPARATOR.sub("\u2400", text)
    return _CONTROL.sub(_replacement, text)


def _replacement(match: re.Match[str]) -> str:
    return " " if match.group() in "\u2028\u2029\x0b\x0c" else ""


def cap_line(line: str) -> str:
    """A line of at most 4 KiB with a marker that says how much was left out; both ends are kept."""
    if len(line) <= LINE_BYTES:
        return line
    keep = LINE_BYTES // 2
    return f"{line[:keep]} [... {len(line) - 2 * keep} characters left out ...] {line[-keep:]}"


def split_lines(text: str) -> list[str]:
    """Cleaned, capped lines, split at newlines only, so that numbers agree with every editor's."""
    lines = clean(text).split("\n")
    if lines and not lines[-1]:
        lines.pop()
    return [cap_line(line) for line in lines]


def cut_attempts(lines: Sequence[str], first_line: int) -> list[Cut]:
    """Cut a log file at the lines where the backend started anew.

    A start is a server's own start message, or what follows an uncaught exception: a traceback whose first frame is
    ``in <module>`` ended its process, so the next traceback or log record is of the next one.
    """
    cuts: list[Cut] = [Cut(first_line)]
    state = _Uncaught()
    last_start = -1
    for index, line in enumerate(lines):
        starts = bool(_START.search(line))
        # Several marks of one start stand close together; they are one start.
        begins = state.ended_before(line) or (starts and (last_start < 0 or index - last_start > 12))
        if starts:
            last_start = index
        if begins and cuts[-1].lines:
            cuts.append(Cut(first_line + index))
            state = _Uncaught()
        cuts[-1].lines.append(line)
        state.feed(line)
    return [cut for cut in cuts if cut.lines]


class _Uncaught:
    """Follows a log line by line and knows whether an exception has just ended the process."""

    def __init__(self) -> None:
        self.in_traceback = False
        self.top_level = False
        self.frames = 0
        self.dead = False
        self.linked = False

    def ended_before(self, line: str) -> bool:
        """Whether this line must come from the next process."""
        if not self.dead or self.linked:
            return False
        return line.startswith(_TRACEBACK) or bool(_RECORD.match(line)) or bool(_START.search(line))

    def feed(self, line: str) -> None:
        if line.startswith(_TRACEBACK):
            # In a chain, the outermost frame of any of its tracebacks may be the top level one.
            self.top_level = self.top_level and self.linked
            self.in_traceback, self.frames, self.dead, self.linked = True, 0, False, False
        elif _LINK.match(line):
            self.linked, self.dead = True, False
        elif self.in_traceback:
            frame = _FRAME.match(line)
            if frame:
                self.frames += 1
                self.top_level = self.top_level or (self.frames == 1 and frame.group(1) in ("<module>", None))
            elif line[:1] not in (" ", "\t", "") and self.frames and _EXCEPTION.match(line):
                self.in_traceback = False
                self.dead = self.top_level


def pack(cuts: Sequence[Cut], budget: int) -> tuple[list[dict[str, Any]], int, bool]:
    """Attempts in the evidence's shape within ``budget`` bytes: (attempts, attempts left out, anything left out).

    The latest attempts stay whole while the budget lasts, then shrink to head and tail; of the older ones the first
    and an even sample are kept, shortened.
    """
    cuts = list(cuts)
    latest = cuts[-WHOLE_ATTEMPTS:]
    older = _sample(cuts[:-WHOLE_ATTEMPTS])
    reserve = min(budget // 4, 16 * 1024 * len(older))
    left = budget - reserve
    packed: list[tuple[dict[str, Any], bool]] = []
    for position, cut in enumerate(reversed(latest)):
        # The newest may use most of it, and what it leaves is the next one's.
        share = left * 2 // 3 if position + 1 < len(latest) else left
        attempt, cut_short, used = _attempt(cut, share, None)
        left -= used
        packed.insert(0, (attempt, cut_short))
    left += reserve
    for position, cut in enumerate(older):
        attempt, cut_short, used = _attempt(cut, left // (len(older) - position), SAMPLE_LINES)
        left -= used
        packed.insert(position, (attempt, cut_short))
    omitted = len(cuts) - len(packed)
    return [attempt for attempt, _short in packed], omitted, omitted > 0 or any(short for _attempt, short in packed)


def _sample(cuts: list[Cut]) -> list[Cut]:
    """The first of the older attempts and an even choice of the rest."""
    if len(cuts) <= 1 + SAMPLED_ATTEMPTS:
        return cuts
    rest = cuts[1:]
    step = len(rest) / SAMPLED_ATTEMPTS
    return [cuts[0], *(rest[int(step * (number + 1)) - 1] for number in range(SAMPLED_ATTEMPTS))]


def _attempt(cut: Cut, budget: int, max_lines: Optional[int]) -> tuple[dict[str, Any], bool, int]:
    """One attempt in the evidence's shape, whether lines were left out, and the bytes it takes."""
    count = len(cut.lines)
    sizes = [len(line) + 1 for line in cut.lines]
    total = sum(sizes)
    fits = total <= budget and (max_lines is None or count <= max_lines)
    ranges = [(0, count)] if fits else _head_and_tail(sizes, min(budget, total), max_lines)
    for gap in sorted(cut.gaps):
        ranges = [part for start, end in ranges for part in _split(start, end, gap)]
    segments = []
    for start, end in ranges:
        segment: dict[str, Any] = {"first_line": cut.first_line + start, "lines": cut.lines[start:end]}
        if cut.offsets:
            segment["offsets_s"] = cut.offsets[start:end]
        if len(set(cut.pids) - {0, 1}) > 1:
            segment["pids"] = cut.pids[start:end]
        segments.append(segment)
    attempt = {
        "started": cut.started,
        "ended": cut.ended,
        "invocation": cut.invocation,
        "pid": cut.pid,
        "segments": segments,
    }
    kept = sum(end - start for start, end in ranges)
    return attempt, kept < count, sum(sum(sizes[start:end]) for start, end in ranges)


def _split(start: int, end: int, gap: int) -> list[tuple[int, int]]:
    return [(start, gap), (gap, end)] if start < gap < end else [(start, end)]


def _head_and_tail(sizes: list[int], budget: int, max_lines: Optional[int]) -> list[tuple[int, int]]:
    """Index ranges to keep: about a third from the start, where the first error is, the rest from the end."""
    head_lines = HEAD_LINES if max_lines is None else max_lines // 3
    head, used = 0, 0
    while head < min(len(sizes), head_lines) and used + sizes[head] <= budget // 3:
        used += sizes[head]
        head += 1
    tail = len(sizes)
    fewest = head if max_lines is None else max(head, len(sizes) - (max_lines - head))
    while tail > fewest and used + sizes[tail - 1] <= budget:
        tail -= 1
        used += sizes[tail]
    ranges = [(0, head), (tail, len(sizes))] if head < tail else [(0, len(sizes))]
    return [(start, end) for start, end in ranges if end > start]
