# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from worlds import NAME, FileSite, World

from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._repair import module_face, session, site, store
from ansible_collections.firstaid.backend.plugins.module_utils._repair.model import Change, Host, Proposal, Refused
from ansible_collections.firstaid.backend.plugins.module_utils._repair.store import StateError


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path).make()


def test_check_mode_tells_all_and_touches_nothing(world: World) -> None:
    before = world.snapshot()
    answer = world.fix(check=True)
    assert answer.changed and answer.outcome is None and answer.run is None
    assert [change["state"] for change in answer.changes] == ["planned"] * 4
    assert [Path(one["after_header"]).name for one in answer.diff] == [
        "settings.env",
        "link",
        "90-firstaid-test.conf",
        "app",
    ]
    assert world.snapshot() == before and world.orders == []
    assert not os.path.exists(world.state_dir)


def test_check_run_check_run(world: World) -> None:
    assert world.fix(check=True).changed
    first = world.fix()
    assert first.changed and first.outcome is None and first.restarted
    assert [change["state"] for change in first.changes] == ["done"] * 4
    after = world.snapshot()
    assert not world.fix(check=True).changed
    second = world.fix()
    assert (second.changed, second.outcome, second.restarted) == (False, "not_needed", False)
    assert world.snapshot() == after and world.orders == ["restart"]


def test_a_rollback_brings_everything_back_and_says_so_once(world: World) -> None:
    before = world.snapshot()
    run = world.fix().run
    preview = world.roll_back(check=True)
    assert preview is not None and len(preview.undone) == 4 and "B=2" not in repr(preview.diff)
    done = world.roll_back(str(run))
    assert done is not None and done.outcome == "rolled_back" and len(done.undone) == 4 and done.service == "running"
    assert world.snapshot() == before
    assert world.orders == ["restart", "restart"]
    assert world.roll_back() is None


@pytest.mark.parametrize(
    ("was", "orders", "after_rollback"),
    [
        ("running", ["restart"], ["restart", "restart"]),
        ("starting", ["restart"], ["restart", "restart"]),
        ("failed", ["start"], ["start", "restart"]),
        ("stopped", [], []),
    ],
)
def test_the_service_is_started_when_it_should_run_and_put_back_as_it_was(
    tmp_path: Path, was: str, orders: list[str], after_rollback: list[str]
) -> None:
    world = World(tmp_path).make(service=was)
    answer = world.fix()
    assert world.orders == orders
    assert answer.restarted == bool(orders)
    assert any("not running before" in note for note in answer.notes) == (was == "stopped")
    world.roll_back()
    assert world.orders == after_rollback


def test_a_stopped_service_is_started_on_demand_and_stopped_again_by_a_rollback(tmp_path: Path) -> None:
    world = World(tmp_path).make(service="stopped")
    assert world.fix(start=True).restarted and world.service == "running"
    world.roll_back()
    assert world.service == "stopped"


def test_a_failed_proof_takes_all_back_without_a_restart(tmp_path: Path) -> None:
    world = World(tmp_path).make(proof="wrong")
    before = world.snapshot()
    answer = world.fix()
    assert (answer.changed, answer.outcome, answer.restarted) == (False, "undone", False)
    assert "the import test still fails (wrong)" in str(answer.reason)
    assert world.snapshot() == before and world.orders == []
    assert world.rows()[-1]["outcome"] == "undone" and world.rows()[-1]["changed"] is True
    assert world.outlook()["unfinished"] == []


def test_a_proof_that_could_not_be_made_is_told_and_left_to_verification(tmp_path: Path) -> None:
    world = World(tmp_path).make(proof="")
    answer = world.fix()
    assert answer.outcome is None and answer.restarted
    assert "The import test gave no proof: nobody knows." in answer.notes


@pytest.mark.parametrize(("proof", "kept"), [("first second", True), ("first first", False)])
def test_unproven_changes_are_kept_only_when_the_failure_is_another_one(tmp_path: Path, proof: str, kept: bool) -> None:
    world = World(tmp_path).make(proof=proof)
    before = world.snapshot()
    answer = world.fix(keep_unproven=True)
    assert (answer.outcome is None) == kept and not answer.restarted
    assert (world.snapshot() != before) == kept
    assert kept or "did not help" in str(answer.reason)


def test_a_restart_alone_needs_the_proof_too(tmp_path: Path) -> None:
    world = World(tmp_path).make(proof="wrong")
    answer = world.fix(lambda host: Proposal("Restarts it."))
    assert (answer.changed, answer.outcome) == (False, "failed")
    assert "was not restarted" in str(answer.reason) and world.orders == []
    (tmp_path / "proof").write_text("true")
    assert world.fix(lambda host: Proposal("Restarts it.")).restarted


def test_a_step_that_fails_half_way_takes_the_others_back(world: World) -> None:
    before = world.snapshot()

    def propose(host: Host) -> Proposal:
        # That the first change makes the second one impossible is only seen on the way.
        blocked = world.app / "settings.env" / "below"
        return Proposal("d", [*world.changes(), Change("file", str(blocked), "w", content=b"x")])

    answer = world.fix(propose)
    assert (answer.changed, answer.outcome, answer.restarted) == (False, "undone", False)
    assert "one step failed" in str(answer.reason) and "settings.env" in str(answer.reason)
    assert [change["state"] for change in answer.changes] == ["undone"] * 4
    assert world.snapshot() == before and world.service == "starting"


def test_a_mistake_of_ours_takes_all_back_too(world: World) -> None:
    before = world.snapshot()

    def trip(name: str) -> None:
        if name == "done 3":
            raise ZeroDivisionError("secret text")

    answer = world.fix(checkpoint=trip)
    assert answer.outcome == "undone" and "internal error: ZeroDivisionError" in str(answer.reason)
    assert "secret text" not in str(answer.reason)
    assert world.snapshot() == before


@pytest.mark.parametrize("verb", ["restart", "reload"])
def test_a_supervisor_that_refuses_takes_all_back(world: World, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.firstaid.backend.plugins.module_utils._repair import rollback

    monkeypatch.setattr(rollback, "UNIT_DIRECTORIES", (str(world.app) + "/unit.d",))
    before = world.snapshot()
    answer = world.fix(site=FileSite(world.root, refuse=verb))
    assert answer.outcome == "undone" and f"{verb} was refused" in str(answer.reason)
    assert world.snapshot() == before
    # What could not be done to put the service back is not kept quiet.
    assert any(f"{verb} was refused" in note for note in answer.notes)


def test_units_are_read_again_before_the_proof_and_after_a_rollback(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ansible_collections.firstaid.backend.plugins.module_utils._repair import rollback

    monkeypatch.setattr(rollback, "UNIT_DIRECTORIES", (str(world.app) + "/unit.d",))
    world.fix()
    assert world.orders == ["reload", "restart"]
    world.roll_back()
    assert world.orders == ["reload", "restart", "reload", "restart"]


def test_a_refusal_before_anything_is_touched(world: World) -> None:
    before = world.snapshot()

    def propose(host: Host) -> Proposal:
        raise Refused("It can't be done safely: look at it.", ["ls -l"])

    answer = world.fix(propose)
    assert (answer.outcome, answer.refused, answer.commands) == (
        "refused",
        "It can't be done safely: look at it.",
        ["ls -l"],
    )
    (world.app / "dir").mkdir()
    change = Change("link", str(world.app / "dir"), "w", target="x")
    answer = world.fix(lambda host: Proposal("d", [*world.changes(), change]))
    assert answer.outcome == "refused" and "is a directory" in str(answer.refused)
    (world.app / "dir").rmdir()
    assert world.snapshot() == before and world.orders == []
    assert [row["outcome"] for row in world.rows()] == ["refused", "refused"]


def test_what_somebody_changed_since_is_left_alone_and_the_rest_comes_back(world: World) -> None:
    run = world.fix().run
    (world.app / "settings.env").write_text("A=mine\n")
    done = world.roll_back(str(run))
    assert done is not None and done.outcome == "rollback_refused"
    assert [entry["path"] for entry in done.refused] == [str(world.app / "settings.env")]
    assert (world.app / "settings.env").read_text() == "A=mine\n"
    assert os.readlink(world.app / "link") == "gone"
    assert world.rows()[-1]["outcome"] == "rollback_refused"


def test_a_rollback_that_changes_nothing_disturbs_nothing_and_names_the_later_run(world: World) -> None:
    path = world.app / "settings.env"

    def add(line: bytes) -> str:
        content = path.read_bytes() + line
        return str(world.fix(lambda _host: Proposal("Adds.", [Change("file", str(path), "it lacks", content)])).run)

    first = add(b"B=2\n")
    time.sleep(1.1)  # run ids sort by the second
    second = add(b"C=3\n")
    orders = world.orders
    done = world.roll_back(first)
    assert done is not None and done.outcome == "rollback_refused" and done.undone == []
    assert world.orders == orders and done.service == "running" and path.read_text() == "A=1\nB=2\nC=3\n"
    with session.backend_folder(world.state_dir, NAME) as folder:
        session.name_later_runs(folder, first, done.refused)
    assert second in done.refused[0]["why"]
    assert all(found and found.outcome == "rolled_back" for found in map(world.roll_back, (second, first)))
    assert path.read_text() == "A=1\n" and len(world.orders) == len(orders) + 2


def test_when_the_disk_fills_up_the_files_are_put_back_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = world.snapshot()
    real = store.Folder.write_json
    written: list[int] = []

    def full(folder: store.Folder, name: str, value: Any) -> None:
        written.append(1)
        if name == "manifest.json" and len(written) > 5:
            raise StateError("/var/lib/firstaid/x can't be used for the state of repairs: the file system is full")
        real(folder, name, value)

    with monkeypatch.context() as patch:
        patch.setattr(store.Folder, "write_json", full)
        answer = world.fix()
    assert answer.outcome == "undone" and "the file system is full" in str(answer.reason)
    assert world.snapshot() == before
    # The manifest on disk still lists changes, and the next session sees that nothing of them is there.
    [unfinished] = world.outlook()["unfinished"]
    done = world.roll_back(unfinished["run"])
    assert done is not None and done.outcome == "rolled_back" and done.undone == []
    assert world.snapshot() == before


def test_end_writes_outcomes_and_frees_the_lock(world: World) -> None:
    with session.backend_folder(world.state_dir, "web.service") as folder:
        begun = session.begin(folder, None, 600)
        assert begun["unfinished"] == []
        session.end(folder, begun["session"], {})
    run = str(world.fix().run)
    with session.backend_folder(world.state_dir, "web.service") as folder:
        begun = session.begin(folder, None, 600)
        assert [one["run"] for one in begun["unfinished"]] == [run]
        with pytest.raises(StateError, match="is no outcome"):
            session.end(folder, begun["session"], {run: "great"})
        assert session.end(folder, begun["session"], {run: "healed"}) == [run]
        assert session.rows(folder)[-1]["outcome"] == "healed"
        assert session.summaries(folder)[-1]["state"] == "ended"


@pytest.mark.parametrize(
    ("section", "passed"),
    [
        ({"outcome": "ok"}, True),
        ({"outcome": "ok", "attribute": {"wanted": "app", "exists": False}}, False),
        ({"outcome": "exception", "exception": {"type": "KeyError", "message": "'A'"}}, False),
        ({"outcome": "system_exit", "exit_code": 3}, False),
        ({"outcome": "crashed", "signal": 11}, False),
        ({"outcome": "killed", "signal": 9, "limit": None}, False),
        ({"outcome": "killed", "signal": 9, "limit": "memory"}, None),
        ({"outcome": "withheld", "withheld": [{"what": "connect"}]}, None),
        ({"outcome": "timeout"}, None),
        ({"outcome": "could_not_run", "why_not": "turned off"}, None),
        ({"outcome": "could_not_run", "why_not": "the interpreter can't be started", "errno": 2}, False),
        ({"unavailable": "no answer within 6 s"}, None),
    ],
)
def test_what_the_import_test_proves(section: dict[str, Any], passed: Any) -> None:
    proof = site.proof_of(section)
    assert proof["passed"] is passed
    assert (proof["why"] is None) == (passed is True)


def test_secret_options_are_merged_and_remembered() -> None:
    ctx = Context({}, 0.0)
    text = base64.b64encode(
        json.dumps({"values": {"KEY": "hunter2hunter2", "LIST": ["other-secret"]}}).encode()
    ).decode()
    merged = module_face.merged_options({"options": {"values": {}, "x": 1}, "secret_options": text}, ctx)
    assert merged == {"values": {"KEY": "hunter2hunter2", "LIST": ["other-secret"]}, "x": 1}
    assert set(ctx.secrets) == {"hunter2hunter2", "other-secret"}
    assert "hunter2" not in repr(module_face.redacted({"notes": ["it was hunter2hunter2"]}, ctx))
    assert "hunter2" not in module_face.message(StateError("bad hunter2hunter2"), ctx)


@pytest.mark.parametrize(
    "text", ["hunter2!", base64.b64encode(b"hunter2").decode(), base64.b64encode(b'["hunter2"]').decode()]
)
def test_secret_options_that_can_not_be_read_are_not_repeated(text: str) -> None:
    with pytest.raises(module_face.SecretOptionsError) as told:
        module_face.merged_options({"options": {}, "secret_options": text}, Context({}, 0.0))
    assert "hunter2" not in str(told.value) and text not in str(told.value)
