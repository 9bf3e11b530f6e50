# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Repairing what is planted, unattended, in the ladder check → run → check → run, and looking at the hosts after each step."""

from __future__ import annotations

import json
import shlex
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from . import decoys, interruptions, planter, playbook, snapshot, untouched, verdicts, warm
from .catalogue import Fault
from .diagnose import STATE, alias
from .hosts import ZooHost
from .run import Placed, say

LOOK = (Path(__file__).parent / "remote_look.py").read_text()
CHECK = ("--check", "--diff")
RESULTS = "repair-results.json"
# Each fault is a service that starts over and over: of more at once, most of the time of two cores goes into starts.
WAVE = 14


def repairable(faults: list[Fault], *, brief: bool = False) -> list[Fault]:
    """Return those that say what a repair has to make of them, with their decoys; `brief`: the few that stand for all."""
    return [decoys.beside(fault) for fault in faults if fault.repair and (fault.repair.brief or not brief)]


def everything(placed: Placed, boot: ZooHost, *, keep: bool, once: bool) -> int:
    """Ladder, batch without names, and interrupted repairs; 1 when anything isn't as it should be. `once`: only one run and a look."""
    began = time.monotonic()
    # What an earlier run left would be searched for secrets again, and read as this one's.
    shutil.rmtree(playbook.WORK, ignore_errors=True)
    quiet = {
        host: [fault for fault in faults if not fault.repair or not fault.repair.interrupt]
        for host, faults in placed.items()
    }
    broken_off = [fault for faults in placed.values() for fault in faults if fault.repair and fault.repair.interrupt]
    interrupted = interruptions.all_of(boot, broken_off, keep=keep)
    results, complaints, collateral, steps = [], [], [], {}
    if not once:
        complaints += batch(quiet, steps)
    for number, wave in enumerate(waves(quiet), 1):
        judgements, sentences, changes = ladder(wave, steps, f"{number}-", keep=keep, once=once)
        results += judgements
        complaints += sentences
        collateral += changes
    told = {
        "figures": {
            **verdicts.figures(results, collateral),
            "interrupted": len(interrupted),
            "interrupted_wrong": sum(bool(one["complaints"]) for one in interrupted),
        },
        "results": [{**asdict(result), "right": result.right} for result in results],
        "complaints": complaints,
        "collateral": collateral,
        "interrupted": interrupted,
        "seconds": {**steps, "all": round(time.monotonic() - began)},
    }
    STATE.mkdir(parents=True, exist_ok=True)
    (STATE / RESULTS).write_text(json.dumps(told, indent=1))
    return show(told)


def waves(placed: Placed) -> list[Placed]:
    """Return the faults in portions that are on the hosts at once, those with the same fix together."""
    rows = [
        (playbook.group_of(fault), host.container, host, fault) for host, faults in placed.items() for fault in faults
    ]
    rows.sort(key=lambda row: row[:2])
    found: list[Placed] = []
    for start in range(0, len(rows), WAVE):
        wave: Placed = {}
        for _group, _container, host, fault in rows[start : start + WAVE]:
            wave.setdefault(host, []).append(fault)
        found.append(wave)
    return found


def ladder(
    placed: Placed, steps: dict[str, int], wave: str, *, keep: bool, once: bool
) -> tuple[list[verdicts.Repaired], list[str], list[str]]:
    """Plant, preview, repair, preview again, repair again."""
    complaints = [f"not warm: {sentence}" for sentence in plant(placed)]
    collateral: list[str] = []
    inventory = playbook.write_inventory(placed)
    second = snapshots(placed)
    if not once:
        first = second
        # A fault that is handed over untouched has nothing to preview.
        groups = [group for group in playbook.groups_of(placed) if group != playbook.NOTHING]
        preview = play(inventory, groups, f"{wave}1-check", CHECK, steps)
        second = snapshots(placed)
        collateral += compared("check", placed, first, second, touched=False)
        complaints += previews(placed, preview)
    run = play(inventory, playbook.groups_of(placed), f"{wave}2-run", (), steps)
    third = snapshots(placed)
    collateral += compared("run", placed, second, third, touched=True)
    results = judged(placed, run)
    if once:
        if not keep:
            clean(placed)
        return results, complaints + leaks(placed), collateral
    healed = {(result.host, result.fault) for result in results if result.verdict == "healed"}
    mended = {
        host: [_settled(fault, (host.container, fault.name) in healed) for fault in faults]
        for host, faults in placed.items()
    }
    again = {
        host: [fault for fault in faults if (host.container, fault.name) in healed] for host, faults in placed.items()
    }
    inventory = playbook.write_inventory(again, "inventory-again")
    third = snapshots(mended)
    for step, extra in ((f"{wave}3-check", CHECK), (f"{wave}4-run", ())) if healed else ():
        played = play(inventory, playbook.groups_of(again), step, extra, steps)
        complaints += [
            f"{step}: {name}: {count} tasks changed something on a healthy backend"
            for name, count in played.changed.items()
            if count
        ]
        complaints += nothing_to_do(again, played, step)
    collateral += compared("second run", mended, third, snapshots(mended), touched=False)
    leaked = leaks(placed)
    if not keep:
        clean(placed)
    return results, complaints + leaked, collateral


def batch(placed: Placed, steps: dict[str, int]) -> list[str]:
    """Repair without naming a service: every sick backend of each host, and only those."""
    few = {
        host: [fault for fault in faults if fault.repair and fault.repair.discovery] for host, faults in placed.items()
    }
    batch = {host: faults for host, faults in few.items() if faults}
    if not batch:
        return []
    complaints = [f"batch: not warm: {sentence}" for sentence in plant(batch)]
    before = snapshots(batch)
    played = play(playbook.write_inventory(batch, "inventory-batch"), [playbook.FOUND], "0-batch", (), steps)
    complaints += [f"batch: {line}" for line in compared("batch", batch, before, snapshots(batch), touched=True)]
    answers = playbook.answers(played)
    for host, faults in batch.items():
        looks = look(host, faults)
        for fault in faults:
            answer = answers.get((host.container, fault.service))
            result = verdicts.judge(fault, host.container, host.short, answer, looks[fault.unit_name], "")
            complaints += [f"batch: {fault.name}: {sentence}" for sentence in result.complaints]
    clean(batch)
    return complaints


def plant(placed: Placed) -> list[str]:
    """Plant all with their decoys, and wait until every fault shows and every decoy serves; return what doesn't."""
    began = time.monotonic()
    clean(placed)
    with ThreadPoolExecutor() as pool:
        list(pool.map(planter.plant, placed, placed.values()))
    cold = warm.wait(placed)
    for host, faults in placed.items():
        planter.start_late(host, faults)
    say(
        f"planted {sum(map(len, placed.values()))} faults with their decoys, warm after {time.monotonic() - began:.0f} s"
    )
    return [f"{container}: {sentence}" for container, sentences in cold.items() for sentence in sentences]


def clean(placed: Placed) -> None:
    """Take everything away."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(planter.clean, placed, placed.values()))


def snapshots(placed: Placed) -> dict[ZooHost, snapshot.Snapshot]:
    """Describe all hosts as they are now."""
    with ThreadPoolExecutor() as pool:
        return dict(zip(placed, pool.map(untouched.take, placed, placed.values()), strict=True))


def compared(
    step: str,
    placed: Placed,
    before: dict[ZooHost, snapshot.Snapshot],
    after: dict[ZooHost, snapshot.Snapshot],
    *,
    touched: bool,
) -> list[str]:
    """Say what changed on the hosts although it must not have."""
    return [
        f"{step}: {host.container}: {line}"
        for host, faults in placed.items()
        for line in untouched.unchanged(before[host], after[host], faults, host.short, touched=touched)
    ]


def play(
    inventory: Path, groups: list[str], step: str, extra: tuple[str, ...], steps: dict[str, int]
) -> playbook.Played:
    """Run one step of the ladder."""
    played = playbook.play(inventory, groups, step, extra)
    steps[step] = round(played.took_s)
    say(f"{step}: {played.took_s:.0f} s, {len(played.text) // 1000} kB of output")
    return played


def previews(placed: Placed, played: playbook.Played) -> list[str]:
    """Say for which faults the preview doesn't tell what would be done."""
    return [
        f"preview: {alias(fault, host)}: {sentence}"
        for host, faults in placed.items()
        for fault in faults
        for sentence in verdicts.previewed(fault, host.short, played.text)
    ]


def nothing_to_do(again: Placed, played: playbook.Played, step: str) -> list[str]:
    """Say for which healed backends a later run finds something to do."""
    answers = playbook.answers(played)
    return [
        f"{step}: {alias(fault, host)}: {answer.get('verdict')}: {answer.get('reason')}"
        for host, faults in again.items()
        for fault in faults
        if (answer := answers.get((alias(fault, host), fault.service), {})).get("verdict") != "nothing_to_do"
    ]


def judged(placed: Placed, played: playbook.Played) -> list[verdicts.Repaired]:
    """Judge every fault by its verdict and by its host."""
    answers = playbook.answers(played)
    results = []
    for host, faults in placed.items():
        looks = look(host, faults)
        for fault in faults:
            name = alias(fault, host)
            answer = answers.get((name, fault.service))
            handover = playbook.handover(played, name, fault)
            result = verdicts.judge(fault, host.container, host.short, answer, looks[fault.unit_name], handover)
            if result.verdict == "healed":
                since = looks[fault.unit_name]["active_since"]
                result.to_healthy_s = verdicts.to_healthy_s(playbook.first_look(played, name, fault), since)
            results.append(result)
    return results


def look(host: ZooHost, faults: list[Fault]) -> dict[str, dict[str, Any]]:
    """Ask systemd, the kernel and the services themselves how they are."""
    wanted = {}
    for fault in faults:
        answers = fault.repair.answers if fault.repair else None
        paths = list(fault.repair.becomes) if fault.repair else []
        wanted[fault.unit_name] = {
            "port": answers.port if answers else None,
            "path": answers.path if answers else "/",
            "read": paths,
        }
    looks: dict[str, dict[str, Any]] = json.loads(host.python(LOOK, json.dumps(wanted)))
    return looks


def leaks(placed: Placed) -> list[str]:
    """Say which planted secrets got into bundles, logs, or the manifests on the hosts."""
    secrets = {secret for faults in placed.values() for fault in faults for secret in fault.canaries}
    complaints = [
        f"the secret {secret} is in {path.relative_to(playbook.WORK)}"
        for path in sorted(playbook.WORK.rglob("*"))
        if path.is_file() and not path.name.startswith("inventory")
        for secret in secrets
        if secret.encode() in path.read_bytes()
    ]
    words = " ".join(f"-e {shlex.quote(secret)}" for secret in sorted(secrets))
    # The former content of files is kept as it was, for root alone.
    command = f"grep -rlF {words} /var/lib/firstaid --include=*.json --include=*.jsonl 2>/dev/null; true"
    for host in placed if secrets else ():
        complaints += [f"{host.container}: a secret is in {path}" for path in host.run(["sh", "-c", command]).split()]
    return complaints


def show(told: dict[str, Any]) -> int:
    """Print what came out, fault by fault, and the figures; 1 when something is wrong."""
    print(f"{'fault':38}{'host':22}{'expected':13}{'verdict':15}{'by':26}{'healthy s':10}")
    for result in sorted(told["results"], key=lambda one: (one["right"], one["expected"], one["fault"])):
        seconds = f"{result['to_healthy_s']:.0f}" if result["to_healthy_s"] is not None else ""
        print(
            f"{result['fault']:38}{result['host']:22}{result['expected']:13}{result['verdict']:15}"
            f"{','.join(result['fixes']):26}{seconds:10}{'' if result['right'] else 'WRONG'}"
        )
        for complaint in result["complaints"]:
            print(f"    {complaint}")
    for one in told["interrupted"]:
        print(f"{one['fault']:38}{one['host']:22}{one['kind']:28}{'WRONG' if one['complaints'] else 'right'}")
        for complaint in one["complaints"]:
            print(f"    {complaint}")
    for line in told["complaints"]:
        print(f"COMPLAINT: {line}")
    for line in told["collateral"]:
        print(f"COLLATERAL: {line}")
    print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in told["figures"].items()))
    print(", ".join(f"{name} {value} s" for name, value in told["seconds"].items()))
    wrong = told["figures"]["wrong"] or told["figures"]["interrupted_wrong"] or told["complaints"] or told["collateral"]
    return 1 if wrong else 0


def _settled(fault: Fault, healed: bool) -> Fault:
    """Return the fault as one that has to stand still from now on, when it was healed."""
    return replace(fault, steady=(*fault.steady, fault.unit_name)) if healed else fault
