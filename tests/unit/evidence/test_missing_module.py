# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a missing module is, and the standard library's table against the Python that runs the tests."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import missing_module, stdlib_modules
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import App, Backend

ELSEWHERE = {"path": "/srv/app/src/shop/__init__.py", "why": "elsewhere_on_disk", "detail": "", "root": "/srv/app/src"}
OTHER = {"path": "/opt/x/lib/python3.9/site-packages/yaml/__init__.py", "why": "other_python", "detail": "", "root": ""}
APP, SITE = {"origin": "app"}, {"origin": "site-packages"}
NAME, TABLE = {"source": "name"}, {"source": "table"}


def kind(
    name: str,
    importer: dict[str, Any] | None = None,
    places: Any = (),
    provider: Any = None,
    declared: bool = False,
    local: Any = (),
) -> str:
    """The kind with everything else left out."""
    known = stdlib_modules.lookup(name)[0]
    backend = Backend("shop", "systemd", app=App(module="shopapi.main", settings_module="conf.settings"))
    return missing_module.kind_of(
        name, known, importer or APP, list(places), provider or NAME, declared, list(local), backend
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"name": "shop.models", "places": [ELSEWHERE]}, "local"),
        ({"name": "shop", "local": ["shop"]}, "local"),
        ({"name": "shopapi.db"}, "local"),
        ({"name": "conf"}, "local"),
        ({"name": "yaml", "places": [OTHER], "provider": TABLE}, "third_party"),
        ({"name": "acme_sdk", "declared": True}, "third_party"),
        ({"name": "requests"}, "third_party"),
        ({"name": "acme_sdk", "importer": SITE}, "third_party"),
        ({"name": "numpy._core", "provider": {"source": "installed"}, "places": [ELSEWHERE]}, "third_party"),
        ({"name": "distutils"}, "stdlib"),
        ({"name": "tomllib"}, "stdlib"),
        ({"name": "_ctypes"}, "stdlib"),
        ({"name": "parser", "places": [dict(ELSEWHERE, path="/srv/app/src/parser.py")]}, "local"),
        ({"name": "acme_sdk"}, "unknown"),
    ],
)
def test_kind(arguments: dict[str, Any], expected: str) -> None:
    assert kind(**arguments) == expected


def test_last_missing_module_of_a_chain_counts() -> None:
    chain: list[dict[str, Any]] = [
        {"type": "ModuleNotFoundError", "name": "tomllib", "message": ""},
        {"type": "ModuleNotFoundError", "name": "tomli", "message": ""},
        {"type": "ImproperlyConfigured", "name": None, "message": ""},
    ]
    found = missing_module.missing_in(chain)
    assert found is not None and missing_module.name_of(found) == "tomli"
    assert missing_module.missing_in([{"type": "ImportError"}]) is None


@pytest.mark.parametrize(
    ("message", "name"),
    [("No module named 'a.b'; 'a' is not a package", "a.b"), ("No module named shop.__main__", "shop.__main__")],
)
def test_name_from_the_message(message: str, name: str) -> None:
    assert missing_module.name_of({"name": None, "message": message}) == name


def test_table_agrees_with_this_python() -> None:
    version = (sys.version_info[0], sys.version_info[1])
    for name in stdlib_modules.ALWAYS - {"__main__"}:
        assert name.startswith("_") or name in sys.stdlib_module_names or version > (3, 14), name
    for name in sys.stdlib_module_names:
        assert stdlib_modules.has(name, version), name
    for name, until in stdlib_modules.REMOVED.items():
        assert ("." in name) or (name in sys.stdlib_module_names) == (version <= until), name


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [
        ("distutils.core", (3, 11), True),
        ("distutils.core", (3, 12), False),
        ("tomllib", (3, 10), False),
        ("zoneinfo", (3, 9), True),
        ("importlib.metadata", (3, 7), False),
        ("imp", (3, 12), False),
        ("flask", (3, 12), None),
    ],
)
def test_has(name: str, version: tuple[int, int], expected: bool | None) -> None:
    assert stdlib_modules.has(name, version) is expected


def test_whole_answer_for_a_module_beside_the_path(tmp_path: Path) -> None:
    package = tmp_path / "src" / "shop"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    main = tmp_path / "main.py"
    main.write_text("import shop\n")
    backend = Backend(
        "shop", "systemd", uid=0, cwd=str(tmp_path), app=App(code_dir=str(tmp_path), path_prepend=[str(tmp_path)])
    )
    frame = {"file": str(main), "line": 1, "function": "<module>", "code": None, "origin": "app"}
    error = {"type": "ModuleNotFoundError", "name": "shop", "message": "No module named 'shop'", "frames": [frame]}
    found = missing_module.analyse(
        {"exception": {"chain": [error]}, "python_version": "3.11.2"}, backend, Context({}, 1e12)
    )
    assert found is not None
    assert (found["kind"], found["importer"], found["distribution"]) == ("local", str(main), None)
    assert [(place["why"], place["root"]) for place in found["found_at"]] == [
        ("elsewhere_on_disk", str(tmp_path / "src"))
    ]


def test_module_of_another_version_names_that_version() -> None:
    error = {"type": "ModuleNotFoundError", "name": "distutils", "message": "", "frames": []}
    found = missing_module.describe("distutils", error, "3.13.1", Backend("shop", "systemd"), Context({}, 1e12))
    assert (found["kind"], found["stdlib_until"], found["stdlib_has"]) == ("stdlib", "3.11", False)
