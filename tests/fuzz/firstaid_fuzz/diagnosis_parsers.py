# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parsers of the controller: logs, prefixes, tracebacks, cause files, patterns, saved evidence."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import KIB, MIB
from ansible_collections.firstaid.backend.plugins.plugin_utils._bundle import text as bundle_text
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis import (
    attempts,
    catalogue,
    classify,
    exceptions,
    frames,
    log_model,
    patterns,
    prefixes,
    records,
    restarts,
    text,
    tracebacks,
)
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.log_lines import read_lines

from .host_parsers import BLANKS, NUMBERS
from .target import Broken, Target

_KNOWN: list[catalogue.Catalogue] = []


def _catalogue() -> catalogue.Catalogue:
    if not _KNOWN:
        _KNOWN.append(catalogue.load_catalogue())
    return _KNOWN[0]


def _lines(content: str) -> list[log_model.Line]:
    found = read_lines(content, "log")
    if [line.number for line in found] != sorted({line.number for line in found}):
        raise Broken("the numbers of lines don't rise")
    return found


def _tracebacks(content: str) -> list[log_model.Traceback]:
    return [one for attempt in attempts.read_log(content, "log") for one in tracebacks.tracebacks(attempt)]


def _events(content: str) -> list[Any]:
    return [restarts.event_of(line) for line in read_lines(content, "log")]


def _prefixes(content: str) -> list[tuple[str, Any]]:
    return prefixes.detect(content.split("\n")[:40])


def _record(content: str) -> records.Record | None:
    return records.parse_record(content.replace("\n", " "))


def _exception(content: str) -> Any:
    exceptions.parse_fields(content.split("\n"))
    exceptions.validation_count(content)
    return exceptions.parse_exception(content.replace("\n", " "), certain=True)


def _frame(content: str) -> Any:
    frames.repeated(content)
    return frames.parse_frame(content.replace("\n", " "))


def _diagnosis(content: str) -> dict[str, Any]:
    found = classify.classify(classify.evidence_from_log(content), _catalogue())
    json.dumps(found)
    return found


def _saved(content: str) -> dict[str, Any]:
    try:
        evidence = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return _judged(evidence)


def _judged(evidence: Any) -> dict[str, Any]:
    if not isinstance(evidence, Mapping):
        return {}
    found = classify.classify(evidence, _catalogue())
    json.dumps(found)
    return found


def _cause(content: bytes) -> catalogue.Cause:
    with tempfile.NamedTemporaryFile(suffix=".yml") as file:
        file.write(content)
        file.flush()
        try:
            return catalogue.load_cause(Path(file.name))
        except catalogue.CatalogueError as exc:
            # The name of the file is another one each time.
            raise catalogue.CatalogueError(str(exc).replace(file.name, "x.yml")) from exc


def _pattern(content: str) -> patterns.Pattern:
    return patterns.compile_pattern(content)


def _shown(content: str) -> list[str]:
    shown = [bundle_text.clean(content), bundle_text.one_line(content), *text.printable(content)]
    if any(char in one for one in shown for char in "\x1b\0\x07\x9b"):
        raise Broken("a control character came through")
    return [
        *shown,
        bundle_text.escape(content),
        bundle_text.code_span(content),
        bundle_text.path_name(content),
        *bundle_text.wrap(content),
    ]


_LOG_WORDS = (
    "Traceback (most recent call last):\n", '  File "/srv/app/main.py", line 1, in <module>\n', '  File "', "    import x\n",
    "ModuleNotFoundError: No module named 'x'\n", "ValueError: ", "During handling of the above exception, another exception occurred:\n",
    "  + Exception Group Traceback (most recent call last):\n", "  | ", "    +-+---------------- 1 ----------------\n", "SyntaxError: invalid syntax\n",
    "    ^^^^\n", "[Previous line repeated 996 more times]\n", "2026-11-22 04:43:16,123 ", "2026-11-22T04:43:16Z ", "Nov 22 04:43:16 host api[12]: ",
    "web-1  | ", '{"log":"', '","stream":"stderr"}\n', '{"level":"error","msg":"', '"}\n', "[2026-11-22 04:43:16 +0000] [12] [ERROR] ", "ERROR:root:",
    "E1122 04:43:16.1 12 x.py:1] ", "level=error msg=", "INFO:     Started server process [1]\n", "Fatal Python error: Segmentation fault\n",
    "Current thread 0x1 (most recent call first):\n", "usage: x [-h]\n", "x: error: y\n", "1 validation error for Settings\n",
    "  Field required [type=missing, input_value={}, input_type=dict]\n", "╭─── Traceback (most recent call last) ───╮\n", "│ /srv/x.py:1 in f │\n",
    "╰────╯\n", "Error: [Errno 98] Address already in use\n", "systemd[1]: ", "==> /var/log/x <==\n", "    MESSAGE=x\n",
    "Sun 2026-11-22 04:43:16.1 UTC [s=a;\n", "F ", "stderr F ", "\x1b[31m", "#033[31m", "\r", "Exception ignored in: ", "Process SpawnProcess-1:\n",
    "celery.exceptions.", "sqlalchemy.exc.OperationalError: (", "[Errno 13]", "exited with code 1\n", "9" * 5000, "²",
)  # fmt: skip
_CAUSE_WORDS = (
    "id: a\n", "title: t\n", "family: ", "imports", "explanation: e\n", "next_check: n\n", "likely:\n", "  - ", "log: x\n", "weight: ", "0.5\n", "    ",
    "fact: service.state\n", "equals: 1\n", "explains: [", "]", "{", "}", "subject: {a: [b]}\n", "remediation: {role: fix_x, vars: {a: '{subject.a}'}}\n",
    "handover: {commands: [x], ask: y}\n", "prior: ", "x\n", "null\n", "- ", "&a ", "*a\n", "!!python/object:os.system ", "<<: ", "? ", "|\n", ">\n", "'",
    '"', "#", "---\n", "...\n", "%YAML 1.2\n", "all:\n", "any: [", "signal: ", "exception: {type: KeyError, errno: [", "unless: ", "set: {", "capture: ",
    "where: ", "matches: '", "(?P<a>", ")", "[", "*", "+", "{1,9999}", "ruled_out: [{when: ", ", says: x}]\n", "references: ", "permanent: ", "9" * 400,
    ".inf\n", "in: ", "above: ", "about: ", "by: ", "with: ", "not_in: ", "below: ", "present: ", "attested: ", "requires: ", "excludes: ", "against: ",
    "fallback: ", "import_test: ", "journal: ", "{subject.", "{", "}",
)  # fmt: skip
_EVIDENCE_WORDS = (
    '{"schema":1,', '"service":', '"state":', '"unit":', '"logs":', '"sources":[', '"attempts":[', '"segments":[', '"lines":[', '"first_line":',
    '"import_test":', '"exception":', '"chain":[', '"frames":[', '"environment":', '"files":[', '"ports":', '"processes":[', '"kernel":', '"oom_kills":[',
    '"resources":', '"disks":[', '"access":', '"paths":[', '"symlinks":', '"packages":', '"backing_services":[', '"targets":[', '"app":', '"health":',
    '"port":', '"target":', '"collectors":', '"unavailable":', '"interpreter":', '"python_path":', '"entries":[', '"exit":', '"code":', '"signal":',
    '"restart_times":[', "{", "}", "[", "]", ",", ":", '"', "null", "true", "1", "-1", "1.5", '"x"', '"/srv/app"', '"failed"', "1e999", "9" * 30, '"type":',
    '"message":', '"name":', '"outcome":', '"problems":[', '"text":', '"kind":', '"status":', '"error":', '"missing":[', '"reason":', '"time":',
)  # fmt: skip

TARGETS: tuple[Target, ...] = (
    Target("log", _lines, (*BLANKS, *_LOG_WORDS), size=2 * MIB, repeats=(*(word for word in _LOG_WORDS if not word.startswith("999")), "a", "\n", "[", "{",
        " ", "\r", "9", "-", '"')),
    Target("tracebacks", _tracebacks, (*BLANKS, *_LOG_WORDS), size=MIB, repeats=(*(word for word in _LOG_WORDS if not word.startswith("999")), "  | ", " ",
        "    ~~\n", "(", ".", "a.", "A", 'Traceback (most recent call last):\n  File "x", line 1, in f\n')),
    Target("restarts", _events, (*BLANKS, *_LOG_WORDS, "Started ", "api.service: ", "Main process exited"), size=MIB, repeats=("api.service: \n", "a",
        "exited with code ")),
    Target("prefixes", _prefixes, (*BLANKS, *_LOG_WORDS), size=128 * KIB, repeats=("a", " ", "1", "[", "web | ", "-", ":", "|", "{", '{"a":')),
    Target("log-record", _record, (*BLANKS, *_LOG_WORDS, *NUMBERS, "{", "}", '"', ":", "[", "msg=", "="), size=64 * KIB, repeats=("[", '{"a":', "msg=",
        'a="', "1", "D", "E1", '\\"', "a=b ")),
    Target("exception-line", _exception, (*BLANKS, *_LOG_WORDS, ".", "Error", ":", "A", "("), size=4 * KIB, repeats=("a.", "A", "Error: ", " ", "(")),
    Target("frame-line", _frame, (*BLANKS, '  File "', '", line ', "1", ", in ", "f", *NUMBERS, "[Previous line repeated ", " more times]"), size=4 * KIB,
        repeats=('  File "', '", line 1, in ')),
    Target("diagnosis", _diagnosis, (*BLANKS, *_LOG_WORDS), size=128 * KIB, repeats=("a", "Traceback (most recent call last):\n", "KeyError: 'X'\n", "a.b",
        " ", "(", "'")),
    Target("evidence", _saved, _EVIDENCE_WORDS, size=64 * KIB, repeats=("[", '{"a":')),
    Target("cause-file", _cause, (*BLANKS, *_CAUSE_WORDS), raw=True, size=64 * KIB, allowed=(catalogue.CatalogueError, ), repeats=("[", "{", "- ", "? ",
        "- - ", "a: ", "&a ", "*a", "'", "  - log: x\n")),
    Target("pattern", _pattern, ("(", ")", "[", "]", "*", "+", "?", "{", "}", "1,", "9999999999", "|", "\\", "(?P<a>", "(?i)", "(?=", ".", "a", "^", "$",
        "\\d", "(?P=a)", "(?#", "[^a]"), size=8 * KIB, allowed=(patterns.PatternError, ), repeats=("(", "a*", "[", "a|", "(?:", ".{0,200}")),
    Target("shown-text", _shown, (*BLANKS, "\x1b[2J", "\x07", "<script>", "{{ 7*7 }}", "`", "\u202e", "\x9b", "|", "../", "/", "-", "\ud800".encode("utf-8",
        "replace").decode()), size=64 * KIB, repeats=("\x1b", "`", "<", "a ", "a", "\x1b]", "/", "|")),
)  # fmt: skip
