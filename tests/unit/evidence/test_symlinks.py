# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import symlinks
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import App, Backend

Look = Callable[..., dict[str, Any]]


@pytest.fixture
def look(tmp_path: Path) -> Look:
    def run(**more: Any) -> dict[str, Any]:
        backend = Backend("demo", "systemd", cwd=str(more.pop("cwd", tmp_path)))
        backend.app = App(code_dir=str(tmp_path), path_prepend=[str(tmp_path)], **more)
        section = symlinks.collect(backend, Context(params={}, deadline=time.monotonic() + 10))
        section["by_name"] = {os.path.relpath(item["path"], tmp_path): item for item in section["links"]}
        return section

    return run


def test_kinds_of_links(look: Look, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "good").symlink_to("real")
    (tmp_path / "gone").symlink_to("../releases/7")
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "backend").symlink_to(".")
    (tmp_path / "real/up").symlink_to("..")
    (tmp_path / "me").symlink_to("me")
    found = look()["by_name"]

    def facts(name: str) -> tuple[Any, ...]:
        return tuple(found[name][key] for key in ("exists", "loop", "self", "target_type"))

    assert facts("good") == (True, False, False, "directory")
    assert facts("gone") == (False, False, False, "dangling_link")
    assert facts("a") == (False, True, False, "loop")
    assert facts("backend") == (True, False, True, "directory")
    assert facts("real/up") == (True, False, True, "directory")
    assert facts("me") == (False, True, True, "loop")
    assert found["gone"]["resolved"] == str(tmp_path.parent / "releases/7")


def test_what_is_wrong_comes_first(look: Look, tmp_path: Path) -> None:
    (tmp_path / "a_good").symlink_to("/etc")
    (tmp_path / "z_gone").symlink_to("nowhere")
    assert [os.path.basename(item["path"]) for item in look()["links"]] == ["z_gone", "a_good"]


def test_working_directory_and_program_over_links(look: Look, tmp_path: Path) -> None:
    (tmp_path / "x/releases").mkdir(parents=True)
    (tmp_path / "x/current").symlink_to("releases/9")
    (tmp_path / "x/v").symlink_to("/opt/none")
    found = look(cwd=tmp_path / "x/current/app", program=str(tmp_path / "x/v/bin/python"))["by_name"]
    assert found["x/current"]["where"] == "working_directory"
    assert found["x/v"]["where"] == "interpreter"
    assert not found["x/current"]["exists"]


def test_environments_and_followed_directories_are_left_out(look: Look, tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    (tmp_path / "v/pyvenv.cfg").write_text("")
    (tmp_path / "v/lib64").symlink_to("lib")
    assert look()["links"] == []


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("backend", "../shared/backend", True),
        ("models.py", "../shared/models.py", True),
        ("config", "real", True),
        ("dot", ".", True),
        ("VERSION", "1.2.3", False),
        ("notes", "hello", False),
        ("main.py", "import x\n", False),
        ("x.py", "../shared/x\n", False),
        ("run", "#!/bin/sh", False),
        ("empty", "", False),
    ],
)
def test_text_in_place_of_a_link(look: Look, tmp_path: Path, name: str, text: str, expected: bool) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / name).write_text(text)
    found = look()["text_instead_of_link"]
    assert [item["content"] for item in found] == ([text] if expected else [])


def test_many_links_are_cut_and_said_so(look: Look, tmp_path: Path) -> None:
    for index in range(symlinks.MAX_LINKS + 5):
        (tmp_path / f"l{index}").symlink_to("nowhere")
    section = look()
    assert section["truncated"] and section["_truncated"]
    assert len(section["links"]) == symlinks.MAX_LINKS
