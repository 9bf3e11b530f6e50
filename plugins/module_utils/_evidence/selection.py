# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What selecting a backend gives: candidates, and a refusal that helps."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Optional

MAX_NEAR_NAMES = 5


@dataclass
class Candidate:
    """A service that was looked at. ``sick`` is a sentence that says what is wrong with it, None when nothing is."""

    name: str
    runtime: str
    state: str
    python: Optional[bool] = None
    sick: Optional[str] = None
    restarts: Optional[int] = None

    def as_dict(self) -> dict[str, object]:
        """The ``examined`` shape of the module's result."""
        return {
            "name": self.name,
            "runtime": self.runtime,
            "state": self.state,
            "python": self.python,
            "sick": self.sick,
            "restarts": self.restarts,
        }


@dataclass
class InputError(Exception):
    """What was asked for can't be done; ``message`` names it, says what was tried and what to do next."""

    message: str
    near_names: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return self.message


def near_names(wanted: str, names: Iterable[str]) -> list[str]:
    """The names most like the wanted one, best first; a name that contains it counts as near."""
    known = sorted(set(names))
    stem = _stem(wanted)
    by_stem = {_stem(name).lower(): name for name in known}
    close = [by_stem[match] for match in difflib.get_close_matches(stem.lower(), list(by_stem), MAX_NEAR_NAMES, 0.6)]
    holding = [name for name in known if len(stem) >= 3 and stem.lower() in _stem(name).lower()]
    return list(dict.fromkeys([*close, *holding]))[:MAX_NEAR_NAMES]


def suggestion(names: Sequence[str]) -> str:
    """The part of a refusal that offers near names; empty without any."""
    return f" Similar names here: {', '.join(names)}." if names else ""


def _stem(name: str) -> str:
    return name[: -len(".service")] if name.endswith(".service") else name
