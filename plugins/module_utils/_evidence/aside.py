# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A function that runs aside. Lighter to load than ``concurrent.futures``, and never waited for at the end of a run."""

from __future__ import annotations

import threading
from typing import Any, Callable, Generic, Optional, TypeVar

T = TypeVar("T")


class Aside(Generic[T]):
    """Starts at once in a daemon thread."""

    def __init__(self, function: Callable[..., T], *arguments: Any) -> None:
        self._values: list[T] = []
        self._error: Optional[BaseException] = None
        self._thread = threading.Thread(target=self._run, args=(function, arguments), daemon=True)
        self._thread.start()

    def _run(self, function: Callable[..., T], arguments: tuple[Any, ...]) -> None:
        try:
            self._values.append(function(*arguments))
        except BaseException as exc:  # it belongs to whoever asks for the result
            self._error = exc

    def result(self) -> T:
        """Wait for the function, and return or raise what it did."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._values[0]
