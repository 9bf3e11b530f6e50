# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""supervisord's configuration as supervisord reads it: sections, included files, expansions, programs."""

from __future__ import annotations

import configparser
import glob
import os
import platform
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from .context import MIB, Context
from .numerals import whole

MAX_INCLUDED = 200
MAX_PROCESSES = 256
PROGRAM_KINDS = ("program:", "fcgi-program:")
_EXPANSION = re.compile(r"%\(([A-Za-z0-9_]+)\)([0-9]*)([sd])|%%")
_TRUE = ("1", "true", "yes", "on", "t")
KNOWN_OPTIONS = {
    "command", "process_name", "numprocs", "numprocs_start", "priority", "autostart", "startsecs", "startretries",
    "autorestart", "exitcodes", "stopsignal", "stopwaitsecs", "stopasgroup", "killasgroup", "user", "redirect_stderr",
    "stdout_logfile", "stdout_logfile_maxbytes", "stdout_logfile_backups", "stdout_capture_maxbytes",
    "stdout_events_enabled", "stdout_syslog", "stderr_logfile", "stderr_logfile_maxbytes", "stderr_logfile_backups",
    "stderr_capture_maxbytes", "stderr_events_enabled", "stderr_syslog", "environment", "directory", "umask",
    "serverurl", "socket", "socket_owner", "socket_mode", "socket_backlog",
}  # fmt: skip


@dataclass
class Program:
    """One process of a program, expanded. ``name`` is the process' name, ``group`` that of its group."""

    name: str
    group: str
    program: str
    file: str
    options: dict[str, str]
    command: str = ""
    directory: Optional[str] = None
    user: Optional[str] = None
    environment: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def full_name(self) -> str:
        """As supervisorctl prints it."""
        return self.name if self.name == self.group else f"{self.group}:{self.name}"

    @property
    def argv(self) -> list[str]:
        """The command split as supervisord does; empty when it can't be split."""
        try:
            return shlex.split(self.command)
        except ValueError:
            return []

    def number(self, option: str, default: int) -> int:
        """A whole number, or the default where it is none."""
        text = self.options.get(option, "").strip()
        number = whole(text)
        return default if number is None else number

    def yes(self, option: str, default: bool) -> bool:
        """A boolean in supervisord's spelling."""
        text = self.options.get(option, "").strip().lower()
        return text in _TRUE if text else default


@dataclass
class Config:
    """A configuration with its included files. ``sections`` have ``%(here)s`` replaced and nothing else."""

    path: str
    sections: dict[str, dict[str, str]] = field(default_factory=dict)
    section_file: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    problems: list[dict[str, Any]] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    def option(self, section: str, name: str) -> Optional[str]:
        """An option of a section that needs no program's names, expanded."""
        text = self.sections.get(section, {}).get(name)
        return None if text is None else expand(text, {"host_node_name": platform.node()})[0]


def load(path: str, environ: Mapping[str, str], ctx: Context) -> Config:
    """Read a configuration and what it includes. Problems are recorded, never raised.

    :param environ: supervisord's own environment, for ``%(ENV_X)s``.
    """
    config = Config(path)
    _read(config, path, ctx)
    known = {f"ENV_{name}": value for name, value in environ.items()}
    known["host_node_name"] = platform.node()
    folder = os.path.dirname(os.path.abspath(path))
    patterns = expand(config.sections.get("include", {}).get("files", ""), known)[0].split()
    included = [name for pattern in patterns for name in sorted(glob.glob(os.path.join(folder, pattern)))]
    for name in included[:MAX_INCLUDED]:
        _read(config, name, ctx)
    text, _missing = expand(config.sections.get("supervisord", {}).get("environment", ""), known)
    config.environment = _environment(text, config, "supervisord")
    return config


def programs(config: Config, environ: Mapping[str, str]) -> list[Program]:
    """All processes of all programs, with their groups."""
    groups = {}
    for section, options in config.sections.items():
        if section.startswith("group:"):
            for name in re.split(r"[\s,]+", options.get("programs", "")):
                groups[name] = section.partition(":")[2].strip()
    found: list[Program] = []
    for section, options in config.sections.items():
        kind = next((kind for kind in PROGRAM_KINDS if section.startswith(kind)), None)
        if kind and len(found) < MAX_PROCESSES:
            name = section[len(kind) :].strip()
            found += _processes(config, section, name, groups.get(name, name), options, environ)
    return found


def expand(text: str, values: Mapping[str, Any]) -> tuple[str, list[str]]:
    """``%(name)s`` and ``%(name)02d`` replaced, and the names that nobody defines."""
    missing: list[str] = []

    def replace(match: re.Match[str]) -> str:
        name = match.group(1)
        if name is None:
            return "%"
        if name not in values:
            missing.append(name)
            return match.group(0)
        return str(f"%{match.group(2)}{match.group(3)}" % values[name])

    try:
        return _EXPANSION.sub(replace, text), missing
    except (TypeError, ValueError):
        return text, missing


def parse_environment(text: str) -> dict[str, str]:
    """``KEY="value",KEY2=value2`` as supervisord splits it.

    :raises ValueError: supervisord would refuse the text.
    """
    lexer = shlex.shlex(text)
    lexer.wordchars += "/.+-():"
    tokens = list(lexer)
    values: dict[str, str] = {}
    for at in range(0, len(tokens), 4):
        part = tokens[at : at + 3]
        if len(part) != 3 or part[1] != "=":
            raise ValueError(f"unexpected end of key/value pairs after {', '.join(values) or 'the start'}")
        values[part[0]] = part[2].strip("'\"")
    return values


def line_of(text: str, section: str, option: Optional[str] = None) -> Optional[int]:
    """The line in which a section, or an option in it, stands."""
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("["):
            inside = line.split("]")[0] == f"[{section}"
            if inside and option is None:
                return number
        elif inside and option and re.match(rf"{re.escape(option)}\s*[=:]", line, re.IGNORECASE):
            return number
    return None


def _read(config: Config, path: str, ctx: Context) -> None:
    content = ctx.read(path, max_bytes=MIB)
    if content.error:
        config.problems.append({"file": path, "line": None, "text": content.error})
        return
    config.texts[path] = content.text
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"), strict=False)
    try:
        parser.read_string(content.text, source=path)
    except (configparser.Error, ValueError) as exc:
        first = str(exc).splitlines()[0]
        line = getattr(exc, "lineno", None) or next((item[0] for item in getattr(exc, "errors", [])), None)
        config.problems.append({"file": path, "line": line, "text": f"supervisord can't read the file: {first}"})
    here = os.path.dirname(os.path.abspath(path))
    for section in parser.sections():
        options = {name: (value or "").replace("%(here)s", here) for name, value in parser.items(section)}
        config.sections.setdefault(section, {}).update(options)
        config.section_file[section] = path


def _processes(
    config: Config, section: str, name: str, group: str, options: dict[str, str], environ: Mapping[str, str]
) -> list[Program]:
    file = config.section_file.get(section, config.path)
    base: dict[str, Any] = {f"ENV_{key}": value for key, value in {**environ, **config.environment}.items()}
    base.update(
        here=os.path.dirname(os.path.abspath(config.path)),
        program_name=name,
        group_name=group,
        host_node_name=platform.node(),
    )
    count, start = options.get("numprocs", "1"), options.get("numprocs_start", "0")
    amount = whole(count)
    amount = 1 if amount is None else amount
    first = whole(start) or 0
    found = []
    for number in range(first, first + max(1, min(amount, MAX_PROCESSES))):
        values = {**base, "process_num": number, "numprocs": amount}
        missing: list[str] = []
        text, unknown = expand(options.get("environment", ""), values)
        missing += unknown
        environment = _environment(text, config, section)
        values.update({f"ENV_{key}": value for key, value in environment.items()})
        expanded = {}
        for option, value in options.items():
            expanded[option], unknown = expand(value, values)
            missing += unknown
        process = Program(
            name=expand(options.get("process_name", "%(program_name)s"), values)[0],
            group=group,
            program=name,
            file=file,
            options=expanded,
            command=expanded.get("command", ""),
            directory=expanded.get("directory") or None,
            user=expanded.get("user") or None,
            environment={**config.environment, **environment},
        )
        process.problems = [f"%({item})s is not defined anywhere" for item in dict.fromkeys(missing)]
        process.problems += [
            f"{item} is no option of a program, it is ignored" for item in options if item not in KNOWN_OPTIONS
        ]
        found.append(process)
    return found


def _environment(text: str, config: Config, section: str) -> dict[str, str]:
    try:
        return parse_environment(text)
    except ValueError as exc:
        file = config.section_file.get(section, config.path)
        problem = {
            "file": file,
            "line": line_of(config.texts.get(file, ""), section, "environment"),
            "text": f"environment= of [{section}] can't be read: {exc}",
        }
        if problem not in config.problems:
            config.problems.append(problem)
        return {}
