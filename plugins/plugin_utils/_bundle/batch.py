# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the hosts of a play left in their variables, as plain data that is never templated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .outcome import Outcome, outcome


def judge(host: str, variables: Mapping[str, Any], arguments: Mapping[str, Any]) -> Outcome:
    """What became of one host, from the variables that the role registered for it.

    :param arguments: ``evidence_variable`` and ``answer_variable`` name them.
    """
    facts = raw(variables, host)
    gathered = plain(facts.get(arguments["evidence_variable"]))
    answer = plain(facts.get(arguments["answer_variable"]))
    if "diagnoses" not in answer and "msg" not in answer:
        answer["msg"] = "the classifier gave no answer"
    judged = outcome(
        host,
        gathered,
        answer.get("diagnoses"),
        wanted=answer.get("wanted") or None,
        connection=str(answer.get("connection") or "the inventory's connection"),
        error=str(answer.get("msg") or ""),
    )
    labels = answer.get("labels")
    judged.labels = [str(label) for label in labels] if isinstance(labels, list) else []
    return judged


def raw(variables: Mapping[str, Any], host: str) -> Mapping[str, Any]:
    """A host's variables as they are, not templated."""
    found = variables["hostvars"].raw_get(host)
    return found if isinstance(found, Mapping) else {}


def plain(value: Any) -> dict[str, Any]:
    """A registered result as plain data; Ansible's own containers carry tags that nothing here needs."""
    found = json.loads(json.dumps(value, default=str)) if isinstance(value, Mapping) else {}
    return found if isinstance(found, dict) else {}


def plain_list(value: Any) -> list[dict[str, Any]]:
    """The mappings of a list as plain data."""
    return [plain(item) for item in value if isinstance(item, Mapping)] if isinstance(value, (list, tuple)) else []
