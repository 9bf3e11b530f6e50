# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``systemd-analyze verify`` finds wrong with a unit, for ``unit.problems``."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

from .context import KIB, Context
from .model import Backend, Section, Unavailable

VERIFY_SECONDS = 4.0
# Old versions colour their messages even into a pipe.
PLAIN = {"SYSTEMD_COLORS": "0", "SYSTEMD_LOG_COLOR": "0", "SYSTEMD_LOG_LOCATION": "0"}
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_LINE = re.compile(r"^(?P<file>/[^:]+):(?P<line>\d+): (?P<text>.+)$")


def collect(backend: Backend, ctx: Context) -> Section:
    """What ``systemd-analyze verify`` says about the unit's own files; merged into ``unit.problems``.

    :raises Unavailable: the tool is missing or did not finish.
    """
    path = next((item["path"] for item in backend.unit.get("files", []) if item["kind"] == "fragment"), None)
    if backend.runtime != "systemd" or path in (None, "/dev/null"):
        return {"problems": []}
    target = os.path.join(os.path.dirname(path), backend.name)
    result = ctx.run(["systemd-analyze", "verify", "--man=no", target], VERIFY_SECONDS, 256 * KIB, PLAIN)
    if result.exit_status is None or result.timed_out:
        raise Unavailable(f"the unit was not verified: {result.error}")
    return {"problems": parse_verify(result.stderr, [item["path"] for item in backend.unit["files"]], backend.name)}


def parse_verify(text: str, paths: Sequence[str], name: str) -> list[dict[str, Any]]:
    """Lines that speak of this unit; those about units that it merely pulls in are left out."""
    problems: list[dict[str, Any]] = []
    for line in _COLOUR.sub("", text).splitlines():
        match = _LINE.match(line)
        if match and match.group("file") in paths:
            problems.append(
                {"file": match.group("file"), "line": int(match.group("line")), "text": match.group("text")}
            )
        elif line.startswith(f"{name}:"):
            problems.append({"file": None, "line": None, "text": line[len(name) + 1 :].strip()})
    return problems
