# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``00-SUMMARY.txt``, one screen for a tired person, and the few lines of it that end the console's output."""

from __future__ import annotations

from . import text
from .verdict import Proof, Verdict

# A terminal of 80 by 24 characters, less the line of the prompt.
LINES = 23
_GUTTER = 12
# Tried in turn until the summary fits: (lines of explanation, proofs, lines each of ruled out and not seen, blank lines between).
_FITS = (
    (4, 5, 2, True),
    (3, 5, 2, True),
    (3, 4, 1, True),
    (2, 3, 1, True),
    (2, 3, 1, False),
    (1, 2, 1, False),
    (1, 1, 1, False),
)


def summary(verdict: Verdict) -> str:
    """The whole screen; when it doesn't fit, the explanation and the weaker proofs give way, the next step never."""
    lines: list[str] = []
    for explanation, proofs, rest, spaced in _FITS:
        lines = _screen(verdict, explanation, proofs, rest, spaced)
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
    for number, proof in enumerate(verdict.proofs[:3]):
        lines += [_gutter("evidence" if number == 0 else "") + proof_line(proof, text.WIDTH - _GUTTER)]
    lines += _next(verdict)
    return [line.rstrip() for line in lines]


def proof_line(proof: Proof, width: int) -> str:
    """Place and quote on one line; a long path loses its front, a long quote its end."""
    if not proof.place:
        return text.cut(proof.quote, width)
    if not proof.quote:
        return text.cut(proof.place, width)
    place = proof.place
    room = max(24, width - 2 - len(proof.quote))
    if len(place) > room:
        room = max(24, min(room, width // 2))
        place = "\u2026" + place[-(room - 1) :] if len(place) > room else place
    return f"{place}  {text.cut(proof.quote, max(12, width - len(place) - 2))}"


def _screen(verdict: Verdict, explanation: int, proofs: int, rest: int, spaced: bool) -> list[str]:
    gap = [""] if spaced else []
    who = f"{verdict.host} / {verdict.service} ({verdict.runtime})"
    when = verdict.collected_at
    head = text.cut(who, text.WIDTH - len(when) - 2)
    lines = [f"{head:<{text.WIDTH - len(when)}}{when}".rstrip(), *text.wrap(verdict.state_line, lines=2), *gap]
    lines += _field("CAUSE", f"{verdict.title} [{verdict.cause}]", 2)
    lines += _field("CONFIDENCE", verdict.confidence_text, 1)
    if verdict.subject:
        lines += _field("ABOUT", verdict.subject, 2)
    if verdict.explanation:
        lines += _field("WHY", verdict.explanation, explanation)
    lines += gap
    for number, proof in enumerate(verdict.proofs[:proofs]):
        lines.append(_gutter("EVIDENCE" if number == 0 else "") + proof_line(proof, text.WIDTH - _GUTTER))
    if verdict.against:
        lines.append(_gutter("AGAINST IT") + proof_line(verdict.against[0], text.WIDTH - _GUTTER))
    lines += [*(gap if verdict.proofs or verdict.against else []), *_next(verdict, upper=True)]
    lines += gap
    for name, items in (
        ("AS WELL", verdict.contributing),
        ("FOLLOWS", verdict.symptoms),
        ("RULED OUT", verdict.ruled_out),
        ("NOT SEEN", verdict.unseen),
    ):
        if items:
            lines += _field(name, "; ".join(items), rest)
    return [line.rstrip() for line in lines]


def _next(verdict: Verdict, upper: bool = False) -> list[str]:
    lines: list[str] = []
    for step in verdict.next_steps:
        name = "" if lines else ("NEXT" if upper else "next")
        if step.kind == "words":
            lines += _field(name, step.text, 3)
            continue
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
