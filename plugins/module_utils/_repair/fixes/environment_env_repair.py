# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A malformed environment file, written as its reader wants it. Values stay byte for byte; what could mean two things is left alone."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Optional

from ..._evidence.context import KIB
from ..._evidence.env_file import COMMENTS_END_SINCE, NAME, EnvFile, Malformed, parse
from ..._evidence.env_file_split import Assignment, split

_EXPORT = re.compile(r"(\s*)(?:export|set|SET)[ \t]+(?=\S)")
_SECOND = re.compile(r"[ \t][A-Za-z_][A-Za-z0-9_]*=")
_EXPANDED = re.compile(r"\$[A-Za-z_({]|`")
_PLAIN = re.compile(r"[\w./:@%+,=\-]*\Z")
_BLANKS_AROUND = re.compile(r"\A(\s*[A-Za-z_]\w*)[ \t]*=[ \t]*(.*?)[ \t]*\Z", re.DOTALL)

# The menders of these change one line and the meaning of no other.
_LOCAL = ("export_prefix", "spaces_around_equals")
MAX_BYTES = 256 * KIB


class Unclear(Exception):
    """The file could be meant in more than one way. The message is one sentence for the reader, free of values."""


@dataclass
class Repaired:
    """The new content, what was done (clauses for the reader), and remarks about lines that were left as they are."""

    content: bytes = b""
    done: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def harmful(parsed: EnvFile, reader: str) -> bool:
    """Whether a reader (``systemd``, ``dotenv``, ``shell``) loses variables or the whole file to what is wrong."""
    if parsed.load_error or parsed.encoding not in ("utf-8",):
        return True
    if reader == "systemd":
        return bool(parsed.not_loaded) or any("systemd" in item.affects for item in parsed.malformed)
    return parsed.bom or any(reader in item.affects for item in parsed.malformed)


def repair(raw: bytes, reader: str = "systemd", version: int = COMMENTS_END_SINCE) -> Repaired:
    """Rewrite the bytes of an environment file for its reader.

    :raises Unclear: there is no repair, or more than one.
    """
    if len(raw) > MAX_BYTES:
        raise Unclear(f"it has {len(raw)} bytes, and a file of more than {MAX_BYTES // KIB} KiB isn't rewritten")
    result = Repaired()
    old = parse(raw, version)
    text = _decoded(raw, old, result)
    text = _line_ends(text, old, reader, result)
    text = _lines(text, reader, version, result)
    result.content = text.encode("utf-8")
    _verify(text, result, reader, version, old)
    return result


def _decoded(raw: bytes, old: EnvFile, result: Repaired) -> str:
    """The file's text, without byte-order mark and padding."""
    if old.encoding.startswith("utf-16"):
        try:
            text = raw.decode("utf-16" if old.bom else old.encoding)
        except UnicodeDecodeError as exc:
            raise Unclear(f"it looks like {old.encoding.upper()}, but can't be read as that") from exc
        result.done.append(f"converted from {old.encoding.upper()} to UTF-8")
        return text.lstrip("\ufeff")
    if raw.startswith(b"\xef\xbb\xbf"):
        raw = raw[3:]
        result.done.append("the byte-order mark removed")
    if b"\0" in raw:
        stripped = raw.rstrip(b"\0")
        if b"\0" in stripped:
            raise Unclear(
                f"a NUL stands in line {stripped[: stripped.index(0)].count(10) + 1}, and what was meant there isn't known"
            )
        raw = stripped if stripped.endswith(b"\n") or not stripped else stripped + b"\n"
        result.done.append("NUL bytes at its end removed")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return _other_encoding(raw, result)


def _other_encoding(raw: bytes, result: Repaired) -> str:
    """Comments in an old encoding are rewritten; a value in one has no sure meaning."""
    lines = []
    for number, line in enumerate(raw.split(b"\n"), 1):
        try:
            lines.append(line.decode("utf-8"))
        except UnicodeDecodeError as exc:
            if not line.lstrip().startswith((b"#", b";")):
                raise Unclear(f"line {number} is not UTF-8, and its encoding isn't known") from exc
            lines.append(line.decode("latin-1"))
            result.done.append(f"the comment in line {number} converted to UTF-8")
    return "\n".join(lines)


def _line_ends(text: str, old: EnvFile, reader: str, result: Repaired) -> str:
    """Carriage returns at line ends go when they hurt the reader, or when the file is written anew anyway."""
    if "\r\n" not in text:
        return text
    hurts = any(item.problem == "carriage_return" and reader in item.affects for item in old.malformed)
    if not hurts and not result.done:
        return text
    # Inside quotes a line end belongs to the value. That of a line that a backslash was meant to continue does not.
    several = [entry for entry in split(text, False)[0] if entry.last_line > entry.line and entry.quotes]
    if several:
        if hurts and not result.done:
            raise Unclear(
                f"the value that begins in line {several[0].line} holds carriage returns, which may belong to it"
            )
        return text
    result.done.append("carriage returns at line ends removed")
    return text.replace("\r\n", "\n")


def _lines(text: str, reader: str, version: int, result: Repaired) -> str:
    """Single lines, by the table of what can be mended."""
    for _round in range(len(text.split("\n")) + 1):
        parsed = parse(text.encode("utf-8"), version, most=len(text))
        wanted = [item for item in parsed.malformed if reader in item.affects and item.problem in _MENDERS]
        entries = {entry.line: entry for entry in split(text, version < COMMENTS_END_SINCE)[0]}
        lines = text.split("\n")
        changed = False
        for item in wanted:
            entry = entries.get(item.line)
            new = _MENDERS[item.problem](lines, item, entry, result)
            if new is None or new == lines:
                continue
            lines = new
            changed = True
            if item.problem not in _LOCAL or entry is None or entry.last_line != entry.line:
                break
        if not changed:
            break
        text = "\n".join(lines)
    parsed = parse(text.encode("utf-8"), version)
    result.left += [
        f"line {item.line} was left as it is: {item.problem.replace('_', ' ')}"
        for item in parsed.malformed
        if reader in item.affects
    ]
    return text


def _without_export(
    lines: list[str], item: Malformed, entry: Optional[Assignment], result: Repaired
) -> Optional[list[str]]:
    line = lines[item.line - 1]
    match = _EXPORT.match(line)
    if match is None or entry is None:
        return None
    right = line[match.end() :].partition("=")[2]
    unquoted = re.sub(r"'[^']*'", "", right)
    if _EXPANDED.search(re.sub(r"\\.", "", unquoted)) or (not entry.quotes and _SECOND.search(right)):
        return None
    lines = list(lines)
    lines[item.line - 1] = match.group(1) + line[match.end() :]
    _note(result, "export taken off the names")
    return lines


def _without_blanks(
    lines: list[str], item: Malformed, entry: Optional[Assignment], result: Repaired
) -> Optional[list[str]]:
    if entry is None or entry.last_line != entry.line or (not entry.quotes and not _PLAIN.match(entry.value)):
        return None
    match = _BLANKS_AROUND.match(lines[item.line - 1])
    if match is None:
        return None
    lines = list(lines)
    lines[item.line - 1] = f"{match.group(1)}={match.group(2)}"
    _note(result, "blanks around the equals sign removed")
    return lines


def _closed(lines: list[str], item: Malformed, entry: Optional[Assignment], result: Repaired) -> Optional[list[str]]:
    """A quote that is never closed, in a line after which all others can stand by themselves."""
    if entry is None:
        return None
    line = lines[item.line - 1]
    right = line.partition("=")[2].lstrip()
    quote = right[:1]
    if quote not in ("'", '"') or right.count(quote) != 1 or right.endswith("\\"):
        return None
    if any(not _stands_alone(rest) for rest in lines[item.line :]):
        return None
    lines = list(lines)
    lines[item.line - 1] = line.rstrip() + quote
    _note(result, f"the quote of line {item.line} closed")
    return lines


def _stands_alone(line: str) -> bool:
    """Whether a line is blank, a comment, or one whole assignment."""
    if not line.strip() or line.lstrip().startswith(("#", ";")):
        return True
    entries, ignored = split(line, False)
    return len(entries) == 1 and not ignored and bool(NAME.match(entries[0].key)) and entries[0].closed


def _ended_comment(
    lines: list[str], item: Malformed, _entry: Optional[Assignment], result: Repaired
) -> Optional[list[str]]:
    lines = list(lines)
    lines[item.line - 1] = lines[item.line - 1].rstrip().rstrip("\\")
    _note(result, f"the backslash at the end of the comment in line {item.line} removed")
    return lines


_MENDERS = {
    "export_prefix": _without_export,
    "spaces_around_equals": _without_blanks,
    "unclosed_quote": _closed,
    "continued_comment": _ended_comment,
}


def _note(result: Repaired, clause: str) -> None:
    if clause not in result.done:
        result.done.append(clause)


def _verify(text: str, result: Repaired, reader: str, version: int, old: EnvFile) -> None:
    """Nothing was lost and no value became another one.

    :raises Unclear: something was.
    """
    if not result.done:
        raise Unclear(
            "none of its problems has one clear repair" + (f" ({'; '.join(result.left[:3])})" if result.left else "")
        )
    new = parse(result.content, version)
    if new.load_error:
        raise Unclear(f"systemd would still refuse it: {new.load_error}")
    lost = [name for name in old.names if name not in new.names and NAME.match(name)]
    open_before = {item.line for item in old.malformed if item.problem == "unclosed_quote"}
    if lost:
        raise Unclear(f"{', '.join(lost[:3])} would be lost")
    for name, value in old.intended.items():
        same = new.intended.get(name) in (value, value.rstrip("\r").rstrip("\0"))
        if not same and name in new.intended and not open_before and "\ufffd" not in value:
            raise Unclear(f"the value of {name} would become another one")
