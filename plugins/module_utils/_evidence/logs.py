# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``logs`` section: the unit's journal and the backend's log files, cut per restart and capped."""

from __future__ import annotations

from typing import Any, Optional

from . import journal
from .context import KIB, Context
from .logs_files import TAIL_BYTES, TINY_BYTES, Tail, read_tail, rotated
from .logs_text import HEAD_LINES, Cut, cut_attempts, decode, looks_binary, pack, split_lines
from .model import Backend, LogRef, Section
from .proc import iso
from .reach import Reader

MAX_SOURCES = 12
TOTAL_BYTES = 1024 * KIB


def collect(backend: Backend, ctx: Context) -> Section:
    """Read every log source within its own cap and one for all.

    Parameters used: ``log_lines`` (journal entries, default 1500) and ``log_bytes`` (of each source, default 256 KiB).
    """
    per_source = _positive(ctx.params.get("log_bytes"), TAIL_BYTES)
    sources: list[dict[str, Any]] = []
    if backend.runtime == "systemd":
        sources.append(_journal_source(backend, ctx, per_source))
    references, left_out = _references(backend)
    budget = TOTAL_BYTES - sum(_weight(source) for source in sources)
    for position, reference in enumerate(references):
        share = max(8 * KIB, min(per_source, budget // (len(references) - position)))
        for source in _file_sources(reference, ctx.reader, share):
            budget -= _weight(source)
            sources.append(source)
    section: Section = {"sources": sources}
    if any(source["truncated"] for source in sources):
        section["_truncated"] = True
    faults = [source["error"] for source in sources if source["error"] and source["exists"]]
    if left_out:
        faults.append(f"{left_out} further log files were not read")
    if faults:
        section["_partial"] = "; ".join(faults)
    return section


def _references(backend: Backend) -> tuple[list[LogRef], int]:
    """The log files to read, each path once, and how many are beyond the limit."""
    unique: dict[str, LogRef] = {}
    for reference in backend.log_files:
        if reference.path.startswith("/"):
            unique.setdefault(reference.path, reference)
    chosen = list(unique.values())
    return chosen[:MAX_SOURCES], max(0, len(chosen) - MAX_SOURCES)


def _journal_source(backend: Backend, ctx: Context, budget: int) -> dict[str, Any]:
    unit = backend.name if "." in backend.name else f"{backend.name}.service"
    wanted = _positive(ctx.params.get("log_lines"), journal.DEFAULT_LINES)
    entries, error, cut_short = journal.query(ctx, unit, wanted)
    cuts = journal.to_cuts(entries)
    full_window = cut_short or len(entries) >= wanted
    if full_window and cuts and len(cuts) <= 2 and cuts[-1].invocation:
        # So talkative a run that its beginning lies before the window: fetch the beginning by itself.
        journal.prepend(cuts[-1], journal.query_head(ctx, unit, cuts[-1].invocation), HEAD_LINES)
    source = _source("journal", "journal", "journal", None, f"journalctl --unit={unit}")
    source["exists"] = bool(entries) or error is None
    if not entries and not error and ctx.euid != 0:
        # journalctl leaves out without a word what is not for this user: silence would be no finding.
        error = "the journal shows this user nothing of the backend: run with become"
    source["error"] = error
    source["attempts"], source["attempts_omitted"], shortened = pack(cuts, budget)
    source["truncated"] = full_window or shortened
    source["modified"] = iso(entries[-1].time) if entries else None
    return source


def _file_sources(reference: LogRef, reader: Reader, budget: int) -> list[dict[str, Any]]:
    """The source of one log file; before it its last rotation, when the file itself has hardly begun."""
    tail = read_tail(reference.path, reader, budget)
    older: list[dict[str, Any]] = []
    if (tail.size is not None and tail.size < TINY_BYTES) or not tail.exists:
        path = rotated(reference.path)
        if path:
            origin = f"rotation of {reference.path}"
            older = [_file_source(read_tail(path, reader, budget // 2), reference.stream, origin, budget // 2)]
    return [*older, _file_source(tail, reference.stream, reference.origin, budget)]


def _file_source(tail: Tail, stream: str, origin: str, budget: int) -> dict[str, Any]:
    source = _source(f"file:{tail.path}", "file", stream, tail.path, origin)
    source.update(size_bytes=tail.size, exists=tail.exists, error=tail.error, modified=iso(tail.modified))
    source["truncated"] = tail.truncated
    if tail.error or not tail.raw:
        return source
    if looks_binary(tail.raw):
        source.update(binary=True, error=f"{tail.path} is not text: its {tail.size} bytes are not shown")
        return source
    lines = split_lines(decode(tail.raw))
    if tail.first_line is None:
        source["numbering"] = "window"
    cuts: list[Cut] = cut_attempts(lines, tail.first_line or 1)
    source["attempts"], source["attempts_omitted"], shortened = pack(cuts, budget)
    source["truncated"] = tail.truncated or shortened
    return source


def _source(ident: str, kind: str, stream: str, path: Optional[str], origin: str) -> dict[str, Any]:
    return {
        "id": ident,
        "kind": kind,
        "stream": stream,
        "path": path,
        "origin": origin,
        "size_bytes": None,
        "exists": False,
        "error": None,
        "binary": False,
        "truncated": False,
        "modified": None,
        "numbering": "file" if kind == "file" else "window",
        "attempts": [],
        "attempts_omitted": 0,
    }


def _weight(source: dict[str, Any]) -> int:
    """Bytes of text that a source takes of the common budget."""
    return sum(
        len(line) + 1 for attempt in source["attempts"] for segment in attempt["segments"] for line in segment["lines"]
    )


def _positive(value: Any, default: int) -> int:
    return value if isinstance(value, int) and value > 0 else default
