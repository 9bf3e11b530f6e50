# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A command on its way to the Python program at its end: its words, environment and directory, and where programs lie."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Optional

from .model import Section

# What systemd gives to units, and a sensible guess for everybody else.
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

PYTHON = re.compile(r"(?:python|pypy)(?:[0-9]+(?:\.[0-9]+)*)?t?\Z")
ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)\Z", re.DOTALL)


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
    return bool(PYTHON.match(os.path.basename(path)))


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


def note_step(launch: Launch, kind: str, name: str) -> None:
    """Add a program that the command goes through to the launch's steps."""
    path = find_program(name, launch)
    entry = step(kind, path) if path else {
        "step": kind, "path": name, "target": None, "exists": False, "executable": False, "problem": "not found in PATH"
    }  # fmt: skip
    launch.steps.append(entry)


def after_options(words: list[str], options: str, skip: int) -> list[str]:
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
        if ASSIGNMENT.match(word) and not skip:
            position += 1
            continue
        if not skip:
            break
        skip -= 1
        position += 1
    return words[position:]


def option_values(words: list[str], options: list[str]) -> dict[str, str]:
    """The values of these options in a command line, given as two words or with an equals sign."""
    values: dict[str, str] = {}
    for index, word in enumerate(words):
        key, equals, value = word.partition("=")
        if equals and key in options:
            values[key] = value
        elif word in options and index + 1 < len(words):
            values[word] = words[index + 1]
    return values
