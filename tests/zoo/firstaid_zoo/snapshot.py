# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proof that nothing changed: two snapshots of a host, compared.

Compared exactly, for everything: files in all trees (type, mode, owner, link target, size, mtime, ctime), names in
/run and /var, loaded units, mounts, need of a daemon-reload, unit files.
Compared for a *steady* unit: state, main PID and its start time, restart count, invocation; and no further exit.
For a unit that had *ended* (failed or inactive): state, restart count, invocation; and no further exit.
For a *looping* unit, whose processes come and go by themselves: the restart count never falls and rises by no more than
the time and its own restart delay allow; and its main process ended only in ways in which it had ended before, so that a
signal of somebody else's, or a stop, stands out. Its processes and sockets are left out.
Processes and sockets of everything else: the same ones, with the same start times.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .catalogue import Fault
from .hosts import ZooHost

Snapshot = dict[str, Any]
PROGRAM = (Path(__file__).parent / "remote_snapshot.py").read_text()
ENDED = ("failed", "inactive")
UNIT_FACTS = ("FragmentPath", "DropInPaths", "NeedDaemonReload")
STEADY_FACTS = ("ActiveState", "MainPID", "ExecMainStartTimestampMonotonic", "NRestarts", "InvocationID")
ENDED_FACTS = ("ActiveState", "NRestarts", "InvocationID")
SPAN_UNITS_S = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}


def take(host: ZooHost, faults: list[Fault], content: Sequence[str] = ()) -> Snapshot:
    """Describe the host as it is now; of paths that match `content` also what is in them."""
    wanted = {
        "units": [unit for fault in faults for unit in (fault.unit_name, *fault.companions)],
        "trees": [tree for fault in faults for tree in fault.trees],
        "content": sorted(set(content)),
        "leftovers": {
            fault.name: fault.repair.leftovers for fault in faults if fault.repair and fault.repair.leftovers
        },
    }
    snapshot: Snapshot = json.loads(host.python(PROGRAM, json.dumps(wanted)))
    return snapshot


def compare(before: Snapshot, after: Snapshot, faults: list[Fault]) -> list[str]:
    """Return one sentence for each thing that changed."""
    steady = {unit for fault in faults for unit in fault.steady}
    ended = {name for name, unit in before["units"].items() if unit["ActiveState"] in ENDED}
    looping = set(before["units"]) - steady - ended
    # A service that has to be young when it is looked at begins to listen in between.
    coming = looping | {"login"} | {fault.unit_name for fault in faults if fault.start == "late"}
    own = set(before["units"])
    changing = [pattern for fault in faults for pattern in fault.changing]
    found = _files(before["files"], after["files"], changing)
    for path, names in before["names"].items():
        found += _sets(f"{path}: entry", names, after["names"].get(path, []))
    found += _sets("unit", set(before["loaded"]) - own, set(after["loaded"]) - own)
    found += _sets("mount", before["mounts"], after["mounts"])
    found += _sets("listening socket", *(_others(snapshot["sockets"], coming) for snapshot in (before, after)))
    found += _sets("process", *(_processes(snapshot["processes"], own) for snapshot in (before, after)))
    elapsed_s = after["units_until"] - before["units_from"]
    for name in sorted(own):
        old, new = before["units"][name], after["units"][name]
        facts = UNIT_FACTS + (STEADY_FACTS if name in steady else ENDED_FACTS if name in ended else ())
        found += [
            f"{name}: {fact} was {old[fact]!r}, is {new[fact]!r}" for fact in facts if old.get(fact) != new.get(fact)
        ]
        if name in looping:
            found += _trend(name, old, new, elapsed_s)
        known = before["exits"][name]
        fresh = {
            way: count
            for way, count in after["exits"][name].items()
            if count > known.get(way, 0) and (name not in looping or way not in known)
        }
        found += [f"{name}: its main process ended in a way new to it: {way}" for way in sorted(fresh)]
    return found


def _files(before: dict[str, list[Any]], after: dict[str, list[Any]], changing: list[str]) -> list[str]:
    found = _sets("file", before, after)
    found += [
        f"file changed: {path}: {before[path]} → {after[path]}"
        for path in sorted(set(before) & set(after))
        if before[path] != after[path]
    ]
    return [
        line
        for line in found
        if not any(fnmatch.fnmatch(word.rstrip(":"), pattern) for word in line.split() for pattern in changing)
    ]


def _sets(what: str, before: Any, after: Any) -> list[str]:
    old, new = set(before), set(after)
    return [f"{what} gone: {entry}" for entry in sorted(old - new)] + [
        f"{what} new: {entry}" for entry in sorted(new - old)
    ]


def _others(sockets: list[list[str]], leave_out: set[str]) -> list[str]:
    return [" ".join(socket) for socket in sockets if socket[2] not in leave_out]


def _processes(processes: dict[str, list[str]], leave_out: set[str]) -> list[str]:
    # Steady units' workers may be recycled by their own parent, so only their main processes are held still, with the units.
    return [f"{pid} {' '.join(facts)}" for pid, facts in processes.items() if facts[1] not in leave_out]


def _trend(name: str, old: dict[str, str], new: dict[str, str], elapsed_s: float) -> list[str]:
    rise = int(new["NRestarts"]) - int(old["NRestarts"])
    most = int(elapsed_s / max(_seconds(old["RestartUSec"]), 0.1)) + 1
    if rise < 0:
        return [f"{name}: the restart count fell from {old['NRestarts']} to {new['NRestarts']}: it was reset"]
    if rise > most:
        return [f"{name}: {rise} restarts in {elapsed_s:.0f} s, more than its own delay allows ({most})"]
    return []


def _seconds(span: str) -> float:
    """Read systemd's `1min 30s`."""
    return sum(float(number) * SPAN_UNITS_S[unit] for number, unit in re.findall(r"([\d.]+)(ms|s|min|h)\b", span))
