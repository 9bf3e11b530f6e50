# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking a running supervisord over its socket or port, within a time limit. ``ask`` only uses its reading calls."""

from __future__ import annotations

import base64
import http.client
import socket
import xmlrpc.client
from dataclasses import dataclass, field
from typing import Any, Optional
from urllib.parse import urlsplit

from .context import MIB
from .model import Unavailable
from .numerals import whole
from .supervisor_config import Config

RPC_SECONDS = 3.0
MAX_ANSWER_BYTES = 4 * MIB
# Methods that change nothing; there are others on the same address.
_CALLS = ("supervisor.getState", "supervisor.getPID", "supervisor.getSupervisorVersion", "supervisor.getAllProcessInfo")


@dataclass
class Status:
    """The answers of one supervisord; ``processes`` by group and name."""

    pid: Optional[int] = None
    version: Optional[str] = None
    state: Optional[str] = None
    processes: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)


@dataclass
class Address:
    """Where a supervisord listens: a socket file, or host and port."""

    path: Optional[str] = None
    host: str = "127.0.0.1"
    port: int = 9001
    username: Optional[str] = None
    password: Optional[str] = None

    def __str__(self) -> str:
        return f"unix://{self.path}" if self.path else f"http://{self.host}:{self.port}"


def address(config: Config) -> Optional[Address]:
    """Where the configuration says that supervisord listens; None where it has no server section."""
    path = config.option("unix_http_server", "file")
    if path:
        return Address(
            path=path,
            username=config.option("unix_http_server", "username"),
            password=config.option("unix_http_server", "password"),
        )
    text = (
        config.option("inet_http_server", "port") or urlsplit(config.option("supervisorctl", "serverurl") or "").netloc
    )
    if not text:
        return None
    host, _colon, port = text.rpartition(":")
    return Address(
        host=host if host not in ("", "*", "0.0.0.0") else "127.0.0.1",
        port=whole(port) or 9001,
        username=config.option("inet_http_server", "username"),
        password=config.option("inet_http_server", "password"),
    )


def ask(where: Address, seconds: float = RPC_SECONDS) -> Status:
    """State, process id, version and all processes, in one round trip.

    :raises Unavailable: nobody listens, access is refused, or the answer is none of supervisord's.
    """
    calls = [{"methodName": name, "params": []} for name in _CALLS]
    return read_answer(post(where, xmlrpc.client.dumps((calls,), "system.multicall").encode("utf-8"), seconds), where)


def read_answer(text: bytes, where: Address) -> Status:
    """The answer to the four calls.

    :raises Unavailable: it is none of supervisord's.
    """
    try:
        decoded: Any = xmlrpc.client.loads(text)[0][0]
        return parse(list(decoded))
    except Exception as exc:  # expat and xmlrpc raise many kinds for text that is no answer
        raise Unavailable(f"the answer at {where} is none of supervisord's ({type(exc).__name__})") from exc


def post(where: Address, body: bytes, seconds: float = RPC_SECONDS) -> bytes:
    """Send one XML-RPC request and return the text of the answer.

    :raises Unavailable: nobody listens, or access is refused.
    """
    headers = {"Content-Type": "text/xml", "Accept": "text/xml"}
    if where.username is not None:
        login = f"{where.username}:{where.password or ''}".encode()
        headers["Authorization"] = "Basic " + base64.b64encode(login).decode("ascii")
    connection = _Connection(where, seconds)
    try:
        connection.request("POST", "/RPC2", body, headers)
        answer = connection.getresponse()
        text = answer.read(MAX_ANSWER_BYTES)
    except (OSError, http.client.HTTPException) as exc:
        reason = getattr(exc, "strerror", None) or type(exc).__name__
        raise Unavailable(f"supervisord does not answer at {where}: {reason}") from exc
    finally:
        connection.close()
    if answer.status != 200:
        raise Unavailable(f"supervisord at {where} refuses the question with HTTP status {answer.status}")
    return text


def parse(results: list[Any]) -> Status:
    """The answers to the four calls; a call that failed leaves its part empty. supervisord does not wrap them in lists."""
    state, pid, version, processes = results
    status = Status(
        pid=pid if isinstance(pid, int) else None,
        version=version if isinstance(version, str) else None,
        state=state.get("statename") if isinstance(state, dict) else None,
    )
    for info in processes if isinstance(processes, list) else []:
        status.processes[(str(info.get("group")), str(info.get("name")))] = dict(info)
    return status


class _Connection(http.client.HTTPConnection):
    """HTTP over a socket file or a port, every step within the time limit."""

    def __init__(self, where: Address, seconds: float) -> None:
        super().__init__(where.host, where.port, timeout=seconds)
        self._where = where

    def connect(self) -> None:
        if self._where.path is None:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._where.path)
