# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files a bundle has, and what one run hands on to whatever comes after it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from . import text
from .blocks import part
from .files import FILES, render
from .handover import HANDED, hand_over
from .outcome import Outcome
from .outline import outline, table
from .repair import repair_text
from .report import html_report, markdown_report
from .store import Store
from .summary import console, summary
from .verdict import Verdict, service_name, verdict

SCHEMA = 1
_SERVICE_COLUMNS = ("name", "runtime", "state", "restarts", "python", "sick")


def add_verdicts(outcome: Outcome) -> None:
    """Read the diagnoses of one host; each backend gets its directory inside the bundle."""
    taken: set[str] = set()
    for at, (evidence, diagnosis) in enumerate(outcome.documents):
        host = outcome.labels[at] if at < len(outcome.labels) else outcome.host
        directory = f"{text.path_name(host)}/{text.path_name(service_name(evidence))}"
        while directory in taken:
            directory += "+"
        taken.add(directory)
        outcome.verdicts.append(verdict(host, evidence, diagnosis or {}, directory))


def write_host(store: Store, outcome: Outcome) -> None:
    """All files of one host's backends; the summary first, so that a full disk leaves what matters most."""
    if outcome.problem:
        store.write(f"{text.path_name(outcome.host)}/00-SUMMARY.txt", "\n".join(text.wrap(outcome.problem)) + "\n")
    if outcome.examined:
        shown = [
            "The services that were considered, because none was asked for. What is wrong with each stands last.",
            "",
        ]
        ranked = sorted(
            outcome.examined, key=lambda one: (not one.get("sick"), not one.get("python"), str(one.get("name")))
        )
        shown += table(ranked, columns=_SERVICE_COLUMNS) or outline(ranked)
        store.write(f"{text.path_name(outcome.host)}/services.txt", "\n".join(shown) + "\n")
    for (evidence, diagnosis), one in zip(outcome.documents, outcome.verdicts):
        store.write(f"{one.directory}/00-SUMMARY.txt", summary(one))
        store.write_json(
            f"{one.directory}/diagnosis.json", diagnosis or {"schema": SCHEMA, "unavailable": outcome.problem}
        )
        store.write_json(f"{one.directory}/evidence.json", evidence)
        store.write_json(
            f"{one.directory}/redactions.json", part(evidence, "redactions") or evidence.get("redactions") or {}
        )
        title = f"{one.host} / {one.service} ({one.runtime})  {one.collected_at}".rstrip()
        for entry in FILES:
            store.write(f"{one.directory}/{entry.name}", render(entry, evidence, title))
        if one.sick and diagnosis and not part(diagnosis, "remediation").get("role"):
            store.write(f"{one.directory}/HANDOVER.md", hand_over(one, evidence, diagnosis, one.directory))


def add_repairs(outcome: Outcome, answers: Sequence[Mapping[str, Any]]) -> None:
    """Give each backend the answer of its repair, in the order of the backends; one that is well now needs no next step."""
    for at, answer in enumerate(answers[: len(outcome.verdicts)]):
        done = answer.get("verdict") in ("healed", "nothing_to_do")
        steps = () if done else outcome.verdicts[at].next_steps
        outcome.verdicts[at] = replace(outcome.verdicts[at], repair=answer, next_steps=steps)


def write_repairs(store: Store, outcome: Outcome, path: str) -> None:
    """What was done to the backends of one host, beside what an earlier call of :func:`write_host` wrote about them."""
    for (evidence, diagnosis), one in zip(outcome.documents, outcome.verdicts):
        if not one.repair:
            continue
        title = f"{one.host} / {one.service} ({one.runtime})"
        store.write_json(f"{one.directory}/repair.json", {"schema": SCHEMA, **one.repair}, replace=True)
        store.write(f"{one.directory}/17-repair.txt", repair_text(one, title), replace=True)
        store.write(f"{one.directory}/00-SUMMARY.txt", summary(one), replace=True)
        if one.repair.get("verdict") in HANDED:
            document = hand_over(one, evidence, diagnosis or {}, f"{path}/{one.directory}")
            store.write(f"{one.directory}/HANDOVER.md", document, replace=True)


def write_fleet(store: Store, outcomes: Iterable[Outcome], made_at: str) -> None:
    """The reports over all hosts; those of an earlier batch are replaced."""
    listed = list(outcomes)
    verdicts = [one for outcome in listed for one in outcome.verdicts]
    problems = {outcome.host: outcome.problem for outcome in listed if outcome.problem}
    store.write_json("diagnosis.json", {"schema": SCHEMA, "made_at": made_at, "hosts": hand_on(listed)}, replace=True)
    store.write("report.md", markdown_report(verdicts, problems, made_at), replace=True)
    store.write("report.html", html_report(verdicts, problems, made_at), replace=True)


def hand_on(outcomes: Iterable[Outcome]) -> dict[str, dict[str, Any]]:
    """The run's answer as plain data, for the fleet's ``diagnosis.json`` and for a job that comes after this one."""
    return {
        outcome.host: {
            "diagnosed": outcome.diagnosed,
            "kind": outcome.kind,
            "sick": outcome.sick,
            "problem": outcome.problem,
            "backends": [
                _short(one, diagnosis or {}) for one, (_evidence, diagnosis) in zip(outcome.verdicts, outcome.documents)
            ],
        }
        for outcome in outcomes
    }


def last_words(outcome: Outcome, path: str) -> list[str]:
    """What the console says of one host at the end."""
    lines = [outcome.problem] if outcome.problem else []
    for one in outcome.verdicts if outcome.diagnosed else []:
        lines += [*([""] if lines else []), *console(one), f"{'files':<12}{path}/{one.directory}/"]
    return lines


def _short(one: Verdict, diagnosis: Mapping[str, Any]) -> dict[str, Any]:
    proofs: Sequence[Any] = [{"place": proof.place, "quote": proof.quote} for proof in one.proofs[:5]]
    return {
        "service": one.service,
        "runtime": one.runtime,
        "state": one.state,
        "sick": one.sick,
        "cause": one.cause,
        "title": one.title,
        "confidence": one.confidence,
        "attested": one.attested,
        "subject": one.subject,
        "evidence": proofs,
        "next": [step.text for step in one.next_steps],
        "remediation": part(diagnosis, "remediation"),
        "directory": one.directory,
        **(
            {"repair": {key: one.repair.get(key) for key in ("verdict", "reason", "cause", "runs")}}
            if one.repair
            else {}
        ),
    }
