# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Installed against declared distributions: what is missing, mismatched, in conflict or broken. Nothing is run."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from .context import Context
from .model import Backend, Section, Unavailable
from .packages_installed import Distribution, Inventory, broken, modules_of, scan
from .packages_names import distribution_by_table
from .requirements import Declared, Project, project_directories, read_project
from .requirements_versions import canonical, marker_environment, marker_holds, parse_requirement, satisfies

MAX_LISTED = 600
MAX_CONFLICTS = 60


def site_directories(backend: Backend) -> list[str]:
    """The site directories of the backend's interpreter, in path order."""
    return [site["path"] for site in backend.interpreter.get("site_packages", []) if site["used"] and site["exists"]]


def project_of(backend: Backend, ctx: Context) -> Project:
    """What the project's files declare."""
    return read_project(project_directories(backend.app.code_dir, backend.cwd), ctx)


def collect(backend: Backend, ctx: Context) -> Section:
    """The ``packages`` section."""
    project = project_of(backend, ctx)
    sites = site_directories(backend)
    if not backend.python and not project.files:
        raise Unavailable("no interpreter was found and the project declares no requirements")
    inventory = scan(sites, ctx)
    version = str(backend.interpreter.get("version") or "")
    environment = marker_environment(version or "3", platform.machine())
    installed = inventory.by_key()
    wanted = [item for item in project.declared if marker_holds(item.marker, environment)]
    suffixes = (backend.interpreter.get("abi") or {}).get("extension_suffixes", [])
    section: Section = {
        "manager": _manager(backend, project, inventory),
        "installed": [_shown(item) for item in inventory.distributions[:MAX_LISTED]],
        "declared": [_declared(item, group=True) for item in project.declared if item.group != "lock"][:MAX_LISTED],
        "missing": [_declared(item) for item in missing(wanted, installed)][:100] if sites else [],
        "mismatched": mismatched(wanted, installed)[:100],
        "conflicts": conflicts(inventory, installed, environment),
        "broken": broken(inventory, ".".join(version.split(".")[:2]), platform.machine(), suffixes, ctx),
        "lock_file": project.lock_file,
        "files": project.files,
    }
    if inventory.incomplete or len(inventory.distributions) > MAX_LISTED:
        section["_truncated"] = True
    if not sites:
        section["_partial"] = (
            "no site-packages directory of the backend's interpreter exists, so nothing counts as installed"
        )
    return section


def _shown(item: Distribution) -> Section:
    tag = "-".join(item.tags[0].split("-")[:2]) if item.tags else None
    return {"name": item.name, "version": item.version, "location": item.location, "python_tag": tag}


def _declared(item: Declared, group: bool = False) -> Section:
    shown: Section = {"name": item.name, "specifier": item.specifier, "file": item.file, "line": item.line}
    return {**shown, "group": item.group} if group else shown


def missing(wanted: Sequence[Declared], installed: Mapping[str, Distribution]) -> list[Declared]:
    """Requirements of the main group for which nothing is installed, each name once."""
    result: dict[str, Declared] = {}
    for item in wanted:
        if item.group == "main" and item.key not in installed:
            result.setdefault(item.key, item)
    return list(result.values())


def mismatched(wanted: Sequence[Declared], installed: Mapping[str, Distribution]) -> list[Section]:
    """Installed versions that a requirement, constraint or lock does not allow. Of several lock entries one must fit."""
    result: list[Section] = []
    locked: dict[str, list[Declared]] = {}
    for item in wanted:
        found = installed.get(item.key)
        if found is None or not item.specifier or item.group not in ("main", "constraint", "lock"):
            continue
        if item.group == "lock":
            locked.setdefault(item.key, []).append(item)
        elif satisfies(found.version, item.specifier) is False:
            result.append(_mismatch(item, found))
    for key, entries in locked.items():
        if all(satisfies(installed[key].version, item.specifier) is False for item in entries):
            result.append(_mismatch(entries[0], installed[key]))
    return result


def _mismatch(item: Declared, found: Distribution) -> Section:
    return {
        "name": found.name, "installed": found.version, "specifier": item.specifier, "file": item.file, "line": item.line
    }  # fmt: skip


def conflicts(
    inventory: Inventory, installed: Mapping[str, Distribution], environment: Mapping[str, str]
) -> list[Section]:
    """Requirements of installed distributions that what is installed does not meet, as ``pip check`` finds them."""
    result: list[Section] = []
    for item in inventory.distributions:
        # Debian patches its packages but not always their metadata.
        if item.location.endswith("dist-packages") or installed.get(item.key) is not item:
            continue
        for text in item.requires:
            requirement = parse_requirement(text)
            if requirement is None or not marker_holds(requirement.marker, environment) or len(result) >= MAX_CONFLICTS:
                continue
            found = installed.get(requirement.name)
            wanted = f"{requirement.written}{requirement.specifier}"
            if found is None:
                result.append({"name": item.name, "version": item.version, "requires": wanted, "found": None})
            elif requirement.specifier and satisfies(found.version, requirement.specifier) is False:
                result.append({"name": item.name, "version": item.version, "requires": wanted, "found": found.version})
    return result


def _manager(backend: Backend, project: Project, inventory: Inventory) -> str:
    if project.manager:
        return project.manager
    if backend.interpreter.get("kind") == "conda":
        return "conda"
    installers = [item.installer for item in inventory.distributions if item.installer in ("uv", "pip", "conda")]
    if installers:
        return max(set(installers), key=installers.count)
    return "pip" if any(os.path.basename(path).startswith("requirements") for path in project.files) else "unknown"


def distribution_for_module(name: str, backend: Backend, ctx: Context) -> dict[str, Any]:
    """Which distribution provides a module: ``{distribution, source, installed}``.

    ``source`` is ``installed`` (its own metadata says so), ``declared`` (a requirement of that name), ``table`` or ``name`` (assumed to
    be called like the module). ``installed`` is the version for the backend's interpreter, or None.
    """
    top = name.split(".")[0]
    inventory = scan(site_directories(backend), ctx)
    installed = inventory.by_key()
    own = [item for item in inventory.distributions if top in modules_of(item, ctx)] if "." not in name else []
    tabled = distribution_by_table(name)
    for item in own:
        return {"distribution": item.name, "source": "installed", "installed": item.version}
    declared = {item.key: item.name for item in project_of(backend, ctx).declared}
    for key in candidates(top, tabled):
        if key in declared:
            found = installed.get(key)
            return {"distribution": declared[key], "source": "declared", "installed": found.version if found else None}
    guess = tabled or top
    found = installed.get(canonical(guess))
    return {
        "distribution": guess,
        "source": "table" if tabled else "name",
        "installed": found.version if found else None,
    }


def candidates(top: str, tabled: Optional[str]) -> list[str]:
    """Names under which a module's distribution may be declared, the surest first."""
    names = [tabled] if tabled else []
    # Several distributions offer the same module; whichever is declared is meant.
    names += [other for pair in _SAME_MODULE if top in pair[0].split() for other in pair[1].split()]
    names += [top, f"python-{top}", f"py{top}", f"{top}-python"]
    return list(dict.fromkeys(canonical(item) for item in names))


_SAME_MODULE = (
    ("psycopg2", "psycopg2-binary psycopg2"),
    ("cv2", "opencv-python opencv-python-headless opencv-contrib-python"),
    ("faiss", "faiss-cpu faiss-gpu"),
    ("Crypto", "pycryptodome pycrypto"),
    ("jwt", "PyJWT jwt"),
    ("jose", "python-jose jose"),
    ("magic", "python-magic file-magic"),
    ("kafka", "kafka-python kafka-python-ng"),
    ("environ", "django-environ environ-config"),
    ("pydantic_settings", "pydantic-settings"),
)


def declared_in(name: str, backend: Backend, ctx: Context) -> list[Section]:
    """Lines of the project's files that declare the distribution of a module: ``{file, line, text}``; locks come last."""
    top = name.split(".")[0]
    keys = set(candidates(top, distribution_by_table(name)))
    project = project_of(backend, ctx)
    found = [item for item in project.declared if item.key in keys]
    found.sort(key=lambda item: item.group == "lock")
    return [{"file": item.file, "line": item.line, "text": item.text} for item in found[:10]]
