# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the starts that a log tells of ended, and whether all of them ended in the same way."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .log_model import Attempt, Traceback
from .observe import speaker
from .tracebacks import fingerprint, tracebacks

# Of more starts, the last ones are compared.
COMPARED = 50
SAYS = 200
_NUMBERS = re.compile(r"0x[0-9a-fA-F]+|\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\b[0-9a-f]{16,}\b|\d+")
# What a supervisor says of how a process ended.
_EXIT = re.compile(
    r"(?P<how>code=\w+, status=\S{1,40}|terminated by SIG\w+|exit status \d+; not expected|Failed with result '(?!exit-code|signal)[a-z-]+')"
)
SILENT = "it ended without a word"


@dataclass(frozen=True)
class _End:
    """One start's end: ``key`` is the same for all that ended in the same way."""

    key: str
    says: str
    started: str | None


def crashes(attempts: Sequence[Attempt]) -> dict[str, Any] | None:
    """Compare the starts that ended, of the log that tells of most of them.

    :returns: None where no log tells of two; else the log, how many ended, whether all in the same way, the fingerprints of the
        first, the latest and the most frequent way, and each way with what it says, how often, and when first and last.
    """
    by_source: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        if attempt.ended:
            by_source.setdefault(attempt.source, []).append(attempt)
    source, ended = max(by_source.items(), key=lambda item: len(item[1]), default=("", []))
    if len(ended) < 2:
        return None
    ends = [_end(attempt) for attempt in ended[-COMPARED:]]
    kinds: dict[str, dict[str, Any]] = {}
    for end in ends:
        kind = kinds.setdefault(
            end.key, {"fingerprint": end.key, "says": end.says, "count": 0, "first": end.started, "latest": None}
        )
        kind["count"] += 1
        kind["latest"] = end.started
    # Of equally frequent ways the later one is meant.
    frequent = max(reversed(list(kinds.values())), key=lambda kind: kind["count"])
    return {
        "source": source,
        "ended": len(ended),
        "same": len(kinds) == 1,
        "first": ends[0].key,
        "latest": ends[-1].key,
        "most_frequent": frequent["fingerprint"],
        "kinds": sorted(kinds.values(), key=lambda kind: -kind["count"]),
    }


def _end(attempt: Attempt) -> _End:
    found = [tb for tb in tracebacks(attempt) if not tb.ignored]
    if found:
        last = max(found, key=_weight)
        return _End(fingerprint(last), _told(last), attempt.started)
    own = (line.quote for line in reversed(attempt.lines) if line.text.strip() and speaker(line) == "app")
    words = next(own, "")
    exits = next((match["how"] for line in reversed(attempt.lines) if (match := _EXIT.search(line.text[:300]))), "")
    says = f"{words or SILENT} ({exits})" if exits else words or SILENT
    key = hashlib.sha256(_NUMBERS.sub("#", words).encode("utf-8", "replace") + exits.encode()).hexdigest()[:12]
    return _End(key, says[:SAYS], attempt.started)


def _weight(tb: Traceback) -> tuple[bool, bool, bool, int]:
    """What is proved to have ended the process comes first, then what no logger printed, then whole chains, then the later one."""
    return tb.fatal, not tb.logged, tb.kind == "traceback", tb.last_line


def _told(tb: Traceback) -> str:
    raised = tb.final
    frame = raised.last_app_frame or raised.innermost
    place = f", {frame.file}:{frame.line}" if frame and frame.line else ""
    return f"{raised.qualified}: {raised.first_line}"[: SAYS - len(place)].rstrip(": ") + place
