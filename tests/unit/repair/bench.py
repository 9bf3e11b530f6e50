# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backend in a directory of the test, its supervisor played by a table, its evidence gathered by the real collectors."""

from __future__ import annotations

import os
import pwd
import sys
import time
from pathlib import Path
from typing import Any, Optional

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import app, interpreter
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import Backend
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.registry import COLLECTORS
from ansible_collections.firstaid.backend.plugins.module_utils._repair.changes import ChangeError, Means, kind
from ansible_collections.firstaid.backend.plugins.module_utils._repair.model import Change, Host, Proposal, ServiceState


class Table:
    """A supervisor that says what it was told to say."""

    runtime = "systemd"

    def __init__(self, state: str = "failed", main_pid: Optional[int] = None, pids: tuple[int, ...] = ()) -> None:
        self.says = ServiceState(state, f"{state} (test)", main_pid, 0, True)
        self.group = list(pids)
        self.calls: list[str] = []

    def state(self) -> ServiceState:
        return self.says

    def pids(self) -> list[int]:
        return [pid for pid in self.group if os.path.exists(f"/proc/{pid}")]

    def reload(self) -> None:
        self.calls.append("reload")

    def start(self) -> None:
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")
        self.says = ServiceState("stopped")

    def restart(self) -> None:
        self.calls.append("restart")


class NoKeep:
    def write(self, content: bytes, suffix: str = "") -> str:
        return ""

    def read(self, name: str) -> bytes:
        raise ChangeError(name)


def make(
    directory: Path,
    argv: list[str],
    options: Optional[dict[str, Any]] = None,
    control: Optional[Table] = None,
    given: Optional[dict[str, dict[str, Any]]] = None,
    **more: Any,
) -> Host:
    """A host whose backend runs ``argv`` in a directory. ``given`` are sections of the evidence that are not gathered."""
    ctx = Context(params={"import_test_timeout": 10}, deadline=time.monotonic() + 60)
    me = pwd.getpwuid(os.geteuid())
    backend = Backend("demo.service", "systemd", argv=argv, cwd=str(directory))
    backend.user, backend.uid, backend.gid, backend.groups = me.pw_name, me.pw_uid, me.pw_gid, [me.pw_gid]
    for name, value in more.items():
        setattr(backend, name, value)
    sections: dict[str, dict[str, Any]] = dict(given or {})
    for module in (app, interpreter):
        module.resolve(backend, ctx)

    def evidence(name: str) -> dict[str, Any]:
        if name not in sections:
            collector = next(one for one in COLLECTORS if one.name == name)
            sections[name] = collector.load()(backend, ctx)
        return sections[name]

    return Host(backend, ctx, options or {}, control or Table(), evidence)


def apply(host: Host, changes: list[Change]) -> list[dict[str, Any]]:
    """Make changes as a transaction does, without a manifest; returns the records."""
    means = Means(host.ctx, host.control, NoKeep())
    records = []
    for change in changes:
        worker = kind(change.kind)
        record: dict[str, Any] = {"kind": change.kind, "path": change.path, "state": "planned"}
        record["before"] = worker.before(change, means)
        record["after"] = worker.after(change, record["before"], means)
        worker.apply(change, record, means)
        records.append(record)
    return records


def kinds(proposal: Proposal) -> list[str]:
    return [change.kind for change in proposal.changes]


PYTHON = os.path.realpath(sys.executable)
