# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where on disk a module lies that an import did not find, and why it was not found there."""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Iterator
from typing import Optional

from .access_check import Identity, check
from .app_logs import SKIP
from .context import Context
from .interpreter import environments_near
from .model import Backend, Section
from .packages_installed import foreign_extension
from .python_path import identity, paths
from .requirements import project_directories

MAX_FOUND = 12
MAX_WALKED = 20000
MAX_DEPTH = 5
MAX_SECONDS = 2.0


def find_module_on_disk(name: str, backend: Backend, ctx: Context) -> list[Section]:
    """Places that hold a module of this dotted name although the import failed: ``{path, why, detail, root}``.

    ``root`` is the directory that would have to be on the path. Looks at the path's own directories first (unreadable, wrong
    type, dangling link, built for another Python), then at other Pythons' directories, then around the code. Bounded to
    20000 entries and 2 s.
    """
    parts = name.split(".")
    who = identity(backend)
    found: list[Section] = []
    on_path = [path for path, _origin in paths(backend, ctx)]
    suffixes = (backend.interpreter.get("abi") or {}).get("extension_suffixes", [])
    for root in on_path:
        found += _on_path(root, parts, who, suffixes)
    known = {os.path.realpath(path) for path in on_path}
    for root, version in other_sites(backend, ctx):
        place = _place(root, parts)
        if place and os.path.realpath(root) not in known:
            found.append(
                _entry(
                    place,
                    "other_python",
                    f"installed for Python {version}" if version else "installed for another Python",
                    root,
                )
            )
    for root in _around(backend, parts, ctx):
        if os.path.realpath(root) in known:
            continue
        place = _place(root, parts)
        if place:
            access = check(place, who)
            why = "elsewhere_on_disk" if access.readable else "not_readable"
            detail = (
                f"{root} is not on the path"
                if access.readable
                else f"not readable for the backend's user: {access.reason}"
            )
            found.append(_entry(place, why, detail, root))
    unique: dict[str, Section] = {}
    for item in found:
        unique.setdefault(os.path.realpath(item["path"]) if item["why"] != "dangling_link" else item["path"], item)
    return list(unique.values())[:MAX_FOUND]


def _entry(path: str, why: str, detail: str, root: str) -> Section:
    return {"path": path, "why": why, "detail": detail, "root": root}


def _place(root: str, parts: list[str]) -> Optional[str]:
    """The file or package directory of a module below a root."""
    base = os.path.join(root, *parts)
    for candidate in (os.path.join(base, "__init__.py"), f"{base}.py"):
        if os.path.isfile(candidate):
            return candidate
    for suffix in [*glob.glob(f"{glob.escape(base)}.*.so"), f"{base}.so"]:
        if os.path.isfile(suffix):
            return suffix
    if os.path.isdir(base) and _has_python(base):
        return base
    return None


def _has_python(directory: str) -> bool:
    try:
        with os.scandir(directory) as entries:
            return any(entry.name.endswith((".py", ".so")) for _index, entry in zip(range(200), entries))
    except OSError:
        return False


def _on_path(root: str, parts: list[str], who: Identity, suffixes: list[str]) -> Iterator[Section]:
    """Why a directory of the path did not give the module although something of its name is there."""
    for depth in range(1, len(parts) + 1):
        base = os.path.join(root, *parts[:depth])
        last = depth == len(parts)
        for path in (base, f"{base}.py"):
            if os.path.islink(path) and not os.path.exists(path):
                target = os.readlink(path)
                yield _entry(path, "dangling_link", f"a link to {target}, which leads nowhere", root)
                return
        if not last and os.path.isfile(f"{base}.py") and not os.path.isdir(base):
            yield _entry(f"{base}.py", "wrong_type", f"a module, so it has no submodule {parts[depth]}", root)
            return
        if os.path.isfile(base):
            yield _entry(base, "wrong_type", f"a regular file of {os.path.getsize(base)} bytes, not a package", root)
            return
        if os.path.isdir(base):
            access = check(base, who)
            if not (access.readable and access.executable):
                yield _entry(base, "not_readable", f"not readable for the backend's user: {access.reason}", root)
                return
    base = os.path.join(root, *parts)
    for path in (f"{base}.py", os.path.join(base, "__init__.py")):
        if os.path.isfile(path):
            access = check(path, who)
            if not access.readable:
                yield _entry(
                    path,
                    "not_readable",
                    f"not readable for the backend's user: {access.blocked_at or access.reason}",
                    root,
                )
            return
    compiled = [
        path for path in glob.glob(f"{glob.escape(base)}.*.so") if suffixes and foreign_extension(path, suffixes)
    ]
    if compiled:
        detail = f"this interpreter takes {suffixes[0]}" if suffixes else ""
        yield _entry(compiled[0], "compiled_for_other_python", detail, root)
        return
    # A pure module whose own name differs only in case is what a case-insensitive file system hid during development.
    parent = os.path.dirname(base)
    try:
        names = os.listdir(parent)[:2000]
    except OSError:
        return
    for item in names:
        if item.split(".")[0].lower() == parts[-1].lower() and item.split(".")[0] != parts[-1]:
            yield _entry(os.path.join(parent, item), "wrong_type", "the name differs in upper and lower case", root)
            return


def other_sites(backend: Backend, ctx: Context) -> Iterator[tuple[str, str]]:
    """(site directory, version) of other Pythons and environments of this host."""
    for site in backend.interpreter.get("site_packages", []):
        if not site["used"]:
            yield site["path"], site["python_version"]
    for environment in environments_near(backend, ctx):
        prefix = os.path.dirname(os.path.dirname(environment["path"]))
        for path in glob.glob(os.path.join(glob.escape(prefix), "lib", "python3*", "site-packages")):
            yield path, os.path.basename(os.path.dirname(path)).replace("python", "")
    patterns = (
        "/usr/lib/python3/dist-packages",
        "/usr/local/lib/python3*/dist-packages",
        "/usr/local/lib/python3*/site-packages",
        "/usr/lib/python3*/site-packages",
        "/root/.local/lib/python3*/site-packages",
        "/home/*/.local/lib/python3*/site-packages",
        "/root/.pyenv/versions/*/lib/python3*/site-packages",
        "/opt/*/lib/python3*/site-packages",
        "/opt/*conda*/envs/*/lib/python3*/site-packages",
    )
    for pattern in patterns:
        for path in sorted(glob.glob(pattern))[:20]:
            yield path, os.path.basename(os.path.dirname(path)).replace("python", "").strip("/")


def _around(backend: Backend, parts: list[str], ctx: Context) -> Iterator[str]:
    """Directories around the code that hold something called like the module's first part; links are not followed."""
    end = time.monotonic() + min(MAX_SECONDS, ctx.remaining())
    directories = project_directories(backend.app.code_dir, backend.cwd)
    # The widest directory last: what is near is more likely meant.
    queue = [(directory, 0) for directory in directories]
    seen: set[str] = set()
    walked = 0
    while queue and walked < MAX_WALKED and time.monotonic() < end:
        directory, depth = queue.pop(0)
        if directory in seen:
            continue
        seen.add(directory)
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    walked += 1
                    if entry.name == parts[0] or entry.name.split(".")[0] == parts[0]:
                        yield directory
                    skipped = entry.name in SKIP and entry.name not in ("tests", "test", "build", "dist")
                    if depth < MAX_DEPTH and not skipped and entry.is_dir(follow_symlinks=False):
                        queue.append((entry.path, depth + 1))
        except OSError:
            continue
