# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.filter.repair_answer import repair_answer
from ansible_collections.firstaid.backend.plugins.filter.session_answer import session_answer

CHANGE: dict[str, Any] = {
    "changed": True, "outcome": None, "run": "R1", "decision": "The link is pointed at ../new.", "restarted": True,
    "changes": [{"kind": "link", "path": "/srv/a/b", "why": "the imports resolve through it", "state": "done"}],
    "proof": {"passed": True, "exception": None, "statement": "import main"}, "refused": None, "commands": [], "notes": [],
}  # fmt: skip
READY = {
    "ready": True,
    "reason": "It stayed up for 15 s.",
    "timeline": [{"t": 0.1, "state": "running"}],
    "waited": 15.2,
}
SICK = {"ready": False, "reason": "It was restarted twice.", "next_step": "Read its log.", "timeline": [], "waited": 9}


def judged(**results: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "host": "web1", "service": "web", "fix": "symlink", "cause": "", "subject": "", "options": {}, "check": False,
        "keep": False, "error": "", "begin": {"session": "S"}, "change": CHANGE, "verify": {}, "rollback": {},
    }  # fmt: skip
    return repair_answer({**given, **results})


def told(answer: dict[str, Any]) -> str:
    return " ".join(" ".join(answer["lines"]).split())


def test_a_change_that_verification_confirms_has_healed() -> None:
    answer = judged(verify=READY)
    assert (answer["outcome"], answer["failed"], answer["run"]) == ("healed", False, "R1")
    assert "the import test passes (import main)" in told(answer)
    assert "rollback_run=R1" in told(answer)


@pytest.mark.parametrize(
    ("results", "outcome", "failed"),
    [
        ({"change": {**CHANGE, "changed": False, "outcome": "not_needed"}}, "not_needed", False),
        ({"change": {**CHANGE, "changed": False, "outcome": "refused", "refused": "Two places fit."}}, "refused", True),
        ({"change": {**CHANGE, "outcome": "undone", "proof": {"passed": False, "exception": {"type": "KeyError", "message": "'b'"}}}}, "rolled_back", True),
        ({"change": {**CHANGE, "outcome": "failed"}}, "failed", True),
        ({"change": {"failed": True, "msg": "The fix has a defect."}}, "failed", True),
        ({"verify": SICK, "rollback": {"outcome": "rolled_back"}}, "rolled_back", True),
        ({"verify": SICK, "rollback": {"outcome": "rollback_refused", "refused_paths": [{"path": "/p", "why": "changed since"}]}}, "rollback_refused", True),
        ({"verify": SICK, "rollback": {"failed": True, "msg": "no space"}}, "rollback_refused", True),
        ({"verify": SICK, "keep": True}, "unverified", False),
        ({"change": {**CHANGE, "proof": {"passed": False, "exception": {"type": "KeyError"}}}, "keep": True}, "progress", False),
        ({"check": True}, "preview", False),
        ({"check": True, "change": {**CHANGE, "changed": False}}, "not_needed", False),
        ({"begin": {"session": None, "held_by": {"why": "held"}}, "change": {}}, "refused", True),
        ({"begin": {"failed": True, "msg": "There is no service web."}, "change": {}}, "failed", True),
        ({"change": {}, "error": "sudo: a password is required"}, "failed", True),
    ],
)  # fmt: skip
def test_outcomes(results: dict[str, Any], outcome: str, failed: bool) -> None:
    answer = judged(**results)
    assert (answer["outcome"], answer["failed"]) == (outcome, failed)


def test_a_cut_connection_is_told_with_what_follows() -> None:
    answer = judged(change={"unreachable": True, "msg": "Data could not be sent to the remote host."})
    assert answer["outcome"] == "failed" and answer["failed"]
    assert "connection was lost" in answer["reason"] and "run the same command again" in answer["reason"]


def test_a_refusal_gives_its_sentence_and_commands() -> None:
    change = {
        **CHANGE,
        "changed": False,
        "outcome": "refused",
        "refused": "Two places fit.",
        "commands": ["ls -ld /srv/*/b"],
    }
    answer = judged(change=change)
    assert answer["reason"] == "Two places fit." and "ls -ld /srv/*/b" in told(answer)


def test_who_holds_the_lock_is_told() -> None:
    held = {
        "controller": {"host": "ops1", "pid": 7},
        "since": "2026-11-22T10:00:00Z",
        "lease_until": "2026-11-22T10:30:00Z",
    }
    reason = judged(begin={"session": None, "held_by": held}, change={})["reason"]
    assert "ops1" in reason and "7" in reason and "2026-11-22T10:00:00Z" in reason


def test_what_kept_it_from_being_taken_back_is_named() -> None:
    refused = {
        "outcome": "rollback_refused",
        "refused_paths": [{"path": "/etc/web/env", "why": "somebody changed it since"}],
    }
    answer = judged(verify=SICK, rollback=refused)
    assert "/etc/web/env (somebody changed it since)" in answer["reason"]


def test_control_characters_never_reach_the_terminal() -> None:
    answer = judged(change={**CHANGE, "decision": "a\x1b[31mb\rc"}, verify=READY)
    assert all(not set("\x1b\r\n") & set(line) for line in answer["lines"])


DIAGNOSIS: dict[str, Any] = {
    "state": "crash_loop",
    "root_cause": {"id": "symlink_conflict", "title": "A link is broken", "subject": {"link": "/srv/a/b"}, "confidence": 0.9},
    "remediation": {},
}  # fmt: skip
STEP = {
    "role": "firstaid.backend.fix_symlink", "fix": "symlink", "cause": "symlink_conflict", "subject": "/srv/a/b", "automatic": True,
    "why_not_automatic": None, "command": "ansible-playbook playbooks/fix-backend-symlink.yml", "options": {}, "vars": {}, "title": "A link",
}  # fmt: skip


def done(outcome: str, **more: Any) -> dict[str, Any]:
    return {
        "fix": "symlink",
        "cause": "symlink_conflict",
        "run": "R1",
        "outcome": outcome,
        "reason": "Why.",
        "decision": "What.",
        **more,
    }


def session(**results: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "host": "web1", "service": "web", "runtime": "systemd", "session": "S", "begin": {"session": "S"}, "first": DIAGNOSIS,
        "last": DIAGNOSIS, "plan": {"verdict": None, "steps": [STEP], "reason": ""}, "rounds": [], "settled": [], "taken_back": [],
        "error": "", "check": False,
    }  # fmt: skip
    return session_answer({**given, **results})


HANDED = {
    "verdict": "handed_over",
    "steps": [{**STEP, "automatic": False, "why_not_automatic": "No."}],
    "reason": "No.",
}
WELL = {"verdict": "nothing_to_do", "steps": [], "reason": "The backend is healthy."}


@pytest.mark.parametrize(
    ("results", "verdict", "failed"),
    [
        ({"rounds": [done("healed")]}, "healed", False),
        ({"rounds": [done("progress", run="R0"), done("healed")]}, "healed", False),
        ({"rounds": [done("rolled_back")], "plan": HANDED}, "rolled_back", True),
        ({"rounds": [done("refused", run=None)], "plan": HANDED}, "handed_over", True),
        ({"rounds": [done("failed")]}, "handed_over", True),
        ({"plan": HANDED}, "handed_over", True),
        ({"plan": WELL}, "nothing_to_do", False),
        ({"plan": WELL, "settled": [{"run": "R0", "fix": "port", "outcome": "healed"}]}, "healed", False),
        ({"plan": {**HANDED, "verdict": "planned"}}, "planned", False),
        ({"check": True, "rounds": [done("preview", run=None)]}, "planned", False),
        ({"begin": {"session": None, "held_by": {"since": "now"}}}, "handed_over", True),
        ({"error": "The host went away."}, "handed_over", True),
        ({"rounds": [done("progress", run=f"R{n}") for n in range(4)], "taken_back": [{"run": f"R{n}", "outcome": "rolled_back"} for n in range(4)]},
         "rolled_back", True),
    ],
)  # fmt: skip
def test_verdicts(results: dict[str, Any], verdict: str, failed: bool) -> None:
    answer = session(**results)
    assert (answer["verdict"], answer["failed"]) == (verdict, failed)
    assert verdict.replace("_", " ").upper() in told(answer)


def test_runs_that_are_taken_back_at_the_end_get_their_outcome() -> None:
    rounds = [done("progress", run="R0"), done("progress", run="R1")]
    back = [
        {"item": "R1", "outcome": "rolled_back"},
        {"item": "R0", "outcome": "rollback_refused", "refused_paths": [{"path": "/p"}]},
    ]
    answer = session(rounds=rounds, taken_back=back, plan=HANDED)
    assert [one["outcome"] for one in answer["rounds"]] == ["rollback_refused", "rolled_back"]
    assert answer["rounds"][0]["refused_paths"] == [{"path": "/p"}]
    assert answer["runs"] == ["R0", "R1"]


def test_the_cause_behind_the_first_one_is_kept_for_whoever_goes_on() -> None:
    other = {
        "root_cause": {"id": "application_exception", "title": "The code raises", "explanation": "KeyError"},
        "remediation": {"handover": {"ask": "Who?"}},
    }
    answer = session(rounds=[done("progress")], last=other, plan=HANDED)
    assert answer["behind"]["id"] == "application_exception" and answer["behind"]["handover"]["ask"] == "Who?"
    assert session(rounds=[done("healed")])["behind"] is None


def test_a_preview_shows_each_step_of_the_plan() -> None:
    later = {**STEP, "automatic": False, "cause": "port_in_use", "subject": "8000", "why_not_automatic": "Later."}
    answer = session(plan={"verdict": "planned", "steps": [STEP, later], "reason": "Only the plan."})
    assert "plan 1" in told(answer) and "port_in_use (8000). Later." in told(answer)


def test_a_refusal_says_why_and_what_to_type() -> None:
    refused = done("refused", run=None, reason="Two places fit.", commands=["ls -ld /srv/*/b"])
    answer = session(rounds=[refused], plan={**HANDED, "reason": "It was tried in this run and ended refused."})
    assert answer["reason"] == "Two places fit." and answer["commands"] == ["ls -ld /srv/*/b"]


def test_where_no_fix_would_do_it_says_whom_to_ask() -> None:
    remedy = {
        "obstacle": "condition",
        "handover": {"ask": "Whoever runs it: should it?", "commands": ["ss -tln", "ps -p 7", "id"]},
    }
    answer = session(plan=HANDED, last={**DIAGNOSIS, "remediation": remedy})
    assert answer["ask"] == "Whoever runs it: should it?" and answer["commands"] == ["ss -tln", "ps -p 7"]
    assert "ask Whoever runs it: should it? next ss -tln ps -p 7" in told(answer)


def test_a_preview_fails_nobody() -> None:
    assert session(plan=HANDED)["failed"] and not session(plan=HANDED, preview=True)["failed"]
