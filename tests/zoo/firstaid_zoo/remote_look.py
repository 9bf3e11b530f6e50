# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a host: how repaired services are, asked of systemd, the kernel and the services themselves.

The first argument is `{unit: {"port": number or null, "path": text, "read": [paths]}}`. Standard library only.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from typing import Any

SHOW = "Id,ActiveState,SubState,MainPID,NRestarts,ControlGroup,RestartUSec,NeedDaemonReload,ActiveEnterTimestamp"
LOOK_S = 2.0


def main(wanted: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Look twice, so that a service that comes and goes is seen to."""
    first = units(list(wanted))
    time.sleep(LOOK_S)
    second = units(list(wanted))
    owners = listeners()
    return {
        name: {
            "state": second[name]["ActiveState"],
            "sub": second[name]["SubState"],
            "stood": all(first[name][fact] == second[name][fact] for fact in ("MainPID", "NRestarts")),
            "restarts": int(second[name]["NRestarts"]),
            "restart_delay": second[name]["RestartUSec"],
            "active_since": second[name]["ActiveEnterTimestamp"],
            "needs_reload": second[name]["NeedDaemonReload"] == "yes",
            "owns_port": bool(owners.get(want.get("port"), set()) & members(second[name]["ControlGroup"])),
            "answer": ask(want["port"], want.get("path", "/")) if want.get("port") else None,
            "texts": {path: text(path) for path in want.get("read", [])},
            "runs": sorted(names(f"/var/lib/firstaid/{name}")),
        }
        for name, want in wanted.items()
    }


def units(wanted: list[str]) -> dict[str, dict[str, str]]:
    """Return what systemd says of each unit."""
    shown = output(["systemctl", "show", "--property", SHOW, *wanted])
    found = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in shown.split("\n\n")]
    return {unit["Id"]: unit for unit in found}


def members(group: str) -> set[str]:
    """Return the processes in a control group and below."""
    found: set[str] = set()
    for root in ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
        for folder, _below, files in os.walk(f"{root}{group}") if group else ():
            if "cgroup.procs" in files:
                with open(f"{folder}/cgroup.procs") as file:
                    found |= set(file.read().split())
        if found:
            break
    return found


def listeners() -> dict[int, set[str]]:
    """Return who listens on which port: port → PIDs."""
    inodes: dict[str, int] = {}
    for name in ("tcp", "tcp6"):
        for line in text(f"/proc/net/{name}").splitlines()[1:]:
            words = line.split()
            if words[3] == "0A":
                inodes[f"socket:[{words[9]}]"] = int(words[1].rpartition(":")[2], 16)
    found: dict[int, set[str]] = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in names(f"/proc/{pid}/fd"):
            try:
                port = inodes.get(os.readlink(f"/proc/{pid}/fd/{name}"))
            except OSError:
                continue
            if port is not None:
                found.setdefault(port, set()).add(pid)
    return found


def ask(port: int, path: str) -> list[Any]:
    """Return status and beginning of the body, or 0 and what went wrong."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return [answer.status, answer.read(4000).decode(errors="replace")]
    except (OSError, http.client.HTTPException) as error:
        return [0, f"{type(error).__name__}: {error}"]
    finally:
        connection.close()


def names(path: str) -> list[str]:
    """Return the entries of a directory, or nothing."""
    try:
        return os.listdir(path)
    except OSError:
        return []


def text(path: str) -> str:
    """Return a file's text, a link as `-> target`, or nothing."""
    if os.path.islink(path):
        return f"-> {os.readlink(path)}"
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def output(argv: list[str]) -> str:
    """Run a program and return what it printed."""
    return subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False, timeout=60).stdout


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
