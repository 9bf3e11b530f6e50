# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which server runs which application where: ``resolve`` fills ``backend.app``, ``collect`` makes the ``app`` section."""

from __future__ import annotations

import os
import pwd
import re
import shlex
import stat
from typing import Any, Callable, Optional

from . import app_logs, servers_asgi, servers_script, servers_wsgi
from .app_launch import unwrap
from .app_program import Launch, find_program, is_python, step
from .app_script import inspect
from .app_static import parse_source, top_level_names
from .context import KIB, Context, is_there, silence
from .env_file import parse
from .model import App, Backend, EnvFileRef, Section
from .reach import file_type
from .servers import Reading, module_file

MAX_LOCAL_NAMES = 300
MAX_TARGET_NAMES = 400

# Program or module name → server name of the evidence, and the reader of its command line.
SERVERS: dict[str, tuple[str, Callable[[Reading], None]]] = {
    "uvicorn": ("uvicorn", servers_asgi.uvicorn),
    "gunicorn": ("gunicorn", servers_wsgi.gunicorn),
    "gunicorn.app.wsgiapp": ("gunicorn", servers_wsgi.gunicorn),
    "hypercorn": ("hypercorn", servers_asgi.hypercorn),
    "daphne": ("daphne", servers_asgi.daphne),
    "granian": ("granian", servers_asgi.granian),
    "fastapi": ("uvicorn", servers_asgi.fastapi),
    "uwsgi": ("uwsgi", servers_wsgi.uwsgi),
    "uwsgi-core": ("uwsgi", servers_wsgi.uwsgi),
    "pyuwsgi": ("uwsgi", servers_wsgi.uwsgi),
    "waitress-serve": ("waitress", servers_wsgi.waitress),
    "waitress": ("waitress", servers_wsgi.waitress),
    "celery": ("celery", servers_script.celery),
    "flask": ("flask", servers_wsgi.flask),
    "django-admin": ("django", servers_script.django),
    "django": ("django", servers_script.django),
    "http.server": ("module", servers_script.http_server),
}
# Options of the interpreter that take a value of their own.
_PYTHON_VALUE_OPTIONS = "WX"


def resolve(backend: Backend, ctx: Context) -> None:
    """Derive server, target, address, code directory and log files from the command. Never raises for bad input.

    Wrappers that set variables or change directory or user change ``backend.environ``, ``cwd`` and ``user``;
    ``app.origin`` says so.
    """
    # No process can be given a NUL, but a broken source of the command may have one, and no system call takes it.
    launch = unwrap([word.replace("\0", "") for word in backend.argv], backend.environ, backend.cwd or "/", ctx)
    app = App(
        argv=list(launch.argv), steps=launch.steps, environment_dir=launch.environment_dir, problem=launch.problem
    )
    reading = Reading(app, launch, ctx, launch.argv[1:])
    _overrides(reading)
    _load_env_files(launch, ctx)
    _dispatch(reading)
    backend.app = app
    _apply(reading, backend)
    _place(reading, backend)
    backend.log_files += [
        ref for ref in app_logs.find(reading, backend) if ref.path not in {known.path for known in backend.log_files}
    ]


def _overrides(reading: Reading) -> None:
    """The user's own words win over whatever the command line says."""
    params = reading.ctx.params
    reading.put_target(params.get("app"), "override backend_app")
    reading.put("port", params.get("port"), "override backend_port")
    reading.put("code_dir", params.get("code_dir"), "override backend_code_dir")


def _dispatch(reading: Reading) -> None:
    """Find the reader for the command and let it read."""
    app, launch = reading.app, reading.launch
    if not launch.argv:
        return
    path = find_program(launch.argv[0], launch)
    app.program = path or launch.argv[0]
    if is_python(launch.argv[0]):
        _python(reading)
        return
    if os.path.islink(app.program) and is_python(os.path.basename(os.path.realpath(app.program))):
        _python(reading)
        return
    name = re.sub(r"(?:[-_]?python3?|-?3(?:\.\d+)?)\Z", "", launch.name)
    if launch.name in SERVERS or name in SERVERS:
        app.server, reader = SERVERS.get(launch.name) or SERVERS[name]
        reader(reading)
    elif launch.name in ("manage.py", "django-admin.py"):
        app.server, app.script = "django", app.program
        servers_script.django(reading)
    elif _is_python_script(app.program, reading.ctx):
        servers_script.script(reading, app.program)


def _python(reading: Reading) -> None:
    """``python [options] -m module | -c code | script``."""
    app, launch = reading.app, reading.launch
    words = launch.argv[1:]
    while words:
        word = words.pop(0)
        if not word.startswith("-") or word == "-":
            reading.args = words
            _python_script(reading, word)
            return
        if word.startswith("--"):
            app.python_flags.append(word)
            if word == "--check-hash-based-pycs" and words:
                app.python_flags.append(words.pop(0))
            continue
        for index, letter in enumerate(word[1:], 1):
            rest = word[index + 1 :]
            if letter in "mc":
                flags = word[:index]
                if len(flags) > 1:
                    app.python_flags.append(flags)
                text = rest or (words.pop(0) if words else "")
                reading.args = words
                if letter == "m":
                    _python_module(reading, text)
                else:
                    servers_script.code(reading, text)
                return
            if letter in _PYTHON_VALUE_OPTIONS:
                app.python_flags += [word] if rest else [word, *([words.pop(0)] if words else [])]
                break
        else:
            app.python_flags.append(word)


def _python_module(reading: Reading, name: str) -> None:
    app = reading.app
    if name in SERVERS:
        app.server, reader = SERVERS[name]
        reading.interpreter_first(".")
        reader(reading)
    else:
        servers_script.module(reading, name)


def _python_script(reading: Reading, word: str) -> None:
    app = reading.app
    path = reading.launch.absolute(word)
    name = os.path.basename(path)
    if name in SERVERS and not path.endswith(".py"):
        app.steps.append(step("command", path))
        app.server, reader = SERVERS[name]
        reader(reading)
    else:
        servers_script.script(reading, path)


def _is_python_script(path: str, ctx: Context) -> bool:
    head = ctx.read(path, 512).raw
    return path.endswith(".py") or bool(re.match(rb"#![^\n]*(?:python|pypy)", head)) or b"'''exec'" in head


def _load_env_files(launch: Launch, ctx: Context) -> None:
    """Variables of files that a start script sources, or a wrapper such as ``dotenv run`` loads."""
    for path, _origin in launch.env_files:
        content = ctx.read(path)
        for name, value in parse(content.raw).intended.items() if not content.error else ():
            if name not in launch.environ:
                launch.setenv(name, value, path)


def _apply(reading: Reading, backend: Backend) -> None:
    """Take over what wrappers and the server changed of environment, directory and user."""
    launch, app = reading.launch, reading.app
    backend.environ = dict(launch.environ)
    backend.environ_origin = {
        name: launch.added.get(name, backend.environ_origin.get(name, "supervisor")) for name in backend.environ
    }
    for path, origin in [*launch.env_files, *reading.env_files]:
        if all(known.path != path for known in backend.env_files):
            backend.env_files.append(EnvFileRef(path, False, origin))
    if launch.cwd != (backend.cwd or "/"):
        app.origin.setdefault("cwd", "start command")
        backend.cwd = launch.cwd
    if launch.user and launch.user != backend.user and not backend.user:
        try:
            entry = pwd.getpwnam(launch.user)
        except KeyError:
            return
        backend.user, backend.uid, backend.gid = launch.user, entry.pw_uid, entry.pw_gid
        backend.groups = os.getgrouplist(launch.user, entry.pw_gid)
        app.origin["user"] = "start command"


def search_directories(backend: Backend) -> list[str]:
    """Directories that the application's own modules come from, foremost first: the path's front and ``PYTHONPATH``."""
    cwd = backend.cwd or "/"
    named = [
        os.path.normpath(os.path.join(cwd, part)) for part in backend.environ.get("PYTHONPATH", "").split(":") if part
    ]
    result = [*backend.app.path_prepend, *([backend.app.code_dir] if backend.app.code_dir else []), *named]
    return list(dict.fromkeys(result))


def _place(reading: Reading, backend: Backend) -> None:
    """Decide the code directory, and take the settings module from the target's file."""
    app = backend.app
    directories = search_directories(backend)
    path = module_file(app.module, directories) if app.module else None
    if path and app.module:
        holder = next(item for item in directories if module_file(app.module, [item]))
        reading.put("code_dir", holder, f"where {app.module} lies")
    in_bin = bool(app.script) and os.path.basename(os.path.dirname(app.script or "")) == "bin"
    if app.script and not in_bin:
        reading.put("code_dir", os.path.dirname(app.script), "directory of the script")
    top = app.module.split(".")[0] if app.module else ""
    for item in directories:
        if top and (os.path.isdir(os.path.join(item, top)) or os.path.lexists(os.path.join(item, f"{top}.py"))):
            reading.put("code_dir", item, f"where {top} lies")
    if backend.cwd and backend.cwd != "/":
        reading.put("code_dir", backend.cwd, "working directory")
    reading.put("code_dir", next((item for item in directories if item != "/"), None), "PYTHONPATH")
    if path:
        facts = inspect(path, backend.environ, [], reading.ctx)
        reading.put("settings_module", facts.settings_module, path)
    reading.put("settings_module", backend.environ.get("DJANGO_SETTINGS_MODULE"), "environment DJANGO_SETTINGS_MODULE")


def target_file(backend: Backend) -> Optional[str]:
    """The file that the import target should be: the one found, else the one expected in the code directory."""
    app = backend.app
    if app.script and not app.module:
        return app.script
    if not app.module:
        return None
    found = module_file(app.module, search_directories(backend))
    return found or (os.path.join(app.code_dir, *app.module.split(".")) + ".py" if app.code_dir else None)


def local_packages(backend: Backend) -> list[str]:
    """Top-level names that the application's own directories offer for import, at most 300."""
    names: dict[str, None] = {}
    for directory in search_directories(backend):
        if directory == "/" or "site-packages" in directory or "dist-packages" in directory:
            continue
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    name = entry.name.split(".")[0]
                    if not name.isidentifier() or len(names) >= MAX_LOCAL_NAMES:
                        continue
                    if entry.name.endswith((".py", ".so", ".pyc")) or (
                        _is_link_or_dir(entry) and _holds_python(entry.path)
                    ):
                        names[name] = None
        except OSError:
            continue
    return sorted(names)


def _is_link_or_dir(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() or entry.is_dir(follow_symlinks=False)


def _holds_python(path: str) -> bool:
    """Whether a directory can be a package: it has Python files, or directories that may hold some."""
    try:
        with os.scandir(path) as entries:
            for _index, entry in zip(range(200), entries):
                if entry.name.endswith((".py", ".so")):
                    return True
                if entry.is_dir(follow_symlinks=False) and os.path.isfile(os.path.join(entry.path, "__init__.py")):
                    return True
    except OSError:
        return os.path.islink(path)
    return False


def collect(backend: Backend, ctx: Context) -> Section:
    """The ``app`` section. ``health`` is filled by the collector that asks the endpoint."""
    app = backend.app
    path = target_file(backend)
    names: Optional[list[str]] = None
    dynamic = False
    if path and os.path.isfile(path):
        content = ctx.read(path, 512 * KIB)
        tree = None if content.error else parse_source(content.text)
        if tree is not None:
            names, dynamic = top_level_names(tree)
            if path.endswith("__init__.py"):
                names += _submodules(os.path.dirname(path))
    text = f"{app.module}:{app.attribute}" if app.module and app.attribute else app.module
    result: dict[str, Any] = {
        "server": app.server,
        "command": shlex.join(backend.argv) if backend.argv else None,
        "effective_command": shlex.join(app.argv) if app.argv else None,
        "problem": app.problem or _no_file(app.script) or _no_file(path),
        "target": {"text": text, "module": app.module, "attribute": app.attribute, "factory": app.factory},
        "script": app.script,
        "script_exists": is_there(app.script, stat.S_ISREG) if app.script else None,
        "settings_module": app.settings_module,
        "host": app.host,
        "port": app.port,
        "uds": app.uds,
        "workers": app.workers,
        "code_dir": app.code_dir,
        "code_dir_exists": is_there(app.code_dir, stat.S_ISDIR) if app.code_dir else None,
        "config_files": [_config_file(item, ctx) for item in dict.fromkeys(app.config_files)],
        "origin": app.origin,
        "local_packages": local_packages(backend),
        "target_file": {"path": path, "exists": is_there(path, stat.S_ISREG)} if path else None,
        "target_names": names[:MAX_TARGET_NAMES] if names is not None else None,
        "target_names_dynamic": dynamic,
        "log_files": [
            {"path": ref.path, "origin": ref.origin, "stream": ref.stream, "exists": is_there(ref.path)}
            for ref in backend.log_files
        ],
        "health": None,
    }
    return result


def _no_file(path: Optional[str]) -> Optional[str]:
    """A sentence when something other than a regular file stands where code should, such as a FIFO, for which Python waits for ever."""
    try:
        mode = os.stat(path).st_mode if path and not silence(path) else stat.S_IFREG
    except (OSError, ValueError):
        return None
    return None if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else f"{path} is {file_type(mode)}, not a regular file"


def _submodules(directory: str) -> list[str]:
    """Submodules count as attributes of a package once something imports them."""
    try:
        return sorted(
            {name.split(".")[0] for name in os.listdir(directory)[:500] if name.endswith((".py", ".so"))} - {"__init__"}
        )
    except OSError:
        return []


def _config_file(path: str, ctx: Context) -> Section:
    content = ctx.read(path, 256 * KIB)
    error = content.error
    if not error and path.endswith(".py") and parse_source(content.text) is None:
        error = f"{path} is not valid Python"
    return {"path": path, "exists": is_there(path), "error": error}
