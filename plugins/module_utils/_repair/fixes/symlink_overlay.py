# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file system as it would be with one link changed: paths are resolved link by link, and nothing is touched."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

MAX_LINKS = 40
MAX_NAMES = 5000


@dataclass
class Overlay:
    """``links`` says what is to be thought: path of a link (its directory resolved) -> its target, None for no link at all."""

    links: Mapping[str, Optional[str]] = field(default_factory=dict)
    passed: set[str] = field(default_factory=set)
    _known: dict[str, tuple[Optional[str], set[str]]] = field(default_factory=dict)

    def resolve(self, path: str) -> Optional[str]:
        """The real path, None where it leads nowhere or round in circles. ``passed`` collects the links on the way."""
        if path not in self._known:
            crossed: set[str] = set()
            self._known[path] = (self._resolve(path, crossed), crossed)
        found, crossed = self._known[path]
        self.passed |= crossed
        return found

    def _resolve(self, path: str, crossed: set[str]) -> Optional[str]:
        current, followed = "/", 0
        parts = [part for part in path.split("/") if part not in ("", ".")]
        while parts:
            part = parts.pop(0)
            if part == "..":
                current = os.path.dirname(current)
                continue
            here = os.path.join(current, part)
            target = self._target(here)
            if target is None:
                if here in self.links:
                    crossed.add(here)
                    return None
                if not os.path.lexists(here):
                    return None
                current = here
                continue
            crossed.add(here)
            followed += 1
            if followed > MAX_LINKS:
                return None
            if target.startswith("/"):
                current = "/"
            parts = [piece for piece in target.split("/") if piece not in ("", ".")] + parts
        return current

    def _target(self, path: str) -> Optional[str]:
        if path in self.links:
            return self.links[path]
        try:
            return os.readlink(path)
        except OSError:
            return None

    def is_dir(self, path: str) -> bool:
        real = self.resolve(path)
        return real is not None and os.path.isdir(real)

    def is_file(self, path: str) -> bool:
        real = self.resolve(path)
        return real is not None and os.path.isfile(real)

    def names(self, path: str) -> list[str]:
        """The names in a directory, with the links that are thought and without those that are thought away."""
        real = self.resolve(path)
        if real is None:
            return []
        try:
            with os.scandir(real) as entries:
                found = {entry.name for _index, entry in zip(range(MAX_NAMES), entries)}
        except OSError:
            return []
        for link, target in self.links.items():
            if os.path.dirname(link) == real:
                (found.discard if target is None else found.add)(os.path.basename(link))
        return sorted(found)


def place(path: str) -> str:
    """A path with its directory resolved and its last name as it is: the identity of a link."""
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def type_of(path: str) -> str:
    """link, file, directory, none or other: what is there itself."""
    try:
        mode = os.stat(path, follow_symlinks=False).st_mode
    except (OSError, ValueError):
        return "none"
    table = {stat.S_IFLNK: "link", stat.S_IFREG: "file", stat.S_IFDIR: "directory"}
    return table.get(stat.S_IFMT(mode), "other")
