# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the module of the same name and tell it who asks. Only the controller can see whether one of its own processes is gone."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.firstaid.backend.plugins.module_utils._repair import lock

MODULE = "firstaid.backend.backend_session"


class ActionModule(ActionBase):  # type: ignore[misc]
    """Adds ``controller``; when the lock is held by a process of this controller that is gone, asks again with ``gone``."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = {"controller": identity(os.getppid()), **self._task.args}
        answer = self._ask(arguments, task_vars)
        held = answer.get("held_by")
        if arguments.get("state") == "begin" and isinstance(held, Mapping) and is_gone(held.get("controller")):
            answer = self._ask({**arguments, "gone": held.get("session")}, task_vars)
        return {**result, **answer}

    def _ask(self, arguments: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
        return answer


def identity(pid: int) -> dict[str, Any]:
    """A process of this controller, so that it can be recognised later."""
    return {"host": _host(), **lock.identity(pid)}


def is_gone(controller: Any) -> bool:
    """Whether a lock names a process of this controller that does not run any more; False when that can't be known."""
    return isinstance(controller, Mapping) and controller.get("host") == _host() and not lock.is_running(controller)


def _host() -> str:
    # The boot belongs to it: process numbers begin anew with it.
    return f"{platform.node()} {(lock.boot_id() or '')[:8]}".strip()
