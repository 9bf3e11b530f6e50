# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a cause and its subject to what to do: the fix role where it exists, else commands that a person can type."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any

from .catalogue import Catalogue, Cause, Remediation
from .commands import commands
from .observe import Observed
from .subjects import SLOT, fill

NAMESPACE = "firstaid.backend"
_TEMPLATE = re.compile(r"\{[{%#]")
# What Ansible reads as it stands behind name=.
_PLAIN = re.compile(r"[A-Za-z0-9_@%+:,./-]+")
# What can keep a fix from running unattended, in the order in which it is looked at. The last two are gates that the user may set.
OBSTACLES = ("no_role", "decision", "not_built", "condition", "not_attested", "confidence", "margin")


def remediation(
    cause: Cause,
    subject: Mapping[str, str],
    catalogue: Catalogue,
    observed: Observed,
    *,
    confidence: float,
    margin: float,
    attested: bool,
) -> dict[str, Any]:
    """The ``remediation`` block of the diagnosis.

    :param margin: how far the second candidate is behind, from 0 to 1.
    :returns: role and vars (None and empty when no role repairs it), automatic with why_not_automatic and the name of
        the obstacle (one of :data:`OBSTACLES`), the margin, the command to type, and the hand-over: commands to look,
        what to ask whom, a note.
    """
    plan = planned(cause, observed)
    obstacle, why_not = _obstacle(plan, catalogue, observed, subject, confidence, margin, attested)
    printed = commands(cause.commands, subject, observed.evidence)
    role, values, command = fix(plan, subject, catalogue)
    return {
        "role": role,
        "vars": values,
        "automatic": obstacle is None,
        "why_not_automatic": why_not,
        "obstacle": obstacle,
        "margin": round(margin, 2),
        "command": command if role else (printed[0] if printed else None),
        "handover": {
            "commands": printed,
            "ask": fill(cause.ask, subject) or None,
            "note": fill(cause.note, subject) or None,
            "planned_role": f"{NAMESPACE}.fix_{plan.role}" if plan.role and not role else None,
        },
    }


def planned(cause: Cause, observed: Observed) -> Remediation:
    """What repairs the cause here: the first of its special cases that the evidence shows, else the usual one."""
    for other in cause.remediation.instead:
        if all(condition.holds(observed) for condition in other.when):
            return other
    return cause.remediation


def fix(
    plan: Remediation, subject: Mapping[str, str], catalogue: Catalogue
) -> tuple[str | None, dict[str, str], str | None]:
    """Role, variables and command of the fix for a cause; nothing of it where no role of this collection repairs it.

    A variable whose template has a slot that isn't known is left out: the fix then finds out by itself.
    """
    if plan.role is None or plan.role not in catalogue.built_roles:
        return None, {}, None
    values = {
        name: fill(template, subject)
        for name, template in plan.vars.items()
        if all(_whole(subject.get(match.group(1))) for match in SLOT.finditer(template))
    }
    return f"{NAMESPACE}.fix_{plan.role}", values, _command(plan.role, values, subject)


def _whole(value: str | None) -> bool:
    """Whether a value of the subject is known as it is: neither empty, nor cut to length, nor redacted."""
    return value is not None and value != "" and not value.endswith("\u2026") and "<redacted:" not in value


def _obstacle(
    plan: Remediation,
    catalogue: Catalogue,
    observed: Observed,
    subject: Mapping[str, str],
    confidence: float,
    margin: float,
    attested: bool,
) -> tuple[str | None, str | None]:
    """The first reason against fixing it unattended and its sentence, None twice when there is none."""
    own = fill(plan.why_not, subject)
    if plan.role is None:
        return "no_role", own or "No machine should fix this: it needs somebody who knows the application."
    if not plan.automatic:
        return "decision", own or "The right change depends on a decision of a person."
    if plan.role not in catalogue.built_roles:
        return "not_built", f"The role {NAMESPACE}.fix_{plan.role} is not part of this version of the collection."
    for condition in plan.when:
        if not condition.holds(observed):
            return "condition", own or f"It is automatic only when {condition.text}."
    if not attested:
        return "not_attested", "Only log text speaks for it, and log text alone doesn't start a fix."
    return gate(confidence, margin, catalogue.min_confidence, catalogue.min_margin)


def gate(confidence: float, margin: float, min_confidence: float, min_margin: float) -> tuple[str | None, str | None]:
    """Whether the answer is sure enough for a fix that nobody watches: the obstacle and its sentence, or None twice."""
    if confidence < min_confidence:
        return "confidence", f"The confidence is {confidence:.2f}; automatic fixing needs {min_confidence:.2f}."
    if margin < min_margin:
        return "margin", f"Another cause is only {margin:.2f} behind; automatic fixing needs {min_margin:.2f}."
    return None, None


def _command(role: str, values: Mapping[str, str], subject: Mapping[str, str]) -> str:
    words = ["ansible-playbook", f"playbooks/fix-backend-{role.replace('_', '-')}.yml"]
    if subject.get("limit"):
        words += ["--limit", subject["limit"]]
    given = {"backend_service": subject.get("service"), **values}
    # Ansible evaluates templates in extra variables: a value that could be one is not printed for anybody to paste.
    for name, value in given.items():
        if value and not _TEMPLATE.search(value):
            plain = _PLAIN.fullmatch(value)
            words += ["-e", f"{name}={value}" if plain else json.dumps({name: value}, ensure_ascii=False)]
    return shlex.join(words)
