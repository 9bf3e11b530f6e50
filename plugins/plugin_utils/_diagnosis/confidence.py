# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How sure an answer is, so that answers given with 0.9 are right nine times in ten."""

from __future__ import annotations

import math
from collections.abc import Mapping

from .calibration import OFFSETS, SLOPE
from .observe import Observed
from .ranking import Candidate
from .state import by_health

# How sure an answer can be at best, by what it rests on.
CAP_ATTESTED = 0.98
CAP_LOG = 0.96
CAP_ONLY_OLD = 0.8
CAP_PRIVILEGES = 0.9
# A second candidate up to this likelihood is noise; beyond it takes this share of the doubt.
NOISE = 0.15
RIVALRY = 0.9
# Up to this raw value lie ties and guesses, which the calibration doesn't lift; from there it rises this steeply.
TIE = 0.5
STEEP = 5.0


def confidence(candidate: Candidate, rivals: list[Candidate], observed: Observed) -> float:
    """From 0 to 1: the candidate's likelihood, lowered by a strong second and by what the evidence can't tell."""
    cap = CAP_ATTESTED if candidate.attested else CAP_LOG
    if not candidate.attested and all(hit.weight <= 0.6 for hit in candidate.hits):
        cap = CAP_ONLY_OLD
    if observed.fact("target.missing_privileges") and not candidate.attested:
        cap = min(cap, CAP_PRIVILEGES)
    return round(min(calibrated(raw_value(candidate, rivals), kind_of(candidate, observed)), cap), 2)


def raw_value(candidate: Candidate, rivals: list[Candidate]) -> float:
    """The likelihood of the candidate, shared with its strongest rival.

    What is merely also true (a full disk beside the exception that ended the process) is no rival of a direct cause.
    """
    prime = candidate.direct and not candidate.cause.fallback
    second = max((rival.likelihood for rival in rivals if rival.direct or not prime), default=0.0)
    return candidate.likelihood * candidate.likelihood / (candidate.likelihood + RIVALRY * max(0.0, second - NOISE))


def kind_of(candidate: Candidate, observed: Observed) -> str:
    """What kind of answer it is, a key of :data:`OFFSETS`: the same likelihood is right more often for one than for another.

    An exception that a library of somebody else raised is a bug of the application only as long as nobody has written
    down what it means, and a backend whose endpoints nobody asked may be running without doing its work.
    """
    if candidate.cause.id == "healthy":
        asked = by_health(observed)
        return "healthy, asked" if asked is not None and asked.name == "healthy" else "healthy, not asked"
    if candidate.cause.id == "application_exception":
        worst = max(observed.seen, key=lambda seen: seen.weight, default=None)
        return "own code" if worst is not None and worst.origin == "app" else "code of others"
    return "fallback" if candidate.cause.fallback else "specific"


def calibrated(
    raw: float, kind: str = "specific", slope: float = SLOPE, offsets: Mapping[str, float] | None = None
) -> float:
    """How often answers of that kind and raw value are right, as measured.

    Up to a half lie ties, which stay what they are; from there the value rises steeply to what is measured.
    """
    bounded = min(max(raw, 0.001), 0.999)
    value = 1 / (1 + math.exp(-((offsets or OFFSETS)[kind] + slope * math.log(bounded / (1 - bounded)))))
    return min(value, raw if raw <= TIE else TIE + STEEP * (raw - TIE))
