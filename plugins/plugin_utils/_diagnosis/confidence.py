# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How sure an answer is, so that answers given with 0.9 are right nine times in ten."""

from __future__ import annotations

from .observe import Observed
from .ranking import Candidate

# How sure an answer can be at best, by what it rests on.
CAP_ATTESTED = 0.98
CAP_LOG = 0.96
CAP_ONLY_OLD = 0.8
CAP_PRIVILEGES = 0.9
# A second candidate up to this likelihood is noise; beyond it takes this share of the doubt.
NOISE = 0.15
RIVALRY = 0.9
# Measured on the recorded crashes (tests/corpus, `make accuracy`): how often an answer of that raw value is right. The
# raw values were too modest in the middle; below a half lie the ties, which stay what they are.
MEASURED = ((0.0, 0.0), (0.5, 0.5), (0.6, 0.7), (0.7, 0.8), (0.8, 0.88), (0.88, 0.93), (0.93, 0.955), (1.0, 0.98))


def confidence(candidate: Candidate, rivals: list[Candidate], observed: Observed) -> float:
    """From 0 to 1: the candidate's likelihood, lowered by a strong second and by what the evidence can't tell.

    What is merely also true (a full disk beside the exception that ended the process) is no rival of a direct cause.
    """
    prime = candidate.direct and not candidate.cause.fallback
    second = max((rival.likelihood for rival in rivals if rival.direct or not prime), default=0.0)
    share = candidate.likelihood / (candidate.likelihood + RIVALRY * max(0.0, second - NOISE))
    cap = CAP_ATTESTED if candidate.attested else CAP_LOG
    if not candidate.attested and all(hit.weight <= 0.6 for hit in candidate.hits):
        cap = CAP_ONLY_OLD
    if observed.fact("target.missing_privileges") and not candidate.attested:
        cap = min(cap, CAP_PRIVILEGES)
    return round(min(calibrated(candidate.likelihood * share), cap), 2)


def calibrated(raw: float) -> float:
    """The measured frequency for a raw value, interpolated between the points of :data:`MEASURED`."""
    for (low, at_low), (high, at_high) in zip(MEASURED, MEASURED[1:], strict=False):
        if raw <= high:
            return at_low + (at_high - at_low) * (raw - low) / (high - low)
    return MEASURED[-1][1]
