# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which file of the project declares what, as lines that an installer takes: pins with their hashes, constraints, indexes."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Optional

from ..._evidence.context import KIB, Context
from ..._evidence.packages_toml import loads
from ..._evidence.requirements import Declared, Project, requirements_file
from ..._evidence.requirements_versions import canonical, marker_holds, parse_requirement, parse_version

MAX_LOCK_BYTES = 8192 * KIB
_HASH = re.compile(r"--hash[= ](\w+:[0-9a-fA-F]+)")
_INDEX_LINE = re.compile(
    r"(?:-i|--index-url|--extra-index-url|-f|--find-links|--trusted-host|--no-index|--pre|--prefer-binary|--only-binary|--no-binary)\b.*"
)
_CONDA_FILES = ("environment.yml", "environment.yaml", "conda.yml", "conda.yaml")


@dataclass(frozen=True)
class Pin:
    """One exact version that a lock names, or a direct URL; ``hashes`` as ``sha256:...``."""

    name: str
    version: str
    hashes: tuple[str, ...]
    file: str
    url: str = ""
    extras: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """The line of a requirements file."""
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        head = f"{self.name}{extras} @ {self.url}" if self.url else f"{self.name}{extras}=={self.version}"
        return " ".join([head, *(f"--hash={item}" for item in self.hashes)])


@dataclass
class Declarations:
    """All that the project says. ``pins`` are of its lock (or of a requirements file with hashes), by canonical name."""

    project: Project
    pins: dict[str, Pin] = field(default_factory=dict)
    pins_file: Optional[str] = None
    ambiguous: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    index_lines: list[str] = field(default_factory=list)
    conda: dict[str, str] = field(default_factory=dict)
    conda_file: Optional[str] = None

    def main(self, key: str) -> Optional[Declared]:
        """The requirement of the main group for a distribution; the nearest file comes first."""
        return next((item for item in self.project.declared if item.key == key and item.group == "main"), None)

    def any(self, key: str) -> Optional[Declared]:
        """Whatever declares a distribution, the main group first, then constraints, extras and locks."""
        found = [item for item in self.project.declared if item.key == key and item.group != "development"]
        found.sort(
            key=lambda item: (
                ("main", "constraint", "lock").index(item.group) if item.group in ("main", "constraint", "lock") else 3
            )
        )
        return found[0] if found else None


def read(project: Project, directories: list[str], environment: dict[str, str], ctx: Context) -> Declarations:
    """What the project's files say beyond names and versions. Never raises for a broken file.

    :param environment: the variables of markers, see ``marker_environment``.
    """
    result = Declarations(project)
    for path in project.files:
        reader = _LOCKS.get(os.path.basename(path))
        if reader and not result.pins:
            _take_pins(reader, path, environment, result, ctx)
    hashed: dict[str, Pin] = {}
    for path, text in _requirement_files(project, ctx):
        result.index_lines += index_lines(text, path)
        hashed.update(_hashed(text, path, environment))
    if hashed and not result.pins:
        result.pins, result.pins_file = hashed, next(iter(hashed.values())).file
    for path in project.files:
        if os.path.basename(path) == "pyproject.toml":
            result.index_lines += _sources(loads(ctx.read(path, MAX_LOCK_BYTES).text)[0])
    result.index_lines = list(dict.fromkeys(result.index_lines))
    for directory in directories:
        for name in _CONDA_FILES:
            path = os.path.join(directory, name)
            content = ctx.read(path)
            if not content.error and result.conda_file is None:
                _conda(content.text, path, result)
    result.constraints = constraints(result, environment)
    return result


def constraints(declared: Declarations, environment: dict[str, str]) -> list[str]:
    """Lines for ``-c``: every version that the project's files name, so that nothing else comes in with what is installed."""
    lines: dict[str, None] = {}
    for pin in declared.pins.values():
        if not pin.url:
            lines[f"{pin.name}=={pin.version}"] = None
    for item in declared.project.declared:
        if item.group not in ("main", "constraint") or item.key in declared.pins or not item.specifier:
            continue
        specifier = to_pep440(item.specifier)
        if specifier and marker_holds(item.marker, environment):
            lines[f"{item.name}{specifier}"] = None
    return list(lines)


def line_for(item: Declared) -> Optional[str]:
    """The line that installs what a file declares; None when pip's format can't say it."""
    requirement = parse_requirement(item.text)
    if (
        requirement
        and requirement.name == item.key
        and (requirement.specifier or requirement.url or not item.specifier)
    ):
        return item.text
    specifier = to_pep440(item.specifier)
    if specifier is None or item.text.startswith("-"):
        return None
    extras = re.search(r"extras\s*=\s*\[([^\]]*)\]", item.text)
    names = re.findall(r"[\w.-]+", extras.group(1)) if extras else []
    return f"{item.name}{'[' + ','.join(names) + ']' if names else ''}{specifier}"


def to_pep440(specifier: str) -> Optional[str]:
    """Poetry's and pip's ways to name versions as pip takes them; None for alternatives (``||``) and other oddities."""
    result: list[str] = []
    for clause in [part.strip() for part in specifier.split(",") if part.strip()]:
        if clause == "*":
            continue
        match = re.match(r"(~=|===|==|!=|<=|>=|<|>|\^|~|=)?\s*([\w.*+!-]+)\Z", clause)
        if not match:
            return None
        operator, version = match.group(1) or "==", match.group(2)
        operator = "==" if operator == "=" else operator
        if operator not in ("^", "~"):
            result.append(operator + version)
            continue
        parsed = parse_version(version)
        if parsed is None:
            return None
        last = len(parsed.release) - 1
        first = next((position for position, part in enumerate(parsed.release) if part), last)
        index = min(1, last) if operator == "~" else first
        limit = [*parsed.release[:index], parsed.release[index] + 1]
        result += [f">={version}", f"<{'.'.join(str(part) for part in limit)}"]
    return ",".join(result)


def index_lines(text: str, path: str) -> list[str]:
    """The lines of a requirements file that say where packages come from; relative directories made absolute."""
    result: list[str] = []
    for line in text.splitlines():
        bare = re.sub(r"\s#.*$", "", line).strip()
        if not _INDEX_LINE.match(bare):
            continue
        option, value = [*re.split(r"[ =]", bare, maxsplit=1), ""][:2]
        local = os.path.join(os.path.dirname(path), value.strip())
        if option in ("-f", "--find-links") and "://" not in value and os.path.isdir(local):
            bare = f"--find-links {os.path.normpath(local)}"
        result.append(bare)
    return result


def _sources(document: dict[str, Any]) -> list[str]:
    """Indexes that poetry and uv are told of."""
    tool = document.get("tool") or {}
    result: list[str] = []
    for entry in (tool.get("poetry") or {}).get("source") or []:
        if isinstance(entry, dict) and entry.get("url"):
            first = entry.get("priority") in ("primary", "default") or entry.get("default") is True
            result.append(f"{'--index-url' if first else '--extra-index-url'} {entry['url']}")
    for entry in (tool.get("uv") or {}).get("index") or []:
        if isinstance(entry, dict) and entry.get("url"):
            result.append(f"{'--index-url' if entry.get('default') else '--extra-index-url'} {entry['url']}")
    return result


def _requirement_files(project: Project, ctx: Context) -> Iterator[tuple[str, str]]:
    """(path, text) of the main requirements files, and of those they include."""
    wanted = [item.file for item in project.declared if item.group in ("main", "constraint")]
    others = set(_LOCKS) - {"requirements.lock"}
    paths = [path for path in dict.fromkeys([*wanted, *project.files]) if re.search(r"\.(?:txt|in|pip|lock)\Z", path)]
    for path in paths:
        if os.path.basename(path) in others:
            continue
        groups = {item.group for item in project.declared if item.file == path}
        if groups == {"development"}:
            continue
        content = ctx.read(path, MAX_LOCK_BYTES)
        if not content.error:
            yield path, content.text


def _hashed(text: str, path: str, environment: dict[str, str]) -> dict[str, Pin]:
    """The pins of a requirements file that have hashes."""
    found = [(pin, marker) for pin, marker in _requirements_lock(text, path) if pin.hashes]
    return {canonical(pin.name): pin for pin, marker in found if marker_holds(marker, environment)}


def _take_pins(
    reader: Callable[[str, str], list[tuple[Pin, str]]],
    path: str,
    environment: dict[str, str],
    result: Declarations,
    ctx: Context,
) -> None:
    content = ctx.read(path, MAX_LOCK_BYTES)
    if content.error or content.truncated:
        return
    try:
        entries = reader(content.text, path)
    except (ValueError, TypeError, AttributeError, KeyError):
        return
    found: dict[str, list[Pin]] = {}
    for pin, marker in entries:
        if marker_holds(marker, environment):
            found.setdefault(canonical(pin.name), []).append(pin)
    for key, pins in found.items():
        if len({(pin.version, pin.url) for pin in pins}) == 1:
            result.pins[key] = pins[0]
        else:
            result.ambiguous.append(key)
    result.pins_file = path


def _poetry_lock(text: str, path: str) -> list[tuple[Pin, str]]:
    """poetry.lock and pdm.lock."""
    document = loads(text)[0]
    older = (document.get("metadata") or {}).get("files") or {}
    result: list[tuple[Pin, str]] = []
    for entry in document.get("package") or []:
        source = entry.get("source") or {}
        url = ""
        if source.get("type") == "git" or entry.get("git"):
            reference = source.get("resolved_reference") or source.get("reference") or entry.get("revision") or ""
            url = f"git+{source.get('url') or entry['git']}@{reference}"
        elif source.get("type") == "url" or entry.get("url"):
            url = source.get("url") or entry["url"]
        elif source.get("type") in ("directory", "file") or entry.get("path"):
            continue
        files = entry.get("files") or older.get(entry["name"]) or []
        hashes = () if url else tuple(item["hash"] for item in files if item.get("hash"))
        markers = entry.get("markers") or entry.get("marker") or ""
        if isinstance(markers, dict):
            markers = markers.get("main", "")
        result.append((Pin(entry["name"], str(entry["version"]), hashes, path, url), str(markers)))
    return result


def _uv_lock(text: str, path: str) -> list[tuple[Pin, str]]:
    result: list[tuple[Pin, str]] = []
    for entry in loads(text)[0].get("package") or []:
        source = entry.get("source") or {}
        if {"virtual", "editable", "directory", "path"} & set(source) or "version" not in entry:
            continue
        url = ""
        if source.get("git"):
            address, _hash, commit = str(source["git"]).partition("#")
            url = f"git+{address.split('?')[0]}@{commit}"
        elif source.get("url"):
            url = str(source["url"])
        files = [*(entry.get("wheels") or []), *([entry["sdist"]] if entry.get("sdist") else [])]
        hashes = () if url else tuple(item["hash"] for item in files if item.get("hash"))
        markers = [f"({item})" for item in entry.get("resolution-markers") or []]
        result.append((Pin(entry["name"], str(entry["version"]), hashes, path, url), " or ".join(markers)))
    return result


def _pipfile_lock(text: str, path: str) -> list[tuple[Pin, str]]:
    result: list[tuple[Pin, str]] = []
    for name, entry in (json.loads(text).get("default") or {}).items():
        url = f"git+{entry['git']}@{entry.get('ref', '')}" if entry.get("git") else str(entry.get("file") or "")
        version = str(entry.get("version", "")).lstrip("=")
        if not version and not url:
            continue
        hashes = () if url else tuple(entry.get("hashes") or ())
        extras = tuple(canonical(item) for item in entry.get("extras") or ())
        result.append((Pin(name, version, hashes, path, url, extras), str(entry.get("markers", ""))))
    return result


def _requirements_lock(text: str, path: str) -> list[tuple[Pin, str]]:
    result: list[tuple[Pin, str]] = []
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        requirement = parse_requirement(re.split(r"\s--|(?:^|\s)#", line)[0])
        match = re.match(r"===?([^,*]+)\Z", requirement.specifier) if requirement else None
        if requirement and (match or requirement.url):
            version = match.group(1) if match else ""
            hashes = tuple(_HASH.findall(line))
            pin = Pin(requirement.written, version, hashes, path, requirement.url or "", requirement.extras)
            result.append((pin, requirement.marker))
    return result


_LOCKS: dict[str, Callable[[str, str], list[tuple[Pin, str]]]] = {
    "uv.lock": _uv_lock,
    "poetry.lock": _poetry_lock,
    "pdm.lock": _poetry_lock,
    "Pipfile.lock": _pipfile_lock,
    "requirements.lock": _requirements_lock,
}


def _conda(text: str, path: str, result: Declarations) -> None:
    """environment.yml: what conda installs, and what it leaves to pip. Read by line: a target has no YAML parser."""
    section, pip_indent = "", -1
    for number, line in enumerate(text.splitlines(), 1):
        bare = re.sub(r"(?:^|\s)#.*$", "", line).rstrip()
        if re.match(r"\w[\w-]*:", bare):
            section, pip_indent = bare.split(":")[0], -1
        match = re.match(r"(\s*)-\s+(.+)", bare)
        if section != "dependencies" or not match:
            continue
        indent, value = len(match.group(1)), match.group(2).strip().strip("'\"")
        if re.match(r"pip\s*:\Z", value):
            pip_indent = indent
        elif 0 <= pip_indent < indent:
            if not value.startswith("-"):
                result.project.declared += [
                    Declared(item.name, item.specifier, path, number, "main", item.text, item.marker)
                    for item in requirements_file(value, path, _NO_FILES)
                ]
        else:
            pip_indent = -1
            name = re.match(r"(?:[\w.-]+::)?([\w.-]+)", value)
            if name and canonical(name.group(1)) not in ("python", "pip"):
                result.conda[canonical(name.group(1))] = value
    result.conda_file = path
    if path not in result.project.files:
        result.project.files.append(path)


# An entry of environment.yml may not pull in further files here.
_NO_FILES = Context({}, 0.0)
