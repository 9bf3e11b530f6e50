# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes as /proc tells them: parsing, identity, and which of them belong to a backend or run its code."""

from __future__ import annotations

import os
import pwd
import re
import shlex
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Optional

from .model import Backend

PROC = "/proc"
COMMAND_CHARS = 2048
_UNIT = re.compile(r"^[^/]+\.(?:service|scope|socket|mount|swap)$")
_HELPER = re.compile(r"multiprocessing[./](?:resource_tracker|semaphore_tracker|forkserver)")
_SPAWNED = "multiprocessing.spawn"
_PYTHON = re.compile(r"^(?:python|pypy)[0-9.]*$")


@dataclass(frozen=True)
class Stat:
    """The fields of /proc/PID/stat that are used; times are in clock ticks since boot, ``rss_bytes`` in bytes.

    ``ended_faults`` counts the minor page faults of children that ended and were waited for: 0 means that none did.
    """

    pid: int
    comm: str
    state: str
    ppid: int
    pgrp: int
    session: int
    cpu_ticks: int
    threads: int
    start_ticks: int
    rss_bytes: int
    ended_faults: int = 0


@dataclass
class Process:
    """One process with its identity; what can't be read without privilege stays empty."""

    stat: Stat
    uid: Optional[int] = None
    argv: list[str] = field(default_factory=list)
    exe: Optional[str] = None
    cwd: Optional[str] = None
    cgroup: Optional[str] = None
    fds: Optional[int] = None

    @property
    def pid(self) -> int:
        return self.stat.pid

    @property
    def unit(self) -> Optional[str]:
        return unit_of(self.cgroup)

    def as_dict(self) -> dict[str, Any]:
        """The ``process`` shape of the evidence schema."""
        start = start_epoch(self.stat.start_ticks)
        # A program that sets its title has one argument with blanks in it, which quotes would only disfigure.
        command = shlex.join(self.argv) if len(self.argv) > 1 else (self.argv or [f"[{self.stat.comm}]"])[0]
        return {
            "pid": self.pid,
            "ppid": self.stat.ppid,
            "start_time": iso(start),
            "age_s": round(max(0.0, time.time() - start), 1) if start is not None else None,
            "state": self.stat.state,
            "exe": self.exe,
            "command": command[:COMMAND_CHARS],
            "cwd": self.cwd,
            "user": user_name(self.uid),
            "uid": self.uid,
            "rss_bytes": self.stat.rss_bytes,
            "threads": self.stat.threads,
            "fds": self.fds,
            "cgroup": self.cgroup,
            "unit": self.unit,
        }


def slurp(path: str, limit: int = 64 * 1024) -> Optional[str]:
    """A small file of /proc or /sys as text, None when it can't be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        chunks = []
        while limit > 0:
            chunk = os.read(descriptor, limit)
            if not chunk:
                break
            chunks.append(chunk)
            limit -= len(chunk)
        return b"".join(chunks).decode("utf-8", errors="replace")
    except OSError:
        return None
    finally:
        os.close(descriptor)


def parse_stat(text: str) -> Optional[Stat]:
    """Parse /proc/PID/stat; the name in parentheses may itself hold blanks and parentheses."""
    opening, closing = text.find("("), text.rfind(")")
    if opening < 0 or closing < opening:
        return None
    rest = text[closing + 1 :].split()
    try:
        return Stat(
            pid=int(text[:opening]),
            comm=text[opening + 1 : closing],
            state=rest[0],
            ppid=int(rest[1]),
            pgrp=int(rest[2]),
            session=int(rest[3]),
            cpu_ticks=int(rest[11]) + int(rest[12]),
            threads=int(rest[17]),
            start_ticks=int(rest[19]),
            rss_bytes=int(rest[21]) * page_size(),
            ended_faults=int(rest[8]),
        )
    except (IndexError, ValueError):
        return None


def parse_cgroup(text: str) -> Optional[str]:
    """The path that systemd gave the process: the ``name=systemd`` hierarchy on version 1, else the unified one."""
    paths: dict[str, str] = {}
    for line in text.splitlines():
        number, _colon, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if colon:
            paths["unified" if number == "0" and not controllers else controllers] = path
    named, unified = paths.get("name=systemd"), paths.get("unified")
    if named and (named != "/" or not unified):
        return named
    return unified or named


def parse_uid(status: str) -> Optional[int]:
    """The effective user id of /proc/PID/status."""
    match = re.search(r"^Uid:\s+\d+\s+(\d+)", status, re.MULTILINE)
    return int(match.group(1)) if match else None


def unit_of(cgroup: Optional[str]) -> Optional[str]:
    """The innermost unit in a cgroup path: ``/system.slice/api.service/worker`` belongs to ``api.service``."""
    for part in reversed((cgroup or "").split("/")):
        if _UNIT.match(part):
            return part
    return None


def page_size() -> int:
    return os.sysconf("SC_PAGE_SIZE")


def clock_ticks() -> int:
    """Clock ticks per second."""
    return os.sysconf("SC_CLK_TCK")


@lru_cache(maxsize=1)
def boot_epoch() -> Optional[float]:
    """When the kernel started, in seconds since 1970."""
    match = re.search(r"^btime (\d+)", slurp(f"{PROC}/stat", 1024 * 1024) or "", re.MULTILINE)
    return float(match.group(1)) if match else None


def start_epoch(ticks: int) -> Optional[float]:
    boot = boot_epoch()
    return None if boot is None else boot + ticks / clock_ticks()


def iso(epoch: Optional[float]) -> Optional[str]:
    """Seconds since 1970 as ISO 8601 UTC, to the millisecond."""
    if epoch is None:
        return None
    try:
        base = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(epoch))
    except (OverflowError, ValueError, OSError):
        return None
    return f"{base}.{int(epoch % 1 * 1000):03d}Z"


@lru_cache(maxsize=256)
def user_name(uid: Optional[int]) -> Optional[str]:
    if uid is None:
        return None
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return str(uid)


def read_stat(pid: int) -> Optional[Stat]:
    text = slurp(f"{PROC}/{pid}/stat", 4096)
    return parse_stat(text) if text else None


def scan() -> dict[int, Stat]:
    """All processes of this PID namespace; those that end meanwhile are left out."""
    found: dict[int, Stat] = {}
    try:
        names = os.listdir(PROC)
    except OSError:
        return found
    for name in names:
        if name.isdigit():
            stat = read_stat(int(name))
            if stat is not None:
                found[stat.pid] = stat
    return found


def inspect(stat: Stat, count_fds: bool = False) -> Process:
    """Read who a process is. ``count_fds`` lists its descriptors too, which needs its owner's rights."""
    base = f"{PROC}/{stat.pid}"
    process = Process(stat, uid=parse_uid(slurp(f"{base}/status") or ""))
    process.argv = [part for part in (slurp(f"{base}/cmdline") or "").split("\0") if part]
    process.exe = readlink(f"{base}/exe")
    process.cwd = readlink(f"{base}/cwd")
    process.cgroup = parse_cgroup(slurp(f"{base}/cgroup") or "")
    if count_fds:
        try:
            process.fds = len(os.listdir(f"{base}/fd"))
        except OSError:
            process.fds = None
    return process


def readlink(path: str) -> Optional[str]:
    try:
        return os.readlink(path)
    except OSError:
        return None


@lru_cache(maxsize=1)
def cgroup_prefix() -> str:
    """What stands before the supervisor's paths in /proc/PID/cgroup: inside a container, that container's path."""
    path = parse_cgroup(slurp(f"{PROC}/1/cgroup") or "") or "/"
    return re.sub(r"/(?:init\.scope)?$", "", path)


def in_cgroup(cgroup: Optional[str], wanted: Optional[str], prefix: str = "") -> bool:
    """Whether a cgroup is the wanted one or lies below it; the root belongs to nobody."""
    if not cgroup or not wanted or wanted == "/":
        return False
    places = {wanted.rstrip("/"), prefix + wanted.rstrip("/")}
    return any(cgroup == place or cgroup.startswith(place + "/") for place in places)


# What systemd says of a unit of which no process should run. What runs in its cgroup all the same is left from an earlier start.
_WAITING = ("auto-restart", "auto-restart-queued", "failed", "dead")


def own_pids(backend: Backend, stats: dict[int, Stat]) -> set[int]:
    """The backend's processes: what the supervisor recorded, its cgroup, and their descendants.

    Where the supervisor gives no cgroup (supervisord), the process group of the main process counts too. What an earlier start left
    in the cgroup (KillMode=process) isn't the present start's: older than the main process, which it didn't start, and without a living parent in there.
    """
    own = {pid for pid in [*backend.pids, backend.main_pid or 0] if pid in stats} | cgroup_pids(backend, stats)
    if backend.cgroup and backend.cgroup != "/":
        if backend.main_pid in stats:
            begun = stats[backend.main_pid].start_ticks
            here = {pid: stats[pid] for pid in own}
            old = {pid for pid, stat in here.items() if stat.start_ticks < begun and stat.ppid not in own}
            own -= with_descendants(old - ancestors(backend.main_pid, stats), here)
        elif backend.service.get("sub_state") in _WAITING:
            own = set()
    elif backend.main_pid in stats:
        own.update(pid for pid, stat in stats.items() if stat.pgrp == backend.main_pid)
    return with_descendants(own, stats)


def cgroup_pids(backend: Backend, stats: dict[int, Stat]) -> set[int]:
    """All that is in the backend's cgroup, whichever start it is from; nothing where the supervisor gives no cgroup."""
    if not backend.cgroup or backend.cgroup == "/":
        return set()
    prefix = cgroup_prefix()
    return {
        pid for pid in stats if in_cgroup(parse_cgroup(slurp(f"{PROC}/{pid}/cgroup") or ""), backend.cgroup, prefix)
    }


def with_descendants(pids: set[int], stats: dict[int, Stat]) -> set[int]:
    """These processes and all that they started, directly or not, as long as the parents live."""
    found, grown = set(pids), bool(pids)
    while grown:
        children = {pid for pid, stat in stats.items() if stat.ppid in found and pid not in found}
        grown = bool(children)
        found |= children
    return found


def ancestors(pid: int, stats: dict[int, Stat]) -> set[int]:
    """The process and its parents up to PID 1, for leaving ourselves out."""
    found: set[int] = set()
    while pid in stats and pid not in found and pid > 1:
        found.add(pid)
        pid = stats[pid].ppid
    return found


def is_helper(argv: Iterable[str]) -> bool:
    """Whether this is a helper that multiprocessing starts beside the workers."""
    return any(_HELPER.search(part) for part in argv)


def is_python(process: Process) -> bool:
    names = (os.path.basename(name or "") for name in (process.exe, process.argv[0] if process.argv else ""))
    return any(_PYTHON.match(name.replace(" (deleted)", "")) for name in names)


def is_python_like(process: Process) -> bool:
    """Whether a child is a worker rather than a helper program: Python itself, or a title without a path."""
    return is_python(process) or (process.exe is None and bool(process.argv))


def same_root(pid: int) -> bool:
    """Whether a process sees our file system: equal paths inside another container are not the same code."""
    try:
        theirs, ours = os.stat(f"{PROC}/{pid}/root"), os.stat("/")
    except OSError:
        return True
    return (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)


def runs_same_code(process: Process, backend: Backend) -> bool:
    """Whether a process runs this backend's program, judged by argv and directory, never by its name alone.

    True for the same command, for the same import target or script started in the same directory, and for workers
    that multiprocessing spawned there and whose parent is gone.
    """
    if not process.argv or is_helper(process.argv):
        return False
    homes = {os.path.normpath(path) for path in (backend.cwd, backend.app.code_dir) if path and path != "/"}
    here = process.cwd is not None and os.path.normpath(process.cwd.replace(" (deleted)", "")) in homes
    if here and is_python(process) and any(_SPAWNED in part for part in process.argv):
        return True
    words = _significant(process.argv)
    mine = _significant(backend.argv)
    if mine and words == mine:
        if process.cwd is None and process.uid == backend.uid:
            # Where it runs is hidden from us; the same command by the same user is as near as one gets.
            return True
        return here or not homes or any(part.startswith("/") for part in mine)
    target = f"{backend.app.module}:{backend.app.attribute}" if backend.app.attribute else backend.app.module
    if here and target and backend.app.server in _names(process.argv):
        text = " ".join(process.argv)
        if re.search(rf"(?<![\w.:/]){re.escape(target)}(?![\w.:/])", text):
            return True
    script = backend.app.script
    if not script or not is_python(process):
        return False
    wanted = os.path.normpath(os.path.join(backend.cwd or "/", script))
    return any(os.path.normpath(os.path.join(process.cwd or "/", word)) == wanted for word in words[:3])


def same_command(process: Process, argv: list[str]) -> bool:
    """Whether a process runs a command with all its arguments; how its interpreter was called does not matter."""
    return bool(argv) and _significant(process.argv) == _significant(argv)


def _significant(argv: list[str]) -> list[str]:
    """The command without its interpreter: ``/venv/bin/python3 -u app.py`` and ``python app.py`` are one program."""
    words = list(argv)
    if words and _PYTHON.match(os.path.basename(words[0])):
        words = words[1:]
        while words and words[0].startswith("-") and words[0] not in ("-m", "-c"):
            words = words[2:] if words[0] in ("-W", "-X") else words[1:]
        if words[:1] == ["-m"]:
            words = words[1:]
    if words:
        words[0] = os.path.basename(words[0]) if "/bin/" in words[0] else words[0]
    return words


def _names(argv: list[str]) -> set[str]:
    """Program names in a command; a title such as ``gunicorn: master [main:app]`` is one argument."""
    return {os.path.basename(part).split(":")[0] for part in argv}
