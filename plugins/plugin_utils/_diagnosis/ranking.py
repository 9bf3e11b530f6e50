# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Weighing causes against each other.

Every cause gets the log odds that its conditions add up to. Conditions that rest on the same line or fact count once,
further ones of the same kind count less and less (five log lines of one exception are one observation), different kinds
confirm each other. Then candidates that another one explains become symptoms, and what remains competes: the
confidence of the best falls with the strength of the second.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from .catalogue import Catalogue, Cause
from .conditions import Condition
from .observe import Observed
from .observed import Citation, Hit

# Log odds of a cause that nothing speaks for. A single decisive condition (6) makes 0.93 of it, a strong one (4) 0.65.
BASE = -3.4
# What the second, third, … observation of one kind still adds, and what a further kind adds.
FADING = (1.0, 0.35, 0.2, 0.1)
FURTHER_KIND = 0.6
# Below this a candidate isn't mentioned, and cannot explain another.
MENTION = 0.08
EXPLAIN_AT = 0.3
# Sections that show how things are, not how the backend ended.
AMBIENT = (
    "ports.", "backing_services.", "resources.disks", "resources.fds", "access.", "environment.", "symlinks.", "clock.",
    "interpreter.", "packages.", "unit.environment_files",
)  # fmt: skip
# A direct cause this likely comes before everything that is merely also true.
PRIME = 0.7
_KINDS = {
    "exception": "log",
    "health": "log",
    "log": "log",
    "fact": "fact",
    "import_test": "test",
    "foreground_test": "test",
}


@dataclass(frozen=True)
class Weighed:
    """One condition of a cause that holds, with its weightiest hit and what it counts."""

    condition: Condition
    hit: Hit
    value: float
    others: tuple[Hit, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """A cause that something speaks for. ``likelihood`` is for itself alone, before the others are looked at."""

    cause: Cause
    likelihood: float
    reasons: tuple[Weighed, ...]
    contradicting: tuple[Weighed, ...] = ()
    explained_by: str | None = None

    @property
    def attested(self) -> bool:
        """Whether a fact that log lines can't forge speaks for it with some weight."""
        return any(reason.hit.attested and reason.condition.weight >= 1.5 for reason in self.reasons)

    @property
    def direct(self) -> bool:
        """Whether something speaks for it that tells how the backend ended: its log, the import test, the supervisor or
        the kernel. A full disk or a service that is down may be beside the point."""
        return any(reason.value >= 1.5 and _is_direct(reason.hit) for reason in self.reasons)

    @property
    def hits(self) -> list[Hit]:
        """All hits, those of the weightiest condition first."""
        return [hit for reason in self.reasons for hit in (reason.hit, *reason.others)]

    def citations(self, limit: int = 8) -> list[Citation]:
        """Where it can be looked up, one of each condition first, without repetition."""
        first = [citation for reason in self.reasons for citation in reason.hit.citations]
        rest = [citation for reason in self.reasons for hit in reason.others for citation in hit.citations]
        unique: dict[tuple[str, int | None, str], Citation] = {}
        for citation in [*first, *rest]:
            unique.setdefault((citation.file, citation.line, citation.quote[:80]), citation)
        return list(unique.values())[:limit]


def _is_direct(hit: Hit) -> bool:
    return hit.kind != "fact" or not any(citation.file.startswith(AMBIENT) for citation in hit.citations)


@dataclass
class Ranking:
    """The outcome: candidates best first, symptoms, and what was excluded with the reason."""

    candidates: list[Candidate] = field(default_factory=list)
    symptoms: list[Candidate] = field(default_factory=list)
    ruled_out: list[tuple[Cause, str, Citation | None]] = field(default_factory=list)


def rank(observed: Observed, catalogue: Catalogue) -> Ranking:
    """Weigh all causes of the catalogue on the observations."""
    ranking = Ranking()
    found = []
    for cause in catalogue.causes.values():
        candidate = weigh(cause, observed)
        if candidate is None:
            continue
        excluded = _excluded(cause, observed)
        if excluded is not None:
            ranking.ruled_out.append((cause, excluded[0], excluded[1]))
        elif candidate.likelihood >= MENTION:
            found.append(candidate)
    found.sort(key=lambda c: (-c.likelihood, c.cause.fallback, c.cause.id))
    _explain(found, ranking)
    prime = any(c.direct and not c.cause.fallback and c.likelihood >= PRIME for c in ranking.candidates)
    if prime:
        ranking.candidates.sort(key=lambda c: (not c.direct, -c.likelihood, c.cause.id))
    _rule_out(observed, catalogue, ranking)
    return ranking


def weigh(cause: Cause, observed: Observed) -> Candidate | None:
    """The candidate that a cause makes, or None when none of its conditions holds."""
    reasons = _weighed(cause.likely, observed, cause.permanent)
    if not reasons:
        return None
    contradicting = _weighed(cause.against, observed, False)
    odds = BASE + cause.prior + _total(reasons) - sum(one.value for one in contradicting)
    likelihood = 1 / (1 + math.exp(-max(-30.0, min(30.0, odds))))
    return Candidate(cause, likelihood, tuple(reasons), tuple(contradicting))


def _weighed(conditions: Iterable[Condition], observed: Observed, permanent: bool) -> list[Weighed]:
    weighed = []
    for condition in conditions:
        hits = condition.holds(observed)
        if hits:
            best = max(hits, key=lambda hit: (hit.weight, hit.attested))
            # What can't heal by itself is as true before a successful start as after it.
            place = max(best.weight, 0.55) if permanent else best.weight
            others = tuple(hit for hit in hits[:6] if hit is not best)
            weighed.append(Weighed(condition, best, condition.weight * place, others))
    return sorted(weighed, key=lambda one: -one.value)


def _total(reasons: list[Weighed]) -> float:
    """Add up, each line or fact once, fading within a kind."""
    kinds: dict[str, list[float]] = {}
    used: set[tuple[str, int | None]] = set()
    for reason in reasons:
        places = {(citation.file, citation.line) for citation in reason.hit.citations}
        if places and places <= used:
            continue
        used |= places
        kinds.setdefault(_KINDS.get(reason.hit.kind, "log"), []).append(reason.value)
    sums = sorted(
        (sum(v * FADING[min(i, len(FADING) - 1)] for i, v in enumerate(values)) for values in kinds.values()),
        reverse=True,
    )
    return sum(value if not index else value * FURTHER_KIND for index, value in enumerate(sums))


def _excluded(cause: Cause, observed: Observed) -> tuple[str, Citation | None] | None:
    for condition in cause.excludes:
        hits = condition.holds(observed)
        if hits:
            citation = hits[0].citations[0] if hits[0].citations else None
            return (f"{citation.quote}" if citation else condition.text, citation)
    for condition in cause.requires:
        if not condition.holds(observed):
            return (f"nothing shows that {condition.text}", None)
    return None


def _explain(found: list[Candidate], ranking: Ranking) -> None:
    """Candidates that a likely enough one explains become symptoms; a fallback is explained by anything specific."""
    explained: dict[str, str] = {}
    for candidate in reversed(found):
        for other in found:
            if _explains(other, candidate) and not _leads_to(explained, other.cause.id, candidate.cause.id):
                explained[candidate.cause.id] = other.cause.id
                break
    for candidate in found:
        by = explained.get(candidate.cause.id)
        if by is None:
            ranking.candidates.append(candidate)
        else:
            ranking.symptoms.append(replace(candidate, explained_by=by))


def _leads_to(explained: dict[str, str], start: str, goal: str) -> bool:
    """Whether the chain of explanations from one cause arrives at another, so that a further link would close a circle."""
    while start in explained:
        start = explained[start]
        if start == goal:
            return True
    return False


def _explains(other: Candidate, candidate: Candidate) -> bool:
    if other is candidate or other.likelihood < EXPLAIN_AT:
        return False
    cause = candidate.cause
    if candidate.direct and not other.direct and not cause.fallback:
        return False
    if cause.id in other.cause.explains:
        # A plain consequence is explained by much less than what could just as well be a cause of its own.
        return other.likelihood >= (0.35 if cause.fallback else 0.5) * candidate.likelihood
    if cause.fallback and not other.cause.fallback and other.cause.family != "verdict":
        return other.likelihood >= 0.45 * candidate.likelihood
    return False


def _rule_out(observed: Observed, catalogue: Catalogue, ranking: Ranking) -> None:
    mentioned = {candidate.cause.id for candidate in [*ranking.candidates, *ranking.symptoms]}
    mentioned |= {cause.id for cause, _reason, _citation in ranking.ruled_out}
    for cause in catalogue.causes.values():
        if cause.id in mentioned:
            continue
        for entry in cause.ruled_out:
            hits = entry.condition.holds(observed)
            if hits:
                citation = hits[0].citations[0] if hits[0].citations else None
                ranking.ruled_out.append((cause, entry.says, citation))
                break
