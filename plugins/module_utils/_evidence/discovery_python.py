# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a service looks like Python, judged by its command, the script it runs, its processes and its directory."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Optional

from . import proc
from .context import KIB, Context

_PYTHON = re.compile(r"(?:^|/)(?:python|pypy)[0-9.]*$")
# Programs that are Python or run it.
_SERVERS = (
    "uvicorn", "gunicorn", "hypercorn", "daphne", "granian", "waitress-serve", "uwsgi", "uwsgi-core", "celery", "flask",
    "django-admin", "fastapi", "streamlit", "jupyter", "airflow", "rq", "dramatiq", "huey_consumer", "poetry", "pipenv",
    "uv", "uvx", "pdm", "hatch", "conda", "mamba", "micromamba", "twistd", "sanic", "litestar", "arq", "supervisord",
)  # fmt: skip
_IN_TEXT = re.compile(
    r"(?:^|[\s;&|\"'(/])(?:python[0-9.]*|pypy[0-9.]*|uvicorn|gunicorn|hypercorn|daphne|granian|celery|uwsgi|flask|"
    r"manage\.py|poetry|pipenv|uv run|conda run|[\w./-]+\.py)(?=$|[\s;&|\"')])"
)
_PROJECT_FILES = (
    "pyproject.toml",
    "requirements.txt",
    "manage.py",
    "setup.py",
    "Pipfile",
    "uv.lock",
    "main.py",
    "app.py",
    "wsgi.py",
    "asgi.py",
)
MAX_PROCESSES = 200
_SHELLS = ("sh", "bash", "dash", "zsh", "ash")


def by_command(argv: Sequence[str]) -> bool:
    """Whether the words of a command name Python, a Python server or a script of it."""
    for number, word in enumerate(argv[:6]):
        name = os.path.basename(word)
        if number and word.startswith("-"):
            continue
        if _PYTHON.search(word) or name in _SERVERS or name.endswith((".py", ".pyz", ".pex")):
            return True
    if argv and os.path.basename(argv[0]) in _SHELLS:
        return any(_IN_TEXT.search(word) for word in argv[1:])
    return False


def by_script(argv: Sequence[str], ctx: Context) -> bool:
    """Whether the file that is executed is a Python script, a shell script that starts Python, or part of a virtual
    environment."""
    for word in [word for word in argv[:3] if word.startswith("/")]:
        folder = os.path.dirname(word)
        if os.path.isfile(os.path.join(os.path.dirname(folder), "pyvenv.cfg")):
            return True
        text = ctx.read(word, max_bytes=8 * KIB).text
        first = text.split("\n", 1)[0]
        if not first.startswith("#!"):
            continue
        if "python" in first or "pypy" in first:
            return True
        lines = (line for line in text.split("\n")[1:] if not line.lstrip().startswith("#"))
        return any(_IN_TEXT.search(line) for line in lines)
    return False


def by_processes(main_pid: int, pids: Sequence[int]) -> bool:
    """Whether the main process or a child of it is Python.

    Children of children don't count: below sshd and cron runs whatever people run, ourselves included.
    """
    for pid in pids[:MAX_PROCESSES]:
        stat = proc.read_stat(pid) if pid != main_pid else None
        if pid != main_pid and (stat is None or stat.ppid != main_pid):
            continue
        if _PYTHON.search((proc.readlink(f"/proc/{pid}/exe") or "").replace(" (deleted)", "")):
            return True
        argv = [part for part in (proc.slurp(f"/proc/{pid}/cmdline", 4096) or "").split("\0") if part]
        if by_command(argv[:3]) and os.path.basename(argv[0]) not in _SHELLS:
            return True
    return False


def by_directory(folder: Optional[str]) -> bool:
    """Whether the working directory holds a Python project; ``/`` and system directories never do."""
    if not folder or folder == "/" or folder.startswith(("/usr", "/etc", "/run", "/proc")):
        return False
    return any(os.path.isfile(os.path.join(folder, name)) for name in _PROJECT_FILES)


def looks_like_python(
    argv: Sequence[str], main_pid: int, pids: Sequence[int], folder: Optional[str], ctx: Context
) -> bool:
    """Any of the ways to tell; the cheap ones first."""
    return by_command(argv) or by_processes(main_pid, pids) or by_script(argv, ctx) or by_directory(folder)
