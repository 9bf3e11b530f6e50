# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which environment variable a setting is read from, by the backend's own source, read as a syntax tree and never run."""

from __future__ import annotations

import ast
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ..._evidence.app_logs import sources
from ..._evidence.context import KIB, Context
from ..._evidence.model import Backend

MAX_SECONDS = 2.0
MAX_BYTES = 512 * KIB
MAX_DEPTH = 6
_SETTINGS_BASE = "BaseSettings"
_READING_CALLS = frozenset(
    "get getenv env str int bool float list url config require_env get_env must_env decimal json path log_level db".split()
)


@dataclass
class SettingsClass:
    """A class as its source says. ``aliases`` are the names that stand for a field instead of its own."""

    name: str
    file: str
    bases: list[str] = field(default_factory=list)
    prefix: Optional[str] = None
    delimiter: Optional[str] = None
    case_sensitive: Optional[bool] = None
    aliases: dict[str, list[str]] = field(default_factory=dict)
    fields: list[str] = field(default_factory=list)


@dataclass
class Sources:
    """What was read: classes by name, where settings modules get a name from, and all reads without a default."""

    classes: dict[str, SettingsClass] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    demanded: dict[str, str] = field(default_factory=dict)
    mentioned: set[str] = field(default_factory=set)
    read: int = 0

    def settings_class(self, title: str) -> Optional[SettingsClass]:
        """A class with what it inherits; None when its source was not found."""
        own = self.classes.get(title)
        if own is None:
            return None
        merged = SettingsClass(own.name, own.file, list(own.bases))
        for cls in self._lineage(own, 0):
            merged.prefix = cls.prefix if merged.prefix is None else merged.prefix
            merged.delimiter = cls.delimiter if merged.delimiter is None else merged.delimiter
            merged.case_sensitive = cls.case_sensitive if merged.case_sensitive is None else merged.case_sensitive
            merged.aliases = {**cls.aliases, **merged.aliases}
            merged.fields += [name for name in cls.fields if name not in merged.fields]
            merged.bases += [base for base in cls.bases if base not in merged.bases]
        return merged

    def _lineage(self, cls: SettingsClass, depth: int) -> Iterator[SettingsClass]:
        yield cls
        for base in cls.bases if depth < MAX_DEPTH else ():
            if base in self.classes and base != cls.name:
                yield from self._lineage(self.classes[base], depth + 1)

    def variable(self, title: str, loc: str, environ: Mapping[str, str]) -> Optional[str]:
        """The environment variable of a field; None when the class is none of settings. An existing spelling is kept."""
        cls = self.settings_class(title)
        head, _dot, rest = loc.partition(".")
        if cls is None:
            return _spelling(head.upper(), environ)
        if _SETTINGS_BASE not in cls.bases and not any("Settings" in base for base in cls.bases):
            return None
        if any(head in names for names in cls.aliases.values()):
            return _spelling(head, environ)
        if head in cls.aliases:
            return _spelling(cls.aliases[head][0], environ)
        name = f"{cls.prefix or ''}{head}"
        if cls.delimiter and rest:
            name += "".join(cls.delimiter + part for part in rest.split(".") if not part.isdigit())
        return name if cls.case_sensitive else _spelling(name.upper(), environ)


def _spelling(name: str, environ: Mapping[str, str]) -> str:
    """The name as it is already set, where only the case differs."""
    if name in environ:
        return name
    return next((known for known in environ if known.lower() == name.lower()), name)


def read(backend: Backend, ctx: Context) -> Sources:
    """Read the backend's own source, within a bound of time. Files that can't be parsed are left out."""
    found = Sources()
    code_dir = backend.app.code_dir or backend.cwd
    if not code_dir or code_dir == "/" or "site-packages" in code_dir:
        return found
    directories = [code_dir]
    if backend.app.script and not backend.app.script.startswith(code_dir):
        directories.append(backend.app.script.rpartition("/")[0] or "/")
    end = time.monotonic() + min(MAX_SECONDS, ctx.remaining())
    for path in sources([directory for directory in directories if directory != "/"], end):
        content = ctx.read(path, MAX_BYTES)
        if content.error or content.binary:
            continue
        found.read += 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                tree = ast.parse(content.text)
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
        _read_tree(tree, path, found)
    return found


def _read_tree(tree: ast.Module, path: str, found: Sources) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            cls = _class(node, path)
            known = found.classes.get(cls.name)
            if known is None or (_SETTINGS_BASE in cls.bases and _SETTINGS_BASE not in known.bases):
                found.classes[cls.name] = cls
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 200:
            found.mentioned.add(node.value)
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and _tail(node.value) == "environ":
            name = _text(_index(node))
            if name:
                found.demanded.setdefault(name, f"{path}:{node.lineno}")
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            name = _environment_name(node.value)
            for target in targets:
                if name and isinstance(target, ast.Name):
                    found.settings.setdefault(target.id, name)


def _index(node: ast.Subscript) -> ast.AST:
    # Python 3.8 and older wrapped it.
    return getattr(node.slice, "value", node.slice) if type(node.slice).__name__ == "Index" else node.slice


def _environment_name(value: ast.AST) -> Optional[str]:
    """The variable that an expression reads: ``os.environ["X"]``, ``os.getenv("X")``, ``env("X")``, ``config("X")``, ``required("X")``."""
    for node in ast.walk(value):
        if isinstance(node, ast.Subscript) and _tail(node.value) == "environ":
            return _text(_index(node))
        if isinstance(node, ast.Call) and node.args:
            called, name = _tail(node.func), _text(node.args[0])
            if (
                name
                and name.isupper()
                and (called in _READING_CALLS or "env" in called.lower() or "require" in called.lower())
            ):
                return name
    return None


def _class(node: ast.ClassDef, path: str) -> SettingsClass:
    cls = SettingsClass(node.name, path, [_tail(base) for base in node.bases])
    for item in node.body:
        if isinstance(item, ast.ClassDef) and item.name == "Config":
            for line in item.body:
                if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
                    _configure(cls, line.targets[0].id, line.value)
        elif (
            isinstance(item, ast.Assign)
            and isinstance(item.targets[0], ast.Name)
            and item.targets[0].id == "model_config"
        ):
            for key, value in _keywords(item.value):
                _configure(cls, key, value)
        elif isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            cls.fields.append(item.target.id)
            names = _field_names(item.value) or _field_names(item.annotation)
            if names:
                cls.aliases[item.target.id] = names
    return cls


def _configure(cls: SettingsClass, key: str, value: ast.AST) -> None:
    text = _text(value)
    if key == "env_prefix" and text is not None:
        cls.prefix = text
    elif key == "env_nested_delimiter" and text:
        cls.delimiter = text
    elif key == "case_sensitive" and isinstance(value, ast.Constant):
        cls.case_sensitive = bool(value.value)
    elif key == "fields" and isinstance(value, ast.Dict):
        for name, options in zip(value.keys, value.values):
            inner = dict(_keywords(options))
            field_name, env = _text(name), inner.get("env")
            if field_name and env is not None:
                cls.aliases[field_name] = _texts(env)


def _keywords(value: ast.AST) -> list[tuple[str, ast.AST]]:
    """Names and values of a call's keywords or of a dictionary."""
    if isinstance(value, ast.Call):
        return [(item.arg, item.value) for item in value.keywords if item.arg]
    if isinstance(value, ast.Dict):
        return [(name, item) for key, item in zip(value.keys, value.values) if (name := _text(key))]
    return []


def _field_names(value: Optional[ast.AST]) -> list[str]:
    """Names that ``Field(validation_alias=...)``, ``alias=`` or ``env=`` gives a field, also within ``Annotated``."""
    for node in ast.walk(value) if value is not None else ():
        if isinstance(node, ast.Call) and _tail(node.func) == "Field":
            given = dict(_keywords(node))
            for key in ("validation_alias", "alias", "env"):
                if key in given and _texts(given[key]):
                    return _texts(given[key])
    return []


def _texts(value: ast.AST) -> list[str]:
    if isinstance(value, ast.Call):
        return [text for item in value.args if (text := _text(item))]
    if isinstance(value, (ast.List, ast.Tuple, ast.Set)):
        return [text for item in value.elts if (text := _text(item))]
    text = _text(value)
    return [text] if text else []


def _text(value: Any) -> Optional[str]:
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None


def _tail(value: ast.AST) -> str:
    """The last word of a dotted name."""
    return value.attr if isinstance(value, ast.Attribute) else value.id if isinstance(value, ast.Name) else ""
