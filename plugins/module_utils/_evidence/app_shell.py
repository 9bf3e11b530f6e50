# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shell text read, never run: which command a start script ends in, and what it sets before that.

Straight-line scripts are followed: assignments, ``export``, ``cd``, ``source`` of a virtual environment or of an environment
file, ``exec``. Conditions are not decided: commands under them count as if they ran.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional

MAX_COMMANDS = 400
# The kernel hands no longer word to a program (MAX_ARG_STRLEN); A=$A$A would double for ever.
MAX_VALUE = 128 * 1024

_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\+?)=(.*)\Z", re.DOTALL)
_PARAMETER = re.compile(
    r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*|[0-9@*#])(?:(:?[-=+?])((?:[^{}]|\{[^{}]*\}|\$\{[^{}]*\})*)|(%%?|##?)([^{}]*)|\[[^\]]*\])?\}"
    r"|([A-Za-z_][A-Za-z0-9_]*|[0-9@*#])|\(((?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\))|`([^`]*)`"
)
_KEYWORDS = frozenset("if then else elif fi while until for do done case esac { } ! in function select time".split())
_DEPTH = {"if": 1, "while": 1, "until": 1, "for": 1, "case": 1, "{": 1, "fi": -1, "done": -1, "esac": -1, "}": -1}
_BUILTINS = frozenset(
    "set echo printf trap test [ [[ true false : umask ulimit wait sleep exit return read local declare shift unset mkdir touch chmod"
    " chown rm cp mv ln cat date logger which command pip pip3 alembic nc pg_isready curl wget kill pkill grep sed awk tee".split()
)
SERVER_PROGRAMS = frozenset(
    "uvicorn gunicorn hypercorn daphne uwsgi celery flask fastapi django-admin waitress-serve granian poetry uv pipenv conda"
    " env sudo gosu su-exec tini dumb-init dotenv opentelemetry-instrument ddtrace-run newrelic-admin nohup nice pdm hatch".split()
)
_REDIRECTION = re.compile(r"\d*(?P<operator>&>>?|>>?|<)(?P<file>.*)\Z")
_HERE = re.compile(r"<<-?\s*(['\"]?)([A-Za-z_]\w*)\1")


@dataclass
class ShellResult:
    """Where a shell text leads. ``argv`` is the last command that looks like the server, empty when none is evident.

    ``outputs`` are the files that this command's output is redirected to.
    """

    argv: list[str] = field(default_factory=list)
    line: Optional[int] = None
    cwd: Optional[str] = None
    environ: dict[str, str] = field(default_factory=dict)
    exported: list[str] = field(default_factory=list)
    venv: Optional[str] = None
    env_files: list[str] = field(default_factory=list)
    exec_used: bool = False
    outputs: list[str] = field(default_factory=list)


def follow(
    text: str,
    environ: Mapping[str, str],
    cwd: Optional[str],
    script: Optional[str] = None,
    arguments: Sequence[str] = (),
) -> ShellResult:
    """Read shell text line by line and keep the last command that can be the server; an ``exec`` that
    no condition guards ends the reading.

    :param script: path of the script for ``$0``, None for ``sh -c`` text.
    :param arguments: the words for ``$1`` and ``"$@"``.
    """
    text = text.replace("\0", "")
    state = ShellResult(cwd=cwd, environ=dict(environ))
    best: Optional[tuple[list[str], int, Optional[str], dict[str, str]]] = None
    redirected: list[str] = []
    names = {"0": script or "sh", "BASH_SOURCE": script or "", **{str(i): word for i, word in enumerate(arguments, 1)}}
    all_export = False
    depth = 0
    for line, raw, files in commands(text):
        words = [word for part in raw for word in _expand(part, state, names, arguments)]
        while words and words[0] in _KEYWORDS:
            depth += _DEPTH.get(words[0], 0)
            words = words[1:]
        local: dict[str, str] = {}
        while words:
            match = _ASSIGNMENT.match(words[0])
            if not match:
                break
            former = state.environ.get(match.group(1), "") if match.group(2) else ""
            local[match.group(1)] = (former + match.group(3))[:MAX_VALUE]
            words = words[1:]
        if not words:
            state.environ.update(local)
            state.exported += [name for name in local if all_export or name in environ]
            continue
        head, rest = words[0], words[1:]
        if head in ("export", "declare", "typeset", "readonly", "local"):
            for word in rest:
                match = _ASSIGNMENT.match(word)
                if match:
                    state.environ[match.group(1)] = match.group(3)[:MAX_VALUE]
                if head == "export" and not word.startswith("-"):
                    state.exported.append(word.split("=", 1)[0])
        elif head == "set":
            all_export = all_export or any(word in ("-a", "allexport") for word in rest)
        elif head in ("cd", "pushd"):
            where = next((word for word in rest if not word.startswith("-")), state.environ.get("HOME", ""))
            state.cwd = os.path.normpath(os.path.join(state.cwd or "/", where)) if where else state.cwd
        elif head in ("source", ".") and rest:
            _source(os.path.normpath(os.path.join(state.cwd or "/", rest[0])), state)
        elif head == "conda" and rest[:1] == ["activate"] and len(rest) > 1:
            state.environ["CONDA_DEFAULT_ENV"] = rest[1]
        elif head not in _BUILTINS:
            found = rest if head == "exec" else words
            while found[:1] and (found[0] in ("-a", "-c", "-l") and head == "exec"):
                found = found[2:] if found[0] == "-a" else found[1:]
            if found:
                better = best is None or _looks_like_server(found) or not _looks_like_server(best[0])
                if better or (head == "exec" and depth <= 0):
                    best = (found, line, state.cwd, {**state.environ, **local})
                    state.outputs = redirected + [word for item in files for word in _expand(item, state, names, [])]
                    state.exported += list(local)
                if head == "exec" and depth <= 0:
                    state.exec_used = True
                    break
            elif head == "exec":
                # exec without a command redirects the whole script.
                redirected += [word for item in files for word in _expand(item, state, names, [])]
    if best:
        state.argv, state.line, state.cwd, state.environ = best
    return state


def commands(text: str) -> list[tuple[int, list[str], list[str]]]:
    """Simple commands as (line number, raw words, files that take output); words keep their quotes. Here-documents are left out."""
    result: list[tuple[int, list[str], list[str]]] = []
    words: list[str] = []
    word = ""
    position, line, start = 0, 1, 1
    end = len(text)
    here: list[str] = []

    def finish_word() -> None:
        nonlocal word
        if word:
            words.append(word)
        word = ""

    def finish_command() -> None:
        nonlocal words
        finish_word()
        if words and len(result) < MAX_COMMANDS:
            result.append((start, *_without_redirections(words)))
        words = []

    while position < end:
        char = text[position]
        if not words and not word:
            start = line
        if char == "\\" and position + 1 < end:
            if text[position + 1] == "\n":
                line += 1
            else:
                word += text[position : position + 2]
            position += 2
        elif char in "'\"" or char == "`" or text.startswith(("$(", "${"), position):
            stop = _closing(text, position)
            word += text[position:stop]
            line += text.count("\n", position, stop)
            position = stop
        elif char == "#" and not word:
            while position < end and text[position] != "\n":
                position += 1
        elif text.startswith("<<", position) and not text.startswith("<<<", position):
            match = _HERE.match(text, position)
            finish_word()
            here += [match.group(2)] if match else []
            position = match.end() if match else position + 2
        elif char == "\n":
            finish_command()
            position += 1
            line += 1
            while here:
                mark = here.pop(0)
                while position < end:
                    stop = text.find("\n", position)
                    stop = end if stop < 0 else stop
                    content = text[position:stop].strip()
                    position, line = min(stop + 1, end), line + 1
                    if content == mark:
                        break
        elif char in ";|()" or (
            char == "&" and text[position - 1 : position] != ">" and text[position + 1 : position + 2] != ">"
        ):
            finish_command()
            position += 1
        elif char in " \t\r":
            finish_word()
            position += 1
        else:
            word += char
            position += 1
    finish_command()
    return result


def _closing(text: str, position: int) -> int:
    """The position behind the quote, substitution or brace that opens at ``position``; the end when it never closes."""
    opener = text[position]
    end = len(text)
    if opener == "$":
        opening = text[position + 1]
        closing = ")" if opening == "(" else "}"
        depth, position = 1, position + 2
        while position < end and depth:
            if text[position] == "\\":
                position += 1
            depth += (text[position : position + 1] == opening) - (text[position : position + 1] == closing)
            position += 1
        return min(position, end)
    position += 1
    while position < end:
        if text[position] == "\\" and opener != "'":
            position += 2
            continue
        if opener == '"' and text.startswith("$(", position):
            position = _closing(text, position)
            continue
        if text[position] == opener:
            return position + 1
        position += 1
    return end


def _without_redirections(words: list[str]) -> tuple[list[str], list[str]]:
    """The words of a command, and the files that its output goes to."""
    result: list[str] = []
    files: list[str] = []
    pending = ""
    for word in words:
        match = None if word[:1] in "'\"$" else _REDIRECTION.match(word)
        if pending:
            files += [word] if ">" in pending else []
            pending = ""
        elif not match:
            result.append(word)
        elif not match.group("file"):
            pending = match.group("operator")
        elif ">" in match.group("operator") and not match.group("file").startswith("&"):
            files.append(match.group("file"))
    return result, [file for file in files if file not in ("/dev/null", "/dev/stdout", "/dev/stderr")]


def _expand(raw: str, state: ShellResult, names: Mapping[str, str], arguments: Sequence[str]) -> list[str]:
    """One raw word to zero or more words, quotes removed and parameters put in; ``"$@"`` gives all arguments."""
    if raw.strip('"') in ("$@", "${@}", "$*"):
        return list(arguments)
    result, position, quoted = "", 0, False
    while position < len(raw):
        char = raw[position]
        if char == "'":
            stop = _closing(raw, position)
            result, quoted = result + raw[position + 1 : stop - 1], True
            position = stop
        elif char == '"':
            stop = _closing(raw, position)
            inner = raw[position + 1 : stop - 1] if raw[stop - 1 : stop] == '"' else raw[position + 1 : stop]
            result, quoted = result + re.sub(r'\\(["\\`$])', r"\1", _substitute(inner, state, names)), True
            position = stop
        elif char == "\\":
            result += raw[position + 1 : position + 2]
            position += 2
        else:
            match = _PARAMETER.match(raw, position)
            stop = match.end() if match else position + 1
            result += _substitute(raw[position:stop], state, names)
            position = stop
    if result.startswith("~/") and not quoted:
        result = state.environ.get("HOME", "~") + result[1:]
    # An unquoted parameter that holds several words gives several words.
    if not quoted and raw.startswith("$") and " " in result:
        return result.split()
    return [result] if result or quoted else []


def _substitute(text: str, state: ShellResult, names: Mapping[str, str], depth: int = 0) -> str:
    """Put values for parameters; an unknown command substitution or parameter becomes empty, as an unset one would."""

    def replace(match: re.Match[str]) -> str:
        name = match.group(1) or match.group(6)
        if name:
            value = state.environ.get(name, names.get(name))
            operator, other = match.group(2), match.group(3) or ""
            if operator and operator.lstrip(":") in ("-", "=") and (value is None or (not value and ":" in operator)):
                return _substitute(other.strip("\"'"), state, names, depth + 1) if depth < 5 else ""
            if operator and operator.lstrip(":") == "+":
                return _substitute(other, state, names, depth + 1) if value and depth < 5 else ""
            if match.group(4) and value:
                return _trim(value, match.group(4), match.group(5))
            return value or ""
        inner = match.group(7) if match.group(7) is not None else match.group(8)
        return _command_value(inner or "", state, names, depth)

    return _PARAMETER.sub(replace, text)[:MAX_VALUE]


def _command_value(text: str, state: ShellResult, names: Mapping[str, str], depth: int) -> str:
    """``$(pwd)``, ``$(dirname "$0")``, ``$(cd … && pwd)`` and their like; everything else is not evident."""
    if depth >= 5:
        return ""
    cwd = state.cwd or "/"
    for _line, raw, _files in commands(text):
        words = [_substitute(word.replace('"', "").replace("'", ""), state, names, depth + 1) for word in raw]
        if not words:
            continue
        where = words[-1] if len(words) > 1 else ""
        if words[0] == "cd":
            cwd = os.path.normpath(os.path.join(cwd, where))
        elif words[0] == "pwd":
            return cwd
        elif words[0] == "dirname":
            return os.path.dirname(where) or "."
        elif words[0] == "basename":
            return os.path.basename(where)
        elif words[0] in ("readlink", "realpath"):
            return os.path.normpath(os.path.join(cwd, where))
        elif words[0] == "nproc":
            return str(os.cpu_count() or 1)
        elif words[0] in ("echo", "printf"):
            return " ".join(words[1:])
        else:
            return ""
    return ""


def _trim(value: str, operator: str, pattern: str) -> str:
    if pattern in ("/*", "*/"):
        head, tail = (value.rpartition if operator == "%" else value.partition)("/")[::2]
        return head if operator.startswith("%") else value.rpartition("/")[2] if operator == "##" else tail
    if operator.startswith("%"):
        return value[: -len(pattern)] if pattern and value.endswith(pattern) else value
    return value[len(pattern) :] if value.startswith(pattern) else value


def _source(path: str, state: ShellResult) -> None:
    if os.path.basename(path).startswith("activate"):
        state.venv = os.path.dirname(os.path.dirname(path))
        state.environ["VIRTUAL_ENV"] = state.venv
        state.environ["PATH"] = f"{state.venv}/bin:{state.environ.get('PATH', '')}"
        state.exported += ["VIRTUAL_ENV", "PATH"]
    else:
        state.env_files.append(path)


def _looks_like_server(words: list[str]) -> bool:
    name = os.path.basename(words[0])
    return bool(re.match(r"(?:python|pypy)[0-9.]*\Z", name)) or name in SERVER_PROGRAMS or name.endswith(".py")
