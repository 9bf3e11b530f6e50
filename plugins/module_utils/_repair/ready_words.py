# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a watch adds up to, in sentences: the reason, the next step, and a word for each condition."""

from __future__ import annotations

import shlex
from typing import Any, Optional

from .._evidence.model import Backend
from .ready_look import UP
from .ready_watch import Look, Watch, complaints, state_text, workers_text
from .ready_window import Window


def reason(backend: Backend, watch: Watch, against: list[str], deadline: float, once: bool, ready: bool) -> str:
    """Why the backend counts as ready or not, in one or two sentences."""
    last = watch.last
    if last is None:
        return f"{backend.name} was not looked at."
    if ready:
        parts = [part.text for part in (last.port, last.health) if _told(part)]
        if last.extra is not None:
            parts.append(last.extra.text)
        return f"{backend.name} {_how_long(watch, last, once)}{''.join(f'; {part}' for part in parts)}."
    because = watch.hopeless or "; ".join(against) or "its conditions did not hold"
    if once:
        return f"{backend.name} is not ready: {'; '.join(against)}. It was looked at once, without waiting."
    if watch.hopeless:
        detail = next((item for item in against if item not in watch.hopeless and last.word.detail not in item), None)
        return f"{backend.name} is not ready: {because}{f'. Now {detail}' if detail else ''}."
    broke = f" It had been up, and did not stay so: {watch.breaks[-1]}." if watch.breaks else ""
    return f"{backend.name} was not ready within {deadline:g} s: {because}.{broke}"


def _told(part: Any) -> bool:
    """Whether a good look says something that a reader wants in the one line."""
    return bool(getattr(part, "owned", None) or getattr(part, "ok", None))


def _how_long(watch: Watch, last: Look, once: bool) -> str:
    if last.word.state == "finished":
        return f"ran to its end and succeeded: {last.word.detail}"
    if once:
        return "is up now, looked at once"
    return f"stayed up for {watch.held:.0f} s without a restart"


def next_step(backend: Backend, watch: Watch, against: list[str], ready: bool, window: Window) -> str:
    """What to do now, in one sentence."""
    if ready:
        return window.doubt or "Nothing: the backend is healthy."
    last = watch.last
    name = shlex.quote(backend.name)
    diagnose = f"Find out why: ansible-playbook playbooks/diagnose-backend-crash.yml -e backend_service={name}."
    if last is None or watch.hopeless or watch.restarts or watch.rebound or last.word.state in ("restarting", "failed"):
        return diagnose
    if last.word.state == "stopped":
        command = f"supervisorctl start {name}" if backend.runtime == "supervisor" else f"systemctl start {name}"
        return f"Start it: {command}."
    if last.word.state == "starting":
        return "Give it more time with a longer deadline, or look into its log at what it waits for."
    if last.port.owned is False:
        if last.port.owner == "none":
            return "Look into its log at what it does before it listens; correct backend_port if it is meant to listen elsewhere."
        if last.port.owner == "own, other address":
            return "Correct the host that it binds to, or the one that its clients use."
        return f"Find out what holds the port: ansible-playbook playbooks/fix-backend-port.yml -e backend_service={name} --check."
    if last.health.ok is False:
        return (
            "Ask the endpoint by hand and look into its log; if this answer is right for it, say so with health_status, "
            "health_body or health_url."
        )
    if last.extra is not None and last.extra.ok is False:
        return "Ask that URL by hand, or correct what is expected of it."
    return diagnose


def checks(watch: Watch, last: Look, uptime: Optional[float], once: bool) -> dict[str, dict[str, Any]]:
    """Each condition: ``ok`` true, false, or null where it does not apply, with a sentence."""
    found = {
        "stayed_up": _stayed_up(watch, last, uptime, once),
        "restarts_still": _restarts_still(watch, last, once),
        "workers": _workers(watch, last),
        "port_owned": (last.port.owned, last.port.text),
        "health": (last.health.ok, last.health.text),
    }
    if last.extra is not None:
        found["extra_urls"] = (last.extra.ok, last.extra.text)
    else:
        found["extra_urls"] = (None, "no further URL was asked")
    return {name: {"ok": ok, "text": _sentence(text)} for name, (ok, text) in found.items()}


def _stayed_up(watch: Watch, last: Look, uptime: Optional[float], once: bool) -> tuple[Optional[bool], str]:
    if last.word.state not in UP:
        return False, state_text(last.word)
    if last.word.state == "finished":
        return True, f"it is a job, and it ended well: {last.word.detail}"
    if once:
        long_enough = uptime is not None and uptime >= watch.window
        age = "an unknown time" if uptime is None else f"{uptime:.0f} s"
        return (True if long_enough else None), f"its main process has lived for {age}"
    if watch.since is None:
        against = complaints(last, watch.workers_expected, watch.workers_recycled)
        if watch.breaks:
            return False, f"it did not stay up: {watch.breaks[-1]}"
        # The process lives; another condition keeps the window from beginning.
        return None, f"its window has not begun: {against[0] if against else 'nothing held yet'}"
    return watch.held >= watch.window, f"it stayed up for {watch.held:.0f} s, the window is {watch.window:g} s"


def _restarts_still(watch: Watch, last: Look, once: bool) -> tuple[Optional[bool], str]:
    number = max(watch.restarts, watch.rebound)
    if once:
        return None, "one look can't tell whether it restarts"
    counter = "" if last.word.restarts is None else f"; its supervisor counts {last.word.restarts}"
    if number and watch.since is None:
        return False, f"it was restarted {number} {'time' if number == 1 else 'times'} while it was watched{counter}"
    if number:
        return True, f"no restart within the window, {number} before it{counter}"
    return True, f"no restart while it was watched{counter}"


def _workers(watch: Watch, last: Look) -> tuple[Optional[bool], str]:
    if last.seen.workers is None or not (last.seen.workers or watch.workers_expected or watch.workers_lost):
        return None, "its server has no workers to watch"
    wrong = workers_text(last, watch.workers_expected, watch.workers_recycled)
    lost = f"{watch.workers_lost} ended while it was watched"
    if wrong or (watch.workers_lost and watch.since is None):
        return False, f"{wrong}; {lost}" if wrong else lost
    if watch.workers_recycled:
        return True, f"{len(last.seen.workers)} workers run; the server replaces them on purpose"
    return True, f"{len(last.seen.workers)} workers run" + (
        f"; before the window, {lost}" if watch.workers_lost else ""
    )


def _sentence(text: str) -> str:
    capital = text if text.startswith("http") else text[:1].upper() + text[1:]
    return capital + ("" if text.endswith(".") else ".")
