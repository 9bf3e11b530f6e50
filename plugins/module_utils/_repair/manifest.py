# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest of a run: what was there before each change, written before anything is touched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Optional

from .changes import Record
from .model import ServiceState
from .store import RUN_ID, Folder, RunKeep, StateError, stamp

SCHEMA = 1
FILE = "manifest.json"
STATES = ("changing", "changed", "verified", "undoing", "undone", "ended")
CHANGE_STATES = ("planned", "done", "undone")
# What every manifest of schema 1 has, with its type.
_FIELDS: dict[str, type] = {
    "run": str,
    "session": str,
    "backend": dict,
    "fix": str,
    "state": str,
    "changes": list,
    "service_before": dict,
}
_CHANGE_FIELDS: dict[str, type] = {"number": int, "kind": str, "path": str, "state": str, "before": dict, "after": dict}


@dataclass
class Manifest:
    """One run's manifest and the directory it lives in. ``data`` is what ``save`` writes."""

    folder: Folder
    data: dict[str, Any]

    @property
    def run(self) -> str:
        return str(self.data["run"])

    @property
    def ended(self) -> bool:
        return bool(self.data["state"] == "ended")

    @property
    def changes(self) -> list[Record]:
        found: list[Record] = self.data["changes"]
        return found

    def keep(self, record: Record) -> RunKeep:
        """Where the former content of a change is."""
        return RunKeep(self.folder, int(record["number"]))

    def save(self, **values: Any) -> None:
        """Set fields and write everything, synced.

        :raises StateError: it can't be written, for instance because the disk is full.
        """
        self.data.update(values)
        self.folder.write_json(FILE, self.data)

    def plan(self, record: Record) -> None:
        """Add a change as planned; from here on a killed run is understood."""
        self.changes.append(record)
        self.save()

    def end(self, outcome: str) -> None:
        """The last state of a run."""
        self.save(state="ended", outcome=outcome, ended=stamp())

    def close(self) -> None:
        self.folder.close()


def create(backend_folder: Folder, run: str, values: dict[str, Any]) -> Manifest:
    """Begin a run: make its directory and write its manifest, state ``changing``.

    :param values: fields of schema 1 that the caller knows.
    """
    folder = backend_folder.folder(run, create=True)
    manifest = Manifest(folder, {"schema": SCHEMA, "run": run, **values})
    manifest.data.update(state="changing", changes=[], proof=None, outcome=None)
    manifest.save()
    return manifest


def load(backend_folder: Folder, run: str) -> Manifest:
    """The manifest of an earlier run.

    :raises StateError: there is no such run, its manifest is damaged, or it is of a schema that is not known.
    """
    if not RUN_ID.fullmatch(run):
        raise StateError(f"{run!r} is no id of a run, such as 20261122T101500Z-1f2e3d")
    folder = backend_folder.folder(run)
    path = f"{folder.path}/{FILE}"
    try:
        data = folder.read_json(FILE)
        if data is None:
            raise StateError(f"there is no run {run} of this backend: {path} does not exist")
        if data.get("schema") != SCHEMA:
            raise StateError(
                f"{path} has schema {data.get('schema')!r}, and this version knows {SCHEMA}: use the version that wrote it"
            )
        problem = _problem(data, run)
        if problem:
            raise StateError(
                f"{path} is damaged ({problem}): compare what it lists by hand, and move the directory away"
            )
    except StateError:
        folder.close()
        raise
    return Manifest(folder, data)


def runs(backend_folder: Folder) -> list[str]:
    """Ids of all runs whose directory exists, oldest first."""
    return [name for name in backend_folder.names() if RUN_ID.fullmatch(name)]


def unended(backend_folder: Folder) -> Iterator[tuple[str, Optional[Manifest], str]]:
    """Runs that did not end: id, manifest (None when it is damaged), and what is wrong with it. The caller closes the manifests.

    A directory without a manifest is a run that was killed before it had touched anything, and is left out.
    """
    for run in runs(backend_folder):
        folder = backend_folder.folder(run)
        nothing = FILE not in folder.names()
        folder.close()
        if nothing:
            continue
        try:
            manifest = load(backend_folder, run)
        except StateError as exc:
            yield run, None, str(exc)
            continue
        if manifest.ended:
            manifest.close()
            continue
        yield run, manifest, ""


def service_record(state: ServiceState) -> dict[str, Any]:
    """A service's state as the manifest keeps it."""
    return {
        "state": state.state,
        "detail": state.detail,
        "enabled": state.enabled,
        "main_pid": state.main_pid,
        "restarts": state.restarts,
    }


def _problem(data: dict[str, Any], run: str) -> str:
    for name, wanted in _FIELDS.items():
        if not isinstance(data.get(name), wanted):
            return f"{name} is missing or wrong"
    if data["run"] != run:
        return f"it is of run {data['run']!r}"
    if data["state"] not in STATES:
        return f"state {data['state']!r}"
    for record in data["changes"]:
        for name, wanted in _CHANGE_FIELDS.items():
            if not isinstance(record, dict) or not isinstance(record.get(name), wanted):
                return f"a change without {name}"
        if record["state"] not in CHANGE_STATES:
            return f"a change with state {record['state']!r}"
    return ""
