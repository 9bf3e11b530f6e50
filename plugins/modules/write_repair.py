# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: write_repair
short_description: Complete the bundle of a diagnosis with what was done about it
version_added: 0.2.0
description:
  - Adds to the bundle that M(firstaid.backend.write_bundle) made C(17-repair.txt) and C(repair.json) for each backend that was repaired, or was to be, and
    C(HANDOVER.md) where people go on from here, and writes C(00-SUMMARY.txt) and the reports over all hosts again, with the verdicts.
  - Writes everything in one task, and is meant to be run with C(run_once). It reads what each host left from the hosts' variables.
  - Writes with C(--check) too, and never reports a change, because the bundle is the answer and not a change of any host.
options:
  bundle:
    description: The bundle's directory, as M(firstaid.backend.write_bundle) returned it.
    type: str
    required: true
  evidence_variable:
    description: Name of the variable that holds the evidence from before the repair.
    type: str
    default: __remediate_gathered
  answer_variable:
    description: Name of the variable that holds the diagnoses from before the repair.
    type: str
    default: __remediate_found
  bundle_variable:
    description: Name of the variable in which the result of M(firstaid.backend.write_bundle) is registered.
    type: str
    default: diagnose_bundle
  repair_variable:
    description: Name of the variable that holds the answers of the repairs, in the order of the evidence.
    type: str
    default: remediate_answer
author:
  - firstaid contributors (@firstaid)
attributes:
  check_mode:
    description: Can run with C(--check).
    support: full
  diff_mode:
    description: Says with C(--diff) what it changes.
    support: none
    details: It changes nothing on any host.
"""

EXAMPLES = r"""
- name: Write what was done into the bundle
  firstaid.backend.write_repair:
    bundle: "{{ diagnose_bundle.path }}"
  run_once: true
"""

RETURN = r"""
path:
  description: The bundle's directory.
  returned: success
  type: str
hosts:
  description: For each host of the bundle C(ok), whether all its backends are well now, and C(lines), the answer for people.
  returned: success
  type: dict
"""
