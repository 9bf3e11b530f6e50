# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running fix-backend-crash.yml as a user would, over many faults at once, and reading what it said."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
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
NAMED = "repair_faults"
FOUND = "repair_hosts"
# Most of a repair is waiting for the window, so that many go side by side on few cores.
FORKS = 8
RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)
LIMIT_S = 1500.0


@dataclass
class Played:
    """One run of the playbook: `changed` counts tasks by inventory name."""

    code: int
    took_s: float
    text: str
    bundle: Path | None
    began: float = 0.0
    changed: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)


def write_inventory(placed: dict[ZooHost, list[Fault]], name: str = "inventory") -> Path:
    """Write an inventory with one entry per fault, with its service and variables, and one per host for discovery."""
    base = yaml.safe_load(access.HEAD.format(key=access.KEY))["all"]["vars"]
    address = {host: containers.address(host.container) for host in placed}
    groups = {
        NAMED: {
            alias(fault, host): {
                "ansible_host": address[host],
                "backend_service": fault.service,
                **(fault.repair.vars if fault.repair else {}),
            }
            for host, faults in placed.items()
            for fault in faults
        },
        FOUND: {host.container: {"ansible_host": address[host]} for host, faults in placed.items() if faults},
    }
    WORK.mkdir(parents=True, exist_ok=True)
    path = WORK / f"{name}.yml"
    children = {group: {"hosts": hosts} for group, hosts in groups.items()}
    path.write_text(yaml.safe_dump({"all": {"vars": base, "children": children}}))
    return path


def start(inventory: Path, group: str, step: str, extra: Sequence[str] = ()) -> tuple[subprocess.Popen[bytes], Path]:
    """Start the playbook in a process group of its own; return it and its log."""
    output = WORK / step
    output.mkdir(parents=True, exist_ok=True)
    output.chmod(0o700)
    log = WORK / f"{step}.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(inventory), str(PLAYBOOK), "-f", str(FORKS),
             "-e", f"backend_hosts={group}", "-e", f"backend_output_dir={output}", "-e", f"backend_budget={BUDGET_S}", *extra],
            stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, cwd=ROOT, start_new_session=True,
            env={**os.environ, "ANSIBLE_HOST_KEY_CHECKING": "false", "ANSIBLE_FORCE_COLOR": "false", "ANSIBLE_TIMEOUT": "60"},
        )  # fmt: skip
    return process, log


def play(inventory: Path, group: str, step: str, extra: Sequence[str] = ()) -> Played:
    """Run the playbook to its end."""
    began, clock = time.time(), time.monotonic()
    process, log = start(inventory, group, step, extra)
    code = process.wait(timeout=LIMIT_S)
    return read(log, step, code, time.monotonic() - clock, began)


def read(log: Path, step: str, code: int, took_s: float, began: float) -> Played:
    """Read a finished run: its recap, and the bundle that it wrote."""
    text = log.read_text(errors="replace")
    found = RECAP.findall(text)
    if not found:
        raise HostError(f"the playbook ended with {code} before it did anything; its output is in {log}")
    fresh = [
        path
        for path in sorted((WORK / step).glob("backend-diagnostics-*"))
        if path.is_dir() and path.stat().st_mtime >= began - 1
    ]
    return Played(
        code,
        took_s,
        text,
        fresh[-1] if fresh else None,
        began,
        {name: int(changed) for name, _ok, changed, _unreachable, _failed in found},
        [name for name, _ok, _changed, unreachable, failed in found if int(unreachable) or int(failed)],
    )


def answers(played: Played) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the verdicts of a run: (inventory name, service) → what became of it."""
    found = {}
    for path in sorted(played.bundle.rglob("repair.json")) if played.bundle else ():
        answer = json.loads(path.read_text())
        found[path.parent.parent.name, path.parent.name.removesuffix(".service")] = answer
    return found


def handovers(played: Played, name: str, fault: Fault) -> str:
    """Return what HANDOVER.md says about a fault, or nothing."""
    folders = [played.bundle / name / found for found in (fault.service, fault.unit_name)] if played.bundle else []
    return "\n".join((folder / "HANDOVER.md").read_text() for folder in folders if (folder / "HANDOVER.md").is_file())
