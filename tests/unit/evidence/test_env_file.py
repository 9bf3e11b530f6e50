# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import env_file
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context, is_there


@pytest.fixture
def ctx() -> Context:
    return Context(params={}, deadline=time.monotonic() + 30)


# Compared with what `systemd-run -p EnvironmentFile=` sets under systemd 247, 252 and 257.
@pytest.mark.parametrize(
    ("raw", "variables"),
    [
        (b"A=1\nB=two words  \n", {"A": "1", "B": "two words"}),
        (b"# c\n; c\n\n  A = 1\n", {"A": "1"}),
        (b"A=\"a b\"\nB='x\\n$Y'\n", {"A": "a b", "B": "x\\n$Y"}),
        (b'A="q\\"q\\\\ \\n"', {"A": 'q"q\\ \\n'}),
        (b"A=one\\\ntwo\nB=3\n", {"A": "onetwo", "B": "3"}),
        (b'A="one\\\ntwo"\n', {"A": "onetwo"}),
        (b'A="line1\nline2"\nB=1\n', {"A": "line1\nline2", "B": "1"}),
        (b'A="a" b\n', {"A": "ab"}),
        (b'A=a"b"\n', {"A": 'a"b"'}),
        (b"A=x # note\n", {"A": "x # note"}),
        (b'A=x\r\nB="y"\r\n', {"A": "x", "B": "y"}),
        (b"A=\\ x\\ \n", {"A": " x "}),
        (b"export A=1\nB=2\n", {"B": "2"}),
        (b"1A=1\nA-B=2\nC=\n", {"C": ""}),
        (b"A=1\nA=2\n", {"A": "2"}),
        (b"A\nB=2", {"B": "2"}),
        (b'A="open\nB=2\n', {"A": "open\nB=2\n"}),
        (b"# comment \\\nA=1\n", {"A": "1"}),
        (b"A='a\r\nb'\nB=\x01\n", {"A": "a\r\nb", "B": "\x01"}),
    ],
)
def test_variables_are_those_that_systemd_sets(raw: bytes, variables: dict[str, str]) -> None:
    assert env_file.parse(raw).variables == variables


@pytest.mark.parametrize(
    ("raw", "problems"),
    [
        (b"A=1\nexport B=2\n", [(2, "export_prefix")]),
        (b"A = 1\n", [(1, "spaces_around_equals")]),
        (b"A=1\nB='open\n", [(2, "unclosed_quote")]),
        (b"just words\n", [(1, "no_equals")]),
        (b"my-name=1\n", [(1, "bad_name")]),
        (b'A="x"y\n', [(1, "trailing_garbage")]),
        (b'A="x" # y\n', [(1, "inline_comment")]),
        (b"A=x # y\n", [(1, "inline_comment")]),
        (b"A=http://h/#fragment\n", []),
        (b"A='\"x\"'\n", [(1, "quotes_kept")]),
        ("A=“x”\n".encode(), [(1, "quotes_kept")]),
        (b"A=['a', 'b']\nB={\"k\": 1}\n", []),
        (b"A=1\r\nB=2\r\n", [(1, "carriage_return")]),
        (b"B=1\nA=x\0y\n", [(2, "nul")]),
        (b"A=1\nB=caf\xe9\n", [(2, "not_utf8")]),
    ],
)
def test_problems(raw: bytes, problems: list[tuple[int, str]]) -> None:
    assert [(item.line, item.problem) for item in env_file.parse(raw).malformed] == problems


def test_byte_order_mark_costs_the_first_variable() -> None:
    result = env_file.parse(b"\xef\xbb\xbfDATABASE_URL=sqlite://\nB=1\n")
    assert (result.bom, result.encoding) == (True, "utf-8")
    assert result.names == ["DATABASE_URL", "B"]
    assert result.not_loaded == ["DATABASE_URL"]
    assert result.variables == {"B": "1"}


def test_utf16_is_refused_whole_but_names_are_shown() -> None:
    for raw in ("A=1\r\nB=2\r\n".encode("utf-16"), "A=1\nB=2\n".encode("utf-16-le")):
        result = env_file.parse(raw)
        assert result.encoding == "utf-16-le"
        assert result.variables == {}
        assert result.names == ["A", "B"] == result.not_loaded
        assert "UTF-8 only" in (result.load_error or "")


def test_continuation_broken_by_crlf_affects_systemd() -> None:
    result = env_file.parse(b"A=one\\\r\ntwo\r\n")
    assert result.variables["A"] == "one"
    assert "systemd" in next(item for item in result.malformed if item.problem == "carriage_return").affects


def test_comment_that_ends_in_a_backslash_swallows_the_next_line_before_254() -> None:
    raw = b"# path C:\\x\\\nA=1\nB=2\n"
    assert env_file.parse(raw, systemd_version=252).variables == {"B": "2"}
    assert env_file.parse(raw, systemd_version=254).variables == {"A": "1", "B": "2"}
    assert [item.problem for item in env_file.parse(raw).malformed] == ["continued_comment"]


def test_shape_of_text() -> None:
    result = env_file.parse(b"A=1\r\nB=2\nA=3")
    assert (result.line_endings, result.lines, result.final_newline) == ("mixed", 3, False)
    assert result.duplicates == ["A"]
    assert env_file.parse(b"").line_endings == "lf"


def test_intended_value_is_without_comment_and_export() -> None:
    result = env_file.parse(b'export SECRET_KEY="abcd" # mine\nTOKEN=efgh # yours\n')
    assert result.intended == {"SECRET_KEY": "abcd", "TOKEN": "efgh"}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SECRET_KEY", "x", True),
        ("DB_PASSWORD", "x", True),
        ("JWT_ALGORITHM", "HS256", False),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "30", False),
        ("DATABASE_URL", "postgresql://u:pw@h/d", True),
        ("DATABASE_URL", "sqlite:///x.db", False),
        ("PWD", "/srv", False),
        ("KEYBOARD", "us", False),
        ("SENTRY_DSN", "x", True),
    ],
)
def test_sensitive(name: str, value: str, expected: bool) -> None:
    assert env_file.sensitive(name, value) is expected


def test_describe_registers_secrets_also_of_lines_that_systemd_drops(tmp_path: Path, ctx: Context) -> None:
    path = tmp_path / "app.env"
    path.write_text("export SECRET_KEY=hunter2hunter2\nDATABASE_URL=postgresql://u:p%40ss@h/d\n")
    path.chmod(0o640)
    section = env_file.describe(str(path), ctx, "unit")
    assert (section["exists"], section["type"], section["mode"]) == (True, "file", "0640")
    assert section["malformed"][0]["affects"] == ["systemd", "docker"]
    assert ctx.secrets["hunter2hunter2"] == "SECRET_KEY"
    assert ctx.secrets["p%40ss"] == ctx.secrets["p@ss"] == "DATABASE_URL"


def test_describe_odd_paths(tmp_path: Path, ctx: Context) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("nowhere")
    assert env_file.describe(str(tmp_path / "no"), ctx, "unit")["type"] == "missing"
    assert env_file.describe(str(tmp_path), ctx, "unit")["type"] == "directory"
    fifo = env_file.describe(str(tmp_path / "fifo"), ctx, "unit")
    assert (fifo["type"], fifo["readable"]) == ("fifo", False)
    link = env_file.describe(str(tmp_path / "link"), ctx, "unit")
    assert (link["type"], link["exists"]) == ("dangling_link", False)
    assert "nowhere" in link["load_error"]


def test_what_these_rights_do_not_reach_is_not_called_missing(
    tmp_path: Path, ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> os.stat_result:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "stat", refuse)
    section = env_file.describe(str(tmp_path / "p.env"), ctx, "unit")
    assert (section["type"], section["exists"]) == ("out_of_reach", None)
    assert is_there(str(tmp_path / "main.py")) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can leave rights behind")
def test_a_file_that_our_own_rights_do_not_reach_may_be_readable_for_the_supervisor(open_path: Path) -> None:
    path = open_path / "app.env"
    path.write_text("A=1\n")
    path.chmod(0o600)
    os.seteuid(65534)
    try:
        section = env_file.describe(str(path), Context({}, time.monotonic() + 9), "EnvironmentFile=/app.env")
    finally:
        os.seteuid(0)
    assert (section["exists"], section["readable"], section["names"]) == (True, None, [])
    assert "Permission denied" in section["load_error"]
