# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.catalogue import CatalogueError
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.examples import run

CAUSE = """\
id: licence_expired
title: The licence of the engine has expired
family: settings
explanation: The engine refuses to start since its licence ended on {date|some day}.
likely:
  - text: 'EngineLicenceError: licence expired on (?P<date>\\S{8,10})'
    weight: 8
explains: [application_exception]
subject: {date: [capture]}
next_check: Look at the licence file's date.
examples:
  - {name: expired, expect: hit, log: "engine.EngineLicenceError: licence expired on 2026-10-01"}
  - {name: another error, expect: look_alike, log: "engine.EngineStateError: already started"}
  - {name: in passing, expect: miss, log: "INFO licence is fine"}
"""


def cause(directory: Path, text: str = CAUSE) -> Path:
    path = directory / "licence.yml"
    path.write_text(text)
    return path


def test_examples_that_come_out_as_expected(tmp_path: Path) -> None:
    cause(tmp_path)
    found = run([tmp_path])
    assert [(one["expect"], one["wrong"]) for one in found] == [("hit", None), ("look_alike", None), ("miss", None)]
    assert found[0]["answer"] == "licence_expired" and found[0]["confidence"] > 0.5


@pytest.mark.parametrize(
    ("old", "new", "wrong"),
    [
        ('licence expired on 2026-10-01"}', 'nothing"}', "not licence_expired"),
        (
            "engine.EngineStateError: already started",
            "EngineLicenceError: licence expired on 2026-10-01",
            "must not be",
        ),
        ("expect: miss,", "expect: hit,", "no example of the kind miss"),
        ('log: "INFO licence is fine"', 'log: "INFO fine", is: port_in_use', "not port_in_use"),
    ],
)
def test_examples_that_come_out_otherwise(tmp_path: Path, old: str, new: str, wrong: str) -> None:
    path = cause(tmp_path, CAUSE.replace(old, new))
    sentences = [one["wrong"] for one in run([path]) if one["wrong"]]
    assert any(wrong in sentence for sentence in sentences), sentences


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("expect: miss", "expect: nothing", "number 3: it needs"),
        ("name: in passing", "nam: in passing", "unknown key 'nam'"),
        ('log: "INFO licence is fine"', "log: [1]", "'log' is a text"),
        (', log: "INFO licence is fine"', "", "nothing to classify"),
        ("{name: expired, expect: hit", "{name: expired, expect: hit]", "line 12"),
        ("weight: 8", "wight: 8", "licence.yml:6"),
        ("title: The licence of the engine has expired\n", "", "'title'"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, old: str, new: str, told: str) -> None:
    path = cause(tmp_path, CAUSE.replace(old, new))
    with pytest.raises(CatalogueError) as caught:
        run([path])
    assert told in str(caught.value) and "licence.yml" in str(caught.value)


def test_a_directory_without_causes(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="no cause in this directory"):
        run([tmp_path])
