# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def tmp_path(tmp_path: Path) -> Path:
    """A directory whose neighbours are no other test's: collectors look beside the code for modules and environments."""
    place = tmp_path / "srv" / "host" / "place"
    place.mkdir(parents=True)
    return place
