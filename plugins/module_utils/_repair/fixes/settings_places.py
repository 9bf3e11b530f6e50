# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a variable is written: where it stands already, else beside its neighbours, else in a file of the backend's own.

A file that another service reads too is never written, because a fix touches one backend only. Units and drop-ins are readable for
everybody, so they name a file (mode 0600, read by systemd as root) and never hold a value.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional
from urllib.parse import quote as percent

from ..._evidence import systemd_unit_files as unit_files
from ..._evidence.context import Context
from ..._evidence.environment import application_files
from ..._evidence.model import Backend
from ..model import Change, Host, Refused
from . import dropin
from .settings_files import CannotWrite, Target, look, rewritten

OWN_DIRECTORY = "/etc/firstaid"
MAX_UNITS = 2000
# They belong to the whole host.
_OF_THE_HOST = ("/etc/environment", "/etc/default/locale", "/etc/profile", "/etc/security/pam_env.conf")
_LINE_READERS = ("RepositoryEnv", "RepositoryIni", "Config(", "read_env", "read_envfile")


@dataclass
class Places:
    """The files of one backend in which variables can be written; ``own`` is the one that would be made for it."""

    backend: Backend
    targets: list[Target] = field(default_factory=list)
    own: Optional[Target] = None
    wanted: Optional[Target] = None

    def value(self, name: str) -> str:
        """What the backend gets for a variable; empty when nothing sets it. The real environment wins over the application's files."""
        if name in self.backend.environ:
            return self.backend.environ[name]
        return next((item.values[name] for item in self._of_application() if name in item.values), "")

    def known(self) -> dict[str, str]:
        """All variables that the backend gets."""
        merged: dict[str, str] = {}
        for target in reversed(self._of_application()):
            merged.update(target.values)
        return {**merged, **self.backend.environ}

    def _of_application(self) -> list[Target]:
        return [target for target in self.targets if target.reader in ("dotenv", "lines")]

    def place(self, name: str, siblings: Iterable[str] = ()) -> Optional[Target]:
        """The file for one variable; None when there is none.

        :param siblings: variables that belong to the same settings class.
        :raises Refused: what sets it wins over every file, or the file that sets it can't be written.
        """
        origin = self.backend.environ_origin.get(name, "")
        if name in self.backend.environ and origin.startswith(("start script", "command line")):
            raise Refused(f"{name} is set by the {origin}, which wins over every environment file: correct it there.")
        if self.wanted:
            return self.wanted
        for target in reversed(self.targets):
            if origin == target.path and not target.shared_with:
                return target
        if name not in self.backend.environ:
            for target in self._of_application():
                if name in target.names:
                    return target
        return self._beside_neighbours(name, set(siblings)) or self.own

    def _beside_neighbours(self, name: str, siblings: set[str]) -> Optional[Target]:
        prefix = name.partition("_")[0] + "_" if "_" in name else ""
        best: Optional[Target] = None
        best_score = (-1, -1, -1)
        for target in self.targets:
            if (
                target.problem
                or target.shared_with
                or not (target.exists or (target.optional and target.reader == "systemd"))
            ):
                continue
            family = sum(1 for other in target.names if prefix and other.startswith(prefix) and other != name)
            score = (
                len(siblings & set(target.names)) + family,
                int(target.reader in ("systemd", "shell")),
                len(target.names),
            )
            if score >= best_score:
                best, best_score = target, score
        # What systemd hands over has to win over what Environment= says; the application's own file would not.
        if best and name in self.backend.environ and best.reader not in ("systemd", "shell"):
            return None
        return best

    def changes(self, writes: Sequence[tuple[Target, Mapping[str, str]]]) -> list[Change]:
        """The changes that write the given variables into the given files.

        :raises Refused: a file or value does not allow it.
        """
        found: list[Change] = []
        for target, given in writes:
            names = ", ".join(given)
            try:
                content = rewritten(target, given)
            except CannotWrite as exc:
                raise Refused(
                    f"A value for {names} can't be written into {target.path}: {exc}. Let the unit set it: name a file for it with settings_file."
                ) from exc
            if content != target.content or not target.exists:
                mode = None if target.exists else 0o600
                uid = None if target.exists else 0
                why = f"sets {names}" if target.exists else f"sets {names}, in a file that only root can read"
                found.append(
                    Change("file", target.real, why, content=content, mode=mode, uid=uid, gid=uid, secret=True)
                )
            if target.own:
                found += self._naming(target)
        return found

    def _naming(self, target: Target) -> list[Change]:
        """The drop-in that lets the unit read the backend's own file, last, so that it wins."""
        drop = dropin.open_for(self.backend, "settings")
        line = dropin.whole(target.path)
        lines = drop.effective().get("EnvironmentFile", [])
        if line in lines:
            return []
        drop.set_list("EnvironmentFile", [*drop.effective(behind=False).get("EnvironmentFile", []), line])
        change = drop.change(f"lets the unit read {target.path}")
        return [change] if change else []


def find(host: Host) -> Places:
    """The files of a backend, in the order in which they win: the last of the unit's first.

    :raises Refused: the option ``file`` names what can't be used.
    """
    backend, ctx = host.backend, host.ctx
    found = Places(backend)
    systemd = backend.runtime == "systemd"
    elsewhere = others_read(backend, ctx) if systemd else {}
    application = application_files(backend, ctx)
    own_path = f"{OWN_DIRECTORY}/{percent(backend.name, safe='@:._-')}.env"
    for ref in backend.env_files:
        reader = (
            "systemd"
            if ref.origin.startswith("EnvironmentFile")
            else "shell"
            if ref.origin.startswith(("start script", "command line"))
            else "dotenv"
        )
        target = look(ref.path, reader, ref.optional)
        if ref.path != own_path:
            target.shared_with = "the whole host" if ref.path in _OF_THE_HOST else _other_reader(ref.path, elsewhere)
        found.targets.append(target)
    for ref in application:
        if all(target.path != ref.path for target in found.targets):
            found.targets.append(look(ref.path, _library(ref.origin, ctx), True))
    if systemd:
        found.own = next((target for target in found.targets if target.path == own_path), None)
        if found.own is None:
            found.own = look(own_path, "systemd")
            found.own.own = True
    chosen = str(host.options.get("file") or "").strip()
    if chosen:
        found.wanted = _wanted(chosen, found, systemd)
    return found


def _wanted(path: str, found: Places, systemd: bool) -> Target:
    if not path.startswith("/") or os.path.normpath(path) != path:
        raise Refused(f"settings_file is {path!r}: give an absolute path without dots in it.")
    for target in found.targets:
        if target.path == path:
            if target.shared_with:
                raise Refused(
                    f"{path} is also read by {target.shared_with}, so a change there would reach further than this backend: name another file."
                )
            return target
    if not systemd:
        raise Refused(
            f"{path} is read neither by the unit nor by the application, and only a systemd unit can be told to read it."
        )
    target = look(path, "systemd")
    target.own = True
    return target


def _library(origin: str, ctx: Context) -> str:
    """Who reads an application's file, by the line of the source that names it: ``application, <path>:<line>``."""
    path, _colon, line = origin.partition(", ")[2].rpartition(":")
    if not path or not line.isdigit():
        return "dotenv"
    lines = ctx.read(path).text.splitlines()
    text = lines[int(line) - 1] if int(line) <= len(lines) else ""
    return "lines" if any(word in text for word in _LINE_READERS) and "dotenv" not in text else "dotenv"


def others_read(backend: Backend, ctx: Context) -> dict[str, list[str]]:
    """Environment files that other units of this host name: unit → paths and patterns as written."""
    found: dict[str, list[str]] = {}
    own = {str(item["path"]) for item in backend.unit.get("files", [])}
    for directory in unit_files.SEARCH_PATH:
        for path in _units_below(directory):
            if path in own or ctx.remaining() <= 0:
                continue
            content = ctx.read(path, 64 * 1024)
            if content.error or "EnvironmentFile" not in content.text:
                continue
            name = os.path.basename(path)
            unit = os.path.basename(os.path.dirname(path))[:-2] if name.endswith(".conf") else name
            if unit == backend.name:
                continue
            values = [
                item.value.lstrip("-")
                for item in unit_files.parse(content.text)
                if item.name == "EnvironmentFile" and item.value
            ]
            found.setdefault(unit, []).extend(values)
    if "@" in backend.name:
        # All instances of a template read what its fragment names without saying which instance is meant.
        listed = backend.unit.get("directives", {}).get("EnvironmentFile", [])
        plain = [str(value).lstrip("-") for value in listed if "%" not in str(value)]
        found.setdefault("other instances of " + backend.name.partition("@")[0] + "@", []).extend(plain)
    return found


def _units_below(directory: str) -> list[str]:
    found: list[str] = []
    try:
        with os.scandir(directory) as entries:
            for _number, entry in zip(range(MAX_UNITS), sorted(entries, key=lambda item: item.name)):
                if entry.name.endswith(".service") and entry.is_file():
                    found.append(entry.path)
                elif entry.name.endswith(".service.d") and entry.is_dir():
                    with os.scandir(entry.path) as inner:
                        found += [item.path for item in inner if item.name.endswith(".conf")]
    except OSError:
        return found
    return found


def _other_reader(path: str, elsewhere: Mapping[str, Sequence[str]]) -> Optional[str]:
    """The first other unit that reads a file."""
    names = {path, os.path.realpath(path)}
    for unit, listed in elsewhere.items():
        for pattern in listed:
            if any(fnmatch.fnmatchcase(name, pattern) for name in names) or os.path.realpath(pattern) in names:
                return unit
    return None
