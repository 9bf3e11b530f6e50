# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A printed chain of exceptions to data: sections, their joints, exception groups, truncated and headerless ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from .exceptions import SYNTAX_ERRORS, complete, continues_message, is_validation_head, parse_exception
from .frames import CHAIN_SENTENCES, is_dropped, is_location, is_marker, origin_of, parse_frame, repeated
from .log_model import Frame, Line, Raised, Relation, SyntaxPlace
from .restarts import event_of
from .rich_boxes import is_rich_head, read_rich

HEADER = "Traceback (most recent call last)"
GROUP_HEADER = "Exception Group Traceback"

_MESSAGE_LINES = 200
_CHAIN_LIMIT = 60
_GROUP_DEPTH = 12
# The interpreter itself prints 15 and says how many more there are.
_GROUP_WIDTH = 20
_SUB_SEPARATOR = re.compile(r"\+-{4,}")
_BARE_GROUP = re.compile(r"(?P<indent> {0,40})\| (?:[\w.]{1,200}\.)?(?:Base)?ExceptionGroup: ")
_AFTER_BLANK = ("(Background on", "ERRORS:", "WARNINGS:", "Did you ", "\t", "IMPORTANT", "Original error was")
_OMITTED = re.compile(
    r"\s*(?:\.{3}|\[\.{3}\]|…|<\s*\d+ .{0,40}(?:omitted|truncated).*|\.{3}.{0,60}(?:omitted|more).*)$"
)


class Row(NamedTuple):
    """A log line and the part of its text that is looked at, once margins are off."""

    line: Line
    text: str


@dataclass(frozen=True, slots=True)
class Chain:
    """A parsed chain, the first raised first; ``end`` is the index of the first row behind it."""

    raised: tuple[Raised, ...]
    end: int
    unfinished: bool


@dataclass
class _Section:
    raised: Raised
    end: int
    unfinished: bool


def is_header(text: str) -> bool:
    """Whether a traceback begins at this line, in whatever form."""
    return HEADER in text


def group_column(text: str) -> int | None:
    """Where the margin of an exception group stands that was printed without a header of its own."""
    found = _BARE_GROUP.match(text) if "ExceptionGroup: " in text else None
    return len(found["indent"]) if found else None


def relation_of(text: str) -> Relation | None:
    """How the exception above this sentence hangs on the one below it."""
    stripped = text.strip(" |")
    if stripped == CHAIN_SENTENCES[0]:
        return "cause"
    if stripped == CHAIN_SENTENCES[1]:
        return "context"
    return None


def parse_chain(rows: Sequence[Row], at: int, depth: int = 0) -> Chain:
    """Parse from a header, or from the first frame when the header is missing."""
    column = group_column(rows[at].text) if depth == 0 else None
    if column is not None:
        inner_rows, end = _without_margin(rows, at, column)
        inner = parse_chain(inner_rows, 0, depth + 1)
        return Chain(inner.raised, end, inner.unfinished)
    found: list[Raised] = []
    unfinished = False
    while len(found) < _CHAIN_LIMIT:
        text = rows[at].text
        if GROUP_HEADER in text and "+ " + GROUP_HEADER in text and depth < _GROUP_DEPTH:
            inner_rows, end = _without_margin(rows, at, text.index("+"))
            inner = parse_chain(inner_rows, 0, depth + 1)
            found.extend(inner.raised)
            unfinished = inner.unfinished
        else:
            section = _section(rows, at, depth)
            found.append(section.raised)
            unfinished, end = section.unfinished, section.end
        joint = _skip_blank(rows, end)
        relation = relation_of(rows[joint].text) if joint < len(rows) else None
        if relation is None:
            break
        found[-1] = replace(found[-1], relation=relation)
        following = _skip_blank(rows, joint + 1)
        if following >= len(rows) or not is_header(rows[following].text):
            end, unfinished = joint + 1, True
            break
        at = following
    return Chain(tuple(found), end, unfinished)


def _skip_blank(rows: Sequence[Row], at: int) -> int:
    limit = at + 4
    while at < len(rows) and at < limit and rows[at].text.strip(' |"') == "":
        at += 1
    return at


def _without_margin(rows: Sequence[Row], at: int, column: int) -> tuple[list[Row], int]:
    """The rows of an exception group without the bar at ``column``, and the index behind them."""
    result = [Row(rows[at].line, rows[at].text[column + 2 :])]
    end = at + 1
    while end < len(rows):
        text = rows[end].text
        mark = text[column : column + 1]
        if mark == "|":
            result.append(Row(rows[end].line, text[column + 2 :]))
        elif mark == "+" or (text[column : column + 2] == "  " and text[column + 2 : column + 3] in ("|", "+", " ")):
            result.append(Row(rows[end].line, text[column:]))
        else:
            break
        end += 1
    return result, end


def _section(rows: Sequence[Row], at: int, depth: int) -> _Section:
    """One exception: header (unless it's missing), frames, the exception's line, its message, its sub-exceptions."""
    head = rows[at].text
    if is_rich_head(head):
        return _rich_section(rows, at)
    frames: list[Frame] = []
    state = _Frames(frames)
    base = len(head) - len(head.lstrip(" ")) if is_header(head) and not head.lstrip().startswith("|") else 0
    here = at + 1 if is_header(head) else at
    while here < len(rows):
        text = rows[here].text
        if base and text[:base].isspace():
            text = text[base:]
        if not text.strip():
            following = _skip_blank(rows, here)
            if following < len(rows) and (is_location(rows[following].text) or rows[following].text.startswith("    ")):
                here = following
                continue
            if following < len(rows) and parse_exception(rows[following].text, certain=False) is not None:
                here = following  # loguru leaves blank lines between
            break
        if not state.take(text):
            break
        here += 1
    unfinished = Raised(type="", frames=tuple(frames), repeated=state.folded, truncated_frames=state.truncated)
    if here >= len(rows):
        return _Section(unfinished, here, True)
    text = rows[here].text[base:] if base and rows[here].text[:base].isspace() else rows[here].text
    # A line of another record is the exception's only when it looks like one.
    line = rows[here].line
    certain = not line.mark.record or line.number == rows[at].line.number
    raised = None if is_header(text) or relation_of(text) else parse_exception(text, certain=certain)
    if raised is None:
        return _Section(unfinished, here, True)
    raised = replace(raised, line=rows[here].line.number, repeated=state.folded, truncated_frames=state.truncated)
    message, end = message_of(rows, here, raised.message, base, closed=depth > 0)
    syntax = None
    if raised.type in SYNTAX_ERRORS and frames and frames[-1].function is None:
        syntax = state.syntax_place(frames.pop())
    kept = [frame for frame in frames if not is_dropped(frame)]
    raised = complete(raised, message, kept, syntax)
    if end < len(rows) and rows[end].text.startswith("+-+") and depth < _GROUP_DEPTH:
        groups, end = _sub_exceptions(rows, end, depth)
        raised = replace(raised, group=groups)
    return _Section(raised, end, False)


class _Frames:
    """Collects frame lines with the source lines and markers below them."""

    def __init__(self, frames: list[Frame]) -> None:
        self._frames = frames
        self._code: str | None = None
        self._caret: int | None = None
        self.folded = 0
        self.truncated = False

    def take(self, text: str) -> bool:
        """Take a line that belongs to the stack; false for the first that doesn't."""
        frame = parse_frame(text)
        if frame is not None:
            self._frames.append(frame)
            self._code = self._caret = None
            return True
        if _OMITTED.match(text):
            self.truncated = True
            return True
        if not text.startswith((" ", "\t")):
            return False
        count = repeated(text)
        if count:
            self.folded += count
        elif is_marker(text):
            caret = text.find("^")
            self._caret = caret if caret >= 0 and self._caret is None else self._caret
        elif self._frames and self._code is None:
            self._code = text
            self._frames[-1] = replace(self._frames[-1], code=text.strip())
        return True

    def syntax_place(self, frame: Frame) -> SyntaxPlace:
        """The last location as the place of a syntax error; the offset counts from 1."""
        offset = None
        if self._code is not None and self._caret is not None:
            offset = max(1, self._caret - (len(self._code) - len(self._code.lstrip())) + 1)
        return SyntaxPlace(frame.file, frame.line, offset, frame.code, origin_of(frame.file))


def message_of(rows: Sequence[Row], at: int, first: str, base: int = 0, *, closed: bool = False) -> tuple[str, int]:
    """The whole message that begins on row ``at`` with ``first``, and the index of the row behind it.

    Further lines belong to it while no logger, header or restart comes between, and they are indented, of a known
    form, or fields of a validation error. Where a margin closes the block (``closed``) all of them do: notes are
    printed there without any mark.
    """
    parts = [first]
    fields = is_validation_head(first)
    number, here = rows[at].line.number, at + 1
    while here < len(rows) and len(parts) < _MESSAGE_LINES:
        line, text = rows[here]
        if base and text[:base].isspace():
            text = text[base:]
        if (line.mark.record and line.number != number) or is_header(text) or relation_of(text):
            break
        if text.startswith(("+-+", '"""')) or is_location(text) or event_of(line) is not None:
            break
        if not text.strip():
            following = _skip_blank(rows, here)
            if following < len(rows) and rows[following].text.startswith(_AFTER_BLANK):
                parts.append("")
                here += 1
                continue
            break
        fields = fields or is_validation_head(text)
        known = (
            continues_message(text)
            or parts[-1].endswith(":")
            or (fields and _is_field(rows, here))
            or is_validation_head(text)
        )
        if not known and not closed and not _is_last_word(rows, here, number):
            break
        parts.append(text)
        here += 1
    return "\n".join(parts), here


def _is_field(rows: Sequence[Row], at: int) -> bool:
    following = rows[at + 1].text if at + 1 < len(rows) else ""
    return following[:1] in (" ", "\t") and not is_location(following)


def _is_last_word(rows: Sequence[Row], at: int, number: int) -> bool:
    """Lines inside the same structured record are the message's, whatever they look like."""
    return rows[at].line.mark.record and rows[at].line.number == number


def _sub_exceptions(rows: Sequence[Row], at: int, depth: int) -> tuple[tuple[tuple[Raised, ...], ...], int]:
    """The chains below ``+-+---------------- 1 ----------------``."""
    groups: list[tuple[Raised, ...]] = []
    block: list[Row] = []
    here = at + 1

    def close() -> None:
        start = next((i for i, row in enumerate(block) if row.text.strip()), None)
        if start is not None and len(groups) < _GROUP_WIDTH:
            groups.append(parse_chain(block, start, depth + 1).raised)
        block.clear()

    while here < len(rows) and rows[here].text.startswith("  "):
        text = rows[here].text[2:]
        if _SUB_SEPARATOR.match(text):
            close()
        elif text.startswith("|"):
            block.append(Row(rows[here].line, text[2:]))
        else:
            block.append(Row(rows[here].line, text))
        here += 1
    close()
    return tuple(groups), here


def _rich_section(rows: Sequence[Row], at: int) -> _Section:
    frames, here = read_rich([row.text for row in rows[at : at + 2000]])
    here += at
    raised = parse_exception(rows[here].text.strip(), certain=True) if here < len(rows) else None
    if raised is None:
        return _Section(Raised(type="", frames=tuple(frames)), here, True)
    parts, end = [raised.message], here + 1
    while end < len(rows) and end < here + 12:
        line, text = rows[end]
        if not text.strip() or line.mark.record or is_header(text) or relation_of(text) or event_of(line):
            break
        # Rich wraps at the width of its box
        parts.append(text.strip())
        end += 1
    message = " ".join(parts) if not is_validation_head(raised.message) else "\n".join(parts)
    raised = replace(raised, line=rows[here].line.number)
    return _Section(complete(raised, message, [frame for frame in frames if not is_dropped(frame)]), end, False)
