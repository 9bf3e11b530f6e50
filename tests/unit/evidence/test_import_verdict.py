# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a sandbox's result means: outcomes, what was withheld, names that are near."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import import_verdict
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.sandbox import Result

HELD = {"kind": "namespaces", "reasons": [], "weaker": [], "uncovered": [], "seccomp": True}
WORDS = {"cwd": "/srv/app", "user": "shop", "python": "/srv/venv/bin/python"}
FAULT = """Current thread 0x00007fd58f25d040 (most recent call first):
  File "/usr/lib/python3.11/socket.py", line 546 in accept
  File "/srv/app/db.py", line 12 in wait
  File "/srv/app/main.py", line 3 in <module>
  File "<frozen importlib._bootstrap>", line 241 in _call_with_frames_removed
  File "<firstaid_probe.import_probe>", line 60 in run
  File "<string>", line 9 in <module>
"""


def host(read_only: bool = False, full: bool = False, denied: bool = False) -> import_verdict.Host:
    """A host that answers the same for every path."""
    return import_verdict.Host(lambda path: "app", lambda path: read_only, lambda path: full, lambda path: denied)


def exc(kind: str, message: str = "", **more: Any) -> dict[str, Any]:
    """An exception as the probe reports it."""
    return {"type": kind, "message": message, "frames": [], **more}


def judge(*reports: dict[str, Any], answers: import_verdict.Host | None = None, **fields: Any) -> dict[str, Any]:
    """The section for these reports."""
    values: dict[str, Any] = {"sandbox": HELD, "ended": {"code": 0, "signal": None, "limit": None, "ms": 5}}
    result = Result(reports=[{"start": {"version": "3.11.2"}}, *reports], **{**values, **fields})
    return import_verdict.section(result, WORDS, answers or host())


def final(*chain: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A ``final`` report."""
    return {"final": {"statement": "import main", "chain": list(chain), **more}}


def test_no_exception_is_ok() -> None:
    found = judge(
        {
            "final": {
                "statement": "import main",
                "duration_ms": 12,
                "slowest": [{"module": "a", "ms": 3.5, "own_ms": "x"}],
            }
        }
    )
    assert (found["outcome"], found["python_version"], found["duration_ms"]) == ("ok", "3.11.2", 12)
    assert found["slowest"] == [{"module": "a", "ms": 3.5, "own_ms": None}]


def test_chain_keeps_order_and_the_last_is_the_exception() -> None:
    found = judge(final(exc("KeyError", "'DB'", relation="context"), exc("RuntimeError", "no settings")))
    assert found["outcome"] == "exception"
    assert found["exception"]["type"] == "RuntimeError"
    assert [(one["type"], one["relation"]) for one in found["exception"]["chain"]] == [
        ("KeyError", "context"),
        ("RuntimeError", None),
    ]


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (exc("OSError", "Machine is not on the network", errno=64), "connect"),
        (exc("ConnectionRefusedError", "Connection refused", errno=111), "connect"),
        (exc("gaierror", "Temporary failure in name resolution", errno=-3), "connect"),
        (exc("OperationalError", 'could not translate host name "db" to address'), "connect"),
        (exc("OSError", "Read-only file system", errno=30, filename="/data/x"), "write"),
        (exc("OSError", "No space left on device", errno=28, filename="/data/x"), "write"),
        (exc("RuntimeError", "can't start new thread"), "exec"),
        (exc("FileNotFoundError", "no such file", errno=2, filename="/dev/nvidia0"), "write"),
    ],
)
def test_what_the_sandbox_kept_away_is_no_cause(error: dict[str, Any], what: str) -> None:
    found = judge(final(error, exc("ImproperlyConfigured", "could not start")))
    assert found["outcome"] == "withheld"
    assert found["withheld"][0]["what"] == what


@pytest.mark.parametrize(
    ("error", "answers"),
    [
        (exc("OSError", "Read-only file system", errno=30, filename="/data/x"), host(read_only=True)),
        (exc("OSError", "No space left on device", errno=28, filename="/data/x"), host(full=True)),
        (exc("PermissionError", "Permission denied", errno=13, filename="/data/x"), host(denied=True)),
        (exc("KeyError", "'REDIS_URL'"), host()),
        (exc("ModuleNotFoundError", "No module named 'connection'"), host()),
    ],
)
def test_what_the_host_refuses_too_is_a_cause(error: dict[str, Any], answers: import_verdict.Host) -> None:
    assert judge(final(error), answers=answers)["outcome"] == "exception"


def test_write_that_the_host_denies_is_worded_as_the_host_would() -> None:
    found = judge(final(exc("OSError", "Read-only file system", errno=30, filename="/data")), answers=host(denied=True))
    assert found["outcome"] == "exception"
    one = found["exception"]
    assert (one["type"], one["errno"], one["message"]) == (
        "PermissionError",
        13,
        "[Errno 13] Permission denied: '/data'",
    )
    assert one["corrected"] is True


def test_exception_at_the_place_of_a_refused_connection_is_withheld() -> None:
    frame = {"file": "/srv/app/db.py", "line": 7, "function": "f", "code": None, "origin": "app"}
    withheld = [{"what": "connect", "detail": "db:5432", "file": "/srv/app/db.py", "line": 7}]
    wrapped = exc("DatabaseError", "cannot open session", frames=[frame])
    assert judge(final(wrapped, withheld=withheld))["outcome"] == "withheld"
    elsewhere = exc("ValueError", "bad", frames=[dict(frame, line=9)])
    assert judge(final(elsewhere, withheld=withheld))["outcome"] == "exception"


def test_memory_error_is_our_limit() -> None:
    found = judge(final(exc("MemoryError")))
    assert (found["outcome"], found["limit"]) == ("killed", "memory")


def test_system_exit_names_its_place_and_keeps_what_led_to_it() -> None:
    leave = {
        "code": 3,
        "message": "DATABASE_URL is not set",
        "file": "/srv/app/conf.py",
        "line": 4,
        "function": "check",
    }
    found = judge(final(exc("KeyError", "'DATABASE_URL'", relation="context"), exc("SystemExit"), system_exit=leave))
    assert (found["outcome"], found["exit_code"]) == ("system_exit", 3)
    assert found["system_exit"]["file"] == "/srv/app/conf.py"
    assert found["exception"]["chain"][0]["type"] == "KeyError"


def test_sudden_end() -> None:
    found = judge({"sudden_end": {"code": 7, "kill": None, "file": "/srv/app/a.py", "line": 6, "function": "go"}})
    assert (found["outcome"], found["exit_code"], found["system_exit"]["message"]) == ("system_exit", 7, "os._exit")


def test_hang_has_the_main_threads_stack_outermost_first() -> None:
    found = judge(
        {"progress": {"step": {"step": "target", "module": "main"}}}, ended={"signal": 9, "limit": "time"}, fault=FAULT
    )
    assert (found["outcome"], found["statement"]) == ("timeout", "target main")
    assert [(frame["file"], frame["line"]) for frame in found["stack"]] == [
        ("/srv/app/main.py", 3),
        ("/srv/app/db.py", 12),
        ("/usr/lib/python3.11/socket.py", 546),
    ]


@pytest.mark.parametrize(
    ("ended", "outcome"),
    [
        ({"signal": 11}, "crashed"),
        ({"signal": 9}, "killed"),
        ({"signal": 9, "limit": "processes"}, "killed"),
        ({"code": 1}, "crashed"),
    ],
)
def test_ends_without_a_report(ended: dict[str, Any], outcome: str) -> None:
    assert judge(ended=ended)["outcome"] == outcome


@pytest.mark.parametrize(
    ("failed", "words"),
    [
        (
            {"stage": "cwd", "errno": 2, "text": "No such file or directory"},
            "working directory /srv/app can't be entered as user shop",
        ),
        (
            {"stage": "exec", "errno": 13, "text": "Permission denied"},
            "interpreter /srv/venv/bin/python can't be started as user shop",
        ),
        ({"stage": "sandbox", "errno": None, "text": "x"}, "no sandbox could be made: x"),
    ],
)
def test_could_not_run_says_why(failed: dict[str, Any], words: str) -> None:
    found = judge(failed=failed, ended=None)
    assert (found["outcome"], found["ran"], found["errno"]) == ("could_not_run", False, failed["errno"])
    assert words in found["why_not"]


def test_interpreter_that_dies_before_the_first_line() -> None:
    result = Result(sandbox=HELD, ended={"code": 1}, stderr="\nFatal Python error: init_fs_encoding: no encodings\n")
    found = import_verdict.section(result, WORDS, host())
    assert found["outcome"] == "could_not_run"
    assert "Fatal Python error: init_fs_encoding" in found["why_not"]


@pytest.mark.parametrize(
    ("message", "name", "module", "partial", "file"),
    [
        ("cannot import name 'x' from 'shop.db' (/srv/app/shop/db.py)", "x", "shop.db", False, "/srv/app/shop/db.py"),
        (
            "cannot import name 'x' from partially initialized module 'a' (most likely due to a circular import) (/srv/a.py)",
            "x", "a", True, "/srv/a.py",
        ),
        ("cannot import name 'x'", "x", None, False, None),
    ],
)  # fmt: skip
def test_missing_name(message: str, name: str, module: str | None, partial: bool, file: str | None) -> None:
    near = {"module": module, "names": ["X", "xx", "other"]}
    found = judge(final(exc("ImportError", message), names=near))["missing_name"]
    assert (found["name"], found["module"], found["partially_initialized"], found["module_file"]) == (
        name,
        module,
        partial,
        file,
    )


def test_attribute_that_is_there_in_another_spelling() -> None:
    given = {"wanted": "app", "exists": False, "type": None, "names": ["App", "application", "os"]}
    assert judge(final(exc("AttributeError"), attribute=given))["attribute"]["similar"][0] == "App"


@pytest.mark.parametrize(
    "report",
    [
        {
            "final": {
                "chain": "no list",
                "slowest": {"a": 1},
                "withheld": [None, 3],
                "sys_path": [1, "ok"],
                "system_exit": "x",
            }
        },
        {
            "final": {
                "chain": [None, {"type": 3, "frames": "x", "errno": "1", "syntax": 5, "fields": [1], "exceptions": [2]}]
            }
        },
        {"final": {"chain": [{"type": "E" * 9000, "message": "m" * 99999, "bases": [1], "frames": [{"file": 3}]}]}},
        {"sudden_end": {"code": "x", "chain": 3, "stack": [1]}},
        {"progress": {"step": 5}},
        {"probe": {"error": ["x"]}},
    ],
)
def test_reports_that_lie_do_no_harm(report: dict[str, Any]) -> None:
    found = judge(report)
    assert found["outcome"] in ("ok", "exception", "system_exit", "crashed")
    assert len(str(found)) < 20000


def test_sandbox_words_say_what_is_weaker() -> None:
    held = {
        "kind": "audit_hook",
        "reasons": ["namespaces: CAP_SYS_ADMIN is missing"],
        "weaker": ["without Landlock …"],
        "seccomp": False,
    }
    words = import_verdict.sandbox_words(held)
    assert (words["kind"], words["writes"]) == ("audit_hook", "withheld")
    assert "CAP_SYS_ADMIN" in words["reason"] and "no system call filter" in words["reason"]


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        ({"limit": "time", "state": "R", "cpu_ms": 900, "ms": 5000}, True),
        ({"limit": "time", "state": "R", "cpu_ms": 4900, "ms": 5000}, False),
        ({"limit": "time", "state": "S", "cpu_ms": 100, "ms": 5000}, False),
        ({"limit": None, "state": "R", "cpu_ms": 100, "ms": 5000}, False),
    ],
)
def test_starved_is_told_from_hanging(ended: dict[str, Any], expected: bool) -> None:
    assert import_verdict.starved(ended) is expected
