# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import access, access_check
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.access_check import (
    EXECUTE,
    READ,
    WRITE,
    Identity,
)
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import App, Backend, LogRef

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
NOBODY = Identity(65534, 65534)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user can enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        os.chmod(name, 0o755)
        yield Path(name)


def status(mode: int, uid: int = 0, gid: int = 0) -> os.stat_result:
    return os.stat_result((mode, 0, 0, 1, uid, gid, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("mode", "owner", "who", "bits"),
    [
        (0o100640, (10, 20), Identity(10, 99), READ | WRITE),
        (0o100640, (10, 20), Identity(11, 20), READ),
        (0o100640, (10, 20), Identity(11, 99, (20,)), READ),
        (0o100640, (10, 20), Identity(11, 99), 0),
        # The owner's bits decide for the owner even when others may do more.
        (0o100077, (10, 20), Identity(10, 20), 0),
        (0o100600, (10, 20), Identity(0, 0), READ | WRITE),
        (0o100700, (10, 20), Identity(0, 0), READ | WRITE | EXECUTE),
        (0o040000, (10, 20), Identity(0, 0), READ | WRITE | EXECUTE),
    ],
)
def test_mode_bits(mode: int, owner: tuple[int, int], who: Identity, bits: int) -> None:
    assert access_check.permitted("/nonexistent", status(mode, *owner), who) == bits


def acl(*entries: tuple[int, int, int]) -> bytes:
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NONE = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("who", "bits"),
    [
        (Identity(10, 1), 6),
        (Identity(1000, 1), 4),
        (Identity(1001, 20), 4),
        (Identity(1001, 1, (300,)), 4),
        (Identity(1001, 1), 0),
    ],
)
def test_access_list_with_mask(who: Identity, bits: int) -> None:
    raw = acl((1, 6, NONE), (2, 6, 1000), (4, 4, NONE), (8, 6, 300), (16, 4, NONE), (32, 0, NONE))
    entries = access_check.parse_access_list(raw)
    assert access_check.by_access_list(entries, status(0o100640, 10, 20), who) == bits


def test_bad_access_list_gives_nothing() -> None:
    assert access_check.parse_access_list(b"") == access_check.parse_access_list(b"\1\0\0\0junk") == []


@as_root
def test_directory_on_the_way_blocks(place: Path) -> None:
    inner = place / "a/b"
    inner.mkdir(parents=True)
    (inner / "f").write_text("x")
    (place / "a").chmod(0o750)
    found = access_check.check(str(inner / "f"), NOBODY)
    assert (found.readable, found.blocked_at) == (False, str(place / "a"))
    assert access_check.check(str(inner / "f"), Identity(0, 0)).readable


@as_root
def test_directory_that_holds_a_link_must_be_passed_too(place: Path) -> None:
    (place / "closed").mkdir(mode=0o700)
    (place / "closed/python").symlink_to("../../../usr/bin/env")
    (place / "open").symlink_to("closed")
    (place / "loop").symlink_to("loop")
    (place / "through").symlink_to("./closed/../free")
    (place / "free").write_text("x")
    assert access_check.check(str(place / "open/python"), NOBODY).blocked_at == str(place / "closed")
    assert access_check.check(str(place / "through"), NOBODY).blocked_at == str(place / "closed")
    assert access_check.check(str(place / "free"), NOBODY).readable
    assert "loop" in str(access_check.check(str(place / "loop"), NOBODY).reason)
    assert access_check.check(str(place / "free/x"), NOBODY).reason == "not a directory"


@as_root
def test_agrees_with_the_kernel(place: Path) -> None:
    """Every combination of owner, group and mode, asked of the kernel by a child that is the user."""
    files = []
    for mode in (0o000, 0o044, 0o400, 0o004, 0o040, 0o620, 0o777):
        for uid, gid in ((0, 0), (65534, 0), (0, 65534)):
            path = place / f"{mode:o}-{uid}-{gid}"
            path.write_text("")
            os.chown(path, uid, gid)
            path.chmod(mode)
            files.append(str(path))
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        answers = "".join("01"[os.access(path, kind)] for path in files for kind in (os.R_OK, os.W_OK, os.X_OK))
        os.write(writer, answers.encode())
        os._exit(0)
    os.waitpid(child, 0)
    expected = os.read(reader, 10000).decode()
    ours = ""
    for path in files:
        found = access_check.check(path, NOBODY)
        ours += "".join("01"[item] for item in (found.readable, found.writable, found.executable))
    assert ours == expected


@pytest.mark.parametrize(
    ("path", "sandbox", "expected"),
    [
        ("/srv/app/data", {"ProtectSystem": "strict"}, "ProtectSystem=strict"),
        ("/srv/app/data", {"ProtectSystem": "strict", "ReadWritePaths": "/srv/app/data -/x"}, None),
        ("/srv/app/data", {"ProtectSystem": "full"}, None),
        ("/etc/app", {"ProtectSystem": "full"}, "ProtectSystem=full"),
        ("/var/lib/shop/x", {"ProtectSystem": "strict", "StateDirectory": "shop"}, None),
        ("/srv/ro/x", {"ReadOnlyPaths": "/srv/ro"}, "ReadOnlyPaths=/srv/ro"),
        ("/srv/ro/rw/x", {"ReadOnlyPaths": "/srv/ro", "ReadWritePaths": "/srv/ro/rw"}, None),
        ("/var/lib/x", {"DynamicUser": "yes"}, "ProtectSystem=strict"),
        ("/srv/x", {}, None),
    ],
)
def test_sandbox_makes_read_only(path: str, sandbox: dict[str, str], expected: Optional[str]) -> None:
    assert access.sandboxed_by(path, sandbox) == expected


def test_sandbox_hides() -> None:
    assert access.hidden_by("/home/app/code", {"ProtectHome": "yes"}) == "ProtectHome=yes"
    assert access.hidden_by("/home/app/code", {"ProtectHome": "read-only"}) is None
    assert access.hidden_by("/srv/secret/x", {"InaccessiblePaths": "-/srv/secret"}) == "InaccessiblePaths="
    assert access.hidden_by("/srv/x", {}) is None


@pytest.fixture
def backend(place: Path) -> Backend:
    result = Backend("demo", "systemd", user="nobody", uid=65534, gid=65534, groups=[65534], cwd=str(place))
    result.app = App(code_dir=str(place), argv=["uvicorn", "main:app", "--ssl-keyfile", "tls.key"], module="main")
    return result


def entries(backend: Backend) -> dict[tuple[str, str], dict[str, Any]]:
    section = access.collect(backend, Context(params={}, deadline=time.monotonic() + 10))
    return {(item["purpose"], os.path.basename(item["path"])): item for item in section["paths"]}


@as_root
def test_section(backend: Backend, place: Path) -> None:
    (place / "main.py").write_text("app = 1")
    (place / "tls.key").write_text("x")
    (place / "tls.key").chmod(0o600)
    (place / "logs").mkdir()
    (place / "logs/app.log").write_text("")
    backend.log_files = [
        LogRef(str(place / "logs/app.log"), "main.py:3"),
        LogRef("/var/log/x.log", "StandardOutput=append:"),
    ]
    backend.environ = {
        "DATABASE_URL": f"sqlite:///{place}/data/app.db",
        "UPLOAD_DIR": f"{place}/uploads",
        "PATH": "/usr/bin",
        "NOTE": "hello",
    }
    found = entries(backend)
    assert found[("code_dir", place.name)]["ok"] is True
    assert found[("import target", "main.py")]["ok"] is True
    key = found[("ssl-keyfile", "tls.key")]
    assert (key["ok"], key["readable"], key["mode"], key["owner"]) == (False, False, "0600", "root")
    assert found[("log", "app.log")]["ok"] is False
    assert ("log", "x.log") not in found
    upload = found[("variable UPLOAD_DIR", "uploads")]
    assert (upload["type"], upload["ok"], upload["blocked_at"]) == ("missing", False, str(place))
    assert found[("database of DATABASE_URL", "app.db")]["ok"] is False
    assert ("variable PATH", "bin") not in found


@as_root
def test_files_that_a_start_as_root_left(backend: Backend, place: Path) -> None:
    (place / "data").mkdir()
    os.chown(place / "data", 65534, 65534)
    (place / "data/secrets.key").write_text("x")
    (place / "data/secrets.key").chmod(0o600)
    (place / "data/mine").write_text("x")
    os.chown(place / "data/mine", 65534, 65534)
    found = entries(backend)
    assert found[("data directory by its name", "data")]["ok"] is True
    assert found[("in data", "secrets.key")]["readable"] is False
    assert ("in data", "mine") not in found


def test_what_these_rights_do_not_reach_says_nothing_about_the_backend(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = str(place / "closed" / "main.py")
    stat = os.stat

    def refuse(path: Any, **more: Any) -> os.stat_result:
        if str(path) == hidden:
            raise PermissionError(13, "Permission denied", hidden)
        return stat(path, **more)

    (place / "closed").mkdir()
    monkeypatch.setattr(os, "stat", refuse)
    entry = access.describe(access.Wanted(hidden, "import target", "r", True), Identity(0, 0), {})
    assert (entry["type"], entry["ok"], entry["readable"], entry["blocked_at"]) == ("out_of_reach", None, None, None)
    assert "these rights" in entry["reason"]


def test_user_that_does_not_exist() -> None:
    backend = Backend("demo", "systemd", user="no-such-user", cwd="/")
    section = access.collect(backend, Context(params={}, deadline=time.monotonic() + 10))
    assert section["user"]["exists"] is False
