# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repair that ends, or meets a full disk, at any single system call that changes something: between checkpoints, and in the middle of a write."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from worlds import World

from ansible_collections.firstaid.backend.plugins.module_utils._repair import session
from ansible_collections.firstaid.backend.plugins.module_utils._repair.store import StateError

# All by which the repair changes anything on disk; open counts where it makes a file.
CALLS = (
    "write", "rename", "unlink", "mkdir", "rmdir", "symlink", "fsync", "fchown", "fchmod", "chmod", "chown", "utime", "setxattr", "ftruncate",
    "removexattr", "open",
)  # fmt: skip
FULL_BY = ("write", "mkdir", "symlink", "rename", "open")


class Calls:
    """Counts the calls, and does something at one of them: ``act(real, arguments)`` gives what the call gives."""

    def __init__(self, at: int, act: Callable[..., Any], names: tuple[str, ...] = CALLS, onwards: bool = False) -> None:
        self.at, self.act, self.onwards = at, act, onwards
        self.passed: list[str] = []
        for name in names:
            setattr(os, name, self._around(name, getattr(os, name)))

    def _around(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            if name == "open" and not (len(arguments) > 1 and arguments[1] & os.O_CREAT):
                return real(*arguments, **more)
            self.passed.append(name)
            here = len(self.passed) - 1
            if here == self.at or (self.onwards and 0 <= self.at < here):
                return self.act(name, real, *arguments, **more)
            return real(*arguments, **more)

        return call


def kill(_name: str, _real: Any, *_arguments: Any, **_more: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_after_half(name: str, real: Any, *arguments: Any, **more: Any) -> None:
    try:
        if name == "write":
            real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
        else:
            real(*arguments, **more)
    finally:
        os.kill(os.getpid(), signal.SIGKILL)


def full(name: str, real: Any, *arguments: Any, **_more: Any) -> None:
    if name == "write":
        real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *([str(arguments[0])] if name != "write" else []))


def child(root: Path, what: str, prepare: Callable[[], Any]) -> int:
    """Do it in a child; its wait status. What it said, and which calls it made, is in ``told``."""
    pid = os.fork()
    if pid == 0:
        calls = None
        told: dict[str, Any] = {}
        real_open = os.open
        try:
            world = World(root)
            calls = prepare()
            answer = world.fix() if what == "fix" else world.roll_back()
            told["outcome"] = getattr(answer, "outcome", None)
        except StateError as exc:
            told["refused"] = str(exc)
        except BaseException:
            told["broken"] = traceback.format_exc()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            os.open = real_open
            told["calls"] = calls.passed if isinstance(calls, Calls) else []
            with open(root / "told", "w", encoding="utf-8") as stream:
                json.dump(told, stream)
            os._exit(0)
    return os.waitpid(pid, 0)[1]


def count(tmp_path: Path, what: str, proof: str, names: tuple[str, ...]) -> list[str]:
    root = tmp_path / "all"
    root.mkdir()
    world = World(root).make(proof=proof)
    if what == "roll_back":
        world.fix()
    child(root, what, lambda: Calls(-1, kill, names))
    told = json.loads((root / "told").read_text())
    assert "broken" not in told, told
    found: list[str] = told["calls"]
    shutil.rmtree(root)
    return found


def settled(world: World, before: Any, where: str) -> None:
    """The next session tells the truth, and after it all is as before, or whole; then the repair works."""
    unfinished = world.outlook()["unfinished"]
    assert len(unfinished) <= 1, where
    if unfinished:
        done = world.roll_back(unfinished[0]["run"])
        assert done is None or done.refused == [], (where, done)
        assert world.outlook()["unfinished"] == [], where
    assert world.snapshot() == before, where
    assert world.service in ("running", "starting"), where
    (world.root / "proof").write_text("true")
    assert world.fix().outcome is None, where
    assert (world.app / "settings.env").read_bytes() == b"A=1\nB=2\n", where


@pytest.mark.parametrize("proof", ["true", "wrong"])
@pytest.mark.parametrize("act", [kill, kill_after_half], ids=["before", "in the middle"])
def test_killed_at_any_call_of_a_fix(tmp_path: Path, proof: str, act: Callable[..., Any]) -> None:
    calls = count(tmp_path, "fix", proof, CALLS)
    assert len(calls) > 60
    for number, name in enumerate(calls):
        root = tmp_path / str(number)
        root.mkdir()
        world = World(root).make(proof=proof)
        before = world.snapshot()
        status = child(root, "fix", lambda at=number: Calls(at, act))
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        settled(world, before, f"{number} {name}")
        shutil.rmtree(root)


@pytest.mark.parametrize("act", [kill, kill_after_half], ids=["before", "in the middle"])
def test_killed_at_any_call_of_a_rollback(tmp_path: Path, act: Callable[..., Any]) -> None:
    calls = count(tmp_path, "roll_back", "true", CALLS)
    assert len(calls) > 30
    for number, name in enumerate(calls):
        root = tmp_path / str(number)
        root.mkdir()
        world = World(root).make()
        before = world.snapshot()
        world.fix()
        child(root, "roll_back", lambda at=number: Calls(at, act))
        unfinished = world.outlook()["unfinished"]
        if unfinished:
            done = world.roll_back(unfinished[0]["run"])
            assert done is None or done.refused == [], (number, name)
        assert world.outlook()["unfinished"] == [], (number, name)
        assert world.snapshot() == before, (number, name)
        shutil.rmtree(root)


@pytest.mark.parametrize("proof", ["true", "wrong"])
def test_a_disk_that_is_full_from_any_call_on(tmp_path: Path, proof: str) -> None:
    calls = count(tmp_path, "fix", proof, FULL_BY)
    for number, name in enumerate(calls):
        root = tmp_path / str(number)
        root.mkdir()
        world = World(root).make(proof=proof)
        before = world.snapshot()
        child(root, "fix", lambda at=number: Calls(at, full, FULL_BY, onwards=True))
        told = json.loads((root / "told").read_text())
        assert "broken" not in told, (number, name, told)
        assert "full" in told.get("refused", "full"), told
        settled(world, before, f"{number} {name}")
        shutil.rmtree(root)


@pytest.mark.parametrize("limit", [0, 1, 100, 400, 800, 1200, 1600, 2400, 4000])
def test_files_that_may_not_grow(tmp_path: Path, limit: int) -> None:
    world = World(tmp_path).make()
    before = world.snapshot()
    child(tmp_path, "fix", lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY)))
    told = json.loads((tmp_path / "told").read_text())
    assert "broken" not in told, told
    if told.get("outcome") is None and "refused" not in told:
        assert (world.app / "settings.env").read_bytes() == b"A=1\nB=2\n"
        return
    settled(world, before, str(limit))


@contextmanager
def small_disk(place: Path, kib: int) -> Iterator[None]:
    place.mkdir(exist_ok=True)
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kib}k,mode=700", "tmpfs", str(place)], check=False, capture_output=True
    ).returncode:
        pytest.skip("needs the right to mount")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to mount")
@pytest.mark.parametrize("which", ["state", "app"])
@pytest.mark.parametrize("pages", [0, 1, 2, 3, 4, 6])
def test_a_small_real_disk(tmp_path: Path, which: str, pages: int) -> None:
    with small_disk(tmp_path / which, 64):
        world = World(tmp_path)
        if which == "app":
            (tmp_path / "elsewhere").mkdir()
            inner = World(tmp_path / "elsewhere").make()
            shutil.copytree(inner.app, tmp_path / "app", symlinks=True, dirs_exist_ok=True)
            for name in ("service", "proof", "orders"):
                shutil.copy(inner.root / name, tmp_path / name)
        else:
            world.make()
        before = world.snapshot()
        ballast = tmp_path / which / ".ballast"
        free = os.statvfs(tmp_path / which).f_bavail
        ballast.write_bytes(b"x" * max(0, free - pages) * os.statvfs(tmp_path / which).f_bsize)
        child(tmp_path, "fix", lambda: None)
        told = json.loads((tmp_path / "told").read_text())
        assert "broken" not in told, told
        ballast.unlink()
        if told.get("outcome") is None and "refused" not in told:
            assert (world.app / "settings.env").read_bytes() == b"A=1\nB=2\n"
        else:
            settled(world, before, f"{which} {pages}: {told}")


def test_a_manifest_cut_off_at_any_length(tmp_path: Path) -> None:
    world = World(tmp_path).make()
    with pytest.raises(KeyboardInterrupt):
        world.fix(checkpoint=_stop_at("applied 1"))
    [path] = Path(world.state_dir).glob("web.service/*/manifest.json")
    whole = path.read_bytes()
    after = world.snapshot()
    for length in range(len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(StateError) as refused:
            world.outlook()
        assert str(path) in str(refused.value), length
        if length % 16:
            continue
        with session.backend_folder(world.state_dir, "web.service") as folder:
            assert str(path) in str(session.half_way(folder)), length
        with pytest.raises(StateError):
            world.roll_back()
        assert world.snapshot() == after, length
    path.write_bytes(whole[:-1])
    done = world.roll_back(world.outlook()["unfinished"][0]["run"])
    assert done is not None and done.refused == []


def _stop_at(name: str) -> Callable[[str], None]:
    def checkpoint(here: str) -> None:
        if here == name:
            raise KeyboardInterrupt

    return checkpoint
