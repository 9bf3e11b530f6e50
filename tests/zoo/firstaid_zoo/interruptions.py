# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Repairs that can't succeed, or that something befalls half-way, and what the next run makes of them.

Each kind gets a fault that is planted on a host of its own set, does its harm, and returns a sentence for whatever isn't as it
should be: something lost, something half done, or a state that wasn't told truthfully.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firstaid_hosts import containers

from . import planter, playbook, repair, untouched, verdicts
from .catalogue import Fault
from .diagnose import alias
from .hosts import HostError, ZooHost
from .planter import REPAIRS
from .run import say

# Long enough for anything to happen in the middle of it.
LONG = ("-e", "verify_window=60")
# Prints the newest manifest, or nothing.
MANIFEST = 'ls -1 "$1" 2>/dev/null | grep Z- | sort | tail -1 | while read run; do cat "$1/$run/manifest.json"; done'
MOMENT_S = 300.0
AT_ONCE = 3


@dataclass(frozen=True)
class Case:
    """One fault on its host, and the ways to look at it and to repair it."""

    host: ZooHost
    fault: Fault
    inventory: Path

    @property
    def name(self) -> str:
        """Its name in the inventory."""
        return alias(self.fault, self.host)

    def repair(self, step: str, extra: tuple[str, ...] = ()) -> tuple[playbook.Played, dict[str, Any]]:
        """Repair it unattended; return the run and its verdict."""
        played = playbook.play(self.inventory, [self.name], f"6-{step}", extra)
        return played, playbook.answers(played).get((self.name, self.fault.service), {})

    def manifest(self) -> dict[str, Any]:
        """Return the manifest of the newest run on the host, or nothing."""
        text = self.host.run(["sh", "-c", MANIFEST, "sh", f"{REPAIRS}/{self.fault.unit_name}"])
        return dict(json.loads(text)) if text.strip() else {}

    def history(self) -> list[dict[str, Any]]:
        """Return the runs that ended, the newest last."""
        text = self.host.run(["sh", "-c", f"cat {REPAIRS}/{self.fault.unit_name}/history.jsonl 2>/dev/null; true"])
        return [json.loads(line) for line in text.splitlines()]

    def unhealthy(self) -> list[str]:
        """Look at the host and say what a healthy backend would not show."""
        return verdicts.unhealthy(self.fault, repair.look(self.host, [self.fault])[self.fault.unit_name])

    @contextmanager
    def between(self, step: str) -> Iterator[subprocess.Popen[bytes]]:
        """Start a repair and hand it over once its change is made and its verification goes on."""
        process, log = playbook.start(self.inventory, self.name, f"6-{step}", LONG)
        try:
            deadline = time.monotonic() + MOMENT_S
            while self.manifest().get("state") != "changed":
                if process.poll() is not None or time.monotonic() > deadline:
                    raise HostError(
                        f"{self.fault.name}: the repair never came between change and verification; see {log}"
                    )
                time.sleep(0.3)
            yield process
        finally:
            kill(process)


def killed(case: Case) -> list[str]:
    """SIGKILL of ansible-playbook and all its children; the next run settles what is left."""
    with case.between("killed") as process:
        kill(process)
    left = case.manifest()
    found = (
        []
        if left.get("state") == "changed"
        else [f"the manifest of the killed run says {left.get('state')}, not changed"]
    )
    return found + _settled(case, left)


def rebooted(case: Case) -> list[str]:
    """The host goes down and comes up; the lock of before holds no longer."""
    with case.between("rebooted"):
        subprocess.run(
            ["docker", "restart", "-t", "5", case.host.container], check=True, capture_output=True, timeout=120
        )
    containers.wait_booted(case.host.container)
    left = case.manifest()
    # The engine may have given it another address.
    fresh = Case(
        case.host, case.fault, playbook.write_inventory({case.host: [case.fault]}, f"inventory-{case.fault.name}")
    )
    return _settled(fresh, left)


def edited(case: Case) -> list[str]:
    """Somebody else changes the file while the verification goes on; their work is never taken back."""
    path = case.fault.repair.may_change[0] if case.fault.repair else ""
    former = case.host.run(["sh", "-c", 'echo "$(cat "$1" | base64 -w0)"', "sh", path])
    added = "# somebody was here\n"
    with case.between("edited") as process:
        case.host.run(["sh", "-c", 'cat >> "$1"', "sh", path], added.encode())
        process.wait(timeout=MOMENT_S * 2)
    text = playbook.log_of("6-edited", case.name).read_text(errors="replace")
    found = []
    if added not in case.host.run(["cat", path]):
        found.append(f"what somebody wrote into {path} is gone")
    if (
        "rolled back in part" not in text.replace("\n", " ")
        and "rollback refused" not in text
        and "rollback_refused" not in text
    ):
        found.append("that the rollback was refused is not told")
    if path not in text:
        found.append(f"the path that was left alone is not named: {path}")
    if case.history()[-1:] and case.history()[-1].get("outcome") != "rollback_refused":
        found.append(f"the history says {case.history()[-1].get('outcome')}, not rollback_refused")
    owner = case.host.run(["stat", "-c", "%u:%g %a", path]).split()
    case.host.run(["sh", "-c", 'base64 -d > "$1"', "sh", path], former.encode())
    return found + ([] if owner else [f"{path} is gone"])


def in_vain(case: Case) -> list[str]:
    """A fix that doesn't help is taken back, twice; then automation stops and hands over without touching anything."""
    found = []
    for step in ("first", "second"):
        _played, answer = case.repair(step)
        if answer.get("verdict") != "rolled_back":
            found.append(f"{step} try: {answer.get('verdict')}, not rolled_back: {answer.get('reason')}")
    before = untouched.take(case.host, [case.fault])["content"]
    runs = case.history()
    played, answer = case.repair("third")
    if answer.get("verdict") != "handed_over" or "breaker" not in str(answer.get("reason")):
        found.append(f"third try: {answer.get('verdict')}, not handed over by the breaker: {answer.get('reason')}")
    if len(runs) < 2:
        found.append(f"the history has {len(runs)} runs, not 2")
    if len(case.history()) != len(runs) or untouched.take(case.host, [case.fault])["content"] != before:
        found.append("the breaker was open, and something was changed all the same")
    if played.changed.get(case.name):
        found.append("the breaker was open, and tasks said that they changed something")
    return found


def locked(case: Case) -> list[str]:
    """A second repair finds the first at work, says so, and touches nothing; the first one ends well."""
    with case.between("first") as process:
        played, answer = case.repair("second")
        found = (
            []
            if answer.get("verdict") == "handed_over"
            else [f"the second one: {answer.get('verdict')}, not handed_over"]
        )
        if "at work" not in str(answer.get("reason")):
            found.append(f"the second one doesn't say who is at work: {answer.get('reason')}")
        if played.changed.get(case.name):
            found.append("the second one changed something")
        process.wait(timeout=MOMENT_S * 2)
    outcome = case.manifest().get("outcome")
    return found + case.unhealthy() + ([] if outcome == "healed" else [f"the first one ended as {outcome}, not healed"])


def fails(case: Case) -> list[str]:
    """A fix that can't be done, or breaks down half-way: nothing of it stays, and why is told."""
    expected = case.fault.repair.expected if case.fault.repair else ""
    before = untouched.take(case.host, [case.fault])
    played, answer = case.repair("run")
    after = untouched.take(case.host, [case.fault])
    found = untouched.restored(before, after, case.fault, case.host.short)
    if answer.get("verdict") not in {expected, "handed_over"}:
        found.append(f"{answer.get('verdict')}, not {expected}: {answer.get('reason')}")
    found += verdicts.told(case.fault, playbook.handover(played, case.name, case.fault))
    state = case.manifest().get("state")
    return found + ([] if state in (None, "ended") else [f"the manifest says {state}, not ended"])


KINDS: dict[str, Callable[[Case], list[str]]] = {
    "killed": killed,
    "edited": edited,
    "in_vain": in_vain,
    "locked": locked,
    "fails": fails,
    "rebooted": rebooted,
}
# What befalls the whole host comes when nothing else is at work on it.
ALONE = ("rebooted",)


def all_of(host: ZooHost, faults: list[Fault], *, keep: bool) -> list[dict[str, Any]]:
    """Go through all interrupted repairs; between snapshots, so that what else changed on the host is seen."""
    if not faults:
        return []
    placed = {host: faults}
    began = time.monotonic()
    cold = repair.plant(placed)
    inventory = playbook.write_inventory(placed, "inventory-interrupted")
    before = untouched.take(host, faults)
    cases = [Case(host, fault, inventory) for fault in faults]
    together = [case for case in cases if _kind(case) not in ALONE]
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        results = list(pool.map(_one, together))
    collateral = untouched.unchanged(before, untouched.take(host, faults), faults, host.short, touched=True)
    results += [_one(case) for case in cases if _kind(case) in ALONE]
    for sentence in [*(f"not warm: {line}" for line in cold), *(f"collateral: {line}" for line in collateral)]:
        results.append({"fault": "all", "host": host.container, "kind": "host", "seconds": 0, "complaints": [sentence]})
    if not keep:
        planter.clean(host, faults)
    say(f"interrupted repairs: {time.monotonic() - began:.0f} s")
    return results


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a playbook and all that it started, as a machine that loses its power does."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)


def _one(case: Case) -> dict[str, Any]:
    began = time.monotonic()
    try:
        complaints = KINDS[_kind(case)](case)
    except (HostError, subprocess.SubprocessError) as error:
        complaints = [str(error)]
    say(f"{case.fault.name}: {'wrong' if complaints else 'right'} after {time.monotonic() - began:.0f} s")
    return {
        "fault": case.fault.name,
        "host": case.host.container,
        "kind": _kind(case),
        "seconds": round(time.monotonic() - began),
        "complaints": complaints,
    }


def _kind(case: Case) -> str:
    return case.fault.repair.interrupt if case.fault.repair else ""


def _settled(case: Case, left: dict[str, Any]) -> list[str]:
    """Run once more and say what of the interrupted run was lost, forgotten or told wrongly."""
    _played, answer = case.repair("again")
    found = case.unhealthy()
    if answer.get("verdict") not in ("healed", "nothing_to_do"):
        found.append(f"the next run: {answer.get('verdict')}, not healed: {answer.get('reason')}")
    settled = [str(one.get("run")) for one in answer.get("settled") or []]
    if left.get("run") not in settled:
        found.append(f"the next run doesn't tell of the interrupted one ({left.get('run')}): {settled}")
    ended = {row.get("run"): row.get("outcome") for row in case.history()}
    if ended.get(left.get("run")) not in ("healed", "rolled_back", "undone"):
        found.append(f"the history says of the interrupted run: {ended.get(left.get('run'))}")
    if case.manifest().get("state") != "ended":
        found.append(f"the newest manifest says {case.manifest().get('state')}, not ended")
    return found
