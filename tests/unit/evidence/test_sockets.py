# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import socket
import sys

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import sockets
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.sockets import Socket

little = pytest.mark.skipif(sys.byteorder != "little", reason="the recorded tables are from a little-endian machine")

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:480B 00000000:0000 0A 00000000:00000000 00:00000000 00000000   999        0 50504 1 ffff8881030e1180 100 0 0 10 0
   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 45154 1 ffff8881030e0000 100 0 0 10 0
   2: 0100007F:480B 0100007F:BC2E 06 00000000:00000000 03:00001770 00000000     0        0 0 3 0000000000000000
   3: 0100007F:9637 0100007F:9637 01 00000000:00000000 00:00000000 00000000  1000        0 77 1 0000000000000000 20 4 30 10 -1
   4: broken
"""
TCP6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 45165 1
   1: 00000000000000000000000001000000:20FB 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000    33        0 45170 1
   2: 0000000000000000FFFF00000100007F:20FB 0000000000000000FFFF00000100007F:D431 01 00000000:00000000 00:00000000 00000000    33        0 45171 1
"""
UNIX = """\
Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 44031 /run/api/api.sock
0000000000000000: 00000003 00000000 00000000 0001 03 44032 /run/api/api.sock
0000000000000000: 00000002 00000000 00010000 0001 01 44040 @/tmp/abstract
0000000000000000: 00000003 00000000 00000000 0001 03 44050
"""
FIB_TRIE = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
        |-- 127.0.0.1
           /32 host LOCAL
        |-- 127.255.255.255
           /32 link BROADCAST
     |-- 172.17.0.2
        /32 host LOCAL
Local:
     |-- 172.17.0.2
        /32 host LOCAL
"""
IF_INET6 = """\
00000000000000000000000000000001 01 80 10 80       lo
fe80000000000000004211fffeac0002 02 40 20 80     eth0
"""


@little
def test_tcp_tables_give_exact_ports() -> None:
    found = sockets.parse_tcp(TCP, "tcp")
    assert [(item.address, item.port, item.state, item.inode) for item in found] == [
        ("127.0.0.1", 18443, "listening", 50504),
        ("0.0.0.0", 22, "listening", 45154),
        ("127.0.0.1", 18443, "time_wait", 0),
        ("127.0.0.1", 38455, "connected", 77),
    ]
    assert [item.to_itself for item in found] == [False, False, False, True]
    assert found[0].uid == 999


@little
def test_tcp6_tables() -> None:
    found = sockets.parse_tcp(TCP6, "tcp6")
    assert [(item.address, item.port) for item in found] == [("::", 22), ("::1", 8443), ("127.0.0.1", 8443)]


def test_unix_sockets_with_a_path() -> None:
    found = sockets.parse_unix(UNIX)
    assert [(item.address, item.state) for item in found] == [
        ("/run/api/api.sock", "listening"),
        ("/run/api/api.sock", "connected"),
    ]


def test_local_addresses() -> None:
    found = sockets.parse_local_addresses(FIB_TRIE, IF_INET6)
    assert found == ["127.0.0.1", "172.17.0.2", "::1", "fe80::42:11ff:feac:2"]


@pytest.mark.parametrize(
    ("wanted", "proto", "held", "v6only", "collides"),
    [
        ("127.0.0.1", "tcp", "127.0.0.1", False, True),
        ("127.0.0.1", "tcp", "0.0.0.0", False, True),
        ("0.0.0.0", "tcp", "10.0.0.5", False, True),
        (None, "tcp", "127.0.0.1", False, True),
        ("127.0.0.1", "tcp", "10.0.0.5", False, False),
        ("127.0.0.1", "tcp6", "::", False, True),
        ("0.0.0.0", "tcp6", "::", True, False),
        ("0.0.0.0", "tcp6", "::1", False, False),
        ("::", "tcp6", "::1", True, True),
        ("::", "tcp", "0.0.0.0", False, False),
        ("[::1]", "tcp6", "::1", False, True),
        ("localhost", "tcp", "127.0.0.1", False, True),
    ],
)
def test_which_addresses_collide(wanted: str | None, proto: str, held: str, v6only: bool, collides: bool) -> None:
    assert sockets.overlaps(wanted, Socket(proto, held, 80, "listening", 1, v6only=v6only)) is collides


@pytest.mark.parametrize(
    ("release", "sees"),
    [("6.8.0-45-generic", True), ("6.12.9+bpo", True), ("6.1.0-18-amd64", False), ("5.10.0", False), ("odd", False)],
)
def test_kernels_that_tell_of_bound_sockets(release: str, sees: bool) -> None:
    assert sockets.sees_bound(release) is sees


def test_the_kernel_tells_of_a_real_listener_and_its_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        answer = sockets.diagnose()
        if answer is None:
            pytest.skip("the kernel refuses socket diagnosis here")
        mine = [item for item in answer if item.port == server.getsockname()[1]]
        assert [(item.address, item.state) for item in mine] == [("127.0.0.1", "listening")]
        owners = sockets.find_owners([os.getpid()])
        assert owners.pids[mine[0].inode] == [os.getpid()]


def test_ipv6_only_is_known() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6")
    with socket.socket(socket.AF_INET6) as server:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            server.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 address here")
        server.listen()
        mine = [item for item in sockets.diagnose() or [] if item.port == server.getsockname()[1]]
        assert [item.v6only for item in mine] in ([True], [])


@pytest.mark.skipif(not sockets.sees_bound(os.uname().release), reason="needs Linux 6.8")
def test_a_bound_socket_that_does_not_listen_is_seen_by_the_kernel() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        answer = sockets.diagnose()
        if answer is None:
            pytest.skip("the kernel refuses socket diagnosis here")
        assert [item.state for item in answer if item.port == held.getsockname()[1]] == ["bound"]


def test_a_bound_socket_is_seen_through_its_descriptor_on_older_kernels() -> None:
    with socket.socket() as held, socket.create_server(("127.0.0.1", 0)) as server:
        held.bind(("127.0.0.1", 0))
        found = sockets.bound_by_descriptor(sockets.find_owners([os.getpid()]), set())
        if not found:
            pytest.skip("pidfd_getfd is refused here")
        ports = [item.port for item in found]
        assert held.getsockname()[1] in ports
        assert server.getsockname()[1] not in ports


def test_answers_that_are_cut_or_odd_are_survived() -> None:
    assert sockets.parse_diag(b"") == ([], False)
    assert sockets.parse_diag(b"\x14\x00\x00\x00\x03\x00\x02\x00" + b"\0" * 12) == ([], True)
    with pytest.raises(OSError, match="refused"):
        sockets.parse_diag(b"\x24\x00\x00\x00\x02\x00\x00\x00" + b"\0" * 28)
