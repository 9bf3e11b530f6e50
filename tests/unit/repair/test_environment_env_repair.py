# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.firstaid.backend.plugins.module_utils._evidence.env_file import parse
from ansible_collections.firstaid.backend.plugins.module_utils._repair.fixes.environment_env_repair import (
    Unclear,
    harmful,
    repair,
)


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        (b"\xef\xbb\xbfTOKEN=a b\nX=1\n", b"TOKEN=a b\nX=1\n"),
        (b"\xef\xbb\xbfTOKEN=t\r\nX='1'\r\n", b"TOKEN=t\nX='1'\n"),
        ("TOKEN=t\r\nNAME=Grüße\r\n".encode("utf-16"), "TOKEN=t\nNAME=Grüße\n".encode()),
        ("TOKEN=tttttttt\nNAME=x\n".encode("utf-16-le"), b"TOKEN=tttttttt\nNAME=x\n"),
        (b'export A="x y"\n  export B=2\nC=3\n', b'A="x y"\n  B=2\nC=3\n'),
        (b"export A='$HOME'\n", b"A='$HOME'\n"),
        (b"A=1\nB=2\n\0\0\0\0", b"A=1\nB=2\n"),
        (b"# M\xfcller\nA=1\n", "# Müller\nA=1\n".encode()),
        (b"A=\"open\nB=2\n# c\n\nC='3'\n", b"A=\"open\"\nB=2\n# c\n\nC='3'\n"),
    ],
)
def test_what_has_one_meaning_is_repaired(raw: bytes, wanted: bytes) -> None:
    assert harmful(parse(raw), "systemd")
    result = repair(raw)
    assert result.content == wanted and result.done
    parsed = parse(result.content)
    assert not parsed.load_error and not parsed.not_loaded and not parsed.bom
    assert not harmful(parsed, "systemd")


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"A=1\0\nB=2\n", "NUL stands in line 1"),
        (b"A=M\xfcller\n", "line 1 is not UTF-8"),
        (b"export A=$HOME/x\n", "no|none"),
        (b"export A=1 B=2\n", "none"),
        (b"MY-NAME=1\n", "none"),
        (b'A="x" y\n', "none"),
        (b'A="-----BEGIN\nabc=\n-----END\nB=2\n', "none"),
        (b"A=1\nB=2\n", "none"),
    ],
)
def test_what_could_mean_two_things_is_left_alone(raw: bytes, says: str) -> None:
    with pytest.raises(Unclear, match=says):
        repair(raw)


def test_no_message_has_a_value() -> None:
    for raw in (b"export SECRET=$hunter2 x\n", b"SECRET=hunter2\0\nB=1\n", b"SECRET=hunter2\xff\n"):
        with pytest.raises(Unclear) as caught:
            repair(raw)
        assert "hunter2" not in str(caught.value)


def test_blanks_around_the_sign_matter_to_a_shell_only() -> None:
    raw = b"A = 1\nB=2\n"
    assert not harmful(parse(raw), "systemd") and harmful(parse(raw), "shell")
    assert repair(raw, "shell").content == b"A=1\nB=2\n"
    with pytest.raises(Unclear):
        repair(b"A = rm -rf x\n", "shell")


def test_one_good_line_is_repaired_and_a_doubtful_one_is_named() -> None:
    result = repair(b"export A=1\nMY-NAME=2\n")
    assert result.content == b"A=1\nMY-NAME=2\n"
    assert result.left == ["line 2 was left as it is: bad name"]


def test_carriage_returns_inside_quotes_are_not_taken_out() -> None:
    raw = b'\xef\xbb\xbfA="one\r\ntwo"\r\nB=2\r\n'
    assert repair(raw).content == raw[3:]


NAME = st.from_regex(r"[A-Z][A-Z0-9_]{0,8}", fullmatch=True)
VALUE = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).filter(
    lambda text: text.strip() == text and not set(text) & set("'\"\\`$#\ufeff") and "=" not in text and " " not in text
)


@given(st.dictionaries(NAME, VALUE, min_size=1, max_size=5), st.sampled_from(["bom", "utf-16", "export"]))
def test_values_stay_byte_for_byte(values: dict[str, str], damage: str) -> None:
    text = "".join(f"{name}={value}\n" for name, value in values.items())
    raw = {
        "bom": b"\xef\xbb\xbf" + text.encode(),
        "utf-16": text.encode("utf-16"),
        "export": "".join(f"export {line}\n" for line in text.splitlines()).encode()
        if len(text.splitlines()) == len(values)
        else b"\xef\xbb\xbf" + text.encode(),
    }[damage]
    assert parse(repair(raw).content).variables == parse(text.encode()).variables
