# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import pytest
from bench import Table, apply, kinds, make

from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import LogRef
from ansible_collections.firstaid.backend.plugins.module_utils._repair.change_bytecode import walk
from ansible_collections.firstaid.backend.plugins.module_utils._repair.fixes import clean_restart, clean_restart_logs
from ansible_collections.firstaid.backend.plugins.module_utils._repair.model import Change, Host, Refused

MIB = 1024 * 1024
IMPORTED = {"ran": True, "outcome": "ok"}


def site(
    root: Path,
    state: str = "failed",
    given: Optional[dict[str, Any]] = None,
    argv: Optional[list[str]] = None,
    **options: Any,
) -> Host:
    (root / "main.py").write_text("x = 1\n")
    sections = {"import_test": IMPORTED, "health": {}, "ports": {}, **(given or {})}
    return make(root, argv or [sys.executable, str(root / "main.py")], options, Table(state), sections)


def test_a_backend_that_is_well_goes_on_undisturbed(tmp_path: Path) -> None:
    host = site(tmp_path, "running")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__/main.cpython-311.pyc").write_text("x")
    proposal = clean_restart.propose(host)
    assert (proposal.changes, proposal.restart) == ([], False)


def test_a_failed_one_is_started(tmp_path: Path) -> None:
    proposal = clean_restart.propose(site(tmp_path))
    assert proposal.restart and proposal.prove and "failed" in proposal.decision


def test_one_that_somebody_stopped_stays_so_unless_asked(tmp_path: Path) -> None:
    proposal = clean_restart.propose(site(tmp_path, "stopped"))
    assert (proposal.changes, proposal.restart) == ([], False) and "always" in proposal.decision
    proposal = clean_restart.propose(site(tmp_path, "stopped", when="always"))
    assert proposal.restart and proposal.start


def test_a_hung_one_is_restarted(tmp_path: Path) -> None:
    health = {
        "status": None,
        "error": "timed out",
        "tried": [{"url": "x", "status": None, "error": "timed out", "ms": 2000}],
    }
    assert clean_restart.propose(site(tmp_path, "running", {"health": health})).restart
    deaf = {"wanted": [{"port": 8000}], "listening_on_wanted": False, "owner_visible": True}
    assert clean_restart.propose(site(tmp_path, "running", {"ports": deaf})).restart
    unsure = {**deaf, "owner_visible": False}
    assert not clean_restart.propose(site(tmp_path, "running", {"ports": unsure})).restart


def test_one_that_keeps_restarting_is_started_afresh_and_one_on_its_way_is_not(tmp_path: Path) -> None:
    host = site(tmp_path, "starting")
    host.control.says = replace(host.control.says, restarts=7)  # type: ignore[attr-defined]
    assert "7 times" in clean_restart.propose(host).decision
    host.control.says = replace(host.control.says, restarts=0, main_pid=os.getpid())  # type: ignore[attr-defined]
    assert clean_restart.propose(host).restart is False


def test_nothing_is_restarted_while_the_import_fails(tmp_path: Path) -> None:
    failing = {
        "import_test": {"ran": True, "outcome": "exception", "statement": "ModuleNotFoundError: No module named 'x'"}
    }
    with pytest.raises(Refused) as caught:
        clean_restart.propose(site(tmp_path, "failed", failing))
    assert "No module named" in str(caught.value) and caught.value.commands
    assert clean_restart.propose(site(tmp_path, "running", failing)).changes == []


@pytest.mark.parametrize("options", [{"when": "often"}, {"rotate_over_mb": "many"}])
def test_wrong_options(tmp_path: Path, options: dict[str, str]) -> None:
    with pytest.raises(Refused):
        clean_restart.propose(site(tmp_path, **options))


def test_only_stale_pid_files_go(tmp_path: Path) -> None:
    gone, ours, odd = tmp_path / "gone.pid", tmp_path / "ours.pid", tmp_path / "odd.pid"
    gone.write_text("4194303\n")
    ours.write_text(f"{os.getpid()}\n")
    os.utime(ours, (1000000, 1000000))
    odd.write_text("a poem\n")
    for path, expected in ((gone, "is gone"), (ours, "another program"), (odd, None)):
        argv = [sys.executable, "-m", "gunicorn", "--pid", str(path), "main:app"]
        changes = [
            change for change in clean_restart.propose(site(tmp_path, argv=argv)).changes if change.kind == "file"
        ]
        assert [change.path for change in changes] == ([str(path)] if expected else [])
        assert all(change.content is None and expected in change.why for change in changes if expected)
        assert not any(
            c.kind == "file" for c in clean_restart.propose(site(tmp_path, "running", argv=argv, when="always")).changes
        )


def test_the_pid_file_of_a_process_that_may_have_written_it_stays(tmp_path: Path) -> None:
    path = tmp_path / "shared.pid"
    path.write_text(f"{os.getpid()}\n")
    argv = [sys.executable, "-m", "gunicorn", "--pid", str(path), "main:app"]
    proposal = clean_restart.propose(site(tmp_path, argv=argv))
    assert "file" not in kinds(proposal) and any("left alone" in note for note in proposal.notes)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_the_servers_configuration_does_not_make_us_remove_files_of_others(tmp_path: Path) -> None:
    marker = tmp_path / "nologin"
    marker.write_text("")
    (tmp_path / "gunicorn.conf.py").write_text(f"pidfile = '{marker}'\n")
    host = site(tmp_path, argv=[sys.executable, "-m", "gunicorn", "main:app"])
    for uid, wanted in ((0, ["file"]), (12345, [])):
        host.backend.uid = uid
        assert [kind for kind in kinds(clean_restart.propose(host)) if kind == "file"] == wanted


def tree(root: Path) -> dict[str, Path]:
    """A code tree with bytecode of every sort; the keys say what it is."""
    made = {
        "cached": root / "app/__pycache__/main.cpython-311.pyc",
        "optimised": root / "app/__pycache__/main.cpython-311.opt-1.pyc",
        "beside": root / "app/main.pyc",
        "sourceless": root / "app/shipped.pyc",
        "orphan": root / "app/__pycache__/gone.cpython-311.pyc",
        "venv": root / "py/lib/__pycache__/thing.cpython-311.pyc",
        "site": root / "site-packages/pkg/__pycache__/x.cpython-311.pyc",
        "elsewhere": root.parent / "elsewhere/__pycache__/y.cpython-311.pyc",
        "odd": root / "app/__pycache__/main.cpython-311.txt",
    }
    for path in made.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    for source in ("app/main.py", "py/lib/thing.py", "py/pyvenv.cfg", "site-packages/pkg/x.py", "../elsewhere/y.py"):
        (root / source).write_text("")
    (root / "linked").symlink_to(root.parent / "elsewhere")
    return made


def test_bytecode_of_the_own_code_goes_and_no_other(tmp_path: Path) -> None:
    root = tmp_path / "code"
    root.mkdir()
    made = tree(root)
    assert len(walk(str(root), remove=False).files) == 3
    host = site(root)
    (record,) = apply(host, [Change("remove_bytecode", str(root), "test")])
    assert record["before"]["files"] == 3 and record["after"]["removed"] == 3
    gone = {name for name, path in made.items() if not path.exists()}
    assert gone == {"cached", "optimised", "beside"}


def test_bytecode_is_removed_before_a_restart_only(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    tree(tmp_path / "code")
    assert "remove_bytecode" in kinds(clean_restart.propose(site(tmp_path / "code")))


def log(root: Path, size: int = 2 * MIB) -> tuple[Host, Path]:
    host = site(root)
    path = root / "app.log"
    path.write_bytes(b"first line\n" + b"x" * size + b"\nlast line\n")
    path.chmod(0o640)
    host.backend.log_files = [LogRef(str(path), "test")]
    return host, path


def rotations(host: Host) -> list[Change]:
    return [change for change in clean_restart.propose(host).changes if change.kind == "rotate"]


def test_a_large_log_is_put_aside_whole_and_its_place_is_empty(tmp_path: Path) -> None:
    host, path = log(tmp_path)
    content = path.read_bytes()
    assert rotations(host) == []
    host.options["rotate_over_mb"] = 1  # type: ignore[index]
    (change,) = rotations(host)
    assert change.options["by"] == "rename"
    (record,) = apply(host, [change])
    aside = Path(record["after"]["aside"])
    assert aside.read_bytes() == content and path.read_bytes() == b"" and path.stat().st_mode & 0o777 == 0o640
    assert rotations(host) == [] and len(list(tmp_path.glob("app.log*"))) == 2


def test_a_log_whose_writer_goes_on_is_copied_and_cut(tmp_path: Path) -> None:
    host, path = log(tmp_path)
    content = path.read_bytes()
    with open(path, "ab", buffering=0) as writer:
        (record,) = apply(host, [Change("rotate", str(path), "test", options={"by": "copy"})])
        writer.write(b"next\n")
    assert Path(record["after"]["aside"]).read_bytes() == content and path.read_bytes() == b"next\n"


def test_how_depends_on_the_writers(tmp_path: Path) -> None:
    host, path = log(tmp_path)
    judge = clean_restart.Judge(host)

    def way(flags: int, restart: bool) -> Optional[str]:
        descriptor = os.open(path, flags)
        try:
            return clean_restart_logs.way(clean_restart_logs.find_writers(str(path), path.stat(), judge), restart)
        finally:
            os.close(descriptor)

    # This process is none of the backend's.
    assert way(os.O_WRONLY | os.O_APPEND, True) == "copy"
    assert way(os.O_WRONLY, True) is None
    assert way(os.O_RDONLY, False) == "rename"
    assert clean_restart_logs.way(clean_restart_logs.Writers([1], [], False), True) == "rename"
    assert clean_restart_logs.way(clean_restart_logs.Writers([1], [], False), False) is None


def test_a_file_that_has_another_name_is_left_alone(tmp_path: Path) -> None:
    host, path = log(tmp_path)
    os.link(path, tmp_path / "passwords")
    host.options["rotate_over_mb"] = 1  # type: ignore[index]
    proposal = clean_restart.propose(host)
    assert not any(change.kind == "rotate" for change in proposal.changes) and "several names" in " ".join(
        proposal.notes
    )


CONFIG = """
# general
weekly
rotate 4
tabooext + .bak
include {included}
/var/log/wtmp {{
    monthly
}}
"{log}" /var/log/other.log
{{
    size 1M
    postrotate
        if true; then {{ echo "}}"; }}
        fi
    endscript
}}
"""


def test_the_rule_of_logrotate_for_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host, path = log(tmp_path)
    main = tmp_path / "logrotate.conf"
    (tmp_path / "d").mkdir()
    (tmp_path / "d/app").write_text(CONFIG.format(log=path, included="/nowhere"))
    main.write_text(CONFIG.format(log="/var/log/none.log", included=tmp_path / "d"))
    main.chmod(0o644)
    (tmp_path / "d/app").chmod(0o644)
    monkeypatch.setattr("shutil.which", lambda *_args, **_more: "/usr/sbin/logrotate")
    text = clean_restart_logs.for_file(str(path), host.ctx, str(main))
    assert text is not None
    assert (
        text.count("{") == 2
        and f'"{path}" {{' in text
        and "size 1M" in text
        and "wtmp" not in text
        and "include" not in text
    )
    assert "weekly" in text and "endscript" in text and "other.log" not in text
    (tmp_path / "d/app").chmod(0o666)
    assert clean_restart_logs.for_file(str(path), host.ctx, str(main)) is None


def test_logrotate_that_is_not_there_leaves_the_other_way(tmp_path: Path) -> None:
    host, path = log(tmp_path)
    options = {"by": "logrotate", "otherwise": "rename"}
    (record,) = apply(host, [Change("rotate", str(path), "test", b"nonsense {", options=options)])
    assert record["after"]["by"] == "rename" and path.read_bytes() == b""
