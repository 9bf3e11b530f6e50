# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the classifier sees of one backend: exceptions, lines and facts, each with where it can be looked up."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .log_model import Frame, Raised, Traceback

QUOTE_LIMIT = 300
_STEP = re.compile(r"([A-Za-z_][\w-]*)|\[(\*|\d+)\]")


@dataclass(frozen=True)
class Citation:
    """Where something was seen. ``file`` is a log's path, or the evidence path of a fact; ``line`` is None for facts."""

    file: str
    line: int | None
    quote: str
    attested: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The shape of ``root_cause.evidence[]`` in the diagnosis."""
        return {
            "kind": "log" if self.line is not None else "fact",
            "file": self.file,
            "line": self.line,
            "quote": self.quote,
            "attested": self.attested,
        }


@dataclass(frozen=True)
class Hit:
    """A condition that holds.

    ``kind`` is log, exception, import_test, health or fact. ``weight`` from 0 to 1 says how much the place where it
    was seen speaks for its being the reason of the stop: 1 for the exception that ended the latest attempt, less for
    what was handled, came earlier, or was not seen again. ``captures`` feed the subject.
    """

    citations: tuple[Citation, ...]
    kind: str = "fact"
    weight: float = 1.0
    captures: Mapping[str, str] = field(default_factory=dict)

    @property
    def attested(self) -> bool:
        """Whether anything of it can't be forged by somebody who can only write log lines."""
        return any(citation.attested for citation in self.citations)


@dataclass(frozen=True)
class Seen:
    """One exception of a chain, with what its place among the attempts says.

    ``position`` is ``only``, ``root`` (raised first), ``middle`` or ``last``; ``source`` is log, import_test or
    foreground_test; ``phase`` is start, serving or shutdown; ``age`` counts attempts back from the latest (0);
    ``weight`` is as in :class:`Hit`; ``packages`` are the third-party packages of the whole chain, outermost first.
    """

    raised: Raised
    traceback: Traceback
    position: str
    source: str
    citation: Citation
    phase: str = "start"
    handled: bool = False
    age: int = 0
    weight: float = 1.0
    packages: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The exception as the interpreter prints it, the message's first lines included."""
        raised = self.raised
        return f"{raised.qualified}: {raised.message}" if raised.message else raised.qualified

    @property
    def failing(self) -> Frame | None:
        """The innermost frame that isn't of the import machinery."""
        return next((frame for frame in reversed(self.raised.frames) if not is_import_machinery(frame)), None)

    @property
    def origin(self) -> str:
        """Whose code raised it: app, site-packages, stdlib, string, other, or none without such a frame."""
        frame = self.failing
        return frame.origin if frame else "none"

    @property
    def app_frame(self) -> Frame | None:
        """The innermost frame of the application's own code, of this exception or else of its chain."""
        own = self.raised.last_app_frame
        if own is not None:
            return own
        frames = (raised.last_app_frame for raised in self.traceback.walk())
        return next((frame for frame in frames if frame is not None), None)


@dataclass(frozen=True)
class SeenLine:
    """One line of a log. ``by`` is app, supervisor, kernel or health; ``weight``, ``age``, ``phase`` as in :class:`Seen`."""

    text: str
    lowered: str
    citation: Citation
    age: int = 0
    weight: float = 1.0
    phase: str = "start"
    by: str = "app"
    level: str | None = None


def is_import_machinery(frame: Frame) -> bool:
    """Frames of importlib and runpy say nothing about whose code failed."""
    return frame.origin == "frozen" or frame.file.replace("\\", "/").endswith(("/importlib/__init__.py", "/runpy.py"))


def resolve(evidence: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield (concrete path, value) for an evidence path such as ``symlinks.links[*].loop``; nothing when absent.

    A section that says that it is unavailable yields nothing below it.
    """
    steps = [(match.group(1), match.group(2)) for match in _STEP.finditer(path)]
    yield from _walk(evidence, steps, "")


def _walk(value: Any, steps: list[tuple[str | None, str | None]], seen: str) -> Iterator[tuple[str, Any]]:
    if not steps:
        yield seen, value
        return
    (key, index), rest = steps[0], steps[1:]
    if key is not None:
        if isinstance(value, Mapping) and key in value and "unavailable" not in value:
            yield from _walk(value[key], rest, f"{seen}.{key}" if seen else key)
    elif isinstance(value, list):
        if index == "*":
            for position, item in enumerate(value):
                yield from _walk(item, rest, f"{seen}[{position}]")
        elif index is not None and int(index) < len(value):
            yield from _walk(value[int(index)], rest, f"{seen}[{index}]")


def fact(evidence: Any, path: str) -> Any:
    """The first value at an evidence path, or None."""
    return next((value for _path, value in resolve(evidence, path)), None)


def facts(evidence: Any, path: str) -> list[Any]:
    """All values at an evidence path, mostly one with ``[*]``."""
    return [value for _path, value in resolve(evidence, path)]


def cite_fact(path: str, value: Any, attested: bool = True) -> Citation:
    """A citation of one fact; containers are shortened to what fits a line."""
    return Citation(path, None, _short(value)[:QUOTE_LIMIT], attested)


def _short(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        plain = (f"{key}={_short(item)}" for key, item in value.items() if isinstance(item, (str, int, float)))
        return ", ".join(plain)
    if isinstance(value, list):
        return ", ".join(_short(item) for item in value[:8])
    if value is None:
        return "unknown"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
