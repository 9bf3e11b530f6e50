# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of one fix, from the results of its steps, and the few lines that tell it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from .._bundle import text

# Outcomes that end a fix by hand well. `preview` is one of check mode, `unverified` one that a dispatcher has yet to judge.
GOOD = frozenset({"healed", "not_needed", "preview", "unverified", "progress"})
_WORDS = {
    "healed": "healed",
    "progress": "progress: its cause is gone, and another one shows",
    "unverified": "changed, and not healthy yet",
    "preview": "preview: nothing was changed",
    "not_needed": "not needed: nothing was changed",
    "refused": "refused: nothing was changed",
    "rolled_back": "rolled back",
    "rollback_refused": "rolled back in part",
    "failed": "failed",
}
_GUTTER = 12
_LOST = (
    "The connection was lost while the fix was applied. What it had changed by then is in its manifest on the host, and the next run "
    "finishes it or takes it back before it does anything else: run the same command again when the host answers."
)


def repair_answer(results: Mapping[str, Any]) -> dict[str, Any]:
    """Judge one fix.

    :param results: ``host``, ``service``, ``fix``, ``cause``, ``subject``, ``options``, ``check`` (check mode), ``dispatched`` (a dispatcher judges),
        ``keep`` (leave it when it isn't healthy), ``error`` (a sentence when a step failed), and the results of the steps: ``begin``,
        ``change``, ``verify`` and ``rollback``, each empty when it was not reached.
    :returns: ``outcome`` with ``reason``, ``run``, ``decision``, ``proof``, ``changes``, ``timeline``, ``waited``, ``commands``, ``notes``, ``failed``,
        ``lost`` (the connection was cut, and the module may still be at work on the host) and ``lines``.
    """
    change, verify, rollback = (_part(results, name) for name in ("change", "verify", "rollback"))
    outcome, reason = _outcome(results)
    answer: dict[str, Any] = {
        "fix": results.get("fix"),
        "cause": results.get("cause") or None,
        "subject": results.get("subject") or "",
        "options": _part(results, "options"),
        "run": change.get("run"),
        "outcome": outcome,
        "reason": reason,
        "decision": text.one_line(change.get("decision") or ""),
        "proof": change.get("proof"),
        "changes": change.get("changes") or [],
        "timeline": verify.get("timeline") or [],
        "waited": verify.get("waited"),
        "restarted": bool(change.get("restarted")),
        "commands": change.get("commands") or [],
        "notes": _notes(change, rollback, verify, outcome),
        "refused_paths": rollback.get("refused_paths") or change.get("refused_paths") or [],
        "changed": bool(change.get("changed")),
        "lost": any(_part(results, name).get("unreachable") for name in ("change", "verify", "rollback")),
        "failed": outcome not in GOOD,
    }  # fmt: skip
    answer["lines"] = lines(answer, str(results.get("host") or ""), str(results.get("service") or ""))
    return answer


def _notes(
    change: Mapping[str, Any], rollback: Mapping[str, Any], verify: Mapping[str, Any], outcome: str
) -> list[str]:
    """What the steps had to say beside their results; what to do about a backend that isn't ready when it stays so."""
    found = [*(change.get("notes") or []), *(rollback.get("notes") or [])]
    if outcome in ("rolled_back", "rollback_refused", "unverified") and verify.get("next_step"):
        found.append(verify["next_step"])
    return [text.one_line(note) for note in found]


def _outcome(results: Mapping[str, Any]) -> tuple[str, str]:
    """The outcome and the sentence that gives its reason."""
    begin, change, verify, rollback = (_part(results, name) for name in ("begin", "change", "verify", "rollback"))
    if any(step.get("unreachable") for step in (begin, change, verify, rollback)):
        return "failed", _LOST
    if begin.get("held_by"):
        return "refused", held(begin["held_by"])
    if begin.get("failed"):
        return "failed", said(begin)
    own = change.get("outcome")
    if change.get("refused") or own == "refused":
        return "refused", text.one_line(change.get("refused") or "")
    if own in ("undone", "rolled_back", "rollback_refused"):
        return ("rollback_refused" if own == "rollback_refused" else "rolled_back"), _unproved(change)
    if own == "not_needed":
        return "not_needed", ""
    if own == "failed" or (change.get("failed") and not rollback):
        return "failed", said(change)
    if rollback:
        return _taken_back(rollback, results)
    if results.get("error") and not results.get("keep"):
        return "failed", text.one_line(results["error"])
    if not change:
        return "failed", text.one_line(results.get("error") or "The fix gave no answer.")
    if results.get("check"):
        return ("preview" if change.get("changed") else "not_needed"), ""
    if own == "progress" or _part(change, "proof").get("passed") is False:
        return "progress", _unproved(change)
    if verify.get("ready"):
        return "healed", text.one_line(verify.get("reason") or "")
    return "unverified", text.one_line(verify.get("reason") or results.get("error") or "It wasn't looked at.")


def _taken_back(rollback: Mapping[str, Any], results: Mapping[str, Any]) -> tuple[str, str]:
    why = text.one_line(_part(results, "verify").get("reason") or results.get("error") or "it did not help")
    outcome = rolled_back(rollback)
    if outcome == "rolled_back":
        return outcome, why
    left = refused(rollback)
    rest = f"Left alone: {left}." if left else f"Taking it back failed: {said(rollback)}"
    return outcome, f"{why.rstrip('.')}. {rest}"


def rolled_back(result: Mapping[str, Any]) -> str:
    """The outcome of a run that ``backend_rollback`` was asked to take back."""
    done = (
        result.get("outcome") in ("rolled_back", "undone", None)
        and not result.get("failed")
        and not result.get("unreachable")
    )
    return "rolled_back" if done else "rollback_refused"


def refused(result: Mapping[str, Any]) -> str:
    """What a rollback left alone and why, in one line."""
    told = []
    for one in result.get("refused_paths") or []:
        found = one if isinstance(one, Mapping) else {"path": one}
        why = f" ({text.one_line(found['why']).rstrip('.')})" if found.get("why") else ""
        told.append(text.one_line(found.get("path") or "") + why)
    return ", ".join(told)


def _unproved(change: Mapping[str, Any]) -> str:
    """Why the import test did not pass."""
    exception = _part(_part(change, "proof"), "exception")
    if not exception:
        return text.one_line(
            change.get("reason") or change.get("msg") or "The import test did not pass after the change."
        )
    words = ": ".join(
        filter(None, (text.one_line(exception.get("type") or ""), text.one_line(exception.get("message") or "")))
    )
    return f"The import test still fails after the change: {text.cut(words, 300)}"


def held(by: Any) -> str:
    """Who else is at work on the backend, in a sentence."""
    if not isinstance(by, Mapping):
        return f"Another run holds the lock of this backend: {text.one_line(by)}. Wait until it is done, and run this again."
    controller = _part(by, "controller")
    where = f" from {text.one_line(controller['host'])}" if controller.get("host") else ""
    process = f" (process {text.one_line(controller['pid'])})" if controller.get("pid") else ""
    since = f" since {text.one_line(by['since'])}" if by.get("since") else ""
    until = f"; its lease ends at {text.one_line(by['lease_until'])}" if by.get("lease_until") else ""
    return f"Another run{where}{process} is at work on this backend{since}{until}. Wait until it is done, and run this again."


def said(result: Mapping[str, Any]) -> str:
    """What a failed task said, in one line."""
    words = text.one_line(
        result.get("msg") or result.get("reason") or result.get("module_stderr") or "it gave no reason"
    )
    return text.cut(re.sub(r"^(?:(?:Task|Action|Module) failed: )+", "", words), 500)


def lines(answer: Mapping[str, Any], host: str, service: str) -> list[str]:
    """Decision, changes, proof and outcome for a terminal."""
    about = f" ({answer['cause']})" if answer.get("cause") else ""
    shown = [f"{host} / {service}: fix {answer['fix']}{about}"]
    shown += _field("decision", answer["decision"])
    for number, change in enumerate(answer["changes"], 1):
        if isinstance(change, Mapping):
            state = f" [{text.one_line(change['state'])}]" if change.get("state") not in (None, "done") else ""
            shown += _field(
                f"change {number}",
                f"{text.one_line(change.get('kind'))} {text.one_line(change.get('path'))}: {text.one_line(change.get('why'))}{state}",
            )
    proof = _part(answer, "proof")
    if proof.get("passed") is True:
        shown += _field("proof", f"the import test passes{_statement(proof)}")
    elif proof.get("passed") is False:
        shown += _field("proof", f"the import test fails{_statement(proof)}")
    waited = (
        f" after {text.duration(round(answer['waited'], 1))}"
        if answer.get("waited") and answer["outcome"] == "healed"
        else ""
    )
    outcome = _WORDS.get(answer["outcome"], answer["outcome"]) + waited
    shown += _field("outcome", f"{outcome}. {answer['reason']}" if answer["reason"] else outcome)
    for note in answer["notes"]:
        shown += _field("note", text.one_line(note))
    for at, command in enumerate(answer["commands"] if answer["outcome"] not in ("healed", "not_needed") else []):
        first, *more = text.wrap_command(command, " " * _GUTTER)
        shown += [f"{'next' if not at else '':<{_GUTTER}}{first.strip()}", *more]
    if answer["run"] and answer["outcome"] in ("healed", "progress", "unverified"):
        command = rollback_command(host, service, str(answer["run"]))
        first, *more = text.wrap_command(command, " " * _GUTTER)
        shown += [f"{'take back':<{_GUTTER}}{first.strip()}", *more]
    return [line.rstrip() for line in shown]


def rollback_command(host: str, service: str, run: str) -> str:
    """What to type to take a run back."""
    return shlex.join(
        ["ansible-playbook", "playbooks/rollback-backend-fix.yml", *(["--limit", host] if host else []),
         "-e", f"backend_service={service}", "-e", f"rollback_run={run}"]
    )  # fmt: skip


def _statement(proof: Mapping[str, Any]) -> str:
    return f" ({text.one_line(proof['statement'])})" if proof.get("statement") else ""


def _field(name: str, value: str) -> list[str]:
    wrapped = text.wrap(value, " " * _GUTTER)
    return [f"{name:<{_GUTTER}}{wrapped[0][_GUTTER:]}", *wrapped[1:]] if wrapped else []


def _part(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    return found if isinstance(found, Mapping) else {}
