# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``session_answer``: the verdict on one backend after all rounds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.firstaid.backend.plugins.plugin_utils._plan.session import session_answer as judge_session

DOCUMENTATION = r"""
name: session_answer
short_description: Give the verdict on one backend after all rounds of repair
version_added: "0.2.0"
author: firstaid contributors (@firstaid)
description:
  - Takes what the rounds of the role P(firstaid.backend.remediate#role) left, and gives the verdict with its reason, and the lines that tell it.
  - A pure function, made for that role.
positional: _input
options:
  _input:
    description: C(host), C(service), C(begin), C(plan), C(first), C(rounds), C(settled), C(taken_back), C(error) and C(check).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Say what became of the backend
  ansible.builtin.debug:
    msg: "{{ (results | firstaid.backend.session_answer).lines }}"
"""

RETURN = r"""
_value:
  description:
    - The answer, with C(verdict), C(reason), C(cause), C(runs), C(rounds), C(settled), C(steps), C(commands), C(failed) and C(lines).
    - C(verdict) is C(healed), C(rolled_back), C(handed_over), C(nothing_to_do), or C(planned) when only the plan was asked for.
  type: dict
"""

NAME = "firstaid.backend.session_answer"


def session_answer(results: Any) -> dict[str, Any]:
    """Plain data in, plain data out."""
    if not isinstance(results, Mapping):
        raise AnsibleFilterError(f"{NAME}: the results are a mapping, not {type(results).__name__}")
    return judge_session(json.loads(json.dumps(results, default=str)))


class FilterModule:
    """Ansible's table of filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The one filter of this file."""
        return {"session_answer": session_answer}
