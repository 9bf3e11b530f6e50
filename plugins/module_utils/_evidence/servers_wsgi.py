# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Command lines and configuration of gunicorn, uWSGI, waitress and ``flask run``."""

from __future__ import annotations

import json
import os
import re
import shlex
from typing import Any, Optional

from .app_static import UNKNOWN
from .context import KIB
from .servers import Cli, Options, Reading, parse_options, to_int

_GUNICORN_SHORT = {
    "-b": "--bind", "-c": "--config", "-w": "--workers", "-k": "--worker-class", "-t": "--timeout", "-g": "--group",
    "-u": "--user", "-m": "--umask", "-p": "--pid", "-e": "--env", "-n": "--name", "-D": "--daemon", "-R": "--enable-stdio-inheritance",
    "-v": "--version", "-h": "--help",
}  # fmt: skip
GUNICORN = Cli(
    flags=frozenset(
        "--reload --spew --check-config --print-config --preload --no-sendfile --reuse-port --daemon --log-syslog"
        " --disable-redirect-access-to-syslog --enable-stdio-inheritance --capture-output --initgroups --proxy-protocol"
        " --do-handshake-on-connect --suppress-ragged-eofs --strip-header-spaces --version --help"
        " --permit-unconventional-http-method --permit-unconventional-http-version --casefold-http-method".split()
    ),
    short=_GUNICORN_SHORT,
    known=frozenset(
        "--bind --config --workers --worker-class --worker-connections --worker-tmp-dir --timeout --graceful-timeout --threads --chdir --pythonpath"
        " --pid --user --group --umask --env --name --access-logfile --access-logformat --error-logfile --log-file --log-level"
        " --log-config --log-config-dict --log-config-json --logger-class --keep-alive --backlog --max-requests"
        " --max-requests-jitter --paste --paster --forwarded-allow-ips --certfile --keyfile --statsd-host".split()
    ),
)
WAITRESS = Cli(flags=frozenset("--call --help --expose-tracebacks --ipv4 --ipv6".split()))
FLASK = Cli(
    flags=frozenset("--debug --reload --debugger --with-threads --version --help".split()),
    short={"-A": "--app", "-e": "--env-file", "-h": "--host", "-p": "--port"},
)


def gunicorn(reading: Reading) -> None:
    """gunicorn: command line over ``GUNICORN_CMD_ARGS`` over the configuration file, which is parsed and never run."""
    sources = [(parse_options(reading.args, GUNICORN), "command line")]
    extra = reading.launch.environ.get("GUNICORN_CMD_ARGS")
    if extra:
        try:
            sources.append((parse_options(shlex.split(extra), GUNICORN), "environment GUNICORN_CMD_ARGS"))
        except ValueError:
            pass
    given = next((options.last("config") for options, _origin in sources if options.last("config")), None)
    config, config_path = _gunicorn_config(given, reading)

    def setting(option: str, key: Optional[str] = None) -> tuple[Any, str]:
        for options, origin in sources:
            given_value = options.last(option)
            if given_value is not None:
                return given_value, f"{origin} --{option}"
        value = config.get(key or option.replace("-", "_"))
        return (None if value is UNKNOWN else value), f"{config_path} {key or option}"

    for options, origin in reversed(sources):
        for pair in options.values.get("env", []):
            _raw_env(pair, reading, f"{origin} --env")
    raw = config.get("raw_env")
    for pair in raw if isinstance(raw, list) else []:
        _raw_env(str(pair), reading, f"{config_path} raw_env")
    directory, origin = setting("chdir")
    if isinstance(directory, str):
        reading.chdir(directory, origin)
    reading.path_first(".")
    python_path, _origin = setting("pythonpath")
    reading.path_first(*[part for part in str(python_path or "").split(",") if part])
    _gunicorn_bind(sources, config, config_path, reading)
    for name in ("workers", "worker-class"):
        value, origin = setting(name)
        reading.put("workers", value if name == "workers" else None, origin)
    reading.put_environment("workers", "WEB_CONCURRENCY")
    words = next((options.words for options, _origin in sources if options.words), [])
    reading.put_target(words[0] if words else None, "command line", "application")
    value, origin = setting("wsgi-app", "wsgi_app")
    reading.put_target(value if isinstance(value, str) else None, origin, "application")
    for option, key in (("error-logfile", "errorlog"), ("log-file", "errorlog"), ("access-logfile", "accesslog")):
        value, origin = setting(option, key)
        reading.log(value if isinstance(value, str) else None, origin)
    for option, key in (("log-config", "logconfig"), ("log-config-json", "logconfig_json")):
        value, _origin = setting(option, key)
        if isinstance(value, str) and value:
            reading.app.config_files.append(reading.launch.absolute(value))
    dictionary = config.get("logconfig_dict")
    for handler in (dictionary.get("handlers") or {}).values() if isinstance(dictionary, dict) else []:
        if isinstance(handler, dict) and isinstance(handler.get("filename"), str):
            reading.log(handler["filename"], f"{config_path} logconfig_dict")
    if "PORT" in reading.launch.environ:
        port = to_int(reading.launch.environ["PORT"])
        if port and reading.app.port is None and reading.app.uds is None:
            reading.put("host", "0.0.0.0", "default of gunicorn with PORT")
            reading.put("port", port, "environment PORT")
    reading.put_default("127.0.0.1", 8000)


def _gunicorn_bind(
    sources: list[tuple[Options, str]], config: dict[str, Any], config_path: str, reading: Reading
) -> None:
    for options, origin in sources:
        for text in options.values.get("bind", []):
            reading.put_bind(text, f"{origin} --bind")
            if text.startswith("fd://"):
                reading.app.origin["fd"] = f"{origin} --bind"
        if options.values.get("bind"):
            return
    value = config.get("bind")
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str):
            reading.put_bind(item, f"{config_path} bind")


def _gunicorn_config(given: Optional[str], reading: Reading) -> tuple[dict[str, Any], str]:
    """Values of the configuration file, and its path; without ``-c`` it is ``gunicorn.conf.py`` where one lies."""
    if given and given.startswith("python:"):
        path = reading.launch.absolute(given[7:].replace(".", "/") + ".py")
    elif given:
        path = reading.launch.absolute(re.sub(r"^file:", "", given))
    else:
        path = reading.launch.absolute("gunicorn.conf.py")
        if not os.path.isfile(path):
            return {}, path
    evaluator = reading.evaluate(path)
    return (evaluator.names if evaluator else {}), path


def _raw_env(pair: str, reading: Reading, origin: str) -> None:
    name, equals, value = pair.partition("=")
    if equals and name:
        reading.launch.setenv(name, value, origin)


def uwsgi(reading: Reading) -> None:
    """uWSGI: options of the command line and of the configuration files that it names."""
    pairs = _uwsgi_arguments(reading.args, reading)
    values: dict[str, list[tuple[str, str]]] = {}
    for key, value, origin in pairs:
        values.setdefault(key.replace("_", "-"), []).append((value, origin))

    def first(*keys: str) -> tuple[Optional[str], str]:
        return next((values[key][0] for key in keys if values.get(key)), (None, ""))

    for text, origin in values.get("env", []):
        _raw_env(text, reading, origin)
    directory, origin = first("chdir")
    reading.chdir(directory, origin)
    reading.path_first(".")
    reading.path_first(*[text for key in ("pythonpath", "python-path", "pp") for text, _origin in values.get(key, [])])
    environment, _origin = first("virtualenv", "home", "venv", "pyhome", "H")
    if environment:
        reading.app.environment_dir = reading.launch.absolute(environment)
    for key in ("http-socket", "http", "https", "http11-socket", "fastcgi-socket", "socket", "uwsgi-socket", "s"):
        for text, origin in values.get(key, []):
            address = text.split(",")[0]
            if address.startswith("/") or address.endswith(".sock"):
                reading.put("uds", reading.launch.absolute(address), origin)
            elif not address.startswith("="):
                reading.put_bind(address, origin)
    workers, origin = first("processes", "workers", "p")
    reading.put("workers", workers, origin)
    module, origin = first("module", "wsgi", "w", "mount")
    callable_name, callable_origin = first("callable")
    if module and "=" in module:
        module = module.split("=", 1)[1]
    reading.put("attribute", callable_name, callable_origin)
    reading.put_target(module, origin, "application")
    script, origin = first("wsgi-file", "file")
    if script and not module:
        path = reading.launch.absolute(script)
        reading.put("script", path, origin)
        reading.put("module", os.path.basename(path)[:-3] if path.endswith(".py") else os.path.basename(path), origin)
        reading.put("attribute", "application", "default of uwsgi")
    for key in ("logto", "logto2", "daemonize", "daemonize2", "req-logger", "logger"):
        for text, origin in values.get(key, []):
            reading.log(re.sub(r"^(?:\S+ )?file:", "", text), origin)


def _uwsgi_arguments(args: list[str], reading: Reading) -> list[tuple[str, str, str]]:
    """(option, value, origin) from the command line and the files that it names; the command line comes first."""
    pairs: list[tuple[str, str, str]] = []
    files: list[str] = []
    position = 0
    while position < len(args):
        word = args[position]
        position += 1
        if not word.startswith("-"):
            if re.search(r"\.(?:ini|ya?ml|json|xml)(?::\w+)?\Z", word):
                files.append(word)
            elif word.startswith(":") or re.match(r"[\w.\-]*:\d+\Z", word):
                pairs.append(("socket", word, "command line"))
            continue
        key, equals, value = word.lstrip("-").partition("=")
        if not equals and position < len(args) and not args[position].startswith("-"):
            value = args[position]
            position += 1
        if key in ("ini", "yaml", "yml", "json", "xml", "x", "y", "j"):
            files.append(value)
        else:
            pairs.append((key, value or "true", f"command line --{key}"))
    for name in files[:5]:
        path = reading.launch.absolute(name.split(":")[0] if ":" in name and not os.path.exists(name) else name)
        reading.app.config_files.append(path)
        content = reading.ctx.read(path, 256 * KIB)
        if not content.error:
            pairs += [
                (key, value, f"{path} {key}") for key, value in uwsgi_config(content.text, path, reading.launch.environ)
            ]
    return pairs


def uwsgi_config(text: str, path: str, environ: Any) -> list[tuple[str, str]]:
    """Options of a uWSGI configuration file in ini, YAML, JSON or XML form, with its own variables put in."""
    pairs: list[tuple[str, str]] = []
    if path.endswith(".json"):
        try:
            section = json.loads(text).get("uwsgi", {})
        except (ValueError, AttributeError, RecursionError):
            section = {}
        for key, value in section.items() if isinstance(section, dict) else []:
            pairs += [(key, str(item)) for item in (value if isinstance(value, list) else [value])]
    elif path.endswith(".xml"):
        pairs = [(key, value.strip()) for key, value in re.findall(r"<([\w-]+)>([^<]*)</\1>", text)]
    else:
        separator = ":" if path.endswith((".yml", ".yaml")) else "="
        inside = True
        for line in text.splitlines():
            line = line.strip()
            if line.startswith("["):
                inside = line.startswith("[uwsgi")
            elif inside and line and line[0] not in "#;" and separator in line:
                key, _separator, value = line.partition(separator)
                pairs.append((key.strip(), value.strip().strip("\"'") if separator == ":" else value.strip()))
    directory = os.path.dirname(path)
    base = os.path.basename(path)
    magic = {
        "d": f"{directory}/",
        "p": path,
        "s": base,
        "n": os.path.splitext(base)[0],
        "c": os.path.basename(directory),
    }
    known: dict[str, str] = {}
    result: list[tuple[str, str]] = []
    for key, value in pairs:
        value = re.sub(r"%\(([\w-]+)\)", lambda match: known.get(match.group(1), ""), value)
        value = re.sub(r"\$\((\w+)\)", lambda match: str(environ.get(match.group(1), "")), value)
        value = re.sub(r"%([dpsnc])", lambda match: magic[match.group(1)], value)
        known[key] = value
        result.append((key, value))
    return result


def waitress(reading: Reading) -> None:
    """``waitress-serve``: ``--listen`` or host and port; the working directory goes first on the path."""
    options = parse_options(reading.args, WAITRESS)
    for text in options.values.get("listen", []):
        reading.put_bind(text.replace("*", "0.0.0.0"), "command line --listen", 8080)
    reading.put("uds", options.last("unix-socket"), "command line --unix-socket")
    reading.put("port", options.last("port"), "command line --port")
    reading.put("host", options.last("host"), "command line --host")
    if options.last("call"):
        reading.put("factory", True, "command line --call")
    reading.put_target(options.words[0] if options.words else options.last("app"), "command line")
    reading.path_first(".")
    reading.put_default("0.0.0.0", 8080)


def flask(reading: Reading) -> None:
    """``flask run``: ``--app`` or ``FLASK_APP``, else ``wsgi.py`` or ``app.py``."""
    options = parse_options(reading.args, FLASK)
    environ = reading.launch.environ
    for name in ("host", "port"):
        reading.put(name, options.last(name), f"command line --{name}")
        reading.put_environment(name, f"FLASK_RUN_{name.upper()}")
    given: Optional[str] = options.last("app") or environ.get("FLASK_APP")
    origin = "command line --app" if options.last("app") else "environment FLASK_APP"
    if not given:
        given = next((name for name in ("wsgi.py", "app.py") if os.path.isfile(reading.launch.absolute(name))), None)
        origin = "flask's usual files"
    if given:
        path, colon, attribute = given.partition(":")
        directory = os.path.dirname(path)
        if directory or path.endswith(".py"):
            reading.path_first(directory or ".")
            given = os.path.basename(path) + colon + attribute
        else:
            reading.path_first(".")
        reading.put_target(given, origin)
    for file in (options.last("env-file"), environ.get("FLASK_ENV_FILE")):
        if file:
            reading.env_files.append((reading.launch.absolute(file), "command line --env-file"))
    reading.put_default("127.0.0.1", 5000)
