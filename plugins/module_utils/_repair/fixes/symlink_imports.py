# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a backend's code imports itself, read from its source, and what of that resolves in a given state of the links."""

from __future__ import annotations

import ast
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Optional

from ..._evidence import stdlib_modules
from ..._evidence.app_static import dotted, parse_source, top_level_names
from ..._evidence.context import KIB, Context
from ..._evidence.model import Backend
from ..._evidence.python_path import paths
from .symlink_overlay import Overlay

MAX_MODULES = 600
MAX_SECONDS = 4.0
SOURCE_BYTES = 512 * KIB
_TOLERANT = frozenset(("ImportError", "ModuleNotFoundError", "Exception", "BaseException"))
_SUFFIXES = (".py", ".so", ".pyc")


@dataclass(frozen=True)
class Wanted:
    """One module that is imported when the application starts, with the names that are taken from it."""

    module: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Missing:
    """An import that does not resolve: the module, or ``module:name``, and where it stands."""

    what: str
    file: str
    line: int

    @property
    def top(self) -> str:
        return self.what.partition(":")[0].partition(".")[0]


@dataclass
class Walk:
    """What a start would import. ``files``: module -> file. ``twice``: one file under two names. ``complete``: no bound was reached.

    ``entry``: the application's own module or script was found.
    """

    entry: bool = False
    files: dict[str, str] = field(default_factory=dict)
    missing: list[Missing] = field(default_factory=list)
    twice: list[tuple[str, str]] = field(default_factory=list)
    passed: set[str] = field(default_factory=set)
    through: dict[str, frozenset[str]] = field(default_factory=dict)
    complete: bool = True

    def lacks(self) -> set[str]:
        """What does not resolve, the application itself included."""
        return {item.what for item in self.missing} | (set() if self.entry else {"the application"})


def roots(backend: Backend, ctx: Context, overlay: Overlay) -> list[tuple[str, bool]]:
    """(directory, whether it holds the application's own code) in the order of the search."""
    found: list[tuple[str, bool]] = []
    for path, origin in paths(backend, ctx):
        if origin == "script_dir" and backend.app.script:
            # The interpreter follows links for this one; they may be the ones that are thought of.
            real = overlay.resolve(os.path.join(backend.cwd or "/", backend.app.script))
            path = os.path.dirname(real) if real else path
        found.append((path, origin not in ("stdlib", "site") and "-packages" not in path))
    return found


def walk(backend: Backend, ctx: Context, overlay: Overlay) -> Walk:
    """Follow the imports from the application's module, as far as they are made when it is imported."""
    return _Walker(backend, ctx, overlay).walk()


class _Walker:
    def __init__(self, backend: Backend, ctx: Context, overlay: Overlay) -> None:
        self.backend = backend
        self.ctx = ctx
        self.overlay = overlay
        self.roots = roots(backend, ctx, overlay)
        self.found = Walk()
        self.end = time.monotonic() + min(MAX_SECONDS, ctx.remaining())
        self.seen_files: dict[str, str] = {}

    def walk(self) -> Walk:
        app = self.backend.app
        queue: list[tuple[str, str, str]] = []
        if app.module:
            place = self._find(app.module)
            self.found.entry = bool(place)
            if place and place[0]:
                queue.append((app.module, place[0], "package" if place[0].endswith("__init__.py") else "module"))
                self._note(app.module, place[0])
                self._check_names(
                    app.module, [str(app.attribute).partition(".")[0]] if app.attribute else [], place[0], 0, ""
                )
                queue += self._parents(app.module)
        elif app.script:
            real = self.overlay.resolve(os.path.join(self.backend.cwd or "/", app.script))
            self.found.entry = real is not None and os.path.isfile(real)
            if real:
                queue.append(("__main__", real, "module"))
        while queue:
            if len(self.found.files) > MAX_MODULES or time.monotonic() > self.end:
                self.found.complete = False
                break
            queue += self._file(*queue.pop(0))
        self.found.passed = set(self.overlay.passed)
        return self.found

    def _parents(self, module: str) -> list[tuple[str, str, str]]:
        """The packages above a module are run first; those not seen so far."""
        parts = module.split(".")
        result = []
        for depth in range(1, len(parts)):
            name = ".".join(parts[:depth])
            place = self._find(name)
            if place and place[0] and name not in self.found.files:
                self._note(name, place[0])
                result.append((name, place[0], "package"))
        return result

    def _note(self, module: str, path: str) -> None:
        self.found.files[module] = path
        other = self.seen_files.setdefault(path, module)
        if other != module:
            self.found.twice.append((other, module))

    def _file(self, module: str, path: str, kind: str) -> list[tuple[str, str, str]]:
        """The application's own modules that one file imports, each once."""
        if not path.endswith(".py"):
            return []
        content = self.ctx.read(path, SOURCE_BYTES)
        tree = None if content.error else parse_source(content.text)
        if tree is None:
            return []
        package = module if kind == "package" else module.rpartition(".")[0]
        result: list[tuple[str, str, str]] = []
        for node, level, base, names in imports(tree):
            name = absolute(base, level, package)
            if name is None or (level and not package and module == "__main__"):
                continue
            result += self._import(name, names, path, node.lineno, bool(level))
        return result

    def _import(self, name: str, names: list[str], path: str, line: int, relative: bool) -> list[tuple[str, str, str]]:
        place = self._find(name)
        if place is None:
            known = stdlib_modules.lookup(name)[0] and not relative
            if not known:
                self.found.missing.append(Missing(name, path, line))
            return []
        target, own = place
        if not own:
            return []
        result = self._parents(name)
        if target and name not in self.found.files:
            self._note(name, target)
            result.append((name, target, "package" if target.endswith("__init__.py") else "module"))
        for item in names:
            below = self._find(f"{name}.{item}") if target is None or target.endswith("__init__.py") else None
            if below and below[0] and f"{name}.{item}" not in self.found.files:
                self._note(f"{name}.{item}", below[0])
                result.append((f"{name}.{item}", below[0], "package" if below[0].endswith("__init__.py") else "module"))
        self._check_names(name, names, target, line, path)
        return result

    def _check_names(self, module: str, names: list[str], target: Optional[str], line: int, path: str) -> None:
        """Of a module behind a link, the names that are taken from it have to be there; of others that is the application's affair."""
        if not names or not self.found.through.get(module):
            return
        known: Optional[set[str]] = set()
        if target:
            content = self.ctx.read(target, SOURCE_BYTES)
            tree = None if content.error or not target.endswith(".py") else parse_source(content.text)
            if tree is not None:
                listed, dynamic = top_level_names(tree)
                known = None if dynamic else set(listed)
            else:
                known = None
        for item in names:
            if known is None or item in known or item.startswith("__") or self._find(f"{module}.{item}"):
                continue
            self.found.missing.append(Missing(f"{module}:{item}", path, line))

    def _find(self, module: str) -> Optional[tuple[Optional[str], bool]]:
        """(file, whether it is the application's own) of a module; the file is None for a namespace package. None: not found."""
        before = set(self.overlay.passed)
        self.overlay.passed.clear()
        parts = module.split(".")
        searched = self.roots
        answer: Optional[tuple[Optional[str], bool]] = None
        for index, part in enumerate(parts):
            answer, searched = self._in(part, searched)
            if answer is None:
                break
            if index < len(parts) - 1 and not searched:
                # Below a plain module is nothing; below one that is compiled, or changes its path, is what nobody can see from outside.
                answer = (None, False) if answer[0] and not answer[0].endswith(".py") else None
                break
        self.found.through[module] = frozenset(self.overlay.passed) & frozenset(self.overlay.links)
        self.overlay.passed |= before
        return answer

    def _in(
        self, part: str, searched: list[tuple[str, bool]]
    ) -> tuple[Optional[tuple[Optional[str], bool]], list[tuple[str, bool]]]:
        portions: list[tuple[str, bool]] = []
        for root, own in searched:
            base = os.path.join(root, part)
            init = os.path.join(base, "__init__.py")
            if self.overlay.is_file(init):
                real = str(self.overlay.resolve(init))
                return (real, own), [(base, own)]
            compiled = self._compiled(root, part)
            if compiled:
                return (compiled, own), []
            if self.overlay.is_file(f"{base}.py"):
                return (str(self.overlay.resolve(f"{base}.py")), own), []
            if self.overlay.is_dir(base):
                portions.append((base, own))
        if portions:
            return (None, any(own for _path, own in portions)), portions
        return None, []

    def _compiled(self, root: str, part: str) -> Optional[str]:
        if "-packages" not in root and not self.overlay.is_dir(root):
            return None
        for name in self._names(root):
            if name.startswith(part + ".") and name.endswith((".so", ".pyc")):
                path = os.path.join(root, name)
                return str(self.overlay.resolve(path)) if self.overlay.is_file(path) else None
        return None

    def _names(self, root: str) -> list[str]:
        cache: dict[str, list[str]] = self.__dict__.setdefault("_listed", {})
        if root not in cache:
            cache[root] = [name for name in self.overlay.names(root) if name.endswith(_SUFFIXES)]
        return cache[root]


def imports(tree: ast.Module) -> Iterator[tuple[ast.stmt, int, str, list[str]]]:
    """(statement, level, module, names) of all imports that are made, and have to succeed, when a module is imported.

    Left out are those in functions, under ``TYPE_CHECKING`` and ``__main__``, and those whose failure the code expects.
    """
    for node in _needed(tree.body):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, 0, alias.name, []
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names if alias.name != "*"]
            yield node, node.level, node.module or "", names


def _needed(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, ast.If):
            words = {dotted(part) for part in ast.walk(node.test) if isinstance(part, (ast.Name, ast.Attribute))}
            if not words & {"TYPE_CHECKING", "typing.TYPE_CHECKING", "__name__"}:
                yield from _needed(node.body)
            # What is chosen by a version or a setting may never be needed: only one branch counts as sure.
            continue
        if isinstance(node, ast.Try):
            if not any(_tolerates(handler) for handler in node.handlers):
                yield from _needed(node.body)
            yield from _needed([*node.orelse, *node.finalbody])
        elif isinstance(node, (ast.With, ast.For, ast.While, ast.ClassDef)):
            yield from _needed(node.body)


def _tolerates(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(dotted(item).rpartition(".")[2] in _TOLERANT for item in types)


def absolute(module: str, level: int, package: str) -> Optional[str]:
    """The absolute name of what an import names; None where a relative one leads out of the package."""
    if not level:
        return module or None
    parts = package.split(".") if package else []
    if level - 1 > len(parts):
        return None
    parts = parts[: len(parts) - level + 1]
    return ".".join([*parts, *([module] if module else [])]) or None
