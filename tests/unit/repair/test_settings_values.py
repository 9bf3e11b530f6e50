# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which values are put in, and which are made."""

from __future__ import annotations

import base64

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._repair.fixes import settings_values as values

GOOD = "f3Qz8-Lw02.vXk71"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", "changeme"), ("SECRET_KEY", "Change-Me!"), ("JWT_SECRET", "secret"), ("SECRET_KEY", "dev"), ("API_TOKEN", "test"),
        ("SECRET_KEY", "dev-secret-key-do-not-use"), ("DB_PASSWORD", "password"), ("SECRET_KEY", "xxxxxxxx"), ("SECRET_KEY", "0000000000"),
        ("SMTP_HOST", "<your host>"), ("SMTP_HOST", "your-smtp-host"), ("SMTP_HOST", "TODO"), ("SECRET_KEY", "django-insecure-abc"),
        ("SECRET_KEY", ""), ("SECRET_KEY", "   "), ("SECRET_KEY", f"'{GOOD}'"), ("SECRET_KEY", f"{GOOD}\n"), ("SECRET_KEY", f"{GOOD}\r"),
        ("SECRET_KEY", "a\0b"), ("SECRET_KEY", "${OTHER_KEY}"), ("SMTP_HOST", "{{ smtp_host }}"), ("DB_HOST", "$DB_HOST"),
        ("DATABASE_URL", "postgresql://app:changeme@db/app"), ("SECRET_KEY", "x" * 70000), ("SECRET_KEY", "\ud800abc"),
    ],
)  # fmt: skip
def test_refused_everywhere(name: str, value: str) -> None:
    reason = values.value_reason(name, value)
    assert reason
    assert len(value.strip()) < 4 or value.strip() not in reason


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", GOOD), ("SMTP_HOST", "mail.example.org"), ("LOG_LEVEL", "test"), ("APP_ENV", "dev"), ("ALLOWED_HOSTS", "*"),
        ("DATABASE_URL", "sqlite:////var/lib/a.db"), ("DATABASE_URL", "postgresql://a:b%24@localhost/x"), ("REGEX", "^a$|${1}"),
        ("JWT_PRIVATE_KEY", "-----BEGIN PRIVATE KEY-----\nMIIabc\n-----END PRIVATE KEY-----\n"), ("DB_PASSWORD", "pa$$w'or\"d\\x"),
        ("WORKERS", "4"), ("FEATURE", "true"), ("DB_USER", "test"), ("ORIGINS", '["https://a.example"]'),
    ],
)  # fmt: skip
def test_taken_outside_of_production(name: str, value: str) -> None:
    assert values.value_reason(name, value) is None


@pytest.mark.parametrize(
    ("name", "value", "refused"),
    [
        ("ALLOWED_HOSTS", "*", True), ("CORS_ORIGINS", '["*"]', True), ("ALLOWED_HOSTS", "a.example,*", True), ("CRON", "* * * * *", False),
        ("DATABASE_URL", "sqlite:///x.db", True), ("DATABASE_URL", "sqlite+aiosqlite:///x.db", True), ("DB_PATH", ":memory:", True),
        ("DATABASE_URL", "postgresql://u:p4ss@localhost:5432/x", True), ("REDIS_URL", "redis://127.0.0.1:6379/0", True),
        ("DB_HOST", "localhost", True), ("DB_HOST", "127.0.0.1:5432", True), ("HOST", "0.0.0.0", False), ("BIND", "127.0.0.1", False),
        ("APP_ENV", "dev", True), ("APP_ENV", "production", False), ("DATABASE_URL", "postgresql://u:p4ss@db.internal/x", False),
        ("DOMAIN", "localhost.localdomain", True), ("NAME", "local", False),
    ],
)  # fmt: skip
def test_in_production(name: str, value: str, refused: bool) -> None:
    assert bool(values.value_reason(name, value, "APP_ENV says so")) is refused


def test_local_may_be_allowed_and_the_wildcard_not() -> None:
    assert values.value_reason("DATABASE_URL", "postgresql://u:p4ss@localhost/x", "p", local_allowed=True) is None
    assert values.value_reason("ALLOWED_HOSTS", "*", "p", local_allowed=True)


@pytest.mark.parametrize(
    ("environ", "said", "told", "expected"),
    [
        ({"APP_ENV": "production"}, "", None, True), ({"ENV": "prod"}, "", None, True), ({"HR_ENVIRONMENT": "PRODUCTION"}, "", None, True),
        ({"ENV": "staging"}, "", None, False), ({}, "SECRET_KEY must be set in production", None, True), ({}, "x", None, False),
        ({"DJANGO_SETTINGS_MODULE": "a.settings.production"}, "", None, True), ({"ENV": "production"}, "", False, False), ({}, "", True, True),
        ({"PRODUCT": "production"}, "", None, False),
    ],
)  # fmt: skip
def test_production_is_read_from_its_own_words(
    environ: dict[str, str], said: str, told: bool | None, expected: bool
) -> None:
    assert bool(values.in_production(environ, said, told)) is expected


@pytest.mark.parametrize(
    "name", ["LD_PRELOAD", "PYTHONPATH", "PATH", "HOME", "1A", "A-B", "A B", "", "A\nB", "PYTHONSTARTUP"]
)
def test_names_that_decide_what_runs(name: str) -> None:
    assert values.name_reason(name)


@pytest.mark.parametrize("name", ["SECRET_KEY", "PYTHON_ENV", "smtp_host", "HOMEPAGE", "DATA_PATH"])
def test_names_of_settings(name: str) -> None:
    assert values.name_reason(name) is None


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("SECRET_KEY", True), ("DJANGO_SECRET_KEY", True), ("JWT_SECRET", True), ("FERNET_KEY", True), ("HR_SESSION_SECRET", True),
        ("STRIPE_SECRET_KEY", False), ("OAUTH_CLIENT_SECRET", False), ("AWS_SECRET_ACCESS_KEY", False), ("API_KEY", False),
        ("DB_PASSWORD", False), ("SMTP_HOST", False), ("DATABASE_URL", False), ("WEBHOOK_SECRET", False), ("WORKERS", False),
        ("TLS_KEY_FILE", False), ("JWT_PUBLIC_KEY", False),
    ],
)  # fmt: skip
def test_only_own_secrets_are_made(name: str, made: bool) -> None:
    assert (values.may_generate(name, "urlsafe") is None) is made
    assert bool(values.kind_for(name, "")) is made


def test_made_values_are_fresh_and_of_their_kind() -> None:
    kinds = {"A_KEY": "hex", "B_KEY": "urlsafe", "C_KEY": "fernet", "D_KEY": "jwt"}
    first, second = values.generate(kinds, kinds), values.generate(kinds, kinds)
    assert not set(first.values()) & set(second.values())
    assert len(bytes.fromhex(first["A_KEY"])) == 32
    assert len(base64.urlsafe_b64decode(first["C_KEY"])) == 32
    for name, value in first.items():
        assert values.value_reason(name, value, "production", kind="fernet" if name == "C_KEY" else "") is None
    assert values.may_generate("SECRET_KEY", "guess")


def test_fernet_keys_are_checked() -> None:
    assert "Fernet" in str(values.value_reason("TOKEN_KEY", GOOD, kind="fernet"))


@pytest.mark.parametrize(
    ("given", "text"), [(True, "true"), (False, "false"), (8, "8"), (["a", "b"], '["a","b"]'), ({"a": 1}, '{"a":1}'), (None, None), ("x", "x")]
)  # fmt: skip
def test_text_of_values(given: object, text: str | None) -> None:
    assert values.text_of(given) == text
