# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same crash through every transport reads the same, with the source's own line numbers."""

from __future__ import annotations

import json

import pytest

from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.attempts import read_log
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.log_lines import read_lines
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.prefixes import detect
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.text import LINE_LIMIT, clean, split_lines
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.tracebacks import tracebacks

CRASH = """\
INFO:     Started server process [8]
INFO:     Waiting for application startup.
ERROR:    Traceback (most recent call last):
  File "/srv/plans/venv/lib/python3.11/site-packages/starlette/routing.py", line 661, in lifespan
    async with self.lifespan_context(app) as maybe_state:
  File "/srv/plans/app/main.py", line 7, in lifespan
    app.state.default = DATA["plans"]["enterprise"]["seats"]
                        ~~~~~~~~~~~~~^^^^^^^^^^^^^^
KeyError: 'enterprise'

ERROR:    Application startup failed. Exiting.""".split("\n")

STAMP = "2026-02-17T22:43:40.027809645Z"
TRANSPORTS = {
    "bare": lambda line: line,
    "journal short": lambda line: f"Nov 22 03:09:48 web-1 uvicorn[24977]: {line}",
    "journal short, padded day": lambda line: f"Nov  2 03:09:48 web-1 uvicorn[24977]: {line}",
    "journal short, German month": lambda line: f"Mär 22 03:09:48 web-1 uvicorn[24977]: {line}",
    "journal short-precise": lambda line: f"Nov 22 03:09:48.123456 web-1 uvicorn[24977]: {line}",
    "journal short-iso": lambda line: f"2026-11-22T03:09:48+0000 web-1 uvicorn[24977]: {line}",
    "journal short-full": lambda line: f"Sun 2026-11-22 03:09:48 UTC web-1 uvicorn[24977]: {line}",
    "journal short-monotonic": lambda line: f"[12345.678901] web-1 uvicorn[24977]: {line}",
    "journal short-unix": lambda line: f"1763780988.123456 web-1 uvicorn[24977]: {line}",
    "journal json": lambda line: json.dumps(
        {"MESSAGE": line, "_PID": "24977", "SYSLOG_IDENTIFIER": "uvicorn", "__REALTIME_TIMESTAMP": "1763780988123456"}
    ),
    "rsyslog with a path and spaces": lambda line: f"2026-11-22T03:09:48.123456+01:00 web-1 api[24977]: {line}",
    "syslog with priority": lambda line: f"<13>Nov 22 03:09:48 web-1 api[24977]: {line}",
    "syslog RFC 5424": lambda line: f"<34>1 2026-11-22T03:09:48.003Z web-1 api 24977 - - {line}",
    "compose": lambda line: f"api-1  | {line}",
    "compose 1": lambda line: f"api_1       | {line}",
    "compose with times": lambda line: f"api-1  | {STAMP} {line}",
    "docker logs -t": lambda line: f"{STAMP} {line}",
    "docker json-file": lambda line: json.dumps({"log": line + "\n", "stream": "stderr", "time": STAMP}),
    "kubernetes CRI": lambda line: f"{STAMP} stderr F {line}",
    "kubectl --prefix": lambda line: f"[pod/api-7d9f8b6c5-x2x9k/api] {line}",
    "compose under systemd": lambda line: f"Nov 22 03:09:48 web-1 docker-compose[77]: api-1  | {line}",
    "heroku": lambda line: f"2026-11-22T03:09:48.123456+00:00 app[web.1]: {line}",
    "App Runner": lambda line: f"11-22-2026 03:09:48 AM [AppRunner] {line}",
    "aws logs tail": lambda line: f"2026-11-22T03:09:48.123000+00:00 ecs/api/0f9c2d {line}",
    "honcho": lambda line: f"03:09:48 web.1  | {line}",
    "pm2": lambda line: f"0|api  | {line}",
    "svlogd": lambda line: f"2026-11-22_03:09:48.12345 {line}",
    "tai64n": lambda line: f"@400000005f5e1a2c0bebc200 {line}",
    "Windows line ends": lambda line: line + "\r",
    "colours": lambda line: f"\x1b[31m{line}\x1b[0m",
    "colours through rsyslog": lambda line: f"#033[31m{line}#033[0m",
}


@pytest.mark.parametrize("name", TRANSPORTS)
def test_every_transport_gives_the_same_crash(name: str) -> None:
    log = "\n".join(TRANSPORTS[name](line) for line in CRASH)
    attempts = read_log(log, "log")
    assert [attempt.began_with for attempt in attempts] == ["uvicorn"]
    (found,) = tracebacks(attempts[0])
    assert (found.final.type, found.final.name) == ("KeyError", "enterprise")
    assert [(frame.origin, frame.line) for frame in found.final.frames] == [("site-packages", 661), ("app", 7)]
    assert found.final.frames[1].code == 'app.state.default = DATA["plans"]["enterprise"]["seats"]'
    assert (found.first_line, found.last_line) == (3, 9)
    assert found.logged and found.level == "ERROR" and found.fatal
    assert attempts[0].lines[-1].text == "Application startup failed. Exiting."


def test_the_prefix_stays_available_for_quoting() -> None:
    line = read_lines("Nov 22 03:09:48 web-1 api[77]: [2026-11-22 03:09:48 +0000] [9] [ERROR] Worker failed", "j")[0]
    assert line.text == "Worker failed"
    assert line.raw.startswith("Nov 22 03:09:48 web-1 api[77]: [2026-11-22")
    assert (line.mark.unit, line.pid, line.level) == ("api", 9, "ERROR")


def test_partial_container_lines_are_joined() -> None:
    log = f"{STAMP} stderr P ModuleNotFoundError: No module\n{STAMP} stderr F  named 'shop'\n{STAMP} stdout F done"
    lines = read_lines(log, "k8s")
    assert [(line.number, line.text) for line in lines] == [
        (1, "ModuleNotFoundError: No module named 'shop'"),
        (3, "done"),
    ]


def test_containers_that_speak_in_turns_are_read_apart() -> None:
    other = ["db-1   | LOG:  starting PostgreSQL 15.4", "db-1   | FATAL:  the database system is starting up"]
    rows = [f"api-1  | {line}" for line in CRASH]
    rows[4:4] = other
    rows[7:7] = other
    (found,) = tracebacks(read_log("\n".join(rows), "compose")[0])
    assert found.final.type == "KeyError" and len(found.final.frames) == 2


def test_continuation_lines_of_one_journal_message_are_undented() -> None:
    prefix = "Nov 22 03:09:48 web-1 api[77]: "
    log = "\n".join([prefix + CRASH[2], *(" " * len(prefix) + line for line in CRASH[3:9]), prefix + "next"])
    (found,) = tracebacks(read_log(log + f"\n{prefix}end" * 12, "journal")[0])
    assert found.final.name == "enterprise"


def test_verbose_journal() -> None:
    entry = """\
Sun 2026-11-22 03:09:48.123456 UTC [s=0a1b;i=1;b=2;m=3;t=4;x=5]
    _TRANSPORT=stdout
    _PID=24977
    SYSLOG_IDENTIFIER=uvicorn
    MESSAGE=ModuleNotFoundError: No module named 'shop'
    PRIORITY=3"""
    (line,) = read_lines(entry, "journal")
    assert (line.number, line.text, line.pid) == (5, "ModuleNotFoundError: No module named 'shop'", 24977)


@pytest.mark.parametrize(
    "log",
    [
        "id | name\n1 | x\n2 | y\n3 | z\n4 | a\n5 | b\n",
        "ERROR: one\nsomething\nTraceback (most recent call last):\nKeyError: 'x'\n",
        "",
    ],
)
def test_plain_text_has_no_transport(log: str) -> None:
    assert detect(log.split("\n")) == []


def test_line_numbers_ignore_odd_separators() -> None:
    assert list(split_lines("a\x0cb\u2028c\nd\n")) == ["a\x0cb\u2028c", "d"]


@pytest.mark.parametrize(
    ("raw", "seen"),
    [
        ("\x1b[1;31mERROR\x1b[0m boom", "ERROR boom"),
        ("10%\r50%\r100% done\r", "100% done"),
        ("\x1b]0;title\x07text", "text"),
        ("safe\u202egnp.exe", "safegnp.exe"),
        ("tab\tstays", "tab\tstays"),
        ("Ошибка: файл не найден", "Ошибка: файл не найден"),
    ],
)
def test_what_a_terminal_would_hide_is_gone(raw: str, seen: str) -> None:
    assert clean(raw) == seen


def test_gigantic_lines_keep_head_and_tail() -> None:
    (line,) = read_lines("begin" + "x" * 5_000_000 + "end of it", "log")
    assert len(line.text) <= LINE_LIMIT
    assert line.text.startswith("begin") and line.text.endswith("end of it")
