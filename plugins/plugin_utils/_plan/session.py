# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict on one backend at the end of its rounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._bundle import text
from .answer import held, rolled_back, said
from .plan import subject_name

VERDICTS = ("healed", "rolled_back", "handed_over", "nothing_to_do", "planned")
# After these nothing more is tried: what the host is like isn't known any more, or all is well.
LAST = frozenset({"healed", "failed", "rollback_refused", "preview"})
# Obstacles to a fix that its door would not overcome.
_BY_HAND = frozenset({"no_role", "not_built", "condition"})
_GUTTER = 12


def session_answer(results: Mapping[str, Any]) -> dict[str, Any]:
    """The verdict on one backend.

    :param results: ``host``, ``service``, ``runtime``, ``session``, ``begin`` (result of the lock), ``plan`` (the last one), ``first`` and ``last`` (the
        diagnoses), ``rounds`` (answers of the fixes, in order), ``settled`` (interrupted runs and how they ended), ``taken_back``
        (results of rolling back at the end, each with ``run``), ``error``, ``check``, and ``preview`` (nothing was to
        be changed, so that nothing fails).
    :returns: ``verdict``, ``reason``, ``cause``, ``title``, ``subject``, ``runs``, ``rounds``, ``settled``, ``commands``, ``failed`` and ``lines``.
    """
    rounds = [dict(one) for one in results.get("rounds") or []]
    _taken_back(rounds, results.get("taken_back") or [])
    verdict, reason = _verdict(results, rounds)
    root = _part(_part(results, "first"), "root_cause")
    steps = [] if verdict in ("healed", "nothing_to_do") else _part(results, "plan").get("steps") or []
    answer: dict[str, Any] = {
        "host": results.get("host"),
        "service": results.get("service"),
        "runtime": results.get("runtime"),
        "session": results.get("session") or None,
        "verdict": verdict,
        "reason": reason,
        "cause": root.get("id"),
        "title": root.get("title"),
        "subject": subject_name(root.get("subject")),
        "behind": _behind(_part(results, "first"), _part(results, "last")),
        "runs": [one["run"] for one in rounds if one.get("run")],
        "rounds": rounds,
        "settled": list(results.get("settled") or []),
        "steps": steps,
        "commands": _commands(verdict, rounds, steps, _remedy(results)),
        "ask": _ask(verdict, results),
        "failed": verdict in ("rolled_back", "handed_over") and not results.get("preview"),
    }  # fmt: skip
    answer["lines"] = session_lines(answer)
    return answer


def _commands(verdict: str, rounds: list[dict[str, Any]], steps: list[Any], remedy: Mapping[str, Any]) -> list[str]:
    """What to type now: what a fix that was refused says; what shows more where no fix would do or is left; else the fix itself."""
    if rounds and rounds[-1]["outcome"] == "refused" and rounds[-1].get("commands"):
        return [str(command) for command in rounds[-1]["commands"]]
    by_hand = [str(command) for command in _part(remedy, "handover").get("commands") or []][:2]
    if verdict == "handed_over" and remedy.get("obstacle") in _BY_HAND:
        return by_hand
    if verdict not in ("handed_over", "planned", "rolled_back"):
        return []
    return [one["command"] for one in steps[:1] if one.get("command")] or by_hand


def _ask(verdict: str, results: Mapping[str, Any]) -> str:
    """Whom to ask what, where no fix would do."""
    remedy = _remedy(results)
    by_hand = verdict in ("handed_over", "rolled_back") and remedy.get("obstacle") in _BY_HAND
    return text.one_line(_part(remedy, "handover").get("ask") or "") if by_hand else ""


def _remedy(results: Mapping[str, Any]) -> Mapping[str, Any]:
    return _part(_part(results, "last"), "remediation")


def _behind(first: Mapping[str, Any], last: Mapping[str, Any]) -> dict[str, Any] | None:
    """The cause that showed when the first one was gone, None where there was none."""
    root, former = _part(last, "root_cause"), _part(first, "root_cause")
    same = root.get("id") == former.get("id") and root.get("subject") == former.get("subject")
    if not root.get("id") or root.get("id") == "healthy" or same:
        return None
    kept = {key: root.get(key) for key in ("id", "title", "explanation", "confidence", "subject")}
    return {
        **kept,
        "evidence": (root.get("evidence") or [])[:5],
        "handover": _part(_part(last, "remediation"), "handover"),
    }


def _verdict(results: Mapping[str, Any], rounds: list[dict[str, Any]]) -> tuple[str, str]:
    planned = _part(results, "plan")
    last = rounds[-1] if rounds else {}
    begin = _part(results, "begin")
    undone = [one for one in rounds if one["outcome"] in ("rolled_back", "rollback_refused")]
    if last.get("outcome") == "healed":
        return "healed", str(last.get("reason") or "")
    if begin.get("held_by"):
        return "handed_over", held(begin["held_by"])
    if results.get("error"):
        return ("rolled_back" if undone else "handed_over"), text.one_line(results["error"])
    if begin.get("failed") or begin.get("unreachable"):
        return "handed_over", f"The lock could not be taken: {said(begin)}"
    if results.get("check") and (last.get("outcome") == "preview" or planned.get("verdict") is None):
        return "planned", "This was a preview (--check)."
    if last.get("outcome") in LAST:
        return ("rolled_back" if undone else "handed_over"), str(last.get("reason") or "")
    verdict, reason = planned.get("verdict"), str(planned.get("reason") or "")
    if verdict == "nothing_to_do" and any(one.get("outcome") == "healed" for one in results.get("settled") or []):
        return "healed", "An interrupted run had changed everything, and the backend is healthy with it."
    if verdict in ("nothing_to_do", "planned") and not undone:
        return str(verdict), reason
    if verdict is None:
        reason = f"It isn't healthy after {len(rounds)} rounds (backend_max_rounds)."
    if undone:
        own = str(undone[-1].get("reason") or "")
        return "rolled_back", reason if own in reason or not own else f"{own.rstrip('.')}. {reason}"
    if last.get("outcome") == "refused":
        return "handed_over", str(last.get("reason") or reason)
    if last.get("outcome") == "not_needed":
        return "handed_over", f"The fix {last.get('fix')} found nothing to do. {last.get('decision') or ''}".rstrip()
    return "handed_over", reason


def _taken_back(rounds: list[dict[str, Any]], results: list[Mapping[str, Any]]) -> None:
    """Give the rounds whose runs were rolled back at the end their last outcome."""
    by_run = {one.get("run") or one.get("item"): one for one in results if not one.get("skipped")}
    for one in rounds:
        result = by_run.get(one.get("run")) if one.get("run") else None
        if result is None:
            continue
        one["outcome"] = rolled_back(result)
        one["refused_paths"] = result.get("refused_paths") or []
        if result.get("failed") or result.get("unreachable"):
            one["reason"] = f"{str(one.get('reason') or '').rstrip('.')}. Taking it back failed: {said(result)}"


def session_lines(answer: Mapping[str, Any]) -> list[str]:
    """The verdict for a terminal: a line for each round, the verdict, and what to type."""
    title = (
        f": {answer['title']} [{answer['cause']}]"
        if answer.get("title") and answer["verdict"] != "nothing_to_do"
        else ""
    )
    shown = text.wrap(f"{answer['host']} / {answer['service']}{title}")
    for one in answer["settled"]:
        shown += _field(
            "before",
            f"interrupted run {one.get('run')} ({one.get('fix')}): {str(one.get('outcome')).replace('_', ' ')}",
        )
    for number, one in enumerate(answer["rounds"], 1):
        words = str(one["outcome"]).replace("_", " ")
        # The decision of the last one says what was done; its outcome stands in the verdict.
        shown += _field(
            f"round {number}",
            f"{one.get('fix')} for {one.get('cause')}: {words}. {one.get('decision') or one.get('reason') or ''}",
        )
    if answer["verdict"] == "planned":
        for number, step in enumerate(answer["steps"], 1):
            what = f"{step['role'] or 'no fix'} for {step['cause']}" + (
                f" ({step['subject']})" if step.get("subject") else ""
            )
            shown += _field(f"plan {number}", what if step["automatic"] else f"{what}. {step['why_not_automatic']}")
    shown += _field("verdict", f"{str(answer['verdict']).replace('_', ' ').upper()}. {answer['reason']}")
    shown += _field("ask", answer["ask"])
    for number, command in enumerate(answer["commands"]):
        first, *more = text.wrap_command(str(command), " " * _GUTTER)
        shown += [f"{'' if number else 'next':<{_GUTTER}}{first.strip()}", *more]
    return [line.rstrip() for line in shown]


def _field(name: str, value: str) -> list[str]:
    wrapped = text.wrap(value, " " * _GUTTER)
    return [f"{name:<{_GUTTER}}{wrapped[0][_GUTTER:]}", *wrapped[1:]] if wrapped else []


def _part(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    return found if isinstance(found, Mapping) else {}
