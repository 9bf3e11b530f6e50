# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judging repairs: what the tool says against what the catalogue expects and what the host shows."""

from __future__ import annotations

import re
import statistics
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .catalogue import Fault, fill_in
from .snapshot import _seconds as seconds

STAYS = ("healed", "progress", "unverified")


@dataclass
class Repaired:
    """What became of one fault; `wrongly` is a repair that stayed though none should, or another one than the right one."""

    fault: str
    host: str
    expected: str
    verdict: str = "none"
    cause: str = "none"
    diagnosed_right: bool = False
    fixes: list[str] = field(default_factory=list)
    healthy: bool = False
    wrongly: bool = False
    to_healthy_s: float | None = None
    restart_delay_s: float = 0.0
    complaints: list[str] = field(default_factory=list)

    @property
    def right(self) -> bool:
        """Whether everything about it is as it should be."""
        return not self.complaints and not self.wrongly and self.verdict == self.expected


def judge(
    fault: Fault, host: str, short: str, answer: dict[str, Any] | None, look: dict[str, Any], handover: str
) -> Repaired:
    """Judge one fault after its repair. `look` is what remote_look.py saw of its unit."""
    repair = fault.repair
    if repair is None:
        raise ValueError(f"{fault.name} has no repair")
    result = Repaired(fault.name, host, repair.expected, restart_delay_s=seconds(look["restart_delay"]))
    sick = unhealthy(fault, look)
    result.healthy = not sick
    if not answer:
        result.complaints.append("no verdict was written")
        return result
    result.verdict = str(answer.get("verdict"))
    result.cause = str(answer.get("cause"))
    result.diagnosed_right = fault.expect.right(result.cause)
    rounds = [one for one in answer.get("rounds") or [] if isinstance(one, dict)]
    stayed = [str(one.get("fix")) for one in rounds if one.get("outcome") in STAYS]
    result.fixes = stayed
    if not result.diagnosed_right:
        result.complaints.append(f"diagnosed as {result.cause}, not {fault.expect.root}")
    if result.verdict != repair.expected:
        result.complaints.append(f"verdict {result.verdict}, not {repair.expected}: {answer.get('reason')}")
    # A repair is wrong when it stays on a host that it does not mend, or when the mended fault was another one.
    result.wrongly = bool(stayed) and (repair.expected != "healed" or bool(sick) or not set(stayed) <= set(repair.fix))
    if result.wrongly:
        result.complaints.append(f"wrongly fixed: {', '.join(stayed)} stayed")
    if repair.runs:
        result.complaints += sick
    elif result.verdict == "healed" and sick:
        result.complaints += [f"called healed, but {sentence}" for sentence in sick]
    if repair.expected == "healed" and tuple(dict.fromkeys(stayed)) != tuple(dict.fromkeys(repair.fix)):
        result.complaints.append(f"fixed by {', '.join(stayed) or 'nothing'}, not by {', '.join(repair.fix)}")
    if repair.expected == "healed":
        result.complaints += becomes(fault, short, look)
    else:
        result.complaints += told(fault, handover)
    return result


def unhealthy(fault: Fault, look: dict[str, Any]) -> list[str]:
    """Say what the host shows that a healthy backend would not."""
    found = []
    if look["state"] != "active":
        found.append(f"its unit is {look['state']} ({look['sub']})")
    elif not look["stood"]:
        found.append("its main process did not stay the same one")
    if look["needs_reload"]:
        found.append("systemd has not read its changed unit yet")
    wanted = fault.repair.answers if fault.repair else None
    if wanted and not look["owns_port"]:
        found.append(f"port {wanted.port} is not its own")
    if wanted:
        status, body = look["answer"] or [0, "not asked"]
        if status != wanted.status or wanted.body not in body:
            found.append(f"{wanted.path} answers {status} {body[:120]!r}, not {wanted.status} {wanted.body!r}")
    return found


def becomes(fault: Fault, short: str, look: dict[str, Any]) -> list[str]:
    """Say which paths don't hold what the repair should have left in them."""
    expected = fault.repair.becomes if fault.repair else {}
    return [
        f"{path} does not hold {text!r}"
        for path, text in ((fill_in(path, short), fill_in(text, short)) for path, text in expected.items())
        if (look["texts"].get(path) != text if text.startswith("-> ") else text not in look["texts"].get(path, ""))
    ]


def told(fault: Fault, handover: str) -> list[str]:
    """Say what the hand-over leaves out."""
    if not handover:
        return ["no HANDOVER.md was written"]
    words = fault.repair.told if fault.repair else ()
    return [f"HANDOVER.md does not name {word}" for word in words if word.lower() not in handover.lower()]


def previewed(fault: Fault, short: str, text: str) -> list[str]:
    """Say whether the preview of a fault that is going to be healed leaves out what would be changed."""
    repair = fault.repair
    if repair is None or repair.expected != "healed":
        return []
    places = [re.split(r"[*?\[]", fill_in(path, short))[0].rstrip("/") for path in repair.may_change]
    if not places or any(place in text for place in places):
        return []
    return ["the preview does not name what would be changed"]


def to_healthy_s(first_look: str, active_since: str) -> float | None:
    """Return the seconds from the first look at a backend to the start that lasted; hosts and controller share one clock."""
    try:
        looked = datetime.fromisoformat(first_look)
        started = datetime.strptime(f"{active_since} +0000", "%a %Y-%m-%d %H:%M:%S UTC %z")
    except ValueError:
        return None
    return round(max((started - looked).total_seconds(), 0.0), 1)


def figures(results: list[Repaired], collateral: list[str]) -> dict[str, Any]:
    """Return the figures of the proof."""
    healed = [result for result in results if result.expected == "healed" and result.right]
    times = [result.to_healthy_s for result in healed if result.to_healthy_s is not None]
    delays = [result.restart_delay_s for result in healed if result.to_healthy_s is not None]
    return {
        "planted": len(results),
        "diagnosed_right": sum(result.diagnosed_right for result in results),
        "to_be_healed": sum(result.expected == "healed" for result in results),
        "healed": len(healed),
        "rolled_back": sum(result.expected == "rolled_back" and result.right for result in results),
        "handed_over": sum(result.expected == "handed_over" and result.right for result in results),
        "wrong": sum(not result.right for result in results),
        "wrongly_fixed": sum(result.wrongly for result in results),
        "collateral_changes": len(collateral),
        "median_s_to_healthy": round(statistics.median(times), 1) if times else None,
        "median_s_restart_delay": round(statistics.median(delays), 1) if delays else None,
    }
