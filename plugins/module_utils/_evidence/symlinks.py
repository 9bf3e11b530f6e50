# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Symbolic links that the backend's start depends on: where they lead, and which dangle, loop or became text files."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Optional

from .app_logs import SKIP
from .context import Context, silence
from .env_file import path_type
from .model import Backend, Section
from .python_path import paths

MAX_LINKS = 200
MAX_WALKED = 20000
MAX_DEPTH = 3
MAX_SECONDS = 2.0
MAX_TEXT_LINK = 256
_LINK_TEXT = re.compile(r"(?:\.{0,2}/)?[\w.@+-]+(?:/[\w.@+-]+)*/?\Z")
# Small files that hold one word or a path by custom.
_ONE_WORD = re.compile(
    r"VERSION|version|\.python-version|\.nvmrc|\.ruby-version|CNAME|py\.typed|.*\.(?:txt|md|sha1|sha256|pid|lock|pth|key|pub|in)\Z"
)


# Links that every system has; they tell nothing.
_USUAL = frozenset(("/bin", "/sbin", "/lib", "/lib64", "/lib32", "/var/run", "/var/lock", "/bin/sh", "/usr/bin/sh"))


@dataclass
class _Found:
    """Links by path, and files that look like links written out."""

    links: dict[str, dict[str, Any]] = field(default_factory=dict)
    texts: dict[str, dict[str, Any]] = field(default_factory=dict)
    truncated: bool = False

    def add(self, path: str, where: str) -> None:
        if path in self.links:
            return
        if len(self.links) >= MAX_LINKS:
            self.truncated = True
            return
        self.links[path] = link(path, where)


def collect(backend: Backend, ctx: Context) -> Section:
    """The ``symlinks`` section."""
    found = _Found()
    for path, where in _named_paths(backend):
        for part in [] if silence(path) else links_on_the_way(path):
            found.add(part, where)
    on_path = [path for path, origin in paths(backend, ctx) if origin != "stdlib" and not silence(path)]
    for path in on_path:
        for part in links_on_the_way(path):
            found.add(part, "path")
    end = time.monotonic() + min(MAX_SECONDS, ctx.remaining())
    roots = [(path, "code_dir") for path in [backend.app.code_dir, *backend.app.path_prepend] if path and path != "/"]
    for root, where in dict.fromkeys(roots):
        _walk(root, where, found, end, ctx)
    for path in on_path:
        if "-packages" in path:
            _dangling_in(path, found)
    links = sorted(found.links.values(), key=lambda item: not (item["loop"] or item["self"] or not item["exists"]))
    return {
        "links": links,
        "text_instead_of_link": list(found.texts.values()),
        "truncated": found.truncated,
        **({"_truncated": True} if found.truncated else {}),
    }


def _named_paths(backend: Backend) -> Iterator[tuple[str, str]]:
    """Paths that the start depends on, with what they are."""
    app = backend.app
    unit_directory = backend.unit.get("working_directory")
    named = [
        (unit_directory if isinstance(unit_directory, str) else None, "working_directory"),
        (backend.cwd, "working_directory"),
        (app.code_dir, "code_dir"),
        (app.script, "script"),
        (app.program, "interpreter"),
        (backend.python, "interpreter"),
        *((path, "config") for path in app.config_files),
        *((ref.path, "env_file") for ref in backend.env_files),
        *((entry.get("path"), "interpreter") for entry in backend.interpreter.get("chain", [])),
    ]
    for path, where in named:
        if path and path.startswith("/"):
            yield path, where


def links_on_the_way(path: str, limit: int = 40) -> list[str]:
    """Every component of a path that is a link, and the links that those lead over."""
    result: list[str] = []
    queue = [os.path.normpath(path)]
    while queue and len(result) < limit:
        current = ""
        for part in queue.pop(0).split("/")[1:]:
            current = f"{current}/{part}"
            if os.path.islink(current) and current not in result:
                result.append(current)
                queue.append(os.path.normpath(os.path.join(os.path.dirname(current), _target(current))))
    return [item for item in result if item not in _USUAL]


def link(path: str, where: str) -> dict[str, Any]:
    """The facts of one link. ``self`` means that it leads to its own directory or one above, so that a walk never ends."""
    target = _target(path)
    loop = False
    try:
        os.stat(path)
    except OSError as exc:
        loop = exc.errno == 40  # ELOOP
    resolved = os.path.normpath(os.path.join(os.path.dirname(path), target)) if loop else os.path.realpath(path)
    holder = os.path.realpath(os.path.dirname(path))
    inside = not loop and (holder == resolved or holder.startswith(resolved.rstrip("/") + "/"))
    return {
        "path": path,
        "target": target,
        "resolved": resolved,
        "exists": os.path.exists(path),
        "loop": loop,
        "self": inside or resolved == os.path.join(holder, os.path.basename(path)),
        "target_type": path_type(path) if not loop else "loop",
        "where": where,
    }


def _target(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _walk(root: str, where: str, found: _Found, end: float, ctx: Context) -> None:
    """Links and link-like text files in the upper levels of a tree; links are not followed."""
    queue = [(root, 0)]
    walked = 0
    while queue:
        directory, depth = queue.pop(0)
        if walked > MAX_WALKED or time.monotonic() > end:
            found.truncated = True
            return
        try:
            with os.scandir(directory) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            continue
        names = {entry.name for entry in listed}
        for entry in listed:
            walked += 1
            if entry.is_symlink():
                found.add(entry.path, where)
            elif entry.is_dir(follow_symlinks=False):
                environment = entry.name in SKIP or os.path.isfile(os.path.join(entry.path, "pyvenv.cfg"))
                if depth < MAX_DEPTH and not environment:
                    queue.append((entry.path, depth + 1))
            elif entry.is_file(follow_symlinks=False) and len(found.texts) < 20:
                text = _text_link(entry, names, ctx)
                if text is not None:
                    target = os.path.join(directory, text)
                    found.texts[entry.path] = {
                        "path": entry.path,
                        "content": text,
                        "target_exists": os.path.exists(target),
                    }


def _text_link(entry: os.DirEntry[str], siblings: set[str], ctx: Context) -> Optional[str]:
    """The path in a file that git wrote in place of a link, as it does where links are switched off; else None."""
    try:
        if not 0 < entry.stat(follow_symlinks=False).st_size <= MAX_TEXT_LINK or _ONE_WORD.match(entry.name):
            return None
    except OSError:
        return None
    content = ctx.read(entry.path, MAX_TEXT_LINK)
    text = content.text
    if content.error or not _LINK_TEXT.match(text) or text == entry.name:
        return None
    # git writes the target without a line end; one word alone must be the name of something beside it.
    looks = (
        text in (".", "..")
        or text.startswith(("../", "./", "/"))
        or ("/" in text and os.path.exists(os.path.join(os.path.dirname(entry.path), text)))
    )
    same_kind = os.path.splitext(text)[1] == os.path.splitext(entry.name)[1]
    return text if (looks and same_kind) or (text in siblings and same_kind) else None


def _dangling_in(directory: str, found: _Found) -> None:
    """Dangling links at the top of a site directory."""
    try:
        with os.scandir(directory) as entries:
            for _index, entry in zip(range(3000), entries):
                if entry.is_symlink() and not os.path.exists(entry.path):
                    found.add(entry.path, "path")
    except OSError:
        return
