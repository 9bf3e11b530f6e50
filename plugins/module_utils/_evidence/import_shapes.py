# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shapes of what the import probe reports: each value is taken over only if it has the type and size it should have.

The reports come from a process in which the application's code ran, so nothing about them can be relied on.
"""

from __future__ import annotations

import difflib
import re
from typing import Any, Callable, Optional

from .model import Section
from .numerals import whole

MAX_TEXT = 4400
MAX_FRAMES = 50

_CANNOT_IMPORT = re.compile(
    r"cannot import name ['\"](?P<name>\w+)['\"](?: from (?P<partial>partially initialized module )?['\"](?P<module>[\w.]+)['\"]"
    r")?"
)
_FAULT_FRAME = re.compile(r'  File "(?P<file>.*?)", line (?P<line>\d+|\?\?\?) in (?P<function>.*)\Z')


def exception(entry: Any) -> Section:
    """One exception of the report, in the evidence's shape."""
    given = entry if isinstance(entry, dict) else {}
    syntax = given.get("syntax")
    found: Section = {
        "type": text(given.get("type"), 200) or "unknown",
        "module": text(given.get("module"), 200),
        "bases": [str(base)[:200] for base in plain_list(given.get("bases"))[:12]],
        "message": text(given.get("message")) or "",
        "relation": given.get("relation") if given.get("relation") in ("cause", "context") else None,
        "frames": [frame(one) for one in plain_list(given.get("frames"))[:MAX_FRAMES]],
        "truncated_frames": integer(given.get("truncated_frames")) or 0,
        "name": text(given.get("name"), 400),
        "attribute": text(given.get("attribute"), 400),
        "errno": integer(given.get("errno")),
        "filename": text(given.get("filename")),
        "syntax": None,
    }
    if isinstance(syntax, dict):
        found["syntax"] = {
            "file": text(syntax.get("file")),
            "line": integer(syntax.get("line")),
            "offset": integer(syntax.get("offset")),
            "text": text(syntax.get("text"), 500),
        }
    fields = plain_list(given.get("fields"))
    if fields:
        names = ("field", "type", "message")
        found["fields"] = [
            {name: text(one.get(name), 500) for name in names} for one in fields[:50] if isinstance(one, dict)
        ]
    inner = plain_list(given.get("exceptions"))
    if inner:
        found["exceptions"] = [exception(one) for one in inner[:8]]
    return found


def frame(entry: Any) -> Section:
    """One frame of the report, in the evidence's shape."""
    given = entry if isinstance(entry, dict) else {}
    return {
        "file": text(given.get("file")) or "",
        "line": integer(given.get("line")),
        "function": text(given.get("function"), 200),
        "code": text(given.get("code"), 500),
        "origin": text(given.get("origin"), 20) or "other",
    }


def missing_name(chain: list[Section], near: Any) -> Optional[Section]:
    """A name that a module lacks, for the last ``cannot import name`` of the chain."""
    for one in reversed(chain):
        match = _CANNOT_IMPORT.search(one["message"]) if one["type"] == "ImportError" else None
        if not match:
            continue
        known = near if isinstance(near, dict) and near.get("module") == (match["module"] or one["name"]) else {}
        return {
            "name": one["attribute"] or match["name"],
            "module": match["module"] or one["name"],
            "module_file": text(known.get("file")) or _file_in(one["message"]),
            "similar": similar(match["name"], plain_list(known.get("names"))),
            "partially_initialized": bool(match["partial"] or known.get("initializing")),
        }
    return None


def _file_in(message: str) -> Optional[str]:
    """The path in the last parentheses of an import error."""
    inner = re.findall(r"\((/[^()]*)\)", message)
    return inner[-1] if inner else None


def similar(wanted: str, names: list[Any]) -> list[str]:
    """Up to five of ``names`` that look like ``wanted``."""
    candidates = [name for name in names if isinstance(name, str)]
    folded = [name for name in candidates if name.lower() == wanted.lower()]
    return list(dict.fromkeys(folded + difflib.get_close_matches(wanted, candidates, 5, 0.5)))[:5]


def stack_of(fault: str, origin: Callable[[str], str]) -> list[Section]:
    """The main thread's frames of a faulthandler dump, outermost first."""
    threads: list[list[Section]] = []
    current = 0
    for line in fault.splitlines():
        if line.startswith(("Current thread", "Thread", "Stack (most recent call first)")):
            if line.startswith("Current thread"):
                current = len(threads)
            threads.append([])
        match = _FAULT_FRAME.match(line)
        if match and threads:
            number = whole(match["line"])
            if not match["file"].startswith(("<firstaid", "<string>", "<frozen importlib")):
                entry = {"file": match["file"], "line": number, "function": match["function"], "code": None}
                threads[-1].append(dict(entry, origin=origin(match["file"])))
    return threads[current][::-1][-MAX_FRAMES:] if threads else []


def attribute(given: Any) -> Optional[Section]:
    if not isinstance(given, dict):
        return None
    wanted = text(given.get("wanted"), 200) or ""
    return {
        "wanted": wanted,
        "exists": bool(given.get("exists")),
        "type": text(given.get("type"), 200),
        "similar": similar(wanted, plain_list(given.get("names"))),
    }


def withheld(entry: Any) -> Section:
    given = entry if isinstance(entry, dict) else {}
    return {
        "what": text(given.get("what"), 20) or "write",
        "detail": text(given.get("detail"), 400),
        "file": text(given.get("file")),
        "line": integer(given.get("line")),
    }


def slow(entry: Any) -> Section:
    given = entry if isinstance(entry, dict) else {}
    numbers = {
        name: given.get(name) if isinstance(given.get(name), (int, float)) else None for name in ("ms", "own_ms")
    }
    return {"module": text(given.get("module"), 200), **numbers}


def text(value: Any, size: int = MAX_TEXT) -> Optional[str]:
    """A text of at most ``size`` characters, None for anything else."""
    return value[:size] if isinstance(value, str) else None


def integer(value: Any) -> Optional[int]:
    """A whole number, None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def plain_list(value: Any) -> list[Any]:
    """A list, empty for anything else."""
    return value if isinstance(value, list) else []
