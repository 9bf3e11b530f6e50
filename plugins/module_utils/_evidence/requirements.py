# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the project says it needs: requirements files, pyproject.toml, setup.cfg, Pipfile and lock files, with file and line."""

from __future__ import annotations

import configparser
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from .context import KIB, Context
from .packages_toml import loads
from .requirements_versions import canonical, parse_requirement

MAX_FILES = 30
_DEVELOPMENT = re.compile(r"dev|test|doc|lint|ci\b|local|type|bench|example|build", re.IGNORECASE)
_NOT_PINNED_DIRECTLY = frozenset({"python"})
# Project directories whose parents belong to no project.
_TOP = frozenset(("/", "/opt", "/srv", "/home", "/var", "/usr", "/usr/local", "/var/lib", "/var/www", "/root", "/tmp"))
# What only lies in the top directory of a project.
_MARKERS = (".git", "pyproject.toml", "requirements.txt", "setup.py", "setup.cfg", "Pipfile", "manage.py")


@dataclass(frozen=True)
class Declared:
    """One requirement; ``group`` is main, development, constraint or lock. ``text`` is its line as written."""

    name: str
    specifier: str
    file: str
    line: int
    group: str
    text: str
    marker: str = ""

    @property
    def key(self) -> str:
        """The name as it is compared."""
        return canonical(self.name)


@dataclass
class Project:
    """All that was declared, the files read, and those that could not be understood."""

    declared: list[Declared] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    lock_file: Optional[str] = None
    manager: Optional[str] = None


def project_directories(code_dir: Optional[str], cwd: Optional[str]) -> list[str]:
    """The code directory, the working directory, the parent of each, and one more where that shows to be a project."""
    result: list[str] = []
    for start in (code_dir, cwd):
        directory = start
        for level in range(3):
            if not directory or directory in _TOP:
                break
            if level < 2 or any(os.path.exists(os.path.join(directory, name)) for name in _MARKERS):
                result.append(directory)
            directory = os.path.dirname(directory)
    return list(dict.fromkeys(result))


def read_project(directories: list[str], ctx: Context) -> Project:
    """Read every known file in these directories; the nearest directory comes first. Never raises."""
    project = Project()
    for directory in directories:
        for name in _names(directory, ctx):
            path = os.path.join(directory, name)
            reader = _reader(name)
            if reader is None or path in project.files or len(project.files) >= MAX_FILES:
                continue
            content = ctx.read(path, 2048 * KIB)
            if content.error:
                continue
            project.files.append(path)
            try:
                project.declared += reader(content.text, path, ctx)
            except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
                # Somebody else's broken file is no reason to lose the others.
                continue
            _manager(name, path, project)
    return project


def _names(directory: str, ctx: Context) -> list[str]:
    if ctx.closed(directory):
        return []
    try:
        listed = sorted(os.listdir(directory))[:2000]
    except OSError:
        return []
    names = [name for name in listed if _reader(name)]
    if "requirements" in listed and not ctx.closed(os.path.join(directory, "requirements")):
        try:
            inner = sorted(os.listdir(os.path.join(directory, "requirements")))[:50]
        except OSError:
            inner = []
        names += [os.path.join("requirements", name) for name in inner if name.endswith((".txt", ".in"))]
    return names


# The lock file of each manager; requirements.lock is pip's own format.
_MANAGERS = {
    "uv.lock": "uv", "poetry.lock": "poetry", "pdm.lock": "pdm", "Pipfile.lock": "pipenv", "requirements.lock": "pip",
}  # fmt: skip


def _manager(name: str, path: str, project: Project) -> None:
    manager = _MANAGERS.get(name)
    if manager and not project.lock_file:
        project.lock_file, project.manager = path, manager
    if name == "Pipfile" and not project.manager:
        project.manager = "pipenv"


Reader = Callable[[str, str, Context], list[Declared]]


def _reader(name: str) -> Optional[Reader]:
    base = os.path.basename(name)
    if base in _READERS:
        return _READERS[base]
    if re.match(r"(?:requirements|reqs|constraints)[\w.-]*\.(?:txt|in|pip)\Z", base) or name.startswith(
        "requirements/"
    ):
        return requirements_file
    if re.match(r"requirements[\w.-]*\.lock\Z", base):
        return requirements_lock
    return None


def requirements_file(text: str, path: str, ctx: Context, seen: Optional[set[str]] = None) -> list[Declared]:
    """pip's format: comments, continuation, options and hashes left out, ``-r`` and ``-c`` files followed once."""
    seen = seen if seen is not None else set()
    seen.add(os.path.realpath(path))
    group = "main"
    if _DEVELOPMENT.search(os.path.basename(path).replace("requirements", "")):
        group = "development"
    if os.path.basename(path).startswith("constraints"):
        group = "constraint"
    result: list[Declared] = []
    for number, line in _logical_lines(text):
        option = re.match(r"(?:-r|--requirement|-c|--constraint)[ =]*(\S+)", line)
        if option:
            other = os.path.join(os.path.dirname(path), option.group(1))
            if os.path.realpath(other) not in seen and len(seen) < 10:
                content = ctx.read(other)
                nested = [] if content.error else requirements_file(content.text, other, ctx, seen)
                constraint = line.startswith(("-c", "--constraint"))
                result += [_regrouped(item, "constraint") for item in nested] if constraint else nested
            continue
        if line.startswith("-"):
            continue
        text_part = re.split(r"\s--(?:hash|config-settings|global-option)", line)[0]
        requirement = parse_requirement(text_part)
        egg = re.search(r"#egg=([A-Za-z0-9._-]+)", line)
        if requirement:
            result.append(
                Declared(
                    requirement.written,
                    requirement.specifier,
                    path,
                    number,
                    group,
                    text_part.strip(),
                    requirement.marker,
                )
            )
        elif egg:
            result.append(Declared(egg.group(1), "", path, number, group, line))
    return result


def requirements_lock(text: str, path: str, ctx: Context) -> list[Declared]:
    """requirements.lock of rye and others: a requirements file in which every version is exact."""
    return [_regrouped(item, "lock") if item.group == "main" else item for item in requirements_file(text, path, ctx)]


def _regrouped(item: Declared, group: str) -> Declared:
    return Declared(item.name, item.specifier, item.file, item.line, group, item.text, item.marker)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with continuation joined and comments removed, with the number of their first line."""
    pending, start = "", 0
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        if not pending:
            start = number
        joined = pending + line
        if joined.endswith("\\"):
            pending = joined[:-1]
            continue
        pending = ""
        bare = re.sub(r"(?:^|\s)#.*$", "", joined).strip()
        if bare:
            yield start, bare
    if pending.strip():
        yield start, pending.strip()


def _line_of(text: str, pattern: str) -> int:
    match = re.search(pattern, text, re.MULTILINE)
    return text.count("\n", 0, match.start()) + 1 if match else 0


def _pep508(entries: Any, text: str, path: str, group: str) -> list[Declared]:
    result: list[Declared] = []
    for entry in entries if isinstance(entries, list) else []:
        requirement = parse_requirement(entry) if isinstance(entry, str) else None
        if requirement:
            line = _line_of(text, re.escape(entry).replace('"', r'\\?["\']').replace("'", r"[\"']"))
            result.append(
                Declared(requirement.written, requirement.specifier, path, line, group, entry, requirement.marker)
            )
    return result


def pyproject(text: str, path: str, _ctx: Context) -> list[Declared]:
    """``[project]``, dependency groups, and poetry's tables."""
    document = loads(text)[0]
    project = document.get("project", {})
    result = _pep508(project.get("dependencies"), text, path, "main")
    for name, entries in (project.get("optional-dependencies") or {}).items():
        result += _pep508(entries, text, path, f"extra {name}")
    for entries in (document.get("dependency-groups") or {}).values():
        result += _pep508(entries, text, path, "development")
    poetry = (document.get("tool") or {}).get("poetry") or {}
    tables = [("main", poetry.get("dependencies")), ("development", poetry.get("dev-dependencies"))]
    for name, table in (poetry.get("group") or {}).items():
        tables.append(("main" if name == "main" else "development", table.get("dependencies")))
    for group, table in tables:
        result += _poetry(table, text, path, group)
    return result


def _poetry(table: Any, text: str, path: str, group: str) -> list[Declared]:
    result: list[Declared] = []
    for name, value in table.items() if isinstance(table, dict) else []:
        if name in _NOT_PINNED_DIRECTLY:
            continue
        value = value[0] if isinstance(value, list) and value else value
        optional = isinstance(value, dict) and value.get("optional") is True
        specifier = value.get("version", "") if isinstance(value, dict) else str(value)
        line = _line_of(text, rf"^\s*[\"']?{re.escape(name)}[\"']?\s*=")
        written = text.splitlines()[line - 1].strip() if line else name
        result.append(
            Declared(name, "" if specifier == "*" else specifier, path, line, "extra" if optional else group, written)
        )
    return result


def pipfile(text: str, path: str, _ctx: Context) -> list[Declared]:
    """Pipfile: ``[packages]`` and ``[dev-packages]``."""
    document = loads(text)[0]
    return _poetry(document.get("packages"), text, path, "main") + _poetry(
        document.get("dev-packages"), text, path, "development"
    )


def setup_cfg(text: str, path: str, _ctx: Context) -> list[Declared]:
    """setup.cfg: ``install_requires``."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text)
    except configparser.Error:
        return []
    entries = parser.get("options", "install_requires", fallback="").splitlines()
    return _pep508([entry.strip() for entry in entries if entry.strip()], text, path, "main")


def pipfile_lock(text: str, path: str, _ctx: Context) -> list[Declared]:
    """Pipfile.lock: the default section."""
    result: list[Declared] = []
    for name, entry in json.loads(text).get("default", {}).items():
        line = _line_of(text, rf'^\s*"{re.escape(name)}"\s*:')
        version = str(entry.get("version", ""))
        result.append(Declared(name, version, path, line, "lock", f"{name}{version}", str(entry.get("markers", ""))))
    return result


def toml_lock(text: str, path: str, _ctx: Context) -> list[Declared]:
    """poetry.lock, uv.lock and pdm.lock: ``[[package]]`` with name and version. Read by line, they can be huge."""
    result: list[Declared] = []
    name, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("[["):
            name, start = "", number
        match = re.match(r'(name|version) = "([^"]+)"', line)
        if match and match.group(1) == "name" and not name:
            name, start = match.group(2), number
        elif match and match.group(1) == "version" and name:
            result.append(Declared(name, f"=={match.group(2)}", path, start, "lock", f"{name}=={match.group(2)}"))
            name = ""
    return result


_READERS: dict[str, Reader] = {
    "pyproject.toml": pyproject,
    "setup.cfg": setup_cfg,
    "Pipfile": pipfile,
    "Pipfile.lock": pipfile_lock,
    "poetry.lock": toml_lock,
    "uv.lock": toml_lock,
    "pdm.lock": toml_lock,
}
