# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import journal
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import CommandResult

DATA = Path(__file__).parent / "data"
UNIT = "api.service"


def entries(name: str) -> list[journal.Entry]:
    lines = (DATA / name).read_text().splitlines()
    return [entry for entry in (journal.parse_entry(line, UNIT) for line in lines) if entry]


def entry(message: Any, **fields: Any) -> journal.Entry | None:
    base = {
        "__REALTIME_TIMESTAMP": "1795323009680693",
        "MESSAGE": message,
        "_PID": "250",
        "_SYSTEMD_UNIT": UNIT,
        "_SYSTEMD_INVOCATION_ID": "f657df258ad94885b50120d0008edcf5",
        "SYSLOG_IDENTIFIER": "python",
    }
    return journal.parse_entry(json.dumps({**base, **fields}), UNIT)


@pytest.mark.parametrize("name", ["journal-d11.jsonl", "journal-d13.jsonl"])
def test_a_recorded_crash_loop_is_cut_per_invocation(name: str) -> None:
    cuts = [cut for cut in journal.to_cuts(entries(name)) if cut.invocation]
    assert len(cuts) >= 2
    first = cuts[0]
    assert first.lines[0] == "systemd[1]: Started api.service."
    assert first.lines[1] == "starting up"
    assert first.lines[2] == "Traceback (most recent call last):"
    assert "systemd[1]: api.service: Main process exited, code=exited, status=1/FAILURE" in first.lines
    assert first.pid not in (None, 1)
    assert first.lines[-1].startswith("systemd[1]: ")
    assert cuts[1].first_line == first.first_line + len(first.lines)
    assert first.offsets[0] == 0.0
    assert first.offsets == sorted(first.offsets)


def test_who_is_not_the_unit_is_named() -> None:
    coredump = entry(
        "Process 77 (python3) of user 33 dumped core.\n\nStack trace of thread 77:",
        _SYSTEMD_UNIT="systemd-coredump@0.service",
        SYSLOG_IDENTIFIER="systemd-coredump",
        _PID="90",
        INVOCATION_ID=None,
    )
    assert coredump is not None
    lines = journal.to_cuts([coredump])[0].lines
    assert lines[0] == "systemd-coredump[90]: Process 77 (python3) of user 33 dumped core."
    assert lines[2] == "systemd-coredump[90]: Stack trace of thread 77:"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        ([27, 91, 51, 49, 109, 114, 101, 100, 27, 91, 48, 109], "red"),
        ([255, 254, 32, 114, 97, 119], "\ufffd\ufffd raw"),
        (None, "[message left out by journalctl]"),
        (["first", "second"], "first\nsecond"),
        ("systemd[1]: forged\x1b[2K", "systemd[1]: forged"),
        ([], ""),
        (7, "7"),
    ],
)
def test_every_kind_of_message(value: Any, expected: str) -> None:
    found = entry(value)
    assert found is not None
    assert found.message == expected


@pytest.mark.parametrize(
    "line", ["", "-- No entries --", '{"MESSAGE": "cut off in the mid', "{}", "[1]", '{"x": null}']
)
def test_what_is_no_entry_is_left_out(line: str) -> None:
    assert journal.parse_entry(line, UNIT) is None


def test_a_unit_cannot_speak_as_pid_1() -> None:
    """The trusted fields decide: text and identifier that imitate PID 1 stay the unit's own words."""
    forged = entry("Main process exited", SYSLOG_IDENTIFIER="systemd")
    assert forged is not None
    assert forged.speaker == ""


def test_the_beginning_of_a_talkative_run_is_put_back() -> None:
    run = [journal.Entry(1000.0 + n, f"line {n}", "", 7, "abc") for n in range(100)]
    cut = journal.to_cuts(run[60:])[0]
    assert journal.prepend(cut, run[:30], 20)
    assert cut.lines == [f"line {n}" for n in range(20)] + [f"line {n}" for n in range(60, 100)]
    assert cut.gaps == [20]
    assert cut.offsets[20] == 60.0
    assert not journal.prepend(cut, run[:30], 20)


@pytest.mark.parametrize(
    ("result", "found", "said"),
    [
        (CommandResult(["journalctl"], exit_status=0), False, None),
        (
            CommandResult(
                ["journalctl"],
                exit_status=0,
                stderr="Hint: You are currently not seeing messages from other users and the system.",
            ),
            True,
            "become",
        ),
        (CommandResult(["journalctl"], error="journalctl could not be started: No such file"), False, "could not be"),
        (CommandResult(["journalctl"], exit_status=1, stderr="Failed to add match\n"), False, "Failed to add match"),
        (CommandResult(["journalctl"], timed_out=True), True, "did not finish"),
        (CommandResult(["journalctl"], exit_status=-9, truncated=True), True, None),
    ],
)
def test_failures_are_sentences(result: CommandResult, found: bool, said: str | None) -> None:
    error = journal.query_error(result, found)
    assert error is None if said is None else said in (error or "")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("'export SECRET_KEY=x1': /etc/a.env", "'export SECRET_KEY=<hidden>': /etc/a.env"),
        ("'my-var = it's': /etc/a.env", "'my-var =<hidden>': /etc/a.env"),
        ("'root:$6$salt$hash=x:19000': /srv/a/.env", "'<hidden>': /srv/a/.env"),
        ("'b3BlbnNzaC1rZXk==': /srv/a/.env", "'<hidden>': /srv/a/.env"),
        ("'aGVsbG8=': /srv/a/.env", "'<hidden>': /srv/a/.env"),
    ],
)
def test_what_systemd_quotes_of_an_environment_file_is_hidden(text: str, shown: str) -> None:
    line = "a.service: Ignoring invalid environment assignment "
    assert journal.message_text(line + text) == line + shown
