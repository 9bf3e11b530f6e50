# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TOML for hosts whose Python has no ``tomllib`` (3.9, 3.10): enough for project, lock and server files.

Tables, arrays of tables, strings, numbers, booleans, arrays and inline tables. Dates come back as text. A line that makes
no sense is skipped, so that one oddity does not hide the rest of a file.
"""

from __future__ import annotations

import json
import re
from importlib import import_module
from importlib.util import find_spec
from typing import Any

_tomllib: Any = import_module("tomllib") if find_spec("tomllib") else None

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SCALAR = re.compile(r"[^,\]}\n#]+")

MAX_DOTS = 2000
MAX_PARTS = 50


class _Bad(Exception):
    """A value or key that can't be read."""


def loads(text: str) -> tuple[dict[str, Any], str]:
    """The document, and a sentence when it is not valid TOML (then what could be read of it)."""
    # Python's own reader takes hours for a key of a million parts.
    if _tomllib is not None and max(map(_dots, text.split("\n"))) <= MAX_DOTS:
        try:
            return _tomllib.loads(text), ""
        except (_tomllib.TOMLDecodeError, RecursionError) as exc:
            return tolerant(text), str(exc)
    return tolerant(text), ""


def tolerant(text: str) -> dict[str, Any]:
    """Read what can be read. Never raises."""
    document: dict[str, Any] = {}
    table = document
    position = 0
    while True:
        space = _SPACE.match(text, position)
        position = space.end() if space else position
        if position >= len(text):
            return document
        try:
            if text[position] == "[":
                table, position = _header(text, position, document)
            else:
                keys, position = _keys(text, position)
                position = _skip(text, position)
                if text[position : position + 1] != "=":
                    raise _Bad
                value, position = _value(text, _skip(text, position + 1), 0)
                target = _descend(table, keys[:-1])
                target[keys[-1]] = value
        except (_Bad, IndexError, RecursionError):
            stop = text.find("\n", position)
            position = len(text) if stop < 0 else stop + 1


def _skip(text: str, position: int) -> int:
    while text[position : position + 1] in (" ", "\t"):
        position += 1
    return position


def _dots(line: str) -> int:
    return line.count(".")


def _keys(text: str, position: int) -> tuple[list[str], int]:
    keys: list[str] = []
    while True:
        position = _skip(text, position)
        if text[position : position + 1] in ("'", '"'):
            key, position = _string(text, position)
        else:
            match = _BARE.match(text, position)
            if not match:
                raise _Bad
            key, position = match.group(), match.end()
        keys.append(key)
        if len(keys) > MAX_PARTS:
            raise _Bad
        position = _skip(text, position)
        if text[position : position + 1] != ".":
            return keys, position
        position += 1


def _header(text: str, position: int, document: dict[str, Any]) -> tuple[dict[str, Any], int]:
    many = text.startswith("[[", position)
    keys, position = _keys(text, position + (2 if many else 1))
    if not text.startswith("]]" if many else "]", position):
        raise _Bad
    position += 2 if many else 1
    if not many:
        return _descend(document, keys), position
    parent = _descend(document, keys[:-1])
    entries = parent.setdefault(keys[-1], [])
    if not isinstance(entries, list):
        raise _Bad
    entries.append({})
    return entries[-1], position


def _descend(table: dict[str, Any], keys: list[str]) -> dict[str, Any]:
    for key in keys:
        inner = table.setdefault(key, {})
        if isinstance(inner, list) and inner and isinstance(inner[-1], dict):
            inner = inner[-1]
        if not isinstance(inner, dict):
            raise _Bad
        table = inner
    return table


def _value(text: str, position: int, depth: int) -> tuple[Any, int]:
    if depth > 20:
        raise _Bad
    char = text[position]
    if char in "'\"":
        return _string(text, position)
    if char == "[":
        return _array(text, position + 1, depth)
    if char == "{":
        return _inline(text, position + 1, depth)
    match = _SCALAR.match(text, position)
    if not match:
        raise _Bad
    word = match.group().strip()
    if word in ("true", "false"):
        return word == "true", match.end()
    for convert in (int, float):
        try:
            return convert(word.replace("_", "")), match.end()
        except ValueError:
            continue
    return word, match.end()


def _string(text: str, position: int) -> tuple[str, int]:
    quote = text[position]
    triple = quote * 3
    mark = triple if text.startswith(triple, position) else quote
    start = position = position + len(mark)
    while not text.startswith(mark, position):
        if position >= len(text) or (len(mark) == 1 and text[position] == "\n"):
            raise _Bad
        position += 2 if text[position] == "\\" and quote == '"' else 1
    while len(mark) == 3 and text.startswith(quote, position + 3):
        position += 1
    raw = text[start:position]
    if len(mark) == 3 and raw.startswith("\n"):
        raw = raw[1:]
    if quote == '"' and "\\" in raw:
        raw = re.sub(r"\\[ \t]*\n\s*", "", raw)
        try:
            raw = json.loads(f'"{raw}"' if len(mark) == 1 else json.dumps(raw).replace("\\\\", "\\"), strict=False)
        except ValueError:
            pass
    return str(raw), position + len(mark)


def _array(text: str, position: int, depth: int) -> tuple[list[Any], int]:
    result: list[Any] = []
    while True:
        space = _SPACE.match(text, position)
        position = space.end() if space else position
        if text[position] == "]":
            return result, position + 1
        if text[position] == ",":
            position += 1
            continue
        value, position = _value(text, position, depth + 1)
        result.append(value)


def _inline(text: str, position: int, depth: int) -> tuple[dict[str, Any], int]:
    result: dict[str, Any] = {}
    while True:
        space = _SPACE.match(text, position)
        position = space.end() if space else position
        if text[position] == "}":
            return result, position + 1
        if text[position] == ",":
            position += 1
            continue
        keys, position = _keys(text, position)
        if text[position] != "=":
            raise _Bad
        value, position = _value(text, _skip(text, position + 1), depth + 1)
        _descend(result, keys[:-1])[keys[-1]] = value
