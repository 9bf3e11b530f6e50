# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What collectors meet on a broken host, with real FIFOs, processes, file systems and clocks: a bounded time, and a sentence."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import (
    app,
    context,
    env_file,
    journal,
    logs_files,
    proc,
    requirements,
    runner,
    silent_mounts,
    systemd_journal,
)
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import Backend, Section, Unavailable
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.registry import Collector

HUNG_FS = Path(__file__).resolve().parents[3] / "molecule" / "collectors" / "tests" / "hung_fs.py"


def ctx(seconds: float = 30.0) -> Context:
    return Context({}, time.monotonic() + seconds)


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def test_a_fifo_is_named_and_never_waited_for(fifo: Path, tmp_path: Path) -> None:
    begun = time.monotonic()
    (tmp_path / "link").symlink_to(fifo)
    for path in (fifo, tmp_path / "link"):
        assert "is a FIFO, not a regular file" in str(ctx().read(str(path)).error)
        assert "is a FIFO" in str(logs_files.read_tail(str(path), ctx().reader).error)
        described = env_file.describe(str(path), ctx(), "EnvironmentFile")
        assert described["type"] == "fifo" and "is a FIFO, not a regular file" in described["load_error"]
        assert described["exists"] is True and described["readable"] is False
    assert time.monotonic() - begun < 20


def test_a_project_of_fifos_gives_nothing_and_does_not_wait(tmp_path: Path) -> None:
    for name in ("requirements.txt", "pyproject.toml", "Pipfile.lock", "setup.cfg", "uv.lock"):
        os.mkfifo(tmp_path / name)
    begun = time.monotonic()
    assert requirements.read_project([str(tmp_path)], ctx()).declared == []
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize(
    "script",
    [
        "trap '' TERM INT HUP; while :; do sleep 1; done",
        # A child that outlives its parent keeps the pipe open.
        "trap '' TERM; (trap '' TERM HUP; sleep 30) & echo begun",
        "exec sleep 30",
        "exec cat /dev/zero",
        "yes | head -c 3000000; sleep 30",
    ],
    ids=["ignores SIGTERM", "left a child", "sleeps", "endless", "much and then nothing"],
)
def test_a_command_that_does_not_end_is_ended(script: str) -> None:
    mark = f"firstaid-{os.getpid()}-{time.monotonic_ns()}"
    begun = time.monotonic()
    result = ctx().run(["sh", "-c", f": {mark}; {script}"], timeout=0.6, max_bytes=1024 * 1024)
    assert time.monotonic() - begun < 20
    assert result.timed_out or result.truncated or result.exit_status == 0
    assert not result.timed_out or "did not finish within" in str(result.error)
    left = subprocess.run(["pgrep", "-f", mark], capture_output=True, text=True, check=False).stdout
    assert left == ""


def test_processes_that_vanish_while_they_are_looked_at() -> None:
    code = (
        "import os, time\nend = time.time() + 4\nwhile time.time() < end:\n    os.fork() or os._exit(0)\n    os.wait()"
    )
    storm = [subprocess.Popen([sys.executable, "-c", code]) for _number in range(2)]
    try:
        end = time.monotonic() + 2
        while time.monotonic() < end:
            for stat in list(proc.scan().values()):
                assert proc.inspect(stat, count_fds=True).as_dict()["pid"] == stat.pid
    finally:
        for one in storm:
            one.kill()
            one.wait()


def entry(when: float, message: str, **fields: str) -> str:
    import json

    return json.dumps(
        {
            "__REALTIME_TIMESTAMP": str(int(when * 1e6)),
            "MESSAGE": message,
            "_PID": "7",
            "_SYSTEMD_UNIT": "api.service",
            **fields,
        }
    )


@pytest.mark.parametrize(
    "jump", [-86400.0 * 365, -3600.0, 86400.0 * 365 * 50], ids=["a year back", "an hour back", "far ahead"]
)
def test_a_clock_that_jumps_in_the_journal(jump: float) -> None:
    now = time.time()
    lines = [entry(now - 20, "a"), entry(now - 10, "b"), entry(now + jump, "c"), entry(now + jump + 1, "d")]
    entries = [one for one in (journal.parse_entry(line, "api.service") for line in lines) if one]
    cuts = journal.to_cuts(entries)
    assert [line for cut in cuts for line in cut.lines] == ["a", "b", "c", "d"]
    history = systemd_journal.parse(
        "\n".join(reversed([entry(now + jump, "x", MESSAGE_ID=systemd_journal.RESTART_SCHEDULED)]))
    )
    assert systemd_journal.restarts_within(history, 600, now) in (0, 1)


def test_what_hangs_is_left_behind_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silent_mounts, "find", lambda: {"/mnt/share": "nfs4"})
    monkeypatch.setattr(silent_mounts, "PATIENCE_S", 0.1)
    begun = time.monotonic()
    try:
        with pytest.raises(Unavailable, match=r"did not end in time: /mnt/share \(nfs4\) does not answer"):
            silent_mounts.within(ctx(0.3), time.sleep, 20)
        assert time.monotonic() - begun < 15
        assert silent_mounts.within(ctx(), lambda: 5) == 5
        with pytest.raises(KeyError):
            silent_mounts.within(ctx(), {}.__getitem__, "x")
        assert "see whether its server or process is alive" in silent_mounts.sentences()[0]
    finally:
        context.SILENT.clear()


def test_paths_to_a_silent_file_system_are_known_without_touching_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = str(tmp_path / "share")
    (tmp_path / "link").symlink_to("share/deep")
    (tmp_path / "absolute").symlink_to(f"{share}/x")
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.setattr(context, "SILENT", {share: "nfs"})
    for path in (
        share,
        f"{share}/a/b",
        str(tmp_path / "link" / "x"),
        str(tmp_path / "absolute"),
        f"{tmp_path}/other/../share/a",
    ):
        assert "a file system that does not answer" in str(context.silence(path)), path
        assert "does not answer" in str(ctx().read(path).error)
        assert context.is_there(path) is None
        assert "does not answer" in env_file.describe(path, ctx(), "EnvironmentFile")["load_error"]
    for path in (str(tmp_path), f"{share}d", str(tmp_path / "loop")):
        assert context.silence(path) is None, path


def test_what_needs_the_code_is_not_asked_where_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "SILENT", {str(tmp_path): "nfs"})

    def touched(_backend: Backend, _ctx: Context) -> Section:
        return {"touched": True}

    backend = Backend("api", "systemd", cwd=str(tmp_path / "app"))
    table = [Collector("packages", touched, 2.0, code=True), Collector("ports", touched, 2.0)]
    found = runner.gather_one(backend, ctx(), b"", 0, table, [])
    assert "a file system that does not answer" in found["packages"]["unavailable"]
    assert found["ports"] == {"touched": True}


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Path]:
    """A FUSE file system that never answers, in the mount namespace of a process of its own."""
    if os.geteuid() != 0 or not os.access("/dev/fuse", os.W_OK):
        pytest.skip("needs root and /dev/fuse")
    yield tmp_path


def test_a_real_file_system_that_does_not_answer(share: Path) -> None:
    mount = share / "mnt"
    mount.mkdir()
    top = str(Path(__file__).resolve().parents[3] / "playbooks" / "collections")
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from ansible_collections.firstaid.backend.plugins.module_utils._evidence import context, silent_mounts as s\n"
        "begun = time.monotonic(); s.look(); took = time.monotonic() - begun\n"
        "read = context.Context({}, time.monotonic() + 5).read(sys.argv[2] + '/app.env')\n"
        "print(took < 4, dict(context.SILENT), read.error, flush=True)\n"
    )
    script = (
        f"{shlex.quote(sys.executable)} {HUNG_FS} {mount} & fs=$!\n"
        f"for _ in $(seq 100); do grep -q ' {mount} ' /proc/mounts && break; sleep 0.1; done\n"
        f"timeout -s KILL 20 {shlex.quote(sys.executable)} -c {shlex.quote(code)} {top} {mount}; status=$?\n"
        "kill -KILL $fs; exit $status\n"
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.startswith(
        f"True {{'{mount}': 'fuse.hung'}} {mount}/app.env is on {mount}, a file system that does not answer"
    ), done.stdout + done.stderr


def test_a_script_that_is_a_fifo_is_named(fifo: Path) -> None:
    backend = Backend("api", "systemd", argv=[sys.executable, str(fifo)], cwd=str(fifo.parent))
    app.resolve(backend, ctx())
    assert app.collect(backend, ctx())["problem"] == f"{fifo} is a FIFO, not a regular file"


def test_a_host_without_memory_for_a_thread_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_thread: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", refused)
    with pytest.raises(Unavailable, match="memory or the number of processes is used up"):
        silent_mounts.within(ctx(), time.sleep, 1)
    table = [Collector("ports", lambda _backend, _ctx: {}, 2.0)]
    found = runner.gather_one(Backend("api", "systemd"), ctx(), b"", 0, table, [])
    assert "no thread can be started" in found["collectors"]["ports"]["error"]
