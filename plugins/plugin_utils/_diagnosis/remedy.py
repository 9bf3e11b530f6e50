# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a cause and its subject to what to do: the fix role where it exists, else commands that a person can type."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from .catalogue import Catalogue, Cause
from .commands import commands
from .observe import Observed
from .subjects import SLOT, fill

NAMESPACE = "firstaid.backend"


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
    :returns: role and vars (None and empty when no role repairs it), automatic with why_not_automatic, the command to
        type, and the hand-over: commands to look, what to ask whom, a note.
    """
    plan = cause.remediation
    built = plan.role is not None and plan.role in catalogue.built_roles
    values = {
        name: fill(template, subject)
        for name, template in plan.vars.items()
        if all(subject.get(match.group(1)) for match in SLOT.finditer(template))
    }
    why_not = _why_not(cause, catalogue, observed, subject, built, confidence, margin, attested)
    printed = commands(cause.commands, subject, observed.evidence)
    return {
        "role": f"{NAMESPACE}.fix_{plan.role}" if built else None,
        "vars": values if built else {},
        "automatic": why_not is None,
        "why_not_automatic": why_not,
        "command": _command(plan.role, values, subject) if built else (printed[0] if printed else None),
        "handover": {
            "commands": printed,
            "ask": fill(cause.ask, subject) or None,
            "note": fill(cause.note, subject) or None,
            "planned_role": f"{NAMESPACE}.fix_{plan.role}" if plan.role and not built else None,
        },
    }


def _why_not(
    cause: Cause,
    catalogue: Catalogue,
    observed: Observed,
    subject: Mapping[str, str],
    built: bool,
    confidence: float,
    margin: float,
    attested: bool,
) -> str | None:
    """The first reason against fixing it unattended, None when there is none."""
    plan = cause.remediation
    if plan.role is None:
        return fill(plan.why_not, subject) or "No machine should fix this: it needs somebody who knows the application."
    if not plan.automatic:
        return fill(plan.why_not, subject) or "The right change depends on a decision of a person."
    if not built:
        return f"The role {NAMESPACE}.fix_{plan.role} is not part of this version of the collection."
    for condition in plan.when:
        if not condition.holds(observed):
            return fill(plan.why_not, subject) or f"It is automatic only when {condition.text}."
    if not attested:
        return "Only log text speaks for it, and log text alone doesn't start a fix."
    if confidence < catalogue.min_confidence:
        return f"The confidence is {confidence:.2f}; automatic fixing needs {catalogue.min_confidence:.2f}."
    if margin < catalogue.min_margin:
        return f"Another cause is only {margin:.2f} behind; automatic fixing needs {catalogue.min_margin:.2f}."
    return None


def _command(role: str | None, values: Mapping[str, str], subject: Mapping[str, str]) -> str:
    words = ["ansible-playbook", f"playbooks/fix-backend-{(role or '').replace('_', '-')}.yml"]
    if subject.get("host"):
        words += ["--limit", subject["host"]]
    if subject.get("service"):
        words += ["-e", f"backend_service={subject['service']}"]
    for name, value in values.items():
        words += ["-e", f"{name}={value}"]
    return shlex.join(words)
