#!/usr/bin/env python3
# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the classifier takes for a large log of many shapes, whether its time is linear, and how much memory it needs.

Each figure comes from a process of its own. Memory is the peak of the resident set above what the process had with its
catalogue loaded, the text of the log included, as a multiple of the log's bytes. Seconds are those of the processor, so that
neighbours don't count. Needs no hosts; ends with 1 when a budget is missed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TOP / "playbooks" / "collections"), str(TOP / "benchmarks")]

from log_shapes import SHAPES  # noqa: E402

MIB = 1 << 20
SECONDS, MULTIPLE, RATIO = 1.0, 5.0, 2.5
# Ratios of shorter times are noise.
TELLING = 0.3


def _peak() -> int:
    """Bytes of the peak of the resident set."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def child(path: str, as_lines: bool) -> None:
    """Classify one file through the filter, and print seconds, peak bytes and the answer."""
    from ansible_collections.firstaid.backend.plugins.filter.classify_root_cause import classify_root_cause

    classify_root_cause("ValueError: x")
    Path("/proc/self/clear_refs").write_text("5")
    before = _peak()
    with open(path, encoding="utf-8", newline="") as log:
        document: object = log.read()
    if as_lines:
        segments = [{"first_line": 1, "lines": str(document).split("\n")}]
        document = {
            "schema": 1,
            "logs": {"sources": [{"id": "log", "path": "log", "attempts": [{"segments": segments}]}]},
        }
        del segments
    Path("/proc/self/clear_refs").write_text("5")
    before = _peak() if as_lines else before
    began = time.process_time()
    answer = classify_root_cause(document)
    seconds = time.process_time() - began
    print(json.dumps({"seconds": seconds, "bytes": _peak() - before, "answer": answer["root_cause"]["id"]}))


def measure(shape: str, mib: float, repeats: int, as_lines: bool) -> dict[str, float | str]:
    """The quickest of several runs, and the largest memory."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", newline="", suffix=".log") as log:
        log.write(SHAPES[shape](int(mib * MIB)))
        log.flush()
        size = Path(log.name).stat().st_size
        argv = [sys.executable, __file__, "--child", log.name, *(["--lines"] if as_lines else [])]
        runs = [json.loads(subprocess.run(argv, check=True, capture_output=True).stdout) for _run in range(repeats)]
    return {
        "mib": size / MIB,
        "seconds": min(run["seconds"] for run in runs),
        "multiple": max(run["bytes"] for run in runs) / size,
        "answer": runs[0]["answer"],
    }


def main() -> int:
    """Measure, print, and end with 1 when a budget is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=float, default=10)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--shape", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    parser.add_argument(
        "--lines", action="store_true", help="give the log as evidence, cut into lines, instead of as one text"
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.lines)
        return 0
    # Ten million empty lines cut into a list are eight times their log by themselves.
    shapes = [name for name in options.shape if not (options.lines and name == "empty lines")]
    figures = {}
    print(f"{'shape':34} {'MiB':>5} {'seconds':>8} {'to half':>8} {'memory':>7}", file=sys.stderr)
    for shape in shapes:
        half = measure(shape, options.mib / 2, options.repeats, options.lines)
        whole = measure(shape, options.mib, options.repeats, options.lines)
        seconds = float(whole["seconds"])
        ratio = seconds / float(half["seconds"])
        missed = seconds > SECONDS or float(whole["multiple"]) > MULTIPLE or (seconds > TELLING and ratio > RATIO)
        figures[shape] = {**whole, "ratio": ratio, "ok": not missed}
        print(
            f"{shape:34} {whole['mib']:5.1f} {whole['seconds']:7.2f}s {ratio:7.2f}x {whole['multiple']:6.1f}x {'MISSED' if missed else 'ok'}",
            file=sys.stderr,
        )
    if options.json:
        print(
            json.dumps(
                {"budget": {"seconds": SECONDS, "memory": MULTIPLE, "to_half": RATIO}, "shapes": figures}, indent=1
            )
        )
    return int(any(not row["ok"] for row in figures.values()))


if __name__ == "__main__":
    sys.exit(main())
