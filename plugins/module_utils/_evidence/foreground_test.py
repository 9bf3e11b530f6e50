# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Collector ``foreground_test``: starts the real command in the sandbox for a few seconds and keeps what it says.

Off unless asked for. The network namespace has a loopback of its own, so that binding the port touches nothing of the
host, and a port that is taken there is free here. It only runs where namespaces can be had.
"""

from __future__ import annotations

import os
import shutil
from typing import Optional

from . import import_test, import_verdict, sandbox
from .context import Context
from .model import Backend, Section

DEFAULT_TIMEOUT_S = 10.0
OFF = "off by default: it starts the backend's command; set backend_foreground_test to true for it"
# A server that lives this long has got past its start.
SURVIVED = "it was still running when the time was up"


def collect(backend: Backend, ctx: Context) -> Section:
    """The ``foreground_test`` section: output and end of the command. Never raises for what the command does."""
    if not ctx.params.get("foreground_test"):
        return {"ran": False, "why_not": OFF}
    argv = backend.app.argv or backend.argv
    found: Section = {"ran": False, "command": argv, "user": backend.user, "cwd": backend.cwd}
    program = program_of(backend, argv)
    why_not = import_test.refusal(backend, ctx, "foreground_test")
    if why_not is None and program is None:
        why_not = f"the command's program {argv[0]} can't be found" if argv else "the backend's command is not known"
    timeout = import_test.time_limit(ctx, "foreground_test_timeout", DEFAULT_TIMEOUT_S)
    if why_not is None and timeout < import_test.MIN_TIMEOUT_S:
        why_not = "the time budget was used up before the foreground test could start"
    if why_not is not None or program is None:
        found["why_not"] = why_not
        return found
    request = import_test.request_for(backend, ctx, timeout)
    request.argv = [program, *argv[1:]]
    request.env["PYTHONDONTWRITEBYTECODE"] = "1"
    request.connect = True
    request.kinds = ("namespaces", "user_namespace")
    found.update(section(sandbox.run(request), backend))
    return found


def program_of(backend: Backend, argv: list[str]) -> Optional[str]:
    """The path of the command's program, as the backend's own ``PATH`` and directory lead to it."""
    if not argv:
        return None
    if "/" in argv[0]:
        return os.path.join(backend.cwd or "/", argv[0])
    if backend.app.program and backend.app.program.startswith("/"):
        return backend.app.program
    return shutil.which(argv[0], path=backend.environ.get("PATH"))


def section(result: sandbox.Result, backend: Backend) -> Section:
    """What the sandbox's result means for a command that is meant to run for ever."""
    ended = result.ended or {}
    found: Section = {
        "ran": True,
        "why_not": None,
        "sandbox": import_verdict.sandbox_words(result.sandbox),
        "duration_ms": ended.get("ms"),
        "exit_code": ended.get("code"),
        "signal": ended.get("signal"),
        "limit": ended.get("limit"),
        "cpu_ms": ended.get("cpu_ms"),
        "peak_rss_bytes": ended.get("peak_rss_bytes"),
        "stdout": result.stdout,
        "stderr": result.stderr,
        "output_truncated": result.output_truncated,
    }
    found["sandbox"]["network"] = "private"
    words = {"cwd": backend.cwd or "/", "user": backend.user or "root", "python": str(backend.python)}
    if result.failed is not None:
        stage = str(result.failed.get("stage"))
        sentence = import_verdict.STAGES.get(stage, "the command could not be started: {text}")
        found.update(
            ran=False, outcome="could_not_run", why_not=sentence.format(text=result.failed.get("text"), **words)
        )
    elif result.ended is None:
        found.update(ran=False, outcome="could_not_run", why_not=result.error)
    elif found["limit"] == "time":
        found.update(outcome="timeout", survived=True, note=SURVIVED, signal=None)
    elif found["limit"]:
        found["outcome"] = "killed"
    elif found["signal"] is not None:
        found["outcome"] = "killed" if found["signal"] == 9 else "crashed"
    else:
        found["outcome"] = "system_exit"
    return found
