# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The import test from the backend's command to its section, with real applications that misbehave in all ways known."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import foreground_test, import_test
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import App, Backend

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the sandbox is Linux's")

Section = dict[str, Any]
Tester = Callable[..., Section]


def make_backend(directory: Path, **fields: Any) -> Backend:
    """A script of this directory as backend of the user who runs the tests."""
    app = App(
        server="script",
        argv=[sys.executable, "main.py"],
        program=sys.executable,
        script=str(directory / "main.py"),
        code_dir=str(directory),
        path_prepend=[str(directory)],
    )
    backend = Backend(
        "shop", "process", uid=os.geteuid(), gid=os.getegid(), cwd=str(directory), app=app, python=sys.executable
    )
    backend.environ = {"PATH": "/usr/bin:/bin", "SHOP_TOKEN": "t"}
    backend.groups = [os.getegid()]
    for name, value in fields.items():
        setattr(backend, name, value)
    return backend


def make_context(**params: Any) -> Context:
    """Module parameters, with limits that suit tests."""
    return Context({"import_test_timeout": 10, "import_test_memory_mb": 256, **params}, time.monotonic() + 60)


@pytest.fixture
def test(tmp_path: Path) -> Tester:
    """Import ``main.py`` with this text; further files by name."""

    def run(text: str, files: dict[str, str] | None = None, timeout: float = 10, **fields: Any) -> Section:
        for name, content in {"main.py": text, **(files or {})}.items():
            (tmp_path / name).write_text(content)
        return import_test.collect(make_backend(tmp_path, **fields), make_context(import_test_timeout=timeout))

    return run


def test_good_application(test: Tester) -> None:
    found = test(
        "import slow\nimport os\nprint('hello', os.environ['SHOP_TOKEN'])\n",
        {"slow.py": "import time\ntime.sleep(0.2)\n"},
    )
    assert (found["outcome"], found["stdout"]) == ("ok", "hello t\n")
    assert found["slowest"][0]["module"] == "slow" and found["slowest"][0]["own_ms"] >= 190
    assert found["sandbox"]["kind"] in ("namespaces", "user_namespace", "audit_hook")
    assert found["overhead_ms"] < 5000


def test_missing_module_with_its_importer(test: Tester) -> None:
    found = test(
        "import helper\n",
        {"helper.py": "\nimport sqlalchemy_nowhere.orm\n", "requirements.txt": "sqlalchemy_nowhere==1\n"},
    )
    missing = found["missing_module"]
    assert (found["outcome"], missing["name"], missing["kind"]) == ("exception", "sqlalchemy_nowhere", "third_party")
    assert missing["importer"].endswith("/helper.py") and missing["importer_line"] == 2
    assert missing["declared_in"][0]["line"] == 1
    assert [frame["origin"] for frame in found["exception"]["frames"]] == ["app", "app"]


def test_local_module_that_shadows_the_standard_library_is_seen_as_the_server_sees_it(test: Tester) -> None:
    found = test("import json\nx = json.loads('1')\n", {"json.py": "x = 1\n"})
    assert (found["outcome"], found["exception"]["type"]) == ("exception", "AttributeError")


def test_exit_with_what_led_to_it(test: Tester) -> None:
    found = test("import os, sys\ntry:\n    os.environ['DB']\nexcept KeyError:\n    sys.exit('DB is not set')\n")
    assert found["outcome"] == "system_exit"
    assert found["system_exit"]["message"] == "DB is not set" and found["system_exit"]["line"] == 5
    assert [one["type"] for one in found["exception"]["chain"]] == ["KeyError", "SystemExit"]


def test_sudden_exit_names_the_line(test: Tester) -> None:
    found = test("import os\nimport helper\n", {"helper.py": "import os\nos._exit(7)\n"})
    assert (found["outcome"], found["exit_code"], found["system_exit"]["line"]) == ("system_exit", 7, 2)
    assert found["importing"] == ["helper"]


def test_hang_has_the_stack_of_the_application(test: Tester) -> None:
    found = test(
        "import helper\n",
        {"helper.py": "import time\ndef wait():\n    time.sleep(99)\nwait_for = wait\nwait_for()\n"},
        1.5,
    )
    assert (found["outcome"], found["limit"]) == ("timeout", "time")
    assert [frame["line"] for frame in found["stack"] if frame["file"].endswith("helper.py")] == [5, 3]


def test_segmentation_fault_has_a_stack(test: Tester) -> None:
    found = test("import ctypes\nx = ctypes.string_at(0)\n")
    assert (found["outcome"], found["signal"]) == ("crashed", 11)
    assert any(frame["file"].endswith("main.py") and frame["line"] == 2 for frame in found["stack"])


@pytest.mark.parametrize(
    "code",
    [
        "import os, resource\nx = os.closerange(0, resource.getrlimit(resource.RLIMIT_NOFILE)[1])\nassert 0, 'after'\n",
        "import sys, builtins, os\nsys.stdout = None\nsys.stderr = object()\nbuiltins.str = builtins.open = builtins.isinstance = None\n"
        "os.write = None\nassert 0, 'after'\n",
        "import sys\nsys.path = None\nsys.modules.clear()\nassert 0, 'after'\n",
        "import sys\nsys.setrecursionlimit(60)\nassert 0, 'after'\n",
    ],
    ids=["closes all descriptors", "breaks built-in functions", "clears modules", "lowers the recursion limit"],
)
def test_report_gets_through(test: Tester, code: str) -> None:
    found = test("import helper\n", {"helper.py": code})
    assert (found["outcome"], found["exception"]["type"], found["exception"]["message"]) == (
        "exception",
        "AssertionError",
        "after",
    )


def test_floods_are_cut(test: Tester) -> None:
    found = test(
        "import helper\n",
        {"helper.py": "import sys\nsys.stdout.write('y' * 5_000_000)\nraise ValueError('z' * 5_000_000)\n"},
    )
    assert found["output_truncated"] and len(found["stdout"]) < 70_000
    assert len(found["exception"]["message"]) < 5_000


def test_network_is_withheld_and_never_blamed(test: Tester) -> None:
    found = test("import socket\nx = socket.create_connection(('127.0.0.1', 1), 1)\n")
    assert found["outcome"] == "withheld"
    first = found["withheld"][0]
    assert (first["what"], first["detail"], first["line"]) == ("connect", "127.0.0.1:1", 2)
    assert first["file"].endswith("/main.py")


def test_writes_leave_nothing(test: Tester, tmp_path: Path) -> None:
    found = test(
        "import os, helper\n", {"helper.py": "import os\nos.makedirs('logs')\nopen('logs/app.log', 'w').write('x')\n"}
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["helper.py", "main.py"]
    if found["sandbox"]["writes"] == "private":
        assert found["outcome"] == "ok"
        assert {entry["detail"].split(" ")[0] for entry in found["private"]} == {"logs", "logs/app.log"}
    else:
        assert found["outcome"] == "withheld"


def test_syntax_error(test: Tester) -> None:
    found = test("import helper\n", {"helper.py": "x = 1\ndef f(:\n"})
    syntax = found["exception"]["syntax"]
    assert (found["exception"]["type"], syntax["line"], syntax["text"]) == ("SyntaxError", 2, "def f(:")
    assert syntax["file"].endswith("/helper.py")


def test_script_is_the_main_module_and_its_own_name_a_second_one(test: Tester) -> None:
    found = test(
        "import sys\nassert __name__ == '__main__' and sys.modules['__main__'].__file__ == __file__\nfrom helper import thing\nx = 1\n",
        {"helper.py": "import main\nthing = 1\n"},
    )
    assert (found["outcome"], found["exception"]["type"]) == ("exception", "AssertionError")
    circular = test("from helper import thing\nx = 1\n", {"helper.py": "from main import x\nthing = 1\n"})
    missing = circular["missing_name"]
    assert (missing["name"], missing["module"], missing["partially_initialized"]) == ("thing", "helper", True)


def test_script_without_guard_does_not_serve(test: Tester) -> None:
    found = test("import time\ndef main():\n    time.sleep(60)\nmain()\n")
    assert (found["outcome"], found["script"]["ran"]) == ("ok", "head")
    assert found["duration_ms"] < 5000


@pytest.mark.parametrize(
    ("fields", "params", "words"),
    [
        ({}, {"import_test": False}, "turned off"),
        ({"root_directory": "/srv/root"}, {}, "its own root (/srv/root)"),
        ({"python": None}, {}, "interpreter is not known"),
        ({"user": "nobody-here", "uid": None}, {}, "user nobody-here does not exist"),
        ({"cwd": "/no/such/dir"}, {}, "working directory /no/such/dir can't be entered"),
        ({"python": "/no/such/python"}, {}, "interpreter /no/such/python can't be started"),
    ],
)
def test_could_not_run_says_why(tmp_path: Path, fields: dict[str, Any], params: dict[str, Any], words: str) -> None:
    (tmp_path / "main.py").write_text("x = 1\n")
    found = import_test.collect(make_backend(tmp_path, **fields), make_context(**params))
    assert (found["outcome"], found["ran"]) == ("could_not_run", False)
    assert words in found["why_not"]


def test_other_user_needs_root(tmp_path: Path) -> None:
    context = make_context()
    context.euid = 1000
    assert "run it with become" in str(import_test.refusal(make_backend(tmp_path, uid=1001, user="shop"), context))
    assert import_test.refusal(make_backend(tmp_path, uid=1000), context) is None


def test_memory_limit_never_exceeds_what_is_free(tmp_path: Path) -> None:
    assert import_test.memory_limit(make_context(import_test_memory_mb=10**9)) < 10**15
    assert import_test.memory_limit(make_context(import_test_memory_mb="rubbish")) <= 1024 * 1024 * 1024


def test_foreground_test_is_off_by_default(tmp_path: Path) -> None:
    found = foreground_test.collect(make_backend(tmp_path), make_context())
    assert found == {"ran": False, "why_not": foreground_test.OFF}


def test_foreground_test_runs_the_command_and_keeps_its_end(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("import sys\nprint('starting')\nsys.exit(3)\n")
    found = foreground_test.collect(make_backend(tmp_path), make_context(foreground_test=True))
    if found["outcome"] == "could_not_run":
        assert "no sandbox could be made" in found["why_not"]
        pytest.skip("no namespaces here")
    assert (found["outcome"], found["exit_code"], found["stdout"]) == ("system_exit", 3, "starting\n")


def test_foreground_test_survivor_binds_nothing_on_the_host(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(
        "import socket, time\ns = socket.socket()\ns.bind(('0.0.0.0', 48443))\ns.listen()\nprint('up', flush=True)\ntime.sleep(60)\n"
    )
    found = foreground_test.collect(
        make_backend(tmp_path), make_context(foreground_test=True, foreground_test_timeout=1.5)
    )
    if found["outcome"] == "could_not_run":
        pytest.skip("no namespaces here")
    assert (found["outcome"], found["survived"], found["stdout"]) == ("timeout", True, "up\n")
