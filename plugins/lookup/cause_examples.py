# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the examples that cause files carry, on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
name: cause_examples
short_description: Run the examples of cause files
version_added: 0.2.0
description:
  - Checks cause files of your own and classifies the examples that they carry, with the whole catalogue of the collection.
  - A file needs at least one example of each kind, C(hit), C(miss) and C(look_alike).
options:
  _terms:
    description: Cause files on the controller, or directories of them, in the shape that C(docs/adding-a-cause.md) describes.
    type: list
    elements: path
    required: true
author:
  - firstaid contributors (@firstaid)
"""

EXAMPLES = r"""
- name: Show which examples of our own causes come out otherwise than expected
  ansible.builtin.debug:
    msg: "{{ query('firstaid.backend.cause_examples', '/etc/firstaid/causes') | selectattr('wrong') }}"
"""

RETURN = r"""
_raw:
  description: One entry for each example, and one for each file that lacks a kind of them.
  type: list
  elements: dict
  contains:
    file:
      description: The cause file.
      type: str
      returned: always
    cause:
      description: The cause's id.
      type: str
      returned: always
    name:
      description: Name of the example. Null where a kind is missing.
      type: str
      returned: always
    expect:
      description: Kind of the example, V(hit), V(miss) or V(look_alike).
      type: str
      returned: always
    answer:
      description: The id that the classifier answered.
      type: str
      returned: always
    confidence:
      description: Its confidence, from 0 to 1.
      type: float
      returned: always
    wrong:
      description: What is wrong, a sentence. Null when the answer is the expected one.
      type: str
      returned: always
"""

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.catalogue import CatalogueError
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.examples import run


class LookupModule(LookupBase):  # type: ignore[misc]
    """The thin face of ``_diagnosis.examples``."""

    def run(self, terms: list[Any], variables: Any = None, **kwargs: Any) -> list[dict[str, Any]]:
        self.set_options(var_options=variables, direct=kwargs)
        try:
            return run([str(term) for term in terms])
        except CatalogueError as exc:
            raise AnsibleError(f"firstaid.backend.cause_examples: {exc}") from None
