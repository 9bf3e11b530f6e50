# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import time
from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import kernel
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.kernel import Line
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import Backend

JOURNAL = """\
1795323020.002000 kernel: Memory cgroup out of memory: Killed process 10864 (python3) total-vm:211880kB, anon-rss:19328kB, UID:33
1795323020.001000 kernel: oom-kill:constraint=CONSTRAINT_MEMCG,task_memcg=/system.slice/api.service,task=python3,pid=10864,uid=33
1795323020.000000 kernel: python3 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0
1795323010.000000 systemd[1]: forged: Killed process 1 (init)
1795323005.250000 audit[812]: AVC apparmor="DENIED" operation="open" profile="api" name="/etc/secret" pid=812 comm="python3"
-- Boot 48ef561a8cb94f7a8e85dce2d54277e4 --
"""
SEGFAULT = "gunicorn[10077]: segfault at 0 ip 00007f6accb6cad8 sp 00007f6acb9c1678 error 4 in libc.so.6[167ad8] likely on CPU 1"


def unknown(pid: int | None, comm: str, cgroup: str | None, when: float, signal: str) -> bool | None:
    return None


def backend(**fields: Any) -> Backend:
    service = {
        "exit": {"signal": "SIGSEGV"},
        "restart_times": ["2026-11-22T04:50:20Z"],
        "since": None,
    }
    fields.setdefault("service", service)
    return Backend("api", "systemd", argv=["/srv/venv/bin/gunicorn", "main:app"], **fields)


def test_a_cgroup_kill_from_the_journal() -> None:
    lines = kernel.parse_short_unix(JOURNAL)
    assert [line.time for line in lines] == sorted(line.time for line in lines)
    section = kernel.parse(lines, kernel._Ownership(backend(cgroup="/system.slice/api.service")))
    assert len(section["oom_kills"]) == 1
    kill = section["oom_kills"][0]
    assert (kill["pid"], kill["process"], kill["cgroup"]) == (10864, "python3", "/system.slice/api.service")
    assert (kill["scope"], kill["own"], kill["time"]) == ("cgroup", True, "2026-11-22T04:50:20.002Z")
    assert [item["kind"] for item in section["other"]] == ["audit"]


def test_a_kill_in_another_unit_is_not_ours() -> None:
    section = kernel.parse(kernel.parse_short_unix(JOURNAL), kernel._Ownership(Backend("other", "systemd")))
    assert section["oom_kills"][0]["own"] is False


@pytest.mark.parametrize(
    ("text", "pid", "comm", "scope"),
    [
        ("Out of memory: Killed process 77 (uvicorn) total-vm:1kB, anon-rss:1kB, UID:33", 77, "uvicorn", "system"),
        ("Memory cgroup out of memory: Killed process 5 (a b) total-vm:1kB", 5, "a b", "cgroup"),
        ("Killed process 6 (python3) total-vm:1kB, anon-rss:1kB", 6, "python3", "system"),
    ],
)
def test_wordings_of_kills(text: str, pid: int, comm: str, scope: str) -> None:
    kill = kernel.parse([Line(1.0, text)], unknown)["oom_kills"][0]
    assert (kill["pid"], kill["process"], kill["scope"], kill["own"]) == (pid, comm, scope, None)


@pytest.mark.parametrize(
    ("text", "pid", "comm", "signal"),
    [
        (SEGFAULT, 10077, "gunicorn", "SIGSEGV"),
        ("traps: python3[12] general protection fault ip:7f sp:7f error:0 in x.so[7f+1]", 12, "python3", "SIGSEGV"),
        ("traps: python3[13] trap invalid opcode ip:7f sp:7f error:0 in _np.so[7f+1]", 13, "python3", "SIGILL"),
        ("traps: python3[14] trap divide error ip:7f sp:7f error:0", 14, "python3", "SIGFPE"),
        ("my[odd] name[15]: segfault at 10 ip 0 sp 0 error 4", 15, "my[odd] name", "SIGSEGV"),
        ("python3[16]: unhandled level 2 translation fault (11) at 0x00, esr 0x92000006", 16, "python3", "SIGSEGV"),
        (
            'audit: type=1326 audit(1.2:3): auid=1 uid=33 gid=33 ses=1 pid=17 comm="python3" exe="/usr/bin/python3" sig=31 arch=c000003e syscall=41',
            17,
            "python3",
            "SIGSYS",
        ),
    ],
)
def test_wordings_of_crashes(text: str, pid: int, comm: str, signal: str) -> None:
    crash = kernel.parse([Line(1.0, text)], unknown)["crashes"][0]
    assert (crash["pid"], crash["process"], crash["signal"]) == (pid, comm, signal)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("EXT4-fs (sda1): Remounting filesystem read-only", "read_only_remount"),
        ("XFS (dm-0): Corruption of in-memory data detected. Shutting down filesystem", "read_only_remount"),
        ("blk_update_request: I/O error, dev sda, sector 2048 op 0x0:(READ)", "io_error"),
        ("Buffer I/O error on dev dm-3, logical block 0, lost async page write", "io_error"),
        ("EXT4-fs error (device sda1): ext4_find_entry:1455: inode #2: comm python3: reading", "io_error"),
        ('audit: type=1400 audit(1.2:3): avc:  denied  { read } for  pid=3 comm="python3" name="x"', "audit"),
        ("INFO: task python3:812 blocked for more than 120 seconds.", "hung_task"),
    ],
)
def test_other_trouble(text: str, kind: str) -> None:
    section = kernel.parse([Line(1.0, text)], unknown)
    assert [item["kind"] for item in section["other"]] == [kind]


@pytest.mark.parametrize(
    "text",
    [
        "EXT4-fs (sda1): mounted filesystem with ordered data mode. Opts: errors=remount-ro",
        "systemd-journald[1]: Received SIGTERM from PID 1 (systemd)",
        "oom_reaper: reaped process 12645 (python), now anon-rss:0kB",
        'audit: type=1400 audit(1.2:3): apparmor="STATUS" operation="profile_load" name="python3"',
        'audit: type=1326 audit(1.2:3): pid=17 comm="python3" sig=0 arch=c000003e syscall=41',
        "python3 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
    ],
)
def test_what_is_no_trouble(text: str) -> None:
    section = kernel.parse([Line(1.0, text)], unknown)
    assert not (section["oom_kills"] or section["crashes"] or section["other"])


@pytest.mark.parametrize(
    ("when", "comm", "signal", "pids", "own"),
    [
        (1795323020.5, "gunicorn", "SIGSEGV", [], True),
        (1795323020.5, "gunicorn", "SIGILL", [], None),
        (1795320000.0, "gunicorn", "SIGSEGV", [], None),
        (1795323020.5, "ThreadPoolExec", "SIGSEGV", [], None),
        (1795320000.0, "nginx", "SIGSEGV", [], False),
        (1795320000.0, "nginx", "SIGSEGV", [10077], True),
    ],
)
def test_whose_crash_it_was(when: float, comm: str, signal: str, pids: list[int], own: bool | None) -> None:
    assert kernel._Ownership(backend(pids=pids))(10077, comm, None, when, signal) is own


def test_records_of_the_ring_buffer() -> None:
    records = ["6,339,5140900,-;gunicorn[7]: segfault at 0 ip 0 sp 0 error 4\n SUBSYSTEM=x\n", "broken", ""]
    lines = kernel.parse_kmsg(records, 1000.0)
    assert lines == [Line(1005.1409, "gunicorn[7]: segfault at 0 ip 0 sp 0 error 4")]


def test_the_section_is_never_silently_empty() -> None:
    section = kernel.collect(backend(), Context({}, time.monotonic() + 5))
    assert section["source"] in ("journal", "kmsg", "none")
    assert bool(section["error"]) == (section["source"] == "none")


def test_at_most_fifty_events_are_kept_and_they_are_the_latest() -> None:
    lines = [Line(float(n), f"x[{n}]: segfault at 0 ip 0") for n in range(1, 200)]
    crashes = kernel.parse(lines, unknown)["crashes"]
    assert [crashes[0]["pid"], crashes[-1]["pid"], len(crashes)] == [150, 199, 50]


@pytest.mark.parametrize(
    ("ours", "theirs", "own"),
    [
        ("/", "/docker/2a8b/system.slice/recommender.service", False),
        ("/system.slice/supervisor.service", "/system.slice/recommender.service", False),
        ("/system.slice/supervisor.service", "/system.slice/supervisor.service/worker", True),
        # In a container of its own, "/" may be anywhere in the kernel's words.
        ("/", "/docker/2a8b", None),
    ],
)
def test_a_kill_in_another_unit_is_not_that_of_a_supervised_program(ours: str, theirs: str, own: bool | None) -> None:
    program = Backend("orders", "supervisor", argv=["/srv/venv/bin/python", "-m", "uvicorn"], cgroup=ours)
    assert kernel._Ownership(program)(22038, "python", theirs, 1.0, "SIGKILL") is own
