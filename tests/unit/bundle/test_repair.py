# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a repair adds to a bundle: its report, the hand-over, and the verdict in the reports over all hosts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible_collections.firstaid.backend.plugins.action import write_repair
from ansible_collections.firstaid.backend.plugins.plugin_utils._bundle.bundle import (
    add_repairs,
    add_verdicts,
    write_fleet,
    write_host,
    write_repairs,
)
from ansible_collections.firstaid.backend.plugins.plugin_utils._bundle.outcome import Outcome
from ansible_collections.firstaid.backend.plugins.plugin_utils._bundle.store import Store
from ansible_collections.firstaid.backend.plugins.plugin_utils._bundle.summary import LINES

from . import samples

ROUND = {
    "fix": "symlink", "cause": "symlink_conflict", "run": "20261122T101500Z-1f2e3d", "outcome": "rolled_back", "reason": "It was restarted twice.",
    "decision": "The link is pointed at ../new.", "proof": {"passed": True, "exception": None},
    "changes": [{"kind": "link", "path": "/opt/web/shared", "why": "the imports resolve through it", "state": "undone"}],
    "timeline": [{"t": 0.2, "state": "running", "main_pid": 12, "restarts": 0, "port_owner": "own", "health": 200}],
    "notes": ["Read its log."], "refused_paths": [{"path": "/opt/web/other", "why": "somebody changed it since"}],
}  # fmt: skip


def answer(verdict: str, **more: Any) -> dict[str, Any]:
    found = {
        "host": "web1", "service": "web.service", "verdict": verdict, "reason": "It was restarted twice.", "cause": "symlink_conflict",
        "runs": [ROUND["run"]], "rounds": [ROUND], "settled": [], "steps": [], "session": "S", "behind": None,
        "failed": verdict in ("rolled_back", "handed_over"), "lines": ["web1 / web.service", f"verdict     {verdict}"],
    }  # fmt: skip
    return {**found, **more}


def bundle(tmp_path: Path, repair: dict[str, Any] | None, **parts: Any) -> Path:
    """A bundle as a run leaves it: the diagnosis first, then the repair in a second call."""
    done = Outcome("web1", "diagnosed", documents=[(samples.evidence(), samples.diagnosis(**parts))])
    add_verdicts(done)
    store = Store(str(tmp_path))
    write_host(store, done)
    write_fleet(store, [done], "2026-11-22T10:15:00Z")
    path = store.finish(0)
    store.close()
    if repair is not None:
        add_repairs(done, [repair])
        store = Store(str(tmp_path), path)
        write_repairs(store, done, path)
        write_fleet(store, [done], "2026-11-22T10:16:00Z")
        store.close()
    return Path(path)


def test_the_report_tells_each_round(tmp_path: Path) -> None:
    place = bundle(tmp_path, answer("rolled_back")) / "web1" / "web.service"
    shown = " ".join((place / "17-repair.txt").read_text(encoding="utf-8").split())
    for expected in (
        "ROLLED BACK: It was restarted twice.", "round 1: symlink for symlink_conflict", "20261122T101500Z-1f2e3d", "The link is pointed at ../new.",
        "link /opt/web/shared: the imports resolve through it [undone]", "import test passed", "/opt/web/other: somebody changed it since",
        "0.2 running 12 0 own 200",
    ):  # fmt: skip
        assert expected in shown
    assert json.loads((place / "repair.json").read_text(encoding="utf-8"))["verdict"] == "rolled_back"
    assert oct((place / "17-repair.txt").stat().st_mode & 0o777) == "0o600"


def test_who_takes_over_finds_everything(tmp_path: Path) -> None:
    remedy = {
        "role": None,
        "why_not_automatic": "Code.",
        "handover": {"commands": ["sed -n 3p main.py"], "ask": "Who changed it?"},
    }
    place = bundle(tmp_path, answer("rolled_back"), remediation=remedy) / "web1" / "web.service"
    shown = (place / "HANDOVER.md").read_text(encoding="utf-8")
    for expected in (
        "# web.service on web1", "ROLLED BACK", "## Since when", "2026-11-22T10:14:50Z", "/var/log/web/error.log:234", "## The failing frame",
        'File "/opt/web/main.py", line 3, in <module>', "from shared.settings import Settings",
        "symlink for symlink_conflict: rolled back",
        "Who changed it?", "sed -n 3p main.py", str(place),
    ):  # fmt: skip
        assert expected in shown


def test_what_showed_behind_the_first_cause_is_handed_over_too(tmp_path: Path) -> None:
    behind = {"id": "redis_auth", "title": "Redis wants a password", "explanation": "NOAUTH.", "handover": {"ask": "Which one?"},
              "evidence": [{"file": "/var/log/web/error.log", "line": 9, "quote": "NOAUTH"}]}  # fmt: skip
    place = bundle(tmp_path, answer("rolled_back", behind=behind)) / "web1" / "web.service"
    shown = (place / "HANDOVER.md").read_text(encoding="utf-8")
    assert "## What showed behind it" in shown and "Which one?" in shown and "/var/log/web/error.log:9" in shown


def test_a_healed_backend_is_handed_over_to_nobody(tmp_path: Path) -> None:
    root = bundle(tmp_path, answer("healed"))
    assert not (root / "web1" / "web.service" / "HANDOVER.md").exists()
    summary = (root / "web1" / "web.service" / "00-SUMMARY.txt").read_text(encoding="utf-8")
    assert "REPAIR      HEALED" in summary and "NEXT" not in summary
    assert len(summary.splitlines()) <= LINES


def test_the_fleet_shows_the_verdict(tmp_path: Path) -> None:
    root = bundle(tmp_path, answer("healed"))
    assert "| Host | Backend | State | Repair |" in (root / "report.md").read_text(encoding="utf-8")
    assert "1 healed" in (root / "report.md").read_text(encoding="utf-8")
    assert '<td class="healthy">healed</td>' in (root / "report.html").read_text(encoding="utf-8")
    backend = json.loads((root / "diagnosis.json").read_text(encoding="utf-8"))["hosts"]["web1"]["backends"][0]
    assert backend["repair"] == {
        "verdict": "healed",
        "reason": "It was restarted twice.",
        "cause": "symlink_conflict",
        "runs": [ROUND["run"]],
    }


def test_a_diagnosis_alone_hands_over_what_no_machine_should_fix(tmp_path: Path) -> None:
    handed = {
        "role": None,
        "automatic": False,
        "why_not_automatic": "The code has to be corrected.",
        "handover": {"ask": "Who changed it?"},
    }
    place = bundle(tmp_path, None, remediation=handed) / "web1" / "web.service"
    shown = (place / "HANDOVER.md").read_text(encoding="utf-8")
    assert "Nothing was changed. The code has to be corrected." in shown and "Who changed it?" in shown
    assert "Repair" not in (place.parents[1] / "report.md").read_text(encoding="utf-8")


def test_a_diagnosis_alone_keeps_what_a_role_repairs(tmp_path: Path) -> None:
    assert not (bundle(tmp_path, None) / "web1" / "web.service" / "HANDOVER.md").exists()


def test_text_of_strangers_stays_text(tmp_path: Path) -> None:
    hostile = answer("rolled_back", reason="</td><script>alert(1)</script>\x1b[2J ```\n# fake")
    root = bundle(tmp_path, hostile)
    assert "<script>" not in (root / "report.html").read_text(encoding="utf-8")
    for name in ("HANDOVER.md", "17-repair.txt", "00-SUMMARY.txt"):
        shown = (root / "web1" / "web.service" / name).read_text(encoding="utf-8")
        assert "\x1b" not in shown and "\n# fake" not in shown


class Variables(dict[str, Any]):
    """Stands for Ansible's ``hostvars``."""

    def raw_get(self, host: str) -> Any:
        return self[host]


def test_the_action_adds_to_the_bundle_of_this_run_alone(tmp_path: Path) -> None:
    root = bundle(tmp_path, None)
    facts = {
        "diagnose_bundle": {"path": str(root)}, "__remediate_gathered": {"backends": [samples.evidence()]},
        "__remediate_found": {"diagnoses": [samples.diagnosis()]}, "remediate_answer": [answer("rolled_back")],
    }  # fmt: skip
    variables = {
        "hostvars": Variables(web1=facts, web2={"diagnose_bundle": {"path": "/elsewhere"}}),
        "ansible_play_batch": ["web1", "web2"], "ansible_play_hosts_all": ["web1", "web2"],
    }  # fmt: skip
    action = write_repair.ActionModule.__new__(write_repair.ActionModule)
    arguments = {name: spec.get("default") for name, spec in write_repair.ARGUMENTS.items()}
    result = action._write({**arguments, "bundle": str(root)}, variables)
    assert set(result["hosts"]) == {"web1"}
    assert result["hosts"]["web1"]["ok"] is False
    assert result["hosts"]["web1"]["lines"][-1] == f"files       {root}/web1/web.service/"
    handed = result["ansible_stats"]["data"]["firstaid_repair"]["web1"]["web.service"]
    assert handed["verdict"] == "rolled_back" and handed["runs"] == [ROUND["run"]] and handed["bundle"] == str(root)
    assert (root / "web1" / "web.service" / "17-repair.txt").exists()


def test_a_backend_that_nobody_looked_after_is_not_well(tmp_path: Path) -> None:
    root = bundle(tmp_path, None)
    facts = {
        "diagnose_bundle": {"path": str(root)}, "__remediate_gathered": {"backends": [samples.evidence()]},
        "__remediate_found": {"diagnoses": [samples.diagnosis()]}, "remediate_answer": [],
    }  # fmt: skip
    variables = {"hostvars": Variables(web1=facts), "ansible_play_batch": ["web1"], "ansible_play_hosts_all": ["web1"]}
    action = write_repair.ActionModule.__new__(write_repair.ActionModule)
    arguments = {name: spec.get("default") for name, spec in write_repair.ARGUMENTS.items()}
    told = action._write({**arguments, "bundle": str(root)}, variables)["hosts"]["web1"]
    assert told["ok"] is False and "broke off" in " ".join(told["lines"])
