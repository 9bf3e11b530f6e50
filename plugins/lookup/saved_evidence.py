# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the evidence of a saved bundle, or a bare log file, on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
name: saved_evidence
short_description: Read the evidence of a saved bundle, or a bare log file
version_added: 0.1.0
description:
  - Gives the evidence that an earlier diagnosis saved, so that it can be classified again without the host.
  - A bare log file is given in the shape of evidence. Of one with more than 8 MiB the end is read.
  - Secrets in a bare log are redacted before anything else reads it, as far as their shape gives them away.
options:
  _terms:
    description: Paths on the controller, of a bundle, a directory inside of one, an C(evidence.json) or a log file.
    type: list
    elements: path
    required: true
author:
  - firstaid contributors (@firstaid)
"""

EXAMPLES = r"""
- name: Name the root causes of an earlier run again
  ansible.builtin.debug:
    msg: "{{ query('firstaid.backend.saved_evidence', '/tmp/backend-diagnostics-20261122T101500Z') | map(attribute='evidence')
      | map('firstaid.backend.classify_root_cause') }}"
"""

RETURN = r"""
_raw:
  description: The documents, in the order of their paths.
  type: list
  elements: dict
  contains:
    label:
      description: The name of the host in the bundle, or C(log).
      type: str
      returned: always
    evidence:
      description: The evidence, as RV(firstaid.backend.backend_info#module:backends[]).
      type: dict
      returned: always
"""

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.firstaid.backend.plugins.plugin_utils._bundle.saved import SavedError, saved


class LookupModule(LookupBase):  # type: ignore[misc]
    """The thin face of ``_bundle.saved``."""

    def run(self, terms: list[Any], variables: Any = None, **kwargs: Any) -> list[dict[str, Any]]:
        self.set_options(var_options=variables, direct=kwargs)
        try:
            return [document for term in terms for document in saved(str(term))]
        except SavedError as exc:
            raise AnsibleError(f"firstaid.backend.saved_evidence: {exc}.") from None
