# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Regular expressions of causes, a user's own included, can't blow up: they are refused, or see a bounded line."""

from __future__ import annotations

import pytest

from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.patterns import (
    LINE_LIMIT,
    PatternError,
    bounded,
    compile_pattern,
)


@pytest.mark.parametrize(
    "text",
    ["(a+)+", "(a*)*b", "(a|b*)+c", r"(\w+\s?)+$", ".*.*.*", r".*a.*b.*c", r"(.)\1+", "(?:a{1,500}){1,500}", "(", "(?P<a>", "a**"],
    ids=range(11),
)  # fmt: skip
def test_patterns_that_could_run_long_are_refused(text: str) -> None:
    with pytest.raises(PatternError):
        compile_pattern(text)


def test_a_line_is_bounded_before_a_pattern_sees_it() -> None:
    assert len(bounded("x" * 10_000_000)) == LINE_LIMIT
    assert bounded("head" + "x" * 10_000 + "tail").startswith("head") and bounded("x" * 9999 + "tail").endswith("tail")
