# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop breaker: from a backend's history to whether automation may still try. Pure."""

from __future__ import annotations

import calendar
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

DAY_S = 86400.0
HOUR_S = 3600.0
MAX_INEFFECTIVE = 2
MAX_RUNS_AN_HOUR = 4
# These don't speak against a fix: it helped, or touched nothing.
HARMLESS = frozenset({"healed", "progress", "not_needed", "refused"})
RESET = "reset"

Row = dict[str, Any]


@dataclass
class Breaker:
    """``open``: automation hands over whatever the fix. ``causes``: it hands over for these, ``fix/cause`` → why."""

    open: bool = False
    why: Optional[str] = None
    causes: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For the module's result."""
        return {"open": self.open, "why": self.why, "causes": self.causes}


def judge(rows: Sequence[Row], now: float, fix: Optional[str] = None, cause: Optional[str] = None) -> Breaker:
    """The breaker at a time.

    :param rows: the history, oldest first; of several rows of one run the last one has its outcome.
    :param now: seconds since 1970. A row of the future (the clock was set back) counts as recent.
    :param fix: together with ``cause`` (None where there is none): ``open`` tells of this pair too.
    """
    recent = [row for row in _runs(rows) if (now - _epoch(row)) <= DAY_S]
    found = Breaker()
    changing = [row for row in recent if row.get("changed") and (now - _epoch(row)) <= HOUR_S]
    if len(changing) >= MAX_RUNS_AN_HOUR:
        found.open = True
        found.why = f"{len(changing)} repairs changed something on this backend within an hour, the last one at {changing[-1].get('ended')}"
    pairs = dict.fromkeys((str(row.get("fix") or ""), str(row.get("cause") or "")) for row in recent)
    for pair in pairs:
        tries = _ineffective(recent, pair)
        if len(tries) >= MAX_INEFFECTIVE:
            why = (
                f"{pair[0]} did not help {len(tries)} times in the last 24 hours"
                f"{' against ' + pair[1] if pair[1] else ''}: {', '.join(_told(row) for row in tries[-3:])}"
            )
            found.causes["/".join(pair)] = why
            if fix is not None and pair == (fix, cause or ""):
                found.open, found.why = True, found.why or why
    return found


def _runs(rows: Sequence[Row]) -> list[Row]:
    """One row a run, with its last outcome and its first time, in order; nothing from before the last reset."""
    begin = next((number + 1 for number in range(len(rows) - 1, -1, -1) if rows[number].get("outcome") == RESET), 0)
    merged: dict[str, Row] = {}
    forgotten = {str(row.get("run")) for row in rows[:begin]}
    for number, row in enumerate(rows[begin:]):
        name = str(row.get("run") or f"row {number}")
        if name in forgotten:
            continue
        first = merged.get(name, row)
        merged[name] = {**row, "ended": first.get("ended"), "changed": bool(first.get("changed") or row.get("changed"))}
    return list(merged.values())


def _ineffective(rows: Sequence[Row], pair: tuple[str, str]) -> list[Row]:
    """Tries of a fix for a cause that did not help, after the last one that healed."""
    found: list[Row] = []
    for row in rows:
        if (str(row.get("fix") or ""), str(row.get("cause") or "")) != pair:
            continue
        if row.get("outcome") == "healed":
            found = []
        elif row.get("outcome") not in HARMLESS:
            found.append(row)
    return found


def _told(row: Row) -> str:
    return f"{row.get('run')} {str(row.get('outcome')).replace('_', ' ')}"


def _epoch(row: Row) -> float:
    """When a run ended; a time that can't be read counts as just now, so that a damaged row stops rather than frees."""
    try:
        return float(calendar.timegm(time.strptime(str(row.get("ended")), "%Y-%m-%dT%H:%M:%SZ")))
    except ValueError:
        return float("inf")
