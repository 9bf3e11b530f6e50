# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``backing_services`` section: databases, caches and brokers that the environment declares, and how they answer."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import threading
import time
from typing import Any, Callable, Optional
from urllib.parse import unquote

from . import probes, proc
from .backing_urls import Target, declared
from .context import MIB, Context
from .model import Backend, Section
from .sockets import parse_local_addresses

MAX_SERVICES = 12
PROBE_SECONDS = 4.5

# kind → the units that usually provide it; of those that are loaded the first counts. PostgreSQL's own unit on Debian
# is an empty shell that stays active when the cluster's unit fails, so the cluster comes first.
UNITS: dict[str, tuple[str, ...]] = {
    "postgresql": ("postgresql@*.service", "postgresql.service", "postgresql-*.service", "pgbouncer.service"),
    "mysql": ("mysql.service", "mariadb.service", "mysqld.service"),
    "redis": ("redis-server.service", "redis.service", "redis@*.service", "valkey*.service", "redis-server@*.service"),
    "amqp": ("rabbitmq-server.service",),
    "mongodb": ("mongod.service", "mongodb.service"),
    "kafka": ("kafka.service",),
    "memcached": ("memcached.service",),
    "smtp": ("postfix.service", "exim4.service"),
    "http": ("elasticsearch.service", "opensearch.service", "minio.service"),
}
_SPEAKERS: dict[str, Callable[[socket.socket], dict[str, Any]]] = {
    "redis": probes.redis,
    "amqp": probes.amqp,
    "mysql": probes.mysql,
    "smtp": probes.smtp,
    "memcached": probes.memcached,
    "mongodb": probes.mongodb,
}
_DIST_INFO = re.compile(r"^sqlalchemy-(\d+)\.(\d+)[^-]*\.(?:dist|egg)-info$", re.IGNORECASE)


def collect(backend: Backend, ctx: Context) -> Section:
    """Find the declared services and ask each in a thread of its own. No password leaves this process.

    Parameter used: ``probe_services`` (default true); false leaves it at reading the declarations.
    """
    targets = declared(backend.environ, refuses_postgres_scheme(backend))
    for target in targets:
        if target.password:
            ctx.add_secret(target.password, target.origin)
            ctx.add_secret(unquote(target.password), target.origin)
    chosen = targets[:MAX_SERVICES]
    entries = [describe(target, backend) for target in chosen]
    section: Section = {"services": entries}
    if len(targets) > len(chosen):
        section["_truncated"] = True
    if not ctx.params.get("probe_services", True):
        for entry in entries:
            entry["not_probed"] = "probing is turned off"
        return section
    seconds = min(PROBE_SECONDS, ctx.remaining())
    answers: list[dict[str, Any]] = [{} for _service in chosen]
    workers: list[Optional[threading.Thread]] = []
    for target, answer in zip(chosen, answers):
        if target.uds and ctx.closed_socket(target.uds):
            answer["not_probed"] = "it leads to a socket that the backend's user may not use"
            workers.append(None)
            continue
        worker = threading.Thread(target=_ask, args=(target, backend, answer), name="probe", daemon=True)
        worker.start()
        workers.append(worker)
    end = time.monotonic() + seconds
    for worker in filter(None, workers):
        worker.join(max(0.0, end - time.monotonic()))
    late = []
    for entry, answer, asked in zip(entries, answers, workers):
        entry.update(dict(answer))
        if asked is not None and asked.is_alive():
            late.append(f"{entry['origin']} was not fully asked within {seconds:.1f} s")
    _add_units(entries, backend, ctx)
    if late:
        section["_partial"] = "; ".join(late)
    return section


def describe(target: Target, backend: Backend) -> dict[str, Any]:
    """A declared service in the evidence's shape, not asked yet."""
    first = target.origin.split(",")[0].split(" ")[0]
    source = backend.environ_origin.get(first)
    return {
        "kind": target.kind,
        "origin": f"{target.origin} ({source})" if source else target.origin,
        "scheme": target.scheme,
        "host": target.host,
        "port": target.port,
        "uds": target.uds,
        "database": target.database,
        "user_set": bool(target.user),
        "password_set": bool(target.password),
        "tls_wanted": target.tls_wanted,
        "url_problems": target.problems,
        "dns": None,
        "tcp": None,
        "tls": None,
        "protocol": None,
        "local": {"is_local": None, "unit": None, "active_state": None, "sub_state": None, "result": None},
        "not_probed": None,
    }


def refuses_postgres_scheme(backend: Backend) -> bool:
    """Whether the backend's interpreter has SQLAlchemy from 1.4 on, and nothing that rewrites ``postgres://`` for it."""
    for entry in backend.interpreter.get("site_packages") or []:
        try:
            names = os.listdir(entry["path"])
        except (OSError, KeyError, TypeError):
            continue
        if "dj_database_url" in names or "dj_database_url.py" in names or "environ" in names:
            return False
        for name in names:
            match = _DIST_INFO.match(name)
            if match and (int(match.group(1)), int(match.group(2))) >= (1, 4):
                return True
    return False


def _ask(target: Target, backend: Backend, answer: dict[str, Any]) -> None:
    """Fill ``answer`` step by step, so that what a slow service has already said is not lost."""
    if not target.uds and (not target.host or not target.port):
        answer["not_probed"] = "the declaration names no usable host and port"
        return
    if "template" in target.problems and not target.uds and re.search(r"[${<]", target.host or ""):
        answer["not_probed"] = "the host is a placeholder that nobody filled in"
        return
    addresses: list[str] = []
    if target.host:
        answer["dns"] = probes.resolve(target.host, target.port or 0)
        addresses = answer["dns"]["addresses"]
        if not addresses:
            return
    link, tcp = probes.connect(addresses, target.port, target.uds)
    answer["tcp"] = tcp
    if link is None:
        return
    link.settimeout(probes.TALK_SECONDS)
    try:
        _talk(link, target, backend, addresses, answer)
    except OSError as exc:
        answer["protocol"] = probes.shape_of(False, None, f"the connection broke: {probes.explain(exc)[1]}")
    finally:
        link.close()


def _talk(link: socket.socket, target: Target, backend: Backend, addresses: list[str], answer: dict[str, Any]) -> None:
    """Hear the first words of the protocol, through TLS where the declaration wants it."""
    if target.kind == "postgresql":
        answer["protocol"] = _postgresql(link, target, backend, answer)
        return
    open_link: socket.socket = link
    if target.tls_wanted:
        secured, answer["tls"] = probes.wrap(link, target.host, backend.environ, target.verify)
        if secured is None and answer["tls"]["verified"] is False:
            again, _tcp = probes.connect(addresses, target.port, target.uds)
            if again is None:
                return
            again.settimeout(probes.TALK_SECONDS)
            secured, _shape = probes.wrap(again, target.host, backend.environ, False)
        if secured is None:
            return
        open_link = secured
    try:
        speaker = _SPEAKERS.get(target.kind)
        if speaker is not None:
            answer["protocol"] = speaker(open_link)
    finally:
        open_link.close()


def _postgresql(link: socket.socket, target: Target, backend: Backend, answer: dict[str, Any]) -> dict[str, Any]:
    offered: Optional[bool] = False
    if not target.uds:
        offered = probes.postgresql_offers_tls(link)
        if offered is None:
            return probes.shape_of(False, None, "the server does not speak PostgreSQL's protocol")
    open_link: socket.socket = link
    if offered and target.options.get("sslmode") != "disable":
        verify = target.options.get("sslmode") in ("verify-ca", "verify-full")
        secured, answer["tls"] = probes.wrap(link, target.host, backend.environ, verify)
        if secured is None:
            return probes.shape_of(False, None, "the encrypted connection failed", tls_offered=True)
        open_link = secured
    elif target.options.get("sslmode") == "disable" and offered:
        # After S the server waits for a handshake on this connection, so an unencrypted start needs a new one.
        return probes.shape_of(True, "speaks PostgreSQL", tls_offered=True)
    user = target.user or backend.user or "postgres"
    result = probes.postgresql(open_link, user, target.database or user)
    if open_link is not link:
        open_link.close()
    return {**result, "tls_offered": offered if not target.uds else None}


def _add_units(entries: list[dict[str, Any]], backend: Backend, ctx: Context) -> None:
    """Say which services are on this host, and in which state the unit is that provides them; one call for all."""
    addresses = parse_local_addresses(
        proc.slurp("/proc/net/fib_trie", MIB) or "", proc.slurp("/proc/net/if_inet6", MIB) or ""
    )
    kinds = set()
    for entry in entries:
        entry["local"]["is_local"] = is_local(entry, addresses)
        if entry["local"]["is_local"] and entry["kind"] in UNITS:
            kinds.add(entry["kind"])
    if not kinds or not os.path.isdir("/run/systemd/system"):
        return
    names = [name for kind in sorted(kinds) for name in UNITS[kind]]
    fields = "Id,LoadState,ActiveState,SubState,Result"
    shown = ctx.run(["systemctl", "show", f"--property={fields}", "--no-pager", "--", *names], timeout=3.0)
    units = parse_show(shown.stdout)
    for entry in entries:
        if entry["kind"] in kinds and entry["local"]["is_local"]:
            unit = choose_unit(entry["kind"], units)
            answers = bool((entry["tcp"] or {}).get("ok"))
            # What answers while the unit is down is provided by something else.
            if unit and (unit.get("ActiveState") == "active" or not answers):
                entry["local"].update(
                    unit=unit["Id"],
                    active_state=unit.get("ActiveState"),
                    sub_state=unit.get("SubState"),
                    result=unit.get("Result"),
                )


def is_local(entry: dict[str, Any], addresses: list[str]) -> Optional[bool]:
    """Whether a service is on this host; None when its name does not resolve."""
    if entry["uds"]:
        return True
    found = (entry["dns"] or {}).get("addresses") or []
    if not found:
        return True if entry["host"] == "localhost" else None
    for text in found:
        try:
            address = ipaddress.ip_address(text.split("%")[0])
        except ValueError:
            continue
        if address.is_loopback or str(address) in addresses:
            return True
    return False


def parse_show(text: str) -> list[dict[str, str]]:
    """Blocks of ``systemctl show`` for several units."""
    units = []
    for block in re.split(r"\n\s*\n", text):
        fields = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if fields.get("Id"):
            units.append(fields)
    return units


def choose_unit(kind: str, units: list[dict[str, str]]) -> Optional[dict[str, str]]:
    """The unit that provides a kind of service: the first loaded one in the order of :data:`UNITS`."""
    for pattern in UNITS.get(kind, ()):
        expression = re.compile("^" + re.escape(pattern).replace(r"\*", ".*") + "$")
        for unit in units:
            if unit.get("LoadState") in ("loaded", "masked") and expression.match(unit["Id"]):
                return unit
    return None
