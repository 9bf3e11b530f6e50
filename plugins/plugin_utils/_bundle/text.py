# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text from strangers made safe for terminals, pages and paths, and values made readable."""

from __future__ import annotations

import hashlib
import html
import re
import shlex
import textwrap
from typing import Any

WIDTH = 80

# Escape sequences first (CSI, OSC and string sequences, two-character ones), so that their payload goes with them.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]|\x9b[0-?]*[ -/]*[@-~]"
)
# What is left of control characters, and the Unicode marks that reorder or hide text.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
# What starts something in the middle of a line; an underscore inside of a word doesn't.
_MARKDOWN = re.compile(r"([\\`*\[\]<>|~&]|(?<!\w)_|_(?!\w))")
_UNSAFE_IN_NAME = re.compile(r"[^A-Za-z0-9._@+-]")


def clean(text: str) -> str:
    """Text without terminal control characters; line ends become newlines, tabs stay."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\x1b" in text or "\x9b" in text:
        text = _ESCAPES.sub("", text)
    return _CONTROLS.sub("\ufffd", text)


def one_line(value: Any) -> str:
    """A value as one clean line, for places where a newline would break the layout."""
    return " ".join(clean(scalar(value)).split())


def cut(text: str, width: int) -> str:
    """``text`` in at most ``width`` characters, with an ellipsis in its place where something was left out."""
    return text if len(text) <= width else text[: max(0, width - 1)].rstrip() + "\u2026"


def wrap(text: str, indent: str = "", width: int = WIDTH, lines: int = 0) -> list[str]:
    """``text`` wrapped to ``width``; with ``lines`` above 0 no more than so many, the last one cut."""
    wrapped = textwrap.wrap(
        one_line(text), width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )
    if lines and len(wrapped) > lines:
        rest = " ".join(line.strip() for line in wrapped[lines - 1 :])
        wrapped = [*wrapped[: lines - 1], indent + cut(rest, width - len(indent))]
    return wrapped


def wrap_command(command: str, indent: str = "", width: int = WIDTH) -> list[str]:
    """A shell command over several lines that can still be pasted: it is broken between words, with a backslash."""
    command = one_line(command)
    try:
        words = re.findall(r"""(?:[^\s'"\\]|\\.|'[^']*'|"(?:\\.|[^"\\])*")+""", command)
        if shlex.split(" ".join(words)) != shlex.split(command):
            return [indent + command]
    except ValueError:
        return [indent + command]
    lines: list[str] = []
    current = indent
    for word in words:
        if len(current) + len(word) + 3 > width and current.strip():
            lines.append(current + " \\")
            current = indent + "  " + word
        else:
            current += (" " if current.strip() else "") + word
    return [*lines, current]


def scalar(value: Any) -> str:
    """A plain value in words: ``null`` is "not known", truth is yes or no."""
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def size(count: float) -> str:
    """Bytes in the largest binary unit that keeps them above one."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def duration(seconds: float) -> str:
    """Seconds in the two largest units that say something."""
    if seconds < 120:
        return f"{seconds:g} s"
    minutes, _rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def measured(key: str, value: Any) -> str:
    """A fact's value with the unit that its name carries (``_bytes``, ``_ms``, ``_s``)."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if key.endswith("_bytes"):
            return size(value)
        if key.endswith("_ms") or key == "ms":
            return f"{value:g} ms"
        if key.endswith("_s"):
            return duration(value)
    return one_line(value)


def label(key: str) -> str:
    """A fact's name for people: underscores and the unit's suffix are taken off."""
    for suffix in ("_bytes", "_ms", "_s"):
        if key.endswith(suffix) and len(key) > len(suffix):
            key = key[: -len(suffix)]
            break
    return key.replace("_", " ")


def markdown(value: Any) -> str:
    """One line with Markdown's and HTML's special characters escaped."""
    return _MARKDOWN.sub(r"\\\1", one_line(value)).replace("\\<", "&lt;").replace("\\>", "&gt;").replace("\\&", "&amp;")


def code_span(value: Any) -> str:
    """One line as a Markdown code span; its fence is longer than any run of backticks inside."""
    text = one_line(value).replace("|", "\\|")
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if "`" in text or not text else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def escape(value: Any) -> str:
    """Clean text, escaped for HTML content and attribute values."""
    return html.escape(clean(scalar(value)), quote=True)


def path_name(name: Any) -> str:
    """A file name made of a host's or service's name: no separators, dots in front or control characters.

    A name that had to be changed gets a short digest, so that two different ones never meet in one directory.
    """
    original = str(name)
    safe = _UNSAFE_IN_NAME.sub("_", original).lstrip(".-")[:100]
    if safe and safe == original:
        return safe
    digest = hashlib.sha256(original.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{safe or 'unnamed'}-{digest}"
