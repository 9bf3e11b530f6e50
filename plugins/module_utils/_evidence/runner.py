# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run: select the backends, gather all sections side by side, redact once.

A collector fails alone. Whatever it does (raise, hang, return too much) ends as an entry in ``collectors`` and a
section that says why it is missing.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from . import choose, secret_sources, target
from .bounds import bounded, plain
from .context import Context, silence
from .model import Backend, Section, Unavailable, unavailable
from .reach import reader_for
from .redaction import redact
from .registry import COLLECTORS, RESOLVERS, Collector, Function
from .shared_commands import SharedCommands
from .silent_mounts import NO_THREAD, reason

DEFAULT_BUDGET_S = 15.0
# Backends are looked at in turn by this many threads; more would slow each other down on small hosts.
PARALLEL_BACKENDS = 3
# A collector's commands end this much before its own limit, so that it can still say what it found.
GRACE_S = 0.3
ALWAYS = ("service", "unit")


@dataclass
class Gathered:
    """What a run gives: an evidence document for each backend, and all services that were looked at."""

    backends: list[dict[str, Any]] = field(default_factory=list)
    examined: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class Outcome:
    """A collector's result while it is made."""

    collector: Collector
    started: float
    thread: Optional[threading.Thread] = None
    section: Optional[Section] = None
    record: dict[str, Any] = field(default_factory=dict)


def gather(params: Mapping[str, Any]) -> Gathered:
    """Gather evidence for the backend that ``params`` name, or for each that is sick.

    :raises InputError: what the caller asked for does not exist or can't be done.
    """
    budget = float(params.get("budget") or DEFAULT_BUDGET_S)
    ctx = Context(params, time.monotonic() + budget)
    chosen = choose.choose(params, ctx)
    salt = os.urandom(16)
    commands = SharedCommands()
    documents: list[Optional[dict[str, Any]]] = [None] * len(chosen.backends)
    waiting = list(enumerate(chosen.backends))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                if not waiting:
                    return
                position, backend = waiting.pop(0)
            try:
                documents[position] = gather_one(
                    backend, commands.context(ctx), salt, chosen.resolve_ms.get(backend.name, 0)
                )
            except Exception as exc:
                if len(chosen.backends) == 1:
                    raise
                chosen.notes.append(f"{backend.name} could not be looked at: internal error, {place(exc)}")

    if len(waiting) == 1:
        work()
    else:
        threads = [
            threading.Thread(target=work, daemon=True) for _number in range(min(PARALLEL_BACKENDS, len(waiting)))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return Gathered(
        [document for document in documents if document is not None],
        [candidate.as_dict() for candidate in chosen.examined],
        chosen.notes,
    )


def gather_one(
    backend: Backend,
    ctx: Context,
    salt: bytes,
    resolve_ms: int = 0,
    collectors: Sequence[Collector] = COLLECTORS,
    resolvers: Sequence[Collector] = RESOLVERS,
) -> dict[str, Any]:
    """The redacted evidence document of one backend. Never raises for anything a collector does."""
    records: dict[str, dict[str, Any]] = {}
    sections: dict[str, Section] = {}
    for name in ALWAYS:
        section = backend.service if name == "service" else backend.unit
        sections[name], records[name] = _settle(section, _record("ok", resolve_ms), Collector(name, _nothing, 0))
    for outcome in [run(item, backend, ctx) for item in resolvers]:
        _take(outcome, sections, records)
    started = [start(item, backend, ctx) for item in collectors]
    for outcome in started:
        _take(finish(outcome, ctx), sections, records)
    if not secret_sources.known(backend, ctx, records.get("environment", {})):
        for name in set(secret_sources.FREE_TEXT).intersection(sections):
            sections[name] = unavailable(secret_sources.WITHHELD)
    document: dict[str, Any] = {"schema": 1, "target": target.section(backend, ctx), "collectors": records}
    document.update(sections)
    # A copy: a collector that was given up may still be adding secrets while redaction reads them.
    frozen = Context(ctx.params, ctx.deadline, dict(ctx.secrets), ctx.euid)
    clean = redact(plain(document), frozen, salt)
    for name, content in clean.items():
        if isinstance(content, dict) and str(content.get("unavailable", "")).startswith("withheld"):
            clean["collectors"][name] = {
                **records.get(name, _record("ok", 0)),
                "status": "withheld",
                "error": content["unavailable"],
            }
    return clean


def run(collector: Collector, backend: Backend, ctx: Context) -> Outcome:
    """Start a collector and wait for it."""
    return finish(start(collector, backend, ctx), ctx)


def start(collector: Collector, backend: Backend, ctx: Context) -> Outcome:
    """Start a collector in a thread of its own, with a deadline of its own."""
    outcome = Outcome(collector, time.monotonic())
    try:
        function = collector.load()
    except Exception as exc:
        outcome.record = _record("failed", 0, f"collector {collector.name} can't be loaded: {place(exc)}")
        return outcome
    outcome.started = time.monotonic()
    limit = _limit(collector, ctx, outcome.started)
    if limit <= GRACE_S:
        outcome.record = _record("skipped", 0, "the module's time budget was used up before it could start")
        return outcome
    changed = {"deadline": outcome.started + limit - GRACE_S, "reader": reader_for(backend, ctx.params)}
    own = ctx.__class__(**{**vars(ctx), **changed})
    outcome.thread = threading.Thread(target=_call, args=(outcome, function, backend, own), daemon=True)
    try:
        outcome.thread.start()
    except RuntimeError:
        outcome.thread, outcome.record = None, _record("failed", 0, NO_THREAD)
    return outcome


def finish(outcome: Outcome, ctx: Context) -> Outcome:
    """Wait for a collector up to its limit; one that takes longer is left to itself and recorded."""
    if outcome.thread is None:
        return outcome
    limit = _limit(outcome.collector, ctx, outcome.started)
    outcome.thread.join(max(0.0, outcome.started + limit - time.monotonic()))
    if outcome.thread.is_alive():
        spent = int((time.monotonic() - outcome.started) * 1000)
        message = f"no answer within {limit:.1f} s" + (reason() or "")
        # The thread may still finish; what it writes then must not be seen.
        return Outcome(outcome.collector, outcome.started, record=_record("timeout", spent, message))
    return outcome


def _call(outcome: Outcome, function: Function, backend: Backend, ctx: Context) -> None:
    begun = time.monotonic()
    try:
        if outcome.collector.code:
            _refuse_silence(backend)
        settled, record = _settle(function(backend, ctx), _record("ok", 0), outcome.collector)
    except Unavailable as exc:
        settled, record = unavailable(str(exc)), _record("failed", 0, str(exc))
    except Exception as exc:
        message = f"internal error in collector {outcome.collector.name}: {place(exc)}"
        settled, record = unavailable(message), _record("failed", 0, message)
    record["ms"] = int((time.monotonic() - begun) * 1000)
    outcome.record = record
    outcome.section = settled


def _refuse_silence(backend: Backend) -> None:
    """Don't wait for what no collector can get.

    :raises Unavailable: the backend's code, working directory or program is on a file system that does not answer.
    """
    paths = (backend.cwd, backend.app.code_dir, backend.python, backend.app.program, *backend.argv[:2])
    hanging = next((found for found in map(silence, filter(None, paths)) if found), None)
    if hanging:
        raise Unavailable(hanging)


def _settle(section: Section, record: dict[str, Any], collector: Collector) -> tuple[Section, dict[str, Any]]:
    """Take the collector's remarks out of its section, and cut it to size."""
    section = dict(section)
    partial = section.pop("_partial", None)
    truncated = bool(section.pop("_truncated", False))
    section, cut = bounded(plain(section), collector.max_bytes)
    if partial:
        record.update(status="partial", error=str(partial))
    if cut and not partial:
        record.update(status="partial", error=f"more than {collector.max_bytes // 1024} KiB: {cut} was cut")
    record["truncated"] = truncated or bool(cut)
    return section, record


def _take(outcome: Outcome, sections: dict[str, Section], records: dict[str, dict[str, Any]]) -> None:
    collector = outcome.collector
    records[collector.name] = outcome.record
    section = outcome.section
    if section is None:
        section = unavailable(outcome.record.get("error") or "not gathered")
    if collector.into is None:
        sections[collector.name] = section
        return
    owner, key = collector.into
    if "unavailable" in sections.setdefault(owner, {}):
        return
    sections[owner][key] = section


def _limit(collector: Collector, ctx: Context, started: float) -> float:
    """Seconds that a collector has from its start: its own limit, within what is left of the budget, and its floor."""
    left = max(collector.floor, min(collector.seconds, ctx.deadline - started))
    return left + collector.extra_seconds(ctx.params)


def _record(status: str, ms: int, error: Optional[str] = None) -> dict[str, Any]:
    return {"status": status, "ms": ms, "truncated": False, "error": error}


def place(exc: BaseException) -> str:
    """The class of an error and where in this package it happened; its text may hold anything and is left out."""
    frames = traceback.extract_tb(exc.__traceback__)
    if not frames:
        return type(exc).__name__
    last = frames[-1]
    own = next(
        (frame for frame in reversed(frames) if "_evidence" in frame.filename or "_repair" in frame.filename), last
    )
    return f"{type(exc).__name__} in {os.path.basename(own.filename)}:{own.lineno} ({own.name})"


def _nothing(_backend: Backend, _ctx: Context) -> Section:
    return {}
