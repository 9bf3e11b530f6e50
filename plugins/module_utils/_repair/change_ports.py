# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kind of change that waits until a port is free. It only looks: nothing is bound or connected."""

from __future__ import annotations

import time
from typing import Any

from .._evidence import proc, sockets
from .._evidence.context import MIB
from .._evidence.sockets import BOUND, LISTENING, TIME_WAIT, Socket
from .changes import ChangeError, Means, Record, State
from .model import Change

POLL_S = 0.5
HELD_S = 5.0
# The kernel keeps a closed connection for 60 s (TCP_TIMEWAIT_LEN).
TIME_WAIT_S = 65.0


def on_port(port: int) -> list[Socket]:
    """The sockets of this network namespace on a port that can be in the way of a bind."""
    found: list[Socket] = []
    for name in ("tcp", "tcp6"):
        found += sockets.parse_tcp(proc.slurp(f"/proc/self/net/{name}", 8 * MIB) or "", name)
    known = {item.inode for item in found}
    found += [item for item in sockets.diagnose() or [] if item.inode not in known]
    return [item for item in found if item.port == port and item.state in (LISTENING, BOUND, TIME_WAIT)]


class WaitPort:
    """``wait_port``: ``options`` are ``port``, and ``time_wait`` to wait for connections that the kernel still keeps as well."""

    reversible = False
    atomic = True

    def before(self, change: Change, means: Means) -> State:
        found = on_port(int(change.options["port"]))
        return {
            "port": int(change.options["port"]),
            "held": sum(1 for item in found if item.state != TIME_WAIT),
            "time_wait": sum(1 for item in found if item.state == TIME_WAIT),
        }

    def after(self, change: Change, before: State, means: Means) -> State:
        return {"port": before["port"], "held": 0, **({"time_wait": 0} if change.options.get("time_wait") else {})}

    def apply(self, change: Change, record: Record, means: Means) -> None:
        port = int(change.options["port"])
        began = time.monotonic()
        while True:
            found = on_port(port)
            held = [item for item in found if item.state != TIME_WAIT]
            waited = time.monotonic() - began
            if not held and (not change.options.get("time_wait") or not found or waited > TIME_WAIT_S):
                break
            owners = self._owners(held) if held else []
            if held and set(owners) & set(means.control.pids()):
                # The backend's own next start was faster.
                break
            if held and waited > HELD_S:
                who = ", ".join(str(pid) for pid in owners) or "one that these rights don't show"
                raise ChangeError(
                    f"Port {port} is held again, by process {who}: find out what starts it, and end that."
                )
            time.sleep(POLL_S)
        record["after"] = {**record.get("after", {}), "waited_s": round(time.monotonic() - began, 1)}

    @staticmethod
    def _owners(held: list[Socket]) -> list[int]:
        owners = sockets.find_owners(sorted(proc.scan()))
        return sorted({pid for item in held for pid in owners.pids.get(item.inode, [])})

    def undo(self, record: Record, means: Means) -> None:
        """Nothing was changed."""

    def is_before(self, record: Record, means: Means) -> bool:
        return True

    def is_after(self, record: Record, means: Means) -> bool:
        return True

    def diff(self, change: Change, before: State, means: Means) -> dict[str, Any]:
        return {"before": "", "after": "", "before_header": change.path, "after_header": change.path}


WAIT_PORT = WaitPort()
