# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.modules import backend_info

DEFAULTS = {name: spec.get("default") for name, spec in backend_info.ARGUMENTS.items()}


def test_defaults_are_accepted() -> None:
    assert backend_info.refusals(DEFAULTS) == []


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("port", 70000, "from 1 to 65535"),
        ("budget", 0.5, "from 2 to 300"),
        ("max_backends", 0, "from 1 to 100"),
        ("redaction_extra", ["("], "no regular expression"),
    ],
)
def test_values_out_of_range_are_refused_by_name(name: str, value: Any, words: str) -> None:
    told = backend_info.refusals({**DEFAULTS, name: value})
    assert len(told) == 1 and told[0].startswith(name) and words in told[0]
