# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a diagnosis prints and a plan hands over has to exist: roles, their variables, their doors, and the options of the fixes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.firstaid.backend.plugins.module_utils._repair import module_face
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.catalogue import (
    COLLECTION_DIR,
    Remediation,
    load_catalogue,
)
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.remedy import fix

ROOT = COLLECTION_DIR.resolve()
CATALOGUE = load_catalogue()
# Each cause with what repairs it, its special cases too.
PLANNED = [
    (cause.id, plan) for cause in CATALOGUE.causes.values() for plan in (cause.remediation, *cause.remediation.instead)
]
BUILT = [pytest.param(plan, id=f"{cause}-{plan.role}") for cause, plan in PLANNED if plan.role in CATALOGUE.built_roles]
FIXES = sorted(CATALOGUE.built_roles)


def specs(role: str) -> dict[str, Any]:
    document = yaml.safe_load((ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    options: dict[str, Any] = document["argument_specs"]["main"]["options"]
    return options


@pytest.mark.parametrize("plan", BUILT)
def test_the_variables_of_a_cause_are_variables_of_its_role(plan: Remediation) -> None:
    known = specs(f"fix_{plan.role}")
    assert set(plan.vars) <= set(known)
    for name, value in plan.vars.items():
        choices = known[name].get("choices")
        assert "{" in value or not choices or value in choices


@pytest.mark.parametrize("plan", BUILT)
def test_the_variables_of_a_cause_carry_the_prefix_of_its_role(plan: Remediation) -> None:
    """The dispatcher takes the prefix off to get the fix's own option."""
    assert all(name.startswith(f"{plan.role}_") for name in plan.vars)


@pytest.mark.parametrize("plan", BUILT)
def test_a_slot_that_is_not_known_is_not_printed(plan: Remediation) -> None:
    _role, values, command = fix(plan, {}, CATALOGUE)
    assert command is not None
    assert all("{" not in value and value for value in values.values())
    assert "{" not in command and "=''" not in command and not command.endswith("=")


@pytest.mark.parametrize("name", FIXES)
def test_a_door_opens_by_both_of_its_names(name: str) -> None:
    door = ROOT / "playbooks" / f"fix_backend_{name}.yml"
    dashed = ROOT / "playbooks" / f"fix-backend-{name.replace('_', '-')}.yml"
    assert dashed.is_symlink() and dashed.resolve() == door
    play = yaml.safe_load(door.read_text(encoding="utf-8"))[0]
    assert play["roles"] == [{"role": f"firstaid.backend.fix_{name}"}]


@pytest.mark.parametrize("name", ["fix_backend_crash", "rollback_backend_fix", "verify_backend"])
def test_the_other_doors_open_by_both_names(name: str) -> None:
    dashed = ROOT / "playbooks" / f"{name.replace('_', '-')}.yml"
    assert dashed.is_symlink() and dashed.resolve() == ROOT / "playbooks" / f"{name}.yml"


@pytest.mark.parametrize("name", FIXES)
def test_a_fix_role_hands_its_variables_over_under_their_own_names(name: str) -> None:
    """An override of the dispatcher would otherwise reach nobody."""
    tasks = yaml.safe_load((ROOT / "roles" / f"fix_{name}" / "tasks" / "main.yml").read_text(encoding="utf-8"))
    handed = tasks[-1]["vars"]
    assert handed["apply_fix_name"] == name
    for option, template in handed["apply_fix_options"].items():
        assert f"{name}_{option}" in str(template)
        assert f"{name}_{option}" in specs(f"fix_{name}")


@pytest.mark.parametrize("role", ["apply_fix", "rollback", "remediate", *(f"fix_{name}" for name in FIXES)])
def test_defaults_and_argument_specs_name_the_same(role: str) -> None:
    defaults = yaml.safe_load((ROOT / "roles" / role / "defaults" / "main.yml").read_text(encoding="utf-8"))
    stated = {name: spec["default"] for name, spec in specs(role).items() if "default" in spec}
    assert defaults == stated


def test_the_dispatcher_takes_what_the_diagnosis_takes() -> None:
    assert set(specs("diagnose")) - set(specs("remediate")) == {"backend_fail_when_sick"}
    assert Path(ROOT / "roles" / "remediate" / "README.md").is_file()


@pytest.mark.parametrize(
    ("module", "wanted"),
    [("backend_fix", {*module_face.BACKEND, *module_face.APPLICATION}), ("backend_rollback", {"redaction_extra"})],
)
def test_what_the_user_says_of_the_backend_reaches_the_module(module: str, wanted: set[str]) -> None:
    """Above all backend_import_test: false, with which nothing of the backend's code may be run."""
    calls = [
        (file.name, task[f"firstaid.backend.{module}"])
        for file in sorted((ROOT / "roles").glob("*/tasks/*.yml"))
        for task in _tasks(yaml.safe_load(file.read_text(encoding="utf-8")))
        if f"firstaid.backend.{module}" in task
    ]
    assert calls
    for name, arguments in calls:
        assert wanted <= set(arguments), name


def _tasks(found: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for task in found:
        yield task
        for part in ("block", "rescue", "always"):
            yield from _tasks(task.get(part, []))
