# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes on a terminal to plain lines: colours, carriage returns, control characters and gigantic lines.

Every later regular expression sees at most ``LINE_LIMIT`` characters, so reading is linear in the size of the log.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

LINE_LIMIT = 4096
"""Longest line handed on, in characters; of a longer one the head and the tail are kept."""

JSON_LIMIT = 256 * 1024
"""Longest line that is still tried as JSON, in characters: whole tracebacks live in one line there."""

_TAIL = 1024
_GAP = " […] "

# CSI, OSC, two-character escapes, and CSI as rsyslog writes it.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[()][0-9A-Za-z]|\x1b[@-Z\\-_]|#033\[[0-9;]*[A-Za-z]"
)
_UNSAFE = dict.fromkeys((*range(32), *range(127, 160), 8206, 8207, 65279, 65534))
_UNSAFE.update(dict.fromkeys((*range(8234, 8239), *range(8294, 8298))))
del _UNSAFE[0x09]


def split_lines(text_or_lines: str | Iterable[str]) -> Iterator[str]:
    """Yield physical lines without their ends.

    Only ``\\n`` separates (``str.splitlines`` also splits at form feeds and Unicode separators, which would move every
    later line number). The empty rest after a final newline is not a line.
    """
    if not isinstance(text_or_lines, str):
        for line in text_or_lines:
            yield line.rstrip("\r\n")
        return
    start = 0
    while True:
        end = text_or_lines.find("\n", start)
        if end < 0:
            if start < len(text_or_lines):
                yield text_or_lines[start:]
            return
        yield text_or_lines[start:end]
        start = end + 1


def cap(line: str, limit: int = LINE_LIMIT) -> str:
    """The line itself, or its head and tail when it is longer than ``limit`` characters."""
    if len(line) <= limit:
        return line
    return line[: limit - _TAIL - len(_GAP)] + _GAP + line[-_TAIL:]


def clean(line: str) -> str:
    """The line as a reader sees it: last state after carriage returns, no colours, no control characters but tabs."""
    if line.isprintable() and "#033[" not in line:
        return line
    if "\r" in line:
        line = _overwritten(line)
    if "\x1b" in line or "#033[" in line:
        line = _ESCAPES.sub("", line)
    return line if line.isprintable() else line.translate(_UNSAFE)


def _overwritten(line: str) -> str:
    """What a carriage return leaves visible, as for progress bars: the last part that isn't empty."""
    parts: Sequence[str] = line.split("\r")
    return next((part for part in reversed(parts) if part.strip()), "")


def printable(value: object, limit: int = LINE_LIMIT) -> list[str]:
    """A value out of a structured record (message, traceback) as clean, capped lines; lists are joined."""
    if value is None or isinstance(value, bool):
        return []
    if isinstance(value, list):
        return [line for part in value[:2000] for line in printable(part, limit)]
    text = value if isinstance(value, str) else str(value)
    return [cap(clean(line), limit) for line in split_lines(text[:JSON_LIMIT])]
