# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals about ports, addresses, names and the services that the backend talks to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .observe import Observed
from .observed import Hit, cite_fact, resolve
from .signals import signal
from .state import determine, running, starting

_DATABASES = ("postgresql", "mysql", "mongodb")


@signal("port_taken")
def port_taken(observed: Observed) -> list[Hit]:
    """Another process holds the port that the backend wants."""
    hits = []
    for path, socket in resolve(observed.evidence, "ports.wanted_taken_by[*]"):
        if isinstance(socket, Mapping) and not socket.get("own") and socket.get("state") != "time_wait":
            hits.append(Hit((cite_fact(path, _socket(socket)),), captures=_holder(socket)))
    return hits


@signal("port_taken_by_leftover")
def port_taken_by_leftover(observed: Observed) -> list[Hit]:
    """The port is held by a process that runs the same code: a leftover or a second copy of this backend."""
    sockets = resolve(observed.evidence, "ports.wanted_taken_by[*]")
    return [
        Hit((cite_fact(path, _socket(socket)),), captures=_holder(socket))
        for path, socket in sockets
        if isinstance(socket, Mapping) and socket.get("same_code") and not socket.get("own")
    ]


@signal("port_free")
def port_free(observed: Observed) -> list[Hit]:
    """The socket tables were read and nobody else holds the wanted port."""
    if observed.fact("ports.wanted") and observed.fact("ports.wanted_taken_by") == []:
        return [Hit((cite_fact("ports.wanted_taken_by", "nobody else"),))]
    return []


def _socket(socket: Mapping[str, Any]) -> str:
    process = socket.get("process")
    who = process.get("command") if isinstance(process, Mapping) else process
    return f"{socket.get('address')}:{socket.get('port')} {socket.get('state')} pid {socket.get('pid')} {who or ''}".strip()


def _holder(socket: Mapping[str, Any]) -> dict[str, str]:
    process = socket.get("process")
    who = (process.get("unit") or process.get("command")) if isinstance(process, Mapping) else process
    values = {"port": socket.get("port"), "pid": socket.get("pid"), "holder": who}
    return {key: str(value) for key, value in values.items() if value not in (None, "")}


@signal("port_privileged")
def port_privileged(observed: Observed) -> list[Hit]:
    """The wanted port is one that only privileged processes may bind, and the backend's user isn't root."""
    below = observed.fact("ports.privileged_below")
    limit = below if isinstance(below, int) else 1024
    user = observed.fact("unit.user") or observed.fact("access.user.name")
    if user in ("root", "0") or observed.fact("access.user.uid") == 0 or not (user or observed.fact("access.user.uid")):
        return []
    for path, port in resolve(observed.evidence, "ports.wanted[*].port"):
        if isinstance(port, int) and 0 < port < limit:
            return [Hit((cite_fact(path, port), cite_fact("unit.user", user or "")), captures={"port": str(port)})]
    return []


@signal("host_not_local")
def host_not_local(observed: Observed) -> list[Hit]:
    """The address that the backend wants to bind belongs to no interface of this host."""
    if observed.fact("ports.host_is_local") is False:
        host = observed.fact("ports.wanted[0].host")
        return [Hit((cite_fact("ports.wanted[0].host", host),), captures={"address": str(host or "")})]
    return []


def _services(observed: Observed, kinds: tuple[str, ...]) -> list[tuple[str, Mapping[str, Any]]]:
    found = resolve(observed.evidence, "backing_services.services[*]")
    return [(path, item) for path, item in found if isinstance(item, Mapping) and item.get("kind") in kinds]


def _part(service: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = service.get(name)
    return part if isinstance(part, Mapping) else {}


def _captures(service: Mapping[str, Any]) -> dict[str, str]:
    values = {
        "server": service.get("host"),
        "port": service.get("port"),
        "kind": service.get("kind"),
        "variable": service.get("origin"),
        "database": service.get("database"),
        "unit": _part(service, "local").get("unit"),
    }
    return {key: str(value) for key, value in values.items() if value not in (None, "")}


def _unreachable(observed: Observed, kinds: tuple[str, ...]) -> list[Hit]:
    hits = []
    for path, service in _services(observed, kinds):
        tcp = _part(service, "tcp")
        if tcp.get("ok") is False and _part(service, "dns").get("ok") is not False:
            quote = f"{service.get('host')}:{service.get('port')}: {tcp.get('error') or 'no connection'}"
            hits.append(Hit((cite_fact(f"{path}.tcp", quote),), captures=_captures(service)))
    return hits


def _reachable(observed: Observed, kinds: tuple[str, ...]) -> list[Hit]:
    hits = []
    for path, service in _services(observed, kinds):
        if _part(service, "tcp").get("ok") is True and _part(service, "protocol").get("ok") is not False:
            quote = f"{service.get('host')}:{service.get('port')} answers"
            hits.append(Hit((cite_fact(f"{path}.tcp", quote),), captures=_captures(service)))
    return hits


def _register(name: str, kinds: tuple[str, ...], probe: Callable[[Observed, tuple[str, ...]], list[Hit]]) -> None:
    signal(name)(lambda observed: probe(observed, kinds))


_register("database_probe_fails", _DATABASES, _unreachable)
_register("database_probe_ok", _DATABASES, _reachable)
_register("redis_probe_fails", ("redis",), _unreachable)
_register("redis_probe_ok", ("redis",), _reachable)
_register("broker_probe_fails", ("amqp", "kafka"), _unreachable)
_register("broker_probe_ok", ("amqp", "kafka"), _reachable)


@signal("database_url_problem")
def database_url_problem(observed: Observed) -> list[Hit]:
    """The database's URL has a wrong scheme, an unescaped password, no host, a bad port, spaces or quotes."""
    hits = []
    for path, service in _services(observed, _DATABASES):
        problems = service.get("url_problems")
        if isinstance(problems, list) and problems:
            captures = {
                **_captures(service),
                "problem": ", ".join(str(problem).replace("_", " ") for problem in problems),
            }
            hits.append(Hit((cite_fact(f"{path}.url_problems", problems),), captures=captures))
    return hits


@signal("database_refuses_tls")
def database_refuses_tls(observed: Observed) -> list[Hit]:
    """TLS is wanted by the URL and the server's first words refuse it."""
    hits = []
    for path, service in _services(observed, _DATABASES):
        if service.get("tls_wanted") is True and _part(service, "protocol").get("tls_offered") is False:
            hits.append(Hit((cite_fact(f"{path}.protocol", _part(service, "protocol")),), captures=_captures(service)))
    return hits


@signal("name_not_resolved")
def name_not_resolved(observed: Observed) -> list[Hit]:
    """The name of a service that the backend uses doesn't resolve on this host."""
    hits = []
    for path, service in resolve(observed.evidence, "backing_services.services[*]"):
        if isinstance(service, Mapping) and _part(service, "dns").get("ok") is False:
            quote = f"{service.get('host')}: {_part(service, 'dns').get('error') or 'does not resolve'}"
            captures = {**_captures(service), "name": str(service.get("host") or "")}
            hits.append(Hit((cite_fact(f"{path}.dns", quote),), captures=captures))
    return hits


def _service_down(observed: Observed, kinds: tuple[str, ...]) -> list[Hit]:
    hits = []
    for path, service in _services(observed, kinds):
        local = _part(service, "local")
        state = str(local.get("active_state") or "")
        if local.get("is_local") and state and state not in ("active", "running", "reloading", "activating"):
            quote = f"{local.get('unit') or service.get('host')}: {state}"
            hits.append(Hit((cite_fact(f"{path}.local", quote),), captures=_captures(service)))
    return hits


_register("database_service_down", _DATABASES, _service_down)
_register("redis_service_down", ("redis",), _service_down)
_register("broker_service_down", ("amqp", "kafka"), _service_down)
_register("local_service_down", (*_DATABASES, "redis", "amqp", "kafka", "http", "smtp"), _service_down)


@signal("clock_off")
def clock_off(observed: Observed) -> list[Hit]:
    """The clock differs from the controller's by more than a minute, or by hours while it isn't synchronised."""
    offset = observed.fact("clock.controller_offset_s")
    if isinstance(offset, (int, float)) and abs(offset) >= 60:
        return [Hit((cite_fact("clock.controller_offset_s", offset),), captures={"offset": f"{offset:.0f}"})]
    return []


@signal("clock_right")
def clock_right(observed: Observed) -> list[Hit]:
    """The clock agrees with the controller's, or is synchronised."""
    offset = observed.fact("clock.controller_offset_s")
    if isinstance(offset, (int, float)):
        return [Hit((cite_fact("clock.controller_offset_s", offset),))] if abs(offset) < 60 else []
    if observed.fact("clock.ntp_synchronized") is True:
        return [Hit((cite_fact("clock.ntp_synchronized", True),))]
    return []


@signal("bound_not_listening")
def bound_not_listening(observed: Observed) -> list[Hit]:
    """The backend's own port is bound, and never got to listening."""
    if not running(observed) or starting(observed) or determine(observed).name == "crash_loop":
        return []
    hits = []
    for path, socket in resolve(observed.evidence, "ports.sockets[*]"):
        if isinstance(socket, Mapping) and socket.get("own") and socket.get("state") == "bound":
            hits.append(Hit((cite_fact(path, _socket(socket)),), captures=_holder(socket)))
    return hits


@signal("self_connections")
def self_connections(observed: Observed) -> list[Hit]:
    """The backend waits for connections to itself, which it can't answer while it waits."""
    count = observed.fact("ports.self_connections")
    number = len(count) if isinstance(count, list) else count
    if isinstance(number, int) and not isinstance(number, bool) and number >= 1:
        return [Hit((cite_fact("ports.self_connections", number),))]
    return []
