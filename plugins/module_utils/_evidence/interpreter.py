# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Python runs the backend: the chain to it, its environment, its version, and whether it starts at all."""

from __future__ import annotations

import glob
import json
import os
import pwd
import re
from typing import Any, Optional

from .app_program import is_python, step
from .context import Context
from .interpreter_chain import Chain, follow_program, parse_pyvenv
from .model import Backend, Section
from .packages_toml import loads
from .requirements import project_directories

RUN_TIMEOUT_S = 4.0
# Built-in modules only: nothing of the environment is imported, so nothing of it can run.
_PROBE = (
    "import sys,_imp;"
    "print([list(sys.version_info[:3]),sys.prefix,sys.base_prefix,sys.implementation.cache_tag,_imp.extension_suffixes(),"
    "[p for p in sys.path if p],sorted(getattr(sys,'stdlib_module_names',())),sys.implementation.name])"
)
_VERSION = re.compile(r"(?:python|pypy)(\d+\.\d+)")


def resolve(backend: Backend, ctx: Context) -> None:
    """Fill ``backend.python`` and ``backend.interpreter``. Runs the interpreter once, as the backend's user, importing nothing."""
    app = backend.app
    override = ctx.params.get("python")
    program = override or app.program
    section: Section = {
        "chain": list(app.steps), "python": None, "real_python": None, "version": None, "requires_python": None, "runs": None,
        "error": None, "kind": None, "venv": None, "site_packages": [], "abi": None, "stdlib": [], "candidates": [], "flags": [],
    }  # fmt: skip
    backend.interpreter = section
    section["requires_python"] = requires_python(backend, ctx)
    chain = Chain(error=app.problem or "the command names no program")
    if program:
        chain = follow_program(str(program), backend.environ, backend.cwd or "/", ctx)
    section["chain"] += chain.steps
    section["flags"] = chain.flags + app.python_flags
    section["error"] = chain.error
    python = chain.python or _beside(program, backend)
    if python and chain.not_python and not chain.python:
        section["chain"].append(step("python", python))
    if chain.not_python and not python:
        section["error"] = f"{program} is not a Python program, and no environment belongs to it"
    backend.python = python
    if not python:
        section["candidates"] = environments_near(backend, ctx)
        return
    _facts(python, section, ctx)
    if chain.python:
        _probe(python, backend, section, ctx)
    section["site_packages"] = site_packages(python, section, backend)
    if section["error"] or section["runs"] is False or not any(item["exists"] for item in section["site_packages"]):
        section["candidates"] = environments_near(backend, ctx)


def collect(backend: Backend, ctx: Context) -> Section:
    """The ``interpreter`` section, as resolved, without what only other collectors need."""
    return {key: value for key, value in backend.interpreter.items() if key != "stdlib_names"}


def _beside(program: Optional[str], backend: Backend) -> Optional[str]:
    """The interpreter that a broken or compiled program would have used: that of its environment."""
    places = [backend.app.environment_dir] if backend.app.environment_dir else []
    if program and "/" in program and os.path.basename(os.path.dirname(program)) == "bin":
        prefix = os.path.dirname(os.path.dirname(program))
        if os.path.isfile(os.path.join(prefix, "pyvenv.cfg")) or os.path.isdir(os.path.join(prefix, "conda-meta")):
            places.append(prefix)
    for place in places:
        for name in ("python", "python3"):
            path = os.path.join(place, "bin", name)
            if os.path.lexists(path):
                return path
    if backend.app.server == "uwsgi" and not places and os.path.exists("/usr/bin/python3"):
        return "/usr/bin/python3"
    return None


def _facts(python: str, section: Section, ctx: Context) -> None:
    """What the file system tells: real interpreter, environment, kind, and a first idea of the version."""
    real = os.path.realpath(python)
    section["python"], section["real_python"] = python, real
    prefix = os.path.dirname(os.path.dirname(python))
    config = os.path.join(prefix, "pyvenv.cfg")
    if os.path.isfile(config):
        section["kind"] = "venv"
        section["venv"] = _venv(prefix, config, section, ctx)
    elif os.path.isdir(os.path.join(prefix, "conda-meta")):
        section["kind"] = "conda"
    elif "/.pyenv/" in real or "/pyenv/versions/" in real:
        section["kind"] = "pyenv"
    else:
        section["kind"] = "system" if real.startswith(("/usr/", "/bin/")) else "other"
    match = _VERSION.search(os.path.basename(real))
    section["version"] = match.group(1) if match else (section["venv"] or {}).get("version")
    if not section["venv"]:
        for entry in section["chain"]:
            inner = os.path.dirname(os.path.dirname(entry["path"]))
            if entry["step"] == "symlink" and os.path.isfile(os.path.join(inner, "pyvenv.cfg")) and inner != prefix:
                entry["problem"] = f"a link to the interpreter of {inner} does not activate that environment"


def _venv(prefix: str, config: str, section: Section, ctx: Context) -> Section:
    values = parse_pyvenv(ctx.read(config).text)
    home = values.get("home")
    entry = step("pyvenv.cfg", config)
    entry.update(target=home, executable=False)
    home_exists = bool(home) and os.path.isdir(str(home))
    if not home:
        entry["problem"] = "it has no home"
    elif not home_exists:
        entry["problem"] = f"its home {home} does not exist: the Python that made this environment is gone"
    section["chain"].append(entry)
    version = values.get("version") or values.get("version_info") or ""
    return {
        "path": prefix,
        "exists": True,
        "home": home,
        "home_exists": home_exists,
        "version": ".".join(version.split(".")[:3]) or None,
        "system_site_packages": values.get("include-system-site-packages", "").lower() == "true",
    }


def _probe(python: str, backend: Backend, section: Section, ctx: Context) -> None:
    """Start the interpreter without site and environment, and ask built-in modules for version and paths."""
    home = backend.environ.get("PYTHONHOME")
    # PYTHONHOME decides where the standard library is, so it must be seen; everything else must not.
    argv = [python, "-s", "-S", "-c", _PROBE] if home else [python, "-I", "-S", "-c", _PROBE]
    prefix, reason = as_user(backend, ctx, python)
    if prefix is None:
        section["error"] = section["error"] or reason
        return
    env = {"PYTHONDONTWRITEBYTECODE": "1", **({"PYTHONHOME": home} if home else {})}
    if backend.environ.get("LD_LIBRARY_PATH"):
        env["LD_LIBRARY_PATH"] = backend.environ["LD_LIBRARY_PATH"]
    result = ctx.run([*prefix, *argv], timeout=RUN_TIMEOUT_S, max_bytes=64 * 1024, env=env)
    section["runs"] = result.ok
    if not result.ok:
        section["error"] = _failure(result.stderr) or result.error or f"{python} ends with status {result.exit_status}"
        return
    try:
        version, own_prefix, base, tag, suffixes, paths, names, _name = json.loads(result.stdout.replace("'", '"'))
    except ValueError:
        section["runs"], section["error"] = False, f"{python} does not answer as Python does: {result.stdout[:200]!r}"
        return
    section["version"] = ".".join(str(part) for part in version)
    section["abi"] = {"cache_tag": tag, "extension_suffixes": suffixes}
    section["stdlib"] = paths
    # Before 3.14 the site module, which is switched off here, moves the prefix into a virtual environment.
    section["prefix"] = section["venv"]["path"] if section["venv"] else own_prefix
    section["base_prefix"] = base
    section["stdlib_names"] = names


def as_user(backend: Backend, ctx: Context, program: str) -> tuple[Optional[list[str]], str]:
    """Words in front of a command that make it run as the backend's user; None, with a sentence, when that is unsafe.

    Root must not start a program that somebody else could have replaced.
    """
    if ctx.euid != 0 or backend.uid in (0, None):
        if ctx.euid == 0 and not _trusted(program):
            return None, f"{program} was not started: others than root may write it and the backend's user is unknown"
        return [], ""
    gid = backend.gid if backend.gid is not None else backend.uid
    for tool in ("/usr/bin/setpriv", "/bin/setpriv"):
        if os.path.exists(tool):
            groups = ",".join(str(item) for item in backend.groups)
            wanted = ["--groups", groups] if groups else ["--clear-groups"]
            # setpriv itself still has root's capabilities when it starts its command and so may pass directories that are closed to
            # the user; env, which it starts, has none any more.
            words = [
                tool,
                "--reuid",
                str(backend.uid),
                "--regid",
                str(gid),
                *wanted,
                "--no-new-privs",
                "--",
                "/usr/bin/env",
            ]
            return words, ""
    if _trusted(program):
        return [], ""
    return None, f"{program} was not started: setpriv is missing, and root must not start what others may write"


def _trusted(path: str) -> bool:
    """Whether only root may change the real file and the directories that lead to it."""
    current = os.path.realpath(path)
    while True:
        try:
            status = os.lstat(current)
        except OSError:
            return False
        if status.st_uid != 0 or (status.st_mode & 0o022 and not status.st_mode & 0o1000):
            return False
        if current == "/":
            return True
        current = os.path.dirname(current)


def _failure(stderr: str) -> str:
    """The line that says why an interpreter does not start."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    wanted = [line for line in lines if re.search(r"Error|error|denied|No such|not found|cannot", line)]
    return re.sub(
        r"\A/usr/bin/env: ['\u2018](.+?)['\u2019]: ", r"\1: ", wanted[-1] if wanted else lines[-1] if lines else ""
    )[:500]


def site_packages(python: str, section: Section, backend: Backend) -> list[Section]:
    """Directories for installed packages, in the order of the path; ``used`` marks those of this interpreter's version."""
    short = ".".join(str(section["version"] or "").split(".")[:2])
    prefix = os.path.dirname(os.path.dirname(python))
    venv = section["venv"]
    wanted: list[str] = []
    isolated = bool(venv) and not venv["system_site_packages"]
    if venv and short:
        wanted += [f"{prefix}/{lib}/python{short}/site-packages" for lib in ("lib", "lib64")]
    if not isolated and short:
        user_site = _user_site(backend, short)
        wanted += [user_site] if user_site else []
        base = section.get("base_prefix") or os.path.dirname(os.path.dirname(section["real_python"] or python))
        if base == "/usr":
            wanted += [f"/usr/local/lib/python{short}/dist-packages", "/usr/lib/python3/dist-packages"]
            wanted += [f"/usr/lib/python{short}/dist-packages"]
        wanted += [f"{base}/{lib}/python{short}/site-packages" for lib in ("lib", "lib64")]
    result: list[Section] = []
    seen: set[str] = set()
    for path in wanted:
        real = os.path.realpath(path)
        exists = os.path.isdir(path)
        first = path == wanted[0]
        if real not in seen and (exists or first):
            seen.add(real)
            result.append({"path": path, "exists": exists, "python_version": short, "used": True})
    for path in sorted(glob.glob(os.path.join(glob.escape(prefix), "lib", "python[23]*", "site-packages"))):
        match = _VERSION.search(path[len(prefix) :])
        if os.path.realpath(path) not in seen and prefix not in ("/usr", "/usr/local") and match:
            result.append({"path": path, "exists": True, "python_version": match.group(1), "used": False})
    return result


def _user_site(backend: Backend, short: str) -> Optional[str]:
    flags = "".join(flag for flag in backend.app.python_flags if not flag.startswith("--"))
    if backend.environ.get("PYTHONNOUSERSITE") or "s" in flags or "I" in flags:
        return None
    base = backend.environ.get("PYTHONUSERBASE")
    if not base:
        home = backend.environ.get("HOME")
        if not home and backend.uid is not None:
            try:
                home = pwd.getpwuid(backend.uid).pw_dir
            except KeyError:
                return None
        base = os.path.join(home, ".local") if home else None
    path = os.path.join(base, "lib", f"python{short}", "site-packages") if base else None
    return path if path and os.path.isdir(path) else None


def environments_near(backend: Backend, ctx: Context) -> list[Section]:
    """Virtual environments beside the code, for whoever has to choose another interpreter; nothing is run."""
    places = project_directories(backend.app.code_dir, backend.cwd)
    # A service's code often lies at /srv/<name> beside the environment at /srv/venv.
    places += [top for top in ("/opt", "/srv") if any(place.startswith(f"{top}/") for place in places)]
    result: list[Section] = []
    for place in dict.fromkeys(places):
        try:
            names = sorted(os.listdir(place))[:300]
        except OSError:
            continue
        for name in names:
            prefix = os.path.join(place, name)
            if not os.path.isfile(os.path.join(prefix, "pyvenv.cfg")) or len(result) >= 10:
                continue
            python = os.path.join(prefix, "bin", "python")
            values = parse_pyvenv(ctx.read(os.path.join(prefix, "pyvenv.cfg")).text)
            result.append(
                {
                    "path": python,
                    "exists": os.path.exists(python) and is_python(os.path.realpath(python)),
                    "version": values.get("version") or values.get("version_info"),
                }
            )
    return result


def requires_python(backend: Backend, ctx: Context) -> Optional[str]:
    """The versions that the project says it needs: pyproject.toml, setup.cfg or .python-version by the code."""
    for directory in project_directories(backend.app.code_dir, None):
        content = ctx.read(os.path.join(directory, "pyproject.toml"))
        if not content.error:
            document = loads(content.text)[0]
            found = _nested(document, "project", "requires-python") or _nested(
                document, "tool", "poetry", "dependencies", "python"
            )
            if isinstance(found, str):
                return found
        match = re.search(
            r"^python_requires\s*=\s*(.+)$", ctx.read(os.path.join(directory, "setup.cfg")).text, re.MULTILINE
        )
        if match:
            return match.group(1).strip()
        pinned = ctx.read(os.path.join(directory, ".python-version"), 200)
        if not pinned.error and re.match(r"\d+\.\d+(\.\d+)?\s*\Z", pinned.text):
            return f"=={pinned.text.strip()}" if pinned.text.count(".") == 2 else f"=={pinned.text.strip()}.*"
    return None


def _nested(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value
