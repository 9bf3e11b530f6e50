# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets that only their neighbours give away: keys and values that span lines, fields of an error, words of a command.

``Neighbours`` walks through lines that belong together, and says of each what of it is secret because of the lines before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Optional

from .redaction_values import NAME, value_at
from .secret_names import is_sensitive_name, is_trivial_value

Mask = Callable[[str, str], str]

PEM_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----")
PEM_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----")
# A key whose end was cut off ends where lines no longer look like one; a prefix of the log may stand before each.
_PEM_BODY = re.compile(
    r"(?:^|[\s:\]|>])[A-Za-z0-9+/_\-]{12,}={0,2}(?:\\n)?\s*$|^\s*[A-Za-z0-9+/]{1,11}={0,2}\s*$|^\s*$|[:\]|>]\s*$|[:|>\s]=[A-Za-z0-9+/]{4}$"
)
_PEM_TEXT = re.compile(r"[A-Za-z0-9+/=_\-]{8,}|^\\+n\W*$")
_PEM_HEADER = re.compile(r"(?:Proc-Type|DEK-Info|Version|Comment|Charset|Hash): ")
_INPUT_VALUE = "input_value="
_CUT_TAIL = re.compile(r"(?P<head>(?:\.{3}|\u2026))(?P<tail>[^'\"{}\s,][^'\"{}.\u2026]{3,256})(?=['\"}])")
_FIELD_LINE = re.compile(rf"(?:^|[:|\]>])\W*(?P<field>{NAME})\W*$")
# An option that is an argument of its own, as in a list of arguments: its value is the next one.
_LONE_OPTION = re.compile(r"--?(?P<name>[A-Za-z][A-Za-z0-9_\-]{1,63})")
_LONE_USER = frozenset({"-u", "--user", "-U", "--proxy-user"})
# A value whose quotes close on a later line, or that goes on behind a backslash.
_OPEN = re.compile(
    rf"^\s*(?:(?:export|set|declare\s-x)\s+)?[\"']?(?P<name>{NAME})[\"']?\s{{0,4}}[=:]\s{{0,4}}(?P<q>\"{{3}}|'{{3}}|[\"'])(?P<value>.*)$"
)
_CONTINUED = re.compile(rf"^\s*(?:export\s+)?(?P<name>{NAME})=[^\"'].*\\$")
_YAML_BLOCK = re.compile(
    rf"^(?P<indent>\s*)(?:-\s+)?[\"']?(?P<name>{NAME})[\"']?:\s*(?:[!&]\S+\s+)*[|>][+\-\d]{{0,2}}\s*(?:#.*)?$"
)
_NAME_ENTRY = re.compile(
    rf"^\s*(?:-\s+)?[\"']?(?:name|key|variable)[\"']?\s?[:=]\s?[\"']?(?P<name>{NAME})[\"']?,?\s*$", re.IGNORECASE
)
_VALUE_ENTRY = re.compile(r"^\s*(?:-\s+)?[\"']?(?:value|content)[\"']?\s?[:=]\s?", re.IGNORECASE)
_FORM_FIELD = re.compile(r"form-data;\s?name=\\?[\"'](?P<name>[^\"'\\]{1,128})")
# How far a value that is still open is followed.
FURTHEST = 60


class Neighbours:
    """State from one line to the next. ``hide`` gives a line with what its neighbours make secret replaced, and whether the
    rest of it still has to be looked at; ``mask`` takes the rule's name and the secret."""

    def __init__(self, lines: Sequence[str], mask: Mask) -> None:
        self._lines = lines
        self._mask = mask
        self._in_key = False
        self._until = -1
        self._close = ""
        self._indent: Optional[int] = None
        self._field = ""
        self._option = ""
        self._entry = ""
        self._form = ""
        self._continued = False

    def hide(self, number: int, line: str) -> tuple[str, bool]:
        """Line ``number`` (from 0)."""
        done = self._key(line) or self._argument(line) or self._rest_of_value(number, line)
        if done is not None:
            return done, False
        line = self._key_begins(line)
        line = self._entry_value(line)
        if _INPUT_VALUE in line:
            line = self._input_values(line)
        self._remember(number, line)
        return line, True

    def _key(self, line: str) -> Optional[str]:
        if not self._in_key:
            return None
        end = PEM_END.search(line)
        if end:
            self._in_key = False
            return line[end.start() :]
        if _PEM_HEADER.search(line):
            return line
        if _PEM_BODY.search(line):
            return self._mask("pem", line) if line.strip() else line
        self._in_key = False
        return None

    def _key_begins(self, line: str) -> str:
        begin = PEM_BEGIN.search(line)
        if begin is None:
            return line
        end = PEM_END.search(line, begin.end())
        body = line[begin.end() : end.start() if end else None]
        if end is None and body.strip() and not _PEM_TEXT.search(body):
            return line
        self._in_key = end is None
        tail = line[end.start() :] if end else ""
        return line[: begin.end()] + (self._mask("pem", body) if body.strip() else body) + tail

    def _argument(self, line: str) -> Optional[str]:
        option, self._option = self._option, ""
        match = _LONE_OPTION.fullmatch(line)
        self._option = line if line in _LONE_USER else match.group("name") if match else ""
        if not option or line.startswith("-") or is_trivial_value(line):
            return None
        if option in _LONE_USER:
            user, colon, password = line.partition(":")
            return f"{user}:{self._mask('option', password)}" if colon and password else None
        return self._mask("option", line) if is_sensitive_name(option) else None

    def _rest_of_value(self, number: int, line: str) -> Optional[str]:
        if self._form:
            if not line.strip() or re.match(r"[A-Za-z\-]{1,40}: ", line):
                return line
            self._form = ""
            return self._mask("form", line.rstrip("\r")) + ("\r" if line.endswith("\r") else "")
        if number <= self._until:
            if number < self._until:
                return self._mask("spanning", line) if line.strip() else line
            text, close, rest = line.partition(self._close)
            return (self._mask("spanning", text) if text.strip() else text) + close + rest
        if self._continued:
            self._continued = line.endswith("\\")
            return self._mask("spanning", line)
        if self._indent is not None:
            if not line.strip():
                return line
            blanks = len(line) - len(line.lstrip())
            if blanks > self._indent:
                return line[:blanks] + self._mask("spanning", line[blanks:])
            self._indent = None
        return None

    def _entry_value(self, line: str) -> str:
        entry, self._entry = self._entry, ""
        match = _VALUE_ENTRY.match(line) if entry else None
        found = value_at(line, match.end()) if match else None
        if match is None or found is None or is_trivial_value(found.text) or "<redacted:" in found.text:
            return line
        return line[: match.end()] + found.opening + self._mask("entry", found.text) + found.closing + line[found.end :]

    def _input_values(self, line: str) -> str:
        result = []
        position = 0
        while (start := line.find(_INPUT_VALUE, position)) >= 0:
            start += len(_INPUT_VALUE)
            end = line.find(", input_type=", start)
            end = len(line) if end < 0 else end
            result += [line[position:start], self._input_value(line[start:end])]
            position = end
        return "".join(result) + line[position:]

    def _input_value(self, value: str) -> str:
        if value.startswith(("{", "[", "(")) or not is_sensitive_name(self._field):
            # pydantic cuts the middle out: what is left of a value behind that has lost its name.
            return _CUT_TAIL.sub(lambda cut: cut.group("head") + self._mask("input_value", cut.group("tail")), value)
        if is_trivial_value(value):
            return value
        found = value_at(value, 0)
        if found is not None and found.closing and found.end == len(value):
            return found.opening + self._mask("input_value", found.text) + found.closing
        return self._mask("input_value", value)

    def _remember(self, number: int, line: str) -> None:
        """What this line says about the next ones."""
        match = _FIELD_LINE.search(line) if len(line) < 400 else None
        self._field = match.group("field") if match else ""
        match = _NAME_ENTRY.match(line)
        if match and is_sensitive_name(match.group("name")):
            self._entry = match.group("name")
        match = _YAML_BLOCK.match(line)
        if match and is_sensitive_name(match.group("name")):
            self._indent = len(match.group("indent"))
        match = _FORM_FIELD.search(line)
        if match and is_sensitive_name(match.group("name")):
            self._form = match.group("name")
        match = _OPEN.match(line)
        if match and is_sensitive_name(match.group("name")):
            self._follow(number, match.group("q"), match.group("value"))
        match = _CONTINUED.match(line)
        self._continued = match is not None and is_sensitive_name(match.group("name"))

    def _follow(self, number: int, mark: str, value: str) -> None:
        """A value that this line opens and doesn't close: it goes on up to the first line that ends with its quote, if one does."""
        if len(mark) == 3:
            if mark in value:
                return
        else:
            found = value_at(mark + value, 0)
            if found is None or found.closing:
                return
        for further in range(number + 1, min(len(self._lines), number + FURTHEST)):
            text = self._lines[further].rstrip().rstrip(",;")
            if text.endswith(mark) and text.count(mark) == 1:
                self._until, self._close = further, mark
                return
            # Keys and tokens have no blanks; a line that has some is the next line of a log.
            if len(mark) == 1 and (mark in text or re.search(r"\S\s+\S", text)):
                return
