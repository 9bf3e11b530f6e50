# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any part of the evidence as text: facts as aligned lines, lists of records as tables, long text as blocks.

It needs no knowledge of the section, so that a fact added to the evidence shows up without a change here.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from . import text

Lines = list[str]

MAX_COLUMN = 60
MAX_TABLE_WIDTH = 132
MAX_ROWS = 400
# Items of a list up to this length share lines; longer ones, mostly paths, stand on lines of their own.
_SHORT_ITEM = 40


def section(value: Any, skip: Iterable[str] = ()) -> Lines:
    """A whole section; one that wasn't gathered says why."""
    if isinstance(value, Mapping) and "unavailable" in value:
        return text.wrap(f"Not gathered: {value['unavailable']}")
    if not value:
        return ["Not gathered: the evidence has nothing about it, and no reason was recorded."]
    return outline(value, skip=frozenset(skip))


def outline(value: Any, indent: str = "", skip: frozenset[str] = frozenset()) -> Lines:
    """Facts one a line; what is nested follows under its name."""
    if isinstance(value, Mapping):
        return _mapping(value, indent, skip)
    if _is_list(value):
        return _sequence(value, indent)
    return block(str(value), indent) if isinstance(value, str) and "\n" in value else [indent + text.one_line(value)]


def _mapping(value: Mapping[str, Any], indent: str, skip: frozenset[str]) -> Lines:
    given = {str(key): part for key, part in value.items() if key not in skip}
    # What is empty says little by itself: it stands in one line at the end.
    shown = {key: part for key, part in given.items() if part is not None and part not in ([], {}, "")}
    flat = {key: part for key, part in shown.items() if _is_flat(part)}
    width = min(28, max((len(text.label(key)) for key in flat), default=0))
    lines: Lines = []
    for key, part in flat.items():
        first, *rest = _flat_text(key, part, len(indent) + width + 2)
        lines.append(f"{indent}{text.label(key):<{width}}  {first}".rstrip())
        lines += [f"{indent}{'':<{width}}  {line}" for line in rest]
    for key, part in shown.items():
        if key not in flat:
            lines.append(f"{indent}{text.label(key)}:")
            lines += outline(part, indent + "  ")
    for words, empty in (("not known", [None]), ("none or empty", [[], {}, ""])):
        names = [text.label(key) for key, part in given.items() if any(part == one for one in empty)]
        if names:
            lines += text.wrap(f"{words}: {', '.join(names)}", indent)
    return lines


def _sequence(value: Sequence[Any], indent: str) -> Lines:
    if not value:
        return [indent + "none"]
    if all(isinstance(item, Mapping) for item in value):
        rows = table(value, indent)
        if rows is not None:
            return rows
    if all(_is_list(item) and all(isinstance(word, str) for word in item) for item in value):
        return [f"{indent}- {text.one_line(shlex.join(words))}" for words in value[:MAX_ROWS]]
    lines: Lines = []
    for item in value[:MAX_ROWS]:
        nested = outline(item, indent + "  ")
        nested[:1] = [f"{indent}- {nested[0].strip()}"] if nested else [f"{indent}-"]
        lines += nested
    if len(value) > MAX_ROWS:
        lines.append(f"{indent}... and {len(value) - MAX_ROWS} more in evidence.json")
    return lines


def table(records: Sequence[Mapping[str, Any]], indent: str = "", columns: Sequence[str] = ()) -> Lines | None:
    """Records as a table, or ``None`` when they hold something that has no place in a cell or would get too wide."""
    names = list(columns) or list(dict.fromkeys(str(key) for record in records for key in record))
    # A column in which no record says anything only takes room.
    names = [name for name in names if any(record.get(name) not in (None, "", []) for record in records)]
    if not names or not all(_is_flat(record.get(name)) for record in records for name in names):
        return None
    rows = [[_cell(name, record.get(name)) for name in names] for record in records[:MAX_ROWS]]
    widths = [max(len(text.label(name)), *(len(row[at]) for row in rows)) for at, name in enumerate(names)]
    # The last column isn't padded, so it may be a sentence.
    if (
        any(width > MAX_COLUMN for width in widths[:-1])
        or sum(widths[:-1]) + min(widths[-1], MAX_COLUMN) > MAX_TABLE_WIDTH
    ):
        return None
    head = "  ".join(f"{text.label(name).upper():<{widths[at]}}" for at, name in enumerate(names))
    lines = [(indent + head).rstrip()]
    lines += [(indent + "  ".join(f"{cell:<{widths[at]}}" for at, cell in enumerate(row))).rstrip() for row in rows]
    if len(records) > MAX_ROWS:
        lines.append(f"{indent}... and {len(records) - MAX_ROWS} more in evidence.json")
    return lines


def block(value: str, indent: str = "", prefix: str = "| ") -> Lines:
    """Text of several lines, set off so that no line of it looks like one of ours."""
    return [f"{indent}{prefix}{line}".rstrip() for line in text.clean(value).split("\n")]


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if _is_list(value):
        return " ".join(text.one_line(item) for item in value) or "-"
    return text.measured(name, value)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _is_flat(value: Any) -> bool:
    if isinstance(value, str):
        return "\n" not in value.strip()
    if _is_list(value):
        return all(not isinstance(item, Mapping) and not _is_list(item) and "\n" not in str(item) for item in value)
    return not isinstance(value, Mapping)


def _flat_text(key: str, value: Any, indent: int) -> Lines:
    if not _is_list(value):
        return [text.measured(key, value)]
    if not value:
        return ["none"]
    items = [text.one_line(item) for item in value]
    if not any("," in item or " " in item or len(item) > _SHORT_ITEM for item in items):
        return text.wrap(", ".join(items), width=max(40, text.WIDTH - indent))
    extra = [f"... and {len(items) - MAX_ROWS} more in evidence.json"] if len(items) > MAX_ROWS else []
    return items[:MAX_ROWS] + extra
