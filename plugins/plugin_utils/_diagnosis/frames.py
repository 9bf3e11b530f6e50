# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stack frames: the lines that print them, and whose code they are in."""

from __future__ import annotations

import re

from .log_model import Frame, FrameOrigin

CHAIN_SENTENCES = (
    "The above exception was the direct cause of the following exception:",
    "During handling of the above exception, another exception occurred:",
)

# Python's own, faulthandler's (no comma before "in"), and loguru's marker in front.
_FRAME = re.compile(
    r'\s{0,40}(?:> )?File "(?P<file>[^"\n]{1,2000})", line (?P<line>\d{1,9}|\?\?\?)(?:,? in (?P<function>.{1,300}))?\s*$'
)
_LOCATION_ONLY = re.compile(r'\s{0,40}File "(?P<file>[^"\n]{1,2000})"$')
_MARKERS = re.compile(r"[\s~^]+$")
_LOGURU_VALUES = re.compile(r"\s+(?:[│└┬├].*|\|.*)$")
_REPEATED = re.compile(r"\s+\[Previous line repeated (?P<count>\d{1,9}) more times?\]")
_STDLIB = re.compile(
    r"/lib(?:32|64)?/(?:python|pypy)[23](?:\.\d{1,2})?t?/|/python3\d{1,2}\.zip/"
    r"|[Pp]ython(?:\d{2,3}|[\d.]{1,8})?/Lib/|(?:mini|ana)conda3?/(?:envs/[^/]{1,80}/)?[Ll]ib/(?!python)"
)
_LAUNCHER = re.compile(r"(?:/|^)(?:bin|Scripts)/[\w.+-]{1,60}$")

_DROPPED = ("<frozen importlib", "importlib/__init__.py", "importlib/_bootstrap")


def parse_frame(text: str) -> Frame | None:
    """A line such as ``File "/srv/app/main.py", line 3, in <module>``; ``None`` for every other line."""
    if 'File "' not in text:
        return None
    found = _FRAME.match(text)
    if found is None:
        return None
    number = found["line"]
    function = found["function"]
    file = found["file"]
    return Frame(file, int(number) if number.isdigit() else None, function, None, origin_of(file))


def is_location(text: str) -> bool:
    """A ``File "…"`` line in any form, complete or not."""
    return 'File "' in text and (_FRAME.match(text) is not None or _LOCATION_ONLY.match(text) is not None)


def is_marker(text: str) -> bool:
    """The ``~~~^^^`` under a source line, or the values that loguru prints there."""
    return bool(_MARKERS.match(text) and text.strip()) or _LOGURU_VALUES.match(text) is not None


def repeated(text: str) -> int:
    """How many frames the interpreter folded at this line, 0 for every other line."""
    found = _REPEATED.match(text)
    return int(found["count"]) if found else 0


def is_module_level_head(text: str) -> bool:
    """Whether a stack with this outermost frame ends the process when nobody catches: module level or ``python -m``."""
    frame = parse_frame(text)
    if frame is None or frame.function is None:
        return False
    return frame.function in ("<module>", "_run_module_as_main") and frame.file != "<stdin>"


def is_dropped(frame: Frame) -> bool:
    """Frames of the import machinery say nothing about the reason."""
    return any(part in frame.file.replace("\\", "/") for part in _DROPPED)


def origin_of(file: str) -> FrameOrigin:
    """Whose code the file is: the application's own, an installed distribution's, Python's.

    Launchers in ``bin`` are ``other``: they belong to nobody who could fix something there.
    """
    if file.startswith("<frozen"):
        return "frozen"
    if file.startswith("<"):
        return "string"
    path = file.replace("\\", "/")
    if "/site-packages/" in path or "/dist-packages/" in path or path.startswith(("site-packages/", "dist-packages/")):
        return "site-packages"
    if path.endswith((".pyx", ".pxd")) and not path.startswith("/"):
        return "site-packages"
    if _STDLIB.search(path) and not _LAUNCHER.search(path):
        return "stdlib"
    if _LAUNCHER.search(path):
        return "other"
    return "app"
