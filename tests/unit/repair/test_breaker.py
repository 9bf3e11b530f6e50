# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._repair.breaker import judge
from ansible_collections.firstaid.backend.plugins.module_utils._repair.store import stamp

NOW = 1_800_000_000.0


def row(outcome: str, minutes_ago: float, number: Any = None, **given: Any) -> dict[str, Any]:
    ended = stamp(NOW - minutes_ago * 60)
    values = {
        "run": str(number or f"{outcome}-{minutes_ago}"),
        "fix": "environment",
        "cause": "env_file_missing",
        "ended": ended,
        "changed": True,
    }
    return {**values, "outcome": outcome, **given}


def test_nothing_tried_nothing_open() -> None:
    assert judge([], NOW).as_dict() == {"open": False, "why": None, "causes": {}}


@pytest.mark.parametrize("bad", ["rolled_back", "undone", "failed", "rollback_refused"])
def test_two_tries_in_vain_open_it_for_that_fix_and_cause_only(bad: str) -> None:
    rows = [row(bad, 600), row(bad, 300)]
    found = judge(rows, NOW)
    assert not found.open and list(found.causes) == ["environment/env_file_missing"]
    assert (
        "did not help 2 times in the last 24 hours against env_file_missing"
        in found.causes["environment/env_file_missing"]
    )
    assert judge(rows, NOW, "environment", "env_file_missing").open
    assert not judge(rows, NOW, "environment", "other_cause").open
    assert not judge(rows, NOW, "symlink", "env_file_missing").open
    assert not judge(rows[:1], NOW).causes


@pytest.mark.parametrize("good", ["progress", "not_needed", "refused"])
def test_what_touched_nothing_or_got_on_does_not_count(good: str) -> None:
    assert not judge([row(good, 300), row("rolled_back", 200), row(good, 100)], NOW).causes


def test_a_healed_run_forgives_what_was_before_and_not_what_comes_after() -> None:
    before = [row("rolled_back", 500), row("rolled_back", 400), row("healed", 300)]
    assert not judge(before, NOW).causes
    assert not judge([*before, row("rolled_back", 200)], NOW).causes
    assert judge([*before, row("rolled_back", 200), row("undone", 100)], NOW).causes


def test_after_a_day_it_is_forgotten() -> None:
    assert not judge([row("rolled_back", 24 * 60 + 1), row("rolled_back", 5)], NOW).causes
    assert judge([row("rolled_back", 24 * 60 - 1), row("rolled_back", 5)], NOW).causes


def test_four_runs_that_changed_something_within_an_hour_open_it_for_all() -> None:
    rows = [row("healed", minutes, cause=f"c{minutes}") for minutes in (50, 40, 30, 20)]
    found = judge(rows, NOW)
    assert found.open and "4 repairs changed something" in str(found.why) and not found.causes
    assert not judge(rows[1:], NOW).open
    assert not judge([row("healed", 61, cause="c"), *rows[1:]], NOW).open
    assert not judge([*rows[1:], row("not_needed", 10, changed=False)], NOW).open


def test_of_one_run_the_last_outcome_counts_and_once() -> None:
    rows = [row("healed", 50, 1), row("rolled_back", 40, 1), row("rolled_back", 30, 2), row("rolled_back", 29, 2)]
    assert len(judge(rows, NOW).causes) == 1
    assert not judge(rows[:2], NOW).causes
    assert not judge([row("healed", 9, number % 2) for number in range(8)], NOW).open


def test_a_reset_forgets_what_was_before_even_when_it_is_ended_later() -> None:
    rows = [
        row("rolled_back", 50, 1),
        row("rolled_back", 40, 2),
        {"outcome": "reset", "run": "r", "ended": stamp(NOW - 60)},
    ]
    assert not judge(rows, NOW).causes
    assert not judge([*rows, row("rolled_back", 0, 2), row("rolled_back", 0, 3)], NOW).causes
    assert judge([*rows, row("rolled_back", 0, 3), row("rolled_back", 0, 4)], NOW).causes


def test_a_clock_that_was_set_back_and_a_damaged_time_count_as_recent() -> None:
    assert judge([row("rolled_back", -600), row("rolled_back", -500)], NOW).causes
    assert judge([row("rolled_back", 1, 1, ended="soon"), row("rolled_back", 1, 2, ended=None)], NOW).causes
