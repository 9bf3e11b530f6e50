# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The diagnosis as it is written: plain data of schema 1, made from the ranking and the state."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from .catalogue import Catalogue, Cause
from .confidence import confidence, raw_value
from .crashes import crashes
from .exit_codes import explain_exit
from .observe import Observed
from .proof import proofs, shown
from .ranking import Candidate, Ranking
from .remedy import remediation
from .state import State
from .subjects import extract, fill, standard

SCHEMA = 1
# Answers of a raw value below this are not given as a cause; what was considered is still listed.
FLOOR = 0.3
LISTED = 6
_AT_ONCE = 1000
# Of the family of network errors, and mistaken for none of them.
_APART = frozenset({"clock_skew"})


def digest(evidence: Mapping[str, Any]) -> str:
    """SHA-256 over the evidence as canonical JSON: the same evidence gives the same digest on every machine."""
    found = hashlib.sha256()
    for part in _canonical(evidence):
        found.update(part.encode("ascii"))
    return "sha256:" + found.hexdigest()


def _canonical(value: Any) -> Iterator[str]:
    """Canonical JSON in parts, since the text of large logs as a whole would take several times their memory."""
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        yield "{"
        for number, key in enumerate(sorted(value)):
            yield f"{',' if number else ''}{_json(key)}:"
            yield from _canonical(value[key])
        yield "}"
    elif isinstance(value, list) and set(map(type, value)) <= {str}:
        yield "["
        for start in range(0, len(value), _AT_ONCE):
            yield ("," if start else "") + _json(value[start : start + _AT_ONCE])[1:-1]
        yield "]"
    elif isinstance(value, list):
        yield "["
        for number, item in enumerate(value):
            yield "," if number else ""
            yield from _canonical(item)
        yield "]"
    else:
        yield _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str)


def assemble(
    observed: Observed, ranking: Ranking, state: State, catalogue: Catalogue, host: str | None = None
) -> dict[str, Any]:
    """The whole document."""
    names = {**standard(observed.evidence), **({"host": host, "limit": host} if host else {})}
    candidates = ranking.candidates
    top = candidates[0] if candidates else None
    sure = confidence(top, candidates[1:], observed) if top else 0.0
    unknown = catalogue.causes.get("unknown")
    given = top is not None and raw_value(top, candidates[1:]) >= FLOOR
    cause = top.cause if top is not None and given else unknown
    if cause is None:
        raise ValueError("the catalogue has no cause 'unknown'")
    subject = _subject(top, observed, names) if top is not None and given else {}
    margin = sure - confidence(candidates[1], [candidates[0]], observed) if len(candidates) > 1 else sure
    words = {**names, **subject}
    rest = candidates[1:] if given else candidates
    return {
        "schema": SCHEMA,
        "service": names.get("service"),
        "host": names.get("host"),
        "state": state.name,
        "state_evidence": [shown(citation, observed.evidence) for citation in state.reasons],
        "root_cause": {
            "id": cause.id,
            "title": cause.title,
            "confidence": sure if given else round(max(0.05, 0.3 - sure), 2),
            "attested": bool(top and given and top.attested),
            "explanation": fill(cause.explanation, words),
            "subject": subject,
            "evidence": proofs(top, observed) if top and given else [],
            "contradicting": _contradicting(top, observed) if top and given else [],
        },
        "crashes": crashes(observed.attempts),
        "candidates": [_listed(candidate, observed, names, candidates) for candidate in candidates[:LISTED]],
        "contributing": [_contributing(candidate, observed, names) for candidate in rest if _contributes(candidate)],
        "symptoms": [_symptom(candidate, observed) for candidate in ranking.symptoms[:LISTED]],
        "ruled_out": [
            {
                "id": other.id,
                "title": other.title,
                "reason": reason,
                "alike": _alike(other, cause, ranking),
                "evidence": shown(citation, observed.evidence) if citation else None,
            }
            for other, reason, citation in ranking.ruled_out
        ],
        "exit": explain_exit(_code(observed), observed.fact("service.exit.signal")) or None,
        "next_check": fill(_next_check(cause, top), words),
        "remediation": remediation(
            cause,
            words,
            catalogue,
            observed,
            confidence=sure,
            margin=margin,
            attested=bool(top and given and top.attested),
        ),
        "evidence_gaps": _gaps(observed),
        "references": list(cause.references),
    }


def _subject(candidate: Candidate, observed: Observed, names: Mapping[str, str]) -> dict[str, str]:
    return extract(candidate.cause.subject, candidate.hits, observed.evidence)


def _contradicting(candidate: Candidate, observed: Observed) -> list[dict[str, Any]]:
    cited = [citation for weighed in candidate.contradicting for citation in weighed.hit.citations[:2]]
    return [shown(citation, observed.evidence) for citation in cited]


def _alike(other: Cause, cause: Cause, ranking: Ranking) -> bool:
    """Whether one could take the cause for the other, so that it is worth a word that it was ruled out."""
    if other.id in _APART:
        return False
    related = cause.id in other.explains or other.id in cause.explains
    return related or other.family == cause.family or other.id in {one.cause.id for one in ranking.symptoms}


def _listed(
    candidate: Candidate, observed: Observed, names: Mapping[str, str], candidates: list[Candidate]
) -> dict[str, Any]:
    rivals = [other for other in candidates if other is not candidate]
    return {
        "id": candidate.cause.id,
        "title": candidate.cause.title,
        "confidence": confidence(candidate, rivals, observed),
        "attested": candidate.attested,
        "subject": _subject(candidate, observed, names),
        "evidence": proofs(candidate, observed, 3),
    }


def _contributes(candidate: Candidate) -> bool:
    """A further cause that stands on its own: likely by itself, and not only by words."""
    return candidate.likelihood >= 0.6 and candidate.cause.family != "verdict"


def _contributing(candidate: Candidate, observed: Observed, names: Mapping[str, str]) -> dict[str, Any]:
    subject = _subject(candidate, observed, names)
    return {
        "id": candidate.cause.id,
        "title": candidate.cause.title,
        "explanation": fill(candidate.cause.explanation, {**names, **subject}),
        "subject": subject,
        "evidence": proofs(candidate, observed, 3),
    }


def _symptom(candidate: Candidate, observed: Observed) -> dict[str, Any]:
    return {
        "id": candidate.cause.id,
        "title": candidate.cause.title,
        "explained_by": candidate.explained_by,
        "evidence": proofs(candidate, observed, 2),
    }


def _next_check(cause: Cause, top: Candidate | None) -> str:
    """When the answer is unknown, what would decide about the likeliest candidate."""
    if cause.id == "unknown" and top is not None:
        return top.cause.next_check
    return cause.next_check


def _code(observed: Observed) -> int | None:
    code = observed.fact("service.exit.code")
    return code if isinstance(code, int) and not isinstance(code, bool) else None


def _gaps(observed: Observed) -> list[str]:
    """Sections that could not be gathered and why, and privileges that were missing."""
    gaps = [
        f"{name}: {section['unavailable']}"
        for name, section in observed.evidence.items()
        if isinstance(section, Mapping) and isinstance(section.get("unavailable"), str)
    ]
    gaps += [
        f"{source.get('path') or source.get('id')}: {source['omitted_lines']} lines in its middle were searched for errors, not read"
        for source in observed.evidence.get("logs", {}).get("sources", [])
        if isinstance(source, Mapping) and source.get("omitted_lines")
    ]
    privileges = observed.fact("target.missing_privileges")
    return gaps + [str(item) for item in privileges if isinstance(item, str)] if isinstance(privileges, list) else gaps
