# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing variables into environment files: read back exactly, and nothing else moved."""

from __future__ import annotations

import codecs
import os
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.firstaid.backend.plugins.module_utils._evidence.env_file import parse
from ansible_collections.firstaid.backend.plugins.module_utils._repair.fixes import settings_files as files
from ansible_collections.firstaid.backend.plugins.module_utils._repair.model import Refused

HARD = [
    "plain", "a b", "a#b", "a #b", "it's", 'say "x"', "both ' and \"", "back\\slash", "end\\", "$HOME", "$(id)", "`id`", "a=b=c", " x", "tab\there",
    "two\nlines", "-----BEGIN KEY-----\nMII/abc+=\n-----END KEY-----\n", "é\u20ac\U0001f600", "'", '"', "\\", "\\n", "\\'", "#x", ";x", "!x", "%n", "a;b",
    "p@ss:w/rd", "x\\\ny",
]  # fmt: skip


def python_dotenv(text: str) -> dict[str, str]:
    """Quoted values as python-dotenv reads them, by its published grammar."""
    found = {}
    pattern = r"""(?m)^(?:export[^\S\r\n]+)?([^=\#\s]+)=('((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|[^\r\n]*)"""
    for match in re.finditer(pattern, text, re.DOTALL):
        name, whole, single, double = match.groups()
        if single is not None:
            value = re.sub(r"\\[\\']", lambda m: m[0][1], single)
        elif double is not None:
            value = re.sub(r"\\[\\'\"abfnrtv]", lambda m: codecs.decode(m[0], "unicode-escape"), double)
        else:
            value = re.sub(r"\s+#.*", "", whole).rstrip()
        found[name] = value
    return found


@pytest.mark.parametrize("value", HARD)
def test_read_back_by_systemd_and_by_python_dotenv(value: str) -> None:
    for version in (247, 254):
        assert parse(f"A={files.quote(value, 'systemd')}\nB=1\n".encode(), version).variables == {"A": value, "B": "1"}
    if value.endswith("\\"):
        return
    text = f"A={files.quote(value, 'dotenv')}\nB=1\n"
    assert python_dotenv(text) == {"A": value, "B": "1"}
    assert parse(text.encode()).intended == {"A": value, "B": "1"}


@pytest.mark.parametrize("value", HARD)
def test_read_back_by_a_shell(value: str, tmp_path: Path) -> None:
    (tmp_path / "env").write_text(f"A={files.quote(value, 'shell')}\n")
    program = f'. {tmp_path}/env; printf %s. "$A"'
    assert subprocess.run(["sh", "-c", program], capture_output=True, check=True).stdout == (value + ".").encode()


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\t\n"), min_size=1, max_size=30))
def test_any_text_is_read_back(value: str) -> None:
    for reader in ("systemd", "dotenv"):
        try:
            text = f"A={files.quote(value, reader)}\nB=1\n"
        except files.CannotWrite:
            assert reader == "dotenv" and ("${" in value or '\\"' in value or value.endswith("\\"))
            continue
        assert files.loaded(parse(text.encode()), reader) == {"A": value, "B": "1"}
        if reader == "dotenv":
            assert python_dotenv(text) == {"A": value, "B": "1"}


def test_readers_without_escapes_get_only_what_they_read() -> None:
    assert files.quote("a b", "lines") == "'a b'"
    assert files.quote("it's ok", "lines") == "it's ok"
    for value in ("a${B}c", "it's a\\", 'a\\"b'):
        with pytest.raises(files.CannotWrite):
            files.quote(value, "dotenv")
    for value in ("a\\b", "a\nb", "'x", "it's #1"):
        with pytest.raises(files.CannotWrite):
            files.quote(value, "lines")


def target(tmp_path: Path, content: bytes, reader: str = "systemd") -> files.Target:
    path = tmp_path / "env"
    path.write_bytes(content)
    return files.look(str(path), reader)


ODD = b"# secrets\n;old\n\nA=1\n  B =  'x y'  \nA=2\nC=one\\\n  two\nexport E=5\nD=\"q\n r\"\n\t#end"


def test_every_place_is_replaced_and_the_rest_is_the_same(tmp_path: Path) -> None:
    new = files.rewritten(target(tmp_path, ODD), {"A": "9 9", "NEW": "n"})
    assert new == ODD.replace(b"A=1", b"A='9 9'").replace(b"A=2", b"A='9 9'") + b"\nNEW=n\n"
    again = files.rewritten(target(tmp_path, new), {"A": "9 9", "NEW": "n"})
    assert again == new


def test_values_over_lines_and_continued_ones_are_replaced_whole(tmp_path: Path) -> None:
    new = files.rewritten(target(tmp_path, ODD), {"C": "c", "D": "d"})
    assert new == ODD.replace(b"C=one\\\n  two", b"C=c").replace(b'D="q\n r"', b"D=d")


def test_foreign_line_ends_stay(tmp_path: Path) -> None:
    assert files.rewritten(target(tmp_path, b"A=1\r\nB=2\r\n"), {"A": "3", "N": "4"}) == b"A=3\r\nB=2\r\nN=4\r\n"


def test_what_systemd_does_not_load_is_written_so_that_it_does(tmp_path: Path) -> None:
    assert files.rewritten(target(tmp_path, b"export A=1\n"), {"A": "3"}) == b"A=3\n"
    assert files.rewritten(target(tmp_path, b"export A=1\n", "dotenv"), {"A": "3"}) == b"export A=3\n"
    assert files.rewritten(target(tmp_path, b"\xef\xbb\xbfA=1\nB=2\n"), {"B": "3"}) == b"\xef\xbb\xbfA=1\nB=3\n"


def test_an_empty_value_is_filled(tmp_path: Path) -> None:
    assert files.rewritten(target(tmp_path, b"A=\nB=1\n"), {"A": "3"}) == b"A=3\nB=1\n"


@pytest.mark.parametrize(
    "content", [b"A='open\nB=1\n", b"\xff\xfeA\0=\x001\0", b"A=1\0\n", b"A=\xe9\n", b"#note \\"]
)  # fmt: skip
def test_a_broken_file_is_not_made_worse(tmp_path: Path, content: bytes) -> None:
    try:
        new = files.rewritten(target(tmp_path, content), {"NEW": "1"})
    except Refused as exc:
        assert str(tmp_path) in str(exc)
    else:
        assert parse(new, 253).variables == {**parse(content, 253).variables, "NEW": "1"}


def test_new_files(tmp_path: Path) -> None:
    found = files.look(str(tmp_path / "none" / "env"), "systemd")
    assert not found.exists and not found.problem
    assert files.rewritten(found, {"A": "x y"}) == b"A='x y'\n"


def test_links_are_followed_to_the_file_and_directories_refused(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "env").write_text("A=1\n")
    (tmp_path / "current").symlink_to("shared")
    (tmp_path / "env").symlink_to("current/env")
    found = files.look(str(tmp_path / "env"), "dotenv")
    assert found.values == {"A": "1"} and os.path.samefile(found.real, tmp_path / "shared" / "env")
    assert files.look(str(tmp_path / "shared"), "dotenv").problem
    os.link(tmp_path / "shared" / "env", tmp_path / "twin")
    assert "hard links" in str(files.look(str(tmp_path / "twin"), "dotenv").problem)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be led astray")
def test_a_users_link_to_a_file_of_roots_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("A=1\n")
    home = tmp_path / "home"
    home.mkdir()
    (home / ".env").symlink_to(secret)
    os.chown(home, 12345, 12345)
    os.chown(home / ".env", 12345, 12345, follow_symlinks=False)
    found = files.look(str(home / ".env"), "dotenv")
    assert found.problem and not found.values and not found.content
