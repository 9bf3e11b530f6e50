# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bench import apply, make

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import proc
from ansible_collections.firstaid.backend.plugins.module_utils._repair import ending
from ansible_collections.firstaid.backend.plugins.module_utils._repair.changes import ChangeError
from ansible_collections.firstaid.backend.plugins.module_utils._repair.ending import StillThere, Who
from ansible_collections.firstaid.backend.plugins.module_utils._repair.model import Change

Start = Callable[..., subprocess.Popen[bytes]]
WAIT = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
PARENT = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', {child!r}], stdout=subprocess.PIPE)\n"
    "child.stdout.readline()\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(60)\n"
)


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[subprocess.Popen[bytes]] = []

    def run(code: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
        running.append(process)
        return process

    yield run
    for process in running:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


def who(pid: int) -> Who:
    stat = proc.read_stat(pid)
    assert stat is not None
    return Who(pid, stat.start_ticks)


def first_line(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()


def test_a_process_ends_by_being_asked(start: Start) -> None:
    process = start(WAIT)
    first_line(process)
    one = who(process.pid)
    began = time.monotonic()
    assert ending.end([one], grace=10) == [one]
    assert not ending.alive(one) and time.monotonic() - began < 5
    assert process.wait() == -signal.SIGTERM


def test_who_does_not_listen_is_killed(start: Start) -> None:
    process = start(STUBBORN)
    first_line(process)
    assert ending.end([who(process.pid)], grace=0.3)
    assert process.wait() == -signal.SIGKILL


def test_children_end_with_their_parent_even_if_they_don_t_listen(start: Start) -> None:
    process = start(PARENT.format(child=STUBBORN))
    child = who(int(first_line(process)))
    ended = ending.end([who(process.pid)], grace=0.5)
    assert child in ended and not ending.alive(child)


def test_another_process_under_the_same_number_is_left_alone(start: Start) -> None:
    process = start(WAIT)
    first_line(process)
    stranger = Who(process.pid, who(process.pid).start - 1)
    assert ending.end([stranger], grace=0.2) == []
    assert not ending.send(stranger, signal.SIGKILL)
    assert process.poll() is None


@pytest.mark.parametrize("pid", [0, 1, os.getpid()], ids=["none", "first", "own"])
def test_neither_we_nor_the_first_process_can_be_ended(pid: int) -> None:
    with pytest.raises(StillThere):
        ending.send(Who(pid, 0), signal.SIGTERM)


def test_the_kind_of_change_ends_and_says_so(start: Start, tmp_path: Path) -> None:
    process = start(WAIT)
    first_line(process)
    one = who(process.pid)
    host = make(tmp_path, [sys.executable, "-c", WAIT])
    change = Change(
        "end_process", f"/proc/{one.pid}", "test", pid=one.pid, start_time=one.start, options={"grace_s": 5}
    )
    (record,) = apply(host, [change])
    assert record["before"]["alive"] and record["before"]["pid"] == one.pid and record["after"]["ended"] == [one.pid]
    assert WAIT not in str(record)


def test_the_kind_of_change_refuses_its_own_ancestors(tmp_path: Path) -> None:
    one = who(os.getppid())
    with pytest.raises(ChangeError):
        apply(make(tmp_path, []), [Change("end_process", "/proc/x", "test", pid=one.pid, start_time=one.start)])
