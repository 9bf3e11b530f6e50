# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running the playbook as a user would, once over many faults."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import yaml
from firstaid_hosts import access, containers

from .catalogue import Fault
from .hosts import HostError, ZooHost

ROOT = Path(__file__).resolve().parents[3]
STATE = ROOT / ".build" / "zoo"
PLAYBOOK = ROOT / "playbooks" / "diagnose-backend-crash.yml"
BY_NAME = "zoo_faults"
BY_DISCOVERY = "zoo_hosts"
FORKS = 3
# Dozens of services crash on each of these hosts at once, as on no real one: what they cost must not count as ours.
BUDGET_S = 120


def alias(fault: Fault, host: ZooHost) -> str:
    """Return the inventory name under which one fault on one host is diagnosed."""
    return f"{fault.name}.{host.short}"


def write_inventory(placed: dict[ZooHost, list[Fault]]) -> Path:
    """Write an inventory with one entry per fault, so that a single run can ask for each by its service's name."""
    base = yaml.safe_load(access.HEAD.format(key=access.KEY))["all"]["vars"]
    # Those that have to be young when they are looked at come first.
    pairs = sorted(
        ((host, fault) for host, faults in placed.items() for fault in faults),
        key=lambda pair: (pair[1].start != "late", pair[1].name),
    )
    address = {host: containers.address(host.container) for host in placed}
    groups = {
        BY_NAME: {
            alias(fault, host): {"ansible_host": address[host], "backend_service": fault.service}
            for host, fault in pairs
        },
        BY_DISCOVERY: {
            host.container: {"ansible_host": address[host], "backend_max_backends": 60}
            for host, faults in placed.items()
            if faults
        },
    }
    STATE.mkdir(parents=True, exist_ok=True)
    path = STATE / "inventory.yml"
    path.write_text(
        yaml.safe_dump({"all": {"vars": base, "children": {name: {"hosts": hosts} for name, hosts in groups.items()}}})
    )
    return path


def run(inventory: Path, group: str) -> tuple[Path, float]:
    """Diagnose a group of the inventory; return the bundle that was written and the seconds that it took."""
    output = STATE / group
    output.mkdir(parents=True, exist_ok=True)
    output.chmod(0o700)
    known = set(output.iterdir())
    log = STATE / f"{group}.log"
    began = time.monotonic()
    with log.open("wb") as stream:
        code = subprocess.run(
            [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(inventory), str(PLAYBOOK), "-f", str(FORKS),
             "-e", f"backend_hosts={group}", "-e", f"backend_output_dir={output}", "-e", f"backend_budget={BUDGET_S}"],
            stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, cwd=ROOT, check=False, timeout=1800,
            env={**os.environ, "ANSIBLE_HOST_KEY_CHECKING": "false", "ANSIBLE_FORCE_COLOR": "false", "ANSIBLE_TIMEOUT": "60"},
        ).returncode  # fmt: skip
    took_s = time.monotonic() - began
    fresh = sorted(
        path
        for path in output.iterdir()
        if path not in known and path.is_dir() and path.name.startswith("backend-diagnostics-")
    )
    if not fresh:
        raise HostError(f"the playbook ended with {code} and wrote no bundle; its output is in {log}")
    return fresh[-1], took_s
