# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kind ``start_unit``: start a unit that an earlier change of the same run wrote below ``/run``, such as a timer."""

from __future__ import annotations

import os
import re

from .changes import ChangeError, Means, Record, State
from .model import Change

DIRECTORY = "/run/systemd/system"
_UNIT = re.compile(r"firstaid-[A-Za-z0-9:_.@\\-]{1,200}\.(?:timer|service)\Z")
_TIMEOUT_S = 20.0


class StartUnit:
    """Started and stopped by the manager. Only units with our own prefix, so that no change can name a service of somebody else's."""

    reversible = True
    atomic = True

    def before(self, change: Change, means: Means) -> State:
        """Whether it is active already."""
        return {"active": _active(_name(change.path), means)}

    def after(self, change: Change, before: State, means: Means) -> State:
        """It is active."""
        return {"active": True}

    def apply(self, change: Change, record: Record, means: Means) -> None:
        """Let the manager read it, and start it. Started again, it counts from the beginning."""
        name = _name(change.path)
        for argv in (["systemctl", "daemon-reload"], ["systemctl", "restart", name]):
            _run(argv, means)
        if not _active(name, means):
            raise ChangeError(f"{name} was started and is not active: look at systemctl status {name}.")

    def undo(self, record: Record, means: Means) -> None:
        """Stop it; its files are changes of their own."""
        name = _name(str(record["path"]))
        if _active(name, means):
            _run(["systemctl", "stop", name], means)

    def is_before(self, record: Record, means: Means) -> bool:
        """Whether it is as active as it was."""
        return bool(_active(_name(str(record["path"])), means) == record["before"]["active"])

    def is_after(self, record: Record, means: Means) -> bool:
        """Whether it is active."""
        return _active(_name(str(record["path"])), means)

    def diff(self, change: Change, before: State, means: Means) -> dict[str, str]:
        """A word each."""
        words = {True: "active\n", False: "not active\n"}
        header = _name(change.path)
        return {
            "before_header": header,
            "after_header": header,
            "before": words[before["active"]],
            "after": words[True],
        }


def _name(path: str) -> str:
    folder, name = os.path.split(path)
    if folder != DIRECTORY or not _UNIT.match(name):
        raise ChangeError(f"{path} is no unit of this collection below {DIRECTORY}, so it isn't started.")
    return name


def _active(name: str, means: Means) -> bool:
    return means.ctx.run(["systemctl", "is-active", "--quiet", name], timeout=_TIMEOUT_S).exit_status == 0


def _run(argv: list[str], means: Means) -> None:
    result = means.ctx.run(argv, timeout=_TIMEOUT_S)
    if not result.ok:
        said = (result.error or result.stderr.strip().split("\n")[-1])[:300]
        raise ChangeError(f"{' '.join(argv)} failed: {said}")


START_UNIT = StartUnit()
