# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scoreboard of the classifier on recorded crashes: ``make accuracy``.

Usage: run.py [--corpus FILE …] [--json] [--misses] [--only ID …]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "playbooks" / "collections"), str(Path(__file__).resolve().parent)]

from calibrate import Answer, Fit, error, family, first_answers, held_out  # noqa: E402
from facts import evidence_of  # noqa: E402

from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.calibration import (  # noqa: E402
    OFFSETS,
    SLOPE,
)
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.catalogue import (  # noqa: E402
    Catalogue,
    load_catalogue,
)
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.classify import (  # noqa: E402
    classify,
    weighed,
)
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.confidence import (  # noqa: E402
    CAP_ATTESTED,
    CAP_LOG,
    kind_of,
    raw_value,
)

BINS = 10


@dataclass
class Scored:
    """One case with the classifier's answer. ``ranked`` are ids with their confidence, the answer first."""

    id: str
    label: str
    secondary: list[str]
    framework: str
    corpus: str
    ranked: list[tuple[str, float]] = field(default_factory=list)
    state: str = ""
    ms: float = 0.0
    automatic: bool = False
    basis: Answer | None = None
    error: str | None = None

    @property
    def answer(self) -> str:
        return self.ranked[0][0] if self.ranked else "error"

    @property
    def confidence(self) -> float:
        return self.ranked[0][1] if self.ranked else 0.0

    @property
    def right(self) -> bool:
        return self.answer == self.label

    @property
    def in_top_3(self) -> bool:
        return self.label in [cause for cause, _confidence in self.ranked[:3]]


def cases_of(paths: Iterable[Path]) -> Iterable[tuple[str, dict[str, Any]]]:
    """Cases of all files, each id once; a broken line is named and ends the run."""
    seen: set[str] = set()
    for path in paths:
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
            if not line.strip():
                continue
            try:
                case = json.loads(line)
            except ValueError as error:
                raise SystemExit(f"{path}:{number}: no JSON object: {error}") from error
            if case["id"] not in seen:
                seen.add(case["id"])
                yield path.name, case


def score(corpus: str, case: Mapping[str, Any], catalogue: Catalogue) -> Scored:
    """Classify one case. An exception of the classifier is an answer too: a wrong one."""
    scored = Scored(
        str(case["id"]), str(case["label"]), list(case.get("secondary") or []), str(case.get("framework") or ""), corpus
    )
    evidence = evidence_of(case)
    started = time.perf_counter()
    try:
        diagnosis = classify(evidence, catalogue)
    except Exception as error:
        scored.error = f"{type(error).__name__}: {error}"
        return scored
    scored.ms = (time.perf_counter() - started) * 1000
    root = diagnosis["root_cause"]
    scored.state = str(diagnosis.get("state"))
    scored.automatic = bool(diagnosis["remediation"]["automatic"])
    scored.ranked = [(root["id"], float(root["confidence"]))]
    for candidate in diagnosis.get("candidates") or []:
        if candidate["id"] not in [cause for cause, _confidence in scored.ranked]:
            scored.ranked.append((candidate["id"], float(candidate.get("confidence") or 0.0)))
    observed, _state, ranking = weighed(evidence, catalogue)
    if ranking.candidates:
        top, *rivals = ranking.candidates
        # A cap that held the confidence down is one whatever the calibration says.
        cap = min(CAP_ATTESTED if top.attested else CAP_LOG, 1.0)
        raw = raw_value(top, rivals)
        right = top.cause.id == scored.label
        scored.basis = Answer(scored.id, family(scored.framework), right, round(raw, 4), kind_of(top, observed), cap)
    return scored


def corpus_files() -> list[Path]:
    """The recorded corpora."""
    return sorted((ROOT / "tests" / "corpus").glob("*.jsonl"))


def scored_cases(paths: Iterable[Path]) -> list[Scored]:
    """All cases of some files with their answers."""
    catalogue = load_catalogue()
    return [score(name, case, catalogue) for name, case in cases_of(paths)]


def answers_of(paths: Iterable[Path]) -> list[Answer]:
    """What confidence is fitted to: the named answers to all cases, with their raw values."""
    return [
        one.basis
        for one in scored_cases(paths)
        if one.basis is not None and (one.answer != "unknown" or one.basis.raw > 0.3)
    ]


def calibration_error(results: list[Scored]) -> float:
    """Expected calibration error over ten bins of the confidence of what was named; ``unknown`` names nothing."""
    named = [
        result for result in results if result.ranked and (result.answer != "unknown" or result.label == "unknown")
    ]
    bins: dict[int, list[Scored]] = defaultdict(list)
    for result in named:
        bins[min(BINS - 1, int(result.confidence * BINS))].append(result)
    total = 0.0
    for members in bins.values():
        accuracy = sum(member.right for member in members) / len(members)
        mean = sum(member.confidence for member in members) / len(members)
        total += len(members) * abs(accuracy - mean)
    return total / len(named) if named else 0.0


def summary(results: list[Scored], seconds: float) -> dict[str, Any]:
    """All figures as one JSON object."""
    count = len(results)
    answers, labels = Counter(r.answer for r in results), Counter(r.label for r in results)
    hits = Counter(r.label for r in results if r.right)
    causes = {
        cause: {
            "cases": labels[cause],
            "precision": round(hits[cause] / answers[cause], 3) if answers[cause] else None,
            "recall": round(hits[cause] / labels[cause], 3) if labels[cause] else None,
        }
        for cause in sorted(set(labels) | set(answers))
    }
    healthy = [r for r in results if r.label == "healthy"]
    return {
        "cases": count,
        "top_1": round(sum(r.right for r in results) / count, 4),
        "top_3": round(sum(r.in_top_3 for r in results) / count, 4),
        "secondary_named_first": sorted(r.id for r in results if r.answer in r.secondary),
        "unknown": sum(r.answer == "unknown" for r in results),
        "wrong_and_sure": sorted(
            r.id for r in results if not r.right and r.answer != "unknown" and r.confidence >= 0.7
        ),
        "calibration_error": round(calibration_error(results), 4),
        "healthy_called_sick": sorted(r.id for r in healthy if r.answer not in ("healthy", "unknown")),
        "sick_called_healthy": sorted(r.id for r in results if r.label != "healthy" and r.answer == "healthy"),
        "automatic": sum(r.automatic for r in results),
        "wrong_and_automatic": sorted(r.id for r in results if r.automatic and not r.right),
        "calibration_error_held_out": held_out_error(results),
        "errors": {r.id: r.error for r in results if r.error},
        "seconds": round(seconds, 2),
        "slowest_ms": round(max(r.ms for r in results), 1),
        "confusion": dict(
            sorted(Counter(f"{r.label} -> {r.answer}" for r in results if not r.right).items(), key=lambda kv: -kv[1])
        ),
        "causes": causes,
        "by_family": by_family(results),
    }


def held_out_error(results: list[Scored]) -> float | None:
    """The calibration error when each source is judged by what was fitted to the others; None for too few cases."""
    first = first_answers()
    frozen = {answer.id for answer in first}
    now = [r.basis for r in results if r.basis is not None and r.answer != "unknown" and r.id not in frozen]
    return round(held_out(now, first), 4) if len(now) >= 100 else None


def by_family(results: list[Scored]) -> dict[str, dict[str, Any]]:
    """Top-1 for each family of software: what holds on one must hold on another."""
    families: dict[str, list[Scored]] = defaultdict(list)
    for result in results:
        families[family(result.framework)].append(result)
    return {
        name: {"cases": len(members), "top_1": round(sum(m.right for m in members) / len(members), 3)}
        for name, members in sorted(families.items())
    }


def case_json(result: Scored) -> dict[str, Any]:
    """One case for the machine-readable output."""
    return {
        "id": result.id, "label": result.label, "answer": result.answer, "confidence": result.confidence,
        "right": result.right, "top_3": result.in_top_3, "state": result.state, "automatic": result.automatic, "ms": round(result.ms, 1),
        "ranked": [{"id": cause, "confidence": confidence} for cause, confidence in result.ranked], "error": result.error,
    }  # fmt: skip


def shown(value: float | None) -> str:
    """A figure, or that there is none."""
    return "too few cases" if value is None else f"{value:.3f}"


def first_figures() -> str:
    """How the first answers did, and how well the confidence of today fits them."""
    first = first_answers()
    if not first:
        return "none recorded"
    right = sum(answer.right for answer in first)
    return f"{right} of {len(first)} right, calibration error {error(first, Fit(SLOPE, OFFSETS).confidence):.3f}"


def report(figures: Mapping[str, Any], results: list[Scored], *, misses_only: bool) -> str:
    """The same for the eye."""
    lines = []
    if not misses_only:
        lines += [
            f"cases {figures['cases']}   top-1 {figures['top_1']:.1%}   top-3 {figures['top_3']:.1%}   "
            f"calibration error {figures['calibration_error']:.3f}   unknown {figures['unknown']}",
            f"calibration error of each source by a fit on the others, first answers included: {shown(figures['calibration_error_held_out'])}",
            f"first answers, given before anything was changed for the case: {first_figures()}",
            f"fixed automatically {figures['automatic']}, of them wrong: {', '.join(figures['wrong_and_automatic']) or 'none'}",
            f"time {figures['seconds']:.2f} s, slowest case {figures['slowest_ms']:.0f} ms",
            f"healthy called sick: {', '.join(figures['healthy_called_sick']) or 'none'}",
            f"sick called healthy: {', '.join(figures['sick_called_healthy']) or 'none'}",
            f"a secondary named first: {', '.join(figures['secondary_named_first']) or 'none'}",
            f"wrong with 0.7 or more: {', '.join(figures['wrong_and_sure']) or 'none'}",
            "",
            f"{'cause':28} {'cases':>5} {'precision':>9} {'recall':>7}",
        ]
        for cause, row in figures["causes"].items():
            cells = ["" if value is None else f"{value:.2f}" for value in (row["precision"], row["recall"])]
            lines.append(f"{cause:28} {row['cases']:>5} {cells[0]:>9} {cells[1]:>7}")
        lines += [
            "",
            "by family: " + ", ".join(f"{k} {v['top_1']:.0%} of {v['cases']}" for k, v in figures["by_family"].items()),
        ]
    wrong = [result for result in results if not result.right]
    lines += ["", f"wrong: {len(wrong)}"] if wrong else ["", "wrong: none"]
    for result in wrong:
        ranked = ", ".join(f"{cause} {confidence:.2f}" for cause, confidence in result.ranked[:4])
        lines.append(f"  {result.id}: {result.label} expected, got {result.error or ranked}")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Run and print; the exit status is 0 whenever the run itself succeeded."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument(
        "--corpus", nargs="+", action="extend", type=Path, default=[], help="these files instead of tests/corpus"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object with every case's ranked answers")
    parser.add_argument("--misses", action="store_true", help="only the cases that went wrong")
    parser.add_argument("--only", nargs="+", default=[], help="only these case ids")
    parser.add_argument("--figures", type=Path, help="write the figures for docs/catalogue.md to this file")
    options = parser.parse_args(argv)
    paths = options.corpus or corpus_files()
    for path in paths:
        if not path.is_file():
            raise SystemExit(f"{path}: no such corpus file")
    catalogue = load_catalogue()
    started = time.perf_counter()
    results = [
        score(name, case, catalogue) for name, case in cases_of(paths) if not options.only or case["id"] in options.only
    ]
    if not results:
        raise SystemExit("no cases: " + ", ".join(map(str, paths)))
    figures = summary(results, time.perf_counter() - started)
    if options.figures:
        kept = {key: value for key, value in figures.items() if key not in ("seconds", "slowest_ms")}
        options.figures.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    if options.json:
        print(json.dumps({**figures, "results": [case_json(result) for result in results]}, indent=1))
    else:
        print(report(figures, results, misses_only=options.misses))
    return 0


if __name__ == "__main__":
    sys.exit(main())
