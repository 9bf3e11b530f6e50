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
from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import App, Backend
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.supervisor_config import Config, Program
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.supervisor_instances import Instance
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.supervisor_rpc import Status
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.systemd_show import parse_show
from ansible_collections.firstaid.backend.plugins.module_utils._repair import ready_look
from ansible_collections.firstaid.backend.plugins.module_utils._repair.ready_look import Word, read_program, read_unit


@pytest.mark.parametrize(
    ("shown", "state"),
    [
        ("ActiveState=active\nSubState=running\nMainPID=7", "running"),
        ("ActiveState=reloading\nSubState=reload", "running"),
        ("ActiveState=active\nSubState=exited\nType=oneshot", "finished"),
        ("ActiveState=activating\nSubState=start", "starting"),
        ("ActiveState=activating\nSubState=auto-restart\nResult=exit-code", "restarting"),
        ("ActiveState=failed\nSubState=failed-before-auto-restart", "restarting"),
        ("ActiveState=inactive\nSubState=dead-before-auto-restart", "restarting"),
        ("ActiveState=deactivating\nSubState=stop-sigterm", "stopping"),
        ("ActiveState=failed\nSubState=failed\nResult=exit-code", "failed"),
        ("ActiveState=failed\nSubState=failed\nJob=812", "starting"),
        ("ActiveState=inactive\nSubState=dead\nResult=success\nType=simple\nExecMainCode=1", "stopped"),
        ("ActiveState=inactive\nSubState=dead\nResult=success\nType=oneshot\nExecMainCode=0", "stopped"),
        (
            "ActiveState=inactive\nSubState=dead\nResult=success\nType=oneshot\nExecMainCode=1\n"
            "ExecMainStartTimestamp=Sun 2026-11-22 04:43:16 UTC",
            "finished",
        ),
        ("ActiveState=\nSubState=", "unknown"),
    ],
)
def test_systemd_words(shown: str, state: str) -> None:
    assert read_unit(parse_show(shown)[0]).state == state


def test_a_start_limit_is_giving_up() -> None:
    word = read_unit(parse_show("ActiveState=failed\nSubState=failed\nResult=start-limit-hit\nNRestarts=5")[0])
    assert word.gave_up and word.restarts == 5


@pytest.mark.parametrize(
    ("statename", "options", "exit_status", "state"),
    [
        ("RUNNING", {}, 0, "running"),
        ("STARTING", {}, 0, "starting"),
        ("BACKOFF", {}, 1, "restarting"),
        ("STOPPED", {}, 0, "stopped"),
        ("FATAL", {}, 1, "failed"),
        ("EXITED", {"autorestart": "true"}, 0, "restarting"),
        ("EXITED", {}, 1, "restarting"),
        ("EXITED", {}, 0, "stopped"),
        ("EXITED", {"autorestart": "false"}, 1, "failed"),
        ("EXITED", {"autorestart": "false", "startsecs": "0"}, 0, "finished"),
        (None, {}, 0, "unknown"),
    ],
)
def test_supervisor_words(statename: str | None, options: dict[str, str], exit_status: int, state: str) -> None:
    info: dict[str, Any] = {"statename": statename, "exitstatus": exit_status, "pid": 0} if statename else {}
    program = Program("api", "api", "api", "/etc/supervisord.conf", options)
    instance = Instance(Config("/etc/supervisord.conf"), status=Status(processes={("api", "api"): info}))
    word = read_program(instance, program)
    assert word.state == state and word.gave_up == (statename == "FATAL")


@contextmanager
def tree(command: list[str]) -> Iterator[int]:
    child = subprocess.Popen(command, start_new_session=True)
    try:
        yield child.pid
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def until_workers(backend: Backend, pid: int, number: int) -> ready_look.Seen:
    end = time.monotonic() + 10
    while True:
        seen = ready_look.look(backend, Word("running", main_pid=pid))
        if len(seen.workers or ()) == number or time.monotonic() > end:
            return seen
        time.sleep(0.02)


FORKS = "import os, time\nfor number in range(2):\n    if os.fork() == 0:\n        break\ntime.sleep(60)"


@pytest.mark.parametrize("wrapper", [[], ["/bin/sh", "-c", '"$@"; true', "sh"]])
def test_workers_are_found_behind_a_wrapper_too(wrapper: list[str]) -> None:
    backend = Backend("api", "supervisor", app=App(server="gunicorn", workers=2))
    with tree([*wrapper, sys.executable, "-c", FORKS]) as pid:
        seen = until_workers(backend, pid, 2)
        assert len(seen.workers or ()) == 2
        victim = min(seen.workers or ())[0]
        os.kill(victim, signal.SIGKILL)
        assert victim not in {worker for worker, _start in until_workers(backend, pid, 1).workers or ()}


def test_a_server_without_workers_has_none_to_watch() -> None:
    for app in (App(server="uvicorn"), App(server="script")):
        assert (
            ready_look.look(Backend("api", "supervisor", app=app), Word("running", main_pid=os.getpid())).workers
            is None
        )
    scaling = Backend("api", "supervisor", argv=["celery", "--autoscale=9,1"], app=App(server="celery"))
    assert not ready_look.has_workers(scaling)


def test_the_identity_changes_with_every_start() -> None:
    backend = Backend("api", "supervisor")
    found = []
    for _number in range(2):
        with tree([sys.executable, "-c", "import time; time.sleep(60)"]) as pid:
            found.append(ready_look.look(backend, Word("running", main_pid=pid)).identity)
    assert None not in found and found[0] != found[1]
    assert ready_look.look(backend, Word("running")).identity == (None, None, None)
