# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import (
    exit_status,
    systemd_service,
    systemd_unit,
)
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import CommandResult, Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import Unavailable
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.systemd_journal import History
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.systemd_show import (
    Properties,
    parse_environment_file,
    parse_exec,
    parse_show,
    show,
)

# systemctl 247 about a unit whose command has quotes, as recorded.
SHOW = """\
Type=simple
Restart=always
RestartUSec=1s
MainPID=0
Result=exit-code
NRestarts=3
ExecMainStartTimestamp=Sun 2026-11-22 04:52:45 UTC
ExecMainExitTimestamp=Sun 2026-11-22 04:52:46 UTC
ExecMainCode=1
ExecMainStatus=3
ExecStartPre={ path=/bin/echo ; argv[]=/bin/echo hi  there ; ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=293 ; code=exited ; status=2 }
ExecStart={ path=/usr/bin/python3 ; argv[]=/usr/bin/python3 -c import sys; print('x') ${B} $A --n ad-x.service --i a;b --more ; \
ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=294 ; code=exited ; status=3 }
Environment="A=1 2" B=two "C=it\\"s"
EnvironmentFiles=/etc/ad.env (ignore_errors=yes)
EnvironmentFiles=/etc/passwd (ignore_errors=no)
MemoryCurrent=[not set]
WorkingDirectory=!/srv
StandardOutput=append
Id=ad-x.service
LoadState=loaded
ActiveState=failed
SubState=failed
LoadError=
StartLimitIntervalUSec=10s
StartLimitBurst=3

Type=
MainPID=0
Id=gone.service
LoadState=not-found
LoadError=org.freedesktop.systemd1.NoSuchUnit "Unit gone.service not found."
ActiveState=inactive
"""
EXEC_START = '/usr/bin/python3 -c "import sys; print(\'x\')" ${B} $A --n %n --i "a;b"   --more'


def unit(**values: str) -> Properties:
    properties = parse_show(SHOW)[0]
    for name, value in values.items():
        properties.values[name] = [value]
    return properties


def test_parse_show_keeps_blocks_and_repeated_properties() -> None:
    blocks = parse_show(SHOW)
    assert [block.get("Id") for block in blocks] == ["ad-x.service", "gone.service"]
    assert blocks[0].all("EnvironmentFiles") == ["/etc/ad.env (ignore_errors=yes)", "/etc/passwd (ignore_errors=no)"]
    assert blocks[0].get("MemoryCurrent") == ""
    assert blocks[0].number("NRestarts") == 3
    assert systemd_service.load_error(blocks[1]) == "Unit gone.service not found."


def test_parse_exec_with_semicolons_in_the_command() -> None:
    status = parse_exec(SHOW.split("ExecStart=")[1].split("\n")[0])
    assert status is not None
    assert status.path == "/usr/bin/python3"
    assert status.words[1:4] == ["-c", "import", "sys;"]
    assert (status.code, status.pid) == (3, 294)
    assert parse_exec("nonsense") is None


@pytest.mark.parametrize(
    ("text", "signal", "dumped"),
    [
        ("code=killed ; status=9/KILL", 9, False),
        ("code=dumped ; status=11/SEGV", 11, True),
        ("code=killed ; status=TERM", 15, False),
    ],
)
def test_parse_exec_knows_signals(text: str, signal: int, dumped: bool) -> None:
    status = parse_exec("{ path=/x ; argv[]=/x ; flags=ignore-failure ; start_time=[n/a] ; pid=1 ; " + text + " }")
    assert status is not None
    assert (status.code, status.signal, status.core_dumped, status.flags) == (None, signal, dumped, "-")


def test_parse_environment_file() -> None:
    assert parse_environment_file("/etc/a b (ignore_errors=yes)") == ("/etc/a b", True)
    assert parse_environment_file("/etc/api.env (ignore_errors=no)") == ("/etc/api.env", False)


def test_the_unit_file_gives_the_quotes_back() -> None:
    argv = systemd_unit.main_command(unit(), {"ExecStart": [EXEC_START]}, {"A": "1 2", "B": "two"})
    assert argv == [
        "/usr/bin/python3", "-c", "import sys; print('x')", "two", "1", "2", "--n", "ad-x.service", "--i", "a;b", "--more",
    ]  # fmt: skip


def test_a_unit_file_that_says_something_else_is_not_trusted() -> None:
    argv = systemd_unit.main_command(unit(), {"ExecStart": ["/usr/bin/python3 changed.py"]}, {"A": "1", "B": "2"})
    assert argv[:4] == ["/usr/bin/python3", "-c", "import", "sys;"]


def test_working_directory_and_output_file() -> None:
    assert systemd_unit.working_directory(unit()) == ("/srv", True)
    assert systemd_unit.working_directory(unit(WorkingDirectory="~", User="root")) == ("/root", False)
    assert systemd_unit.working_directory(unit(WorkingDirectory="")) == (None, False)
    directives = {"StandardOutput": ["append:/tmp/ad-%n.log"], "StandardError": ["inherit"]}
    assert [log.path for log in systemd_unit.log_files(unit(), directives)] == ["/tmp/ad-ad-x.service.log"]


def test_log_files_behind_a_shell_redirection() -> None:
    directives = {"ExecStart": ["/bin/sh -c 'exec python3 app.py >>/var/log/a.log 2>/var/log/b.log </dev/null'"]}
    found = [(log.path, log.stream) for log in systemd_unit.log_files(unit(), directives)]
    assert ("/var/log/a.log", "stdout") in found


def test_section_of_a_failed_unit() -> None:
    section = systemd_service.section(unit(), History(restart_times=[100.0, 190.0], start_limit=True), 60, now=200)
    assert section["exit"]["status_text"] == "3/NOTIMPLEMENTED"
    assert section["restarts"] == 3
    assert section["restarts_in_window"] == 1
    assert section["start_limit"] == {"hit": True, "burst": 3, "interval_s": 10.0}
    assert section["control_exits"] == [
        {"step": "ExecStartPre", "command": "/bin/echo hi there", "code": 2, "signal": None, "ignored": False}
    ]


@pytest.mark.parametrize(
    ("values", "history", "hit"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"Result": "start-limit-hit"}, False, True),
        ({"ActiveState": "active"}, True, False),
    ],
)
def test_start_limit_is_decided_by_the_journal_too(values: dict[str, str], history: bool, hit: bool) -> None:
    assert systemd_service.start_limit_hit(unit(**values), History(start_limit=history)) is hit


def test_while_it_runs_the_last_exit_comes_from_the_journal() -> None:
    running = unit(MainPID="77", ActiveState="active", ExecMainCode="0", ExecMainStatus="0")
    last = {"code": None, "signal": 9, "core_dumped": False, "at": "2026-11-22T04:00:00.000Z"}
    told = systemd_service.last_exit(running, History(last_exit=last))
    assert (told["signal"], told["status_text"], told["at"]) == (9, "9/KILL", "2026-11-22T04:00:00.000Z")
    assert systemd_service.last_exit(running, History())["code"] is None


@pytest.mark.parametrize(
    ("code", "signal", "text", "word"),
    [
        (203, None, "203/EXEC", "execute"),
        (200, None, "200/CHDIR", "working directory"),
        (217, None, "217/USER", "user"),
        (1, None, "1/FAILURE", "uncaught exception"),
        (137, None, "137/n/a", "SIGKILL"),
        (77, None, "77/n/a", "77"),
        (None, 11, "11/SEGV", "native code"),
        (None, 40, "40/RTMIN+6", "RTMIN"),
        (None, None, None, None),
    ],
)
def test_explain(code: int | None, signal: int | None, text: str | None, word: str | None) -> None:
    told = exit_status.explain(code, signal)
    assert told["status_text"] == text
    assert told["explained"] is None if word is None else word in told["explained"]


def test_statuses_of_systemd_mean_nothing_under_another_supervisor() -> None:
    told = exit_status.explain(203, None, systemd=False)
    assert told["status_text"] == "203" and "systemd" not in told["explained"]


class Host(Context):
    """Answers every command with the same result."""

    result = CommandResult([])

    def run(self, argv: Any, *args: Any, **kwargs: Any) -> CommandResult:
        return self.result


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (CommandResult([], None, error="systemctl could not be started: No such file"), "could not be started"),
        (CommandResult([], 1, stderr="System has not been booted with systemd as init system"), "not the running init"),
        (CommandResult([], 1, stderr="Failed to connect to bus: Connection refused"), "bus is down"),
        (CommandResult([], -9, stdout=SHOW, timed_out=True), "within"),
    ],
)
def test_show_says_why_it_has_no_answer(result: CommandResult, words: str) -> None:
    host = Host({}, 1e12)
    host.result = result
    with pytest.raises(Unavailable, match=words):
        show(host, ["api.service"], ["Id"])
