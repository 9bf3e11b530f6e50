# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``remediation_plan``: the thin face of the planner."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.catalogue import (
    Catalogue,
    load_catalogue,
)
from ansible_collections.firstaid.backend.plugins.plugin_utils._plan.plan import Limits, plan

DOCUMENTATION = r"""
name: remediation_plan
short_description: Plan which fix comes next, and whether it may run unattended
version_added: "0.2.0"
author: firstaid contributors (@firstaid)
description:
  - Takes a diagnosis, and returns an ordered plan of fix roles with their variables. It decides nothing by itself that the catalogue, the
    evidence and the user have not allowed.
  - A step is automatic only when its cause is marked as automatic and its conditions hold, at least one fact attests it, confidence and
    margin are high enough, it was not tried in vain in this run, and the loop breaker is closed.
  - Only the first step can be automatic. What follows it is planned again after the next diagnosis.
  - A pure function of its arguments and the catalogue of causes.
positional: _input
options:
  _input:
    description: The diagnosis of one backend, as P(firstaid.backend.classify_root_cause#filter) returns it.
    type: dict
    required: true
  min_confidence:
    description: Confidence from 0 to 1 that the root cause needs. By default the catalogue's.
    type: float
  min_margin:
    description: How far the second candidate has to be behind, from 0 to 1. By default the catalogue's.
    type: float
  auto_causes:
    description: Ids of the only causes that may be repaired unattended. None, or empty, for all that are marked as automatic.
    type: list
    elements: str
  auto_fix:
    description: Whether anything may be repaired. With V(false) the verdict is V(planned) where there would be something to do.
    type: bool
    default: true
  decided:
    description:
      - For each fix the names for which the user has given what a person has to decide, such as V(SECRET_KEY) for C(settings).
        A step whose options are all among them is no decision any more.
    type: dict
    default: {}
  breaker:
    description: C(breaker) as M(firstaid.backend.backend_session) returned it.
    type: dict
    default: {}
  tried:
    description: The answers of the fixes that were tried in this run, each with C(fix), C(cause), C(subject), C(options) and C(outcome).
    type: list
    elements: dict
    default: []
  causes:
    description: Further cause files, or directories of them, as for P(firstaid.backend.classify_root_cause#filter).
    type: list
    elements: path
    default: []
seealso:
  - plugin: firstaid.backend.classify_root_cause
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Show what would be done
  ansible.builtin.debug:
    msg: "{{ diagnose_answer.diagnoses | map('firstaid.backend.remediation_plan', auto_fix=false) | list }}"
"""

RETURN = r"""
_value:
  description: The plan.
  type: dict
  contains:
    steps:
      description: In order, each with C(role), C(fix), C(vars), C(options), C(cause), C(title), C(subject), C(automatic), C(why_not_automatic) and C(command).
      type: list
      elements: dict
    verdict:
      description: Null while the first step is to be done, else why there is nothing to do for a machine.
      type: str
      choices: [nothing_to_do, handed_over, planned]
    reason:
      description: The same in a sentence.
      type: str
    last:
      description:
        - What this diagnosis says about the last of O(tried), when that changed something and the backend didn't get healthy. V(healthy), it
          is now; V(same), the cause that was repaired is still there; V(other), another one shows.
      type: str
      choices: [healthy, same, other]
"""

NAME = "firstaid.backend.remediation_plan"


@lru_cache(maxsize=4)
def _catalogue(paths: tuple[str, ...]) -> Catalogue:
    return load_catalogue(paths)


def remediation_plan(
    diagnosis: Any,
    min_confidence: Any = None,
    min_margin: Any = None,
    auto_causes: Any = None,
    auto_fix: Any = True,
    decided: Any = None,
    breaker: Any = None,
    tried: Any = None,
    causes: Any = (),
) -> dict[str, Any]:
    """Convert the arguments to plain data at the border, plan, and name the filter in every error."""
    try:
        plain = json.loads(json.dumps([diagnosis, auto_causes or None, decided or {}, breaker or {}, tried or []]))
        limits = Limits(
            min_confidence=_gate("min_confidence", min_confidence),
            min_margin=_gate("min_margin", min_margin),
            auto_causes=plain[1],
            auto_fix=bool(auto_fix),
            decided=plain[2],
            breaker=plain[3],
            tried=plain[4],
        )
    except (TypeError, ValueError) as exc:
        raise AnsibleFilterError(f"{NAME}: {exc}") from exc
    if not isinstance(plain[0], dict):
        raise AnsibleFilterError(f"{NAME}: a diagnosis is a mapping, not {type(diagnosis).__name__}")
    try:
        catalogue = _catalogue(tuple(str(path) for path in causes or ()))
        _check_causes(limits.auto_causes or (), catalogue)
        return plan(plain[0], catalogue, limits)
    except ValueError as exc:
        raise AnsibleFilterError(f"{NAME}: {exc}") from exc


def _check_causes(ids: Sequence[str], catalogue: Catalogue) -> None:
    """:raises ValueError: one of the ids is no cause's; the message names near ones."""
    for wrong in [one for one in ids if one not in catalogue.causes]:
        near = difflib.get_close_matches(str(wrong), catalogue.causes, n=3)
        told = f"did you mean {' or '.join(near)}?" if near else "docs/catalogue.md lists all ids."
        raise ValueError(f"auto_causes (backend_auto_causes) names {wrong!r}, which is no cause: {told}")


def _gate(name: str, value: Any) -> float | None:
    """A number from 0 to 1, None when it isn't given.

    :raises ValueError: it is something else.
    """
    if value is None or value == "":
        return None
    number = float(value)
    if not 0 <= number <= 1:
        raise ValueError(f"{name} is {value}: give a number from 0 to 1")
    return number


class FilterModule:
    """Ansible's table of filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The one filter of this file."""
        return {"remediation_plan": remediation_plan}
