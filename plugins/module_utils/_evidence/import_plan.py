# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the import test has to do to import a backend as its server does: entries of ``sys.path`` and steps.

A server is an entry of a table: what it imports before the application, and how it takes the application.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from .model import App, Backend
from .python_path import safe_path

Step = dict[str, Any]

# Server → modules that it has imported by the time it looks for the application.
PRELOADS: dict[str, tuple[str, ...]] = {
    "uvicorn": ("uvicorn",),
    "gunicorn": ("gunicorn.app.wsgiapp",),
    "hypercorn": ("hypercorn.run",),
    "daphne": ("daphne.cli",),
    "granian": ("granian",),
    "waitress": ("waitress",),
    "celery": ("celery",),
    "flask": ("flask.cli",),
    "django": ("django",),
}
# gunicorn's short names of worker classes (gunicorn.workers.SUPPORTED_WORKERS).
GUNICORN_WORKERS = {
    "sync": "gunicorn.workers.sync",
    "gthread": "gunicorn.workers.gthread",
    "eventlet": "gunicorn.workers.geventlet",
    "gevent": "gunicorn.workers.ggevent",
    "gevent_wsgi": "gunicorn.workers.ggevent",
    "gevent_pywsgi": "gunicorn.workers.ggevent",
    "tornado": "gunicorn.workers.gtornado",
}
OWN_PROGRAM = ("script", "module", "unknown")
_MODULE_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z")


@dataclass
class Plan:
    """``steps`` for the probe, ``argv`` as the server's ``sys.argv``; ``why_not`` when there is nothing to import."""

    steps: list[Step] = field(default_factory=list)
    argv: list[str] = field(default_factory=list)
    module: Optional[str] = None
    attribute: Optional[str] = None
    why_not: Optional[str] = None


def make(backend: Backend, flags: Sequence[str] = ()) -> Plan:
    """The plan for one backend; a pure function of what the resolvers found.

    :param flags: options that the interpreter gets, see ``first_entry``.
    """
    app = backend.app
    plan = Plan(argv=sys_argv(app), module=app.module, attribute=app.attribute)
    own = first_entry(app, backend.cwd or "/", ())
    first = None if safe_path(backend) else first_entry(app, backend.cwd or "/", flags)
    # A server puts its directory on the path itself; for an own program only the interpreter does.
    front = [path for path in app.path_prepend if path != (own if app.server in OWN_PROGRAM else first)]
    _put_path(plan, [first] if first else [])
    if app.server in OWN_PROGRAM or (app.server == "django" and app.script):
        # The program itself may stand in a directory that only its own path entry leads to.
        _put_path(plan, front)
        _program(app, plan)
    else:
        plan.steps += [{"step": "import", "module": name} for name in PRELOADS.get(app.server, ())]
        _put_path(plan, front)
    _server(app, plan, backend.cwd or "/")
    if not any(step["step"] not in ("path", "setting") for step in plan.steps):
        plan.why_not = app.problem or "no import target, module or script could be found in the command"
    return plan


def _put_path(plan: Plan, entries: list[str]) -> None:
    if entries:
        plan.steps.append({"step": "path", "insert": entries})


def _program(app: App, plan: Plan) -> None:
    """A script or module of the backend's own."""
    module = run_module(app)
    if app.settings_module and app.server == "django":
        plan.steps.append({"step": "setting", "name": "DJANGO_SETTINGS_MODULE", "value": app.settings_module})
    if app.script:
        plan.steps.append({"step": "script", "path": app.script})
    elif app.code is not None:
        plan.steps.append({"step": "code", "text": app.code})
    elif module:
        plan.steps.append({"step": "module", "module": module})


def _server(app: App, plan: Plan, cwd: str) -> None:
    """The steps in which the server takes the application."""
    if app.server == "gunicorn":
        for path in app.config_files:
            if path.endswith(".py"):
                plan.steps.append({"step": "config", "path": os.path.join(cwd, path)})
        worker = gunicorn_worker(app.argv)
        if worker:
            plan.steps.append({"step": "import", "module": worker})
    if app.server == "uvicorn":
        env_file = option(app.argv, "--env-file")
        if env_file:
            plan.steps.append({"step": "dotenv", "path": os.path.join(cwd, env_file)})
    if app.server == "celery":
        target = option(app.argv, "--app", "-A") or ":".join(part for part in (app.module, app.attribute) if part)
        if target:
            plan.steps.append({"step": "celery", "app": target})
    elif app.server == "django":
        if app.settings_module and not app.script:
            plan.steps.append({"step": "setting", "name": "DJANGO_SETTINGS_MODULE", "value": app.settings_module})
        plan.steps.append({"step": "django"})
    elif (
        app.module
        and _MODULE_NAME.match(app.module)
        and app.module not in (run_module(app), f"{run_module(app)}.__main__")
    ):
        plan.steps.append({"step": "target", "module": app.module, "attribute": app.attribute})


def sys_argv(app: App) -> list[str]:
    """What the application sees as ``sys.argv``."""
    words = _after_flags(app)
    if words and words[0].startswith("-") and len(words) > 1:
        return ["-c" if words[0].endswith("c") else words[1], *words[2:]]
    return words


def _after_flags(app: App) -> list[str]:
    """The words of the command behind the interpreter and its own options."""
    if not app.argv:
        return []
    if not re.match(r"(python|pypy)[\d.]*t?\Z", os.path.basename(app.argv[0])):
        return list(app.argv)
    return app.argv[1 + len(app.python_flags) :]


def run_module(app: App) -> Optional[str]:
    """The module of ``python -m``, or None."""
    words = _after_flags(app)
    if not words or words is app.argv:
        return None
    match = re.match(r"-[A-Za-z]*m(.*)\Z", words[0])
    if not match:
        return None
    return match.group(1) or (words[1] if len(words) > 1 else None)


def first_entry(app: App, cwd: str, flags: Sequence[str]) -> Optional[str]:
    """What Python itself puts first on ``sys.path``: the directory of the script, or the current one for ``-m``.

    Nothing with ``-P`` or ``-I`` among the interpreter's ``flags``.
    """
    words = _after_flags(app)
    letters = "".join(flag for flag in flags if re.match(r"-[A-Za-z]+\Z", flag) and flag[1] not in "WX")
    if not words or "P" in letters or "I" in letters:
        return None
    if words[0].startswith("-"):
        return cwd
    program = app.program if len(words) == len(app.argv) else os.path.join(cwd, words[0])
    return os.path.dirname(os.path.realpath(program)) if program and program.startswith("/") else None


def option(argv: Sequence[str], *names: str) -> Optional[str]:
    """The last value of an option, written as ``--name value``, ``--name=value`` or ``-nvalue``."""
    found = None
    for index, word in enumerate(argv):
        for name in names:
            if word == name and index + 1 < len(argv):
                found = argv[index + 1]
            elif name.startswith("--") and word.startswith(name + "="):
                found = word[len(name) + 1 :]
            elif not name.startswith("--") and word.startswith(name) and not word.startswith("--") and len(word) > 2:
                found = word[2:].lstrip("=")
    return found


def gunicorn_worker(argv: Sequence[str]) -> Optional[str]:
    """The module of gunicorn's worker class, None for the default one or one that can't be told."""
    text = option(argv, "--worker-class", "-k")
    if not text:
        return None
    text = text.partition("#")[2] or text
    module = GUNICORN_WORKERS.get(text) or text.replace(":", ".").rpartition(".")[0]
    return module if _MODULE_NAME.match(module) else None
