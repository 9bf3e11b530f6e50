# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import App, Backend
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.sockets import LISTENING, Socket
from ansible_collections.firstaid.backend.plugins.module_utils._repair import ready_look, ready_port
from ansible_collections.firstaid.backend.plugins.module_utils._repair.ready_look import Word
from ansible_collections.firstaid.backend.plugins.module_utils._repair.ready_port import PortLook, reaches


@contextmanager
def process(code: str) -> Iterator[tuple[int, str]]:
    """A process that runs the code: (its PID, the line that it prints)."""
    text = f"import os, socket, time\n{code}\ntime.sleep(60)\n"
    child = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert child.stdout is not None
        yield child.pid, child.stdout.readline().strip()
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()


LISTEN = "s = socket.create_server(('127.0.0.1', {port}), reuse_port={reuse})\nprint(s.getsockname()[1], flush=True)"
WAIT = "print('', flush=True)"


def look(pid: int, app: App) -> PortLook:
    backend = Backend("api", "supervisor", app=app)
    seen = ready_look.look(backend, Word("running", main_pid=pid))
    return ready_port.look(seen, Context({}, time.monotonic() + 10))


def listener(port: int = 0, reuse: bool = False) -> str:
    return LISTEN.format(port=port, reuse=reuse)


def test_its_own_process_listens() -> None:
    with process(listener()) as (pid, port):
        found = look(pid, App(port=int(port), host="127.0.0.1"))
    assert (found.owned, found.owner, len(found.listeners)) == (True, "own", 1)
    assert [(place.address, place.port) for place in found.places] == [("127.0.0.1", int(port))]


def test_a_child_of_the_main_process_listens() -> None:
    code = f"pid = os.fork()\nif pid == 0:\n    {'; '.join(listener().splitlines())}"
    with process(code) as (pid, port):
        assert look(pid, App(port=int(port))).owned is True


def test_somebody_else_has_the_port() -> None:
    with process(listener()) as (theirs, port), process(WAIT) as (pid, _line):
        found = look(pid, App(port=int(port)))
    assert found.owned is False and f"pid {theirs}" in str(found.owner)
    assert f"listens on port {port}, not the backend" in found.text


def test_bound_is_not_listening() -> None:
    code = "s = socket.socket(); s.bind(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True)"
    with process(code) as (pid, port):
        found = look(pid, App(port=int(port)))
    assert found.owned is False
    # A kernel before 6.8 tells of bound sockets only to those who may look into the process.
    assert found.owner in ("own, not listening", "none")


def test_nothing_listens() -> None:
    with process(WAIT) as (pid, _line):
        assert look(pid, App(port=1)).owner == "none"


def test_a_leftover_that_shares_the_port() -> None:
    with process(listener(reuse=True)) as (pid, port), process(listener(int(port), True)) as (theirs, _line):
        found = look(pid, App(port=int(port)))
    assert found.owned is False and found.owner == "shared"
    assert f"pid {theirs}" in found.text


def test_no_port_is_known() -> None:
    with process(listener()) as (pid, port):
        found = look(pid, App())
    assert found.owned is None and [place.port for place in found.places] == [int(port)]


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    code = f"s = socket.socket(socket.AF_UNIX); s.bind({str(path)!r}); s.listen(); print('', flush=True)"
    with process(code) as (pid, _line):
        found = look(pid, App(uds=str(path)))
        other = look(pid, App(uds=str(tmp_path / "other.sock")))
    assert (found.owned, found.places[0].uds) == (True, str(path))
    assert other.owned is False


def test_the_wrong_address_is_said() -> None:
    with process(listener()) as (pid, port):
        found = look(pid, App(port=int(port), host="0.0.0.0"))
    assert (found.owned, found.owner) == (False, "own, other address")


@pytest.mark.parametrize(
    ("host", "address", "v6only", "serves"),
    [
        ("127.0.0.1", "127.0.0.1", False, True),
        ("127.0.0.1", "0.0.0.0", False, True),
        ("127.0.0.1", "::", False, True),
        ("127.0.0.1", "::", True, False),
        ("0.0.0.0", "127.0.0.1", False, False),
        ("0.0.0.0", "::1", False, False),
        ("::", "0.0.0.0", False, False),
        ("::1", "::", True, True),
        ("[::1]", "::1", False, True),
        ("localhost", "::1", False, True),
        ("", "127.0.0.1", False, True),
        (None, "127.0.0.1", False, True),
    ],
)
def test_addresses_and_families(host: str | None, address: str, v6only: bool, serves: bool) -> None:
    proto = "tcp6" if ":" in address else "tcp"
    assert reaches(host, Socket(proto, address, 80, LISTENING, 1, v6only=v6only)) is serves
