# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``clock`` section: the target's time against the controller's, and whether anything keeps it right."""

from __future__ import annotations

import os
import struct
import time
from typing import Any, Optional

from .context import Context
from .model import Backend, Section
from .proc import iso, readlink

# Taken when this file is imported, which is when the module starts: what the collectors take does not count as skew.
_STARTED = (time.time(), time.monotonic())
_STA_UNSYNC = 0x0040


def collect(backend: Backend, ctx: Context) -> Section:
    """Compare with ``controller_time`` (seconds since 1970), which the controller took just before it sent the module.

    A positive offset means that the target's clock is ahead. It includes the way to the target, seconds at most.
    """
    return {
        "now": iso(time.time()),
        "controller_offset_s": offset(ctx.params.get("controller_time"), _STARTED[0]),
        "ntp_synchronized": _synchronized(),
        "timezone": _timezone(backend),
    }


def offset(controller: Any, started: float) -> Optional[float]:
    """Seconds that the target's clock is ahead of the controller's; None where the controller's time isn't given."""
    try:
        return round(started - float(controller), 1)
    except (TypeError, ValueError):
        return None


def _synchronized() -> Optional[bool]:
    """What the kernel says about its clock; reading it with ``modes`` 0 changes nothing."""
    answer = _ask_kernel()
    if answer:
        return True
    # systemd-timesyncd leaves this mark; some kernels in containers never show the state.
    if os.path.exists("/run/systemd/timesync/synchronized"):
        return True
    return answer


def _ask_kernel() -> Optional[bool]:
    if struct.calcsize("l") != 8:
        return None
    # Costly to import: here, a collector's thread pays for it beside the others.
    import ctypes

    buffer = ctypes.create_string_buffer(512)
    try:
        if ctypes.CDLL(None, use_errno=True).adjtimex(buffer) < 0:
            return None
    except (OSError, AttributeError):
        return None
    # struct timex: modes (padded to a long), offset, freq, maxerror, esterror, then the status word.
    return not struct.unpack_from("i", buffer.raw, 40)[0] & _STA_UNSYNC


def _timezone(backend: Backend) -> str:
    """The backend's own TZ, else the machine's zone."""
    if backend.environ.get("TZ"):
        return backend.environ["TZ"]
    target = readlink("/etc/localtime") or ""
    _before, found, zone = target.partition("/zoneinfo/")
    return zone if found else time.tzname[0]
