# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import Backend
from ansible_collections.firstaid.backend.plugins.module_utils._repair.ready_health import HealthLook
from ansible_collections.firstaid.backend.plugins.module_utils._repair.ready_look import Seen, Word
from ansible_collections.firstaid.backend.plugins.module_utils._repair.ready_port import PortLook
from ansible_collections.firstaid.backend.plugins.module_utils._repair.ready_watch import (
    MAX_ROWS,
    Look,
    Watch,
    complaints,
)
from ansible_collections.firstaid.backend.plugins.module_utils._repair.ready_words import checks

OWN = PortLook(True, "its own process listens on port 80", "own", frozenset({7}))
NONE = PortLook(False, "nothing listens on port 80", "none")
GOOD = HealthLook(True, "/health answers 200", "200")
BAD = HealthLook(False, "/health answers 503", "503")


def look(
    at: float,
    state: str = "running",
    pid: int | None = 10,
    restarts: int | None = 0,
    port: PortLook = OWN,
    health: HealthLook = GOOD,
    workers: set[int] | None = None,
    **more: Any,
) -> Look:
    """A look at a backend whose main process started when its PID says."""
    word = Word(state, f"{state} in its words", pid, restarts, **more)
    identity = None if pid is None or state not in ("running", "starting") else ("run", pid, pid)
    found = None if workers is None else frozenset((item, item) for item in workers)
    return Look(at, Seen(word, Backend("api", "systemd"), identity, found), port, health)


def watched(*looks: Look, window: float = 10, **more: Any) -> Watch:
    watch = Watch(window, **more)
    for item in looks:
        watch.take(item)
    return watch


def test_it_is_ready_when_everything_held_for_the_window() -> None:
    watch = watched(look(0), look(5), look(9.9))
    assert not watch.ready
    watch.take(look(10))
    assert watch.ready and watch.hopeless is None


def test_the_window_of_a_slow_starter_begins_when_all_holds() -> None:
    watch = watched(look(0, port=NONE), look(20, port=NONE), look(30, health=BAD), look(31), look(40))
    assert (watch.since, watch.ready, watch.hopeless) == (31, False, None)
    watch.take(look(41))
    assert watch.ready


def test_one_bad_answer_begins_the_window_anew() -> None:
    watch = watched(look(0), look(9), look(9.5, health=BAD), look(10), look(12))
    assert not watch.ready
    assert watch.breaks == ["after 9.5 s: /health answers 503"]


def test_a_service_that_answers_once_and_dies_is_not_ready() -> None:
    watch = watched(look(0), look(3, "failed", None), look(4, "failed", None))
    assert not watch.ready
    assert watch.hopeless == "it failed and nothing will restart it: failed in its words"


def test_a_restart_is_seen_although_every_look_is_good() -> None:
    """It crashed and came back between two looks: only counter and process tell."""
    watch = watched(look(0), look(5, pid=11, restarts=1), look(14, pid=11, restarts=1))
    assert not watch.ready and watch.since == 5
    watch.take(look(15, pid=11, restarts=1))
    assert watch.ready and watch.restarts == 1


def test_a_replaced_process_counts_where_the_supervisor_counts_none() -> None:
    watch = watched(look(0, restarts=None), look(2, pid=11, restarts=None), look(4, pid=12, restarts=None))
    assert watch.restarts == 2 and "keeps crashing" in str(watch.hopeless)
    assert watch.rows[-1]["restarts"] == 2


def test_two_restarts_are_a_crash_loop() -> None:
    watch = watched(look(0, "restarting", None, 4), look(1, pid=11, restarts=5), look(2, "restarting", None, 5))
    assert watch.hopeless is None
    watch.take(look(3, pid=12, restarts=6))
    assert watch.hopeless == "it was restarted 2 times within 3 s, so it keeps crashing"
    assert not watch.ready


def test_restarts_before_the_watch_do_not_count() -> None:
    assert watched(look(0, restarts=812), look(10, restarts=812)).ready


def test_a_start_by_hand_that_resets_the_counter_is_one_replacement() -> None:
    watch = watched(look(0, restarts=9), look(1, pid=11, restarts=0), look(11, pid=11, restarts=0))
    assert watch.ready and watch.restarts == 1


@pytest.mark.parametrize("state", ["starting", "restarting", "stopping"])
def test_what_may_still_come_is_waited_for(state: str) -> None:
    watch = watched(look(0, state, None), look(60, state, None))
    assert watch.hopeless is None and not watch.ready


def test_failed_in_passing_is_no_end() -> None:
    watch = watched(look(0, "failed", None), look(0.3, "starting", None), look(1), look(11))
    assert watch.ready


def test_a_start_limit_is_the_end_at_once() -> None:
    assert "gave up" in str(watched(look(0, "failed", None, gave_up=True)).hopeless)


def test_a_supervisor_that_does_not_answer_is_given_time() -> None:
    assert watched(look(0, "unknown", None), look(10, "unknown", None)).hopeless is None
    assert "can't be told" in str(watched(look(0, "unknown", None), look(15, "unknown", None)).hopeless)


def test_workers_that_die_behind_the_living_parent() -> None:
    looks = [look(number, workers={20 + 2 * number, 21 + 2 * number}) for number in range(12)]
    watch = watched(*looks[:2], workers_expected=2)
    assert not watch.hopeless and watch.since == 1
    watch.take(looks[2])
    assert watch.hopeless == "4 workers ended behind the living main process within 2 s, so they keep crashing"
    assert checks(watch, looks[2], None, False)["workers"]["ok"] is False


def test_a_lost_worker_begins_the_window_anew() -> None:
    watch = watched(look(0, workers={1, 2}), look(5, workers={1, 3}), look(14, workers={1, 3}), workers_expected=2)
    assert not watch.ready and watch.since == 5 and watch.workers_lost == 1


def test_workers_that_come_are_no_loss_and_missing_ones_are() -> None:
    watch = watched(look(0, workers=set()), look(1, workers={1}), look(2, workers={1, 2}), workers_expected=2)
    assert watch.since == 2
    assert complaints(look(1, workers={1}), 2) == ["1 of its 2 workers run"]


def test_workers_that_are_replaced_on_purpose_mean_nothing() -> None:
    looks = [look(number, workers={number, number + 1}) for number in range(11)]
    assert watched(*looks, workers_expected=2, workers_recycled=True).ready


def test_a_server_that_a_script_starts_in_a_loop() -> None:
    ports = [PortLook(True, "own", "own", frozenset({inode})) for inode in (1, 2, 3)]
    watch = watched(look(0, port=ports[0]), look(4, port=ports[1]))
    assert watch.since == 4 and watch.hopeless is None
    watch.take(look(8, port=ports[2]))
    assert "behind its start script" in str(watch.hopeless)


def test_a_further_socket_is_no_replacement() -> None:
    more = PortLook(True, "own", "own", frozenset({7, 8}))
    assert watched(look(0), look(5, port=more), look(10, port=more)).ready


def test_an_active_service_without_a_process_is_not_up() -> None:
    item = look(0)
    item.seen.identity = ("run", None, None)
    assert complaints(item, None) == ["its supervisor calls it active, but it has no process"]


def test_a_job_that_ended_well_needs_no_window() -> None:
    item = look(0, "finished", None, port=PortLook(None, "none"), health=HealthLook(None, "none"))
    assert watched(item).ready


def test_a_worker_without_port_and_endpoint_is_healthy_by_its_process() -> None:
    looks = [look(at, port=PortLook(None, "no port"), health=HealthLook(None, "no HTTP")) for at in (0, 10)]
    assert watched(*looks).ready


def test_the_timeline_has_changes_only_and_is_bounded() -> None:
    watch = watched(look(0), look(1), look(2, health=BAD), look(3, health=BAD), look(4))
    assert [row["t"] for row in watch.rows] == [0, 2, 4]
    assert watch.rows[1] == {
        "t": 2,
        "state": "running",
        "main_pid": 10,
        "restarts": 0,
        "port_owner": "own",
        "health": "503",
    }
    for at in range(5, 700):
        watch.take(look(at, health=(GOOD, BAD)[at % 2]))
    assert len(watch.rows) == MAX_ROWS and watch.dropped > 0
    assert (watch.rows[0]["t"], watch.rows[-1]["t"]) == (0, 699)


def test_every_condition_is_told() -> None:
    watch = watched(look(0), look(3, health=BAD))
    told = checks(watch, look(3, health=BAD), None, False)
    assert list(told) == ["stayed_up", "restarts_still", "workers", "port_owned", "health", "extra_urls"]
    assert [item["ok"] for item in told.values()] == [False, True, None, True, False, None]
    assert all(item["text"].endswith(".") for item in told.values())


def test_one_look_does_not_pretend_to_know_of_restarts() -> None:
    told = checks(watched(look(0)), look(0), 3.0, True)
    assert (told["stayed_up"]["ok"], told["restarts_still"]["ok"]) == (None, None)
    assert checks(watched(look(0)), look(0), 30.0, True)["stayed_up"]["ok"] is True
