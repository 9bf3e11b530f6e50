# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sockets of the host: /proc/net tables, the kernel's socket diagnosis, and which process holds a socket.

Nothing here binds, connects or signals.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import struct
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Optional

LISTENING, BOUND, TIME_WAIT, CONNECTED, CONNECTING = "listening", "bound", "time_wait", "connected", "connecting"
# Values of the kernel's enum in include/net/tcp_states.h; the last exists in answers since Linux 6.8.
TCP_LISTEN, TCP_BOUND_INACTIVE = 10, 13
BOUND_SINCE = (6, 8)
_STATES = {1: CONNECTED, 2: CONNECTING, 6: TIME_WAIT, 7: BOUND, TCP_LISTEN: LISTENING, TCP_BOUND_INACTIVE: BOUND}
_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _DUMP_REQUEST, _NLMSG_ERROR, _NLMSG_DONE = 4, 20, 0x301, 2, 3
_SKV6ONLY = 11
_PIDFD_GETFD = 438
_INODE = re.compile(r"^socket:\[(\d+)\]$")


@dataclass(frozen=True)
class Socket:
    """A TCP or Unix socket. ``address`` is the local one; ``path`` stands for it in the Unix family."""

    proto: str
    address: str
    port: Optional[int]
    state: str
    inode: int
    uid: Optional[int] = None
    remote: Optional[tuple[str, int]] = None
    v6only: bool = False

    @property
    def to_itself(self) -> bool:
        """Whether a client got its own port as its peer: it then answers itself and keeps the port taken."""
        return self.remote == (self.address, self.port)


def parse_tcp(text: str, proto: str) -> list[Socket]:
    """Parse /proc/net/tcp or tcp6. Addresses are words in the machine's byte order."""
    found = []
    for line in text.splitlines()[1:]:
        words = line.split()
        try:
            address, port = _endpoint(words[1])
            state = _STATES.get(int(words[3], 16), CONNECTED)
            found.append(Socket(proto, address, port, state, int(words[9]), int(words[7]), _endpoint(words[2])))
        except (IndexError, ValueError):
            continue
    return found


def _endpoint(text: str) -> tuple[str, int]:
    address, _colon, port = text.partition(":")
    raw = bytes.fromhex(address)
    if sys.byteorder == "little":
        raw = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    return _text_address(raw), int(port, 16)


def _text_address(raw: bytes) -> str:
    parsed = ipaddress.ip_address(raw)
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


def parse_unix(text: str) -> list[Socket]:
    """Parse /proc/net/unix: sockets with a path in the file system."""
    found = []
    for line in text.splitlines()[1:]:
        words = line.split(None, 7)
        if len(words) < 8 or not words[7].startswith("/"):
            continue
        try:
            listening = bool(int(words[3], 16) & 0x10000)
            found.append(Socket("unix", words[7], None, LISTENING if listening else CONNECTED, int(words[6])))
        except ValueError:
            continue
    return found


def parse_local_addresses(fib_trie: str, if_inet6: str) -> list[str]:
    """Addresses of this host from /proc/net/fib_trie and /proc/net/if_inet6."""
    found: dict[str, None] = {}
    last = ""
    for line in fib_trie.splitlines():
        line = line.strip()
        if line.startswith("|-- "):
            last = line[4:]
        elif line.startswith("/32 host LOCAL") and last:
            found.setdefault(last)
    for line in if_inet6.splitlines():
        words = line.split()
        if words and len(words[0]) == 32:
            try:
                found.setdefault(str(ipaddress.IPv6Address(bytes.fromhex(words[0]))))
            except ValueError:
                continue
    return list(found)


def diagnose() -> Optional[list[Socket]]:
    """Listening and bound sockets by netlink, with what /proc/net can't tell; None where the kernel refuses."""
    found: list[Socket] = []
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as link:
            link.settimeout(1.0)
            for family in (socket.AF_INET, socket.AF_INET6):
                states = 1 << TCP_LISTEN | 1 << TCP_BOUND_INACTIVE
                request = struct.pack("=BBBxI48x", family, socket.IPPROTO_TCP, 0, states)
                header = struct.pack("=IHHII", 16 + len(request), _SOCK_DIAG_BY_FAMILY, _DUMP_REQUEST, 1, 0)
                link.send(header + request)
                done = False
                while not done:
                    sockets, done = parse_diag(link.recv(256 * 1024))
                    found += sockets
    except OSError:
        return None
    return found


def parse_diag(data: bytes) -> tuple[list[Socket], bool]:
    """Parse one netlink answer to a socket diagnosis: (sockets, whether it is the last)."""
    found: list[Socket] = []
    at = 0
    while at + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, at)
        if kind == _NLMSG_ERROR:
            raise OSError("the kernel refused socket diagnosis")
        if kind == _NLMSG_DONE or length < 16:
            return found, True
        body = data[at + 16 : at + length]
        at += (length + 3) & ~3
        if len(body) < 72:
            continue
        family, state = body[0], body[1]
        port = int.from_bytes(body[4:6], "big")
        raw = body[8:24] if family == socket.AF_INET6 else body[8:12]
        uid, inode = struct.unpack_from("=II", body, 64)
        proto = "tcp6" if family == socket.AF_INET6 else "tcp"
        v6only = _attribute(body[72:], _SKV6ONLY) == b"\x01"
        found.append(Socket(proto, _text_address(raw), port, _STATES.get(state, BOUND), inode, uid, v6only=v6only))
    return found, False


def _attribute(data: bytes, wanted: int) -> Optional[bytes]:
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4:
            return None
        if kind == wanted:
            return data[at + 4 : at + length]
        at += (length + 3) & ~3
    return None


def sees_bound(release: str) -> bool:
    """Whether a kernel of this release tells of sockets that are bound and don't listen."""
    match = re.match(r"(\d+)\.(\d+)", release)
    return bool(match) and (int(match.group(1)), int(match.group(2))) >= BOUND_SINCE  # type: ignore[union-attr]


@dataclass
class Owners:
    """Which processes hold which socket inodes; ``denied`` counts processes whose descriptors are not for us."""

    pids: dict[int, list[int]]
    descriptors: dict[int, tuple[int, int]]
    denied: int = 0
    complete: bool = True


def find_owners(pids: Iterable[int], seconds: float = 2.0) -> Owners:
    """Read the descriptors of the processes, in their order, for at most ``seconds``."""
    owners = Owners({}, {})
    end = time.monotonic() + seconds
    for pid in pids:
        if time.monotonic() > end:
            owners.complete = False
            break
        folder = f"/proc/{pid}/fd"
        try:
            names = os.listdir(folder)
        except PermissionError:
            owners.denied += 1
            continue
        except OSError:
            continue
        for name in names:
            try:
                match = _INODE.match(os.readlink(f"{folder}/{name}"))
            except PermissionError:
                # Without CAP_SYS_PTRACE even root may list the descriptors and not see what they are.
                owners.denied += 1
                break
            except OSError:
                continue
            if match:
                inode = int(match.group(1))
                holders = owners.pids.setdefault(inode, [])
                if pid not in holders:
                    holders.append(pid)
                owners.descriptors.setdefault(inode, (pid, int(name)))
    return owners


def bound_by_descriptor(owners: Owners, known: set[int], limit: int = 64) -> list[Socket]:
    """Bound TCP sockets that no table shows, for kernels before 6.8: ask each unknown descriptor for its address.

    A copy of the descriptor (pidfd_getfd, Linux 5.6) lives for two system calls; its owner notices nothing.
    """
    found = []
    unknown = [(inode, holder) for inode, holder in owners.descriptors.items() if inode not in known]
    for inode, (pid, descriptor) in unknown[:limit]:
        copy = _copy_descriptor(pid, descriptor)
        if copy is None:
            continue
        try:
            with socket.socket(fileno=copy) as held:
                if held.family in (socket.AF_INET, socket.AF_INET6) and held.type == socket.SOCK_STREAM:
                    address, port = held.getsockname()[:2]
                    if port and not held.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                        proto = "tcp6" if held.family == socket.AF_INET6 else "tcp"
                        found.append(Socket(proto, str(ipaddress.ip_address(address)), port, BOUND, inode))
        except (OSError, ValueError):
            continue
    return found


def _copy_descriptor(pid: int, descriptor: int) -> Optional[int]:
    try:
        process = os.pidfd_open(pid)
    except (OSError, AttributeError):
        return None
    # Needed on old kernels only, and costly to import.
    import ctypes

    try:
        libc = ctypes.CDLL(None, use_errno=True)
        copy = libc.syscall(ctypes.c_long(_PIDFD_GETFD), process, descriptor, 0)
        return copy if copy >= 0 else None
    except (OSError, AttributeError):
        return None
    finally:
        os.close(process)


def overlaps(wanted: Optional[str], held: Socket) -> bool:
    """Whether a bind to the wanted address would collide with this socket, given the same port."""
    try:
        mine = ipaddress.ip_address((wanted or "0.0.0.0").strip("[]").split("%")[0])
        theirs = ipaddress.ip_address(held.address)
    except ValueError:
        # A name such as localhost: it may stand for any of this host's addresses.
        return True
    if mine == theirs:
        return True
    if mine.version == theirs.version:
        return mine.is_unspecified or theirs.is_unspecified
    if theirs.version == 6:
        return theirs.is_unspecified and not held.v6only
    # asyncio and gunicorn make their IPv6 sockets IPv6 only, so an IPv4 holder is not in their way.
    return False
