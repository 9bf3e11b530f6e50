# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing that a unit, a script or a configuration file says may raise or take long."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import (
    app,
    environment,
    interpreter,
    packages,
    python_path,
    symlinks,
)
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.app_shell import follow
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.app_static import (
    Evaluator,
    parse_source,
    top_level_names,
)
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.env_file import parse
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import Backend, Unavailable
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.packages_toml import tolerant
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.requirements import requirements_file
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.requirements_versions import (
    marker_environment,
    marker_holds,
    parse_requirement,
    satisfies,
)
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.servers_wsgi import uwsgi_config

WORDS = (
    "/usr/bin/env python3 uvicorn gunicorn hypercorn daphne uwsgi celery flask fastapi sh -c -lc -m -b --bind --port --config -e -- = : :: "
    "unix: [::]:80 fd://3 tcp:port=x main:app manage.py runserver exec cd source . nice -n sudo -u uv run conda -n poetry $X ${ $( ' \" "
    "--port=99999999999999999999 -A proj worker --ini x.ini -W -X \x00 ü"
).split(" ")
quick = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
text = st.text(alphabet="ab=:/.\\'\"$(){}[]<>|&;#,%@~*!-_ \n\r\t019\x00ü", max_size=60)


def context() -> Context:
    return Context(params={}, deadline=time.monotonic() + 20)


@quick
@given(
    st.lists(st.sampled_from(WORDS) | text, max_size=8),
    st.dictionaries(st.sampled_from(["X", "PORT", "GUNICORN_CMD_ARGS", "PATH"]), text),
)
def test_any_command_line(tmp_path: Path, argv: list[str], environ: dict[str, str]) -> None:
    backend = Backend("demo", "systemd", argv=argv, cwd=str(tmp_path), environ=environ, uid=os.geteuid())
    app.resolve(backend, context())
    assert set(app.collect(backend, context())) >= {"server", "port", "target"}


@quick
@given(text)
def test_any_text(content: str) -> None:
    follow(content, {"a": content}, "/")
    parse(content.encode())
    tolerant(content)
    parse_requirement(content)
    satisfies("1.0", content)
    marker_holds(content, marker_environment("3.11", "x86_64"))
    requirements_file(content, "/nonexistent/requirements.txt", context())
    uwsgi_config(content, "/x/y.ini", {})
    tree = parse_source(content)
    if tree is not None:
        Evaluator({}, "/x.py").load(tree)
        top_level_names(tree)


@pytest.mark.parametrize("unit", ["${", "$(", "(", "[", "{", "'", '"', "\\", "`", "-r", "<<A\n", "a=b;"])
def test_long_repetition_takes_no_time(unit: str) -> None:
    started = time.monotonic()
    content = unit * (20000 // len(unit))
    follow(content, {}, "/")
    parse(content.encode())
    tolerant(content)
    parse_source(content)
    requirements_file(content, "/nonexistent/requirements.txt", context())
    marker_holds(content[:2000], marker_environment("3.11", "x86_64"))
    assert time.monotonic() - started < 5


def test_expressions_that_would_fill_the_memory() -> None:
    source = "a = '%999999999d' % 1\nb = '{:>999999999}'.format(1)\nc = 'x' * 999999999\nd = [0] * 999999999\ne = 9 ** 9 ** 9 ** 9\n"
    tree = parse_source(source)
    assert tree is not None
    evaluator = Evaluator({}, "/x.py")
    evaluator.load(tree)
    assert not any(evaluator.names[name] for name in "abcde")


def test_hostile_directory(tmp_path: Path) -> None:
    """FIFOs where files are expected, loops, names that are no text, deep trees: each collector ends and says something."""
    for name in ("gunicorn.conf.py", ".env", "requirements.txt", "pyproject.toml", "main.py", "app.log"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "up").symlink_to("..")
    (Path(os.fsdecode(bytes(tmp_path) + b"/bad\xff.py"))).write_text("load_dotenv()")
    deep = tmp_path
    for _index in range(40):
        deep = deep / "d"
    deep.mkdir(parents=True)
    backend = Backend("demo", "systemd", argv=["gunicorn", "main:app"], cwd=str(tmp_path), uid=os.geteuid())
    started = time.monotonic()
    app.resolve(backend, context())
    interpreter.resolve(backend, context())
    for collect in (app.collect, interpreter.collect, environment.collect, symlinks.collect, python_path.collect):
        assert collect(backend, context())
    with pytest.raises(Unavailable):
        packages.collect(backend, context())
    assert time.monotonic() - started < 8
