# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All fuzz targets by name, inputs made of a target's words, and the corpus of what was found."""

from __future__ import annotations

from pathlib import Path

from . import diagnosis_parsers, host_parsers, project_parsers, state_parsers
from .target import Target

HERE = Path(__file__).resolve().parent.parent
CORPUS = HERE / "corpus"
RECORDED = HERE / "recorded"
TARGETS: dict[str, Target] = {
    one.name: one
    for one in (*host_parsers.TARGETS, *project_parsers.TARGETS, *diagnosis_parsers.TARGETS, *state_parsers.TARGETS)
}


def corpus(name: str) -> list[Path]:
    """The fixed cases of a target: inputs that once broke it."""
    return sorted(path for path in (CORPUS / name).glob("*") if path.is_file())
