# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every cause file carries examples: what it must find, what it must not, and what merely looks like it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.catalogue import (
    CAUSES_DIR,
    load_catalogue,
    load_examples,
)
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.classify import classify
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.examples import evidence_of

CATALOGUE = load_catalogue()
EXAMPLES = [(file.stem, example) for file in sorted(CAUSES_DIR.glob("*.yml")) for example in load_examples(file)]


@pytest.mark.parametrize(
    ("cause", "example"), EXAMPLES, ids=[f"{cause}-{example['name']}" for cause, example in EXAMPLES]
)
def test_example(cause: str, example: dict[str, Any]) -> None:
    diagnosis = classify(evidence_of(example), CATALOGUE)
    ranked = [(item["id"], item["confidence"]) for item in diagnosis["candidates"]]
    answer = diagnosis["root_cause"]["id"]
    expected = cause if example["expect"] == "hit" else example.get("is")
    if expected:
        assert answer == expected, f"{ranked}, symptoms {[s['id'] for s in diagnosis['symptoms']]}"
    if example["expect"] != "hit":
        assert answer != cause, ranked
    if answer not in ("healthy", "unknown"):
        assert diagnosis["root_cause"]["evidence"], "an answer without evidence"


@pytest.mark.parametrize("cause", sorted(CATALOGUE.causes))
def test_each_cause_has_a_hit_a_miss_and_a_look_alike(cause: str) -> None:
    kinds = Counter(example["expect"] for name, example in EXAMPLES if name == cause)
    assert set(kinds) == {"hit", "miss", "look_alike"}, kinds
