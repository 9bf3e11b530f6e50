# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``HANDOVER.md``: what somebody needs who takes over from here, ready to be pasted into a ticket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import text
from .blocks import part, records
from .outline import Lines
from .verdict import Verdict

# Verdicts of a repair after which people go on.
HANDED = frozenset({"handed_over", "rolled_back"})


def hand_over(one: Verdict, evidence: Mapping[str, Any], diagnosis: Mapping[str, Any], directory: str) -> str:
    """The whole document.

    :param directory: where the evidence lies, as the reader should see it.
    """
    remedy = part(diagnosis, "remediation")
    known = part(remedy, "handover")
    lines = [f"# {text.markdown(one.service)} on {text.markdown(one.host)}: {text.markdown(one.title)}", ""]
    lines += [text.markdown(_state(one)), "", "## What", ""]
    lines += [f"- Cause: {text.markdown(one.title)} ({text.code_span(one.cause)})"]
    lines += [f"- Confidence: {text.markdown(one.confidence_text)}"]
    lines += [f"- About: {text.markdown(one.subject)}"] if one.subject else []
    lines += ["", text.markdown(one.explanation)] if one.explanation else []
    lines += _section("Since when", _since(evidence))
    lines += _section("Evidence", [_proof(proof.place, proof.quote, proof.fact) for proof in one.proofs])
    lines += _frame(evidence)
    lines += _behind(part(one.repair, "behind"))
    lines += _section("What was tried", _tried(one, remedy))
    lines += _section("What to ask whom", _questions(known, diagnosis))
    commands = [text.one_line(command) for command in known.get("commands") or []]
    if remedy.get("role") and remedy.get("command"):
        commands.insert(0, text.one_line(remedy["command"]))
    commands[:0] = [
        text.one_line(said) for said in one.repair.get("commands") or [] if text.one_line(said) not in commands
    ]
    if commands:
        lines += ["", "## What to type", "", "```console", *(command.replace("```", "") for command in commands), "```"]
    lines += [
        "",
        "## Everything else",
        "",
        f"All evidence, redacted: {text.code_span(directory)}. Begin with {text.code_span('00-SUMMARY.txt')}.",
    ]
    return "\n".join(lines) + "\n"


def _state(one: Verdict) -> str:
    when = f" (seen {one.collected_at})" if one.collected_at else ""
    return f"{one.state_line}{when}. {one.repaired}".rstrip(". ") + "."


def _since(evidence: Mapping[str, Any]) -> Lines:
    """When it began, as far as the supervisor and the logs go back."""
    service = part(evidence, "service")
    times = [str(value) for value in service.get("restart_times") or []]
    lines: Lines = []
    if times:
        lines.append(f"First restart on record: {text.markdown(min(times))}; the last one: {text.markdown(max(times))}")
    ended = part(service, "exit").get("at")
    if ended:
        lines.append(f"Its last end: {text.markdown(ended)}")
    if service.get("since"):
        lines.append(f"In its present state since {text.markdown(service['since'])}")
    if service.get("restarts"):
        lines.append(f"Restarts counted by its supervisor: {text.markdown(service['restarts'])}")
    starts = sorted(
        str(attempt["started"])
        for source in records(part(evidence, "logs").get("sources"))
        for attempt in records(source.get("attempts"))
        if attempt.get("started")
    )
    if starts and not times:
        lines.append(f"Starts in its logs: {len(starts)}, the first one {text.markdown(starts[0])}")
    return lines or ["Nothing on record says so."]


def _frame(evidence: Mapping[str, Any]) -> Lines:
    """The innermost frame of the application's own code, from the import test."""
    exception = part(part(evidence, "import_test"), "exception")
    chain = records(exception.get("chain")) or [exception]
    for link in reversed(chain):
        frames = records(link.get("frames"))
        own = [frame for frame in frames if frame.get("origin") == "app"] or frames
        if own:
            frame = own[-1]
            kind = ": ".join(
                filter(None, (text.one_line(link.get("type") or ""), text.one_line(link.get("message") or "")))
            )
            shown = [
                f'File "{text.one_line(frame.get("file"))}", line {text.one_line(frame.get("line"))}, in {text.one_line(frame.get("function") or "?")}',
                *([f"    {text.one_line(frame['code'])}"] if frame.get("code") else []),
                *([text.cut(kind, 400)] if kind else []),
            ]
            return ["", "## The failing frame", "", "```text", *(line.replace("```", "") for line in shown), "```"]
    return []


def _behind(cause: Mapping[str, Any]) -> Lines:
    """The cause that showed when the first one was out of the way, and what to ask about it."""
    if not cause:
        return []
    known = part(cause, "handover")
    items = [
        f"{text.markdown(cause.get('title'))} ({text.code_span(cause.get('id'))}). {text.markdown(cause.get('explanation') or '')}"
    ]
    items += [_proof(*_place(proof)) for proof in records(cause.get("evidence"))]
    items += [text.markdown(known[key]) for key in ("ask", "note") if known.get(key)]
    items += [text.code_span(command) for command in known.get("commands") or []]
    return _section("What showed behind it", items)


def _place(proof: Mapping[str, Any]) -> tuple[str, str, bool]:
    place = text.one_line(proof.get("file") or proof.get("fact") or "")
    line = f":{text.one_line(proof['line'])}" if proof.get("line") is not None else ""
    return place + line, text.one_line(proof.get("quote") or ""), proof.get("kind") == "fact" and not line


def _tried(one: Verdict, remedy: Mapping[str, Any]) -> Lines:
    lines: Lines = []
    for done in records(one.repair.get("rounds")):
        words = text.one_line(done.get("outcome") or "").replace("_", " ")
        reason = f". {text.markdown(done['reason'])}" if done.get("reason") else ""
        run = f" (run {text.code_span(done['run'])})" if done.get("run") else ""
        lines.append(f"{text.markdown(done.get('fix'))} for {text.markdown(done.get('cause'))}: {words}{run}{reason}")
        lines += [f"  {text.markdown(done['decision'])}"] if done.get("decision") else []
    why = text.one_line(one.repair.get("reason") or remedy.get("why_not_automatic") or "")
    if not lines:
        lines.append("Nothing was changed." + (f" {text.markdown(why)}" if why else ""))
    return lines


def _questions(known: Mapping[str, Any], diagnosis: Mapping[str, Any]) -> Lines:
    lines = [text.markdown(known[key]) for key in ("ask", "note") if known.get(key)]
    if diagnosis.get("next_check"):
        lines.append(f"To look at next: {text.markdown(diagnosis['next_check'])}")
    planned = known.get("planned_role")
    if planned:
        lines.append(f"A later version of the collection may repair it ({text.code_span(planned)}); this one doesn't.")
    return lines or ["Those who maintain it: this directory holds the proof."]


def _proof(place: str, quote: str, fact: bool) -> str:
    if fact and quote:
        return f"{text.markdown(quote)} ({text.code_span(place)})"
    return " ".join(text.code_span(value) for value in (place, quote) if value)


def _section(name: str, items: Lines) -> Lines:
    """A heading with its list; an item that starts with spaces goes on with the one before."""
    shown = [item if item.startswith("  ") else f"- {item}" for item in items]
    return ["", f"## {name}", "", *shown] if shown else []
