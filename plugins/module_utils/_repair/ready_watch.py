# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judgement over a row of looks: when the window begins anew, when it is full, when waiting has no sense. Pure: no clock, no host."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from .ready_health import HealthLook
from .ready_look import UP, Seen, Word, Worker
from .ready_port import PortLook

MAX_ROWS = 200
FIRST_ROWS = 60
# A crash after readiness is one restart; a second one shows a loop.
HOPELESS_RESTARTS = 2
# Workers that die behind a living parent: more than a deployment or a lone accident takes.
HOPELESS_WORKERS = 4
# For how long "failed", "stopped" or silence of the supervisor has to hold, in seconds: a restart by somebody passes through them.
SETTLED_SECONDS = {"failed": 0.6, "stopped": 1.5, "unknown": 15.0}


@dataclass(frozen=True)
class Look:
    """Everything at one moment; ``at`` is seconds since the beginning."""

    at: float
    seen: Seen
    port: PortLook
    health: HealthLook
    extra: Optional[HealthLook] = None

    @property
    def word(self) -> Word:
        return self.seen.word


@dataclass
class Watch:
    """What the looks add up to.

    :ivar since: when all conditions began to hold without a break, None while one does not.
    :ivar hopeless: why waiting longer has no sense, one sentence, None while it has.
    """

    window: float
    workers_expected: Optional[int] = None
    workers_recycled: bool = False
    since: Optional[float] = None
    hopeless: Optional[str] = None
    restarts: int = 0
    workers_lost: int = 0
    rebound: int = 0
    breaks: list[str] = field(default_factory=list)
    last: Optional[Look] = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    dropped: int = 0
    _counted: int = 0
    _replaced: int = 0
    _identity: Optional[tuple[Any, ...]] = None
    _workers: Optional[frozenset[Worker]] = None
    _listeners: frozenset[int] = frozenset()
    _state_since: float = 0.0

    def take(self, look: Look) -> None:
        """Add a look. Its ``at`` is not before that of the one before."""
        broken = self._restarted(look) or self._lost_workers(look) or self._rebound(look)
        if self.last is None or look.word.state != self.last.word.state:
            self._state_since = look.at
        against = complaints(look, self.workers_expected, self.workers_recycled)
        holds = not against
        if against:
            broken = broken or against[0]
        if broken and self.since is not None:
            self.breaks.append(f"after {look.at:.1f} s: {broken}")
            self.since = None
        if holds and self.since is None:
            self.since = look.at
        self.last = look
        self._note(look)
        self.hopeless = self._hopeless(look)
        if self.hopeless:
            self.since = None

    @property
    def held(self) -> float:
        """For how many seconds all conditions have held."""
        return 0.0 if self.since is None or self.last is None else self.last.at - self.since

    @property
    def ready(self) -> bool:
        """Whether the window is full; a job that ended well has nothing to stay up for."""
        if self.last is None or self.since is None:
            return False
        return self.held >= self.window or self.last.word.state == "finished"

    def _restarted(self, look: Look) -> Optional[str]:
        """Count restarts: by the supervisor's counter and by the identity of the main process, whichever saw more."""
        before = self.last.word.restarts if self.last else look.word.restarts
        now = look.word.restarts
        happened: Optional[str] = None
        if now is not None and before is not None and now > before:
            self._counted += now - before
            happened = f"its restart counter rose from {before} to {now}"
        if look.seen.identity is not None and look.seen.identity != self._identity:
            if self._identity is not None:
                self._replaced += 1
                happened = happened or "its main process was replaced"
            self._identity = look.seen.identity
            self._workers, self._listeners = None, frozenset()
        self.restarts = max(self._counted, self._replaced)
        return happened

    def _lost_workers(self, look: Look) -> Optional[str]:
        workers = look.seen.workers
        if workers is None:
            return None
        gone = (self._workers or frozenset()) - workers
        self._workers = workers
        if not gone or self.workers_recycled:
            return None
        self.workers_lost += len(gone)
        return f"{len(gone)} of its workers ended behind the living main process"

    def _rebound(self, look: Look) -> Optional[str]:
        """A listening socket made anew is a restart that the supervisor does not see: a script that starts the server in a loop."""
        now = look.port.listeners
        gone = self._listeners - now if now else frozenset()
        self._listeners = now or self._listeners
        if not gone:
            return None
        self.rebound += 1
        return "the process behind its port was replaced"

    def _hopeless(self, look: Look) -> Optional[str]:
        word = look.word
        if word.gave_up:
            return f"its supervisor gave up restarting it: {word.detail}"
        settled = SETTLED_SECONDS.get(word.state)
        if settled is not None and look.at - self._state_since >= settled:
            return {
                "failed": f"it failed and nothing will restart it: {word.detail}",
                "stopped": f"it is not running and nothing will start it: {word.detail}",
                "unknown": f"its state can't be told: {word.detail}",
            }[word.state]
        if self.restarts >= HOPELESS_RESTARTS:
            return f"it was restarted {self.restarts} times within {look.at:.0f} s, so it keeps crashing"
        if self.rebound >= HOPELESS_RESTARTS:
            return f"the server behind its start script was replaced {self.rebound} times within {look.at:.0f} s, so it keeps crashing"
        if self.workers_lost >= max(HOPELESS_WORKERS, 2 * (self.workers_expected or 0)):
            return f"{self.workers_lost} workers ended behind the living main process within {look.at:.0f} s, so they keep crashing"
        return None

    def _note(self, look: Look) -> None:
        """A row of the timeline where something changed; of too many, those in the middle go."""
        row = {
            "t": round(look.at, 1),
            "state": look.word.state,
            "main_pid": look.word.main_pid,
            "restarts": look.word.restarts if look.word.restarts is not None else self.restarts,
            "port_owner": look.port.owner,
            "health": look.health.word,
        }
        if self.rows and {**self.rows[-1], "t": 0} == {**row, "t": 0}:
            return
        self.rows.append(row)
        if len(self.rows) > MAX_ROWS:
            del self.rows[FIRST_ROWS]
            self.dropped += 1


def complaints(look: Look, workers_expected: Optional[int], workers_recycled: bool = False) -> list[str]:
    """What speaks against readiness at this moment, the most telling first; empty when nothing does."""
    found: list[str] = []
    if look.word.state not in UP:
        found.append(state_text(look.word))
    if look.word.state == "running" and look.seen.identity is not None and look.seen.identity[1] is None:
        found.append("its supervisor calls it active, but it has no process")
    worker = workers_text(look, workers_expected, workers_recycled)
    if worker:
        found.append(worker)
    for part in (look.port.owned is False and look.port.text, look.health.ok is False and look.health.text):
        if part:
            found.append(part)
    if look.extra is not None and look.extra.ok is False:
        found.append(look.extra.text)
    return found


def workers_text(look: Look, expected: Optional[int], recycled: bool = False) -> Optional[str]:
    """What is wrong with the workers. A server that replaces its workers on purpose may be one short now and then."""
    if look.seen.workers is None or expected is None:
        return None
    least = max(1, expected - 1) if recycled else expected
    count = len(look.seen.workers)
    return None if count >= least else f"{count} of its {expected} workers run"


def state_text(word: Word) -> str:
    """A clause on a state in which a backend isn't up."""
    texts = {
        "starting": "it is still starting",
        "restarting": "it ended and waits for its next automatic restart",
        "stopping": "it is being stopped",
        "stopped": "it is not running",
        "failed": "it failed",
        "unknown": "its state can't be told",
    }
    return f"{texts.get(word.state, word.state)}: {word.detail}"
