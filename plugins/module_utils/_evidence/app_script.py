# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Python script does to serve: the call that starts the server, its address, and Django's settings module.

Scripts are parsed, never run. A script that only calls a function of another local module is followed there.
"""

from __future__ import annotations

import ast
import copy
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from .app_static import UNKNOWN, Evaluator, calls, dotted, parse_source
from .context import KIB, Context
from .servers import module_file, parse_bind, parse_target, to_int

MAX_FILES = 6
# A bind address given as one argument: "host:port" or a (host, port) pair.
ADDRESS = "address"


@dataclass(frozen=True)
class ServeCall:
    """How a function takes the address: positions and keyword names; ``None`` where it takes none that way."""

    server: str
    host: Optional[int] = None
    port: Optional[int] = None
    defaults: tuple[Optional[str], Optional[int]] = (None, None)
    target: Optional[int] = None
    address: Optional[int] = None
    host_keys: tuple[str, ...] = ("host", "hostname", "address", "server_name")
    port_keys: tuple[str, ...] = ("port", "server_port")


_UVICORN = ServeCall("uvicorn", defaults=("127.0.0.1", 8000), target=0)
# Full dotted names, import aliases undone.
SERVE_CALLS: dict[str, ServeCall] = {
    "uvicorn.run": _UVICORN,
    "uvicorn.Config": _UVICORN,
    "uvicorn.config.Config": _UVICORN,
    "aiohttp.web.run_app": ServeCall("script", defaults=("0.0.0.0", 8080)),
    "waitress.serve": ServeCall("waitress", defaults=("0.0.0.0", 8080)),
    "bottle.run": ServeCall("script", defaults=("127.0.0.1", 8080)),
    "socketserver.TCPServer": ServeCall("script", address=0),
    "http.server.HTTPServer": ServeCall("script", address=0),
    "http.server.ThreadingHTTPServer": ServeCall("script", address=0),
    "wsgiref.simple_server.make_server": ServeCall("script", host=0, port=1),
    "werkzeug.serving.run_simple": ServeCall("flask", host=0, port=1),
    "gevent.pywsgi.WSGIServer": ServeCall("script", address=0),
    "eventlet.listen": ServeCall("script", address=0),
    "asyncio.start_server": ServeCall("script", host=1, port=2),
    "websockets.serve": ServeCall("script", host=1, port=2),
    "twisted.internet.reactor.listenTCP": ServeCall("script", port=0),
}
# Methods, by name and by a module that the file must import.
SERVE_METHODS: dict[str, tuple[tuple[str, ServeCall], ...]] = {
    "run": (
        ("flask_socketio", ServeCall("flask", host=1, port=2, defaults=("127.0.0.1", 5000))),
        ("sanic", ServeCall("script", host=0, port=1, defaults=("127.0.0.1", 8000))),
        ("quart", ServeCall("hypercorn", host=0, port=1, defaults=("127.0.0.1", 5000))),
        ("flask", ServeCall("flask", host=0, port=1, defaults=("127.0.0.1", 5000))),
        ("dash", ServeCall("flask", host=0, port=1, defaults=("127.0.0.1", 8050))),
    ),
    "run_server": (("dash", ServeCall("flask", host=0, port=1, defaults=("127.0.0.1", 8050))),),
    "listen": (("tornado", ServeCall("script", port=0, host=1)), ("socket", ServeCall("script"))),
    "launch": (("gradio", ServeCall("script", defaults=("127.0.0.1", 7860))),),
    "bind": (("socket", ServeCall("script", address=0)),),
    "add_insecure_port": (("grpc", ServeCall("script", address=0)),),
    "add_secure_port": (("grpc", ServeCall("script", address=0)),),
    "create_server": (("asyncio", ServeCall("script", host=1, port=2)),),
}


@dataclass
class ScriptFacts:
    """What the script shows; ``where`` is file and line of the call that serves."""

    server: Optional[str] = None
    module: Optional[str] = None
    attribute: Optional[str] = None
    factory: bool = False
    host: Optional[str] = None
    port: Optional[int] = None
    uds: Optional[str] = None
    workers: Optional[int] = None
    app_dir: Optional[str] = None
    where: str = ""
    port_origin: str = ""
    settings_module: Optional[str] = None
    broker: Optional[str] = None
    entry: list[str] = field(default_factory=list)
    problem: Optional[str] = None


def inspect(
    path: str,
    environ: Mapping[str, str],
    directories: Sequence[str],
    ctx: Context,
    package: str = "",
    text: Optional[str] = None,
) -> ScriptFacts:
    """Read a script, and the local modules whose functions it calls, until one starts a server. Never raises.

    :param directories: where local modules lie, foremost first.
    :param package: the dotted package that the file belongs to, for relative imports.
    :param text: the source, when it is no file (``python -c``).
    """
    facts = ScriptFacts()
    queue: list[tuple[str, str]] = [(path, package)]
    seen: set[str] = set()
    while queue and len(seen) < MAX_FILES:
        file, package = queue.pop(0)
        if file in seen:
            continue
        seen.add(file)
        source = text if text is not None and file == path else _read(file, ctx)
        tree = parse_source(source) if source is not None else None
        if tree is None:
            if file == path and source is not None:
                facts.problem = f"{file} is not Python that this host's {os.path.basename(file)} reader can parse"
            continue
        evaluator = Evaluator(environ, file, package)
        evaluator.load(tree)
        _settings(tree, evaluator, facts)
        if _serving(tree, evaluator, facts, directories, ctx):
            break
        queue += _called_modules(tree, evaluator, directories, facts)
    return facts


def _read(path: str, ctx: Context) -> Optional[str]:
    content = ctx.read(path, 256 * KIB)
    return None if content.error or content.binary else content.text


def _scopes(tree: ast.Module, evaluator: Evaluator) -> Iterator[tuple[ast.AST, Evaluator]]:
    """Each function with its local names known, then the whole module."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            local = copy.copy(evaluator)
            local.names, local.aliases = dict(evaluator.names), dict(evaluator.aliases)
            positional = node.args.posonlyargs + node.args.args
            for argument, default in zip(positional[::-1], node.args.defaults[::-1]):
                local.names[argument.arg] = local.value(default)
            local.load(node)
            yield node, local
    yield tree, evaluator


def _serving(
    tree: ast.Module, evaluator: Evaluator, facts: ScriptFacts, directories: Sequence[str], ctx: Context
) -> bool:
    imported = {name.split(".")[0] for name in evaluator.aliases.values()}
    imported |= {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    imported |= {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    for scope, local in _scopes(tree, evaluator):
        for call in calls(scope):
            shape = _shape(call, local, imported)
            if shape:
                _take(call, shape, local, facts, _Defaults(tree, local, directories, ctx))
                return True
    return False


def _shape(call: ast.Call, evaluator: Evaluator, imported: set[str]) -> Optional[ServeCall]:
    name = evaluator.full_name(call.func)
    if name in SERVE_CALLS:
        return SERVE_CALLS[name]
    method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    base = name.rpartition(".")[0]
    if not method or base in ("asyncio", "subprocess", "anyio", "trio", "typer", "loop"):
        return None
    shape = next((shape for module, shape in SERVE_METHODS.get(method, ()) if module in imported), None)
    if shape and method == "bind" and not (call.args and isinstance(call.args[0], ast.Tuple)):
        return None
    if shape and method == "listen" and shape.port is None:
        return None
    return shape


def _take(call: ast.Call, shape: ServeCall, evaluator: Evaluator, facts: ScriptFacts, defaults: _Defaults) -> None:
    keywords = {item.arg: item.value for item in call.keywords if item.arg}
    for item in call.keywords:
        if item.arg is None and isinstance(evaluator.value(item.value), dict):
            keywords.update({str(key): ast.Constant(value) for key, value in evaluator.value(item.value).items()})
    facts.server = shape.server
    facts.where = f"{evaluator.file}:{call.lineno}"

    def argument(position: Optional[int], *names: str) -> Any:
        node = next((keywords[name] for name in names if name in keywords), None)
        if node is None and position is not None and position < len(call.args):
            node = call.args[position]
        if node is None:
            return None
        evaluator.from_environment.clear()
        value = evaluator.value(node)
        return defaults.of(node) if value is UNKNOWN else value

    pair = argument(shape.address) if shape.address is not None else argument(None, "bind", "listen")
    if isinstance(pair, list) and len(pair) >= 2:
        facts.host, facts.port = str(pair[0] or "0.0.0.0"), to_int(pair[1])
    elif isinstance(pair, str):
        facts.host, facts.port, facts.uds = parse_bind(pair.replace("*", "0.0.0.0"))
    if facts.port is None:
        port = argument(shape.port, *shape.port_keys)
        facts.port = to_int(port)
        from_environment = list(evaluator.from_environment) or defaults.used
        facts.port_origin = f"{facts.where}" + (f", environment {from_environment[-1]}" if from_environment else "")
        if facts.port is None and port is None:
            facts.port = shape.defaults[1]
            facts.port_origin = f"default of {shape.server}"
        host = argument(shape.host, *shape.host_keys)
        facts.host = str(host) if isinstance(host, str) and host else shape.defaults[0]
    uds = argument(None, "uds", "unix_socket")
    facts.uds = facts.uds or (uds if isinstance(uds, str) else None)
    facts.workers = to_int(argument(None, "workers"))
    app_dir = argument(None, "app_dir")
    facts.app_dir = app_dir if isinstance(app_dir, str) and app_dir else None
    target = argument(shape.target, "app") if shape.target is not None else None
    if isinstance(target, str):
        facts.module, facts.attribute, facts.factory = parse_target(target)
        facts.factory = facts.factory or argument(None, "factory") is True


class _Defaults:
    """Values of ``args.port`` and ``settings.PORT``: what a parser or a settings class gives when nothing else does."""

    def __init__(self, tree: ast.Module, evaluator: Evaluator, directories: Sequence[str], ctx: Context) -> None:
        self.tree, self.evaluator, self.directories, self.ctx = tree, evaluator, directories, ctx
        self.used: list[str] = []

    def of(self, node: ast.AST) -> Any:
        """The default of an attribute expression, an environment variable of its name first; else None."""
        if isinstance(node, ast.Call) and node.args:
            node = node.args[0]
        if not isinstance(node, ast.Attribute):
            return None
        name = node.attr
        for call in calls(self.tree):
            if dotted(call.func).endswith("add_argument") and any(
                self.evaluator.value(item) == f"--{name}" for item in call.args
            ):
                return next(
                    (self.evaluator.value(item.value) or None for item in call.keywords if item.arg == "default"), None
                )
        if name.upper() in self.evaluator.environ:
            self.used = [name.upper()]
            return self.evaluator.environ[name.upper()]
        origin = self.evaluator.full_name(node.value).rpartition(".")[0]
        path = module_file(origin, self.directories) if origin else None
        source = _read(path, self.ctx) if path else None
        tree = parse_source(source) if source else self.tree
        return self._class_value(tree, name) if tree else None

    def _class_value(self, tree: ast.Module, name: str) -> Any:
        """The default of a class attribute, as in pydantic settings."""
        for owner in ast.walk(tree):
            for node in owner.body if isinstance(owner, ast.ClassDef) else []:
                target = (
                    node.target
                    if isinstance(node, ast.AnnAssign)
                    else node.targets[0]
                    if isinstance(node, ast.Assign)
                    else None
                )
                if isinstance(target, ast.Name) and target.id == name and isinstance(node, (ast.AnnAssign, ast.Assign)):
                    value = self.evaluator.value(node.value)
                    if value is UNKNOWN and isinstance(node.value, ast.Call):
                        keywords = {item.arg: item.value for item in node.value.keywords}
                        first = node.value.args[0] if node.value.args else keywords.get("default")
                        value = self.evaluator.value(first)
                    return None if value is UNKNOWN else value
        return None


def _settings(tree: ast.Module, evaluator: Evaluator, facts: ScriptFacts) -> None:
    """Django's settings module, as manage.py, wsgi.py and asgi.py set it."""
    name = "DJANGO_SETTINGS_MODULE"
    for call in calls(tree):
        if evaluator.full_name(call.func) != "os.environ.setdefault" or len(call.args) != 2 or facts.settings_module:
            continue
        if evaluator.value(call.args[0]) == name:
            value = evaluator.environ.get(name) or evaluator.value(call.args[1])
            facts.settings_module = value if isinstance(value, str) else None
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Subscript)
            and facts.settings_module is None
        ):
            target = node.targets[0]
            if evaluator.full_name(target.value) == "os.environ" and evaluator.value(target.slice) == name:
                value = evaluator.value(node.value)
                facts.settings_module = value if isinstance(value, str) else None


def _called_modules(
    tree: ast.Module, evaluator: Evaluator, directories: Sequence[str], facts: ScriptFacts
) -> list[tuple[str, str]]:
    """Files of the local modules whose functions the script calls."""
    result: list[tuple[str, str]] = []
    for call in calls(tree):
        module, _dot, function = evaluator.full_name(call.func).rpartition(".")
        path = module_file(module, directories) if module else None
        if path and path not in [known for known, _package in result]:
            if not facts.entry:
                facts.entry = [module, function]
            package = module if path.endswith("__init__.py") else module.rpartition(".")[0]
            result.append((path, package))
    return result
