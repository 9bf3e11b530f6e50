# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals about the service as a whole: does it run, answer, loop, hang, end without a word."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from .observe import WORKER_DEATH, Observed
from .observed import Citation, Hit, cite_fact, resolve
from .signals import signal
from .state import by_health, determine, exited_badly, running, stable_after, starting

# Words in which programs report that something is wrong; their absence makes an exit silent.
_COMPLAINT = re.compile(
    r"error|exception|traceback|fail|fatal|critical|cannot|can't|could not|couldn't|unable|denied|refused|missing|invalid|"
    r"not found|no such|abort|killed|panic|timed? ?out|unknown|usage:|\[errno",
    re.IGNORECASE,
)
_SIGNALLED = re.compile(r"\bSIG[A-Z]|signal \d|code=(?:killed|dumped)|Killed|Segmentation fault|Sent signal")
_EXITED = re.compile(r"exited|status=|exit status|terminated|code=|died|stopped with", re.IGNORECASE)
_STARTED_AGAIN = re.compile(r"scheduled restart job", re.IGNORECASE)
_WATCHDOG = re.compile(r"Watchdog timeout \(limit (\d{1,6})s\)")
_CLEAN_STOP = re.compile(
    r"Shutting down$|Finished server process|Handling signal: (?:term|int|quit)|warm shutdown|Received SIGTERM|"
    r"Application shutdown complete|Deactivated successfully|Goodbye to you",
    re.IGNORECASE,
)


_NOT_LOOKED = ("skipped", "timeout", "failed", "withheld")


@signal("answering")
def answering(observed: Observed) -> list[Hit]:
    """A health endpoint, or any other, answers without a server error."""
    state = by_health(observed)
    stopped = running(observed) is False and exited_badly(observed) is not None
    if state is not None and state.name == "healthy" and not stopped:
        return [Hit(state.reasons)]
    return []


@signal("health_failing")
def health_failing(observed: Observed) -> list[Hit]:
    """A health endpoint answers with a server error, or not at all."""
    state = by_health(observed)
    return [Hit(state.reasons)] if state is not None and state.name != "healthy" else []


@signal("health_timeout")
def health_timeout(observed: Observed) -> list[Hit]:
    """The process lives, its port may be open, and requests get no answer."""
    gone = exited_badly(observed)
    if running(observed) is False or (gone and gone.quote not in ("137", "SIGKILL", "watchdog", "timeout")):
        return []
    hits = []
    for path in ("app.health.error", "app.health.tried[*].error"):
        for concrete, value in resolve(observed.evidence, path):
            if isinstance(value, str) and re.search(r"tim(?:ed?|e-?)[ -]?out|deadline exceeded", value, re.IGNORECASE):
                hits.append(Hit((cite_fact(concrete, value),)))
    return hits if not starting(observed) else []


@signal("health_refused")
def health_refused(observed: Observed) -> list[Hit]:
    """The process runs well past its grace period and nothing listens on its port."""
    if not running(observed) or starting(observed) or determine(observed).name == "crash_loop":
        return []
    if observed.fact("ports.listening_on_wanted") is False and observed.fact("ports.wanted"):
        return [Hit((cite_fact("ports.listening_on_wanted", False),))]
    return []


@signal("running")
def is_running(observed: Observed) -> list[Hit]:
    """The supervisor says that it runs."""
    if running(observed):
        return [Hit((cite_fact("service.active_state", observed.fact("service.active_state")),))]
    return []


@signal("running_stable")
def running_stable(observed: Observed) -> list[Hit]:
    """It runs and wasn't restarted lately."""
    if not running(observed) or determine(observed).name in ("crash_loop", "failed"):
        return []
    uptime = observed.fact("service.uptime_s")
    calm = not observed.fact("service.restarts_in_window") and not observed.fact("service.restarts")
    if calm or (isinstance(uptime, (int, float)) and uptime >= stable_after(observed)):
        citations = [cite_fact("service.active_state", observed.fact("service.active_state"))]
        if isinstance(uptime, (int, float)):
            citations.append(cite_fact("service.uptime_s", uptime))
        return [Hit(tuple(citations))]
    return []


@signal("not_looked")
def not_looked(observed: Observed) -> list[Hit]:
    """Logs or processes were to be gathered and were not, so that nothing seen there means nothing."""
    missed = tuple(
        cite_fact(path, status)
        for path in ("collectors.logs.status", "collectors.processes.status")
        if (status := observed.fact(path)) in _NOT_LOOKED
    )
    return [Hit(missed)] if missed else []


@signal("starting")
def is_starting(observed: Observed) -> list[Hit]:
    """It runs, is younger than a start may take, and nothing has failed."""
    if running(observed) and starting(observed) and determine(observed).name != "crash_loop":
        return [Hit((cite_fact("service.uptime_s", observed.fact("service.uptime_s")),))]
    return []


@signal("failing")
def failing(observed: Observed) -> list[Hit]:
    """The supervisor's facts say that it loops or failed."""
    state = determine(observed)
    return [Hit(state.reasons)] if state.certain and state.name in ("crash_loop", "failed") else []


@signal("exited_badly")
def is_exited_badly(observed: Observed) -> list[Hit]:
    """The last run ended with an error code, a signal, or a failed result."""
    bad = exited_badly(observed)
    return [Hit((bad,))] if bad and not running(observed) else []


@signal("log_served")
def log_served(observed: Observed) -> list[Hit]:
    """By its log the latest start succeeded, and nothing says that it ended."""
    if not observed.served or observed.ended:
        return []
    line = next((line for line in reversed(observed.lines) if line.age == 0 and line.by == "app"), None)
    return [Hit((line.citation,), "log")] if line else []


@signal("log_ended")
def log_ended(observed: Observed) -> list[Hit]:
    """By its log the latest start ended."""
    line = next((line for line in reversed(observed.lines) if line.age == 0), None)
    return [Hit((line.citation,), "log")] if observed.ended and line else []


@signal("stopped_cleanly")
def stopped_cleanly(observed: Observed) -> list[Hit]:
    """It served, and then was asked to stop and did."""
    code = observed.fact("service.exit.code")
    if exited_badly(observed) or not observed.served:
        return []
    for line in reversed(observed.lines):
        if line.age == 0 and _CLEAN_STOP.search(line.text[:300]):
            more = (cite_fact("service.exit.code", code),) if code is not None else ()
            return [Hit((line.citation, *more), "log")]
    return []


@signal("ended_by_itself_since")
def ended_by_itself_since(observed: Observed) -> list[Hit]:
    """The last start ended with a status of its own; signals that are told of belong to starts before it."""
    if observed.fact("service.exit.code") is None or observed.fact("service.exit.signal"):
        return []
    latest = [line for line in observed.lines if line.age == 0]
    own = next((line for line in latest if "Main process exited, code=exited" in line.text[:300]), None)
    if own is None or any(_SIGNALLED.search(line.text[:300]) for line in latest):
        return []
    return [Hit((own.citation,))]


@signal("stopped_on_purpose")
def stopped_on_purpose(observed: Observed) -> list[Hit]:
    """The supervisor stopped it because it was asked to, or it is a job that has done its work."""
    if running(observed) is not False or exited_badly(observed) or observed.fact("service.active_state") == "failed":
        return []
    if observed.fact("service.result") not in ("success", None):
        return []
    for path, value in reversed(list(resolve(observed.evidence, "service.messages[*]"))):
        text = str(value)
        if text.startswith("Started "):
            break
        if text.startswith(("Stopping ", "Finished ")) or re.search(r"stopped: |\(terminated by SIGTERM\)", text):
            return [Hit((cite_fact(path, text),))]
    return []


@signal("repeated_start")
def repeated_start(observed: Observed) -> list[Hit]:
    """The log shows several starts that ended."""
    if observed.failed_starts >= 2 and observed.lines:
        return [Hit((observed.lines[-1].citation,), "log", captures={"starts": str(observed.failed_starts)})]
    return []


@signal("ended_silently")
def ended_silently(observed: Observed) -> list[Hit]:
    """The process ended, and neither a traceback nor any complaint of the application stands in its log."""
    ended = exited_badly(observed)
    code = observed.fact("service.exit.code")
    by_itself = sum(bool(_STARTED_AGAIN.search(line.text)) for line in observed.lines) >= 2
    # Between two ends it runs for a moment.
    between = running(observed) and by_itself and determine(observed).name == "crash_loop"
    if ended is not None and ended.quote == "start-limit-hit" and not by_itself:
        ended = None  # that says that it was started too often, not how it ended
    if ended is None and code == 0 and not running(observed) and observed.fact("service.result") != "start-limit-hit":
        ended = cite_fact("service.exit.code", 0)
    if ended is None and (observed.ended or between) and observed.attempts:
        words = _STARTED_AGAIN if between else _EXITED
        exits = (line for line in reversed(observed.lines) if line.by == "supervisor" and words.search(line.text))
        last = next(exits, None)
        ended = last.citation if last else None
    if ended is None or (running(observed) and not between) or not _log_was_read(observed):
        return []
    if isinstance(code, int) and (200 <= code <= 245 or code in (126, 127)):
        return []
    if stopped_on_purpose(observed):
        return []
    if any(seen.weight > 0.3 for seen in observed.seen):
        return []
    for line in observed.lines:
        if line.by == "app" and line.age == 0 and line.weight > 0.3 and _COMPLAINT.search(line.text[:600]):
            return []
    return [Hit((ended,), "fact" if ended.line is None else "log")]


def _log_was_read(observed: Observed) -> bool:
    """Whether any log could be looked at: only then its silence means something."""
    sources = observed.fact("logs.sources")
    return isinstance(sources, list) and any(
        isinstance(source, Mapping) and not source.get("error") for source in sources
    )


@signal("worker_deaths")
def worker_deaths(observed: Observed) -> list[Hit]:
    """The server's parent process says, more than once, that workers died or were killed."""
    lines = [line for line in observed.lines if line.age == 0 and WORKER_DEATH.search(line.text[:200])]
    killed = [line for line in lines if "timeout" in line.lowered]
    if len(lines) < 2 and not killed:
        return []
    return [Hit((lines[-1].citation,), "log", captures={"count": str(len(lines))})]


@signal("watchdog_never_fed")
def watchdog_never_fed(observed: Observed) -> list[Hit]:
    """Every run ends by the watchdog just when its limit is over: nothing in the program ever feeds it."""
    ended, fed = [], 0
    for path, attempt in resolve(observed.evidence, "logs.sources[*].attempts[*]"):
        if not isinstance(attempt, Mapping):
            continue
        lines = [line for _path, line in resolve(attempt, "segments[*].lines[*]") if isinstance(line, str)]
        limit = next((int(m.group(1)) for line in lines if (m := _WATCHDOG.search(line))), None)
        lived = _seconds(attempt.get("started"), attempt.get("ended"))
        if limit is None or lived is None:
            continue
        if lived <= 2.2 * limit + 5:  # the limit runs from the moment it was ready, and stopping takes its time
            ended.append(
                cite_fact(f"{path}.ended", f"ended by the watchdog after {lived:.0f} s; its limit is {limit} s")
            )
        else:
            fed += 1
    return [Hit(tuple(ended[-2:]))] if len(ended) > fed else []


def _seconds(started: object, ended: object) -> float | None:
    if not (isinstance(started, str) and isinstance(ended, str)):
        return None
    try:
        first, last = datetime.fromisoformat(started), datetime.fromisoformat(ended)
        return (last - first).total_seconds()
    except (TypeError, ValueError):
        return None


@signal("nothing_known")
def nothing_known(observed: Observed) -> list[Hit]:
    """There is neither a log line nor a fact about how the backend ended."""
    if observed.lines or observed.seen or exited_badly(observed) or running(observed) is not None:
        return []
    return [Hit((Citation("logs", None, "no lines, no exit code, no state"),))]


@signal("import_hangs")
def import_hangs(observed: Observed) -> list[Hit]:
    """Importing the backend doesn't come to an end within the limit."""
    if observed.fact("import_test.outcome") != "timeout" or observed.fact("import_test.starved"):
        return []  # a host too busy to run the test proves nothing
    if observed.fact("service.exit.code") and not running(observed):
        return []  # on the host it came to an end by itself; what it waits for in the sandbox, it doesn't wait for there
    frame = observed.fact("import_test.stack[0]") or {}
    place = f"{frame.get('file')}:{frame.get('line')}" if isinstance(frame, dict) and frame.get("file") else "timeout"
    return [
        Hit((cite_fact("import_test.stack[0]" if place != "timeout" else "import_test.outcome", place),), "import_test")
    ]
