# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every parser on inputs made of its format's words: no error of ours, the promised types, the same answer twice.

The same inputs each time (derandomized). `make fuzz` goes on from here, guided by coverage, and times large inputs.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from firstaid_fuzz.table import RECORDED, TARGETS, corpus
from firstaid_fuzz.target import Target, check, given
from hypothesis import HealthCheck, settings
from hypothesis import given as fuzz
from hypothesis import strategies as st

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import env_file

EXAMPLES = 25

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::SyntaxWarning", "ignore::DeprecationWarning")
ALL = [pytest.param(one, id=name) for name, one in TARGETS.items()]


def inputs(target: Target) -> st.SearchStrategy[str]:
    """Texts of the format's words with a bit of anything between them."""
    piece = st.one_of(st.sampled_from(target.tokens), st.sampled_from(target.tokens), st.text(max_size=4))
    return st.lists(piece, max_size=24).map("".join)


@pytest.mark.parametrize("target", ALL)
def test_holds_for_any_input(target: Target) -> None:
    @settings(
        max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @fuzz(inputs(target))
    def run(text: str) -> None:
        check(target, given(target, text.encode("utf-8", errors="replace")))

    run()


@pytest.mark.parametrize("target", [one for one in ALL if corpus(str(one.id))])
def test_what_was_found_stays_mended(target: Target) -> None:
    for path in corpus(target.name):
        check(target, given(target, path.read_bytes()))


@pytest.mark.parametrize("path", sorted(RECORDED.glob("env-files-*.json")), ids=lambda path: path.stem)
def test_environment_files_are_read_as_by_the_real_systemd(path: Path) -> None:
    recorded = json.loads(path.read_text())
    wrong = []
    for case in recorded["cases"]:
        raw = base64.b64decode(case["file"])
        said = (item.partition(b"=") for item in base64.b64decode(case["environ"]).split(b"\0") if item)
        real = {name.decode(): value.decode() for name, _equals, value in said if name in (b"A", b"B_1", b"C")}
        ours = {
            name: value
            for name, value in env_file.parse(raw, recorded["version"]).variables.items()
            if name in ("A", "B_1", "C")
        }
        if ours != real:
            wrong.append((raw, real, ours))
    assert not wrong, f"{len(wrong)} of {len(recorded['cases'])}: {wrong[:3]}"
