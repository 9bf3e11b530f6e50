# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting until a backend is healthy for a whole window, or until waiting has no sense. Reads only. See docs/repair.md."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from .._evidence import app, choose, proc, processes
from .._evidence.context import Context
from .._evidence.model import Backend
from .._evidence.proc import iso
from .._evidence.redaction import learn, redact
from . import ready_look, ready_port, ready_window
from .ready_health import Endpoint, Expectation, HealthLook, ask_all, expected_body
from .ready_lease import renewer
from .ready_look import UP
from .ready_watch import Look, Watch, complaints
from .ready_words import checks, next_step, reason

DEFAULT_DEADLINE_S = 120.0
# A hang of one look (requests, the supervisor) must not end the watch in the middle of a window.
SLACK_S = 60.0
# Seconds between looks: right after something changed, before readiness, and while nothing happens.
PAUSE_CHANGED, PAUSE_WAITING, PAUSE_STEADY = 0.2, 0.5, 1.0
LIVELY_S = 3.0
# Looks take at most this part of the time, so that a busy host isn't made busier.
SHARE = 0.25
ASK_WAITING_S, ASK_STEADY_S = 0.5, 2.0
RENEW_S = 10.0


@dataclass
class Watcher:
    """One backend that is watched, with the clock of the watch."""

    backend: Backend
    ctx: Context
    window: ready_window.Window
    deadline: float
    begun: float

    def __post_init__(self) -> None:
        params = self.ctx.params
        status = tuple(int(code) for code in params.get("health_status") or ())
        certs = bool(params.get("validate_certs", True))
        expectation = Expectation(status, expected_body(params.get("health_body")), certs)
        self.endpoint = Endpoint(self.backend, params.get("health_url"), expectation)
        self.urls: list[Mapping[str, Any]] = list(params.get("extra_urls") or ())
        self.ask = ready_look.asker(self.backend, self.ctx)
        workers = processes.expected_workers(self.backend) if ready_look.has_workers(self.backend) else None
        self.watch = Watch(self.window.seconds, workers, processes.recycles_workers(self.backend))
        self._health: Optional[HealthLook] = None
        self._extra: Optional[HealthLook] = None
        self._asked: tuple[float, Any] = (-1e9, None)

    def elapsed(self) -> float:
        return time.monotonic() - self.begun

    def look(self) -> Look:
        """One look, of which the endpoint's answer may be some seconds old."""
        word = self.ask()
        seen = ready_look.look(self.backend, word)
        port = ready_port.PortLook(None, "a job that ended needs no port")
        if word.state != "finished":
            port = ready_port.look(seen, self.ctx)
        self._ask_endpoint(seen, port)
        health = self._health or HealthLook(None, "not asked, because the backend is not up on its own port")
        return Look(self.elapsed(), seen, port, health, self._extra)

    def _ask_endpoint(self, seen: ready_look.Seen, port: ready_port.PortLook) -> None:
        """Ask when it is time, and always before a verdict; what an earlier process answered counts for nothing."""
        if seen.word.state not in UP or port.owned is False:
            self._health = self._extra = None
            return
        if seen.word.state == "finished" and self.endpoint.given is None:
            self._health = HealthLook(None, "a job that ended has no health endpoint")
        elif not self.ctx.params.get("probe_health", True):
            self._health = HealthLook(None, "asking is turned off")
        else:
            at, whom = self._asked
            good = self._health is not None and self._health.ok is not False
            near = self.watch.since is not None and self.elapsed() - self.watch.since >= self.window.seconds
            if (
                near
                or whom != seen.identity
                or self._health is None
                or self.elapsed() - at >= (ASK_STEADY_S if good else ASK_WAITING_S)
            ):
                self._health = self.endpoint.look(port.places, seen.word.main_pid)
                self._extra = None if self._health.ok is False else self._ask_urls()
                self._asked = (self.elapsed(), seen.identity)
            return
        self._extra = self._ask_urls()

    def _ask_urls(self) -> Optional[HealthLook]:
        return ask_all(self.urls, self.endpoint.expectation.validate_certs) if self.urls else None

    def pause(self, cost: float) -> float:
        """Seconds until the next look: short while things change, and never past the moment at which the window is full.

        :param cost: CPU seconds that the last look took.
        """
        changed = self.watch.rows[-1]["t"] if self.watch.rows else 0.0
        pause = PAUSE_STEADY if self.watch.since is not None else PAUSE_WAITING
        if self.elapsed() - changed < LIVELY_S:
            pause = PAUSE_CHANGED
        if self.watch.since is not None:
            pause = min(pause, max(0.02, self.watch.since + self.window.seconds - self.elapsed()))
        return max(pause, cost * (1 - SHARE) / SHARE)

    def over(self) -> bool:
        """Whether there is a verdict. A window that began before the deadline is watched to its end."""
        if self.watch.ready or self.watch.hopeless:
            return True
        return self.watch.since is None and self.elapsed() >= self.deadline


def check(params: Mapping[str, Any], once: bool = False) -> dict[str, Any]:
    """Watch the backend that ``params`` name, and tell. With a session in them, its lock is renewed.

    :param once: look once and don't wait (check mode).
    :raises InputError: there is no such backend.
    :raises Unavailable: no supervisor can be asked.
    :raises Locked: the session lost its lock.
    :raises StateError: the lock can't be renewed.
    """
    begun = time.monotonic()
    deadline = float(params.get("deadline") or DEFAULT_DEADLINE_S)
    ctx = Context(params, begun + SLACK_S)
    backend = choose.choose(params, ctx).backends[0]
    app.resolve(backend, ctx)
    learn(backend.environ, ctx)
    window = ready_window.choose(params.get("window"), backend.service)
    ctx.deadline = begun + deadline + window.seconds + SLACK_S
    watcher = Watcher(backend, ctx, window, deadline, begun)
    renew = None if once else renewer(params, backend.name)
    renewed = begun - RENEW_S
    while True:
        started = _busy()
        watcher.watch.take(watcher.look())
        if renew is not None and time.monotonic() - renewed >= RENEW_S:
            renew()
            renewed = time.monotonic()
        if once or watcher.over():
            break
        time.sleep(watcher.pause(_busy() - started))
    return answer(watcher, once)


def _busy() -> float:
    """Seconds of CPU time that this process and its commands have used. Waiting for an answer costs nobody anything."""
    return sum(os.times()[:4])


def answer(watcher: Watcher, once: bool) -> dict[str, Any]:
    """The module's result, without secrets."""
    watch = watcher.watch
    last = watch.last
    if last is None:
        raise RuntimeError("no look was taken")
    against = complaints(last, watch.workers_expected, watch.workers_recycled)
    ready = not against if once else watch.ready
    told = {
        "service": watcher.backend.name,
        "runtime": watcher.backend.runtime,
        "ready": ready,
        "reason": reason(watcher.backend, watch, against, watcher.deadline, once, ready),
        "next_step": next_step(watcher.backend, watch, against, ready, watcher.window),
        "began": iso(time.time() - watcher.elapsed()),
        "waited": round(watcher.elapsed(), 1),
        "window": watcher.window.seconds,
        "window_because": watcher.window.because,
        "deadline": watcher.deadline,
        "restarts": watch.restarts,
        "breaks": watch.breaks[-20:],
        "checks": checks(watch, last, _uptime(watcher), once),
        "timeline": watch.rows,
        "timeline_dropped": watch.dropped,
    }
    clean = redact({"answer": told}, watcher.ctx)["answer"]
    if "unavailable" not in clean:
        return dict(clean)
    # The verdict holds no text of the backend's.
    return {
        **{
            key: told[key]
            for key in ("service", "runtime", "ready", "began", "waited", "window", "deadline", "restarts")
        },
        "reason": str(clean["unavailable"]),
        "next_step": "Look at the backend by hand: the details were withheld.",
        "window_because": "",
        "breaks": [],
        "checks": {},
        "timeline": [],
        "timeline_dropped": 0,
    }


def _uptime(watcher: Watcher) -> Optional[float]:
    """For how many seconds the main process has lived."""
    last = watcher.watch.last
    if last is None or last.seen.identity is None or last.seen.identity[2] is None:
        return None
    start = proc.start_epoch(last.seen.identity[2])
    return None if start is None else max(0.0, time.time() - start)
