# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import http.server
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import (
    choose,
    discovery,
    discovery_alive,
    discovery_python,
    processes,
)
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.discovery_alive import (
    Alive,
    dying_workers,
    not_listening,
    suspect,
)
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import App, Backend, Unavailable
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.proc import read_stat
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.sockets import Socket
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.systemd_show import Properties

NOW = 1_000_000.0


def unit(**values: Any) -> Properties:
    return Properties({"Id": ["api.service"], **{name: [str(value)] for name, value in values.items()}})


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"ActiveState": "failed", "ExecMainCode": 1, "ExecMainStatus": 3, "NRestarts": 5}, "failed after 5 restarts"),
        ({"ActiveState": "failed", "ExecMainCode": 2, "ExecMainStatus": 9}, "signal 9/KILL"),
        ({"ActiveState": "failed", "Result": "resources"}, "result resources"),
        ({"ActiveState": "activating", "SubState": "auto-restart", "NRestarts": 2}, "loop"),
        ({"ActiveState": "activating", "SubState": "start-pre", "NRestarts": 1}, "loop"),
        ({"LoadState": "bad-setting", "ActiveState": "inactive"}, "could not load"),
        ({"ActiveState": "activating", "SubState": "start", "NRestarts": 0}, None),
        ({"ActiveState": "active", "SubState": "running", "NRestarts": 7}, None),
        ({"ActiveState": "inactive", "SubState": "dead"}, None),
    ],
)
def test_sick_by_state(values: dict[str, Any], word: str | None) -> None:
    told = discovery.sick_by_state(unit(**values))
    assert told is None if word is None else told is not None and word in told


@pytest.mark.parametrize(
    ("ages", "sick"),
    [
        ([5], True),
        ([599], True),
        ([700], False),
        ([4000, 3000, 2000], True),
        ([90000, 88000, 87000], False),
        ([], False),
    ],
)
def test_a_counter_that_rises_slowly_is_sick(ages: list[int], sick: bool) -> None:
    told = discovery.sick_by_restarts([NOW - age for age in ages], 3, 600, NOW)
    assert (told is not None) is sick


@pytest.mark.parametrize(
    ("values", "itself"),
    [
        ({}, True),
        ({"UnitFileState": "disabled"}, False),
        ({"Type": "oneshot"}, False),
        ({"ExecMainCode": 0}, False),
        ({"ExecMainStatus": 1}, False),
        ({"ActiveState": "active"}, False),
    ],
)
def test_ended_by_itself(values: dict[str, Any], itself: bool) -> None:
    base = {
        "ActiveState": "inactive",
        "UnitFileState": "enabled",
        "Type": "simple",
        "ExecMainCode": 1,
        "ExecMainStatus": 0,
    }
    assert discovery.ended_by_itself(unit(**{**base, **values})) is itself


@pytest.mark.parametrize(
    ("state", "info", "unexpected", "times", "sick"),
    [
        ("FATAL", {"spawnerr": "x"}, False, [], True),
        ("BACKOFF", {}, False, [], True),
        ("EXITED", {}, True, [], True),
        ("EXITED", {}, False, [], False),
        ("STARTING", {}, False, [NOW], True),
        ("STARTING", {}, False, [], False),
        ("RUNNING", {}, False, [NOW - 10], True),
        ("RUNNING", {}, False, [], False),
        ("STOPPED", {}, False, [], False),
    ],
)
def test_sick_program(state: str, info: dict[str, Any], unexpected: bool, times: list[float], sick: bool) -> None:
    assert (discovery.sick_program(state, info, unexpected, times, 600, NOW) is not None) is sick


@pytest.mark.parametrize(
    ("argv", "python"),
    [
        (["/srv/venv/bin/uvicorn", "main:app"], True),
        (["/usr/bin/env", "python3", "x"], True),
        (["/opt/app/run.py"], True),
        (["/bin/sh", "-c", "cd /srv && exec ./venv/bin/gunicorn main:app"], True),
        (["/bin/sh", "-c", "exec /usr/sbin/nginx"], False),
        (["/usr/sbin/sshd", "-D"], False),
        (["/usr/bin/dockerd", "--config", "python.json"], False),
        (["poetry", "run", "serve"], True),
        ([], False),
    ],
)
def test_by_command(argv: list[str], python: bool) -> None:
    assert discovery_python.by_command(argv) is python


def test_by_script(tmp_path: Path) -> None:
    ctx = Context({}, 1e12)
    cases = {
        "tool": ("#!/srv/venv/bin/python3\nimport x\n", True),
        "start.sh": ("#!/bin/bash\nset -e\nexec uvicorn main:app\n", True),
        "other.sh": ("#!/bin/bash\n# starts python3 some day\nexec /usr/bin/java -jar x\n", False),
        "binary": ("\x7fELF python3", False),
    }
    for name, (text, python) in cases.items():
        (tmp_path / name).write_text(text)
        assert discovery_python.by_script([f"{tmp_path}/{name}"], ctx) is python, name
    (tmp_path / "bin").mkdir()
    (tmp_path / "pyvenv.cfg").write_text("")
    assert discovery_python.by_script([f"{tmp_path}/bin/gone"], ctx)


def test_by_directory(tmp_path: Path) -> None:
    assert not discovery_python.by_directory(str(tmp_path))
    (tmp_path / "requirements.txt").write_text("")
    assert discovery_python.by_directory(str(tmp_path))
    assert not discovery_python.by_directory("/")


@pytest.mark.parametrize(
    ("facts", "sick"),
    [
        ({"parent_age_s": 200.0, "oldest_worker_age_s": 4.0, "count": 2, "expected": 2}, True),
        ({"parent_age_s": 200.0, "oldest_worker_age_s": None, "count": 0, "expected": 2}, True),
        ({"parent_age_s": 40.0, "oldest_worker_age_s": 4.0, "count": 2, "expected": 2}, False),
        ({"parent_age_s": 40.0, "oldest_worker_age_s": 4.0, "count": 2, "expected": 2, "replaced": True}, True),
        ({"parent_age_s": 40.0, "oldest_worker_age_s": 38.0, "count": 2, "expected": 2, "replaced": True}, False),
        ({"parent_age_s": 9000.0, "oldest_worker_age_s": 8000.0, "count": 2, "expected": 2}, False),
        ({"parent_age_s": 9000.0, "oldest_worker_age_s": None, "count": 0, "expected": None}, False),
        (None, False),
    ],
)
def test_dying_workers(facts: dict[str, Any] | None, sick: bool) -> None:
    assert (dying_workers(facts) is not None) is sick


def alive(age: float, server: str = "uvicorn", port: int | None = 8000, **sockets: Any) -> Alive:
    return Alive(Backend("api", "systemd", app=App(server=server, port=port)), age, **sockets)


HELD = Socket("tcp", "127.0.0.1", 8000, "bound", 1)


@pytest.mark.parametrize(
    ("item", "sick"),
    [
        (alive(35), False),
        (alive(300), True),
        (alive(300, listening=[HELD]), False),
        (alive(30, bound=[HELD]), False),
        (alive(100, bound=[HELD]), True),
        (alive(300, server="celery"), False),
        (alive(300, port=None), False),
    ],
)
def test_not_listening(item: Alive, sick: bool) -> None:
    assert (not_listening(item) is not None) is sick


class Answering(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


class Unwell(Answering):
    status = 503


@pytest.fixture
def served(request: pytest.FixtureRequest) -> Iterator[None]:
    server = http.server.HTTPServer(("127.0.0.1", 0), request.param)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield
    server.shutdown()
    server.server_close()


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Backend:
    """This test process as a backend; its sockets are the backend's."""
    monkeypatch.setattr(discovery_alive.app, "resolve", lambda backend, ctx: None)
    monkeypatch.setattr(discovery_alive, "ANSWER_S", 0.4)
    monkeypatch.setattr(discovery_alive.proc, "own_pids", lambda backend, stats: {os.getpid()})
    assert read_stat(os.getpid()) is not None
    return Backend("api", "systemd", main_pid=os.getpid(), pids=[os.getpid()], app=App(server="uvicorn"))


@pytest.mark.parametrize("served", [Answering], indirect=True)
def test_a_service_that_answers_is_not_suspect(served: None, own: Backend) -> None:
    assert suspect([own], Context({}, 1e12)) == {}


@pytest.mark.parametrize("served", [Unwell], indirect=True)
def test_a_service_that_says_it_is_unwell(served: None, own: Backend) -> None:
    assert "HTTP status 503" in suspect([own], Context({}, 1e12))["api"]
    assert suspect([own], Context({"probe_health": False}, 1e12)) == {}


def test_a_service_that_accepts_nobody(own: Backend) -> None:
    own.app.server = "script"
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        assert "did not answer" in suspect([own], Context({}, 1e12))["api"]


def test_workers_that_are_replaced_on_purpose_are_no_sign() -> None:
    backend = Backend(
        "tracker.service", "systemd", argv=["/srv/venv/bin/gunicorn", "-w", "2", "--max-requests", "12", "t:app"]
    )
    assert processes.recycles_workers(backend)
    backend.argv = ["/srv/venv/bin/gunicorn", "-w", "2", "t:app"]
    assert not processes.recycles_workers(backend)
    backend.environ["GUNICORN_CMD_ARGS"] = "--max-requests=500 --max-requests-jitter=50"
    assert processes.recycles_workers(backend)


def test_nothing_is_said_to_be_well_when_systemd_was_not_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    def discover(runtime: str, _ctx: Context) -> list[Any]:
        if runtime == "systemd":
            raise Unavailable("systemd did not tell all within 10 s")
        return []

    monkeypatch.setattr(choose, "automatic_order", lambda: ["systemd", "supervisor"])
    monkeypatch.setattr(discovery, "discover", discover)
    with pytest.raises(Unavailable, match="not known: systemd did not tell all"):
        choose.sick({}, Context({}, 1e12), choose.Chosen())
