# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``17-repair.txt``: each round of a repair with its decision, changes, proof, timeline and outcome."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import text
from .blocks import part, records
from .outline import Lines, outline, table
from .verdict import Verdict

RULE = "-" * text.WIDTH
_TIMELINE = ("t", "state", "main_pid", "restarts", "port_owner", "health")


def repair_text(one: Verdict, title: str) -> str:
    """The whole file; ``title`` names host and backend."""
    answer = one.repair
    lines = [f"17-repair.txt   {title}", "What was done about it, in order, and what became of it.", RULE]
    lines += text.wrap(f"verdict: {one.repaired}")
    if answer.get("session"):
        lines.append(f"session: {text.one_line(answer['session'])}")
    for left in records(answer.get("settled")):
        lines += text.wrap(
            f"An earlier run was interrupted: {text.one_line(left.get('run'))} (fix {text.one_line(left.get('fix'))}, "
            f"{text.one_line(left.get('state'))}). It ended {_words(left.get('outcome'))}."
        )
    for number, done in enumerate(records(answer.get("rounds")), 1):
        lines += [
            "",
            f"== round {number}: {text.one_line(done.get('fix'))} for {text.one_line(done.get('cause'))}",
            *_round(done),
        ]
    steps = records(answer.get("steps"))
    if steps:
        lines += ["", "== what was left of the plan"]
        for step in steps:
            about = f" ({text.one_line(step['subject'])})" if step.get("subject") else ""
            why = f": {text.one_line(step['why_not_automatic'])}" if step.get("why_not_automatic") else ""
            lines += text.wrap(
                f"- {text.one_line(step.get('role') or 'no fix')} for {text.one_line(step.get('cause'))}{about}{why}"
            )
            lines += text.wrap_command(text.one_line(step["command"]), "  ") if step.get("command") else []
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _round(done: Mapping[str, Any]) -> Lines:
    lines: Lines = []
    for name in ("run", "decision", "outcome", "reason"):
        if done.get(name):
            value = _words(done[name]) if name == "outcome" else text.one_line(done[name])
            lines += _field(name, value)
    for number, change in enumerate(records(done.get("changes")), 1):
        words = f"{text.one_line(change.get('kind'))} {text.one_line(change.get('path'))}: {text.one_line(change.get('why'))}"
        lines += _field(f"change {number}", f"{words} [{text.one_line(change.get('state') or 'planned')}]")
    proof = part(done, "proof")
    if proof:
        passed = {True: "passed", False: "failed"}.get(proof.get("passed"), "not done")  # type: ignore[arg-type]
        exception = part(proof, "exception")
        said = (
            f": {text.one_line(exception.get('type'))}: {text.one_line(exception.get('message'))}" if exception else ""
        )
        lines += _field("import test", passed + said)
    for left in done.get("refused_paths") or []:
        found = left if isinstance(left, Mapping) else {"path": left}
        lines += _field(
            "left alone", f"{text.one_line(found.get('path'))}: {text.one_line(found.get('why') or 'changed since')}"
        )
    for note in done.get("notes") or []:
        lines += _field("note", text.one_line(note))
    rows = records(done.get("timeline"))
    if rows:
        lines += ["timeline:", *(table(rows, "  ", _TIMELINE) or outline(rows, "  "))]
    return lines


def _words(value: Any) -> str:
    return text.one_line(value or "not known").replace("_", " ")


def _field(name: str, value: str) -> Lines:
    wrapped = text.wrap(value, " " * 14)
    return [f"{name:<14}{wrapped[0][14:]}", *wrapped[1:]] if wrapped else []
