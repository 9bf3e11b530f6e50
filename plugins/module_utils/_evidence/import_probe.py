# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs inside the backend's interpreter: imports the application as its server does, and says what happened.

Its text is handed to the interpreter through a pipe. The rules are those of ``import_probe_report``: Python 3.6,
built-in modules only, nothing of ours in the application's way. All that it says goes to the report channel as JSON
lines: ``start``, perhaps ``sudden_end``, and ``final``.
"""

import sys
import time

from .import_probe_report import Reporter, cap, message_of
from .import_probe_script import run_script
from .import_probe_watch import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional

MAX_NAMES = 300


class Probe:
    """One run: the request's steps, in order, until one fails."""

    def __init__(self, request: "dict[str, Any]", reporter: Reporter, watch: Watch) -> None:
        self.request = request
        self.reporter = reporter
        self.watch = watch
        self.statement: Optional[str] = None
        self.extra: dict[str, Any] = {}
        self.steps: dict[str, Callable[..., None]] = {
            "path": self.step_path,
            "import": self.step_import,
            "target": self.step_target,
            "script": self.step_script,
            "code": self.step_code,
            "module": self.step_module,
            "config": self.step_config,
            "celery": self.step_celery,
            "django": self.step_django,
            "dotenv": self.step_dotenv,
            "setting": self.step_setting,
        }

    def run(self) -> "dict[str, Any]":
        """All steps; the answer is the ``final`` message."""
        before = len(sys.modules)
        started = time.perf_counter()
        error: Optional[BaseException] = None
        try:
            for step in self.request["steps"]:
                arguments = dict(step)
                self.reporter.send({"progress": {"step": step}})
                self.steps[arguments.pop("step")](**arguments)
        except BaseException as exc:
            error = exc
        self.watch.active = False
        final: dict[str, Any] = {
            "statement": self.statement,
            "duration_ms": int((time.perf_counter() - started) * 1000),
            "import_count": len(sys.modules) - before,
            "slowest": self.watch.slowest(),
            "withheld": self.watch.withheld,
            "private": self.watch.private,
            "sys_path": [cap(str(path), 1000) for path in list(sys.path or ())[:100]],
        }
        final.update(self.extra)
        if error is not None:
            chain = self.reporter.chain(error)
            final["chain"] = chain
            final["refused"] = self._was_refused(error)
            final["system_exit"] = self._system_exit(error, chain[-1])
            final["names"] = self._names_near(error)
            final["importing"] = self.watch.importing()
        return final

    def _was_refused(self, error: BaseException) -> bool:
        """Whether an exception of the chain is one that the watch itself raised."""
        current: Optional[BaseException] = error
        for _count in range(20):
            if current is None:
                return False
            if any(current is one for one in self.watch.refused):
                return True
            current = current.__cause__ or current.__context__
        return False

    def _system_exit(self, error: BaseException, last: "dict[str, Any]") -> "Optional[dict[str, Any]]":
        if not isinstance(error, SystemExit):
            return None
        code = error.code
        frames = [frame for frame in last["frames"] if frame["origin"] == "app"] or last["frames"]
        found: dict[str, Any] = {"code": 0 if code is None else 1, "message": None}
        if isinstance(code, int):
            found["code"] = int(code) & 0xFF
        elif code is not None:
            found["message"] = cap(str(code))
        where = frames[-1] if frames else {}
        found.update({name: where.get(name) for name in ("file", "line", "function")})
        return found

    def _names_near(self, error: BaseException) -> "Optional[dict[str, Any]]":
        """For a name that a module lacks: the module's names and whether its import was still under way."""
        if not isinstance(error, ImportError):
            return None
        module = sys.modules.get(getattr(error, "name", None) or "")
        if module is None:
            return None
        spec = getattr(module, "__spec__", None)
        return {
            "module": getattr(error, "name", None),
            "file": cap(str(getattr(module, "__file__", None) or "")),
            "names": public_names(module),
            "initializing": bool(getattr(spec, "_initializing", False)) or "partially initialized" in str(error),
        }

    def step_path(self, insert: "list[str]") -> None:
        """Put entries in front of ``sys.path``, the first one foremost."""
        sys.path[:0] = insert

    def step_setting(self, name: str, value: str) -> None:
        """A variable that the start script sets when it isn't set."""
        sys.modules["os"].environ.setdefault(name, value)

    def step_import(self, module: str) -> None:
        """A module that the server imports before the application."""
        self.statement = "import " + module
        __import__(module)

    def step_target(self, module: str, attribute: "Optional[str]") -> None:
        """``module:attribute``, as servers resolve it; a factory is found and not called."""
        self.statement = f"import {module}"
        __import__(module)
        found = sys.modules[module]
        if attribute:
            self.statement = f"import {module}; {module}.{attribute}"
            self.resolve(found, attribute)

    def resolve(self, owner: "Any", attribute: str) -> None:
        """Look an attribute up, and say what is there when it isn't."""
        module = owner
        for part in attribute.split("."):
            try:
                owner = getattr(owner, part)
            except AttributeError:
                self.extra["attribute"] = {
                    "wanted": attribute,
                    "exists": False,
                    "type": None,
                    "names": public_names(module),
                }
                raise
        self.extra["attribute"] = {"wanted": attribute, "exists": True, "type": cap(type(owner).__name__), "names": []}

    def step_script(self, path: str) -> None:
        """A script, except the part of it that serves."""
        self.statement = "script " + path
        self.extra["script"] = run_script(path, self._follow)

    def step_code(self, text: str) -> None:
        """``python -c``."""
        self.statement = "python -c …"
        self.extra["script"] = run_script("<string>", self._follow, text)

    def _follow(self, text: str) -> None:
        module, _colon, attribute = text.partition(":")
        self.step_target(module, attribute)

    def step_module(self, module: str) -> None:
        """``python -m module``: its packages are imported, its code is treated like a script."""
        self.statement = "python -m " + module
        import importlib.util

        parent = module.rpartition(".")[0]
        if parent:
            __import__(parent)
        spec = importlib.util.find_spec(module)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {module}", name=module)
        if spec.submodule_search_locations is not None:
            __import__(module)
            spec = importlib.util.find_spec(module + ".__main__")
            if spec is None:
                text = "No module named {0}.__main__; '{0}' is a package and cannot be directly executed"
                raise ModuleNotFoundError(text.format(module), name=module + ".__main__")
        if spec.origin and spec.has_location and spec.origin.endswith(".py"):
            self.extra["script"] = run_script(spec.origin, self._follow, spec=spec)

    def step_config(self, path: str) -> None:
        """The server's configuration file, which is a Python script of its own."""
        self.statement = "configuration file " + path
        with open(path, "rb") as stream:
            code = compile(stream.read(1024 * 1024), path, "exec", 0, True)
        exec(code, {"__name__": "__config__", "__file__": path, "__builtins__": sys.modules["builtins"]})  # noqa: S102

    def step_celery(self, app: str) -> None:
        """The application as ``celery -A`` finds it, and the task modules that a worker loads."""
        self.statement = "celery -A " + app
        found = imported("celery.app.utils").find_app(app)
        self.extra["attribute"] = {"wanted": app, "exists": True, "type": type(found).__name__, "names": []}
        self.statement = f"celery -A {app}: task modules"
        found.loader.import_default_modules()

    def step_django(self) -> None:
        """``django.setup()``, then what ``runserver`` loads: the URLs and the WSGI or ASGI application."""
        self.statement = "django.setup()"
        imported("django").setup()
        settings = imported("django.conf").settings
        for name in ("ROOT_URLCONF", "WSGI_APPLICATION", "ASGI_APPLICATION"):
            text = getattr(settings, name, None)
            if text and isinstance(text, str):
                module, attribute = (text, None) if name == "ROOT_URLCONF" else text.rsplit(".", 1)
                self.step_target(module, attribute)

    def step_dotenv(self, path: str) -> None:
        """uvicorn's ``--env-file``."""
        self.statement = "environment file " + path
        imported("dotenv").load_dotenv(dotenv_path=path)


def imported(name: str) -> "Any":
    """A module of the backend's own packages."""
    __import__(name)
    return sys.modules[name]


def public_names(module: "Any") -> "list[str]":
    """Names that a module has, without those that begin with two underscores."""
    try:
        names = [name for name in vars(module) if isinstance(name, str) and not name.startswith("__")]
    except TypeError:
        return []
    return [cap(name, 100) for name in sorted(names)[:MAX_NAMES]]


def main(request: "dict[str, Any]", report: int, fault: int, kind: str) -> None:
    """Set everything up, run the steps, report, and end this process without running anything more of it."""
    import faulthandler

    reporter = Reporter(report, request["code_dirs"], request["mark"])
    reporter.send({"start": {"version": sys.version.split()[0], "executable": sys.executable, "prefix": sys.prefix}})
    sys.dont_write_bytecode = True
    # The first entry stands for the -c that brought us here; the server's own is put in its place.
    if sys.path and sys.path[0] == "":
        del sys.path[0]
    sys.argv = list(request["argv"]) or [""]
    try:
        faulthandler.enable(file=fault, all_threads=True)
        faulthandler.register(request["stack_signal"], file=fault, all_threads=True, chain=False)
    except (RuntimeError, ValueError, AttributeError, OSError):
        pass
    if kind == "audit_hook" and not hasattr(sys, "addaudithook"):
        text = (
            "Python {} has no audit hooks and no namespaces can be had here, so nothing would hold the application back"
        )
        reporter.send({"probe": {"error": text.format(sys.version.split()[0])}})
        reporter.leave(1)
    watch = Watch(reporter, refuse=kind == "audit_hook")
    streams = [sys.stdout, sys.stderr]
    try:
        watch.start()
        reporter.send({"final": Probe(request, reporter, watch).run()})
    except BaseException as exc:
        last = reporter.frames_of(exc.__traceback__, own=True)[0][-1:]
        reporter.send({"probe": {"error": f"{type(exc).__name__}: {message_of(exc)} {last}"}})
    for stream in (*streams, sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            continue
    watch.real_exit(0)
