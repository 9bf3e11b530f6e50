# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hostile backends came to: on the hosts, on the controller, in the bundles and on the console."""

from __future__ import annotations

import html.parser
import json
import re
from pathlib import Path

import pytest
from firstaid_zoo import hostile
from firstaid_zoo.catalogue import HOSTILE, load

FAULTS = load(folder=HOSTILE)
RESULTS = {one["name"]: one for one in json.loads(hostile.RESULTS.read_text())}
# What a terminal acts on, or what turns text around; a newline and a tab are harmless.
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
SECRETS = sorted({canary for fault in FAULTS for canary in fault.canaries})
every = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)


def _written(fault):
    output = hostile.output_of(fault)
    return [path for path in sorted(output.rglob("*")) if path.is_file()]


def _here(host, fault):
    if host.backend.get_hostname() != RESULTS[fault.name]["host"]:
        pytest.skip("lives on another host")


@every
def test_within_its_budget_with_the_right_answer_and_nothing_changed(fault):
    result = RESULTS[fault.name]
    assert (result["complaints"], result["changes"]) == ([], [])
    assert 0 < result["module_s"] <= hostile.MODULE_LIMIT_S


@every
def test_the_answer_is_a_sentence(fault):
    summary = next(hostile.bundle_of(fault).rglob("00-SUMMARY.txt")).read_text()
    assert "CAUSE" in summary and "NEXT" in summary
    assert len(summary.splitlines()) <= 40
    assert "Traceback (most recent call last)" not in (hostile.output_of(fault) / "console").read_text(errors="strict")


@every
def test_no_secret_is_in_any_output(fault):
    assert [
        (path.name, word) for path in _written(fault) for word in SECRETS if word.encode() in path.read_bytes()
    ] == []


@every
def test_no_control_character_reaches_a_terminal(fault):
    shown = [path for path in _written(fault) if path.suffix in (".txt", ".md", ".html") or path.name == "console"]
    assert len(shown) > 10
    assert [
        (path.name, repr(found[0])) for path in shown if (found := CONTROLS.search(path.read_text(errors="strict")))
    ] == []


@every
def test_json_is_ascii_safe_for_terminals_too(fault):
    for path in hostile.bundle_of(fault).rglob("*.json"):
        json.loads(path.read_text())
        assert not CONTROLS.search(path.read_text()), path.name


@every
def test_nothing_was_templated(fault):
    # 7191 * 7193, of {{ 7191 * 7193 }} in logs, exceptions and file names.
    assert [path.name for path in _written(fault) if b"51724863" in path.read_bytes()] == []


class _Tags(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen = set()

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.seen |= {name for name, _value in attrs if name.startswith("on")}


@every
def test_markup_is_text_in_the_report(fault):
    page = (hostile.bundle_of(fault) / "report.html").read_text()
    tags = _Tags()
    tags.feed(page)
    assert not tags.seen & {"script", "img", "iframe", "onerror", "onclick", "onload"}
    assert "Content-Security-Policy" in page or "<script" not in page


def test_the_hostile_text_came_through_as_text():
    (fault,) = load(["hostile-text"], HOSTILE)
    page = (hostile.bundle_of(fault) / "report.html").read_text()
    evidence = next(hostile.bundle_of(fault).rglob("evidence.json")).read_text()
    assert "&lt;script&gt;" in page
    assert "{{ 7191 * 7193 }}" in evidence


@pytest.mark.parametrize("place", ["/tmp/firstaid-templated", "/tmp/firstaid-shell"])
def test_nothing_was_run_on_the_controller(place):
    assert not Path(place).exists()


def test_nothing_was_run_or_written_on_the_hosts(host):
    found = host.check_output(
        "find / -xdev '(' -name 'ESCAPED*' -o -name 'FILLED-*' -o -name 'firstaid-templated' -o -name 'firstaid-shell' ')' -print; "
        "find /tmp /var/tmp /dev/shm /run/lock -type f -print"
    )
    assert found == ""


def test_no_process_outlives_the_test(host):
    users = {user for fault in FAULTS for user in fault.users}
    own = [line.split() for line in host.check_output("ps -eo user:32,comm --no-headers").splitlines()]
    # The helpers that the cases themselves run stay.
    assert [words for words in own if words[0] in users and words[1] not in ("sleep", "python3")] == []
    assert sum(words[0] in users for words in own) <= 1
    assert not [words for words in own if words[1].startswith("firstaid")]
    assert not host.socket("tcp://0.0.0.0:8599").is_listening


def test_the_service_beside_was_left_alone(host):
    (fault,) = load(["hostile-escape"], HOSTILE)
    _here(host, fault)
    assert host.service("escaper-victim").is_running
    assert host.check_output("systemctl show -P NRestarts escaper-victim") == "0"


def test_no_unit_and_no_mount_stays(host):
    assert (
        host.check_output(
            "systemctl list-units --all --plain --no-legend 'run-*' 'firstaid*' | grep -v '^run-.*\\.mount' || true"
        )
        == ""
    )
    assert "overlay" not in host.check_output("awk '$2 != \"/\" {print $3}' /proc/mounts")


@pytest.mark.parametrize("name", ["hostile-fake-result", "hostile-fake-name"])
def test_a_forged_result_is_noticed_and_said(name):
    (fault,) = load([name], HOSTILE)
    assert RESULTS[name]["import_test"].split("/")[0] in ("tampered", "crashed")
    assert RESULTS[name]["tampered"]
    collected = next(hostile.bundle_of(fault).rglob("16-collection.txt")).read_text()
    assert "channel for results" in " ".join(collected.split()) or "in the test's name" in " ".join(collected.split())


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("hostile-memory", ("killed/memory", "killed/processes", "killed", "timeout/time")),
        ("hostile-output", ("timeout/time", "killed/memory")),
        ("hostile-stubborn", ("timeout/time",)),
    ],
)
def test_limits_end_what_does_not_end(name, ends):
    assert RESULTS[name]["import_test"] in ends


def test_what_was_not_followed_is_said():
    (fault,) = load(["hostile-links"], HOSTILE)
    evidence = hostile.evidence_of(fault, hostile.bundle_of(fault))
    assert "not followed" in str(evidence["collectors"]["logs"]["error"])
    # On a host that is too busy it may not have come to this.
    assert "unavailable" in evidence["environment"] or "not followed" in json.dumps(evidence["environment"])


def test_a_repair_wrote_through_no_link_and_said_why():
    assert RESULTS["hostile-keeper"]["repair"]


def test_what_is_behind_the_links_is_as_it_was(host):
    (fault,) = load(["hostile-keeper"], HOSTILE)
    _here(host, fault)
    assert host.file("/srv/keep/root.env").content_string == fault.files["/srv/keep/root.env"]["text"]
    assert host.file("/srv/keep/cache/main.cpython-39.pyc").content_string == "kept"
    assert host.file("/opt/keeper/.env").linked_to == "/srv/keep/root.env"
