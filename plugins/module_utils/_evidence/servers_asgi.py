# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Command lines of uvicorn, hypercorn, daphne, granian and ``fastapi run``."""

from __future__ import annotations

import ast
import os
import re
from typing import Any, Optional

from .app_static import dotted, parse_source, statements
from .context import KIB
from .numerals import whole
from .packages_toml import loads
from .servers import Cli, Options, Reading, parse_options

UVICORN = Cli(
    flags=frozenset(
        "--reload --access-log --use-colors --proxy-headers --server-header --date-header --factory --version --help"
        " --reset-contextvars --debug".split()
    )
)
HYPERCORN = Cli(
    flags=frozenset("--reload --debug --version --help".split()),
    short={
        "-b": "--bind", "-c": "--config", "-w": "--workers", "-k": "--worker-class", "-g": "--group", "-u": "--user",
        "-m": "--umask", "-p": "--pid",
    },
)  # fmt: skip
DAPHNE = Cli(
    flags=frozenset("--proxy-headers --no-server-name --help --version".split()),
    short={
        "-p": "--port", "-b": "--bind", "-e": "--endpoint", "-u": "--unix-socket", "-v": "--verbosity", "-t": "--http-timeout",
        "-s": "--server-name",
    },
    known=frozenset("--port --bind --endpoint --unix-socket --fd --verbosity --http-timeout --access-log --root-path --websocket_timeout".split()),
)  # fmt: skip
GRANIAN = Cli(
    flags=frozenset(
        "--reload --factory --ws --access-log --process-name --respawn-failed-workers --version --help".split()
    )
)
FASTAPI = Cli(
    flags=frozenset("--reload --proxy-headers --help --version".split()),
    short={"-e": "--entrypoint"},
)

# Where fastapi-cli looks for the application when the command line names none (fastapi_cli/discover.py).
FASTAPI_DEFAULTS = ("main.py", "app.py", "api.py", "app/main.py", "app/app.py", "app/api.py")


def uvicorn(reading: Reading) -> None:
    """uvicorn: options, then ``UVICORN_*``, then defaults; the application directory goes first on the path."""
    options = parse_options(reading.args, UVICORN)
    environ = reading.launch.environ
    for name, variable in (("host", "UVICORN_HOST"), ("port", "UVICORN_PORT"), ("uds", "UVICORN_UDS")):
        reading.put(name, options.last(name), f"command line --{name}")
        reading.put_environment(name, variable)
    reading.put("workers", options.last("workers"), "command line --workers")
    reading.put_environment("workers", "UVICORN_WORKERS", "WEB_CONCURRENCY")
    if options.last("factory") or environ.get("UVICORN_FACTORY", "").lower() in ("1", "true", "yes", "on"):
        reading.put("factory", True, "command line --factory")
    reading.put_target(options.words[0] if options.words else environ.get("UVICORN_APP"), "command line")
    if reading.app.uds:
        reading.app.uds = reading.launch.absolute(reading.app.uds)
    _fd(reading, options)
    app_dir = options.last("app-dir") or environ.get("UVICORN_APP_DIR")
    reading.path_first(app_dir or ".")
    if app_dir:
        reading.put("code_dir", reading.launch.absolute(app_dir), "command line --app-dir")
    for name, variable in (("log-config", "UVICORN_LOG_CONFIG"), ("env-file", "UVICORN_ENV_FILE")):
        value = options.last(name) or environ.get(variable)
        if value and name == "log-config":
            reading.app.config_files.append(reading.launch.absolute(value))
        elif value:
            reading.env_files.append((reading.launch.absolute(value), "command line --env-file"))
    reading.put_default("127.0.0.1", 8000)


def hypercorn(reading: Reading) -> None:
    """hypercorn: options over its TOML or Python configuration; target paths count from the working directory."""
    options = parse_options(reading.args, HYPERCORN)
    config: dict[str, Any] = {}
    where = options.last("config")
    if where:
        config = _hypercorn_config(where, reading)
    for key, name in (("bind", "bind"), ("insecure_bind", "insecure-bind")):
        given = options.values.get(name)
        origin = f"command line --{name}" if given else f"{where} {key}"
        listed = given or config.get(key) or []
        for text in [listed] if isinstance(listed, str) else listed:
            reading.put_bind(str(text), origin)
            if str(text).startswith("fd://"):
                reading.app.origin["fd"] = origin
    reading.put("workers", options.last("workers"), "command line --workers")
    reading.put("workers", config.get("workers"), f"{where} workers")
    target = options.words[0] if options.words else config.get("application_path")
    reading.put_target(re.sub(r"^(?:asgi|wsgi):", "", target) if target else None, "command line", "app")
    for name, key in (
        ("error-logfile", "errorlog"),
        ("access-logfile", "accesslog"),
        ("error-log", ""),
        ("access-log", ""),
    ):
        value = options.last(name) or config.get(key)
        reading.log(str(value) if value else None, f"hypercorn {name}")
    log_config = options.last("log-config") or config.get("logconfig")
    if isinstance(log_config, str):
        reading.app.config_files.append(reading.launch.absolute(log_config.partition(":")[2] or log_config))
    reading.path_first(".")
    reading.put_default("127.0.0.1", 8000)


def _hypercorn_config(where: str, reading: Reading) -> dict[str, Any]:
    kind, _colon, rest = where.partition(":")
    if kind in ("python", "file") and rest:
        path = rest if kind == "file" else rest.replace(".", "/") + ".py"
        evaluator = reading.evaluate(reading.launch.absolute(path))
        return dict(evaluator.names) if evaluator else {}
    path = reading.launch.absolute(where)
    reading.app.config_files.append(path)
    content = reading.ctx.read(path, 256 * KIB)
    return {} if content.error else loads(content.text)[0]


def daphne(reading: Reading) -> None:
    """daphne: Twisted endpoints or host and port; the working directory goes first on the path."""
    options = parse_options(reading.args, DAPHNE)
    for text in options.values.get("endpoint", []):
        host, port, uds = parse_endpoint(text)
        reading.put("uds", uds and reading.launch.absolute(uds), "command line -e")
        reading.put("port", port, "command line -e")
        if port:
            reading.put("host", host, "command line -e")
    reading.put("uds", options.last("unix-socket"), "command line -u")
    _fd(reading, options)
    reading.put("port", options.last("port"), "command line -p")
    reading.put("host", options.last("bind"), "command line -b")
    reading.put_target(options.words[0] if options.words else None, "command line", "application")
    reading.log(options.last("access-log"), "daphne --access-log")
    reading.path_first(".")
    reading.put_default("127.0.0.1", 8000)


def parse_endpoint(text: str) -> tuple[Optional[str], Optional[int], Optional[str]]:
    """A Twisted server endpoint such as ``tcp:port=8000:interface=0.0.0.0`` or ``unix:/run/x.sock``."""
    fields = [part.replace("\\:", ":") for part in re.split(r"(?<!\\):", text)]
    named = dict(part.split("=", 1) for part in fields[1:] if "=" in part)
    plain = [part for part in fields[1:] if "=" not in part]
    if fields[0] == "unix":
        return None, None, named.get("address") or (plain[0] if plain else None)
    if fields[0] not in ("tcp", "tcp6", "ssl", "tls"):
        return None, None, None
    port = named.get("port") or (plain[0] if plain else "")
    return (
        named.get("interface", "::" if fields[0] == "tcp6" else "0.0.0.0"),
        whole(port),
        None,
    )


def granian(reading: Reading) -> None:
    """granian: options, then ``GRANIAN_*``."""
    options = parse_options(reading.args, GRANIAN)
    for name in ("host", "port", "uds", "workers"):
        reading.put(name, options.last(name), f"command line --{name}")
        reading.put_environment(name, f"GRANIAN_{name.upper()}")
    if options.last("factory"):
        reading.put("factory", True, "command line --factory")
    reading.chdir(options.last("working-dir"), "command line --working-dir")
    reading.put_target(options.words[0] if options.words else None, "command line", "app")
    reading.path_first(".")
    reading.put_default("127.0.0.1", 8000)


def fastapi(reading: Reading) -> None:
    """``fastapi run`` and ``fastapi dev``: a file, ``--entrypoint``, pyproject's entry point or the first usual file."""
    options = parse_options(reading.args, FASTAPI)
    words = options.words
    command = words[0] if words else "run"
    for name in ("host", "port", "workers"):
        reading.put(name, options.last(name), f"command line --{name}")
    reading.put_environment("port", "PORT")
    entry = options.last("entrypoint") or _fastapi_entry(reading)
    if entry and len(words) < 2:
        reading.put_target(entry, "fastapi entrypoint")
        reading.path_first(".")
    else:
        _fastapi_file(words[1] if len(words) > 1 else None, options.last("app"), reading)
    reading.put_default("127.0.0.1" if command == "dev" else "0.0.0.0", 8000)


def _fastapi_entry(reading: Reading) -> Optional[str]:
    content = reading.ctx.read(reading.launch.absolute("pyproject.toml"))
    if content.error:
        return None
    tool = loads(content.text)[0].get("tool", {})
    entry = tool.get("fastapi", {}).get("entrypoint") if isinstance(tool, dict) else None
    return entry if isinstance(entry, str) else None


def _fastapi_file(given: Optional[str], attribute: Optional[str], reading: Reading) -> None:
    names = [given] if given else list(FASTAPI_DEFAULTS)
    path = next((file for file in map(reading.launch.absolute, names) if os.path.isfile(file)), None)
    if path is None:
        path = reading.launch.absolute(names[0])
    parts = [os.path.basename(path)[:-3] if path.endswith(".py") else os.path.basename(path)]
    directory = os.path.dirname(path)
    while os.path.isfile(os.path.join(directory, "__init__.py")) and len(parts) < 10:
        parts.insert(0, os.path.basename(directory))
        directory = os.path.dirname(directory)
    origin = "command line" if given else "fastapi's usual files"
    reading.put("module", ".".join(parts), origin)
    reading.put("attribute", attribute, "command line --app")
    reading.put("attribute", _fastapi_object(path, reading), f"FastAPI object in {path}")
    reading.put("code_dir", directory, "directory of the FastAPI file")
    reading.path_first(directory)


def _fastapi_object(path: str, reading: Reading) -> Optional[str]:
    content = reading.ctx.read(path)
    tree = None if content.error else parse_source(content.text)
    if tree is None:
        return None
    found = [
        target.id
        for node in statements(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and dotted(node.value.func).endswith("FastAPI")
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    return next((name for name in ("app", "api") if name in found), found[0] if found else None)


def _fd(reading: Reading, options: Options) -> None:
    if options.last("fd"):
        reading.app.origin["fd"] = "command line --fd"
