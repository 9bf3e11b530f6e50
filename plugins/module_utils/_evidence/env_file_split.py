# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The grammar of systemd's environment files: where an assignment begins and ends, and what its value is."""

from __future__ import annotations

import re
from dataclasses import dataclass

BLANK = " \t"
NEWLINE = "\r\n"
_LINE_END = re.compile(r"[\r\n]")


@dataclass
class Assignment:
    """One assignment as systemd splits it; ``key`` and ``value`` are trimmed and unquoted as it would.

    ``source`` is its text as written, from the character ``start`` of the whole on.
    """

    line: int
    last_line: int
    key: str
    value: str
    source: str
    quotes: str = ""
    closed: bool = True
    text_after_quote: str = ""
    start: int = 0


def split(text: str, comments_continue: bool) -> tuple[list[Assignment], list[tuple[int, str]]]:
    """Cut the text into assignments, and lines that give none though they should, by systemd's rules."""
    assignments: list[Assignment] = []
    ignored: list[tuple[int, str]] = []
    position, end, line = 0, len(text), 1
    while position < end:
        if text[position] in " \t\r\n":
            line += text[position] == "\n"
            position += 1
            continue
        stop = position
        if text[position] in "#;":
            while stop < end and text[stop] not in NEWLINE:
                stop += 1
            following = _line_end(text, stop + 1)
            if text[stop - 1] == "\\" and text.find("=", stop + 1, following) >= 0:
                ignored.append((line, text[position:stop]))
                if comments_continue:
                    line += 1
                    stop = following
            position = stop
            continue
        while stop < end and text[stop] not in "=\r\n":
            stop += 1
        if stop >= end or text[stop] != "=":
            ignored.append((line, text[position:stop].rstrip()))
            position = stop
            continue
        entry = Assignment(line, line, text[position:stop].rstrip(BLANK), "", "")
        after = _value(text, stop + 1, entry)
        entry.source, entry.start = text[position:after], position
        entry.last_line = line + text.count("\n", position, after)
        line = entry.last_line
        assignments.append(entry)
        position = after
    return assignments, ignored


def _line_end(text: str, position: int) -> int:
    """Where the line that holds a position ends; the end of the text when it is the last."""
    found = text.find("\n", position)
    return len(text) if found < 0 else found


def _value(text: str, position: int, entry: Assignment) -> int:
    """Read one value into ``entry``; gives the position behind it.

    Quotes count only before the first bare character. Blanks at the end of bare text go, escaped and quoted ones stay.
    """
    chars: list[str] = []
    keep = 0
    bare = False
    end = len(text)
    while position < end and text[position] not in NEWLINE:
        char = text[position]
        if char == "\\":
            bare = True
            if position + 1 < end and text[position + 1] not in NEWLINE:
                chars.append(text[position + 1])
            position += 2
            keep = len(chars)
            continue
        if not bare and char in "'\"":
            entry.quotes += char
            position = _quoted(text, position + 1, char, chars, entry)
            keep = len(chars)
            continue
        if bare or char not in BLANK:
            if not bare and entry.quotes:
                stop = _LINE_END.search(text, position)
                entry.text_after_quote = text[position : stop.start() if stop else end]
            bare = True
            chars.append(char)
            if char not in BLANK:
                keep = len(chars)
        position += 1
    entry.value = "".join(chars[:keep])
    return min(position, end)


def _quoted(text: str, position: int, quote: str, chars: list[str], entry: Assignment) -> int:
    """Read up to the closing quote, over line ends; without one, all that is left belongs to the value."""
    end = len(text)
    while position < end:
        char = text[position]
        position += 1
        if char == quote:
            return position
        if char == "\\" and quote == '"' and position < end:
            escaped = text[position]
            position += 1
            if escaped in '"\\`$':
                chars.append(escaped)
            elif escaped != "\n":
                chars += ["\\", escaped]
            continue
        chars.append(char)
    entry.closed = False
    return position
