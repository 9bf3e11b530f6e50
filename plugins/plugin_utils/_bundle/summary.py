# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``00-SUMMARY.txt``, one screen for a tired person, and the few lines of it that end the console's output."""

from __future__ import annotations

import re
from collections.abc import Sequence

from . import text
from .verdict import Proof, Verdict

# A terminal of 80 by 24 characters, less the line of the prompt.
LINES = 23
_GUTTER = 12
# Tried in turn until the summary fits: lines of explanation, proofs, lines of one proof, lines each of what was ruled out
# and not seen (0: one line, and neither what follows nor the subject's details), sentences and commands each of what to do next, blank lines
# between the parts.
_FITS = (
    (6, 5, 3, 2, 2, True),
    (6, 5, 3, 2, 2, False),
    (5, 5, 3, 1, 2, False),
    (5, 5, 3, 1, 1, False),
    (5, 4, 3, 1, 1, False),
    (6, 4, 3, 0, 1, False),
    (5, 4, 3, 0, 1, False),
    (4, 4, 3, 0, 1, False),
    (4, 3, 3, 0, 1, False),
    (3, 3, 2, 0, 1, False),
    (2, 3, 1, 0, 1, False),
    (1, 2, 1, 0, 1, False),
    (1, 1, 1, 0, 1, False),
)
_SENTENCE_END = re.compile(r"(?<=[.?!]) (?=[A-Z])")
# What else it may be is said from this confidence on.
_ELSE = 0.2


def summary(verdict: Verdict) -> str:
    """The whole screen; when it doesn't fit, the explanation and the weaker proofs give way, the next step never."""
    lines: list[str] = []
    for fit in _FITS:
        lines = _screen(verdict, *fit)
        if len(lines) <= LINES:
            break
    return "\n".join(lines) + "\n"


def console(verdict: Verdict) -> list[str]:
    """The same answer for the end of a run."""
    lines = [
        f"{verdict.host} / {verdict.service} ({verdict.runtime}): {verdict.state_line}",
        *_field("cause", f"{verdict.title} [{verdict.cause}]", 2),
        *_field("confidence", verdict.confidence_text, 1),
    ]
    if verdict.subject:
        lines += _field("about", verdict.subject, 2)
    if verdict.sick and verdict.explanation:
        lines += _why("why", verdict.explanation, 5)
    lines += _proofs("evidence", verdict.proofs[:4], 3)
    lines += _list("otherwise", _otherwise(verdict), 1)
    lines += _next(verdict, 2)
    return [line.rstrip() for line in lines]


def proof_lines(proof: Proof, width: int, most: int = 2) -> list[str]:
    """A fact is a sentence with its place behind it. Else place and quote stand on one line where they fit; a long path
    loses its front, a long quote its end."""
    if proof.fact and proof.quote:
        lines = text.wrap(proof.quote, width=width, lines=most)
        place = f"[{proof.place}]"
        if len(lines[-1]) + len(place) + 2 <= width:
            return [*lines[:-1], f"{lines[-1]}  {place}"]
        return [*lines, place] if len(lines) < most and len(place) <= width else lines
    whole = "  ".join(filter(None, (proof.place, proof.quote)))
    if len(whole) <= width or not (proof.place and proof.quote):
        return [text.cut(whole, width)]
    if most > 1:
        return [_cut_front(proof.place, width), *text.wrap(proof.quote, "  ", width, most - 1)]
    place = _cut_front(proof.place, max(24, min(width // 2, width - 2 - len(proof.quote))))
    return [f"{place}  {text.cut(proof.quote, width - len(place) - 2)}"]


def _cut_front(path: str, width: int) -> str:
    return path if len(path) <= width else "\u2026" + path[-(width - 1) :]


def _proofs(name: str, proofs: Sequence[Proof], most: int) -> list[str]:
    lines = [line for proof in proofs for line in proof_lines(proof, text.WIDTH - _GUTTER, most)]
    return [_gutter(name if number == 0 else "") + line for number, line in enumerate(lines)]


def _screen(
    verdict: Verdict, explanation: int, proofs: int, most: int, rest: int, steps: int, spaced: bool
) -> list[str]:
    gap = [""] if spaced else []
    who = f"{verdict.host} / {verdict.service} ({verdict.runtime})"
    when = verdict.collected_at
    head = text.cut(who, text.WIDTH - len(when) - 2)
    lines = [f"{head:<{text.WIDTH - len(when)}}{when}".rstrip(), *text.wrap(verdict.state_line, lines=2), *gap]
    lines += _field("REPAIR", verdict.repaired, 2)
    lines += _field("CAUSE", f"{verdict.title} [{verdict.cause}]", 2)
    lines += _field("CONFIDENCE", verdict.confidence_text, 1)
    if verdict.subject and rest:
        lines += _field("ABOUT", verdict.subject, 2)
    if verdict.explanation:
        lines += _why("WHY", verdict.explanation, explanation)
    lines += gap
    lines += _proofs("EVIDENCE", verdict.proofs[:proofs], most)
    lines += _proofs("AGAINST IT", verdict.against[:1], most)
    lines += [*(gap if verdict.proofs or verdict.against else []), *_next(verdict, steps, upper=True)]
    lines += gap
    for name, items in (
        ("STARTS", (verdict.starts,) if verdict.starts and verdict.sick and rest else ()),
        ("OTHERWISE", _otherwise(verdict)),
        ("AS WELL", verdict.contributing),
        ("FOLLOWS", verdict.symptoms),
        ("RULED OUT", verdict.alike[:3]),
        ("NOT SEEN", verdict.unseen),
    ):
        if rest or name not in ("AS WELL", "FOLLOWS"):
            lines += _list(name, items, max(1, rest))
    shown = [line.rstrip() for line in lines]
    # A part that has nothing to say leaves no second blank line.
    return [line for at, line in enumerate(shown) if line or (at and shown[at - 1])]


def _otherwise(verdict: Verdict) -> tuple[str, ...]:
    """What it may be as well, when that isn't far behind."""
    return tuple(
        name for name in verdict.candidates if float(name.rpartition(" ")[2]) >= _ELSE and verdict.cause != "healthy"
    )[:2]


def _why(name: str, explanation: str, lines: int) -> list[str]:
    """As many whole sentences as fit; only a first one that is too long is cut."""
    sentences = _SENTENCE_END.split(explanation)
    for count in range(len(sentences), 0, -1):
        shown = _field(name, " ".join(sentences[:count]), 0)
        if len(shown) <= lines:
            return shown
    return _field(name, sentences[0], lines)


def _list(name: str, items: Sequence[str], lines: int) -> list[str]:
    """As many whole items as fit, and how many more there are."""
    for count in range(len(items), 0, -1):
        more = f"; and {len(items) - count} more in diagnosis.json" if count < len(items) else ""
        shown = _field(name, "; ".join(items[:count]) + more, 0)
        if len(shown) <= lines:
            return shown
    return _field(name, items[0], lines) if items else []


def _next(verdict: Verdict, steps: int, upper: bool = False) -> list[str]:
    """The first words and the first commands; the reports have them all."""
    words = [step for step in verdict.next_steps if step.kind == "words"][:steps]
    commands = [step for step in verdict.next_steps if step.kind != "words"][:steps]
    lines: list[str] = []
    for step in verdict.next_steps:
        name = "" if lines else ("NEXT" if upper else "next")
        if step in words:
            lines += _field(name, step.text, 3)
        elif step in commands:
            first, *more = text.wrap_command(step.text, " " * _GUTTER)
            lines += [_gutter(name) + first.strip(), *more]
    return lines


def _gutter(name: str) -> str:
    return f"{name:<{_GUTTER}}"


def _field(name: str, value: str, lines: int) -> list[str]:
    """A named paragraph whose text stands in a column of its own."""
    wrapped = text.wrap(value, " " * _GUTTER, lines=lines)
    if not wrapped:
        return []
    return [_gutter(name) + wrapped[0][_GUTTER:], *wrapped[1:]]
