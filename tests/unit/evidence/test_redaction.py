# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets go, crash signatures stay."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.redaction import Redactor, learn, redact
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.secret_names import is_sensitive_name

CANARY = "c4nary-7Gq9xZ"


def redactor(**secrets: str) -> Redactor:
    return Redactor({value: name for name, value in secrets.items()}, b"salt")


@pytest.mark.parametrize(
    "line",
    [
        f"SECRET_KEY={CANARY}",
        f"export STRIPE_API_KEY='{CANARY} with blanks'",
        f'Environment="DB_PASSWORD={CANARY}" "DEBUG=1"',
        f"Environment=DB_PASSWORD={CANARY}",
        f'{{"password": "{CANARY}", "user": "bob"}}',
        f"{{'auth_token': '{CANARY}', 'x': 1}}",
        f"jwt_secret: {CANARY}",
        f'client_secret = "{CANARY}"',
        f"postgresql+asyncpg://svc:{CANARY}@db.internal:5432/app",
        f"postgresql://svc:{CANARY}/with@odd#chars@db/app",
        f"redis://:{CANARY}@cache:6379/0",
        f"amqp://guest:{quote(CANARY + '@%')}@mq//",
        f"https://{CANARY}{CANARY}@o1.ingest.example.io/12",
        f"GET /cb?code=1&access_token={CANARY}&x=2",
        f"uvicorn main:app --api-key {CANARY} --port 80",
        f"worker --token={CANARY}",
        f"Authorization: Bearer {CANARY}",
        f"Cookie: session={CANARY}; theme=dark",
        f"x-api-key: {CANARY}",
        f"host=db user=app password={CANARY} dbname=x",
        f"Driver={{ODBC}};Server=x;UID=a;PWD={CANARY};",
        f"│ │ secret_key = '{CANARY}' │",
        f"Settings(secret_key='{CANARY}', port=80)",
        f"DEBUG=1\0DB_PASSWORD={CANARY}\0HOME=/srv",
        f"-----BEGIN PRIVATE KEY-----\n{CANARY}AAAA\n-----END PRIVATE KEY-----",
        f"KEY=-----BEGIN RSA PRIVATE KEY-----\\n{CANARY}\\n-----END RSA PRIVATE KEY-----",
        f"secret_key\n  Too short [type=string_too_short, input_value='{CANARY}', input_type=str]",
    ],
)
def test_a_secret_goes_by_its_place(line: str) -> None:
    hidden = redactor().text(line)
    assert CANARY not in hidden
    assert "<redacted:" in hidden


@pytest.mark.parametrize(
    "line",
    [
        'FATAL:  password authentication failed for user "acme"',
        "KeyError: 'SECRET_KEY'",
        'SECRET_KEY = os.environ["SECRET_KEY"]',
        "    token = get_token()",
        "    password=settings.db_password,",
        "def login(password: str, token: Optional[str] = None):",
        "django.core.exceptions.ImproperlyConfigured: The SECRET_KEY setting must not be empty.",
        "jwt.exceptions.DecodeError: Invalid token: not enough segments",
        "ValueError: JWT secret must be set and not use default value",
        "postgresql://app@db:5432/app",
        "uvicorn main:app --ssl-keyfile /etc/ssl/key.pem --port 8443",
        '  File "/srv/releases/3b21db2f0aa9c0d1e2f3a4b5c6d7e8f901234567/main.py", line 3, in <module>',
        "request 123e4567-e89b-12d3-a456-426614174000 failed, pid=1234",
        "port\n  Input should be a valid integer [type=int_parsing, input_value='8000/tcp', input_type=str]",
        "redis.exceptions.AuthenticationError: Authentication required.",
        "NOAUTH Authentication required.",
        "ModuleNotFoundError: No module named 'secrets_manager'",
        "INFO:     Uvicorn running on http://127.0.0.1:8000 (Press CTRL+C to quit)",
        "JWT_ALGORITHM=HS256",
        "TOKEN_TTL=3600",
        "SyntaxError: invalid syntax (auth.py, line 12)",
        "cryptography.fernet.InvalidToken",
    ],
)
def test_a_signature_stays_readable(line: str) -> None:
    assert redactor(DB_PASSWORD=CANARY).text(line) == line


@pytest.mark.parametrize(
    "spelling",
    [
        "p@ss/w%rd-9x!",
        quote("p@ss/w%rd-9x!", safe=""),
        json.dumps("p@ss/w%rd-9x!")[1:-1],
        base64.b64encode(b"p@ss/w%rd-9x!").decode(),
        base64.b64encode(b"user:p@ss/w%rd-9x!").decode(),
        base64.b64encode(b"x:p@ss/w%rd-9x!yz").decode(),
    ],
)
def test_an_exact_secret_goes_in_every_spelling(spelling: str) -> None:
    hidden = redactor(DB_PASSWORD="p@ss/w%rd-9x!").text(f"prose around {spelling} and after")
    assert spelling not in hidden
    assert hidden.startswith("prose around ") and hidden.endswith(" and after")


def test_the_same_secret_gets_the_same_token_and_another_salt_another_one() -> None:
    one, two = Redactor({}, b"a"), Redactor({}, b"b")
    token = one.text(f"SECRET_KEY={CANARY}").split("=", 1)[1]
    assert token == one.text(f"redis://:{CANARY}@h/0").split(":", 2)[2].rsplit("@", 1)[0]
    assert token != two.text(f"SECRET_KEY={CANARY}").split("=", 1)[1]


def test_secrets_are_learnt_from_an_environment_but_names_are_spared() -> None:
    context = Context({}, 1e12)
    learn(
        {"DB_USER": "acme-svc", "DB_PASSWORD": "acme-svc", "URL": "pg://u:p%40ss-word@h/d", "API_TOKEN": "tok-123456"},
        context,
    )
    assert set(context.secrets) == {"p%40ss-word", "p@ss-word", "tok-123456"}


def test_the_value_of_an_option_goes_when_it_is_an_argument_of_its_own() -> None:
    arguments = ["/srv/venv/bin/python", "main.py", "--token", CANARY, "--port", "8000", "--token", "--verbose"]
    hidden = redactor().clean({"exec_start": [arguments]})["exec_start"][0]
    assert CANARY not in json.dumps(hidden)
    assert hidden[:3] + hidden[4:] == arguments[:3] + arguments[4:]


def test_variables_are_hidden_by_name_and_keep_a_comparable_fingerprint() -> None:
    variable = {"name": "SECRET_KEY", "value": CANARY, "fingerprint": None, "sensitive": True}
    plain = {"name": "PORT", "value": "8000", "fingerprint": None, "sensitive": False}
    one, two = Redactor({}, b"s").clean([variable, plain])
    assert CANARY not in json.dumps(one) and one["fingerprint"] in one["value"]
    assert two == plain


def test_counts_say_where_and_by_which_rule_without_values() -> None:
    context = Context({}, 1e12)
    clean = redact({"logs": {"lines": [f"password={CANARY}"]}, "unit": {"text": "ok"}}, context, b"s")
    assert clean["redactions"] == {"total": 1, "by_rule": {"env_line": 1}, "by_section": {"logs": {"env_line": 1}}}


def test_a_section_is_withheld_when_redaction_fails() -> None:
    class Broken(dict):  # type: ignore[type-arg]
        def items(self):  # type: ignore[no-untyped-def]
            raise RuntimeError(CANARY)

    clean = redact({"logs": Broken(a=CANARY), "unit": {"text": "ok"}}, Context({}, 1e12), b"s")
    assert clean["logs"] == {"unavailable": "withheld: redaction failed (RuntimeError)"}
    assert clean["unit"] == {"text": "ok"}
    assert CANARY not in json.dumps(clean)


def test_user_rules_are_added() -> None:
    masked = Redactor({}, b"s", [r"customer-(?P<secret>\d+)"]).text("customer-12345 paid")
    assert masked.startswith("customer-<redacted:") and masked.endswith(" paid")


def test_a_megabyte_line_is_done_in_linear_time() -> None:
    line = "x" * 500_000 + " password=" + CANARY + " " + "key:" * 100_000
    assert CANARY not in redactor().text(line)


@pytest.mark.parametrize(
    "name",
    [
        "SECRET_KEY",
        "DB_PASSWORD",
        "githubToken",
        "AWS_SECRET_ACCESS_KEY",
        "client-secret",
        "SENTRY_DSN",
        "AUTH_JWT__SECRET",
        "PGPASSWORD",
        "APIKEY",
    ],
)
def test_sensitive_names(name: str) -> None:
    assert is_sensitive_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "KeyError",
        "PORT",
        "JWT_ALGORITHM",
        "SSL_KEYFILE",
        "PRIMARY_KEY",
        "TOKEN_URL",
        "MAX_TOKENS",
        "AUTHOR",
        "MONKEY",
        "CACHE_KEY_PREFIX",
        "key",
    ],
)
def test_harmless_names(name: str) -> None:
    assert not is_sensitive_name(name)
