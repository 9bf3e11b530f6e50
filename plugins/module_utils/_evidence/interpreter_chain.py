# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a program to the interpreter that runs it: links, ``#!`` lines, launchers of pip and pyenv, ``pyvenv.cfg``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

from .app_program import DEFAULT_PATH, is_python, step
from .context import KIB, Context
from .model import Section

MAX_HOPS = 20
# BINPRM_BUF_SIZE of Linux: 256 since 5.1, 128 before; what is longer is cut by the kernel.
SHEBANG_LIMIT = 255


@dataclass
class Chain:
    """The steps, the interpreter as it is called (None when none was reached), and why the chain broke."""

    steps: list[Section] = field(default_factory=list)
    python: Optional[str] = None
    flags: list[str] = field(default_factory=list)
    error: Optional[str] = None
    not_python: bool = False


def follow_program(program: str, environ: Mapping[str, str], cwd: str, ctx: Context) -> Chain:
    """Follow a program to a Python interpreter. Broken links, bad ``#!`` lines and loops end the chain with an error."""
    chain = Chain()
    kind = "command"
    path = program
    for _hop in range(MAX_HOPS):
        if "/" not in path:
            path = _search(path, environ, cwd) or path
        _links(path, kind, chain)
        if chain.error:
            return chain
        shim = _pyenv_shim(path, environ, cwd, ctx)
        if shim is not None:
            kind, path = "launcher", shim
            continue
        if is_python(path) or is_python(os.path.realpath(path)):
            chain.python = path
            return chain
        following = _shebang(path, chain, ctx)
        if following is None:
            return chain
        kind, path = "shebang", following
    chain.error = f"{program}: more than {MAX_HOPS} steps lead to no interpreter"
    return chain


def _links(path: str, kind: str, chain: Chain) -> None:
    """One step for the path and one for each link that it is; notes where they end."""
    entry = step(kind, path)
    chain.steps.append(entry)
    seen: set[str] = set()
    current = path
    while entry["target"] is not None:
        if current in seen or len(seen) > 40:
            entry["problem"] = "link loop"
            chain.error = f"{path}: a loop of symbolic links"
            return
        seen.add(current)
        current = os.path.normpath(os.path.join(os.path.dirname(current), entry["target"]))
        entry = step("symlink", current)
        chain.steps.append(entry)
    # A link in a directory on the way can loop or dangle as well; only the system knows.
    if not os.path.exists(path):
        hint = _nearest(current)
        what = f"{path} is a link to {current}, which" if current != path else path
        chain.error = f"{what} does not exist" + (f" ({hint})" if hint else "")
    elif os.path.isdir(path):
        chain.error = f"{path} is a directory"
    elif not chain.steps[-1]["executable"] and kind != "script":
        chain.steps[-1]["problem"] = "not executable"
        chain.error = f"{current} is not executable"


def _nearest(path: str) -> str:
    """How far a missing path exists."""
    while path not in ("/", "") and not os.path.lexists(path):
        path = os.path.dirname(path)
    if os.path.islink(path) and not os.path.exists(path):
        return f"{path} is a dangling link"
    return f"nothing below {path}" if path != "/" else ""


def parse_shebang(first_line: bytes) -> tuple[Optional[str], Optional[str], Optional[str]]:
    """A ``#!`` line as the kernel reads it: (interpreter, its one argument, problem)."""
    if not first_line.startswith(b"#!"):
        if first_line.startswith(b"\xef\xbb\xbf#!"):
            return None, None, "a byte-order mark stands before the #! line"
        return None, None, None
    line = first_line[2:].rstrip(b"\n").decode("utf-8", "replace")
    problem = None
    if line.endswith("\r"):
        problem = "the #! line ends in a carriage return, the kernel looks for an interpreter of that name"
    elif len(first_line) > SHEBANG_LIMIT:
        problem = f"the #! line is longer than the {SHEBANG_LIMIT} characters that the kernel reads"
    words = line.strip(" \t").split(None, 1) if not line.endswith("\r") else line[:-1].strip(" \t").split(None, 1)
    if not words:
        return None, None, "the #! line names no interpreter"
    return words[0], words[1].strip() if len(words) > 1 else None, problem


def _shebang(path: str, chain: Chain, ctx: Context) -> Optional[str]:
    """The interpreter that a script names; None ends the chain, with an error or because it is no Python script."""
    head = ctx.read(path, 4 * KIB)
    if head.error:
        chain.error = head.error
        return None
    if head.raw.startswith(b"\x7fELF"):
        chain.not_python = True
        return None
    interpreter, argument, problem = parse_shebang(head.raw.split(b"\n", 1)[0] + b"\n")
    if problem:
        chain.steps[-1]["problem"] = problem
        chain.error = f"{path}: {problem}"
        return None
    if interpreter is None:
        chain.not_python = True
        chain.steps[-1]["problem"] = "neither a binary nor a script with a #! line"
        if head.size == 0:
            chain.steps[-1]["problem"] = "the file is empty"
        return None
    launcher = re.search(rb"'''exec' \"?([^\"\n]+?)\"? \"\$0\"", head.raw)
    if launcher:
        return launcher.group(1).decode("utf-8", "replace")
    if os.path.basename(interpreter) == "env":
        words = (argument or "").split()
        words = words[1:] if words[:1] in (["-S"], ["--split-string"]) else words
        while words and ("=" in words[0] or words[0].startswith("-")):
            words = words[1:]
        if not words:
            chain.error = f"{path}: its #! line names no program for env"
            return None
        chain.steps.append(step("shebang", interpreter))
        return words[0]
    if os.path.basename(interpreter) in ("sh", "bash", "dash", "zsh", "perl", "node", "ruby", "php"):
        chain.not_python = True
        return None
    if argument:
        chain.flags = argument.split()
    other = _other_environment(path, interpreter)
    if other:
        chain.steps[-1]["problem"] = other
    return interpreter


def _other_environment(script: str, interpreter: str) -> Optional[str]:
    """A console script whose ``#!`` line names another directory's environment: the environment was moved or copied."""
    own = os.path.dirname(script)
    if os.path.basename(own) != "bin" or own in ("/usr/bin", "/usr/local/bin", "/bin"):
        return None
    if not os.path.isfile(os.path.join(os.path.dirname(own), "pyvenv.cfg")):
        return None
    if os.path.dirname(interpreter) == own or os.path.realpath(os.path.dirname(interpreter)) == os.path.realpath(own):
        return None
    return f"the environment was moved or copied: this script calls {interpreter}, not {own}/python"


def _search(name: str, environ: Mapping[str, str], cwd: str) -> Optional[str]:
    for directory in environ.get("PATH", DEFAULT_PATH).split(":"):
        path = os.path.normpath(os.path.join(cwd, directory, name))
        if os.path.lexists(path) and not os.path.isdir(path):
            return path
    return None


def _pyenv_shim(path: str, environ: Mapping[str, str], cwd: str, ctx: Context) -> Optional[str]:
    """The interpreter behind a pyenv shim, by its variables and version files; None when the path is no shim."""
    if os.path.basename(os.path.dirname(path)) != "shims":
        return None
    head = ctx.read(path, KIB)
    if b"pyenv" not in head.raw:
        return None
    root = os.path.dirname(os.path.dirname(path))
    versions = (
        environ.get("PYENV_VERSION") or _version_file(cwd, ctx) or _first_line(os.path.join(root, "version"), ctx)
    )
    version = (versions or "").split(":")[0].split()[0] if versions else ""
    if not version or version == "system":
        return None
    directory = os.path.join(root, "versions", version)
    if not os.path.isdir(directory):
        candidates = sorted(_listed(os.path.join(root, "versions")))
        directory = next(
            (os.path.join(root, "versions", name) for name in candidates if name.startswith(version)), directory
        )
    return os.path.join(directory, "bin", os.path.basename(path))


def _listed(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


def _version_file(directory: str, ctx: Context) -> Optional[str]:
    while True:
        text = _first_line(os.path.join(directory, ".python-version"), ctx)
        if text or directory in ("/", ""):
            return text
        directory = os.path.dirname(directory)


def _first_line(path: str, ctx: Context) -> Optional[str]:
    content = ctx.read(path, KIB)
    return None if content.error else content.text.strip().split("\n")[0].strip() or None


def parse_pyvenv(text: str) -> dict[str, str]:
    """``pyvenv.cfg``: lines of ``key = value``, keys in lower case."""
    result: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals:
            result[key.strip().lower()] = value.strip()
    return result
