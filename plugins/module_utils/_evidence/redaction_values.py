# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sensitive name and the value behind it, in whatever syntax: where the value begins and ends, and whether it is one at all.

Each position of a line is looked at a bounded number of times, so that a line of a megabyte takes no more than its length.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple, Optional

from .secret_names import is_sensitive_name, is_trivial_value

Mask = Callable[[str], str]

NAME = r"[A-Za-z_][A-Za-z0-9_.\-]{0,127}"
# Quotes as they are, as in JSON within JSON, and as HTML writes them.
QUOTE = r"(?:\\{0,7}[\"']|&quot;|&\#0?3[49];|&\#x27;)"
_OPENING = re.compile(r"""\$?[bBrRuUfF]{0,2}(?P<q>\"{3}|'{3}|\\{0,7}["']|`|&quot;|&\#0?3[49];|&\#x27;)""")
_INSIDE = {
    mark: re.compile(rf"[^\\{mark}\n]*(?:\\.[^\\{mark}\n]*)*") for mark in ('"', "'")
}  # what stands between two plain quotes
_BARE = re.compile(r"""[^\s,;&|"'<>(){}\[\]]+(?:[(){}\[\]<>"'|][^\s,;&]*)?""")
_YAML_TAG = re.compile(r"(?:!{1,2}[\w/.:\-]{0,40}[ \t]+|&[\w\-]{1,40}[ \t]+){1,2}")
_ANNOTATION = r"(?::\s?[A-Za-z_][\w.\[\]| ]{0,60}(?=\s?=[^=]))?"
_HEAD = re.compile(
    rf"(?:(?P<nq>{QUOTE})|(?<![A-Za-z0-9_.]))(?P<name>{NAME})(?(nq)(?P=nq))(?P<index>\]?){_ANNOTATION}"
    r"(?P<sep>\s{0,4}(?::=|=>|={1,3}|!=|:(?![/:\\]))\s{0,4})"
)
_OPTION = re.compile(r"(?<![\w\-])--?(?P<name>[A-Za-z][A-Za-z0-9_\-]{1,63})[ \t]{1,3}(?![\-\s])")
# Two strings side by side: a pair, a call's arguments, a list of command-line words.
_PAIR = re.compile(
    rf"(?P<nq>{QUOTE})(?P<dashes>-{{0,2}})(?P<name>{NAME})(?P=nq)\s{{0,3}},\s{{0,3}}(?=[bru]{{0,2}}\\{{0,7}}[\"'])"
)
_LOOKUP = re.compile(r"(?:get|getenv|setdefault|pop|setenv|config|default|putenv)\(\s?$")

# Code that names a secret, and is not the secret: what stands behind "=" or ":" in source lines of a traceback.
_CODE = re.compile(
    r"(?:await|yield|not|lambda|async|new)\s|[A-Za-z_]\w{0,63}(?:\.\w{1,64}){0,8}(?:\(|\[|\.(?=\s|$))"
    r"|[A-Za-z_]\w{0,63}(?:\.[A-Za-z_]\w{0,63}){1,8}(?=[\s,;)\]}:]|$)"
    r"|\$\{[^}]{0,200}\}|\$[A-Z_][A-Z0-9_]*(?=[\s,;)\"']|$)|\$\(|%[({]|%[a-z](?=[\s,;)]|$)|\{\w{0,64}\}|<[\w .:\-]{0,80}>|\*+(?=[\s,;)\"']|$)"
)
_CLASS = re.compile(r"(?:^|\.)[A-Z][a-z]+[A-Z]\w*$|^[a-z_]\w*(?:\.\w+)*\.[A-Z]\w*$")
_LITERAL = re.compile(r"""(?P<open>[bBrRuUfF]{0,2}(?P<q>["']))(?P<value>(?:\\.|[^\\"'\n]){1,4096})(?P=q)""")
_NEXT_ARGUMENT = re.compile(r",\s*[A-Za-z_]\w{0,63}\s*=")
_IDENTIFIER = re.compile(r"[A-Za-z_]+|[A-Z][A-Z0-9_]*|[a-z]+(?:_[a-z0-9]+)+|-.*|https?://\S*")


class Value(NamedTuple):
    """``opening`` and ``closing`` are quotes; ``end`` is the position behind all of it; ``closed`` is false at a line's end."""

    opening: str
    text: str
    closing: str
    end: int


def value_at(line: str, position: int) -> Optional[Value]:
    """The value that begins at a position, quoted or not; None where there is none."""
    match = _OPENING.match(line, position)
    if match:
        mark = match.group("q")
        end = _closing(line, match.end(), mark)
        closing = mark if line.startswith(mark, end) else ""
        return Value(match.group(0), line[match.end() : end], closing, end + len(closing))
    match = _BARE.match(line, position)
    return Value("", match.group(0), "", match.end()) if match else None


def _closing(line: str, position: int, mark: str) -> int:
    """Where the quote closes, or the line ends."""
    inside = _INSIDE.get(mark)
    if inside is not None:
        match = inside.match(line, position)
        end = match.end() if match else position
        # A backslash alone at the end of the line belongs to the value.
        return end + 1 if end + 1 == len(line) and line[end] == "\\" else end
    end = line.find(mark, position)
    while mark[0] == "\\" and end > position + 1 and line[end - 2 : end] == "\\\\":
        end = line.find(mark, end + len(mark))
    return len(line) if end < 0 else end


def hide_named(line: str, mask: Mask) -> str:
    """``name = value`` in all its spellings."""
    result: list[str] = []
    position = done = 0
    source_from = -1
    while True:
        match = _HEAD.search(line, position)
        if match is None:
            break
        position = match.end()
        if not is_sensitive_name(match.group("name")):
            # A name that no operator may follow twice: "a=b=c" has its next name right behind.
            continue
        start = position
        if ":" in match.group("sep"):
            tag = _YAML_TAG.match(line, position)
            start = tag.end() if tag else position
        if line[start : start + 1] in ("[", "("):
            # ``auth=('user', 'password')`` begins with a name.
            skip = 1 if line[start] == "(" and "auth" in match.group("name").lower() else 0
            hidden, end = _hide_list(line, start, mask, skip)
            result += [line[done:start], hidden]
            position = done = end
            continue
        if _CODE.match(line, start):
            if "=" in match.group("sep") and source_from < 0:
                source_from = sum(map(len, result)) + start - done
            continue
        found = _quoted_whole(line, match) or value_at(line, start)
        if found is None or not _is_value(line, match, found):
            continue
        result += [line[done:start], found.opening, mask(found.text), found.closing]
        position = done = found.end
    text = "".join(result) + line[done:]
    return text if source_from < 0 else text[:source_from] + _hide_literals(text[source_from:], mask)


def _quoted_whole(line: str, match: re.Match[str]) -> Optional[Value]:
    """The value of ``"name=value"``, where the quotes stand around both."""
    before = line[max(0, match.start() - 3) : match.start()].rstrip("-")
    mark = before[-1:]
    if (
        match.group("nq")
        or match.group("sep") != "="
        or mark not in ("'", '"')
        or line[match.end() : match.end() + 1] in "'\""
    ):
        return None
    end = _closing(line, match.end(), mark)
    return Value("", line[match.end() : end], "", end)


def _hide_list(line: str, start: int, mask: Mask, skip: int) -> tuple[str, int]:
    """The strings of a list or a pair of parentheses behind a sensitive name, but for the first ``skip``."""
    end = line.find("]" if line[start] == "[" else ")", start)
    end = len(line) if end < 0 else end
    result = []
    position = start
    for number, match in enumerate(_LITERAL.finditer(line, start, end)):
        value = match.group("value")
        if number >= skip and not _IDENTIFIER.fullmatch(value) and not _shown(value):
            result += [line[position : match.start()], match.group("open"), mask(value), match.group("q")]
            position = match.end()
    return "".join(result) + line[position:end], end


def _hide_literals(text: str, mask: Mask) -> str:
    """Strings in an expression that is assigned to a sensitive name, up to the next argument."""
    other = _NEXT_ARGUMENT.search(text)
    end = other.start() if other else len(text)
    return (
        _LITERAL.sub(
            lambda match: (
                match.group("open") + mask(match.group("value")) + match.group("q")
                if looks_random(match.group("value")) and not _shown(match.group("value"))
                else match.group(0)
            ),
            text[:end],
        )
        + text[end:]
    )


def hide_options(line: str, mask: Mask) -> str:
    """``--name value``."""
    return _walk(line, _OPTION, _is_option_value, mask)


def _is_option_value(match: re.Match[str], found: Value) -> bool:
    # A usage message has the option's own name there.
    if found.text.strip("[]<>.").upper() == match.group("name").replace("-", "_").upper():
        return False
    return bool(found.opening) or _CODE.match(found.text) is None


def hide_pairs(line: str, mask: Mask) -> str:
    """``('name', 'value')``, ``getenv('name', 'value')``, ``'--name', 'value'``."""

    def wanted(match: re.Match[str], found: Value) -> bool:
        if match.group("dashes"):
            return not found.text.startswith("-")
        return bool(_LOOKUP.search(line, max(0, match.start() - 16), match.start())) or not _IDENTIFIER.fullmatch(
            found.text
        )

    return _walk(line, _PAIR, wanted, mask)


def _walk(line: str, pattern: re.Pattern[str], wanted: Callable[[re.Match[str], Value], bool], mask: Mask) -> str:
    """Mask the value behind each match of a pattern whose ``name`` is sensitive."""
    result: list[str] = []
    position = done = 0
    while True:
        match = pattern.search(line, position)
        if match is None:
            return "".join(result) + line[done:]
        position = match.end()
        if not is_sensitive_name(match.group("name")):
            continue
        found = value_at(line, position)
        if found is None or _shown(found.text) or not wanted(match, found):
            continue
        result += [line[done:position], found.opening, mask(found.text), found.closing]
        position = done = found.end


def _shown(value: str) -> bool:
    return is_trivial_value(value) or "<redacted:" in value


def _is_value(line: str, match: re.Match[str], found: Value) -> bool:
    """Whether what stands behind a sensitive name is its value, and not prose or an operator's other side."""
    separator = match.group("sep").strip()
    if _shown(found.text) or found.text.strip(")]},.:") == match.group("name"):
        return False
    if separator in ("==", "===", "!="):
        return bool(found.opening) and looks_random(found.text)
    return not (separator == ":" and not found.opening and not match.group("nq") and _is_prose(line, match, found))


def _is_prose(line: str, match: re.Match[str], found: Value) -> bool:
    """True for "... invalid token: signature ...": a word of a sentence and a colon, not a YAML key."""
    before = line[max(0, match.start() - 64) : match.start()].rstrip()
    after = line[found.end : found.end + 64].strip()
    in_sentence = bool(before) and before[-1] not in "{[,;|(-\u2502"
    if not in_sentence:
        # An exception's class and its message.
        return bool(_CLASS.search(match.group("name"))) and looks_like_words(found.text)
    return looks_like_words(found.text) or (" " in after and not looks_random(found.text))


def looks_like_words(value: str) -> bool:
    """Whether a value could be a word of a sentence or a name."""
    return bool(re.fullmatch(r"[A-Za-z][A-Za-z_'\-]*[.,:;!?)]*", value))


def looks_random(value: str) -> bool:
    """Whether a value is no word, number, version, path, address or host: letters and digits mixed, or odd signs among them."""
    if len(value) < 8 or re.fullmatch(
        r"[\d.:,\-+TZ]*|v?\d+(?:\.\w+)+|[\w\-]+(?:\.[\w\-]+)+|[./~].*|[A-Za-z_\-]+", value
    ):
        return False
    return any(char.isdigit() for char in value) and any(char.isalpha() for char in value)
