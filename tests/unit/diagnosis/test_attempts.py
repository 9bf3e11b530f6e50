# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs are cut where a new start shows, and only there."""

from __future__ import annotations

from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.attempts import (
    attempts_from_evidence,
    read_log,
)
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.tracebacks import tracebacks

SYSTEMD = """\
Nov 22 02:42:59 web-1 systemd[1]: Started stats.service - Statistics.
Nov 22 02:42:59 web-1 python[{pid}]: Traceback (most recent call last):
Nov 22 02:42:59 web-1 python[{pid}]:   File "<frozen runpy>", line 198, in _run_module_as_main
Nov 22 02:42:59 web-1 python[{pid}]:   File "/srv/stats/stats/main.py", line 1, in <module>
Nov 22 02:42:59 web-1 python[{pid}]: ModuleNotFoundError: No module named 'pandas'
Nov 22 02:42:59 web-1 systemd[1]: stats.service: Main process exited, code=exited, status=1/FAILURE
Nov 22 02:42:59 web-1 systemd[1]: stats.service: Failed with result 'exit-code'.
Nov 22 02:42:59 web-1 systemd[1]: stats.service: Scheduled restart job, restart counter is at 1.
Nov 22 02:42:59 web-1 systemd[1]: Stopped stats.service - Statistics.
"""
GAVE_UP = """\
Nov 22 02:43:01 web-1 systemd[1]: stats.service: Start request repeated too quickly.
Nov 22 02:43:01 web-1 systemd[1]: stats.service: Failed with result 'exit-code'.
Nov 22 02:43:01 web-1 systemd[1]: Failed to start stats.service - Statistics.
"""


def test_systemd_restarts_and_its_last_words() -> None:
    attempts = read_log(SYSTEMD.format(pid=11) + SYSTEMD.format(pid=12) + SYSTEMD.format(pid=13) + GAVE_UP, "journal")
    assert [(a.index, a.began_with, len(a.lines), a.ended, a.newest) for a in attempts] == [
        (0, "systemd", 9, True, False), (1, "systemd", 9, True, False), (2, "systemd", 12, True, True)
    ]  # fmt: skip
    assert attempts[2].lines[0].number == 19
    assert attempts[0].started == "Nov 22 02:42:59"


def test_type_notify_is_one_attempt_from_starting_to_started() -> None:
    line = "Nov 22 02:42:59 web-1 {}\n"
    one = "".join(
        line.format(text)
        for text in (
            "systemd[1]: Starting api.service - API...",
            "gunicorn[5]: [2026-11-22 02:42:59 +0000] [5] [INFO] Starting gunicorn 23.0.0",
            "systemd[1]: Started api.service - API.",
            "systemd[1]: api.service: Main process exited, code=exited, status=3/NOTIMPLEMENTED",
            "systemd[1]: api.service: Scheduled restart job, restart counter is at 1.",
        )
    )
    assert [len(a.lines) for a in read_log(one * 3, "journal")] == [5, 5, 5]


def test_failures_before_the_process_exists() -> None:
    one = """\
Nov 22 02:43:01 web-1 systemd[1]: billing.service: Failed to load environment files: No such file or directory
Nov 22 02:43:01 web-1 systemd[1]: billing.service: Failed with result 'resources'.
Nov 22 02:43:01 web-1 systemd[1]: billing.service: Scheduled restart job, restart counter is at 1.
Nov 22 02:43:01 web-1 systemd[1]: Stopped billing.service - Billing API.
"""
    assert [len(a.lines) for a in read_log(one * 4, "journal")] == [4, 4, 4, 4]


def test_supervisord() -> None:
    log = """\
2026-11-22 03:16:02,051 INFO supervisord started with pid 10
2026-11-22 03:16:03,053 INFO spawned: 'api' with pid 11
ModuleNotFoundError: No module named 'shop'
2026-11-22 03:16:06,081 WARN exited: api (exit status 1; not expected)
2026-11-22 03:16:08,085 INFO spawned: 'api' with pid 14
ModuleNotFoundError: No module named 'shop'
2026-11-22 03:16:08,089 WARN exited: api (exit status 1; not expected)
2026-11-22 03:16:09,089 INFO gave up: api entered FATAL state, too many start retries too quickly"""
    attempts = read_log(log, "supervisord.log")
    assert [(a.pid, len(a.lines)) for a in attempts] == [(11, 4), (14, 4)]


def test_server_banners() -> None:
    stamp = "[2026-11-22 03:10:19 +0000] [8] [INFO] "
    messages = ("Starting gunicorn 21.2.0", "Booting worker with pid: 9", "Booting worker with pid: 10")
    gunicorn = "".join(f"{stamp}{message}\n" for message in messages)
    assert len(read_log(gunicorn * 3, "log")) == 3
    uvicorn = "INFO:     Started server process [8]\nINFO:     Application startup complete.\n"
    attempts = read_log(uvicorn * 2, "log")
    assert [a.served for a in attempts] == [True, True]


def test_workers_below_a_parent_are_one_attempt() -> None:
    log = "INFO:     Started parent process [7]\n" + "".join(
        f"INFO:     Started server process [{pid}]\nINFO:     Application startup complete.\n" for pid in (8, 9, 10)
    )
    assert len(read_log(log, "log")) == 1
    log = "[2026-11-22 03:10:19 +0000] [8] [INFO] Starting gunicorn 21.2.0\n" + log.partition("\n")[2]
    assert len(read_log(log, "log")) == 1


def test_consecutive_deaths_without_any_banner() -> None:
    crash = """\
loading configuration
Traceback (most recent call last):
  File "/srv/api/main.py", line 2, in <module>
    start()
  File "/srv/api/main.py", line 1, in start
    raise RuntimeError("no")
RuntimeError: no
"""
    attempts = read_log(crash * 3, "stderr.log")
    assert [len(a.lines) for a in attempts] == [7, 7, 7]
    assert [a.lines[0].text for a in attempts] == ["loading configuration"] * 3


def test_handled_and_chained_tracebacks_do_not_cut() -> None:
    log = """\
Traceback (most recent call last):
  File "/srv/api/main.py", line 2, in <module>
    {}["a"]
KeyError: 'a'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/srv/api/main.py", line 4, in <module>
    raise RuntimeError("no")
RuntimeError: no
2026-11-22 03:10:19 ERROR app: payment failed
Traceback (most recent call last):
  File "/srv/api/main.py", line 9, in <module>
    pay()
ValueError: card"""
    (attempt,) = read_log(log, "log")
    assert [t.fatal for t in tracebacks(attempt)] == [True, False]


def test_docker_compose_exit_lines() -> None:
    log = "api-1  | boom\napi-1 exited with code 1\n" * 3
    assert len(read_log(log, "compose")) == 3


def test_evidence_keeps_the_supervisors_cut_and_counts_from_the_file() -> None:
    evidence = {
        "logs": {
            "sources": [
                {"id": "journal", "kind": "journal", "attempts": [
                    {"invocation": "a1", "started": "2026-11-22T02:00:00Z", "pid": 5,
                     "segments": [{"first_line": 1, "lines": ["systemd[1]: Started api.service - API.", "KeyError: 'A'"]}]},
                    {"invocation": "a2", "started": "2026-11-22T02:01:00Z", "pid": 6,
                     "segments": [{"first_line": 40, "lines": ["systemd[1]: Started api.service - API."]},
                                  {"first_line": 90, "lines": ["KeyError: 'B'"]}]}]},
                {"id": "file:/var/log/api.log", "kind": "file", "attempts": [
                    {"segments": [{"first_line": 7, "lines": ["[2026-11-22 03:10:19 +0000] [8] [INFO] Starting gunicorn 23.0.0", "x"] * 2}]}]},
                {"id": "gone", "kind": "file", "error": "no such file", "attempts": []},
                "nonsense",
            ]
        }
    }  # fmt: skip
    attempts = attempts_from_evidence(evidence)
    assert [(a.source, a.index, a.invocation, a.newest) for a in attempts] == [
        ("journal", 0, "a1", False), ("journal", 1, "a2", True),
        ("file:/var/log/api.log", 0, None, False), ("file:/var/log/api.log", 1, None, True),
    ]  # fmt: skip
    assert [line.number for line in attempts[1].lines] == [40, 90]
    assert attempts[1].lines[0].mark.unit == "systemd"
    assert attempts[3].lines[0].number == 9
    assert (attempts[0].started, attempts[0].pid) == ("2026-11-22T02:00:00Z", 5)


def test_writers_of_a_journal_are_told_apart() -> None:
    lines = [
        "Traceback (most recent call last):", "Traceback (most recent call last):",
        '  File "/srv/a.py", line 1, in <module>', '  File "/srv/b.py", line 2, in <module>',
        "KeyError: 'A'", "ValueError: B",
    ]  # fmt: skip
    segment = {"first_line": 1, "lines": lines, "pids": [5, 6, 5, 6, 5, 6]}
    evidence = {
        "logs": {"sources": [{"id": "j", "kind": "journal", "attempts": [{"invocation": "i", "segments": [segment]}]}]}
    }
    found = tracebacks(attempts_from_evidence(evidence)[0])
    assert [(t.final.type, t.final.frames[0].file, t.pid) for t in found] == [
        ("KeyError", "/srv/a.py", 5), ("ValueError", "/srv/b.py", 6)
    ]  # fmt: skip


def test_no_evidence_is_no_attempt() -> None:
    assert attempts_from_evidence({}) == []
    assert attempts_from_evidence({"logs": {"unavailable": "no journal"}}) == []
    assert read_log("", "log") == []
    assert read_log("\n\n", "log") == []


def test_a_start_after_a_death_without_any_other_word() -> None:
    crash = 'Traceback (most recent call last):\n  File "/srv/api/main.py", line 2, in <module>\n    go()\nRuntimeError: no\n'
    served = "INFO:     Started server process [9]\nINFO:     Application startup complete.\n"
    first, second = read_log(crash + "loading\n" + served, "log")
    assert [tb.fatal for tb in tracebacks(first)] == [True]
    assert second.served and second.lines[0].text == "loading"


def test_what_is_only_printed_is_not_fatal() -> None:
    log = (
        "Nov 22 02:42:59 web-1 systemd[1]: Started api.service - API.\n"
        "Nov 22 02:42:59 web-1 python[5]: Traceback (most recent call last):\n"
        'Nov 22 02:42:59 web-1 python[5]:   File "/srv/api/main.py", line 2, in <module>\n'
        "Nov 22 02:42:59 web-1 python[5]: ModuleNotFoundError: No module named 'ujson'\n"
        "Nov 22 02:42:59 web-1 python[5]: INFO:     Started server process [5]\n"
        "Nov 22 02:42:59 web-1 python[5]: INFO:     Application startup complete.\n"
    )
    (attempt,) = read_log(log, "journal")
    assert [tb.fatal for tb in tracebacks(attempt)] == [False]
