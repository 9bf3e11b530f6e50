# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write docs/catalogue.md from the cause files; with --check say whether it is up to date (exit status 1 when not)."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "playbooks" / "collections"))

from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.catalogue import (  # noqa: E402
    FAMILIES,
    Cause,
    load_catalogue,
)
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.exit_codes import (  # noqa: E402
    GENERAL,
    SIGNALS,
    SYSTEMD,
)
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.subjects import SLOT  # noqa: E402

PAGE = ROOT / "docs" / "catalogue.md"
FIGURES = ROOT / "tests" / "accuracy" / "figures.json"
HEADINGS = {
    "imports": "Imports and code",
    "settings": "Settings",
    "network": "Network and ports",
    "backing_services": "Backing services",
    "resources": "Resources and kernel",
    "supervision": "Supervision",
    "verdict": "Verdicts",
}


def plain(text: str) -> str:
    """A text of the catalogue for a reader: slots become the words for when they are unknown, or their name."""

    def words(match: re.Match[str]) -> str:
        return match.group(2) if match.group(2) is not None else match.group(1).replace("_", " ")

    return SLOT.sub(words, text)


def command(text: str) -> str:
    """A hand-over command with its slots in capitals."""
    return SLOT.sub(lambda match: match.group(1).upper(), text)


def section(cause: Cause, built: frozenset[str]) -> list[str]:
    """The part of the page about one cause; ``built`` are the fix roles that this collection has."""
    lines = [f"### {cause.id}", "", f"**{cause.title}.** {plain(cause.explanation)}", ""]
    if cause.subject:
        lines += [f"Names: {', '.join(slot.replace('_', ' ') for slot in cause.subject)}.", ""]
    if cause.explains:
        lines += ["Explains: " + ", ".join(f"[{other}](#{other})" for other in cause.explains) + ".", ""]
    if cause.fallback:
        lines += ["Given only while nothing more specific is likely.", ""]
    plan = cause.remediation
    if plan.role in built:
        how = "unattended when the gates hold" if plan.automatic else "when somebody decides so"
        lines += [f"Repaired by `fix_{plan.role}`, {how}.", ""]
    if plan.role in built and plan.why_not:
        lines += [f"Why not by itself: {plain(plan.why_not)}", ""]
    lines += [f"Next check: {plain(cause.next_check)}", ""]
    if cause.commands:
        lines += ["```console", *(command(item) for item in cause.commands), "```", ""]
    if cause.references:
        lines += ["See " + ", ".join(f"<{link}>" for link in cause.references) + ".", ""]
    return lines


def figures() -> list[str]:
    """How well the causes are told apart, as last written by ``make docs``."""
    if not FIGURES.is_file():
        return []
    found = json.loads(FIGURES.read_text(encoding="utf-8"))
    lines = [
        "## Figures",
        "",
        f"On the {found['cases']} recorded crashes, against which the catalogue was developed: the right cause first in "
        f"{found['top_1']:.1%}, among the first three in {found['top_3']:.1%}, calibration error {found['calibration_error']:.3f}"
        + (
            f" ({found['calibration_error_held_out']:.3f} for each source by a fit on the others)"
            if found["calibration_error_held_out"]
            else ""
        )
        + f", {len(found['healthy_called_sick'])} healthy called sick, {len(found['wrong_and_automatic'])} wrong that would be repaired unattended.",
        "",
        "| cause | cases | precision | recall |",
        "| --- | --- | --- | --- |",
    ]
    for cause, row in found["causes"].items():
        cells = ("–" if row[key] is None else f"{row[key]:.2f}" for key in ("precision", "recall"))
        lines.append(f"| [{cause}](#{cause}) | {row['cases']} | {' | '.join(cells)} |")
    return [*lines, ""]


def page() -> str:
    """The whole page."""
    catalogue = load_catalogue()
    causes, built = catalogue.causes, catalogue.built_roles
    what = "cause | what it is | fix | auto" if built else "cause | what it is"
    width = what.count("|") + 1
    legend = (
        " *Fix* names the role that repairs it (– : hand over), *auto* whether it may run unattended." if built else ""
    )
    lines = [
        "# The catalogue of causes",
        "",
        "Generated from `plugins/plugin_utils/_diagnosis/causes/` by `make docs`; don't edit it by hand.",
        "",
        f"{len(causes)} causes.{legend}",
        "",
        f"| {what} |",
        "|" + " --- |" * width,
    ]
    for family in FAMILIES:
        lines.append(f"| **{HEADINGS[family]}** |" + " |" * (width - 1))
        for cause in sorted((c for c in causes.values() if c.family == family), key=lambda c: c.id):
            plan = cause.remediation
            automatic = "yes, with conditions" if plan.automatic and plan.when else "yes" if plan.automatic else ""
            fix = f" {plan.role if plan.role in built else '–'} | {automatic} |" if built else ""
            lines.append(f"| [{cause.id}](#{cause.id}) | {cause.title} |{fix}")
    lines.append("")
    for family in FAMILIES:
        lines += [f"## {HEADINGS[family]}", ""]
        for cause in sorted((c for c in causes.values() if c.family == family), key=lambda c: c.id):
            lines += section(cause, built)
    lines += figures()
    lines += ["## Exit codes and signals", "", "| code | name | meaning |", "| --- | --- | --- |"]
    lines += [f"| {code} | | {meaning} |" for code, meaning in sorted(GENERAL.items())]
    lines += [f"| {code} | {name} | {meaning} |" for code, (name, meaning) in sorted(SYSTEMD.items())]
    lines += [f"| {number} | {name} | {meaning} |" for number, (name, meaning) in sorted(SIGNALS.items())]
    return "\n".join(lines).rstrip("\n") + "\n"


def main(arguments: list[str]) -> int:
    """Write the page, or compare it.

    :returns: the exit status: 1 when --check finds the page out of date.
    """
    text = page()
    if "--check" in arguments:
        current = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
        if current != text:
            sys.stderr.write(f"{PAGE} is out of date; run 'make docs'\n")
            return 1
        return 0
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
