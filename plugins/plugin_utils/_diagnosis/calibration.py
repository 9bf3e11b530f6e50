# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How often answers are right, as measured on recorded crashes; written by ``tests/accuracy/calibrate.py --write``.

The confidence of a raw value is the logistic function of OFFSETS[kind] + SLOPE * logit(raw): one number for each kind of
answer and one slope for all, so that there is little to learn by heart.
"""

from __future__ import annotations

SLOPE = 0.72
OFFSETS = {
    "specific": 2.2,
    "fallback": 1.44,
    "own code": 1.39,
    "code of others": -1.1,
    "healthy, asked": 0.16,
    "healthy, not asked": -0.61,
}
