# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd's way of writing things down: words and quotes, command lines, time spans, time stamps.

Pure functions; the rules are those of systemd.syntax(7), systemd.service(5) and systemd.time(7).
"""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional

from .context import MIB

_BLANK = " \t\n\r"
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "s": " "}
_CODED = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})")
_PREFIX = re.compile(r"(?:!!|[-@:+!|])*")
_VARIABLE = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_WHOLE_WORD = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)\Z")

_SPAN_UNITS = {
    "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0,
    "m": 60.0, "min": 60.0, "minute": 60.0, "minutes": 60.0, "h": 3600.0, "hr": 3600.0, "hour": 3600.0, "hours": 3600.0,
    "d": 86400.0, "day": 86400.0, "days": 86400.0, "w": 604800.0, "week": 604800.0, "weeks": 604800.0,
    "M": 2629800.0, "month": 2629800.0, "months": 2629800.0, "y": 31557600.0, "year": 31557600.0, "years": 31557600.0,
}  # fmt: skip
_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-zµ]*)")

# What a command line and its environment may have together, by default (a quarter of the stack).
MAX_COMMAND = 2 * MIB


@dataclass
class ExecLine:
    """One command of an ``Exec…=`` setting. ``flags`` are its prefix characters; ``argv[0]`` is the executable's path,
    also where ``@`` gives the process another name."""

    argv: list[str] = field(default_factory=list)
    flags: str = ""

    @property
    def may_fail(self) -> bool:
        return "-" in self.flags

    @property
    def expands_variables(self) -> bool:
        return ":" not in self.flags


def split_words(text: str) -> list[str]:
    """Split at blanks, remove quotes, resolve backslash escapes; an unclosed quote reaches to the end."""
    return [word for word, _quoted in _words(text)]


def split_commands(value: str) -> list[ExecLine]:
    """The commands of one ``ExecStart=`` value; a lone ``;`` separates, prefixes are taken off the first word."""
    commands: list[ExecLine] = []
    current: Optional[ExecLine] = None
    for word, bare in _words(value):
        if bare and word == ";":
            current = None
            continue
        if current is None:
            prefix = _PREFIX.match(word)
            flags = prefix.group(0) if prefix else ""
            current = ExecLine([word[len(flags) :]], flags)
            commands.append(current)
            continue
        current.argv.append(word)
    for command in commands:
        if "@" in command.flags and len(command.argv) > 1:
            del command.argv[1]
    return [command for command in commands if command.argv[0]]


def expand_variables(argv: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """Replace ``${NAME}`` inside words and ``$NAME`` as a whole word, as systemd does before it executes.

    A whole word splits into as many words as the value has; an unset variable gives no word. What is longer than the kernel
    takes is cut.
    """
    result = list(argv[:1])
    split: dict[str, list[str]] = {}
    length = 0
    for word in argv[1:]:
        length += sum(map(len, result[-1:]))
        if length > MAX_COMMAND:
            break
        whole = _WHOLE_WORD.match(word)
        if whole:
            name = whole.group(1)
            if name not in split:
                split[name] = split_words(environ.get(name, ""))
            found = split[name]
            result += found
            length += sum(map(len, found))
            continue
        result.append(
            _VARIABLE.sub(
                lambda match: "$" if match.group(1) is None else environ.get(match.group(1), ""),
                word,
            )
        )
    return result


def referenced_variables(argv: Sequence[str]) -> list[str]:
    """Names of the variables that a command line refers to, in order of appearance."""
    names: list[str] = []
    for word in argv[1:]:
        whole = _WHOLE_WORD.match(word)
        found = [whole.group(1)] if whole else [match.group(1) for match in _VARIABLE.finditer(word) if match.group(1)]
        names += [name for name in found if name not in names]
    return names


def parse_environment(text: str) -> dict[str, str]:
    """``Environment=`` as ``systemctl show`` prints it, or as a unit file has it: quoted assignments."""
    result: dict[str, str] = {}
    for word in split_words(text):
        name, equals, value = word.partition("=")
        if equals and name:
            result[name] = value
    return result


def parse_timespan(text: Optional[str]) -> Optional[float]:
    """``1min 30s`` in seconds; a bare number is seconds; None for ``infinity``, empty and unreadable text."""
    text = (text or "").strip()
    if not text or text == "infinity":
        return None
    total, position = 0.0, 0
    for match in _SPAN.finditer(text):
        if text[position : match.start()].strip() or match.group(2) not in ("", *_SPAN_UNITS):
            return None
        total += float(match.group(1)) * _SPAN_UNITS.get(match.group(2), 1.0)
        position = match.end()
    return round(total, 6) if position and not text[position:].strip() else None


def parse_timestamp(text: Optional[str]) -> Optional[float]:
    """``Sun 2026-11-22 04:43:16 UTC`` in seconds since 1970; None for anything else, ``n/a`` included."""
    try:
        return float(calendar.timegm(time.strptime((text or "").strip(), "%a %Y-%m-%d %H:%M:%S UTC")))
    except ValueError:
        return None


def parse_count(text: Optional[str]) -> Optional[int]:
    """A number as ``systemctl show`` prints it; None for ``infinity``, ``[not set]``, empty, and 2⁶⁴-1, its other name."""
    try:
        number = int((text or "").strip())
    except ValueError:
        return None
    return None if number == 2**64 - 1 else number


def _words(text: str) -> list[tuple[str, bool]]:
    """Words, each with whether it was written without quotes and escapes."""
    words: list[tuple[str, bool]] = []
    position, end = 0, len(text)
    while True:
        while position < end and text[position] in _BLANK:
            position += 1
        if position >= end:
            return words
        chars: list[str] = []
        quote, bare = "", True
        while position < end and (quote or text[position] not in _BLANK):
            char = text[position]
            if char == "\\":
                piece, position = _escape(text, position + 1)
                chars.append(piece)
                bare = False
                continue
            position += 1
            if char == quote:
                quote = ""
            elif quote:
                chars.append(char)
            elif char in "'\"":
                # systemctl of newer versions prints values with control characters as $'…'.
                if char == "'" and chars == ["$"]:
                    chars.pop()
                quote, bare = char, False
            else:
                chars.append(char)
        words.append(("".join(chars), bare))


def _escape(text: str, position: int) -> tuple[str, int]:
    """What the escape whose first character is at ``position`` stands for, and the position behind it."""
    if position >= len(text):
        return "\\", position
    coded = _CODED.match(text, position)
    if coded:
        digits = next(group for group in coded.groups() if group is not None)
        try:
            return chr(int(digits, 8 if coded.group(4) else 16)), coded.end()
        except (ValueError, OverflowError):
            return coded.group(0), coded.end()
    char = text[position]
    return _ESCAPES.get(char, char), position + 1
