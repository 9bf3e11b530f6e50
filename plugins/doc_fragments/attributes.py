# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of check and diff support, written once."""

from __future__ import annotations


class ModuleDocFragment:
    """For modules that only read, and (C(changes)) for those that change the target."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return the same as without it.
    support: full
    details:
      - It only reads.
  diff_mode:
    description: Will return details on what has changed when in diff mode.
    support: N/A
    details:
      - It changes nothing.
"""

    # firstaid.backend.attributes.changes
    CHANGES = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and tell what would change.
    support: full
  diff_mode:
    description: Will return details on what has changed, or would change, when in diff mode.
    support: full
    details:
      - The content of files that hold secrets is not shown.
"""
