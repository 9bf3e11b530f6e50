# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
import yaml

from ansible_collections.firstaid.backend.plugins.action import backend_session as action
from ansible_collections.firstaid.backend.plugins.doc_fragments.backend import ModuleDocFragment
from ansible_collections.firstaid.backend.plugins.module_utils._repair import module_face
from ansible_collections.firstaid.backend.plugins.modules import backend_fix, backend_rollback, backend_session


def test_a_controllers_own_process_is_recognised_while_it_runs_and_after() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    held = action.identity(child.pid)
    assert held["pid"] == child.pid and held["host"]
    assert not action.is_gone(held)
    child.communicate(b"\n")
    assert action.is_gone(held)
    # Of another controller nothing is known, and the same number may be another process by now.
    assert not action.is_gone({**held, "host": "elsewhere"})
    assert action.is_gone({**action.identity(os.getpid()), "started": 1})
    assert not action.is_gone(None) and not action.is_gone({"host": held["host"], "pid": "x"})


@pytest.mark.parametrize("module", [backend_fix, backend_rollback, backend_session])
def test_documented_options_are_those_that_are_taken(module: Any) -> None:
    documented = yaml.safe_load(module.DOCUMENTATION)
    options = dict(documented["options"])
    for fragment in documented["extends_documentation_fragment"]:
        if fragment.startswith("firstaid.backend.backend"):
            name = fragment.split(".")[3].upper() if fragment.count(".") == 3 else "DOCUMENTATION"
            options.update(yaml.safe_load(getattr(ModuleDocFragment, name))["options"])
    assert set(options) == set(module.ARGUMENTS)
    for name, spec in module.ARGUMENTS.items():
        assert options[name].get("default") == spec.get("default"), name


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"timeout": 1}, "timeout is 1: give a value from 30 to 86400"),
        ({"lease": 10}, "lease is 10"),
        ({"redaction_extra": ["("]}, "no regular expression"),
        ({"import_test_timeout": 601}, "from 1 to 600"),
    ],
)
def test_values_out_of_range_are_refused_by_name(given: dict[str, Any], words: str) -> None:
    told = module_face.refusals(given)
    assert len(told) == 1 and words in told[0]
    assert module_face.refusals({"redaction_extra": [], "timeout": 900}) == []
