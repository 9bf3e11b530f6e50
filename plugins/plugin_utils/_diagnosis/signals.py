# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of named signals: observations that need more than one pattern or one fact.

A signal is a function that takes the observations and returns hits with their citations. Registering it under a name
makes it usable in every cause file (``signal: <name>``). The functions live in the ``signals_*`` modules, one subject
each, which :mod:`catalogue` imports before it compiles the first condition.
"""

from __future__ import annotations

from collections.abc import Callable

from .observe import Observed
from .observed import Hit

Signal = Callable[[Observed], list[Hit]]
SIGNALS: dict[str, Signal] = {}


def signal(name: str) -> Callable[[Signal], Signal]:
    """Register a signal under a name.

    :raises ValueError: when the name is taken.
    """

    def register(function: Signal) -> Signal:
        if name in SIGNALS:
            raise ValueError(f"two signals are called {name}")
        SIGNALS[name] = function
        return function

    return register
