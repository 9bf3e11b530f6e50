# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repair that is killed at any point is recognised and taken back by the next session, with real files and a real SIGKILL."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from worlds import World, act


def run(what: str, root: Path, number: int) -> int:
    """Do it in a child that is killed at that checkpoint; gives its wait status. A fork, because Python's start is what takes time."""
    child = os.fork()
    if child == 0:
        # Nothing of the test's own end may run here.
        status = 1
        try:
            act(what, root, number)
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]


def points(what: str, root: Path) -> list[str]:
    """The checkpoints of a whole run, in order."""
    assert run(what, root, -1) == 0
    found: list[str] = json.loads((root / "passed").read_text())
    return found


def killed(what: str, root: Path, number: int) -> None:
    status = run(what, root, number)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, status


@pytest.mark.parametrize("proof", ["true", "wrong"])
def test_a_fix_that_is_killed_anywhere_is_taken_back(tmp_path: Path, proof: str) -> None:
    first = tmp_path / "first"
    first.mkdir()
    World(first).make(proof=proof)
    names = points("fix", first)
    assert len(names) > (15 if proof == "true" else 20)
    for number, name in enumerate(names):
        root = tmp_path / f"at{number}"
        root.mkdir()
        world = World(root).make(proof=proof)
        before, mode = world.snapshot(), world.app.stat().st_mode
        killed("fix", root, number)
        ended = name == "ended"
        unfinished = world.outlook()["unfinished"]
        assert len(unfinished) == (0 if ended else 1), name
        if not ended:
            assert unfinished[0]["cause"] == "env_file_missing"
            done = world.roll_back()
            assert done is None or done.refused == [], name
            assert world.outlook()["unfinished"] == [], name
            assert world.rows()[-1]["outcome"] == "rolled_back"
        assert world.snapshot() == before, name
        assert world.app.stat().st_mode == mode, name
        assert world.service in ("running", "starting"), name
        # And then it can be repaired.
        (root / "proof").write_text("true")
        assert world.fix().outcome is None
        assert (world.app / "settings.env").read_bytes() == b"A=1\nB=2\n"


def test_a_rollback_that_is_killed_anywhere_is_finished_by_the_next_one(tmp_path: Path) -> None:
    first = tmp_path / "first"
    first.mkdir()
    World(first).make().fix()
    names = points("roll_back", first)
    assert len(names) >= 10
    for number, name in enumerate(names):
        root = tmp_path / f"at{number}"
        root.mkdir()
        world = World(root).make()
        before, mode = world.snapshot(), world.app.stat().st_mode
        assert world.fix().outcome is None
        killed("roll_back", root, number)
        assert [one["state"] for one in world.outlook()["unfinished"]] == ["undoing"], name
        world.roll_back(world.outlook()["unfinished"][0]["run"])
        assert world.snapshot() == before, name
        assert world.app.stat().st_mode == mode, name
        assert world.outlook()["unfinished"] == [], name


def test_a_fix_is_refused_while_a_half_done_run_is_there(tmp_path: Path) -> None:
    from ansible_collections.firstaid.backend.plugins.module_utils._repair import session

    world = World(tmp_path).make()
    killed("fix", tmp_path, 3)
    with session.backend_folder(world.state_dir, "web.service") as folder:
        told = session.half_way(folder)
    assert told is not None and "was interrupted: roll it back" in told


def test_a_change_by_somebody_after_the_kill_is_left_alone_and_named(tmp_path: Path) -> None:
    first = tmp_path / "first"
    first.mkdir()
    World(first).make()
    at = points("fix", first).index("done 1")
    root = tmp_path / "second"
    root.mkdir()
    world = World(root).make()
    killed("fix", root, at)
    (world.app / "settings.env").write_text("A=mine\n")
    done = world.roll_back()
    assert done is not None and done.outcome == "rollback_refused"
    assert [entry["path"] for entry in done.refused] == [str(world.app / "settings.env")]
    assert (world.app / "settings.env").read_text() == "A=mine\n"
