# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands whose answer is the host's, not a backend's: run once, used by all backends of a run."""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Optional

from .context import MIB, CommandResult, Context

# Only programs that read; a backend never gets its own earlier answer, so that it may ask twice to see a change.
HOST_COMMANDS = ("journalctl", "dmesg", "systemctl", "timedatectl", "chronyc", "ss", "df", "lsblk", "aa-status")

_Key = tuple[tuple[str, ...], float, int, tuple[tuple[str, str], ...]]


@dataclass
class _Answer:
    owner: int
    done: threading.Event = field(default_factory=threading.Event)
    result: Optional[CommandResult] = None


class SharedCommands:
    """The answers of one run of the module."""

    def __init__(self) -> None:
        self._answers: dict[_Key, _Answer] = {}
        self._lock = threading.Lock()
        self._owners = 0

    def context(self, ctx: Context) -> SharingContext:
        """A context for one more backend; deadline, parameters and secrets are those of ``ctx``."""
        self._owners += 1
        values = {item.name: getattr(ctx, item.name) for item in fields(Context)}
        return SharingContext(**values, shared=self, owner=self._owners)

    def claim(self, key: _Key, owner: int) -> tuple[_Answer, bool]:
        """The answer for a key, and whether the caller has to give it."""
        with self._lock:
            answer = self._answers.get(key)
            if answer is None:
                answer = self._answers[key] = _Answer(owner)
                return answer, True
            return answer, False


@dataclass
class SharingContext(Context):
    """A context that asks the host the same question once for all backends."""

    shared: Optional[SharedCommands] = None
    owner: int = 0

    def run(
        self,
        argv: Sequence[str],
        timeout: float = 5.0,
        max_bytes: int = MIB,
        env: Optional[Mapping[str, str]] = None,
        stdin: bytes = b"",
        cwd: Optional[str] = None,
    ) -> CommandResult:
        if self.shared is None or argv[0] not in HOST_COMMANDS or stdin or cwd:
            return super().run(argv, timeout, max_bytes, env, stdin, cwd)
        answer, mine = self.shared.claim(
            (tuple(argv), timeout, max_bytes, tuple(sorted((env or {}).items()))), self.owner
        )
        if not mine and answer.owner != self.owner:
            answer.done.wait(min(timeout, self.remaining()))
            if answer.result is not None and answer.result.exit_status is not None and not answer.result.timed_out:
                return copy.deepcopy(answer.result)
        try:
            result = super().run(argv, timeout, max_bytes, env, stdin, cwd)
            if mine:
                answer.result = result
            return result
        finally:
            if mine:
                answer.done.set()
