# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which environment variables an application's own code reads, from its source."""

from __future__ import annotations

import ast
import time
from dataclasses import dataclass, field

from ..._evidence.app_logs import sources
from ..._evidence.app_static import dotted, parse_source
from ..._evidence.context import KIB, Context
from ..._evidence.model import Backend

MAX_SECONDS = 2.0
_READERS = ("getenv", "env", "config", "environ.get", "os.getenv", "os.environ.get")
_SETTINGS_BASES = ("BaseSettings",)


@dataclass
class Names:
    """``required`` stop the start when they are missing, ``read`` are all, in upper case."""

    required: set[str] = field(default_factory=set)
    read: set[str] = field(default_factory=set)


def names(backend: Backend, ctx: Context) -> Names:
    """The variables that the sources below the code directory name. Bounded to 2 s."""
    result = Names()
    code_dir = backend.app.code_dir
    if not code_dir or code_dir == "/" or "-packages" in code_dir:
        return result
    for path in sources([code_dir], time.monotonic() + min(MAX_SECONDS, ctx.remaining())):
        content = ctx.read(path, 512 * KIB)
        tree = None if content.error else parse_source(content.text)
        if tree is not None:
            of_source(tree, result)
    result.read |= result.required
    return result


def of_source(tree: ast.AST, result: Names) -> None:
    """Add what one source names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and dotted(node.value).endswith("environ"):
            name = _text(node.slice)
            if name and isinstance(node.ctx, ast.Load):
                result.required.add(name.upper())
        elif isinstance(node, ast.Call):
            called = dotted(node.func)
            name = _text(node.args[0]) if node.args else ""
            if name and called.endswith(_READERS):
                result.read.add(name.upper())
                if (
                    called in ("env", "config")
                    and len(node.args) == 1
                    and not any(item.arg == "default" for item in node.keywords)
                ):
                    result.required.add(name.upper())
        elif isinstance(node, ast.ClassDef) and any(
            dotted(base).split(".")[-1] in _SETTINGS_BASES for base in node.bases
        ):
            _fields(node, result)


def _fields(node: ast.ClassDef, result: Names) -> None:
    """Fields of a settings class are variables, with its prefix."""
    prefix = ""
    for item in ast.walk(node):
        if isinstance(item, ast.keyword) and item.arg == "env_prefix":
            prefix = _text(item.value)
        if isinstance(item, ast.Assign) and "env_prefix" in [dotted(one) for one in item.targets]:
            prefix = _text(item.value)
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            name = f"{prefix}{statement.target.id}".upper()
            result.read.add(name)
            if statement.value is None:
                result.required.add(name)


def _text(node: ast.AST) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
