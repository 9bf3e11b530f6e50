# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals about exceptions: whose syntax, which interpreter, whose code, and what repeats."""

from __future__ import annotations

import re
import sys
from collections import Counter
from dataclasses import replace

from .module_names import THIRD_PARTY
from .observe import Observed
from .observed import Hit, Seen, cite_fact, resolve
from .signals import signal

_SYNTAX_TYPES = {"SyntaxError", "IndentationError", "TabError"}
# What a text file looks like that a checkout without link support left in a link's place.
_PATH_LINE = re.compile(r"^\s*(?:\.{1,2}/|/)?[\w.-]{1,80}(?:/[\w.-]{1,80}){1,12}/?\s*$")
_MATCH_LINE = re.compile(r"^\s*(?:match\s+[^=(][^=]{0,200}:|case\s+[^=]{1,200}:)\s*(?:#.*)?$")
# Syntax to the first version that has it. Each is read from the source line that the error quotes.
_NEW_SYNTAX: tuple[tuple[re.Pattern[str], tuple[int, int], str], ...] = (
    (re.compile(r":="), (3, 8), "the := operator"),
    (re.compile(r"^\s*def .{0,200}[(,]\s*/\s*[,)]"), (3, 8), "positional-only parameters"),
    (_MATCH_LINE, (3, 10), "the match statement"),
    (re.compile(r"^\s*(?:async )?with \("), (3, 10), "parenthesised with statements"),
    (re.compile(r"^\s*except\s?\*"), (3, 11), "except*"),
    (re.compile(r"^\s*type \w+(?:\[.{0,80}\])? ="), (3, 12), "the type statement"),
    (re.compile(r"^\s*(?:async )?(?:def|class) \w+\["), (3, 12), "type parameters"),
    (re.compile(r"^\s*except \w+(?:\.\w+)*, \w+(?:\.\w+)*\s*:"), (3, 14), "except without parentheses"),
    (re.compile(r"\bt[\"']"), (3, 14), "template strings"),
)
_OLD_SYNTAX = re.compile(r"^\s*print\s+[\"'\w]|^\s*exec\s+[\"']|^\s*raise \w+, |^\s*except \w+, \w+\s*:")
_PYTHON_DIR = re.compile(r"/python(3\.\d{1,2})/")
_STDLIB = frozenset(sys.stdlib_module_names)
_STDLIB_ATTRIBUTE = re.compile(r"module '(?P<owner>[\w.]+)' has no attribute '(?P<name>\w+)'")
_STDLIB_NAME = re.compile(r"cannot import name '?(?P<name>\w+)'? from '(?P<owner>[\w.]+)'")
_CAUGHT = {"KeyboardInterrupt", "SystemExit", "GeneratorExit", "CancelledError"}


def _hit(seen: Seen, **captures: str) -> Hit:
    kind = "exception" if seen.source == "log" else seen.source
    return Hit((seen.citation,), kind, seen.weight, {key: value for key, value in captures.items() if value})


def _python_version(seen: Seen) -> tuple[int, int] | None:
    """The version that the paths of the frames show."""
    for raised in seen.traceback.walk():
        for frame in raised.frames:
            match = _PYTHON_DIR.search(frame.file)
            if match and frame.origin in ("stdlib", "site-packages"):
                major, minor = match.group(1).split(".")
                return int(major), int(minor)
    return None


def _version(observed: Observed, seen: Seen) -> tuple[int, int] | None:
    told = observed.fact("import_test.python_version") or observed.fact("interpreter.version")
    if isinstance(told, str) and (numbers := re.findall(r"\d+", told)[:2]) and len(numbers) == 2:
        return int(numbers[0]), int(numbers[1])
    return _python_version(seen)


def _syntax_errors(observed: Observed) -> list[Seen]:
    return [seen for seen in observed.seen if seen.raised.type in _SYNTAX_TYPES]


def _place(seen: Seen) -> dict[str, str]:
    place = seen.raised.syntax
    if place is None:
        return {}
    where = f", line {place.line}" if place.line else ""
    captures = {"file": place.file, "line": str(place.line or ""), "place": where, "problem": seen.raised.first_line}
    return {key: value for key, value in captures.items() if value}


@signal("syntax_in_app")
def syntax_in_app(observed: Observed) -> list[Hit]:
    """A file of the application doesn't compile."""
    hits = []
    for seen in _syntax_errors(observed):
        place = seen.raised.syntax
        if place is None or place.origin not in ("app", "other") or _PATH_LINE.match(place.text or ""):
            continue
        hits.append(_hit(seen, **_place(seen)))
    return hits


@signal("syntax_in_packages")
def syntax_in_packages(observed: Observed) -> list[Hit]:
    """A file of an installed package doesn't compile: it is written for another Python."""
    hits = []
    for seen in _syntax_errors(observed):
        place = seen.raised.syntax
        if place is not None and place.origin in ("site-packages", "stdlib"):
            hits.append(_hit(seen, **_place(seen)))
    return hits


@signal("syntax_in_string")
def syntax_in_string(observed: Observed) -> list[Hit]:
    """Text that is evaluated at run time, mostly the value of a setting, doesn't compile."""
    hits = []
    for seen in _syntax_errors(observed):
        place = seen.raised.syntax
        if place is not None and (place.origin == "string" or place.file.startswith("<")):
            frame = seen.app_frame
            match = re.search(r"[\"']([A-Z][A-Z0-9_]{2,60})[\"']", frame.code or "") if frame else None
            hits.append(_hit(seen, variable=match.group(1) if match else "", problem=seen.raised.first_line))
    return hits


@signal("syntax_is_path")
def syntax_is_path(observed: Observed) -> list[Hit]:
    """The line that doesn't compile is nothing but a path: a link was copied as a text file."""
    hits = []
    for seen in _syntax_errors(observed):
        place = seen.raised.syntax
        if place is not None and place.text and _PATH_LINE.match(place.text):
            hits.append(_hit(seen, link=place.file, target=place.text.strip()))
        elif place is None:
            continue
    for seen in observed.seen:
        frame = seen.failing
        if seen.raised.type == "NameError" and frame and frame.line == 1 and _PATH_LINE.match(frame.code or ""):
            hits.append(_hit(seen, link=frame.file, target=(frame.code or "").strip()))
    return hits


@signal("newer_syntax")
def newer_syntax(observed: Observed) -> list[Hit]:
    """The line that doesn't compile is good in a newer Python than the one that runs (or in Python 2)."""
    hits = []
    for seen in _syntax_errors(observed):
        place = seen.raised.syntax
        if place is None or not place.text:
            continue
        running = _version(observed, seen)
        for pattern, since, what in _NEW_SYNTAX:
            if pattern.search(place.text) and (running is None or running < since):
                version = f"{running[0]}.{running[1]}" if running else ""
                wanted = f"{since[0]}.{since[1]}"
                hits.append(
                    _hit(
                        seen, version=version, wanted=f"Python {wanted} or newer", problem=f"{what} is new in {wanted}"
                    )
                )
                break
    return hits


def _owner_is_local(observed: Observed, name: str) -> bool:
    local = observed.fact("app.local_packages")
    return isinstance(local, list) and name in local


@signal("stdlib_name_missing")
def stdlib_name_missing(observed: Observed) -> list[Hit]:
    """A name of the standard library that the running version doesn't have (yet, or any more)."""
    hits = []
    for seen in observed.seen:
        if seen.raised.type not in ("ImportError", "AttributeError"):
            continue
        match = _STDLIB_NAME.search(seen.raised.message) or _STDLIB_ATTRIBUTE.search(seen.raised.message)
        if match is None or match.group("owner").partition(".")[0] not in _STDLIB:
            continue
        if _owner_is_local(observed, match.group("owner").partition(".")[0]):
            continue  # a file of the application hides the module
        if "circular import" in seen.raised.message or "consider renaming" in seen.raised.message:
            continue
        if "(" in seen.raised.message and not re.search(
            r"\(.{0,200}/python3|\(unknown location\)|\(frozen|\(<frozen|lib/python", seen.raised.message
        ):
            continue  # a file of the application hides the module
        owner, name = match.group("owner"), match.group("name")
        version = _version(observed, seen)
        text = f"{version[0]}.{version[1]}" if version else ""
        hits.append(_hit(seen, module=owner, problem=f"{owner}.{name} is not part of it", version=text))
    return hits


@signal("mixed_pythons")
def mixed_pythons(observed: Observed) -> list[Hit]:
    """One traceback passes through directories of different Python versions: a path to another environment."""
    hits = []
    running = re.match(r"3\.\d+", str(observed.fact("interpreter.version") or ""))
    for seen in observed.seen:
        frames = [frame.file for raised in seen.traceback.walk() for frame in raised.frames]
        versions = {match.group(1) for file in frames if (match := _PYTHON_DIR.search(file))}
        if versions and running and seen.raised.type in ("ImportError", "ModuleNotFoundError"):
            versions.add(running.group(0))
        if len(versions) > 1:
            hits.append(_hit(seen, problem="files of Python " + " and ".join(sorted(versions)) + " are mixed"))
    return hits


@signal("local_shadow")
def local_shadow(observed: Observed) -> list[Hit]:
    """A file of the application has the name of a package or standard module and is imported in its place."""
    hits = []
    local = {str(name) for name in observed.fact("app.local_packages") or [] if isinstance(name, str)}
    shadows = {str(item.get("name")): (path, item) for path, item in resolve(observed.evidence, "python_path.shadows[*]")
               if isinstance(item, dict)}  # fmt: skip
    for seen in observed.seen:
        message = seen.raised.message[:600]
        if seen.raised.type not in ("ImportError", "AttributeError", "ModuleNotFoundError", "TypeError"):
            continue
        match = re.search(r"(?:from (?:partially initialized module )?|module )'(\w+)[\w.]*'", message)
        name = match.group(1) if match else ""
        path = re.search(r"\((?:most likely[^)]{0,80}\) \()?(/[^)]{1,300}\.py)\)", message)
        hidden = name.lower() in THIRD_PARTY or name in _STDLIB
        if name in shadows:
            path_of_fact, item = shadows[name]
            hit = _hit(seen, module=name, file=str(item.get("path") or ""))
            hits.append(replace(hit, citations=(*hit.citations, cite_fact(path_of_fact, item))))
            continue
        if not name or not hidden:
            continue
        if path and not re.search(r"(?:site|dist)-packages|/lib/python3|/lib64/python3", path.group(1)):
            hits.append(_hit(seen, module=name, file=path.group(1)))
        elif name in local:
            hits.append(_hit(seen, module=name))
    return hits


@signal("recursion_in_import")
def recursion_in_import(observed: Observed) -> list[Hit]:
    """The recursion limit was reached while importing."""
    hits = []
    for seen in observed.seen:
        if seen.raised.type != "RecursionError":
            continue
        frames = seen.raised.frames
        functions = Counter(frame.function or "" for frame in frames)
        importing = sum(
            functions[name]
            for name in (
                "_find_and_load",
                "find_spec",
                "_find_spec",
                "import_module",
                "_gcd_import",
                "<module>",
                "__getattr__",
            )
        )
        repeated = [
            file for file, count in Counter(f.file for f in frames if f.origin == "app").most_common(1) if count > 1
        ]
        if importing >= 3 or functions["__getattr__"] >= 2:
            hits.append(_hit(seen, file=repeated[0] if repeated else ""))
    return hits


def _app_exceptions(observed: Observed, origins: tuple[str, ...]) -> list[Hit]:
    hits = []
    for seen in observed.seen:
        if seen.raised.type in _CAUGHT or seen.handled:
            continue
        tb = seen.traceback
        if tb.kind in ("faulthandler", "usage", "click") or (
            tb.kind == "error_line" and not seen.raised.type.endswith(("Error", "Exception"))
        ):
            continue
        own = seen.app_frame is not None
        where = "app" if own or seen.origin in ("app", "string") else "other"
        if where not in origins:
            continue
        frame = seen.app_frame or seen.failing
        place = f"{frame.file}:{frame.line}" if frame else ""
        message = f"({seen.raised.first_line[:120]})" if seen.raised.first_line else ""
        hits.append(
            _hit(
                seen,
                exception=seen.raised.qualified,
                message=message,
                place=place,
                file=frame.file if frame else "",
                line=str(frame.line or "") if frame else "",
                function=(frame.function or "") if frame else "",
            )
        )
    return hits


@signal("app_exception")
def app_exception(observed: Observed) -> list[Hit]:
    """An exception that passed through the application's own code and wasn't handled."""
    return _app_exceptions(observed, ("app",))


@signal("other_exception")
def other_exception(observed: Observed) -> list[Hit]:
    """An exception that shows no frame of the application and wasn't handled."""
    return _app_exceptions(observed, ("other",))


@signal("app_system_exit")
def app_system_exit(observed: Observed) -> list[Hit]:
    """The application ends the interpreter by itself while it is imported."""
    section = observed.fact("import_test.system_exit")
    if not isinstance(section, dict) or section.get("code") in (0, None):
        return []
    place = f"{section.get('file')}:{section.get('line')}"
    captures = {
        "exception": f"SystemExit({section.get('code')})",
        "place": place,
        "message": str(section.get("message") or ""),
    }
    captures |= {"file": str(section.get("file") or ""), "line": str(section.get("line") or "")}
    return [
        Hit(
            (cite_fact("import_test.system_exit", f"SystemExit({section.get('code')}) at {place}"),),
            "import_test",
            1.0,
            captures,
        )
    ]
