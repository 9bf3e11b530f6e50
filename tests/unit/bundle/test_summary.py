# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One screen for a tired person, the reports, and what is said of hosts without a diagnosis."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.plugin_utils._bundle.bundle import last_words
from ansible_collections.firstaid.backend.plugins.plugin_utils._bundle.outcome import outcome
from ansible_collections.firstaid.backend.plugins.plugin_utils._bundle.report import html_report, markdown_report
from ansible_collections.firstaid.backend.plugins.plugin_utils._bundle.summary import console, summary
from ansible_collections.firstaid.backend.plugins.plugin_utils._bundle.verdict import Verdict, verdict

from . import samples

LONG = "a very long sentence that goes on and on " * 12


def judged(evidence: dict[str, Any] | None = None, diagnosis: dict[str, Any] | None = None) -> Verdict:
    return verdict(
        "web1",
        evidence or samples.evidence(),
        samples.diagnosis() if diagnosis is None else diagnosis,
        "web1/web.service",
    )


def test_the_summary_says_it_all() -> None:
    shown = summary(judged())
    for expected in (
        "web1 / web.service (systemd)", "2026-11-22T10:15:00Z", "CRASH LOOP: 14 restarts in 10 min, last exit code 1",
        "A symbolic link that the imports need leads nowhere [symlink_conflict]", "high (0.93), attested by the system itself",
        "/var/log/web/error.log:234", "  ModuleNotFoundError: No module named 'shared'", "dependency_missing (shared is no third-party package)",
        "The kernel log can't be read without root.", "kernel (failed): dmesg was refused",
        "ansible-playbook playbooks/fix-symlink.yml",
    ):  # fmt: skip
        assert expected in " ".join(shown.replace("\n", " ").split()) or expected in shown


def crowded() -> Verdict:
    root = samples.diagnosis()["root_cause"]
    proof = {"file": "/srv/" + "deep/" * 20 + "x.log", "line": 123456, "quote": LONG}
    root.update(explanation=LONG, subject=LONG, title=LONG, evidence=[proof] * 9, contradicting=[proof])
    many = [{"id": f"cause_{number}", "why": LONG} for number in range(20)]
    service = {"name": "x" * 200, "active_state": LONG, "restarts": 3}
    return judged(
        samples.evidence(service=service),
        samples.diagnosis(root_cause=root, contributing=many, symptoms=many, ruled_out=many, next_check={"text": LONG}),
    )


@pytest.mark.parametrize("one", [judged(), crowded()], ids=["usual", "crowded"])
def test_the_summary_fits_one_screen(one: Verdict) -> None:
    lines = summary(one).splitlines()
    assert len(lines) < 24 and max(map(len, lines)) <= 80
    assert any(line.startswith("NEXT") for line in lines)


def test_where_no_role_repairs_it_the_hand_over_is_the_next_step() -> None:
    remedy = {
        "role": None, "command": "systemctl cat web.service",
        "handover": {"ask": "Ask those who deploy web for the link.", "note": None, "commands": ["readlink -f /opt/web/shared", "ls /x", "ls /y"]},
    }  # fmt: skip
    shown = summary(judged(diagnosis=samples.diagnosis(remediation=remedy)))
    assert (
        "NEXT        readlink -f /opt/web/shared\n            ls /x\n            Ask those who deploy web for the link.\n"
        in shown
    )
    assert "ls /y" not in shown and "ansible-playbook" not in shown


def test_a_cause_without_any_advice_is_handed_over() -> None:
    assert "Hand over" in summary(judged(diagnosis=samples.diagnosis(remediation={})))


def test_unknown_comes_with_the_next_check() -> None:
    unknown = {
        "state": "crash_loop",
        "root_cause": {"id": "unknown", "confidence": 0.1},
        "next_check": "Look at the log of the proxy.",
    }
    one = judged(diagnosis=unknown)
    assert one.sick and "Look at the log of the proxy." in summary(one) and "very low (0.10)" in summary(one)


@pytest.mark.parametrize(
    "diagnosis", [{}, {"root_cause": None}, {"root_cause": {"evidence": "x"}, "ruled_out": [1, None]}]
)
def test_a_thin_diagnosis_still_makes_a_summary(diagnosis: dict[str, Any]) -> None:
    assert "[unknown]" in summary(judged(diagnosis=diagnosis))


def test_the_console_has_the_same_answer() -> None:
    lines = console(judged())
    assert lines[0].startswith("web1 / web.service (systemd): CRASH LOOP") and len(lines) <= 16
    assert any("symlink_conflict" in line for line in lines) and any("fix-symlink" in line for line in lines)


def test_reports_escape_what_strangers_wrote() -> None:
    root = samples.diagnosis()["root_cause"]
    root["evidence"] = [{"file": "/x.log", "line": 1, "quote": "<script>alert(1)</script> `|` [a](b) \x1b[31m"}]
    one = judged(diagnosis=samples.diagnosis(root_cause=root))
    page = html_report([one], {"web2": "web2: <img src=x onerror=1>"}, "now")
    assert "<script" not in page and "<img" not in page and "&lt;script&gt;" in page and "\x1b" not in page
    assert not re.search(r'(?:src|href)="(?!#|web1/)', page)
    text = markdown_report([one], {"web2": "web2: <b>"}, "now")
    assert "&lt;b&gt;" in text and "`` <script>alert(1)</script> `\\|` [a](b) ``" in text


def test_sick_backends_come_first() -> None:
    well = judged(diagnosis={"state": "healthy", "root_cause": {"id": "healthy", "title": "Nothing is wrong"}})
    text = markdown_report([well, judged()], {}, "now")
    assert text.index("crash_loop") < text.index("| healthy") and "1 of 2 backends sick, 1 host." in text


@pytest.mark.parametrize(
    ("gathered", "kind", "said"),
    [
        ({"unreachable": True, "msg": "Failed to connect: ssh: connect to host web1 port 22: Connection refused"}, "unreachable",
         ["web1 can't be reached", "Tried: ssh to 10.0.0.1", "Connection refused", "ansible.builtin.ping web1"]),
        ({"unreachable": True, "msg": "web@10.0.0.1: Permission denied (publickey)."}, "unreachable", ["ansible_user and its key"]),
        ({"msg": "Missing sudo password"}, "failed", ["--ask-become-pass", "backend_become=false"]),
        ({"msg": "MODULE FAILURE\nSee stdout/stderr for the exact error", "module_stderr": "x\n/bin/sh: 1: /usr/bin/python3: not found"}, "failed",
         ["/usr/bin/python3: not found", "ansible_python_interpreter"]),
        ({"failed": True, "msg": "Module result deserialization failed: No start of json char found",
          "module_stderr": "sudo: unknown user web\nsudo: error initializing audit plugin sudoers_audit\n"}, "failed",
         ["unknown user web", "check ansible_become_user"]),
        ({"failed": True, "msg": "There is no unit wbe.service.", "near_names": ["web.service"]}, "unknown_backend",
         ["backend web could not be diagnosed", "Names that are close: web.service"]),
        ({"backends": []}, "nothing_found", ["no service that looks like a Python backend has failed"]),
        ({"backends": [{"service": {"exists": False, "name": "wbe", "near_names": ["web"]}}]}, "unknown_backend", ["there is no backend wbe", "close: web"]),
        ({"backends": [samples.EVIDENCE]}, "unclassified", ["could not be classified (boom)", "evidence.json"]),
    ],
)  # fmt: skip
def test_hosts_without_a_diagnosis_get_a_sentence(gathered: dict[str, Any], kind: str, said: list[str]) -> None:
    found = outcome("web1", gathered, None, "web", "ssh to 10.0.0.1", "boom")
    assert found.kind == kind and found.diagnosed == (kind == "nothing_found")
    for part in said:
        assert part in found.problem


def test_a_diagnosed_host_has_no_problem() -> None:
    found = outcome("web1", {"backends": [samples.EVIDENCE]}, [samples.DIAGNOSIS], None, "ssh")
    assert found.diagnosed and not found.problem and len(found.documents) == 1


def test_the_explanation_ends_with_a_whole_sentence() -> None:
    root = samples.diagnosis()["root_cause"]
    root["explanation"] = "The first sentence says what is wrong. " + "And this one is about the weather. " * 20
    shown = summary(judged(diagnosis=samples.diagnosis(root_cause=root)))
    why = " ".join(shown.partition("WHY")[2].partition("EVIDENCE")[0].split())
    assert why.startswith("The first sentence") and why.endswith("weather.")


def test_facts_are_sentences_with_their_place_behind() -> None:
    said = "/opt/web/shared is a link to ../common/shared, which doesn't exist (/opt/common/shared)"
    root = samples.diagnosis()["root_cause"]
    root["evidence"] = [
        {"kind": "frame", "file": "/opt/web/main.py", "line": 3, "quote": "from shared import x", "attested": True},
        {"kind": "fact", "file": "symlinks.links[0]", "line": None, "quote": said, "attested": True},
    ]
    shown = summary(judged(diagnosis=samples.diagnosis(root_cause=root)))
    assert "EVIDENCE    /opt/web/main.py:3  from shared import x\n" in shown
    assert f"{said} [symlinks.links[0]]" in " ".join(shown.split())


def test_only_what_could_be_mistaken_for_it_is_named_as_ruled_out() -> None:
    out = [
        {"id": "clock_skew", "reason": "right", "alike": False},
        {"id": "dependency_missing", "reason": "x", "alike": True},
    ]
    shown = summary(judged(diagnosis=samples.diagnosis(ruled_out=out)))
    assert "dependency_missing (x)" in shown and "clock_skew" not in shown


def test_a_close_second_is_named() -> None:
    near = [
        {"id": "symlink_conflict", "confidence": 0.4},
        {"id": "dependency_missing", "title": "Not there", "confidence": 0.35},
    ]
    assert "OTHERWISE   Not there [dependency_missing] 0.35" in summary(
        judged(diagnosis=samples.diagnosis(candidates=near))
    )


def test_what_was_left_out_is_told_beside_the_diagnoses() -> None:
    note = "12 services are sick; only 10 are looked at (max_backends). Left out: a.service, b.service."
    found = outcome("web1", {"backends": [samples.EVIDENCE], "notes": [note]}, [{"state": "failed"}], None, "ssh")
    assert found.diagnosed and note in found.problem and last_words(found, "/tmp/x")[0] == f"web1: {note}"
