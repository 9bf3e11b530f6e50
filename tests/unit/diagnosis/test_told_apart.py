# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backing services, tokens, OAuth, webhooks and CORS are told apart, by single lines as troubleshooting guides list them."""

from __future__ import annotations

import pytest

from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.catalogue import load_catalogue
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.classify import classify, evidence_from_log

CATALOGUE = load_catalogue()
SYMPTOMS: list[tuple[str, str]] = [
    # databases
    ("database_unreachable", "DatabaseError: Could not connect to database"),
    ("database_unreachable", "sqlalchemy.exc.OperationalError: (psycopg2.OperationalError) connection refused"),
    ("database_unreachable", "asyncpg.exceptions.ConnectionDoesNotExistError: connection was closed in the middle of operation"),
    ("database_auth", 'asyncpg.exceptions.InvalidPasswordError: password authentication failed for user "app"'),
    ("database_missing", 'asyncpg.exceptions.InvalidCatalogNameError: database "app_prod" does not exist'),
    ("database_missing", "pymysql.err.OperationalError: (1044, \"Access denied for user 'app'@'%' to database 'shop'\")"),
    ("database_auth", "pymysql.err.OperationalError: (1045, \"Access denied for user 'app'@'10.0.0.7' (using password: YES)\")"),
    ("database_url_invalid", "sqlalchemy.exc.NoSuchModuleError: Can't load plugin: sqlalchemy.dialects:postgres"),
    ("database_url_invalid", "sqlalchemy.exc.InvalidRequestError: The asyncio extension requires an async driver to be used."),
    ("database_pool_exhausted", "sqlalchemy.exc.TimeoutError: QueuePool limit of size 5 overflow 10 reached, connection timed out, timeout 30.00"),
    ("database_pool_exhausted", "asyncpg.exceptions.TooManyConnectionsError: sorry, too many clients already"),
    ("database_ssl", "psycopg2.OperationalError: server does not support SSL, but SSL was required"),
    ("migration_out_of_sync", "alembic.util.exc.CommandError: Can't locate revision identified by '3f1c2ab'"),
    # Redis and brokers
    ("redis_unreachable", "CacheConnectionError: Could not connect to Redis"),
    ("redis_unreachable", "redis.exceptions.ConnectionError: Error 111 connecting to localhost:6379. Connection refused."),
    ("redis_auth", "redis.exceptions.AuthenticationError: invalid password"),
    ("redis_auth", "redis.exceptions.AuthenticationError: Authentication required."),
    ("redis_oom", "redis.exceptions.ResponseError: OOM command not allowed when used memory > 'maxmemory'."),
    ("disk_full", "redis.exceptions.ResponseError: MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk."),
    ("broker_unreachable", "[2026-11-22 10:00:00,000: ERROR/MainProcess] consumer: Cannot connect to amqp://app:**@mq:5672//: [Errno 111] Connection refused."),
    ("broker_unreachable", "aiokafka.errors.KafkaConnectionError: KafkaConnectionError: Unable to bootstrap from [('kafka', 9092, 0)]"),
    # OAuth
    ("oauth_misconfigured", "OAuthError: Invalid state parameter"),
    ("oauth_misconfigured", "OAuthError: Code exchange failed"),
    ("oauth_misconfigured", "HTTPException: 400 Bad Request - OAuth callback error"),
    ("oauth_misconfigured", "authlib.integrations.base_client.errors.OAuthError: redirect_uri_mismatch: Bad Request"),
    ("oauth_misconfigured", "OAuthError: invalid_grant: authorization code has already been used"),
    # JSON Web Tokens
    ("jwt_misconfigured", "InvalidTokenError: Token signature verification failed"),
    ("jwt_misconfigured", "jwt.exceptions.InvalidSignatureError: Signature verification failed"),
    ("jwt_misconfigured", "JWTDecodeError: Invalid token format"),
    ("clock_skew", "jwt.exceptions.ImmatureSignatureError: The token is not yet valid (iat)"),
    # webhooks
    ("webhook_failure", "WebhookDeliveryError: Failed to deliver webhook after 3 retries"),
    ("webhook_failure", "SignatureVerificationError: Webhook signature mismatch"),
    ("webhook_failure", "WebhookTimeoutError: Endpoint did not respond within 30 seconds"),
    # CORS and the rest of a strict start
    ("settings_invalid", "ValueError: CORS_ORIGINS must not be a wildcard (*) in production"),
    ("settings_invalid", "ValueError: OTP_PROVIDER=stub is not allowed in production"),
    ("settings_invalid", "ValueError: JWT_SECRET must be set and not use default value"),
    ("settings_invalid", "ValueError: TOKEN_ENCRYPTION_KEY must be a valid Fernet key (44 characters)"),
    ("settings_invalid", "ValueError: REDIS_URL must be configured in production"),
    ("settings_invalid", "ValueError: DATABASE_URL must not be SQLite in production"),
    ("settings_invalid", "pydantic_settings.exceptions.SettingsError: error parsing value for field \"cors_origins\" from source \"EnvSettingsSource\""),
    ("event_loop_conflict", "RuntimeError: This event loop is already running"),
    ("dependency_missing", "ModuleNotFoundError: No module named 'aiohttp'"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("cause", "line"), SYMPTOMS, ids=[f"{index}-{cause}" for index, (cause, _) in enumerate(SYMPTOMS)]
)
def test_a_symptom_alone(cause: str, line: str) -> None:
    diagnosis = classify(evidence_from_log(f"{line}\n"), CATALOGUE)
    assert diagnosis["root_cause"]["id"] == cause, [(one["id"], one["confidence"]) for one in diagnosis["candidates"]]


@pytest.mark.parametrize(
    ("cause", "line"), SYMPTOMS, ids=[f"{index}-{cause}" for index, (cause, _) in enumerate(SYMPTOMS)]
)
def test_the_same_in_a_traceback_under_uvicorn(cause: str, line: str) -> None:
    log = f"""\
INFO:     Started server process [812]
INFO:     Waiting for application startup.
ERROR:    Traceback (most recent call last):
  File "/srv/shop/venv/lib/python3.12/site-packages/starlette/routing.py", line 693, in lifespan
    async with self.lifespan_context(app) as maybe_state:
  File "/srv/shop/app/main.py", line 31, in lifespan
    await start()
{line}

ERROR:    Application startup failed. Exiting.
"""
    diagnosis = classify(evidence_from_log(log), CATALOGUE)
    assert diagnosis["root_cause"]["id"] == cause, [(one["id"], one["confidence"]) for one in diagnosis["candidates"]]


def test_no_encryption_is_about_tls_where_the_server_offers_it() -> None:
    """PostgreSQL says the same for a host that it refuses and for a connection that should have been encrypted."""
    line = 'no pg_hba.conf entry for host "10.0.0.4", user "app", database "app", no encryption'
    evidence = evidence_from_log(f"asyncpg.exceptions.InvalidAuthorizationSpecificationError: {line}\n")
    assert classify(evidence, CATALOGUE)["root_cause"]["id"] == "database_auth"
    evidence["backing_services"] = {
        "services": [{"kind": "postgresql", "host": "db", "protocol": {"tls_offered": True}}]
    }
    assert classify(evidence, CATALOGUE)["root_cause"]["id"] == "database_ssl"


def test_a_module_that_no_list_knows_is_missing_when_the_project_declares_it() -> None:
    evidence = evidence_from_log("ModuleNotFoundError: No module named 'svc_infra'\n")
    evidence["packages"] = {
        "declared": [{"name": "svc-infra", "specifier": "==0.1", "file": "requirements.txt", "line": 3}]
    }
    assert classify(evidence, CATALOGUE)["root_cause"]["id"] == "dependency_missing"
