# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which logs of the backend are too large, who writes to them, and how each can be rotated without a loss."""

from __future__ import annotations

import glob
import os
import re
import shlex
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Optional

from ..._evidence import proc
from ..._evidence.context import MIB, SEARCH_PATH, Context
from ..change_logs import COPY, LOGROTATE, RENAME
from ..model import Change, Host
from .leftovers import FOREIGN, Judge

MAIN_CONFIG = "/etc/logrotate.conf"
MAX_CONFIGS = 200
CONFIG_BYTES = MIB
_SCRIPT = re.compile(r"\s*(?:pre|post)rotate\b|\s*(?:first|last)action\b|\s*preremove\b")
_FLAGS = re.compile(r"^flags:\s*([0-7]+)", re.MULTILINE)
# Not copied from the main file: what reads further files.
_INCLUDES = re.compile(r"\s*(?:include|tabooext|taboopat)\b")


@dataclass
class Rules:
    """A configuration of logrotate: general lines, and blocks of (patterns, lines)."""

    general: list[str] = field(default_factory=list)
    blocks: list[tuple[list[str], list[str]]] = field(default_factory=list)
    includes: list[str] = field(default_factory=list)


@dataclass
class Writers:
    """The processes that have a log open for writing: those that aren't this backend's, and whether all append."""

    own: list[int] = field(default_factory=list)
    foreign: list[int] = field(default_factory=list)
    append: bool = True


def changes(host: Host, judge: Judge, over_mib: float, restart: bool, notes: list[str]) -> Iterator[Change]:
    """A change for each log of the backend that is larger than ``over_mib``; why one can't be rotated goes to the notes."""
    if over_mib <= 0:
        return
    for path in dict.fromkeys(os.path.realpath(ref.path) for ref in host.backend.log_files):
        try:
            status = os.stat(path, follow_symlinks=False)
        except OSError:
            continue
        if not stat.S_ISREG(status.st_mode) or status.st_size <= over_mib * MIB:
            continue
        why = f"{status.st_size / MIB:.0f} MiB are more than {over_mib:g}"
        if not _may(host, path, status):
            notes.append(
                f"{path} ({why}) is not rotated: its owner isn't the backend's user or root, or it has several names."
            )
            continue
        writers = find_writers(path, status, judge)
        own_way = way(writers, restart)
        config = for_file(path, host.ctx)
        if config is not None:
            options = {"by": LOGROTATE, **({"otherwise": own_way} if own_way else {})}
            yield Change(
                "rotate", path, f"{why}; the system's logrotate has a rule for it", config.encode(), options=options
            )
        elif own_way:
            yield Change("rotate", path, why, options={"by": own_way})
        else:
            who = ", ".join(str(pid) for pid in [*writers.own, *writers.foreign])
            notes.append(
                f"{path} ({why}) is not rotated: process {who} writes to it without appending, so that a cut would leave a hole. "
                "Give it a rule of logrotate with a reload of its writer."
            )


def way(writers: Writers, restart: bool) -> Optional[str]:
    """How to rotate a file with these writers.

    A rename loses nothing, and its writers have to start anew, or there are none. A copy needs writers that append: others would go on
    at their old place, behind a hole.
    """
    if not writers.foreign and (restart or not writers.own):
        return RENAME
    return COPY if writers.append else None


def _may(host: Host, path: str, status: os.stat_result) -> bool:
    """Whether the file is the backend's: a service user must not make us rotate the file of somebody else."""
    if status.st_nlink != 1:
        return False
    if status.st_uid == host.backend.uid:
        return True
    try:
        folder = os.stat(os.path.dirname(path))
    except OSError:
        return False
    # systemd makes the files of StandardOutput= as root, also in the directory of the service user, who could remove them there anyway.
    return status.st_uid == 0 and folder.st_uid in (0, host.backend.uid) and not folder.st_mode & stat.S_IWOTH


def find_writers(path: str, status: os.stat_result, judge: Judge) -> Writers:
    """Look through the descriptors of all processes for this file."""
    found = Writers()
    for pid in judge.stats:
        base = f"/proc/{pid}/fd"
        try:
            names = os.listdir(base)
        except OSError:
            continue
        for name in names:
            if proc.readlink(f"{base}/{name}") != path:
                continue
            match = _FLAGS.search(proc.slurp(f"/proc/{pid}/fdinfo/{name}") or "")
            flags = int(match.group(1), 8) if match else os.O_WRONLY
            if flags & os.O_ACCMODE == os.O_RDONLY:
                continue
            found.append = found.append and bool(flags & os.O_APPEND)
            side = found.foreign if judge.verdict(pid).kind == FOREIGN else found.own
            if pid not in side:
                side.append(pid)
    return found


def for_file(path: str, ctx: Context, main: str = MAIN_CONFIG) -> Optional[str]:
    """A configuration that rotates this one file as the system's logrotate would; None when it has no rule for it, or isn't there."""
    if not shutil.which("logrotate", path=SEARCH_PATH):
        return None
    rules = read(main, ctx)
    if rules is None:
        return None
    for name in _included(rules.includes):
        more = read(name, ctx)
        rules.blocks += more.blocks if more else []
    for patterns, lines in rules.blocks:
        if any(_covers(pattern, path) for pattern in patterns):
            return "\n".join([*rules.general, f'"{path}" {{', *lines, "}", ""])
    return None


def read(path: str, ctx: Context) -> Optional[Rules]:
    """Parse one file; one that others than root can write to isn't followed, as logrotate itself doesn't."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    content = ctx.read(path, CONFIG_BYTES)
    if content.error or status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
        return None
    return parse(content.text)


def parse(text: str) -> Rules:
    """Parse logrotate's configuration as far as its blocks; braces in scripts mean nothing."""
    rules = Rules()
    patterns: list[str] = []
    body: Optional[list[str]] = None
    script = False
    for line in text.splitlines():
        bare = line.split("#", 1)[0].strip() if not script else line.strip()
        if body is not None:
            if script:
                script = bare != "endscript"
            elif bare == "}":
                rules.blocks.append((patterns, body))
                patterns, body = [], None
                continue
            else:
                script = bool(_SCRIPT.match(bare))
            body.append(line)
        elif bare.endswith("{"):
            patterns += _words(bare[:-1])
            body = []
        elif bare.startswith(("/", '"', "'", "~")):
            patterns += _words(bare)
        elif bare.startswith("include"):
            rules.includes += _words(bare)[1:]
        elif bare and not _INCLUDES.match(bare):
            rules.general.append(line)
    return rules


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return []


def _included(names: list[str]) -> list[str]:
    found: list[str] = []
    for name in names:
        if os.path.isdir(name):
            found += sorted(path for path in glob.glob(os.path.join(glob.escape(name), "*")) if os.path.isfile(path))
        elif os.path.isfile(name):
            found.append(name)
    return found[:MAX_CONFIGS]


def _covers(pattern: str, path: str) -> bool:
    return pattern.startswith("/") and any(os.path.realpath(match) == path for match in glob.glob(pattern))
