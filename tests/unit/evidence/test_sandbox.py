# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandbox's decisions, its system call filter, and real programs in whatever kind of sandbox this machine allows."""

from __future__ import annotations

import os
import struct
import sys
import time
from pathlib import Path

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import (
    sandbox,
    sandbox_guard,
    sandbox_kernel,
    sandbox_mounts,
)

MOUNTS = sandbox_mounts.parse_mountinfo(
    r"""
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
23 22 0:21 / /proc rw,nosuid,nodev,noexec - proc proc rw
24 22 0:22 / /run rw,nosuid - tmpfs tmpfs rw
25 22 8:1 / /srv rw,noexec,relatime - xfs /dev/sda1 rw
26 22 8:2 / /mnt/with\040space rw - ext4 /dev/sdb1 rw
27 22 0:30 / /home rw - nfs4 server:/home rw
28 22 8:3 / /data rw - ext4 /dev/sdc1 ro
29 22 0:40 / /var/lib/docker/overlay2/abc/merged rw - overlay overlay rw
30 25 0:41 / /srv/app/cache rw - tmpfs tmpfs rw
garbage
"""
)
TOP = ["/bin", "/etc", "/home", "/proc", "/run", "/srv", "/tmp", "/var", "/data", "/mnt"]


def test_mountinfo_escapes_flags_and_read_only_superblocks() -> None:
    by_path = {mount.path: mount for mount in MOUNTS}
    assert "/mnt/with space" in by_path
    assert by_path["/srv"].flags & sandbox_kernel.MS_NOEXEC
    assert by_path["/data"].read_only and not by_path["/srv"].read_only


def test_all_of_the_tree_that_can_be_written_is_covered() -> None:
    places = sandbox_mounts.writable_places(["/srv/app", "/var/log/shop"], TOP, MOUNTS, whole=True)
    assert {"/etc", "/run", "/srv", "/tmp", "/var", "/srv/app/cache", "/mnt/with space"} <= set(places)
    assert "/srv/app" not in places, "it lies inside /srv, on the same mount"
    refused = {"/proc", "/home", "/data", "/var/lib/docker/overlay2/abc/merged", "/"}
    assert not refused & set(places), "special, remote, read-only or another container's"


def test_in_a_user_namespace_own_directories_are_covered_one_by_one() -> None:
    places = sandbox_mounts.writable_places(["/opt/shop", "/srv/app"], TOP, MOUNTS, whole=False)
    assert "/opt/shop" in places and "/etc" in places
    assert "/srv" not in places and "/srv/app" not in places, "something is mounted inside"


def decide(program: bytes, arch: int, number: int, *arguments: int) -> int:
    """What a seccomp filter answers: a small interpreter of the instructions that it uses."""
    padded = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("<IIQ6Q", number, arch, 0, *padded)
    code = [struct.unpack_from("=HBBI", program, offset) for offset in range(0, len(program), 8)]
    accumulator = position = 0
    while True:
        operation, if_true, if_false, value = code[position]
        position += 1
        if operation == 0x20:
            accumulator = struct.unpack_from("<I", data, value)[0]
        elif operation == 0x15:
            position += if_true if accumulator == value else if_false
        elif operation == 0x35:
            position += if_true if accumulator >= value else if_false
        else:
            assert operation == 0x06
            return int(value)


ALLOW, REFUSE, X86 = 0x7FFF0000, 0x00050000 | sandbox_kernel.ENONET, 0xC000003E
ENOSYS = 0x00050000 | sandbox_kernel.ENOSYS
SOCKET, CONNECT, SENDTO, BIND, READ, KILL = 41, 42, 44, 49, 0, 62
EVERYBODY = 0xFFFFFFFFFFFFFFFF


@pytest.mark.parametrize(
    ("bind", "connect", "call", "answer"),
    [
        (True, False, (SOCKET, 1), REFUSE),
        (True, False, (SOCKET, 2), ALLOW),
        (True, False, (CONNECT, 3), REFUSE),
        (True, False, (BIND, 3), ALLOW),
        (True, False, (SENDTO, 3, 0, 5, 0, 0x7F0000000000), REFUSE),
        (True, False, (SENDTO, 3, 0, 5, 0, 0x10), REFUSE),
        (True, False, (SENDTO, 3, 0, 5, 0, 0), ALLOW),
        (True, False, (READ, 0), ALLOW),
        (True, False, (KILL, EVERYBODY, 9), ALLOW),
        (False, False, (BIND, 3), REFUSE),
        (False, False, (KILL, EVERYBODY, 9), 0x00050000 | sandbox_kernel.EPERM),
        (False, False, (KILL, 77, 9), ALLOW),
        (False, False, (SOCKET, 1), REFUSE),
        (True, True, (CONNECT, 3), ALLOW),
        (True, True, (SOCKET, 1), REFUSE),
        (True, True, (SENDTO, 3, 0, 5, 0, 0x10), ALLOW),
        (True, True, (425, 8), 0x00050000 | sandbox_kernel.ENOSYS),
    ],
)
def test_system_call_filter(bind: bool, connect: bool, call: tuple[int, ...], answer: int) -> None:
    program = sandbox_kernel.seccomp_program("x86_64", bind, connect)
    assert program is not None
    assert decide(program, X86, *call) == answer
    assert decide(program, 0x40000003, *call) == ENOSYS, "32-bit calls would be a way around the filter"
    assert decide(program, X86, 0x40000000 | call[0], *call[1:]) == ENOSYS
    for_32_bit = sandbox_kernel.seccomp_program("x86_64", bind, connect, foreign=True)
    assert decide(for_32_bit or b"", 0x40000003, *call) == ALLOW, "a 32-bit interpreter must not die of the filter"


def test_unknown_architecture_has_no_filter() -> None:
    assert sandbox_kernel.seccomp_program("vax", True, False) is None


def test_output_keeps_head_and_tail() -> None:
    kept = sandbox._Capped(100, 20)
    for number in range(1000):
        kept.add(b"%04d\n" % number)
    assert kept.text().startswith("0000\n0001\n") and kept.text().endswith("0998\n0999\n")
    assert f"{5000 - 100} bytes left out" in kept.text()


def test_json_lines_takes_objects_only() -> None:
    assert sandbox.json_lines(b'{"a": 1}\n[2]\nrubbish\n\xff\n{"b":\n{"c": 3}') == [{"a": 1}, {"c": 3}]


def test_bundle_loads_modules_from_text_alone() -> None:
    text = sandbox.bundle(
        "firstaid_test_bundle", (sandbox_kernel, sandbox_mounts, sandbox_guard), "result = _main.MAX_TASKS"
    )
    assert text.isascii()
    names: dict[str, object] = {"__name__": "case"}
    exec(compile(text, "<case>", "exec"), names)  # noqa: S102 - as the launcher does
    assert names["result"] == sandbox_guard.MAX_TASKS


needs_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the sandbox is Linux's")


def run(code: str, timeout: float = 10.0, **fields: object) -> sandbox.Result:
    """Run Python code as the user of the tests."""
    request = sandbox.Request(
        [sys.executable, "-I", "-c", code],
        {"PATH": "/usr/bin:/bin"},
        "/",
        os.geteuid(),
        os.getegid(),
        [os.getegid()] if os.geteuid() == 0 else [],
        timeout,
        256 * sandbox.MIB,
    )
    for name, value in fields.items():
        setattr(request, name, value)
    return sandbox.run(request)


@needs_linux
def test_files_written_inside_are_not_on_the_host(tmp_path: Path) -> None:
    result = run(
        f"open({str(tmp_path / 'made')!r}, 'w').write('x'); print(open({str(tmp_path / 'made')!r}).read())",
        writable=[str(tmp_path)],
    )
    assert result.sandbox is not None, result.error
    if result.sandbox["kind"] == "audit_hook" and result.sandbox["weaker"]:
        pytest.skip("no namespaces and no Landlock here")
    assert not (tmp_path / "made").exists()
    assert result.sandbox["kind"] == "audit_hook" or result.stdout == "x\n"


@needs_linux
@pytest.mark.parametrize("kind", sandbox.KINDS)
def test_every_kind_ends_children_that_would_live_on(kind: str) -> None:
    marker = f"firstaid-child-{os.getpid()}-{kind}"
    code = f"import subprocess, sys; subprocess.Popen(['sleep', '60', ], start_new_session=True, env={{'M': {marker!r}}}); print('started')"
    started = time.monotonic()
    result = run(code, kinds=(kind,))
    if result.sandbox is None:
        assert result.failed and kind in result.failed["text"]
        pytest.skip(result.failed["text"])
    assert result.stdout == "started\n"
    assert time.monotonic() - started < 8
    assert not [pid for pid in os.listdir("/proc") if pid.isdigit() and marker.encode() in _environ(pid)]


def _environ(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


@needs_linux
def test_nothing_outside_can_be_reached() -> None:
    code = (
        "import socket\n"
        "for family in (socket.AF_UNIX, socket.AF_INET):\n"
        "    try: socket.socket(family).connect(('127.0.0.1', 9) if family == socket.AF_INET else '/run/x')\n"
        "    except OSError as exc: print(exc.errno)\n"
    )
    result = run(code)
    assert result.sandbox is not None, result.error
    if not result.sandbox["seccomp"]:
        pytest.skip("no filter for this architecture")
    assert result.stdout.split() == ["64", "64"]


@needs_linux
def test_time_limit_and_memory_limit() -> None:
    assert run("while True: pass", timeout=1.0).limit == "time"
    assert run("held = []\nwhile True: held.append(bytearray(10 << 20))").limit == "memory"


@needs_linux
def test_missing_interpreter_and_directory_are_told_apart() -> None:
    failed = run("", argv=["/no/such/python"]).failed
    assert failed is not None and (failed["stage"], failed["errno"]) == ("exec", 2)
    failed = run("", cwd="/no/such/directory").failed
    assert failed is not None and (failed["stage"], failed["errno"]) == ("cwd", 2)


@needs_linux
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the machine code below is for x86-64")
def test_32_bit_calls_are_no_way_around_the_filter() -> None:
    # int 0x80 with socketcall(socket, AF_UNIX ...) would have to build a structure; getpid is enough to see them refused.
    code = (
        "import ctypes, mmap\n"
        "page = mmap.mmap(-1, 4096, prot=7)\n"
        "page.write(bytes.fromhex('b814000000cd80c3'))\n"  # mov eax, 20 (getpid); int 0x80; ret
        "print(ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))())\n"
    )
    result = run(code)
    assert result.sandbox is not None, result.error
    assert result.stdout.strip() == str(-sandbox_kernel.ENOSYS), result.stderr


@needs_linux
def test_memory_outside_of_any_process_is_limited_too() -> None:
    code = (
        "import os\nheld = []\n"
        "while True:\n"
        "    held.append(os.memfd_create('x'))\n"
        "    os.write(held[-1], bytes(20 << 20))\n"
    )
    result = run(code, timeout=20.0)
    assert result.limit == "memory", (result.ended, result.stderr[-300:])
    assert result.ms < 15000


@needs_linux
def test_the_guard_can_not_be_reached_by_a_program_of_the_same_user() -> None:
    code = (
        "import os\n"
        "try: print(os.listdir(f'/proc/{os.getppid()}/fd'))\n"
        "except OSError as exc: print(type(exc).__name__)\n"
    )
    uid, gid = (65534, 65534) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    for kind in sandbox.KINDS:
        result = run(code, kinds=(kind,), uid=uid, gid=gid, argv=["/usr/bin/python3", "-I", "-c", code])
        if result.sandbox is not None and result.failed is None:
            assert result.stdout.strip() in ("PermissionError", "FileNotFoundError"), kind
