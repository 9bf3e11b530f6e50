# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Very large logs: what is read of them has the right numbers, tells what matters, and stays small."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.catalogue import load_catalogue
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.classify import classify, evidence_from_log
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.diagnosis import digest
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.excerpts import (
    WHOLE,
    cost,
    excerpt,
    excerpted,
)
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.plain import plain

CRASH = """Traceback (most recent call last):
  File "/srv/shop/main.py", line 3, in <module>
    import {module}
ModuleNotFoundError: No module named '{module}'
"""
NOISE = 'INFO:     10.0.0.7:1234 - "GET /items/1 HTTP/1.1" 200 OK\n'


def numbered(text: str) -> dict[int, str]:
    return dict(enumerate(text.split("\n"), 1))


@pytest.mark.parametrize(
    "line", ["x", "", NOISE[:-1], "y" * 9000, "an error occurred", "Traceback (most recent call last):"]
)
def test_lines_keep_their_numbers_and_the_rest_is_counted(line: str) -> None:
    text = CRASH.format(module="first") + (line + "\n") * (2_000_000 // (len(line) + 1)) + CRASH.format(module="last")
    found = excerpt(text)
    lines = numbered(text)
    read = 0
    for piece in found.pieces:
        for number, got in enumerate(piece.lines, piece.first_line):
            if got == "" and number == piece.first_line + len(piece.lines) - 1:
                continue  # what stands for the cut
            assert got == lines[number] or (len(lines[number]) > 8000 and lines[number].startswith(got[:100]))
            read += 1
    assert [piece.first_line for piece in found.pieces] == sorted({piece.first_line for piece in found.pieces})
    assert read + found.omitted == pytest.approx(len(lines), abs=len(found.pieces) + 1)
    assert sum(cost("\n".join(piece.lines)) for piece in found.pieces) <= 1.6 * WHOLE


def test_a_small_log_is_read_whole() -> None:
    text = CRASH.format(module="httpx")
    assert excerpt(text).omitted == 0
    assert [line for piece in excerpt(text).pieces for line in piece.lines] == text.splitlines()
    evidence = evidence_from_log(text)
    assert excerpted(evidence) is evidence


def test_a_crash_in_the_middle_is_found() -> None:
    text = NOISE * 40_000 + CRASH.format(module="httpx") + "nothing more is heard\n" * 40_000
    diagnosis = classify(evidence_from_log(text), load_catalogue())
    assert diagnosis["root_cause"]["subject"]["module"] == "httpx"
    assert {
        entry["file"]: entry["line"] for entry in diagnosis["root_cause"]["evidence"] if entry["kind"] == "log"
    } == {"backend.log": 40_004}
    assert "lines in its middle were searched for errors" in diagnosis["evidence_gaps"][0]


def test_evidence_keeps_who_wrote_a_line() -> None:
    lines = [f"line {number}" for number in range(50_000)] + CRASH.format(module="httpx").splitlines()
    segment: dict[str, Any] = {"first_line": 11, "lines": lines, "pids": list(range(len(lines)))}
    evidence = {"schema": 1, "logs": {"sources": [{"id": "journal", "attempts": [{"pid": 7, "segments": [segment]}]}]}}
    (source,) = excerpted(evidence)["logs"]["sources"]
    (attempt,) = source["attempts"]
    assert source["omitted_lines"] > 30_000 and attempt["pid"] == 7
    for piece in attempt["segments"]:
        for number, (line, pid) in enumerate(zip(piece["lines"], piece["pids"], strict=True), piece["first_line"]):
            assert pid == number - 11
            assert line in ("", lines[pid])
    assert segment["lines"] is lines and len(lines) == 50_004


def test_small_sources_are_left_whole_beside_a_large_one() -> None:
    def source(name: str, count: int) -> dict[str, Any]:
        return {"id": name, "attempts": [{"segments": [{"first_line": 1, "lines": [NOISE.strip()] * count}]}]}

    small, large = excerpted({"logs": {"sources": [source("small", 100), source("large", 100_000)]}})["logs"]["sources"]
    assert len(small["attempts"][0]["segments"][0]["lines"]) == 100 and "omitted_lines" not in small
    assert large["omitted_lines"] > 50_000


@pytest.mark.parametrize(
    "sources", [None, "x", [], [None], [{"attempts": [None, {"segments": [3, {"lines": 5}]}]}]], ids=str
)
def test_other_shapes_pass(sources: Any) -> None:
    evidence = {"logs": {"sources": sources}}
    assert excerpted(evidence) is evidence


def test_the_digest_is_that_of_the_whole_evidence_as_canonical_json() -> None:
    evidence = {"b": [1, None, True, {"x": "ä🚀"}], "a": {"lines": ["z"] * 2500, "n": 1.5}, "c": [], "d": "\ud800"}
    text = json.dumps(evidence, sort_keys=True, separators=(",", ":"))
    assert digest(evidence) == "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    one, other = (evidence_from_log(NOISE * 9000 + word + NOISE * 90_000) for word in ("a\n", "b\n"))
    assert digest(one) != digest(other)


class Tagged(str):
    """A text with something on it, as templating hands them out."""


def test_plain_data_has_exact_types() -> None:
    given = {Tagged("a"): [Tagged("x"), 1, 2.5, True, None], "t": (1, ["y"]), 3: {}}
    found = plain(given)
    assert found == {"a": ["x", 1, 2.5, True, None], "t": [1, ["y"]], "3": {}}
    assert [type(key) for key in found] == [str, str, str] and type(found["a"][0]) is str
    with pytest.raises(TypeError, match="set"):
        plain({"a": {1, 2}})
