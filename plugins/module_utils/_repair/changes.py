# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of kinds of change. A new kind is an object with the methods of ``Kind``, and a line here.

A change goes through its kind like this. ``record`` is its entry in the manifest, which is written at each arrow::

    before(change, means) -> after(change, before, means) -> [planned] -> apply(change, record, means) -> [done]
                                                                 undo(record, means) -> [undone]

The process can be killed anywhere in between. The next one has only the record: it asks ``is_before`` and ``is_after``.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from .._evidence.context import Context
from .model import Change, Control

# Ansible ships what is imported somewhere, so all are named here; only the one that is asked for is loaded.
if TYPE_CHECKING:
    from . import (  # noqa: F401
        change_bytecode,
        change_files,
        change_logs,
        change_packages,
        change_ports,
        change_processes,
        change_units,
    )

Record = dict[str, Any]
State = dict[str, Any]


class ChangeError(Exception):
    """A change can't be made or taken back. The message is one sentence for the reader, with the next step."""


class Keep(Protocol):
    """Where the former content of one change is kept: below the run's directory, mode 0600. Keeps nothing in check mode."""

    def write(self, content: bytes, suffix: str = "") -> str:
        """Keep content, synced to disk; returns the name under which ``read`` gives it back."""

    def read(self, name: str) -> bytes:
        """The content that was kept.

        :raises ChangeError: it is not there any more, or is not what was kept.
        """


@dataclass
class Means:
    """What a kind may use. ``keep`` is bound to the one change that is looked at."""

    ctx: Context
    control: Control
    keep: Keep


class Kind(Protocol):
    """How one kind of change is done and undone.

    ``reversible``: whether ``undo`` brings the former state back. Where it does not, ``undo`` is not called and the manifest says so.
    ``atomic``: whether ``apply`` happens in one step. When a change that was only planned is neither as before nor as after, an atomic one was
    changed by somebody else and is left alone; any other was interrupted half-way and is undone.
    """

    reversible: bool
    atomic: bool

    def before(self, change: Change, means: Means) -> State:
        """How things are now, with all that ``undo`` will need; former content goes to ``means.keep``. Changes nothing else.

        :raises ChangeError: it can't be done safely (a directory is in the way, for instance); nothing was touched.
        """

    def after(self, change: Change, before: State, means: Means) -> State:
        """How things will be, as far as that is known beforehand; written with the plan, so that a killed run is understood."""

    def apply(self, change: Change, record: Record, means: Means) -> None:
        """Do it, so that it survives a power failure. May complete ``record["after"]`` with what is only known now.

        :raises ChangeError: it was not done, or (not atomic) half of it; the caller then undoes it.
        """

    def undo(self, record: Record, means: Means) -> None:
        """Bring back what ``record["before"]`` says, exactly, and remove what ``apply`` left beside it.

        Does nothing when things are so already: a change that was only planned is undone too, for what was prepared for it.

        :raises ChangeError: it could not be done.
        """

    def is_before(self, record: Record, means: Means) -> bool:
        """Whether things are as they were before the change."""

    def is_after(self, record: Record, means: Means) -> bool:
        """Whether things are as the change left them: nobody has changed them since."""

    def diff(self, change: Change, before: State, means: Means) -> dict[str, str]:
        """For ``--diff``: the texts ``before`` and ``after``, and ``before_header`` and ``after_header`` (usually the path)."""


# Kind -> the module of this package and the object in it.
KINDS: dict[str, tuple[str, str]] = {
    "file": ("change_files", "FILE"),
    "link": ("change_files", "LINK"),
    "attributes": ("change_files", "ATTRIBUTES"),
    "packages": ("change_packages", "PACKAGES"),
    "end_process": ("change_processes", "END_PROCESS"),
    "stop": ("change_processes", "STOP"),
    "wait_port": ("change_ports", "WAIT_PORT"),
    "remove_bytecode": ("change_bytecode", "REMOVE_BYTECODE"),
    "rotate": ("change_logs", "ROTATE"),
    "start_unit": ("change_units", "START_UNIT"),
}


def kind(name: str) -> Kind:
    """The object that does changes of this kind.

    :raises KeyError: there is no such kind.
    """
    module, attribute = KINDS[name]
    found: Kind = getattr(importlib.import_module(f".{module}", __package__), attribute)
    return found
