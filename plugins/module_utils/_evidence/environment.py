# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables that the backend gets and from where, its environment files, and files that may have been meant instead."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from typing import Any, Optional

from .access_check import check
from .app_logs import sources
from .context import KIB, Context, silence
from .env_file import describe, parse, path_type, sensitive
from .model import Backend, EnvFileRef, Section
from .python_path import identity
from .redaction import learn
from .requirements import project_directories

MAX_CANDIDATES = 15
MAX_SOURCE_SECONDS = 1.0
# Code that reads an environment file by itself, and the file's name where the call gives one.
_LOADS = re.compile(
    r"\b(?:load_dotenv|dotenv_values|find_dotenv|read_env|read_envfile)\s*\(\s*(?:[rf]?['\"](?P<call>[^'\"]+)['\"])?"
    r"|\benv_file['\"]?\s*[=:]\s*[\[(]?\s*[rf]?['\"](?P<keyword>[^'\"]+)['\"]"
    r"|\b(?:Config|RepositoryEnv)\(\s*(?:env_file\s*=\s*)?[rf]?['\"](?P<config>[^'\"]+)['\"]"
)
_REFERENCE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")
_CANDIDATE = re.compile(r"(?:\.env(?:\..+)?|.+\.env|env|environment|\.envrc|.*\.env\..+|settings\.conf)\Z")
_EXAMPLE = re.compile(r"example|sample|template|\.dist\Z|\.tmpl\Z", re.IGNORECASE)


def collect(backend: Backend, ctx: Context) -> Section:
    """The ``environment`` section. Values are raw here; redaction replaces the sensitive ones before anything leaves."""
    learn(backend.environ, ctx)
    loaded = application_files(backend, ctx)
    listed = [
        *backend.env_files,
        *(ref for ref in loaded if ref.path not in {known.path for known in backend.env_files}),
    ]
    files = [_described(ref, backend, ctx) for ref in listed]
    variables = [
        _variable(name, value, backend.environ_origin.get(name, "supervisor"))
        for name, value in sorted(backend.environ.items())
    ]
    known = set(backend.environ)
    for ref in loaded:
        content = ctx.read(ref.path)
        # load_dotenv and settings classes let the real environment win.
        for name, value in parse(content.raw).intended.items() if not content.error else ():
            if name not in known:
                known.add(name)
                variables.append(_variable(name, value, f"{ref.path}, {ref.origin}"))
    paths = {item["path"] for item in files}
    candidates = [
        describe(path, ctx, origin) for path, origin in candidate_paths(backend, [item for item in files if not item["exists"]])
        if path not in paths
    ]  # fmt: skip
    return {
        "variables": variables,
        "files": files,
        "candidates": candidates[:MAX_CANDIDATES],
        "unset_in_process": unset_in_process(backend, ctx),
    }


def _described(ref: EnvFileRef, backend: Backend, ctx: Context) -> dict[str, Any]:
    """One file; what the application itself reads must be readable for its user, not for us."""
    section = describe(ref.path, ctx, ref.origin, ref.optional)
    if ref.origin.startswith("application") and section["exists"]:
        access = check(ref.path, identity(backend))
        section["readable"] = access.readable
        if not access.readable:
            section["load_error"] = f"not readable for the backend's user: {access.blocked_at or access.reason}"
    return section


def _variable(name: str, value: str, origin: str) -> dict[str, Any]:
    hidden = sensitive(name, value)
    return {
        "name": name,
        "origin": origin,
        "empty": not value,
        "length": len(value),
        "sensitive": hidden,
        "value": value,
        "fingerprint": None,
        "references_missing": unexpanded(value),
    }


def unexpanded(value: str) -> list[str]:
    """Names in a value that look like variables to be put in, which supervisors do not do in environment values.

    Only for values without other dollar signs: passwords and hashes are full of them.
    """
    found = _REFERENCE.findall(value)
    if not found or value.count("$") != len(found) or not all(name.isupper() for name in found):
        return []
    return sorted(set(found))


def application_files(backend: Backend, ctx: Context) -> list[EnvFileRef]:
    """Environment files that the application's own code loads, by its source; the override parameter first."""
    result: list[EnvFileRef] = []
    override = ctx.params.get("env_file")
    if override:
        result.append(EnvFileRef(str(override), False, "application, override backend_env_file"))
    code_dir = backend.app.code_dir
    if not code_dir or code_dir == "/" or "site-packages" in code_dir:
        return result
    end = time.monotonic() + min(MAX_SOURCE_SECONDS, ctx.remaining())
    for path in sources([code_dir], end):
        content = ctx.read(path, 256 * KIB)
        if content.error or not re.search(rb"dotenv|env_file|read_env|RepositoryEnv|Config\(", content.raw):
            continue
        for match in _LOADS.finditer(content.text):
            name = match.group("call") or match.group("keyword") or match.group("config")
            line = content.text.count("\n", 0, match.start()) + 1
            if (
                content.text[content.text.rfind("\n", 0, match.start()) + 1 : match.start()]
                .lstrip()
                .startswith(("#", "def ", "import ", "from "))
            ):
                continue
            for found in _loaded_paths(name, path, backend):
                if found not in {ref.path for ref in result}:
                    result.append(EnvFileRef(found, True, f"application, {path}:{line}"))
        if len(result) >= 6:
            break
    return result


def _loaded_paths(name: Optional[str], source: str, backend: Backend) -> Iterator[str]:
    """A named file counts from the working directory; ``.env`` without a path is searched upwards from the source."""
    cwd = backend.cwd or "/"
    if name:
        yield os.path.normpath(os.path.join(cwd, name))
        return
    directory = os.path.dirname(source)
    top = os.path.dirname(backend.app.code_dir or "/")
    while True:
        path = os.path.join(directory, ".env")
        if os.path.lexists(path):
            yield path
            return
        if directory in ("/", top):
            break
        directory = os.path.dirname(directory)
    yield os.path.join(backend.app.code_dir or cwd, ".env")


def candidate_paths(backend: Backend, missing: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Environment files near the code, the unit and the usual places; those named like a missing one come first."""
    name = os.path.basename(backend.name)
    name = name[: -len(".service")] if name.endswith(".service") else name
    base = name.split("@")[0].split(":")[-1]
    found: dict[str, str] = {}
    wanted = {os.path.basename(item["path"]) for item in missing}
    for place in (f"/etc/default/{base}", f"/etc/sysconfig/{base}", f"/etc/{base}.env", f"/etc/conf.d/{base}"):
        if path_type(place) == "file":
            found[place] = "usual place"
    directories = [*project_directories(backend.app.code_dir, backend.cwd), f"/etc/{base}"]
    directories += [os.path.dirname(item["path"]) for item in missing]
    for directory in dict.fromkeys(directories):
        for path in _listed(directory):
            file = os.path.basename(path)
            if file in wanted or _CANDIDATE.match(file):
                found.setdefault(path, "example" if _EXAMPLE.search(file) else "beside the code")
    for item in missing:
        directory = os.path.dirname(item["path"])
        for path in _listed(directory):
            if base in os.path.basename(path) and path.endswith((".env", ".conf", "")) and _small_text(path):
                found.setdefault(path, "beside the missing file")
    for code_dir in project_directories(backend.app.code_dir, None)[:1]:
        for inner in _directories(code_dir):
            for path in _listed(inner):
                if os.path.basename(path) in wanted or (
                    _CANDIDATE.match(os.path.basename(path)) and "env" in os.path.basename(path)
                ):
                    found.setdefault(path, "example" if _EXAMPLE.search(path) else "below the code")
    order = {"beside the code": 1, "below the code": 2, "example": 4}
    ranked = sorted(found.items(), key=lambda item: (os.path.basename(item[0]) not in wanted, order.get(item[1], 0)))
    return ranked[: MAX_CANDIDATES * 2]


def _listed(directory: str) -> list[str]:
    """Regular files of a directory; none when it can't be read."""
    if silence(directory):
        return []
    try:
        with os.scandir(directory) as entries:
            return sorted(entry.path for _index, entry in zip(range(1000), entries) if entry.is_file())
    except OSError:
        return []


def _directories(directory: str) -> list[str]:
    if silence(directory):
        return []
    try:
        with os.scandir(directory) as entries:
            names = sorted(
                entry.path for _index, entry in zip(range(500), entries) if entry.is_dir(follow_symlinks=False)
            )
    except OSError:
        return []
    skipped = ("node_modules", "site-packages", ".git", "__pycache__", "venv", ".venv", "env")
    return [path for path in names if os.path.basename(path) not in skipped][:40]


def _small_text(path: str) -> bool:
    try:
        return os.path.getsize(path) < 64 * KIB
    except OSError:
        return False


def unset_in_process(backend: Backend, ctx: Context) -> list[str]:
    """Variables that the configuration gives but the running process was started without."""
    if not backend.main_pid or not backend.running:
        return []
    content = ctx.read(f"/proc/{backend.main_pid}/environ")
    if content.error or not content.raw:
        return []
    present = {item.split(b"=", 1)[0].decode("utf-8", "replace") for item in content.raw.split(b"\0") if item}
    given = {
        name
        for name, origin in backend.environ_origin.items()
        if not origin.startswith(("start script", "command line"))
    }
    return sorted(name for name in given & set(backend.environ) if name not in present)
