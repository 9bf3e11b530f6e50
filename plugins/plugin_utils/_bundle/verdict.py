# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One backend's answer, taken from its diagnosis and evidence once for the summary, the console and the reports."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import text
from .blocks import part, records

STATES = {
    "crash_loop": "CRASH LOOP",
    "failed": "FAILED",
    "hung": "HUNG: alive, but it doesn't answer",
    "degraded": "DEGRADED: alive, but a part of it keeps dying",
    "healthy": "HEALTHY",
    "unknown": "STATE UNKNOWN",
}
SICK = frozenset({"crash_loop", "failed", "hung", "degraded"})
# Parts of the subject that only fill texts and commands.
_HELPERS = frozenset({"problem", "doubt", "lookup", "requirement", "right", "search_path", "message"})
# Fractions of a second in an ISO 8601 time, which nobody needs to read.
_SECONDS = re.compile(r"\.\d+(?=Z|$)")
# Lower bounds of the words for a confidence, highest first.
CONFIDENCE_WORDS = ((0.95, "very high"), (0.8, "high"), (0.55, "moderate"), (0.3, "low"), (0.0, "very low"))


@dataclass(frozen=True)
class Proof:
    """One citation: ``place`` is file:line, or the path of a fact in evidence.json, whose ``quote`` is a sentence."""

    place: str
    quote: str
    fact: bool = False


@dataclass(frozen=True)
class Step:
    """What to do next: ``kind`` is ``fix`` or ``check`` (both commands to type), or ``words`` (a sentence)."""

    kind: str
    text: str


@dataclass(frozen=True)
class Verdict:
    """Everything that is said about one backend; ``directory`` is its place inside the bundle, ``repair`` the session's
    answer where it was repaired after that."""

    host: str
    service: str
    runtime: str
    directory: str
    collected_at: str
    state: str
    state_line: str
    cause: str
    title: str
    confidence: float | None
    attested: bool
    explanation: str
    subject: str
    proofs: tuple[Proof, ...]
    against: tuple[Proof, ...]
    contributing: tuple[str, ...]
    symptoms: tuple[str, ...]
    ruled_out: tuple[str, ...]
    alike: tuple[str, ...]
    unseen: tuple[str, ...]
    next_steps: tuple[Step, ...]
    candidates: tuple[str, ...] = field(default=())
    starts: str = ""
    repair: Mapping[str, Any] = field(default_factory=dict)

    @property
    def repaired(self) -> str:
        """What became of the repair in a few words; empty where none was tried."""
        if not self.repair.get("verdict"):
            return ""
        words = str(self.repair["verdict"]).replace("_", " ").upper()
        return f"{words}: {text.one_line(self.repair.get('reason') or '')}".rstrip(": ")

    @property
    def sick(self) -> bool:
        return self.state in SICK or (self.state == "unknown" and self.cause not in ("healthy", "unknown"))

    @property
    def confidence_short(self) -> str:
        """The confidence in a word and a number."""
        if self.confidence is None:
            return "not known"
        word = next(word for bound, word in CONFIDENCE_WORDS if self.confidence >= bound)
        return f"{word} ({self.confidence:.2f})"

    @property
    def confidence_text(self) -> str:
        """The confidence, and whether anything but log text speaks for the answer."""
        if self.confidence is None:
            return "not known"
        proof = ", attested by the system itself" if self.attested else ", not attested: it rests on log text"
        if self.cause == "unknown":
            proof = ""
        return self.confidence_short + proof


def verdict(host: str, evidence: Mapping[str, Any], diagnosis: Mapping[str, Any], directory: str) -> Verdict:
    """Read one diagnosis of one host; ``directory`` is where its files lie in the bundle."""
    service = part(evidence, "service")
    target = part(evidence, "target")
    root = part(diagnosis, "root_cause")
    cause = text.one_line(root.get("id") or "unknown")
    confidence = root.get("confidence")
    state = str(diagnosis.get("state") or "unknown")
    return Verdict(
        host=host,
        service=service_name(evidence),
        runtime=text.one_line(service.get("runtime") or target.get("runtime") or "unknown"),
        directory=directory,
        collected_at=_SECONDS.sub("", text.one_line(target.get("collected_at") or "")),
        state=state,
        state_line=": ".join(filter(None, (STATES.get(state, state.upper()), how_it_stands(service)))),
        cause=cause,
        title=text.one_line(root.get("title") or ("No cause could be named" if cause == "unknown" else cause)),
        confidence=float(confidence) if isinstance(confidence, (int, float)) else None,
        attested=bool(root.get("attested")),
        explanation=text.one_line(root.get("explanation") or ""),
        subject=_plain(root.get("subject"), text.one_line(root.get("explanation") or "")),
        proofs=_proofs(root.get("evidence")),
        against=_proofs(root.get("contradicting")),
        contributing=_named(diagnosis.get("contributing")),
        symptoms=_named(diagnosis.get("symptoms")),
        ruled_out=_named(diagnosis.get("ruled_out")),
        alike=_named([item for item in records(diagnosis.get("ruled_out")) if item.get("alike", True)]),
        unseen=unseen(evidence),
        next_steps=_next_steps(diagnosis, cause),
        candidates=_candidates(diagnosis.get("candidates"), cause),
        starts=_starts(part(diagnosis, "crashes")),
    )


def _starts(crashes: Mapping[str, Any]) -> str:
    """Whether the starts that a log tells of ended alike, in a sentence; empty where it tells of fewer than two."""
    kinds = {kind.get("fingerprint"): kind for kind in records(crashes.get("kinds"))}
    ended, frequent = crashes.get("ended"), kinds.get(crashes.get("most_frequent"))
    if not frequent:
        return ""
    where = f"{ended} in {text.one_line(crashes.get('source'))}"
    if crashes.get("same"):
        return f"all {where} ended in the same way"
    if crashes.get("latest") == crashes.get("most_frequent"):
        return f"{frequent['count']} of {where} ended in the same way, the last among them"
    return f"the last of {where} ended in another way than most did ({frequent['count']}): {text.one_line(frequent['says'])}"


def service_name(evidence: Mapping[str, Any]) -> str:
    """The backend's name as its supervisor knows it."""
    name = part(evidence, "service").get("name") or part(evidence, "target").get("service")
    return text.one_line(name or "backend")


def how_it_stands(service: Mapping[str, Any]) -> str:
    """The supervisor's verdict in a few words: restarts, window, last exit."""
    words: list[str] = []
    if service.get("restarts_in_window") and service.get("window_s"):
        words.append(f"{service['restarts_in_window']} restarts in {text.measured('_s', service['window_s'])}")
    elif service.get("restarts"):
        words.append(f"{service['restarts']} restarts")
    ended = part(service, "exit")
    if ended.get("status_text"):
        words.append(f"last exit {text.one_line(ended['status_text'])}")
    elif ended.get("signal"):
        words.append(f"killed by signal {text.one_line(ended['signal'])}")
    elif ended.get("code") is not None:
        words.append(f"last exit code {text.one_line(ended['code'])}")
    active = "/".join(text.one_line(service[key]) for key in ("active_state", "sub_state") if service.get(key))
    if active:
        words.append(f"now {active}")
    return ", ".join(words)


def unseen(evidence: Mapping[str, Any]) -> tuple[str, ...]:
    """What could not be looked at, and why, in sentences; the same reason is said once."""
    said = [text.one_line(item) for item in part(evidence, "target").get("missing_privileges") or []]
    for name, entry in part(evidence, "collectors").items():
        if isinstance(entry, Mapping) and entry.get("status") not in ("ok", "skipped", None):
            said.append(
                f"{text.label(str(name))} ({entry['status']}): {text.one_line(entry.get('error') or 'no reason recorded')}"
            )
    for name, value in evidence.items():
        if isinstance(value, Mapping) and value.get("unavailable"):
            said.append(f"{text.label(str(name))}: {text.one_line(value['unavailable'])}")
    imports = part(evidence, "import_test")
    if imports and not imports.get("ran", True):
        said.append(f"import test: {text.one_line(imports.get('why_not') or 'not run')}")
    kept: dict[str, str] = {}
    for sentence in said:
        kept.setdefault(sentence.partition(": ")[2] or sentence, sentence)
    return tuple(kept.values())


def _plain(value: Any, explanation: str = "") -> str:
    """The subject in words, without what the explanation says anyway."""
    if isinstance(value, Mapping):
        return ", ".join(
            f"{text.label(str(key))} {text.one_line(part)}"
            for key, part in value.items()
            if part not in (None, "", []) and key not in _HELPERS and text.one_line(part) not in explanation
        )
    return text.one_line(value) if value not in (None, "", []) else ""


def _proofs(value: Any) -> tuple[Proof, ...]:
    found = []
    for item in records(value):
        place = text.one_line(item.get("file") or item.get("fact") or "")
        if item.get("line") is not None:
            place += f":{text.one_line(item['line'])}"
        is_fact = item.get("kind") == "fact" and item.get("line") is None
        found.append(Proof(place, text.one_line(item.get("quote") or item.get("text") or ""), is_fact))
    return tuple(found)


def _named(value: Any) -> tuple[str, ...]:
    """Causes of a list as "id (why)"."""
    names = []
    for item in value if isinstance(value, list) else []:
        if isinstance(item, Mapping):
            why = text.one_line(item.get("why") or item.get("reason") or item.get("because") or "")
            names.append(text.one_line(item.get("id") or item.get("title") or "") + (f" ({why})" if why else ""))
        else:
            names.append(text.one_line(item))
    return tuple(filter(None, names))


def _candidates(value: Any, cause: str) -> tuple[str, ...]:
    """What else it may be, with the confidence of each."""
    return tuple(
        f"{text.one_line(item.get('title') or item.get('id'))} [{text.one_line(item.get('id'))}] {item['confidence']:.2f}"
        for item in records(value)
        if isinstance(item.get("confidence"), (int, float)) and item.get("id") != cause
    )


def _next_steps(diagnosis: Mapping[str, Any], cause: str) -> tuple[Step, ...]:
    """The fix where a role of it exists; else what to ask whom and what to type; the next check when nothing is certain."""
    remedy = part(diagnosis, "remediation")
    steps: list[Step] = []
    if cause == "healthy":
        return ()
    if remedy.get("role") and remedy.get("command"):
        steps.append(Step("fix", text.one_line(remedy["command"])))
        if not remedy.get("automatic") and remedy.get("why_not_automatic"):
            steps.append(Step("words", f"Not done by itself: {text.one_line(remedy['why_not_automatic'])}"))
    else:
        hand_over = part(remedy, "handover")
        commands = hand_over.get("commands")
        steps += [Step("check", text.one_line(command)) for command in (commands if isinstance(commands, list) else [])]
        steps += [Step("words", text.one_line(hand_over[key])) for key in ("note", "ask") if hand_over.get(key)]
    check = diagnosis.get("next_check")
    if check and (cause == "unknown" or not steps):
        steps.insert(0, Step("words", text.one_line(check)))
    if not steps and cause not in ("healthy", "unknown"):
        steps.append(Step("words", "Hand over to those who maintain it: this directory holds the proof."))
    return tuple(steps)
