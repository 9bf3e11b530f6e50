# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the log readers hand to the classifier: lines, attempts, and the exceptions found in them.

Everything here is plain immutable data. Line numbers are those of the source (1-based), so that a finding can be
cited. ``text`` is the message alone; what was cut off in front of it (time, host, unit, log level) is in the mark.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

QUOTE_LIMIT = 400
"""Longest quotation of a log line, in characters."""

FrameOrigin = Literal["app", "site-packages", "stdlib", "frozen", "string", "other"]
Relation = Literal["cause", "context"]
TracebackKind = Literal["traceback", "error_line", "faulthandler", "syntax", "pydantic", "click", "usage"]


@dataclass(frozen=True, slots=True)
class Mark:
    """What stood in front of a message. Lines with the same prefix share one mark.

    ``prefix`` is the text as it was; ``time`` the time as written (ISO 8601 where a date stood there); ``unit`` the
    container, journal identifier or program; ``pid`` the process that wrote the line as far as the line says;
    ``stream`` is ``stdout`` or ``stderr``; ``level`` is upper case (``WARNING``, never ``WARN``); ``logger`` is the
    name of the logger; ``record`` is true when the application's logging (not the transport) formatted the line.
    ``lane`` is the same for lines that one writer wrote one after the other, whatever came between them.
    """

    prefix: str = ""
    time: str | None = None
    unit: str | None = None
    pid: int | None = None
    stream: str | None = None
    level: str | None = None
    logger: str | None = None
    record: bool = False
    lane: str = ""


NO_MARK = Mark()


class Line(NamedTuple):
    """One line of a log. Several lines share a number when one physical line (JSON) held a whole traceback."""

    source: str
    number: int
    text: str
    mark: Mark = NO_MARK

    @property
    def time(self) -> str | None:
        """The time as the log wrote it."""
        return self.mark.time

    @property
    def pid(self) -> int | None:
        """The process that wrote the line, when the line says so."""
        return self.mark.pid

    @property
    def stream(self) -> str | None:
        """``stdout`` or ``stderr`` when the transport says so."""
        return self.mark.stream

    @property
    def level(self) -> str | None:
        """``DEBUG``, ``INFO``, ``WARNING``, ``ERROR`` or ``CRITICAL`` when the record names one."""
        return self.mark.level

    @property
    def raw(self) -> str:
        """The line with its prefix, without colours and control characters."""
        return self.mark.prefix + self.text

    @property
    def quote(self) -> str:
        """The message, short enough to print as evidence."""
        stripped = self.text.strip()
        return stripped if len(stripped) <= QUOTE_LIMIT else stripped[: QUOTE_LIMIT - 1] + "…"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One start of the backend, from its first line to the first line of the next start.

    ``index`` counts from 0, the oldest; ``newest`` is true for the last one of its source. ``began_with`` says what
    the cut was made at (``systemd``, ``supervisord``, ``uvicorn``, ``traceback``, …), ``None`` for the log's head.
    ``ended`` is true when the log shows that this attempt's process ended. ``served`` is true when the log shows that
    the server finished starting (``Application startup complete``, ``Listening at`` and a booted worker, …).
    """

    source: str
    index: int
    lines: tuple[Line, ...]
    invocation: str | None = None
    started: str | None = None
    pid: int | None = None
    began_with: str | None = None
    ended: bool = False
    served: bool = False
    newest: bool = False

    @property
    def text(self) -> str:
        """All messages, joined by newlines."""
        return "\n".join(line.text for line in self.lines)


@dataclass(frozen=True, slots=True)
class Frame:
    """One call of a stack. ``code`` is the source line as printed, ``None`` when it wasn't."""

    file: str
    line: int | None = None
    function: str | None = None
    code: str | None = None
    origin: FrameOrigin = "other"

    @property
    def package(self) -> str | None:
        """The top-level name below ``site-packages`` (``sqlalchemy``), ``None`` for every other origin."""
        if self.origin != "site-packages":
            return None
        for marker in ("site-packages", "dist-packages"):
            _head, found, tail = self.file.replace("\\", "/").rpartition(f"/{marker}/")
            if found:
                return tail.split("/", 1)[0].removesuffix(".py")
        return None


@dataclass(frozen=True, slots=True)
class SyntaxPlace:
    """Where the compiler gave up: ``File "…", line N`` above the error."""

    file: str
    line: int | None = None
    offset: int | None = None
    text: str | None = None
    origin: FrameOrigin = "other"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One entry of a pydantic ``ValidationError``: dotted field, message, machine-readable type if printed.

    ``given`` is ``input_type`` as pydantic 2 prints it; the input value itself is never kept.
    """

    field: str
    message: str
    type: str | None = None
    given: str | None = None


@dataclass(frozen=True, slots=True)
class Raised:
    """One exception. ``type`` is without its module, ``message`` may have several lines.

    ``relation`` says how it hangs on the one that follows it in the chain: its direct ``cause``, or the ``context``
    while which the next was raised; ``None`` for the last. ``name`` is the module, attribute or variable that the
    message names (``No module named 'x'``, ``cannot import name 'x'``, ``name 'x' is not defined``, ``KeyError: 'x'``)
    and ``owner`` the module or object that it was looked for in. ``errno`` is what stood after ``[Errno``,
    ``[WinError`` or a client's own "Error 111 connecting". ``group`` holds the chains inside an exception group.
    ``repeated`` is how many frames the interpreter folded (``[Previous line repeated N more times]``). ``frames`` go
    from the outermost to the innermost, without those of importlib. ``type`` is empty when its line is missing.
    """

    type: str
    message: str = ""
    module: str | None = None
    relation: Relation | None = None
    frames: tuple[Frame, ...] = ()
    name: str | None = None
    owner: str | None = None
    errno: int | None = None
    filename: str | None = None
    syntax: SyntaxPlace | None = None
    fields: tuple[FieldError, ...] = ()
    repeated: int = 0
    group: tuple[tuple[Raised, ...], ...] = ()
    truncated_frames: bool = False
    line: int | None = None

    @property
    def qualified(self) -> str:
        """``sqlalchemy.exc.OperationalError``; builtins have no module."""
        return f"{self.module}.{self.type}" if self.module else self.type

    @property
    def first_line(self) -> str:
        """The message's first line."""
        return self.message.partition("\n")[0]

    @property
    def innermost(self) -> Frame | None:
        """Where it was raised."""
        return self.frames[-1] if self.frames else None

    @property
    def last_app_frame(self) -> Frame | None:
        """The application's own frame that is nearest to the raising one."""
        return next((frame for frame in reversed(self.frames) if frame.origin == "app"), None)


@dataclass(frozen=True, slots=True)
class Traceback:
    """A chain of exceptions as printed, the first raised first, or a line or block that stands for one.

    ``kind`` tells what it was: a ``traceback``; ``error_line``, one sentence of a server or a bare exception line
    without frames; ``faulthandler``, a dump of the C level; ``syntax``, a block without the header; ``pydantic``, a
    printed validation error; ``click`` and ``usage``, a refused command line.
    ``logged`` is true when a logger printed it (the process may have gone on), ``ignored`` when the interpreter said
    that it went on (``Exception ignored in``). ``fatal`` is true when what is printed proves that the process ended
    with it: an outermost frame at module level that no logger printed, a fatal interpreter error, a usage error.
    ``remote`` marks the copy that multiprocessing and concurrent.futures print of another process' traceback.
    ``count`` is how many identical ones were folded into this one; ``lines`` how many log lines it covers;
    ``intro`` is the log message above it.
    """

    chain: tuple[Raised, ...]
    source: str
    first_line: int
    last_line: int
    attempt: int = 0
    kind: TracebackKind = "traceback"
    logged: bool = False
    level: str | None = None
    logger: str | None = None
    intro: str | None = None
    fatal: bool = False
    ignored: bool = False
    remote: bool = False
    header_missing: bool = False
    unfinished: bool = False
    count: int = 1
    pid: int | None = None
    signal: str | None = None
    time: str | None = field(default=None, compare=False)

    @property
    def first(self) -> Raised:
        """The first raised: usually the cause."""
        return self.chain[0]

    @property
    def final(self) -> Raised:
        """The last raised: what the process died of in name."""
        return self.chain[-1]

    def walk(self) -> Iterator[Raised]:
        """Every exception, the first raised first, those inside exception groups before the group itself."""
        for raised in self.chain:
            yield from _walk(raised)

    def in_attempt(self, index: int) -> Traceback:
        """The same traceback, told to belong to another attempt."""
        return replace(self, attempt=index)


def _walk(raised: Raised) -> Iterator[Raised]:
    for chain in raised.group:
        for inner in chain:
            yield from _walk(inner)
    yield raised
