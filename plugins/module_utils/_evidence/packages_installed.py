# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The distributions on disk, read from their metadata without running Python or pip, and what is broken about them."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Optional

from .context import KIB, Context
from .model import Section
from .requirements_versions import canonical

MAX_DISTRIBUTIONS = 1500
MAX_SECONDS = 2.5
METADATA_BYTES = 96 * KIB
_DIST = re.compile(r"(?P<name>.+?)-(?P<version>[^-]+)(?:-[^-]*)?\.(?P<kind>dist-info|egg-info|egg)\Z")
_EXTENSION = re.compile(r"\.((?:cpython|pypy)-?\w*-[\w.-]+|abi3)\.so\Z")


@dataclass
class Distribution:
    """One installed distribution; ``path`` is its metadata, ``location`` the directory on the path that holds it."""

    name: str
    version: str
    location: str
    path: str
    requires: list[str] = field(default_factory=list)
    extras: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    installer: str = ""
    has_metadata: bool = True

    @property
    def key(self) -> str:
        """The name as it is compared."""
        return canonical(self.name)


@dataclass
class Inventory:
    """All distributions of some directories, the first of each name being the one that counts."""

    distributions: list[Distribution] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    incomplete: bool = False

    def by_key(self) -> dict[str, Distribution]:
        """Canonical name → the distribution that an import gets."""
        result: dict[str, Distribution] = {}
        for item in self.distributions:
            result.setdefault(item.key, item)
        return result


def scan(locations: Sequence[str], ctx: Context) -> Inventory:
    """Read the metadata in these directories, at most 1500 distributions or 2.5 s. Never raises."""
    inventory = Inventory()
    end = time.monotonic() + min(MAX_SECONDS, ctx.remaining())
    for location in locations:
        if ctx.closed(location):
            continue
        try:
            with os.scandir(location) as entries:
                names = sorted(entry.name for entry in entries)
        except OSError:
            continue
        for name in names:
            if name.startswith("~"):
                inventory.leftovers.append(os.path.join(location, name))
                continue
            match = _DIST.match(name)
            if not match:
                continue
            if len(inventory.distributions) >= MAX_DISTRIBUTIONS or time.monotonic() > end:
                inventory.incomplete = True
                return inventory
            inventory.distributions.append(_read(location, name, match.group("name"), match.group("version"), ctx))
    return inventory


def _read(location: str, entry: str, name: str, version: str, ctx: Context) -> Distribution:
    path = os.path.join(location, entry)
    result = Distribution(name, version, location, path)
    if entry.endswith(".dist-info"):
        metadata = ctx.read(os.path.join(path, "METADATA"), METADATA_BYTES)
        result.has_metadata = not metadata.error and metadata.size > 0
        wheel = ctx.read(os.path.join(path, "WHEEL"), 4 * KIB)
        result.tags = re.findall(r"^Tag:\s*(\S+)", wheel.text, re.MULTILINE)
        result.installer = ctx.read(os.path.join(path, "INSTALLER"), 100).text.strip()
    else:
        inner = os.path.join(path, "PKG-INFO") if os.path.isdir(path) else path
        metadata = ctx.read(
            os.path.join(path, "EGG-INFO", "PKG-INFO") if entry.endswith(".egg") else inner, METADATA_BYTES
        )
        result.has_metadata = not metadata.error
        requires = ctx.read(os.path.join(path, "requires.txt"), 16 * KIB).text if os.path.isdir(path) else ""
        result.requires = [line.strip() for line in requires.split("[", 1)[0].splitlines() if line.strip()]
    header = re.split(r"\r?\n\r?\n", metadata.text, maxsplit=1)[0]
    fields = re.findall(r"^(Name|Version|Requires-Dist|Provides-Extra):[ \t]*(.+?)\r?$", header, re.MULTILINE)
    for key, value in fields:
        if key == "Name":
            result.name = value
        elif key == "Version":
            result.version = value
        elif key == "Requires-Dist":
            result.requires.append(value)
        else:
            result.extras.append(value)
    return result


def record_paths(distribution: Distribution, ctx: Context, max_bytes: int = 256 * KIB) -> list[str]:
    """The files of a distribution as its RECORD (or installed-files list) has them, relative to its location."""
    for name in ("RECORD", "installed-files.txt", "SOURCES.txt"):
        content = ctx.read(os.path.join(distribution.path, name), max_bytes)
        if not content.error:
            lines = (line.split(",", 1)[0].strip('"') for line in content.text.splitlines())
            return [line[3:] if line.startswith("../") else line for line in lines if line]
    return []


def modules_of(distribution: Distribution, ctx: Context) -> list[str]:
    """Top-level names that a distribution offers for import."""
    listed = ctx.read(os.path.join(distribution.path, "top_level.txt"), 8 * KIB)
    if not listed.error and listed.text.strip():
        return [line.strip() for line in listed.text.splitlines() if line.strip()]
    names: dict[str, None] = {}
    for path in record_paths(distribution, ctx):
        head, _slash, rest = path.partition("/")
        if rest and path.endswith((".py", ".so")) and head.isidentifier():
            names[head] = None
        elif not rest and path.endswith((".py", ".so")):
            names[head.split(".")[0]] = None
    return list(names)


def broken(
    inventory: Inventory, short_version: str, machine: str, suffixes: Sequence[str], ctx: Context
) -> list[Section]:
    """What is wrong with installed distributions: leftovers, doubles, missing metadata or files, other Pythons' binaries.

    :param short_version: ``3.11`` of the interpreter that uses them, empty when unknown.
    :param suffixes: the interpreter's suffixes of extension modules, empty when unknown.
    """
    result: list[Section] = []
    for path in inventory.leftovers[:20]:
        result.append(
            {
                "name": os.path.basename(path).lstrip("~"),
                "path": path,
                "problem": "left over from an interrupted pip run",
            }
        )
    seen: dict[tuple[str, str], Distribution] = {}
    end = time.monotonic() + min(1.5, ctx.remaining())
    for item in inventory.distributions:
        other = seen.setdefault((item.location, item.key), item)
        if other is not item:
            problem = f"two versions are installed, {other.version} and {item.version}: an upgrade stopped half-way"
            result.append({"name": item.name, "path": item.path, "problem": problem})
        for problem in _problems(item, short_version, machine, suffixes, ctx) if time.monotonic() < end else ():
            result.append({"name": item.name, "path": item.path, "problem": problem})
        if len(result) >= 60:
            break
    return result


def _problems(item: Distribution, short: str, machine: str, suffixes: Sequence[str], ctx: Context) -> list[str]:
    problems: list[str] = []
    # Debian's own packages have no RECORD, and conda's may lack one.
    by_pip = (
        item.path.endswith(".dist-info") and not item.location.endswith("dist-packages") and item.installer != "conda"
    )
    if not item.has_metadata:
        problems.append("its metadata is missing or empty")
    if by_pip and not os.path.exists(os.path.join(item.path, "RECORD")):
        problems.append("it has no RECORD: the installation was interrupted")
    if by_pip and item.tags:
        wrong = foreign_tags(item.tags, short, machine)
        if wrong:
            problems.append(wrong)
    if by_pip:
        problems += _missing_files(item, suffixes, ctx)
    return problems


def foreign_tags(tags: Sequence[str], short: str, machine: str) -> Optional[str]:
    """A sentence when no tag of a wheel fits this Python and machine, else None."""
    if not short:
        return None
    ours = "cp" + short.replace(".", "")
    minor = int(short.split(".")[1]) if short.count(".") else 0
    fitting_python, fitting_machine = False, False
    for tag in tags:
        parts = tag.split("-")
        if len(parts) != 3:
            return None
        pythons, abis, platforms = (set(part.split(".")) for part in parts)
        stable = "abi3" in abis and any(re.match(r"cp3\d+\Z", item) and int(item[3:]) <= minor for item in pythons)
        pure = any(item.startswith("py") for item in pythons)
        fits = pure or stable or ours in pythons
        fitting_python = fitting_python or fits
        if fits and any(item == "any" or item.endswith(machine) for item in platforms):
            fitting_machine = True
    shown = tags[0]
    if not fitting_python:
        return f"it was built for another Python ({shown}), this one is {short}"
    return None if fitting_machine else f"it was built for another machine ({shown}), this one is {machine}"


def _missing_files(item: Distribution, suffixes: Sequence[str], ctx: Context) -> list[str]:
    """Packages of the RECORD that are not on disk any more, and extension modules of another Python."""
    problems: list[str] = []
    checked = 0
    for path in record_paths(item, ctx, 64 * KIB):
        if path.startswith(("../", "/")) or checked >= 12:
            continue
        depth = path.count("/")
        if (depth == 1 and path.endswith("/__init__.py")) or (depth <= 2 and path.endswith(".so")):
            checked += 1
            full = os.path.join(item.location, path)
            try:
                size = os.stat(full).st_size
            except OSError:
                problems.append(f"{path} is missing although RECORD lists it")
                continue
            if path.endswith(".so") and size == 0:
                problems.append(f"{path} is empty")
            if path.endswith(".so") and suffixes and foreign_extension(path, suffixes):
                problems.append(f"{path} was compiled for another Python, this one takes {suffixes[0]}")
    return problems[:4]


def foreign_extension(path: str, suffixes: Sequence[str]) -> bool:
    """Whether an extension module names an ABI that this interpreter does not take."""
    return bool(_EXTENSION.search(path)) and not path.endswith(tuple(item for item in suffixes if item != ".so"))
