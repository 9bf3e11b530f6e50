# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backing services an environment declares: URLs, DSNs and HOST/PORT pairs, and what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional
from urllib.parse import parse_qsl, unquote

from .numerals import whole

MAX_HOSTS = 3
MAX_VALUE = 4096

# scheme without its driver → (kind, default port, TLS by itself)
SCHEMES: dict[str, tuple[str, int, bool]] = {
    "postgres": ("postgresql", 5432, False),
    "postgresql": ("postgresql", 5432, False),
    "postgis": ("postgresql", 5432, False),
    "mysql": ("mysql", 3306, False),
    "mariadb": ("mysql", 3306, False),
    "mongodb": ("mongodb", 27017, False),
    "redis": ("redis", 6379, False),
    "rediss": ("redis", 6379, True),
    "valkey": ("redis", 6379, False),
    "amqp": ("amqp", 5672, False),
    "amqps": ("amqp", 5671, True),
    "pyamqp": ("amqp", 5672, False),
    "kafka": ("kafka", 9092, False),
    "memcached": ("memcached", 11211, False),
    "smtp": ("smtp", 25, False),
    "smtps": ("smtp", 465, True),
    "http": ("http", 80, False),
    "https": ("http", 443, True),
}
_SLIPS = {"postgress", "postgressql", "postgre", "pgsql", "psql", "redi", "rabbitmq", "mongo"}
_IS_URL = re.compile(r"^\s*[\"']?\s*([A-Za-z][A-Za-z0-9.-]*)(?:\+([\w.-]+))?:/{1,3}", re.ASCII)
_URL_NAME = re.compile(
    r"(?:^|_)(?:DATABASE|DB|SQL|POSTGRES|POSTGRESQL|PG|MYSQL|REDIS|BROKER|AMQP|RABBITMQ|MONGO|MONGODB)_"
)
_URL_END = re.compile(r"_(?:URL|URI|DSN)$")
# Web addresses are everywhere in settings; only what these names say is a service that the backend needs to run.
_WEB_NAME = re.compile(
    r"ELASTIC|OPENSEARCH|QDRANT|MINIO|S3_ENDPOINT|INFLUX|CLICKHOUSE|VAULT|CONSUL|ETCD|SOLR|WEAVIATE|CHROMA|KEYCLOAK"
    r"|(?:^|_)(?:SERVICE|UPSTREAM|BACKEND)_URL$"
)
_LATE_AT = re.compile(r"^(?P<credentials>[^@/?#:\s]*:[^\s]*[/?#][^\s]*)@[\w.\[\]-]+(?::\d+)?(?:[/?]|$)")
_TEMPLATE = re.compile(r"\$\{[^}]*\}|\{\{.*?\}\}|<[A-Za-z][A-Za-z_ -]*>|\$\([^)]*\)|%\(\w+\)s")
_PREFIXES: dict[str, Optional[str]] = {
    "POSTGRES": "postgresql",
    "POSTGRESQL": "postgresql",
    "PG": "postgresql",
    "MYSQL": "mysql",
    "MARIADB": "mysql",
    "REDIS": "redis",
    "VALKEY": "redis",
    "RABBITMQ": "amqp",
    "AMQP": "amqp",
    "MONGO": "mongodb",
    "MONGODB": "mongodb",
    "MEMCACHED": "memcached",
    "SMTP": "smtp",
    "EMAIL": "smtp",
    "MAIL": "smtp",
    "DB": None,
    "DATABASE": None,
    "SQL": None,
}
_HOST_NAME = re.compile(rf"^((?:[A-Z0-9]+_)*?(?P<kind>{'|'.join(_PREFIXES)})_?)(?:HOST|HOSTNAME|SERVER)$")
_PORTS = {kind: port for kind, port, tls in SCHEMES.values() if not tls}
_TLS_WORDS = {"require", "verify-ca", "verify-full", "required", "true", "1", "verify_ca", "verify_identity", "on"}


@dataclass
class Target:
    """One declared service. ``user`` and ``password`` never leave the target."""

    kind: str
    origin: str
    scheme: Optional[str] = None
    host: Optional[str] = None
    port: Optional[int] = None
    uds: Optional[str] = None
    database: Optional[str] = None
    user: Optional[str] = None
    password: Optional[str] = None
    tls_wanted: bool = False
    verify: bool = True
    problems: list[str] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)

    @property
    def place(self) -> tuple[object, ...]:
        return (self.kind, self.host, self.port, self.uds, self.database)


def declared(environ: Mapping[str, str], strict_postgres: bool = False) -> list[Target]:
    """All services that the environment names, each place once.

    :param strict_postgres: whether ``postgres://`` is refused by the library that will read it (SQLAlchemy from 1.4).
    """
    found: dict[tuple[object, ...], Target] = {}
    candidates: list[Target] = []
    for name, value in environ.items():
        candidates += _from_variable(name, value, strict_postgres)
    candidates += from_pairs(environ)
    for target in candidates:
        if target.place in found:
            known = found[target.place]
            known.origin += f", {target.origin}"
            known.problems += [problem for problem in target.problems if problem not in known.problems]
        else:
            found[target.place] = target
    return list(found.values())


def _from_variable(name: str, value: str, strict_postgres: bool) -> list[Target]:
    upper = name.upper()
    if len(value) > MAX_VALUE:
        return []
    match = _IS_URL.match(value)
    scheme = match.group(1).lower() if match else ""
    if scheme in SCHEMES or scheme in _SLIPS or scheme == "unix":
        if SCHEMES.get(scheme, ("",))[0] == "http" and not _WEB_NAME.search(upper):
            return []
        return parse_url(name, value, strict_postgres)
    if upper.endswith("BOOTSTRAP_SERVERS") or upper == "KAFKA_BROKERS":
        return _brokers(name, value)
    if _URL_NAME.search(upper) and _URL_END.search(upper):
        if re.search(r"(?:^|\s)host=", value):
            return [parse_dsn(name, value)]
        if not scheme and value.strip() and not value.startswith("sqlite"):
            kind = next((kind for prefix, kind in _PREFIXES.items() if kind and prefix in upper), "tcp")
            problems = ["template"] if _TEMPLATE.search(value) else ["scheme"]
            return [Target(kind, name, problems=problems, password=value if "@" in value else None)]
    return []


def parse_url(name: str, value: str, strict_postgres: bool = False) -> list[Target]:
    """Parse a service's URL the way its libraries do, tolerating what they would refuse and naming it."""
    problems: list[str] = []
    text = value.strip()
    if text != value or re.search(r"\s", text):
        problems.append("whitespace")
    if len(text) > 1 and text[0] in "\"'":
        problems.append("quotes")
        text = text.strip("\"'").strip()
    if _TEMPLATE.search(text):
        problems.append("template")
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, _colon, rest = text.partition(":")
        rest = rest.lstrip("/")
        problems.append("scheme")
    base, _plus, driver = scheme.lower().partition("+")
    kind, port, tls = SCHEMES.get(base, ("redis" if base == "unix" or "redi" in base else "tcp", 0, False))
    if base in _SLIPS or (base == "postgres" and (strict_postgres or driver)):
        problems.append("scheme")
        kind, port = _kind_of_slip(base, kind, port)
    user, password, hosts, path, query = _split(rest, problems)
    options = {key.lower(): item for key, item in parse_qsl(query, keep_blank_values=True)}
    target = Target(kind, name, scheme, user=user, password=password, options=options, problems=problems)
    target.tls_wanted = tls or _wants_tls(options) or driver == "srv"
    target.verify = options.get("ssl_cert_reqs", "").lower() not in ("none", "cert_none")
    target.database = unquote(path) or None
    if kind == "amqp" or kind in ("http", "smtp", "kafka", "memcached"):
        target.database = unquote(path) or None if kind == "amqp" else None
    socket = options.get("unix_socket") or (options.get("host") if options.get("host", "").startswith("/") else None)
    if base == "unix" or driver == "socket":
        socket, target.database = "/" + path, options.get("db") or options.get("virtual_host")
    if socket:
        target.uds = _socket_path(kind, socket, port)
        return [target]
    if not hosts or not hosts[0]:
        if kind == "postgresql" and "template" not in problems and not options.get("host"):
            # libpq then takes the local socket.
            target.uds = _socket_path(kind, "/var/run/postgresql", port)
            return [target]
        hosts = [options["host"]] if options.get("host") else hosts
    return _with_hosts(target, hosts[:MAX_HOSTS], port)


def _kind_of_slip(base: str, kind: str, port: int) -> tuple[str, int]:
    for part, meant in (("p", "postgresql"), ("redi", "redis"), ("rabbit", "amqp"), ("mongo", "mongodb")):
        if base.startswith(part):
            return meant, _PORTS[meant]
    return kind, port


def _split(rest: str, problems: list[str]) -> tuple[Optional[str], Optional[str], list[str], str, str]:
    """Split what follows ``://``: (user, password, hosts, path, query), guessing past unescaped characters."""
    end = min((at for at in (rest.find(char) for char in "/?#") if at >= 0), default=len(rest))
    authority = rest[:end]
    # A slash, question mark or hash in the password ends the authority before its true @.
    # With an @ in the authority already, one in the query is somebody's mail address.
    early = _LATE_AT.match(rest.partition("?")[0] if "@" in authority else rest)
    if early or authority.count("@") > 1:
        problems.append("unescaped_password")
        at = early.end("credentials") if early else authority.rfind("@")
        after = rest[at + 1 :]
        stop = min((place for place in (after.find(char) for char in "/?#") if place >= 0), default=len(after))
        credentials, authority, tail = rest[:at], after[:stop], after[stop:]
    else:
        credentials, _at, authority = authority.rpartition("@")
        tail = rest[end:]
    user, colon, password = credentials.partition(":")
    raw = re.search(r"%(?![0-9A-Fa-f]{2})|[\[\]]", password)
    if raw and "unescaped_password" not in problems:
        problems.append("unescaped_password")
    path, _mark, query = tail.split("#")[0].partition("?")
    hosts = [part.strip() for part in authority.split(",")] if authority else []
    return unquote(user) or None, password if colon else None, hosts, path[1:] if path else "", query


def _with_hosts(target: Target, hosts: list[str], default_port: int) -> list[Target]:
    """One target for each host of a URL; the first carries the URL's problems."""
    found = []
    for position, text in enumerate(hosts or [""]):
        copy = Target(**{**vars(target), "problems": list(target.problems) if not position else []})
        host, port, fault = split_host(text, default_port)
        copy.host, copy.port = host, port
        if fault:
            copy.problems.append(fault)
        if not host:
            copy.problems.append("no_host")
        found.append(copy)
    return found


def split_host(text: str, default_port: int) -> tuple[Optional[str], Optional[int], Optional[str]]:
    """``host:port`` as (host, port, problem); an IPv6 address stands in brackets."""
    match = re.match(r"^(?:\[([^\]]*)\]|([^:]*))(?::(.*))?$", text.strip())
    if not match:
        return text.strip() or None, default_port or None, "port"
    host = match.group(1) or match.group(2)
    port = match.group(3)
    if not port:
        return host or None, default_port or None, None
    number = whole(port) or 0
    if not 0 < number < 65536:
        return host or None, None, "port"
    return host or None, number, None


def _socket_path(kind: str, path: str, port: int) -> str:
    """PostgreSQL names a directory and puts the port into the socket's name."""
    if kind == "postgresql" and "/.s.PGSQL." not in path:
        return f"{path.rstrip('/')}/.s.PGSQL.{port}"
    return path


def _wants_tls(options: Mapping[str, str]) -> bool:
    keys = ("sslmode", "ssl", "tls", "ssl_mode", "ssl-mode")
    return any(options.get(key, "").lower() in _TLS_WORDS for key in keys)


def parse_dsn(name: str, value: str) -> Target:
    """Parse libpq's ``host=db port=5432 dbname=app``."""
    words = dict(re.findall(r"(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|\S*)", value))
    parts = {key: item.strip("'") for key, item in words.items()}
    host, port, fault = split_host(parts.get("host", ""), 5432)
    given = whole(parts.get("port", ""))
    port = port if given is None else given
    target = Target("postgresql", name, "dsn", host=host, port=port, database=parts.get("dbname"))
    target.user, target.password, target.options = parts.get("user"), parts.get("password"), parts
    target.tls_wanted = _wants_tls(parts)
    if host and host.startswith("/"):
        target.host, target.uds = None, _socket_path("postgresql", host, port or 5432)
    target.problems = [problem for problem in (fault, None if host else "no_host") if problem]
    return target


def _brokers(name: str, value: str) -> list[Target]:
    found = []
    for text in value.split(",")[:MAX_HOSTS]:
        host, port, fault = split_host(text.rpartition("://")[2], 9092)
        if host:
            found.append(Target("kafka", name, host=host, port=port, problems=[fault] if fault else []))
    return found


def from_pairs(environ: Mapping[str, str]) -> list[Target]:
    """Services named by ``DB_HOST`` with ``DB_PORT``, ``PGHOST`` with ``PGPORT`` and the like."""
    found = []
    for name, value in environ.items():
        match = _HOST_NAME.match(name.upper())
        text = value.strip().strip("\"'")
        if not match or not text or "://" in text:
            continue
        stem = name[: match.end(1)]
        engine = next((environ[stem + end] for end in ("ENGINE", "DRIVER", "TYPE") if environ.get(stem + end)), "")
        given = environ.get(f"{stem}PORT", "").strip().strip("\"'")
        kind = _PREFIXES[match.group("kind")] or _kind_of_engine(engine, given)
        default = {"EMAIL": 25, "MAIL": 25}.get(match.group("kind")) or _PORTS.get(kind, 0)
        target = Target(kind, name)
        target.host, target.port, fault = split_host(text, default)
        if given:
            target.origin += f" and {stem}PORT"
            number = whole(given) or 0
            target.port = number if 0 < number < 65536 else None
            fault = fault or (None if target.port else "port")
        if text.startswith("/"):
            target.host, target.uds = None, _socket_path(kind, text, target.port or default)
        for attribute, ends in (("database", ("NAME", "DATABASE", "DB")), ("user", ("USER", "USERNAME"))):
            setattr(target, attribute, next((environ[stem + end] for end in ends if environ.get(stem + end)), None))
        target.password = next((environ[stem + end] for end in ("PASSWORD", "PASS") if environ.get(stem + end)), None)
        target.tls_wanted = environ.get(f"{stem}SSLMODE", "").lower() in _TLS_WORDS
        target.problems = [problem for problem in (fault, _odd(value)) if problem]
        if kind == "smtp":
            target.database = None
        found.append(target)
    return found


def _odd(value: str) -> Optional[str]:
    if _TEMPLATE.search(value):
        return "template"
    if value.strip()[:1] in ("'", '"'):
        return "quotes"
    return "whitespace" if value != value.strip() else None


def _kind_of_engine(engine: str, port: str) -> str:
    """What a bare ``DB_HOST`` is: by its engine, else by its port."""
    for word, kind in (("postg", "postgresql"), ("psycopg", "postgresql"), ("my", "mysql"), ("maria", "mysql")):
        if word in engine.lower():
            return kind
    return {"3306": "mysql", "5432": "postgresql", "27017": "mongodb", "6379": "redis"}.get(port, "tcp")
