#!/usr/bin/env python3
# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the diagnosis takes, as ratios against ``ansible -m ping`` over the same connection and forks, in the same run.

Each figure is the median of pairs measured in turn (ping, diagnosis, ping, diagnosis, ...), so that a slow spell of the
machine hits both sides. Needs the test hosts (tests/hosts/up --count N); prints a table and, with --json, one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
BIN = TOP / ".venv/bin"
INVENTORY = TOP / ".build/hosts/inventory.yml"
ENVIRONMENT = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(TOP / "playbooks/collections"), "ANSIBLE_FORCE_COLOR": "0"}
PLAYBOOK = TOP / "playbooks/diagnose-backend-crash.yml"


def run(argv: list[str]) -> tuple[float, str]:
    """Seconds of wall time and standard output of a command that has to succeed."""
    began = time.monotonic()
    done = subprocess.run(argv, env=ENVIRONMENT, cwd=TOP, capture_output=True, text=True)
    seconds = time.monotonic() - began
    if done.returncode:
        sys.exit(f"{' '.join(argv[:4])} failed:\n{done.stdout[-3000:]}\n{done.stderr[-2000:]}")
    return seconds, done.stdout


def plant(hosts: str, **variables: object) -> None:
    """Put the backend of the benchmark on the hosts, or take it away."""
    extra = json.dumps({"bench_hosts": hosts, **variables})
    run(
        [
            str(BIN / "ansible-playbook"),
            "-i",
            str(INVENTORY),
            "-f",
            "20",
            str(TOP / "benchmarks/plant.yml"),
            "-e",
            extra,
        ]
    )


def ping(hosts: str, forks: int) -> float:
    """Seconds that ``ansible -m ping`` takes over the hosts."""
    return run([str(BIN / "ansible"), "-i", str(INVENTORY), "-f", str(forks), hosts, "-m", "ansible.builtin.ping"])[0]


def diagnose(hosts: str, forks: int, **variables: object) -> tuple[float, int, list[dict]]:
    """Seconds, tasks, and the evidence of every host of one diagnosis."""
    with tempfile.TemporaryDirectory() as output:
        extra = json.dumps(
            {"backend_hosts": hosts, "backend_service": "bench.service", "backend_output_dir": output, **variables}
        )
        seconds, text = run(
            [str(BIN / "ansible-playbook"), "-i", str(INVENTORY), "-f", str(forks), str(PLAYBOOK), "-e", extra]
        )
        evidence = [json.loads(path.read_text()) for path in Path(output).glob("*/*/*/evidence.json")]
    if not evidence:
        sys.exit(f"the diagnosis of {hosts} wrote no evidence:\n{text[-3000:]}")
    return seconds, len(re.findall(r"^TASK \[", text, re.MULTILINE)), evidence


def import_seconds(evidence: list[dict]) -> float:
    """The median of what the backends' own import took on their hosts."""
    return statistics.median(document["import_test"].get("duration_ms", 0) / 1000 for document in evidence)


def compare(hosts: str, forks: int, pairs: int) -> dict[str, float]:
    """Ping and diagnosis in turn; the ratio leaves out the backend's own import time."""
    ping(hosts, forks)
    rows = []
    for _pair in range(pairs):
        base = ping(hosts, forks)
        seconds, tasks, evidence = diagnose(hosts, forks)
        own = import_seconds(evidence)
        rows.append((base, seconds, own, (seconds - own) / base, tasks))
    return {
        "ping_s": statistics.median(row[0] for row in rows),
        "diagnosis_s": statistics.median(row[1] for row in rows),
        "import_s": statistics.median(row[2] for row in rows),
        "ratio": statistics.median(row[3] for row in rows),
        "ratio_min": min(row[3] for row in rows),
        "ratio_max": max(row[3] for row in rows),
        "tasks": rows[0][4],
    }


def module_cost(hosts: str, repeats: int) -> tuple[float, float]:
    """Median seconds and peak MiB of the module on the target, as it measures itself, without the import test."""
    own = [diagnose(hosts, 1, backend_import_test=False)[2][0]["target"]["self"] for _repeat in range(repeats)]
    return (
        statistics.median(row["wall_ms"] / 1000 for row in own),
        statistics.median(row["peak_rss_bytes"] / 1048576 for row in own),
    )


def main() -> int:
    """Measure, print, and end with 1 when a budget is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--fleet", type=int, default=20, help="hosts of the fleet figure; 0 leaves it out")
    parser.add_argument("--log-mib", type=int, default=1024)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    subprocess.run([str(TOP / "tests/hosts/up"), "--count", str(max(1, options.fleet))], check=True, stdout=sys.stderr)
    one = "firstaid-b01"
    plant(one)
    single = compare(one, 1, options.pairs)
    small = module_cost(one, options.pairs)
    plant(one, bench_log_mib=options.log_mib)
    large = module_cost(one, options.pairs)
    plant(one, bench_state="absent")
    figures: list[tuple[str, float, float, str]] = [
        ("one host: (diagnosis - import) / ping", single["ratio"], 3.0, "x"),
        ("tasks per host", single["tasks"], 8, ""),
        (f"log of {options.log_mib} MiB: seconds more in the module", large[0] - small[0], 0.5, "s"),
        (f"log of {options.log_mib} MiB: memory more in the module", large[1] - small[1], 64, "MiB"),
    ]
    details = {"one": single, "module": {"seconds": small[0], "peak_mib": small[1]}}
    if options.fleet:
        plant("bench")
        fleet = compare("bench", options.fleet, max(3, options.pairs // 2))
        plant("bench", bench_state="absent")
        figures.insert(1, (f"{options.fleet} hosts: (diagnosis - import) / ping", fleet["ratio"], 3.0, "x"))
        details["fleet"] = fleet
    if options.json:
        print(
            json.dumps(
                {"figures": {name: value for name, value, _budget, _unit in figures}, "details": details}, indent=1
            )
        )
    else:
        for name, value, budget, unit in figures:
            print(f"{name:58} {value:8.2f} {unit:4} budget {budget:g} {'ok' if value <= budget else 'MISSED'}")
        for name, row in details.items():
            print(f"  {name}: " + ", ".join(f"{key} {value:.2f}" for key, value in row.items()))
    return int(any(value > budget for _name, value, budget, _unit in figures))


if __name__ == "__main__":
    sys.exit(main())
