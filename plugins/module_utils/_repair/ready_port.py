# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the port that a backend wants is its own: listening, on the right address, and held by one of its processes."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from typing import Any, Optional

from .._evidence import ports, proc, sockets
from .._evidence.context import MIB, Context
from .._evidence.health import Place
from .._evidence.model import Backend
from .._evidence.sockets import LISTENING, Socket
from .ready_look import Seen

TABLE_BYTES = 8 * MIB


@dataclass
class PortLook:
    """``owned`` is None where the backend is to listen nowhere that is known. ``owner`` is for the timeline: ``own``, ``none``,
    ``shared``, ``pid 812 (nginx.service)``. ``listeners`` are the inodes of its own sockets there, ``places`` where it listens at all."""

    owned: Optional[bool]
    text: str
    owner: Optional[str] = None
    listeners: frozenset[int] = frozenset()
    places: list[Place] = field(default_factory=list)


def wanted_text(backend: Backend) -> Optional[str]:
    """The place that the backend is configured to listen on; None when it isn't known to want any."""
    app = backend.app
    if app.port:
        return f"port {app.port}"
    return f"socket {_uds(backend)}" if app.uds else None


def look(seen: Seen, ctx: Context) -> PortLook:
    """The backend's own listening sockets, and the state of the wanted one, with its holder where that is somebody else."""
    backend = seen.backend
    mine, others, hidden = _listening(seen)
    places = [_place(item) for item in mine]
    want = wanted_text(backend)
    if want is None:
        return PortLook(None, "no port is configured that could be watched", None, frozenset(), places)
    here = [item for item in mine if _is_wanted(item, backend)]
    inodes = frozenset(item.inode for item in here)
    if here:
        right = [item for item in here if reaches(backend.app.host, item)]
        if not right:
            at = ", ".join(item.address for item in here)
            text = f"its process listens on {want} of {at}, which is not the configured address {backend.app.host}"
            return PortLook(False, text, "own, other address", inodes, places)
        if any(_is_wanted(item, backend) and _meets(item, right) for item in others):
            stranger = _stranger(backend, ctx)
            if stranger:
                text = f"{stranger} listens on {want} beside the backend, and takes part of its requests"
                return PortLook(False, text, "shared", inodes, places)
        text = f"its own process listens on {want}"
        if hidden:
            text += " (told by the user id: this run may not see whose descriptors they are)"
        return PortLook(True, text, "own", inodes, places)
    owner, text = _other(backend, want, ctx)
    return PortLook(False, text, owner, inodes, places)


def reaches(host: Optional[str], item: Socket) -> bool:
    """Whether a listening socket serves the configured address, family included. A name may mean any address of this host."""
    if item.proto == "unix" or not host or host == "*":
        return True
    try:
        wanted = ipaddress.ip_address(host.strip("[]").split("%")[0])
        held = ipaddress.ip_address(item.address)
    except ValueError:
        return True
    if wanted == held:
        return True
    if held.version == 6 and held.is_unspecified and wanted.version == 4:
        return not item.v6only
    return held.version == wanted.version and held.is_unspecified


def _listening(seen: Seen) -> tuple[list[Socket], list[Socket], bool]:
    """(its own listening sockets, those of others, whether ownership was told by the user id alone)."""
    backend = seen.backend
    main = backend.main_pid or next(iter(sorted(seen.own)), None)
    base = f"/proc/{main}/net" if main in seen.stats else "/proc/self/net"
    found: list[Socket] = []
    for proto in ("tcp", "tcp6"):
        found += sockets.parse_tcp(proc.slurp(f"{base}/{proto}", TABLE_BYTES) or "", proto)
    found += sockets.parse_unix(proc.slurp(f"{base}/unix", TABLE_BYTES) or "")
    found = [item for item in found if item.state == LISTENING]
    if any(item.address == "::" for item in found) and proc.readlink(f"/proc/{main}/ns/net") == proc.readlink(
        "/proc/self/ns/net"
    ):
        only = {item.inode: item for item in sockets.diagnose() or [] if item.v6only}
        found = [only.get(item.inode, item) if item.proto == "tcp6" else item for item in found]
    owners = sockets.find_owners(sorted(seen.own), 1.0)
    mine, others, hidden = [], [], False
    for item in found:
        by_user = bool(owners.denied and seen.own and item.port == backend.app.port and item.uid == backend.uid)
        if item.inode in owners.pids or (by_user and item.port is not None):
            mine.append(item)
            hidden = hidden or item.inode not in owners.pids
        else:
            others.append(item)
    return mine, others, hidden


def _is_wanted(item: Socket, backend: Backend) -> bool:
    if backend.app.port:
        return item.port == backend.app.port
    return item.proto == "unix" and item.address == _uds(backend)


def _meets(item: Socket, mine: list[Socket]) -> bool:
    """Whether another listener takes connections that are for one of ours."""
    return any(item.proto == own.proto == "unix" or sockets.overlaps(own.address, item) for own in mine)


def _uds(backend: Backend) -> Optional[str]:
    path = backend.app.uds
    return path if path is None or path.startswith("/") else os.path.join(backend.cwd or "/", path)


def _place(item: Socket) -> Place:
    if item.proto == "unix":
        return Place("", uds=item.address)
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(item.address, item.address)
    return Place(address, item.port)


def _entries(backend: Backend, ctx: Context) -> list[dict[str, Any]]:
    section = ports.collect(backend, ctx)
    path = _uds(backend) if not backend.app.port else None
    return [
        item
        for item in section["sockets"]
        if item["state"] in ("listening", "bound")
        and (item["port"] == backend.app.port if path is None else item["address"] == path)
    ]


def _stranger(backend: Backend, ctx: Context) -> Optional[str]:
    """Who listens beside the backend without being a service: a leftover. Instances of one service may share a port by design."""
    for item in _entries(backend, ctx):
        process = item["process"]
        if item["own"] is False and item["state"] == "listening" and process:
            unit = process.get("unit") or ""
            if not unit.endswith(".service") or unit == backend.name:
                return _describe(item)
    return None


def _other(backend: Backend, want: str, ctx: Context) -> tuple[str, str]:
    """(for the timeline, a sentence) on the port that isn't held as it should be."""
    entries = _entries(backend, ctx)
    for item in entries:
        if item["own"]:
            if item["state"] == "bound":
                return "own, not listening", f"its process has bound {want} and does not listen there yet"
            return "waits", f"a socket unit listens on {want} for the backend, whose process has not taken it over yet"
    for item in entries:
        who = _describe(item)
        verb = "listens on" if item["state"] == "listening" else "has bound"
        return who, f"{who} {verb} {want}, not the backend"
    return "none", f"nothing listens on {want}"


def _describe(item: dict[str, Any]) -> str:
    process = item["process"]
    if not process:
        user = proc.user_name(item["uid"])
        return f"another process of {user}" if user else "another process"
    return f"pid {process['pid']} ({process.get('unit') or process.get('user') or process['command'][:40]})"
