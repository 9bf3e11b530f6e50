# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the command that the supervisor starts to the Python command at its end.

Wrappers (``env``, ``sh -c``, start scripts, ``sudo``, ``poetry run``, ``uv run`` …) are taken off one after the other;
what they change of environment, directory and program search is kept.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Callable, Optional

from .app_managers import ENVIRONMENT_MANAGERS, manager
from .app_program import ASSIGNMENT, Launch, after_options, find_program, is_python, note_step, option_values, step
from .app_shell import follow
from .context import KIB, Context

MAX_WRAPPERS = 10

_SHELLS = frozenset("sh bash dash ash zsh ksh busybox".split())

# Wrappers whose command follows their options: the words before it, and the options that take a value.
_PLAIN: dict[str, tuple[int, str]] = {
    "nice": (0, "-n --adjustment"),
    "ionice": (0, "-c -n --class --classdata"),
    "nohup": (0, ""),
    "setsid": (0, ""),
    "stdbuf": (0, "-i -o -e --input --output --error"),
    "timeout": (1, "-s -k --signal --kill-after"),
    "chrt": (1, "-T -P -D"),
    "taskset": (1, ""),
    "numactl": (0, ""),
    "time": (0, "-f -o"),
    "sudo": (0, "-u -g -C -h -p -r -t -T -U --user --group --chdir -D"),
    "runuser": (0, "-u -g -G"),
    "setpriv": (0, ""),
    "gosu": (1, ""),
    "su-exec": (1, ""),
    "chpst": (0, "-u -U -e -/ -n -l -L -m -d -o -p -f -c -r -t"),
    "tini": (0, "-p -e"),
    "dumb-init": (0, "-r --rewrite"),
    "catchsegv": (0, ""),
    "exec": (0, "-a"),
    "command": (0, ""),
    "opentelemetry-instrument": (0, "*"),
    "ddtrace-run": (0, ""),
    "newrelic-admin": (1, ""),
    "systemd-cat": (0, "-t -p --identifier --priority"),
    "scl": (0, ""),
    "authbind": (0, ""),
    "catatonit": (0, ""),
    "doppler": (1, "-p -c -t --project --config --token"),
    "infisical": (1, "--env --path --projectId"),
    "chamber": (1, ""),
    "op": (1, "--env-file"),
    "honcho": (1, "-e --env -f"),
    "dotenv": (1, "-f --file -q"),
    "direnv": (2, ""),
    "aws-vault": (2, ""),
    "unbuffer": (0, ""),
    "coverage": (1, "*"),
    "debugpy": (0, "--listen --connect"),
}


def unwrap(argv: list[str], environ: Mapping[str, str], cwd: Optional[str], ctx: Context) -> Launch:
    """Take wrappers off until a Python program, an unknown program or nothing is left. Never raises."""
    launch = Launch(list(argv), dict(environ), cwd)
    for _round in range(MAX_WRAPPERS):
        if not launch.argv or is_python(launch.argv[0]):
            return launch
        before = list(launch.argv)
        name = launch.name
        handler = _HANDLERS.get(name)
        if handler:
            handler(launch, ctx)
        elif name in _SHELLS:
            _shell(launch, ctx)
        elif name in _PLAIN:
            words, options = _PLAIN[name]
            note_step(launch, "command", launch.argv[0])
            launch.user = _user_of(launch) or launch.user
            _env_file_of(launch)
            launch.argv = after_options(launch.argv[1:], options, words)
        elif not _script(launch, ctx):
            return launch
        if launch.argv == before:
            return launch
    launch.problem = launch.problem or f"more than {MAX_WRAPPERS} wrappers around the command"
    return launch


def _env_file_of(launch: Launch) -> None:
    """``dotenv run`` and ``honcho run`` load ``.env`` or the file that an option names."""
    option = {"dotenv": ["-f", "--file"], "honcho": ["-e", "--env"]}.get(launch.name)
    if option:
        values = option_values(launch.argv[1:], option)
        path = next(iter(values.values()), ".env")
        launch.env_files.append((launch.absolute(path), f"command line {launch.name}"))


def _user_of(launch: Launch) -> Optional[str]:
    words = launch.argv[1:]
    if launch.name in ("gosu", "su-exec"):
        return words[0].split(":")[0] if words else None
    if launch.name in ("sudo", "runuser", "chpst"):
        values = option_values(words, ["-u", "--user"])
        return values.get("-u") or values.get("--user")
    return None


def _env(launch: Launch, _ctx: Context) -> None:
    """``env``: assignments, ``-i``, ``-u``, ``-C`` and ``-S``."""
    note_step(launch, "command", launch.argv[0])
    words = launch.argv[1:]
    while words:
        word = words.pop(0)
        match = ASSIGNMENT.match(word)
        if word in ("-i", "--ignore-environment", "-"):
            launch.environ.clear()
            launch.added.clear()
        elif word in ("-u", "--unset") and words:
            launch.environ.pop(words.pop(0), None)
        elif word.startswith("--unset="):
            launch.environ.pop(word[8:], None)
        elif word in ("-C", "--chdir") and words:
            launch.cwd = launch.absolute(words.pop(0))
        elif word.startswith("--chdir="):
            launch.cwd = launch.absolute(word[8:])
        elif word in ("-S", "--split-string") and words:
            words = words.pop(0).split() + words
        elif word.startswith("-S"):
            words = word[2:].split() + words
        elif match:
            launch.setenv(match.group(1), match.group(2), "command line env")
        elif not word.startswith("-"):
            words.insert(0, word)
            break
    launch.argv = words


def _su(launch: Launch, _ctx: Context) -> None:
    note_step(launch, "command", launch.argv[0])
    words = launch.argv[1:]
    if "-c" in words[:-1]:
        launch.argv = ["sh", "-c", words[words.index("-c") + 1]]
    elif "--" in words:
        launch.argv = words[words.index("--") + 1 :]
    else:
        launch.argv = []


def _shell(launch: Launch, ctx: Context) -> None:
    """``sh -c text`` or ``sh script``: follow the text to its last command."""
    note_step(launch, "command", launch.argv[0])
    words = launch.argv[1:]
    if launch.name == "busybox":
        words = words[1:]
    command = False
    while words and words[0][:1] in "-+" and words[0] not in ("-", "--"):
        option = words.pop(0)
        if option.startswith("--"):
            if option in ("--rcfile", "--init-file"):
                words = words[1:]
            continue
        command = command or "c" in option
        if option[-1:] == "o" and words:
            words.pop(0)
    if words[:1] == ["--"]:
        words.pop(0)
    if not words:
        launch.argv, launch.problem = [], "a shell without a command"
        return
    if command:
        _follow(launch, words[0], None, words[2:], f"{launch.name} -c")
        return
    path = launch.absolute(words[0])
    launch.steps.append(step("launcher", path))
    _follow_file(launch, path, words[1:], ctx)


def _script(launch: Launch, ctx: Context) -> bool:
    """Follow the program itself when it is a shell script; False when it is something else."""
    path = find_program(launch.argv[0], launch)
    if not path:
        return False
    head = ctx.read(path, 256)
    first = head.raw.split(b"\n", 1)[0].strip()
    words = first[2:].split() if first.startswith(b"#!") else []
    shells = {os.path.basename(word.decode("utf-8", "replace")) for word in words}
    # pip writes '#!/bin/sh' into console scripts with long paths; pyenv's shims are bash: neither is a start script.
    if not shells & _SHELLS or b"'''exec'" in head.raw or b"pyenv" in ctx.read(path, 2 * KIB).raw:
        return False
    launch.steps.append(step("launcher", path))
    if b"\r" in head.raw.split(b"\n", 1)[0]:
        launch.steps[-1]["problem"] = (
            "the first line ends in a carriage return: the kernel looks for an interpreter of that name"
        )
    _follow_file(launch, path, launch.argv[1:], ctx)
    return True


def _follow_file(launch: Launch, path: str, arguments: list[str], ctx: Context) -> None:
    content = ctx.read(path, 64 * KIB)
    if content.error or content.binary:
        launch.argv = []
        launch.problem = content.error or f"{path} is not a text file"
        return
    if b"\r\n" in content.raw and launch.steps and not launch.steps[-1]["problem"]:
        launch.steps[-1]["problem"] = "lines end in carriage returns, which become part of the shell's words"
    _follow(launch, content.text.replace("\r\n", "\n"), path, arguments, f"start script {path}")


def _follow(launch: Launch, text: str, script: Optional[str], arguments: list[str], origin: str) -> None:
    result = follow(text, launch.environ, launch.cwd, script, arguments)
    launch.cwd = result.cwd
    for name in result.exported:
        if name in result.environ:
            launch.setenv(name, result.environ[name], origin)
    launch.env_files += [(path, origin) for path in result.env_files]
    launch.outputs += [(launch.absolute(path), origin) for path in result.outputs]
    launch.environment_dir = result.venv or launch.environment_dir
    launch.argv = result.argv
    if not result.argv:
        launch.problem = f"no server command is evident in {script or 'the shell text'}"


_HANDLERS: dict[str, Callable[[Launch, Context], None]] = {
    "env": _env,
    "su": _su,
    **dict.fromkeys(ENVIRONMENT_MANAGERS, manager),
}
