# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which settings a backend complains about when it is imported: all that it lists, not only the first.

Pure functions of the import test's result. The text comes from the application, so it is only searched for names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Optional

MAX_NAMES = 60
_NAME = r"[A-Za-z_][A-Za-z0-9_]{1,80}"
_LONG = re.compile(r"(?<![\w.])[A-Z][A-Z0-9]{0,40}(?:_[A-Z0-9]{1,40}){1,8}(?![\w(])")
_LISTED = re.compile(r"(?<![\w.])[A-Z][A-Z0-9_]{1,80}(?![\w(])")
_COMPLAINT = re.compile(
    r"(?:must|should) (?:be|not|have|point|start|contain|use)|(?:is|are|was|were) (?:not|missing|unset|empty|undefined|invalid|required|too)"
    r"|\brequired\b|\bmissing\b|not (?:set|found|configured|defined|provided|declared|allowed)|cannot|can't|\binvalid\b|\bunset\b|\bempty\b"
    r"|unsupported|unknown|refus|insecure|default value|does not|doesn't|not one of|environment variable|please (?:set|define|provide)|\bset the\b",
    re.IGNORECASE,
)
# "SECRET_KEY is required when APP_ENV is production": what follows is the condition, not the complaint.
_CONDITION = re.compile(r"\b(?:when|if|unless|because|since|while|as long as|given that)\b", re.IGNORECASE)
_ONLY_WORD = re.compile(
    r"(?<![\w.])(?P<name>[A-Z][A-Z0-9]{2,40})\b['\"]? (?:must|is (?:not|missing|required|empty|unset)|not set|missing|has to|cannot|can't)"
)
_LIST_HEAD = re.compile(
    r"(?:missing|required|unset|undefined|empty)[\w ]{0,40}(?:variables?|settings?|keys?|env(?:ironment)?)[\w ()]{0,30}[:=]",
    re.IGNORECASE,
)
_HARMLESS_LINE = re.compile(r"\b(?:INFO|DEBUG|WARNING|WARN)\b|Warning:|using default|optional|skipp", re.IGNORECASE)
# Code that reads one variable of the environment.
_READ = re.compile(
    r"(?:\benviron(?:\.get|b)?\s*[\[(]|\bgetenv\s*\(|\benv(?:\.\w{2,12})?\s*[\[(]|\bconfig\s*\(|\b(?:get|require|must)_env\w*\s*\(|\bgetsetting\s*\()"
    r"\s*['\"](?P<name>" + _NAME + r")['\"]"
)
_TITLE = re.compile(r"validation errors? for (?P<title>[\w.\[\], ]{1,120})")
_SETTINGS_TITLE = re.compile(r"Settings|Config|Env|Options|Params|Secrets", re.IGNORECASE)


@dataclass(frozen=True)
class Complaint:
    """One setting that the backend complains about.

    ``kind`` is ``variable`` (the name of an environment variable), ``field`` (of the settings class ``title``; ``nested`` ones are joined
    by dots) or ``setting`` (a name in a settings module). ``problem`` is the backend's reason, for judging only.
    """

    name: str
    kind: str = "variable"
    title: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Reader:
    """How one library words its complaint; ``kind`` as in :class:`Complaint`."""

    types: str
    message: str
    kind: str = "variable"
    prefix: str = ""


# The words of the libraries that read settings. The first group ``name`` that matches is taken; of all matches of one message.
READERS = (
    # python-decouple
    Reader("UndefinedValueError", rf"(?P<name>{_NAME}) not found\. Declare it"),
    # environs; the second form lists all when they are checked at the end (seal)
    Reader("EnvError|EnvValidationError", rf"Environment variables? \"(?P<name>{_NAME})\""),
    Reader("EnvValidationError", rf"['\"](?P<name>{_NAME})['\"]: \["),
    # django-environ, and the words that its documentation taught many
    Reader("ImproperlyConfigured|.*Error", rf"[Ss]et the (?P<name>{_NAME}) environment variable"),
    Reader("ImproperlyConfigured", r"The (?P<name>[A-Z][A-Z0-9_]+) setting must", "setting"),
    Reader("ImproperlyConfigured|CommandError", r"You must set settings\.(?P<name>[A-Z][A-Z0-9_]+)", "setting"),
    Reader("ImproperlyConfigured", r"settings\.(?P<name>DATABASES) is improperly configured", "setting"),
    Reader("ValueError", r"(?P<name>TIME_ZONE)|Incorrect timezone setting", "setting"),
    # starlette.config
    Reader("KeyError", rf"Config '(?P<name>{_NAME})' is missing"),
    Reader("ValueError", rf"Config '(?P<name>{_NAME})' has value"),
    # dynaconf
    Reader("ValidationError", rf"(?P<name>{_NAME}) is required in env", prefix="DYNACONF_"),
    # pydantic-settings, a value that is no JSON
    Reader("SettingsError", rf"value for field \"(?P<name>{_NAME})\"", "field"),
    # typical words of one's own
    Reader(".*", rf"[Ee]nvironment variable [\"'`]?(?P<name>{_NAME})[\"'`]? (?:is |was )?(?:not|missing|required|must|invalid|unset|empty)"),
)  # fmt: skip


def complaints(test: Mapping[str, Any]) -> list[Complaint]:
    """All settings that an ``import_test`` section complains about, each once, the surest first; empty when it is about something else."""
    found: list[Complaint] = []
    for raised in _raised(test):
        found += _of_exception(raised)
    if not found and test.get("outcome") == "system_exit":
        leave = test.get("system_exit") or {}
        printed = "\n".join(str(test.get(stream) or "")[-8000:] for stream in ("stdout", "stderr"))
        for text in (str(leave.get("message") or ""), printed):
            found += _of_text("\n".join(line for line in text.splitlines() if not _HARMLESS_LINE.search(line)))
    unique: dict[str, Complaint] = {}
    for item in found:
        unique.setdefault(item.name.lower(), item)
    return list(unique.values())[:MAX_NAMES]


def words(test: Mapping[str, Any]) -> str:
    """Everything that the backend said when it refused, for judging values; never returned to anybody."""
    leave = test.get("system_exit") or {}
    parts = [str(raised.get("message") or "") for raised in _raised(test)]
    return "\n".join([*parts, str(leave.get("message") or ""), str(test.get("stderr") or "")[-8000:]])


def _raised(test: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The exceptions of a test, the last one first, members of groups behind their group."""
    last = test.get("exception")
    if not isinstance(last, Mapping):
        return
    for raised in [*reversed(last.get("chain") or [last])]:
        if isinstance(raised, Mapping):
            yield raised
            yield from (inner for inner in raised.get("exceptions") or [] if isinstance(inner, Mapping))


def _of_exception(raised: Mapping[str, Any]) -> list[Complaint]:
    kind, message = str(raised.get("type") or ""), str(raised.get("message") or "")[:4000]
    fields = raised.get("fields")
    if isinstance(fields, list):
        return _of_fields(fields, message)
    found = []
    for reader in READERS:
        if re.fullmatch(reader.types, kind):
            for match in re.finditer(reader.message, message):
                name = match.group("name") or "TIME_ZONE"
                found.append(
                    Complaint(reader.prefix + name if reader.prefix else name, reader.kind, problem=message[:400])
                )
    if found:
        return found
    read = _read_by(raised)
    if kind == "KeyError":
        name = str(raised.get("name") or message).strip("'\"")
        asked = any(_reads_environment(frame) for frame in (raised.get("frames") or [])[-4:])
        return [Complaint(name, problem="not set")] if asked and re.fullmatch(_NAME, name) else []
    return _of_text(message) or ([Complaint(read, problem=message[:400])] if read else [])


def _of_fields(fields: list[Any], message: str) -> list[Complaint]:
    """What pydantic lists. An entry without a field is a check over several: its words name them."""
    match = _TITLE.search(message)
    title = match.group("title").strip() if match else ""
    found = []
    for entry in fields:
        field, problem = str(entry.get("field") or ""), str(entry.get("message") or "")
        if field and field != "__root__":
            found.append(Complaint(field, "field", title, problem))
        else:
            found += _of_text(problem)
    return found


def _reads_environment(frame: Mapping[str, Any]) -> bool:
    file = str(frame.get("file") or "")
    if file.endswith(("/os.py", "<frozen os>")) and frame.get("function") == "__getitem__":
        return True
    return bool(re.search(r"\benviron\b|\bgetenv\b", str(frame.get("code") or "")))


def _read_by(raised: Mapping[str, Any]) -> Optional[str]:
    """The variable that the innermost calls read, as in ``int(os.environ["PORT"])``."""
    for frame in reversed((raised.get("frames") or [])[-6:]):
        if frame.get("origin") in ("app", "string", "other", None):
            match = _READ.search(str(frame.get("code") or ""))
            if match:
                return match.group("name")
    return None


def _of_text(text: str) -> list[Complaint]:
    """The names in a complaint that somebody wrote by hand, on any of its lines."""
    if not _COMPLAINT.search(text):
        return []
    found: list[Complaint] = []
    listing = False
    for line in text.splitlines():
        head = _LIST_HEAD.search(line)
        listing = bool(head) or (listing and bool(re.match(r"\s*[-*•,]|\s*[A-Z][A-Z0-9_]*\s*,?\s*$", line)))
        part = _CONDITION.split(line, maxsplit=1)[0] or line
        names = _LISTED.findall(line[head.end() :] if head else line) if listing else []
        names += [match.group() for match in _LONG.finditer(part) if not re.match(r"\s*==?\s*\w", part[match.end() :])]
        names += [match.group("name") for match in _ONLY_WORD.finditer(part)]
        found += [Complaint(name, problem=line[:400]) for name in names]
    return found


def is_settings_title(title: str) -> bool:
    """Whether the name of a class says that it holds settings, for when its source can't be read."""
    return bool(_SETTINGS_TITLE.search(title))
