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

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import cgroups, clock, processes, resources
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import App, Backend, LogRef
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.proc import Process, Stat

V1 = """\
32 25 0:28 / /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory
33 25 0:29 / /sys/fs/cgroup/systemd rw,nosuid shared:10 - cgroup cgroup rw,xattr,name=systemd
34 25 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:10 - cgroup cgroup rw,cpu,cpuacct
35 25 0:31 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw,nsdelegate
"""
V2 = "29 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
LIMITS = """\
Limit                     Soft Limit           Hard Limit           Units
Max cpu time              unlimited            unlimited            seconds
Max address space         unlimited            unlimited            bytes
Max processes             96365                96365                processes
Max open files            1024                 524288               files
"""
MOUNTINFO = """\
22 1 259:1 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p1 rw
40 22 0:35 / /srv/my\\040data rw,relatime shared:20 - nfs4 10.0.0.9:/export rw,vers=4.2
41 22 0:36 / /tmp rw,nosuid - tmpfs tmpfs rw
42 22 0:37 / /srv/ro ro,nosuid - ext4 /dev/sdb1 rw
garbage
"""


def ctx() -> Context:
    return Context({}, time.monotonic() + 5)


def test_hierarchies_of_version_1() -> None:
    mounts = cgroups.parse_mounts(V1)
    paths = cgroups.parse_paths("4:memory:/system.slice/api.service\n2:cpu,cpuacct:/x\n0::/system.slice/api.service\n")
    assert paths["cpuacct"] == "/x"
    group = cgroups.locate("memory", mounts, paths)
    assert group is not None
    assert (group.folder, group.version) == ("/sys/fs/cgroup/memory/system.slice/api.service", 1)


def make_v2(tmp_path: Path, **files: str) -> cgroups.Group:
    folder = tmp_path / "system.slice" / "api.service"
    folder.mkdir(parents=True)
    (folder / "cgroup.controllers").write_text("memory pids\n")
    for name, text in files.items():
        (folder / name.replace("_", ".", 1)).write_text(text)
    mounts = cgroups.parse_mounts(V2.replace("/sys/fs/cgroup", str(tmp_path)))
    group = cgroups.locate("memory", mounts, {"unified": "/system.slice/api.service"})
    assert group is not None
    return group


def test_memory_of_version_2_with_the_limit_of_its_slice(tmp_path: Path) -> None:
    group = make_v2(
        tmp_path,
        memory_current="1048576\n",
        memory_max="max\n",
        memory_events="low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\n",
    )
    (tmp_path / "system.slice" / "memory.max").write_text("268435456\n")
    (tmp_path / "system.slice" / "memory.events").write_text("oom_kill 9\n")
    memory = cgroups.memory(group)
    assert memory is not None
    assert (memory["version"], memory["current_bytes"], memory["max_bytes"]) == (2, 1048576, 268435456)
    assert (memory["oom_kills"], memory["fail_count"], memory["slice_oom_kills"]) == (2, 7, 9)


def test_a_container_sees_its_group_mounted_as_root(tmp_path: Path) -> None:
    mounts = {"memory": (str(tmp_path), "/docker/abc")}
    group = cgroups.locate("memory", mounts, {"memory": "/docker/abc/system.slice/api.service"})
    assert group is not None
    assert group.folder == f"{tmp_path}/system.slice/api.service"


@pytest.mark.parametrize(
    ("text", "value"),
    [("123\n", 123), ("max\n", None), ("9223372036854771712\n", None), ("", None), (None, None), ("-1", None)],
)
def test_numbers_of_control_files(text: str | None, value: int | None) -> None:
    assert cgroups.number(text) == value


def test_limits() -> None:
    limits = resources.parse_limits(LIMITS)
    assert limits["NOFILE"] == {"soft": 1024, "hard": 524288}
    assert limits["AS"] == {"soft": None, "hard": None}
    assert "CORE" not in limits


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/srv/my data/app", ("/srv/my data", "10.0.0.9:/export", "nfs4")),
        ("/srv/my database", ("/", "/dev/nvme0n1p1", "ext4")),
        ("/tmp", ("/tmp", "tmpfs", "tmpfs")),
        ("/", ("/", "/dev/nvme0n1p1", "ext4")),
    ],
)
def test_the_mount_of_a_path(path: str, expected: tuple[str, str, str]) -> None:
    assert resources.mount_of(path, resources.parse_mountinfo(MOUNTINFO)) == expected


def test_resources_of_a_backend_that_is_down(tmp_path: Path) -> None:
    backend = Backend("api", "supervisor", cwd=str(tmp_path), environ={"HOME": str(tmp_path)})
    backend.log_files = [LogRef(str(tmp_path / "missing" / "app.log"), "test")]
    backend.unit = {"limits": {"nofile": 256, "memory_max": 1000}}
    section = resources.collect(backend, ctx())
    by_path = {disk["path"]: disk for disk in section["disks"]}
    assert sorted(by_path[str(tmp_path)]["purpose"]) == ["home", "working_directory"]
    assert by_path[str(tmp_path)]["free_bytes"] > 0
    assert by_path[str(tmp_path / "missing")]["exists"] is False
    assert section["limits"] == {"NOFILE": {"soft": 256, "hard": 256}}
    assert section["memory"]["cgroup"]["max_bytes"] == 1000
    assert section["memory"]["total_bytes"] > section["memory"]["available_bytes"] > 0
    assert section["fds"]["open"] is None


def test_a_disk_that_never_answers_costs_only_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "DISK_SECONDS", 0.1)
    monkeypatch.setattr(resources, "disk", lambda *_args: time.sleep(3600))
    begun = time.monotonic()
    section = resources.collect(Backend("api", "supervisor", cwd="/srv"), ctx())
    assert time.monotonic() - begun < 1
    assert "did not answer" in section["_partial"]


def process(pid: int, ppid: int, ticks: int, *argv: str) -> Process:
    return Process(Stat(pid, "x", "S", ppid, 1, 1, 0, 1, ticks, 0), argv=list(argv), exe="/usr/bin/python3.11")


def test_young_workers_behind_an_old_parent() -> None:
    backend = Backend("api", "systemd", main_pid=10, app=App(server="gunicorn", workers=2))
    own = [
        process(10, 1, 0, "gunicorn: master [main:app]"),
        process(11, 10, 5000, "gunicorn: worker [main:app]"),
        process(12, 10, 6000, "gunicorn: worker [main:app]"),
        process(13, 10, 0, "python3", "-c", "from multiprocessing.resource_tracker import main"),
    ]
    found = processes.young_workers(backend, own)
    assert found is not None
    assert (found["count"], found["expected"]) == (2, 2)
    assert found["parent_age_s"] - found["oldest_worker_age_s"] == pytest.approx(50, abs=1)


@pytest.mark.parametrize("server", ["uvicorn", "script", "module", "daphne"])
def test_children_of_other_programs_are_no_workers(server: str) -> None:
    backend = Backend("api", "systemd", main_pid=10, app=App(server=server))
    assert processes.young_workers(backend, [process(10, 1, 0, "x"), process(11, 10, 6000, "y")]) is None


def test_celery_without_children_is_not_reported() -> None:
    backend = Backend("api", "systemd", main_pid=10, app=App(server="celery", workers=4))
    assert processes.young_workers(backend, [process(10, 1, 0, "celery")]) is None
    found = processes.young_workers(backend, [process(10, 1, 0, "celery"), process(11, 10, 6000, "celery")])
    assert found is not None
    assert (found["count"], found["expected"]) == (1, None)


def test_no_workers_where_none_are_expected_and_zero_where_some_are() -> None:
    uvicorn = Backend("api", "systemd", main_pid=10, app=App(server="uvicorn"))
    assert processes.young_workers(uvicorn, [process(10, 1, 0, "uvicorn")]) is None
    gunicorn = Backend("api", "systemd", main_pid=10, app=App(server="gunicorn"))
    found = processes.young_workers(gunicorn, [process(10, 1, 0, "gunicorn")])
    assert found is not None
    assert (found["count"], found["expected"], found["oldest_worker_age_s"]) == (0, 1, None)
    assert processes.young_workers(Backend("api", "systemd"), []) is None


@pytest.mark.parametrize(
    ("text", "machine", "expected"),
    [
        ("42 0x5 0x7ffc 0x10 0x0 0x0 0x0 0x7ffc 0x7f\n", "x86_64", ("connect", 5)),
        ("202 0x55 0x189 0x0 0x0 0x0 0xffffffff 0x7f 0x7f", "x86_64", ("futex", None)),
        ("207 0x7 0x1 0x1 0x0 0x0 0x0 0x1 0x1", "aarch64", ("recvfrom", 7)),
        ("999 0x7 0x1", "x86_64", ("system call 999", None)),
        ("running\n", "x86_64", None),
        ("-1 0x7ffc 0x7f", "x86_64", None),
        ("", "x86_64", None),
    ],
)
def test_system_calls(text: str, machine: str, expected: tuple[str, int | None] | None) -> None:
    assert processes.parse_syscall(text, machine) == expected


def test_live_processes_zombies_and_leftovers(tmp_path: Path) -> None:
    """A parent with a zombie child is the backend; another copy of the same script beside it is a leftover."""
    script = tmp_path / "serve.py"
    script.write_text(
        "import os, sys, time\n"
        "if len(sys.argv) == 1 and os.fork() == 0: os._exit(0)\n"
        "print('up', flush=True)\n"
        "time.sleep(60)\n"
    )
    options = {"cwd": tmp_path, "stdout": subprocess.PIPE, "start_new_session": True}
    main = subprocess.Popen([sys.executable, "serve.py"], **options)  # type: ignore[call-overload]
    other = subprocess.Popen([sys.executable, str(script), "second"], **options)  # type: ignore[call-overload]
    try:
        for child in (main, other):
            assert child.stdout.readline() == b"up\n"
        backend = Backend("api", "supervisor", argv=[sys.executable, "serve.py"], cwd=str(tmp_path), main_pid=main.pid)
        backend.app = App(server="script", script="serve.py", code_dir=str(tmp_path))
        section = processes.collect(backend, ctx())
        assert [item["pid"] for item in section["own"]] == [main.pid]
        assert len(section["zombies"]) == 1
        assert section["zombies"][0]["ppid"] == main.pid
        assert [item["pid"] for item in section["leftovers"]] == [other.pid]
        assert section["cpu_ms_sampled"] <= 30
        assert str(main.pid) in section["blocked_in"][0]
    finally:
        for child in (main, other):
            child.kill()
            child.communicate()


def test_nothing_of_this_test_run_is_taken_for_the_backend() -> None:
    section = processes.collect(Backend("api", "systemd", cwd=os.getcwd(), argv=["/x/bin/uvicorn", "a:b"]), ctx())
    assert (section["own"], section["leftovers"], section["zombies"], section["cpu_ms_sampled"]) == ([], [], [], None)


@pytest.mark.parametrize(
    ("controller", "expected"),
    [(1000.0, 5.0), ("1000", 5.0), (1007.25, -2.2), (None, None), ("later", None)],
)
def test_clock_offset(controller: object, expected: float | None) -> None:
    found = clock.offset(controller, 1005.0)
    assert found == (pytest.approx(expected, abs=0.1) if expected is not None else None)


def test_clock_section() -> None:
    section = clock.collect(Backend("api", "systemd", environ={"TZ": "Europe/Berlin"}), ctx())
    assert section["timezone"] == "Europe/Berlin"
    assert section["ntp_synchronized"] in (True, False, None)
    assert section["controller_offset_s"] is None
