# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Command lines of celery, Django's manage.py and Python itself: ``-m``, ``-c``, a script or a console script."""

from __future__ import annotations

import glob
import os
import re
from typing import Optional

from .app_script import ScriptFacts, inspect
from .servers import Cli, Reading, module_file, parse_bind, parse_options, to_int

CELERY = Cli(
    flags=frozenset(
        "--no-color --quiet --version --help --task-events --beat --detach --purge --without-gossip --without-mingle"
        " --without-heartbeat --skip-checks --events".split()
    ),
    short={
        "-A": "--app", "-b": "--broker", "-c": "--concurrency", "-l": "--loglevel", "-f": "--logfile", "-Q": "--queues",
        "-n": "--hostname", "-P": "--pool", "-O": "--optimization", "-s": "--schedule", "-S": "--scheduler", "-X": "--exclude-queues",
        "-E": "--task-events", "-B": "--beat", "-D": "--detach", "-C": "--no-color", "-q": "--quiet",
    },
)  # fmt: skip
DJANGO = Cli(
    flags=frozenset(
        "--noreload --nothreading --ipv6 --insecure --nostatic --no-color --force-color --traceback --skip-checks --help"
        " --version --noinput --no-input --noasgi".split()
    ),
    short={"-v": "--verbosity"},
)
SCRIPT = Cli(
    flags=frozenset("--debug --reload --verbose --help --version --dev --quiet --daemon".split()),
    short={"-p": "--port", "-H": "--host", "-b": "--bind", "-w": "--workers"},
)
_SERVING_COMMANDS = {"runserver": 8000, "runserver_plus": 8000, "testserver": 8000, "run_gunicorn": 8000}


def celery(reading: Reading) -> None:
    """celery worker, beat, flower and multi; the working directory is on the path."""
    options = parse_options(reading.args, CELERY)
    reading.chdir(options.last("workdir"), "command line --workdir")
    reading.path_first(".")
    reading.put_target(options.last("app"), "command line -A")
    reading.put_target(reading.launch.environ.get("APP") or reading.launch.environ.get("CELERY_APP"), "environment APP")
    reading.put("workers", options.last("concurrency"), "command line --concurrency")
    broker = options.last("broker")
    if broker:
        reading.launch.setenv("CELERY_BROKER_URL", broker, "command line --broker")
    for path in _logfiles(options.last("logfile"), options.words):
        reading.log(path, "command line --logfile")
    if "flower" in options.words:
        reading.put("port", options.last("port"), "command line --port")
        reading.put("host", options.last("address"), "command line --address")
        reading.put_default("0.0.0.0", 5555)


def _logfiles(pattern: Optional[str], words: list[str]) -> list[str]:
    """celery's ``%n`` is the node's name, ``%I`` the pool process; what they may stand for is looked up on disk."""
    if not pattern:
        return []
    if "%" not in pattern:
        return [pattern]
    starred = re.sub(r"%[a-zA-Z]", "*", pattern.replace("%%", "%"))
    return sorted(glob.glob(starred))[:10] or [re.sub(r"%n", (words[2:] or ["celery"])[0], pattern).replace("%I", "")]


def django(reading: Reading) -> None:
    """``manage.py`` and ``django-admin`` commands; ``runserver`` has an address."""
    options = parse_options(reading.args, DJANGO)
    app, launch = reading.app, reading.launch
    reading.put("settings_module", options.last("settings"), "command line --settings")
    reading.put_environment("settings_module", "DJANGO_SETTINGS_MODULE")
    reading.path_first(options.last("pythonpath"))
    if app.script:
        directory = os.path.dirname(os.path.realpath(app.script))
        reading.path_first(directory)
        facts = inspect(app.script, launch.environ, [directory], reading.ctx)
        reading.put("settings_module", facts.settings_module, app.script)
    command = options.words[0] if options.words else ""
    if command in _SERVING_COMMANDS:
        text = options.words[1] if len(options.words) > 1 else ""
        if text.isdigit():
            reading.put("port", text, "command line")
        elif text:
            host, port, _uds = parse_bind(text)
            reading.put("host", "0.0.0.0" if host == "0" else host, "command line")
            reading.put("port", port, "command line")
        reading.put_default("127.0.0.1", 8000)
    app.origin.setdefault("command", f"manage.py {command}".strip())


def http_server(reading: Reading) -> None:
    """``python -m http.server``."""
    options = parse_options(reading.args, SCRIPT)
    reading.put("port", next((word for word in options.words if word.isdigit()), None), "command line")
    reading.put("host", options.last("bind"), "command line --bind")
    reading.put("port", 8000, "default of http.server")
    reading.put("host", "0.0.0.0", "default of http.server")


def module(reading: Reading, name: str) -> None:
    """``python -m package``: the working directory is first on the path."""
    app = reading.app
    reading.interpreter_first(".")
    directories = [*_directories(reading), reading.launch.absolute(".")]
    main = module_file(f"{name}.__main__", directories)
    path = main or module_file(name, directories)
    reading.put("module", f"{name}.__main__" if main else name, "command line -m")
    _options(reading)
    if path:
        package = name if main else name.rpartition(".")[0]
        _facts(reading, inspect(path, reading.launch.environ, directories, reading.ctx, package))
    app.server = "module"


def code(reading: Reading, text: str) -> None:
    """``python -c``: the working directory is first on the path."""
    reading.app.code = text
    reading.interpreter_first(".")
    _facts(reading, inspect("<string>", reading.launch.environ, _directories(reading), reading.ctx, text=text))


def script(reading: Reading, path: str) -> None:
    """A script: its own directory, links resolved, is first on the path."""
    launch, app = reading.launch, reading.app
    app.script = path
    app.origin["script"] = "command line"
    directory = os.path.dirname(os.path.realpath(path))
    if os.path.isdir(path):
        # python DIRECTORY runs DIRECTORY/__main__.py with the directory itself on the path.
        path, directory = os.path.join(path, "__main__.py"), path
    if os.path.basename(path) == "manage.py":
        app.server = "django"
        django(reading)
        return
    if not _is_console_script(path):
        reading.interpreter_first(directory)
    _options(reading)
    facts = inspect(path, launch.environ, [directory, *_directories(reading)], reading.ctx)
    if _is_console_script(path) and facts.entry:
        reading.put("module", facts.entry[0], f"console script {path}")
        reading.put("attribute", facts.entry[1], f"console script {path}")
    reading.put("settings_module", facts.settings_module, path)
    _facts(reading, facts)
    app.server = "script"


def _options(reading: Reading) -> None:
    """Address options that scripts usually have."""
    options = parse_options(reading.args, SCRIPT)
    reading.put("port", options.last("port", "listen-port", "http-port"), "command line --port")
    reading.put("host", options.last("host", "address", "listen-address"), "command line --host")
    bind = options.last("bind", "listen")
    if bind and (":" in bind or bind.isdigit()):
        reading.put_bind(bind if ":" in bind else f":{bind}", "command line --bind")
    if to_int(options.last("workers")):
        reading.put("workers", options.last("workers"), "command line --workers")


def _facts(reading: Reading, facts: ScriptFacts) -> None:
    """Take over what the source of a script shows."""
    if facts.app_dir:
        reading.path_first(facts.app_dir)
        reading.put("code_dir", reading.launch.absolute(facts.app_dir), f"app_dir in {facts.where}")
    reading.put("uds", facts.uds, facts.where)
    if reading.app.port is None and facts.port is not None:
        reading.put("host", facts.host, facts.where)
        reading.put("port", facts.port, facts.port_origin)
    reading.put("workers", facts.workers, facts.where)
    reading.put("module", facts.module, facts.where)
    reading.put("attribute", facts.attribute, facts.where)
    if facts.factory:
        reading.put("factory", True, facts.where)
    if facts.server and facts.where:
        reading.app.origin["serving"] = f"{facts.server} by {facts.where}"
    if facts.module and not reading.app.path_prepend:
        reading.path_first(".")


def _directories(reading: Reading) -> list[str]:
    """Where the modules of a command lie: the path's front, ``PYTHONPATH``, the program's own site-packages."""
    launch = reading.launch
    named = [launch.absolute(part) for part in launch.environ.get("PYTHONPATH", "").split(":") if part]
    program = reading.app.program or ""
    prefix = os.path.dirname(os.path.dirname(program))
    site = (
        sorted(glob.glob(os.path.join(glob.escape(prefix), "lib", "python3*", "site-packages")))
        if prefix not in ("", "/", "/usr")
        else []
    )
    return [*reading.app.path_prepend, *named, *site]


def _is_console_script(path: str) -> bool:
    """A script that an installer made: it lies in a ``bin`` directory and has no suffix."""
    return os.path.basename(os.path.dirname(path)) in ("bin", "Scripts") and not path.endswith(".py")
