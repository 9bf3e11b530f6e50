# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an environment lacks of what the project declares and its code needs. Nothing is run, nothing is guessed."""

from __future__ import annotations

import ast
import os
import re
import time
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ..._evidence.context import Context
from ..._evidence.missing_module import WELL_KNOWN
from ..._evidence.model import Backend, Section
from ..._evidence.packages import candidates
from ..._evidence.packages_installed import Distribution, Inventory
from ..._evidence.packages_names import DISTRIBUTIONS, distribution_by_table
from ..._evidence.requirements_versions import canonical, marker_holds, parse_requirement
from .dependencies_declared import Declarations

MAX_SOURCES = 3000
MAX_SOURCE_BYTES = 512 * 1024
MAX_SECONDS = 4.0
MAX_WHEELS = 1000
_SKIPPED = frozenset(
    ("node_modules", "site-packages", "dist-packages", "__pycache__", "tests", "test", "build", "dist")
)
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*(?=[:\s]|\Z)")


@dataclass
class Need:
    """One distribution that has to be installed or replaced. ``why`` is a clause; ``remove`` are the metadata of a broken one."""

    key: str
    why: str
    specifier: str = ""
    remove: list[str] = field(default_factory=list)
    version: str = ""


def imported_names(backend: Backend, ctx: Context) -> set[str]:
    """Dotted names that the code imports or names in texts (settings load modules by name), and those of the command line.

    Bounded to 3000 files and 4 s; tests, environments and hidden directories are left out.
    """
    result = {backend.app.server or "", backend.app.module or "", backend.app.settings_module or ""}
    for word in backend.argv:
        match = _DOTTED.match(os.path.basename(word))
        result |= {match.group()} if match else set()
    end, count = time.monotonic() + MAX_SECONDS, 0
    for top in dict.fromkeys(place for place in (backend.app.code_dir, backend.cwd) if place and place != "/"):
        for directory, names, files in os.walk(top):
            names[:] = [
                name
                for name in names
                if name not in _SKIPPED
                and not name.startswith(".")
                and not os.path.exists(os.path.join(directory, name, "pyvenv.cfg"))
            ]
            for name in files:
                if not name.endswith(".py") or count >= MAX_SOURCES or time.monotonic() > end:
                    continue
                count += 1
                content = ctx.read(os.path.join(directory, name), MAX_SOURCE_BYTES)
                if not content.error and not content.truncated:
                    result |= _names_in(content.raw)
    return result - {""}


def _names_in(source: bytes) -> set[str]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    result: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            result |= {item.name for item in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            result |= {node.module, *(f"{node.module}.{item.name}" for item in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 120:
            match = _DOTTED.match(node.value)
            result |= {match.group()} if match and match.end() == len(node.value) else set()
    return result


def distributions_for(names: Iterable[str]) -> set[str]:
    """Canonical names of the distributions that may provide these modules."""
    result: set[str] = set()
    for name in names:
        result.update(candidates(name.split(".")[0], distribution_by_table(name)))
    return result


def closure(declared: Declarations, inventory: Inventory, environment: Mapping[str, str]) -> set[str]:
    """Names that the project asks for, directly or by what is installed for it: all that isn't in here came from elsewhere."""
    installed = inventory.by_key()
    waiting = [item.key for item in declared.project.declared if item.group != "development"] + list(declared.pins)
    result: set[str] = set()
    while waiting:
        key = waiting.pop()
        if key in result:
            continue
        result.add(key)
        for text in installed[key].requires if key in installed else []:
            requirement = parse_requirement(text)
            if requirement and marker_holds(
                re.sub(r"extra\s*==\s*(['\"]).*?\1", "''==''", requirement.marker), environment
            ):
                waiting.append(requirement.name)
    return result


def missing_needs(
    section: Section, known: set[str], wanted: Optional[set[str]], declared: Declarations
) -> tuple[list[Need], list[str]]:
    """Declared or required distributions that are not there: (those in ``wanted``, or all; names of the others)."""
    needs: dict[str, Need] = {}
    others: list[str] = []
    for item in section.get("missing", []):
        key = canonical(item["name"])
        if wanted is not None and key not in wanted:
            others.append(item["name"])
            continue
        needs.setdefault(key, Need(key, f"{item['name']} is declared in {_place(item)} and not installed"))
    # What an installed distribution of the project requires was left out by --no-deps, or removed since.
    for item in section.get("conflicts", []):
        requirement = parse_requirement(item["requires"])
        if item["found"] is None and requirement and requirement.name in known and canonical(item["name"]) in known:
            why = f"{requirement.written} is required by {item['name']} {item['version']} and not installed"
            needs.setdefault(requirement.name, Need(requirement.name, why, requirement.specifier))
    return list(needs.values()), others


def wrong_needs(section: Section, known: set[str], inventory: Inventory, prefix: str) -> tuple[list[Need], list[str]]:
    """Installed distributions at a version that isn't allowed, or broken: (what the project knows of, sentences about others)."""
    needs: dict[str, Need] = {}
    unknown: list[str] = []
    for item in section.get("broken", []):
        _broken(item, known, inventory, prefix, needs, unknown)
    for item in section.get("mismatched", []):
        key = canonical(item["name"])
        why = f"{item['name']} {item['installed']} is installed, {_place(item)} says {item['specifier']}"
        needs.setdefault(key, Need(key, why))
    for item in section.get("conflicts", []):
        requirement = parse_requirement(item["requires"])
        if item["found"] is None or requirement is None:
            continue
        why = f"{item['name']} {item['version']} requires {item['requires']}, {item['found']} is installed"
        if canonical(item["name"]) not in known:
            unknown.append(f"{why}, and no file of the project declares {item['name']}")
            continue
        need = needs.setdefault(requirement.name, Need(requirement.name, why))
        need.specifier = ",".join(filter(None, [need.specifier, requirement.specifier]))
    return list(needs.values()), unknown


def _broken(
    item: Section, known: set[str], inventory: Inventory, prefix: str, needs: dict[str, Need], unknown: list[str]
) -> None:
    path = os.path.realpath(item["path"])
    inside = path.startswith(f"{os.path.realpath(prefix)}/")
    relative = os.path.relpath(path, os.path.realpath(prefix))
    key = canonical(item["name"])
    if os.path.basename(path).startswith("~"):
        return
    if key not in known or not inside:
        unknown.append(f"{item['name']}: {item['problem']}, but no file of the project declares it")
        return
    need = needs.setdefault(key, Need(key, f"{item['name']} is broken: {item['problem']}"))
    doubles = [other for other in inventory.distributions if other.key == key]
    need.version = doubles[0].version if len(doubles) == 1 else ""
    need.remove = sorted({relative, *need.remove, *(_relative(other, prefix) for other in doubles)})


def probable(
    module: str, declared: Declarations, inventory: Inventory, wheel_dir: str, imported: Iterable[str]
) -> list[Need]:
    """Declared and not installed distributions of which one must provide a module that none is called after.

    Those whose wheel has it, else those whose name contains the module's, else all of the project's main group that aren't known to
    provide something else. None when it is known which distribution the module belongs to, for that one isn't declared.
    """
    installed = inventory.by_key()
    waiting = {
        item.key: item
        for item in declared.project.declared
        if item.group in ("main", "lock") and item.key not in installed
    }
    top = module.split(".")[0]
    chosen = [key for key in waiting if key in _wheels_with(top, wheel_dir)]
    how = f"its wheel has the module {top}"
    if not chosen and (distribution_by_table(module) or top.lower() in WELL_KNOWN):
        return []
    if not chosen:
        chosen = [key for key in waiting if f"-{canonical(top)}-" in f"-{key}-"]
        how = f"its name fits the module {top}"
    if not chosen:
        known = {canonical(name) for name in (*DISTRIBUTIONS.values(), *WELL_KNOWN)}
        known |= distributions_for(name for name in imported if name.split(".")[0] != top)
        chosen = [key for key, item in waiting.items() if item.group == "main" and key not in known]
        how = f"nothing that is declared is called like the module {top}, so all that is declared is installed"
    result = []
    for key in chosen:
        item = waiting[key]
        result.append(Need(key, f"{item.name} is declared in {item.file}:{item.line} and not installed; {how}"))
    return result


def _wheels_with(top: str, wheel_dir: str) -> set[str]:
    """Canonical names of the wheels in a directory that hold a top-level module."""
    result: set[str] = set()
    try:
        names = sorted(os.listdir(wheel_dir))[:MAX_WHEELS] if wheel_dir else []
    except OSError:
        return result
    for name in names:
        if not name.endswith(".whl"):
            continue
        try:
            with zipfile.ZipFile(os.path.join(wheel_dir, name)) as archive:
                inside = archive.namelist()
        except (OSError, zipfile.BadZipFile, ValueError):
            continue
        if any(
            path.startswith(f"{top}/") or re.match(rf"{re.escape(top)}\.(?:py|[\w.-]*so)\Z", path) for path in inside
        ):
            result.add(canonical(name.split("-")[0]))
    return result


def _relative(item: Distribution, prefix: str) -> str:
    return os.path.relpath(os.path.realpath(item.path), os.path.realpath(prefix))


def _place(item: Mapping[str, Any]) -> str:
    return f"{item['file']}:{item['line']}" if item.get("line") else str(item["file"])
