# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a zoo run, in their order."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from . import checker, diagnose, planter, snapshot, warm
from .catalogue import Fault
from .hosts import ZooHost

Placed = dict[ZooHost, list[Fault]]


def say(text: str) -> None:
    """Tell progress on standard error."""
    print(f"zoo: {text}", file=sys.stderr, flush=True)


def plant(placed: Placed) -> int:
    """Plant and wait until all faults show; 1 when one doesn't."""
    began = time.monotonic()
    clean(placed)
    _each(planter.plant, placed)
    say(f"planted {sum(map(len, placed.values()))} faults in {time.monotonic() - began:.0f} s")
    cold = warm.wait({host: [fault for fault in faults if fault.start == "now"] for host, faults in placed.items()})
    for container, sentences in cold.items():
        for sentence in sentences:
            say(f"{container}: not warm: {sentence}")
    say(f"warm after {time.monotonic() - began:.0f} s")
    return 1 if cold else 0


def clean(placed: Placed) -> int:
    """Take these faults away."""
    _each(planter.clean, placed)
    return 0


def everything(placed: Placed, *, keep: bool) -> int:
    """Plant, diagnose by name and by discovery, compare, clean; 1 when anything isn't as it should be."""
    cold = plant(placed)
    try:
        return max(cold, diagnosed(placed))
    finally:
        if not keep:
            clean(placed)


def diagnosed(placed: Placed) -> int:
    """Diagnose what is planted, by name and by discovery, and compare; 1 when anything isn't as it should be."""
    inventory = diagnose.write_inventory(placed)
    named, changed_named = _between_snapshots(placed, inventory, diagnose.BY_NAME)
    found, changed_found = _between_snapshots(placed, inventory, diagnose.BY_DISCOVERY)
    return report(placed, named, found, changed_named + changed_found)


def check(placed: Placed, bundle: Path) -> int:
    """Compare a bundle of a run by name that was written before."""
    return report(placed, bundle, None, [])


def report(placed: Placed, named: Path, found: Path | None, changes: list[str]) -> int:
    """Print what came out, fault by fault, and the figures; 1 when something is wrong."""
    results = [
        checker.check_named(named, fault, diagnose.alias(fault, host))
        for host, faults in placed.items()
        for fault in faults
    ]
    expected = {fault.name: fault.expect.root for faults in placed.values() for fault in faults}
    discovery = [
        line
        for host, faults in placed.items()
        if found
        for line in checker.check_discovery(found, host.container, faults)
    ]
    print(f"{'fault':34}{'expected':26}{'answer':26}{'conf':6}{'state':12}")
    for result in sorted(results, key=lambda each: (each.right, each.fault)):
        mark = "" if result.right else "FORBIDDEN" if result.forbidden else "WRONG"
        print(
            f"{result.fault:34}{expected[result.fault]:26}{result.answer:26}{result.confidence:<6.2f}{result.state:12}{mark}"
        )
        for complaint in result.complaints:
            print(f"    {complaint}")
    for line in discovery:
        print(f"discovery: {line}")
    for line in changes:
        print(f"CHANGED: {line}")
    right = sum(result.right for result in results)
    complaints = sum(len(result.complaints) for result in results)
    diagnose.STATE.mkdir(parents=True, exist_ok=True)
    figures = {
        "planted": len(results),
        "right": right,
        "wrong": len(results) - right,
        "forbidden": sum(result.forbidden for result in results),
        "complaints": complaints,
        "discovery_complaints": len(discovery),
        "changes": len(changes),
    }
    told = {
        "figures": figures,
        "results": [asdict(result) for result in results],
        "discovery": discovery,
        "changes": changes,
    }
    (diagnose.STATE / "results.json").write_text(json.dumps(told, indent=1))
    print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in figures.items()))
    return 0 if figures["planted"] == right and not complaints and not discovery and not changes else 1


def keep_snapshots(placed: Placed) -> int:
    """Write down how each host is now, for a comparison by somebody else later on."""
    diagnose.STATE.mkdir(parents=True, exist_ok=True)
    for host, taken in _snapshots(placed).items():
        names = [fault.name for fault in placed[host]]
        snapshot_file(host.container).write_text(json.dumps({"faults": names, "snapshot": taken}))
    return 0


def snapshot_file(container: str) -> Path:
    """Return where keep_snapshots() writes a host's snapshot."""
    return diagnose.STATE / f"before-{container}.json"


def _between_snapshots(placed: Placed, inventory: Path, group: str) -> tuple[Path, list[str]]:
    """Run the playbook between two snapshots of every host."""
    _each(planter.start_late, placed)
    before = _snapshots(placed)
    bundle, took_s = diagnose.run(inventory, group)
    say(f"{group}: diagnosed in {took_s:.0f} s, {bundle}")
    after = _snapshots(placed)
    changes = [
        f"{host.container}: {line}"
        for host, faults in placed.items()
        for line in snapshot.compare(before[host], after[host], faults)
    ]
    return bundle, changes


def _snapshots(placed: Placed) -> dict[ZooHost, snapshot.Snapshot]:
    return {host: snapshot.take(host, faults) for host, faults in placed.items()}


def _each(step: Callable[[ZooHost, list[Fault]], None], placed: Placed) -> None:
    with ThreadPoolExecutor() as pool:
        list(pool.map(step, placed, placed.values()))
