# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a backend has to stay up until it counts as healthy, from how long it lived between its latest crashes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Optional

# A bound rather than a measurement: a server that survives its first seconds has bound its port and loaded its application.
LEAST_SECONDS = 15.0
# Longer windows are for whoever asks for them: an unattended repair has to end.
MOST_SECONDS = 60.0
RECENT_SECONDS = 3600.0
MARGIN, MARGIN_SECONDS = 1.25, 2.0


@dataclass(frozen=True)
class Window:
    """Seconds, and why, as a clause. ``doubt`` is a sentence where the window is shorter than the backend used to live."""

    seconds: float
    because: str
    doubt: Optional[str] = None


def choose(given: Optional[float], service: dict[str, Any], now: Optional[float] = None) -> Window:
    """The window that was given, or one that a crash like the former ones falls into.

    :param service: the section of the evidence; times of restarts, delay before a restart.
    """
    if given is not None:
        return Window(float(given), "it was given")
    delay = float(service.get("restart_delay_s") or 0.0)
    life = shortest_life(service.get("restart_times") or [], delay, time.time() if now is None else now)
    wanted = max(LEAST_SECONDS, delay + MARGIN_SECONDS)
    because = "the default" if wanted == LEAST_SECONDS else f"its restart delay is {delay:g} s"
    if life is not None and delay + life * MARGIN + MARGIN_SECONDS > wanted:
        wanted = delay + life * MARGIN + MARGIN_SECONDS
        because = f"it lived for {life:.0f} s between its latest crashes"
    if wanted <= MOST_SECONDS:
        return Window(round(wanted, 1), because)
    doubt = f"It used to crash after {wanted - MARGIN_SECONDS:.0f} s or later, which {MOST_SECONDS:g} s can't show: give a window of {wanted:.0f} s to be sure."
    return Window(MOST_SECONDS, f"{because}, and no window is chosen longer than {MOST_SECONDS:g} s", doubt)


def shortest_life(restart_times: list[str], delay: float, now: float) -> Optional[float]:
    """The shortest time in seconds from a restart to the next crash within the last hour; None without two restarts.

    Start-up is part of it, so a window of this length, which begins when the backend is up, is rather too long than too short.
    """
    times = sorted(when for when in map(_epoch, restart_times) if when is not None and when >= now - RECENT_SECONDS)
    gaps = [max(0.0, after - before - delay) for before, after in zip(times, times[1:])]
    return min(gaps) if gaps else None


def _epoch(text: str) -> Optional[float]:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc).timestamp()
    except (TypeError, ValueError):
        return None
