# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path
from typing import Any, Optional

import pytest
from worlds import FileSite

from ansible_collections.firstaid.backend.plugins.module_utils._repair import changes, files
from ansible_collections.firstaid.backend.plugins.module_utils._repair.changes import ChangeError, Means, Record
from ansible_collections.firstaid.backend.plugins.module_utils._repair.files import FileError
from ansible_collections.firstaid.backend.plugins.module_utils._repair.model import Change
from ansible_collections.firstaid.backend.plugins.module_utils._repair.store import RunKeep, open_state

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def means(tmp_path: Path) -> Means:
    site = FileSite(tmp_path)
    return Means(site.ctx, site.control, RunKeep(open_state(str(tmp_path / "state"), create=True), 1))


def make(change: Change, means: Means, stop_before_apply: bool = False) -> Record:
    kind = changes.kind(change.kind)
    before = kind.before(change, means)
    record = {"kind": change.kind, "path": change.path, "before": before, "after": kind.after(change, before, means)}
    if not stop_before_apply:
        kind.apply(change, record, means)
        assert kind.is_after(record, means) and not kind.is_before(record, means)
    return record


def undo(record: Record, means: Means) -> None:
    kind = changes.kind(record["kind"])
    kind.undo(record, means)
    assert kind.is_before(record, means)
    # Twice is as good as once.
    kind.undo(record, means)
    assert kind.is_before(record, means)


def facts(path: Path) -> tuple[Any, ...]:
    status = path.lstat()
    body: Any = os.readlink(path) if path.is_symlink() else path.read_bytes()
    return stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, body


def test_a_file_is_replaced_and_comes_back_with_all_it_had(tmp_path: Path, means: Means) -> None:
    path = tmp_path / "settings.env"
    path.write_bytes(b"A=1\n")
    path.chmod(0o640)
    os.utime(path, ns=(10**18, 10**18 + 7))
    if os.geteuid() == 0:
        os.chown(path, NOBODY, 12)
    before, inode = facts(path), path.stat().st_ino
    with path.open() as held:
        record = make(Change("file", str(path), "w", content=b"A=2\n"), means)
        # Replaced, not written over: who has it open still reads the former one.
        assert held.read() == "A=1\n"
    assert path.stat().st_ino != inode
    assert facts(path) == (*before[:4], b"A=2\n")
    undo(record, means)
    assert facts(path) == before
    assert path.stat().st_mtime_ns == 10**18 + 7
    assert sorted(os.listdir(tmp_path)) == ["settings.env", "state"]


def test_extended_attributes_are_kept_by_both_ways(tmp_path: Path, means: Means) -> None:
    path = tmp_path / "settings.env"
    path.write_bytes(b"A=1\n")
    try:
        os.setxattr(path, "user.firstaid", b"context")
    except OSError:
        pytest.skip("no extended attributes on this file system")
    record = make(Change("file", str(path), "w", content=b"A=2\n"), means)
    assert os.getxattr(path, "user.firstaid") == b"context"
    undo(record, means)
    assert os.getxattr(path, "user.firstaid") == b"context"


def test_a_new_file_makes_its_directories_and_undo_removes_them(tmp_path: Path, means: Means) -> None:
    path = tmp_path / "web.service.d" / "deep" / "90-firstaid-test.conf"
    record = make(Change("file", str(path), "w", content=b"[Service]\n"), means)
    assert facts(path)[1:4] == (0o644, os.geteuid(), os.getegid())
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755
    undo(record, means)
    assert not (tmp_path / "web.service.d").exists()


def test_directories_that_somebody_uses_meanwhile_stay(tmp_path: Path, means: Means) -> None:
    path = tmp_path / "web.service.d" / "90-firstaid-test.conf"
    record = make(Change("file", str(path), "w", content=b"[Service]\n"), means)
    (path.parent / "10-theirs.conf").write_text("[Service]\n")
    undo(record, means)
    assert os.listdir(path.parent) == ["10-theirs.conf"]


def test_a_secret_file_is_private_and_not_in_the_diff(tmp_path: Path, means: Means) -> None:
    path = tmp_path / "secret.env"
    change = Change("file", str(path), "w", content=b"PASSWORD=hunter2\n", secret=True)
    shown = changes.kind("file").diff(change, changes.kind("file").before(change, means), means)
    assert "hunter2" not in repr(shown) and shown["after"]
    record = make(change, means)
    assert facts(path)[1] == 0o600
    again = Change("file", str(path), "w", content=b"PASSWORD=hunter3\n", secret=True)
    shown = changes.kind("file").diff(again, record["after"], means)
    assert "hunter" not in repr(shown) and shown["before"] != shown["after"]


@as_root
def test_a_new_file_belongs_to_the_owner_of_its_directory(tmp_path: Path, means: Means) -> None:
    folder = tmp_path / "app"
    folder.mkdir()
    os.chown(folder, NOBODY, 12)
    make(Change("file", str(folder / "x"), "w", content=b"x"), means)
    assert facts(folder / "x")[2:4] == (NOBODY, 12)
    make(Change("link", str(folder / "l"), "w", target="x"), means)
    assert facts(folder / "l")[2:4] == (NOBODY, 12)


def test_removal_of_a_file_and_of_a_link(tmp_path: Path, means: Means) -> None:
    path, link = tmp_path / "x", tmp_path / "l"
    path.write_bytes(b"\0\xff")
    link.symlink_to("elsewhere")
    for change in (Change("file", str(path), "w"), Change("link", str(link), "w")):
        before = facts(Path(change.path))
        record = make(change, means)
        assert not os.path.lexists(change.path)
        undo(record, means)
        assert facts(Path(change.path)) == before


def test_a_link_gets_another_target_and_the_former_one_back(tmp_path: Path, means: Means) -> None:
    link = tmp_path / "backend"
    link.symlink_to("backend")
    record = make(Change("link", str(link), "w", target="app"), means)
    assert os.readlink(link) == "app"
    undo(record, means)
    assert os.readlink(link) == "backend"


def test_a_text_file_in_the_place_of_a_link_only_when_asked_for(tmp_path: Path, means: Means) -> None:
    link = tmp_path / "backend"
    link.write_text("../app")
    with pytest.raises(ChangeError, match="is a regular file"):
        make(Change("link", str(link), "w", target="app"), means)
    record = make(Change("link", str(link), "w", target="app", replaces_file=True), means)
    assert os.readlink(link) == "app"
    undo(record, means)
    assert link.read_text() == "../app"


@pytest.mark.parametrize("kind", ["file", "link"])
@pytest.mark.parametrize("removal", [True, False])
def test_a_directory_is_never_replaced_or_removed(tmp_path: Path, means: Means, kind: str, removal: bool) -> None:
    path = tmp_path / "backend"
    path.mkdir()
    (path / "code.py").write_text("x = 1\n")
    change = Change(
        kind, str(path), "w", content=None if removal else b"", target=None if removal else "app", replaces_file=True
    )
    with pytest.raises(ChangeError, match="is a directory"):
        make(change, means)
    assert (path / "code.py").read_text() == "x = 1\n"


def test_a_directory_that_takes_the_place_later_is_left_alone_too(tmp_path: Path, means: Means) -> None:
    path = tmp_path / "x"
    record = make(Change("file", str(path), "w", content=b"x"), means)
    path.unlink()
    path.mkdir()
    with pytest.raises(ChangeError, match="is a directory now"):
        changes.kind("file").undo(record, means)
    assert path.is_dir()


@pytest.mark.parametrize("special", ["fifo", "socket", "link"])
def test_special_files_and_links_are_not_taken_for_files(tmp_path: Path, means: Means, special: str) -> None:
    path = tmp_path / "x"
    holder: Optional[socket.socket] = None
    if special == "fifo":
        os.mkfifo(path)
    elif special == "socket":
        os.chdir(tmp_path)
        holder = socket.socket(socket.AF_UNIX)
        holder.bind("x")
    else:
        (tmp_path / "target").write_text("kept")
        path.symlink_to("target")
    with pytest.raises(ChangeError, match="it was left alone"):
        make(Change("file", str(path), "w", content=b"new"), means)
    if special == "link":
        assert (tmp_path / "target").read_text() == "kept"
    if holder:
        holder.close()


@as_root
def test_a_service_users_link_leads_nobody_into_the_directories_of_others(tmp_path: Path, means: Means) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    theirs.mkdir()
    ours.mkdir()
    (ours / "shadow").write_text("root's")
    os.chown(theirs, NOBODY, NOBODY)
    (theirs / "conf").symlink_to(ours)
    os.chown(theirs / "conf", NOBODY, NOBODY, follow_symlinks=False)
    with pytest.raises(ChangeError, match="such a link isn't followed"):
        make(Change("file", str(theirs / "conf" / "shadow"), "w", content=b"theirs"), means)
    assert (ours / "shadow").read_text() == "root's"
    # To a directory of his own it may lead, and so may a link of root's.
    (theirs / "real").mkdir()
    os.chown(theirs / "real", NOBODY, NOBODY)
    (theirs / "current").symlink_to("real")
    os.chown(theirs / "current", NOBODY, NOBODY, follow_symlinks=False)
    make(Change("file", str(theirs / "current" / "x"), "w", content=b"x"), means)
    assert (theirs / "real" / "x").read_bytes() == b"x"
    (theirs / "rooted").symlink_to(ours)
    make(Change("file", str(theirs / "rooted" / "y"), "w", content=b"y"), means)
    assert (ours / "y").read_bytes() == b"y"


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(FileError, match="too many links"):
        files.open_directory(str(tmp_path / "a" / "x"))


def test_a_file_with_another_name_is_refused(tmp_path: Path, means: Means) -> None:
    path = tmp_path / "x"
    path.write_text("x")
    os.link(path, tmp_path / "y")
    for change in (Change("file", str(path), "w", content=b"y"), Change("attributes", str(path), "w", mode=0o600)):
        with pytest.raises(ChangeError, match="hard links"):
            make(change, means)
    assert (tmp_path / "y").read_text() == "x"


def test_attributes_of_a_directory_change_and_come_back(tmp_path: Path, means: Means) -> None:
    path = tmp_path / "app"
    path.mkdir(mode=0o700)
    owner = {"uid": NOBODY, "gid": NOBODY} if os.geteuid() == 0 else {}
    record = make(Change("attributes", str(path), "w", mode=0o755, **owner), means)
    assert stat.S_IMODE(path.stat().st_mode) == 0o755
    undo(record, means)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700 and path.stat().st_uid == os.geteuid()


def test_attributes_of_a_link_are_refused(tmp_path: Path, means: Means) -> None:
    (tmp_path / "target").write_text("x")
    (tmp_path / "l").symlink_to("target")
    with pytest.raises(ChangeError, match="symbolic link"):
        make(Change("attributes", str(tmp_path / "l"), "w", mode=0o777), means)


def test_a_file_that_changed_since_it_was_looked_at_is_not_touched(tmp_path: Path, means: Means) -> None:
    path = tmp_path / "x"
    path.write_text("a")
    change = Change("file", str(path), "w", content=b"b")
    record = make(change, means, stop_before_apply=True)
    path.write_text("theirs")
    with pytest.raises(ChangeError, match="changed by somebody else"):
        changes.kind("file").apply(change, record, means)
    assert path.read_text() == "theirs"


def test_a_full_disk_leaves_the_former_file_and_nothing_beside_it(
    tmp_path: Path, means: Means, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    path.write_text("a")
    change = Change("file", str(path), "w", content=b"b" * 100)
    record = make(change, means, stop_before_apply=True)

    def full(descriptor: int, content: bytes) -> None:
        os.write(descriptor, content[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, "write_all", full)
    with pytest.raises(ChangeError, match="the file system is full: free some space"):
        changes.kind("file").apply(change, record, means)
    assert path.read_text() == "a"
    assert sorted(os.listdir(tmp_path)) == ["state", "x"]


def test_former_content_that_was_tampered_with_is_not_put_back(tmp_path: Path, means: Means) -> None:
    path = tmp_path / "x"
    path.write_text("a")
    record = make(Change("file", str(path), "w", content=b"b"), means)
    (tmp_path / "state" / "files" / "0001").write_text("evil")
    with pytest.raises(ChangeError, match="not what was kept"):
        changes.kind("file").undo(record, means)
    assert path.read_text() == "b"


def test_what_a_killed_write_left_is_removed_by_undo(tmp_path: Path, means: Means) -> None:
    path = tmp_path / "deep" / "x"
    record = make(Change("file", str(path), "w", content=b"b"), means, stop_before_apply=True)
    path.parent.mkdir()
    (path.parent / record["before"]["temporary"]).write_text("half")
    undo(record, means)
    assert not path.parent.exists()


@pytest.mark.parametrize("path", ["relative/x", "/", "/tmp/..", "/tmp/x/", "/tmp/\0x"])
def test_what_is_no_path_of_a_file_is_refused(path: str, means: Means) -> None:
    with pytest.raises(ChangeError, match="no absolute path"):
        make(Change("file", path, "w", content=b""), means)
