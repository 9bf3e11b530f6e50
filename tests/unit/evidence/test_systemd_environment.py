# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import pwd
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import (
    systemd,
    systemd_journal,
    systemd_unit_files,
)
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import CommandResult, Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import Unavailable
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.selection import InputError
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.systemd_environment import effective
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.systemd_show import Properties

FAILED_TWICE = [
    "Started ad-x.service - adapters test.",
    "ad-x.service: Main process exited, code=exited, status=1/FAILURE",
    "ad-x.service: Failed with result 'exit-code'.",
    ("ad-x.service: Scheduled restart job, restart counter is at 1.", systemd_journal.RESTART_SCHEDULED),
    "Started ad-x.service - adapters test.",
    "ad-x.service: Main process exited, code=killed, status=9/KILL",
    ("ad-x.service: Scheduled restart job, restart counter is at 2.", systemd_journal.RESTART_SCHEDULED),
    "ad-x.service: Start request repeated too quickly.",
    "ad-x.service: Failed with result 'exit-code'.",
]


def journal(lines: list[Any], **fields: str) -> str:
    """Text of ``journalctl --reverse``, one entry a second."""
    entries = []
    for number, line in enumerate(lines):
        message, kind = line if isinstance(line, tuple) else (line, None)
        entry = {"__REALTIME_TIMESTAMP": str((1000 + number) * 1000000), "MESSAGE": message, "_PID": "1", **fields}
        entries.append(json.dumps({**entry, "MESSAGE_ID": kind} if kind else entry))
    return "\n".join(reversed(entries))


def test_history_of_a_unit_that_systemd_gave_up() -> None:
    history = systemd_journal.parse(journal(FAILED_TWICE))
    assert history.messages[0].startswith("Started") and history.messages[-1].startswith("ad-x.service: Failed")
    assert history.restart_times == [1003.0, 1006.0]
    assert history.start_limit
    assert history.last_exit is not None
    assert (history.last_exit["signal"], history.last_exit["code"]) == (9, None)
    assert systemd_journal.restarts_within(history, 60, now=1064) == 1


def test_a_later_start_ends_the_start_limit() -> None:
    assert not systemd_journal.parse(journal([*FAILED_TWICE, "Started ad-x.service - adapters test."])).start_limit


def test_control_processes_are_not_the_main_one() -> None:
    text = journal(["ad-x.service: Control process exited, code=exited, status=1/FAILURE"])
    assert systemd_journal.parse(text).last_exit is None


def test_refused_settings_are_problems_and_no_messages() -> None:
    message = "/etc/systemd/system/ad-x.service:19: Unknown key 'Bogus' in section [Service], ignoring."
    text = journal([(message, systemd_journal.INVALID_CONFIGURATION)] * 2, CONFIG_FILE="/etc/x", CONFIG_LINE="19")
    history = systemd_journal.parse(text)
    assert history.problems == [{"file": "/etc/x", "line": 19, "text": message}]
    assert history.messages == []


def test_binary_messages_and_broken_lines_are_survived() -> None:
    text = journal([[104, 105, 255]]) + '\n{"cut'
    assert systemd_journal.parse(text).messages[0].startswith("hi")


def test_effective_environment_in_order_of_precedence(tmp_path: Path) -> None:
    env = tmp_path / "api.env"
    env.write_text("B=file\nDB_PASSWORD=hunter2hunter2\nDROP=1\n")
    unit = Properties(
        {
            "Environment": ['A=unit "B=unit" HOME=/x'],
            "EnvironmentFiles": [f"{env} (ignore_errors=no)", "/nope (ignore_errors=yes)"],
            "UnsetEnvironment": ["DROP LANG=other"],
            "PassEnvironment": ["PASSED"],
            "RuntimeDirectory": ["api:link other"],
        }
    )
    manager = Properties({"Environment": ["LANG=C.UTF-8 PATH=/bin PASSED=yes"]})
    ctx = Context({}, 1e12)
    user = pwd.struct_passwd(("acme", "x", 7, 7, "", "/home/acme", "/bin/sh"))
    result = effective(unit, manager, 252, ctx, user)
    assert result.values["B"] == "file" and result.origins["B"] == str(env)
    assert result.values["A"] == "unit" and result.origins["A"] == "Environment="
    assert result.values["HOME"] == "/x"
    assert result.values["USER"] == "acme"
    assert result.values["LANG"] == "C.UTF-8"
    assert result.values["RUNTIME_DIRECTORY"] == "/run/api:/run/other"
    assert "DROP" not in result.values
    assert [(file.path, file.optional) for file in result.files] == [(str(env), False), ("/nope", True)]
    assert ctx.secrets["hunter2hunter2"] == "DB_PASSWORD"


def test_patterns_of_environment_files(tmp_path: Path) -> None:
    (tmp_path / "2.env").write_text("A=2")
    (tmp_path / "1.env").write_text("A=1")
    unit = Properties({"EnvironmentFiles": [f"{tmp_path}/*.env (ignore_errors=no)"]})
    assert effective(unit, Properties(), 252, Context({}, 1e12), None).values["A"] == "2"


def test_properties_from_files_stand_in_for_the_manager() -> None:
    directives = {
        "User": ["acme"], "Environment": ["A=1", "B=%n"], "EnvironmentFile": ["-/etc/%N.env"], "RestartSec": ["5"],
        "WorkingDirectory": ["-/srv/%p"],
    }  # fmt: skip
    unit = systemd.properties_from_files("api.service", directives)
    assert unit.get("Environment") == "A=1 B=api.service"
    assert unit.all("EnvironmentFiles") == ["/etc/api.env (ignore_errors=yes)"]
    assert unit.get("WorkingDirectory") == "!/srv/api"
    assert unit.get("RestartUSec") == "5"


def test_without_a_manager_the_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "api.service").write_text(
        "[Service]\nUser=12345\nWorkingDirectory=/srv\nExecStart=/x/python -m app --port ${PORT}\nEnvironment=PORT=8000\n"
    )
    monkeypatch.setattr(systemd_unit_files, "SEARCH_PATH", (str(tmp_path),))
    missing = CommandResult([], None, error="systemctl could not be started: No such file or directory")
    monkeypatch.setattr(Context, "run", lambda *args, **kwargs: missing)
    backend = systemd.resolve("api", Context({}, 1e12))
    assert backend.argv == ["/x/python", "-m", "app", "--port", "8000"]
    assert (backend.uid, backend.gid, backend.cwd) == (12345, 0, "/srv")
    assert backend.unit["user_exists"] is True
    assert backend.service["exists"] is True and backend.service["active_state"] is None
    assert "only the unit's files" in backend.service["_partial"]
    with pytest.raises(Unavailable, match="no unit file of that name"):
        systemd.resolve("other", Context({}, 1e12))


@pytest.mark.parametrize(
    ("name", "words"),
    [("a b", "can't be the name"), ("api.timer", "perhaps api.service"), ("worker@", "name one of its instances")],
)
def test_names_that_mean_no_service(name: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Context, "run", lambda *args, **kwargs: CommandResult([], 0, stdout="worker@1.service enabled"))
    with pytest.raises(InputError, match=words):
        systemd.resolve(name, Context({}, 1e12))
