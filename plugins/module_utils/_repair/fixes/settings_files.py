# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a variable is written into an environment file: quoted for whoever reads it, at its place, everything else byte for byte the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

from ..._evidence.env_file import EnvFile, intended_name, parse
from ..._evidence.env_file_split import split
from ..files import FileError, follow, words
from ..model import Refused

# Both sides of the change in how systemd ends comments (254).
_VERSIONS = (253, 254)
# No reader takes anything in these for more than itself.
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./~^-]+\Z")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_LINES_PLAIN = re.compile(r"[!-~]+(?: [!-~]+)*\Z")
_DOTENV_REFERENCE = re.compile(r"\$\{[^}]*\}")


class CannotWrite(Exception):
    """A value can't be written so that its reader gets exactly it. The message is a clause without the value."""


@dataclass
class Target:
    """A file in which variables can be written.

    ``reader`` is who reads it: ``systemd``, ``shell`` (a start script), ``dotenv`` (python-dotenv, which pydantic uses too) or ``lines``
    (readers that know no escapes). ``names`` are the variables that it sets. ``problem`` says why it can't be written, as a clause.
    """

    path: str
    reader: str
    exists: bool = False
    optional: bool = False
    own: bool = False
    content: bytes = b""
    real: str = ""
    mode: Optional[int] = None
    names: list[str] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    problem: Optional[str] = None
    shared_with: Optional[str] = None


def quote(value: str, reader: str) -> str:
    """A value as it has to stand behind the equals sign, so that ``reader`` gets exactly it.

    :raises CannotWrite: no way of writing it is read back as it is.
    """
    if reader == "dotenv" and _DOTENV_REFERENCE.search(value):
        raise CannotWrite("it has ${...} in it, which python-dotenv replaces")
    if _PLAIN.match(value) or (not value and reader == "lines"):
        return value
    if "\0" in value or (reader == "systemd" and _CONTROL.search(value)):
        raise CannotWrite("it has a control character in it, for which a reader refuses the whole file")
    if reader == "lines":
        return _for_lines(value)
    if "'" not in value and "\\" not in value:
        return f"'{value}'"
    if reader == "dotenv" and ('\\"' in value or value.endswith("\\")):
        raise CannotWrite("it has a backslash before a quote or at its end, which python-dotenv before 1.2.2 misreads")
    special = '"\\' if reader == "dotenv" else '"\\$`'
    return '"' + "".join("\\" + char if char in special else char for char in value) + '"'


def _for_lines(value: str) -> str:
    """For readers that only cut at the first ``=`` and take off quotes at the ends: nothing can be escaped."""
    if "\n" in value or "\\" in value or value[0] in "'\"#" or value[-1] in "'\"":
        raise CannotWrite(
            "it has a line end, a backslash, or a quote at an end, which the reader of this file doesn't understand"
        )
    if "'" not in value:
        return f"'{value}'"
    if _LINES_PLAIN.match(value) and "#" not in value:
        return value
    raise CannotWrite("it has quotes and other special characters, which the reader of this file doesn't understand")


def look(path: str, reader: str, optional: bool = False) -> Target:
    """Read a file as one in which variables can be written. Never raises; ``problem`` says what is in the way."""
    target = Target(path, reader, optional=optional, real=path)
    try:
        target.real, found = follow(path)
    except FileNotFoundError:
        return target
    except FileError as exc:
        target.problem = str(exc)
        return target
    except OSError as exc:
        target.problem = words(exc)
        return target
    if not found.exists:
        return target
    target.exists = True
    if found.type != "file":
        target.problem = "it is no regular file"
        return target
    target.content, target.mode = found.content, found.mode
    parsed = parse(found.content)
    target.names = list(parsed.names)
    target.values = loaded(parsed, reader)
    if parsed.load_error and reader == "systemd":
        target.problem = parsed.load_error
    elif found.links > 1:
        target.problem = "it has several names (hard links)"
    return target


def loaded(parsed: EnvFile, reader: str) -> dict[str, str]:
    """What a reader gets from a file: systemd leaves out what others take."""
    return parsed.variables if reader == "systemd" else parsed.intended


def rewritten(target: Target, values: Mapping[str, str]) -> bytes:
    """The file's new content: each variable at its place, in all its places, new ones at the end.

    :raises Refused: the file is so broken that a line more would not be read, or would change another one.
    :raises CannotWrite: a value can't be written for this reader.
    """
    if target.problem:
        raise _broken(target, target.problem)
    try:
        text = target.content.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise _broken(target, "it is not UTF-8") from exc
    quoted = {name: f"{name}={quote(value, target.reader)}" for name, value in values.items()}
    pieces, position, there = [], 0, set()
    for entry in split(text, comments_continue=False)[0]:
        name = intended_name(entry.key)
        if name not in quoted:
            continue
        there.add(name)
        prefix = re.match(r"\ufeff?(?:export[ \t]+)?", entry.source)
        kept = prefix.group() if prefix else ""
        pieces += [
            text[position : entry.start],
            "\ufeff" if target.reader == "systemd" and kept[:1] == "\ufeff" else "",
        ]
        pieces += ["" if target.reader == "systemd" else kept, quoted[name]]
        position = entry.start + len(entry.source)
    pieces.append(text[position:])
    new = "".join(pieces)
    end = "\r\n" if parse(target.content).line_endings == "crlf" else "\n"
    missing = [line for name, line in quoted.items() if name not in there]
    if missing and new and not new.endswith(("\n", "\r")):
        new += end
    new += "".join(line + end for line in missing)
    content = new.encode("utf-8")
    _verify(target, content, values)
    return content


def _verify(target: Target, content: bytes, values: Mapping[str, str]) -> None:
    """Read it back: exactly the given values changed."""
    for version in _VERSIONS:
        before = loaded(parse(target.content, version), target.reader)
        after = loaded(parse(content, version), target.reader)
        if after != {**before, **values}:
            raise _broken(
                target,
                "it has a line (an unclosed quote, a byte-order mark or the like) that would swallow or hide others",
            )


def _broken(target: Target, why: str) -> Refused:
    return Refused(
        f"{target.path} can't take a variable: {why}. Repair the file first (fix_backend_environment), then give the settings again.",
        [f"ls -l '{target.path}'"],
    )
