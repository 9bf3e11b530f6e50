# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a host: which of the conditions given as the first argument (unit → condition) don't hold yet."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

FACTS = "Id,ActiveState,SubState,Result,NRestarts,ActiveEnterTimestampMonotonic,ExecMainStartTimestampMonotonic"


def main(wanted: dict[str, dict[str, Any]]) -> list[str]:
    """Return one sentence per unit that isn't warm."""
    shown = output(["systemctl", "show", "--property", FACTS, *wanted])
    units = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in shown.split("\n\n")]
    listening = {line.split()[3].rsplit(":", 1)[1] for line in output(["ss", "-Htln"]).splitlines()}
    cold = []
    for unit in units:
        why = unmet(unit, wanted[unit["Id"]], listening)
        if why:
            cold.append(
                f"{unit['Id']}: {why} (now {unit['ActiveState']}/{unit['SubState']}, {unit['Result']}, {unit['NRestarts']} restarts)"
            )
    return cold


def unmet(unit: dict[str, str], want: dict[str, Any], listening: set[str]) -> str:
    """Return what isn't so yet, or nothing."""
    if "state" in want and unit["ActiveState"] != want["state"]:
        return f"state is not {want['state']}"
    if "result" in want and unit["Result"] != want["result"]:
        return f"result is not {want['result']}"
    if int(unit["NRestarts"]) < want.get("restarts", 0):
        return f"fewer than {want['restarts']} restarts"
    if (want.get("active") or "active_s" in want) and unit["ActiveState"] != "active":
        return "not active"
    age_s = time.monotonic() - int(unit["ActiveEnterTimestampMonotonic"]) / 1e6
    if age_s < want.get("active_s", 0):
        return f"active for less than {want['active_s']} s"
    if "listens" in want and str(want["listens"]) not in listening:
        return f"port {want['listens']} is not listening"
    if want.get("ran") and unit["ExecMainStartTimestampMonotonic"] == "0":
        return "has not run"
    if (
        "journal" in want
        and output(["journalctl", "-q", "-o", "cat", "-u", unit["Id"]]).count(want["journal"]) < want["times"]
    ):
        return f"the journal has not said {want['journal']!r} {want['times']} times"
    return ""


def output(argv: list[str]) -> str:
    """Run a program and return what it printed."""
    return subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False, timeout=60).stdout


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
