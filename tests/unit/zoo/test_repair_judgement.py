# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The repair zoo's own judgement: it has to see what is wrong, or its figures mean nothing."""

from __future__ import annotations

import copy
import hashlib
import io
import re
import sys
import zipfile
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TESTS / "zoo"), str(TESTS / "hosts")]

from firstaid_zoo import catalogue, decoys, interruptions, playbook, untouched, verdicts, wheelhouse  # noqa: E402

FAULTS = {fault.name: fault for fault in catalogue.load()}
HEALED = FAULTS["env-file-bom"]
HANDED_OVER = FAULTS["application-exception"]
ROLLED_BACK = FAULTS["double-settings-before-database"]
SOUND = {
    "state": "active", "sub": "running", "stood": True, "restarts": 0, "restart_delay": "1s", "needs_reload": False, "owns_port": True,
    "answer": [200, "ok"], "texts": {"/etc/crm/crm.env": "CRM_TOKEN=canary-crm-7d20e4b85f\nCRM_REGION=eu\n"}, "runs": [],
}  # fmt: skip
ANSWER = {
    "verdict": "healed",
    "cause": "env_file_malformed",
    "reason": "",
    "rounds": [{"fix": "environment", "outcome": "healed"}],
}


def judged(fault=HEALED, look=None, handover="", **answer):
    return verdicts.judge(fault, "host", "d12", {**ANSWER, **answer}, {**SOUND, **(look or {})}, handover)


def test_a_sound_repair_is_right():
    result = judged()
    assert result.right and result.healthy and result.diagnosed_right and result.restart_delay_s == 1.0


@pytest.mark.parametrize(
    ("look", "said"),
    [
        ({"state": "failed", "sub": "failed"}, "its unit is failed"),
        ({"stood": False}, "did not stay the same"),
        ({"owns_port": False}, "port 8132 is not its own"),
        ({"answer": [500, "no"]}, "answers 500"),
        ({"answer": [0, "refused"]}, "answers 0"),
        ({"needs_reload": True}, "not read its changed unit"),
        ({"texts": {"/etc/crm/crm.env": "\ufeffCRM_TOKEN=x"}}, "does not hold"),
    ],
)
def test_what_the_host_shows_outweighs_the_verdict(look, said):
    result = judged(look=look)
    assert not result.right
    assert any(said in sentence for sentence in result.complaints)


def test_a_repair_that_stays_on_a_sick_backend_is_wrong():
    assert judged(look={"state": "failed"}).wrongly


def test_another_fix_than_the_right_one_is_wrong():
    assert judged(rounds=[{"fix": "symlink", "outcome": "healed"}]).wrongly


def test_a_fix_that_was_taken_back_did_not_stay():
    rounds = [{"fix": "symlink", "outcome": "rolled_back"}, {"fix": "environment", "outcome": "healed"}]
    assert judged(rounds=rounds).right


def test_no_answer_is_no_success():
    result = verdicts.judge(HEALED, "host", "d12", None, SOUND, "")
    assert not result.right


def test_a_hand_over_has_to_name_what_is_known():
    answer = {"verdict": "handed_over", "cause": "application_exception", "rounds": []}
    assert judged(HANDED_OVER, {"state": "failed"}, "KeyError in loyalty.py", **answer).right
    assert not judged(HANDED_OVER, {"state": "failed"}, "KeyError somewhere", **answer).right
    assert not judged(HANDED_OVER, {"state": "failed"}, "", **answer).right


def test_a_fix_of_what_should_be_handed_over_is_wrong():
    answer = {"cause": "application_exception", "rounds": [{"fix": "environment", "outcome": "healed"}]}
    assert judged(HANDED_OVER, handover="loyalty.py KeyError", **answer).wrongly


def test_a_preview_names_what_would_be_changed():
    assert verdicts.previewed(HEALED, "d12", "--- before: /etc/crm/crm.env") == []
    assert verdicts.previewed(HEALED, "d12", "nothing of the kind") != []
    assert verdicts.previewed(HANDED_OVER, "d12", "") == []


def test_figures_count_what_is_right_and_what_is_wrong():
    bad = judged(look={"state": "failed"})
    told = verdicts.figures([judged(), bad], ["file changed"])
    assert (told["planted"], told["healed"], told["wrong"]) == (2, 1, 1)
    assert (told["wrongly_fixed"], told["collateral_changes"]) == (1, 1)


def test_every_fault_that_is_healed_has_a_group_and_names_its_change():
    for fault in FAULTS.values():
        if fault.repair and fault.repair.expected == "healed":
            assert playbook.group_of(fault) == f"repair_{fault.repair.fix[0]}"
            assert fault.repair.may_change or set(fault.repair.fix) <= {"port", "clean_restart"}


def test_the_zoo_has_enough_to_repair():
    kinds = [fault.repair.interrupt for fault in FAULTS.values() if fault.repair and fault.repair.interrupt]
    ladder = [fault for fault in FAULTS.values() if fault.repair and not fault.repair.interrupt]
    assert sum(fault.repair.expected == "healed" for fault in ladder) >= 25
    assert len(kinds) >= 6 and set(kinds) == set(interruptions.KINDS)


def test_ports_of_faults_and_decoys_are_apart():
    ports = [decoys.decoy_port(fault) for fault in FAULTS.values() if fault.repair]
    assert len(ports) == len(set(ports))
    assert not {str(port) for port in ports} & {
        port for fault in FAULTS.values() for port in re.findall(r"\d{5}", fault.unit)
    }


def test_decoys_are_steady_and_hold_no_secret_of_the_backend():
    fault = decoys.beside(HEALED)
    assert {"near-crm-api.service", "crm-api-twin.service"} <= set(fault.steady) & set(fault.companions)
    copies = {path: facts["text"] for path, facts in fault.files.items() if path.startswith("/srv/near/")}
    assert copies and not any(secret in text for text in copies.values() for secret in fault.canaries)


def test_repairs_are_refused_that_say_too_little(tmp_path):
    path = tmp_path / "x.yml"
    for data in (
        {"expected": "healed"},
        {"expected": "mended"},
        {"expected": "healed", "fix": "symlink"},
        {"expected": "handed_over", "typo": 1},
    ):
        with pytest.raises(catalogue.CatalogueError):
            catalogue._repair(path, data)
    with pytest.raises(catalogue.CatalogueError, match="not absolute"):
        catalogue._repair(path, {"expected": "healed", "fix": "symlink", "may_change": ["relative"]})


def snapshot(**more):
    unit = {
        "Id": "crm-api.service", "ActiveState": "failed", "NRestarts": "4", "InvocationID": "a", "RestartUSec": "1s", "FragmentPath": "",
        "DropInPaths": "", "NeedDaemonReload": "no", "MainPID": "0", "ExecMainStartTimestampMonotonic": "0",
    }  # fmt: skip
    taken = {
        "units": {"crm-api.service": unit}, "units_from": 0.0, "units_until": 1.0, "exits": {"crm-api.service": {}},
        "files": {
            "/etc/crm": ["0o40755", 0, 0, "", 1, 1, 0],
            "/etc/crm/crm.env": ["0o100640", 0, 5, "", 1, 1, 30],
            "/etc/other.env": ["0o100640", 0, 5, "", 1, 1, 30],
        },
        "content": {"/etc/crm/crm.env": ["0o100640", 0, 5, "", "abc"]}, "names": {"/var/lib": ["dpkg"]}, "loaded": ["crm-api.service"],
        "processes": {"7": ["1", "near-crm-api.service", "python", "/x"]}, "sockets": [["tcp", "0100007F:2710", "near-crm-api.service"]],
        "mounts": [], "leftovers": {}, "leftover_sockets": [],
    }  # fmt: skip
    taken = copy.deepcopy(taken)
    for key, value in more.items():
        taken[key].update(value) if isinstance(taken[key], dict) else taken.update({key: value})
    return taken


def test_what_a_repair_may_change_is_not_collateral():
    after = snapshot(
        files={"/etc/crm/crm.env": ["0o100640", 0, 5, "", 2, 2, 27], "/etc/crm": ["0o40755", 0, 0, "", 2, 2, 0]},
        content={"/etc/crm/crm.env": ["0o100640", 0, 5, "", "def"]},
        names={"/var/lib": ["dpkg", "firstaid"]},
    )
    assert untouched.unchanged(snapshot(), after, [HEALED], "d12", touched=True) == []
    assert untouched.unchanged(snapshot(), after, [HEALED], "d12", touched=False) != []


@pytest.mark.parametrize(
    "more",
    [
        {"files": {"/etc/other.env": ["0o100640", 0, 5, "", 2, 2, 30]}},
        {"files": {"/etc/crm/new": ["0o100640", 0, 5, "", 2, 2, 30]}},
        {"files": {"/etc/crm": ["0o40777", 0, 0, "", 1, 1, 0]}},
        {"processes": {"7": ["2", "near-crm-api.service", "python", "/x"]}},
        {"sockets": []},
        {"mounts": ["/mnt"]},
        {"names": {"/var/lib": ["dpkg", "stray"]}},
    ],
)
def test_whatever_else_changes_is_collateral(more):
    assert len(untouched.unchanged(snapshot(), snapshot(**more), [HEALED], "d12", touched=True)) > 0


def test_a_rollback_has_to_bring_back_content_owner_and_mode():
    same = snapshot(content={"/etc/tenants/env": ["0o100600", 0, 0, "", "abc"]})
    for facts in (["0o100600", 0, 0, "", "other"], ["0o100644", 0, 0, "", "abc"], ["0o100600", 9, 0, "", "abc"]):
        other = snapshot(content={"/etc/tenants/env": facts})
        assert untouched.restored(same, other, ROLLED_BACK, "d11") != []
    assert untouched.restored(same, copy.deepcopy(same), ROLLED_BACK, "d11") == []
    assert untouched.restored(same, snapshot(), ROLLED_BACK, "d11") != []


@pytest.mark.parametrize(
    ("path", "pattern", "expected"),
    [
        ("/opt/x/venv", "/opt/x/venv/**", True),
        ("/opt/x/venv/lib/a.py", "/opt/x/venv/**", True),
        ("/opt/x/venv2", "/opt/x/venv/**", False),
        ("/opt/x/venv/bin/python3", "/opt/x/venv/bin/python*", True),
    ],
)
def test_patterns(path, pattern, expected):
    assert untouched.matches(path, [pattern]) is expected


def test_a_drop_in_may_need_its_directory():
    assert "/etc/systemd/system/fleet-tracker.service.d" in untouched.allowed_for(FAULTS["pythonpath-missing"])


def test_wheels_are_the_same_every_time_and_locks_name_their_hash():
    name, content = wheelhouse.build("zoo-thing-1.2", {"zoo_thing.py": "X = 1\n"}, ("zoo-other<2",))
    assert (name, content) == wheelhouse.build("zoo-thing-1.2", {"zoo_thing.py": "X = 1\n"}, ("zoo-other<2",))
    assert name == "zoo_thing-1.2-py3-none-any.whl"
    metadata = zipfile.ZipFile(io.BytesIO(content)).read("zoo_thing-1.2.dist-info/METADATA").decode()
    assert "Version: 1.2" in metadata and "Requires-Dist: zoo-other<2" in metadata
    folders = {"/w": {"zoo-thing-1.2": {"files": {"zoo_thing.py": "X = 1\n"}, "requires": ["zoo-other<2"]}}}
    assert wheelhouse.fill_in("@SHA256:zoo-thing-1.2@", folders) == hashlib.sha256(content).hexdigest()


def test_a_recap_is_read():
    text = "env.d12                    : ok=21   changed=2    unreachable=0    failed=1    skipped=3    rescued=0    ignored=0"
    assert playbook.RECAP.findall(text) == [("env.d12", "21", "2", "0", "1")]


def test_the_few_that_stand_for_all_hold_every_fix_and_every_interruption():
    few = [fault.repair for fault in FAULTS.values() if fault.repair and fault.repair.brief]
    fixes = {fix for repair in few for fix in repair.fix}
    assert fixes == {fix for fault in FAULTS.values() if fault.repair for fix in fault.repair.fix}
    assert {repair.expected for repair in few} == set(catalogue.VERDICTS)
    assert {repair.interrupt for repair in few} - {""} == set(interruptions.KINDS)
