# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an application imports, read from its source: from the import target on, through all of its own modules."""

from __future__ import annotations

import ast
import os
import time
from collections.abc import Iterator, Sequence
from typing import Optional

from ..._evidence.app import search_directories, target_file
from ..._evidence.app_static import dotted, parse_source
from ..._evidence.context import KIB, Context
from ..._evidence.model import Backend
from ..._evidence.python_path import paths
from ..._evidence.servers import module_file
from ..._evidence.stdlib_modules import lookup

MAX_FILES = 500
MAX_SECONDS = 3.0


def wanted(tree: ast.AST) -> list[str]:
    """Dotted names of the absolute imports that have to work, in order.

    Left out: those for type checkers, and those whose failure the code expects (``try`` with ``except ImportError``).
    """
    found: dict[str, None] = {}
    for node in _needed(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.name] = None
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found[node.module] = None
            for alias in node.names:
                # It may be a module or a name of one; only the disk knows.
                found[f"{node.module}.{alias.name}"] = None
    return list(found)


def _needed(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those in branches that may fail or never run."""
    queue: list[ast.AST] = [tree]
    while queue:
        node = queue.pop(0)
        yield node
        if isinstance(node, ast.Try) and any(_expects(handler) for handler in node.handlers):
            queue += [*node.orelse, *node.finalbody]
        elif isinstance(node, ast.If) and dotted(node.test).endswith("TYPE_CHECKING"):
            queue += node.orelse
        else:
            queue += list(ast.iter_child_nodes(node))


def _expects(handler: ast.ExceptHandler) -> bool:
    """Whether a handler takes a failed import."""
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(dotted(kind) in ("ImportError", "ModuleNotFoundError", "Exception", "BaseException") for kind in kinds)


def unresolved(backend: Backend, ctx: Context, extra: Sequence[str] = ()) -> list[str]:
    """Top-level names that the application's modules import and that no directory of the path has.

    :param extra: further directories of the application's own modules.
    """
    own = list(dict.fromkeys([*search_directories(backend), *extra]))
    everywhere = [*own, *(path for path, _origin in paths(backend, ctx))]
    known = set(backend.interpreter.get("stdlib_names") or [])
    first = target_file(backend)
    queue = [first] if first and os.path.isfile(first) else []
    seen: set[str] = set(queue)
    missing: dict[str, None] = {}
    end = time.monotonic() + min(MAX_SECONDS, ctx.remaining())
    while queue and len(seen) < MAX_FILES and time.monotonic() < end:
        path = queue.pop(0)
        content = ctx.read(path, 512 * KIB)
        tree = None if content.error else parse_source(content.text)
        if tree is None:
            continue
        for name in [*wanted(tree), *_relative(tree, path, own)]:
            top = name.partition(".")[0]
            for file in _files(name, own):
                if file not in seen:
                    seen.add(file)
                    queue.append(file)
            if top in known or lookup(top)[0] or top == "__future__" or top in missing:
                continue
            if not any(_has(top, directory) for directory in everywhere):
                missing[top] = None
    return list(missing)


def _relative(tree: ast.AST, path: str, own: Sequence[str]) -> list[str]:
    """Relative imports as dotted names, so that their files are read as well."""
    directory = next((item for item in own if path.startswith(item.rstrip("/") + "/")), None)
    if directory is None:
        return []
    parts = os.path.relpath(path, directory).split("/")[:-1]
    found = []
    for node in _needed(tree):
        if isinstance(node, ast.ImportFrom) and node.level and node.level - 1 <= len(parts):
            base = parts[: len(parts) - node.level + 1] + (node.module.split(".") if node.module else [])
            if base:
                found += [".".join(base), *(".".join([*base, alias.name]) for alias in node.names)]
    return found


def _files(name: str, own: Sequence[str]) -> list[str]:
    """The files that importing a dotted name runs, as far as they are the application's own."""
    parts = name.split(".")
    result = []
    for length in range(1, len(parts) + 1):
        path: Optional[str] = module_file(".".join(parts[:length]), own)
        if path and path.endswith(".py") and os.path.isfile(path) and "-packages/" not in path:
            result.append(path)
    return result


def _has(top: str, directory: str) -> bool:
    """Whether a directory of the path offers a top-level module."""
    base = os.path.join(directory, top)
    if os.path.isdir(base) or os.path.isfile(f"{base}.py"):
        return True
    try:
        return any(name.startswith(f"{top}.") and name.endswith(".so") for name in os.listdir(directory)[:5000])
    except OSError:
        return False
