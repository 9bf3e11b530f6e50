# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One target under libFuzzer, guided by which branches of our code an input reaches: ``python -m firstaid_fuzz.guided TARGET libfuzzer-options``."""

from __future__ import annotations

import sys
import warnings

import atheris

with atheris.instrument_imports(include=["ansible_collections.firstaid.backend"]):
    from .table import TARGETS
from .target import check, given


def main() -> None:
    """Run until time is up or something breaks; libFuzzer writes the input that broke it."""
    warnings.simplefilter("ignore")
    target = TARGETS[sys.argv[1]]

    def once(data: bytes) -> None:
        check(target, given(target, data))

    atheris.Setup([sys.argv[0], *sys.argv[2:]], once)
    atheris.Fuzz()


main()
