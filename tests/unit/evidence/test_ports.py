# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import ports
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import App, Backend


def collect(backend: Backend) -> dict[str, Any]:
    return ports.collect(backend, Context({}, time.monotonic() + 5))


@contextmanager
def holder(folder: Path, code: str) -> Iterator[tuple[int, int]]:
    """Another process that runs ``serve.py`` in the folder: (its pid, the port that it prints)."""
    script = folder / "serve.py"
    script.write_text(f"import socket, time\n{code}\nprint(s.getsockname()[1], flush=True)\ntime.sleep(60)\n")
    child = subprocess.Popen([sys.executable, "serve.py"], cwd=folder, stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert child.stdout is not None
        yield child.pid, int(child.stdout.readline())
    finally:
        child.kill()
        child.communicate()


def stopped(folder: Path, port: int, host: str | None = "127.0.0.1") -> Backend:
    """A backend that is down and wants the port."""
    app = App(server="script", script="serve.py", host=host, port=port, code_dir=str(folder))
    return Backend("api", "supervisor", argv=[sys.executable, "serve.py"], cwd=str(folder), app=app)


def test_a_leftover_of_the_same_code_holds_the_port(tmp_path: Path) -> None:
    with holder(tmp_path, "s = socket.create_server(('127.0.0.1', 0))") as (pid, port):
        found = collect(stopped(tmp_path, port))
    assert len(found["wanted_taken_by"]) == 1
    taken = found["wanted_taken_by"][0]
    assert (taken["pid"], taken["state"], taken["own"], taken["same_code"]) == (pid, "listening", False, True)
    assert taken["process"]["cwd"] == str(tmp_path)
    assert found["listening_on_wanted"] is False


def test_somebody_else_holds_it_bound_without_listening(tmp_path: Path) -> None:
    code = "s = socket.socket(); s.bind(('127.0.0.1', 0))"
    with holder(tmp_path, code) as (pid, port):
        found = collect(stopped(tmp_path / "elsewhere", port))
    if not found["bound_visible"]:
        pytest.skip("neither the kernel nor pidfd_getfd shows bound sockets here")
    taken = found["wanted_taken_by"][0]
    assert (taken["pid"], taken["state"], taken["same_code"]) == (pid, "bound", False)


def test_the_backend_itself_is_no_conflict(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        backend = stopped(tmp_path, port)
        backend.running, backend.main_pid = True, os.getpid()
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _peer = server.accept()
        found = collect(backend)
        accepted.close()
        client.close()
        after = collect(backend)
    for section in (found, after):
        assert (section["wanted_taken_by"], section["listening_on_wanted"]) == ([], True)
    mine = [item for item in found["sockets"] if item["port"] == port]
    assert [(item["state"], item["own"]) for item in mine] == [("listening", True)]


def test_ports_are_compared_exactly_and_addresses_count(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert collect(stopped(tmp_path, port - 1))["wanted_taken_by"] == []
        assert collect(stopped(tmp_path, port, "127.0.0.2"))["wanted_taken_by"] == []
        assert len(collect(stopped(tmp_path, port, "0.0.0.0"))["wanted_taken_by"]) == 1
        assert len(collect(stopped(tmp_path, port, None))["wanted_taken_by"]) == 1


def test_an_outgoing_connection_can_hold_the_wanted_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        found = collect(stopped(tmp_path, client.getsockname()[1]))
    assert [item["state"] for item in found["wanted_taken_by"]] == ["connected"]


def test_a_socket_that_talks_to_itself_is_seen(tmp_path: Path) -> None:
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        own.connect(own.getsockname())
        found = collect(stopped(tmp_path, own.getsockname()[1]))
    assert found["self_connections"] == 1
    assert len(found["wanted_taken_by"]) == 1


def test_orphans_and_time_wait_take_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _peer = server.accept()
        accepted.close()
        client.close()
    found = collect(stopped(tmp_path, port))
    assert found["wanted_taken_by"] == []
    assert found["time_wait_on_wanted"] >= 1


def test_unix_sockets_stale_and_live(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    backend = Backend("api", "supervisor", cwd=str(tmp_path), app=App(uds="api.sock"))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        stale = collect(backend)["wanted"][0]
        server.listen()
        live = collect(backend)
    assert (stale["uds"], stale["uds_exists"], stale["uds_is_socket"], stale["uds_listening"]) == (
        str(path),
        True,
        True,
        False,
    )
    assert live["wanted"][0]["uds_listening"] is True
    assert [item["address"] for item in live["wanted_taken_by"]] == [str(path)]
    path.unlink()
    assert collect(backend)["wanted"][0]["uds_exists"] is False


@pytest.mark.parametrize(
    ("host", "addresses", "local"),
    [
        (None, ["10.0.0.5"], None),
        ("0.0.0.0", [], True),
        ("::", [], True),
        ("localhost", [], True),
        ("127.0.0.9", ["10.0.0.5"], True),
        ("10.0.0.5", ["10.0.0.5"], True),
        ("10.0.0.6", ["10.0.0.5"], False),
        ("[::1]", ["::1"], True),
        ("api.internal", ["10.0.0.5"], None),
        ("300.1.1.1", ["10.0.0.5"], None),
        ("10.0.0.6", [], None),
    ],
)
def test_whether_the_address_is_this_hosts(host: str | None, addresses: list[str], local: bool | None) -> None:
    assert ports.host_is_local(host, addresses) is local


@pytest.mark.parametrize(
    ("directives", "uid", "may"),
    [
        ({}, 0, True),
        ({}, 33, False),
        ({"AmbientCapabilities": ["CAP_NET_BIND_SERVICE"]}, 33, True),
        ({"AmbientCapabilities": ["cap_net_bind_service cap_kill"]}, 33, True),
        ({"CapabilityBoundingSet": ["CAP_KILL"]}, 0, False),
        ({}, None, None),
    ],
)
def test_who_may_bind_a_privileged_port(directives: dict[str, list[str]], uid: int | None, may: bool | None) -> None:
    assert ports._may_bind_privileged(Backend("api", "systemd", uid=uid, unit={"directives": directives})) is may


def test_a_backend_without_a_port() -> None:
    found = collect(Backend("worker", "systemd"))
    assert (found["wanted"], found["wanted_taken_by"], found["listening_on_wanted"]) == ([], [], False)
