# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``ports`` section: who holds the port that the backend wants, and whether it may have it at all."""

from __future__ import annotations

import ipaddress
import os
import stat
from typing import Any, Optional

from . import proc, sockets
from .context import MIB, Context
from .model import Backend, Section
from .numerals import whole
from .sockets import BOUND, LISTENING, TIME_WAIT, Socket

MAX_OTHERS = 64
MAX_TIME_WAIT = 3
TABLE_BYTES = 8 * MIB
_CAP_NET_BIND_SERVICE = 10


def collect(backend: Backend, ctx: Context) -> Section:
    """Look at the socket tables of the backend's network namespace. Binds nothing."""
    view = View(backend, ctx)
    wanted = _wanted(backend, view)
    ports = {entry["port"] for entry in wanted if entry["port"] is not None}
    hosts = [(entry["host"], entry["port"]) for entry in wanted if entry["port"] is not None]
    paths = {entry["uds"] for entry in wanted if entry["uds"]}
    on_wanted = [
        item for item in view.sockets if item.port in ports or (item.proto == "unix" and item.address in paths)
    ]
    ephemeral = ephemeral_range()
    shown = [item for item in on_wanted if item.state != TIME_WAIT and not view.passing(item, ephemeral)]
    waiting = [item for item in on_wanted if item.state == TIME_WAIT]
    listening = [item for item in view.sockets if item.state in (LISTENING, BOUND) and item not in shown]
    own = [item for item in listening if view.own(item)]
    others = [item for item in listening if item.proto != "unix" and not view.own(item)]
    entries = [view.describe(item) for item in [*shown, *waiting[:MAX_TIME_WAIT], *own, *others[:MAX_OTHERS]]]
    taken = [
        view.describe(item)
        for item in shown
        if view.foreign(item) and (item.proto == "unix" or any(_collides(host, port, item) for host, port in hosts))
    ]
    section: Section = {
        "wanted": wanted,
        "sockets": entries,
        "wanted_taken_by": taken,
        "time_wait_on_wanted": len(waiting),
        "privileged_below": _privileged_below(),
        "may_bind_privileged": _may_bind_privileged(backend),
        "host_is_local": host_is_local(backend.app.host, view.addresses),
        "local_addresses": view.addresses,
        "listening_on_wanted": view.listening_on(shown),
        "owner_visible": view.owners.denied == 0 and view.owners.complete,
        "bound_visible": view.bound_visible,
        "self_connections": sum(1 for item in view.sockets if item.to_itself and item.port in ports),
    }
    if len(others) > MAX_OTHERS:
        section["_truncated"] = True
    if view.faults:
        section["_partial"] = "; ".join(view.faults)
    return section


class View:
    """The sockets of the backend's network namespace, with their owners.

    :param seconds: how long owners are looked for.
    :param unknown: how many descriptors that no table shows are asked for their address, on kernels before 6.8.
    """

    def __init__(self, backend: Backend, ctx: Context, seconds: float = 2.0, unknown: int = 64) -> None:
        self._unknown = unknown
        self.backend = backend
        self.faults: list[str] = []
        self.stats = proc.scan()
        self.own_pids = proc.own_pids(backend, self.stats)
        self.processes: dict[int, tuple[dict[str, Any], bool]] = {}
        base, here = self._namespace()
        tables = {name: proc.slurp(f"{base}/{name}", TABLE_BYTES) for name in ("tcp", "tcp6", "unix")}
        if tables["tcp"] is None and tables["tcp6"] is None:
            self.faults.append(f"{base}/tcp can't be read, so the sockets are not known")
        self.sockets = sockets.parse_tcp(tables["tcp"] or "", "tcp") + sockets.parse_tcp(tables["tcp6"] or "", "tcp6")
        paths = sockets.parse_unix(tables["unix"] or "")
        self.sockets += paths
        self.addresses = sockets.parse_local_addresses(
            proc.slurp(f"{base}/fib_trie", MIB) or "", proc.slurp(f"{base}/if_inet6", MIB) or ""
        )
        order = [*sorted(self.own_pids), *sorted(pid for pid in self.stats if pid not in self.own_pids)]
        self.owners = sockets.find_owners(order, min(seconds, ctx.remaining()))
        self.bound_visible = self._add_bound(here, tables["unix"] or "", base)
        if self.owners.denied:
            self.faults.append(
                f"the descriptors of {self.owners.denied} processes are hidden from the gathering user, "
                "so some sockets have no known owner"
            )
        if not self.owners.complete:
            self.faults.append("there are too many descriptors to find the owner of every socket")

    def _namespace(self) -> tuple[str, bool]:
        """The /proc/…/net of the backend and whether that is our own network namespace."""
        pid = self.backend.main_pid
        if pid in self.stats:
            theirs, ours = proc.readlink(f"/proc/{pid}/ns/net"), proc.readlink("/proc/self/ns/net")
            if theirs and ours and theirs != ours:
                return f"/proc/{pid}/net", False
        return "/proc/self/net", True

    def _add_bound(self, here: bool, unix: str, base: str) -> bool:
        """Add sockets that are bound and don't listen; says whether such sockets can be seen at all."""
        if not here:
            return False
        answer = sockets.diagnose()
        if answer is not None:
            only = {item.inode: item for item in answer if item.v6only}
            self.sockets = [only.get(item.inode, item) if item.state == LISTENING else item for item in self.sockets]
            known = {item.inode for item in self.sockets}
            self.sockets += [item for item in answer if item.inode not in known]
            if sockets.sees_bound(os.uname().release):
                return True
        known = {item.inode for item in self.sockets} | _inodes(unix, 6)
        for name, column in (("udp", 9), ("udp6", 9), ("raw", 9), ("raw6", 9), ("netlink", 9), ("packet", 8)):
            known |= _inodes(proc.slurp(f"{base}/{name}", MIB) or "", column)
        self.sockets += sockets.bound_by_descriptor(self.owners, known, self._unknown)
        return self.owners.denied == 0

    def holders(self, item: Socket) -> list[int]:
        return self.owners.pids.get(item.inode, [])

    def own(self, item: Socket) -> Optional[bool]:
        """Whether the backend holds the socket; a socket unit that starts it holds it for it. None when unknown."""
        pids = self.holders(item)
        if not pids:
            return None if item.inode and self.backend.running else False
        if any(pid in self.own_pids for pid in pids):
            return True
        return 1 in pids and self.backend.runtime == "systemd" and self._activates(item)

    def _activates(self, item: Socket) -> bool:
        """Whether a socket unit named like this backend listens there on its behalf."""
        directives = self.backend.unit.get("directives") or {}
        named = [name for value in directives.get("Sockets", []) for name in str(value).split()]
        stem = self.backend.name[: -len(".service")] if self.backend.name.endswith(".service") else self.backend.name
        for name in {f"{stem}.socket", *named}:
            for folder in ("/etc/systemd/system", "/run/systemd/system", "/lib/systemd/system"):
                text = proc.slurp(f"{folder}/{name}") or ""
                for line in text.splitlines():
                    key, _equals, value = line.partition("=")
                    place = value.strip()
                    if key.strip() == "ListenStream" and place in _ways_to_say(item):
                        return True
        return False

    def foreign(self, item: Socket) -> bool:
        """Whether somebody else than the backend holds the socket; one of unknown owner can't be a stopped backend's."""
        return self.own(item) is False and (item.proto != "unix" or item.state == LISTENING)

    def passing(self, item: Socket, ephemeral: range) -> bool:
        """Whether this is a connection that keeps nobody from the port: one that a listener accepted, or an orphan.

        Accepted ones inherit the listener's SO_REUSEADDR, even when they outlive it. An outgoing connection that was
        given the wanted port has not, and lies in the range of such ports.
        """
        if item.state not in (sockets.CONNECTED, sockets.CONNECTING) or item.to_itself:
            return False
        if item.proto == "unix" or not item.inode or item.port not in ephemeral:
            return True
        return any(other.state == LISTENING and other.port == item.port for other in self.sockets)

    def listening_on(self, shown: list[Socket]) -> Optional[bool]:
        answers = [self.own(item) for item in shown if item.state == LISTENING]
        if True in answers:
            return True
        return None if None in answers else False

    def describe(self, item: Socket) -> dict[str, Any]:
        """One socket in the evidence's shape."""
        pids = self.holders(item)
        pid = next((pid for pid in pids if pid in self.own_pids), pids[0] if pids else None)
        identity, same_code = self._identity(pid)
        return {
            "proto": item.proto,
            "address": item.address,
            "port": item.port,
            "state": item.state,
            "inode": item.inode or None,
            "uid": item.uid,
            "pid": pid,
            "process": identity,
            "own": self.own(item),
            "same_code": same_code,
        }

    def _identity(self, pid: Optional[int]) -> tuple[Optional[dict[str, Any]], Optional[bool]]:
        if pid is None or pid not in self.stats:
            return None, None
        if pid not in self.processes:
            process = proc.inspect(self.stats[pid])
            same = proc.runs_same_code(process, self.backend) and proc.same_root(pid)
            self.processes[pid] = (process.as_dict(), same)
        return self.processes[pid]


def _wanted(backend: Backend, view: View) -> list[dict[str, Any]]:
    """What the backend is configured to listen on, with the state of a socket file."""
    app = backend.app
    wanted: list[dict[str, Any]] = []
    if app.port is not None:
        origin = app.origin.get("port") or app.origin.get("host")
        wanted.append({"host": app.host, "port": app.port, "uds": None, "origin": origin})
    if app.uds:
        path = app.uds if app.uds.startswith("/") else os.path.join(backend.cwd or "/", app.uds)
        try:
            mode: Optional[int] = os.lstat(path).st_mode
        except OSError:
            mode = None
        listened = any(item.address == path and item.state == LISTENING for item in view.sockets)
        entry: dict[str, Any] = {"host": None, "port": None, "uds": path, "origin": app.origin.get("uds")}
        entry.update(uds_exists=mode is not None, uds_is_socket=mode is not None and stat.S_ISSOCK(mode))
        wanted.append({**entry, "uds_listening": listened})
    return wanted


def _collides(host: Optional[str], port: int, item: Socket) -> bool:
    return item.port == port and sockets.overlaps(host, item)


def _inodes(table: str, column: int) -> set[int]:
    found = set()
    for line in table.splitlines()[1:]:
        words = line.split()
        number = whole(words[column]) if len(words) > column else None
        if number is not None:
            found.add(number)
    return found


def _ways_to_say(item: Socket) -> set[str]:
    """How a ``ListenStream=`` may name a socket."""
    if item.proto == "unix":
        return {item.address}
    return {str(item.port), f"{item.address}:{item.port}", f"[{item.address}]:{item.port}", f"0.0.0.0:{item.port}"}


def ephemeral_range() -> range:
    """The ports that the kernel gives to outgoing connections."""
    words = (proc.slurp("/proc/sys/net/ipv4/ip_local_port_range") or "32768 60999").split()
    return range(int(words[0]), int(words[1]) + 1)


def _privileged_below() -> int:
    text = (proc.slurp("/proc/sys/net/ipv4/ip_unprivileged_port_start") or "").strip()
    return int(text) if text.isdigit() else 1024


def _may_bind_privileged(backend: Backend) -> Optional[bool]:
    """Whether the backend's processes have, or would be given, CAP_NET_BIND_SERVICE. None when that is not known."""
    for line in (proc.slurp(f"/proc/{backend.main_pid}/status") or "").splitlines() if backend.main_pid else ():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_NET_BIND_SERVICE & 1)
    directives = backend.unit.get("directives") or {}
    ambient = " ".join(str(value) for value in directives.get("AmbientCapabilities", [])).upper()
    if "CAP_NET_BIND_SERVICE" in ambient and "~" not in ambient:
        return True
    bounding = " ".join(str(value) for value in directives.get("CapabilityBoundingSet", [])).upper()
    if bounding and "~" not in bounding and "CAP_NET_BIND_SERVICE" not in bounding:
        return False
    return None if backend.uid is None else backend.uid == 0


def host_is_local(host: Optional[str], addresses: list[str]) -> Optional[bool]:
    """Whether this host has the address to listen on. None for names, which only a resolver can answer for."""
    if host is None:
        return None
    if host in ("", "*", "localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]").split("%")[0])
    except ValueError:
        return None
    if address.is_unspecified or (address.version == 4 and address.is_loopback):
        return True
    if not addresses:
        return None
    return str(address) in addresses
