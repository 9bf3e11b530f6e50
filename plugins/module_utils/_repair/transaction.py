# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One fix in one transaction: back up, change, prove, restart; or take back what was done. See docs/repair.md.

``checkpoint`` is called with a name between any two steps. It does nothing; tests end the process there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from .._evidence.model import Unavailable
from .._evidence.runner import place
from .._evidence.selection import InputError
from . import manifest as manifests
from .changes import ChangeError, Means, Record, kind
from .control import UP
from .manifest import Manifest
from .model import Change, ControlError, Proposal, Refused, ServiceState
from .rollback import ON_DISK, Checkpoint, Undone, needs_reload, nowhere, roll_back
from .site import Proof, Site, no_proof, same_failure
from .store import Folder, NoKeep, StateError, append_row, run_id, stamp

# With these a service should run: it does, will, or has given up trying.
MEANT_TO_RUN = UP | {"failed"}
UNDO_S = 600.0


@dataclass
class Order:
    """What is asked for. ``options`` are the fix's, secrets included; ``start`` starts a service that was stopped, too."""

    fix: str
    options: dict[str, Any] = field(default_factory=dict)
    session: str = ""
    cause: str = ""
    subject: str = ""
    keep_unproven: bool = False
    restart: bool = True
    start: bool = False


@dataclass
class Answer:
    """What came of it; ``outcome`` is None when verification has to tell."""

    changed: bool = False
    decision: str = ""
    outcome: Optional[str] = None
    reason: Optional[str] = None
    refused: Optional[str] = None
    commands: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    diff: list[dict[str, str]] = field(default_factory=list)
    run: Optional[str] = None
    changes: list[dict[str, Any]] = field(default_factory=list)
    proof: Optional[Proof] = None
    restarted: bool = False
    service_before: Optional[dict[str, Any]] = None
    refused_paths: list[dict[str, str]] = field(default_factory=list)


class Failed(Exception):
    """A step went wrong after changes began; the message is one sentence for the reader."""


class Transaction:
    """One application of one fix to one backend.

    :param propose: the fix.
    :param folder: the backend's directory of the state; None in check mode, in which nothing is touched or written.
    """

    def __init__(
        self, site: Site, propose: Any, order: Order, folder: Optional[Folder], checkpoint: Checkpoint = nowhere
    ) -> None:
        self.site, self.propose, self.order = site, propose, order
        self.folder, self.checkpoint = folder, checkpoint
        self.answer = Answer()
        self.began = stamp()
        self.before = ServiceState("unknown")
        self.manifest: Optional[Manifest] = None
        self._pending: list[Record] = []

    def run(self) -> Answer:
        """Do it, or in check mode say what would be done.

        :raises ControlError: the supervisor does not tell the service's state; nothing was touched.
        :raises StateError: the state can't be written.
        """
        self.before = self.site.control.state()
        self.answer.service_before = manifests.service_record(self.before)
        try:
            proposal = self.propose(self.site.host(self.order.options))
        except Refused as exc:
            return self._refuse(str(exc), exc.commands)
        self.answer.decision = proposal.decision
        self.answer.notes += proposal.notes
        try:
            wanted = self._preview(proposal.changes)
        except ChangeError as exc:
            return self._refuse(str(exc), [])
        starts = self._starts(proposal)
        # Whose changes are all made already has nothing to do; a proposal without any is a restart.
        if not wanted and (proposal.changes or not starts):
            return self._finish("not_needed")
        self.answer.changed = True
        if self.folder is None:
            self.answer.changes = [_shown(change, "planned") for change in wanted]
            return self.answer
        return self._carry_out(proposal, wanted, starts, self.folder)

    def _preview(self, changes: Sequence[Change]) -> list[Change]:
        """The changes that are needed, and their diffs. A path that an earlier change touches is only known when that is done.

        :raises ChangeError: one can't be made; nothing was touched.
        """
        wanted: list[Change] = []
        for change in changes:
            means = Means(self.site.ctx, self.site.control, NoKeep())
            worker = kind(change.kind)
            follows = any(_touches(earlier.kind, earlier.path, change.path) for earlier in wanted)
            try:
                before = worker.before(change, means)
                after = worker.after(change, before, means)
                if not follows and _is_so(before, after):
                    continue
                self.answer.diff.append(worker.diff(change, before, means))
            except (ChangeError, OSError) as exc:
                if not follows:
                    raise (
                        exc if isinstance(exc, ChangeError) else ChangeError(f"{change.path}: {exc.strerror}")
                    ) from exc
            wanted.append(change)
        return wanted

    def _starts(self, proposal: Proposal) -> bool:
        """Whether the service is (re)started in the end; the reader is told why not."""
        if not (proposal.restart and self.order.restart):
            return False
        if self.before.state in MEANT_TO_RUN or self.order.start or proposal.start:
            return True
        self.answer.notes.append(
            f"{self.site.backend.name} was not running before ({self.before.detail or self.before.state}), so it is not started."
        )
        return False

    def _carry_out(self, proposal: Proposal, wanted: Sequence[Change], starts: bool, folder: Folder) -> Answer:
        former = self.site.proof() if proposal.prove and self.order.keep_unproven and wanted else None
        manifest = self.manifest = self._create(folder, proposal)
        self.answer.run = manifest.run
        self.checkpoint("created")
        try:
            for change in wanted:
                self._change(manifest, change)
            self._reload()
            proof = self._prove(proposal, bool(wanted))
            manifest.save(proof=proof)
            self.checkpoint("proved")
            self._judge(proof, former, bool(wanted))
            manifest.save(state="changed", restart="ordered" if starts and proof["passed"] is not False else None)
            self.checkpoint("changed")
            self._restart(starts and proof["passed"] is not False)
        except (Failed, ChangeError, ControlError, StateError, InputError, Unavailable, OSError) as exc:
            return self._take_back(manifest, _sentence(exc))
        except Exception as exc:  # a mistake of ours must not leave a change behind that nobody has proved
            return self._take_back(manifest, f"internal error: {place(exc)}")
        self.checkpoint("restarted")
        self.answer.changes = [_shown_record(record) for record in manifest.changes]
        manifest.close()
        return self.answer

    def _create(self, folder: Folder, proposal: Proposal) -> Manifest:
        from .lock import boot_id

        values = {
            "session": self.order.session,
            "backend": {"name": self.site.backend.name, "runtime": self.site.backend.runtime},
            "fix": self.order.fix,
            "cause": self.order.cause,
            "subject": self.order.subject,
            "started": self.began,
            "boot_id": boot_id(),
            "decision": proposal.decision,
            "service_before": self.answer.service_before,
            "restart": None,
        }
        return manifests.create(folder, run_id(), values)

    def _change(self, manifest: Manifest, change: Change) -> None:
        """Plan one change, make it, and say so, each synced."""
        if change.kind not in ON_DISK:
            # It may start something, which has to see the new files.
            self._reload()
        worker = kind(change.kind)
        record: Record = {
            "number": len(manifest.changes) + 1,
            "kind": change.kind,
            "path": change.path,
            "why": change.why,
            "secret": change.secret,
            "state": "planned",
        }
        means = Means(self.site.ctx, self.site.control, manifest.keep(record))
        record["before"] = worker.before(change, means)
        record["after"] = worker.after(change, record["before"], means)
        follows = any(_touches(str(earlier["kind"]), str(earlier["path"]), change.path) for earlier in manifest.changes)
        if not follows and _is_so(record["before"], record["after"]):
            return
        manifest.plan(record)
        self.checkpoint(f"planned {record['number']}")
        worker.apply(change, record, means)
        self.checkpoint(f"applied {record['number']}")
        record["state"] = "done"
        manifest.save()
        self._pending.append(record)
        self.checkpoint(f"done {record['number']}")

    def _reload(self) -> None:
        if needs_reload(self.site.control.runtime, self._pending):
            self.site.control.reload()
            self.checkpoint("reloaded")
        self._pending = []

    def _prove(self, proposal: Proposal, changed: bool) -> Proof:
        if not proposal.prove:
            return no_proof("this fix needs no import test")
        if changed:
            self.site.resolve()
        return self.site.proof()

    def _judge(self, proof: Proof, former: Optional[Proof], changed: bool) -> None:
        """Go on, or raise what makes the run be taken back."""
        self.answer.proof = proof
        if proof["passed"] is not False:
            if proof["passed"] is None:
                self.answer.notes.append(f"The import test gave no proof: {proof['why']}.")
            return
        failing = f"the import test still fails ({proof['why']})"
        if not changed:
            raise Failed(f"{self.site.backend.name} was not restarted, because {failing}.")
        if not self.order.keep_unproven:
            raise Failed(f"The changes were taken back, because {failing}.")
        if former is not None and same_failure(former, proof):
            raise Failed(f"The changes were taken back, because they did not help: {failing}, as before.")
        self.answer.notes.append(
            f"The import test fails for another reason now: {proof['why']}. The changes were kept, and nothing was restarted."
        )

    def _restart(self, starts: bool) -> None:
        control = self.site.control
        if starts:
            if self.before.state in UP:
                control.restart()
            else:
                control.start()
            self.answer.restarted = True
        elif self.before.state in UP and control.state().state not in UP:
            # A change stopped it, and it ran before.
            control.start()

    def _take_back(self, manifest: Manifest, why: str) -> Answer:
        """Undo what was done, at once, and tell the truth about it."""
        answer = self.answer
        answer.reason = why
        nothing = not manifest.changes
        # A step that used up the time must not keep us from putting things back.
        self.site.ctx.deadline = max(self.site.ctx.deadline, time.monotonic() + UNDO_S)
        undone = roll_back(manifest, self.site.control, self.site.ctx, checkpoint=self.checkpoint)
        self._tell(undone)
        answer.restarted = False
        answer.changes = [_shown_record(record) for record in manifest.changes]
        answer.changed = bool(undone.refused or undone.kept)
        outcome = undone.outcome if undone.refused else "failed" if nothing else "undone"
        try:
            return self._finish(outcome)
        except StateError as exc:
            answer.notes.append(
                f"The end of run {manifest.run} could not be recorded ({exc}); the next session looks at it again."
            )
            return answer

    def _tell(self, undone: Undone) -> None:
        answer = self.answer
        answer.refused_paths = undone.refused
        answer.notes += [f"{entry['path']} was not put back: {entry['why']}." for entry in undone.refused]
        answer.notes += [f"Not taken back: {entry}." for entry in undone.kept]
        answer.notes += [undone.problem] if undone.problem else []

    def _refuse(self, sentence: str, commands: Sequence[str]) -> Answer:
        self.answer.refused = sentence
        self.answer.commands = list(commands)
        return self._finish("refused")

    def _finish(self, outcome: str) -> Answer:
        """An end that needs no verification: it goes to the history at once."""
        self.answer.outcome = outcome
        if self.folder is None:
            return self.answer
        self.answer.run = self.answer.run or run_id()
        touched = self.manifest is not None and bool(self.manifest.changes)
        if self.manifest is not None:
            self.manifest.end(outcome)
            self.manifest.close()
        append_row(self.folder, row_of(self.answer.run, self.order, self.began, outcome, touched))
        self.checkpoint("ended")
        return self.answer


def row_of(run: str, order: Order, began: str, outcome: str, changed: bool) -> dict[str, Any]:
    """A row of the history for a run."""
    return _row(run, order.session, order.fix, order.cause, order.subject, began, outcome, changed)


def row_of_manifest(data: Mapping[str, Any], outcome: str) -> dict[str, Any]:
    """A row of the history for a run that has a manifest."""
    run, session, fix, cause, subject, began = (
        str(data.get(name) or "") for name in ("run", "session", "fix", "cause", "subject", "started")
    )
    touched = any(record["state"] != "planned" for record in data["changes"]) or bool(data.get("restart"))
    return _row(run, session, fix, cause, subject, began, outcome, touched)


def _row(
    run: str, session: str, fix: str, cause: str, subject: str, began: str, outcome: str, changed: bool
) -> dict[str, Any]:
    return {
        "run": run,
        "session": session,
        "fix": fix,
        "cause": cause,
        "subject": subject,
        "started": began,
        "ended": stamp(time.time()),
        "outcome": outcome,
        "changed": changed,
    }


def _is_so(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    return bool(after) and all(before.get(name) == value for name, value in after.items())


def _touches(kind_name: str, earlier: str, later: str) -> bool:
    """Whether what an earlier change does to one path can decide what is found at another: the same one, or above or below it."""
    if earlier == later:
        return True
    # Another owner or mode of a directory makes nothing below it appear or go.
    return kind_name != "attributes" and (later.startswith(earlier + "/") or earlier.startswith(later + "/"))


def _shown(change: Change, state: str) -> dict[str, Any]:
    return {"kind": change.kind, "path": change.path, "why": change.why, "state": state}


def _shown_record(record: Record) -> dict[str, Any]:
    return {name: record[name] for name in ("kind", "path", "why", "state")}


def _sentence(exc: Exception) -> str:
    if isinstance(exc, Failed):
        return str(exc)
    text = f"{exc.filename}: {exc.strerror}" if isinstance(exc, OSError) else str(exc)
    return f"The changes were taken back, because one step failed: {text.rstrip('.')}."
