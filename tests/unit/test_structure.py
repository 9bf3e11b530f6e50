# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of the house: doors are doors, manuals equal defaults, collectors are registered, nothing forbidden stands anywhere."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

TOP = Path(__file__).resolve().parents[2]
ROLES = sorted(path for path in (TOP / "roles").iterdir() if path.is_dir())
PLAYBOOKS = sorted(path for path in (TOP / "playbooks").glob("*.yml") if not path.is_symlink())
PYTHON = sorted((TOP / "plugins").rglob("*.py"))
EVIDENCE = TOP / "plugins/module_utils/_evidence"
FORBIDDEN = re.compile(
    r"\b(ansible\.builtin\.(shell|raw|pause|script)|ignore_errors|pkill|killall|pgrep\s+-f|failed_when:\s*false)\b"
)


def load(path: Path) -> object:
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)
def test_a_role_has_its_manual_and_it_equals_the_defaults(role: Path) -> None:
    defaults = load(role / "defaults/main.yml") or {}
    options = load(role / "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    optional = {name for name, option in options.items() if "default" not in option}
    assert set(defaults) == set(options) - optional
    assert {name: option["default"] for name, option in options.items() if "default" in option} == defaults
    assert (role / "README.md").is_file()


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda path: path.name)
def test_a_playbook_is_a_door_with_a_dashed_name_beside_it(playbook: Path) -> None:
    assert len(playbook.read_text().splitlines()) <= 20
    (play,) = load(playbook)
    assert {"name", "hosts", "roles"} <= set(play) and len(play["roles"]) == 1 and "tasks" not in play
    assert "-" not in playbook.name
    dashed = playbook.with_name(playbook.name.replace("_", "-"))
    assert dashed.is_symlink() and dashed.resolve() == playbook


def test_every_collector_file_is_in_the_registry() -> None:
    registry = (EVIDENCE / "registry.py").read_text()
    collectors = [
        path.stem
        for path in EVIDENCE.glob("*.py")
        if any(
            isinstance(node, ast.FunctionDef) and node.name == "collect" for node in ast.parse(path.read_text()).body
        )
    ]
    assert len(collectors) >= 12
    assert [name for name in collectors if not re.search(rf"\b{name}\b", registry)] == []


def test_shared_code_for_targets_needs_the_standard_library_alone() -> None:
    foreign = []
    for path in EVIDENCE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            foreign += [f"{path.name}: {name}" for name in names if name.split(".")[0] not in sys.stdlib_module_names]
    assert foreign == []


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(TOP)))
def test_a_python_file_names_its_licence(path: Path) -> None:
    text = path.read_text()
    assert not text.strip() or "GPL-3.0-or-later" in text[:600]


def test_nothing_forbidden_stands_in_roles_and_playbooks() -> None:
    found = [
        f"{path.relative_to(TOP)}: {match.group(0)}"
        for folder in ("roles", "playbooks")
        for path in (TOP / folder).rglob("*.yml")
        if "collections" not in path.relative_to(TOP).parts
        for match in FORBIDDEN.finditer(path.read_text())
    ]
    assert found == []


def test_every_plugin_is_documented() -> None:
    wanted = {
        kind: [f"firstaid.backend.{path.stem}" for path in (TOP / folder).glob("*.py")]
        for kind, folder in (("module", "plugins/modules"), ("filter", "plugins/filter"))
    }
    for kind, names in wanted.items():
        answer = subprocess.run(
            [Path(sys.executable).with_name("ansible-doc"), "--json", "--type", kind, *names],
            env={
                "ANSIBLE_COLLECTIONS_PATH": str(TOP / "playbooks/collections"),
                "PATH": "/usr/bin:/bin",
                "LC_ALL": "C.UTF-8",
            },
            capture_output=True,
            text=True,
            check=True,
        )
        documents = json.loads(answer.stdout)
        assert set(documents) == set(names)
        for name, document in documents.items():
            assert document["doc"]["short_description"], name
            assert document["examples"], name
            assert document["return"], name
