# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last line of a traceback: type, message, and the names, numbers and fields that the message gives away."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .log_model import FieldError, Frame, Raised, SyntaxPlace

SYNTAX_ERRORS = frozenset({"SyntaxError", "IndentationError", "TabError"})

_EXCEPTION = re.compile(
    r"(?P<qualified>(?:[A-Za-z_]\w*(?:\.<locals>)?\.)*(?P<type>[A-Za-z_]\w{0,100}))(?::(?: (?P<message>.*))?)?$"
)
_ERROR_LIKE = re.compile(
    r"(?:Error|Exception|Exit|Interrupt|Iteration|Group|NotFound|NotReady|Missing|Unavailable|Timeout|Denied|Refused|Lost"
    r"|Invalid\w*|Failed|Failure|Required|Conflict|DoesNotExist|NotSupported|ImproperlyConfigured|NotRegistered|Expired"
    r"|Abort|Mismatch|Unauthorized|Forbidden|ServerSelectionTimeout|HaltServer|Fault|Problem|Fail|Cancelled|Unsupported)$"
)
_NOT_ERRORS = re.compile(r"Warning$")

_NAMES: tuple[re.Pattern[str], ...] = tuple(
    re.compile(pattern)
    for pattern in (
        r"No module named '?(?P<name>[\w.]+)'?(?:; '(?P<owner>[\w.]+)' is not a package)?",
        r"cannot import name '?(?P<name>\w+)'? from (?:partially initialized module )?'(?P<owner>[\w.]+)'",
        r"cannot import name '?(?P<name>\w+)'?",
        r"(?:partially initialized )?module '(?P<owner>[\w.]+)' has no attribute '(?P<name>\w+)'",
        r"(?:type object )?'(?P<owner>[\w.]+)' object has no attribute '(?P<name>\w+)'",
        r"type object '(?P<owner>[\w.]+)' has no attribute '(?P<name>\w+)'",
        r"(?:free variable|local variable|cannot access local variable|name) '(?P<name>\w+)' (?:is not defined|referenced|where)",
        r"(?P<name>[\w.+-]{1,120}\.so[\w.]{0,40}): (?:cannot open shared object|undefined symbol|invalid ELF|file too short)",
        r"/(?:\S{1,400}/)?(?P<owner>[\w.+-]{1,120}\.so[\w.]{0,40}): undefined symbol: (?P<name>\w+)",
        r"(?:version )`(?P<name>[A-Z]+_[\d.]+)' not found",
        r"Working outside of (?P<name>\w+) context",
        r"error parsing value for field \"(?P<name>\w+)\"",
        r"Set the (?P<name>[A-Z][A-Z0-9_]+) environment variable",
        r"(?P<name>[A-Z][A-Z0-9_]{2,60}) (?:environment variable |setting )?(?:is |must |not |required|missing|cannot )",
        r"(?:Missing|missing|required|Required|undefined) (?:required )?(?:environment variable|env var|variable|setting)s?:? "
        r"['\"]?(?P<name>[A-Z][A-Z0-9_]+)",
        r"(?P<name>[A-Z][A-Z0-9_]+) not found\. Declare it as envvar",
    )
)
_KEY_ERROR = re.compile(r"(['\"])(?P<name>.{1,200}?)\1$")
_ERRNO = re.compile(r"\[(?:Errno|WinError) (?P<number>-?\d{1,6})\]|\b(?:Error|errno|error code:?) (?P<plain>\d{1,6})\b")
_FILENAME = re.compile(
    r"\[(?:Errno|WinError) -?\d{1,6}\] [^'\"]{1,200}: (?P<quote>['\"])(?P<file>.{1,1000}?)(?P=quote)"
)
_SYNTAX_PLACE = re.compile(r"\((?P<file>[^()]{1,400}), line (?P<line>\d{1,9})\)$")

_COUNT = re.compile(r"(?P<count>\d{1,5}) validation errors? for (?P<model>.{1,200})")
# What drivers and frameworks print below the first line of a message without indenting it.
_CONTINUATION = re.compile(
    r"\(Background on this error|\[SQL: |\[parameters: |LINE \d|DETAIL: |HINT: |CONTEXT: |QUERY: |connection to server |"
    r"could not connect to server|Is the server running|Multiple exceptions|Did you |Original (?:error|exception)|"
    r"Error was|Make sure |Please |Perhaps |Possible solutions|See |Note: |Hint|Try |Check |Ensure |ERRORS:|WARNINGS:|"
    r"System check identified|\?: \(|[\w.]+: \([\w.]+\.[EW]\d|\tHINT|You |This |If you |Set |The above|Consider |IMPORTANT|"
    r"[-*•] |\d{1,3}[.)] |>{3} |None of |Available |Valid "
)


def parse_exception(text: str, *, certain: bool) -> Raised | None:
    """The exception line ``pkg.mod.Type: message``.

    ``certain`` is true right below frames, where whatever stands in this form is the exception; elsewhere only names
    that look like exceptions count, and never warnings.
    """
    found = _EXCEPTION.match(text)
    if found is None:
        return None
    name = found["type"]
    if not certain and (_NOT_ERRORS.search(name) or not _ERROR_LIKE.search(name) or not name[:1].isupper()):
        return None
    if certain and found["message"] is None and not text.endswith(":") and not name[:1].isupper():
        return None
    qualified = found["qualified"]
    module = qualified[: -len(name) - 1] if len(qualified) > len(name) else None
    return Raised(type=name, message=found["message"] or "", module=module)


def complete(raised: Raised, message: str, frames: Sequence[Frame], syntax: SyntaxPlace | None = None) -> Raised:
    """The exception with its whole message, its frames, and what the message says about names, numbers and fields."""
    first = message.partition("\n")[0]
    name, owner = _names(raised.type, message)
    errno = _ERRNO.search(message)
    number = (errno["number"] or errno["plain"]) if errno else None
    filename = _FILENAME.search(message)
    if raised.type in SYNTAX_ERRORS and syntax is None and (place := _SYNTAX_PLACE.search(first)):
        syntax = SyntaxPlace(place["file"], int(place["line"]))
    return Raised(
        type=raised.type,
        message=message,
        module=raised.module,
        relation=raised.relation,
        frames=tuple(frames),
        name=name,
        owner=owner,
        errno=int(number) if number else None,
        filename=filename["file"] if filename else None,
        syntax=syntax,
        fields=parse_fields(message.split("\n")) if "validation error" in message else (),
        repeated=raised.repeated,
        group=raised.group,
        truncated_frames=raised.truncated_frames,
        line=raised.line,
    )


def _names(kind: str, message: str) -> tuple[str | None, str | None]:
    if kind == "KeyError":
        found = _KEY_ERROR.match(message.partition("\n")[0].strip())
        return (found["name"] if found else None), None
    head = message[:2000]
    for pattern in _NAMES:
        found = pattern.search(head)
        if found is not None:
            group = found.groupdict()
            return group.get("name"), group.get("owner")
    return None, None


def continues_message(text: str) -> bool:
    """Whether an unprefixed line below an exception still belongs to its message."""
    return text[:1] in (" ", "\t") or _CONTINUATION.match(text) is not None


def is_validation_head(text: str) -> bool:
    """``2 validation errors for Settings``, as pydantic begins its block."""
    return "validation error" in text and _COUNT.search(text) is not None


def parse_fields(lines: Sequence[str]) -> tuple[FieldError, ...]:
    """The fields of a pydantic block, version 1 or 2, in order; the refused values are left out."""
    start = next((i for i, line in enumerate(lines) if _COUNT.search(line)), None)
    if start is None:
        return ()
    result: list[FieldError] = []
    field: str | None = None
    for line in lines[start + 1 :]:
        if not line.strip():
            continue
        if not line.startswith((" ", "\t")):
            field = line.strip().replace(" -> ", ".")
        elif field is not None and "For further information" not in line:
            result.append(_field_error(field, line.strip()))
    return tuple(result)


def validation_count(text: str) -> int:
    """How many fields the head of a pydantic block promises."""
    found = _COUNT.search(text)
    return int(found["count"]) if found else 0


def _field_error(field: str, text: str) -> FieldError:
    """``Field required [type=missing, input_value={}, input_type=dict]``, or ``field required (type=value_error)``."""
    message, found, rest = text.partition(" [type=")
    if found:
        kind = rest.partition(",")[0].rstrip("]")
        given = rest.rpartition("input_type=")[2].rstrip("]") if "input_type=" in rest else None
        return FieldError(field, message, kind, given)
    message, found, rest = text.rpartition(" (type=")
    if found:
        return FieldError(field, message, rest.partition(";")[0].rstrip(")"))
    return FieldError(field, text)
