# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the hosts are like after the repairs, seen with testinfra's own eyes, and what the run came to."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import testinfra
from firstaid_zoo import catalogue, decoys

RESULTS = json.loads(
    (Path(os.environ["MOLECULE_PROJECT_DIRECTORY"]) / ".build" / "zoo" / "repair-results.json").read_text()
)
FAULTS = {fault.name: decoys.beside(fault) for fault in catalogue.load() if fault.repair}
HEALED = [result for result in RESULTS["results"] if result["expected"] == "healed"]
# The verifier would ask for each host anew; these are looked at where they are.
testinfra_hosts = ["local://"]


def there(result):
    return testinfra.get_host(f"docker://{result['host']}")


def name(result):
    return result["fault"]


@pytest.mark.parametrize("result", RESULTS["results"], ids=name)
def test_it_came_out_right(host, result):
    assert result["complaints"] == []
    assert result["verdict"] == result["expected"]


@pytest.mark.parametrize("result", HEALED, ids=name)
def test_the_backend_runs(host, result):
    fault = FAULTS[result["fault"]]
    service = there(result).service(fault.unit_name)
    assert service.is_running
    if fault.repair.answers:
        assert there(result).socket(f"tcp://127.0.0.1:{fault.repair.answers.port}").is_listening


@pytest.mark.parametrize("result", RESULTS["results"], ids=name)
def test_its_neighbours_run_as_before(host, result):
    fault = FAULTS[result["fault"]]
    for unit in fault.steady:
        facts = there(result).check_output("systemctl show -p ActiveState,NRestarts %s", unit).split()
        assert sorted(facts) == ["ActiveState=active", "NRestarts=0"], unit
    near = there(result).file(f"/srv/near/{fault.service}/near.py")
    assert near.content_string == decoys.ANSWER


@pytest.mark.parametrize("one", RESULTS["interrupted"], ids=lambda one: f"{one['fault']}-{one['kind']}")
def test_what_was_broken_off_was_settled(host, one):
    assert one["complaints"] == []


def test_previews_second_runs_and_the_batch_without_names(host):
    assert RESULTS["complaints"] == []


def test_nothing_else_changed_on_any_host(host):
    assert RESULTS["collateral"] == []


def test_the_figures(host):
    figures = RESULTS["figures"]
    print(figures)
    assert figures["wrongly_fixed"] == 0
    assert figures["collateral_changes"] == 0
    assert figures["healed"] >= 10
    assert figures["interrupted"] >= 6 and figures["interrupted_wrong"] == 0
