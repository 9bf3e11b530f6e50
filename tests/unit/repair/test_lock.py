# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Optional

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._repair import lock, session, store
from ansible_collections.firstaid.backend.plugins.module_utils._repair.lock import Locked

NOW = 1_800_000_000.0
ME = {"host": "ctl 1", "pid": 10, "started": 5}
OTHER = {"host": "ctl 2", "pid": 10, "started": 5}


@pytest.fixture
def folder(tmp_path: Path) -> store.Folder:
    return store.open_state(str(tmp_path / "state"), create=True).folder("web", create=True)


def take(folder: store.Folder, now: float = NOW, **given: Any) -> tuple[str, Optional[dict[str, Any]]]:
    return lock.take(folder, given.pop("controller", ME), 600, now=now, boot=given.pop("boot", "boot-1"), **given)


def test_two_sessions_exclude_each_other_and_the_second_is_told_who(folder: store.Folder) -> None:
    name, former = take(folder)
    assert former is None
    with pytest.raises(
        Locked, match=rf"Session {name} from ctl 1 \(process 10\) works on this backend since 2027"
    ) as told:
        take(folder, NOW + 599, controller=OTHER)
    assert told.value.holder["session"] == name
    assert lock.release(folder, name) and not lock.release(folder, name)
    take(folder, NOW + 599, controller=OTHER)


@pytest.mark.parametrize(
    ("given", "now", "why"),
    [
        ({}, NOW + 600, "lease ended"),
        ({"boot": "boot-2"}, NOW + 1, "the host booted since"),
        ({"gone": "HOLDER"}, NOW + 1, "gone from its controller"),
        ({}, NOW - 2 * 86400, "clock was set back"),
    ],
)
def test_a_lock_is_taken_over_when(folder: store.Folder, given: dict[str, Any], now: float, why: str) -> None:
    name, _former = take(folder)
    given = {key: name if value == "HOLDER" else value for key, value in given.items()}
    _mine, former = take(folder, now, **given)
    assert former is not None and former["session"] == name and why in former["taken_over_because"]


@pytest.mark.parametrize(
    "given",
    [
        {"gone": "HOLDER", "controller": OTHER},
        {"gone": "20261122T101500Z-1f2e3d"},
        {"gone": "HOLDER", "controller": None},
        {"boot": "boot-1"},
    ],
)
def test_a_lock_is_not_taken_over_when(folder: store.Folder, given: dict[str, Any]) -> None:
    name, _former = take(folder)
    given = {key: name if value == "HOLDER" else value for key, value in given.items()}
    with pytest.raises(Locked):
        take(folder, NOW + 1, **given)


def test_renewing_prolongs_and_tells_when_it_was_lost(folder: store.Folder) -> None:
    name, _former = take(folder)
    lock.renew(folder, name, 600, NOW + 500)
    with pytest.raises(Locked):
        take(folder, NOW + 900)
    take(folder, NOW + 1200, controller=OTHER)
    with pytest.raises(Locked, match="does not hold the lock of this backend any more"):
        lock.renew(folder, name, 600, NOW + 1201)


def test_a_module_that_held_it_for_itself_and_is_gone_holds_nobody_back(folder: store.Folder) -> None:
    with session.held(folder, None) as name, pytest.raises(Locked):
        lock.take(folder)
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    pid, was = child.pid, lock.identity(child.pid)
    child.wait()
    assert lock.is_running(lock.identity(os.getpid())) and not lock.is_running({"pid": pid, "started": 1})
    assert not lock.is_running({**lock.identity(os.getpid()), "started": 1})
    folder.write_json(
        lock.FILE, {"session": name, "since": store.stamp(), "lease_until": "2099-01-01T00:00:00Z", "process": was}
    )
    found = lock.holder(folder)
    assert found is not None
    assert lock.free_because({**found, "lease_until": store.stamp(4e9)}, None, None, 4e9 - 60, None) is not None


def test_begin_tells_who_holds_it_and_takes_nothing(folder: store.Folder) -> None:
    first = session.begin(folder, ME, 600)
    second = session.begin(folder, OTHER, 600)
    assert first["session"] and first["held_by"] is None
    assert second["session"] is None and second["held_by"]["session"] == first["session"]
    assert second["held_by"]["controller"] == ME
    preview = session.begin(folder, OTHER, 600, check=True)
    assert preview["held_by"] is not None
    session.end(folder, first["session"], {})
    assert session.begin(folder, OTHER, 600, check=True)["held_by"] is None
    assert lock.holder(folder) is None


def test_begin_finds_a_module_at_work(folder: store.Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "PATIENCE_S", 0.1)
    other = store.open_state(os.path.dirname(folder.path)).folder("web")
    with session.held(folder, None) as name:
        found = session.begin(other, ME, 600)
    assert found["session"] is None and found["held_by"]["session"] == name


def test_a_session_can_not_end_what_it_does_not_hold(folder: store.Folder) -> None:
    session.begin(folder, ME, 600)
    with pytest.raises(Locked):
        session.end(folder, "20261122T101500Z-1f2e3d", {})
