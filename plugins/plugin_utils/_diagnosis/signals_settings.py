# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals about settings: which variable is missing or refused, and whether a file of variables is the reason."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .observe import Observed
from .observed import Citation, Hit, Seen, cite_fact, resolve
from .signals import signal

# Names as settings are written: DATABASE_URL, PORT, SECRET_KEY. One bare word needs the context to tell.
_VARIABLE = r"[A-Z][A-Z0-9]{1,40}(?:_[A-Z0-9]{1,40}){0,8}"
_LONG_VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]{1,40}(?:_[A-Z0-9]{1,40}){1,8}\b")
_ENVIRON_CODE = re.compile(
    r"\benviron\b|\bgetenv\b|\benv\(|\benv\.|\bconfig\(|\bsettings?\b|\bget_env|\bos\.env|\bEnv\(", re.IGNORECASE
)
_SETTINGS_CLASS = re.compile(
    r"validation errors? for (?P<cls>\w{0,60}(?:Settings|Config|Configuration|Env|Environment|Options|Params|Secrets)\w{0,20})\b"
)
_COMPLAINTS = re.compile(
    r"(?:must|should) (?:be set|be provided|be configured|not|be|have)|is required|are required|"
    r"required (?:env|environment|setting|variable|key|config)|"
    r"(?:is|are|was|were) (?:not set|missing|unset|empty|undefined|invalid|not defined|not configured|not allowed)|"
    r"not (?:set|found|configured|defined|provided|declared)|"
    r"missing (?:required )?(?:env|environment|setting|variable|config|mandatory|value)|"
    r"cannot (?:be|point|use|equal)|can't be|"
    r"(?:invalid|unknown|unsupported|illegal) (?:value|literal|setting|configuration|log level|choice|url|port)|"
    r"does not (?:exist in the env|match)|set the .{0,60}environment variable|environment variable|"
    r"improperly configured|is not a valid|not one of",
    re.IGNORECASE,
)
_ERROR_TYPES = re.compile(
    r"Error$|Exception$|ImproperlyConfigured$|SystemExit$|Invalid|Undefined|Missing|NotFound|Misconfig"
)
# Exceptions of the libraries that read settings: they name the variable themselves.
_LIBRARY_TYPES = {
    "EnvError", "EnvValidationError", "UndefinedValueError", "ValidationError", "ConfigError", "ImproperlyConfigured", "SettingsError",
    "MissingRequiredSetting", "UnsetVariableError", "ConfigurationError", "MissingEnvironmentVariable", "EnvironmentVariableError",
    "MissingConfigException", "InvalidConfigException", "ParseError",
}  # fmt: skip


_SETTINGS_LIBRARIES = frozenset(("decouple", "environs", "environ", "dynaconf", "prettyconf", "goodconf", "everett"))


def _capture(variable: str, problem: str = "") -> dict[str, str]:
    return {"variable": variable, **({"problem": problem} if problem else {})}


def _hit(seen: Seen, variable: str, problem: str = "", weight: float = 1.0) -> Hit:
    kind = "exception" if seen.source == "log" else seen.source
    return Hit((seen.citation,), kind, seen.weight * weight, _capture(variable, problem))


def _frames_read_environment(seen: Seen) -> bool:
    """Whether the innermost calls read the environment: os.environ[...], getenv, or a settings library."""
    frames = seen.raised.frames[-4:]
    for frame in frames:
        file = frame.file.replace("\\", "/")
        if file.endswith(("/os.py", "<frozen os>")) and frame.function == "__getitem__":
            return True
        if frame.package in (
            "environs",
            "decouple",
            "environ",
            "dynaconf",
            "starlette",
            "prettyconf",
            "goodconf",
            "pydantic_settings",
        ):
            return True
        if frame.code and re.search(r"\benviron\b|\bgetenv\(", frame.code):
            return True
    return False


@signal("variable_missing")
def variable_missing(observed: Observed) -> list[Hit]:
    """The environment was asked for a variable that isn't set."""
    hits = []
    for seen in observed.seen:
        name = seen.raised.name or ""
        if seen.raised.type == "KeyError" and re.fullmatch(_VARIABLE, name):
            if _frames_read_environment(seen):
                hits.append(_hit(seen, name, "not set"))
            elif "_" in name and (not seen.raised.frames or _settings_file(seen)):
                hits.append(_hit(seen, name, "not set", 0.75))
        elif seen.raised.type == "UndefinedValueError" or (
            seen.raised.type == "EnvError" and "not set" in seen.raised.message
        ):
            match = _LONG_VARIABLE.search(seen.raised.message) or re.search(_VARIABLE, seen.raised.message)
            hits.append(_hit(seen, match.group(0) if match else "", "not set"))
        elif re.search(r"Set the \w{2,60} environment variable", seen.raised.message):
            match = re.search(r"Set the (\w{2,60}) environment", seen.raised.message)
            hits.append(_hit(seen, match.group(1) if match else "", "not set"))
    return hits


def _settings_file(seen: Seen) -> bool:
    frame = seen.app_frame
    if frame is None:
        return False
    return bool(re.search(r"settings|config|environ|/env", frame.file)) or bool(
        frame.code and _ENVIRON_CODE.search(frame.code)
    )


@signal("settings_validation")
def settings_validation(observed: Observed) -> list[Hit]:
    """A settings class (pydantic and alike) refused what it was given, or missed it."""
    hits = []
    for seen in observed.seen:
        raised = seen.raised
        match = _SETTINGS_CLASS.search(raised.message[:400])
        prefixed = raised.type == "SettingsError" or (
            raised.type == "ValidationError" and "pydantic_settings" in seen.packages
        )
        if not match and not prefixed:
            continue
        for field in raised.fields[:8]:
            hits.append(_hit(seen, field.field, field.message))
        if not raised.fields:
            named = re.search(r'for field "(\w{1,80})"', raised.message) or _LONG_VARIABLE.search(raised.message)
            hits.append(_hit(seen, (named.group(named.lastindex or 0) if named else ""), raised.first_line))
    return hits


@signal("value_refused")
def value_refused(observed: Observed) -> list[Hit]:
    """A value read from the environment can't be converted: int(os.environ["PORT"]) and alike."""
    hits = []
    for seen in observed.seen:
        raised = seen.raised
        if raised.type not in (
            "ValueError",
            "TypeError",
            "JSONDecodeError",
            "InvalidOperation",
            "KeyError",
            "ArgumentTypeError",
        ):
            continue
        if _SETTINGS_LIBRARIES & set(seen.packages) and seen.origin == "site-packages":
            hits.append(_hit(seen, "", raised.first_line))
            continue
        for frame in raised.frames[-5:]:
            if (
                frame.origin in ("app", "string", "other")
                and frame.code
                and re.search(r"\benviron\b|\bgetenv\b|\benv[(.]", frame.code)
            ):
                match = re.search(r"[\"'](" + _VARIABLE + r")[\"']", frame.code)
                if raised.type == "KeyError" and match and raised.name == match.group(1):
                    continue
                hits.append(_hit(seen, match.group(1) if match else "", raised.first_line))
                break
    return hits


@signal("settings_complaint")
def settings_complaint(observed: Observed) -> list[Hit]:
    """An exception of the application, or of a settings library, that complains about a variable by its name."""
    hits = []
    for seen in observed.seen:
        raised = seen.raised
        library = raised.type in _LIBRARY_TYPES
        if not (library or _ERROR_TYPES.search(raised.type)) or not raised.message:
            continue
        text = raised.message[:1500]
        variable = _LONG_VARIABLE.search(text)
        if variable is None or not _COMPLAINTS.search(text):
            continue
        if seen.origin in ("app", "none", "string", "other") or library:
            hits.append(_hit(seen, variable.group(0), raised.first_line))
    return hits


@signal("settings_complaint_line")
def settings_complaint_line(observed: Observed) -> list[Hit]:
    """A line of the application that complains about a variable by its name, as strict validation prints it."""
    hits = []
    for line in observed.lines:
        if line.by != "app" or line.level in ("INFO", "DEBUG", "WARNING"):
            continue
        text = line.text[:800]
        variable = _LONG_VARIABLE.search(text)
        if variable is None or not _COMPLAINTS.search(text):
            continue
        if re.search(
            r"validation passed|skipping|using default|disabled|deprecat|, using|will fail|warning|optional",
            text,
            re.IGNORECASE,
        ):
            continue
        hits.append(Hit((line.citation,), "log", line.weight, _capture(variable.group(0), text[:200])))
    return sorted(hits, key=lambda hit: -hit.weight)


def _files(observed: Observed) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path in ("environment.files[*]", "unit.environment_files[*]"):
        for concrete, item in resolve(observed.evidence, path):
            if isinstance(item, Mapping):
                yield concrete, item


@signal("env_file_absent")
def env_file_absent(observed: Observed) -> list[Hit]:
    """A file of variables that is named and not optional doesn't exist."""
    hits: dict[str, Hit] = {}
    for path, item in _files(observed):
        if item.get("exists") is False and not item.get("optional"):
            name = str(item.get("path") or "")
            hits.setdefault(name, Hit((cite_fact(path, item),), captures={"path": name, **_elsewhere(observed, name)}))
    return list(hits.values())


@signal("env_file_absent_optional")
def env_file_absent_optional(observed: Observed) -> list[Hit]:
    """A file of variables that may be missing is missing; it matters only when variables are."""
    hits: dict[str, Hit] = {}
    for path, item in _files(observed):
        if item.get("exists") is False and item.get("optional"):
            name = str(item.get("path") or "")
            hits.setdefault(name, Hit((cite_fact(path, item),), captures={"path": name, **_elsewhere(observed, name)}))
    return list(hits.values())


def _elsewhere(observed: Observed, path: str) -> dict[str, str]:
    """Another existing file of variables that the project has, preferably of the same name."""
    found = []
    for _path, item in resolve(observed.evidence, "environment.candidates[*]"):
        if (
            isinstance(item, Mapping)
            and item.get("exists") is not False
            and item.get("path")
            and item.get("path") != path
        ):
            found.append(str(item["path"]))
    found.sort(key=lambda other: other.rpartition("/")[2] != path.rpartition("/")[2])
    return {"found": found[0]} if found else {}


@signal("env_file_found_elsewhere")
def env_file_found_elsewhere(observed: Observed) -> list[Hit]:
    """The missing file of variables lies elsewhere in the project."""
    hits = []
    for hit in [*env_file_absent(observed), *env_file_absent_optional(observed)]:
        if hit.captures.get("found"):
            hits.append(Hit((cite_fact("environment.candidates", hit.captures["found"]),), captures=dict(hit.captures)))
    return hits


@signal("env_file_unreadable")
def env_file_unreadable(observed: Observed) -> list[Hit]:
    """A file of variables exists and can't be read by who reads it."""
    hits = []
    for path, item in _files(observed):
        if item.get("exists") and item.get("readable") is False and item.get("type") not in _NO_FILES:
            hits.append(Hit((cite_fact(path, item),), captures={"path": str(item.get("path") or "")}))
    return hits


# Types of what stands where a file of variables should, as the reader is told of them.
_NO_FILES = {
    "fifo": "it is a FIFO and no file, and whoever reads it waits until somebody writes to it",
    "socket": "it is a socket and no file",
    "device": "it is a device and no file",
    "directory": "it is a directory and no file",
}
_FATAL_PROBLEMS = {
    "unclosed_quote",
    "no_equals",
    "bad_name",
    "carriage_return",
    "nul",
    "spaces_around_equals",
    "export_prefix",
}
# Of these, the ones that cost the variable of their own line and no other.
_LINE_PROBLEMS = {"no_equals", "bad_name", "spaces_around_equals", "export_prefix"}


@signal("env_file_broken")
def env_file_broken(observed: Observed) -> list[Hit]:
    """A file of variables has a byte-order mark, another encoding, foreign line ends, or lines that can't be read."""
    hits = []
    for path, item in _files(observed):
        name = str(item.get("path") or "")
        for problem, line in _problems(item):
            captures = {"path": name, "problem": problem, "in_file": problem, **({"line": str(line)} if line else {})}
            hits.append(
                Hit((Citation(path, None, f"{name}{f':{line}' if line else ''}: {problem}", True),), captures=captures)
            )
    return hits


@signal("env_file_broken_throughout")
def env_file_broken_throughout(observed: Observed) -> list[Hit]:
    """What is wrong with a file of variables reaches beyond the line it stands in, so that any variable may suffer."""
    local = {problem.replace("_", " ") for problem in _LINE_PROBLEMS}
    return [hit for hit in env_file_broken(observed) if hit.captures.get("problem") not in local]


def _problems(item: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if item.get("type") in _NO_FILES:
        yield _NO_FILES[str(item["type"])], None
    encoding = str(item.get("encoding") or "").lower()
    if encoding.startswith(("utf-16", "utf16", "utf-32")):
        yield f"the encoding is {encoding}", None
    elif item.get("bom"):
        yield "it begins with a byte-order mark, which becomes part of the first name", 1
    if item.get("line_endings") in ("crlf", "mixed", "cr"):
        yield f"the line ends are {str(item['line_endings']).upper()}, so that values end in a carriage return", None
    for entry in item.get("malformed") or []:
        if isinstance(entry, Mapping) and entry.get("problem") in _FATAL_PROBLEMS:
            yield str(entry["problem"]).replace("_", " "), entry.get("line")


@signal("env_file_refused")
def env_file_refused(observed: Observed) -> list[Hit]:
    """The file of variables that the application reads itself is there and its user may not read it, and that was its end."""
    denied = [seen.raised.message for seen in observed.seen if seen.raised.type == "PermissionError"]
    hits = []
    for path, item in _files(observed):
        name = os.path.basename(str(item.get("path") or ""))
        if item.get("readable") is not False or not name:
            continue
        if any(re.search(rf"""['"/]{re.escape(name)}['"]""", message) for message in denied):
            cited = cite_fact(path, f"{item.get('path')} can't be read by the backend's user")
            hits.append(Hit((cited,), captures={"path": str(item.get("path"))}))
    return hits


@signal("env_file_quirk")
def env_file_quirk(observed: Observed) -> list[Hit]:
    """Lines that one reader of env files takes differently from another: kept quotes, comments after values."""
    hits = []
    for path, item in _files(observed):
        for entry in item.get("malformed") or []:
            if isinstance(entry, Mapping) and entry.get("problem") not in _FATAL_PROBLEMS:
                problem = str(entry.get("problem")).replace("_", " ")
                captures = {
                    "path": str(item.get("path") or ""),
                    "problem": problem,
                    "line": str(entry.get("line") or ""),
                }
                hits.append(
                    Hit((cite_fact(path, f"{item.get('path')}:{entry.get('line')}: {problem}"),), captures=captures)
                )
    return hits


@signal("variable_in_broken_file")
def variable_in_broken_file(observed: Observed) -> list[Hit]:
    """A missing variable stands in a malformed line of a file, so that the file is the reason."""
    missing = {hit.captures.get("variable", "") for hit in variable_missing(observed) + settings_validation(observed)}
    missing.discard("")
    hits = []
    for path, item in _files(observed):
        for entry in item.get("malformed") or []:
            text = str(entry.get("text") or "") if isinstance(entry, Mapping) else ""
            for name in missing:
                if re.search(rf"(?i)\b{re.escape(name)}\b", text):
                    captures = {
                        "path": str(item.get("path") or ""),
                        "line": str(entry.get("line") or ""),
                        "variable": name,
                        "problem": str(entry.get("problem") or "").replace("_", " "),
                    }
                    quote = f"{item.get('path')}:{entry.get('line')}: {entry.get('problem')}"
                    hits.append(Hit((cite_fact(path, quote),), captures=captures))
    return hits


@signal("any_variable_missing")
def any_variable_missing(observed: Observed) -> list[Hit]:
    """Any of the ways in which a program says that a variable is missing."""
    hits = [*variable_missing(observed), *settings_validation(observed), *settings_complaint(observed)]
    return sorted([*hits, *settings_complaint_line(observed)], key=lambda hit: -hit.weight)
