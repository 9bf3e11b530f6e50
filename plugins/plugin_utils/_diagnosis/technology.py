# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backing service an exception or a line is about: told by packages of its frames, words, ports and probes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .observed import Seen, fact

# Third-party packages to what their frames are about. The order of labels doesn't matter.
_PACKAGES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("psycopg2", "psycopg", "psycopg_pool", "psycopg_c", "asyncpg", "aiopg", "pg8000"), ("postgresql", "database")
    ),
    **dict.fromkeys(("MySQLdb", "pymysql", "aiomysql", "asyncmy", "mysql", "mariadb"), ("mysql", "database")),
    **dict.fromkeys(("pymongo", "motor", "beanie", "mongoengine", "odmantic"), ("mongodb", "database")),
    **dict.fromkeys(
        (
            "oracledb",
            "cx_Oracle",
            "pyodbc",
            "aioodbc",
            "pymssql",
            "neo4j",
            "cassandra",
            "clickhouse_connect",
            "clickhouse_driver",
            "asynch",
            "elasticsearch",
            "elastic_transport",
            "opensearchpy",
            "influxdb",
            "influxdb_client",
            "couchdb",
            "arango",
            "procrastinate",
        ),
        ("database",),
    ),
    **dict.fromkeys(
        (
            "sqlalchemy",
            "alembic",
            "flask_sqlalchemy",
            "sqlmodel",
            "databases",
            "tortoise",
            "peewee",
            "playhouse",
            "piccolo",
            "ormar",
            "pony",
        ),
        ("database",),
    ),
    **dict.fromkeys(
        (
            "redis",
            "aioredis",
            "fakeredis",
            "cashews",
            "coredis",
            "django_redis",
            "rq",
            "arq",
            "redis_om",
            "valkey",
            "glide",
        ),
        ("redis",),
    ),
    **dict.fromkeys(
        (
            "kombu",
            "amqp",
            "pika",
            "aio_pika",
            "aiormq",
            "celery",
            "librabbitmq",
            "dramatiq",
            "aioamqp",
            "faststream",
            "taskiq",
        ),
        ("broker",),
    ),
    **dict.fromkeys(
        ("aiokafka", "kafka", "confluent_kafka", "cimpl", "nats", "stomp", "pulsar", "paho", "gmqtt"), ("broker",)
    ),
    **dict.fromkeys(("svix", "standardwebhooks"), ("webhook",)),
    **dict.fromkeys(("httpx", "httpcore", "httpx2", "requests", "urllib3", "hvac", "botocore", "grpc"), ("http",)),
    **dict.fromkeys(
        ("authlib", "oauthlib", "requests_oauthlib", "httpx_oauth", "social_core", "allauth", "msal"), ("oauth", "http")
    ),
    **dict.fromkeys(
        ("jwt", "jose", "joserfc", "jwcrypto", "python_jose", "fastapi_jwt_auth", "rest_framework_simplejwt"), ("jwt",)
    ),
}
_WORDS: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), labels)
    for pattern, labels in (
        (
            r"postgres|psycopg|asyncpg|pg_hba|libpq|\bport 5432\b|:5432\b|, 5432\b|\.s\.PGSQL\b",
            ("postgresql", "database"),
        ),
        (r"mysql|mariadb|:3306\b|, 3306\b|\bport 3306\b", ("mysql", "database")),
        (r"mongo|:27017\b|, 27017\b|ServerSelectionTimeout", ("mongodb", "database")),
        (
            r"\bsqlalchemy\b|sqlalche\.me|create_engine|\bdatabases?\b|django\.db|sqlite3?\b|\bORM\b|(?<![a-z])sql(?![a-z])",
            ("database",),
        ),
        (r"\baio_?redis\b|\brediss?\b|:6379\b|, 6379\b|\bport 6379\b", ("redis",)),
        (r"\bamqps?:|rabbit|kombu|\bpika\b|aiormq|:5672\b|, 5672\b|:5671\b|\bbroker\b|kafka|:9092\b", ("broker",)),
        (r"webhook", ("webhook",)),
        (r"\bhttps?://|\bhttpx\b|aiohttp\.client|urllib3?\b|\brequests\.", ("http",)),
    )
)
# Frames that are about a database although their package does much else.
_DATABASE_FILES = re.compile(r"/django/db/|/django/core/management/commands/migrate|/odoo/sql_db")
_WEBHOOK = re.compile(r"webhook", re.IGNORECASE)
_ADDRESS = re.compile(r"\('([\w.:-]+)', (\d{2,5})\)|(?:connecting to|connect to|host) \[?'?([\w.-]+)'?\]?:(\d{2,5})")
_KINDS = {
    "postgresql": ("postgresql", "database"),
    "mysql": ("mysql", "database"),
    "mongodb": ("mongodb", "database"),
    "redis": ("redis",),
    "amqp": ("broker",),
    "kafka": ("broker",),
    "http": ("http",),
    "smtp": ("smtp",),
}


def about_text(text: str, evidence: Mapping[str, Any]) -> frozenset[str]:
    """Labels of what a line speaks of: postgresql, mysql, mongodb, database, redis, broker, webhook, http, smtp."""
    labels: set[str] = set()
    for pattern, found in _WORDS:
        if pattern.search(text):
            labels.update(found)
    if not labels:
        labels.update(_by_address(text, evidence))
    return frozenset(labels)


def about_exception(seen: Seen, evidence: Mapping[str, Any]) -> frozenset[str]:
    """Labels of what an exception is about, by its frames' packages, its text, and the application's failing line."""
    labels: set[str] = set()
    for package in seen.packages:
        labels.update(_PACKAGES.get(package, ()))
    for raised in seen.traceback.walk():
        labels.update(_PACKAGES.get((raised.module or "").partition(".")[0], ()))
        if any(_DATABASE_FILES.search(frame.file) for frame in raised.frames):
            labels.add("database")
        if any(
            frame.origin == "app" and _WEBHOOK.search(f"{frame.function} {frame.code or ''}") for frame in raised.frames
        ):
            labels.add("webhook")
    frame = seen.app_frame
    words = f"{seen.text[:1000]}\n{frame.code if frame and frame.code else ''}"
    return frozenset(labels) | about_text(words, evidence)


def _by_address(text: str, evidence: Mapping[str, Any]) -> tuple[str, ...]:
    """The kind of the configured service that has the address in a text such as ``Connect call failed ('db', 15999)``."""
    services = fact(evidence, "backing_services.services")
    match = _ADDRESS.search(text)
    if match is None or not isinstance(services, list):
        return ()
    host, port = match.group(1) or match.group(3), int(match.group(2) or match.group(4))
    for service in services:
        if isinstance(service, Mapping) and service.get("port") == port:
            same = service.get("host") in (host, "localhost") or host in (service.get("dns") or {}).get("addresses", [])
            if same or host in ("127.0.0.1", "::1"):
                return _KINDS.get(str(service.get("kind")), ())
    return ()
