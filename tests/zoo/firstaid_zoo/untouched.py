# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a repair changed beside what it may change: two snapshots of a host without the backends' own share, compared.

Left out of both: a repaired unit itself with its processes and sockets; paths that match a `may_change`; the times (not the owner or
mode) of a directory in which such a path lies; the state directory of repairs. For a fault of which nothing may stay (rolled back,
handed over) its `may_change` paths are compared too, by content, owner and mode, since bringing back a file gives it new times.
"""

from __future__ import annotations

import copy
import fnmatch
import posixpath
from typing import Any

from . import snapshot
from .catalogue import Fault, fill_in
from .hosts import ZooHost
from .planter import REPAIRS

DIRECTORY = "0o4"


def take(host: ZooHost, faults: list[Fault]) -> snapshot.Snapshot:
    """Describe the host, with the content of the faults' own files and of everything that a repair may change."""
    patterns = [fill_in(path, host.short) for fault in faults for path in (*fault.files, *allowed_for(fault))]
    return snapshot.take(host, faults, content=patterns)


def unchanged(
    before: snapshot.Snapshot, after: snapshot.Snapshot, faults: list[Fault], short: str, *, touched: bool
) -> list[str]:
    """Say what is otherwise than before although no repair of these faults may have touched it; `touched`: whether any may have run."""
    if not touched:
        return snapshot.compare(_without(before, [], set(), set()), _without(after, [], set(), set()), faults)
    allowed = [fill_in(path, short) for fault in faults for path in allowed_for(fault)]
    # One that is handed over without a try is as little touched as any neighbour.
    own = {
        fault.unit_name
        for fault in faults
        if fault.repair and (fault.repair.expected != "handed_over" or allowed_for(fault))
    }
    pids = {pid for taken in (before, after) for fault in faults for pid in taken["leftovers"].get(fault.name, [])}
    sentences = snapshot.compare(_without(before, allowed, own, pids), _without(after, allowed, own, pids), faults)
    return sentences + _content(before, after, faults, allowed, short)


def restored(before: snapshot.Snapshot, after: snapshot.Snapshot, fault: Fault, short: str) -> list[str]:
    """Say which of the paths that a repair may change are not as they were before it."""
    patterns = [fill_in(path, short) for path in allowed_for(fault)]
    found = []
    for path in sorted({*before["content"], *after["content"]}):
        if matches(path, patterns):
            old, new = before["content"].get(path), after["content"].get(path)
            if old != new:
                found.append(f"{fault.name}: not as it was: {path}: {old} → {new}")
    return found


def allowed_for(fault: Fault) -> tuple[str, ...]:
    """Return the patterns of what a repair of this fault may change; a drop-in may need its directory."""
    paths = fault.repair.may_change if fault.repair else ()
    return (*paths, *{posixpath.dirname(path) for path in paths if path.endswith(".conf")})


def matches(path: str, patterns: list[str]) -> bool:
    """Tell whether a path is one of these patterns; `/**` takes in the directory itself and everything below."""
    return any(
        fnmatch.fnmatchcase(path, pattern) or (pattern.endswith("/**") and f"{path}/".startswith(pattern[:-2]))
        for pattern in patterns
    )


def _without(taken: snapshot.Snapshot, allowed: list[str], own: set[str], pids: set[str]) -> snapshot.Snapshot:
    kept: dict[str, Any] = copy.copy(taken)
    near = _directories_of(allowed)
    kept["files"] = {
        path: facts[:3] if path in near and facts[0].startswith(DIRECTORY) else facts
        for path, facts in taken["files"].items()
        if not matches(path, allowed)
    }
    kept["names"] = {
        place: [name for name in names if not matches(f"{place}/{name}", [*allowed, REPAIRS])]
        for place, names in taken["names"].items()
    }
    kept["units"] = {name: facts for name, facts in taken["units"].items() if name not in own}
    kept["exits"] = {name: facts for name, facts in taken["exits"].items() if name not in own}
    kept["loaded"] = [name for name in taken["loaded"] if name not in own]
    kept["processes"] = {
        pid: facts for pid, facts in taken["processes"].items() if facts[1] not in own and pid not in pids
    }
    kept["sockets"] = [
        socket for socket in taken["sockets"] if socket[2] not in own and not _orphaned(socket, taken, pids)
    ]
    return kept


def _directories_of(allowed: list[str]) -> set[str]:
    near = {posixpath.dirname(pattern.removesuffix("/**")) for pattern in allowed}
    # A drop-in directory that has to be made changes the directory of the units as well.
    return near | {posixpath.dirname(path) for path in near}


def _orphaned(socket: list[str], taken: snapshot.Snapshot, pids: set[str]) -> bool:
    return bool(pids) and socket[2] == "" and socket[1] in taken["leftover_sockets"]


def _content(
    before: snapshot.Snapshot, after: snapshot.Snapshot, faults: list[Fault], allowed: list[str], short: str
) -> list[str]:
    found = [
        f"content changed: {path}"
        for path in sorted({*before["content"], *after["content"]})
        if not matches(path, allowed) and before["content"].get(path) != after["content"].get(path)
    ]
    for fault in faults:
        if fault.repair and fault.repair.expected != "healed":
            found += restored(before, after, fault, short)
    return found
