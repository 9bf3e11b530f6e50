# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Collector ``import_test``: imports the application as its server does, in a sandbox, and says what happened."""

from __future__ import annotations

import os
import re
import secrets
import sys
from collections.abc import Mapping
from typing import Any, Optional

from . import (
    import_channel,
    import_plan,
    import_probe,
    import_probe_report,
    import_probe_script,
    import_probe_watch,
    import_verdict,
    missing_module,
    sandbox,
)
from .access_check import Identity
from .context import KIB, Context
from .model import Backend, Section
from .sandbox_guard import STACK_SIGNAL

MIB = 1024 * 1024
DEFAULT_TIMEOUT_S = 20.0
DEFAULT_MEMORY_MIB = 1024
# The test must not be what brings the host down: it gets at most this part of what is free.
MEMORY_SHARE = 0.8
MIN_TIMEOUT_S = 1.0
# Stands in for the user of a DynamicUser= unit, who exists only while the unit runs.
NOBODY = 65534

PACKAGE = "firstaid_probe"
# Reads the probe's text from its channel with built-in modules only, so that nothing is imported before it.
BOOT = """import posix
t=b''
while 1:
 c=posix.read({source},65536)
 if not c:break
 t+=c
posix.close({source})
R,F,K={report},{fault},'{kind}'
exec(compile(t,'<firstaid>','exec'))
"""
_STATE_VARIABLES = "HOME STATE_DIRECTORY CACHE_DIRECTORY LOGS_DIRECTORY RUNTIME_DIRECTORY TMPDIR XDG_CACHE_HOME".split()


def collect(backend: Backend, ctx: Context) -> Section:
    """The ``import_test`` section. Never raises for what the application does."""
    plan = import_plan.make(backend, flags := interpreter_flags(backend, ctx))
    found: Section = {
        "ran": False,
        "outcome": "could_not_run",
        "statement": None,
        "target": {"module": plan.module, "attribute": plan.attribute},
        "user": backend.user,
        "cwd": backend.cwd,
        "interpreter": backend.python,
    }
    why_not = refusal(backend, ctx) or plan.why_not
    if why_not:
        found["why_not"] = why_not
        return found
    timeout = time_limit(ctx, "import_test_timeout", DEFAULT_TIMEOUT_S)
    if timeout < MIN_TIMEOUT_S:
        found["why_not"] = "the time budget was used up before the import test could start"
        return found
    request = request_for(backend, ctx, timeout)
    request.argv = [str(backend.python), *flags, "-c", BOOT]
    request.numbered = [len(request.argv) - 1]
    request.env["PYTHONDONTWRITEBYTECODE"] = "1"
    mark = secrets.token_hex(16)
    request.source = probe_source(
        {
            "mark": mark,
            "steps": plan.steps,
            "argv": plan.argv,
            "code_dirs": code_dirs(backend),
            "stack_signal": int(STACK_SIGNAL),
        }
    )
    result = sandbox.run(request)
    tampered, reliable = import_channel.sort_out(result, mark)
    words = {"cwd": backend.cwd or "/", "user": backend.user or str(request.uid), "python": str(backend.python)}
    who = Identity(request.uid, request.gid, tuple(request.groups))
    host = import_verdict.Host(
        origin_of(backend),
        import_verdict.host_read_only,
        import_verdict.host_full,
        lambda path: import_verdict.host_denies(path, who),
    )
    found.update(import_verdict.section(result, words, host))
    if tampered:
        found.update(tampered=tampered, _partial="; ".join(tampered))
    if not reliable:
        found.update(outcome="tampered", exception=None, missing_name=None, attribute=None, system_exit=None)
    found["missing_module"] = missing_module.analyse(found, backend, ctx)
    found["overhead_ms"] = max(0, result.ms - (found["duration_ms"] or 0))
    return found


def refusal(backend: Backend, ctx: Context, parameter: str = "import_test") -> Optional[str]:
    """Why the backend's code is not run at all, as a sentence; None when it may be."""
    if parameter == "import_test" and ctx.params.get("import_test") is False:
        return "the import test was turned off (backend_import_test: false)"
    if not sys.platform.startswith("linux"):
        return f"the import test needs Linux, this is {sys.platform}"
    if backend.root_directory:
        return f"the unit runs in its own root ({backend.root_directory}), in which the test can't run"
    if not backend.python:
        return "the backend's Python interpreter is not known, or its path leads nowhere; see the interpreter section"
    if backend.user and backend.uid is None and not backend.unit.get("dynamic_user"):
        return f"the user {backend.user} does not exist on this host"
    if ctx.euid != 0 and backend.uid not in (None, ctx.euid):
        name = backend.user or backend.uid
        return f"only root can run code as user {name}, and this run is user {ctx.euid}: run it with become"
    return None


def time_limit(ctx: Context, parameter: str, default: float) -> float:
    """Seconds that the program may take: the parameter, and what is left of the module's budget less the way back."""
    try:
        wanted = float(ctx.params.get(parameter) or default)
    except (TypeError, ValueError):
        wanted = default
    return min(wanted, ctx.remaining() - 0.7)


def request_for(backend: Backend, ctx: Context, timeout: float) -> sandbox.Request:
    """The sandbox's orders, without the program: the backend's user, environment, directory and limits."""
    dynamic = backend.uid is None and bool(backend.unit.get("dynamic_user"))
    uid = NOBODY if dynamic else ctx.euid if backend.uid is None else backend.uid
    gid = NOBODY if dynamic else os.getegid() if backend.gid is None else backend.gid
    environ = {name: value for name, value in backend.environ.items() if _valid(name, value)}
    environ.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    limits = backend.unit.get("limits")
    nofile = limits.get("nofile") if isinstance(limits, Mapping) else None
    sandboxing = backend.unit.get("sandboxing")
    private_tmp = str(sandboxing.get("PrivateTmp", "")).lower() if isinstance(sandboxing, Mapping) else ""
    paths = [backend.app.code_dir, backend.cwd, backend.python, backend.app.script, *backend.app.path_prepend]
    return sandbox.Request(
        argv=[],
        env=environ,
        cwd=backend.cwd,
        uid=uid,
        gid=gid,
        groups=list(backend.groups) or [gid],
        timeout=timeout,
        memory_bytes=memory_limit(ctx),
        writable=writable(backend),
        needed=[path for path in paths if path],
        nofile=nofile if isinstance(nofile, int) and nofile > 0 else None,
        private_tmp=private_tmp in ("yes", "true", "1", "on", "connected", "disconnected"),
    )


def _valid(name: str, value: str) -> bool:
    return bool(name) and "=" not in name and "\0" not in name and "\0" not in value


def writable(backend: Backend) -> list[str]:
    """Directories in which this backend may be expected to write: they get private writes."""
    found = [backend.cwd, backend.app.code_dir, *(os.path.dirname(log.path) for log in backend.log_files)]
    for name in _STATE_VARIABLES:
        found += backend.environ.get(name, "").split(":")
    return list(dict.fromkeys(os.path.realpath(path) for path in found if path and path.startswith("/")))


def memory_limit(ctx: Context) -> int:
    """Bytes: the parameter, but never more than a share of the memory that is free now."""
    try:
        wanted = int(ctx.params.get("import_test_memory_mb") or DEFAULT_MEMORY_MIB) * MIB
    except (TypeError, ValueError):
        wanted = DEFAULT_MEMORY_MIB * MIB
    match = re.search(r"^MemAvailable:\s+(\d+) kB", ctx.read("/proc/meminfo", 16 * KIB).text, re.MULTILINE)
    return min(wanted, int(int(match[1]) * KIB * MEMORY_SHARE)) if match else wanted


def interpreter_flags(backend: Backend, ctx: Context) -> list[str]:
    """The interpreter's own options: of the command, or of the console script's first line."""
    app = backend.app
    if app.python_flags:
        return [flag for flag in app.python_flags if not re.match(r"-[A-Za-z]*[iVh?]", flag) or flag[1] in "WX"]
    if not app.program or not app.argv or app.argv[0].startswith("-"):
        return []
    first = ctx.read(app.program, 512).text.partition("\n")[0]
    match = re.match(r"#!\s*\S*(?:python|pypy)[\d.]*\s+(-[A-Za-z]+)\s*\Z", first)
    return [match[1]] if match else []


def code_dirs(backend: Backend) -> list[str]:
    """Directories whose files are the application's own."""
    cwd = backend.cwd or "/"
    named = [
        os.path.normpath(os.path.join(cwd, part)) for part in backend.environ.get("PYTHONPATH", "").split(":") if part
    ]
    script = os.path.dirname(backend.app.script) if backend.app.script else None
    found = [backend.app.code_dir, cwd, script, *backend.app.path_prepend, *named]
    found += [os.path.realpath(path) for path in found if path]
    return [path for path in dict.fromkeys(found) if path and path != "/"]


def origin_of(backend: Backend) -> Any:
    """A function that says whose code a file is, for stacks that no Python could judge."""
    directories = tuple(path.rstrip("/") + "/" for path in code_dirs(backend))

    def origin(path: str) -> str:
        if path.startswith("<"):
            return "frozen" if path.startswith("<frozen") else "string"
        if "/site-packages/" in path or "/dist-packages/" in path:
            return "site-packages"
        if path.startswith(directories):
            return "app"
        return "stdlib" if re.search(r"/lib(64)?/python\d", path) else "other"

    return origin


def probe_source(request: Mapping[str, Any]) -> str:
    """The text that the backend's interpreter runs."""
    modules = (import_probe_report, import_probe_watch, import_probe_script, import_probe)
    return sandbox.bundle(PACKAGE, modules, f"_main.main({dict(request)!a}, R, F, K)")
