# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking a run back: its changes backwards, exactly, and its service as it was. Also settles what a killed run left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from .._evidence.context import Context
from .changes import ChangeError, Means, Record, kind
from .control import UP
from .manifest import Manifest
from .model import Change, Control, ControlError
from .store import StateError

Checkpoint = Callable[[str], None]
# Below these, systemd reads units and drop-ins.
UNIT_DIRECTORIES = ("/etc/systemd/", "/run/systemd/", "/usr/lib/systemd/", "/lib/systemd/", "/usr/local/lib/systemd/")
# Kinds that change what is on disk and nothing that runs.
ON_DISK = ("file", "link", "attributes")


def nowhere(_name: str) -> None:
    """The checkpoint that does nothing."""


@dataclass
class Undone:
    """What a rollback did. ``refused`` has path and reason of each change that was left alone."""

    undone: list[str] = field(default_factory=list)
    refused: list[dict[str, str]] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    diff: list[dict[str, str]] = field(default_factory=list)
    service: Optional[str] = None
    problem: Optional[str] = None

    @property
    def outcome(self) -> str:
        return "rollback_refused" if self.refused else "rolled_back"


def roll_back(
    manifest: Manifest, control: Control, ctx: Context, check: bool = False, checkpoint: Checkpoint = nowhere
) -> Undone:
    """Undo a run. Can be killed and repeated at any point.

    Where the manifest can't be written, because the disk is full for instance, it goes on: what is on disk then lists more as done than is,
    and who looks next sees that it is as before.

    :param check: only say what would be done.
    """
    done = Undone()
    if not check:
        _save(manifest, done, state="undoing")
        checkpoint("undoing")
    pending: list[Record] = []
    for record in reversed(manifest.changes):
        if record["state"] == "undone":
            continue
        means = Means(ctx, control, manifest.keep(record))
        try:
            if record["kind"] not in ON_DISK and pending and not check:
                # It may start something, which has to see the former files.
                done.problem = reload_for(control, pending) or done.problem
                pending = []
            if _undo_one(manifest, record, means, done, check, checkpoint):
                pending.append(record)
        except (ChangeError, StateError, KeyError, OSError) as exc:
            done.refused.append({"path": str(record["path"]), "why": _reason(exc)})
    if check:
        return done
    # All of them: a run that was killed here before has undone some and read nothing.
    done.problem = reload_for(control, manifest.changes) or done.problem
    checkpoint("reloaded after undo")
    # Where all stands as it was, what runs now holds it, and a restart would only disturb it.
    stands = bool(done.refused) and all(record["state"] != "undone" for record in manifest.changes)
    ordered = bool(manifest.data.get("restart")) and not stands
    done.service, problem = put_back(control, manifest.data["service_before"], ordered)
    done.problem = done.problem or problem
    checkpoint("service put back")
    _save(manifest, done, state="undone")
    return done


def _undo_one(
    manifest: Manifest, record: Record, means: Means, done: Undone, check: bool, checkpoint: Checkpoint
) -> bool:
    try:
        worker = kind(str(record["kind"]))
    except KeyError as exc:
        raise ChangeError(
            f"this version does not know changes of kind {record['kind']}: use the one that made it"
        ) from exc
    path = str(record["path"])
    as_before = worker.is_before(record, means)
    planned = record["state"] == "planned"
    if not as_before:
        if not worker.reversible:
            done.kept.append(f"{record['kind']} {path}: {record['why']} (can't be taken back)")
            return False
        if not worker.is_after(record, means) and (worker.atomic or not planned):
            done.refused.append({"path": path, "why": "somebody changed it since the run; it was left as it is now"})
            return False
        done.diff.append(undo_diff(record, means))
    if check:
        if not as_before:
            done.undone.append(path)
        return False
    if worker.reversible:
        worker.undo(record, means)
    checkpoint(f"undid {record['number']}")
    record["state"] = "undone"
    _save(manifest, done)
    checkpoint(f"undone {record['number']}")
    if not as_before:
        done.undone.append(path)
    return not as_before


def _save(manifest: Manifest, done: Undone, **values: str) -> None:
    try:
        manifest.save(**values)
    except StateError as exc:
        done.problem = done.problem or f"{exc}."


def put_back(control: Control, before: dict[str, Any], ordered: bool) -> tuple[Optional[str], Optional[str]]:
    """Bring the service to what it was: up when it was up, given up when it had given up, stopped when it was stopped.

    :param ordered: the run gave an order to (re)start, so what runs now may hold what was taken back.
    :return: its state afterwards, and a sentence when that could not be done.
    """
    was = str(before.get("state"))
    try:
        up = control.state().state in UP
        if ordered and (was in UP or (was == "failed" and up)):
            control.restart()
        elif was in UP and not up:
            control.start()
        elif was == "stopped" and up and ordered:
            control.stop()
        return control.state().state, None
    except ControlError as exc:
        return None, f"The service could not be put back to what it was ({was}): {exc}."


def reload_for(control: Control, records: Sequence[Record]) -> Optional[str]:
    """Make the supervisor read its files where a change was among them; a sentence when it refused."""
    if not needs_reload(control.runtime, records):
        return None
    try:
        control.reload()
    except ControlError as exc:
        return f"The supervisor did not read its files again: {exc}."
    return None


def needs_reload(runtime: str, records: Sequence[Record]) -> bool:
    """Whether the supervisor has to read its configuration again after such changes."""
    if runtime == "systemd":
        return any(str(record["path"]).startswith(UNIT_DIRECTORIES) for record in records)
    # Reading again changes nothing that runs; which of its files are included is supervisord's own business.
    return any(record["kind"] in ON_DISK for record in records)


def undo_diff(record: Record, means: Means) -> dict[str, str]:
    """What taking a change back changes, as texts."""
    name, path, before = str(record["kind"]), str(record["path"]), record["before"]
    if name not in ON_DISK:
        return {"before_header": path, "after_header": path, "before": f"{record['why']}\n", "after": ""}
    content = None
    if before["type"] == "file" and name != "attributes":
        content = means.keep.read(str(before["backup"]))
    former = Change(
        name if name == "attributes" else "file",
        path,
        str(record["why"]),
        content=content,
        mode=int(before["mode"], 8) if "mode" in before else None,
        uid=before.get("uid"),
        gid=before.get("gid"),
        secret=bool(record.get("secret")),
    )
    if name == "link" or before["type"] == "link":
        texts = [
            f"symbolic link to {state['target']}\n" if state["type"] == "link" else ""
            for state in (record["after"], before)
        ]
        if content is not None:
            texts[1] = f"a regular file of {len(content)} bytes\n"
        return {"before_header": path, "after_header": path, "before": texts[0], "after": texts[1]}
    return kind(name).diff(former, record["after"], means)


def _reason(exc: Exception) -> str:
    if isinstance(exc, KeyError):
        return f"the manifest lacks {exc} for it"
    return str(exc).rstrip(".")
