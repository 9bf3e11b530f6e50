# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples that cause files carry, and what the classifier answers to each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .catalogue import Catalogue, CatalogueError, cause_files, load_catalogue, load_cause, load_examples
from .classify import EvidenceError, classify, evidence_from_log

KINDS = ("hit", "miss", "look_alike")
_KEYS = {"name", "expect", "log", "evidence", "is"}


def evidence_of(example: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of an example, with its log."""
    return {**evidence_from_log(example.get("log", "")), **example.get("evidence", {})}


def run(paths: Iterable[str | Path]) -> list[dict[str, Any]]:
    """Classify the examples of further cause files with the whole catalogue.

    :param paths: cause files or directories of them.
    :returns: for each example ``file``, ``cause``, ``name``, ``expect``, ``answer``, ``confidence`` and ``wrong``, a sentence or
        None; and one more entry for each file without a kind of example, whose ``name`` is None.
    :raises CatalogueError: a file is no cause or an example has a wrong shape; names the file and the line.
    """
    listed = list(paths)
    catalogue = load_catalogue(listed)
    results = []
    for file in [file for path in listed for file in cause_files(path)]:
        cause = load_cause(file).id
        examples = [_checked(example, number, file) for number, example in enumerate(load_examples(file), 1)]
        results += [_result(example, cause, file, catalogue) for example in examples]
        missing = [kind for kind in KINDS if kind not in {example["expect"] for example in examples}]
        if missing:
            wrong = f"it has no example of the kind {' or '.join(missing)}"
            results.append(_entry(file, cause, {"name": None, "expect": None}, None, None, wrong))
    return results


def _result(example: Mapping[str, Any], cause: str, file: Path, catalogue: Catalogue) -> dict[str, Any]:
    try:
        root = classify(evidence_of(example), catalogue)["root_cause"]
    except EvidenceError as exc:
        raise CatalogueError(f"{file}: example {example['name']!r}: {exc}") from exc
    answer, wrong = root["id"], None
    expected = cause if example["expect"] == "hit" else example.get("is")
    if expected and answer != expected:
        wrong = f"the answer is {answer}, not {expected}"
    elif example["expect"] != "hit" and answer == cause:
        wrong = f"the answer is {cause}, which it must not be"
    return _entry(file, cause, example, answer, root["confidence"], wrong)


def _entry(
    file: Path, cause: str, example: Mapping[str, Any], answer: str | None, confidence: float | None, wrong: str | None
) -> dict[str, Any]:
    return {
        "file": str(file),
        "cause": cause,
        "name": example["name"],
        "expect": example["expect"],
        "answer": answer,
        "confidence": confidence,
        "wrong": wrong,
    }


def _checked(example: Any, number: int, file: Path) -> dict[str, Any]:
    """An example in its shape.

    :raises CatalogueError: it isn't.
    """
    where = f"{file}: 'examples', number {number}"
    if not isinstance(example, dict):
        raise CatalogueError(f"{where}: a mapping with {', '.join(sorted(_KEYS))}")
    unknown = sorted(set(example) - _KEYS)
    if unknown:
        raise CatalogueError(f"{where}: unknown key {unknown[0]!r}; known are {', '.join(sorted(_KEYS))}")
    if not isinstance(example.get("name"), str) or example.get("expect") not in KINDS:
        raise CatalogueError(f"{where}: it needs 'name', a text, and 'expect', one of {', '.join(KINDS)}")
    if not isinstance(example.get("log", ""), str) or not isinstance(example.get("evidence", {}), dict):
        raise CatalogueError(f"{where}: 'log' is a text and 'evidence' a mapping")
    if not example.get("log") and not example.get("evidence"):
        raise CatalogueError(f"{where}: it has neither 'log' nor 'evidence', so there is nothing to classify")
    return example
