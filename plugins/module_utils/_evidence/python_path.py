# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``sys.path`` would be for this backend, worked out from files and settings, and whether its user can use it."""

from __future__ import annotations

import ast
import os
import re
import stat
import sys
from typing import Any

from .access_check import Identity, check
from .app import local_packages, search_directories
from .app_program import is_python
from .context import KIB, Context
from .env_file import path_type
from .model import Backend, Section

MAX_PTH_FILES = 100
MAX_ENTRIES = 200
_MAPPING = re.compile(r"^MAPPING(?:\s*:[^=]*)?\s*=\s*(\{.*\})\s*$", re.MULTILINE)


def identity(backend: Backend) -> Identity:
    """The user that the backend runs as."""
    return Identity(backend.uid, backend.gid, tuple(backend.groups))


def flag_letters(backend: Backend) -> str:
    """The interpreter's one-letter options, run together; those with a value (``-W``, ``-X``) are left out."""
    flags = [*backend.interpreter.get("flags", []), *backend.app.python_flags]
    return "".join(flag.lstrip("-") for flag in flags if re.match(r"-[A-Za-z]+\Z", flag) and flag[1] not in "WX")


def safe_path(backend: Backend) -> bool:
    """Whether the interpreter leaves the script's or working directory off the path (``-P``, ``-I``, ``PYTHONSAFEPATH``)."""
    letters = flag_letters(backend)
    ignored = "E" in letters or "I" in letters
    return "P" in letters or "I" in letters or bool(backend.environ.get("PYTHONSAFEPATH") and not ignored)


def paths(backend: Backend, ctx: Context) -> list[tuple[str, str]]:
    """(directory, origin) in the order in which an import would search them, without duplicates."""
    app = backend.app
    cwd = backend.cwd or "/"
    letters = flag_letters(backend)
    found: list[tuple[str, str]] = []
    for path in app.path_prepend:
        found.append((path, "cwd" if path == cwd else "app_dir"))
    if not safe_path(backend):
        found += _first_entry(backend, cwd)
    if not ("E" in letters or "I" in letters):
        value = backend.environ.get("PYTHONPATH", "")
        found += (
            [(os.path.normpath(os.path.join(cwd, part)), "pythonpath") for part in value.split(":")] if value else []
        )
    found += [(path, "stdlib") for path in backend.interpreter.get("stdlib", [])]
    if "S" not in letters:
        for site in backend.interpreter.get("site_packages", []):
            if site["used"]:
                found.append((site["path"], "site"))
                found += [(path, "pth") for path in pth_paths(site["path"], ctx)]
    seen: dict[str, str] = {}
    for path, origin in found:
        seen.setdefault(path, origin)
    return list(seen.items())[:MAX_ENTRIES]


def _first_entry(backend: Backend, cwd: str) -> list[tuple[str, str]]:
    """What the interpreter itself puts first: the script's directory, or the working directory for ``-m`` and ``-c``."""
    app = backend.app
    program = app.program or ""
    if app.argv and is_python(program):
        words = [word for word in app.argv[1:] if word not in app.python_flags]
        if app.code is not None or any(re.match(r"-[A-Za-z]*[mc]", word) for word in words[:1]):
            return [(cwd, "cwd")]
        if words:
            path = os.path.normpath(os.path.join(cwd, words[0]))
            return [(path if os.path.isdir(path) else os.path.dirname(os.path.realpath(path)), "script_dir")]
        return []
    # The kernel starts the interpreter with the script: its directory comes first, links resolved. uWSGI is no script.
    return [(os.path.dirname(os.path.realpath(program)), "script_dir")] if program and app.server != "uwsgi" else []


def pth_paths(site: str, ctx: Context) -> list[str]:
    """Directories that the ``.pth`` files of a site directory add, existing or not; code in them is not run."""
    if ctx.closed(site):
        return []
    try:
        names = sorted(name for name in os.listdir(site) if name.endswith((".pth", ".egg-link")))[:MAX_PTH_FILES]
    except OSError:
        return []
    result: list[str] = []
    for name in names:
        content = ctx.read(os.path.join(site, name), 64 * KIB)
        for line in content.text.splitlines() if not content.error else []:
            line = line.strip()
            finder = re.match(r"import (__editable___\w+_finder)", line)
            if finder:
                result += editable_paths(ctx.read(os.path.join(site, f"{finder.group(1)}.py"), 256 * KIB).text)
            elif line and not line.startswith(("#", "import ", "import\t")) and line != ".":
                result.append(os.path.normpath(os.path.join(site, line)))
    return [path for path in dict.fromkeys(result) if path != site]


def editable_paths(text: str) -> list[str]:
    """Directories above the packages that an editable installation's finder maps."""
    match = _MAPPING.search(text)
    try:
        mapping = ast.literal_eval(match.group(1)) if match else {}
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return []
    return (
        [os.path.dirname(path) for path in mapping.values() if isinstance(path, str)]
        if isinstance(mapping, dict)
        else []
    )


def collect(backend: Backend, ctx: Context) -> Section:
    """The ``python_path`` section."""
    who = identity(backend)
    entries: list[dict[str, Any]] = []
    for path, origin in paths(backend, ctx):
        access = check(path, who)
        usable = access.readable
        if access.status is not None and stat.S_ISDIR(access.status.st_mode):
            usable = access.readable and access.executable
        entries.append(
            {
                "path": path,
                "origin": origin,
                "exists": os.path.exists(path),
                "type": path_type(path),
                "readable": usable,
                "blocked_at": access.blocked_at if os.path.lexists(path) else None,
            }
        )
    return {
        "entries": entries,
        "pythonpath": backend.environ.get("PYTHONPATH"),
        "safe_path": safe_path(backend),
        "shadows": shadows(backend),
    }


def shadows(backend: Backend) -> list[Section]:
    """Modules of the application that hide one of the standard library or of an installed distribution."""
    known: set[str] = set(backend.interpreter.get("stdlib_names") or getattr(sys, "stdlib_module_names", None) or [])
    sites = [site["path"] for site in backend.interpreter.get("site_packages", []) if site["used"]]
    result: list[Section] = []
    directories = [item for item in search_directories(backend) if item != "/" and "-packages" not in item]
    for name in local_packages(backend):
        path = next((item for item in _places(name, directories)), None)
        if path is None or name.startswith("_"):
            continue
        other = next((item for item in _places(name, sites)), None)
        if name in known:
            result.append({"name": name, "path": path, "kind": "stdlib", "shadowed": None})
        elif other and os.path.realpath(other) != os.path.realpath(path):
            result.append({"name": name, "path": path, "kind": "third_party", "shadowed": other})
    return result[:30]


def _places(name: str, directories: list[str]) -> list[str]:
    result = []
    for directory in directories:
        for candidate in (os.path.join(directory, name, "__init__.py"), os.path.join(directory, f"{name}.py")):
            if os.path.isfile(candidate):
                result.append(candidate)
    return result
