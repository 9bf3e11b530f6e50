# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._repair import files, manifest, store
from ansible_collections.firstaid.backend.plugins.module_utils._repair.store import StateError

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give directories away")
RUN = "20261122T101500Z-1f2e3d"
VALUES = {"session": "s", "backend": {"name": "web"}, "fix": "test", "service_before": {"state": "running"}}


def opened(tmp_path: Path) -> store.Folder:
    return store.open_state(str(tmp_path / "deep" / "state"), create=True).folder("web.service", create=True)


def test_directories_are_private_whatever_the_umask(tmp_path: Path) -> None:
    former = os.umask(0)
    try:
        folder = opened(tmp_path)
        folder.write_json("lock.json", {})
    finally:
        os.umask(former)
    for path, mode in (
        ("deep/state", 0o700),
        ("deep/state/web.service", 0o700),
        ("deep/state/web.service/lock.json", 0o600),
    ):
        assert stat.S_IMODE((tmp_path / path).stat().st_mode) == mode


def test_without_create_nothing_is_made_and_all_is_empty(tmp_path: Path) -> None:
    folder = store.open_state(str(tmp_path / "state")).folder("web.service")
    assert (
        folder.missing
        and folder.names() == []
        and store.history(folder) == []
        and folder.read_json("lock.json") is None
    )
    assert os.listdir(tmp_path) == []
    with pytest.raises(StateError, match="no repair was made here yet"):
        folder.write("x", b"")


@pytest.mark.parametrize("what", ["link", "file", "writable"])
def test_a_directory_that_can_not_be_trusted_is_refused_and_left_as_it_is(tmp_path: Path, what: str) -> None:
    path = tmp_path / "state"
    if what == "link":
        (tmp_path / "real").mkdir()
        path.symlink_to("real")
    elif what == "file":
        path.write_text("")
    else:
        path.mkdir()
        path.chmod(0o777)
    mode = path.lstat().st_mode
    with pytest.raises(StateError, match=r"is a link or no directory|can be written to by others"):
        store.open_state(str(path), create=True)
    assert path.lstat().st_mode == mode


@as_root
def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.mkdir()
    os.chown(path, 65534, 65534)
    with pytest.raises(StateError, match="belongs to user 65534"):
        store.open_state(str(path), create=True)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("web.service", "web.service"),
        ("api@2.service", "api@2.service"),
        ("group:worker_01", "group:worker_01"),
        ("..", "%2E."),
        (".hidden", "%2Ehidden"),
        ("a/b", "a%2Fb"),
        (r"dev-\x2d.service", "dev-%5Cx2d.service"),
        ("prüfung", "pr%C3%BCfung"),
    ],
)
def test_names_of_backends_become_plain_names_of_files(name: str, expected: str) -> None:
    assert store.file_name(name) == expected


def test_long_names_stay_apart_and_fit() -> None:
    first, second = store.file_name("ü" * 200 + "1"), store.file_name("ü" * 200 + "2")
    assert first != second and len(first) < 255


def test_a_cut_off_last_line_costs_only_itself(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    store.append_row(folder, {"run": "1"})
    path = Path(folder.path) / store.HISTORY
    path.write_bytes(path.read_bytes() + b'{"run": "2", "outc')
    store.append_row(folder, {"run": "3"})
    assert [row["run"] for row in store.history(folder)] == ["1", "3"]


def test_a_row_that_does_not_fit_leaves_the_history_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = opened(tmp_path)
    store.append_row(folder, {"run": "1"})
    path = Path(folder.path) / store.HISTORY
    before = path.read_bytes()

    def full(descriptor: int, content: bytes) -> None:
        os.write(descriptor, content[:5])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, "write_all", full)
    with pytest.raises(StateError, match=r"history\.jsonl .* the file system is full: free some space"):
        store.append_row(folder, {"run": "2"})
    assert path.read_bytes() == before


def test_a_long_history_keeps_its_latest_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MAX_HISTORY_BYTES", 500)
    monkeypatch.setattr(store, "KEPT_ROWS", 10)
    folder = opened(tmp_path)
    for number in range(100):
        store.append_row(folder, {"run": str(number)})
    kept = [row["run"] for row in store.history(folder)]
    assert kept[-1] == "99" and len(kept) < 60


def test_a_manifest_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = opened(tmp_path)
    made = manifest.create(folder, RUN, dict(VALUES))
    path = Path(folder.path) / RUN / "manifest.json"
    before = path.read_bytes()

    def full(descriptor: int, content: bytes) -> None:
        os.write(descriptor, content[:20])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_all", full)
        with pytest.raises(StateError, match="the file system is full"):
            made.save(state="changed")
    assert path.read_bytes() == before
    assert manifest.load(folder, RUN).data["state"] == "changing"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"schema": 1, "run": "2026', "is damaged or cut off"),
        ("", "is damaged or cut off"),
        ("[]", "does not hold what belongs there"),
        (json.dumps({"schema": 2}), "has schema 2"),
        (json.dumps({"schema": 1, "run": RUN}), "is damaged"),
        (
            json.dumps({**VALUES, "schema": 1, "run": RUN, "state": "changing", "changes": [{"number": 1}]}),
            "a change without",
        ),
        (json.dumps({**VALUES, "schema": 1, "run": RUN, "state": "odd", "changes": []}), "state 'odd'"),
    ],
)
def test_a_damaged_manifest_is_refused_by_its_name(tmp_path: Path, text: str, words: str) -> None:
    folder = opened(tmp_path)
    manifest.create(folder, RUN, dict(VALUES)).close()
    path = Path(folder.path) / RUN / "manifest.json"
    path.write_text(text)
    with pytest.raises(StateError, match=words) as told:
        manifest.load(folder, RUN)
    assert str(path) in str(told.value)
    [(run, found, problem)] = manifest.unended(folder)
    assert run == RUN and found is None and str(path) in problem


@pytest.mark.parametrize("run", ["../x", "latest", "", "20261122T101500Z-1f2e3d/..", "20261122T101500Z-1F2E3D"])
def test_what_is_no_id_of_a_run_reaches_no_file(tmp_path: Path, run: str) -> None:
    with pytest.raises(StateError, match="is no id of a run"):
        manifest.load(opened(tmp_path), run)


def test_a_run_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="there is no run"):
        manifest.load(opened(tmp_path), RUN)


def test_a_directory_that_is_used_is_held_for_one_process_at_a_time(tmp_path: Path) -> None:
    first, second = opened(tmp_path), opened(tmp_path)
    with (
        store.exclusive(first, 0),
        pytest.raises(StateError, match="another repair is at work"),
        store.exclusive(second, 0.2),
    ):
        pass
    with store.exclusive(second, 0):
        pass


def test_ids_of_runs_are_ids() -> None:
    assert store.RUN_ID.fullmatch(store.run_id())
    assert store.run_id(0).startswith("19700101T000000Z-")
