# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Python source says without being run: values of simple expressions, names of a module, calls that matter.

The backend's code is only parsed. Whatever is not evident is ``UNKNOWN``, never a guess.
"""

from __future__ import annotations

import ast
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Callable, Optional

MAX_TEXT = 4096
# A format with a width of this many digits could fill the memory.
_WIDTH = re.compile(r"[0-9]{4}|\*")


class _Unknown:
    def __repr__(self) -> str:
        return "UNKNOWN"

    def __bool__(self) -> bool:
        return False


UNKNOWN: Any = _Unknown()


def parse_source(text: str) -> Optional[ast.Module]:
    """The syntax tree, or None when this Python can't parse the text."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of a name or attribute expression, else an empty string."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        return ".".join([node.id, *parts[::-1]])
    return ""


class Evaluator:
    """Values of module-level names and of expressions, as far as literals, the environment and paths decide them.

    ``from_environment`` collects the variables that decided a value since it was last cleared.
    """

    def __init__(self, environ: Mapping[str, str], file: str, package: str = "") -> None:
        self.environ = environ
        self.file = file
        self.package = package
        self.names: dict[str, Any] = {"__file__": file}
        self.aliases: dict[str, str] = {}
        self.from_environment: list[str] = []

    def load(self, tree: ast.AST) -> None:
        """Take in imports and assignments of a module's or function's body, also those inside ``if``, ``try`` and ``with``."""
        for node in statements(tree):
            if isinstance(node, ast.Import):
                for name in node.names:
                    self.aliases[name.asname or name.name.split(".")[0]] = (
                        name.name if name.asname else name.name.split(".")[0]
                    )
            elif isinstance(node, ast.ImportFrom):
                origin = self._import_origin(node)
                for name in node.names if origin else []:
                    self.aliases[name.asname or name.name] = f"{origin}.{name.name}"
            elif isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        self.names[target.id] = self.value(node.value)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
                self.names[node.target.id] = self.value(node.value)

    def _import_origin(self, node: ast.ImportFrom) -> str:
        """The absolute module that ``from … import`` names; relative ones count from the package of the file."""
        if not node.level:
            return node.module or ""
        parts = self.package.split(".") if self.package else []
        parts = parts[: len(parts) - node.level + 1]
        return ".".join(parts + ([node.module] if node.module else []))

    def full_name(self, node: ast.AST) -> str:
        """The dotted name with import aliases undone."""
        name = dotted(node)
        head, _dot, rest = name.partition(".")
        head = self.aliases.get(head, head)
        return f"{head}.{rest}" if rest else head

    def value(self, node: Optional[ast.AST]) -> Any:
        """The value of an expression, or ``UNKNOWN``. Never raises."""
        handler = self._HANDLERS.get(type(node))
        if handler is None:
            return UNKNOWN
        try:
            result = handler(self, node)
        except (
            TypeError,
            ValueError,
            KeyError,
            IndexError,
            ZeroDivisionError,
            AttributeError,
            OverflowError,
            RecursionError,
        ):
            return UNKNOWN
        unusable = isinstance(result, str) and (len(result) > MAX_TEXT or "\0" in result)
        return UNKNOWN if unusable else result

    def _all(self, nodes: list[Any]) -> list[Any]:
        return [self.value(node) for node in nodes]

    def _dict(self, node: ast.Dict) -> Any:
        return {self.value(key): self.value(value) for key, value in zip(node.keys, node.values) if key is not None}

    def _joined(self, node: ast.JoinedStr) -> Any:
        parts = [self.value(part.value if isinstance(part, ast.FormattedValue) else part) for part in node.values]
        return UNKNOWN if UNKNOWN in parts else "".join(str(part) for part in parts)

    def _binary(self, node: ast.BinOp) -> Any:
        left, right = self.value(node.left), self.value(node.right)
        if left is UNKNOWN or right is UNKNOWN:
            return UNKNOWN
        if isinstance(node.op, ast.Div) and isinstance(left, str):
            return os.path.join(left, str(right))
        numbers = isinstance(left, (int, float)) and isinstance(right, (int, float))
        if isinstance(node.op, ast.Mod) and isinstance(left, str):
            return UNKNOWN if _WIDTH.search(left) else left % (tuple(right) if isinstance(right, list) else right)
        if isinstance(node.op, ast.Add) and (numbers or type(left) is type(right)):
            return left + right
        table: dict[type, Callable[[Any, Any], Any]] = {
            ast.Sub: lambda a, b: a - b,
            ast.Mult: lambda a, b: a * b,
            ast.FloorDiv: lambda a, b: a // b,
            ast.Div: lambda a, b: a / b,
        }
        operation = table.get(type(node.op))
        return operation(left, right) if operation and numbers else UNKNOWN

    def _bool(self, node: ast.BoolOp) -> Any:
        result: Any = UNKNOWN
        for part in node.values:
            result = self.value(part)
            if result is UNKNOWN or bool(result) is isinstance(node.op, ast.Or):
                return result
        return result

    def _name(self, node: ast.Name) -> Any:
        return self.names.get(node.id, UNKNOWN)

    def _subscript(self, node: ast.Subscript) -> Any:
        key: Any = node.slice
        index = self.value(key)
        if self.full_name(node.value) == "os.environ":
            return self._environment(index, UNKNOWN)
        return self.value(node.value)[index]

    def _attribute(self, node: ast.Attribute) -> Any:
        base = self.value(node.value)
        if not isinstance(base, str):
            return UNKNOWN
        table: dict[str, Callable[[str], Any]] = {"parent": os.path.dirname, "name": os.path.basename}
        return table[node.attr](base) if node.attr in table else UNKNOWN

    def _environment(self, name: Any, default: Any) -> Any:
        if not isinstance(name, str):
            return UNKNOWN
        if name in self.environ:
            self.from_environment.append(name)
            return self.environ[name]
        return default

    def _call(self, node: ast.Call) -> Any:
        name = self.full_name(node.func)
        arguments = self._all(node.args)
        keywords = {item.arg: self.value(item.value) for item in node.keywords if item.arg}
        method = name.rpartition(".")[2] or (node.func.attr if isinstance(node.func, ast.Attribute) else "")
        if name in ("os.getenv", "os.environ.get", "environ.get", "os.environ.setdefault"):
            return self._environment(arguments[0], arguments[1] if len(arguments) > 1 else keywords.get("default"))
        first = name.split(".")[0]
        if first in ("decouple", "environ", "env", "environs", "config", "starlette", "prettyconf") and arguments:
            value = self._environment(
                arguments[0], keywords.get("default", arguments[1] if len(arguments) > 1 else UNKNOWN)
            )
            return int(value) if method == "int" and value is not UNKNOWN else value
        if name in _BUILTINS and arguments and UNKNOWN not in arguments:
            return _BUILTINS[name](arguments[0])
        if name in ("multiprocessing.cpu_count", "os.cpu_count"):
            return os.cpu_count()
        if name in ("os.path.join", "pathlib.Path", "Path") and UNKNOWN not in arguments:
            return os.path.join(*[str(item) for item in arguments]) if arguments else "."
        if name in _PATHS and arguments and isinstance(arguments[0], str):
            return _PATHS[name](arguments[0])
        if isinstance(node.func, ast.Attribute) and method in _METHODS:
            base = self.value(node.func.value)
            return _METHODS[method](base, *arguments) if isinstance(base, str) and UNKNOWN not in arguments else UNKNOWN
        return UNKNOWN

    _HANDLERS: dict[type, Callable[[Any, Any], Any]] = {
        ast.Constant: lambda self, node: node.value,
        ast.List: lambda self, node: self._all(node.elts),
        ast.Tuple: lambda self, node: self._all(node.elts),
        ast.Dict: _dict,
        ast.JoinedStr: _joined,
        ast.BinOp: _binary,
        ast.BoolOp: _bool,
        ast.Name: _name,
        ast.Subscript: _subscript,
        ast.Attribute: _attribute,
        ast.Call: _call,
        ast.UnaryOp: lambda self, node: -self.value(node.operand) if isinstance(node.op, ast.USub) else UNKNOWN,
    }


_BUILTINS: dict[str, Callable[[Any], Any]] = {"int": int, "str": str, "float": float, "bool": bool}
_PATHS: dict[str, Callable[[str], str]] = {
    "os.path.dirname": os.path.dirname,
    "os.path.basename": os.path.basename,
    "os.path.abspath": os.path.normpath,
    "os.path.realpath": os.path.normpath,
    "os.path.normpath": os.path.normpath,
}
_METHODS: dict[str, Callable[..., Any]] = {
    "resolve": os.path.normpath,
    "absolute": os.path.normpath,
    "as_posix": lambda base: base,
    "joinpath": lambda base, *parts: os.path.join(base, *[str(part) for part in parts]),
    "strip": lambda base: base.strip(),
    "lower": lambda base: base.lower(),
    "upper": lambda base: base.upper(),
    "format": lambda base, *values: UNKNOWN if _WIDTH.search(base) else base.format(*values),
}


def statements(tree: ast.AST, main_guard: bool = True) -> Iterator[ast.stmt]:
    """Module-level statements, with those inside ``if``, ``try``, ``with`` and loops, in source order.

    :param main_guard: include what stands under ``if __name__ == "__main__"``.
    """
    blocks = [getattr(tree, part, []) for part in ("body", "orelse", "finalbody")]
    blocks += [handler.body for handler in getattr(tree, "handlers", [])]
    for node in (item for block in blocks for item in block):
        if not main_guard and is_main_guard(node):
            continue
        yield node
        if isinstance(node, (ast.If, ast.Try, ast.With, ast.For, ast.While)):
            yield from statements(node, main_guard)


def is_main_guard(node: ast.AST) -> bool:
    """Whether a statement is ``if __name__ == "__main__":``."""
    test = node.test if isinstance(node, ast.If) else None
    return isinstance(test, ast.Compare) and "__name__" in (dotted(test.left), *map(dotted, test.comparators))


def top_level_names(tree: ast.Module) -> tuple[list[str], bool]:
    """The names that a module's top level binds, and whether it may bind others at run time."""
    names: dict[str, None] = {}
    dynamic = False
    for node in statements(tree, main_guard=False):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names[node.name] = None
            dynamic = dynamic or node.name == "__getattr__"
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                if alias.name == "*":
                    dynamic = True
                else:
                    names[alias.asname or alias.name.split(".")[0]] = None
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.For, ast.With)):
            for name in _bound(node):
                names[name] = None
        if isinstance(node, (ast.Expr, ast.Assign)) and _writes_globals(node):
            dynamic = True
    return list(names), dynamic


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """All calls in a tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node


def _bound(node: ast.stmt) -> Iterator[str]:
    targets: list[ast.AST] = []
    if isinstance(node, ast.Assign):
        targets = list(node.targets)
    elif isinstance(node, (ast.AnnAssign, ast.AugAssign)):
        targets = [node.target] if node.value is not None else []
    elif isinstance(node, ast.For):
        targets = [node.target]
    elif isinstance(node, ast.With):
        targets = [item.optional_vars for item in node.items if item.optional_vars is not None]
    for target in targets:
        for part in ast.walk(target):
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                yield part.id


def _writes_globals(node: ast.stmt) -> bool:
    return any(
        isinstance(call.func, ast.Name) and call.func.id in ("globals", "vars", "exec", "setattr", "locals")
        for call in calls(node)
    )
