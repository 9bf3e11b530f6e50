# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeping the session's lock while a backend is watched: the watch may take longer than the lease."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Optional

from . import lock, store

WAIT_S = 5.0


def renewer(params: Mapping[str, Any], backend: str) -> Optional[Callable[[], None]]:
    """The function that renews the lease of the session in ``params``; None where there is no session.

    It raises ``lock.Locked`` when the session lost the lock: somebody else works on the backend then, and what is seen means nothing.
    """
    session = params.get("session")
    if not session:
        return None

    def renew() -> None:
        state = store.open_state(str(params.get("state_dir") or store.DEFAULT_STATE_DIR))
        try:
            folder = state.folder(store.file_name(backend))
            try:
                with store.exclusive(folder, WAIT_S):
                    lock.renew(folder, str(session))
            finally:
                folder.close()
        finally:
            state.close()

    return renew
