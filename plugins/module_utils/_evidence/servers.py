# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all server command lines share: options, targets, bind addresses, and the order of precedence."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from .app_program import Launch
from .app_static import Evaluator, parse_source
from .context import KIB, Context
from .model import App, LogRef


@dataclass(frozen=True)
class Cli:
    """A server's options: ``flags`` take no value, everything else does; ``short`` maps ``-b`` to ``--bind``.

    ``abbreviations`` is for argparse, which accepts ``--work`` for ``--workers``; ``known`` names what it may mean.
    """

    flags: frozenset[str]
    short: dict[str, str] = field(default_factory=dict)
    known: frozenset[str] = frozenset()
    single_dash: bool = False


@dataclass
class Options:
    """A parsed command line: option without dashes to its values, in order, and the words that belong to none."""

    values: dict[str, list[str]]
    words: list[str]

    def last(self, *names: str) -> Optional[str]:
        """The last value of the first of these options that was given."""
        return next((self.values[name][-1] for name in names if self.values.get(name)), None)


@dataclass
class Reading:
    """One command line on its way to an ``App``. What is put first stays: put by falling precedence."""

    app: App
    launch: Launch
    ctx: Context
    args: list[str]
    logs: list[LogRef] = field(default_factory=list)
    env_files: list[tuple[str, str]] = field(default_factory=list)

    def put(self, name: str, value: Any, origin: str) -> None:
        """Set a field that is still open; None and empty text are no values, text for a number is converted."""
        if value in (None, "") or getattr(self.app, name) not in (None, False):
            return
        if name in ("port", "workers"):
            value = to_int(value)
            if value is None:
                return
        setattr(self.app, name, value)
        self.app.origin[name] = origin

    def put_environment(self, name: str, *variables: str) -> None:
        """Set a field from the first of these variables that is set."""
        for variable in variables:
            self.put(name, self.launch.environ.get(variable), f"environment {variable}")

    def put_bind(self, text: Optional[str], origin: str, default_port: int = 8000) -> None:
        """Set host and port, or socket path, from a bind address, unless an address is already known."""
        if not text or self.app.port is not None or self.app.uds is not None:
            return
        host, port, uds = parse_bind(text, default_port)
        self.put("uds", uds and self.launch.absolute(uds), origin)
        if port is not None:
            self.put("port", port, origin)
            self.put("host", host, origin)

    def put_default(self, host: str, port: int) -> None:
        """The server's default address, when neither socket nor port is known."""
        if self.app.uds is None and self.app.origin.get("fd") is None:
            self.put("host", host, f"default of {self.app.server}")
            self.put("port", port, f"default of {self.app.server}")

    def put_target(self, text: Optional[str], origin: str, default_attribute: Optional[str] = None) -> None:
        """Set module, attribute and factory from ``pkg.mod:attr``."""
        if not text or self.app.module:
            return
        module, attribute, factory = parse_target(text)
        self.put("module", module, origin)
        self.put("attribute", attribute or default_attribute, origin if attribute else f"default of {self.app.server}")
        if factory:
            self.put("factory", True, origin)

    def log(self, path: Optional[str], origin: str, stream: str = "app") -> None:
        """Note a log file; ``-`` and the standard streams are none."""
        if path and path not in ("-", "/dev/stdout", "/dev/stderr", "/dev/null", "syslog"):
            absolute = self.launch.absolute(path)
            if all(known.path != absolute for known in self.logs):
                self.logs.append(LogRef(absolute, origin, stream))

    def chdir(self, path: Optional[str], origin: str) -> None:
        """The server changes directory: relative paths from now on count from there."""
        if path:
            self.launch.cwd = self.launch.absolute(path)
            self.app.origin["cwd"] = origin

    def path_first(self, *paths: Optional[str]) -> None:
        """What the server puts in front of ``sys.path``, the foremost first."""
        for path in paths:
            if path is not None:
                absolute = self.launch.absolute(path)
                if absolute not in self.app.path_prepend:
                    self.app.path_prepend.append(absolute)

    def interpreter_first(self, path: str) -> None:
        """What the interpreter itself puts in front of ``sys.path``, unless ``-I``, ``-P`` or a variable forbids it."""
        flags = "".join(flag for flag in self.app.python_flags if not flag.startswith(("--", "-W", "-X")))
        variable = self.launch.environ.get("PYTHONSAFEPATH") and "E" not in flags
        if not ("I" in flags or "P" in flags or variable):
            self.path_first(path)

    def evaluate(self, path: str) -> Optional[Evaluator]:
        """Module-level values of a Python configuration file, which is never run; None when it can't be read."""
        self.app.config_files.append(path)
        return evaluate_file(path, self.launch, self.ctx)


def evaluate_file(path: str, launch: Launch, ctx: Context) -> Optional[Evaluator]:
    """An evaluator that knows a file's module-level values; None when there is no such file or it doesn't parse."""
    content = ctx.read(path, 256 * KIB)
    tree = None if content.error else parse_source(content.text)
    if tree is None:
        return None
    evaluator = Evaluator(launch.environ, path)
    evaluator.load(tree)
    return evaluator


def parse_options(args: Sequence[str], cli: Cli) -> Options:
    """Split a command line into options and words. An option that nobody knows takes a value, unless an option follows."""
    options = Options({}, [])
    position = 0
    while position < len(args):
        word = args[position]
        position += 1
        if word == "--":
            options.words += args[position:]
            break
        if not word.startswith("-") or word == "-":
            options.words.append(word)
            continue
        value: Optional[str] = None
        if word.startswith("--") or (cli.single_dash and len(word) > 2):
            key, equals, text = word.partition("=")
            value = text if equals else None
            key = _unabbreviated(key, cli)
        elif word[:2] in cli.short and cli.short[word[:2]] not in cli.flags:
            key = cli.short[word[:2]]
            value = (word[3:] if word[2] == "=" else word[2:]) if len(word) > 2 else None
        else:
            for letter in word[1:]:
                key = cli.short.get(f"-{letter}", f"-{letter}")
                options.values.setdefault(key.lstrip("-"), []).append("true")
            continue
        if value is None and key not in cli.flags and not key.startswith("--no-") and position < len(args):
            value = args[position]
            position += 1
        options.values.setdefault(key.lstrip("-"), []).append("true" if value is None else value)
    return options


def _unabbreviated(key: str, cli: Cli) -> str:
    if key in cli.known or key in cli.flags:
        return key
    matches = [name for name in cli.known if name.startswith(key)]
    return matches[0] if len(matches) == 1 else key


def parse_target(text: str) -> tuple[str, Optional[str], bool]:
    """``pkg.mod:attr`` as (module, attribute, factory); a call such as ``create_app()`` makes it a factory."""
    module, _colon, attribute = text.partition(":")
    factory = attribute.rstrip().endswith(")")
    attribute = attribute.split("(")[0].strip()
    if module.endswith(".py"):
        module = module[:-3]
    return module.strip().replace("/", ".").lstrip("."), attribute or None, factory


def parse_bind(text: str, default_port: int = 8000) -> tuple[Optional[str], Optional[int], Optional[str]]:
    """A bind address as (host, port, socket path). An inherited descriptor (``fd://3``) has none of them."""
    text = text.strip()
    match = re.match(r"unix:(?://)?(.+)", text)
    if match:
        return None, None, match.group(1)
    if text.startswith(("fd://", "fd@")):
        return None, None, None
    text = re.sub(r"^(?:tcp|http|https)://", "", text).rstrip("/")
    match = re.match(r"\[(?P<v6>[^\]]*)\](?::(?P<port>\d+))?\Z|(?P<host>[^:]*):(?P<p>\d+)\Z|(?P<only>[^:]+)\Z", text)
    if not match:
        return (text, default_port, None) if text.count(":") > 1 else (None, None, None)
    if match.group("v6") is not None:
        return match.group("v6"), to_int(match.group("port")) or default_port, None
    if match.group("only"):
        return match.group("only"), default_port, None
    return match.group("host") or "0.0.0.0", to_int(match.group("p")), None


def to_int(value: Any) -> Optional[int]:
    """A whole number from text, number or nothing."""
    if isinstance(value, bool):
        return None
    try:
        return int(str(value).strip())
    except ValueError:
        return None


def module_file(module: str, directories: Sequence[str]) -> Optional[str]:
    """The file of a dotted module under the first directory that has its top-level package; None when none has."""
    parts = module.split(".")
    for directory in directories:
        base = os.path.join(directory, *parts)
        for candidate in (os.path.join(base, "__init__.py"), f"{base}.py"):
            if os.path.lexists(candidate):
                return candidate
    return None
