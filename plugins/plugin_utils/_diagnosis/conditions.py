# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The little language in which a cause says what makes it likely: text, exception, fact, signal, all, any.

A condition is a mapping with one of the keys of :data:`KINDS`, and modifiers:

- ``text: <regex>`` looks at log lines and at exceptions as printed (``module.Type: message``). Modifiers: ``by``
  (app, supervisor, kernel, health), ``about`` (labels of :mod:`technology`).
- ``exception: {type, message, errno, origin, packages, about, position, code, phase, file, source, app_code}``; ``code`` is that of
  the innermost frames, ``app_code`` the failing line of the application.
- ``fact: <evidence path>`` with one of equals, in, not_in, matches, above, below, present; ``where`` for mappings in
  lists, ``capture: {slot: key}``.
- ``signal: <name>``, a function of the table in :mod:`signals`; ``with`` hands it arguments.
- ``all: [...]``, ``any: [...]``.

``unless`` voids a condition while another holds, ``set`` adds captures. Named groups of patterns become captures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .observe import Observed, named
from .observed import Hit, Seen, cite_fact, resolve
from .patterns import Pattern, PatternError, compile_pattern
from .signals import SIGNALS
from .technology import about_exception, about_text

Check = Callable[[Observed], list[Hit]]
_OPERATORS = ("equals", "in", "not_in", "matches", "above", "below", "present", "where")
_MODIFIERS = {"weight", "unless", "set", "capture", "by", "about", "with", "attested", *_OPERATORS}
_EXCEPTION_KEYS = {
    "type", "message", "errno", "origin", "packages", "not_packages", "about", "not_about", "position", "code", "phase",
    "file", "source", "name", "app_code",
}  # fmt: skip
# Facts that the application itself produces, which therefore prove nothing against somebody who wants to mislead.
_FORGEABLE = ("app.health", "logs", "service.description")


class ConditionError(ValueError):
    """A condition is malformed; the message names the key."""


@dataclass(frozen=True)
class Condition:
    """A compiled condition; ``check`` returns its hits, the weightiest first, or none."""

    text: str
    check: Check
    weight: float = 0.0
    parts: tuple[Condition, ...] = field(default=(), compare=False)

    def holds(self, observed: Observed) -> list[Hit]:
        """All hits of the condition."""
        return self.check(observed)


def compile_condition(data: Any) -> Condition:
    """Compile one mapping.

    :raises ConditionError: for unknown keys, wrong values, unknown signals and unsafe patterns.
    """
    if not isinstance(data, Mapping):
        raise ConditionError(f"a condition is a mapping such as 'text: …', not {type(data).__name__}")
    kinds = [key for key in KINDS if key in data]
    if len(kinds) != 1:
        raise ConditionError(f"a condition has exactly one of {', '.join(KINDS)}; this one has {kinds or 'none'}")
    unknown = set(data) - _MODIFIERS - {kinds[0]}
    if unknown:
        raise ConditionError(f"unknown key {', '.join(sorted(map(repr, unknown)))} beside '{kinds[0]}'")
    weight = data.get("weight", 0)
    if not isinstance(weight, (int, float)) or isinstance(weight, bool) or not 0 <= weight <= 12:
        raise ConditionError("'weight' is a number from 0 to 12")
    check = KINDS[kinds[0]](data)
    if "set" in data:
        check = _with_captures(check, {str(key): str(value) for key, value in data["set"].items()})
    if "unless" in data:
        check = _unless(check, compile_condition(data["unless"]))
    return Condition(_describe(kinds[0], data), check, float(weight))


def _describe(kind: str, data: Mapping[str, Any]) -> str:
    value = data[kind]
    return f"{kind}: {value}" if isinstance(value, (str, dict)) else kind


def _pattern(text: Any, key: str) -> Pattern:
    if not isinstance(text, str):
        raise ConditionError(f"'{key}' is a regular expression in quotes")
    try:
        return compile_pattern(text)
    except PatternError as exc:
        raise ConditionError(f"'{key}' {text!r}: {exc}") from exc


def _words(value: Any) -> frozenset[Any]:
    return frozenset(value if isinstance(value, list) else [value])


def _text(data: Mapping[str, Any]) -> Check:
    pattern = _pattern(data["text"], "text")
    by = str(data.get("by", ""))
    about = _words(data["about"]) if "about" in data else frozenset()

    def check(observed: Observed) -> list[Hit]:
        hits = [
            hit
            for hit in observed.search(pattern, by)
            if not about or about & about_text(hit.citations[0].quote, observed.evidence)
        ]
        if by in ("", "app"):
            for seen in observed.seen:
                text = seen.text[:2000]
                match = pattern.search(text, text.lower())
                if match and (not about or about & about_exception(seen, observed.evidence)):
                    hits.append(_of_exception(seen, named(match)))
        return sorted(hits, key=lambda hit: -hit.weight)

    return check


def _of_exception(seen: Seen, captures: Mapping[str, str]) -> Hit:
    return Hit((seen.citation,), "exception" if seen.source == "log" else seen.source, seen.weight, captures)


def _exception(data: Mapping[str, Any]) -> Check:
    spec = data["exception"]
    if not isinstance(spec, Mapping) or not spec or set(spec) - _EXCEPTION_KEYS:
        raise ConditionError(f"'exception' is a mapping of {', '.join(sorted(_EXCEPTION_KEYS))}")
    patterns = {key: _pattern(spec[key], key) for key in ("message", "code", "file", "name", "app_code") if key in spec}
    types = _pattern(rf"(?:^|\.)(?:{spec['type']})$", "type") if "type" in spec else None
    words = {key: _words(spec[key]) for key in spec if key not in patterns and key != "type"}

    def check(observed: Observed) -> list[Hit]:
        return [hit for seen in observed.seen for hit in _match_exception(seen, observed, types, patterns, words)]

    return check


def _match_exception(
    seen: Seen,
    observed: Observed,
    types: Pattern | None,
    patterns: Mapping[str, Pattern],
    words: Mapping[str, frozenset[Any]],
) -> Iterator[Hit]:
    raised = seen.raised
    if types is not None and not types.regex.search(raised.qualified):
        return
    plain = {
        "errno": raised.errno,
        "origin": seen.origin,
        "position": seen.position,
        "phase": seen.phase,
        "source": seen.source,
    }
    if any(key in words and value not in words[key] for key, value in plain.items()):
        return
    if "packages" in words and not words["packages"] & set(seen.packages):
        return
    if "not_packages" in words and words["not_packages"] & set(seen.packages):
        return
    if "about" in words and not words["about"] & about_exception(seen, observed.evidence):
        return
    if "not_about" in words and words["not_about"] & about_exception(seen, observed.evidence):
        return
    captures: dict[str, str] = {}
    code = "\n".join(frame.code or "" for frame in raised.frames[-6:])
    values = {
        "message": raised.message[:2000],
        "code": code,
        "file": seen.failing.file if seen.failing else "",
        "name": raised.name or "",
        "app_code": (seen.app_frame.code or "") if seen.app_frame else "",
    }
    for key, pattern in patterns.items():
        match = pattern.search(values[key], values[key].lower())
        if match is None:
            return
        captures.update(named(match))
    yield _of_exception(seen, captures)


def _fact(data: Mapping[str, Any]) -> Check:
    path = data["fact"]
    if not isinstance(path, str):
        raise ConditionError("'fact' is an evidence path such as service.exit.code")
    test = _operator(data)
    capture = data.get("capture", {})
    attested = bool(data.get("attested", not path.startswith(_FORGEABLE)))

    def check(observed: Observed) -> list[Hit]:
        hits = []
        for concrete, value in resolve(observed.evidence, path):
            captures = test(value)
            if captures is None:
                continue
            for slot, key in capture.items():
                item = value.get(key) if isinstance(value, Mapping) and key != "." else value
                if isinstance(item, (str, int, float)) and not isinstance(item, bool):
                    captures[str(slot)] = str(item)
            hits.append(Hit((cite_fact(concrete, value, attested),), "fact", 1.0, captures))
        return hits

    return check


def _operator(data: Mapping[str, Any]) -> Callable[[Any], dict[str, str] | None]:
    """A test of one value: captures when it holds, None when not. Several operators must all hold."""
    chosen = [key for key in _OPERATORS if key in data]
    if not chosen:
        raise ConditionError(f"a fact needs one of {', '.join(_OPERATORS)}")
    tests: list[Callable[[Any], dict[str, str] | None]] = []
    for key in chosen:
        wanted = data[key]
        if key == "matches":
            pattern = _pattern(wanted, "matches")
            tests.append(lambda value, p=pattern: _matched(p, value))  # type: ignore[misc]
        elif key == "where":
            nested = {str(name): _operator(_normal(spec)) for name, spec in wanted.items()}
            tests.append(lambda value, n=nested: _where(n, value))  # type: ignore[misc]
        else:
            tests.append(lambda value, k=key, w=wanted: {} if _COMPARE[k](value, w) else None)  # type: ignore[misc]

    def test(value: Any) -> dict[str, str] | None:
        captures: dict[str, str] = {}
        for one in tests:
            found = one(value)
            if found is None:
                return None
            captures.update(found)
        return captures

    return test


def _normal(spec: Any) -> Mapping[str, Any]:
    if isinstance(spec, Mapping):
        return spec
    return {"in": spec} if isinstance(spec, list) else {"equals": spec}


def _matched(pattern: Pattern, value: Any) -> dict[str, str] | None:
    if not isinstance(value, str):
        return None
    match = pattern.search(value[:2000], value[:2000].lower())
    return named(match) if match else None


def _where(nested: Mapping[str, Callable[[Any], dict[str, str] | None]], value: Any) -> dict[str, str] | None:
    if not isinstance(value, Mapping):
        return None
    captures: dict[str, str] = {}
    for name, test in nested.items():
        item: Any = value
        for part in name.split("."):
            item = item.get(part) if isinstance(item, Mapping) else None
        found = test(item)
        if found is None:
            return None
        captures.update(found)
    return captures


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "equals": lambda value, wanted: bool(value == wanted and isinstance(value, bool) == isinstance(wanted, bool)),
    "in": lambda value, wanted: value in wanted,
    "not_in": lambda value, wanted: value is not None and value not in wanted,
    "above": lambda value, wanted: _number(value) and value > wanted,
    "below": lambda value, wanted: _number(value) and value < wanted,
    "present": lambda value, wanted: (value not in (None, "", [], {})) is bool(wanted),
}


def _signal(data: Mapping[str, Any]) -> Check:
    name = data["signal"]
    if name not in SIGNALS:
        raise ConditionError(f"there is no signal {name!r}; known are {', '.join(sorted(SIGNALS))}")
    function = SIGNALS[name]

    def check(observed: Observed) -> list[Hit]:
        key = f"signal:{name}"
        if key not in observed.memo:
            observed.memo[key] = function(observed)
        found: list[Hit] = observed.memo[key]
        return found

    return check


def _all(data: Mapping[str, Any]) -> Check:
    parts = [compile_condition(part) for part in _list(data, "all")]

    def check(observed: Observed) -> list[Hit]:
        best = []
        for part in parts:
            hits = part.holds(observed)
            if not hits:
                return []
            best.append(hits[0])
        citations = tuple(dict.fromkeys(citation for hit in best for citation in hit.citations))
        captures = {key: value for hit in best for key, value in hit.captures.items()}
        # Facts hold now, whenever the line was written; what the line's place says decides.
        seen = [hit for hit in best if hit.kind != "fact"]
        kind = seen[0].kind if seen else "fact"
        return [Hit(citations, kind, min((hit.weight for hit in seen), default=1.0), captures)]

    return check


def _any(data: Mapping[str, Any]) -> Check:
    parts = [compile_condition(part) for part in _list(data, "any")]

    def check(observed: Observed) -> list[Hit]:
        hits = [hit for part in parts for hit in part.holds(observed)]
        return sorted(hits, key=lambda hit: -hit.weight)

    return check


def _list(data: Mapping[str, Any], key: str) -> list[Any]:
    if not isinstance(data[key], list) or not data[key]:
        raise ConditionError(f"'{key}' is a list of conditions")
    return list(data[key])


def _with_captures(check: Check, captures: Mapping[str, str]) -> Check:
    return lambda observed: [replace(hit, captures={**captures, **hit.captures}) for hit in check(observed)]


def _unless(check: Check, other: Condition) -> Check:
    return lambda observed: [] if (hits := check(observed)) and other.holds(observed) else hits


KINDS: dict[str, Callable[[Mapping[str, Any]], Check]] = {
    "text": _text,
    "exception": _exception,
    "fact": _fact,
    "signal": _signal,
    "all": _all,
    "any": _any,
}
