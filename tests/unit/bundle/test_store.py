# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a bundle may be written, and that it is complete or not there."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.plugin_utils._bundle import store as module
from ansible_collections.firstaid.backend.plugins.plugin_utils._bundle.store import (
    Store,
    StoreError,
    open_output_directory,
)

NOW = 1795342500.0  # 2026-11-22T10:15:00Z
NAME = "backend-diagnostics-20261122T101500Z"


def make(directory: Path, now: float = NOW) -> str:
    store = Store(str(directory))
    store.write("web1/web/00-SUMMARY.txt", "x\n")
    path = store.finish(now)
    store.close()
    return path


def test_modes_and_name(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        path = Path(make(tmp_path))
    finally:
        os.umask(old)
    assert path.name == NAME and [entry.name for entry in tmp_path.iterdir()] == [NAME]
    modes = {stat.S_IMODE(entry.stat().st_mode) for entry in path.rglob("*") if entry.is_dir()}
    assert modes == {0o700} and stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE((path / "web1/web/00-SUMMARY.txt").stat().st_mode) == 0o600


def test_two_runs_in_one_second_have_two_bundles(tmp_path: Path) -> None:
    assert [Path(make(tmp_path)).name for _ in range(3)] == [NAME, f"{NAME}-2", f"{NAME}-3"]


def test_a_planted_link_under_the_name_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / NAME).symlink_to(elsewhere)
    assert Path(make(tmp_path)).name == f"{NAME}-2" and not list(elsewhere.iterdir())


def refused(path: str) -> str:
    with pytest.raises(StoreError) as caught:
        os.close(open_output_directory(path))
    return str(caught.value)


def test_refusals_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path)
    assert "absolute path" in refused("relative")
    assert "mkdir -p" in refused(str(tmp_path / "absent"))
    assert "isn't a directory" in refused(str(tmp_path / "file"))
    assert "symbolic link" in refused(str(tmp_path / "link")) and "real directory" in refused(str(tmp_path / "link"))


def test_a_directory_that_everybody_may_change_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    assert "sticky" in refused(str(tmp_path))
    tmp_path.chmod(0o1777)
    os.close(open_output_directory(str(tmp_path)))


def test_somebody_elses_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = tmp_path.stat().st_uid
    monkeypatch.setattr(module.os, "geteuid", lambda: 4242)
    if owner == 0:
        os.chown(tmp_path, 4343, -1)
    assert "owned by user id" in refused(str(tmp_path))


def test_an_unwritable_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.os, "access", lambda *_args, **_kw: False)
    assert "isn't writable" in refused(str(tmp_path))


def test_a_full_disk_leaves_what_was_written_under_a_telling_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(tmp_path))
    store.write("web1/first", "kept")
    real = os.fdopen

    def full(*_args: Any, **_kw: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "fdopen", full)
    with pytest.raises(StoreError, match="No space left"):
        store.write("web1/second", "x")
    monkeypatch.setattr(module.os, "fdopen", real)
    kept = Path(store.keep_partial())
    store.close()
    assert "incomplete" in kept.name and (kept / "web1/first").read_text() == "kept"


def test_a_later_batch_adds_to_the_bundle_and_replaces_only_the_reports(tmp_path: Path) -> None:
    path = make(tmp_path)
    store = Store(str(tmp_path), extend=path)
    store.write("web2/web/00-SUMMARY.txt", "y\n")
    store.write("report.md", "one", replace=True)
    store.write("report.md", "two", replace=True)
    with pytest.raises(StoreError, match="File exists"):
        store.write("web1/web/00-SUMMARY.txt", "forged")
    assert store.finish() == path
    store.close()
    assert (Path(path) / "report.md").read_text() == "two" and (
        Path(path) / "web1/web/00-SUMMARY.txt"
    ).read_text() == "x\n"


def test_a_big_fleet_does_not_use_up_the_file_descriptors(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for number in range(300):
        store.write(f"host{number}/web/a", "")
        store.write(f"host{number}/web/b", "")
    if before:
        assert len(os.listdir("/proc/self/fd")) - before < 80
    store.close()
