# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A collector of the environment that fails must not let bare secrets through in logs."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import runner, secret_sources
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import Backend, EnvFileRef, Section
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.registry import Collector

SECRET = "Zq7hF2kLm9PwXc4RtY8v"


def document(backend: Backend, secret: str = SECRET) -> dict[str, Any]:
    """The evidence of a run whose environment could not be gathered, while its log shows a secret without a name."""

    def environment(_backend: Backend, _ctx: Context) -> Section:
        raise ImportError("broken")

    def logs(_backend: Backend, _ctx: Context) -> Section:
        return {"lines": [f"connecting with {secret} now"]}

    table = [Collector("environment", environment, 2.0), Collector("logs", logs, 2.0)]
    return runner.gather_one(backend, Context({}, time.monotonic() + 5), b"salt", 7, table, [])


@pytest.mark.parametrize("named", ["reference", "option", "option-equals", "beside"])
def test_secrets_are_read_all_the_same(tmp_path: Path, named: str) -> None:
    file = tmp_path / (".env.production" if named == "beside" else "web.conf")
    file.write_text(f'API_TOKEN="{SECRET}"\n')
    backend = Backend("web", "supervisor", service={"name": "web"}, cwd=str(tmp_path), argv=["/srv/venv/bin/uvicorn"])
    if named == "reference":
        backend.env_files = [EnvFileRef(str(file))]
    elif named == "option":
        backend.argv += ["--env-file", "web.conf"]
    elif named == "option-equals":
        backend.argv += [f"--env-file={file}"]
    found = document(backend)
    assert found["logs"]["lines"][0].startswith("connecting with <redacted:")
    assert found["collectors"]["environment"]["status"] == "failed"


def test_secrets_of_the_supervisor_are_known_too() -> None:
    backend = Backend("web", "supervisor", service={"name": "web"}, environ={"API_TOKEN": SECRET})
    assert SECRET not in json.dumps(document(backend))


def test_text_is_withheld_when_a_named_file_cannot_be_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "web.env")
    backend = Backend("web", "supervisor", service={"name": "web"}, env_files=[EnvFileRef(str(tmp_path / "web.env"))])
    found = document(backend)
    assert found["logs"] == {"unavailable": secret_sources.WITHHELD}
    assert found["collectors"]["logs"]["status"] == "withheld"
    assert SECRET not in json.dumps(found)


def test_text_is_withheld_when_reading_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_sources, "PATIENCE_S", 0.05)
    monkeypatch.setattr(secret_sources, "learn", lambda *_given: time.sleep(1))
    found = document(Backend("web", "supervisor", service={"name": "web"}))
    assert found["logs"] == {"unavailable": secret_sources.WITHHELD}


def test_a_file_that_is_not_there_hides_nothing() -> None:
    backend = Backend("web", "supervisor", service={"name": "web"}, env_files=[EnvFileRef("/nonexistent/web.env")])
    assert document(backend, "nothing")["logs"] == {"lines": ["connecting with nothing now"]}
