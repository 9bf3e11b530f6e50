# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of collectors. A new one is a new file and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from . import (
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
    systemd,
)
from .context import Context
from .model import Backend, Section

DEFAULT_IMPORT_SECONDS = 20.0
KIB = 1024


@dataclass(frozen=True)
class Collector:
    """One collector: its section, its function, and its limits.

    ``seconds`` is its own time limit. ``extra`` names the module parameter, in seconds, that the limit grows by: such a
    collector may outlast the module's budget by that much. ``into`` is the section and key that its result becomes,
    where it is not a section of its own; a list is added to the list that is there.
    """

    name: str
    function: Callable[[Backend, Context], Section]
    seconds: float
    extra: Optional[str] = None
    into: Optional[tuple[str, str]] = None
    max_bytes: int = 512 * KIB

    def extra_seconds(self, params: Mapping[str, Any]) -> float:
        """How much longer than the budget this one may take."""
        return float(params.get(self.extra) or DEFAULT_IMPORT_SECONDS) if self.extra else 0.0


def _app(backend: Backend, ctx: Context) -> Section:
    app.resolve(backend, ctx)
    return app.collect(backend, ctx)


def _interpreter(backend: Backend, ctx: Context) -> Section:
    interpreter.resolve(backend, ctx)
    return interpreter.collect(backend, ctx)


# Slowest first: they run side by side, and the slowest decides.
COLLECTORS: tuple[Collector, ...] = (
    Collector("import_test", import_test.collect, 6.0, extra="import_test_timeout"),
    Collector("foreground_test", foreground_test.collect, 6.0, extra="import_test_timeout"),
    Collector("health", health.collect, 6.0, into=("app", "health")),
    Collector("backing_services", backing_services.collect, 8.0),
    Collector("packages", packages.collect, 6.0),
    Collector("logs", logs.collect, 8.0, max_bytes=4096 * KIB),
    Collector("unit_check", systemd.verify, 4.0, into=("unit", "problems")),
    Collector("kernel", kernel.collect, 5.0),
    Collector("processes", processes.collect, 5.0),
    Collector("ports", ports.collect, 5.0),
    Collector("resources", resources.collect, 4.0),
    Collector("symlinks", symlinks.collect, 4.0),
    Collector("environment", environment.collect, 4.0),
    Collector("access", access.collect, 4.0),
    Collector("python_path", python_path.collect, 4.0),
    Collector("clock", clock.collect, 3.0),
)

# They fill the backend before the collectors run, because those build on them. In this order.
RESOLVERS: tuple[Collector, ...] = (Collector("app", _app, 4.0), Collector("interpreter", _interpreter, 4.0))
