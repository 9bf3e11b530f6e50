# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Strangers' text on terminals, pages and paths."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.firstaid.backend.plugins.plugin_utils._bundle import text


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x9b2Jgone", "gone"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("tab\tstays", "tab\tstays"),
        ("bell\x07", "bell\ufffd"),
        ("\u202eevil", "\ufffdevil"),
    ],
)
def test_terminals_are_not_steered(given_text: str, expected: str) -> None:
    assert text.clean(given_text) == expected


@given(st.text())
def test_no_control_character_is_left(value: str) -> None:
    assert not any((ord(char) < 32 and char not in "\n\t") or 0x7F <= ord(char) < 0xA0 for char in text.clean(value))


@pytest.mark.parametrize(
    "name", ["../../etc", "..", ".", "", "/", "a/b", "a\nb", "\x1b[2J", "-rf", "x" * 300, "ä", "con\0"]
)
def test_names_stay_inside_their_directory(name: str) -> None:
    made = text.path_name(name)
    assert made and "/" not in made and not made.startswith((".", "-")) and len(made) < 120 and made.isprintable()


def test_names_that_differ_never_meet() -> None:
    names = ["a/b", "a_b", "a:b", "a b", "../a_b"]
    assert len({text.path_name(name) for name in names}) == len(names)
    assert text.path_name("web@1.service") == "web@1.service"


def test_a_wrapped_command_is_still_the_same_command() -> None:
    command = (
        "ansible-playbook playbooks/fix.yml --limit 'a host' -e "
        + '\'{"backend_service": "web api.service"}\' '
        + "-e x=y " * 20
    )
    lines = text.wrap_command(command, "    ")
    assert len(lines) > 2 and max(map(len, lines)) <= text.WIDTH
    pasted = "\n".join(lines).replace("\\\n", " ")
    assert shlex.split(pasted) == shlex.split(command)


def test_a_command_that_is_no_shell_text_is_left_alone() -> None:
    assert text.wrap_command("echo 'open " + "x" * 100) == ["echo 'open " + "x" * 100]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("size_bytes", 1536, "1.5 KiB"),
        ("uptime_s", 93784, "1 d 2 h"),
        ("window_s", 600, "10 min"),
        ("ms", 31, "31 ms"),
        ("exists", False, "no"),
        ("port", None, "not known"),
    ],
)
def test_figures_have_units(key: str, value: object, expected: str) -> None:
    assert text.measured(key, value) == expected


def test_markdown_stays_text() -> None:
    assert text.markdown("[x](javascript:1) | <b> a_b _c_") == "\\[x\\](javascript:1) \\| &lt;b&gt; a_b \\_c\\_"
    assert text.code_span("a `b` | c").startswith("`` ") and text.code_span("a ``` b").startswith("````")
