# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparing a bundle with what the catalogue expects of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .catalogue import Fault

SUMMARY = "00-SUMMARY.txt"


@dataclass
class Result:
    """What came out for one fault; `wrong` is a wrong first answer, `complaints` is everything else that isn't as it should be."""

    fault: str
    answer: str = "none"
    confidence: float = 0.0
    state: str = ""
    right: bool = False
    forbidden: bool = False
    second: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


def check_named(bundle: Path, fault: Fault, host: str) -> Result:
    """Judge the answer about a fault whose service was named."""
    result = Result(fault.name)
    folder = bundle / host / fault.service
    if not folder.is_dir():
        folder = bundle / host / fault.unit_name
    try:
        diagnosis = json.loads((folder / "diagnosis.json").read_text())
        summary = (folder / SUMMARY).read_text()
    except (OSError, ValueError) as error:
        result.complaints.append(f"no answer: {error}")
        return result
    root = diagnosis.get("root_cause") or {}
    expect = fault.expect
    result.answer = str(root.get("id", "none"))
    result.confidence = float(root.get("confidence") or 0.0)
    result.state = str(diagnosis.get("state"))
    result.second = [_id(entry) for entry in diagnosis.get("contributing", [])]
    result.right = expect.right(result.answer)
    result.forbidden = result.answer in expect.forbidden
    if expect.state and result.state not in expect.state:
        result.complaints.append(f"state {result.state}, not {' or '.join(expect.state)}")
    if result.right:
        result.complaints += _about_root(root, summary, fault, result)
    result.complaints += [
        f"the secret {secret} is in {path}" for secret in fault.canaries for path in _leaks(folder, secret)
    ]
    return result


def check_discovery(bundle: Path, host: str, faults: list[Fault]) -> list[str]:
    """Judge which services were found sick without being named; returns complaints."""
    folder = bundle / host
    found = (
        {path.name.removesuffix(".service") for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else set()
    )
    verdict = {True: "was not found", False: "is not sick, but was found"}
    return [
        f"{fault.name}: {fault.service} {verdict[fault.expect.discovered]}"
        for fault in faults
        if fault.expect.discovered not in (None, fault.service in found)
    ]


def _about_root(root: dict[str, Any], summary: str, fault: Fault, result: Result) -> list[str]:
    expect = fault.expect
    complaints = []
    said = json.dumps([root.get("subject"), root.get("explanation"), root.get("evidence")], ensure_ascii=False)
    if expect.subject and expect.subject.lower() not in said.lower():
        complaints.append(f"{expect.subject} is not named")
    if result.answer == expect.root and not expect.confidence.get(
        "min", 0.0
    ) <= result.confidence <= expect.confidence.get("max", 1.0):
        complaints.append(f"confidence {result.confidence:.2f}, wanted {expect.confidence}")
    if not root.get("evidence") and fault.expect.root != "healthy":
        complaints.append("no evidence is cited")
    complaints += [
        f"the summary does not mention {word}" for word in expect.mentions if word.lower() not in summary.lower()
    ]
    return complaints


def _leaks(folder: Path, secret: str) -> list[str]:
    return [path.name for path in sorted(folder.rglob("*")) if path.is_file() and secret.encode() in path.read_bytes()]


def _id(entry: Any) -> str:
    return str(entry.get("id")) if isinstance(entry, dict) else str(entry)
