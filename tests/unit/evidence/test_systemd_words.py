# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import systemd_words as words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a  b\tc", ["a", "b", "c"]),
        ("'a b' \"c d\"", ["a b", "c d"]),
        (r'"x=\"y\" $Z\n"', ['x="y" $Z\n']),
        ('--name="two words"', ["--name=two words"]),
        (r"a\x20b \u00e9 \101", ["a b", "é", "A"]),
        ('"never closed', ["never closed"]),
        ('\'it"s\' "" end', ['it"s', "", "end"]),
        ("$'tab\\there'", ["tab\there"]),
        ("", []),
        ("tail\\", ["tail\\"]),
    ],
)
def test_split_words(text: str, expected: list[str]) -> None:
    assert words.split_words(text) == expected


def test_split_commands_takes_prefixes_and_separators_off() -> None:
    lines = words.split_commands("-/usr/bin/python3 -c \"import sys; print('x')\" ; :@/bin/echo other one \\; ';'")
    assert [line.argv for line in lines] == [
        ["/usr/bin/python3", "-c", "import sys; print('x')"],
        ["/bin/echo", "one", ";", ";"],
    ]
    assert lines[0].may_fail and lines[0].expands_variables
    assert not lines[1].may_fail and not lines[1].expands_variables


def test_expand_variables_follows_systemd_not_a_shell() -> None:
    environ = {"PORT": "8000", "ARGS": "--a 'b c'", "EMPTY": ""}
    argv = ["/x", "--port=${PORT}", "$ARGS", "$EMPTY", "$MISSING", "${MISSING}", "$$HOME", "x$PORT"]
    assert words.expand_variables(argv, environ) == ["/x", "--port=8000", "--a", "b c", "", "$HOME", "x$PORT"]
    assert words.referenced_variables(argv) == ["PORT", "ARGS", "EMPTY", "MISSING"]


def test_parse_environment_as_systemctl_prints_it() -> None:
    text = r'"A=1 2" B=two "C=it\"s" "D=x=\"y\" $Z\n" noequals'
    assert words.parse_environment(text) == {"A": "1 2", "B": "two", "C": 'it"s', "D": 'x="y" $Z\n'}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1min 30s", 90.0),
        ("100ms", 0.1),
        ("5", 5.0),
        ("1.5h", 5400.0),
        ("infinity", None),
        ("", None),
        ("abc", None),
        ("3 bananas", None),
    ],
)
def test_parse_timespan(text: str, seconds: float | None) -> None:
    assert words.parse_timespan(text) == seconds


def test_parse_timestamp_and_count() -> None:
    assert words.parse_timestamp("Sun 2026-11-22 04:50:52 UTC") == 1795323052.0
    assert words.parse_timestamp("n/a") is None
    assert words.parse_count("524288") == 524288
    assert words.parse_count("infinity") is None
    assert words.parse_count("18446744073709551615") is None
