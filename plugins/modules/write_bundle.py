# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: write_bundle
short_description: Write the evidence and diagnoses of all hosts as a bundle of readable files
version_added: 0.1.0
description:
  - Makes a directory C(backend-diagnostics-<UTC time>) on the controller, with the numbered text files, C(evidence.json),
    C(diagnosis.json) and C(redactions.json) of each backend, and C(report.html), C(report.md) and C(diagnosis.json) over all hosts.
  - Writes everything in one task, and is meant to be run with C(run_once). It reads what each host of the batch gathered
    from the hosts' variables, since log text handed over as an argument would be templated.
  - With C(serial), later batches add their hosts to the bundle that the first one made.
  - The directory has mode 0700 and its files 0600. It appears under its name when it is complete; when the disk gets full, what was
    written is kept under a name that says C(incomplete).
  - Writes with C(--check) too, and never reports a change, because the bundle is the answer and not a change of any host.
options:
  output_dir:
    description:
      - Absolute path of an existing directory on the controller.
      - It must not be a symbolic link, and it and every directory above it must belong to root or to the user who runs Ansible.
    type: str
    default: /tmp
  evidence_variable:
    description: Name of the variable in which each host registered the result of M(firstaid.backend.backend_info).
    type: str
    default: __diagnose_gathered
  answer_variable:
    description:
      - Name of the variable that holds each host's diagnoses, in the order of its evidence, as C(diagnoses).
      - Optional in it are C(wanted) (the backend that was asked for), C(connection) (how the host was reached), C(msg) (why
        classifying failed) and C(labels) (the host's name for each document, where the evidence is another host's).
    type: str
    default: diagnose_answer
  bundle_variable:
    description: Name of the variable in which the result of this action is registered, so that a later batch finds its bundle.
    type: str
    default: diagnose_bundle
  check_only:
    description: Only check that O(output_dir) can hold a bundle; write nothing.
    type: bool
    default: false
author:
  - firstaid contributors (@firstaid)
attributes:
  check_mode:
    description: Can run with C(--check).
    support: full
  diff_mode:
    description: Says with C(--diff) what it changes.
    support: none
    details: It changes nothing.
"""

EXAMPLES = r"""
- name: Gather the evidence
  firstaid.backend.backend_info:
    service: web
  register: __diagnose_gathered

- name: Name the root causes
  ansible.builtin.set_fact:
    diagnose_answer:
      diagnoses: "{{ __diagnose_gathered.backends | map('firstaid.backend.classify_root_cause') | list }}"

- name: Write the bundle of all hosts
  firstaid.backend.write_bundle:
    output_dir: /var/tmp
  register: diagnose_bundle
  run_once: true
"""

RETURN = r"""
path:
  description: The bundle's directory.
  returned: unless O(check_only=true)
  type: str
  sample: /tmp/backend-diagnostics-20261122T101500Z
hosts:
  description:
    - For each host of the bundle C(diagnosed) and C(sick) (both true or false) and C(lines), the answer for people.
  returned: unless O(check_only=true)
  type: dict
  sample: {"web1": {"diagnosed": true, "sick": true, "lines": ["web1 / web.service (systemd): CRASH LOOP"]}}
"""
