# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The supervisor of a backend as repairs need it: which one it is, and waiting that is bounded."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from .._evidence.context import Context
from .._evidence.model import Backend
from .model import Control, ControlError

# Ansible ships what is imported somewhere; only the one that is asked for is loaded.
if TYPE_CHECKING:
    from . import control_supervisor, control_systemd  # noqa: F401

RUNTIMES = {"systemd": ("control_systemd", "Systemd"), "supervisor": ("control_supervisor", "Supervisor")}
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 0.5
# In these states a service works or will, by its supervisor's own doing.
UP = frozenset({"running", "starting"})


def control_of(backend: Backend, ctx: Context) -> Control:
    """The control of a backend's supervisor.

    :raises ControlError: repairs don't know this runtime.
    """
    if backend.runtime not in RUNTIMES:
        raise ControlError(f"{backend.name} is supervised by {backend.runtime}, which repairs can't control")
    module, name = RUNTIMES[backend.runtime]
    made: Control = getattr(importlib.import_module(f".{module}", __package__), name)(backend.name, ctx)
    return made


def poll(done: Callable[[], bool], seconds: float) -> bool:
    """Ask until it is so, in growing pauses; False when it is not so in time."""
    end = time.monotonic() + seconds
    pause = FIRST_PAUSE_S
    while True:
        if done():
            return True
        left = end - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, LONGEST_PAUSE_S)
