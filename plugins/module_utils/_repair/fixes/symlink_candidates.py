# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which links may be the reason, and where a broken one could have led."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from typing import Any, Optional

from ..._evidence.packages_find import find_module_on_disk
from ..._evidence.symlinks import link as link_facts
from ..model import Host
from .symlink_overlay import place, type_of

MAX_SUSPECTS = 20
MAX_TEXT = 256
_VERSION = re.compile(r"[-_.]?v?\d[\d._+T:Z-]*(?:[-.]?(?:rc|a|b|post|dev)\d*)?\Z")
_DIGITS = re.compile(r"\d")


@dataclass(frozen=True)
class Suspect:
    """A place where a link is, was, or should be. ``path`` has its directory resolved; ``shown`` is how it is called outside.

    ``kind``: dangling, loop, self, text (a file that holds a link's target), intact, none, directory or file.
    ``target`` is what the link, or the text, says.
    """

    path: str
    shown: str
    kind: str
    target: Optional[str] = None

    @property
    def name(self) -> str:
        return os.path.basename(self.path)

    @property
    def module(self) -> str:
        """The name of the package or module that it stands for."""
        return self.name[:-3] if self.name.endswith(".py") else self.name

    @property
    def now(self) -> Optional[str]:
        """The link as it is thought to be: None for what is no link."""
        return self.target if self.kind in ("dangling", "loop", "self", "intact") else None

    def problem(self) -> str:
        """What is wrong with it, as the rest of a sentence."""
        return {
            "dangling": f"leads to {self.target}, which isn't there",
            "loop": f"leads round in a circle (to {self.target})",
            "self": f"leads to its own directory or one above it (to {self.target})",
            "text": f"is a text file that holds the target of a link ({self.target}), as a checkout without links leaves it",
            "intact": f"leads to {self.target}",
            "none": "isn't there",
            "directory": "is a directory",
            "file": "is a regular file",
        }[self.kind]


def suspect(path: str, texts: Optional[dict[str, str]] = None) -> Suspect:
    """What is at a path.

    :param texts: path -> content of files that the evidence takes for links written out.
    """
    real = place(path)
    kind = type_of(real)
    if kind == "link":
        facts = link_facts(real, "")
        word = "loop" if facts["loop"] else "self" if facts["self"] else "intact" if facts["exists"] else "dangling"
        return Suspect(real, path, word, str(facts["target"]))
    if kind == "file":
        text = (texts or {}).get(path) or (texts or {}).get(real)
        return Suspect(real, path, "text" if text else "file", text)
    return Suspect(real, path, kind if kind in ("directory", "none") else "file")


def texts_in(section: dict[str, Any]) -> dict[str, str]:
    """Files that hold a link's target, by path, also by their real one."""
    found: dict[str, str] = {}
    for entry in section.get("text_instead_of_link") or []:
        found[str(entry["path"])] = found[place(str(entry["path"]))] = str(entry["content"])
    return found


def suspects(host: Host, missing: set[str]) -> list[Suspect]:
    """Links of the evidence that are broken, files in a link's place, and whatever carries the name of a missing module.

    :param missing: dotted names of modules that were not found.
    """
    section = host.evidence("symlinks")
    texts = texts_in(section)
    parts = {part for name in missing for part in name.split(".")}
    paths: dict[str, None] = dict.fromkeys(str(entry["path"]) for entry in section.get("text_instead_of_link") or [])
    for entry in section.get("links") or []:
        name = os.path.basename(str(entry["path"]))
        broken = entry.get("loop") or entry.get("self") or not entry.get("exists")
        if broken or name in parts or (name.endswith(".py") and name[:-3] in parts):
            paths.setdefault(str(entry["path"]))
    test = host.evidence("import_test")
    for found in (test.get("missing_module") or {}).get("found_at") or []:
        if found.get("why") == "dangling_link":
            paths.setdefault(str(found["path"]))
    unique: dict[str, Suspect] = {}
    for path in paths:
        one = suspect(path, texts)
        if one.kind in ("dangling", "loop", "self", "text", "intact"):
            unique.setdefault(one.path, one)
    return list(unique.values())[:MAX_SUSPECTS]


def targets(one: Suspect, host: Host) -> list[str]:
    """Real paths that the link could lead to, likeliest first; whether it should is for the imports to say."""
    found: list[str] = []
    if one.kind == "text" and one.target:
        found.append(one.target)
    if one.kind == "dangling" and one.target:
        found += _versions(os.path.join(os.path.dirname(one.path), one.target))
    if one.module.isidentifier():
        for entry in find_module_on_disk(one.module, host.backend, host.ctx):
            path = str(entry["path"])
            path = os.path.dirname(path) if os.path.basename(path) == "__init__.py" else path
            if entry["why"] == "elsewhere_on_disk" and os.path.basename(path) == one.name:
                found.append(path)
    trusted = _owners(one, host)
    real: dict[str, None] = {}
    for path in found:
        path = os.path.realpath(os.path.join(os.path.dirname(one.path), path))
        if _usable(path, one, trusted):
            real.setdefault(path)
    return list(real)


def _versions(path: str) -> list[str]:
    """Of a path that isn't there: the same path below another version of the first directory that is missing.

    ``../shared/core-2.3/core`` -> ``../shared/core-2.4/core``, ``releases/2026-10-17`` -> ``releases/2026-11-02``.
    """
    parts = os.path.normpath(path).split("/")[1:]
    above = "/"
    for index, part in enumerate(parts):
        here = os.path.join(above, part)
        if os.path.lexists(here):
            above = here
            continue
        stem = _VERSION.sub("", part)
        if stem == part:
            return []
        try:
            names = sorted(os.listdir(above))
        except OSError:
            return []
        same = [name for name in names if _DIGITS.search(name) and _VERSION.sub("", name) == stem]
        return [os.path.join(above, name, *parts[index + 1 :]) for name in same]
    return []


def _owners(one: Suspect, host: Host) -> set[int]:
    """Users whose directories may be led to: root, the backend's, and whoever owns the place of the link or the code."""
    found = {0, os.geteuid()}
    if host.backend.uid is not None:
        found.add(host.backend.uid)
    for path in (os.path.dirname(one.path), host.backend.app.code_dir):
        try:
            found.add(os.stat(str(path)).st_uid)
        except OSError:
            continue
    return found


def _usable(path: str, one: Suspect, trusted: set[int]) -> bool:
    try:
        status = os.stat(path)
    except OSError:
        return False
    wanted = stat.S_ISREG if one.name.endswith(".py") else stat.S_ISDIR
    if not wanted(status.st_mode) or status.st_uid not in trusted or status.st_mode & stat.S_IWOTH:
        return False
    # A link to its own directory, or one above, makes every module there come under two names.
    inside = one.path.startswith(path.rstrip("/") + "/")
    return not inside


def written(one: Suspect, target: str) -> str:
    """A target as it is written into the link: relative where the former one was, or where both lie close together."""
    folder = os.path.dirname(one.path)
    if one.kind == "text" and one.target and os.path.realpath(os.path.join(folder, one.target)) == target:
        return one.target
    if one.target and one.target.startswith("/"):
        return target
    if not one.target and len(os.path.commonpath([folder, target])) <= 1:
        return target
    return os.path.relpath(target, folder)
