# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit the confidence to how often answers are right, and measure it on sources that the fit has not seen.

Usage: calibrate.py [--write | --freeze FILE]

What is fitted has seven numbers: an offset for each kind of answer and a common slope. It is fitted on two samples. One
are the corpora as they are classified now; the catalogue was developed on them, so that they flatter it. The other are
first answers (``first_answers.jsonl``): what the classifier said of newly recorded cases before anybody changed anything for
them. Those cases were chosen for software that the catalogue did not know, so that they are harder than what comes in
daily; they count with FIRST_WEIGHT, with which the share of right answers in both samples together is that of logs that were
written by hand without knowing the classifier (79 of 83).

``--freeze FILE`` appends the answers to the cases of a new corpus file to the first answers: do that once, before
looking at them.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "playbooks" / "collections"), str(Path(__file__).resolve().parent)]

from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.confidence import calibrated  # noqa: E402

FIRST = Path(__file__).resolve().parent / "first_answers.jsonl"
MODULE = ROOT / "plugins" / "plugin_utils" / "_diagnosis" / "calibration.py"
KINDS = ("specific", "fallback", "own code", "code of others", "healthy, asked", "healthy, not asked")
FIRST_WEIGHT = 0.4
# How strongly offsets are held at 0 and the slope at 1, in squared units: little against dozens of cases, much against three.
HOLD = 0.5
BINS = 10


@dataclass(frozen=True)
class Answer:
    """One answer: its case and source, whether it was right, the raw value and kind, and what its confidence is capped at."""

    id: str
    source: str
    right: bool
    raw: float
    kind: str
    cap: float
    weight: float = 1.0


@dataclass(frozen=True)
class Fit:
    """The map from raw value and kind to confidence."""

    slope: float
    offsets: Mapping[str, float]

    def confidence(self, answer: Answer) -> float:
        """What the classifier would say with these numbers, up to the cap."""
        return round(min(calibrated(answer.raw, answer.kind, self.slope, self.offsets), answer.cap), 2)


def cases() -> dict[str, dict[str, Any]]:
    """All recorded cases by id."""
    paths = sorted((ROOT / "tests" / "corpus").glob("*.jsonl"))
    found = [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").split("\n") if line]
    return {case["id"]: case for case in found}


def first_answers() -> list[Answer]:
    """The frozen first answers to cases that are still there; whether they were right tells the label."""
    known, lines = cases(), FIRST.read_text(encoding="utf-8").splitlines() if FIRST.exists() else []
    frozen = [row for row in map(json.loads, lines) if row["id"] in known]
    return [
        Answer(row["id"], family(str(known[row["id"]].get("framework"))), row["answer"] == known[row["id"]]["label"],
               row["raw"], row["kind"], row["cap"], FIRST_WEIGHT)
        for row in frozen
    ]  # fmt: skip


FAMILIES = ("uvicorn", "gunicorn", "django", "celery", "flask", "fastapi", "sqlalchemy", "asyncpg", "redis", "systemd",
            "supervisord", "hypercorn", "daphne", "seed")  # fmt: skip


def family(framework: str) -> str:
    """The family of software that a case comes from, which is its source for cross-validation."""
    return next((word for word in FAMILIES if word in framework.lower()), "other")


def fit(answers: Iterable[Answer]) -> Fit:
    """Logistic regression with a pull to the identity, by plain gradient steps on a handful of numbers."""
    groups: dict[tuple[int, float], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for answer in answers:
        if answer.raw > 0.5:
            raw = min(max(round(answer.raw, 2), 0.001), 0.999)
            group = groups[KINDS.index(answer.kind), math.log(raw / (1 - raw))]
            group[0] += answer.weight
            group[1] += answer.weight * answer.right
    sample = [(kind, logit, weight, right) for (kind, logit), (weight, right) in groups.items()]
    offsets, slope = [0.0] * len(KINDS), 1.0
    total = sum(weight for _kind, _logit, weight, _right in sample) or 1.0
    mass = [HOLD + sum(weight for k, _l, weight, _r in sample if k == kind) / 4 for kind in range(len(KINDS))]
    for _step in range(3000):
        gradient, by_slope = [HOLD * offset for offset in offsets], 10 * HOLD * (slope - 1)
        for kind, logit, weight, right in sample:
            error = weight / (1 + math.exp(-(offsets[kind] + slope * logit))) - right
            gradient[kind] += error
            by_slope += error * logit
        offsets = [offset - 0.3 * step / size for offset, step, size in zip(offsets, gradient, mass, strict=True)]
        slope = max(0.05, slope - 0.05 * by_slope / total)
        if max(map(abs, gradient)) < 1e-4 and abs(by_slope) < 1e-3:
            break
    return Fit(round(slope, 2), dict(zip(KINDS, (round(offset, 2) for offset in offsets), strict=True)))


def error(answers: Iterable[Answer], confidence: Callable[[Answer], float]) -> float:
    """Expected calibration error over ten bins, each answer with its weight."""
    bins: dict[int, list[tuple[float, float, bool]]] = defaultdict(list)
    for answer in answers:
        value = confidence(answer)
        bins[min(BINS - 1, int(value * BINS))].append((answer.weight, value, answer.right))
    whole = sum(weight for members in bins.values() for weight, _value, _right in members)
    return sum(abs(sum(w * (v - r) for w, v, r in members)) for members in bins.values()) / whole if whole else 0.0


def held_out(now: list[Answer], first: list[Answer]) -> float:
    """The error when each source is judged by a fit on all the others, first answers included."""
    values: dict[tuple[str, bool], float] = {}
    for source in sorted({answer.source for answer in [*now, *first]}):
        others = fit(answer for answer in [*now, *first] if answer.source != source)
        for sample, is_first in ((now, False), (first, True)):
            values.update({(a.id, is_first): others.confidence(a) for a in sample if a.source == source})
    return error([*now, *first], lambda answer: values[answer.id, answer.weight < 1])


def text_of(found: Fit) -> str:
    """The module with the numbers, its words as they are."""
    head = MODULE.read_text(encoding="utf-8").partition("\nSLOPE = ")[0]
    rows = "".join(f'    "{kind}": {found.offsets[kind]},\n' for kind in KINDS)
    return f"{head}\nSLOPE = {found.slope}\nOFFSETS = {{\n{rows}}}\n"


def main() -> int:
    """Fit, and print or write; or freeze the answers to a new corpus."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--freeze", type=Path, metavar="FILE")
    options = parser.parse_args()
    from run import answers_of, corpus_files, scored_cases

    if options.freeze:
        known = {answer.id for answer in first_answers()}
        rows = [
            {
                "id": one.basis.id,
                "answer": one.answer,
                "raw": one.basis.raw,
                "kind": one.basis.kind,
                "cap": one.basis.cap,
            }
            for one in scored_cases([options.freeze])
            if one.basis is not None and one.answer != "unknown" and one.id not in known
        ]
        with FIRST.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
        print(f"{len(rows)} first answers added to {FIRST.name}")
        return 0
    first = first_answers()
    frozen = {answer.id for answer in first}
    now = [answer for answer in answers_of(corpus_files()) if answer.id not in frozen]
    found = fit([*now, *first])
    if options.write:
        MODULE.write_text(text_of(found), encoding="utf-8")
    print(found)
    right = sum(answer.weight * answer.right for answer in [*now, *first]) / sum(a.weight for a in [*now, *first])
    print(f"right in both samples {right:.3f}; error {error([*now, *first], found.confidence):.3f}, of the first answers alone "
          f"{error(first, found.confidence):.3f}, each source by a fit on the others {held_out(now, first):.3f}")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
