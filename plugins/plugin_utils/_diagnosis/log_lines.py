# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A log's text to lines: transport prefixes off, records opened, partial lines joined, numbers kept."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from .log_model import NO_MARK, Line, Mark
from .prefixes import SAMPLE, Cutter, detect
from .records import Record, parse_record
from .text import JSON_LIMIT, LINE_LIMIT, cap, clean, split_lines

Transports = Sequence[tuple[str, Cutter]]

_CONTINUES = frozenset({"syslog", "journal-iso", "journal-full", "journal-seconds", "syslog-5424"})
_TAIL_HEADER = re.compile(r"==> .{1,400} <==$")
_VERBOSE_FIELD = re.compile(r" {4}(?P<key>_?[A-Z][A-Z0-9_]*)=(?P<value>.*)")
_VERBOSE_HEAD = re.compile(r"(?P<time>\S{2,6} \d{4}-\d\d-\d\d \S+ \S+) \[s=[0-9a-f]+;")
_SAMPLE_CHARS = 512 * 1024


def sample_of(text_or_lines: str | Sequence[str]) -> list[str]:
    """The first and last lines of a source, cleaned and capped, for recognising its prefixes."""
    if isinstance(text_or_lines, str):
        head = text_or_lines[:_SAMPLE_CHARS].split("\n", SAMPLE)[:SAMPLE]
        tail = text_or_lines[-_SAMPLE_CHARS:].rsplit("\n", SAMPLE)[1:] if len(text_or_lines) > _SAMPLE_CHARS else []
        chosen = head + tail
    elif len(text_or_lines) <= 2 * SAMPLE:
        chosen = list(text_or_lines)
    else:
        chosen = [*text_or_lines[:SAMPLE], *text_or_lines[-SAMPLE:]]
    return [clean(_capped(line)) for line in chosen]


def read_lines(
    text_or_lines: str | Sequence[str], source: str, first_line: int = 1, transports: Transports | None = None
) -> list[Line]:
    """Read one source, or one segment of it when ``transports`` were recognised on the whole.

    ``first_line`` is the number of the first line given. Blank lines are kept, so that numbers stay dense.
    """
    if transports is None:
        sample = sample_of(text_or_lines)
        if _is_verbose(sample):
            return _read_verbose(split_lines(text_or_lines), source, first_line)
        transports = detect(sample)
    return _read(split_lines(text_or_lines), source, first_line, transports)


def _capped(line: str) -> str:
    if len(line) <= LINE_LIMIT:
        return line
    return line[:JSON_LIMIT] if "{" in line[:300] else cap(line)


class _Marks:
    """Shares marks between lines with the same prefix; most logs repeat theirs for a second or longer."""

    def __init__(self) -> None:
        self._transport = NO_MARK
        self._by_cut: dict[tuple[str, str | None, str | None], Mark] = {}

    def of(self, transport: Mark, record: Record, cut: str) -> Mark:
        """The mark of a record under its transport's mark."""
        if transport is not self._transport or len(self._by_cut) > 500:
            self._transport, self._by_cut = transport, {}
        key = (cut, record.time, record.level)
        mark = self._by_cut.get(key) if cut else None
        if mark is None:
            mark = self._by_cut[key] = Mark(
                prefix=transport.prefix + cut,
                time=record.time or transport.time,
                unit=transport.unit,
                pid=record.pid if record.pid is not None else transport.pid,
                stream=transport.stream,
                level=record.level or transport.level,
                logger=record.logger,
                record=True,
                lane=transport.lane,
            )
        return mark


@dataclass
class _Partial:
    """A line that the transport hands over in parts."""

    number: int
    mark: Mark
    parts: list[str] = field(default_factory=list)
    size: int = 0

    def add(self, text: str) -> None:
        """Take a part, up to what is read of a line."""
        if self.size < JSON_LIMIT:
            self.parts.append(text)
            self.size += len(text)


def _read(physical: Iterable[str], source: str, first_line: int, transports: Transports) -> list[Line]:
    marks = _Marks()
    lines: list[Line] = []
    pending: dict[str, _Partial] = {}
    previous = NO_MARK
    indented = bool(transports) and transports[0][0] in _CONTINUES
    for number, raw in enumerate(physical, first_line):
        text, mark, partial = clean(_capped(raw)), NO_MARK, False
        if transports:
            text, mark, partial = _strip(text, transports)
            if mark is NO_MARK and indented and (width := len(previous.prefix)) and text[:width].isspace():
                # journalctl indents the further lines of one message by the width of the prefix
                text, mark = text[width:], replace(previous, record=False, level=None)
            previous = mark if mark is not NO_MARK else previous
        if partial or (pending and mark.lane in pending):
            begun = pending.setdefault(mark.lane, _Partial(number, mark))
            begun.add(text)
            if partial:
                continue
            del pending[mark.lane]
            _open(lines, source, begun.number, "".join(begun.parts), begun.mark, marks)
            continue
        _open(lines, source, number, text, mark, marks)
    for begun in pending.values():
        _open(lines, source, begun.number, "".join(begun.parts), begun.mark, marks)
    return lines


def _strip(text: str, transports: Transports) -> tuple[str, Mark, bool]:
    """Take the transports' prefixes off; inner layers win over outer ones where both say something."""
    mark, partial = NO_MARK, False
    for _name, cutter in transports:
        cut = cutter(text)
        if cut is None:
            continue
        text, inner = cut.text, cut.mark
        partial = partial or cut.partial
        if mark is NO_MARK:
            mark = inner
        else:
            mark = Mark(
                prefix=mark.prefix + inner.prefix,
                time=inner.time or mark.time,
                unit=inner.unit or mark.unit,
                pid=inner.pid if inner.pid is not None else mark.pid,
                stream=inner.stream or mark.stream,
                level=inner.level or mark.level,
                lane=f"{mark.lane}/{inner.lane}",
            )
    return text, mark, partial


def _open(lines: list[Line], source: str, number: int, text: str, transport: Mark, marks: _Marks) -> None:
    """Append the line, or the lines of the record that it holds."""
    if text.startswith("==> ") and _TAIL_HEADER.match(text):
        text = ""
    if len(text) > LINE_LIMIT and text[0] != "{":
        text = cap(text)
    record = parse_record(text)
    if record is None:
        lines.append(Line(source, number, cap(text), transport))
        return
    mark = marks.of(transport, record, text[: record.cut])
    for part in record.texts:
        lines.append(Line(source, number, cap(part), mark))


def _is_verbose(sample: Sequence[str]) -> bool:
    """``journalctl -o verbose``: one field a line."""
    return any(line.startswith("    MESSAGE=") for line in sample) and any(
        line.startswith("    _PID=") for line in sample
    )


def _read_verbose(physical: Iterable[str], source: str, first_line: int) -> list[Line]:
    marks = _Marks()
    lines: list[Line] = []
    fields: dict[str, str] = {}
    message: list[tuple[int, str]] = []

    def close() -> None:
        pid = fields.get("_PID", "")
        unit = fields.get("SYSLOG_IDENTIFIER") or fields.get("_COMM")
        number_of = int(pid) if pid.isdigit() else None
        mark = Mark(time=fields.get("time"), unit=unit, pid=number_of, lane=f"{unit or ''}[{pid}]")
        for number, text in message:
            _open(lines, source, number, text, mark, marks)

    for number, raw in enumerate(physical, first_line):
        line = clean(_capped(raw))
        head, field = _VERBOSE_HEAD.match(line), _VERBOSE_FIELD.match(line)
        if head:
            close()
            fields, message = {"time": head["time"]}, []
        elif field:
            fields[field["key"]] = field["value"]
            if field["key"] == "MESSAGE":
                message.append((number, field["value"]))
        elif message and line.startswith("    "):
            message.append((number, line.removeprefix("            ")))
    close()
    return lines
