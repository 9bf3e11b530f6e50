# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The numbered files: what each shows, gaps with their reason, hostile and misshapen evidence."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.firstaid.backend.plugins.plugin_utils._bundle.files import FILES, render
from ansible_collections.firstaid.backend.plugins.plugin_utils._bundle.outline import table

from . import samples


def text_of(number: str, evidence: dict[str, Any]) -> str:
    entry = next(entry for entry in FILES if entry.name.startswith(number))
    return render(entry, evidence, "web1 / web.service (systemd)")


def test_the_names_that_users_know() -> None:
    assert [entry.name for entry in FILES] == [
        "01-service-status.txt", "02-service-config.txt", "03-port-status.txt", "04-backend-log.txt", "05-error-log.txt",
        "06-journal.txt", "07-restart-history.txt", "08-environment.txt", "09-import-test.txt", "10-memory-processes.txt",
        "11-foreground-test.txt", "12-symlinks.txt", "13-python-path.txt", "14-packages.txt", "15-backing-services.txt",
        "16-collection.txt",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("01", "active state"),
        ("02", "| ExecStart=/opt/web/.venv/bin/uvicorn main:app"),
        ("03", "Connection refused"),
        ("04", "no log file but those in 05-error-log.txt"),
        ("05", "    234 | ModuleNotFoundError: No module named 'shared'"),
        ("06", "start 1 of 1: started 2026-11-22T10:14:50Z, pid 4711"),
        ("07", "Main process exited, code=exited, status=1/FAILURE"),
        ("09", "outcome: exception"),
        ("09", "    from shared.settings import Settings"),
        ("10", "Not gathered: dmesg was refused"),
        ("11", "Not run: it was not asked for"),
        ("12", "/opt/web/shared"),
        ("14", "Not gathered: the evidence has nothing about it"),
        ("16", "kernel log can't be read without root"),
        ("16", "dmesg was refused"),
    ],
)
def test_content(number: str, expected: str) -> None:
    assert expected in text_of(number, samples.EVIDENCE)


def test_a_collector_that_was_cut_says_so() -> None:
    assert "logs: ok in 31 ms: cut to the size limit" in text_of("05", samples.EVIDENCE)


def test_log_lines_can_neither_steer_the_terminal_nor_forge_a_heading() -> None:
    lines = ["\x1b[2J\x1b[Hcleared", "# service", "a\rb"]
    logs = {
        "sources": [
            {
                "kind": "file",
                "path": "/var/log/web.log",
                "attempts": [{"segments": [{"first_line": 7, "lines": lines}]}],
            }
        ]
    }
    shown = text_of("04", samples.evidence(logs=logs))
    assert "\x1b" not in shown and "      8 | # service" in shown and "\n# service" not in shown
    assert "      9 | a b" in shown


def test_a_message_of_several_lines_stays_apart() -> None:
    broken = {
        "ran": True,
        "outcome": "exception",
        "exception": {"type": "X", "message": "one\n# service\ntwo", "frames": []},
    }
    shown = text_of("09", samples.evidence(import_test=broken))
    assert "X: one\n  | # service\n  | two" in shown


def test_every_section_of_the_contract_is_shown_somewhere() -> None:
    shown = {section for entry in FILES for _heading, sections, _renderer in entry.parts for section in sections}
    contract = {
        "target", "collectors", "service", "unit", "interpreter", "app", "environment", "python_path", "symlinks", "access",
        "import_test", "packages", "ports", "processes", "resources", "kernel", "backing_services", "clock", "logs", "foreground_test",
    }  # fmt: skip
    assert contract <= shown


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(samples.EVIDENCE)), _JSON))
def test_misshapen_evidence_never_breaks_a_file(sections: dict[str, Any]) -> None:
    for entry in FILES:
        assert render(entry, samples.evidence(**sections), "t").startswith(entry.name)


def test_a_sentence_may_end_a_table_but_not_stand_inside_of_one() -> None:
    long = "a sentence that is much longer than any column but the last one may be in a table of facts"
    rows = table([{"name": "web", "sick": long}, {"name": "cron", "sick": None}])
    assert rows == ["NAME  SICK", f"web   {long}", "cron  -"]
    assert table([{"sick": long, "name": "web"}]) is None
