# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting until every planted fault shows itself: polled conditions, no fixed pauses."""

from __future__ import annotations

import json
import time
from pathlib import Path

from .catalogue import Fault
from .hosts import ZooHost

PROGRAM = (Path(__file__).parent / "remote_warm.py").read_text()


def wait(placed: dict[ZooHost, list[Fault]], limit_s: float = 240.0) -> dict[str, list[str]]:
    """Wait for all, and return what is still not warm after `limit_s` seconds: container → sentences."""
    deadline = time.monotonic() + limit_s
    cold: dict[str, list[str]] = {}
    while True:
        cold = {host.container: unmet for host, faults in placed.items() if faults and (unmet := _unmet(host, faults))}
        if not cold or time.monotonic() > deadline:
            return cold
        time.sleep(2)


def _unmet(host: ZooHost, faults: list[Fault]) -> list[str]:
    wanted = {fault.unit_name: fault.warm for fault in faults}
    return list(json.loads(host.python(PROGRAM, json.dumps(wanted))))
