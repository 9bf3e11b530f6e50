# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence from the past: that of a bundle, or a bare log file in the shape of evidence.

A bundle was redacted on its host; a bare log is redacted here, before anything else sees it.
"""

from __future__ import annotations

import json
import os
import stat
from typing import Any

from ...module_utils._evidence.redaction import Redactor

# Of a bare log the end is read: that is where the reason of the last stop is.
LOG_LIMIT = 8 * 1024 * 1024
EVIDENCE_LIMIT = 64 * 1024 * 1024
# A bundle is three levels deep; whoever names / by mistake shouldn't wait for a search of the whole disk.
_MOST_LEVELS = 4


class SavedError(ValueError):
    """There is nothing to classify; the message says what was looked for and what to give instead."""


def saved(path: str) -> list[dict[str, Any]]:
    """The documents under ``path``, each as ``{"label": host, "evidence": document}``, in the order of their paths.

    :param path: a bundle or a directory inside of one, an ``evidence.json``, or a log file.
    :raises SavedError: there is none, or what is there can't be read.
    """
    if os.path.isdir(path):
        found = _evidence_files(path)
        if not found:
            raise SavedError(f"{path} holds no evidence.json: give a bundle, an evidence.json or a log file")
        return [_document(name) for name in found]
    return [_document(path) if path.endswith(".json") else {"label": "log", "evidence": log_evidence(path)}]


def log_evidence(path: str) -> dict[str, Any]:
    """A log alone as evidence, without its secrets; how it is cut into runs of the backend is left to the classifier.

    :raises SavedError: it can't be read, or isn't a regular file.
    """
    raw, size = _read(path, LOG_LIMIT, tail=True)
    lines = raw.decode("utf-8", errors="replace").split("\n")
    if lines[-1] == "":
        lines.pop()
    # No exact values are known, so the shapes of secrets have to do; the salt makes equal ones recognizable in this run.
    redactor = Redactor({}, os.urandom(16))
    lines = redactor.lines(lines)
    attempt: dict[str, Any] = {"segments": [{"first_line": 1, "lines": lines}]}
    if size > len(raw):
        # The first line was cut in two, and nobody counted those before it.
        attempt = {"numbering": "window", "segments": [{"first_line": 1, "lines": lines[1:]}]}
    name = os.path.basename(path)
    return {
        "schema": 1,
        "target": {"service": name, "selected_because": "It was given as a log file."},
        "service": {"unavailable": "There is only a log, so nobody asked the supervisor."},
        "logs": {
            "sources": [
                {
                    "id": "log",
                    "kind": "file",
                    "path": path,
                    "size_bytes": size,
                    "truncated": size > len(raw),
                    "attempts": [attempt],
                }
            ]
        },
        "redactions": {
            "total": sum(redactor.counts.values()),
            "by_rule": dict(redactor.counts),
            "by_section": {"logs": dict(redactor.counts)} if redactor.counts else {},
        },
    }


def _evidence_files(top: str) -> list[str]:
    found = []
    depth = top.rstrip("/").count("/")
    for directory, below, names in os.walk(top):
        below.sort()
        if directory.count("/") - depth >= _MOST_LEVELS:
            below.clear()
        if "evidence.json" in names:
            found.append(os.path.join(directory, "evidence.json"))
    return sorted(found)


def _document(path: str) -> dict[str, Any]:
    raw, size = _read(path, EVIDENCE_LIMIT)
    if size > len(raw):
        raise SavedError(f"{path} has {size} bytes; evidence of more than {EVIDENCE_LIMIT} is not read")
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as exc:
        raise SavedError(f"{path} is no JSON document ({exc})") from exc
    if not isinstance(document, dict) or "schema" not in document:
        raise SavedError(f"{path} is no evidence: it has no schema")
    # <bundle>/<host>/<service>/evidence.json
    label = os.path.basename(os.path.dirname(os.path.dirname(os.path.abspath(path))))
    return {"label": label or "saved", "evidence": document}


def _read(path: str, limit: int, tail: bool = False) -> tuple[bytes, int]:
    """The first or last ``limit`` bytes of a regular file, and its size; a FIFO or device is refused, not waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        raise SavedError(f"{path} can't be read ({exc.strerror})") from exc
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise SavedError(f"{path} is neither a directory nor a regular file")
        if tail and status.st_size > limit:
            stream.seek(status.st_size - limit)
        return stream.read(limit), status.st_size
