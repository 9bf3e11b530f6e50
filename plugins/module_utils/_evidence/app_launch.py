# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the command that the supervisor starts to the Python command at its end.

Wrappers (``env``, ``sh -c``, start scripts, ``sudo``, ``poetry run``, ``uv run`` …) are taken off one after the other;
what they change of environment, directory and program search is kept.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Callable, Optional

from .app_shell import follow
from .context import KIB, Context
from .model import Section

MAX_WRAPPERS = 10
# What systemd gives to units, and a sensible guess for everybody else.
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_SHELLS = frozenset("sh bash dash ash zsh ksh busybox".split())
_PYTHON = re.compile(r"(?:python|pypy)(?:[0-9]+(?:\.[0-9]+)*)?t?\Z")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)\Z", re.DOTALL)

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
# Wrappers that choose an environment: directory names under which it is looked for come from ``_environment_of``.
_ENVIRONMENT_MANAGERS: dict[str, str] = {
    "poetry": "-C --directory -P --project",
    "uv": "--python -p --project --directory --env-file --with --extra --group --package --with-requirements --index-url -w",
    "pipenv": "--python",
    "pdm": "-p --project",
    "hatch": "-e --env -p --project",
    "rye": "--pyproject",
    "conda": "-n --name -p --prefix --cwd",
    "mamba": "-n --name -p --prefix --cwd",
    "micromamba": "-n --name -p --prefix --cwd -r --root-prefix",
    "pyenv": "",
}


@dataclass
class Launch:
    """The state while wrappers are taken off; at the end ``argv[0]`` is an interpreter, a console script or unknown.

    ``steps`` have the shape of ``interpreter.chain``. ``env_files`` are those that wrappers read. ``added`` names the
    variables that wrappers set and by what. ``user`` is the one that ``sudo``, ``gosu`` and their like change to.
    ``outputs`` are files that a shell redirects the command's output to.
    """

    argv: list[str]
    environ: dict[str, str]
    cwd: Optional[str]
    steps: list[Section] = field(default_factory=list)
    added: dict[str, str] = field(default_factory=dict)
    env_files: list[tuple[str, str]] = field(default_factory=list)
    environment_dir: Optional[str] = None
    user: Optional[str] = None
    outputs: list[tuple[str, str]] = field(default_factory=list)
    problem: Optional[str] = None

    @property
    def name(self) -> str:
        """The base name of the program, empty without one."""
        return os.path.basename(self.argv[0]) if self.argv else ""

    def absolute(self, path: str) -> str:
        """A path as the process would see it, relative ones from its working directory."""
        return os.path.normpath(os.path.join(self.cwd or "/", path)).replace("\0", "")

    def setenv(self, name: str, value: str, origin: str) -> None:
        """Set a variable as the wrapper ``origin`` does."""
        self.environ[name] = value
        self.added[name] = origin


def is_python(path: str) -> bool:
    """Whether a program's name is that of a Python interpreter."""
    return bool(_PYTHON.match(os.path.basename(path)))


def find_program(name: str, launch: Launch) -> Optional[str]:
    """The path of a program as the launching process would find it; None when no directory has it."""
    if "/" in name:
        return launch.absolute(name)
    directories = launch.environ.get("PATH", DEFAULT_PATH).split(":")
    if launch.environment_dir:
        directories.insert(0, os.path.join(launch.environment_dir, "bin"))
    for directory in directories:
        path = os.path.join(launch.absolute(directory or "."), name)
        if os.path.lexists(path) and not os.path.isdir(path):
            return path
    return None


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
            _step(launch, "command", launch.argv[0])
            launch.user = _user_of(launch) or launch.user
            launch.argv = _after_options(launch.argv[1:], options, words)
        elif not _script(launch, ctx):
            return launch
        if launch.argv == before:
            return launch
    launch.problem = launch.problem or f"more than {MAX_WRAPPERS} wrappers around the command"
    return launch


def step(kind: str, path: str) -> Section:
    """One entry of ``interpreter.chain`` with what the file system says about the path."""
    problem = None
    target = None
    if os.path.islink(path):
        try:
            target = os.readlink(path)
        except OSError as exc:
            problem = str(exc.strerror)
    exists = os.path.exists(path)
    if not exists:
        problem = "dangling link" if target else "no such file"
    elif os.path.isdir(path):
        problem = "is a directory"
    return {
        "step": kind, "path": path, "target": target, "exists": exists,
        "executable": bool(exists and not os.path.isdir(path) and os.stat(path).st_mode & 0o111), "problem": problem,
    }  # fmt: skip


def _step(launch: Launch, kind: str, name: str) -> None:
    path = find_program(name, launch)
    entry = step(kind, path) if path else {
        "step": kind, "path": name, "target": None, "exists": False, "executable": False, "problem": "not found in PATH"
    }  # fmt: skip
    launch.steps.append(entry)


def _after_options(words: list[str], options: str, skip: int) -> list[str]:
    """Words behind a wrapper's options and ``skip`` words of its own; ``*`` means that every long option takes a value."""
    takes_value = options.split()
    position = 0
    while position < len(words):
        word = words[position]
        if word == "--":
            position += 1
            if skip == 0:
                break
            continue
        if word.startswith("-") and len(word) > 1:
            every = "*" in takes_value and word.startswith("--") and "=" not in word
            position += 2 if word in takes_value or every else 1
            continue
        if _ASSIGNMENT.match(word) and not skip:
            position += 1
            continue
        if not skip:
            break
        skip -= 1
        position += 1
    return words[position:]


def _user_of(launch: Launch) -> Optional[str]:
    words = launch.argv[1:]
    if launch.name in ("gosu", "su-exec"):
        return words[0].split(":")[0] if words else None
    if launch.name in ("sudo", "runuser", "chpst"):
        values = _option_values(words, ["-u", "--user"])
        return values.get("-u") or values.get("--user")
    return None


def _env(launch: Launch, _ctx: Context) -> None:
    """``env``: assignments, ``-i``, ``-u``, ``-C`` and ``-S``."""
    _step(launch, "command", launch.argv[0])
    words = launch.argv[1:]
    while words:
        word = words.pop(0)
        match = _ASSIGNMENT.match(word)
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
    _step(launch, "command", launch.argv[0])
    words = launch.argv[1:]
    if "-c" in words[:-1]:
        launch.argv = ["sh", "-c", words[words.index("-c") + 1]]
    elif "--" in words:
        launch.argv = words[words.index("--") + 1 :]
    else:
        launch.argv = []


def _shell(launch: Launch, ctx: Context) -> None:
    """``sh -c text`` or ``sh script``: follow the text to its last command."""
    _step(launch, "command", launch.argv[0])
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


def _manager(launch: Launch, _ctx: Context) -> None:
    """``poetry run``, ``uv run``, ``conda run`` …: find the environment that they choose."""
    name = launch.name
    _step(launch, "command", launch.argv[0])
    words = launch.argv[1:]
    options = _ENVIRONMENT_MANAGERS[name]
    values = _option_values(words, options.split())
    directory = next((values[key] for key in ("--directory", "-C", "--project", "--cwd") if key in values), None)
    if directory and name != "conda":
        launch.cwd = launch.absolute(directory)
    if "--env-file" in values:
        launch.env_files.append((launch.absolute(values["--env-file"]), f"{name} --env-file"))
    launch.environment_dir = _environment_of(name, values, launch) or launch.environment_dir
    rest = _after_options(words, options, 0)
    if rest[:1] in (["run"], ["exec"]):
        rest = _after_options(rest[1:], options, 0)
    if words and "-m" in words and name == "uv" and "run" in words[: words.index("-m")]:
        rest = ["python", *words[words.index("-m") :]]
    if name == "uv" and rest[:1] and rest[0].endswith(".py"):
        rest = ["python", *rest]
    launch.argv = rest


def _option_values(words: list[str], options: list[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for index, word in enumerate(words):
        key, equals, value = word.partition("=")
        if equals and key in options:
            values[key] = value
        elif word in options and index + 1 < len(words):
            values[word] = words[index + 1]
    return values


def _environment_of(manager: str, values: Mapping[str, str], launch: Launch) -> Optional[str]:
    """The environment directory that a manager would use; None when none is found where they keep them."""
    home = launch.environ.get("HOME", "/root")
    if "-p" in values and manager in ("conda", "mamba", "micromamba"):
        return launch.absolute(values["-p"])
    name = values.get("-n") or values.get("--name")
    if manager in ("conda", "mamba", "micromamba"):
        roots = [
            launch.environ.get("MAMBA_ROOT_PREFIX", ""),
            os.path.dirname(os.path.dirname(find_program(launch.argv[0], launch) or "")),
        ]
        roots += [f"{home}/miniconda3", f"{home}/anaconda3", f"{home}/miniforge3", "/opt/conda", "/opt/miniconda3"]
        wanted = [os.path.join(root, "envs", name) if name and name != "base" else root for root in roots if root]
        return next((path for path in wanted if os.path.isdir(path)), wanted[0] if wanted else None)
    named = launch.environ.get("UV_PROJECT_ENVIRONMENT") or launch.environ.get("VIRTUAL_ENV")
    if named:
        return launch.absolute(named)
    directory = launch.cwd or "/"
    while True:
        candidate = os.path.join(directory, ".venv")
        if os.path.isdir(candidate):
            return candidate
        if directory in ("/", ""):
            break
        directory = os.path.dirname(directory)
    return _cached_environment(manager, home, launch)


def _cached_environment(manager: str, home: str, launch: Launch) -> Optional[str]:
    """Environments that poetry and pipenv keep under the home directory; their names begin with the project's."""
    directory = {"poetry": f"{home}/.cache/pypoetry/virtualenvs", "pipenv": f"{home}/.local/share/virtualenvs"}.get(
        manager
    )
    project = os.path.basename(launch.cwd or "").lower().replace("_", "-")
    if not directory or not project:
        return None
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return None
    return next(
        (os.path.join(directory, name) for name in names if name.lower().replace("_", "-").startswith(project + "-")),
        None,
    )


_HANDLERS: dict[str, Callable[[Launch, Context], None]] = {
    "env": _env,
    "su": _su,
    **dict.fromkeys(_ENVIRONMENT_MANAGERS, _manager),
}
