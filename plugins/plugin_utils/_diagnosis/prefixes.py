# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prefixes that a transport puts in front of every line: journald, syslog, Docker, compose, Kubernetes and others.

Which of them a source has is found out once from a sample, then taken off line by line; several may lie on top of each
other (compose inside journald). A line that lacks the prefix of its source is left as it is.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from .log_model import Mark

SAMPLE = 200
"""Lines looked at from each end of a source to recognise its prefixes."""

_SHARE = 0.6
_DEPTH = 3

_MONTH = r"[^\W\d_]{3,5}\.?"
_ISO = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)"
_TAG = r"(?P<unit>[^\s\[\]:]{1,80})(?:\[(?P<pid>\d{1,10})\])?: ?"
_NOT_A_LEVEL = r"(?!(?:DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL|TRACE)\b|[\[|\-])"


class Cut(NamedTuple):
    """A line without one prefix. ``partial`` means that the next line of this lane continues it."""

    text: str
    mark: Mark
    partial: bool = False


Cutter = Callable[[str], Cut | None]


def _by_pattern(pattern: str) -> Cutter:
    compiled = re.compile(pattern)
    partial = "partial" in compiled.groupindex
    last: list[Mark] = []

    def cutter(line: str) -> Cut | None:
        if last and line.startswith(last[0].prefix):
            return Cut(line[len(last[0].prefix) :], last[0])
        found = compiled.match(line)
        if found is None:
            return None
        group = found.groupdict()
        pid = group.get("pid")
        unit, stream = group.get("unit"), group.get("stream")
        level = group.get("level")
        mark = Mark(
            prefix=line[: found.end()],
            time=group.get("time"),
            unit=sys.intern(unit) if unit else None,
            pid=int(pid) if pid else None,
            stream=sys.intern(stream) if stream else None,
            level=level.upper() if level else None,
            lane=sys.intern(f"{unit or ''}[{pid or ''}]{stream or ''}"),
        )
        if partial:
            return Cut(line[found.end() :], mark, group["partial"] == "P")
        if found.end() < len(line):
            last[:] = [mark]
        return Cut(line[found.end() :], mark)

    return cutter


def _docker_json(line: str) -> Cut | None:
    """Docker's json-file driver: ``{"log": "text\\n", "stream": "stderr", "time": "…"}``."""
    if not line.startswith('{"log":'):
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    log, stream = record.get("log"), record.get("stream")
    if not isinstance(log, str):
        return None
    stream = stream if isinstance(stream, str) else None
    time = record.get("time")
    mark = Mark(time=time if isinstance(time, str) else None, stream=stream, lane=stream or "")
    return Cut(log.rstrip("\r\n"), mark, partial=not log.endswith("\n"))


def _journal_json(line: str) -> Cut | None:
    """``journalctl -o json``; a message that isn't UTF-8 comes as a list of byte values."""
    if not line.startswith("{") or '"MESSAGE"' not in line:
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    message = record.get("MESSAGE")
    if isinstance(message, list):
        message = bytes(b for b in message if isinstance(b, int) and 0 <= b < 256).decode("utf-8", "replace")
    if not isinstance(message, str):
        return None
    unit = str(record.get("SYSLOG_IDENTIFIER") or record.get("_COMM") or "")
    pid = str(record.get("_PID") or record.get("SYSLOG_PID") or "")
    stamp = str(record.get("__REALTIME_TIMESTAMP") or "")
    mark = Mark(
        time=f"{stamp[:-6]}.{stamp[-6:]}" if stamp.isdigit() and len(stamp) > 6 else None,
        unit=unit or None,
        pid=int(pid) if pid.isdigit() else None,
        lane=f"{unit}[{pid}]",
    )
    return Cut(message, mark)


TRANSPORTS: tuple[tuple[str, Cutter], ...] = (
    ("docker-json", _docker_json),
    ("journal-json", _journal_json),
    ("cri", _by_pattern(rf"(?P<time>{_ISO}) (?P<stream>stdout|stderr) (?P<partial>[FP])(?: |$)")),
    (
        "syslog-5424",
        _by_pattern(
            r"<\d{1,3}>1 (?P<time>\S+) \S+ (?P<unit>\S{1,80}) (?:(?P<pid>\d{1,10})|\S+) \S+ (?:-|\[[^\]]{0,1000}\]) ?"
        ),
    ),
    ("syslog", _by_pattern(rf"(?:<\d{{1,3}}>)?(?P<time>{_MONTH} [ \d]\d \d\d:\d\d:\d\d(?:\.\d{{1,9}})?) \S+ {_TAG}")),
    ("journal-iso", _by_pattern(rf"(?P<time>{_ISO}) {_NOT_A_LEVEL}\S+ {_NOT_A_LEVEL}{_TAG}")),
    (
        "journal-full",
        _by_pattern(rf"(?P<time>{_MONTH} \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{{1,9}})? \S{{1,6}}) \S+ {_TAG}"),
    ),
    ("journal-seconds", _by_pattern(rf"\[? *(?P<time>\d{{1,12}}\.\d{{6}})\]? \S+ {_TAG}")),
    ("fly", _by_pattern(rf"(?P<time>{_ISO}) (?P<unit>\w+\[\w+\]) \w{{3}} \[(?P<level>\w+)\] ?")),
    ("heroku", _by_pattern(rf"(?P<time>{_ISO}) (?P<unit>[a-z][\w-]{{0,40}}\[[\w.-]{{1,60}}\]): ?")),
    ("app-runner", _by_pattern(r"(?P<time>\d\d-\d\d-\d{4} \d\d:\d\d:\d\d [AP]M) \[\w+\] ?")),
    ("aws-tail", _by_pattern(rf"(?P<time>{_ISO}) (?P<unit>[\w.-]+/[\w./-]+) ")),
    ("honcho", _by_pattern(r"(?P<time>\d\d:\d\d:\d\d) (?P<unit>[\w.-]{1,60}) +\| ?")),
    ("pm2", _by_pattern(r"\d{1,3}\|(?P<unit>[\w.-]{1,60}) *\| ?")),
    ("compose", _by_pattern(r"(?P<unit>[A-Za-z0-9][\w.-]{0,80}) {0,60}\| ?")),
    ("kubectl", _by_pattern(r"\[pod/(?P<unit>[\w./-]{1,200})\] ?")),
    ("svlogd", _by_pattern(r"(?P<time>\d{4}-\d\d-\d\d_\d\d:\d\d:\d\d\.\d{1,6}) ")),
    ("tai64n", _by_pattern(r"@(?P<time>[0-9a-f]{24}) ")),
    ("stamp", _by_pattern(rf"(?P<time>{_ISO.replace('[T ]', 'T')})(?:[ \t]|$)")),
)

SPEAKER: tuple[str, Cutter] = (
    "speaker",
    _by_pattern(
        r"(?P<unit>systemd(?:-[a-z]{1,40})?|kernel|audit|sudo|supervisord|\([\w./+-]{1,80}\))(?:\[(?P<pid>\d{1,10})\])?: "
    ),
)
"""Journal lines in the evidence carry no prefix, except where somebody other than the backend speaks."""


def detect(lines: Sequence[str]) -> list[tuple[str, Cutter]]:
    """The transports of a source, outermost first, from a sample of its lines.

    A prefix counts when most of the sample that isn't blank has it; of several candidates the one with most hits, in
    the order of the table when equal.
    """
    sample = [line for line in lines if line.strip()]
    found: list[tuple[str, Cutter]] = []
    for _layer in range(_DEPTH):
        if not sample:
            break
        best: tuple[int, str, Cutter, list[str]] | None = None
        for name, cutter in TRANSPORTS:
            cuts = [cutter(line) for line in sample]
            hits = sum(cut is not None for cut in cuts)
            if hits >= _SHARE * len(sample) and (best is None or hits > best[0]) and not _is_table(name, cuts):
                rest = [line if cut is None else cut.text for line, cut in zip(sample, cuts, strict=True)]
                best = (hits, name, cutter, [line for line in rest if line.strip()])
        if best is None:
            break
        found.append((best[1], best[2]))
        sample = best[3]
    return found


def _is_table(name: str, cuts: Sequence[Cut | None]) -> bool:
    """Many different words before the bar make a printed table, not a log of a few containers."""
    if name != "compose":
        return False
    units = {cut.mark.unit for cut in cuts if cut is not None}
    return len(units) > max(3, len(cuts) // 4)
