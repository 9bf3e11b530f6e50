# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of collectors. A new one is a new file, a line in the table, and its name in the list of imports."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional, Union

from .context import Context
from .model import Backend, Section

# Ansible ships what is imported somewhere, so all are named here. They are loaded one by one when they start: on the
# target everything is compiled anew in each run, and that goes on while the import test already runs.
if TYPE_CHECKING:
    from . import (  # noqa: F401
        access,
        app,
        backing_services,
        clock,
        environment,
        foreground_test,
        health,
        import_test,
        interpreter,
        kernel,
        logs,
        packages,
        ports,
        processes,
        python_path,
        resources,
        symlinks,
    )

DEFAULT_IMPORT_SECONDS = 20.0
KIB = 1024
Function = Callable[[Backend, Context], Section]


@dataclass(frozen=True)
class Collector:
    """One collector: its section, where its function is, and its limits.

    ``source`` is the name of the module that has the function ``collect``, or a function. ``seconds`` is its own time
    limit. ``extra`` names the module parameter, in seconds, that the limit grows by: such a collector may outlast the
    budget by that much. ``into`` is the section and key that its result becomes, where it is not a section of its own.
    ``floor`` is what it gets, in seconds, even when the budget is used up: on a starved host a log and the command line
    still tell most, and a run without them tells nothing. ``code`` says that it looks at the backend's code, which it is not
    asked to where that lies on a file system that does not answer. ``resolve`` says that the module's ``resolve`` is called first, which
    fills the backend.
    """

    name: str
    source: Union[str, Function]
    seconds: float
    extra: Optional[str] = None
    into: Optional[tuple[str, str]] = None
    max_bytes: int = 512 * KIB
    resolve: bool = False
    floor: float = 0.0
    code: bool = False

    def extra_seconds(self, params: Mapping[str, Any]) -> float:
        """How much longer than the budget this one may take."""
        return float(params.get(self.extra) or DEFAULT_IMPORT_SECONDS) if self.extra else 0.0

    def load(self) -> Function:
        """The function to call; imports its module."""
        if not isinstance(self.source, str):
            return self.source
        module = importlib.import_module(f".{self.source}", __package__)
        collect: Function = module.collect
        if not self.resolve:
            return collect

        def resolve_and_collect(backend: Backend, ctx: Context) -> Section:
            module.resolve(backend, ctx)
            return collect(backend, ctx)

        return resolve_and_collect


# In the order in which they start. Those that wait for others (the application, the network, programs) come first.
COLLECTORS: tuple[Collector, ...] = (
    Collector("import_test", "import_test", 6.0, extra="import_test_timeout", code=True),
    # What decides most answers comes early: on a busy host the budget may not reach for all.
    Collector("logs", "logs", 8.0, max_bytes=4096 * KIB, floor=3.0),
    Collector("processes", "processes", 5.0),
    Collector("foreground_test", "foreground_test", 6.0, extra="import_test_timeout", code=True),
    Collector("kernel", "kernel", 5.0),
    Collector("health", "health", 6.0, into=("app", "health")),
    Collector("backing_services", "backing_services", 8.0),
    Collector("packages", "packages", 6.0, code=True),
    Collector("ports", "ports", 5.0),
    Collector("resources", "resources", 4.0),
    Collector("symlinks", "symlinks", 4.0, code=True),
    Collector("environment", "environment", 4.0),
    Collector("access", "access", 4.0, code=True),
    Collector("python_path", "python_path", 4.0, code=True),
    Collector("clock", "clock", 3.0),
)

# They fill the backend before the collectors run, because those build on them. In this order.
RESOLVERS: tuple[Collector, ...] = (
    Collector("app", "app", 4.0, resolve=True, floor=1.0, code=True),
    Collector("interpreter", "interpreter", 4.0, resolve=True, floor=1.0, code=True),
)
