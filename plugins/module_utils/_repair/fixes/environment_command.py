# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same command under another interpreter, or for another application. All other words stay as they are written."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Optional

from ..._evidence.app_program import is_python
from ..._evidence.context import Context
from ..._evidence.interpreter_chain import parse_shebang
from ..._evidence.systemd_unit_files import expand_specifiers
from ..._evidence.systemd_words import split_commands
from . import dropin

# Launchers that are also modules: ``python -m`` needs no launcher, whose first line may lead nowhere.
MODULES = {
    "uvicorn": "uvicorn",
    "gunicorn": "gunicorn",
    "hypercorn": "hypercorn",
    "daphne": "daphne",
    "granian": "granian",
    "celery": "celery",
    "flask": "flask",
    "django-admin": "django",
    "waitress-serve": "waitress",
}


def interpreted(program: str, python: str, ctx: Context) -> Optional[list[str]]:
    """The words that start a program under another interpreter; None when it is no Python program that is known."""
    name = os.path.basename(program)
    if is_python(program):
        return [python]
    if name in MODULES:
        return [python, "-m", MODULES[name]]
    for path in (os.path.join(os.path.dirname(python), name), program):
        if _is_script(path, ctx):
            return [python, path]
    return None


def _is_script(path: str, ctx: Context) -> bool:
    head = ctx.read(path, 4096)
    interpreter = parse_shebang(head.raw.split(b"\n", 1)[0].rstrip(b"\r") + b"\n")[0] if not head.error else None
    return bool(interpreter) and ("python" in str(interpreter) or b"python" in head.raw[:512])


def with_interpreter(value: str, programs: Sequence[str], python: str, unit: str, ctx: Context) -> Optional[str]:
    """A value of ``ExecStart=`` in which another interpreter runs the program; None when it names none of ``programs``.

    :param programs: the paths that don't work any more; one without a directory matches by its name.
    """
    result = []
    found = False
    for command in split_commands(value):
        texts: list[str] = []
        for text in command.argv:
            plain = expand_specifiers(text, unit)
            if not found and _is_one_of(plain, programs):
                replacement = interpreted(next(item for item in programs if _is_one_of(plain, [item])), python, ctx)
                if replacement is None:
                    return None
                texts += [dropin.literal(item) for item in replacement]
                found = True
            else:
                texts.append(text)
        result.append(command.flags.replace("@", "") + dropin.words(texts))
    return " ; ".join(result) if found else None


def with_target(value: str, old: str, new: str) -> Optional[str]:
    """A value of ``ExecStart=`` that names another application; None when it does not name the old one as a word of its own."""
    result = []
    count = 0
    for command in split_commands(value):
        texts = []
        for text in command.argv:
            head, equals, tail = text.rpartition("=")
            if text == old:
                texts.append(dropin.literal(new))
                count += 1
            elif equals and tail == old and head.startswith("-"):
                texts.append(f"{head}={dropin.literal(new)}")
                count += 1
            else:
                texts.append(text)
        result.append(command.flags.replace("@", "") + dropin.words(texts))
    return " ; ".join(result) if count == 1 else None


def _is_one_of(text: str, programs: Sequence[str]) -> bool:
    if "/" not in text:
        return any(os.path.basename(item) == text for item in programs) and bool(re.match(r"[\w.\-]+\Z", text))
    return any(os.path.normpath(text) == os.path.normpath(item) for item in programs)
