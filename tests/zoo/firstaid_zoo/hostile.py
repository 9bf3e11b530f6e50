# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Diagnosing backends that mean harm, with what a user gets by default: budget, limits, one host after the other.

Writes .build/zoo/hostile-results.json; the bundle and the console's output lie beside it, for a look by somebody else.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from . import checker, diagnose, planter, run, snapshot
from .catalogue import Fault
from .hosts import HostError, ZooHost

WORK = diagnose.STATE / "hostile"
RESULTS = diagnose.STATE / "hostile-results.json"
GROUP = diagnose.BY_NAME
FIX = diagnose.ROOT / "playbooks" / "fix-backend-crash.yml"
# The module's own limits by default: 15 s for looking, 20 s for the import test; and what its beginning and end take where a
# fork bomb and the whole test bench share two cores.
MODULE_LIMIT_S = 15 + 20 + 25
# Ansible, SSH and the bundle come on top, on two slow cores.
RUN_LIMIT_S = 120


@dataclass
class Seen:
    """What came of one hostile backend."""

    name: str
    host: str
    answer: str = "none"
    confidence: float = 0.0
    module_s: float = 0.0
    run_s: float = 0.0
    import_test: str = ""
    repair: str = ""
    tampered: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)


def everything(placed: run.Placed, *, keep: bool) -> int:
    """Plant, diagnose each alone between two snapshots, compare, clean; 1 when anything isn't as it should be."""
    cold = run.plant(placed)
    try:
        return max(cold, diagnosed(placed))
    finally:
        if not keep:
            run.clean(placed)


def diagnosed(placed: run.Placed) -> int:
    """Diagnose what is planted, print the figures, and write them down."""
    WORK.mkdir(parents=True, exist_ok=True)
    inventory = diagnose.write_inventory(placed)
    seen = [_one(host, fault, faults, inventory) for host, faults in placed.items() for fault in faults]
    print(f"{'backend':28}{'answer':24}{'conf':6}{'import test':15}{'module':>8}{'run':>7}")
    for one in seen:
        print(
            f"{one.name:28}{one.answer:24}{one.confidence:<6.2f}{one.import_test:15}{one.module_s:7.1f}s{one.run_s:6.1f}s"
        )
        for line in [
            *one.tampered,
            *(f"WRONG: {text}" for text in one.complaints),
            *(f"CHANGED: {text}" for text in one.changes),
        ]:
            print(f"    {line}")
    wrong = sum(bool(one.complaints) for one in seen)
    changes = sum(len(one.changes) for one in seen)
    RESULTS.write_text(json.dumps([asdict(one) for one in seen], indent=1))
    print(
        f"hostile backends {len(seen)}, wrong {wrong}, changes {changes}, slowest module {max(one.module_s for one in seen):.1f} s"
    )
    return 1 if wrong or changes else 0


def output_of(fault: Fault) -> Path:
    """Return where the bundle and the console's output of one backend lie."""
    return WORK / fault.name


def bundle_of(fault: Fault) -> Path:
    """Return the newest bundle of one backend."""
    found = sorted(output_of(fault).glob("backend-diagnostics-*"))
    if not found:
        raise HostError(f"no bundle of {fault.name} was written; the run's output is in {output_of(fault)}/console")
    return found[-1]


def _one(host: ZooHost, fault: Fault, beside: list[Fault], inventory: Path) -> Seen:
    planter.start_late(host, [fault])
    before = snapshot.take(host, beside)
    took_s = _play(fault, diagnose.alias(fault, host), inventory)
    after = snapshot.take(host, beside)
    seen = Seen(fault.name, host.container, run_s=round(took_s, 1))
    seen.changes = snapshot.compare(before, after, beside)
    if fault.repair:
        _repair(host, fault, seen, inventory)
    if took_s > RUN_LIMIT_S:
        seen.complaints.append(f"the run took {took_s:.0f} s")
    try:
        bundle = bundle_of(fault)
    except HostError as error:
        seen.complaints.append(str(error))
        return seen
    result = checker.check_named(bundle, fault, diagnose.alias(fault, host))
    seen.answer, seen.confidence = result.answer, result.confidence
    seen.complaints += result.complaints
    if not result.right:
        seen.complaints.append(f"the answer is {result.answer}, not {fault.expect.root}")
    if result.forbidden:
        seen.complaints.append(f"{result.answer} is a forbidden answer")
    evidence = evidence_of(fault, bundle)
    own = (evidence.get("target") or {}).get("self") or {}
    seen.module_s = round((own.get("wall_ms") or 0) / 1000, 1)
    if not 0 < seen.module_s <= MODULE_LIMIT_S:
        seen.complaints.append(f"the module took {seen.module_s} s")
    test = evidence.get("import_test") or {}
    seen.import_test = "/".join(str(test[name]) for name in ("outcome", "limit") if test.get(name))
    seen.tampered = list(test.get("tampered") or [])
    return seen


def _repair(host: ZooHost, fault: Fault, seen: Seen, inventory: Path) -> None:
    """Have it repaired too: what lies outside of the service's own tree and unit must not be touched."""
    own, foreign = f"/opt/{fault.users[0]}", [tree for tree in fault.trees if tree.startswith("/srv/")]
    before = snapshot.take(host, [fault], foreign)
    console = _play(fault, diagnose.alias(fault, host), inventory, playbook=FIX, folder="repair")
    after = snapshot.take(host, [fault], foreign)
    seen.changes += [
        f"repair: {line}"
        for line in snapshot.compare(before, after, [fault])
        if any(tree in line for tree in foreign) or ("/etc/" in line and fault.service not in line)
    ]
    verdicts = [json.loads(path.read_text()) for path in (output_of(fault) / "repair").rglob("repair.json")]
    if not verdicts or verdicts[-1].get("verdict") == "healed" or not verdicts[-1].get("reason"):
        seen.complaints.append(f"the repair of {own} in {console:.0f} s: {verdicts[-1:] or 'no verdict'}")
    seen.repair = str(verdicts[-1].get("reason")) if verdicts else ""


def evidence_of(fault: Fault, bundle: Path) -> dict[str, Any]:
    """Return the evidence of one backend."""
    found = sorted(bundle.glob(f"*/{fault.service}*/evidence.json"))
    return dict(json.loads(found[0].read_text())) if found else {}


def _play(fault: Fault, alias: str, inventory: Path, playbook: Path = diagnose.PLAYBOOK, folder: str = "") -> float:
    output = output_of(fault) / folder
    shutil.rmtree(output, ignore_errors=True)  # what an earlier version let through is no news
    output.mkdir(parents=True, exist_ok=True)
    output.chmod(0o700)
    began = time.monotonic()
    with (output / "console").open("wb") as stream:
        subprocess.run(
            [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(inventory), str(playbook), "--limit", alias,
             "-e", f"backend_hosts={GROUP}", "-e", f"backend_output_dir={output}"],
            stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, cwd=diagnose.ROOT, check=False, timeout=600,
            env={**os.environ, "ANSIBLE_HOST_KEY_CHECKING": "false", "ANSIBLE_FORCE_COLOR": "false", "ANSIBLE_TIMEOUT": "60"},
        )  # fmt: skip
    return time.monotonic() - began
