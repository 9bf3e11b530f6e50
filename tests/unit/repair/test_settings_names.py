# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the words of settings libraries and of home-made checks to the names of variables: all of them, and nothing else."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import App, Backend
from ansible_collections.firstaid.backend.plugins.module_utils._repair.fixes import settings_names, settings_source


def raised(kind: str, message: str, *codes: str, **more: Any) -> dict[str, Any]:
    """An import test that ends in one exception."""
    frames = [{"file": "/srv/a/app.py", "function": "f", "code": code, "origin": "app"} for code in codes]
    one = {"type": kind, "message": message, "frames": frames, "name": None, **more}
    return {"outcome": "exception", "exception": {**one, "chain": [one]}}


def names(test: dict[str, Any]) -> list[str]:
    return [item.name for item in settings_names.complaints(test)]


@pytest.mark.parametrize(
    ("kind", "message", "expected"),
    [
        ("UndefinedValueError", "SECRET_KEY not found. Declare it as envvar or define a default value.", ["SECRET_KEY"]),
        ("EnvError", 'Environment variable "token" not set', ["token"]),
        ("EnvValidationError", "Environment variables invalid: {'PORT': ['Not valid.'], 'KEY': ['not set.']}", ["PORT", "KEY"]),
        ("ImproperlyConfigured", "Set the DJANGO_SECRET_KEY environment variable", ["DJANGO_SECRET_KEY"]),
        ("ImproperlyConfigured", "The SECRET_KEY setting must not be empty.", ["SECRET_KEY"]),
        ("CommandError", "You must set settings.ALLOWED_HOSTS if DEBUG is False.", ["ALLOWED_HOSTS"]),
        ("KeyError", "\"Config 'DEBUG' is missing, and has no default.\"", ["DEBUG"]),
        ("ValidationError", "DATABASE__HOST is required in env main", ["DYNACONF_DATABASE__HOST"]),
        ("SettingsError", 'error parsing value for field "allowed_hosts" from source "EnvSettingsSource"', ["allowed_hosts"]),
        ("RuntimeError", "STRIPE_SECRET_KEY must be set in production", ["STRIPE_SECRET_KEY"]),
        ("RuntimeError", "SECRET_KEY is required when APP_ENV is production", ["SECRET_KEY"]),
        ("ValueError", "PORT must be a number", ["PORT"]),
        ("ConfigError", "Missing required environment variables: STRIPE_KEY, JWT, SMTP_HOST", ["STRIPE_KEY", "JWT", "SMTP_HOST"]),
        ("RuntimeError", "Checks failed:\n - SECRET_KEY must not be X\n - DB_URL cannot be SQLite if APP_ENV=production", ["SECRET_KEY", "DB_URL"]),
        ("RuntimeError", "missing settings:\n  A_KEY\n  TOKEN\n", ["A_KEY", "TOKEN"]),
        ("RuntimeError", "connection to DB_HOST took long", []),
        ("KeyError", "'GOLD'", []),
        ("ModuleNotFoundError", "No module named 'x'", []),
    ],
)  # fmt: skip
def test_words_of_libraries_and_people(kind: str, message: str, expected: list[str]) -> None:
    assert names(raised(kind, message)) == expected


def test_a_key_error_counts_only_where_the_environment_was_asked() -> None:
    assert names(raised("KeyError", "'A_B'", 'X = os.environ["A_B"]', name="A_B")) == ["A_B"]
    assert names(raised("KeyError", "'A_B'", 'X = PLANS["A_B"]', name="A_B")) == []


def test_a_value_that_cannot_be_converted_is_found_by_the_code() -> None:
    assert names(
        raised("ValueError", "invalid literal for int() with base 10: 'x'", 'PORT = int(os.environ["PORT"])')
    ) == ["PORT"]
    assert names(
        raised(
            "ValueError", "Fernet key must be 32 url-safe base64-encoded bytes.", "box = Fernet(os.getenv('TOKEN_KEY'))"
        )
    ) == ["TOKEN_KEY"]


def test_pydantic_lists_all_and_checks_over_several_fields_name_theirs() -> None:
    fields = [
        {"field": "smtp_host", "type": "missing", "message": "Field required"},
        {"field": "db.port", "type": "int_parsing", "message": "Input should be a valid integer"},
        {
            "field": "",
            "type": "value_error",
            "message": "Value error, SECRET_KEY must not be the default in production",
        },
    ]
    found = settings_names.complaints(raised("ValidationError", "3 validation errors for Settings\n...", fields=fields))
    assert [(item.name, item.kind, item.title) for item in found] == [
        ("smtp_host", "field", "Settings"), ("db.port", "field", "Settings"), ("SECRET_KEY", "variable", ""),
    ]  # fmt: skip


def test_the_reason_behind_a_general_exception_counts() -> None:
    inner = {"type": "UndefinedValueError", "message": "A_KEY not found. Declare it as envvar", "frames": []}
    outer = {"type": "RuntimeError", "message": "could not start", "frames": []}
    assert names({"outcome": "exception", "exception": {**outer, "chain": [inner, outer]}}) == ["A_KEY"]


def test_what_a_script_printed_before_it_left() -> None:
    test = {
        "outcome": "system_exit", "system_exit": {"message": "1"}, "stdout": "WARNING: SENTRY_DSN is not set\nINFO A_B not set\n",
        "stderr": "FATAL: SECRET_KEY is not set\nmissing environment variables: A_ONE, TWO\n",
    }  # fmt: skip
    assert names(test) == ["SECRET_KEY", "A_ONE", "TWO"]


def read(tmp_path: Path, **files: str) -> settings_source.Sources:
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text)
    backend = Backend("web.service", "systemd", app=App(code_dir=str(tmp_path)))
    return settings_source.read(backend, Context({}, time.monotonic() + 20))


PYDANTIC = """
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
class Base(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="HR_", env_nested_delimiter="__")
class Settings(Base):
    smtp_host: str
    db: "Db"
    key: str = Field(validation_alias="TOKEN_KEY")
    other: str = Field(alias=AliasChoices("ONE", "TWO"))
class Plain(BaseSettings):
    port: int
class Exact(BaseSettings):
    model_config = {"case_sensitive": True, "env_prefix": "x_"}
    port: int
class Old(BaseSettings):
    url: str
    class Config:
        env_prefix = "OLD_"
        fields = {"url": {"env": "THE_URL"}}
class Order(BaseModel):
    price: int
"""


@pytest.mark.parametrize(
    ("title", "field", "expected"),
    [
        ("Settings", "smtp_host", "HR_SMTP_HOST"), ("Settings", "db.host", "HR_DB__HOST"), ("Settings", "db", "HR_DB"),
        ("Settings", "TOKEN_KEY", "TOKEN_KEY"), ("Settings", "key", "TOKEN_KEY"), ("Settings", "ONE", "ONE"), ("Settings", "other", "ONE"),
        ("Plain", "port", "PORT"), ("Exact", "port", "x_port"), ("Old", "url", "THE_URL"), ("Order", "price", None),
        ("Unknown", "smtp_host", "SMTP_HOST"),
    ],
)  # fmt: skip
def test_fields_become_variables(tmp_path: Path, title: str, field: str, expected: str | None) -> None:
    assert read(tmp_path, settings=PYDANTIC).variable(title, field, {}) == expected


def test_an_existing_spelling_is_kept(tmp_path: Path) -> None:
    assert read(tmp_path, settings=PYDANTIC).variable("Plain", "port", {"Port": "x"}) == "Port"


def test_settings_modules_and_reads_without_default(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        settings="import os\nSECRET_KEY = os.environ.get('DJANGO_KEY', '')\nHOSTS = required('APP_HOSTS').split(',')\nDEBUG = False\n"
        "X = os.environ['MUST']\nos.environ['SET'] = '1'\n",
        broken="def (:\n",
    )
    assert found.settings == {"SECRET_KEY": "DJANGO_KEY", "HOSTS": "APP_HOSTS", "X": "MUST"}
    assert list(found.demanded) == ["MUST"]
    assert found.read == 2
