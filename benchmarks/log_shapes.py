# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs of any size for the benchmark of the classifier: what backends write, and what would hurt a careless reader."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from itertools import cycle

Shape = Callable[[int], str]

TRACEBACK = """Traceback (most recent call last):
  File "/srv/shop/venv/bin/uvicorn", line 8, in <module>
    sys.exit(main())
  File "/srv/shop/venv/lib/python3.12/site-packages/uvicorn/importer.py", line 22, in import_from_string
    raise exc from None
  File "/srv/shop/main.py", line 3, in <module>
    import billing
ModuleNotFoundError: No module named 'billing'
"""
_LOGGED = TRACEBACK.replace("billing", "ledger")


def _requests(count: int = 400) -> list[str]:
    dice = random.Random(1)
    return [
        f'INFO:     10.0.{dice.randrange(255)}.7:{dice.randrange(60000)} - "GET /items/{dice.randrange(10**6)} HTTP/1.1" 200 OK'
        for _line in range(count)
    ]


def _filled(lines: Iterable[str], size: int, end: str = TRACEBACK) -> str:
    """Lines over and over up to a size, and the crash at the end."""
    block = "\n".join(lines) + "\n"
    return (block * (size // len(block) + 1))[: max(0, size - len(end))] + "\n" + end


def _prefixed(prefix: Callable[[int], str]) -> Shape:
    lines = [*_requests(), *TRACEBACK.splitlines()]

    def shape(size: int) -> str:
        end = "".join(f"{prefix(number)}{line}\n" for number, line in enumerate(TRACEBACK.splitlines()))
        return _filled((prefix(number) + line for number, line in enumerate(lines)), size, end)

    return shape


def _restarts(size: int) -> str:
    one = "INFO:     Started server process [{}]\nINFO:     Waiting for application startup.\n" + TRACEBACK
    return "".join(one.format(1000 + number) for number in range(size // len(one) + 1))


def _json_lines(size: int) -> str:
    records = (
        {"time": f"2026-11-22T10:00:{number % 60:02}", "level": "error" if number % 7 == 0 else "info", "logger": "shop",
         "message": f"request {number} done", "exc_info": _LOGGED if number % 20 == 0 else None}
        for number in range(1000)
    )  # fmt: skip
    return _filled(map(json.dumps, records), size)


def _one_json_line(size: int) -> str:
    return json.dumps({"level": "error", "message": "x" * size}) + "\n" + TRACEBACK


def _workers(size: int) -> str:
    dice, texts = random.Random(2), [cycle(TRACEBACK.splitlines()) for _worker in range(4)]
    order = [dice.randrange(4) for _line in range(2000)]
    return _filled([f"worker-{number}  | {next(texts[number])}" for number in order], size)


def _served_then_failing(size: int) -> str:
    unit = "Nov 22 10:00:00 web1 uvicorn[77]: "
    head = [
        "Nov 22 10:00:00 web1 systemd[1]: Started shop.service - Shop.",
        f"{unit}INFO:     Application startup complete.",
    ]
    crash = "".join(
        f"{unit}{line}\n"
        for line in ("Traceback (most recent call last):", '  File "/a.py", line 1, in <module>', "E: x")
    )
    return "\n".join(head) + "\n" + crash * (size // len(crash))


def _exception_group(size: int) -> str:
    head = (
        "  + Exception Group Traceback (most recent call last):\n"
        "  | ExceptionGroup: x (2)\n"
        "  +-+---------------- 1 ----------------\n"
    )
    part = (
        "    | Traceback (most recent call last):\n"
        '    |   File "a.py", line 1, in f\n'
        "    | ValueError: x\n"
        "    +---------------- 2 ----------------\n"
    )
    return head + part * (size // len(part)) + TRACEBACK


def _different_errors(size: int) -> str:
    lines = []
    for number in range(size // 100):
        word = "".join(chr(97 + int(digit)) for digit in str(number))
        lines += [
            "Traceback (most recent call last):",
            f'  File "/srv/{word}.py", line 1, in f',
            f"{word.title()}Error: {word}",
        ]
    return "\n".join(lines) + "\n" + TRACEBACK


def _endless_traceback(size: int) -> str:
    end = "RecursionError: maximum recursion depth exceeded\n"
    return "Traceback (most recent call last):\n" + _filled(['  File "/srv/a.py", line 1, in f', "    f()"], size, end)


def _endless_chain(size: int) -> str:
    joint = "During handling of the above exception, another exception occurred:"
    one = ["Traceback (most recent call last):", '  File "/srv/a.py", line 1, in f', "KeyError: 1", "", joint, ""]
    return _filled(one, size)


SHAPES: dict[str, Shape] = {
    "restarts with tracebacks": _restarts,
    "requests, then a crash": lambda size: _filled(_requests(), size),
    "JSON lines": _json_lines,
    "logfmt": lambda size: _filled(['time=2026-11-22T10:00:00Z level=error logger=shop msg="could not connect" err="refused"'], size),
    "journald prefix": _prefixed(lambda number: f"Nov 22 10:00:{number % 60:02} web1 uvicorn[77]: "),
    "compose and Docker prefix": _prefixed(lambda number: f"api-1  | 2026-11-22T10:00:{number % 60:02}.000000001Z "),
    "ANSI colours, Windows line ends": lambda size: _filled((f"\x1b[32mINFO\x1b[0m:  \x1b[1m{line}\x1b[0m\r" for line in _requests()), size),
    "interleaved workers": _workers,
    "one line": lambda size: "x" * size + "\n" + TRACEBACK,
    "one JSON line": _one_json_line,
    "short lines": lambda size: _filled(["ab cd ef"], size),
    "short lines of errors": lambda size: _filled(["an error"], size),
    "empty lines": lambda size: "\n" * size + TRACEBACK,
    "carriage returns": lambda size: "\r".join(["50%"] * (size // 4)) + "\n" + TRACEBACK,
    "nothing but headers": lambda size: _filled(["Traceback (most recent call last):"], size, ""),
    "one endless traceback": _endless_traceback,
    "one endless chain": _endless_chain,
    "different errors": _different_errors,
    "one endless exception group": _exception_group,
    "served, then failing": _served_then_failing,
    "partial lines of Kubernetes": lambda size: _filled(["2026-11-22T10:00:00.0Z stdout P abcdefgh"], size, ""),
    "braces": lambda size: _filled(["{" * 200], size),
    "not ASCII": lambda size: _filled(["Ошибка: не удалось открыть файл 🚀"], size // 2),
}  # fmt: skip
