# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Linux calls that Python's standard library lacks: unshare, mount, pivot_root, prctl, capset, seccomp.

Used by the sandbox's launcher, a process of its own; nothing in here may be called in the process of the module.
Every function raises ``OSError`` whose text names the call.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence
from typing import Any, Optional

# Values of <linux/sched.h>, <sys/mount.h>, <linux/prctl.h> and <linux/capability.h>; they are part of the kernel's ABI.
CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
ALL_NAMESPACES = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_NOATIME = 0x400
MS_NODIRATIME = 0x800
MS_RELATIME = 0x200000
MNT_DETACH = 0x2
UMOUNT_NOFOLLOW = 0x8

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
SECCOMP_MODE_FILTER = 2

CAP_SYS_ADMIN = 21
# What a service that runs as root keeps: file access, identity, low ports. Nothing that reaches devices or the kernel.
ROOT_CAPABILITIES = sum(1 << bit for bit in (0, 1, 2, 3, 4, 5, 6, 7, 8, 10))

# "Machine is not on the network": what a refused connection answers. Nothing else uses this number, so that a failure
# which the sandbox made can always be told from one that the host made.
ENONET = 64
ENOSYS = 38
EPERM = 1

AF_UNIX = 1
_MOUNT_SETATTR = 442
_IO_URING_SETUP = 425
_X32_CALLS = 0x40000000
_ARCHITECTURES = {
    "x86_64": (0xC000003E, {"socket": 41, "connect": 42, "sendto": 44, "bind": 49, "kill": 62}),
    "aarch64": (0xC00000B7, {"socket": 198, "connect": 203, "sendto": 206, "bind": 200, "kill": 129}),
    "riscv64": (0xC00000F3, {"socket": 198, "connect": 203, "sendto": 206, "bind": 200, "kill": 129}),
}

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _call(name: str, *arguments: Any) -> None:
    function = getattr(_libc, name, None)
    if function is None:
        raise OSError(ENOSYS, f"{name}: not in the C library")
    _check(function(*arguments), name)


def unshare(flags: int) -> None:
    """Leave the namespaces in ``flags``; a new PID namespace holds for children only."""
    _call("unshare", ctypes.c_int(flags))


def mount(source: Optional[str], target: str, fstype: Optional[str], flags: int, data: Optional[str] = None) -> None:
    """mount(2); the error names the target."""
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, fstype, data)]
    result = _libc.mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3])
    _check(result, f"mount {target}")


def detach(target: str) -> None:
    """Take a mount off the tree at once, whatever still uses it; never follows a link."""
    _call("umount2", os.fsencode(target), ctypes.c_int(MNT_DETACH | UMOUNT_NOFOLLOW))


def enter_root(path: str) -> None:
    """Make ``path``, a mount point, the root; the old root is gone afterwards."""
    os.chdir(path)
    _call("pivot_root", b".", b".")
    _call("umount2", b".", ctypes.c_int(MNT_DETACH))
    os.chdir("/")


def read_only_recursively(path: str) -> None:
    """All mounts at and below ``path`` at once; needs Linux 5.12."""

    class Attributes(ctypes.Structure):
        _fields_ = [(name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]

    attributes = Attributes(MS_RDONLY, 0, 0, 0)
    at_fdcwd, at_recursive = -100, 0x8000
    result = _libc.syscall(
        ctypes.c_long(_MOUNT_SETATTR),
        ctypes.c_int(at_fdcwd),
        os.fsencode(path),
        ctypes.c_uint(at_recursive),
        ctypes.byref(attributes),
        ctypes.c_size_t(32),
    )
    _check(result, "mount_setattr")


def prctl(option: int, *values: Any) -> None:
    """prctl(2) with up to four integer arguments."""
    padded = [value if not isinstance(value, int) else ctypes.c_ulong(value) for value in values]
    padded += [ctypes.c_ulong(0)] * (4 - len(padded))
    _call("prctl", ctypes.c_int(option), *padded)


def effective_capabilities() -> int:
    """The bits of ``CapEff`` of this process, 0 when the kernel doesn't say."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith("CapEff:"):
                    return int(line.split()[1], 16)
    except (OSError, ValueError):
        pass
    return 0


def limit_capabilities(mask: int) -> None:
    """Keep only ``mask`` in the bounding, permitted and effective sets; inherit nothing."""
    held = effective_capabilities()
    for bit in range(64):
        if not mask & (1 << bit):
            try:
                prctl(PR_CAPBSET_DROP, bit)
            except OSError:
                break  # the first number that this kernel doesn't know
    try:
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    except OSError:
        pass  # before Linux 4.3 there was no ambient set
    keep = mask & held
    header = struct.pack("=Ii", 0x20080522, 0)
    low, high = keep & 0xFFFFFFFF, keep >> 32
    data = struct.pack("=6I", low, low, 0, high, high, 0)
    _call("capset", header, data)


def seccomp_program(machine: str, bind: bool, connect: bool, foreign: bool = False) -> Optional[bytes]:
    """A filter that lets everything pass but reaching other processes; None on an unknown architecture.

    Sockets of the host's file system can be connected to through a read-only mount, so AF_UNIX sockets are always
    refused (socketpair is another call and stays). ``connect`` and ``bind`` allow those calls, ``foreign`` the calls of
    other architectures (32-bit programs on a 64-bit kernel), whose numbers the filter doesn't know.
    """
    if machine not in _ARCHITECTURES:
        return None
    audit_arch, numbers = _ARCHITECTURES[machine]
    load, jump_equal, jump_from, give = 0x20, 0x15, 0x35, 0x06
    errno_action, allow = 0x00050000, 0x7FFF0000

    def instruction(code: int, if_true: int, if_false: int, value: int) -> bytes:
        return struct.pack("=HBBI", code, if_true, if_false, value)

    refuse = instruction(give, 0, 0, errno_action | ENONET)
    program = [
        instruction(load, 0, 0, 4),
        # A 32-bit interpreter must not die of our filter, and a 64-bit one must not get around it by 32-bit calls.
        instruction(jump_equal, 1, 0, audit_arch),
        instruction(give, 0, 0, allow if foreign else errno_action | ENOSYS),
        instruction(load, 0, 0, 0),
        instruction(jump_from, 0, 1, _X32_CALLS),
        instruction(give, 0, 0, errno_action | ENOSYS),
    ]
    refused = [name for name, allowed in (("connect", connect), ("bind", bind)) if not allowed]
    for name in refused:
        program += [instruction(jump_equal, 0, 1, numbers[name]), refuse]
    program += [
        instruction(jump_equal, 0, 1, _IO_URING_SETUP),
        instruction(give, 0, 0, errno_action | ENOSYS),
    ]
    if not bind:  # outside a PID namespace "everybody" are the user's processes on the host
        program += [
            instruction(jump_equal, 0, 4, numbers["kill"]),
            instruction(load, 0, 0, 16),
            instruction(jump_equal, 0, 1, 0xFFFFFFFF),
            instruction(give, 0, 0, errno_action | EPERM),
            instruction(give, 0, 0, allow),
        ]
    if not connect:  # sendto with an address is a connection too; the pointer's two halves are tested
        program += [
            instruction(jump_equal, 0, 5, numbers["sendto"]),
            instruction(load, 0, 0, 48),
            instruction(jump_equal, 0, 2, 0),
            instruction(load, 0, 0, 52),
            instruction(jump_equal, 5, 0, 0),
            refuse,
        ]
    program += [
        instruction(jump_equal, 0, 3, numbers["socket"]),
        instruction(load, 0, 0, 16),
        instruction(jump_equal, 0, 1, AF_UNIX),
        refuse,
        instruction(give, 0, 0, allow),
    ]
    return b"".join(program)


def install_seccomp(program: bytes) -> None:
    """Put the filter on this process and all that it starts; needs no_new_privs."""

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]

    holder = Program(len(program) // 8, program)
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(holder))


def forbid_writes(allowed: Sequence[str]) -> None:
    """Landlock: no file is written, made, moved or removed any more, but ``allowed`` ones; needs no_new_privs.

    Raises ``OSError`` on kernels without it (before Linux 5.13, or switched off).
    """
    create, add_rule, restrict, version_flag = 444, 445, 446, 1
    version = _libc.syscall(ctypes.c_long(create), None, ctypes.c_size_t(0), ctypes.c_uint(version_flag))
    if version < 1:
        raise OSError(ctypes.get_errno() or ENOSYS, "Landlock: not in this kernel")
    write_file, truncate, refer = 1 << 1, 1 << 14, 1 << 13
    handled = write_file | sum(1 << bit for bit in range(4, 13))
    handled |= (refer if version >= 2 else 0) | (truncate if version >= 3 else 0)
    ruleset = _libc.syscall(ctypes.c_long(create), struct.pack("=Q", handled), ctypes.c_size_t(8), ctypes.c_uint(0))
    if ruleset < 0:
        _check(ruleset, "landlock_create_ruleset")
    try:
        for path in allowed:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
            rights = write_file | (truncate if version >= 3 else 0)
            rule = struct.pack("=Qi", rights, descriptor)
            result = _libc.syscall(ctypes.c_long(add_rule), ruleset, ctypes.c_int(1), rule, ctypes.c_uint(0))
            _check(result, "landlock_add_rule")
            os.close(descriptor)
        _check(_libc.syscall(ctypes.c_long(restrict), ruleset, ctypes.c_uint(0)), "landlock_restrict_self")
    finally:
        os.close(ruleset)


def loopback_up() -> None:
    """Bring up the loopback interface of this network namespace."""
    siocsifflags, iff_up_running, af_inet, sock_dgram = 0x8914, 0x41, 2, 2
    descriptor = _libc.socket(af_inet, sock_dgram, 0)
    if descriptor < 0:
        _check(descriptor, "socket")
    try:
        request = struct.pack("16sh14x", b"lo", iff_up_running)
        _check(_libc.ioctl(descriptor, ctypes.c_ulong(siocsifflags), request), "loopback up")
    finally:
        os.close(descriptor)
