# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole numbers in text that anybody may have written."""

from __future__ import annotations

import re
from typing import Optional

# Up to the largest number of 64 bits. Python refuses to convert thousands of digits, before 3.11 it takes seconds for them.
_WHOLE = re.compile(r"[0-9]{1,20}\Z")


def whole(text: str) -> Optional[int]:
    """The number, None for what is none. ``str.isdigit`` is no test for it: it also takes ``²``, which ``int`` refuses."""
    return int(text) if _WHOLE.match(text) else None
