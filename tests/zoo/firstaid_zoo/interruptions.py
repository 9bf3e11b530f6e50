# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Repairs that can't succeed, or that something befalls half-way, and what the next run makes of them."""

from __future__ import annotations

from typing import Any

from .catalogue import Fault
from .hosts import ZooHost


def all_of(host: ZooHost, faults: list[Fault], *, keep: bool) -> list[dict[str, Any]]:
    """Go through all interrupted repairs on a host of their own."""
    return []
