# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import backing_services, probes
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.backing_urls import declared, split_host
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import Backend


@contextmanager
def server(*answers: bytes, speaks_first: bool = False, hold: float = 0.0) -> Iterator[int]:
    """A loopback server for one client: it says each answer after something was received."""

    def serve(listener: socket.socket) -> None:
        try:
            link, _peer = listener.accept()
        except OSError:
            return
        with link:
            link.settimeout(3)
            try:
                for number, answer in enumerate(answers):
                    if number or not speaks_first:
                        link.recv(4096)
                    link.sendall(answer)
                link.recv(4096)
            except OSError:
                pass
            time.sleep(hold)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        worker = threading.Thread(target=serve, args=(listener,), daemon=True)
        worker.start()
        yield listener.getsockname()[1]


def collect(environ: dict[str, str], **params: Any) -> tuple[list[dict[str, Any]], Context]:
    ctx = Context(params, time.monotonic() + 10)
    return backing_services.collect(Backend("api", "supervisor", environ=environ), ctx)["services"], ctx


@pytest.mark.parametrize(
    ("url", "kind", "host", "port", "database", "tls", "problems"),
    [
        ("postgresql://app:pw@db.internal:6432/shop", "postgresql", "db.internal", 6432, "shop", False, []),
        ("postgresql+asyncpg://app:pw@db/shop?ssl=require", "postgresql", "db", 5432, "shop", True, []),
        ("postgres://app:pw@db/shop", "postgresql", "db", 5432, "shop", False, []),
        ("postgres+psycopg2://app:pw@db/shop", "postgresql", "db", 5432, "shop", False, ["scheme"]),
        ("postgresql:/app:pw@db/shop", "postgresql", "db", 5432, "shop", False, ["scheme"]),
        ("postgress://app:pw@db/shop", "postgresql", "db", 5432, "shop", False, ["scheme"]),
        ("postgresql://app:p%40ss@db/shop", "postgresql", "db", 5432, "shop", False, []),
        ("postgresql://app:p@ss@db/shop", "postgresql", "db", 5432, "shop", False, ["unescaped_password"]),
        ("postgresql://app:p/ss@db:5433/shop", "postgresql", "db", 5433, "shop", False, ["unescaped_password"]),
        ("postgresql://app:p#ss@db:5433/shop", "postgresql", "db", 5433, "shop", False, ["unescaped_password"]),
        ("postgresql://app:p@s/s@db:5433/shop", "postgresql", "db", 5433, "shop", False, ["unescaped_password"]),
        ("postgresql://app:p%ss@db/shop", "postgresql", "db", 5432, "shop", False, ["unescaped_password"]),
        ("postgresql://app:p[s@db/shop", "postgresql", "db", 5432, "shop", False, ["unescaped_password"]),
        ("postgresql://app:pw@db:port/shop", "postgresql", "db", None, "shop", False, ["port"]),
        ("postgresql://app:pw@db:99999/shop", "postgresql", "db", None, "shop", False, ["port"]),
        ("'postgresql://app:pw@db/shop'", "postgresql", "db", 5432, "shop", False, ["quotes"]),
        ("postgresql://app:pw@db/shop\r", "postgresql", "db", 5432, "shop", False, ["whitespace"]),
        ("postgresql://app:pw@[fd00::5]:5432/shop", "postgresql", "fd00::5", 5432, "shop", False, []),
        ("postgresql://app:pw@db/shop?sslmode=verify-full", "postgresql", "db", 5432, "shop", True, []),
        ("mysql+pymysql://root@127.0.0.1/app?x=a@b.c", "mysql", "127.0.0.1", 3306, "app", False, []),
        ("mysql://root@/app", "mysql", None, 3306, "app", False, ["no_host"]),
        ("redis://:pw@cache:6380/2", "redis", "cache", 6380, "2", False, []),
        ("rediss://cache", "redis", "cache", 6379, None, True, []),
        ("amqp://guest:guest@rabbit//", "amqp", "rabbit", 5672, "/", False, []),
        ("amqps://rabbit", "amqp", "rabbit", 5671, None, True, []),
        ("mongodb://u:p@m1:27018/app?tls=true", "mongodb", "m1", 27018, "app", True, []),
        ("postgresql://${USER}:${PASSWORD}@db/shop", "postgresql", "db", 5432, "shop", False, ["template"]),
    ],
)
def test_urls(
    url: str, kind: str, host: str | None, port: int | None, database: str | None, tls: bool, problems: list[str]
) -> None:
    found = declared({"SOME_URL": url})
    assert len(found) == 1
    target = found[0]
    assert (target.kind, target.host, target.port, target.database) == (kind, host, port, database)
    assert target.tls_wanted is tls
    assert target.problems == problems


def test_postgres_scheme_is_a_problem_only_where_sqlalchemy_reads_it(tmp_path: Path) -> None:
    url = {"DATABASE_URL": "postgres://app:pw@db/shop"}
    assert declared(url, strict_postgres=True)[0].problems == ["scheme"]
    backend = Backend("api", "systemd", interpreter={"site_packages": [{"path": str(tmp_path)}, {"path": "/none"}]})
    assert not backing_services.refuses_postgres_scheme(backend)
    (tmp_path / "SQLAlchemy-1.3.24.dist-info").mkdir()
    assert not backing_services.refuses_postgres_scheme(backend)
    (tmp_path / "sqlalchemy-2.0.43.dist-info").mkdir()
    assert backing_services.refuses_postgres_scheme(backend)
    (tmp_path / "dj_database_url").mkdir()
    assert not backing_services.refuses_postgres_scheme(backend)


@pytest.mark.parametrize(
    "environ",
    [
        {"HOME": "/srv", "PATH": "/bin", "DATABASE_PATH": "/srv/x.db"},
        {"DATABASE_URL": "sqlite:///./app.db"},
        {"PUBLIC_URL": "https://shop.example", "OAUTH_REDIRECT_URI": "https://shop.example/cb"},
        {"HOST": "0.0.0.0", "PORT": "8000"},
        {"LOCALHOST": "x", "TRUSTED_HOSTS": "a,b", "ALLOWED_HOST": "shop.example"},
        {"DATABASE_URL": ""},
        {"X_URL": "redis://" + "a" * 5000},
    ],
)
def test_what_declares_no_service(environ: dict[str, str]) -> None:
    assert declared(environ) == []


def test_pairs_of_host_and_port() -> None:
    found = {
        target.origin: target
        for target in declared(
            {
                "PGHOST": "db1",
                "PGPORT": "5433",
                "PGDATABASE": "shop",
                "PGPASSWORD": "hush",
                "APP_DB_HOST": "db2",
                "APP_DB_PORT": "3306",
                "APP_DB_NAME": "crm",
                "REDIS_HOST": "cache",
                "POSTGRES_HOST": "/run/postgresql",
                "RABBITMQ_HOST": "rabbit:5673",
                "EMAIL_HOST": "mail",
                "EMAIL_PORT": "x25",
                "MYSQL_HOST": '"db3"',
            }
        )
    }
    pg = found["PGHOST and PGPORT"]
    assert (pg.kind, pg.host, pg.port, pg.database, pg.password) == ("postgresql", "db1", 5433, "shop", "hush")
    app = found["APP_DB_HOST and APP_DB_PORT"]
    assert (app.kind, app.port, app.database) == ("mysql", 3306, "crm")
    assert (found["REDIS_HOST"].kind, found["REDIS_HOST"].port) == ("redis", 6379)
    assert found["POSTGRES_HOST"].uds == "/run/postgresql/.s.PGSQL.5432"
    assert found["RABBITMQ_HOST"].port == 5673
    assert found["EMAIL_HOST and EMAIL_PORT"].problems == ["port"]
    assert (found["MYSQL_HOST"].host, found["MYSQL_HOST"].problems) == ("db3", ["quotes"])


def test_dsn_brokers_sockets_and_broken_values() -> None:
    found = declared(
        {
            "DATABASE_DSN": "host=db port=5433 dbname=shop user=app password='a b'",
            "KAFKA_BOOTSTRAP_SERVERS": "k1:9092,PLAINTEXT://k2:9093",
            "REDIS_URL": "unix:///run/redis/redis.sock?db=1",
            "MONGO_URL": "mongodb://m1:1,m2:2/app",
            "CACHE_REDIS_URL": "cache:6379",
            "DB_URL": "{{ database_url }}",
        }
    )
    by_origin: dict[str, list[Any]] = {}
    for target in found:
        by_origin.setdefault(target.origin, []).append(target)
    dsn = by_origin["DATABASE_DSN"][0]
    assert (dsn.host, dsn.port, dsn.database, dsn.password) == ("db", 5433, "shop", "a b")
    assert [(item.host, item.port) for item in by_origin["KAFKA_BOOTSTRAP_SERVERS"]] == [("k1", 9092), ("k2", 9093)]
    assert by_origin["REDIS_URL"][0].uds == "/run/redis/redis.sock"
    assert [(item.host, item.port) for item in by_origin["MONGO_URL"]] == [("m1", 1), ("m2", 2)]
    assert by_origin["CACHE_REDIS_URL"][0].problems == ["scheme"]
    assert by_origin["DB_URL"][0].problems == ["template"]


def test_the_same_place_is_asked_once() -> None:
    found = declared({"DATABASE_URL": "postgresql://a@db/x", "SQL_URL": "postgresql://b@db/x"})
    assert [target.origin for target in found] == ["DATABASE_URL, SQL_URL"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("db", ("db", 1, None)),
        ("db:", ("db", 1, None)),
        ("db:2", ("db", 2, None)),
        ("db:0", ("db", None, "port")),
        ("[::1]:3", ("::1", 3, None)),
        (":6379", (None, 6379, None)),
        ("a:b:c", ("a", None, "port")),
    ],
)
def test_hosts_and_ports(text: str, expected: tuple[str | None, int | None, str | None]) -> None:
    assert split_host(text, 1) == expected


def test_no_password_is_returned_and_all_are_known_to_redaction() -> None:
    services, ctx = collect(
        {"DATABASE_URL": "postgresql://app:tops%40cret@db/x", "DB_HOST": "h", "DB_PASSWORD": "hushhush"},
        probe_services=False,
    )
    assert "tops" not in str(services)
    assert "hushhush" not in str(services)
    assert {"tops%40cret", "tops@cret", "hushhush"} <= set(ctx.secrets)
    assert services[0]["password_set"]
    assert services[0]["not_probed"]


def startup(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


@pytest.mark.parametrize(
    ("answer", "ok", "code", "text"),
    [
        (startup(b"R", struct.pack("!I", 10) + b"SCRAM-SHA-256\0\0"), True, None, "SCRAM"),
        (startup(b"R", struct.pack("!I", 0)), True, None, "without a password"),
        (
            startup(b"E", b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0"),
            False,
            "57P03",
            "starting up",
        ),
        (
            startup(b"R", struct.pack("!I", 0)) + startup(b"E", b'SFATAL\0C3D000\0Mdatabase "shop" does not exist\0\0'),
            False,
            "3D000",
            "does not exist",
        ),
        (b"", False, None, "closed the connection"),
        (b"HTTP/1.1 400 Bad Request", False, None, "protocol"),
    ],
)
def test_postgresql_answers(answer: bytes, ok: bool, code: str | None, text: str) -> None:
    found = probes.parse_postgresql(answer)
    assert (found["ok"], found["code"]) == (ok, code)
    assert text in f"{found['said']} {found['error']}"


def test_postgresql_is_asked_for_tls_first_and_never_sent_a_password() -> None:
    with server(b"N", startup(b"E", b"SFATAL\0C28000\0Mno pg_hba.conf entry for host\0\0")) as port:
        services, _ctx = collect({"DATABASE_URL": f"postgresql://app:secretpw@127.0.0.1:{port}/shop"})
    assert services[0]["tcp"]["ok"]
    protocol = services[0]["protocol"]
    assert (protocol["ok"], protocol["code"], protocol["tls_offered"]) == (False, "28000", False)


@pytest.mark.parametrize(
    ("answers", "ok", "code"),
    [
        ((b"+PONG\r\n", b"$30\r\n# Memory\r\nused_memory:5\r\nmaxmemory:6\r\n# Keyspace\r\n"), True, None),
        ((b"-NOAUTH Authentication required.\r\n",), True, "NOAUTH"),
        ((b"-MISCONF Redis is configured to save RDB snapshots\r\n",), False, "MISCONF"),
        ((b"-LOADING Redis is loading the dataset in memory\r\n",), False, "LOADING"),
        ((b"HTTP/1.1 400\r\n",), False, None),
    ],
)
def test_redis_answers(answers: tuple[bytes, ...], ok: bool, code: str | None) -> None:
    with server(*answers) as port:
        services, _ctx = collect({"REDIS_URL": f"redis://127.0.0.1:{port}/0"})
    protocol = services[0]["protocol"]
    assert (protocol["ok"], protocol["code"]) == (ok, code)
    if len(answers) > 1:
        assert protocol["facts"] == {"used_memory": 5, "maxmemory": 6}


@pytest.mark.parametrize(
    ("url", "answer", "first", "ok"),
    [
        ("amqp://127.0.0.1:{}", b"\x01\0\0\0\0\0\x10\x00\x0a\x00\x0a\x00\x09", False, True),
        ("amqp://127.0.0.1:{}", b"AMQP\x00\x01\x00\x00", False, False),
        ("mysql://127.0.0.1:{}/x", b"\x4a\0\0\0\x0a8.0.36\0aaaa", True, True),
        ("mysql://127.0.0.1:{}/x", b"\x17\0\0\0\xff\x10\x04Too many connections", True, False),
        ("smtp://127.0.0.1:{}", b"220 mail ESMTP\r\n", True, True),
        ("smtp://127.0.0.1:{}", b"SSH-2.0-OpenSSH\r\n", True, False),
        ("memcached://127.0.0.1:{}", b"VERSION 1.6.9\r\n", False, True),
        ("mongodb://127.0.0.1:{}/x", struct.pack("<iiii", 36, 1, 1, 1) + b"\0" * 20, False, True),
    ],
)
def test_other_protocols(url: str, answer: bytes, first: bool, ok: bool) -> None:
    with server(answer, speaks_first=first) as port:
        services, _ctx = collect({"THE_URL": url.format(port)})
    assert services[0]["protocol"]["ok"] is ok, services[0]


def test_mysql_refusal_has_its_number() -> None:
    assert probes.parse_mysql(b"\x17\0\0\0\xff\x10\x04Too many connections")["code"] == "1040"


def test_a_closed_port_and_an_unknown_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    services, _ctx = collect({"DATABASE_URL": f"postgresql://127.0.0.1:{port}/x", "REDIS_URL": "redis://no.invalid"})
    refused, unknown = services
    assert refused["tcp"]["errno"] == 111
    assert refused["local"]["is_local"] is True
    assert unknown["dns"]["ok"] is False
    assert unknown["dns"]["error"]
    assert unknown["tcp"] is None


def test_a_missing_address_family_does_not_hide_the_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for order in (["127.0.0.1", "203.0.113.1"], ["203.0.113.1", "127.0.0.1"]):
        original = socket.socket.connect

        def fake(self: socket.socket, place: Any, original: Callable[..., Any] = original) -> None:
            if place[0].startswith("203."):
                raise OSError(99, os.strerror(99))
            original(self, place)

        monkeypatch.setattr(socket.socket, "connect", fake)
        _link, shape = probes.connect(order, port, None)
        monkeypatch.setattr(socket.socket, "connect", original)
        assert shape["errno"] == 111


def test_a_silent_server_costs_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "TALK_SECONDS", 0.2)
    begun = time.monotonic()
    with server(hold=0.5) as one, server(hold=0.5) as two:
        services, _ctx = collect({"A_URL": f"redis://127.0.0.1:{one}", "B_URL": f"amqp://127.0.0.1:{two}"})
    assert time.monotonic() - begun < 2.5
    assert [item["protocol"]["ok"] for item in services] == [False, False]


def test_a_resolver_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kw: time.sleep(3600))
    begun = time.monotonic()
    answer = probes.resolve("db", seconds=0.1)
    assert time.monotonic() - begun < 1
    assert "no answer from the resolver" in answer["error"]


def test_the_unit_that_provides_a_service() -> None:
    text = (
        "Id=postgresql.service\nLoadState=loaded\nActiveState=active\nSubState=exited\nResult=success\n\n"
        "Id=postgresql@15-main.service\nLoadState=loaded\nActiveState=failed\nSubState=failed\nResult=protocol\n\n"
        "Id=redis.service\nLoadState=not-found\nActiveState=inactive\nSubState=dead\nResult=success\n"
    )
    units = backing_services.parse_show(text)
    chosen = backing_services.choose_unit("postgresql", units)
    assert chosen is not None
    assert chosen["Id"] == "postgresql@15-main.service"
    assert backing_services.choose_unit("redis", units) is None
