# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The confidence that is fitted to measured answers: its shape, the fit, and the judgement on sources it hasn't seen."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.calibration import OFFSETS, SLOPE
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.catalogue import load_catalogue
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.classify import classify, evidence_from_log
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.confidence import calibrated

ACCURACY = Path(__file__).resolve().parents[3] / "tests" / "accuracy"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ACCURACY / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


calibrate = load("calibrate")


def answers(kind: str, raw: float, right: int, wrong: int, source: str = "a", weight: float = 1.0) -> list[object]:
    return [
        calibrate.Answer(f"{source}-{kind}-{raw}-{n}", source, n < right, raw, kind, 0.98, weight)
        for n in range(right + wrong)
    ]


@pytest.mark.parametrize("kind", sorted(OFFSETS))
def test_confidence_rises_with_the_raw_value_and_leaves_ties_alone(kind: str) -> None:
    values = [calibrated(number / 100, kind) for number in range(101)]
    assert values == sorted(values) and SLOPE > 0
    assert values[0] >= 0 and values[-1] < 1
    assert all(value <= raw / 100 + 1e-9 for raw, value in enumerate(values[:51]))
    assert max(after - before for before, after in zip(values[:99], values[1:], strict=False)) < 0.08


def test_a_fit_learns_how_often_a_kind_is_right() -> None:
    sample = answers("specific", 0.9, 97, 3) + answers("code of others", 0.8, 20, 80)
    found = calibrate.fit(sample)
    assert found.confidence(sample[0]) == pytest.approx(0.97, abs=0.015)
    assert found.confidence(sample[-1]) == pytest.approx(0.2, abs=0.03)
    assert calibrate.error(sample, found.confidence) < 0.02


def test_few_answers_move_little() -> None:
    found = calibrate.fit(answers("own code", 0.9, 0, 1))
    assert found.confidence(answers("own code", 0.9, 0, 1)[0]) > 0.3
    assert found.offsets["specific"] == 0.0


def test_a_source_is_judged_by_the_others() -> None:
    now = answers("specific", 0.9, 50, 0, "a") + answers("specific", 0.9, 0, 50, "b")
    assert calibrate.error(now, calibrate.fit(now).confidence) < 0.05
    assert calibrate.held_out(now, []) > 0.8


def test_weights_count() -> None:
    sample = answers("specific", 0.9, 1, 0) + answers("specific", 0.9, 0, 1, "b", 0.25)
    assert calibrate.error(sample, lambda answer: 0.8) == pytest.approx(0.0)


def test_first_answers_are_of_known_cases() -> None:
    frozen = [json.loads(line)["id"] for line in calibrate.FIRST.read_text().splitlines()]
    known = [answer.id for answer in calibrate.first_answers()]
    assert len(set(frozen)) == len(frozen) and len(known) > 0.9 * len(frozen) > 90
    assert {answer.kind for answer in calibrate.first_answers()} <= set(OFFSETS)


def test_the_numbers_are_written_where_the_classifier_reads_them() -> None:
    text = calibrate.text_of(calibrate.Fit(SLOPE, OFFSETS))
    assert text == calibrate.MODULE.read_text()


UNKNOWN_LIBRARY = """Traceback (most recent call last):
  File "/srv/shop/main.py", line 9, in <module>
    driver.verify()
  File "/srv/shop/venv/lib/python3.12/site-packages/graphstore/client.py", line 88, in verify
    raise StoreUnhappy("nope")
graphstore.errors.StoreUnhappy: nope
"""
OWN_CODE = """Traceback (most recent call last):
  File "/srv/shop/main.py", line 9, in <module>
    total = prices["eur"]
KeyError: 'eur'
"""


def test_what_a_library_raises_is_a_bug_of_the_application_with_less_confidence_than_its_own() -> None:
    own, others = (
        classify(evidence_from_log(log), load_catalogue())["root_cause"] for log in (OWN_CODE, UNKNOWN_LIBRARY)
    )
    assert own["id"] == "application_exception" and own["confidence"] >= 0.8
    assert others["confidence"] <= 0.6 and others["id"] in ("application_exception", "unknown")


def test_healthy_is_surer_when_somebody_asked() -> None:
    running = {"active_state": "active", "sub_state": "running", "exit": {}, "uptime_s": 4000, "restarts": 0}
    quiet = {"schema": 1, "service": running}
    asked = {**quiet, "app": {"health": {"url": "http://127.0.0.1/health", "status": 200}}}
    one, other = (classify(evidence, load_catalogue())["root_cause"] for evidence in (quiet, asked))
    assert one["id"] == other["id"] == "healthy"
    assert one["confidence"] < other["confidence"] >= 0.9
