# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence without the past: of the present start alone, or of what happened since a change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

# What the supervisor keeps of earlier starts.
_FORMER: dict[str, Any] = {"restarts": 0, "restart_times": [], "restarts_in_window": 0, "messages": [], "exit": {}}


def of_present_start(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """The evidence without earlier attempts in the logs, the supervisor's old messages, its count of restarts and the last exit.

    Parts of a shape that isn't the contract's stay as they are.
    """
    kept = _with_attempts(evidence, lambda source: source["attempts"][-1:])
    service = evidence.get("service")
    if isinstance(service, Mapping):
        kept["service"] = {**service, **{name: value for name, value in _FORMER.items() if name in service}}
    return kept


def of_attempts_since(evidence: Mapping[str, Any], since: str) -> dict[str, Any]:
    """The evidence without the attempts that had ended by then.

    ``since`` is a time of the target's clock in ISO 8601. An attempt whose time is not known stays when it is the last one of a file
    that was written to since. Raises ValueError when ``since`` is no time.
    """
    moment = _seconds(since)
    if moment is None:
        raise ValueError(f"{since!r} is no time in ISO 8601 with its time zone")
    return _with_attempts(evidence, lambda source: _since(source, moment))


def _since(source: Mapping[str, Any], moment: float) -> list[Any]:
    attempts = source["attempts"]
    times = [
        _seconds(item.get("ended") or item.get("started")) if isinstance(item, Mapping) else None for item in attempts
    ]
    # The last one may be at work still: what is known of it is the last time at which anything was written.
    times[-1] = max((time for time in (times[-1], _seconds(source.get("modified"))) if time is not None), default=None)
    return [item for item, time in zip(attempts, times) if time is not None and time >= moment]


def _seconds(text: Any) -> float | None:
    try:
        time = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return time.timestamp() if time.tzinfo else None


def _cut(source: Any) -> bool:
    return isinstance(source, Mapping) and isinstance(source.get("attempts"), list) and bool(source["attempts"])


def _with_attempts(evidence: Mapping[str, Any], choose: Callable[[Mapping[str, Any]], list[Any]]) -> dict[str, Any]:
    logs = evidence.get("logs")
    if not isinstance(logs, Mapping) or not isinstance(logs.get("sources"), list):
        return dict(evidence)
    sources = [{**source, "attempts": choose(source)} if _cut(source) else source for source in logs["sources"]]
    return {**evidence, "logs": {**logs, "sources": sources}}
