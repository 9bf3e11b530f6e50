# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records as applications format them: level, logger and process leave the message, tracebacks come out of fields."""

from __future__ import annotations

import json

import pytest

from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.attempts import read_log
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.records import parse_record
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.tracebacks import tracebacks


@pytest.mark.parametrize(
    ("line", "text", "level", "logger", "pid"),
    [
        ("ERROR:    [Errno 98] error while", "[Errno 98] error while", "ERROR", None, None),
        ("INFO:     Started server process [8]", "Started server process [8]", "INFO", None, None),
        ("CRITICAL: down", "down", "CRITICAL", None, None),
        ("ERROR:root:worker: offline", "worker: offline", "ERROR", "root", None),
        ("[2026-11-22 03:10:19 +0000] [8] [ERROR] Reason: Worker failed to boot.", "Reason: Worker failed to boot.", "ERROR", None, 8),
        ("[2026-11-22 03:08:22,833: ERROR/MainProcess] consumer: Cannot connect to redis", "consumer: Cannot connect to redis",
         "ERROR", "MainProcess", None),
        ("2026-11-22 03:16:03,053 INFO spawned: 'api' with pid 11", "spawned: 'api' with pid 11", "INFO", None, None),
        ("2026-11-22 03:16:03,053 WARN exited: api (exit status 1; not expected)", "exited: api (exit status 1; not expected)",
         "WARNING", None, None),
        ("2026-11-22 02:31:40,362 [INFO] app.services.hubspot: HubSpot disabled", "HubSpot disabled", "INFO", "app.services.hubspot", None),
        ("2026-11-22 03:16:02,049 - app.db - ERROR - no connection", "no connection", "ERROR", "app.db", None),
        ("2026-11-22 03:16:02.049 | ERROR    | app.main:start:12 - boom", "boom", "ERROR", "app.main:start:12", None),
        ("2026-11-22 03:16:02 [error    ] startup failed        reason=db", "startup failed        reason=db", "ERROR", None, None),
        ("[2026-11-22 03:10:38,123] ERROR in app: Exception on / [GET]", "Exception on / [GET]", "ERROR", "app", None),
        ("INFO  [alembic.runtime.migration] Context impl SQLiteImpl.", "Context impl SQLiteImpl.", "INFO", "alembic.runtime.migration", None),
        ("level=error ts=2026-11-22T03:10:38Z msg=\"cannot bind: \\\"in use\\\"\"", 'cannot bind: "in use"', "ERROR", None, None),
        ("2026-11-22 03:16:03,053 ERROR KeyError: 'x'", "KeyError: 'x'", "ERROR", None, None),
    ],
)  # fmt: skip
def test_formats(line: str, text: str, level: str, logger: str | None, pid: int | None) -> None:
    record = parse_record(line)
    assert record is not None
    assert record.texts == (text,)
    assert (record.level, record.logger, record.pid) == (level, logger, pid)


@pytest.mark.parametrize(
    "line",
    [
        "KeyError: 'x'",
        '  File "/srv/a.py", line 1, in f',
        "DEBUG",
        "Error: no such option",
        "E   assert 1 == 2",
        "{not json}",
        "{}",
        "done",
        "",
    ],
)
def test_plain_lines_are_no_records(line: str) -> None:
    assert parse_record(line) is None


TRACE = "Traceback (most recent call last):\n  File \"/srv/a/main.py\", line 3, in <module>\n    import pandas\nModuleNotFoundError: No module named 'pandas'"


@pytest.mark.parametrize(
    "record",
    [
        {"level": "ERROR", "message": "startup failed", "exc_info": TRACE},
        {"levelname": "ERROR", "message": TRACE},
        {"level": "error", "event": "startup failed", "exception": TRACE},
        {"severity": "ERROR", "textPayload": TRACE},
        {"log.level": "error", "message": "startup failed", "error": {"stack_trace": TRACE, "type": "ModuleNotFoundError"}},
        {"level": 50, "msg": "startup failed", "stack": TRACE},
        {"level": "error", "event": "failed", "exception": [
            {"exc_type": "ModuleNotFoundError", "exc_value": "No module named 'pandas'", "frames": [
                {"filename": "/srv/a/main.py", "lineno": 3, "name": "<module>", "line": "import pandas"}]}]},
        {"text": "2026 | ERROR | m:f:1 - failed\n" + TRACE, "record": {"message": "failed", "level": {"name": "ERROR", "no": 40},
         "exception": {"type": "ModuleNotFoundError", "value": "x", "traceback": True}}},
    ],
)  # fmt: skip
def test_tracebacks_in_fields(record: dict[str, object]) -> None:
    log = json.dumps({"level": "INFO", "message": "up"}) + "\n" + json.dumps(record)
    (found,) = tracebacks(read_log(log, "json")[-1])
    assert (found.final.type, found.final.name) == ("ModuleNotFoundError", "pandas")
    assert found.final.frames[-1].line == 3
    assert found.logged and found.level in ("ERROR", "CRITICAL")
    assert (found.first_line, found.last_line) == (2, 2)


def test_a_record_cut_off_by_the_log_driver_is_salvaged() -> None:
    whole = json.dumps({"time": "2026-11-22T02:47:43", "level": "ERROR", "pid": 5847, "message": TRACE + "\nand more"})
    (found,) = tracebacks(read_log(whole[: whole.index("and more") - 12], "json")[0])
    assert found.final.type == "ModuleNotFoundError"
    assert (found.level, found.pid) == ("ERROR", 5847)


def test_a_traceback_logged_line_by_line() -> None:
    log = "\n".join(f"2026-11-22 03:16:02,049 ERROR app.main: {line}" for line in TRACE.split("\n"))
    (found,) = tracebacks(read_log(log, "log")[0])
    assert (found.final.name, found.logged, len(found.final.frames)) == ("pandas", True, 1)
