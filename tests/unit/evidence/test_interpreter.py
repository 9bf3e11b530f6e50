# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import interpreter
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.interpreter_chain import parse_shebang
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import App, Backend

SHORT = f"{sys.version_info[0]}.{sys.version_info[1]}"
Look = Callable[..., dict[str, Any]]


@pytest.fixture
def look(tmp_path: Path) -> Look:
    def run(
        program: object, environ: Optional[dict[str, str]] = None, params: Optional[dict[str, Any]] = None
    ) -> dict[str, Any]:
        ctx = Context(params=params or {}, deadline=time.monotonic() + 30)
        backend = Backend("demo", "systemd", cwd=str(tmp_path), environ=environ or {}, uid=os.geteuid())
        backend.app = App(program=str(program), code_dir=str(tmp_path))
        interpreter.resolve(backend, ctx)
        section = interpreter.collect(backend, ctx)
        assert section["python"] == backend.python
        return section

    return run


@pytest.fixture(scope="session")
def real_venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("venvs") / "v"
    venv.create(path, symlinks=True, with_pip=False)
    return path


@pytest.fixture
def v(real_venv: Path, tmp_path: Path) -> Path:
    """A copy of a real virtual environment with one console script."""
    path = tmp_path / "v"
    shutil.copytree(real_venv, path, symlinks=True)
    script(path / "bin/uvicorn", f"#!{path}/bin/python\n")
    return path


def script(path: Path, text: str, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    path.chmod(mode)
    return path


def test_console_script_of_a_virtual_environment(look: Look, v: Path) -> None:
    section = look(v / "bin/uvicorn")
    steps = [(entry["step"], entry["path"]) for entry in section["chain"]]
    assert steps[:2] == [("command", f"{v}/bin/uvicorn"), ("shebang", f"{v}/bin/python")]
    assert steps[-1] == ("pyvenv.cfg", f"{v}/pyvenv.cfg")
    assert ("symlink", os.path.realpath(v / "bin/python")) in steps
    assert section["runs"] is True and section["error"] is None
    assert section["version"] == ".".join(map(str, sys.version_info[:3]))
    assert section["kind"] == "venv" and section["venv"]["home_exists"]
    assert section["site_packages"][0] == {
        "path": f"{v}/lib/python{SHORT}/site-packages", "exists": True, "python_version": SHORT, "used": True
    }  # fmt: skip
    assert section["abi"]["cache_tag"] == sys.implementation.cache_tag
    assert section["candidates"] == []


def test_dangling_interpreter(look: Look, v: Path) -> None:
    for name in ("python", "python3", f"python{SHORT}"):
        (v / "bin" / name).unlink(missing_ok=True)
    (v / "bin/python").symlink_to("/opt/gone/bin/python3.9")
    section = look(v / "bin/uvicorn")
    assert section["python"] == f"{v}/bin/python"
    assert "/opt/gone/bin/python3.9" in section["error"] and "does not exist" in section["error"]
    assert section["runs"] is None
    assert section["candidates"] == [
        {"path": f"{v}/bin/python", "exists": False, "version": section["venv"]["version"]}
    ]


def test_moved_environment(look: Look, v: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    v.rename(new)
    section = look(new / "bin/uvicorn")
    assert "moved or copied" in section["chain"][0]["problem"]
    assert section["chain"][1]["problem"] == "no such file"
    assert section["python"] == f"{new}/bin/python", "the environment of the script is the best guess"
    assert section["candidates"][0]["path"] == f"{new}/bin/python"


def test_environment_whose_python_is_gone(look: Look, v: Path) -> None:
    (v / "pyvenv.cfg").write_text("home = /opt/python3.8/bin\nversion = 3.8.2\n")
    section = look(v / "bin/python")
    assert section["venv"]["home_exists"] is False
    assert "/opt/python3.8/bin" in section["chain"][-1]["problem"]


def test_python_that_does_not_start(look: Look, v: Path) -> None:
    section = look(v / "bin/python", environ={"PYTHONHOME": "/nonexistent"})
    assert section["runs"] is False
    assert "encodings" in section["error"]


@pytest.mark.skipif(os.geteuid() != 0 or not os.path.exists("/usr/bin/setpriv"), reason="needs another user")
@pytest.mark.skipif(not os.path.exists("/usr/bin/python3"), reason="needs an interpreter that everybody may start")
def test_interpreter_that_the_user_may_not_reach() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        place = Path(name)
        (place / "bin").mkdir()
        (place / "bin/python3").symlink_to("/usr/bin/python3")
        backend = Backend("demo", "systemd", cwd="/", uid=65534, gid=65534)
        backend.app = App(program=str(place / "bin/python3"))
        for mode, runs in ((0o755, True), (0o700, False)):
            place.chmod(mode)
            interpreter.resolve(backend, Context(params={}, deadline=time.monotonic() + 30))
            assert backend.interpreter["runs"] is runs
        assert backend.interpreter["error"] == f"{place}/bin/python3: Permission denied"


def test_environment_of_another_version(look: Look, v: Path) -> None:
    (v / f"lib/python{SHORT}").rename(v / "lib/python3.7")
    sites = look(v / "bin/python")["site_packages"]
    assert [(site["python_version"], site["exists"], site["used"]) for site in sites] == [
        (SHORT, False, True),
        ("3.7", True, False),
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"#!/usr/bin/python3\n", ("/usr/bin/python3", None, None)),
        (b"#! /usr/bin/env  python3 \n", ("/usr/bin/env", "python3", None)),
        (b"#!/usr/bin/env -S python3 -u\n", ("/usr/bin/env", "-S python3 -u", None)),
        (b"import os\n", (None, None, None)),
        (b"#!\n", (None, None, "the #! line names no interpreter")),
    ],
)
def test_shebang(line: bytes, expected: tuple[Any, ...]) -> None:
    assert parse_shebang(line) == expected


def test_bad_shebangs(look: Look, tmp_path: Path) -> None:
    crlf = look(script(tmp_path / "bin/a", "#!/usr/bin/python3\r\nx\r\n"))
    assert "carriage return" in crlf["error"]
    assert "carriage return" in crlf["chain"][0]["problem"]
    assert "longer than" in look(script(tmp_path / "bin/b", f"#!/{'x' * 300}/python3\n"))["error"]
    assert "byte-order mark" in look(script(tmp_path / "bin/c", "\ufeff#!/usr/bin/python3\n"))["error"]
    assert "empty" in look(script(tmp_path / "bin/d", ""))["chain"][0]["problem"]


def test_launcher_for_long_paths(look: Look, v: Path) -> None:
    path = script(v / "bin/gunicorn", f"#!/bin/sh\n'''exec' \"{v}/bin/python\" \"$0\" \"$@\"\n' '''\nimport re\n")
    assert look(path)["python"] == f"{v}/bin/python"


def test_env_shebang_searches_the_path_of_the_service(look: Look, v: Path, tmp_path: Path) -> None:
    path = script(tmp_path / "run.py", "#!/usr/bin/env python\n")
    assert look(path, environ={"PATH": f"{v}/bin:/usr/bin"})["python"] == f"{v}/bin/python"
    assert "does not exist" in look(script(tmp_path / "x.py", "#!/usr/bin/env python9\n"))["error"]


def test_link_loop_and_not_executable(look: Look, v: Path, tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert "loop" in look(tmp_path / "a")["error"]
    (v / "bin/uvicorn").chmod(0o644)
    assert "not executable" in look(v / "bin/uvicorn")["error"]
    assert look(v / "bin")["error"].endswith("is a directory")


def test_link_to_the_interpreter_of_an_environment_does_not_activate_it(look: Look, v: Path, tmp_path: Path) -> None:
    (tmp_path / "python").symlink_to(v / "bin/python")
    section = look(tmp_path / "python")
    assert section["venv"] is None
    assert any("does not activate" in (entry["problem"] or "") for entry in section["chain"])


def test_pyenv_shim(look: Look, tmp_path: Path, real_venv: Path) -> None:
    root = tmp_path / "pyenv"
    shim = script(
        root / "shims/python", '#!/usr/bin/env bash\nexec "/root/.pyenv/libexec/pyenv" exec "$program" "$@"\n'
    )
    (root / "versions/3.12.4/bin").mkdir(parents=True)
    (root / "versions/3.12.4/bin/python").symlink_to(os.path.realpath(real_venv / "bin/python"))
    (tmp_path / ".python-version").write_text("3.12\n")
    assert look(shim)["python"] == f"{root}/versions/3.12.4/bin/python"
    assert "3.9.9" in look(shim, environ={"PYENV_VERSION": "3.9.9"})["error"]


def test_other_programs_and_overrides(look: Look, v: Path) -> None:
    section = look("/bin/cat")
    assert section["python"] is None and "not a Python program" in section["error"]
    assert look("/bin/cat", params={"python": f"{v}/bin/python"})["runs"] is True
    assert look("nosuchprogram")["error"]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("pyproject.toml", '[project]\nrequires-python = ">=3.12"\n', ">=3.12"),
        ("pyproject.toml", '[tool.poetry.dependencies]\npython = "^3.11"\n', "^3.11"),
        ("setup.cfg", "[options]\npython_requires = >=3.8\n", ">=3.8"),
        (".python-version", "3.11\n", "==3.11.*"),
        (".python-version", "myenv\n", None),
    ],
)
def test_requires_python(look: Look, tmp_path: Path, name: str, text: str, expected: Optional[str]) -> None:
    (tmp_path / name).write_text(text)
    assert look("/bin/cat")["requires_python"] == expected
