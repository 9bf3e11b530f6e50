# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a diagnosis to an ordered plan: which fix comes next, and why a machine may or may not run it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._diagnosis.catalogue import Catalogue
from .._diagnosis.remedy import fix, gate

PREFIX = "firstaid.backend.fix_"
# Below this, what else was considered isn't worth a line of the plan.
FLOOR = 0.3
# Obstacles that a plan looks at by itself, since the user may set the gates.
GATES = frozenset({None, "confidence", "margin"})
# Parts of a subject that only fill texts.
_HELPERS = frozenset({"problem", "doubt", "lookup", "requirement", "right", "search_path", "message", "found"})
# What a fix that was tried can have ended in without having been of use.
_USED = frozenset({"healed", "progress", "unverified", "not_needed"})
_LATER = "It is looked at again when the cause before it is gone."


@dataclass(frozen=True)
class Limits:
    """What the user, the history and this session allow.

    ``min_confidence`` and ``min_margin`` are None where the catalogue's hold. ``auto_causes`` are the only causes that may be
    repaired unattended, None for all. ``decided`` holds, for each fix, the names that the user gave a value for, which
    takes the place of a decision that is asked for. ``breaker`` is the loop breaker's word: open, why, causes {fix/cause: why}.
    ``tried`` are the answers of the fixes of this session.
    """

    min_confidence: float | None = None
    min_margin: float | None = None
    auto_causes: Sequence[str] | None = None
    auto_fix: bool = True
    decided: Mapping[str, Sequence[str]] = field(default_factory=dict)
    breaker: Mapping[str, Any] = field(default_factory=dict)
    tried: Sequence[Mapping[str, Any]] = ()


def plan(diagnosis: Mapping[str, Any], catalogue: Catalogue, limits: Limits) -> dict[str, Any]:
    """The plan for one backend.

    :param diagnosis: of schema 1, as ``classify_root_cause`` gives it.
    :returns: ``steps`` in order, each with role, fix, vars, options (vars under the fix's own names), cause, title, subject, automatic, why_not_automatic
        and command; ``verdict`` when nothing is left to do for a machine (nothing_to_do, handed_over, or planned when
        only the plan was asked for), else None; ``reason``, a sentence; ``last``, see :func:`_judge`.
    """
    root = _part(diagnosis, "root_cause")
    cause = str(root.get("id") or "unknown")
    last = _judge(limits.tried[-1], diagnosis) if limits.tried else None
    if _healthy(diagnosis):
        return {"steps": [], "verdict": "nothing_to_do", "reason": "The backend is healthy.", "last": last}
    steps = [_first(diagnosis, cause, root, catalogue, limits), *_others(diagnosis, cause, catalogue)]
    first = steps[0]
    verdict, reason = None, first["title"]
    if not first["automatic"]:
        verdict, reason = "handed_over", first["why_not_automatic"]
    elif not limits.auto_fix:
        verdict, reason = "planned", "Only the plan was asked for (backend_auto_fix is false)."
    return {"steps": steps, "verdict": verdict, "reason": reason, "last": last}


def _judge(last: Mapping[str, Any], diagnosis: Mapping[str, Any]) -> str | None:
    """What this diagnosis says about a fix after which the backend didn't get healthy: ``healthy`` (it is now), ``same`` (the
    cause that was repaired is still there) or ``other`` (another one shows). None for a fix that isn't in question."""
    if last.get("outcome") != "unverified":
        return None
    if _healthy(diagnosis):
        return "healthy"
    root = _part(diagnosis, "root_cause")
    now = subject_name(root.get("subject"))
    return "same" if root.get("id") == last.get("cause") and now in ("", last.get("subject")) else "other"


def _healthy(diagnosis: Mapping[str, Any]) -> bool:
    return diagnosis.get("state") == "healthy" or _part(diagnosis, "root_cause").get("id") == "healthy"


def subject_name(subject: Any) -> str:
    """What a cause is about, in one value: the first of its subject that stands for a thing."""
    values = subject.items() if isinstance(subject, Mapping) else ()
    return next((str(value) for key, value in values if value and key not in _HELPERS), "")


def tried_before(step: Mapping[str, Any], tried: Sequence[Mapping[str, Any]]) -> str | None:
    """Why a step isn't worth another try in this session, None when it is.

    The same fix may run again for the same cause when it is about something else: a second missing module, say.
    """
    for one in tried:
        same = one.get("fix") == step["fix"] and one.get("cause") == step["cause"]
        if not same:
            continue
        if one.get("outcome") not in _USED:
            return f"It was tried in this run and ended {str(one.get('outcome')).replace('_', ' ')}."
        if one.get("options", {}) == step["options"] and one.get("subject", "") == step["subject"]:
            return "It was done in this run, and the cause is still there."
    return None


def _first(
    diagnosis: Mapping[str, Any], cause: str, root: Mapping[str, Any], catalogue: Catalogue, limits: Limits
) -> dict[str, Any]:
    remedy = _part(diagnosis, "remediation")
    step = _step(
        cause, str(root.get("title") or cause), root.get("subject"), remedy.get("role"), _part(remedy, "vars"), remedy.get("command")
    )  # fmt: skip
    step["why_not_automatic"] = _why_not(step, root, remedy, catalogue, limits)
    step["automatic"] = step["why_not_automatic"] is None
    return step


def _why_not(
    step: Mapping[str, Any], root: Mapping[str, Any], remedy: Mapping[str, Any], catalogue: Catalogue, limits: Limits
) -> str | None:
    obstacle = remedy.get("obstacle")
    if obstacle == "decision" and _is_decided(step, limits.decided):
        obstacle = None if root.get("attested") else "not_attested"
    if step["role"] is None or obstacle not in GATES:
        return str(remedy.get("why_not_automatic") or "No machine should fix this.")
    blocked, sentence = gate(
        _number(root.get("confidence")),
        _number(remedy.get("margin")),
        catalogue.min_confidence if limits.min_confidence is None else limits.min_confidence,
        catalogue.min_margin if limits.min_margin is None else limits.min_margin,
    )
    if blocked:
        return sentence
    if limits.auto_causes is not None and step["cause"] not in limits.auto_causes:
        return f"backend_auto_causes doesn't list {step['cause']}."
    return tried_before(step, limits.tried) or _breaker(step, limits.breaker)


def _breaker(step: Mapping[str, Any], breaker: Mapping[str, Any]) -> str | None:
    """Why the loop breaker stops this step, None when it doesn't."""
    if breaker.get("open"):
        return f"The loop breaker is open: {str(breaker.get('why')).rstrip('.')}."
    why = _part(breaker, "causes").get(f"{step['fix']}/{step['cause']}")
    return f"The loop breaker is open: {str(why).rstrip('.')}." if why else None


def _is_decided(step: Mapping[str, Any], decided: Mapping[str, Sequence[str]]) -> bool:
    """Whether the user has given beforehand what a person has to decide: a value for the variable that is missing."""
    given = [str(name).lower() for name in decided.get(step["fix"] or "", ())]
    wanted = [str(value).lower() for value in step["options"].values()]
    # A field of a settings class is called without the prefix that its variable has.
    return bool(given) and all(any(name == value or name.endswith(f"_{value}") for name in given) for value in wanted)


def _others(diagnosis: Mapping[str, Any], root: str, catalogue: Catalogue) -> list[dict[str, Any]]:
    """What else was found, to be planned again once the first is gone: what stands on its own before mere candidates."""
    steps: list[dict[str, Any]] = []
    known = {root, "healthy", "unknown"}
    for key in ("contributing", "candidates"):
        for found in diagnosis.get(key) or []:
            cause = catalogue.causes.get(str(_mapping(found).get("id")))
            if cause is None or cause.id in known:
                continue
            if key == "candidates" and _number(found.get("confidence")) < FLOOR:
                continue
            known.add(cause.id)
            subject = _mapping(found).get("subject")
            role, values, _command = fix(cause.remediation, _mapping(subject), catalogue)
            steps.append(_step(cause.id, cause.title, subject, role, values, None))
    return steps


def _step(cause: str, title: str, subject: Any, role: Any, values: Mapping[str, Any], command: Any) -> dict[str, Any]:
    name = str(role).removeprefix(PREFIX) if role else None
    return {
        "role": role or None,
        "fix": name,
        "vars": dict(values),
        "options": {key.removeprefix(f"{name}_"): value for key, value in values.items()},
        "cause": cause,
        "title": title,
        "subject": subject_name(subject),
        "automatic": False,
        "why_not_automatic": _LATER,
        "command": command if role else None,
    }


def _part(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return _mapping(value.get(name))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0.0
