# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What state the backend is in, told by facts first and by its log only where facts are missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .observe import Observed
from .observed import Citation, cite_fact, resolve

RUNNING = {"active", "running", "reloading", "up", "refreshing"}
STOPPED = {"failed", "fatal", "exited", "dead", "inactive", "stopped"}
# Seconds that a server may need until it listens and answers, before silence counts as a hang.
GRACE_S = 60
# A start that survives this long is no part of a crash loop any more, where nothing tells how long earlier ones lived.
STABLE_S = 120
# Where that is known: three times as long as the longest of them, and at least this.
MIN_STABLE_S = 15
# 128 + SIGTERM, SIGINT, SIGHUP: how a shell reports an ordinary stop.
_STOP_CODES = {0, 143, 130}
_STOP_SIGNALS = {"SIGTERM", "SIGINT", "TERM", "INT", 15, 2}


@dataclass(frozen=True)
class State:
    """``name`` is one of crash_loop, failed, hung, degraded, healthy, unknown; ``certain`` when facts say so.

    ``starting`` is true while the backend is within its grace period; ``reasons`` are the facts it was told by.
    """

    name: str
    certain: bool = False
    starting: bool = False
    reasons: tuple[Citation, ...] = field(default=())


def determine(observed: Observed) -> State:
    """The state by the supervisor, the health endpoint, the sockets and the processes, else by the log."""
    supervisor = _by_supervisor(observed)
    if supervisor is not None and supervisor.name in ("crash_loop", "failed"):
        return supervisor
    health = by_health(observed)
    if health is not None and (supervisor is not None or health.name != "hung"):
        return health
    return supervisor or health or _by_log(observed)


def running(observed: Observed) -> bool | None:
    """Whether the supervisor says that it runs; None when nobody says."""
    active = observed.fact("service.active_state")
    if isinstance(active, str):
        if active.lower() in RUNNING:
            return True
        if active.lower() in STOPPED:
            return False
    return None


def exited_badly(observed: Observed) -> Citation | None:
    """The exit code, signal or result that says that the last run failed, when it did."""
    code = observed.fact("service.exit.code")
    if isinstance(code, int) and not isinstance(code, bool) and code not in _STOP_CODES:
        return cite_fact("service.exit.code", code)
    name = observed.fact("service.exit.signal")
    if name and name not in _STOP_SIGNALS:
        return cite_fact("service.exit.signal", name)
    result = observed.fact("service.result")
    asked = result == "exit-code" and code in _STOP_CODES
    if isinstance(result, str) and result not in ("success", "") and not asked:
        return cite_fact("service.result", result)
    return None


def _by_supervisor(observed: Observed) -> State | None:
    service = observed.evidence.get("service")
    if not isinstance(service, Mapping) or "unavailable" in service:
        return None
    loop = _looping(observed, service)
    if loop:
        return State("crash_loop", True, reasons=loop)
    runs = running(observed)
    bad = exited_badly(observed)
    if runs:
        return _while_running(observed)
    active = str(service.get("active_state") or "").lower()
    if active in ("failed", "fatal") and (bad is not None or _code(service) not in _STOP_CODES):
        return State("failed", True, reasons=(cite_fact("service.active_state", service["active_state"]),))
    if bad is not None:
        looped = observed.failed_starts >= 3
        return State("crash_loop" if looped else "failed", True, reasons=(bad,))
    if service.get("load_state") in ("not-found", "bad-setting", "error", "masked"):
        return State("failed", True, reasons=(cite_fact("service.load_state", service["load_state"]),))
    return None


def _code(service: Mapping[str, Any]) -> Any:
    ending = service.get("exit")
    return ending.get("code") if isinstance(ending, Mapping) else None


def _looping(observed: Observed, service: Mapping[str, Any]) -> tuple[Citation, ...]:
    sub = str(service.get("sub_state") or "").lower()
    if sub.startswith("auto-restart") or sub in ("backoff", "restarting"):
        return (cite_fact("service.sub_state", service["sub_state"]),)
    limit = service.get("start_limit")
    if isinstance(limit, Mapping) and limit.get("hit"):
        return (cite_fact("service.start_limit", limit),)
    window, uptime, restarts = (service.get(key) for key in ("restarts_in_window", "uptime_s", "restarts"))
    young = uptime is None or (isinstance(uptime, (int, float)) and uptime < stable_after(observed))
    if isinstance(window, int) and window >= 2 and (young or not running(observed)):
        return (cite_fact("service.restarts_in_window", window),)
    if isinstance(restarts, int) and restarts >= 3 and (young if uptime is not None else not running(observed)):
        return (cite_fact("service.restarts", restarts),)
    return _dying_workers(observed)


def stable_after(observed: Observed) -> float:
    """Seconds of running after which this start is no part of a crash loop any more.

    A supervisor that counts none of its own restarts since the service was last started says that somebody started it
    anew: what crashed before that was another series.
    """
    times = observed.fact("service.restart_times")
    seconds = [_seconds(item) for item in times] if isinstance(times, list) else []
    known = [item for item in seconds if item is not None]
    gaps = [later - earlier for earlier, later in zip(known, known[1:], strict=False)]
    if gaps and observed.fact("service.restarts") == 0:
        return MIN_STABLE_S
    return max(MIN_STABLE_S, 3 * max(gaps)) if gaps else STABLE_S


def _seconds(text: Any) -> float | None:
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None


def _dying_workers(observed: Observed) -> tuple[Citation, ...]:
    """Workers that are always new under an old parent: a crash loop that the supervisor can't see."""
    workers = observed.fact("processes.young_workers")
    if not isinstance(workers, Mapping) or workers.get("recycled"):
        return ()
    parent, oldest = workers.get("parent_age_s"), workers.get("oldest_worker_age_s")
    # Where a worker has ended before, a younger parent tells as much.
    if not isinstance(parent, (int, float)) or parent < (MIN_STABLE_S if workers.get("replaced") else 60):
        return ()
    missing = isinstance(workers.get("expected"), int) and (workers.get("count") or 0) < workers["expected"]
    if missing or (isinstance(oldest, (int, float)) and oldest < min(10, parent / 2)):
        return (cite_fact("processes.young_workers", workers),)
    return ()


def _while_running(observed: Observed) -> State:
    reason = (cite_fact("service.active_state", observed.fact("service.active_state")),)
    listening = observed.fact("ports.listening_on_wanted")
    if listening is False and observed.fact("ports.wanted"):
        if starting(observed):
            return State("healthy", False, True, reason)
        return State("hung", True, reasons=(cite_fact("ports.listening_on_wanted", False),))
    return State("healthy", False, reasons=reason)


def starting(observed: Observed) -> bool:
    """Whether a running backend is still within the time that a slow start may take."""
    uptime = observed.fact("service.uptime_s")
    limit = observed.fact("unit.timeout_start_s")
    told = observed.fact("unit.type") in ("notify", "notify-reload", "forking", "oneshot")
    grace = max(GRACE_S, min(limit, 300)) if told and isinstance(limit, (int, float)) else GRACE_S
    return isinstance(uptime, (int, float)) and uptime < grace and not _came_up(observed)


def _came_up(observed: Observed) -> bool:
    """Whether a young backend has come up for all that can be seen: it listens, and its server says that it is ready."""
    return observed.fact("ports.listening_on_wanted") is True and any(
        attempt.newest
        and not attempt.ended
        and any("Application startup complete" in line.text for line in attempt.lines[-200:])
        for attempt in observed.attempts
    )


def by_health(observed: Observed) -> State | None:
    """What the health endpoints say; None when none was asked."""
    statuses = list(resolve(observed.evidence, "app.health.tried[*].status"))
    statuses += list(resolve(observed.evidence, "app.health.status"))
    numbers = [(path, value) for path, value in statuses if isinstance(value, int) and not isinstance(value, bool)]
    bad = [(path, value) for path, value in numbers if value >= 500]
    good = [(path, value) for path, value in numbers if value < 500]
    if bad:
        return State("degraded", True, reasons=tuple(cite_fact(path, value, False) for path, value in bad[:3]))
    if good:
        return State("healthy", True, reasons=tuple(cite_fact(path, value, False) for path, value in good[:3]))
    errors = [(p, v) for p, v in resolve(observed.evidence, "app.health.error") if v]
    errors += [(p, v) for p, v in resolve(observed.evidence, "app.health.tried[*].error") if v]
    if errors and running(observed) and not starting(observed):
        path, value = errors[0]
        return State("hung", True, reasons=(cite_fact(path, value, False),))
    return None


def _by_log(observed: Observed) -> State:
    if observed.failed_starts >= 2 and not observed.served:
        return State("crash_loop")
    if observed.ended and not observed.served:
        return State("failed")
    if observed.served and not observed.ended:
        return State("healthy")
    return State("unknown")
