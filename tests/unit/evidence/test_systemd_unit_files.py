# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import systemd_unit_files as files
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context

TEXT = """# a comment
[Unit]
Description=api
[Service]
Environment=A=1 \\
  # a comment between
  B=2
ExecStart=/old
ExecStart=
ExecStart=/new --x
User=one
[X-Own]
Ignored=1
[Service]
X-Also=2
"""


def test_parse_joins_lines_and_knows_where_they_start() -> None:
    settings = files.parse(TEXT)
    found = {(item.section, item.name): (item.value, item.line) for item in settings}
    assert found[("Service", "Environment")] == ("A=1  B=2", 5)
    assert found[("Unit", "Description")] == ("api", 3)


def test_merge_resets_lists_and_lets_the_last_scalar_win() -> None:
    merged = files.merge([files.parse(TEXT), files.parse("[Service]\nUser=two\nEnvironment=C=3\n")])
    assert merged["ExecStart"] == ["/new --x"]
    assert merged["User"] == ["two"]
    assert merged["Environment"] == ["A=1  B=2", "C=3"]
    assert "Ignored" not in merged and "X-Also" not in merged


@pytest.mark.parametrize(
    ("given", "full"),
    [
        ("api", "api.service"),
        ("api.service", "api.service"),
        ("/etc/systemd/system/api.service", "api.service"),
        ("worker@3", "worker@3.service"),
        ("v1.2", "v1.2.service"),
        ("api.socket", "api.socket"),
        ("-rf", None),
        ("a b", None),
        ("", None),
        ("api;reboot", None),
    ],
)
def test_unit_name(given: str, full: str | None) -> None:
    assert files.unit_name(given) == full


def test_template_of() -> None:
    assert files.template_of("worker@3.service") == "worker@.service"
    assert files.template_of("worker@.service") is None
    assert files.template_of("api.service") is None


def test_expand_specifiers() -> None:
    name = r"web-app@a\x2db-c.service"
    assert files.expand_specifiers("%n %N %p %i %I %j %% %z", name) == (
        rf"{name} web-app@a\x2db-c web-app a\x2db-c a-b/c app % %z"
    )


def test_find_prefers_etc_and_lists_drop_ins_of_the_template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    etc, lib = tmp_path / "etc", tmp_path / "lib"
    for folder in (etc, lib):
        folder.mkdir()
        (folder / "worker@.service").write_text("[Service]\n")
    for folder, name in ((lib, "10-a.conf"), (etc, "10-a.conf"), (etc, "20-b.conf"), (etc, "notes.txt")):
        (folder / "worker@.service.d").mkdir(exist_ok=True)
        (folder / "worker@.service.d" / name).write_text("")
    monkeypatch.setattr(files, "SEARCH_PATH", (str(etc), str(lib)))
    fragment, drop_ins = files.find("worker@3.service")
    assert fragment == f"{etc}/worker@.service"
    assert drop_ins == [f"{etc}/worker@.service.d/10-a.conf", f"{etc}/worker@.service.d/20-b.conf"]
    assert files.find("nothing.service") == (None, [])


def test_masked_unit_is_dev_null(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "api.service").symlink_to("/dev/null")
    monkeypatch.setattr(files, "SEARCH_PATH", (str(tmp_path),))
    assert files.find("api.service")[0] == "/dev/null"


def test_read_files_says_why_it_can_not(tmp_path: Path) -> None:
    result = files.read_files(str(tmp_path / "none"), [], Context({}, 1e12))
    assert result[0]["kind"] == "fragment" and "No such file" in result[0]["error"]


def test_lines_that_every_systemd_ignores() -> None:
    text = "Early=1\n[Unit]\nExecStart=/x\nafter\n[Service]\nAfter=a\nUser=u\n[Install]\nEnvironment=A=1\nWantedBy=m\n[Serivce]\nUser=x\n[X-M]\nA=1\n"
    found = [(item["line"], item["text"]) for item in files.misplaced("/u", files.parse(text))]
    assert found == [
        (1, "Assignment outside of section. Ignoring."),
        (3, "Unknown key 'ExecStart' in section [Unit], ignoring."),
        (4, "Missing '=', ignoring line."),
        (6, "Unknown key 'After' in section [Service], ignoring."),
        (9, "Unknown key 'Environment' in section [Install], ignoring."),
        (12, "Unknown section 'Serivce'. Ignoring."),
    ]
    assert files.misplaced("/u", files.parse(TEXT)) == []


@pytest.mark.parametrize(
    ("text", "line", "there"),
    [
        ("/u:2: Unknown key name 'Bogus' in section 'Service', ignoring.", 2, True),
        ("/u:2: Unknown key name 'Other' in section 'Service', ignoring.", 2, False),
        ("/u:3: Failed to parse service type, ignoring: foo", 3, True),
        ("/u:9: Failed to parse service type, ignoring: foo", 9, False),
        ("/u: Something about the whole file", None, True),
    ],
)
def test_complaints_that_were_corrected_are_left_out(text: str, line: int | None, there: bool) -> None:
    problem = {"file": "/u", "line": line, "text": text}
    assert files.still_there(problem, {"/u": "[Service]\nBogus=1\nType=foo\n"}) is there
