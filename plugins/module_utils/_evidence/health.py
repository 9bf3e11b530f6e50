# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The health endpoint of a running backend, asked by GET, which by convention changes nothing.

A request may leave a line in the backend's own access log; ``probe_health: false`` turns the asking off.
"""

from __future__ import annotations

import re
import socket
import time
from dataclasses import dataclass
from typing import Any, Optional
from urllib.parse import urlsplit

from . import proc, sockets
from .context import KIB, MIB, Context
from .logs_text import clean
from .model import Backend, Section
from .probes import connect, explain, resolve, wrap

PATHS = ("/health", "/healthz", "/api/health", "/ready", "/")
REQUEST_SECONDS = 2.0
TOTAL_SECONDS = 4.0
MAX_REQUESTS = 6
BODY_BYTES = 2 * KIB
# What a server answers to plain HTTP when it wants TLS: a TLS alert, or nginx's and gunicorn's page about it.
_WANTS_TLS = re.compile(rb"^\x15\x03|plain HTTP request was sent to HTTPS|speaking plain HTTP to an SSL", re.IGNORECASE)
_STATUS = re.compile(rb"^HTTP/\d(?:\.\d)? (\d{3})")
_LOCATION = re.compile(rb"^Location:[ \t]*([^\r\n]{1,2048})", re.IGNORECASE | re.MULTILINE)
NOT_WEB = {"celery"}


@dataclass(frozen=True)
class Place:
    """Where the backend listens: an address and port, or the path of a Unix socket."""

    address: str
    port: Optional[int] = None
    uds: Optional[str] = None

    def url(self, scheme: str, path: str) -> str:
        if self.uds:
            return f"{scheme}+unix://{self.uds}:{path}"
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{scheme}://{host}:{self.port}{path}"


@dataclass
class Answer:
    """What came back for one request; ``location`` is where a redirect points."""

    status: Optional[int] = None
    body: str = ""
    location: Optional[str] = None
    error: Optional[str] = None
    wants_tls: bool = False
    ms: int = 0


def collect(backend: Backend, ctx: Context) -> Section:
    """The ``app.health`` shape. ``backend_health_url`` in the parameters names the endpoint; else common paths are tried."""
    given = ctx.params.get("backend_health_url") or ctx.params.get("health_url")
    if not ctx.params.get("probe_health", True):
        return _skipped("asking is turned off")
    if not backend.running:
        return _skipped("the backend does not run")
    path = str(given) if given and str(given).startswith("/") else None
    if given and not path:
        return _ask_url(str(given), ctx)
    if backend.app.server in NOT_WEB and not path:
        return _skipped(f"{backend.app.server} serves no HTTP")
    here, ours = proc.readlink(f"/proc/{backend.main_pid}/ns/net"), proc.readlink("/proc/self/ns/net")
    if here and ours and here != ours:
        return _skipped("the backend has a network of its own, which can't be reached from here")
    place = choose_place(listening_places(backend), backend.app.port)
    if place is None:
        return _skipped("none of its processes listens on a port")
    if place.uds and ctx.closed_socket(place.uds):
        return _skipped(f"{place.uds} leads to a socket that the backend's user may not use: not asked")
    return ask(place, tls_first(backend), min(TOTAL_SECONDS, ctx.remaining()), path)


def listening_places(backend: Backend) -> list[Place]:
    """The sockets on which the backend's own processes listen.

    Where their descriptors are hidden from us, what its user has open on the configured port counts as its own.
    """
    stats = proc.scan()
    owners = sockets.find_owners(sorted(proc.own_pids(backend, stats)), 1.0)
    base = f"/proc/{backend.main_pid}/net" if backend.main_pid in stats else "/proc/self/net"
    items = []
    for proto in ("tcp", "tcp6"):
        items += sockets.parse_tcp(proc.slurp(f"{base}/{proto}", 8 * MIB) or "", proto)
    items += sockets.parse_unix(proc.slurp(f"{base}/unix", 8 * MIB) or "")
    found = []
    for item in items:
        hidden = owners.denied and item.port is not None and item.port == backend.app.port and item.uid == backend.uid
        if item.state != sockets.LISTENING or not (item.inode in owners.pids or hidden):
            continue
        if item.proto == "unix":
            found.append(Place("", uds=item.address))
        else:
            found.append(Place({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(item.address, item.address), item.port))
    return found


def choose_place(places: list[Place], wanted: Optional[int]) -> Optional[Place]:
    """The configured port if the backend listens there; else its lowest one, else a Unix socket."""
    on_wanted = [place for place in places if place.port is not None and place.port == wanted]
    with_port = sorted((place for place in places if place.port is not None), key=lambda place: place.port or 0)
    return next(iter([*on_wanted, *with_port, *(place for place in places if place.uds)]), None)


def tls_first(backend: Backend) -> bool:
    """Whether its command line gives it a certificate, so that HTTPS is tried first."""
    return any(re.match(r"--(?:ssl-)?(?:certfile|keyfile)\b", word) for word in [*backend.argv, *backend.app.argv])


def _skipped(reason: str) -> Section:
    return {
        "url": None,
        "origin": None,
        "status": None,
        "ms": None,
        "body": None,
        "error": None,
        "tried": [],
        "skipped": reason,
    }


def ask(place: Place, tls_first: bool, seconds: float, only: Optional[str] = None) -> Section:
    """Try the common paths until one answers like a health endpoint, or ``only`` the one that the user named."""
    end = time.monotonic() + seconds
    tried: list[dict[str, Any]] = []
    answers: list[tuple[str, Answer]] = []
    scheme, queue, silent = "https" if tls_first else "http", [only] if only else list(PATHS), 0
    while queue and len(tried) < MAX_REQUESTS and silent < 2:
        left = min(REQUEST_SECONDS, end - time.monotonic())
        if left < 0.1:
            break
        path = queue.pop(0)
        answer = request(place, scheme, path, "localhost", left)
        url = place.url(scheme, path)
        tried.append({"url": url, "status": answer.status, "error": answer.error, "ms": answer.ms})
        if answer.wants_tls and scheme == "http":
            scheme = "https"
            queue.insert(0, path)
            continue
        answers.append((url, answer))
        if answer.error:
            silent += 1
        elif answer.status is not None and (answer.status < 400 or answer.status >= 500):
            break
    origin = "backend_health_url" if only else "common path"
    return _result(answers, tried, f"{origin} on the socket that it listens on")


def _result(answers: list[tuple[str, Answer]], tried: list[dict[str, Any]], origin: str) -> Section:
    """The best answer: a good one, else a server error, else any status, else the first error."""

    def rank(item: tuple[str, Answer]) -> int:
        status = item[1].status
        return 3 if status is None else 0 if status < 400 else 1 if status >= 500 else 2

    if not answers:
        return {**_skipped("no request could be made in time"), "tried": tried}
    url, best = min(answers, key=rank)
    return {
        "url": url,
        "origin": origin,
        "status": best.status,
        "ms": best.ms,
        "body": best.body or None,
        "error": best.error,
        "tried": tried,
        "skipped": None,
    }


def _ask_url(url: str, ctx: Context) -> Section:
    """Ask the endpoint that the user named."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as exc:
        return _skipped(f"backend_health_url is no usable URL: {exc}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return _skipped("backend_health_url is no usable URL: it must start with http:// or https:// and name a host")
    found = resolve(parts.hostname, port)
    answers: list[tuple[str, Answer]] = []
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    shown = url.split("@")[-1] if "@" in parts.netloc else url
    if not found["ok"]:
        answers.append((shown, Answer(error=f"its host does not resolve: {found['error']}")))
    else:
        left = min(REQUEST_SECONDS, ctx.remaining())
        for address in found["addresses"][:2]:
            answer = request(Place(address, port), parts.scheme, target, parts.hostname, left)
            answers.append((shown, answer))
            if not answer.error:
                break
    tried = [{"url": at, "status": got.status, "error": got.error, "ms": got.ms} for at, got in answers]
    return _result(answers, tried, "backend_health_url")


def request(
    place: Place,
    scheme: str,
    path: str,
    host: str,
    seconds: float,
    body_bytes: int = BODY_BYTES,
    verify: bool = False,
) -> Answer:
    """One GET, all of it within ``seconds``. Redirects are not followed.

    :param body_bytes: how much of the body is kept.
    :param verify: whether a certificate that can't be verified counts as an error.
    """
    begun = time.monotonic()
    answer = Answer()
    link, tcp = connect([place.address], place.port, place.uds, seconds)
    if link is None:
        answer.error = f"connect: {tcp['error']}"
    else:
        link.settimeout(max(0.05, seconds - (time.monotonic() - begun)))
        try:
            _exchange(link, scheme, path, host, begun + seconds, answer, body_bytes, verify)
        except OSError as exc:
            answer.error = (
                answer.error or f"{'no answer' if isinstance(exc, socket.timeout) else 'broke off'}: {explain(exc)[1]}"
            )
        finally:
            link.close()
    answer.ms = round((time.monotonic() - begun) * 1000)
    return answer


def _exchange(
    link: socket.socket, scheme: str, path: str, host: str, end: float, answer: Answer, body_bytes: int, verify: bool
) -> None:
    channel: socket.socket = link
    if scheme == "https":
        secured, tls = wrap(link, host, {}, verify)
        if secured is None:
            answer.error = f"TLS: {tls['error']}"
            return
        channel = secured
    words = f"GET {path} HTTP/1.0\r\nHost: {host}\r\nUser-Agent: firstaid-diagnosis\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    try:
        channel.sendall(words.encode("ascii", errors="replace"))
        data = b""
        while len(data) < body_bytes + 8 * KIB:
            left = end - time.monotonic()
            if left <= 0:
                if not data:
                    raise socket.timeout
                break
            channel.settimeout(left)
            try:
                chunk = channel.recv(4 * KIB)
            except (socket.timeout, ConnectionResetError):
                if not data:
                    raise
                break
            if not chunk:
                break
            data += chunk
    finally:
        if channel is not link:
            channel.close()
    parse_answer(data, answer, body_bytes)


def parse_answer(data: bytes, answer: Answer, body_bytes: int = BODY_BYTES) -> None:
    """Fill in the status, where a redirect points, and the start of the body."""
    answer.wants_tls = bool(_WANTS_TLS.search(data[: 2 * KIB]))
    match = _STATUS.match(data)
    if match:
        answer.status = int(match.group(1))
        head, _blank, body = data.partition(b"\r\n\r\n")
        moved = _LOCATION.search(head)
        answer.location = clean(moved.group(1).decode("utf-8", errors="replace")) if moved else None
        if not answer.wants_tls:
            answer.body = clean(body[:body_bytes].decode("utf-8", errors="replace"))
        return
    if answer.wants_tls:
        answer.error = "it wants TLS"
    elif data:
        answer.error = f"it does not speak HTTP: {data[:40]!r}"
    else:
        answer.error = "the connection was closed without an answer"
