# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import random

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import logs_text
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.logs_text import Cut

UVICORN_LOOP = """\
Traceback (most recent call last):
  File "/srv/api/.venv/bin/uvicorn", line 8, in <module>
    sys.exit(main())
             ^^^^^^
  File "/srv/api/main.py", line 3, in <module>
    from settings import settings
  File "/srv/api/settings.py", line 9, in <module>
    settings = Settings()
pydantic_core._pydantic_core.ValidationError: 1 validation error for Settings
DATABASE_URL
  Field required [type=missing, input_value={}, input_type=dict]
    For further information visit https://errors.pydantic.dev/2.5/v/missing
""".splitlines()

CHAIN = """\
Traceback (most recent call last):
  File "/srv/api/db.py", line 4, in connect
    raise KeyError("x")
KeyError: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/srv/api/manage.py", line 22, in <module>
    main()
RuntimeError: no database
""".splitlines()

HANDLED = """\
ERROR:app:request failed
Traceback (most recent call last):
  File "/srv/api/views.py", line 4, in view
    raise ValueError("bad input")
ValueError: bad input
INFO:app:next request
""".splitlines()


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("\x1b[31mERROR\x1b[0m: boom", "ERROR: boom"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://e.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("bell\x07 back\x08space\x7f \x9b31m", "bell backspace 31m"),
        ("a\tb", "a\tb"),
        ("10%\r50%\r100% done", "100% done"),
        ("windows line\r\nnext\r\n", "windows line\nnext\n"),
        ("abc\u202edcba", "abcdcba"),
        ("one\u2028two", "one two"),
        ("\x1b[2J\x1b[1;1Hspoof", "spoof"),
    ],
)
def test_terminal_control_is_taken_out(raw: str, expected: str) -> None:
    assert logs_text.clean(raw) == expected


def test_no_control_character_survives_any_mixture() -> None:
    random.seed(7)
    alphabet = "\x1b[]\\;?0m\x07\x9b\r\nAb\x00\x7f\u202e\t"
    for _ in range(300):
        text = logs_text.clean("".join(random.choice(alphabet) for _ in range(60)))
        assert not [char for char in text if (ord(char) < 32 and char not in "\t\n") or 127 <= ord(char) < 160]


@pytest.mark.parametrize(
    ("raw", "binary"),
    [
        (b"", False),
        (b"plain text\n" * 50, False),
        ("Grüße aus Köln\n".encode("latin-1") * 20, False),
        ("日志 ошибка\n".encode() * 20, False),
        (b"\0" * 5000 + b"2026-11-22 INFO after copytruncate\n", False),
        (b"\x1b[32mINFO\x1b[0m coloured\n" * 20, False),
        (b"\x7fELF\x02\x01\x01" + bytes(range(256)) * 20, True),
        (random.Random(3).randbytes(4096), True),
        (b"\0" * 100, True),
    ],
)
def test_binary_is_told_from_text(raw: bytes, binary: bool) -> None:
    assert logs_text.looks_binary(raw) is binary


def test_lines_are_capped_with_a_marker_and_keep_both_ends() -> None:
    line = logs_text.cap_line("A" * 5000 + "END")
    assert len(line) < 4200
    assert "907 characters left out" in line
    assert line.endswith("END")


def test_lines_are_split_at_newlines_only() -> None:
    assert logs_text.split_lines("a\x0cb\u2028c\nd\n") == ["a b c", "d"]


def test_an_uncaught_exception_at_top_level_ends_an_attempt() -> None:
    cuts = logs_text.cut_attempts(UVICORN_LOOP * 3, 1)
    assert [(cut.first_line, len(cut.lines)) for cut in cuts] == [(1, 12), (13, 12), (25, 12)]


def test_a_chain_is_one_attempt() -> None:
    cuts = logs_text.cut_attempts(CHAIN * 2, 101)
    assert [cut.first_line for cut in cuts] == [101, 112]


def test_a_handled_exception_ends_nothing() -> None:
    assert len(logs_text.cut_attempts(HANDLED * 4, 1)) == 1


def test_server_start_marks_begin_attempts_and_marks_of_one_start_are_one() -> None:
    start = [
        "INFO:     Uvicorn running on http://0.0.0.0:8000 (Press CTRL+C to quit)",
        "INFO:     Started parent process [10]",
        "INFO:     Started server process [11]",
        "INFO:     Started server process [12]",
    ]
    lines = start + ["INFO: request"] * 20 + start + ["INFO: request"] * 3
    cuts = logs_text.cut_attempts(lines, 1)
    assert [cut.first_line for cut in cuts] == [1, 2, 26]


def test_gunicorn_restarts_are_cut() -> None:
    run = ["[2026-11-22 10:00:00 +0000] [1] [INFO] Starting gunicorn 21.2.0", *HANDLED, *["x"] * 10]
    assert len(logs_text.cut_attempts(run * 3, 1)) == 3


def lines_of(attempt: dict[str, object]) -> list[str]:
    return [line for segment in attempt["segments"] for line in segment["lines"]]  # type: ignore[attr-defined]


def test_small_attempts_stay_whole() -> None:
    cuts = [Cut(1 + 10 * n, [f"run {n} line {i}" for i in range(10)]) for n in range(4)]
    attempts, omitted, short = logs_text.pack(cuts, 100_000)
    assert (omitted, short) == (0, False)
    assert [lines_of(attempt)[0] for attempt in attempts] == [f"run {n} line 0" for n in range(4)]


def test_many_attempts_keep_the_first_a_sample_and_the_latest_whole() -> None:
    cuts = [Cut(1 + 100 * n, [f"run {n} line {i}" for i in range(100)]) for n in range(50)]
    attempts, omitted, short = logs_text.pack(cuts, 200_000)
    names = [lines_of(attempt)[0].split(" line")[0] for attempt in attempts]
    assert names[0] == "run 0"
    assert names[-3:] == ["run 47", "run 48", "run 49"]
    assert omitted == 50 - len(attempts)
    assert short
    assert all(len(lines_of(attempt)) == 100 for attempt in attempts[-3:])
    assert all(len(lines_of(attempt)) <= logs_text.SAMPLE_LINES for attempt in attempts[:-3])


def test_too_long_an_attempt_keeps_head_and_tail_with_true_numbers() -> None:
    cut = Cut(1001, [f"line {i}" for i in range(20_000)])
    attempts, _omitted, short = logs_text.pack([cut], 30_000)
    head, tail = attempts[0]["segments"]
    assert short
    assert (head["first_line"], head["lines"][0]) == (1001, "line 0")
    assert tail["lines"][-1] == "line 19999"
    assert tail["first_line"] + len(tail["lines"]) - 1 == 1001 + 19_999
    assert sum(len(line) + 1 for line in lines_of(attempts[0])) <= 30_000


def test_the_budget_holds_whatever_the_attempts() -> None:
    random.seed(1)
    for _ in range(50):
        cuts = [
            Cut(1, ["x" * random.randrange(3000) for _ in range(random.randrange(1, 200))])
            for _ in range(random.randrange(1, 30))
        ]
        attempts, _omitted, _short = logs_text.pack(cuts, 60_000)
        assert sum(len(line) + 1 for attempt in attempts for line in lines_of(attempt)) <= 60_000
