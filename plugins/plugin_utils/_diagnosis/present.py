# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence of the present start alone, for a backend that outlived what its earlier starts died of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# What the supervisor keeps of earlier starts.
_FORMER: dict[str, Any] = {"restarts": 0, "restart_times": [], "restarts_in_window": 0, "messages": [], "exit": {}}


def of_present_start(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """The evidence without earlier attempts in the logs, the supervisor's old messages, its count of restarts and the last exit.

    Parts of a shape that isn't the contract's stay as they are.
    """
    kept = dict(evidence)
    service, logs = evidence.get("service"), evidence.get("logs")
    if isinstance(service, Mapping):
        kept["service"] = {**service, **{name: value for name, value in _FORMER.items() if name in service}}
    if isinstance(logs, Mapping) and isinstance(logs.get("sources"), list):
        kept["logs"] = {**logs, "sources": [_last(source) for source in logs["sources"]]}
    return kept


def _last(source: Any) -> Any:
    if not isinstance(source, Mapping) or not isinstance(source.get("attempts"), list):
        return source
    return {**source, "attempts": source["attempts"][-1:]}
