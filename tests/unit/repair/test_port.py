# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bench import Table, apply, kinds, make

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import proc
from ansible_collections.firstaid.backend.plugins.module_utils._repair.change_ports import on_port
from ansible_collections.firstaid.backend.plugins.module_utils._repair.fixes import leftovers, port
from ansible_collections.firstaid.backend.plugins.module_utils._repair.model import Host, Refused

SERVER = """
import socket, sys, time
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])))
if "--deaf" not in sys.argv:
    server.listen()
print("up", flush=True)
time.sleep(120)
"""
# Starts its argument and ends, so that who started it is gone.
DETACH = (
    "import subprocess, sys\n"
    "p = subprocess.Popen(sys.argv[1:], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
    "print(p.pid, flush=True)\n"
)


class Site:
    """A directory with a server, and what was started there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pids: list[int] = []
        (root / "server.py").write_text(SERVER)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def argv(self, *more: str) -> list[str]:
        return [sys.executable, str(self.root / "server.py"), "--port", str(self.port), *more]

    def host(self, state: str = "failed", main_pid: int | None = None, **options: Any) -> Host:
        return make(self.root, self.argv(), {"number": self.port, **options}, Table(state, main_pid), main_pid=main_pid)

    def detached(self, argv: list[str]) -> int:
        """Start it so that its parent is gone; returns when it holds the port."""
        answer = subprocess.run(
            [sys.executable, "-c", DETACH, *argv],
            cwd=self.root,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=20,
        )
        pid = int(answer.stdout.split()[0])
        self.pids.append(pid)
        for _turn in range(200):
            # Looked at, not tried: a bind of ours would be in the way of the server.
            if on_port(self.port):
                break
            time.sleep(0.05)
        return pid


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    for pid in made.pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def orphaned(pid: int) -> bool:
    stat = proc.read_stat(pid)
    return stat is not None and stat.ppid <= 1


def refused(host: Host) -> Refused:
    with pytest.raises(Refused) as caught:
        port.propose(host)
    return caught.value


@pytest.mark.parametrize("more", [(), ("--deaf",)], ids=["listening", "bound only"])
def test_a_leftover_is_ended_and_the_port_is_free(site: Site, more: tuple[str, ...]) -> None:
    pid = site.detached(site.argv(*more))
    if not orphaned(pid):
        pytest.skip("orphans go to a subreaper here")
    host = site.host()
    host.backend.argv = site.argv(*more)
    proposal = port.propose(host)
    assert kinds(proposal) == ["end_process", "wait_port"] and proposal.changes[0].pid == pid
    assert str(site.port) in proposal.decision and proposal.restart and proposal.prove
    apply(host, proposal.changes)
    assert not os.path.exists(f"/proc/{pid}") or (proc.read_stat(pid) or proc.scan()[1]).state == "Z"
    again = port.propose(site.host("running"))
    assert (again.changes, again.restart) == ([], False)


@pytest.mark.parametrize("known", [True, False])
def test_a_copy_on_another_port_is_no_leftover(site: Site, tmp_path: Path, known: bool) -> None:
    """Two units on one code: what the other one left, or somebody runs by hand, is none of ours."""
    (tmp_path / "second").mkdir()
    other = Site(tmp_path / "second")
    argv = [*site.argv()[:-1], str(other.port)]
    pid = site.detached(argv)
    if not orphaned(pid):
        pytest.skip("orphans go to a subreaper here")
    host = site.host()
    host.backend.app.port = site.port if known else None
    verdict = leftovers.Judge(host).verdict(pid)
    assert verdict.kind == leftovers.FOREIGN and (str(other.port) if known else "arguments") in verdict.why
    host.backend.argv, host.backend.app.port = argv, other.port
    assert leftovers.Judge(host).verdict(pid).kind == leftovers.LEFTOVER


def test_who_is_still_watched_by_its_parent_is_left_alone(site: Site) -> None:
    process = subprocess.Popen(site.argv(), cwd=site.root, stdout=subprocess.PIPE, start_new_session=True)
    site.pids.append(process.pid)
    assert process.stdout is not None
    process.stdout.readline()
    found = refused(site.host())
    assert str(process.pid) in str(found) and "still runs" in str(found)
    assert any("ss -H" in command for command in found.commands)
    assert process.poll() is None
    process.kill()
    process.wait()


def test_another_program_on_the_port_is_named_and_left_alone(site: Site, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "shop.py").write_text(SERVER)
    pid = site.detached(
        [sys.executable, str(other / "shop.py"), "--port", str(site.port), "--api-token", "hunter2hunter2"]
    )
    found = refused(site.host())
    assert str(pid) in str(found) and "shop.py" in str(found) and "hunter2hunter2" not in str(found)
    assert os.path.exists(f"/proc/{pid}")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_the_same_command_of_another_user_is_left_alone(site: Site) -> None:
    pid = site.detached(site.argv())
    host = site.host()
    host.backend.uid, host.backend.user = 65534, "nobody"
    assert "user" in str(refused(host)) and os.path.exists(f"/proc/{pid}")


def test_the_same_command_with_another_interpreter_is_left_alone(site: Site) -> None:
    pid = site.detached(site.argv())
    host = site.host()
    host.backend.python = "/usr/bin/env"
    assert "interpreter" in str(refused(host)) and os.path.exists(f"/proc/{pid}")


def test_the_running_backend_holds_its_own_port(site: Site) -> None:
    pid = site.detached(site.argv())
    proposal = port.propose(site.host("running", pid))
    assert (proposal.changes, proposal.restart) == ([], False)


def test_nobody_holds_it(site: Site) -> None:
    assert port.propose(site.host("stopped")).restart is False
    assert port.propose(site.host("failed")).restart is True
    assert port.propose(site.host("running")).changes == []


def test_closed_connections_are_waited_for(site: Site) -> None:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", site.port))
        server.listen()
        with socket.create_connection(("127.0.0.1", site.port)) as client:
            accepted, _peer = server.accept()
            accepted.close()
            client.recv(1)
    proposal = port.propose(site.host("failed"))
    assert kinds(proposal) == ["wait_port"] and proposal.changes[0].options["time_wait"] is True


@pytest.mark.parametrize("number", ["http", 0, 70000, -1])
def test_a_port_that_is_none_is_refused(site: Site, number: Any) -> None:
    host = make(site.root, site.argv(), {"number": number})
    assert "port_number" in str(refused(host))


def test_without_a_port_it_says_how_to_name_one(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text("print(1)\n")
    assert "port_number" in str(refused(make(tmp_path, [sys.executable, str(tmp_path / "job.py")])))
