# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import app, interpreter, python_path
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import App, Backend


@pytest.fixture
def ctx() -> Context:
    return Context(params={}, deadline=time.monotonic() + 30)


def resolved(argv: list[str], cwd: Path, ctx: Context, **environ: str) -> Backend:
    backend = Backend("demo", "systemd", argv=argv, cwd=str(cwd), environ=dict(environ), uid=os.geteuid())
    app.resolve(backend, ctx)
    interpreter.resolve(backend, ctx)
    return backend


PRINT = "import sys, json; print(json.dumps([p or __import__('os').getcwd() for p in sys.path]))"


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [
        (["script.py"], {}),
        (["sub/script.py"], {"PYTHONPATH": "lib:/nonexistent"}),
        (["-m", "module"], {"PYTHONPATH": "lib"}),
        (["-c", PRINT], {}),
        (["-I", "script.py"], {"PYTHONPATH": "lib"}),
        (["-S", "script.py"], {}),
        (["-E", "-s", "script.py"], {"PYTHONPATH": "lib"}),
        (["link.py"], {}),
    ],
)
def test_equals_the_real_path(tmp_path: Path, ctx: Context, arguments: list[str], environ: dict[str, str]) -> None:
    """The worked out path against that of a real interpreter started the same way."""
    (tmp_path / "sub").mkdir()
    for name in ("script.py", "sub/script.py", "module.py"):
        (tmp_path / name).write_text(PRINT)
    (tmp_path / "link.py").symlink_to("sub/script.py")
    argv = [sys.executable, *arguments]
    result = subprocess.run(argv, cwd=tmp_path, env=environ, capture_output=True, text=True, check=True)
    real = eval(result.stdout)  # noqa: S307
    ours = [path for path, _origin in python_path.paths(resolved(argv, tmp_path, ctx, **environ), ctx)]
    existing = [path for path in real if os.path.exists(path) or "nonexistent" in path]
    assert [path for path in ours if os.path.exists(path) or "nonexistent" in path] == existing


def site(tmp_path: Path) -> Path:
    path = tmp_path / "v/lib/python3.11/site-packages"
    path.mkdir(parents=True)
    return path


def test_pth_files_and_editable_installations(tmp_path: Path, ctx: Context) -> None:
    packages = site(tmp_path)
    (packages / "a.pth").write_text("# comment\nimport os; os.getcwd()\n/srv/gone\n../extra\n")
    (packages / "__editable__.shop-1.pth").write_text(
        "import __editable___shop_1_finder; __editable___shop_1_finder.install()"
    )
    (packages / "__editable___shop_1_finder.py").write_text(
        "MAPPING: dict[str, str] = {'shop': '/srv/old/src/shop'}\nX = 1\n"
    )
    assert python_path.pth_paths(str(packages), ctx) == ["/srv/old/src", "/srv/gone", str(packages.parent / "extra")]


def test_section(tmp_path: Path, ctx: Context) -> None:
    packages = site(tmp_path)
    code = tmp_path / "code"
    (code / "redis").mkdir(parents=True)
    (code / "redis/__init__.py").touch()
    (packages / "redis.py").touch()
    for name in ("logging.py", "mine.py"):
        (code / name).touch()
    backend = Backend("demo", "systemd", cwd=str(code), environ={"PYTHONPATH": "/nowhere"}, uid=os.geteuid())
    backend.app = App(
        server="uvicorn", code_dir=str(code), path_prepend=[str(code)], program=str(tmp_path / "v/bin/uvicorn")
    )
    backend.interpreter = {
        "site_packages": [{"path": str(packages), "exists": True, "python_version": "3.11", "used": True}]
    }
    section = python_path.collect(backend, ctx)
    assert [(item["origin"], item["exists"], item["type"], item["readable"]) for item in section["entries"]] == [
        ("cwd", True, "directory", True),
        ("script_dir", False, "missing", False),
        ("pythonpath", False, "missing", False),
        ("site", True, "directory", True),
    ]
    assert [(item["name"], item["kind"]) for item in section["shadows"]] == [
        ("logging", "stdlib"),
        ("redis", "third_party"),
    ]
    assert section["pythonpath"] == "/nowhere" and section["safe_path"] is False


def test_safe_path(tmp_path: Path, ctx: Context) -> None:
    backend = resolved([sys.executable, "-P", "x.py"], tmp_path, ctx)
    assert python_path.safe_path(backend)
    assert python_path.safe_path(resolved([sys.executable, "x.py"], tmp_path, ctx, PYTHONSAFEPATH="1"))
    assert not python_path.safe_path(resolved([sys.executable, "-W", "error", "x.py"], tmp_path, ctx))
