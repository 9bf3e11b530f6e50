# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence.proc import iso
from ansible_collections.firstaid.backend.plugins.module_utils._repair.ready_window import choose, shortest_life

NOW = 1_800_000_000.0


def times(*ago: float) -> list[str]:
    return [str(iso(NOW - item)) for item in ago]


def test_what_was_given_is_taken() -> None:
    assert choose(3, {"restart_delay_s": 30}, NOW).seconds == 3


@pytest.mark.parametrize(
    ("service", "seconds"),
    [
        ({}, 15.0),
        ({"restart_delay_s": 0.1, "restart_times": times(3, 2, 1)}, 15.0),
        ({"restart_delay_s": 20.0}, 22.0),
        ({"restart_delay_s": 5.0, "restart_times": times(75, 50, 25)}, 32.0),
        ({"restart_delay_s": 5.0, "restart_times": times(200, 75, 50)}, 32.0),
        ({"restart_delay_s": 5.0, "restart_times": times(9000, 8975)}, 15.0),
        ({"restart_delay_s": None, "restart_times": ["damaged", None]}, 15.0),
    ],
)
def test_a_crash_like_the_former_ones_falls_into_the_window(service: dict[str, object], seconds: float) -> None:
    assert choose(None, service, NOW).seconds == seconds


def test_a_life_longer_than_any_window_is_told() -> None:
    window = choose(None, {"restart_delay_s": 1.0, "restart_times": times(900, 450, 10)}, NOW)
    assert window.seconds == 60 and "give a window of 552 s" in str(window.doubt)


def test_the_shortest_life_counts_and_the_delay_is_no_life() -> None:
    assert shortest_life(times(100, 80, 70), 4, NOW) == pytest.approx(6, abs=0.01)
    assert shortest_life(times(10), 4, NOW) is None
    assert shortest_life(times(10, 9), 4, NOW) == 0
