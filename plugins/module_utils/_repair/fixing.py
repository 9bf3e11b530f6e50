# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of fixes. A new one is a new file in ``fixes/`` with ``propose``, and its name here."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from .model import Host, Proposal

# Ansible ships what is imported somewhere, so all are named here; only the one that is asked for is loaded.
if TYPE_CHECKING:
    from .fixes import clean_restart, dependencies, environment, port, settings, symlink  # noqa: F401

FIXES = ("symlink", "environment", "dependencies", "settings", "port", "clean_restart")


def load(name: str) -> Callable[[Host], Proposal]:
    """The function ``propose`` of a fix.

    :raises KeyError: there is no such fix.
    """
    if name not in FIXES:
        raise KeyError(name)
    module = importlib.import_module(f".fixes.{name}", __package__)
    propose: Callable[[Host], Proposal] = module.propose
    return propose
