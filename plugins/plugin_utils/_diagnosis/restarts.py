# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sentences with which supervisors and servers announce that a process starts, is ready, or ended."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from .log_model import Line

EventKind = Literal["starting", "start", "worker", "parent", "served", "end", "gone"]


@dataclass(frozen=True, slots=True)
class Event:
    """``starting``: the supervisor begins. ``start``: a process began. ``worker``: one began below a ``parent``, when there is one. ``served``: ready.

    ``end``: it is ending or ended, and its last words may follow. ``gone``: the supervisor says that it has ended, so
    that the application's next line is of a new process. ``subject`` tells what it is about; the same subject can
    start only once in an attempt.
    """

    kind: EventKind
    server: str
    subject: str = ""
    pid: int | None = None


_TABLE: tuple[tuple[str, EventKind, str], ...] = (
    (r"spawned: '(?P<subject>[^']{1,80})' with pid (?P<pid>\d+)", "start", "supervisord"),
    (r"supervisord started with pid", "parent", "supervisord"),
    (r"exited: (?P<subject>\S{1,80}) \(", "gone", "supervisord"),
    (r"gave up: (?P<subject>\S{1,80}) entered FATAL", "gone", "supervisord"),
    (r"stopped: (?P<subject>\S{1,80}) \(", "gone", "supervisord"),
    (r"Started server process \[(?P<pid>\d+)\]", "worker", "uvicorn"),
    (r"Started parent process \[(?P<pid>\d+)\]", "parent", "uvicorn"),
    (r"Started reloader process \[(?P<pid>\d+)\]", "parent", "uvicorn"),
    (r"Application startup complete", "served", "uvicorn"),
    (r"Application startup failed", "end", "uvicorn"),
    (r"Finished server process", "end", "uvicorn"),
    (r"Stopping (?:parent|reloader) process", "end", "uvicorn"),
    (r"Starting gunicorn \S", "start", "gunicorn"),
    (r"Shutting down: Master", "end", "gunicorn"),
    (r"Reason: Worker failed to boot", "end", "gunicorn"),
    (r"Worker failed to boot", "end", "gunicorn"),
    (r"Running on https?://", "served", "hypercorn"),
    (r" \* Serving Flask app", "start", "flask"),
    (r" \* Running on ", "served", "flask"),
    (r"======== Running on", "served", "aiohttp"),
    (r"Serving on https?://", "served", "waitress"),
    (r"Starting server at (?:tcp|unix|ssl|fd)", "start", "daphne"),
    (r"Listening on TCP address", "served", "daphne"),
    (r"Watching for file changes with", "start", "django"),
    (r"Performing system checks", "start", "django-checks"),
    (r"Starting (?:ASGI/Daphne|ASGI/\S+|development) (?:version \S+ )?(?:development )?server at", "served", "django"),
    (r" ?-{4,} celery@", "start", "celery"),
    (r"celery beat v\S+ \(.{1,40}\) is starting", "start", "celery-beat"),
    (r"celery@\S+ ready", "served", "celery"),
    (r"\*\*\* Starting uWSGI", "start", "uwsgi"),
    (r"WSGI app \d+ \(mountpoint=.{0,80}\) ready", "served", "uwsgi"),
    (r"Worker rq:worker:\S+ started|Worker \S+: started with PID", "start", "rq"),
    (r"Goin' Fast @", "served", "sanic"),
    (r"Starting granian", "start", "granian"),
    (r"(?P<subject>[\w.-]{1,80}) exited with code \d+", "gone", "compose"),
    (r"Starting process with command", "start", "heroku"),
    (r"Process exited with status \d+", "gone", "heroku"),
    (r"-- Boot [0-9a-f]+", "start", "boot"),
    (r"-- Reboot --", "start", "boot"),
)

# systemd's own sentences; which unit they are about stands in front or in the middle.
_SYSTEMD: tuple[tuple[str, EventKind], ...] = (
    (r"Starting (?P<subject>.{1,200}?)(?:\.\.\.|…)?$", "starting"),
    (r"Started (?P<subject>.{1,200}?)\.?$", "start"),
    (r"Stopped (?P<subject>.{1,200}?)\.?$", "gone"),
    (r"(?P<subject>\S{1,200}\.(?:service|scope|socket)): Scheduled restart job", "gone"),
    (
        r"(?P<subject>\S{1,200}\.(?:service|scope|socket)): (?:Main process exited|Failed with result|Deactivated)",
        "end",
    ),
)

_KEY = 4


def _index() -> dict[str, list[tuple[re.Pattern[str], EventKind, str]]]:
    """Patterns by the first characters that they can match, so that nearly every line costs one lookup."""
    index: dict[str, list[tuple[re.Pattern[str], EventKind, str]]] = {}
    for pattern, kind, server in _TABLE:
        for head in _heads(pattern):
            index.setdefault(head, []).append((re.compile(pattern), kind, server))
    return index


def _heads(pattern: str) -> tuple[str, ...]:
    plain = pattern.replace("\\*", "*").replace("\\.", ".")
    if plain.startswith(" ?-{4,}"):
        return (" ---", "----")
    if plain.startswith("(?P<subject>"):
        return ()
    return (plain[:_KEY],)


_EVENTS = _index()
_EXITED = re.compile(r"(?P<subject>[\w.-]{1,80}) exited with code \d+")
_SYSTEMD_EVENTS = tuple((re.compile(pattern), kind) for pattern, kind in _SYSTEMD)


def event_of(line: Line) -> Event | None:
    """What the line announces, ``None`` for nearly every line."""
    text, unit = line.text, line.mark.unit
    if unit == "systemd" or (unit is None and ".service" in text):
        return _systemd_event(text)
    known = _EVENTS.get(text[:_KEY])
    if known is None:
        found = _EXITED.match(text) if " exited with code " in text else None
        return Event("gone", "compose", found["subject"]) if found else None
    for pattern, kind, server in known:
        found = pattern.match(text)
        if found is not None:
            group = found.groupdict()
            pid = group.get("pid")
            return Event(kind, server, f"{server}:{group.get('subject') or unit or ''}", int(pid) if pid else None)
    return None


def _systemd_event(text: str) -> Event | None:
    for pattern, kind in _SYSTEMD_EVENTS:
        found = pattern.match(text)
        if found is not None:
            return Event(kind, "systemd", f"systemd:{_unit_name(found['subject'])}")
    return None


def _unit_name(subject: str) -> str:
    """``api.service - The API`` and ``api.service`` are one; a bare description stands for itself."""
    name, _dash, description = subject.partition(" - ")
    return description or name
