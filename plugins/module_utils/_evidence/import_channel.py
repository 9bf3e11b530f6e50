# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What came through the import probe's channel, sorted into the probe's own words and those of others.

The application runs in the probe's process and can write into its channel. Each message carries a mark of this one run
and its number, so that what somebody else wrote stands out. Who also reads the mark out of the process's memory, and
behaves like the probe to the end, can't be told from it: then the result is what the application says of itself.
"""

from __future__ import annotations

from typing import Any

from .sandbox import Result

MARK, NUMBER = "by", "n"
ONCE = ("start", "final")


def sort_out(result: Result, mark: str) -> tuple[list[str], bool]:
    """Leave the probe's messages in ``result.reports``; say what was wrong, and whether they can be relied on.

    The sentences are empty when the channel carried what it should.
    """
    own = [message for message in result.reports if message.get(MARK) == mark]
    others = len(result.reports) - len(own) + result.stray_lines
    result.reports = own
    complaints = []
    if others:
        lines = "line" if others == 1 else "lines"
        complaints.append(
            f"the code under test wrote {others} {lines} of its own into the channel for results: they were ignored"
        )
    if result.report_cut:
        complaints.append(
            f"the code under test flooded the channel for results, {result.report_cut} bytes were left out"
        )
    broken = _broken(own, result)
    if broken:
        complaints.append(
            f"the code under test spoke in the test's name ({broken}): nothing is concluded from the test"
        )
    return complaints, not broken


def _broken(own: list[dict[str, Any]], result: Result) -> str:
    """A phrase for what the probe itself never does; empty when all is as it should be."""
    numbers = [message.get(NUMBER) for message in own]
    if numbers != list(range(1, len(own) + 1)):
        return "messages came twice, out of order or not at all"
    kinds = [next((name for name in message if name not in (MARK, NUMBER)), "") for message in own]
    if any(kinds.count(name) > 1 for name in ONCE) or ("final" in kinds and kinds[-1] != "final"):
        return "more was said after the last word"
    code = (result.ended or {}).get("code")
    if "final" in kinds and isinstance(code, int) and code != 0:
        return f"the last word was said, and then the process ended with status {code}"
    return ""
