# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the import test does for each server, path entry and interpreter option."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import import_plan
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import App, Backend


def backend(**fields: Any) -> Backend:
    """A backend in /srv/app with these fields of its ``app``."""
    return Backend("shop.service", "systemd", cwd="/srv/app", app=App(**fields))


def steps(**fields: Any) -> list[tuple[str, Any]]:
    """The plan's steps as (name, main argument)."""
    plan = import_plan.make(backend(**fields))
    return [
        (step["step"], next(iter([value for key, value in step.items() if key != "step"]), None)) for step in plan.steps
    ]


def test_console_script_of_uvicorn_has_its_directory_first_until_the_server_puts_the_app_dir_there() -> None:
    found = steps(
        server="uvicorn",
        argv=["/srv/venv/bin/uvicorn", "main:app"],
        program="/srv/venv/bin/uvicorn",
        module="main",
        attribute="app",
        path_prepend=["/srv/app"],
    )
    assert found == [
        ("path", ["/srv/venv/bin"]),
        ("import", "uvicorn"),
        ("path", ["/srv/app"]),
        ("target", "main"),
    ]


def test_python_m_has_the_working_directory_first_already_for_the_server() -> None:
    found = steps(
        server="uvicorn",
        argv=["python3", "-m", "uvicorn", "main:app"],
        program="/usr/bin/python3",
        module="main",
        path_prepend=["/srv/app"],
    )
    assert found[:2] == [("path", ["/srv/app"]), ("import", "uvicorn")]
    assert len([step for step in found if step[0] == "path"]) == 1


def test_gunicorn_runs_its_configuration_and_imports_the_worker_class_before_the_application() -> None:
    found = steps(
        server="gunicorn",
        argv=["/srv/venv/bin/gunicorn", "-k", "uvicorn.workers.UvicornWorker", "shop.wsgi:application"],
        program="/srv/venv/bin/gunicorn",
        module="shop.wsgi",
        attribute="application",
        config_files=["gunicorn.conf.py"],
    )
    assert found[1:] == [
        ("import", "gunicorn.app.wsgiapp"),
        ("config", "/srv/app/gunicorn.conf.py"),
        ("import", "uvicorn.workers"),
        ("target", "shop.wsgi"),
    ]


@pytest.mark.parametrize(
    ("argv", "module"),
    [
        (["gunicorn", "-k", "gevent", "m:a"], "gunicorn.workers.ggevent"),
        (["gunicorn", "-kgthread", "m:a"], "gunicorn.workers.gthread"),
        (["gunicorn", "--worker-class=egg:gunicorn#sync", "m:a"], "gunicorn.workers.sync"),
        (["gunicorn", "m:a"], None),
        (["gunicorn", "-k", "$(KIND)", "m:a"], None),
    ],
)
def test_worker_class(argv: list[str], module: str | None) -> None:
    assert import_plan.gunicorn_worker(argv) == module


def test_manage_py_is_imported_and_django_set_up_with_its_settings() -> None:
    found = steps(
        server="django",
        argv=["python", "manage.py", "runserver"],
        program="/srv/venv/bin/python",
        script="/srv/app/manage.py",
        settings_module="shop.settings",
        path_prepend=["/srv/app"],
    )
    assert found == [
        ("path", ["/srv/app"]),
        ("setting", "DJANGO_SETTINGS_MODULE"),
        ("script", "/srv/app/manage.py"),
        ("django", None),
    ]


def test_celery_is_left_to_find_its_application_itself() -> None:
    argv = ["/srv/venv/bin/celery", "-A", "shop.tasks", "worker"]
    assert steps(server="celery", argv=argv, program=argv[0], module="shop.tasks")[-1] == ("celery", "shop.tasks")


def test_script_that_serves_another_module_imports_that_too() -> None:
    found = steps(
        server="script",
        argv=["python3", "run.py"],
        program="/usr/bin/python3",
        script="/srv/app/run.py",
        module="shop.api",
        attribute="app",
        path_prepend=["/srv/app"],
    )
    assert [name for name, _value in found] == ["path", "script", "target"]


def test_own_module_is_imported_once() -> None:
    found = steps(
        server="module",
        argv=["python3", "-m", "shop"],
        program="/usr/bin/python3",
        module="shop.__main__",
        path_prepend=["/srv/app"],
    )
    assert found == [("path", ["/srv/app"]), ("module", "shop")]


def test_nothing_to_import_is_said() -> None:
    plan = import_plan.make(backend(argv=["/usr/bin/sleep", "1"], program="/usr/bin/sleep"))
    assert plan.why_not == "no import target, module or script could be found in the command"


@pytest.mark.parametrize(
    ("flags", "first"), [(["-I"], None), (["-uP"], None), (["-W", "error::P"], "/srv/app"), ([], "/srv/app")]
)
def test_isolated_interpreters_get_no_first_entry(flags: list[str], first: str | None) -> None:
    app = App(argv=["python3", *flags, "-m", "shop"], python_flags=flags, program="/usr/bin/python3")
    assert import_plan.first_entry(app, "/srv/app", flags) == first


def test_safe_path_leaves_the_script_directory_off_but_not_what_a_server_puts_there() -> None:
    own = backend(
        server="script",
        argv=["python3", "run.py"],
        program="/usr/bin/python3",
        script="/srv/app/run.py",
        path_prepend=["/srv/app"],
    )
    served = backend(server="uvicorn", argv=["python3", "-m", "uvicorn", "m:a"], module="m", path_prepend=["/srv/app"])
    for one in (own, served):
        one.environ["PYTHONSAFEPATH"] = "1"
    assert [step["step"] for step in import_plan.make(own).steps] == ["script"]
    assert [step["step"] for step in import_plan.make(served).steps] == ["import", "path", "target"]


@pytest.mark.parametrize(
    ("argv", "flags", "seen"),
    [
        (["python3", "-m", "shop", "--fast"], [], ["shop", "--fast"]),
        (["python3", "-u", "run.py", "x"], ["-u"], ["run.py", "x"]),
        (["/srv/venv/bin/uvicorn", "main:app"], [], ["/srv/venv/bin/uvicorn", "main:app"]),
    ],
)
def test_sys_argv(argv: list[str], flags: list[str], seen: list[str]) -> None:
    assert import_plan.sys_argv(App(argv=argv, python_flags=flags)) == seen
