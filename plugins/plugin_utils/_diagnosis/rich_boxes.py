# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tracebacks that Rich (and Typer with it) draws as boxes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .frames import origin_of
from .log_model import Frame

HEADER_WORDS = "Traceback (most recent call last)"

_HEAD = re.compile(r"\s*[╭┌+][─━\-]{2,} ?Traceback \(most recent call last\)")
_BOTTOM = re.compile(r"\s*[╰└+][─━\-]{4,}")
_PLACE = re.compile(r"(?P<file>.{1,1000}?):(?P<line>\d{1,7}) ?in ?(?P<function>.{1,200})$")
_CODE = re.compile(r"\s*(?P<here>❱|>)?\s*\d{1,7} [│|]\s?(?P<code>.*)")
_INNER_BOX = ("╭", "│", "╰", "|", "+-", "+ ")


def is_rich_head(text: str) -> bool:
    """The top of a box with a traceback in it."""
    return HEADER_WORDS in text and _HEAD.match(text) is not None


def read_rich(texts: Sequence[str]) -> tuple[list[Frame], int]:
    """The frames in the box that begins at ``texts[0]``, and the index of the first text behind it.

    Long paths are wrapped over several rows; the blocks with local variables are skipped.
    """
    frames: list[Frame] = []
    wrapped = ""
    for index, text in enumerate(texts[1:], 1):
        if _BOTTOM.match(text):
            return frames, index + 1
        stripped = text.strip()
        if stripped[:1] not in ("│", "|"):
            return frames, index
        inner = stripped[1:].removesuffix("│").removesuffix("|").strip()
        code = _CODE.match(inner)
        if not inner or inner.startswith(_INNER_BOX):
            wrapped = ""
        elif code is not None:
            wrapped = ""
            if code["here"] and frames and frames[-1].code is None:
                last = frames[-1]
                frames[-1] = Frame(last.file, last.line, last.function, code["code"].strip(), last.origin)
        else:
            wrapped += inner
            place = _PLACE.match(wrapped)
            if place is not None:
                file = place["file"].strip()
                frames.append(Frame(file, int(place["line"]), place["function"].strip(), None, origin_of(file)))
                wrapped = ""
    return frames, len(texts)
