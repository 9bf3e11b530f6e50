# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prices in cents."""

from __future__ import annotations

_PRICES = {"tea": 350, "coffee": 420, "cake": 510}


def price(article: str) -> int:
    return _PRICES[article]
