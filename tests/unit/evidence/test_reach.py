# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import backing_services, reach
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.access_check import Identity
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import App, Backend, EnvFileRef, LogRef
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.reach import Reader, reader_for

SERVICE = 65534
SWAPPER = """
import os, sys
os.chdir(sys.argv[1])
while True:
    for name in ("real", "planted"):
        os.rename(name, "spot")
        os.rename("spot", name)
"""
WHO = Identity(SERVICE, SERVICE, (SERVICE,))
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="file owners can be set by root only")


def read(path: Path | str, reader: Reader) -> tuple[bytes, str | None]:
    got = Context({}, time.monotonic() + 10, reader=reader).read(str(path))
    return got.raw, got.error


def tree(at: Path, owner: int = SERVICE) -> Path:
    """A directory of the service's own."""
    at.mkdir()
    os.chown(at, owner, owner)
    return at


def secret(at: Path) -> Path:
    at.write_text("root:hash\n")
    at.chmod(0o600)
    return at


@needs_root
@pytest.mark.parametrize("known", [True, False], ids=["user known", "user not known yet"])
def test_a_link_of_the_service_to_what_it_may_not_read_is_not_followed(open_path: Path, known: bool) -> None:
    shadow, app = secret(open_path / "shadow"), tree(open_path / "app")
    (app / "requirements.txt").symlink_to(shadow)
    os.chown(app / "requirements.txt", SERVICE, SERVICE, follow_symlinks=False)
    raw, error = read(app / "requirements.txt", Reader(WHO if known else None, (str(app),)))
    assert raw == b""
    assert "not followed" in (error or "") and "requirements.txt" in (error or "")


@needs_root
def test_a_linked_directory_of_somebody_else_is_not_entered(open_path: Path) -> None:
    private = open_path / "private"
    private.mkdir(mode=0o700)
    (private / "METADATA").write_text("for all by its own mode\n")
    app = tree(open_path / "app")
    (app / "site").symlink_to("../private")
    assert read(app / "site" / "METADATA", Reader(WHO, (str(app),)))[0] == b""


@needs_root
def test_a_second_name_of_a_private_file_is_not_read(open_path: Path) -> None:
    shadow, app = secret(open_path / "shadow"), tree(open_path / "app")
    os.link(shadow, app / "app.log")
    assert read(app / "app.log", Reader(WHO, (str(app),)))[0] == b""


@needs_root
def test_a_name_inside_a_file_of_the_service_leads_only_where_it_may_read(open_path: Path) -> None:
    shadow, shown = secret(open_path / "shadow"), open_path / "shown"
    shown.write_text("for all\n")
    assert read(shadow, Reader(WHO, ()))[0] == b""
    assert read(shown, Reader(WHO, ()))[0] == b"for all\n"
    # Named by root: read, as the supervisor reads it.
    assert read(shadow, Reader(WHO, (str(shadow),)))[0] == b"root:hash\n"


@needs_root
def test_a_private_file_of_root_in_the_tree_is_read(open_path: Path) -> None:
    app = tree(open_path / "app")
    secret(app / ".env")
    assert read(app / ".env", Reader(WHO, (str(app),)))[0] == b"root:hash\n"


@needs_root
def test_links_of_a_deployment_are_followed(open_path: Path) -> None:
    app = tree(open_path / "app", owner=1234)
    (app / "releases").mkdir()
    (app / "releases" / "settings.py").write_text("X = 1\n")
    (app / "current").symlink_to("releases")
    os.chown(app / "current", 1234, 1234, follow_symlinks=False)
    assert read(app / "current" / "settings.py", Reader(WHO, (str(app),)))[0] == b"X = 1\n"
    assert read(app / "current" / "settings.py", Reader())[0] == b"X = 1\n"


@needs_root
def test_a_file_that_the_user_may_only_write_is_its_own_log(open_path: Path) -> None:
    log = secret(open_path / "app.log")
    os.chown(log, SERVICE, SERVICE)
    log.chmod(0o200)
    assert read(log, Reader(WHO, ()))[0] == b"root:hash\n"


@needs_root
def test_names_in_a_directory_that_is_not_for_the_service_are_not_shown(open_path: Path) -> None:
    private = open_path / "private"
    private.mkdir(mode=0o700)
    app = tree(open_path / "app")
    (app / "logs").symlink_to(private)
    ctx = Context({}, time.monotonic() + 10, reader=Reader(WHO, (str(app),)))
    assert ctx.closed(str(app / "logs")) and ctx.closed(str(private))
    assert not any(ctx.closed(str(path)) for path in (app, open_path, app / "none", Path("relative")))


@needs_root
def test_a_socket_that_is_not_for_the_service_is_not_spoken_to(open_path: Path) -> None:
    app = tree(open_path / "app")
    private, own = open_path / "docker.sock", open_path / "own.sock"
    held = []
    for path, mode in ((private, 0o600), (own, 0o666)):
        held.append(socket.socket(socket.AF_UNIX))
        held[-1].bind(str(path))
        path.chmod(mode)
    (app / "app.sock").symlink_to(private)
    (app / "own.sock").symlink_to(own)
    ctx = Context({}, time.monotonic() + 10, reader=Reader(WHO, (str(app),)))
    assert ctx.closed_socket(str(app / "app.sock")) and ctx.closed_socket(str(private))
    assert not ctx.closed_socket(str(app / "own.sock")) and not ctx.closed_socket("@abstract")
    backend = Backend("x", "systemd", environ={"REDIS_URL": f"unix://{app}/app.sock"})
    entry = backing_services.collect(backend, ctx)["services"][0]
    assert "may not use" in (entry["not_probed"] or "") and entry["tcp"] is None
    for one in held:
        one.close()


def test_loops_missing_files_and_odd_names_are_sentences(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo")
    begun = time.monotonic()
    errors = [
        read(path, Reader())[1] or ""
        for path in (tmp_path / "loop", tmp_path / "none", tmp_path / "fifo", tmp_path, f"{tmp_path}/a\0b")
    ]
    assert time.monotonic() - begun < 20
    assert "levels of symbolic links" in errors[0]
    assert "No such file" in errors[1]
    assert "a FIFO" in errors[2]
    assert "a directory" in errors[3]
    assert "NUL" in errors[4]


def test_links_and_dots_lead_where_the_kernel_leads(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "file").write_text("a\n")
    (tmp_path / "link").symlink_to("a/b")
    (tmp_path / "absolute").symlink_to(tmp_path / "link" / ".." / "file")
    for path in (tmp_path / "link" / ".." / "file", tmp_path / "absolute", f"{tmp_path}//a/./file"):
        assert read(path, Reader())[0] == b"a\n"


@needs_root
def test_a_directory_that_is_swapped_for_a_link_meanwhile_gives_nothing_away(open_path: Path) -> None:
    private = open_path / "private"
    private.mkdir(mode=0o700)
    secret(private / "file")
    app = tree(open_path / "app")
    (app / "real").mkdir()
    (app / "real" / "file").write_text("mine\n")
    (app / "planted").symlink_to(private)
    child = subprocess.Popen([sys.executable, "-c", SWAPPER, str(app)])
    try:
        deadline = time.monotonic() + 1.0
        seen = set()
        while time.monotonic() < deadline:
            seen.add(read(app / "spot" / "file", Reader(WHO, (str(app),)))[0])
    finally:
        child.kill()
        child.wait()
    assert b"mine\n" in seen
    assert b"root:hash\n" not in seen


def test_names_of_root_and_of_the_operator_are_told_from_those_of_the_application() -> None:
    backend = Backend(
        "api.service",
        "systemd",
        argv=["/srv/venv/bin/gunicorn", "-c", "/etc/acme/gunicorn.py", "main:app"],
        user="acme",
        uid=990,
        gid=990,
        groups=[990],
        cwd="/root",
        unit={"working_directory": "/srv/acme"},
        env_files=[
            EnvFileRef("/etc/acme/env", False, "EnvironmentFile=/etc/acme/env"),
            EnvFileRef("/root/.env", True, "application"),
        ],
        log_files=[LogRef("/var/log/acme.log", "StandardOutput=append:"), LogRef("/etc/shadow", "main.py:3")],
        app=App(origin={"cwd": "start command"}),
    )
    reader = reader_for(backend, {"log_files": ["/var/log/other.log"], "code_dir": "/"})
    for path in ("/srv/acme/x", "/etc/acme/gunicorn.py", "/etc/acme/env", "/var/log/acme.log", "/var/log/other.log"):
        assert reader.judge(path) is None, path
    for path in ("/root/.env", "/etc/shadow", "/srv/acme/../../etc/shadow", "/srv/acmes/x", "/root/x"):
        assert reader.judge(path) is not None, path


@pytest.mark.parametrize(
    ("user", "uid", "unit", "expected"),
    [
        ("ghost", None, {}, 65534),
        ("", None, {"dynamic_user": True}, 65534),
        (None, None, {}, None),
        ("root", 0, {}, None),
        ("acme", 990, {}, 990),
    ],
)
def test_on_whose_behalf(user: str | None, uid: int | None, unit: dict[str, bool], expected: int | None) -> None:
    judge = reader_for(Backend("x", "systemd", user=user, uid=uid, unit=dict(unit)), {}).judge("/etc/hostname")
    assert (judge.uid if judge else None) == expected


def test_without_descriptors_of_paths_only_regular_files_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "_PATH_ONLY", 0)
    (tmp_path / "file").write_text("x")
    assert read(tmp_path / "file", Reader())[0] == b"x"
    assert "a directory" in (read(tmp_path, Reader())[1] or "")
