# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every exit status and signal with a meaning is explained, on the target and in the answer, and named alike by both."""

from __future__ import annotations

import signal

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import exit_status
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.catalogue import load_catalogue
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.classify import classify
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.exit_codes import (
    GENERAL,
    RETIRED,
    SIGNALS,
    SYSTEMD,
    explain_exit,
)

CATALOGUE = load_catalogue()
OF_SYSTEMD = [code for code in range(200, 244) if code not in RETIRED]


@pytest.mark.parametrize("code", OF_SYSTEMD)
def test_what_systemd_could_not_set_up_is_named_in_the_answer(code: int) -> None:
    name, meaning = SYSTEMD[code]
    service = {"active_state": "failed", "result": "exit-code", "exit": {"code": code, "status_text": f"{code}/{name}"}}
    diagnosis = classify({"schema": 1, "service": service}, CATALOGUE)
    assert diagnosis["exit"] == f"exit status {code}/{name}: {meaning}"
    assert diagnosis["root_cause"]["id"] not in ("healthy", "unknown", "silent_exit"), diagnosis["root_cause"]
    assert exit_status.explain(code, None)["status_text"] == f"{code}/{name}"


def test_both_tables_of_systemd_have_the_same_names() -> None:
    assert {code: name for code, (name, _meaning) in SYSTEMD.items()} == {
        code: name for code, (name, _meaning) in exit_status.SETUP_STEPS.items()
    }


@pytest.mark.parametrize("number", range(1, 32))
def test_signals_are_explained_however_they_are_given(number: int) -> None:
    name, meaning = SIGNALS[number]
    assert signal.Signals(number) == signal.Signals[name]
    said = f"signal {name}: {meaning}"
    assert [explain_exit(None, given) for given in (number, str(number), name, name.removeprefix("SIG"))] == [said] * 4
    assert explain_exit(128 + number, None) == f"exit status {128 + number}: ended by {said}"
    assert explain_exit(-number, None) == said
    assert exit_status.explain(None, number)["explained"]


@pytest.mark.parametrize("code", [0, *sorted(GENERAL)])
def test_codes_of_programs_are_explained(code: int) -> None:
    assert ": " in explain_exit(code, None)


@pytest.mark.parametrize(
    ("code", "name", "said"),
    [
        (None, None, ""),
        (None, 36, "signal SIGRTMIN+2: a real-time signal that the program doesn't handle"),
        (41, None, "exit status 41"),
        (128, None, "exit status 128"),
        (223, None, "exit status 223"),
        (1, "SIGKILL", "signal SIGKILL: killed without a chance"),
    ],
)
def test_what_has_no_meaning_gets_none(code: int | None, name: str | int | None, said: str) -> None:
    explained = explain_exit(code, name)
    assert explained == said or (said.endswith("a chance") and explained.startswith(said))
