# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The subject of a finding (module, variable, port, path, …), and texts and commands filled with it.

Values come from logs and hosts. They are put into texts by plain replacement, never by a template engine, stripped of
control characters, and quoted for the shell where a text is a command.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from .observed import Hit, fact

SLOT = re.compile(r"\{([a-z_]+)(?:\|([^{}]*))?\}")
# "imports {module}<<, part of {distribution}>>": what is said only when its slots are known.
_OPTIONAL = re.compile(r"<<([^<>]{1,400})>>")
VALUE_LIMIT = 200
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_URL_SECRET = re.compile(r"(?<=://)[^/@\s]{1,400}@")
# Slots that any cause may use without declaring them.
STANDARD = {
    "service": ("service.name", "target.service"),
    "host": ("target.host", "target.hostname"),
    "code_dir": ("app.code_dir", "unit.working_directory", "import_test.cwd"),
    "python": ("interpreter.python", "import_test.interpreter"),
    "run_as": ("unit.user", "import_test.user"),
    "supervisor_config": ("service.supervisor.config",),
    "definition": ("unit.files[0].path",),
}


def clean(value: Any) -> str:
    """A value as one short line of plain text, without the user and password of a URL."""
    text = _URL_SECRET.sub("", _CONTROL.sub(" ", str(value))).strip()
    return text if len(text) <= VALUE_LIMIT else text[: VALUE_LIMIT - 1] + "…"


def extract(slots: Mapping[str, tuple[str, ...]], hits: Iterable[Hit], evidence: Mapping[str, Any]) -> dict[str, str]:
    """Fill the slots that a cause declares.

    Each slot has a list of sources, the first that gives something wins: ``capture`` or ``capture:<name>`` for a named
    group of the patterns that matched, or an evidence path. Hits are looked through in the order given.
    """
    captured: dict[str, str] = {}
    for hit in hits:
        for name, value in hit.captures.items():
            captured.setdefault(name, value)
    subject: dict[str, str] = {}
    for slot, sources in slots.items():
        for source in sources:
            kind, _colon, name = source.partition(":")
            found: Any = captured.get(name or slot) if kind == "capture" else fact(evidence, source)
            if isinstance(found, (str, int, float)) and not isinstance(found, bool) and str(found).strip():
                subject[slot] = clean(found)
                break
    return subject


def standard(evidence: Mapping[str, Any]) -> dict[str, str]:
    """The slots that every text may use: :data:`STANDARD`, as far as they are known."""
    found = {slot: next((v for path in paths if (v := fact(evidence, path))), None) for slot, paths in STANDARD.items()}
    return {slot: clean(value) for slot, value in found.items() if value}


def fill(template: str, subject: Mapping[str, str]) -> str:
    """Replace ``{slot}``, ``{slot|words for when it is unknown}`` and ``<<text with {slot}>>``, which is left out when a
    slot of it is unknown; never raises, never evaluates anything."""

    def replace(match: re.Match[str]) -> str:
        value = subject.get(match.group(1))
        if value:
            return value
        return match.group(2) if match.group(2) is not None else match.group(1).replace("_", " ")

    return SLOT.sub(replace, _OPTIONAL.sub(lambda match: _known_part(match, subject), template))


def fill_command(template: str, subject: Mapping[str, str]) -> str | None:
    """Like :func:`fill`, with each value quoted for a POSIX shell.

    :returns: None when a slot without words of its own is unknown, because then nobody could run the command as printed,
        and when a value that needs quotes would stand inside of double quotes, which end where the value says so.
    """
    template = _OPTIONAL.sub(lambda match: _known_part(match, subject), template)
    if any(not subject.get(slot) and "|" not in whole for whole, slot in _slots(template)):
        return None
    for match in SLOT.finditer(template):
        value = subject.get(match.group(1))
        if value and template.count('"', 0, match.start()) % 2 and shlex.quote(value) != value:
            return None

    def replace(match: re.Match[str]) -> str:
        value = subject.get(match.group(1))
        return shlex.quote(value) if value else match.group(2)

    return SLOT.sub(replace, template)


def _known_part(match: re.Match[str], subject: Mapping[str, str]) -> str:
    return match.group(1) if all(subject.get(slot) for slot, _words in SLOT.findall(match.group(1))) else ""


def _slots(template: str) -> list[tuple[str, str]]:
    return [(match.group(0), match.group(1)) for match in SLOT.finditer(template)]
