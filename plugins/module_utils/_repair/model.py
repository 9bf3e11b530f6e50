# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fix is handed and what it answers. See docs/repair.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional, Protocol

from .._evidence.context import Context
from .._evidence.model import Backend, Section


@dataclass(frozen=True)
class Change:
    """One step of a fix. ``kind`` is a key of the table in ``changes.py``, which knows how to do and undo it.

    ``why`` is a clause for the reader, free of values. ``content`` is the new content of a file (None: the file goes away);
    ``secret`` keeps it out of diffs. ``target`` is what a link shall point to (None: the link goes away). ``mode``, ``uid`` and ``gid`` are
    None where they stay as they are. ``start_time`` is field 22 of ``/proc/<pid>/stat``, in clock ticks since boot.
    """

    kind: str
    path: str
    why: str
    content: Optional[bytes] = None
    target: Optional[str] = None
    mode: Optional[int] = None
    uid: Optional[int] = None
    gid: Optional[int] = None
    secret: bool = False
    replaces_file: bool = False
    pid: Optional[int] = None
    start_time: Optional[int] = None
    requirements: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Proposal:
    """What a fix would do. Without changes and with ``restart`` false, nothing is to be done. ``start``: also a service that was stopped."""

    decision: str
    changes: list[Change] = field(default_factory=list)
    restart: bool = True
    prove: bool = True
    start: bool = False
    notes: list[str] = field(default_factory=list)


class Refused(Exception):
    """A fix can't be done safely. The message is one sentence for the reader with the next step."""

    def __init__(self, message: str, commands: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.commands = list(commands)


@dataclass(frozen=True)
class ServiceState:
    """The supervisor's word. ``state`` is ``running``, ``starting`` (also: waiting for its next automatic restart),
    ``failed``, ``stopped`` or ``unknown``; ``detail`` the supervisor's own words; ``enabled`` None when it has no such thing."""

    state: str
    detail: str = ""
    main_pid: Optional[int] = None
    restarts: Optional[int] = None
    enabled: Optional[bool] = None


class Control(Protocol):
    """A supervisor, as far as repairs need it. Every call is bounded in time, polls, and raises ``ControlError``."""

    runtime: str

    def state(self) -> ServiceState:
        """How the service is now."""

    def pids(self) -> list[int]:
        """Processes of this service: its control group (systemd), its process group (supervisor)."""

    def reload(self) -> None:
        """Make the supervisor read changed configuration."""

    def start(self) -> None:
        """Clear a failed state and its start limit, and start; returns when the supervisor took the order."""

    def stop(self) -> None:
        """Stop, and wait until its processes are gone."""

    def restart(self) -> None:
        """Clear a failed state and its start limit, and restart."""


class ControlError(Exception):
    """The supervisor refused or did not answer; the message is one sentence for the reader."""


@dataclass
class Host:
    """What a fix may use. ``options`` are the role's; ``evidence(name)`` gives a section of the evidence, not redacted."""

    backend: Backend
    ctx: Context
    options: Mapping[str, Any]
    control: Control
    evidence: Callable[[str], Section]
