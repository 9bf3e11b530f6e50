# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions on one backend: lock, unfinished runs, breaker, outcomes. What the modules ``backend_session``, ``_fix`` and ``_rollback`` share."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Optional

from . import breaker, lock, manifest
from .lock import Locked
from .manifest import Manifest
from .store import Folder, StateError, append_row, exclusive, file_name, history, open_state, run_id, stamp
from .transaction import row_of_manifest

# A module that finds another one at work waits this long: those that hold a lock ask briefly.
PATIENCE_S = 5.0
OUTCOMES = ("healed", "rolled_back", "rollback_refused", "not_needed", "refused", "failed", "progress", "undone")
SHOWN_ROWS = 200
# A run in one of these was killed in the middle of a change; what is on disk is neither the one nor the other.
HALF_WAY = ("changing", "undoing")


@contextmanager
def backend_folder(state_dir: str, backend: str, create: bool = True) -> Iterator[Folder]:
    """The directory of a backend's state, held open.

    :raises StateError: it can't be used.
    """
    state = open_state(state_dir, create)
    try:
        folder = state.folder(file_name(backend), create)
    finally:
        state.close()
    try:
        yield folder
    finally:
        folder.close()


@contextmanager
def held(folder: Folder, session: Optional[str], lease_s: float = lock.LEASE_S) -> Iterator[str]:
    """Hold the lock for one module: renews the session's, or takes and releases one of its own. Gives the session.

    :raises Locked: another session holds it, or this one lost it.
    """
    with exclusive(folder, PATIENCE_S):
        if session:
            lock.renew(folder, session, lease_s)
            yield session
            return
        own, _former = lock.take(folder, None, lease_s, own=True)
        try:
            yield own
        finally:
            lock.release(folder, own)


def begin(
    folder: Folder,
    controller: Optional[Mapping[str, Any]],
    lease_s: float,
    gone: Optional[str] = None,
    reset: bool = False,
    check: bool = False,
) -> dict[str, Any]:
    """Take the lock, unless somebody holds it, and tell what the last sessions left.

    :raises StateError: the state can't be used, or a manifest of an unfinished run is damaged.
    """
    answer: dict[str, Any] = {"session": None, "held_by": None, "took_over": None, "unfinished": [], "reset": False}
    if check or folder.missing:
        found = lock.holder(folder)
        if found is not None and lock.free_because(found, controller, gone, time.time(), lock.boot_id()) is None:
            answer["held_by"] = _holder(found, lock.told(found))
        return {**answer, **outlook(folder)}
    try:
        with exclusive(folder, PATIENCE_S):
            answer["session"], former = lock.take(folder, controller, lease_s, gone)
            answer["took_over"] = None if former is None else _holder(former, former["taken_over_because"])
            if reset:
                append_row(
                    folder, {"run": run_id(), "session": answer["session"], "outcome": breaker.RESET, "ended": stamp()}
                )
                answer["reset"] = True
            try:
                answer.update(outlook(folder))
            except StateError:
                lock.release(folder, str(answer["session"]))
                raise
    except Locked as exc:
        answer["held_by"] = _holder(exc.holder, str(exc))
        answer.update(outlook(folder))
    except StateError:
        # A module at work holds the directory; who sent it stands in the lock.
        found = lock.holder(folder)
        if found is None or answer["session"] is not None:
            raise
        answer["held_by"] = _holder(found, lock.told(found))
        answer.update(outlook(folder))
    return answer


def end(folder: Folder, session: str, outcomes: Mapping[str, str]) -> list[str]:
    """Write the outcomes of runs that verification judged, and let go. Returns the runs that were ended.

    :raises Locked: the session does not hold the lock.
    :raises StateError: an outcome is none, or there is no such run.
    """
    with exclusive(folder, PATIENCE_S):
        lock.renew(folder, session)
        for outcome in outcomes.values():
            if outcome not in OUTCOMES:
                raise StateError(f"{outcome!r} is no outcome of a run: give one of {', '.join(OUTCOMES)}")
        ended = []
        for run, outcome in outcomes.items():
            if end_run(folder, run, outcome):
                ended.append(run)
        lock.release(folder, session)
    return ended


def end_run(folder: Folder, run: str, outcome: str) -> bool:
    """End one run; False when it has no manifest (nothing was to be done) or has ended already with that outcome.

    :raises StateError: its manifest is damaged, or can't be written.
    """
    if run not in manifest.runs(folder):
        return False
    found = manifest.load(folder, run)
    try:
        if found.ended and found.data.get("outcome") == outcome:
            return False
        found.end(outcome)
        append_row(folder, row_of_manifest(found.data, outcome))
    finally:
        found.close()
    return True


def outlook(folder: Folder) -> dict[str, Any]:
    """Unfinished runs, the newest first, and the breaker."""
    unfinished = []
    for run, found, problem in manifest.unended(folder):
        if found is None:
            raise StateError(problem)
        data = found.data
        unfinished.append(
            {
                "run": run,
                "session": data["session"],
                "fix": data["fix"],
                "cause": data.get("cause"),
                "subject": data.get("subject"),
                "state": data["state"],
                "started": data.get("started"),
            }
        )
        found.close()
    judged = breaker.judge(history(folder), time.time())
    return {"unfinished": unfinished[::-1], "breaker": judged.as_dict()}


def half_way(folder: Folder) -> Optional[str]:
    """The newest run that was killed in the middle of a change, or whose manifest is damaged, as a sentence; None without any."""
    told = None
    for run, found, problem in manifest.unended(folder):
        if found is None:
            told = f"{problem}."
            continue
        if found.data["state"] in HALF_WAY:
            told = f"Run {run} ({found.data['fix']}) was interrupted: roll it back before anything else is changed."
        found.close()
    return told


def rows(folder: Folder) -> list[dict[str, Any]]:
    """The latest rows of the history, the newest last."""
    return history(folder)[-SHOWN_ROWS:]


def summaries(folder: Folder) -> list[dict[str, Any]]:
    """Every run that has a manifest, the newest last; of a damaged one, what is wrong with it."""
    found: list[dict[str, Any]] = []
    for run in manifest.runs(folder):
        try:
            one = manifest.load(folder, run)
        except StateError as exc:
            found.append({"run": run, "problem": str(exc)})
            continue
        names = ("fix", "cause", "subject", "state", "outcome", "started", "ended", "decision")
        changes = [{name: record[name] for name in ("kind", "path", "state")} for record in one.changes]
        found.append({"run": run, **{name: one.data.get(name) for name in names}, "changes": changes})
        one.close()
    return found[-SHOWN_ROWS:]


def pick_run(folder: Folder, run: str) -> Optional[Manifest]:
    """The manifest of a run; ``latest`` is the newest one that did not end or has something to take back, None when there is none.

    :raises StateError: there is no such run, or its manifest is damaged.
    """
    if run != "latest":
        return manifest.load(folder, run)
    for name in reversed(manifest.runs(folder)):
        try:
            found = manifest.load(folder, name)
        except StateError:
            if manifest.FILE not in _names(folder, name):
                continue
            raise
        if not found.ended or any(record["state"] != "undone" for record in found.changes):
            return found
        found.close()
    return None


def name_later_runs(folder: Folder, run: str, refused: list[dict[str, str]]) -> None:
    """Where a later run changed a path that a rollback left alone, say which, in place of the reason."""
    for name in manifest.runs(folder):
        if name <= run or not refused:
            continue
        try:
            later = manifest.load(folder, name)
        except StateError:
            continue
        paths = {str(record["path"]) for record in later.changes if record["state"] != "undone"}
        later.close()
        for entry in refused:
            if entry["path"] in paths:
                entry["why"] = f"run {name} ({later.data['fix']}) changed it afterwards: take that one back first"


def _names(folder: Folder, run: str) -> list[str]:
    below = folder.folder(run)
    try:
        return below.names()
    finally:
        below.close()


def _holder(found: Mapping[str, Any], why: str) -> dict[str, Any]:
    return {
        "session": found.get("session"),
        "since": found.get("since"),
        "lease_until": found.get("lease_until"),
        "controller": found.get("controller"),
        "why": why,
    }
