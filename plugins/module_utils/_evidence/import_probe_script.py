# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports a script without starting what it serves.

Running a script would start the server. So its statements run up to the first one that acts (a call, a loop); what
stands behind that, under ``if __name__ == "__main__"`` and in the functions called there, is searched for imports,
and each of these is tried. Runs in the backend's interpreter; see ``import_probe_report``.
"""

import sys

from .import_probe_report import cap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Callable, Optional

ONLY_AST = 0x400
# Statements that only define, import or assign; the others act.
QUIET = (
    "Import ImportFrom FunctionDef AsyncFunctionDef ClassDef Assign AnnAssign AugAssign Assert Pass TypeAlias".split()
)
# Last parts of calls that prepare and don't serve; they may stand before the body ends.
PREPARING = set(
    "basicConfig dictConfig fileConfig load_dotenv insert append extend update setdefault filterwarnings simplefilter"
    " include_router add_middleware mount register_blueprint init_app getLogger setLevel addHandler install setup"
    " register add_exception_handler set_event_loop_policy add_url_rule add_routes patch_all print loads".split()
)
# Last parts of calls that serve or wait, wherever in a statement they stand.
SERVING = set(
    "run run_app run_forever run_until_complete run_simple serve serve_forever start start_server main mainloop listen"
    " launch worker_main execute_from_command_line exec_command_line execute".split()
)
# The main module that a script replaces; without a reference its names would go while our code still runs in it.
_KEPT: "list[Any]" = []
IMPORT_ERRORS = ("ImportError", "ModuleNotFoundError", "Exception", "BaseException")


class Script:
    """A parsed script: the statements to run, and the imports and targets found in the rest."""

    def __init__(self, source: bytes, path: str) -> None:
        self.path = path
        self.tree: Any = compile(source, path, "exec", ONLY_AST, True)
        compile(source, path, "exec", 0, True)  # some syntax errors only come up here
        self.functions = {
            node.name: node for node in self.tree.body if _kind(node) in ("FunctionDef", "AsyncFunctionDef")
        }
        body = self.tree.body
        stop = 0
        while stop < len(body) and _runs(body[stop]):
            stop += 1
        self.head = body[:stop]
        self.whole = stop == len(body) or (stop == len(body) - 1 and _is_main_guard(body[stop]))
        self.rest = body[stop:]

    def run_head(self, names: "dict[str, Any]") -> None:
        """Run the statements before the one that acts, in the namespace ``names``."""
        self.tree.body = self.head
        exec(compile(self.tree, self.path, "exec", 0, True), names)  # noqa: S102 - what the server would run

    def imports(self) -> "Iterator[tuple[Any, bool]]":
        """Import statements of the rest, each with whether the script copes with its failure."""
        yield from _imports_in(self.rest, False, True)
        for name in _called(self.rest):
            if name in self.functions:
                yield from _imports_in(self.functions[name].body, False, False)

    def try_imports(self, names: "dict[str, Any]") -> None:
        """Run these import statements alone; the first failure that the script doesn't cope with is raised."""
        for node, guarded in self.imports():
            self.tree.body = [node]
            try:
                exec(compile(self.tree, self.path, "exec", 0, True), names)  # noqa: S102 - what the server would run
            except ImportError:
                if not guarded:
                    raise

    def targets(self) -> "list[str]":
        """``module:attribute`` texts that the script hands to a server's ``run``."""
        found = []
        for node in _walk(self.tree_of_all()):
            if _kind(node) == "Call" and _last_name(node.func) == "run" and node.args:
                text = _text(node.args[0])
                if (
                    text
                    and text.count(":") == 1
                    and all(part.isidentifier() for part in text.replace(":", ".").split("."))
                ):
                    found.append(text)
        return found[:3]

    def tree_of_all(self) -> "list[Any]":
        return list(self.head) + list(self.rest)


def _kind(node: "Any") -> str:
    return type(node).__name__


def _runs(node: "Any") -> bool:
    """Whether a statement at the top may run: it defines or prepares and serves nothing."""
    kind = _kind(node)
    if kind in ("FunctionDef", "AsyncFunctionDef", "Import", "ImportFrom", "Pass"):
        return True
    if _is_main_guard(node):
        return False
    if any(_kind(inner) == "Call" and _last_name(inner.func) in SERVING for inner in _walk([node])):
        return False
    if kind in QUIET:
        return True
    if kind == "Expr":
        return _kind(node.value) != "Call" or _last_name(node.value.func) in PREPARING
    if kind in ("If", "Try"):
        blocks = [node.body, node.orelse, getattr(node, "finalbody", [])]
        blocks += [handler.body for handler in getattr(node, "handlers", [])]
        return all(_runs(inner) or _kind(inner) in ("Raise", "Expr") for block in blocks for inner in block)
    return False


def _is_main_guard(node: "Any") -> bool:
    if _kind(node) != "If" or _kind(node.test) != "Compare":
        return False
    sides = [node.test.left, *node.test.comparators]
    return any(getattr(side, "id", None) == "__name__" for side in sides) and any(
        _text(side) == "__main__" for side in sides
    )


def _text(node: "Any") -> "Optional[str]":
    value = node.value if hasattr(node, "value") else getattr(node, "s", None)
    return value if isinstance(value, str) else None


def _last_name(node: "Any") -> str:
    return getattr(node, "attr", None) or getattr(node, "id", None) or ""


def _children(node: "Any") -> "Iterator[Any]":
    for name in getattr(node, "_fields", ()):
        value = getattr(node, name, None)
        for one in value if isinstance(value, list) else [value]:
            if hasattr(one, "_fields"):
                yield one


def _walk(nodes: "list[Any]") -> "Iterator[Any]":
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(_children(node))


def _imports_in(body: "list[Any]", guarded: bool, conditions: bool) -> "Iterator[tuple[Any, bool]]":
    """Import statements of a block and its inner blocks, but not of functions; ``conditions`` enters ``if`` too."""
    for node in body:
        kind = _kind(node)
        if kind in ("Import", "ImportFrom"):
            yield node, guarded
        elif kind == "Try":
            copes = any(_copes(handler) for handler in node.handlers)
            for block, inside in ((node.body, guarded or copes), (node.orelse, guarded), (node.finalbody, guarded)):
                yield from _imports_in(block, inside, conditions)
        elif kind in ("With", "AsyncWith"):
            yield from _imports_in(node.body, guarded, conditions)
        elif _is_main_guard(node) or (kind == "If" and conditions and "TYPE_CHECKING" not in _last_name(node.test)):
            yield from _imports_in(node.body, guarded or not _is_main_guard(node), conditions)


def _copes(handler: "Any") -> bool:
    """Whether an ``except`` clause catches import errors and goes on."""
    names = [handler.type] if _kind(handler.type) != "Tuple" else handler.type.elts
    catches = handler.type is None or any(_last_name(name) in IMPORT_ERRORS for name in names)
    ends = any(
        _kind(node) == "Raise" or (_kind(node) == "Call" and _last_name(node.func) in ("exit", "_exit", "abort"))
        for node in _walk(handler.body)
    )
    return catches and not ends


def _called(body: "list[Any]") -> "list[str]":
    """Names of the functions that a block calls, those handed to ``asyncio.run`` among them."""
    return [_last_name(node.func) for node in _walk(body) if _kind(node) == "Call" and hasattr(node.func, "id")]


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read(4 * 1024 * 1024)


def run_script(
    path: str,
    follow: "Callable[[str], Any]",
    text: "Optional[str]" = None,
    spec: "Any" = None,
    name: str = "__main__",
) -> "dict[str, Any]":
    """Run what may run of the script at ``path`` as the main module; ``follow`` imports a ``module:attribute`` it serves.

    ``text`` is the source of a script that is no file, ``spec`` the import system's for ``python -m``. Gives what was
    run: ``whole`` for all but the part that serves, else ``head``. Raises what the script raises.
    """
    if text is None:
        try:
            source = _read(path)
        except IsADirectoryError:
            path += "/__main__.py"
            source = _read(path)
    else:
        source = text.encode("utf-8", "surrogateescape")
    script = Script(source, path)
    # As on the host, an import of the script by its own name makes a second module.
    module = type(sys)(name)
    module.__file__ = path
    module.__spec__ = spec
    module.__package__ = spec.parent if spec is not None else None
    _KEPT.append(sys.modules.get(name))
    sys.modules[name] = module
    names = vars(module)
    names["__builtins__"] = sys.modules["builtins"]
    script.run_head(names)
    script.try_imports(names)
    for target in script.targets():
        follow(target)
    return {"ran": "whole" if script.whole else "head", "targets": [cap(target, 200) for target in script.targets()]}
