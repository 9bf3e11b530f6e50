# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``classify``: from evidence to diagnosis, a pure function without input, output, clock or chance."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .catalogue import Catalogue
from .diagnosis import assemble, digest
from .excerpts import excerpted, source_of_text
from .observe import Observed, observe
from .ranking import Candidate, Ranking, rank
from .state import State, determine

# From here on a lasting error counts against a backend that merely seems to run.
LASTING = 0.5
_REQUEST = re.compile(r"HTTP/[\d.]+\"? (?:200|201|204|301|302|304)\b|-> 200\b")


def evidence_from_log(text: str, path: str = "backend.log") -> dict[str, Any]:
    """Evidence that consists of one log and nothing else, for a log that somebody pastes."""
    return {"schema": 1, "logs": {"sources": [source_of_text(text, path)]}}


class EvidenceError(ValueError):
    """The argument is no evidence document; the message says what was found instead."""


def classify(evidence: Mapping[str, Any], catalogue: Catalogue, host: str | None = None) -> dict[str, Any]:
    """Name the root cause, with its evidence.

    :param evidence: plain data of schema 1; every section may be missing or unavailable.
    :param host: the host's name in the inventory, for the commands to type; the evidence doesn't know it.
    :returns: the diagnosis of schema 1.
    :raises EvidenceError: when it isn't a mapping or has a schema that this version doesn't know.
    """
    if not isinstance(evidence, Mapping):
        raise EvidenceError(f"evidence is a mapping, not {type(evidence).__name__}")
    schema = evidence.get("schema", 1)
    if schema != 1:
        raise EvidenceError(f"evidence has schema {schema!r}; this version reads schema 1")
    observed, state, ranking = weighed(evidence, catalogue)
    return {
        **assemble(observed, ranking, final_state(state, ranking), catalogue, host),
        "evidence_digest": digest(evidence),
    }


def weighed(evidence: Mapping[str, Any], catalogue: Catalogue) -> tuple[Observed, State, Ranking]:
    """What was seen, the state that facts tell, and the candidates in their order."""
    observed = observe(excerpted(evidence))
    state = determine(observed)
    return observed, state, settle(rank(observed, catalogue), state, catalogue, observed)


def settle(ranking: Ranking, state: State, catalogue: Catalogue, observed: Observed) -> Ranking:
    """Let the state decide between sick and healthy: a finding needs a failing state, ``healthy`` a sound one."""
    healthy = next((c for c in ranking.candidates if c.cause.id == "healthy"), None)
    others = [c for c in ranking.candidates if c.cause.id != "healthy"]
    if healthy is None:
        return ranking
    if state.certain and state.name != "healthy":
        ranking.candidates = others
        ranking.ruled_out.append((healthy.cause, "the backend is " + state.name.replace("_", "-") + "", None))
        return ranking
    if state.certain and state.name == "healthy":
        strong = [healthy if healthy.likelihood > 0.9 else replace(healthy, likelihood=0.95)]
        ranking.symptoms = [replace(c, explained_by="healthy") for c in [*others, *ranking.symptoms]]
        ranking.candidates = strong
        return ranking
    # Nobody was asked whether it answers: an error that can't heal by itself outweighs a start that seemed to succeed.
    lasting = [c for c in others if c.cause.permanent and c.likelihood >= LASTING]
    if lasting and not _answered_requests(observed):
        weaker = replace(healthy, likelihood=min(healthy.likelihood, 0.8 * lasting[0].likelihood))
        ranking.candidates = sorted([*others, weaker], key=lambda c: -c.likelihood)
    return ranking


def _answered_requests(observed: Observed) -> bool:
    return any(_REQUEST.search(line.text[:400]) for line in observed.lines if line.age == 0)


def final_state(state: State, ranking: Ranking) -> State:
    """Where facts were silent, the winning cause says whether the backend is well."""
    if state.certain or not ranking.candidates:
        return state
    top: Candidate = ranking.candidates[0]
    if top.cause.id == "healthy":
        return State("healthy", False, state.starting, state.reasons)
    if state.name == "healthy":
        return State("degraded", False, False, state.reasons)
    return state


__all__ = ["EvidenceError", "classify", "evidence_from_log", "final_state", "settle", "weighed"]
