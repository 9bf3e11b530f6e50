# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns exceptions and frames into plain data inside the backend's interpreter, and writes it to the report channel.

Runs in whatever Python the backend has, 3.6 included, beside code that may misbehave. So it uses built-in modules
only: a module of the standard library that the application shadows with a file of its own must not be loaded by us.
"""

import posix
import sys

# Objects of the application may lie about their class to isinstance(), and run code when asked.
# pylint: disable=unidiomatic-typecheck

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Any, Optional

OWN = "<firstaid"
MAX_TEXT = 4096
HEAD_FRAMES, TAIL_FRAMES = 10, 40
MAX_CHAIN = 8
MAX_SOURCE = 2 * 1024 * 1024


class Reporter:
    """Knows the report channel, where the application's code lies, and the process that may speak."""

    def __init__(self, descriptor: int, code_dirs: "list[str]", mark: str = "") -> None:
        self.descriptor = descriptor
        self.mark, self.sent = mark, 0
        self.pid = posix.getpid()
        self.code_dirs = [path.rstrip("/") + "/" for path in code_dirs if path]
        stdlib = getattr(sys.modules.get("os"), "__file__", None) or ""
        self.stdlib = stdlib.rpartition("/")[0] + "/" if stdlib else "\0"
        self.lines: dict[str, list[bytes]] = {}
        self.write = posix.write
        self.leave = posix._exit
        self.open, self.read, self.close = posix.open, posix.read, posix.close

    def send(self, message: "dict[str, Any]") -> None:
        """One line of JSON with the run's mark and a number; children that the application forked stay silent."""
        if posix.getpid() != self.pid:
            return
        self.sent += 1
        data = to_json(dict(message, by=self.mark, n=self.sent)).encode("ascii") + b"\n"
        try:
            while data:
                data = data[self.write(self.descriptor, data) :]
        except OSError:
            pass  # the application closed the channel; the parent says so

    def origin(self, filename: str) -> str:
        """Whose code a file is; a virtual environment inside the code directory is not the application's."""
        if filename.startswith("<frozen"):
            return "frozen"
        if filename.startswith("<"):
            return "string"
        if "/site-packages/" in filename or "/dist-packages/" in filename:
            return "site-packages"
        if filename.startswith(self.stdlib):
            return "stdlib"
        return "app" if any(filename.startswith(path) for path in self.code_dirs) else "other"

    def frame(self, filename: str, line: int, function: str) -> "dict[str, Any]":
        """The evidence's shape of one frame."""
        absolute = filename
        if not filename.startswith(("<", "/")):
            absolute = posix.getcwd() + "/" + filename
        return {
            "file": cap(absolute),
            "line": line,
            "function": cap(function),
            "code": self.line_of(absolute, line),
            "origin": self.origin(absolute),
        }

    def line_of(self, filename: str, number: int) -> "Optional[str]":
        """A line of a source file, read with the rights of the backend's user."""
        if filename.startswith("<") or not number:
            return None
        if filename not in self.lines:
            self.lines[filename] = []
            try:
                descriptor = self.open(filename, posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)
                try:
                    self.lines[filename] = self.read(descriptor, MAX_SOURCE).split(b"\n")
                finally:
                    self.close(descriptor)
            except OSError:
                pass
        lines = self.lines[filename]
        if not 0 < number <= len(lines):
            return None
        return lines[number - 1].decode("utf-8", "replace").strip()[:400]

    def frames_of(self, traceback: "Optional[TracebackType]", own: bool = False) -> "tuple[list[dict[str, Any]], int]":
        """Frames of a traceback, outermost first, without ours and the import system's; and how many were cut."""
        raw = []
        while traceback is not None:
            code = traceback.tb_frame.f_code
            raw.append((code.co_filename, traceback.tb_lineno, code.co_name))
            traceback = traceback.tb_next
        return self.shorten(raw, own)

    def stack(self, frame: "Optional[FrameType]") -> "list[dict[str, Any]]":
        """The frames from ``frame`` outwards, given outermost first."""
        raw = []
        while frame is not None:
            raw.append((frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name))
            frame = frame.f_back
        # The outermost frame is the command that brought us here.
        return self.shorten(raw[-2::-1])[0]

    def shorten(self, raw: "list[tuple[str, int, str]]", own: bool = False) -> "tuple[list[dict[str, Any]], int]":
        kept = [entry for entry in raw if own or not entry[0].startswith((OWN, "<frozen importlib"))]
        while kept and kept[0][0].endswith("/importlib/__init__.py"):
            del kept[0]
        cut = max(0, len(kept) - HEAD_FRAMES - TAIL_FRAMES)
        if cut:
            kept = kept[:HEAD_FRAMES] + kept[-TAIL_FRAMES:]
        return [self.frame(*entry) for entry in kept], cut

    def app_frame(self, frame: "Optional[FrameType]") -> "tuple[Optional[str], Optional[int]]":
        """File and line of the innermost frame of the application, else of the innermost that isn't ours."""
        fallback: tuple[Optional[str], Optional[int]] = (None, None)
        while frame is not None:
            name = frame.f_code.co_filename
            if self.origin(name) == "app":
                return name, frame.f_lineno
            if fallback[0] is None and not name.startswith("<"):
                fallback = (name, frame.f_lineno)
            frame = frame.f_back
        return fallback

    def exception(self, exc: BaseException, relation: "Optional[str]" = None, depth: int = 0) -> "dict[str, Any]":
        """The evidence's shape of one exception, without its chain."""
        kind = type(exc)
        frames, cut = self.frames_of(exc.__traceback__)
        found: dict[str, Any] = {
            "type": cap(kind.__name__),
            "module": cap(str(kind.__module__)),
            "bases": [cap(base.__name__) for base in kind.__mro__[1:-1]][:12],
            "message": message_of(exc),
            "relation": relation,
            "frames": frames,
            "truncated_frames": cut,
            "name": None,
            "attribute": None,
            "errno": None,
            "filename": None,
            "syntax": None,
        }
        if issubclass(kind, (ImportError, NameError, AttributeError)):
            found["name"] = text_or_none(getattr(exc, "name", None))
            found["attribute"] = text_or_none(getattr(exc, "name_from", None))
            found["path"] = text_or_none(getattr(exc, "path", None))
        if issubclass(kind, OSError):
            found["errno"] = exc.errno if type(exc.errno) is int else None  # type: ignore[attr-defined]
            found["filename"] = text_or_none(getattr(exc, "filename", None))
        if issubclass(kind, SyntaxError):
            found["message"] = cap(text_or_none(getattr(exc, "msg", None)) or found["message"])
            found["syntax"] = {
                "file": text_or_none(getattr(exc, "filename", None)),
                "line": int_or_none(getattr(exc, "lineno", None)),
                "offset": int_or_none(getattr(exc, "offset", None)),
                "text": (text_or_none(getattr(exc, "text", None)) or "").rstrip()[:400] or None,
            }
        fields = validation_fields(exc)
        if fields is not None:
            found["fields"] = fields
            found["message"] = validation_message(exc, fields)
        inner = getattr(exc, "exceptions", None)
        if type(inner) is tuple and depth < 2:
            found["exceptions"] = [
                self.exception(one, None, depth + 1) for one in inner[:8] if isinstance(one, BaseException)
            ]
        return found

    def chain(self, exc: BaseException) -> "list[dict[str, Any]]":
        """An exception and what led to it, the first raised first; each names its relation to the next."""
        found: list[dict[str, Any]] = []
        seen = set()
        current: Optional[BaseException] = exc
        relation: Optional[str] = None
        while current is not None and id(current) not in seen and len(found) < MAX_CHAIN:
            seen.add(id(current))
            found.append(self.exception(current, relation))
            if current.__cause__ is not None:
                current, relation = current.__cause__, "cause"
            elif not current.__suppress_context__:
                current, relation = current.__context__, "context"
            else:
                current = None
        return found[::-1]


def cap(text: str, size: int = MAX_TEXT) -> str:
    """At most ``size`` characters, with a note of what is missing."""
    return text if len(text) <= size else text[:size] + f"[… {len(text) - size} more characters]"


def text_or_none(value: "Any") -> "Optional[str]":
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return cap(value) if isinstance(value, str) else None


def int_or_none(value: "Any") -> "Optional[int]":
    return value if type(value) is int else None


def message_of(exc: BaseException) -> str:
    """``str`` of an exception, whatever its ``__str__`` does."""
    try:
        return cap(str(exc))
    except BaseException as failure:
        return f"<{type(failure).__name__} while its text was made>"


def validation_fields(exc: BaseException) -> "Optional[list[dict[str, Any]]]":
    """What pydantic refuses, by field, type and reason; never the value that it was given. None for other errors."""
    if type(exc).__name__ != "ValidationError" or not hasattr(exc, "errors"):
        return None
    try:
        try:
            errors = exc.errors(include_url=False, include_context=False, include_input=False)
        except TypeError:
            errors = exc.errors()
        return [
            {
                "field": cap(".".join(str(part) for part in error.get("loc", ())), 200),
                "type": cap(str(error.get("type")), 100),
                "message": cap(str(error.get("msg")), 400),
            }
            for error in errors[:50]
        ]
    except BaseException:
        return None


def validation_message(exc: BaseException, fields: "list[dict[str, Any]]") -> str:
    """The text that pydantic would print, without the input values."""
    title = getattr(exc, "title", None) or getattr(getattr(exc, "model", None), "__name__", "")
    lines = ["{} validation error{} for {}".format(len(fields), "s" * (len(fields) != 1), title)]
    for entry in fields:
        lines += [entry["field"], "  {} [type={}]".format(entry["message"], entry["type"])]
    return cap("\n".join(lines))


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _string(text: str) -> str:
    parts = []
    for character in text:
        number = ord(character)
        if character in _ESCAPES:
            parts.append(_ESCAPES[character])
        elif 32 <= number < 127:
            parts.append(character)
        elif number > 0xFFFF:
            number -= 0x10000
            parts.append(f"\\u{0xD800 + (number >> 10):04x}\\u{0xDC00 + (number & 0x3FF):04x}")
        elif 0xD800 <= number <= 0xDFFF:
            parts.append("\\ufffd")
        else:
            parts.append(f"\\u{number:04x}")
    return '"' + "".join(parts) + '"'


def to_json(value: "Any") -> str:
    """JSON in ASCII; only plain containers, texts and numbers are known, all else becomes null."""
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return _string(value)
    if type(value) is int:
        return str(value)
    if type(value) is float:
        return repr(value) if value - value == 0.0 else "null"
    if type(value) is dict:
        return "{" + ",".join(_string(str(name)) + ":" + to_json(entry) for name, entry in value.items()) + "}"
    if type(value) in (list, tuple):
        return "[" + ",".join(to_json(entry) for entry in value) + "]"
    return "null"
