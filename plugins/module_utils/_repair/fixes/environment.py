# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fix ``environment``: what the supervisor gives a backend to run with. User, directory, interpreter, files, path, target, type.

A part is a function of the draft in a table. Each one mends its subject if that is evident, in the backend as the parts before it left it,
so that one run can mend several faults. Options of the role win over evidence and are checked.
"""

from __future__ import annotations

from typing import Callable

from ..model import Host, Proposal, Refused
from .environment_app import target
from .environment_directory import directory
from .environment_draft import Draft, NotEvident
from .environment_env_file import env_files
from .environment_interpreter import interpreter
from .environment_pythonpath import pythonpath
from .environment_unit import accounts, misplaced, unit_type

Part = Callable[[Draft], None]

# In the order in which a start needs them.
FIRST: tuple[Part, ...] = (misplaced, accounts, directory, interpreter)
# An import stops at the first thing that is missing, whichever of these it is: they are looked at in turn until nothing more is found.
IN_TURN: tuple[Part, ...] = (env_files, pythonpath)
LAST: tuple[Part, ...] = (target, unit_type)
MAX_TURNS = 4


def propose(host: Host) -> Proposal:
    """What to change so that the backend gets the environment that it needs.

    :raises Refused: an option is wrong, nothing is evident, or only a person can make the change.
    """
    draft = Draft(host)
    if draft.backend.root_directory:
        raise Refused(
            f"{draft.backend.name} runs in a root of its own ({draft.backend.root_directory}), in which nothing can be tried."
        )
    _run(FIRST, draft)
    settled = list(draft.refusals)
    for _turn in range(MAX_TURNS):
        stamp = draft.stamp
        draft.refusals = list(settled)
        _run(IN_TURN, draft)
        if draft.stamp == stamp:
            break
    _run(LAST, draft)
    return draft.proposal()


def _run(parts: tuple[Part, ...], draft: Draft) -> None:
    """Run parts; what one can't decide is told at the end, and does not keep the others from mending."""
    for part in parts:
        try:
            part(draft)
        except NotEvident as exc:
            if str(exc) not in [str(known) for known in draft.refusals]:
                draft.refusals.append(exc)
