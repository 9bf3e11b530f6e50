# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals about a server that can't open its socket, whatever the server calls it.

Each server words that in its own way, and some print nothing but the C library's sentence, in the host's language. What
they share is the place: it is the server that binds, before it serves. The error number then decides among the causes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .observe import Observed
from .observed import Hit, Seen
from .signals import signal

TAKEN = frozenset((98, 48, 10048))
REFUSED = frozenset((13, 10013))
# Not an address of this host, no such family, and the resolver's errors.
NO_ADDRESS = frozenset((99, 49, 10049, 97, 10047, -2, -3, -5, -8, 11001))

_ADDRESS = r"\('(?P<address>[^']{0,80})', (?P<port>\d{1,5})"
_NUMBER = r"\[(?:Errno|WinError) (?P<errno>-?\d{1,5})\]"
_LINES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_NUMBER}.{{0,60}}bind on address {_ADDRESS}",
        rf"connection to {_ADDRESS}.{{0,40}}failed: {_NUMBER}",
        rf"listen(?:ing)? on (?P<address>[\w.:*-]{{1,80}}?):(?P<port>\d{{1,5}}).{{0,20}}{_NUMBER}",
        r"startup failed due to OS error: .{0,100}\(errno (?P<errno>-?\d{1,5})\)",
        rf"(?:could not|cannot|can't|unable to|failed to) (?:bind|listen|create (?:listening )?socket).{{0,80}}{_NUMBER}",
    )
)
_BARE = re.compile(rf"^{_NUMBER} .{{1,80}}$")
# What the development server of Flask prints alone on a line: the sentence without its number.
_SENTENCES = {
    "permission denied": 13,
    "address already in use": 98,
    "cannot assign requested address": 99,
    "name or service not known": -2,
    "temporary failure in name resolution": -3,
    "nodename nor servname provided, or not known": -8,
    "address family not supported by protocol": 97,
}
_OPENING = re.compile(
    r"create_server|start_server|\.bind\(|server_bind|bind_sockets?\b|site\.start\(|create_listeners|_ensure_resolved|run_simple|"
    r"listen\(|_init_shared_socket|SocketSpec|create_sockets|make_server|adjustments\.py|\bbind\b"
)
_CONNECTING = re.compile(r"create_connection|connect\(|open_connection|\bconnect\b|_connect")
_OS_ERROR = re.compile(r"\(os error (\d{1,5})\)")


def _bind_errors(observed: Observed) -> list[tuple[int, Hit]]:
    key = "bind_errors"
    if key not in observed.memo:
        observed.memo[key] = [*_in_lines(observed), *_in_exceptions(observed)]
    result: list[tuple[int, Hit]] = observed.memo[key]
    return result


def _in_lines(observed: Observed) -> Iterator[tuple[int, Hit]]:
    flask = any("serving flask app" in line.lowered for line in observed.lines)
    for line in observed.lines:
        if line.by != "app" or ("errno" not in line.lowered and "winerror" not in line.lowered):
            sentence = line.lowered.strip(" .") if flask else ""
            if sentence in _SENTENCES:
                yield _SENTENCES[sentence], Hit((line.citation,), "log", line.weight)
            continue
        match = next((found for pattern in _LINES if (found := pattern.search(line.text))), None)
        if match is None and line.phase != "start":
            match = _BARE.search(line.text)  # uvicorn: the application has started, the socket failed
        if match:
            captures = {key: value for key, value in match.groupdict().items() if value and key != "errno"}
            yield int(match.group("errno")), Hit((line.citation,), "log", line.weight, captures)


def _in_exceptions(observed: Observed) -> Iterator[tuple[int, Hit]]:
    for seen in observed.seen:
        number = _errno(seen)
        if number is None:
            continue
        frames = seen.raised.frames[-8:]
        innermost = " ".join(
            f"{frame.file.rpartition('/')[2]} {frame.function or ''} {frame.code or ''}" for frame in frames
        )
        if _OPENING.search(innermost) and not _CONNECTING.search(innermost):
            kind = "exception" if seen.source == "log" else seen.source
            yield number, Hit((seen.citation,), kind, seen.weight)


def _errno(seen: Seen) -> int | None:
    if seen.raised.errno is not None:
        return seen.raised.errno
    match = _OS_ERROR.search(seen.raised.message)
    if match:
        return int(match.group(1))
    return -2 if "gaierror" in seen.raised.type else None


def _of(observed: Observed, numbers: frozenset[int]) -> list[Hit]:
    return [hit for number, hit in _bind_errors(observed) if number in numbers]


@signal("bind_taken")
def bind_taken(observed: Observed) -> list[Hit]:
    """The server can't bind because somebody else has the address."""
    return _of(observed, TAKEN)


@signal("bind_refused")
def bind_refused(observed: Observed) -> list[Hit]:
    """The server may not bind the address."""
    return _of(observed, REFUSED)


@signal("bind_no_address")
def bind_no_address(observed: Observed) -> list[Hit]:
    """The address that the server should bind isn't one of this host, or no address at all."""
    return _of(observed, NO_ADDRESS)
