# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors that aren't Python tracebacks: dumps of the C level, refused command lines, one-sentence failures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .chains import Row, message_of
from .exceptions import complete, is_validation_head, parse_exception
from .frames import is_dropped, parse_frame
from .log_model import Frame, Raised, TracebackKind

SIGNALS_OF_FAULTS = {
    "Segmentation fault": "SIGSEGV", "Aborted": "SIGABRT", "Bus error": "SIGBUS", "Illegal instruction": "SIGILL",
    "Floating point exception": "SIGFPE", "Floating-point exception": "SIGFPE", "access violation": "SIGSEGV",
    "stack overflow": "SIGSEGV", "Terminated": "SIGTERM",
}  # fmt: skip

_FATAL = re.compile(r"(?:Fatal Python error|Windows fatal exception): (?P<message>.{1,500})")
_FIRST = "(most recent call first):"
_TIMEOUT = re.compile(r"Timeout \(\d+:\d\d:\d\d(?:\.\d+)?\)!")


@dataclass(frozen=True, slots=True)
class Block:
    """What a block says, and the index of the first row behind it."""

    chain: tuple[Raised, ...]
    end: int
    kind: TracebackKind
    fatal: bool
    signal: str | None = None


# What servers, supervisors and shells say in one sentence instead of raising. The first group that matches names the
# missing or refused thing. Sentences are matched at the start of the message only.
_SENTENCES: tuple[tuple[str, str, bool], ...] = (
    ("uvicorn", r"Error loading ASGI app", True),
    ("uvicorn", r"Import string \".{1,200}\" must be in format", True),
    ("uvicorn", r"Could not import module \"(?P<name>[\w.]+)\"", True),
    ("uvicorn", r"Attribute \"(?P<name>\w+)\" not found in module \"(?P<owner>[\w.]+)\"", True),
    ("uvicorn", r"Invalid (?:host|reload|log)", True),
    ("gunicorn", r"Failed to find attribute '(?P<name>[\w.]+)' in '(?P<owner>[\w.]+)'", True),
    ("gunicorn", r"Failed to parse '.{1,200}' as an attribute name or function call", True),
    ("gunicorn", r"Function reference must be|Application object must be callable|Name of application|Application factory", True),
    ("gunicorn", r"Connection in use: \(", False),
    ("gunicorn", r"Can't connect to \(", True),
    ("gunicorn", r"Error: .{1,80}(?:doesn't exist|isn't a|Invalid address|class uri)", True),
    ("gunicorn", r"Failed to read config file: (?P<name>\S+)", True),
    ("celery", r"Unable to load celery application", True),
    ("celery", r"consumer: Cannot connect to (?P<name>\S+):", False),
    ("celery", r"Unrecoverable error", True),
    ("alembic", r"FAILED: ", True),
    ("alembic", r"(?:Can't locate revision|Target database is not up to date|Multiple head revisions)", True),
    ("django", r"CommandError: ", True),
    ("supervisord", r"supervisor: couldn't (?:chdir to|exec|setuid to) (?P<name>[^:]+):", True),
    ("supervisord", r"can't find command '(?P<name>[^']+)'", True),
    ("supervisord", r"(?:spawnerr|Error): ", True),
    ("python", r"\S*[Pp]ython\S*: (?:can't open file '(?P<name>[^']+)'|can't find '__main__' module in '(?P<owner>[^']+)')", True),
    ("python", r"\S*[Pp]ython\S*: No module named '?(?P<name>[\w.]+)'?", True),
    ("python", r"\S*[Pp]ython\S*: Error while finding module specification for '(?P<name>[\w.]+)'", True),
    ("python", r"\S*[Pp]ython\S*: '?(?P<name>[\w.]+)'? is a package and cannot be directly executed", True),
    ("python", r"Could not find platform (?:in)?dependent libraries", False),
    ("shell", r"(?:\S*(?:bash|sh|env|exec|nohup|entrypoint\S*|start\S*|run\S*|docker\S*)): (?:line )?.{0,300}"
              r"(?:[Nn]o such file or directory|[Pp]ermission denied|not found|cannot execute|bad interpreter|Exec format)", True),
    ("shell", r"(?:OCI runtime|Error response from daemon|exec /\S+|standard_init_linux)\b.{0,500}"
              r"(?:[Nn]o such file|[Pp]ermission denied|exec format|not found|not a directory)", True),
    ("uwsgi", r"\*\*\* no app loaded", False),
    ("uwsgi", r"unable to load app \d+|unable to find \"application\" callable|chdir\(\): |bind\(\): ", True),
    ("hypercorn", r"Error: .{1,300}", True),
)  # fmt: skip


def _by_first_letter() -> dict[str, list[tuple[str, re.Pattern[str], bool]]]:
    index: dict[str, list[tuple[str, re.Pattern[str], bool]]] = {}
    for module, pattern, fatal in _SENTENCES:
        compiled = re.compile(pattern)
        heads = pattern[0] if pattern[0].isalpha() else pattern[1] if pattern.startswith("\\*") else ""
        for letter in heads or "\0":
            index.setdefault(letter, []).append((module, compiled, fatal))
    return index


_INDEX = _by_first_letter()
_TOLD = re.compile(r"[\s(:'\"](?P<qualified>(?:[A-Za-z_]\w{0,60}\.){0,8}[A-Z]\w{0,60}(?:Error|Exception))(?:: |\()")
_USAGE_ERROR = re.compile(r"(?P<prog>[\w./-]{1,200}): error: (?P<message>.*)")


def parse_block(rows: Sequence[Row], at: int) -> Block | None:
    """What stands at this row when it begins one of these blocks."""
    text = rows[at].text
    level = rows[at].line.mark.level
    if "Fatal Python error" in text or "Windows fatal exception" in text or _FIRST in text or _TIMEOUT.match(text):
        return _faulthandler(rows, at)
    if text.startswith(("Usage: ", "usage: ")):
        return _usage(rows, at)
    if text.startswith("Error:") and rows[at].line.mark.unit != "systemd":
        return _click_error(rows, at, at)
    if ": error: " in text[:220] and (found := _USAGE_ERROR.match(text)):
        raised = Raised(type="UsageError", module=found["prog"], message=found["message"], line=rows[at].line.number)
        return Block((complete(raised, found["message"], ()),), at + 1, "usage", True)
    if level in ("INFO", "DEBUG"):
        # supervisord tells its failures as INFO
        return _sentence(rows, at) if text.startswith(("spawnerr", "can't")) else None
    if text[:1].isdigit() and is_validation_head(text):
        if at + 1 < len(rows) and is_validation_head(rows[at + 1].text):
            return None
        message, end = message_of(rows, at, text)
        block = complete(Raised("ValidationError", line=rows[at].line.number), message, ())
        return Block((block,), end, "pydantic", False) if block.fields else None
    return _sentence(rows, at) or _bare_exception(rows, at) or _errno_line(rows, at) or _told_exception(rows, at)


def _faulthandler(rows: Sequence[Row], at: int) -> Block:
    found = _FATAL.search(rows[at].text)
    message = found["message"].strip() if found else rows[at].text.strip() if _FIRST not in rows[at].text else ""
    inner: list[Raised] = []
    frames: list[Frame] = []
    dumping = current = False
    seen_current = False
    here = at if _FIRST in rows[at].text else at + 1
    while here < len(rows):
        line, text = rows[here]
        frame = parse_frame(text)
        if _FIRST in text:
            dumping = True
            current = not seen_current
            seen_current = seen_current or text.lstrip().startswith("Current thread") or not frames
        elif frame is not None and dumping:
            if current:
                frames.append(frame)
        elif text.startswith(("Extension modules:", "Python runtime state:", "  <", "<no Python frame>", "  ...")):
            pass
        elif not dumping and not line.mark.record and (raised := parse_exception(text, certain=False)):
            inner.append(complete(_on_line(raised, line.number), raised.message, ()))
        elif text.strip() or (here > at + 1 and not rows[here - 1].text.strip()):
            break
        here += 1
    kept = tuple(frame for frame in reversed(frames) if not is_dropped(frame))
    last = Raised("Fatal Python error" if found else "", message=message, frames=kept, line=rows[at].line.number)
    chain = (*(_caused(raised) for raised in inner), last)
    signal = next((name for words, name in SIGNALS_OF_FAULTS.items() if words in message), None)
    return Block(chain, here, "faulthandler", fatal=found is not None, signal=signal)


def _on_line(raised: Raised, number: int) -> Raised:
    return Raised(raised.type, raised.message, raised.module, line=number)


def _caused(raised: Raised) -> Raised:
    return Raised(
        raised.type, raised.message, raised.module, "cause", name=raised.name, owner=raised.owner, errno=raised.errno,
        filename=raised.filename, line=raised.line,
    )  # fmt: skip


def _usage(rows: Sequence[Row], at: int) -> Block | None:
    """``Usage:`` of click with its ``Error:`` a few rows below, or argparse's ``usage:`` with ``prog: error:``."""
    for here in range(at + 1, min(at + 40, len(rows))):
        text = rows[here].text
        if rows[here].line.mark.record:
            break
        if text.lstrip("│╭─ ").startswith("Error:"):
            return _click_error(rows, at, here)
        found = _USAGE_ERROR.match(text)
        if found is not None:
            raised = Raised("UsageError", found["message"], found["prog"], line=rows[here].line.number)
            return Block((complete(raised, found["message"], ()),), here + 1, "usage", True)
    return None


def _click_error(rows: Sequence[Row], at: int, here: int) -> Block | None:
    """``Error: …`` as click prints it; celery puts the message on the rows below."""
    first = rows[here].text.partition("Error:")[2].strip()
    parts = [first] if first else []
    end = here + 1
    while end < len(rows) and len(parts) < 12:
        line, text = rows[end]
        if not text.strip() or line.mark.record or "Traceback (most" in text or text.startswith(("Usage: ", "Error:")):
            break
        if (first and not text.startswith((" ", "\t"))) or line.mark.unit == "systemd":
            break
        parts.append(text.strip())
        end += 1
    if not parts:
        return None
    message = "\n".join(parts)
    raised = complete(Raised("UsageError", line=rows[here].line.number), message, ())
    return Block((raised,), end, "click", at != here or not rows[at].line.mark.record)


def _sentence(rows: Sequence[Row], at: int) -> Block | None:
    text = rows[at].text
    for module, pattern, fatal in (*_INDEX.get(text[:1], ()), *_INDEX["\0"]):
        found = pattern.match(text)
        if found is not None:
            group = found.groupdict()
            whole, end = message_of(rows, at, text)
            plain = complete(Raised("Error", module=module, line=rows[at].line.number), whole, ())
            raised = Raised(
                "Error", whole, module, name=group.get("name") or plain.name, owner=group.get("owner") or plain.owner,
                errno=plain.errno, filename=plain.filename, line=plain.line,
            )  # fmt: skip
            return Block((raised,), end, "error_line", fatal)
    return None


def _bare_exception(rows: Sequence[Row], at: int) -> Block | None:
    text = rows[at].text.removeprefix("╰ ")
    if not (text[:1].isalpha() or text[:1] == "_"):
        return None
    raised = parse_exception(text, certain=False)
    if raised is None:
        return None
    message, end = message_of(rows, at, raised.message)
    raised = complete(_on_line(raised, rows[at].line.number), message, ())
    return Block((raised,), end, "error_line", False)


def _errno_line(rows: Sequence[Row], at: int) -> Block | None:
    """A logger's own words around a system error, such as uvicorn's failed bind."""
    text = rows[at].text
    if rows[at].line.mark.level not in ("ERROR", "CRITICAL") or ("[Errno " not in text and "[WinError " not in text):
        return None
    message, end = message_of(rows, at, text)
    raised = complete(Raised("OSError", line=rows[at].line.number), message, ())
    return Block((raised,), end, "error_line", False)


def _told_exception(rows: Sequence[Row], at: int) -> Block | None:
    """An exception inside a logged sentence: ``Consumer failed: AMQPConnectionError: (…)``."""
    text = rows[at].text
    found = _TOLD.search(text[:1000]) if rows[at].line.mark.level in ("ERROR", "CRITICAL") else None
    if found is None:
        return None
    qualified = found["qualified"]
    module, _dot, kind = qualified.rpartition(".")
    raised = Raised(kind, module=module or None, line=rows[at].line.number)
    return Block((complete(raised, text[found.end() :].strip(), ()),), at + 1, "error_line", False)
