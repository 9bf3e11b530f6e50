# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Regular expressions of the catalogue: refused when they could blow up, and skipped fast where they can't match.

Causes come from files that users may write. A pattern therefore never runs on more than :data:`LINE_LIMIT` characters,
may not nest unlimited repeats and may hold at most two of them, so that its time stays within a small polynomial of
that limit. Most lines are rejected by a plain substring test before any regular expression runs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

LINE_LIMIT = 2000
_HEAD = 1400
_UNLIMITED_ALLOWED = 2
_REPEATS = {sre.MAX_REPEAT, sre.MIN_REPEAT, getattr(sre, "POSSESSIVE_REPEAT", sre.MAX_REPEAT)}
# A repeat of up to this many is as good as limited: it multiplies the time by a constant.
_SMALL_REPEAT = 400


class PatternError(ValueError):
    """The pattern is not a regular expression, or one that could run too long; the message says which."""


@dataclass(frozen=True)
class Pattern:
    """A checked, case-insensitive pattern and the substrings one of which every match contains (lower case).

    It is compiled when a line first has one of them, which few patterns of the catalogue ever see.
    """

    text: str
    literals: tuple[str, ...]

    @cached_property
    def regex(self) -> re.Pattern[str]:
        """The compiled pattern."""
        return re.compile(self.text, re.IGNORECASE)

    def search(self, line: str, lowered: str) -> re.Match[str] | None:
        """Find the pattern in a line of at most :data:`LINE_LIMIT` characters; ``lowered`` is the line in lower case."""
        if self.literals and not any(literal in lowered for literal in self.literals):
            return None
        return self.regex.search(line)


def compile_pattern(text: str) -> Pattern:
    """Compile a pattern of the catalogue.

    :raises PatternError: when it is malformed, nests unlimited repeats, or has more than two of them.
    """
    try:
        tree = _parser.parse(text, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as exc:
        raise PatternError(f"not a regular expression: {exc}") from exc
    if _unlimited(tree) > _UNLIMITED_ALLOWED:
        raise PatternError(
            f"more than {_UNLIMITED_ALLOWED} unlimited repeats; write .{{0,200}} instead of .* to bound the time"
        )
    return Pattern(text, _literals(tree))


def bounded(line: str) -> str:
    """The part of a line that patterns see: all of it, or the head and tail of a longer one."""
    if len(line) <= LINE_LIMIT:
        return line
    return line[:_HEAD] + " … " + line[-(LINE_LIMIT - _HEAD - 3) :]


def _unlimited(tree: Any, inside: bool = False) -> int:
    """Count unlimited repeats of wide classes (``.``, ``\\S``, ``[^x]``), which swallow whatever stands between them.

    :raises PatternError: for one repeat inside another, for more than two in a row without a fixed character between
        them, and for back-references: those are the ways to more than quadratic time on a line.
    """
    count = in_a_row = 0
    for code, argument in tree:
        if code in _REPEATS:
            _low, high, sub = argument
            unlimited = high is sre.MAXREPEAT or high > _SMALL_REPEAT
            if unlimited and inside:
                raise PatternError("an unlimited repeat inside another can take exponential time")
            in_a_row += int(unlimited)
            if in_a_row > _UNLIMITED_ALLOWED:
                raise PatternError("more than two unlimited repeats in a row, without a fixed character between them")
            count += int(unlimited and _is_wide(sub)) + _unlimited(sub, inside or unlimited)
        elif code is sre.LITERAL:
            in_a_row = 0
        elif code is sre.BRANCH:
            count += max((_unlimited(branch, inside) for branch in argument[1]), default=0)
        elif code is sre.SUBPATTERN:
            count += _unlimited(argument[-1], inside)
        elif code in (sre.ASSERT, sre.ASSERT_NOT):
            direction, sub = argument
            shortest, longest = sub.getwidth()
            if direction < 0 and shortest != longest:
                raise PatternError("look-behind requires a fixed width")
            count += _unlimited(sub, inside)
        elif code in (sre.GROUPREF, sre.GROUPREF_EXISTS):
            raise PatternError("back-references are not supported, their time can't be bounded")
    return count


def _is_wide(tree: Any) -> bool:
    """Whether a repeated part takes nearly any character."""
    for code, argument in tree:
        if code in (sre.ANY, sre.NOT_LITERAL):
            return True
        if code is sre.IN:
            wide = (sre.CATEGORY_NOT_SPACE, sre.CATEGORY_NOT_WORD, sre.CATEGORY_NOT_DIGIT)
            if any(kind is sre.NEGATE or (kind is sre.CATEGORY and value in wide) for kind, value in argument):
                return True
    return False


def _literals(tree: Any) -> tuple[str, ...]:
    """Substrings, lower case, one of which is in every match; empty when nothing useful can be told."""
    best: tuple[str, ...] = ()
    run = ""

    def offer(found: tuple[str, ...]) -> None:
        nonlocal best
        if found and min(map(len, found)) > (min(map(len, best)) if best else 2):
            best = found

    for code, argument in tree:
        if code is sre.LITERAL:
            run += chr(argument).lower()
            continue
        offer((run,) if run else ())
        run = ""
        if code is sre.SUBPATTERN:
            offer(_literals(argument[-1]))
        elif code in _REPEATS and argument[0] > 0:
            offer(_literals(argument[2]))
        elif code is sre.BRANCH:
            branches = [_literals(branch) for branch in argument[1]]
            if all(branches):
                offer(tuple(dict.fromkeys(literal for branch in branches for literal in branch)))
    offer((run,) if run else ())
    # Characters whose lower case differs from what IGNORECASE matches (K, ſ, İ) would make the substring test wrong.
    return best if all(literal.isascii() for literal in best) else ()
