# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import proc
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import App, Backend
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.proc import Process, Stat

STAT = (
    "157 (odd) name (x) S 1 157 157 0 -1 4194560 9190 0 0 0 45 12 0 0 20 0 5 0 22011 98795520 10142 "
    "18446744073709551615 1 1 0 0 0 0 0 16781312 17730 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0"
)
UVICORN = ["/srv/venv/bin/python3", "/srv/venv/bin/uvicorn", "main:app", "--host", "127.0.0.1", "--port", "8443"]


def test_stat_with_parentheses_in_the_name() -> None:
    stat = proc.parse_stat(STAT)
    assert stat is not None
    assert (stat.pid, stat.comm, stat.state, stat.ppid, stat.pgrp) == (157, "odd) name (x", "S", 1, 157)
    assert (stat.cpu_ticks, stat.threads, stat.start_ticks) == (57, 5, 22011)
    assert stat.ended_faults == 0
    assert stat.rss_bytes == 10142 * os.sysconf("SC_PAGE_SIZE")


def test_children_that_ended_are_counted() -> None:
    before = proc.read_stat(os.getpid())
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    after = proc.read_stat(os.getpid())
    assert before is not None and after is not None
    assert after.ended_faults > before.ended_faults


@pytest.mark.parametrize("text", ["", "1", "1 (x", "1 (x) S 1", "x (y) S 1 1 1"])
def test_broken_stat(text: str) -> None:
    assert proc.parse_stat(text) is None


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("0::/system.slice/api.service\n", "/system.slice/api.service"),
        ("12:memory:/system.slice\n1:name=systemd:/system.slice/api.service\n0::/x\n", "/system.slice/api.service"),
        ("9:name=systemd:/\n0::/user.slice/session-3.scope\n", "/user.slice/session-3.scope"),
        ("9:name=systemd:/\n", "/"),
        ("", None),
    ],
)
def test_cgroup_of_all_hierarchies(text: str, path: str | None) -> None:
    assert proc.parse_cgroup(text) == path


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("/system.slice/api.service", "api.service"),
        ("/system.slice/api.service/worker-1", "api.service"),
        ("/user.slice/user-0.slice/session-3.scope", "session-3.scope"),
        ("/user.slice/user-1.slice/user@1.service/app.slice/api.service", "api.service"),
        ("/docker/abc", None),
        (None, None),
    ],
)
def test_unit_of_a_cgroup(cgroup: str | None, unit: str | None) -> None:
    assert proc.unit_of(cgroup) == unit


@pytest.mark.parametrize(
    ("cgroup", "wanted", "prefix", "inside"),
    [
        ("/system.slice/api.service", "/system.slice/api.service", "", True),
        ("/system.slice/api.service/init", "/system.slice/api.service", "", True),
        ("/system.slice/api.service2", "/system.slice/api.service", "", False),
        ("/docker/1/system.slice/api.service", "/system.slice/api.service", "/docker/1", True),
        ("/docker/2/system.slice/api.service", "/system.slice/api.service", "", False),
        ("/anything", "/", "", False),
        ("/", None, "", False),
    ],
)
def test_membership_in_a_cgroup(cgroup: str, wanted: str | None, prefix: str, inside: bool) -> None:
    assert proc.in_cgroup(cgroup, wanted, prefix) is inside


def make(argv: list[str], cwd: str | None = "/srv/api", exe: str = "/usr/bin/python3.11", pid: int = 50) -> Process:
    return Process(Stat(pid, "x", "S", 1, 1, 1, 0, 1, 0, 0), uid=0, argv=argv, exe=exe, cwd=cwd)


def uvicorn_backend() -> Backend:
    app = App(server="uvicorn", module="main", attribute="app", code_dir="/srv/api", port=8443)
    return Backend("api", "systemd", argv=UVICORN[1:], cwd="/srv/api", app=app)


@pytest.mark.parametrize(
    ("argv", "cwd", "same"),
    [
        (UVICORN, "/srv/api", True),
        (["/srv/venv/bin/python", "-m", "uvicorn", *UVICORN[2:]], "/srv/api", True),
        ([*UVICORN[:3], "--port", "9000"], "/srv/api", True),
        (["/usr/bin/python3", "-c", "from multiprocessing.spawn import spawn_main; spawn_main(7)"], "/srv/api", True),
        (["/usr/bin/python3", "-c", "from multiprocessing.spawn import spawn_main; spawn_main(7)"], "/srv/two", False),
        (["/usr/bin/python3", "-c", "from multiprocessing.resource_tracker import main"], "/srv/api", False),
        (UVICORN, "/srv/other", False),
        (["/srv/venv/bin/python3", "/srv/venv/bin/uvicorn", "other:app"], "/srv/api", False),
        (["vim", "main.py"], "/srv/api", False),
        (["/bin/bash"], "/srv/api", False),
        ([], "/srv/api", False),
    ],
)
def test_who_runs_the_same_code(argv: list[str], cwd: str, same: bool) -> None:
    assert proc.runs_same_code(make(argv, cwd), uvicorn_backend()) is same


def test_gunicorn_titles_and_scripts() -> None:
    app = App(server="gunicorn", module="wsgi", attribute="application", code_dir="/srv/api")
    gunicorn = Backend("api", "systemd", argv=["/v/bin/gunicorn", "wsgi:application"], cwd="/srv/api", app=app)
    assert proc.runs_same_code(make(["gunicorn: worker [wsgi:application]"]), gunicorn)
    assert not proc.runs_same_code(make(["gunicorn: worker [other:application]"]), gunicorn)
    script = Backend("job", "systemd", argv=["/usr/bin/python3", "run.py"], cwd="/srv/api", app=App(script="run.py"))
    assert proc.runs_same_code(make(["python3", "/srv/api/run.py"], cwd="/"), script)
    assert not proc.runs_same_code(make(["python3", "/srv/two/run.py"], cwd="/"), script)


def test_this_process_is_described_as_the_schema_says() -> None:
    stat = proc.read_stat(os.getpid())
    assert stat is not None
    shape = proc.inspect(stat, count_fds=True).as_dict()
    assert set(shape) == set(
        "pid ppid start_time age_s state exe command cwd user uid rss_bytes threads fds cgroup unit".split()
    )
    assert shape["uid"] == os.geteuid()
    assert shape["fds"] > 2
    assert 0 <= shape["age_s"] < 86400
    assert os.getpid() in proc.scan()
    assert os.getpid() in proc.ancestors(os.getpid(), proc.scan())


def test_times_are_iso_utc() -> None:
    assert proc.iso(0.25) == "1970-01-01T00:00:00.250Z"
    assert proc.iso(None) is None
    assert proc.iso(1e30) is None
    assert (proc.iso(time.time()) or "").endswith("Z")


def test_own_processes_are_the_cgroup_and_descendants() -> None:
    stats = {
        10: Stat(10, "main", "S", 1, 10, 10, 0, 1, 0, 0),
        11: Stat(11, "worker", "S", 10, 10, 10, 0, 1, 0, 0),
        12: Stat(12, "grandchild", "S", 11, 12, 12, 0, 1, 0, 0),
        13: Stat(13, "other", "S", 1, 13, 13, 0, 1, 0, 0),
        14: Stat(14, "orphan", "S", 1, 10, 10, 0, 1, 0, 0),
    }
    assert proc.own_pids(Backend("x", "supervisor", main_pid=10), stats) == {10, 11, 12, 14}
    assert proc.own_pids(Backend("x", "supervisor"), stats) == set()


def test_what_an_earlier_start_left_in_the_cgroup_is_not_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stats = {
        pid: Stat(pid, "python", "S", parent, pid, pid, 0, 1, started, 0)
        for pid, parent, started in [(8, 1, 40), (10, 8, 50), (11, 10, 51), (20, 1, 10), (21, 20, 60), (22, 1, 55)]
    }
    for pid in stats:
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "cgroup").write_text("0::/system.slice/x.service\n")
    monkeypatch.setattr(proc, "PROC", str(tmp_path))
    monkeypatch.setattr(proc, "cgroup_prefix", lambda: "")
    backend = Backend("x.service", "systemd", main_pid=10, cgroup="/system.slice/x.service")
    assert proc.own_pids(backend, stats) == {8, 10, 11, 22}
    backend.main_pid = None
    assert proc.own_pids(backend, stats) == set(stats)
    backend.service = {"sub_state": "auto-restart"}
    assert proc.own_pids(backend, stats) == set()
