# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services that run and don't work: workers that die behind a living parent, a port bound and not listened on, no answer.

All of it is read from /proc, but for an HTTP request to services that listen, which ``probe_health: false`` turns off.
"""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Optional
from urllib.parse import urlsplit

from . import app, proc, processes, sockets
from .context import MIB, Context
from .model import Backend
from .sockets import Socket

# A service may take its time until it listens; half a minute is common, so it is only suspected after three times that.
LISTEN_GRACE_S = 90.0
BOUND_GRACE_S = 60.0
# Workers younger than this behind a parent older than that are suspected to die and be replaced.
YOUNG_WORKER_S = 30.0
OLD_PARENT_S = 90.0
# That old is enough where the kernel says that children of the parent have ended already.
REPLACING_PARENT_S = 10.0
ANSWER_S = 2.0
_HEALTH_PATHS = ("/health", "/healthz")
_HTTP_SERVERS = ("uvicorn", "gunicorn", "hypercorn", "daphne", "granian", "waitress", "flask", "django")
_NO_PORT = ("celery", "unknown", "module", "script")
LISTENING = "listening"
BOUND = "bound"


@dataclass
class Alive:
    """A running service under suspicion, with the sockets that it holds."""

    backend: Backend
    age_s: float
    listening: list[Socket] = field(default_factory=list)
    bound: list[Socket] = field(default_factory=list)
    answer: Optional[str] = None
    silent: bool = False


def suspect(backends: list[Backend], ctx: Context) -> dict[str, str]:
    """Which of the running backends don't work: name → a sentence."""
    stats = proc.scan()
    found: dict[str, str] = {}
    living: list[Alive] = []
    for backend in backends:
        if backend.main_pid not in stats or not _same_network(backend.main_pid or 0):
            continue
        try:
            app.resolve(backend, ctx)
        except Exception:  # its collector will record what went wrong
            pass
        age = _age(stats[backend.main_pid or 0])
        own = [proc.inspect(stats[pid]) for pid in sorted(proc.own_pids(backend, stats))[:100]]
        reason = dying_workers(processes.young_workers(backend, [item for item in own if item.stat.state != "Z"]))
        if reason:
            found[backend.name] = reason
            continue
        living.append(Alive(backend, age))
        backend.pids = [item.pid for item in own]
    _add_sockets(living, ctx)
    for item in living:
        reason = not_listening(item)
        if reason:
            found[item.backend.name] = reason
    if ctx.params.get("probe_health", True):
        found.update(_silent([item for item in living if item.listening and item.backend.name not in found], ctx))
    return found


def dying_workers(facts: Optional[dict[str, object]]) -> Optional[str]:
    """The sentence for workers that are much younger than their parent, from the ``young_workers`` of the evidence."""
    if not facts or facts.get("recycled"):
        return None
    parent, oldest, count = facts.get("parent_age_s"), facts.get("oldest_worker_age_s"), facts.get("count")
    if not isinstance(parent, (int, float)) or parent < (REPLACING_PARENT_S if facts.get("replaced") else OLD_PARENT_S):
        return None
    if count == 0 and facts.get("expected"):
        return f"it is active, but its main process has no worker left (it started {parent:.0f} s ago)"
    if isinstance(oldest, (int, float)) and oldest < min(YOUNG_WORKER_S, parent / 2):
        return f"it is active, but no worker is older than {oldest:.0f} s while its main process is {parent:.0f} s old"
    return None


def not_listening(item: Alive) -> Optional[str]:
    """The sentence for a service that should listen and does not, once it had time to."""
    if item.listening:
        return None
    if item.bound and item.age_s >= BOUND_GRACE_S:
        ports = ", ".join(str(held.port) for held in item.bound)
        return f"it is active, but holds port {ports} bound without listening on it, {item.age_s:.0f} s after its start"
    wanted = item.backend.app
    expected = wanted.port is not None and (wanted.server not in _NO_PORT or "port" in wanted.origin)
    if expected and item.age_s >= LISTEN_GRACE_S:
        return f"it is active, but does not listen on port {wanted.port}, {item.age_s:.0f} s after its start"
    return None


def _add_sockets(living: list[Alive], ctx: Context) -> None:
    tables = [(proc.slurp(f"/proc/self/net/{name}", 4 * MIB) or "", name) for name in ("tcp", "tcp6")]
    known = {item.inode: item for text, name in tables for item in sockets.parse_tcp(text, name)}
    asked = sockets.diagnose()
    bound = {item.inode: item for item in asked or [] if item.state == BOUND}
    pids = [pid for item in living for pid in item.backend.pids]
    owners = sockets.find_owners(pids, min(1.0, ctx.remaining()))
    for inode, holders in owners.pids.items():
        for item in living:
            if not set(holders) & set(item.backend.pids):
                continue
            if inode in known and known[inode].state == LISTENING:
                item.listening.append(known[inode])
            elif inode in bound:
                item.bound.append(bound[inode])


def _silent(living: list[Alive], ctx: Context) -> dict[str, str]:
    """Ask each service side by side; those that leave the question unanswered, or say that they are unwell."""
    limit = min(ANSWER_S, max(0.2, ctx.remaining()))
    given = urlsplit(str(ctx.params.get("health_url") or "")).path
    paths = (given,) if given else _HEALTH_PATHS
    threads = [threading.Thread(target=_ask, args=(item, paths, limit), daemon=True) for item in living]
    for thread in threads:
        thread.start()
    end = time.monotonic() + limit + 0.2
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    found: dict[str, str] = {}
    for item in living:
        if item.answer:
            found[item.backend.name] = item.answer
        elif item.silent and (item.backend.app.server in _HTTP_SERVERS or _waiting(item.listening)):
            port = item.listening[0].port
            found[item.backend.name] = (
                f"it is active and listens on port {port}, but did not answer within {limit:.0f} s"
            )
    return found


def _ask(item: Alive, paths: Sequence[str], limit: float) -> None:
    held = min(item.listening, key=lambda known: (known.port != item.backend.app.port, known.port or 0))
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(held.address, held.address)
    end = time.monotonic() + limit
    for path in paths:
        connection = http.client.HTTPConnection(host, held.port, timeout=max(0.1, end - time.monotonic()))
        try:
            connection.request("GET", path, headers={"User-Agent": "firstaid", "Connection": "close"})
            status = connection.getresponse().status
        except (socket.timeout, TimeoutError):
            item.silent = True
            return
        except (OSError, http.client.HTTPException):
            # Whatever it said or did, it is alive: TLS and other protocols answer like this.
            return
        finally:
            connection.close()
        if status >= 500:
            item.answer = f"it is active, but answers {path} on port {held.port} with HTTP status {status}"
        if status != 404:
            return


def _waiting(listening: list[Socket]) -> bool:
    """Whether connections wait in the queue of a listening socket: its owner does not accept them."""
    inodes = {item.inode for item in listening}
    for name in ("tcp", "tcp6"):
        for line in (proc.slurp(f"/proc/self/net/{name}", 4 * MIB) or "").splitlines()[1:]:
            words = line.split()
            # For a listening socket the receive queue counts connections that nobody has accepted.
            if (
                len(words) > 9
                and words[9].isdigit()
                and int(words[9]) in inodes
                and int(words[4].partition(":")[2], 16) > 0
            ):
                return True
    return False


def _same_network(pid: int) -> bool:
    theirs, ours = proc.readlink(f"/proc/{pid}/ns/net"), proc.readlink("/proc/self/ns/net")
    return theirs is None or theirs == ours


def _age(stat: proc.Stat) -> float:
    start = proc.start_epoch(stat.start_ticks)
    return max(0.0, time.time() - start) if start is not None else 0.0
