# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Log files that configuration and code name, and those that lie where log files usually lie."""

from __future__ import annotations

import ast
import json
import os
import re
import time
from collections.abc import Iterator
from typing import Any

from .app_static import Evaluator, calls, dotted, parse_source
from .context import KIB
from .model import Backend, LogRef
from .servers import Reading, module_file

MAX_LOGS = 20
MAX_CONVENTIONAL = 8
MAX_SOURCES = 300
MAX_SECONDS = 1.5
# Directories of a project that hold no code of its own.
SKIP = frozenset(
    ".git .hg .svn .venv venv env node_modules __pycache__ site-packages dist-packages .tox .nox .mypy_cache .pytest_cache static media"
    " migrations tests test docs build dist .idea .cache".split()
)
_HINT = re.compile(rb"FileHandler|basicConfig|filename|loguru|\.log['\"]")
_YAML_FILENAME = re.compile(r"^\s*filename\s*:\s*['\"]?([^'\"#\n]+)", re.MULTILINE)
_INI_ARGS = re.compile(r"^\s*args\s*=\s*\(\s*[rf]?['\"]([^'\"]+)['\"]", re.MULTILINE)
_LOG_VARIABLE = re.compile(r"(?:\A|_)LOG_?(?:FILE|PATH|FILENAME|FILE_PATH|OUTPUT)\Z|\A(?:ERROR|ACCESS)_?LOG\Z")


def find(reading: Reading, backend: Backend) -> list[LogRef]:
    """All log files worth reading, the surest first, at most 20. Looks at names and settings, not into the logs."""
    app = backend.app
    for path, origin in reading.launch.outputs:
        reading.log(path, f"redirection in {origin}", "stdout")
    for path in list(dict.fromkeys(app.config_files)):
        for name in _named_in_config(path, reading):
            reading.log(name, f"logging configuration {path}")
    for variable, value in backend.environ.items():
        if _LOG_VARIABLE.search(variable) and ("/" in value or value.endswith(".log")) and "://" not in value:
            reading.log(value, f"environment {variable}")
    for path in reading.ctx.params.get("log_files") or []:
        if isinstance(path, str):
            reading.log(path, "override backend_log_files")
    end = time.monotonic() + min(MAX_SECONDS, reading.ctx.remaining())
    directories = [item for item in (app.code_dir,) if item and item != "/" and "site-packages" not in item]
    settings = module_file(app.settings_module, directories) if app.settings_module else None
    for path in [*([settings] if settings else []), *sources(directories, end)]:
        content = reading.ctx.read(path, 256 * KIB)
        if not content.error and _HINT.search(content.raw):
            _named_in_source(path, content.text, reading)
        if len(reading.logs) >= MAX_LOGS or time.monotonic() > end:
            break
    reading.logs.sort(key=lambda ref: not ref.origin.startswith("override"))
    _conventional(reading, backend)
    return reading.logs[:MAX_LOGS]


def sources(directories: list[str], end: float, limit: int = MAX_SOURCES) -> Iterator[str]:
    """Python files of a project, shallow ones first; links are not followed."""
    queue = list(directories)
    count = 0
    while queue and count < limit and time.monotonic() < end:
        directory = queue.pop(0)
        try:
            with os.scandir(directory) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)[:500]
        except OSError:
            continue
        for entry in listed:
            if entry.name.endswith(".py") and entry.is_file(follow_symlinks=False):
                count += 1
                yield entry.path
            elif entry.is_dir(follow_symlinks=False) and entry.name not in SKIP and not _is_environment(entry.path):
                queue.append(entry.path)


def _is_environment(path: str) -> bool:
    return os.path.isfile(os.path.join(path, "pyvenv.cfg")) or os.path.isdir(os.path.join(path, "conda-meta"))


def _named_in_config(path: str, reading: Reading) -> list[str]:
    """File names in a logging configuration in JSON, YAML, ini or Python form."""
    content = reading.ctx.read(path, 256 * KIB)
    if content.error:
        return []
    if path.endswith(".py"):
        _named_in_source(path, content.text, reading)
        return []
    if path.endswith(".json"):
        try:
            return list(_filenames(json.loads(content.text)))
        except (ValueError, RecursionError):
            return []
    return [
        name.strip()
        for name in (_YAML_FILENAME if path.endswith((".yml", ".yaml")) else _INI_ARGS).findall(content.text)
    ]


def _filenames(value: Any, depth: int = 0) -> Iterator[str]:
    if isinstance(value, dict) and depth < 10:
        if isinstance(value.get("filename"), str) and "class" in value:
            yield value["filename"]
        for item in value.values():
            yield from _filenames(item, depth + 1)


def _named_in_source(path: str, text: str, reading: Reading) -> None:
    """Log files of ``FileHandler(...)``, ``basicConfig(filename=...)``, loguru and dictionaries for ``dictConfig``."""
    tree = parse_source(text)
    if tree is None:
        return
    evaluator = Evaluator(reading.launch.environ, path)
    evaluator.load(tree)
    loguru = "loguru" in text
    for call in calls(tree):
        name = dotted(call.func)
        last = name.rpartition(".")[2]
        keyword = next((item.value for item in call.keywords if item.arg == "filename"), None)
        if last.endswith("FileHandler"):
            _note(call.args[0] if call.args else keyword, evaluator, reading, call.lineno)
        elif last == "basicConfig":
            _note(keyword, evaluator, reading, call.lineno)
        elif loguru and name.endswith("logger.add") and call.args:
            _note(call.args[0], evaluator, reading, call.lineno)
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            found = {key.value: value for key, value in zip(node.keys, node.values) if isinstance(key, ast.Constant)}
            if "filename" in found and "class" in found:
                _note(found["filename"], evaluator, reading, node.lineno)


def _note(node: Any, evaluator: Evaluator, reading: Reading, line: int) -> None:
    value = evaluator.value(node)
    if isinstance(value, str) and value and len(reading.logs) < MAX_LOGS:
        reading.log(value, f"{evaluator.file}:{line}")


def _conventional(reading: Reading, backend: Backend) -> None:
    """Files that exist where logs usually lie, the newest first."""
    app = backend.app
    name = backend.name.rpartition("/")[2]
    name = name[: -len(".service")] if name.endswith(".service") else name
    places = [f"/var/log/{name}"]
    for base in dict.fromkeys([app.code_dir, backend.cwd]):
        if base and base != "/":
            places += [
                base,
                os.path.join(base, "logs"),
                os.path.join(base, "log"),
                os.path.join(os.path.dirname(base), "logs"),
            ]
    found: list[tuple[float, str]] = []
    for place in places:
        if reading.ctx.closed(place):
            continue
        try:
            with os.scandir(place) as entries:
                for _index, entry in zip(range(500), entries):
                    if entry.name.endswith((".log", ".err", ".out")) and entry.is_file(follow_symlinks=False):
                        found.append((-entry.stat(follow_symlinks=False).st_mtime, entry.path))
        except OSError:
            continue
    single = f"/var/log/{name}.log"
    if os.path.isfile(single):
        found.append((0.0, single))
    for _age, path in sorted(set(found))[:MAX_CONVENTIONAL]:
        reading.log(path, "usual place")
