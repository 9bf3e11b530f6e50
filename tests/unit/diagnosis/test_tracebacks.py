# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tracebacks parsed whole: what real interpreters, servers and frameworks print."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.attempts import read_log
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.log_model import Traceback
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.tracebacks import (
    fingerprint,
    from_import_test,
    tracebacks,
)

RECORDED = Path(__file__).parent / "recorded"


def read(log: str) -> list[Traceback]:
    return [found for attempt in read_log(log, "log") for found in tracebacks(attempt)]


def recorded(name: str) -> list[Traceback]:
    return read((RECORDED / name).read_text(encoding="utf-8"))


def test_exception_group_with_nested_groups_and_chains() -> None:
    (found,) = recorded("exception_group.log")
    assert [(raised.type, raised.relation) for raised in found.walk()] == [
        ("ValueError", None), ("ExceptionGroup", "cause"), ("RuntimeError", None),
        ("KeyError", "cause"), ("TypeError", None), ("ExceptionGroup", None), ("ExceptionGroup", None),
    ]  # fmt: skip
    assert found.first_line == 1 and found.fatal


def test_recursion_counts_the_folded_frames() -> None:
    (found,) = recorded("recursion.log")
    assert (found.final.type, found.final.repeated, len(found.final.frames)) == ("RecursionError", 996, 4)


def test_syntax_error_without_header() -> None:
    (found,) = recorded("syntax_block.log")
    assert found.kind == "syntax" and found.fatal
    place = found.final.syntax
    assert place is not None
    assert (place.file, place.line, place.offset, place.text, place.origin) == (
        "/srv/api/syn.py",
        1,
        7,
        "def x(:",
        "app",
    )


def test_syntax_error_inside_a_traceback_is_no_frame() -> None:
    (found,) = recorded("syntax_in_import.log")
    assert [frame.file for frame in found.final.frames] == ["<string>"]
    assert found.final.syntax is not None and found.final.syntax.file == "/srv/api/syn.py"


def test_segfault_dump() -> None:
    (found,) = recorded("segfault.log")
    assert (found.kind, found.signal, found.fatal) == ("faulthandler", "SIGSEGV", True)
    assert [frame.function for frame in found.final.frames] == ["<module>", "string_at"]


def test_interpreter_that_cannot_start() -> None:
    (found,) = recorded("encodings.log")
    assert [(raised.type, raised.name) for raised in found.chain] == [
        ("ModuleNotFoundError", "encodings"), ("Fatal Python error", None)
    ]  # fmt: skip


def test_remote_traceback_of_multiprocessing() -> None:
    (found,) = recorded("remote.log")
    assert found.remote
    assert [raised.relation for raised in found.chain] == ["cause", None]
    assert found.first.frames[-1].function == "w"


def test_ignored_exceptions_threads_and_warnings() -> None:
    ignored, thread = recorded("ignored.log")
    assert ignored.ignored and not ignored.fatal
    assert thread.intro == "Exception in thread Thread-1 (<lambda>):" and not thread.fatal


CAUSE = """\
Traceback (most recent call last):
  File "/srv/v/lib/python3.11/site-packages/sqlalchemy/engine/base.py", line 145, in __init__
    self._dbapi_connection = engine.raw_connection()
psycopg2.OperationalError: connection to server at "127.0.0.1", port 5432 failed: Connection refused
\tIs the server running on that host and accepting TCP/IP connections?


The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/srv/app/main.py", line 9, in <module>
    engine.connect()
sqlalchemy.exc.OperationalError: (psycopg2.OperationalError) connection to server at "127.0.0.1", port 5432 failed: Connection refused
\tIs the server running on that host and accepting TCP/IP connections?

(Background on this error at: https://sqlalche.me/e/20/e3q8)
next line of the log"""


def test_chain_with_multi_line_messages() -> None:
    (found,) = read(CAUSE)
    assert [raised.qualified for raised in found.chain] == [
        "psycopg2.OperationalError",
        "sqlalchemy.exc.OperationalError",
    ]
    assert found.chain[0].relation == "cause"
    assert found.final.message.endswith("e3q8)")
    assert "next line" not in found.final.message
    assert found.first.frames[0].package == "sqlalchemy"


PYDANTIC_2 = """\
Traceback (most recent call last):
  File "/srv/app/settings.py", line 9, in <module>
    settings = Settings()
pydantic_core._pydantic_core.ValidationError: 2 validation errors for Settings
database_url
  Field required [type=missing, input_value={'a': '[type=x]'}, input_type=dict]
    For further information visit https://errors.pydantic.dev/2.12/v/missing
smtp.port
  Input should be a valid integer, unable to parse string as an integer [type=int_parsing, input_value='x', input_type=str]
    For further information visit https://errors.pydantic.dev/2.12/v/int_parsing
INFO:     goodbye"""

PYDANTIC_1 = """\
pydantic.error_wrappers.ValidationError: 2 validation errors for Settings
DEBUG
  field required (type=value_error.missing)
smtp -> port
  value is not a valid integer (type=type_error.integer)"""


def test_pydantic_2_fields() -> None:
    (found,) = read(PYDANTIC_2)
    assert [(f.field, f.type, f.given) for f in found.final.fields] == [
        ("database_url", "missing", "dict"), ("smtp.port", "int_parsing", "str")
    ]  # fmt: skip
    assert found.last_line == 10


def test_pydantic_1_fields_without_traceback() -> None:
    (found,) = read(PYDANTIC_1)
    assert [(f.field, f.type) for f in found.final.fields] == [
        ("DEBUG", "value_error.missing"), ("smtp.port", "type_error.integer")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "kind", "type_", "name", "owner", "errno"),
    [
        ("ModuleNotFoundError: No module named 'a.b'; 'a' is not a package", "error_line", "ModuleNotFoundError", "a.b", "a", None),
        ("ImportError: cannot import name 'X' from partially initialized module 'm' (most likely due to a circular import) (/srv/m.py)",
         "error_line", "ImportError", "X", "m", None),
        ("AttributeError: module 'm' has no attribute 'app'", "error_line", "AttributeError", "app", "m", None),
        ("ImportError: libpq.so.5: cannot open shared object file: No such file or directory", "error_line", "ImportError", "libpq.so.5", None, None),
        ("OSError: [WinError 10048] Normalerweise darf jede Socketadresse nur jeweils einmal verwendet werden", "error_line", "OSError", None, None, 10048),
        ("PermissionError: [Errno 13] Keine Berechtigung: '/var/log/api.log'", "error_line", "PermissionError", None, None, 13),
        ("ERROR:    [Errno 98] error while attempting to bind on address ('0.0.0.0', 80): address already in use", "error_line", "OSError", None, None, 98),
        ("redis.exceptions.ConnectionError: Error 111 connecting to localhost:6379. Connection refused.", "error_line", "ConnectionError", None, None, 111),
        ("/srv/venv/bin/python: No module named uvicorn", "error_line", "Error", "uvicorn", None, None),
        ("python3: can't open file '/srv/app/mian.py': [Errno 2] No such file or directory", "error_line", "Error", "/srv/app/mian.py", None, 2),
        ("Failed to find attribute 'app' in 'wsgi'.", "error_line", "Error", "app", "wsgi", None),
        ("CommandError: Unknown command: 'runsever'", "error_line", "Error", None, None, None),
        ("Error: No such option: --prot Did you mean --port?", "click", "UsageError", None, None, None),
        ("manage.py: error: unrecognized arguments: --bnid", "usage", "UsageError", None, None, None),
        ("supervisor: couldn't chdir to /srv/site/backend: ENOENT", "error_line", "Error", "/srv/site/backend", None, None),
        ("sh: 1: exec: /data/start.py: Permission denied", "error_line", "Error", None, None, None),
    ],
)  # fmt: skip
def test_one_sentence_failures(
    text: str, kind: str, type_: str, name: str | None, owner: str | None, errno: int | None
) -> None:
    (found,) = read(text)
    raised = found.final
    assert (found.kind, raised.type, raised.name, raised.owner, raised.errno) == (kind, type_, name, owner, errno)


@pytest.mark.parametrize(
    "log",
    [
        'INFO:     127.0.0.1:3 - "GET /error?failed=1 HTTP/1.1" 200 OK',
        "/srv/v/celery/platforms.py:893: SecurityWarning: You're running the worker with superuser privileges",
        "DeprecationWarning: old",
        "0 errors, 3 warnings",
        "INFO: no error found",
        "retrying after failure: all good",
    ],
)
def test_words_that_are_no_errors(log: str) -> None:
    assert read(log) == []


def test_celery_refuses_its_application() -> None:
    log = """\
Usage: celery [OPTIONS] [COMMAND] [ARGS]...
Try 'celery --help' for help.

Error:{space}
Unable to load celery application.
The module tasks was not found."""
    (found,) = read(log.format(space=" "))
    assert found.kind == "click" and found.fatal
    assert found.final.message == "Unable to load celery application.\nThe module tasks was not found."


def test_logged_or_fatal() -> None:
    body = (
        'Traceback (most recent call last):\n  File "/srv/a.py", line 1, in pay\n    {}["card"]\nKeyError: \'card\'\n'
    )
    logged = read("[2026-11-22 03:10:38 +0000] [12] [ERROR] card lookup failed\n" + body)[0]
    assert (logged.logged, logged.fatal, logged.intro, logged.pid) == (True, False, "card lookup failed", 12)
    boot = read("[2026-11-22 03:10:38 +0000] [12] [ERROR] Exception in worker process\n" + body)[0]
    assert (boot.logged, boot.fatal) == (True, True)
    after_info = read("INFO:     Waiting for application startup.\n" + body.replace("pay", "<module>"))[0]
    assert (after_info.logged, after_info.fatal) == (False, True)


def test_truncated_at_both_ends() -> None:
    head_gone = (
        '  File "/srv/a.py", line 1, in f\n    g()\n  File "/srv/a.py", line 2, in g\n    h()\nKeyError: \'x\'\n'
    )
    (found,) = read(head_gone)
    assert found.header_missing and len(found.final.frames) == 2
    end_gone = 'Traceback (most recent call last):\n  File "/srv/a.py", line 1, in <module>\nINFO:     Started server process [9]'
    found = read(end_gone)[0]
    assert found.unfinished and found.final.type == ""


def test_rich_box() -> None:
    log = """\
╭───────────────────── Traceback (most recent call last) ──────────────────────╮
│ /srv/v/lib/python3.12/site-packages/svc/cli/cmds/j                           │
│ obs/jobs_cmds.py:74 in run                                                   │
│                                                                              │
│   73 │   x = 1                                                               │
│ ❱ 74 │   load(target)                                                        │
│ ╭──────── locals ────────╮                                                   │
│ │ target = 'worker:main' │                                                   │
│ ╰────────────────────────╯                                                   │
╰──────────────────────────────────────────────────────────────────────────────╯
ModuleNotFoundError: No module named 'worker'"""
    (found,) = read(log)
    assert found.final.name == "worker"
    (frame,) = found.final.frames
    assert (frame.file, frame.line, frame.code) == (
        "/srv/v/lib/python3.12/site-packages/svc/cli/cmds/jobs/jobs_cmds.py", 74, "load(target)"
    )  # fmt: skip


def test_loguru_with_values() -> None:
    log = """\
2026-11-22 03:16:02.049 | ERROR    | __main__:<module>:9 - startup failed
Traceback (most recent call last):

> File "/srv/a/main.py", line 9, in <module>
    start(config)
    │     └ {'port': 'x'}
    └ <function start at 0x7f>

  File "/srv/a/main.py", line 5, in start
    return int(config["port"])
               └ {'port': 'x'}

ValueError: invalid literal for int() with base 10: 'x'"""
    (found,) = read(log)
    assert [frame.line for frame in found.final.frames] == [9, 5]
    assert found.final.frames[1].code == 'return int(config["port"])'
    assert found.logged


def test_identical_ones_are_folded_and_fingerprints_ignore_numbers() -> None:
    body = 'Traceback (most recent call last):\n  File "/srv/a.py", line {0}, in f\nOSError: fd {0} at 0x7f{0}\n'
    (found,) = read("start\n" + "".join(body.format(n) for n in (11, 12, 13)))
    assert found.count == 3
    other = read(body.format(7).replace("OSError", "IOError"))[0]
    assert fingerprint(found) != fingerprint(other)
    assert fingerprint(found) == fingerprint(read(body.format(99))[0])


def test_exception_of_the_import_test() -> None:
    section = {
        "ran": True, "outcome": "exception",
        "exception": {"type": "RuntimeError", "module": "builtins", "message": "no", "chain": [
            {"type": "ImportError", "module": "builtins", "message": "cannot import name 'X' from 'm' (/srv/m.py)", "relation": "cause",
             "name": "m", "attribute": "X",
             "frames": [{"file": "<frozen importlib._bootstrap>", "line": 1, "function": "_load"},
                        {"file": "/srv/a.py", "line": 3, "function": "<module>", "code": "from m import X", "origin": "app"}]},
            {"type": "RuntimeError", "module": "builtins", "message": "no", "relation": None, "frames": []}]},
    }  # fmt: skip
    found = from_import_test(section)
    assert found is not None
    assert (found.first.name, found.first.owner, found.first.relation, found.first.module) == ("X", "m", "cause", None)
    assert [frame.file for frame in found.first.frames] == ["/srv/a.py"]
    assert from_import_test({"unavailable": "turned off"}) is None


@pytest.mark.parametrize(
    "line",
    [
        "a." * 200_000, "x" * 1_000_000 + "[type=", " " * 300_000 + "KeyError", 'File "' * 100_000, "[" * 300_000,
        "Error: " * 100_000, "{" * 200_000, '{"message": "' + "\\\\" * 200_000, "a=" * 200_000 + " msg=", "│ " * 100_000,
        "  | ExceptionGroup: " + "+-" * 100_000, "1 validation error for X\n" + "a\n" * 100_000,
        "Traceback (most recent call last):\n" * 3_000,
    ],
)  # fmt: skip
def test_hostile_input_costs_little_time(line: str) -> None:
    began = time.process_time()
    read("Traceback (most recent call last):\n" + line + "\n" + line)
    assert time.process_time() - began < 20


def test_truncated_anywhere_never_raises() -> None:
    text = (RECORDED / "exception_group.log").read_text(encoding="utf-8") + CAUSE + PYDANTIC_2
    for end in range(0, len(text), 97):
        read(text[:end])
        read(text[end:])
