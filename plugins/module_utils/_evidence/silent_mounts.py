# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""File systems that don't answer, such as a share whose server is gone: whoever touches one waits, perhaps for ever.

They are found once, by threads that may be left behind, so that nothing on them is touched later. What can't be known so
is bounded by ``within``.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any, Optional, TypeVar

from . import proc
from .context import MIB, SILENT, Context
from .model import Unavailable
from .resources import parse_mountinfo

ANSWER_S = 1.0
# How long after the deadline a step may still come to its end; its commands end before.
PATIENCE_S = 1.0
MAX_MOUNTS = 50
# Types whose answers come from another host or process, by how their names begin. autofs is left out: asking it mounts.
_FAR = (
    "nfs", "cifs", "smb", "fuse", "ceph", "9p", "afs", "gluster", "lustre", "gpfs", "ocfs2", "gfs2", "beegfs", "virtiofs",
    "coda", "orangefs", "ncp", "davfs",
)  # fmt: skip

NO_THREAD = (
    "no thread can be started: memory or the number of processes is used up, for the host or for whom this runs as"
)

Result = TypeVar("Result")


def find(seconds: float = ANSWER_S) -> dict[str, str]:
    """Mount points that did not answer within ``seconds``, all asked side by side, and the types of their file systems."""
    mounts = parse_mountinfo(proc.slurp("/proc/self/mountinfo", MIB) or "")
    far = {point: fstype for point, _device, fstype, _options in mounts if fstype.startswith(_FAR)}
    threads: dict[str, threading.Thread] = {}
    for point in list(far)[:MAX_MOUNTS]:
        threads[point] = threading.Thread(target=_ask, args=(point,), daemon=True)
        threads[point].start()
    end = time.monotonic() + seconds
    for thread in threads.values():
        thread.join(max(0.0, end - time.monotonic()))
    return {point: far[point] for point, thread in threads.items() if thread.is_alive()}


def look() -> None:
    """Find them now, without threads at least none; what is known of each path in ``context`` rests on it."""
    try:
        found = find()
    except RuntimeError:
        found = {}
    SILENT.clear()
    SILENT.update(found)


def _ask(point: str) -> None:
    try:
        os.statvfs(point)
    except OSError:
        # An answer, too: one that is not connected any more refuses at once.
        pass


def within(ctx: Context, function: Callable[..., Result], *arguments: Any) -> Result:
    """Call a function in a thread, and leave it behind when the deadline is past and it still waits for something.

    :raises Unavailable: it did not come to an end. What the function itself raises is raised here.
    """
    look()
    ended: list[Result] = []
    failed: list[BaseException] = []

    def call() -> None:
        try:
            ended.append(function(*arguments))
        except BaseException as exc:
            failed.append(exc)

    thread = threading.Thread(target=call, daemon=True)
    try:
        thread.start()
    except RuntimeError as exc:
        raise Unavailable(NO_THREAD) from exc
    thread.join(min(ctx.remaining() + PATIENCE_S, threading.TIMEOUT_MAX))
    if failed:
        raise failed[0]
    if ended:
        return ended[0]
    raise Unavailable("finding the backend did not end in time" + (reason() or ": something that it needs hangs"))


def reason() -> Optional[str]:
    """Why something may have waited in vain, as the end of a sentence; None when every file system answers."""
    if not SILENT:
        return None
    return ": " + "; ".join(f"{point} ({fstype}) does not answer" for point, fstype in SILENT.items())


def sentences() -> list[str]:
    """What the reader has to know of them."""
    return [
        f"{point} ({fstype}) does not answer, so nothing on it was looked at: see whether its server or process is alive."
        for point, fstype in SILENT.items()
    ]
