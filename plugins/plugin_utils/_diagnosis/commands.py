# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of a hand-over in the words of the supervisor that runs the backend.

Causes give them for systemd. Under another supervisor those that ask for the backend's own service are translated, or
left out where it has nothing of the kind; all others are the same everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from .observed import fact
from .subjects import fill_command

_OF_SYSTEMD = re.compile(r"\b(?:systemctl|journalctl|systemd-analyze|coredumpctl)\b")
_OWN = "{service"
_CONTROL = "supervisorctl<< -c {supervisor_config}>>"
# What a command for systemd begins with, and what takes its place under supervisord; the first that fits counts.
_SUPERVISOR = (
    ("journalctl -u", f"{_CONTROL} tail -20000 {{service}} stderr"),
    ("systemctl status", f"{_CONTROL} status {{service}}"),
    ("systemctl start", f"{_CONTROL} start {{service}}"),
    ("systemctl restart", f"{_CONTROL} restart {{service}}"),
    ("systemctl cat", "grep -nFA20 '[program:' {definition}"),
    ("systemctl show", "grep -nFA20 '[program:' {definition}"),
)


def commands(templates: Iterable[str], words: Mapping[str, str], evidence: Mapping[str, Any]) -> list[str]:
    """Those commands that can be run as printed, each once, for the runtime that the evidence is from."""
    runtime = fact(evidence, "service.runtime") or fact(evidence, "target.runtime")
    known = fact(evidence, "service.name") is not None
    found: list[str] = []
    for template in templates:
        chosen: str | None = template
        if _OF_SYSTEMD.search(template) and _OWN in template:
            if runtime == "supervisor":
                chosen = next((other for start, other in _SUPERVISOR if template.startswith(start)), None)
            elif not known:
                chosen = None  # from a log alone nobody knows who supervises it, nor under which name
        command = fill_command(chosen, words) if chosen else None
        if command and command not in found:
            found.append(command)
    return found
