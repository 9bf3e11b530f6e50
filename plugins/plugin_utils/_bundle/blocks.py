# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the evidence that read better in a form of their own: logs, tracebacks, unit files, restarts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from . import text
from .outline import Lines, block, outline, section, table

Evidence = Mapping[str, Any]


def part(evidence: Evidence, name: str) -> Mapping[str, Any]:
    """A section as a mapping; a missing, withheld or misshapen one is an empty mapping."""
    value = evidence.get(name)
    return value if isinstance(value, Mapping) and "unavailable" not in value else {}


def records(value: Any) -> list[Mapping[str, Any]]:
    """The mappings in a list; anything else counts as none."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def log_sources(wanted: Callable[[Mapping[str, Any]], bool], none: str) -> Callable[[Evidence], Lines]:
    """A renderer of those log sources for which ``wanted`` holds; ``none`` is said when there are none."""

    def render(evidence: Evidence) -> Lines:
        logs = evidence.get("logs")
        if not part(evidence, "logs"):
            return section(logs)
        sources = [source for source in records(part(evidence, "logs").get("sources")) if wanted(source)]
        if not sources:
            return [none]
        lines: Lines = []
        for source in sources:
            lines += [*_source_head(source), *_attempts(source), ""]
        return lines[:-1]

    return render


def _source_head(source: Mapping[str, Any]) -> Lines:
    facts = {key: value for key, value in source.items() if key != "attempts" and value not in (None, False, "")}
    return [f"== {text.one_line(source.get('path') or source.get('id') or 'log')}", *outline(facts, "   ")]


def _attempts(source: Mapping[str, Any]) -> Lines:
    attempts = records(source.get("attempts"))
    if not attempts:
        return ["   " + text.one_line(source.get("error") or "It holds no lines.")]
    lines: Lines = []
    for number, attempt in enumerate(attempts, 1):
        facts = [
            f"{text.label(key)} {text.one_line(attempt[key])}"
            for key in ("started", "ended", "pid", "invocation", "numbering")
            if attempt.get(key) is not None
        ]
        newest = " (the newest)" if number == len(attempts) and number > 1 else ""
        lines.append(f"-- start {number} of {len(attempts)}{newest}{': ' if facts else ''}{', '.join(facts)}")
        for segment in records(attempt.get("segments")):
            lines += _segment(segment)
    return lines


def _segment(segment: Mapping[str, Any]) -> Lines:
    found = segment.get("lines")
    given = [str(line) for line in found] if isinstance(found, list) else []
    first = segment.get("first_line")
    if not isinstance(first, int):
        return ["   ...", *(f"        | {line}" for line in text.clean("\n".join(given)).split("\n"))]
    # Cleaning the whole is many times faster than line by line; a line that hides newlines is taken by itself.
    whole = text.clean("\n".join(given)).split("\n")
    if len(whole) != len(given):
        whole = [text.one_line(line) for line in given]
    return [*(["   ..."] if first > 1 else []), *(f"{first + at:>7} | {line}" for at, line in enumerate(whole))]


def exception_chain(exception: Mapping[str, Any], indent: str = "") -> Lines:
    """A chain as Python would print it, the first raised first."""
    chain = records(exception.get("chain")) or [exception]
    lines: Lines = []
    for link in chain:
        lines += [f"{indent}{line}" for line in _one_exception(link)]
        relation = {
            "cause": "The above exception was the direct cause of the following exception:",
            "context": "During handling of the above exception, another exception occurred:",
        }.get(str(link.get("relation")))
        if relation and link is not chain[-1]:
            lines += ["", indent + relation, ""]
    return lines


def _one_exception(link: Mapping[str, Any]) -> Lines:
    lines = frames(link.get("frames"), head="Traceback (most recent call last):")
    if link.get("truncated_frames"):
        lines.append(f"  ... {text.one_line(link['truncated_frames'])} frames left out")
    syntax = link.get("syntax")
    if isinstance(syntax, Mapping):
        lines.append(f'  File "{text.one_line(syntax.get("file"))}", line {text.one_line(syntax.get("line"))}')
        if syntax.get("text"):
            lines.append(f"    {text.one_line(syntax['text'])}")
    kind = text.one_line(link.get("type") or "unknown exception")
    message = str(link.get("message") or "")
    first, _newline, rest = message.partition("\n")
    lines.append(f"{kind}: {text.one_line(first)}" if first else kind)
    return lines + (block(rest, "  ") if rest else [])


def frames(value: Any, head: str) -> Lines:
    """A stack, outermost call first, with the origin of each file."""
    stack = records(value)
    if not stack:
        return []
    lines = [head]
    for frame in stack:
        origin = f"   [{text.one_line(frame['origin'])}]" if frame.get("origin") else ""
        where = f'  File "{text.one_line(frame.get("file"))}", line {text.one_line(frame.get("line"))}'
        lines.append(f"{where}, in {text.one_line(frame.get('function') or '?')}{origin}")
        if frame.get("code"):
            lines.append(f"    {text.one_line(frame['code'])}")
    return lines


def import_run(name: str) -> Callable[[Evidence], Lines]:
    """A renderer of ``import_test`` or ``foreground_test``: outcome first, then what was raised, then the rest."""
    apart = (
        "ran",
        "why_not",
        "outcome",
        "exception",
        "stack",
        "stdout",
        "stderr",
        "sys_path",
        "slowest",
        "faulthandler",
    )

    def render(evidence: Evidence) -> Lines:
        run = part(evidence, name)
        if not run:
            return section(evidence.get(name))
        if not run.get("ran", True):
            return text.wrap(f"Not run: {run.get('why_not') or 'no reason was recorded'}")
        lines = [f"outcome: {text.one_line(run.get('outcome'))}", ""]
        if isinstance(run.get("exception"), Mapping):
            lines += [*exception_chain(run["exception"]), ""]
        if run.get("stack"):
            lines += [*frames(run["stack"], head="Where it was when the time was up (innermost call last):"), ""]
        lines += section({key: value for key, value in run.items() if value not in (None, [], {}, "")}, skip=apart)
        for key in ("stdout", "stderr", "faulthandler"):
            if run.get(key):
                lines += ["", f"{text.label(key)}:", *block(str(run[key]), "  ")]
        slowest = table(records(run.get("slowest")), "  ")
        if slowest:
            lines += ["", "slowest imports:", *slowest]
        if run.get("sys_path"):
            lines += ["", "sys.path:", *outline(run["sys_path"], "  ")]
        return lines

    return render


def unit_files(evidence: Evidence) -> Lines:
    """The effective configuration, then the files it comes from as they are."""
    unit = part(evidence, "unit")
    if not unit:
        return section(evidence.get("unit"))
    lines = section({key: value for key, value in unit.items() if value not in (None, [], {})}, skip=("files",))
    for source in records(unit.get("files")):
        lines += ["", f"== {text.one_line(source.get('path'))} ({text.one_line(source.get('kind'))})"]
        lines += block(str(source["text"]), "  ") if source.get("text") else ["  " + text.one_line(source.get("error"))]
    return lines


def restarts(evidence: Evidence) -> Lines:
    """How often, when and with which end the backend was started again."""
    service = part(evidence, "service")
    if not service:
        return section(evidence.get("service"))
    wanted = (
        "restarts", "restarts_in_window", "window_s", "restart_policy", "restart_delay_s", "start_limit",
        "exit", "control_exits", "since", "uptime_s", "restart_times", "messages",
    )  # fmt: skip
    lines = outline({key: service[key] for key in wanted if service.get(key) not in (None, [])})
    starts = [
        {"log": source.get("path") or source.get("id"), "started": attempt.get("started"), "ended": attempt.get("ended"),
         "pid": attempt.get("pid"), "lines": sum(len(segment.get("lines") or []) for segment in records(attempt.get("segments")))}
        for source in records(part(evidence, "logs").get("sources"))
        for attempt in records(source.get("attempts"))
    ]  # fmt: skip
    found = table(starts, "  ")
    return lines + (["", "starts seen in the logs:", *found] if found else [])


def kernel(evidence: Evidence) -> Lines:
    """What the kernel did to processes, one line an event; those of this backend first."""
    found = part(evidence, "kernel")
    if not found:
        return section(evidence.get("kernel"))
    lines = outline({key: value for key, value in found.items() if not records(value)})
    for key, value in found.items():
        events = sorted(records(value), key=lambda event: event.get("own") is not True)
        lines += ["", f"{text.label(key)}:"] if events else []
        for event in events:
            own = event.get("own")
            whose = "this backend" if own is True else "another process" if own is False else "not known whose"
            lines.append(f"  {text.one_line(event.get('time'))}  ({whose})  {text.one_line(event.get('text'))}")
    return lines
