# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an application's own logging puts around a message: times, levels, logger names, JSON and logfmt records."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from .text import JSON_LIMIT, printable

_LEVEL_NAMES = {
    "WARN": "WARNING", "ERR": "ERROR", "ERRO": "ERROR", "EXCEPTION": "ERROR", "SEVERE": "ERROR", "CRIT": "CRITICAL",
    "FATAL": "CRITICAL", "PANIC": "CRITICAL", "NOTICE": "INFO", "SUCCESS": "INFO", "TRACE": "DEBUG", "DEBG": "DEBUG",
}  # fmt: skip
_LEVEL_NAMES.update({name: name for name in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")})
_NUMERIC_LEVELS = {10: "DEBUG", 20: "INFO", 30: "WARNING", 40: "ERROR", 50: "CRITICAL", 60: "CRITICAL"}
_LEVEL = (
    r"(?:DEBUG|DEBG|INFO|NOTICE|WARNING|WARN|ERROR|ERR|CRITICAL|CRIT|FATAL|TRACE|SUCCESS"
    r"|debug|info|notice|warning|warn|error|exception|critical|fatal)"
)
_TIME = (
    r"(?:\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?Z| ?[+-]\d\d:?\d\d| UTC)?"
    r"|\d\d/(?:\d\d|[A-Z][a-z]{2})/\d{2,4}[: ]\d\d:\d\d:\d\d(?: [+-]\d{4})?"
    r"|[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}"
    r"|\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?=[\] |]))"
)

_LED_BY_TIME = re.compile(rf"\[?(?P<time>{_TIME})(?P<close>\]|:)?[ \t]*")
_CELERY = re.compile(rf"(?P<level>{_LEVEL})/(?P<process>[^\]\s]{{1,60}})\] ?")
_LED_BY_LEVEL = re.compile(
    r"(?P<level>DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL|TRACE)"
    r"(?::(?P<logger>[\w.$-]{1,100}):|:(?= |$)|(?= *\[[\w.]+\] )|(?= +(?:- |\| )?\S))"
)
_BRACKETED_LEVEL = re.compile(rf"\[(?P<level>{_LEVEL})\s*\] ?")
_LEVEL_TOKEN = re.compile(rf"[\[(]?(?P<level>{_LEVEL})\s*(?:[\])]|(?=[\s:|\-,]|$))")
_PID_TOKEN = re.compile(
    r"(?:\[(?:(?:pid|PID)[: ])?(?P<pid>\d{1,10})\]|\[[\w-]*:?(?:MainThread|Thread-\d+|MainProcess)\])"
)
_OTHER_TOKEN = re.compile(r"\[[^\[\]]{1,100}\](?= ?\[)")
_LOGGER_BEFORE_LEVEL = re.compile(rf"\[?(?P<logger>[\w.$-]{{1,100}})\]?(?=[ \t|:-]{{1,20}}\[?{_LEVEL}\b)")
_LOGGER_AFTER_LEVEL = re.compile(
    r"(?:in )?(?:\[(?P<bracketed>[A-Za-z_][\w.]{1,100})\]:? |(?P<dotted>[A-Za-z_]\w*\.[\w.$]{1,100}):(?: |$)"
    r"|(?P<root>root|__main__|app|uvicorn|gunicorn|celery|django): |(?P<spaced>[\w.$<>-]{1,100}(?::[\w.<>-]{1,80})*)(?: - | \| ))"
)
_TAIL = re.compile(r" ?(?:[:|-] )?")
_PADDING = re.compile(r" {1,9}(?=\S)")
_SEPARATOR = re.compile(r"[ \t]*(?:[|:\u2013-](?=\s))?[ \t]*")
_LOGFMT = re.compile(r'(?P<key>[A-Za-z_][\w.@-]{0,60})=(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>\S*))(?:\s+|$)')
_JSON_FIELD = re.compile(
    r'[{,]\s{0,8}"(?P<key>[\w.@-]{1,60})"\s{0,8}:\s{0,8}(?:"(?P<text>(?:[^"\\]|\\.)*)|(?P<number>\d{1,15}\b))',
    re.DOTALL,
)
_JSON_FRAME = re.compile(
    r'"filename": ?"(?P<file>[^"]{1,1000})", ?"lineno": ?(?P<line>\d{1,9}), ?"name": ?"(?P<name>[^"]{1,300})"'
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "", "f": ""}
_ERROR_NAME = re.compile(r"(?:Error|Exception|Warning|Exit|Interrupt)$")

_MESSAGE_KEYS = ("message", "msg", "event", "MESSAGE", "textPayload", "short_message", "log", "body", "text")
_TRACE_KEYS = (
    "exc_info", "exception", "traceback", "exc_text", "stack_trace", "stacktrace", "error.stack_trace", "error.stack",
    "full_message", "exc", "error", "err", "stack_info", "stack",
)  # fmt: skip
_TIME_KEYS = ("time", "timestamp", "@timestamp", "asctime", "ts", "datetime", "eventTime")
_LEVEL_KEYS = ("level", "levelname", "severity", "log.level", "lvl", "log_level", "loglevel")
_LOGGER_KEYS = ("logger", "name", "logger_name", "log.logger", "module")
_PID_KEYS = ("pid", "process", "process.pid", "process_id")


class Record(NamedTuple):
    """One parsed record: the texts of the message (usually one), and what the logger said about them.

    ``cut`` is how many characters of the line the prefix took, 0 for a structured record.
    """

    texts: tuple[str, ...]
    cut: int = 0
    time: str | None = None
    level: str | None = None
    logger: str | None = None
    pid: int | None = None


def level_name(value: object) -> str | None:
    """The canonical name of a level given as word or number."""
    if isinstance(value, str) and value in _LEVEL_NAMES:
        return _LEVEL_NAMES[value]
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return _NUMERIC_LEVELS.get(value)
    word = str(value).strip().upper()
    return _LEVEL_NAMES.get(word, word) if word and word.isalpha() and len(word) < 12 else None


def parse_record(line: str) -> Record | None:
    """Take the logging prefix or structure off a line; ``None`` when it is plain text."""
    if not line:
        return None
    head = line[0]
    if head == "{":
        return _from_json(line)
    if head == "[" or head.isdigit():
        return _led_by_time(line) or _led_by_bracketed_level(line)
    if head in "DIWECT":
        return _led_by_level(line) or _led_by_weekday(line)
    if head in "SMF":
        return _led_by_weekday(line)
    if "=" in line[:40] and ("msg=" in line or "event=" in line or "message=" in line):
        return _from_logfmt(line)
    return None


def _led_by_bracketed_level(line: str) -> Record | None:
    found = _BRACKETED_LEVEL.match(line)
    if found is None:
        return None
    return _rest(line, found.end(), None, level_name(found["level"]), None, None)


def _led_by_weekday(line: str) -> Record | None:
    return _led_by_time(line) if len(line) > 24 and line[3] == " " and line[13:14] == ":" else None


def _led_by_level(line: str) -> Record | None:
    found = _LED_BY_LEVEL.match(line)
    if found is None:
        return None
    level, end = found["level"], found.end()
    if line[end - 1] == ":":
        if found["logger"]:
            return Record((line[end:],), end, None, level_name(level), found["logger"])
        # uvicorn pads the level to ten columns; whatever is further right belongs to the message.
        while end < 10 and line[end : end + 1] == " ":
            end += 1
        if end == found.end() and line[end : end + 1] == " ":
            end += 1
        return Record((line[end:],), end, None, level_name(level))
    return _rest(line, end, None, level_name(level), None, None)


def _led_by_time(line: str) -> Record | None:
    found = _LED_BY_TIME.match(line)
    if found is None:
        return None
    time, end = found["time"], found.end()
    if found["close"] == ":":
        celery = _CELERY.match(line, end)
        if celery is not None:
            return Record((line[celery.end() :],), celery.end(), time, level_name(celery["level"]), celery["process"])
    return _rest(line, end, time, None, None, None)


def _rest(line: str, at: int, time: str | None, level: str | None, logger: str | None, pid: int | None) -> Record:
    """Tokens after the time or level: level, process and logger in whatever order the format has them."""
    end = at
    for _token in range(8):
        gap = _SEPARATOR.match(line, end)
        at = gap.end() if gap else end
        if level is None and (found := _LEVEL_TOKEN.match(line, at)):
            level = level_name(found["level"])
        elif found := _PID_TOKEN.match(line, at):
            pid = int(found["pid"]) if found["pid"] else pid
        elif time is None and level is not None and (found := _LED_BY_TIME.match(line, at)):
            time = found["time"]
        elif logger is None and level is None and (found := _LOGGER_BEFORE_LEVEL.match(line, at)):
            logger = found["logger"]
        elif level is None and (found := _OTHER_TOKEN.match(line, at)):
            logger = logger or found[0][1:-1]
        elif logger is None and level is not None and (found := _LOGGER_AFTER_LEVEL.match(line, at)):
            name = found["bracketed"] or found["dotted"] or found["root"] or found["spaced"]
            if _ERROR_NAME.search(name):
                break
            logger = name
        else:
            break
        end = found.end()
    # One separator belongs to the prefix; further blanks are the message's own indentation.
    tail = _TAIL.match(line, end)
    if level is not None and tail is not None:
        end = tail.end()
        padded = _PADDING.match(line, end)
        if padded and not line.startswith("File ", padded.end()) and logger is None:
            end = padded.end()
    return Record((line[end:],), end, time, level, logger, pid)


def _pick(record: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    for key in keys:
        value = record.get(key)
        if value not in (None, "", [], {}):
            return value
        if "." in key:
            outer, _dot, inner = key.partition(".")
            nested = record.get(outer)
            if isinstance(nested, Mapping) and nested.get(inner):
                return nested[inner]
    return None


def _from_json(line: str) -> Record | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record = _salvaged(line)
    if not isinstance(record, dict) or not record:
        return None
    for wrapper in ("record", "jsonPayload"):
        if isinstance(record.get(wrapper), dict):
            record = {**record, **record[wrapper]}
    return _structured(record)


def _salvaged(line: str) -> dict[str, Any]:
    """The plain fields of a record whose end was cut off, by a collector or by the log driver's limit."""
    if line.rstrip().endswith("}") and len(line) < JSON_LIMIT:
        return {}
    record: dict[str, Any] = {}
    for found in _JSON_FIELD.finditer(line):
        text = found["text"]
        if text is None:
            record.setdefault(found["key"], int(found["number"]))
        else:
            record.setdefault(found["key"], _unescape(text))
    if "exc_type" in record:
        frames = [
            {"filename": _unescape(found["file"]), "lineno": found["line"], "name": found["name"]}
            for found in _JSON_FRAME.finditer(line)
        ]
        record["exception"] = [{**record, "frames": frames}]
    return record


def _from_logfmt(line: str) -> Record | None:
    record: dict[str, Any] = {}
    at = 0
    for _pair in range(64):
        found = _LOGFMT.match(line, at)
        if found is None:
            break
        quoted = found["quoted"]
        record[found["key"]] = _unescape(quoted) if quoted is not None else found["bare"]
        at = found.end()
    if at < len(line) * 0.7:
        return None
    return _structured(record)


def _unescape(text: str) -> str:
    return _ESCAPED.sub(lambda found: _ESCAPES.get(found[1], found[1]), text)


def _structured(record: Mapping[str, Any]) -> Record | None:
    message = _pick(record, _MESSAGE_KEYS)
    traces = [record.get(key) if key in record else _pick(record, (key,)) for key in _TRACE_KEYS]
    if message is None and not any(traces):
        return None
    if isinstance(record.get("record"), dict) and record.get("exception") and isinstance(record.get("text"), str):
        traces = [record["text"].partition("\n")[2]]  # loguru's serialized form keeps the traceback only here
    texts = printable(message if not isinstance(message, dict) else json.dumps(message, ensure_ascii=False))
    for trace in traces:
        texts.extend(_trace_lines(trace, texts))
    pid = _pick(record, _PID_KEYS)
    logger = _pick(record, _LOGGER_KEYS)
    level = record.get("level")
    level = level.get("name") if isinstance(level, dict) else _pick(record, _LEVEL_KEYS)
    time = _pick(record, _TIME_KEYS)
    return Record(
        texts=tuple(texts) or ("",),
        time=str(time)[:40] if isinstance(time, (str, int, float)) else None,
        level=level_name(level),
        logger=logger[:100] if isinstance(logger, str) else None,
        pid=pid if isinstance(pid, int) and not isinstance(pid, bool) else None,
    )


def _trace_lines(trace: object, already: list[str]) -> list[str]:
    """The lines of a traceback field; structlog's list of dictionaries is written out as Python prints it."""
    if isinstance(trace, list) and trace and isinstance(trace[0], dict) and "exc_type" in trace[0]:
        return [line for exc in reversed(trace) if isinstance(exc, dict) for line in _structlog_lines(exc)]
    if isinstance(trace, dict):
        trace = trace.get("stack_trace") or trace.get("stack") or trace.get("traceback") or trace.get("message")
    lines = printable(trace)
    return [] if lines and all(line in already for line in lines[:3]) else lines


def _structlog_lines(exc: Mapping[str, Any]) -> list[str]:
    lines = ["Traceback (most recent call last):"]
    frames = exc.get("frames")
    for frame in frames if isinstance(frames, list) else []:
        if isinstance(frame, dict):
            lines.append(f'  File "{frame.get("filename")}", line {frame.get("lineno")}, in {frame.get("name")}')
            if frame.get("line"):
                lines.append(f"    {frame['line']}")
    lines.append(f"{exc.get('exc_type')}: {exc.get('exc_value')}")
    return [part for line in lines for part in printable(line)]
