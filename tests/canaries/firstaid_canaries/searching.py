# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking for planted secrets in everything that came out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .planting import SURVIVORS, Canary
from .secrets import PIECE, encodings, secret


@dataclass(frozen=True)
class Found:
    """A piece of a secret in an output."""

    canary: Canary
    output: str
    encoding: str
    piece: str
    around: str


@dataclass
class Search:
    """Knows every piece of every secret; ``looked_at`` are the outputs and their sizes in characters."""

    planted: list[Canary]
    looked_at: dict[str, int] = field(default_factory=dict)
    found: list[Found] = field(default_factory=list)
    _pieces: dict[str, tuple[Canary, str]] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        common: dict[str, set[str]] = {}
        for canary in self.planted:
            if canary.kind not in common:
                # What all secrets of a kind share gives none of them away.
                common[canary.kind] = set(_windows(secret(canary.kind, "one"))) & set(
                    _windows(secret(canary.kind, "another"))
                )
            for encoding, text in encodings(canary.value).items():
                for piece in _windows(text):
                    if piece not in common[canary.kind]:
                        self._pieces.setdefault(piece, (canary, encoding))
        for kind, shared in common.items():
            del kind
            for piece in shared:
                self._pieces.pop(piece, None)

    def text(self, output: str, text: str) -> None:
        """Look at one output."""
        self.looked_at[output] = self.looked_at.get(output, 0) + len(text)
        for line in text.split("\n"):
            if line in self._seen:
                continue
            hits = self._line(line)
            if not hits:
                self._seen.add(line)
            for at, piece in hits:
                canary, encoding = self._pieces[piece]
                around = line[max(0, at - 60) : at + 60]
                self.found.append(Found(canary, output, encoding, piece, around))

    def _line(self, line: str) -> list[tuple[int, str]]:
        """The first piece of each secret in a line."""
        hits = []
        done = set()
        for at in range(len(line) - PIECE + 1):
            piece = line[at : at + PIECE]
            known = self._pieces.get(piece)
            if known is not None and known[0] not in done:
                done.add(known[0])
                hits.append((at, piece))
        return hits

    def directory(self, output: str, top: Path, leave_out: Iterable[str] = ()) -> None:
        """Look at all files below a directory, names included."""
        left_out = set(leave_out)
        for path in sorted(top.rglob("*")):
            name = str(path.relative_to(top))
            self.text(f"{output} (names)", name)
            if path.is_file() and not path.is_symlink() and name not in left_out:
                self.text(output, path.read_text(encoding="utf-8", errors="replace"))

    def secrets_found(self) -> set[str]:
        return {one.canary.value for one in self.found}


def _windows(text: str) -> Iterator[str]:
    for start in range(len(text) - PIECE + 1):
        yield text[start : start + PIECE]


def damaged_survivors(evidence: Iterable[dict[str, Any]]) -> list[str]:
    """Signature lines that no evidence has byte for byte."""
    lines: set[str] = set()

    def gather(data: Any) -> None:
        if isinstance(data, str):
            lines.update(data.split("\n"))
        elif isinstance(data, dict):
            for item in data.values():
                gather(item)
        elif isinstance(data, list):
            for item in data:
                gather(item)

    for document in evidence:
        gather(document.get("logs", {}))
    return [line for line in SURVIVORS if line not in lines]


def evidence_of(bundles: Path) -> list[dict[str, Any]]:
    """Every evidence document below a directory."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(bundles.rglob("evidence.json"))]
