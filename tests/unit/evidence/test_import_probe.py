# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the import probe that can be tried without a sandbox: reports, scripts, and the syntax of old Pythons."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import (
    import_probe,
    import_probe_report,
    import_probe_script,
    import_probe_watch,
    sandbox,
)
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.import_probe_report import (
    Reporter,
    message_of,
    to_json,
)
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.import_probe_script import Script, run_script

MODULES = (import_probe, import_probe_report, import_probe_script, import_probe_watch)


@pytest.mark.parametrize("module", MODULES)
def test_probe_has_the_syntax_of_python_3_6(module: Any) -> None:
    tree = ast.parse(sandbox.source_of(module), feature_version=(3, 6))
    futures = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    assert not futures, "annotations as a future statement came with Python 3.7"


@pytest.mark.parametrize("module", MODULES)
def test_probe_imports_built_in_modules_only_at_its_top(module: Any) -> None:
    names = {
        alias.name
        for node in ast.parse(sandbox.source_of(module)).body
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert names <= {"posix", "sys", "time"}


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, 2.5, None, True, False, "x"], "b": {"c": []}},
        'quotes " and \\ and \n\r\t and \x00\x1f',
        "ümlaut – € 😀",
        -(10**20),
    ],
)
def test_to_json_reads_back(value: Any) -> None:
    assert json.loads(to_json(value)) == value


def test_to_json_never_fails() -> None:
    assert json.loads(to_json({"x": object(), "nan": float("nan"), "lone": "\udc80", 3: (1,)})) == {
        "x": None, "nan": None, "lone": "\ufffd", "3": [1],
    }  # fmt: skip


class Refuses(Exception):
    """An exception whose text can't be made."""

    def __str__(self) -> str:
        raise KeyError("no")


def test_message_of_hostile_exceptions() -> None:
    assert message_of(Refuses()) == "<KeyError while its text was made>"
    assert len(message_of(ValueError("x" * 10**6))) < 4200


class ValidationError(ValueError):
    """Shaped like pydantic's."""

    title = "Settings"

    def errors(self, **options: Any) -> list[dict[str, Any]]:
        if options:
            raise TypeError("version 1 takes no options")
        return [{"loc": ("database", "url"), "type": "missing", "msg": "Field required", "input": "hunter2"}]


def reporter() -> Reporter:
    """A reporter that is asked, but sends nothing."""
    return Reporter(-1, ["/srv/app"])


def test_validation_errors_keep_fields_and_lose_values() -> None:
    found = reporter().exception(ValidationError("1 validation error … input_value='hunter2'"))
    assert found["fields"] == [{"field": "database.url", "type": "missing", "message": "Field required"}]
    assert "hunter2" not in to_json(found)


def test_chain_tells_cause_from_context_and_respects_from_none() -> None:
    try:
        try:
            try:
                raise KeyError("first")
            except KeyError as exc:
                raise ValueError("second") from exc
        except ValueError:
            raise RuntimeError("third")  # noqa: B904 - the context is what is tested
    except RuntimeError as exc:
        chain = reporter().chain(exc)
    assert [(one["type"], one["relation"]) for one in chain] == [
        ("KeyError", "cause"),
        ("ValueError", "context"),
        ("RuntimeError", None),
    ]
    try:
        try:
            raise KeyError("hidden")
        except KeyError:
            raise ValueError("shown") from None
    except ValueError as exc:
        assert len(reporter().chain(exc)) == 1


def test_deep_tracebacks_keep_both_ends() -> None:
    def deeper(count: int) -> None:
        if count == 0:
            raise ValueError("bottom")
        deeper(count - 1)

    try:
        deeper(200)
    except ValueError as exc:
        found = reporter().exception(exc)
    assert len(found["frames"]) == 60 - 10
    assert found["truncated_frames"] > 100
    assert found["frames"][-1]["code"] == 'raise ValueError("bottom")'


@pytest.mark.parametrize(
    ("file", "origin"),
    [
        ("/srv/app/main.py", "app"),
        ("/srv/app/.venv/lib/python3.11/site-packages/x.py", "site-packages"),
        ("/usr/lib/python3/dist-packages/x.py", "site-packages"),
        (ast.__file__, "stdlib"),
        ("<frozen importlib._bootstrap>", "frozen"),
        ("<string>", "string"),
        ("/opt/other/x.py", "other"),
    ],
)
def test_origin(file: str, origin: str) -> None:
    assert reporter().origin(file) == origin


SERVES = """
import os
from fastapi import FastAPI
app = FastAPI()
app.include_router(1)
if __name__ == "__main__":
    import uvicorn
    uvicorn.run("shop.api:app", port=8443)
"""
UNGUARDED = """
import os
import json as j
from flask import Flask
app = Flask(__name__)
try:
    import ujson
except ImportError:
    ujson = None
def main():
    import gevent
    app.run()
main()
import late
"""


def imported(script: Script) -> list[tuple[str, bool]]:
    """Names and guards of the imports in the part that doesn't run."""
    return [(ast.unparse(node), guarded) for node, guarded in script.imports()]


def test_guarded_script_runs_whole_and_shows_what_it_serves() -> None:
    script = Script(SERVES.encode(), "run.py")
    assert script.whole
    assert imported(script) == [("import uvicorn", False)]
    assert script.targets() == ["shop.api:app"]


def test_unguarded_script_runs_up_to_the_call_that_acts() -> None:
    script = Script(UNGUARDED.encode(), "run.py")
    assert not script.whole
    assert [type(node).__name__ for node in script.head][-1] == "FunctionDef"
    assert imported(script) == [("import late", False), ("import gevent", False)]


@pytest.mark.parametrize(
    "statement",
    [
        "app.run()",
        "server = app.run()",
        "while True: pass",
        "with open('x') as f: f.write('1')",
        "asyncio.run(main())",
        "x = [job.start() for job in jobs]",
        "try:\n    main()\nfinally:\n    pass",
        "for x in forever(): pass",
    ],
)
def test_statements_that_act_do_not_run(statement: str) -> None:
    assert len(Script(f"import os\n{statement}\n".encode(), "run.py").head) == 1


@pytest.mark.parametrize(
    "statement", ["logging.basicConfig()", "sys.path.insert(0, 'x')", "x = Settings()", "'''doc'''", "assert x"]
)
def test_statements_that_prepare_run(statement: str) -> None:
    assert len(Script(f"import os\n{statement}\n".encode(), "run.py").head) == 2


def test_import_that_the_script_copes_with_is_no_failure(tmp_path: Path) -> None:
    path = tmp_path / "run.py"
    path.write_text("main()\ntry:\n    import no_such_thing\nexcept ImportError:\n    pass\n")
    assert run_script(str(path), lambda text: None, name="firstaid_case_1") == {"ran": "head", "targets": []}


def test_import_whose_failure_ends_the_script_is_raised(tmp_path: Path) -> None:
    path = tmp_path / "run.py"
    path.write_text("import sys\nmain()\ntry:\n    import no_such_thing\nexcept ImportError:\n    sys.exit(1)\n")
    with pytest.raises(ModuleNotFoundError) as caught:
        run_script(str(path), lambda text: None, name="firstaid_case_2")
    assert caught.value.__traceback__ is not None
    assert [frame.lineno for frame in _frames(caught.value) if frame.name == "<module>"][-1] == 4


def _frames(exc: BaseException) -> list[Any]:
    import traceback

    return list(traceback.extract_tb(exc.__traceback__))


@pytest.mark.parametrize(
    ("detail", "shared", "hits"),
    [("-1 9", True, False), ("-1 9", False, True), ("0 9", True, True), ("1 9", False, False)],
)
def test_signals_to_everybody_are_refused_where_everybody_is_the_host(detail: str, shared: bool, hits: bool) -> None:
    assert import_probe_watch._may_hit(detail, shared) is hits
