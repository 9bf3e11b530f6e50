# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import Backend
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.systemd_unit_files import (
    expand_specifiers,
    merge,
    parse,
)
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.systemd_words import (
    expand_variables,
    parse_environment,
    split_commands,
    split_words,
)
from ansible_collections.firstaid.backend.plugins.module_utils._repair.fixes import dropin
from ansible_collections.firstaid.backend.plugins.module_utils._repair.fixes.environment_command import (
    with_interpreter,
    with_target,
)
from ansible_collections.firstaid.backend.plugins.module_utils._repair.model import Refused

UNIT = "web.service"
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


def files(fragment: str, **drop_ins: str) -> list[dict[str, Any]]:
    """The unit's files as the evidence has them; drop-ins by name, with underscores for dashes."""
    found = [{"path": f"/lib/{UNIT}", "kind": "fragment", "text": fragment, "error": None}]
    for name, text in drop_ins.items():
        file = name.replace("_", "-").lstrip("-") + ".conf"
        found.append({"path": f"/etc/systemd/system/{UNIT}.d/{file}", "kind": "dropin", "text": text, "error": None})
    return found


def opened(fragment: str, **drop_ins: str) -> dropin.DropIn:
    backend = Backend(UNIT, "systemd", unit={"files": files(fragment, **drop_ins)})
    return dropin.open_for(backend, "environment")


def lines(one: dropin.DropIn) -> list[str]:
    return [line for line in one.render().splitlines() if line and not line.startswith("#")]


@given(ANY_TEXT)
def test_a_variable_comes_back_as_it_was(value: str) -> None:
    line = f"Environment={dropin.assignment('NAME', value)}"
    (setting,) = parse(f"[Service]\n{line}\n")
    assert parse_environment(expand_specifiers(setting.value, UNIT)) == {"NAME": value}


@given(st.lists(ANY_TEXT.filter(bool), min_size=1, max_size=4))
def test_words_of_a_command_come_back_as_they_were(texts: list[str]) -> None:
    assert split_words(dropin.words(texts)) == texts


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("/srv/a b", 'Environment="P=/srv/a b"'),
        ("100%n", "Environment=P=100%%n"),
        ('say "hi"', 'Environment="P=say \\"hi\\""'),
        ("back\\slash", 'Environment="P=back\\\\slash"'),
        ("$HOME/x", "Environment=P=$HOME/x"),
        ("two\nlines", 'Environment="P=two\\nlines"'),
    ],
)
def test_how_values_are_written(value: str, written: str) -> None:
    one = opened("[Service]\n")
    one.set_variable("P", value)
    assert lines(one) == ["[Service]", written]


@pytest.mark.parametrize("path", ["/srv/a\nExecStart=/bin/evil", " /srv/a", "/srv/a\\", "/srv/\x07"])
def test_a_path_that_would_be_more_than_a_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="can't stand in a unit file"):
        dropin.whole(path)


def test_a_list_is_cleared_only_where_something_goes() -> None:
    one = opened("[Service]\nEnvironmentFile=/etc/a\nEnvironmentFile=-/etc/b\n")
    one.set_list("EnvironmentFile", ["/etc/a", "-/etc/b", "/srv/c"])
    assert lines(one) == ["[Service]", "EnvironmentFile=/srv/c"]
    one.set_list("EnvironmentFile", ["/srv/c", "-/etc/b"])
    assert lines(one) == ["[Service]", "EnvironmentFile=", "EnvironmentFile=/srv/c", "EnvironmentFile=-/etc/b"]
    assert one.effective()["EnvironmentFile"] == ["/srv/c", "-/etc/b"]
    one.set_list("EnvironmentFile", ["/etc/a", "-/etc/b"])
    assert one.render() == ""


def test_what_our_drop_in_says_already_is_kept_and_a_second_time_changes_nothing() -> None:
    first = opened("[Service]\nUser=web\n")
    first.set("WorkingDirectory", "/srv/web")
    first.set_variable("PYTHONPATH", "/srv/old")
    again = opened("[Service]\nUser=web\n", _90_firstaid_environment=first.render())
    assert again.change("x") is None
    again.set_variable("PYTHONPATH", "/srv/new")
    again.set_variable("MODE", "a b")
    assert lines(again) == [
        "[Service]",
        "WorkingDirectory=/srv/web",
        "Environment=PYTHONPATH=/srv/new",
        'Environment="MODE=a b"',
    ]
    change = again.change("x")
    assert change is not None and change.path == f"/etc/systemd/system/{UNIT}.d/90-firstaid-environment.conf"
    assert (change.mode, change.uid, change.gid, change.kind) == (0o644, 0, 0, "file")


@pytest.mark.parametrize(
    ("later", "named"),
    [
        ("[Service]\n# their own\nWorkingDirectory=/srv/other\n", ("WorkingDirectory", 3)),
        ("[Service]\nEnvironment=A=1 PYTHONPATH=/x\n", ("Environment", 2)),
        ("[Service]\nEnvironment=\n", ("Environment", 2)),
        ("[Service]\nEnvironment=OTHER=1\nUser=web\n", None),
        ("[Service]\nWorkingDirectory=/srv/web\n", None),
    ],
)
def test_a_later_drop_in_that_would_win_is_named(later: str, named: Any) -> None:
    one = opened("[Service]\n", override=later)
    one.set("WorkingDirectory", "/srv/web")
    one.set_variable("PYTHONPATH", "/srv/lib")
    if named is None:
        assert one.change("x") is not None
        return
    with pytest.raises(Refused) as caught:
        one.change("x")
    assert "override.conf" in str(caught.value) and f"line {named[1]} sets {named[0]}=" in str(caught.value)


def test_an_earlier_drop_in_is_no_hindrance() -> None:
    one = opened("[Service]\nExecStart=/a\n", _20_path="[Service]\nEnvironment=PYTHONPATH=/typo\n")
    one.set_variable("PYTHONPATH", "/srv/lib")
    assert one.overruled() is None
    assert parse_environment(" ".join(one.effective()["Environment"])) == {"PYTHONPATH": "/srv/lib"}


def test_a_masked_unit_is_refused() -> None:
    with pytest.raises(Refused, match="masked"):
        dropin.open_for(Backend(UNIT, "systemd", service={"masked": True}, unit={"files": []}), "environment")


CTX = Context({}, 1e12)


@pytest.mark.parametrize(
    ("value", "program", "wanted"),
    [
        ("/old/bin/uvicorn main:app --port 80", "/old/bin/uvicorn", "/new/bin/python -m uvicorn main:app --port 80"),
        ("/old/bin/python -X dev -m uvicorn m:a", "/old/bin/python", "/new/bin/python -X dev -m uvicorn m:a"),
        (
            "-/usr/bin/env A=1 /old/bin/celery -A x worker",
            "/old/bin/celery",
            "-/usr/bin/env A=1 /new/bin/python -m celery -A x worker",
        ),
        (
            "/old/bin/gunicorn -b %i:${PORT} $ARGS 'a b' w:app",
            "/old/bin/gunicorn",
            '/new/bin/python -m gunicorn -b %i:${PORT} $ARGS "a b" w:app',
        ),
        ("@/old/bin/uvicorn name main:app", "/old/bin/uvicorn", "/new/bin/python -m uvicorn main:app"),
        ("/bin/sh -c 'exec /old/bin/uvicorn main:app'", "/old/bin/uvicorn", None),
        ("/srv/start.sh", "/old/bin/uvicorn", None),
    ],
)
def test_only_the_program_of_a_command_changes(value: str, program: str, wanted: str | None) -> None:
    assert with_interpreter(value, [program], "/new/bin/python", UNIT, CTX) == wanted


def test_specifiers_and_variables_of_a_command_mean_the_same_after_it() -> None:
    value = "/old/bin/uvicorn main:app --port ${PORT} --log %n $MORE \"x;y\" ';'"
    new = with_interpreter(value, ["/old/bin/uvicorn"], "/n %/python", UNIT, CTX)
    assert new is not None
    (command,) = split_commands(new)
    argv = expand_variables([expand_specifiers(text, UNIT) for text in command.argv], {"PORT": "80", "MORE": "a b"})
    assert argv == ["/n %/python", "-m", "uvicorn", "main:app", "--port", "80", "--log", UNIT, "a", "b", "x;y", ";"]


def test_the_target_is_replaced_as_a_word_only() -> None:
    assert (
        with_target("/v/uvicorn main:app --x main:apple", "main:app", "web:app") == "/v/uvicorn web:app --x main:apple"
    )
    assert with_target("/v/celery --app=proj worker", "proj", "other") == "/v/celery --app=other worker"
    assert with_target("/v/uvicorn main:app main:app", "main:app", "web:app") is None
    assert merge([parse("[Service]\nExecStart=/a")])["ExecStart"] == ["/a"]
