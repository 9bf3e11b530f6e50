# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.firstaid.backend.plugins.filter.remediation_plan import remediation_plan
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.catalogue import load_catalogue
from ansible_collections.firstaid.backend.plugins.plugin_utils._plan.plan import Limits, plan

CATALOGUE = load_catalogue()


def diagnosis(**parts: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "schema": 1,
        "state": "crash_loop",
        "root_cause": {"id": "symlink_conflict", "title": "A link", "confidence": 0.95, "attested": True, "subject": {"link": "/srv/a/b"}},
        "candidates": [{"id": "symlink_conflict", "confidence": 0.95, "subject": {}}],
        "contributing": [],
        "remediation": {
            "role": "firstaid.backend.fix_symlink", "vars": {"symlink_path": "/srv/a/b", "symlink_action": "auto"},
            "automatic": True, "why_not_automatic": None, "obstacle": None, "margin": 0.6, "command": "ansible-playbook x",
        },
    }  # fmt: skip
    return {**found, **parts}


def obstacle(name: str, sentence: str, **more: Any) -> dict[str, Any]:
    return {**diagnosis()["remediation"], "automatic": False, "obstacle": name, "why_not_automatic": sentence, **more}


def made(**limits: Any) -> dict[str, Any]:
    return plan(diagnosis(), CATALOGUE, Limits(**limits))


def tried(outcome: str, **more: Any) -> dict[str, Any]:
    options = {"path": "/srv/a/b", "action": "auto"}
    return {
        "fix": "symlink",
        "cause": "symlink_conflict",
        "subject": "/srv/a/b",
        "options": options,
        "outcome": outcome,
        **more,
    }


def test_a_sure_and_attested_cause_is_repaired() -> None:
    found = made()
    assert found["verdict"] is None
    first = found["steps"][0]
    assert first["automatic"] and first["why_not_automatic"] is None
    assert (first["role"], first["fix"], first["subject"]) == ("firstaid.backend.fix_symlink", "symlink", "/srv/a/b")
    assert first["options"] == {"path": "/srv/a/b", "action": "auto"}


def test_a_healthy_backend_has_no_plan() -> None:
    assert plan(diagnosis(state="healthy"), CATALOGUE, Limits())["verdict"] == "nothing_to_do"


def test_without_auto_fix_only_the_plan_is_given() -> None:
    found = made(auto_fix=False)
    assert found["verdict"] == "planned" and found["steps"][0]["automatic"]


@pytest.mark.parametrize("name", ["no_role", "decision", "not_built", "condition", "not_attested"])
def test_what_the_catalogue_forbids_no_gate_of_the_user_allows(name: str) -> None:
    sick = diagnosis(remediation=obstacle(name, "Because."))
    found = plan(sick, CATALOGUE, Limits(min_confidence=0, min_margin=0))
    assert (found["verdict"], found["reason"]) == ("handed_over", "Because.")


@pytest.mark.parametrize(("limits", "word"), [({"min_confidence": 0.96}, "0.96"), ({"min_margin": 0.7}, "0.70")])
def test_the_gates_of_the_user_count(limits: dict[str, float], word: str) -> None:
    found = made(**limits)
    assert found["verdict"] == "handed_over" and word in found["reason"]


def test_a_gate_can_be_lowered() -> None:
    unsure = diagnosis(remediation=obstacle("confidence", "The confidence is 0.75."))
    unsure["root_cause"]["confidence"] = 0.75
    assert plan(unsure, CATALOGUE, Limits())["verdict"] == "handed_over"
    assert plan(unsure, CATALOGUE, Limits(min_confidence=0.7))["verdict"] is None


def test_a_schedule_repairs_only_what_is_listed() -> None:
    assert made(auto_causes=["port_in_use"])["verdict"] == "handed_over"
    assert made(auto_causes=["symlink_conflict"])["verdict"] is None


def test_an_open_breaker_stops_every_fix() -> None:
    found = made(breaker={"open": True, "why": "4 repairs within an hour", "causes": {}})
    assert found["verdict"] == "handed_over" and "4 repairs within an hour" in found["reason"]


def test_a_breaker_for_one_fix_stops_only_that_one() -> None:
    assert (
        made(breaker={"open": False, "causes": {"symlink/symlink_conflict": "twice in vain"}})["verdict"]
        == "handed_over"
    )
    assert made(breaker={"open": False, "causes": {"port/port_in_use": "twice in vain"}})["verdict"] is None


@pytest.mark.parametrize("outcome", ["rolled_back", "refused", "failed"])
def test_what_did_not_help_is_not_done_again(outcome: str) -> None:
    found = made(tried=[tried(outcome)])
    assert found["verdict"] == "handed_over" and outcome.replace("_", " ") in found["reason"]


def test_the_same_fix_again_for_another_thing() -> None:
    assert made(tried=[tried("progress")])["verdict"] == "handed_over"
    assert (
        made(tried=[tried("progress", subject="/srv/a/c", options={"path": "/srv/a/c", "action": "auto"})])["verdict"]
        is None
    )


def test_a_value_given_beforehand_decides() -> None:
    remedy = obstacle(
        "decision", "Somebody has to know it.", role="firstaid.backend.fix_settings", vars={"settings_variables": "API_KEY"}
    )  # fmt: skip
    sick = diagnosis(remediation=remedy)
    assert plan(sick, CATALOGUE, Limits(decided={"settings": ["OTHER"]}))["verdict"] == "handed_over"
    assert plan(sick, CATALOGUE, Limits(decided={"settings": ["API_KEY"]}))["verdict"] is None
    # A field of a settings class is called without the prefix of its variable.
    assert plan(sick, CATALOGUE, Limits(decided={"settings": ["SHOP_API_KEY"]}))["verdict"] is None
    assert plan(sick, CATALOGUE, Limits(decided={"settings": ["SHOPAPI_KEY"]}))["verdict"] == "handed_over"
    sick["root_cause"]["attested"] = False
    assert plan(sick, CATALOGUE, Limits(decided={"settings": ["API_KEY"]}))["verdict"] == "handed_over"


def test_what_else_was_found_comes_later_and_never_by_itself() -> None:
    also = [{"id": "port_in_use", "subject": {"port": "8000"}}]
    steps = plan(diagnosis(contributing=also), CATALOGUE, Limits())["steps"]
    assert [step["cause"] for step in steps] == ["symlink_conflict", "port_in_use"]
    assert not steps[1]["automatic"] and steps[1]["options"] == {"number": "8000"}


@pytest.mark.parametrize(
    ("parts", "word"),
    [
        ({"state": "healthy"}, "healthy"),
        ({}, "same"),
        ({"root_cause": {"id": "port_in_use", "subject": {"port": "1"}}}, "other"),
        ({"root_cause": {"id": "symlink_conflict", "subject": {"link": "/srv/a/other"}}}, "other"),
    ],
)
def test_a_further_look_judges_the_last_fix(parts: dict[str, Any], word: str) -> None:
    assert plan(diagnosis(**parts), CATALOGUE, Limits(tried=[tried("unverified")]))["last"] == word


def test_a_wrong_gate_is_named() -> None:
    with pytest.raises(Exception, match="min_margin is 25"):
        remediation_plan(diagnosis(), min_margin=25)


def test_the_filter_takes_what_a_play_gives() -> None:
    assert remediation_plan(diagnosis(), min_confidence=None, auto_causes=[], breaker=None, tried=[])["verdict"] is None


def test_a_cause_that_is_none_is_named_with_near_ones() -> None:
    with pytest.raises(AnsibleFilterError, match="'settings_invald', which is no cause: did you mean settings_invalid"):
        remediation_plan({}, auto_causes=["port_in_use", "settings_invald"])
    with pytest.raises(AnsibleFilterError, match=r"docs/catalogue\.md"):
        remediation_plan({}, auto_causes=["xyzzy"])
