# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Entry point of demo/diagnose, demo/clean and demo/check."""

import sys

from .run import main

sys.exit(main(sys.argv[1:]))
