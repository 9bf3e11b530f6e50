# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PID files of the backend: where the unit and the command line say they are, and whether what they name is gone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from ..._evidence import proc
from ..._evidence.app_program import Launch, option_values
from ..._evidence.servers import evaluate_file
from ..model import Change, Host
from .leftovers import OWN, Judge

MAX_BYTES = 64
# The start of a process is known to the hundredth, the boot to the second.
CLOCK_S = 2.0
# Server -> options that name a PID file.
OPTIONS: dict[str, list[str]] = {
    "gunicorn": ["-p", "--pid"],
    "uwsgi": ["--pidfile", "--pidfile2", "--safe-pidfile"],
    "celery": ["--pidfile"],
    "hypercorn": ["-p", "--pid"],
    "daphne": [],
    "waitress": [],
    "granian": ["--pid-file"],
}


def files(host: Host) -> list[str]:
    """PID files that the unit or the command line names."""
    backend = host.backend
    words = backend.app.argv or backend.argv
    named: list[str] = []
    for value in (backend.unit.get("directives") or {}).get("PIDFile", [])[-1:]:
        if value and "%" not in value:
            named.append(os.path.join("/run", str(value)))
    named += option_values(words, OPTIONS.get(backend.app.server, ["--pidfile", "--pid-file"])).values()
    return _paths(host, named)


def configured(host: Host) -> list[str]:
    """PID files that the server's configuration names, which the service user may have written."""
    backend, named = host.backend, []
    words = backend.app.argv or backend.argv
    if backend.app.server == "gunicorn":
        for config in backend.app.config_files:
            launch = Launch(words, dict(backend.environ), backend.cwd) if config.endswith(".py") else None
            evaluator = evaluate_file(config, launch, host.ctx) if launch else None
            value = evaluator.names.get("pidfile") if evaluator else None
            named += [value] if isinstance(value, str) and value else []
    return _paths(host, named)


def _paths(host: Host, named: list[str]) -> list[str]:
    cwd = host.backend.cwd or "/"
    return list(dict.fromkeys(os.path.normpath(os.path.join(cwd, path)) for path in named if "%" not in path))


def changes(host: Host, judge: Judge, ending: set[int], notes: list[str]) -> Iterator[Change]:
    """A change for each PID file whose process is gone or is ended by this run, or whose number another process got since.

    :param ending: leftovers that are ended before.
    """
    if judge.state == "running":
        return
    trusted = files(host)
    for path in dict.fromkeys([*trusted, *configured(host)]):
        try:
            status = os.stat(path, follow_symlinks=False)
        except OSError:
            continue
        content = host.ctx.read(path, MAX_BYTES)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES or content.error:
            continue
        if path not in trusted and status.st_uid != host.backend.uid:
            # Who writes the server's configuration must not make us remove the files of others.
            notes.append(
                f"{path}, which the server's configuration names, isn't the backend's user's: it is left alone."
            )
            continue
        word = content.text.strip()
        if word.isdigit():
            pid = int(word)
            if pid in judge.stats and pid not in ending and judge.verdict(pid).kind == OWN:
                continue
            if pid in judge.stats and pid not in ending and not _reused(judge, pid, status):
                notes.append(
                    f"{path} names {judge.describe(pid)}, which is older than the file: it may be that one's, and is left alone."
                )
                continue
            state = "is ended" if pid in ending else "is another program's" if pid in judge.stats else "is gone"
            why = f"process {pid} that it names {state}"
        elif not word:
            why = "it is empty"
        else:
            # Whatever this is, it is no PID file, and so not for us to remove.
            continue
        yield Change("file", path, why, content=None)


def _reused(judge: Judge, pid: int, status: os.stat_result) -> bool:
    """Whether a process began after the PID file was written, so that it can't be what was written there."""
    began = proc.start_epoch(judge.stats[pid].start_ticks)
    return began is not None and began > status.st_mtime + CLOCK_S
