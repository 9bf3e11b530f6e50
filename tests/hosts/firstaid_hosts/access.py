# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How Ansible and testinfra reach the hosts: key, inventory and the engine's address, all under .build/hosts."""

from __future__ import annotations

import os
from pathlib import Path

from .catalogue import Host
from .shell import run

STATE = Path(__file__).resolve().parents[3] / ".build" / "hosts"
INVENTORY = STATE / "inventory.yml"
ENGINE = STATE / "engine.env"
KEY = STATE / "id_ed25519"

HEAD = """---
# Written by tests/hosts/up.
all:
  vars:
    ansible_user: ops
    ansible_become: true
    ansible_python_interpreter: /usr/bin/python3
    ansible_ssh_private_key_file: {key}
    ansible_ssh_pipelining: true
    ansible_ssh_common_args: >-
      -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR
      -o ControlMaster=auto -o ControlPersist=60s
  children:
"""


def public_key() -> str:
    """Return the hosts' public key, made on first use."""
    STATE.mkdir(parents=True, exist_ok=True)
    STATE.chmod(0o700)
    if not KEY.exists():
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "firstaid-test-hosts", "-f", str(KEY)])
    return KEY.with_suffix(".pub").read_text().strip()


def write(hosts: list[Host], addresses: dict[str, str]) -> None:
    """Write the inventory of these hosts, and the engine's address for testinfra's docker backend."""
    lines = [HEAD.format(key=KEY).rstrip("\n")]
    for group in sorted({group for host in hosts for group in host.groups}):
        lines += [f"    {group}:", "      hosts:"]
        for host in hosts:
            if group in host.groups:
                lines += [f"        {host.name}:", f"          ansible_host: {addresses[host.name]}"]
    _replace(INVENTORY, "\n".join(lines) + "\n")
    engine = os.environ.get("DOCKER_HOST", "")
    _replace(ENGINE, f"export DOCKER_HOST={engine}\n" if engine else "")


def forget() -> None:
    """Remove inventory and engine address, which hold no longer."""
    INVENTORY.unlink(missing_ok=True)
    ENGINE.unlink(missing_ok=True)


def _replace(path: Path, text: str) -> None:
    # Replaced in one step: somebody else's ansible may be reading it.
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_text(text)
    new.replace(path)
