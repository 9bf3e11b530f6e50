# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The corpora are sound, every crash in them is read, and the scoreboard counts right."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.attempts import attempts_from_evidence
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.catalogue import load_catalogue
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.classify import classify
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.tracebacks import tracebacks

ROOT = Path(__file__).resolve().parents[3]


def load(name: str) -> ModuleType:
    path = ROOT / "tests" / "accuracy" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


facts, run = load("facts"), load("run")


def corpus() -> list[dict[str, Any]]:
    paths = sorted((ROOT / "tests" / "corpus").glob("*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]


CASES = corpus()
CATALOGUE = load_catalogue()


def test_cases_have_unique_ids_and_known_labels() -> None:
    assert [name for name, count in Counter(case["id"] for case in CASES).items() if count > 1] == []
    known = set(load_catalogue().causes)
    assert {case["label"] for case in CASES} - known == set()
    assert {other for case in CASES for other in case["secondary"]} - known == set()
    assert len(CASES) >= 300


ALIKE: dict[str, dict[str, str]] = yaml.safe_load((ROOT / "tests" / "corpus" / "alike.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("cause", sorted(CATALOGUE.causes))
def test_each_cause_has_a_recorded_hit_miss_and_look_alike(cause: str) -> None:
    by_id = {case["id"]: case for case in CASES}
    assert [case["id"] for case in CASES if case["label"] == cause]
    assert ALIKE[cause]
    for name in ALIKE[cause]:
        assert by_id[name]["label"] != cause
        answer = classify(facts.evidence_of(by_id[name]), CATALOGUE)["root_cause"]
        assert answer["id"] != cause, f"{name} is taken for {cause}"
    others = [case for case in CASES if case["label"] != cause and cause not in case["secondary"]]
    assert len(others) - len(ALIKE[cause]) > 300, "all other cases are misses, which the scoreboard counts"


def test_cases_name_no_recording_machine() -> None:
    bad = re.compile(r"/root/(?!\.gunicorn)|\.pyenv|(?<!\w)/work/|corpusrec|firstaid-")
    assert [case["id"] for case in CASES if bad.search(json.dumps(case))] == []


@pytest.mark.parametrize(
    "case", [c for c in CASES if "Traceback (most recent" in c["log"]], ids=lambda case: case["id"]
)
def test_every_traceback_is_read(case: dict[str, Any]) -> None:
    attempts = attempts_from_evidence(facts.evidence_of(case))
    found = [tb for attempt in attempts for tb in tracebacks(attempt)]
    printed = [tb for tb in found if tb.kind == "traceback"]
    assert printed
    lines = case["log"].count("\n") + 1
    assert all(1 <= tb.first_line <= tb.last_line <= lines for tb in found)
    if not any(tb.unfinished for tb in printed):
        assert all(raised.type for tb in printed for raised in tb.walk())


def test_every_fact_key_has_a_translator() -> None:
    ignored = {"alembic", "database", "health_checks", "startup_time_s", "log_silent_s", "log_window_s", "pip_location",
               "manual_restarts", "compose_ports"}  # fmt: skip
    assert {key for case in CASES for key in case["facts"]} - set(facts.TRANSLATORS) - ignored == set()


def test_facts_become_evidence() -> None:
    case = {
        "log": "ModuleNotFoundError: No module named 'shop'",
        "facts": {"exit_code": 3, "restarts": 4, "package_locations": {"shop": "/srv/src/shop"}, "oom_killed": False,
                  "command": "uvicorn shop.main:app --port 8000", "health": {"status": "timeout"},
                  "env": {"PORT": "80a", "TOKEN": None}, "unit": {"User": "acme"}, "nobody_knows": 1},
    }  # fmt: skip
    evidence = facts.evidence_of(case)
    assert evidence["service"]["exit"] == {"code": 3, "oom_killed": False}
    assert evidence["import_test"]["missing_module"]["found_at"][0]["why"] == "elsewhere_on_disk"
    assert evidence["app"]["target"]["module"] == "shop.main"
    assert evidence["app"]["health"]["status"] is None
    assert evidence["environment"]["unset_in_process"] == ["TOKEN"]
    assert evidence["unit"]["user"] == "acme"
    assert "packages" not in evidence and "clock" not in evidence


def scored(label: str, answer: str, confidence: float, *further: str, secondary: tuple[str, ...] = ()) -> Any:
    ranked = [(answer, confidence), *((name, 0.1) for name in further)]
    return run.Scored(f"{label}-{answer}-{confidence}", label, list(secondary), "x", "c", ranked)


def test_scoreboard() -> None:
    results = [
        scored("disk_full", "disk_full", 0.9),
        scored("disk_full", "redis_oom", 0.8, "disk_full", secondary=("redis_oom",)),
        scored("healthy", "silent_exit", 0.6, "a", "b", "healthy"),
        scored("port_in_use", "unknown", 0.3, "port_in_use"),
    ]
    figures = run.summary(results, 1.0)
    assert (figures["top_1"], figures["top_3"], figures["unknown"]) == (0.25, 0.75, 1)
    assert figures["secondary_named_first"] == ["disk_full-redis_oom-0.8"]
    assert figures["healthy_called_sick"] == ["healthy-silent_exit-0.6"]
    assert figures["wrong_and_sure"] == ["disk_full-redis_oom-0.8"]
    assert figures["causes"]["disk_full"] == {"cases": 2, "precision": 1.0, "recall": 0.5}


def test_calibration_error() -> None:
    sure = [scored("a", "a", 0.95)] * 9 + [scored("b", "a", 0.95)]
    assert run.calibration_error(sure) == pytest.approx(0.05)
    assert run.calibration_error([scored("a", "unknown", 0.3)]) == 0.0
