# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers by privilege, and what the guide's sudo rules let through, asked of sudo itself."""

from __future__ import annotations

import json

import pytest
from firstaid_zoo import least

RESULTS = json.loads(least.RESULTS.read_text())
LESS = [name for name in least.RANKS if name != "root"]


def test_no_answer_misleads_and_nothing_changed():
    assert (RESULTS["wrong"], RESULTS["changes"]) == ([], [])


def test_enough_faults_were_compared():
    assert all(len(answers) >= 6 for answers in RESULTS["found"].values())


def test_root_is_right_everywhere():
    assert RESULTS["right"]["root"] == len(RESULTS["found"]["root"])


@pytest.mark.parametrize(("name", "part"), [("service user and journal", 0.9), ("journal", 0.8), ("nothing", 0.4)])
def test_most_is_found_with_less(name, part):
    assert RESULTS["right"][name] >= part * len(RESULTS["found"][name])


@pytest.mark.parametrize("name", LESS)
def test_what_could_not_be_seen_is_said(name):
    assert all(answer["not_seen"] for answer in RESULTS["found"][name].values())


def test_the_service_user_runs_the_import_test_without_root():
    answers = RESULTS["found"]["service user and journal"].values()
    assert all(answer["euid"] != 0 for answer in answers)
    assert sum(answer["import_test"] not in (None, "could_not_run") for answer in answers) >= 5


def _sudo(host, login, *words):
    return host.run(f"runuser -u {login} -- sudo -n {' '.join(words)}")


def test_the_rule_for_root_takes_ansibles_command_only(host):
    assert (
        _sudo(host, "fa-root", "/bin/sh -c 'echo BECOME-SUCCESS-" + "a" * 32 + " ; /usr/bin/python3' </dev/null").rc
        == 0
    )
    for command in (
        "/bin/sh -c id",
        "/usr/bin/id",
        "/bin/sh",
        "/bin/sh -c 'echo BECOME-SUCCESS-" + "a" * 32 + " ; /usr/bin/python3 ; id'",
    ):
        assert _sudo(host, "fa-root", command).rc != 0, command


def test_the_rule_for_root_is_root_all_the_same(host):
    # As the guide says: what arrives on standard input is any program.
    command = "/bin/sh -c 'echo BECOME-SUCCESS-" + "a" * 32 + " ; /usr/bin/python3'"
    done = host.run(f"echo 'import os; print(os.geteuid())' | runuser -u fa-root -- sudo -n {command}")
    assert done.stdout.split()[-1] == "0"


def test_the_rule_for_service_users_is_not_root(host):
    assert _sudo(host, "fa-mate", "-u root /bin/sh -c id").rc != 0
    assert _sudo(host, "fa-mate", "/usr/bin/systemctl restart ssh").rc != 0
    done = _sudo(host, "fa-mate", "-u notes -g systemd-journal /bin/sh -c id")
    assert done.rc == 0 and "(notes)" in done.stdout and "(systemd-journal)" in done.stdout


def test_logins_without_a_rule_have_none(host):
    for login in ("fa-reader", "fa-nobody"):
        assert _sudo(host, login, "id").rc != 0


def test_repairs_without_root_are_refused_with_a_sentence_and_change_nothing():
    refused = RESULTS["repairs"]
    assert set(refused) == set(LESS)
    assert all(not answer["changed"] and answer["said"] for answer in refused.values()), refused


def test_repairs_work_with_the_rule_for_root():
    assert len(RESULTS["repaired"]) >= 3
    assert set(RESULTS["repaired"].values()) == {"healed"}
