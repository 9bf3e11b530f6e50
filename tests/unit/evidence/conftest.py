# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def tmp_path(tmp_path: Path) -> Path:
    """A directory whose neighbours are no other test's: collectors look beside the code for modules and environments."""
    place = tmp_path / "srv" / "host" / "place"
    place.mkdir(parents=True)
    return place


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A directory that every user of the machine may pass: pytest's own are for one user only."""
    place = Path(tempfile.mkdtemp(prefix="firstaid-open-", dir="/var/tmp"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)
