# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The evidence of an answer in the order in which a person wants to read it.

First the line of the application's code that failed, then the line of the log that says so, then what neither the
application nor a log line can forge (the import test, the state of files, who holds a port, the supervisor's exit), then
the rest. The same thing is said once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from .observe import Observed
from .observed import Citation, Seen, cite_fact, fact
from .ranking import Candidate
from .wording import RENDERERS, worded

LIMIT = 8
# An exception that weighs less was survived or is long past; it proves nothing about this stop.
_WEAK = 0.3
_INDEX = re.compile(r"\[\d+\]")
# Facts whose citation already is a text of its own, which a renderer still says better.
_SOCKETS = ("ports.wanted_taken_by", "ports.sockets")
_TESTS = {"import_test": "the import test", "foreground_test": "the foreground test"}


def proofs(candidate: Candidate, observed: Observed, limit: int = LIMIT) -> list[dict[str, Any]]:
    """``root_cause.evidence[]``: ``kind`` is frame, log or fact; the strongest and most readable first."""
    citations = candidate.citations(3 * limit)
    seen = _exception(citations, observed)
    found: list[dict[str, Any]] = []
    tested: list[dict[str, Any]] = []
    if seen is not None:
        said, tested = _raised(seen, observed)
        found += [*_frame(seen), *said]
    rest = [citation for citation in citations if not (seen and _says_the_same(citation, seen))]
    facts = [shown(citation, observed.evidence) for citation in rest if citation.line is None]
    logs = [shown(citation, observed.evidence) for citation in rest if citation.line is not None]
    # Without an exception the line of the log comes first: it has the words that were written when it happened.
    found += [*facts[:2], *tested, *facts[2:], *logs] if seen is not None else [*logs[:1], *facts, *logs[1:]]
    if candidate.cause.family != "verdict":
        found += _exit(observed)
    return _once(found)[:limit]


def shown(citation: Citation, evidence: Mapping[str, Any]) -> dict[str, Any]:
    """A citation as data, a fact's value as a sentence."""
    entry = citation.as_dict()
    if citation.line is not None:
        return entry
    own_words = citation.quote != cite_fact(citation.file, fact(evidence, citation.file)).quote
    rendered = _INDEX.sub("[*]", citation.file) in RENDERERS
    if not own_words or (rendered and citation.file.startswith(_SOCKETS)):
        entry["quote"] = worded(citation.file, evidence) or citation.quote
    return entry


def _exception(citations: Iterable[Citation], observed: Observed) -> Seen | None:
    """The weightiest exception that the answer rests on; a missing module stands for the one that named it."""
    cited = set(citations)
    missing = any(citation.file.startswith("import_test.missing_module") for citation in cited)
    name = observed.fact("import_test.missing_module.name") if missing else None
    found = [
        seen
        for seen in observed.seen
        if seen.weight >= _WEAK and (seen.citation in cited or (name and seen.raised.name == name))
    ]
    return max(found, key=lambda seen: (seen.weight, seen.app_frame is not None, seen.source != "log"), default=None)


def _frame(seen: Seen) -> list[dict[str, Any]]:
    """The line of code that failed, as nearly as possible the application's own."""
    attested = seen.source != "log"
    syntax = seen.raised.syntax
    if syntax is not None and syntax.line is not None:
        return [_entry("frame", syntax.file, syntax.line, syntax.text or seen.text, attested)]
    frame = seen.app_frame or seen.failing
    if frame is None or frame.line is None or frame.file.startswith("<"):
        return []
    return [_entry("frame", frame.file, frame.line, (frame.code or f"in {frame.function}").strip(), attested)]


def _raised(seen: Seen, observed: Observed) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What was raised: where it is said in full, and that the import test meets it, too."""
    said = []
    same = [other for other in observed.seen if other.text == seen.text]
    logged = min((other for other in same if other.source == "log"), key=lambda other: other.age, default=None)
    words = seen.text.partition("\n")[0]
    if logged is not None:
        said.append(_entry("log", logged.citation.file, logged.citation.line, words, False))
    tested = next((other for other in same if other.source != "log"), None)
    if tested is not None:
        user = observed.fact(f"{tested.source}.user")
        who = f"{_TESTS.get(tested.source, tested.source)}{f' as {user}' if user else ''}"
        again = "meets the same" if logged is not None else f"meets {words}"
        entry = _entry("fact", tested.citation.file, None, f"{who} {again}", True)
        return (said, [entry]) if said else ([entry], [])
    return said, []


def _says_the_same(citation: Citation, seen: Seen) -> bool:
    if citation.file in ("import_test.missing_module", f"{seen.source}.exception"):
        return True
    head = seen.text.partition("\n")[0][:80]
    return citation.line is not None and head in citation.quote


def _exit(observed: Observed) -> list[dict[str, Any]]:
    """The supervisor's word on how it ended."""
    for path in ("service.exit.signal", "service.exit.code"):
        value = observed.fact(path)
        if value not in (None, 0, ""):
            return [shown(cite_fact(path, value), observed.evidence)]
    return []


def _entry(kind: str, file: str, line: int | None, quote: str, attested: bool) -> dict[str, Any]:
    return {"kind": kind, "file": file, "line": line, "quote": quote[:300], "attested": attested}


def _once(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each place once, and each text once."""
    kept: dict[tuple[Any, ...], dict[str, Any]] = {}
    quotes: set[str] = set()
    for entry in entries:
        place = (entry["file"], entry["line"])
        # What two parts of the evidence say of one path is mostly the same.
        about = entry["quote"]
        if entry["kind"] == "fact" and about.startswith("/"):
            about = about.partition(": ")[0].partition(" is a link")[0]
        repeated = entry["kind"] == "log" and any(about in quote for quote in quotes)
        if place not in kept and about not in quotes and not repeated:
            kept[place] = entry
            quotes.add(about)
    return list(kept.values())
