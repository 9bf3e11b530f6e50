# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import environment
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import App, Backend, EnvFileRef


@pytest.fixture
def ctx() -> Context:
    return Context(params={}, deadline=time.monotonic() + 10)


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    code = tmp_path / "app"
    code.mkdir()
    result = Backend("demo-shop.service", "systemd", cwd=str(code), uid=os.geteuid())
    result.app = App(code_dir=str(code))
    return result


def code_of(backend: Backend) -> Path:
    return Path(str(backend.app.code_dir))


def named(section: dict[str, Any], name: str) -> dict[str, Any]:
    return next(item for item in section["variables"] if item["name"] == name)


def test_variables_and_secrets(backend: Backend, ctx: Context) -> None:
    backend.environ = {
        "SECRET_KEY": "hunter2hunter2",
        "PORT": "80",
        "URL": "${BASE}/x",
        "EMPTY": "",
        "HASH": "$2b$12$abc",
    }
    backend.environ_origin = {"PORT": "Environment="}
    section = environment.collect(backend, ctx)
    secret = named(section, "SECRET_KEY")
    assert (secret["sensitive"], secret["length"], secret["fingerprint"]) == (True, 14, None)
    assert "hunter2hunter2" in ctx.secrets
    assert named(section, "PORT")["origin"] == "Environment="
    assert named(section, "URL")["references_missing"] == ["BASE"]
    assert named(section, "HASH")["references_missing"] == []
    assert named(section, "EMPTY")["empty"] is True


def test_missing_file_and_where_it_may_be(backend: Backend, ctx: Context, tmp_path: Path) -> None:
    (code_of(backend) / "prod.env").write_text("A=1\n")
    (code_of(backend) / ".env.example").write_text("A=\nB=\n")
    (code_of(backend) / "deploy").mkdir()
    (code_of(backend) / "deploy/shop.env").write_text("A=2\n")
    (tmp_path / ".env").write_text("A=3\n")
    backend.env_files = [EnvFileRef("/etc/demo/shop.env", False, "EnvironmentFile=/etc/demo/shop.env")]
    section = environment.collect(backend, ctx)
    assert [(item["path"], item["exists"]) for item in section["files"]] == [("/etc/demo/shop.env", False)]
    found = [(os.path.relpath(item["path"], tmp_path), item["origin"]) for item in section["candidates"]]
    assert found == [
        ("app/deploy/shop.env", "below the code"),
        ("app/prod.env", "beside the code"),
        (".env", "beside the code"),
        ("app/.env.example", "example"),
    ]
    assert section["candidates"][-1]["names"] == ["A", "B"]


@pytest.mark.parametrize(
    ("source", "file"),
    [
        ("from dotenv import load_dotenv\nload_dotenv()\n", "app/.env"),
        ("load_dotenv('conf/x.env')\n", "app/conf/x.env"),
        ("class S(BaseSettings):\n    model_config = SettingsConfigDict(env_file='../.env')\n", ".env"),
        ("model_config = {'env_file': '../.env'}\n", ".env"),
        ("class Config:\n    env_file = '.env'\n", "app/.env"),
        ("environ.Env.read_env('/etc/x.env')\n", "/etc/x.env"),
        ("from starlette.config import Config\nconfig = Config('.env')\n", "app/.env"),
        ("# load_dotenv()\n", None),
        ("def load_dotenv():\n    pass\n", None),
    ],
)
def test_files_that_the_application_loads(
    backend: Backend, ctx: Context, tmp_path: Path, source: str, file: str
) -> None:
    (code_of(backend) / "settings.py").write_text(source)
    found = environment.application_files(backend, ctx)
    assert [ref.path for ref in found] == ([os.path.join(tmp_path, file)] if file else [])
    assert all(ref.optional and "settings.py:" in ref.origin for ref in found)


def test_variables_of_a_loaded_file_yield_to_the_real_environment(backend: Backend, ctx: Context) -> None:
    (code_of(backend) / "main.py").write_text("load_dotenv()\n")
    (code_of(backend) / ".env").write_text("A=file\nB=file\nAPI_TOKEN=abcdefgh\n")
    backend.environ = {"A": "unit"}
    section = environment.collect(backend, ctx)
    assert named(section, "A")["value"] == "unit"
    assert named(section, "B")["value"] == "file"
    assert "application" in named(section, "B")["origin"]
    assert section["files"][0]["path"].endswith("app/.env")
    assert section["candidates"] == []
    assert "abcdefgh" in ctx.secrets


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_file_of_the_application_must_be_readable_for_its_user(backend: Backend, ctx: Context) -> None:
    (code_of(backend) / "main.py").write_text("load_dotenv()\n")
    (code_of(backend) / ".env").write_text("A=1\n")
    (code_of(backend) / ".env").chmod(0o600)
    backend.uid, backend.gid = 65534, 65534
    section = environment.collect(backend, ctx)["files"][0]
    assert section["readable"] is False
    assert "backend's user" in section["load_error"]


def test_override(backend: Backend, tmp_path: Path) -> None:
    (tmp_path / "x.env").write_text("A=1\n")
    ctx = Context(params={"env_file": str(tmp_path / "x.env")}, deadline=time.monotonic() + 10)
    assert "override" in environment.collect(backend, ctx)["files"][0]["origin"]


def test_unset_in_the_running_process(backend: Backend, ctx: Context) -> None:
    backend.main_pid, backend.running = os.getpid(), True
    backend.environ = {"PATH": "x", "NOT_THERE_YET": "1", "BY_SCRIPT": "1"}
    backend.environ_origin = {"PATH": "unit", "NOT_THERE_YET": "unit", "BY_SCRIPT": "start script /x"}
    assert environment.unset_in_process(backend, ctx) == ["NOT_THERE_YET"]
