# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backends this run is about: the one that is named, or each that is sick."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import systemd
from .context import Context
from .model import Backend
from .selection import Candidate


@dataclass
class Chosen:
    """The backends to gather evidence of, all services that were looked at, and remarks for the reader."""

    backends: list[Backend] = field(default_factory=list)
    examined: list[Candidate] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    resolve_ms: dict[str, int] = field(default_factory=dict)


def choose(params: Mapping[str, Any], ctx: Context) -> Chosen:
    """Select by name, or find what is sick.

    :raises InputError: nothing of the given name exists, or no supervisor can be asked.
    """
    begun = time.monotonic()
    name = str(params.get("service") or "").strip()
    backend = systemd.resolve(name, ctx)
    return Chosen([backend], resolve_ms={backend.name: int((time.monotonic() - begun) * 1000)})
