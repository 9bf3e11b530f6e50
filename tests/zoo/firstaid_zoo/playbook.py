# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running fix-backend-crash.yml as a user would, over many faults at once, and reading what it said."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from firstaid_hosts import access, containers

from .catalogue import Fault
from .diagnose import BUDGET_S, ROOT, STATE, alias
from .hosts import HostError, ZooHost

PLAYBOOK = ROOT / "playbooks" / "fix-backend-crash.yml"
WORK = STATE / "repair"
FOUND = "repair_hosts"
NOTHING = "repair_nothing"
# Most of a repair is waiting for the window, so that many go side by side on few cores.
FORKS = 4
AT_ONCE = 3
RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)
LIMIT_S = 3000.0
# As with the budget: many at once on one host must not decide what is found.
IMPORT_S = 60


@dataclass
class Played:
    """One step, of one or more runs side by side: `changed` counts tasks by inventory name."""

    took_s: float
    text: str = ""
    bundles: list[Path] = field(default_factory=list)
    changed: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)


def write_inventory(placed: dict[ZooHost, list[Fault]], name: str = "inventory") -> Path:
    """Write an inventory with one entry per fault, with its service and variables, and one per host for discovery."""
    base = yaml.safe_load(access.HEAD.format(key=access.KEY))["all"]["vars"]
    address = {host: containers.address(host.container) for host in placed}
    groups: dict[str, dict[str, Any]] = {FOUND: {}}
    for host, faults in placed.items():
        if faults:
            groups[FOUND][host.container] = {"ansible_host": address[host]}
        for fault in faults:
            groups.setdefault(group_of(fault), {})[alias(fault, host)] = {
                "ansible_host": address[host],
                "backend_service": fault.service,
                **(fault.repair.vars if fault.repair else {}),
            }
    WORK.mkdir(parents=True, exist_ok=True)
    path = WORK / f"{name}.yml"
    children = {group: {"hosts": hosts} for group, hosts in groups.items()}
    path.write_text(yaml.safe_dump({"all": {"vars": base, "children": children}}))
    return path


def group_of(fault: Fault) -> str:
    """Return the group that a fault is repaired with: Ansible takes different fixes one after the other, runs go side by side."""
    fixes = fault.repair.fix if fault.repair else ()
    return f"repair_{fixes[0]}" if fixes else NOTHING


def groups_of(placed: dict[ZooHost, list[Fault]]) -> list[str]:
    """Return all groups that these faults are in; the one that takes longest first."""
    found = [group_of(fault) for faults in placed.values() for fault in faults]
    return sorted(set(found), key=lambda group: -found.count(group))


def start(inventory: Path, group: str, step: str, extra: Sequence[str] = ()) -> tuple[subprocess.Popen[bytes], Path]:
    """Start the playbook in a process group of its own; return it and its log."""
    output = _output(step, group)
    output.mkdir(parents=True, exist_ok=True)
    output.chmod(0o700)
    log = log_of(step, group)
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(inventory), str(PLAYBOOK), "-f", str(FORKS),
             "-e", f"backend_hosts={group}", "-e", f"backend_output_dir={output}", "-e", f"backend_budget={BUDGET_S}",
             "-e", f"backend_import_test_timeout={IMPORT_S}", *extra],
            stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, cwd=ROOT, start_new_session=True,
            env={**os.environ, "ANSIBLE_HOST_KEY_CHECKING": "false", "ANSIBLE_FORCE_COLOR": "false", "ANSIBLE_TIMEOUT": "60"},
        )  # fmt: skip
    return process, log


def play(inventory: Path, groups: Sequence[str], step: str, extra: Sequence[str] = ()) -> Played:
    """Run the playbook to its end, once for each group, some at a time; return what came of all."""
    clock = time.monotonic()
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        runs = list(pool.map(lambda group: _play(inventory, group, step, extra), groups))
    whole = Played(time.monotonic() - clock)
    for run in runs:
        whole.text += run.text
        whole.bundles += run.bundles
        whole.changed.update(run.changed)
        whole.broken += run.broken
    return whole


def _play(inventory: Path, group: str, step: str, extra: Sequence[str]) -> Played:
    began, clock = time.time(), time.monotonic()
    process, log = start(inventory, group, step, extra)
    try:
        code = process.wait(timeout=LIMIT_S)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
    text = log.read_text(errors="replace")
    found = RECAP.findall(text)
    if not found:
        raise HostError(f"the playbook ended with {code} before it did anything; its output is in {log}")
    return Played(
        time.monotonic() - clock,
        text,
        [
            path
            for path in sorted(_output(step, group).glob("backend-diagnostics-*"))
            if path.stat().st_mtime >= began - 1
        ],
        {name: int(changed) for name, _ok, changed, _unreachable, _failed in found},
        [name for name, _ok, _changed, unreachable, failed in found if int(unreachable) or int(failed)],
    )


def log_of(step: str, group: str) -> Path:
    """Return where the output of a run goes."""
    return WORK / f"{step}.{group}.log"


def _output(step: str, group: str) -> Path:
    return WORK / f"{step}.{group}"


def answers(played: Played) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the verdicts of a run: (inventory name, service) → what became of it."""
    found = {}
    for path in (path for bundle in played.bundles for path in sorted(bundle.rglob("repair.json"))):
        found[path.parent.parent.name, path.parent.name.removesuffix(".service")] = json.loads(path.read_text())
    return found


def first_look(played: Played, name: str, fault: Fault) -> str:
    """Return when the evidence of a fault was gathered first, by its host's clock, or nothing."""
    for path in _of(played, name, fault, "evidence.json"):
        return str((json.loads(path.read_text()).get("clock") or {}).get("now") or "")
    return ""


def handover(played: Played, name: str, fault: Fault) -> str:
    """Return what HANDOVER.md says about a fault, or nothing."""
    return "\n".join(path.read_text() for path in _of(played, name, fault, "HANDOVER.md"))


def _of(played: Played, name: str, fault: Fault, file: str) -> list[Path]:
    paths = [bundle / name / found / file for bundle in played.bundles for found in (fault.service, fault.unit_name)]
    return [path for path in paths if path.is_file()]
