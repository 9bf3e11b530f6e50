# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``classify_root_cause``: the thin face of the classifier."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.catalogue import (
    Catalogue,
    CatalogueError,
    load_catalogue,
)
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.classify import (
    EvidenceError,
    classify,
    evidence_from_log,
)
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.plain import plain
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.present import (
    of_attempts_since,
    of_present_start,
)

DOCUMENTATION = r"""
name: classify_root_cause
short_description: Name the root cause of a crashing Python backend
version_added: "0.1.0"
author: firstaid contributors (@firstaid)
description:
  - Takes the evidence that M(firstaid.backend.backend_info) gathered, and returns the diagnosis.
  - It is a pure function of the evidence and the catalogue of causes. It reads nothing else, so that saved evidence can be
    classified again at any time, on any machine, with the same answer.
  - Every section of the evidence may be missing. A log alone, or facts alone, is enough for an answer; its confidence says how much.
  - Log text is data. It is never templated and never evaluated.
positional: _input
options:
  _input:
    description:
      - The evidence of one backend, schema 1, as described in C(docs/evidence.md) of the collection.
      - A string is taken as the text of a log, and classified without any facts.
    type: raw
    required: true
  causes:
    description:
      - Further cause files, or directories of them, beside the collection's own catalogue.
      - Files have the shape of those in C(plugins/plugin_utils/_diagnosis/causes/).
    type: list
    elements: path
    default: []
  host:
    description: The host's name in the inventory, for the commands to type. Without it they have no C(--limit).
    type: str
  present_start:
    description:
      - Whether only the present start counts, for a backend that runs and isn't well. What its earlier starts left in logs, in the supervisor's
        messages and counters, and as the last exit, is left out then.
    type: bool
    default: false
  since:
    description:
      - A time of the target's clock in ISO 8601, as RV(firstaid.backend.backend_ready#module:began). Attempts in logs that had ended by then say
        nothing about what was changed since, and are left out.
    type: str
notes:
  - A cause that another one explains is listed as a symptom, not as a candidate. C(start_limit_hit) nearly always is one.
  - V(unknown) is an answer. It is given when nothing is likely enough, and RV(_value.next_check) says what would decide.
seealso:
  - module: firstaid.backend.backend_info
"""

EXAMPLES = r"""
- name: Look at one backend
  firstaid.backend.backend_info:
    service: shop-api
  register: look

- name: Say why it keeps crashing
  ansible.builtin.debug:
    msg: "{{ (look.evidence | firstaid.backend.classify_root_cause).root_cause.title }}"

- name: Classify a bare log, without any host
  ansible.builtin.debug:
    msg: "{{ lookup('ansible.builtin.file', 'backend.log') | firstaid.backend.classify_root_cause }}"
"""

RETURN = r"""
_value:
  description: The diagnosis, schema 1.
  type: dict
  contains:
    schema:
      description: Version of this structure.
      type: int
    state:
      description: The backend's state.
      type: str
      choices: [crash_loop, failed, hung, degraded, healthy, unknown]
    root_cause:
      description:
        - The most likely cause with RV(_value.root_cause.id), title, confidence from 0 to 1, attested, explanation, subject, evidence and contradicting.
        - Attested means that a fact speaks for it which somebody who can only write log lines can't forge.
      type: dict
      contains:
        id:
          description: The cause's id in the catalogue, V(healthy) or V(unknown).
          type: str
    crashes:
      description:
        - How the starts of the log that tells of most of them ended, and whether all ended in the same way. Null where no log tells of two that ended.
        - A way to end is known by its fingerprint, which leaves out numbers and addresses.
      type: dict
      contains:
        source:
          description: The log.
          type: str
        ended:
          description: How many starts ended. Of very many, the last 50 are compared.
          type: int
        same:
          description: Whether all ended in the same way.
          type: bool
        first:
          description: Fingerprint of the way in which the first of them ended.
          type: str
        latest:
          description: Fingerprint of the way in which the last of them ended.
          type: str
        most_frequent:
          description: Fingerprint of the way in which most of them ended.
          type: str
        kinds:
          description:
            - Each way with C(fingerprint), C(says) in a line, C(count), and C(first) and C(latest), the times at which the first and the last such
              start began, where known.
          type: list
          elements: dict
    candidates:
      description: What was considered, the likeliest first, each with its own confidence.
      type: list
      elements: dict
    contributing:
      description: Further causes that are likely by themselves and will matter once the first is gone.
      type: list
      elements: dict
    symptoms:
      description: Causes that another one explains.
      type: list
      elements: dict
    ruled_out:
      description: Causes that a fact speaks against, with the reason.
      type: list
      elements: dict
    next_check:
      description: What to look at next, above all when the answer is unknown.
      type: str
    remediation:
      description: The fix role and its variables, whether it may run unattended and why not, the command to type, and the hand-over.
      type: dict
    evidence_digest:
      description: SHA-256 of the evidence as canonical JSON.
      type: str
"""

NAME = "firstaid.backend.classify_root_cause"


@lru_cache(maxsize=4)
def _catalogue(paths: tuple[str, ...]) -> Catalogue:
    return load_catalogue(paths)


def classify_root_cause(
    evidence: Any, causes: Any = (), host: Any = None, present_start: bool = False, since: Any = None
) -> dict[str, Any]:
    """Convert the argument to plain data at the border, classify, and name the filter in every error."""
    try:
        document = evidence_from_log(evidence) if isinstance(evidence, str) else plain(evidence)
        paths = plain(list(causes))
    except (TypeError, RecursionError) as exc:
        raise AnsibleFilterError(f"{NAME}: the evidence must be plain data, as backend_info returns it: {exc}") from exc
    try:
        if present_start and isinstance(document, dict):
            document = of_present_start(document)
        elif since and isinstance(document, dict):
            document = of_attempts_since(document, str(since))
        return classify(document, _catalogue(tuple(str(path) for path in paths)), str(host) if host else None)
    except (EvidenceError, CatalogueError, ValueError) as exc:
        raise AnsibleFilterError(f"{NAME}: {exc}") from exc


class FilterModule:
    """Ansible's table of filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The one filter of this file."""
        return {"classify_root_cause": classify_root_cause}
