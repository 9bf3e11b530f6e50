# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bounded network questions without credentials: names, connections, certificates and a protocol's first words."""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Callable, Optional

from .numerals import whole

if TYPE_CHECKING:
    # The slowest import of all; only those pay for it who meet an encrypted service.
    import ssl

DNS_SECONDS = 1.5
TCP_SECONDS = 1.5
TALK_SECONDS = 1.5
MAX_ADDRESSES = 3
_NO_ROUTE = {errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
_SSL_REQUEST = struct.pack("!II", 8, 80877103)
_AUTHENTICATION = {0: "lets in without a password", 2: "asks for Kerberos", 3: "asks for a password in the clear"}
_AUTHENTICATION.update({5: "asks for an MD5 password", 7: "asks for GSSAPI", 10: "asks for a SCRAM-SHA-256 password"})
_AMQP_HEADER = b"AMQP\x00\x00\x09\x01"
_REDIS_FACTS = (
    "redis_version role loading used_memory maxmemory maxmemory_policy rdb_last_bgsave_status aof_last_write_status "
    "connected_clients maxclients master_link_status"
).split()


def resolve(host: str, port: int = 0, seconds: float = DNS_SECONDS) -> dict[str, Any]:
    """Resolve a name as the backend would, in a thread that is left behind when the resolver hangs."""
    answer: dict[str, Any] = {}

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port or None, type=socket.SOCK_STREAM)
            answer["addresses"] = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        except socket.gaierror as exc:
            answer["error"], answer["errno"] = str(exc.strerror), exc.errno
        except (OSError, UnicodeError, ValueError) as exc:
            answer["error"] = str(exc)

    worker = threading.Thread(target=ask, name="getaddrinfo", daemon=True)
    worker.start()
    worker.join(seconds)
    done = dict(answer)
    if not done:
        done["error"] = f"no answer from the resolver within {seconds:.1f} s"
    return {
        "ok": "addresses" in done,
        "addresses": done.get("addresses", []),
        "error": done.get("error"),
        "errno": done.get("errno"),
    }


def connect(
    addresses: list[str], port: Optional[int], uds: Optional[str], seconds: float = TCP_SECONDS
) -> tuple[Optional[socket.socket], dict[str, Any]]:
    """Connect to the first address that answers, or to a Unix socket: (connection, the ``tcp`` shape)."""
    begun = time.monotonic()
    shape: dict[str, Any] = {"ok": False, "address": None, "error": None, "errno": None, "ms": None}
    places: list[Any] = [uds] if uds else [(address, port) for address in addresses[:MAX_ADDRESSES]]
    for position, place in enumerate(places):
        left = seconds - (time.monotonic() - begun)
        if left <= 0.05:
            break
        family = socket.AF_UNIX if uds else socket.AF_INET6 if ":" in place[0] else socket.AF_INET
        link = socket.socket(family, socket.SOCK_STREAM)
        # An address that swallows packets must not use up the time of the next one.
        link.settimeout(left / (len(places) - position))
        try:
            link.connect(place)
        except (OSError, OverflowError) as exc:
            link.close()
            number, text = explain(exc)
            # That this host lacks one address family says nothing about the service.
            if shape["error"] is None or (shape["errno"] in _NO_ROUTE and number not in _NO_ROUTE):
                shape.update(error=text, errno=number, address=uds or place[0])
            continue
        shape.update(ok=True, error=None, errno=None, address=uds or place[0])
        shape["ms"] = round((time.monotonic() - begun) * 1000)
        return link, shape
    shape["ms"] = round((time.monotonic() - begun) * 1000)
    return None, shape


def explain(exc: BaseException) -> tuple[Optional[int], str]:
    """(errno, text) of a failed connection; a time-out counts as ETIMEDOUT."""
    if isinstance(exc, socket.timeout):
        return errno.ETIMEDOUT, "timed out"
    number = getattr(exc, "errno", None)
    return number, os.strerror(number) if isinstance(number, int) and number > 0 else str(exc)


def tls_context(environ: Mapping[str, str], verify: bool) -> ssl.SSLContext:
    """A client context with the backend's own trust, as far as its environment changes it."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    context.load_default_certs()
    bundle = environ.get("SSL_CERT_FILE") or environ.get("REQUESTS_CA_BUNDLE")
    if bundle and os.path.isfile(bundle):
        try:
            context.load_verify_locations(bundle)
        except (OSError, ssl.SSLError):
            pass
    return context


def wrap(
    link: socket.socket, host: Optional[str], environ: Mapping[str, str], verify: bool
) -> tuple[Optional[ssl.SSLSocket], dict[str, Any]]:
    """Handshake: (encrypted connection, the ``tls`` shape). A refused certificate ends the connection."""
    import ssl

    shape: dict[str, Any] = {"ok": False, "verified": None, "version": None, "error": None, "verify_code": None}
    shape["not_after"] = None
    try:
        secured = tls_context(environ, verify).wrap_socket(link, server_hostname=host or None)
    except ssl.SSLCertVerificationError as exc:
        shape.update(verified=False, error=exc.verify_message, verify_code=exc.verify_code)
        return None, shape
    except (OSError, ValueError) as exc:
        shape["error"] = getattr(exc, "reason", None) or explain(exc)[1]
        return None, shape
    shape.update(ok=True, verified=verify or None, version=secured.version())
    certificate = secured.getpeercert() or {}
    shape["not_after"] = certificate.get("notAfter")
    return secured, shape


def receive(link: socket.socket, limit: int = 8192, enough: Optional[Callable[[bytes], bool]] = None) -> bytes:
    """Read until the peer ends, ``limit`` is reached, the time is up or ``enough`` says so."""
    data = b""
    while len(data) < limit:
        try:
            chunk = link.recv(limit - len(data))
        except socket.timeout:
            break
        if not chunk:
            break
        data += chunk
        if enough is None or enough(data):
            break
    return data


def shape_of(ok: bool, said: Optional[str], error: Optional[str] = None, **more: Any) -> dict[str, Any]:
    """The ``protocol`` shape."""
    return {"ok": ok, "said": said, "error": error, "code": None, "tls_offered": None, "facts": {}, **more}


def postgresql_offers_tls(link: socket.socket) -> Optional[bool]:
    """Ask PostgreSQL for encryption: True, False, or None when it answers something else."""
    link.sendall(_SSL_REQUEST)
    return {b"S": True, b"N": False}.get(link.recv(1))


def postgresql(link: socket.socket, user: str, database: str) -> dict[str, Any]:
    """Start a session up to the point where PostgreSQL asks for the password, then take leave."""
    words = b"".join(part.encode() + b"\0" for part in ("user", user, "database", database))
    body = struct.pack("!I", 196608) + words + b"\0"
    link.sendall(struct.pack("!I", len(body) + 4) + body)
    answer = receive(link, enough=lambda data: len(data) >= 9)
    result = parse_postgresql(answer)
    try:
        link.sendall(b"X\0\0\0\x04")
    except OSError:
        pass
    return result


def parse_postgresql(data: bytes) -> dict[str, Any]:
    """PostgreSQL's answer to a start: a request for authentication, or an error with its code."""
    at = 0
    said = None
    while at + 5 <= len(data):
        kind, length = data[at : at + 1], struct.unpack_from("!I", data, at + 1)[0]
        body = data[at + 5 : at + 1 + length]
        if kind == b"R" and len(body) >= 4:
            number = struct.unpack_from("!I", body)[0]
            said = _AUTHENTICATION.get(number, f"asks for authentication of kind {number}")
        elif kind == b"E":
            fields = {part[:1]: part[1:].decode("utf-8", "replace") for part in body.split(b"\0") if part}
            code, message = fields.get(b"C"), fields.get(b"M", "")
            return shape_of(False, said, f"{fields.get(b'S', 'FATAL')} {code}: {message}", code=code)
        at += 1 + length
    return shape_of(True, said) if said else shape_of(False, None, _not_understood(data))


def redis(link: socket.socket) -> dict[str, Any]:
    """PING, and where that is allowed INFO."""
    link.sendall(b"PING\r\n")
    first = receive(link).split(b"\r\n")[0].decode("utf-8", "replace")
    if first != "+PONG":
        code = first[1:].split(" ")[0] if first.startswith("-") else None
        # A demand for a password is what a healthy server with one says.
        return shape_of(
            code == "NOAUTH", first or None, None if code == "NOAUTH" else first or _not_understood(b""), code=code
        )
    link.sendall(b"INFO\r\n")
    text = receive(link, 16384, lambda data: b"# Keyspace" in data or data.startswith(b"-")).decode("utf-8", "replace")
    pairs = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    numbers = {key: whole(pairs[key]) for key in _REDIS_FACTS if key in pairs}
    facts = {key: pairs[key] if number is None else number for key, number in numbers.items()}
    return shape_of(True, first, facts=facts)


def amqp(link: socket.socket) -> dict[str, Any]:
    """The protocol header, which RabbitMQ answers with connection.start."""
    link.sendall(_AMQP_HEADER)
    data = receive(link)
    if data[:1] == b"\x01" and data[7:11] == b"\x00\x0a\x00\x0a":
        return shape_of(True, "connection.start")
    if data.startswith(b"AMQP"):
        version = ".".join(str(byte) for byte in data[5:8])
        return shape_of(False, data[:4].decode(), f"the broker speaks AMQP {version}, not 0.9.1")
    return shape_of(False, None, _not_understood(data))


def mysql(link: socket.socket) -> dict[str, Any]:
    """MySQL speaks first: its version, or why it refuses."""
    return parse_mysql(receive(link, enough=lambda data: len(data) >= 5))


def parse_mysql(data: bytes) -> dict[str, Any]:
    """The greeting packet of MySQL and MariaDB."""
    if len(data) < 6:
        return shape_of(False, None, _not_understood(data))
    if data[4] == 0xFF:
        code = str(struct.unpack_from("<H", data, 5)[0])
        return shape_of(False, None, f"ERROR {code}: {data[7:300].decode('utf-8', 'replace')}", code=code)
    if data[4] != 10:
        return shape_of(False, None, _not_understood(data))
    version = data[5:].split(b"\0")[0].decode("utf-8", "replace")
    return shape_of(True, f"version {version}")


def smtp(link: socket.socket) -> dict[str, Any]:
    """SMTP speaks first."""
    line = receive(link).split(b"\r\n")[0].decode("utf-8", "replace")
    link.sendall(b"QUIT\r\n")
    greets = line.startswith("220")
    return shape_of(greets, line or None, None if greets else _not_understood(line.encode()))


def memcached(link: socket.socket) -> dict[str, Any]:
    """The command ``version``."""
    link.sendall(b"version\r\n")
    line = receive(link).split(b"\r\n")[0].decode("utf-8", "replace")
    return shape_of(line.startswith("VERSION"), line or None, None if line else _not_understood(b""))


def mongodb(link: socket.socket) -> dict[str, Any]:
    """The command ``isMaster``, which needs no login."""
    document = b"\x10isMaster\0" + struct.pack("<i", 1) + b"\0"
    query = struct.pack("<i", 0) + b"admin.$cmd\0" + struct.pack("<ii", 0, -1)
    body = query + struct.pack("<i", len(document) + 4) + document
    link.sendall(struct.pack("<iiii", len(body) + 16, 1, 0, 2004) + body)
    data = receive(link, enough=lambda got: len(got) >= 36)
    if len(data) >= 16 and struct.unpack_from("<i", data, 12)[0] in (1, 2013):
        return shape_of(True, "answers isMaster")
    return shape_of(False, None, _not_understood(data))


def _not_understood(data: bytes) -> str:
    if not data:
        return f"the server closed the connection or said nothing within {TALK_SECONDS:.1f} s"
    return f"the server does not speak this protocol: it said {data[:60]!r}"
