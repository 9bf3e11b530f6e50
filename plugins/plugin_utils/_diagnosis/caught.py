# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exceptions that the import test and the foreground test caught, in the shape of those read from logs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .exceptions import complete
from .frames import is_dropped, origin_of
from .log_model import Frame, Raised, SyntaxPlace, Traceback


def from_import_test(section: Mapping[str, Any], source: str = "import_test") -> Traceback | None:
    """The exception that the import test (or the foreground test) caught, in the same shape as one from a log.

    ``None`` when the test didn't run or nothing was raised.
    """
    exception = section.get("exception")
    if not isinstance(exception, Mapping):
        return None
    given = exception.get("chain")
    links = [link for link in given if isinstance(link, Mapping)] if isinstance(given, list) else []
    chain = tuple(_from_link(link) for link in links or [exception])
    return Traceback(chain=chain, source=source, first_line=1, last_line=1, fatal=True)


def _from_link(link: Mapping[str, Any]) -> Raised:
    relation = link.get("relation")
    frames = [_from_frame(frame) for frame in link.get("frames") or [] if isinstance(frame, Mapping)]
    syntax = link.get("syntax")
    place = None
    if isinstance(syntax, Mapping) and syntax.get("file"):
        file = str(syntax["file"])
        place = SyntaxPlace(
            file, _int(syntax.get("line")), _int(syntax.get("offset")), syntax.get("text"), origin_of(file)
        )
    message = str(link.get("message") or "")
    plain = complete(Raised(str(link.get("type") or ""), module=_text(link.get("module"))), message, ())
    attribute = _text(link.get("attribute"))
    return replace(
        plain,
        module=None if plain.module in ("builtins", "") else plain.module,
        relation=relation if relation in ("cause", "context") else None,
        frames=tuple(frame for frame in frames if not is_dropped(frame)),
        name=(attribute or _text(link.get("name"))) or plain.name,
        owner=(_text(link.get("name")) if attribute else None) or plain.owner,
        errno=_int(link.get("errno")) if link.get("errno") is not None else plain.errno,
        filename=_text(link.get("filename")) or plain.filename,
        syntax=place or plain.syntax,
        truncated_frames=bool(link.get("truncated_frames")),
    )


def _from_frame(frame: Mapping[str, Any]) -> Frame:
    file = str(frame.get("file") or "")
    origin = frame.get("origin")
    known = origin if origin in ("app", "site-packages", "stdlib", "frozen", "string", "other") else origin_of(file)
    return Frame(file, _int(frame.get("line")), _text(frame.get("function")), _text(frame.get("code")), known)


def _int(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
