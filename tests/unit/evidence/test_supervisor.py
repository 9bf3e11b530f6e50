# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import socket
import threading
import xmlrpc.client
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import (
    supervisor,
    supervisor_config,
    supervisor_instances,
    supervisor_log,
    supervisor_rpc,
)
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import Unavailable
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.selection import InputError
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.supervisor_instances import Instance
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.supervisor_rpc import Address, Status

MAIN = """\
[unix_http_server]
file=%(here)s/s.sock
username=u
password=supersecretpw
[supervisord]
logfile=%(here)s/supervisord.log
environment=GLOBAL="g,1",TOKEN="abc%(ENV_HOME)s"
[include]
files = conf.d/*.conf
"""
PROGRAMS = """\
[program:ok]
command=python3 -c "import time; time.sleep(1000)" ; comment
[program:bad]
command=python3 -c 'import sys; sys.exit(3)' --port %(ENV_PORT)s --home %(ENV_HOME)s
environment=PORT="8000",HOME2="a b"
diretory=/x
directory=%(here)s/app
[program:multi]
command=python3 x.py --num %(process_num)02d
process_name=%(program_name)s_%(process_num)02d
numprocs=2
numprocs_start=1
[group:g]
programs=ok, multi
"""
# supervisord 4.3 as recorded.
LOG = """\
2026-11-22 05:00:00,001 INFO supervisord started with pid 1
2026-11-22 05:00:01,001 INFO spawned: 'bad' with pid 5
2026-11-22 05:13:50,000 INFO supervisord started with pid 22126
2026-11-22 05:13:54,378 INFO spawned: 'bad' with pid 22136
2026-11-22 05:13:54,400 INFO spawned: 'kill' with pid 22139
2026-11-22 05:13:54,447 WARN exited: bad (exit status 3; not expected)
2026-11-22 05:13:57,390 INFO spawned: 'bad' with pid 22183
2026-11-22 05:13:57,521 WARN exited: kill (terminated by SIGSEGV (core dumped); not expected)
2026-11-22 05:14:02,526 INFO spawnerr: can't find command '/nope/bin/uvicorn'
2026-11-22 05:14:03,647 WARN exited: bad (exit status 3; not expected)
2026-11-22 05:14:03,648 INFO gave up: bad entered FATAL state, too many start retries too quickly
a line of something else
"""


@pytest.fixture
def config_path(tmp_path: Path) -> Path:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "supervisord.conf").write_text(MAIN)
    (tmp_path / "conf.d" / "a.conf").write_text(PROGRAMS)
    return tmp_path / "supervisord.conf"


def load(path: Path) -> supervisor_config.Config:
    return supervisor_config.load(str(path), {"HOME": "/root"}, Context({}, 1e12))


def test_sections_includes_and_expansions(config_path: Path) -> None:
    config = load(config_path)
    assert config.problems == []
    assert config.environment == {"GLOBAL": "g,1", "TOKEN": "abc/root"}
    assert config.option("unix_http_server", "file") == f"{config_path.parent}/s.sock"
    programs = {program.full_name: program for program in supervisor_config.programs(config, {"HOME": "/root"})}
    assert list(programs) == ["g:ok", "bad", "g:multi_01", "g:multi_02"]
    assert programs["g:ok"].argv == ["python3", "-c", "import time; time.sleep(1000)"]
    bad = programs["bad"]
    assert bad.argv[-3:] == ["8000", "--home", "/root"]
    assert bad.directory == f"{config_path.parent}/conf.d/app"
    assert bad.environment == {"GLOBAL": "g,1", "TOKEN": "abc/root", "PORT": "8000", "HOME2": "a b"}
    assert bad.problems == ["diretory is no option of a program, it is ignored"]
    assert programs["g:multi_02"].argv[-1] == "02"


def test_what_supervisord_refuses_is_a_problem_with_its_line(config_path: Path) -> None:
    (config_path.parent / "conf.d" / "b.conf").write_text("[program:x]\ncommand=x %(ENV_NOPE)s\nenvironment=A=1,B\n")
    (config_path.parent / "conf.d" / "c.conf").write_text("no section\n")
    config = load(config_path)
    found = {program.name: program for program in supervisor_config.programs(config, {})}
    assert "%(ENV_NOPE)s is not defined anywhere" in found["x"].problems
    texts = [(Path(problem["file"]).name, problem["line"]) for problem in config.problems]
    assert ("b.conf", 3) in texts and ("c.conf", 1) in texts


@pytest.mark.parametrize(
    ("text", "expected"),
    [('A="1",B=2', {"A": "1", "B": "2"}), ("", {}), ("URL='http://h:1/x',C=d", {"URL": "http://h:1/x", "C": "d"})],
)
def test_parse_environment(text: str, expected: dict[str, str]) -> None:
    assert supervisor_config.parse_environment(text) == expected


def test_history_starts_with_the_running_supervisord() -> None:
    history = supervisor_log.parse(LOG, "bad")
    assert history.supervisord_pid == 22126
    assert len(history.spawned) == 2 and len(history.restart_times) == 1
    assert history.gave_up
    assert history.last_exit is not None
    assert (history.last_exit["code"], history.last_exit["expected"]) == (3, False)
    assert history.messages[0] == "spawned: 'bad' with pid 22136"
    assert all("kill" not in message for message in history.messages)
    killed = supervisor_log.parse(LOG, "kill").last_exit
    assert killed is not None and (killed["signal"], killed["core_dumped"]) == (11, True)


def test_a_start_that_somebody_ordered_begins_a_new_series() -> None:
    lines = "2026-11-22 05:20:00,000 INFO spawned: 'bad' with pid 3000\n"
    history = supervisor_log.parse(LOG + lines, "bad")
    assert (history.restarts, len(history.restart_times)) == (0, 2), "it had given up, so somebody started it"
    assert supervisor_log.parse(LOG + lines + lines, "bad").restarts == 1


class Server(threading.Thread):
    """Answers one request on a socket file with the given bytes."""

    def __init__(self, path: str, answer: bytes) -> None:
        super().__init__(daemon=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.answer, self.asked = answer, b""
        self.start()

    def run(self) -> None:
        client, _address = self.listener.accept()
        # Head and body arrive in any number of pieces; who answers before the last one breaks the client's pipe.
        while not self.asked.endswith(b"</methodCall>\n"):
            piece = client.recv(65536)
            if not piece:
                break
            self.asked += piece
        client.sendall(self.answer)
        client.close()


def http(body: str, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nContent-Type: text/xml\r\n\r\n{body}".encode()


def answer(processes: list[dict[str, Any]]) -> bytes:
    # supervisord does not wrap the answers of a multicall in lists, unlike other servers.
    results: Any = [{"statecode": 1, "statename": "RUNNING"}, 22126, "4.3.0", processes]
    return http(xmlrpc.client.dumps((results,), methodresponse=True))


def test_ask_reads_all_in_one_round_trip(tmp_path: Path) -> None:
    path = f"{tmp_path}/s.sock"
    server = Server(path, answer([{"group": "g", "name": "ok", "statename": "RUNNING", "pid": 7}]))
    status = supervisor_rpc.ask(Address(path=path, username="u", password="p"), 2)
    assert (status.pid, status.version, status.state) == (22126, "4.3.0", "RUNNING")
    assert status.processes[("g", "ok")]["pid"] == 7
    assert b"Authorization: Basic dTpw" in server.asked


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (http("denied", "401 Unauthorized"), "HTTP status 401"),
        (http("<html>no</html>"), "none of supervisord's"),
        (http(xmlrpc.client.dumps((1,), methodresponse=True)), "none of supervisord's"),
        (b"", "does not answer"),
    ],
)
def test_ask_explains_refusals(tmp_path: Path, given: bytes, words: str) -> None:
    path = f"{tmp_path}/s.sock"
    Server(path, given)
    with pytest.raises(Unavailable, match=words):
        supervisor_rpc.ask(Address(path=path), 2)


def test_ask_gives_up_on_a_silent_server(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{tmp_path}/s.sock")
    listener.listen()
    with pytest.raises(Unavailable, match="does not answer"):
        supervisor_rpc.ask(Address(path=f"{tmp_path}/s.sock"), 0.2)
    listener.close()


def instance(path: Path, **infos: dict[str, Any]) -> Instance:
    config = load(path)
    known = supervisor_config.programs(config, {"HOME": "/root"})
    status = Status(
        processes={("g" if name in ("ok", "multi_01") else name, name): info for name, info in infos.items()}
    )
    return Instance(
        config, environ={"HOME": "/root", "PATH": "/usr/bin:/bin"}, status=status, programs=known, cwd="/tmp"
    )


@pytest.mark.parametrize(
    ("name", "full"),
    [("bad", "bad"), ("ok", "g:ok"), ("g:ok", "g:ok"), ("multi_01", "g:multi_01"), ("nothing", None)],
)
def test_pick(config_path: Path, name: str, full: str | None) -> None:
    program = supervisor.pick(name, instance(config_path))
    assert (program.full_name if program else None) == full


def test_pick_prefers_the_process_that_does_not_run(config_path: Path) -> None:
    found = supervisor.pick("multi", instance(config_path, multi_01={"statename": "RUNNING"}))
    assert found is not None and found.name == "multi_02"


def test_backend_of_a_program_that_was_given_up(config_path: Path, tmp_path: Path) -> None:
    (tmp_path / "supervisord.log").write_text(LOG)
    info = {
        "statename": "FATAL",
        "spawnerr": "Exited too quickly (process log may have details)",
        "exitstatus": 3,
        "pid": 0,
    }
    found = instance(config_path, bad=info)
    program = supervisor.pick("bad", found)
    assert program is not None
    ctx = Context({}, 1e12)
    backend = supervisor.build(found, program, ctx)
    service = backend.service
    assert (service["active_state"], service["sub_state"], service["result"]) == ("failed", "fatal", "exit-code")
    assert service["start_limit"]["hit"] is True
    assert service["load_error"] is None
    assert service["exit"]["code"] == 3
    assert backend.environ["PORT"] == "8000" and backend.environ_origin["PORT"] == "environment= of [program:bad]"
    assert backend.environ_origin["GLOBAL"] == "environment= of [supervisord]"
    assert backend.environ["SUPERVISOR_PROCESS_NAME"] == "bad"
    assert backend.cwd == f"{config_path.parent}/conf.d/app"
    problem = backend.unit["problems"][0]
    assert (Path(problem["file"]).name, problem["line"]) == ("a.conf", 6)


def test_a_command_that_can_not_be_spawned(config_path: Path) -> None:
    info = {"statename": "FATAL", "spawnerr": "can't find command '/nope'", "exitstatus": 0, "pid": 0}
    found = instance(config_path, bad=info)
    program = supervisor.pick("bad", found)
    assert program is not None
    service = supervisor.build(found, program, Context({}, 1e12)).service
    assert service["result"] == "spawn-error" and "can't find" in service["load_error"]
    assert service["exit"]["code"] is None


def test_an_expected_end_is_no_failure(config_path: Path) -> None:
    found = instance(config_path, bad={"statename": "EXITED", "exitstatus": 0})
    program = supervisor.pick("bad", found)
    assert program is not None
    assert supervisor.build(found, program, Context({}, 1e12)).service["active_state"] == "inactive"
    found = instance(config_path, bad={"statename": "EXITED", "exitstatus": 9})
    assert supervisor.build(found, program, Context({}, 1e12)).service["active_state"] == "failed"


def test_resolve_suggests_near_names(config_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_instances, "running_instances", list)
    ctx = Context({"supervisor_config": str(config_path)}, 1e12)
    with pytest.raises(InputError, match="no program badd") as caught:
        supervisor.resolve("badd", ctx)
    assert caught.value.near_names == ["bad"]
    backend = supervisor.resolve("bad", ctx)
    assert "no supervisord runs with this configuration" in backend.service["_partial"]
    with pytest.raises(Unavailable, match="correct supervisor_config"):
        supervisor.resolve("bad", Context({"supervisor_config": "/nope.conf"}, 1e12))


@pytest.mark.parametrize(
    ("argv", "path"),
    [
        (["/usr/bin/python3", "/usr/bin/supervisord", "-n", "-c", "/etc/s.conf"], "/etc/s.conf"),
        (["supervisord", "--configuration=/a.conf"], "/a.conf"),
        (["supervisord", "-c/b.conf"], "/b.conf"),
        (["supervisord"], None),
    ],
)
def test_config_option(argv: list[str], path: str | None) -> None:
    assert supervisor_instances.config_option(argv) == path
