# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``repair_answer``: what became of one fix, from the results of its steps."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.firstaid.backend.plugins.plugin_utils._plan.answer import repair_answer as judge_fix

DOCUMENTATION = r"""
name: repair_answer
short_description: Judge one fix by the results of its steps
version_added: "0.2.0"
author: firstaid contributors (@firstaid)
description:
  - Takes what the steps of the role P(firstaid.backend.apply_fix#role) returned, and gives the outcome with its reason, and the lines that tell it.
  - A pure function, made for that role.
positional: _input
options:
  _input:
    description: C(host), C(service), C(fix), C(check), C(keep), C(error), and the registered results C(begin), C(change), C(verify) and C(rollback).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Say what became of the fix
  ansible.builtin.debug:
    msg: "{{ (results | firstaid.backend.repair_answer).lines }}"
"""

RETURN = r"""
_value:
  description: The answer, with C(outcome), C(reason), C(run), C(decision), C(proof), C(changes), C(timeline), C(commands), C(notes), C(failed) and C(lines).
  type: dict
"""

NAME = "firstaid.backend.repair_answer"


def repair_answer(results: Any) -> dict[str, Any]:
    """Plain data in, plain data out."""
    if not isinstance(results, Mapping):
        raise AnsibleFilterError(f"{NAME}: the results are a mapping, not {type(results).__name__}")
    return judge_fix(json.loads(json.dumps(results, default=str)))


class FilterModule:
    """Ansible's table of filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The one filter of this file."""
        return {"repair_answer": repair_answer}
