# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import logs, logs_files
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.access_check import Identity
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.logs_files import read_tail, rotated
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import Backend, LogRef
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.reach import Reader


def by_name(*trees: Path) -> Reader:
    """Read for nobody, who may have what lies in these trees."""
    return Reader(Identity(65534, 65534, (65534,)), tuple(str(tree) for tree in trees))


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="file owners can be set by root only")


def gather(*paths: Path, uid: int | None = None) -> dict[str, Any]:
    ctx = Context({}, time.monotonic() + 10)
    backend = Backend("api", "supervisor", uid=uid, log_files=[LogRef(str(path), "test", "stderr") for path in paths])
    return logs.collect(backend, ctx)


def test_a_tail_starts_at_a_line_and_knows_its_number(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("".join(f"line {n}\n" for n in range(1, 10_001)))
    tail = read_tail(str(log), Reader(), 1000)
    first = tail.raw.split(b"\n")[0].decode()
    assert first == f"line {tail.first_line}"
    assert tail.raw.endswith(b"line 10000\n")
    assert tail.truncated


def test_lines_of_a_gigantic_file_are_not_counted_and_reading_it_is_quick(tmp_path: Path) -> None:
    log = tmp_path / "huge.log"
    with open(log, "wb") as stream:
        stream.truncate(1 << 30)
        stream.seek(0, os.SEEK_END)
        stream.write(b"\nlast words\n")
    begun = time.monotonic()
    source = gather(log)["sources"][0]
    assert time.monotonic() - begun < 0.5
    assert source["numbering"] == "window"
    assert source["attempts"][-1]["segments"][-1]["lines"][-1] == "last words"
    assert source["size_bytes"] > 1 << 30


def test_a_line_longer_than_the_window_is_shown(tmp_path: Path) -> None:
    log = tmp_path / "one.log"
    log.write_text("x" * 9000)
    assert len(read_tail(str(log), Reader(), 4096).raw) == 4096


def test_what_is_no_log_gets_a_sentence(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    (tmp_path / "binary.log").write_bytes(os.urandom(5000))
    begun = time.monotonic()
    sources = gather(fifo, tmp_path, tmp_path / "none.log", loop, tmp_path / "binary.log", Path("/dev/null"))["sources"]
    assert time.monotonic() - begun < 1
    said = [source["error"] for source in sources]
    assert "a FIFO" in said[0]
    assert "a directory" in said[1]
    assert "does not exist" in said[2]
    assert "circle" in said[3]
    assert "not text" in said[4]
    assert sources[4]["binary"]
    assert "no log file" in said[5]


def test_kernel_files_are_never_read(tmp_path: Path) -> None:
    link = tmp_path / "app.log"
    link.symlink_to("/proc/version")
    assert "no log file" in (read_tail(str(link), Reader()).error or "")


@needs_root
def test_a_planted_link_to_a_secret_is_not_followed(tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o755)
    secret = tmp_path / "shadow"
    secret.write_text("root:hash\n")
    secret.chmod(0o600)
    folder = tmp_path / "log"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    (folder / "app.log").symlink_to(secret)
    tail = read_tail(str(folder / "app.log"), by_name(tmp_path))
    assert tail.raw == b""
    assert "may not read" in (tail.error or "")


@needs_root
def test_a_planted_directory_link_and_a_hard_link_are_not_followed(tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o755)
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    (private / "app.log").write_text("private\n")
    (private / "app.log").chmod(0o600)
    folder = tmp_path / "service"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    (folder / "log").symlink_to(private)
    os.link(private / "app.log", folder / "hard.log")
    for path in (folder / "log" / "app.log", folder / "hard.log"):
        tail = read_tail(str(path), by_name(tmp_path))
        assert (tail.raw, bool(tail.error)) == (b"", True), path


@needs_root
def test_links_that_give_nothing_away_are_followed(open_path: Path) -> None:
    folder = open_path / "log"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    (folder / "app-1.log").write_text("mine\n")
    (folder / "app.log").symlink_to("app-1.log")
    assert read_tail(str(folder / "app.log"), by_name()).raw == b"mine\n"
    hidden = open_path / "hidden.log"
    hidden.write_text("by root's own link\n")
    hidden.chmod(0o600)
    root_only = open_path / "rootlink.log"
    root_only.symlink_to(hidden)
    assert read_tail(str(root_only), by_name(root_only)).raw == b"by root's own link\n"
    assert "may not read" in (read_tail(str(root_only), by_name()).error or "")


def test_the_rotation_is_read_when_the_log_has_hardly_begun(tmp_path: Path) -> None:
    (tmp_path / "app.log").write_text("new\n")
    (tmp_path / "app.log.1").write_text("Traceback of yesterday\n")
    (tmp_path / "app.log.2.gz").write_bytes(b"\x1f\x8b")
    (tmp_path / "app.logic").write_text("other\n")
    sources = gather(tmp_path / "app.log")["sources"]
    assert [Path(source["path"]).name for source in sources] == ["app.log.1", "app.log"]
    (tmp_path / "app.log").write_text("new line\n" * 2000)
    assert len(gather(tmp_path / "app.log")["sources"]) == 1


@pytest.mark.parametrize("name", ["app.log.1", "app.log-20261122", "app.log.2026-11-22", "app.log-20261122-1234"])
def test_names_of_rotations(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x")
    assert rotated(str(tmp_path / "app.log")) == str(tmp_path / name)


def test_the_whole_section_stays_within_its_cap(tmp_path: Path) -> None:
    paths = []
    for number in range(12):
        path = tmp_path / f"{number}.log"
        path.write_text("some text of a log line\n" * 20_000)
        paths.append(path)
    section = gather(*paths)
    total = sum(
        len(line) + 1
        for source in section["sources"]
        for attempt in source["attempts"]
        for segment in attempt["segments"]
        for line in segment["lines"]
    )
    assert len(section["sources"]) == 12
    assert total <= logs.TOTAL_BYTES
    assert section["_truncated"]


def test_size_limits_fit_each_other() -> None:
    assert logs_files.TAIL_BYTES * 2 <= logs.TOTAL_BYTES


@pytest.mark.parametrize(("euid", "said"), [(0, None), (1000, "run with become")])
def test_an_empty_journal_is_no_silence_for_a_plain_user(
    monkeypatch: pytest.MonkeyPatch, euid: int, said: str | None
) -> None:
    monkeypatch.setattr(logs.journal, "query", lambda ctx, unit, wanted: ([], None, False))
    section = logs.collect(Backend("web.service", "systemd"), Context({}, time.monotonic() + 9, euid=euid))
    error = section["sources"][0]["error"]
    assert error is None if said is None else said in error
