# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the zoo's run came to: one test per fault, and the figures."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

RESULTS = json.loads((Path(os.environ["MOLECULE_PROJECT_DIRECTORY"]) / ".build" / "zoo" / "results.json").read_text())
# The verifier would ask for each host anew; the answers are those of one run over all.
testinfra_hosts = ["local://"]


@pytest.mark.parametrize("result", RESULTS["results"], ids=lambda result: result["fault"])
def test_diagnosed_right(host, result):
    assert result["right"], f"{result['answer']} ({result['confidence']}, {result['state']})"
    assert result["complaints"] == []


def test_found_without_being_named(host):
    assert RESULTS["discovery"] == []


def test_nothing_changed_on_any_host(host):
    assert RESULTS["changes"] == []


def test_the_zoo_is_full(host):
    print(RESULTS["figures"])
    assert RESULTS["figures"]["planted"] >= 36
