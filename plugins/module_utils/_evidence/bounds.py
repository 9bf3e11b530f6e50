# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain and bounded data: what a collector returns, made safe to send."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

MAX_DEPTH = 24
MAX_STRING = 64 * 1024
_CUT = " […cut…] "


def plain(value: Any, depth: int = 0) -> Any:
    """Dicts with text keys, lists, numbers, and text that is valid Unicode; anything else becomes text."""
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth >= MAX_DEPTH:
        return _text(repr(value)[:200])
    if isinstance(value, Mapping):
        return {_text(str(key)): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(_text(str(item)) for item in value)
    if isinstance(value, (bytes, bytearray)):
        return _text(bytes(value).decode("utf-8", errors="replace"))
    return _text(str(value))


def bounded(section: dict[str, Any], max_bytes: int) -> tuple[dict[str, Any], str]:
    """The section within ``max_bytes`` of JSON text, and the names of the keys that were cut for it.

    The largest lists lose their second half, repeatedly; texts lose their middle.
    """
    cut: list[str] = []
    while size(section) > max_bytes:
        sizes = {key: size(item) for key, item in section.items()}
        key = max(sizes, key=lambda name: sizes[name])
        smaller = _smaller(section[key])
        section = {**section, key: smaller}
        if key not in cut:
            cut.append(key)
        if size(smaller) >= sizes[key]:
            section[key] = None
            if not any(item is not None for item in section.values()):
                break
    return section, ", ".join(cut)


def size(value: Any) -> int:
    """Bytes of the value as JSON text."""
    return len(json.dumps(value))


def _smaller(value: Any) -> Any:
    if isinstance(value, str):
        return value[: len(value) // 4] + _CUT + value[-(len(value) // 4) :] if len(value) > 64 else None
    if isinstance(value, list):
        if len(value) > 1:
            return value[: len(value) // 2]
        return [_smaller(value[0])] if value else None
    if isinstance(value, dict) and value:
        key = max(value, key=lambda name: size(value[name]))
        return {**value, key: _smaller(value[key])}
    return None


def _text(text: str) -> str:
    if not text.isascii():
        text = text.encode("utf-8", errors="replace").decode("utf-8")
    if len(text) <= MAX_STRING:
        return text
    return text[: MAX_STRING // 2] + _CUT + text[-(MAX_STRING // 2) :]
