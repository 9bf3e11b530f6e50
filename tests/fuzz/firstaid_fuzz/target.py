# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fuzz target is, and what holds for each: no error of ours, the promised types, the same answer twice, linear time."""

from __future__ import annotations

import collections.abc
import dataclasses
import time
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import (
    KIB,
    CommandResult,
    Context,
    FileText,
)

# CPU seconds for the largest input that a caller hands over; the collectors themselves have 4 to 8 seconds.
LINEAR_S = 4.0


class Broken(AssertionError):
    """A property of a target does not hold."""


@dataclass(frozen=True)
class Target:
    """One parser.

    ``call`` takes text, or bytes when ``raw``. ``tokens`` are the words of the format, of which inputs are made; ``repeats`` are
    pieces that are repeated up to ``size``, the most that callers hand over, for the test of linear time. ``allowed`` are errors
    that are the promised answer. ``check`` gets input and result and raises ``Broken``.
    """

    name: str
    call: Callable[[Any], Any]
    tokens: tuple[str, ...]
    raw: bool = False
    size: int = 64 * KIB
    repeats: tuple[str, ...] = ()
    allowed: tuple[type[Exception], ...] = ()
    returns: Any = None
    check: Callable[[Any, Any], None] | None = None


class NoHost(Context):
    """A context that sees no file and runs no command, so that an input means the same everywhere."""

    def run(self, argv: Any, *_args: Any, **_more: Any) -> CommandResult:
        return CommandResult(list(argv), error=f"{argv[0]} is not run here")

    def read(self, path: str, *_args: Any, **_more: Any) -> FileText:
        return FileText(path, error=f"{path} is not read here")


class OneFile(NoHost):
    """A context in which every path holds the same content."""

    content: bytes = b""

    def read(self, path: str, max_bytes: int = 256 * KIB, tail: bool = False) -> FileText:
        raw = self.content[-max_bytes:] if tail else self.content[:max_bytes]
        return FileText(
            path,
            raw.decode("utf-8", errors="replace"),
            len(self.content),
            truncated=len(raw) < len(self.content),
            raw=raw,
        )


def holding(text: str) -> OneFile:
    """A context in which every file holds this text."""
    found = OneFile({}, time.monotonic() + 3600)
    found.content = text.encode("utf-8", errors="replace")
    return found


def no_host() -> NoHost:
    """A context for one call."""
    return NoHost({}, time.monotonic() + 3600)


def given(target: Target, data: bytes) -> Any:
    """Bytes as the target takes them; text is decoded as the collectors do it."""
    return data if target.raw else data.decode("utf-8", errors="replace")


def check(target: Target, data: Any) -> Any:
    """Call the target twice and hold the answer against what is promised; gives the answer.

    :raises Broken: something else holds.
    """
    first = _answer(target, data)
    second = _answer(target, data)
    if repr(first) != repr(second):
        raise Broken(f"{target.name}: two answers to the same input: {first!r} and {second!r}")
    if isinstance(first, Exception):
        return first
    hint = target.returns if target.returns is not None else _promise(target.call)
    if hint is not None and not fits(first, hint):
        raise Broken(f"{target.name}: {first!r} is not {hint}")
    if target.check is not None:
        target.check(data, first)
    return first


def seconds(target: Target, unit: str, size: int) -> float:
    """CPU seconds for a piece repeated up to a size."""
    data: Any = unit * max(1, size // max(1, len(unit)))
    data = data.encode("utf-8", errors="replace") if target.raw else data
    begun = time.process_time()
    _answer(target, data)
    return time.process_time() - begun


def _answer(target: Target, data: Any) -> Any:
    try:
        return target.call(data)
    except target.allowed as exc:
        return exc


def _promise(function: Callable[..., Any]) -> Any:
    try:
        return typing.get_type_hints(function).get("return")
    except (NameError, TypeError):
        return None


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is what an annotation says, with the contents of containers and the fields of dataclasses."""
    if hint is Any or isinstance(hint, (str, typing.TypeVar, typing.ForwardRef)):
        return True
    if hint is None or hint is type(None):
        return value is None
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, one) for one in arguments)
    if origin is typing.Literal:
        return value in arguments
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return isinstance(value, tuple) and all(fits(one, arguments[0]) for one in value)
        return isinstance(value, tuple) and len(value) == len(arguments) and all(map(fits, value, arguments))
    if origin is not None:
        return _container_fits(value, origin, arguments)
    if dataclasses.is_dataclass(hint):
        return isinstance(value, typing.cast(type, hint)) and _fields_fit(value, hint)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return not isinstance(hint, type) or isinstance(value, hint)


def _container_fits(value: Any, origin: Any, arguments: tuple[Any, ...]) -> bool:
    if origin in (collections.abc.Callable, type, collections.abc.Iterator):
        return True
    if not isinstance(value, origin):
        return False
    if isinstance(value, collections.abc.Mapping):
        return all(fits(key, arguments[0]) and fits(item, arguments[1]) for key, item in value.items())
    return all(fits(item, arguments[0]) for item in value)


def _fields_fit(value: Any, hint: Any) -> bool:
    try:
        hints = typing.get_type_hints(type(value))
    except NameError:
        return True
    return all(fits(getattr(value, one.name), hints.get(one.name, Any)) for one in dataclasses.fields(value))
