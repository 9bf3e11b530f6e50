# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a host: everything about it that a diagnosis must leave as it is, as one JSON document.

The first argument is `{"units": [names], "trees": [paths], "content": [patterns], "leftovers": {fault: [PID files]}}`. Standard library only.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import re
import stat
import subprocess
import sys
import time
from typing import Any

# Whole trees: every entry with type, mode, owner, size, link target, mtime and ctime. ctime can't be set back by anybody.
ALWAYS = ["/etc", "/opt", "/srv", "/home", "/root", "/usr/local", "/var/tmp", "/tmp", "/dev/shm", "/run/user"]
ALWAYS += ["/run/systemd/system", "/run/systemd/transient"]
# Only names: what services and systemd themselves write there changes all the time.
NAMES = ["/run", "/run/lock", "/var", "/var/lib", "/var/lib/systemd", "/var/log", "/var/cache", "/var/spool"]
# A directory's own times change when a temporary file comes and goes; that is allowed here, as nothing stays.
TEMPORARY = {"/tmp", "/var/tmp", "/dev/shm", "/run/user", "/home/ops", "/root"}
SHOW = "Id,ActiveState,MainPID,ExecMainStartTimestampMonotonic,NRestarts,RestartUSec,InvocationID,NeedDaemonReload,FragmentPath,DropInPaths,ControlGroup"
# "Main process exited" and the like (SD_MESSAGE_UNIT_PROCESS_EXIT).
PROCESS_EXIT = "MESSAGE_ID=98e322203f7a4ed290d09fe03c09fe15"
LOGIN_UNITS = re.compile(
    r"^(session-.*\.scope|user@.*|user-.*\.slice|user-runtime-dir@.*|run-user-.*"
    r"|systemd-(logind|tmpfiles|timedated|hostnamed).*|.*\.device)$"
)


def main(wanted: dict[str, Any]) -> dict[str, Any]:
    """Gather everything."""
    units_from = time.monotonic()
    shown = units(wanted["units"])
    units_until = time.monotonic()
    described = files(wanted["trees"] + ALWAYS)
    leftovers = {fault: family(paths) for fault, paths in wanted.get("leftovers", {}).items()}
    return {
        "units_from": units_from,
        "units_until": units_until,
        "units": shown,
        "files": described,
        "content": content(described, wanted.get("content", [])),
        "leftovers": leftovers,
        "leftover_sockets": sorted(listens({pid for pids in leftovers.values() for pid in pids})),
        # Any login over SSH makes motd.dynamic, whatever is done then.
        "names": {path: sorted(set(os.listdir(path)) - {"motd.dynamic"}) for path in NAMES if os.path.isdir(path)},
        "loaded": sorted(name for name in loaded() if not LOGIN_UNITS.match(name)),
        "exits": exits(wanted["units"]),
        "processes": processes(),
        "sockets": sockets(),
        "mounts": sorted(line.split(" ", 2)[2] for line in read("/proc/1/mountinfo").splitlines()),
    }


def files(trees: list[str]) -> dict[str, list[Any]]:
    """Describe every entry below these trees without opening one."""
    found: dict[str, list[Any]] = {}
    queue = [tree for tree in trees if os.path.lexists(tree)]
    while queue:
        path = queue.pop()
        if path in found:
            continue
        try:
            facts = os.lstat(path)
            kind = stat.S_IFMT(facts.st_mode)
            target = os.readlink(path) if kind == stat.S_IFLNK else ""
            if kind == stat.S_IFDIR:
                queue += [os.path.join(path, name) for name in os.listdir(path)]
        except FileNotFoundError:
            continue
        times = (
            []
            if path in TEMPORARY
            else [facts.st_mtime_ns, facts.st_ctime_ns, 0 if kind == stat.S_IFDIR else facts.st_size]
        )
        found[path] = [oct(facts.st_mode), facts.st_uid, facts.st_gid, target, *times]
    return found


def content(described: dict[str, list[Any]], patterns: list[str]) -> dict[str, list[Any]]:
    """Return type, mode, owner, group, link target and SHA-256 of the entries that match; `/**` takes in everything below."""
    below = tuple(pattern[:-2] for pattern in patterns if pattern.endswith("/**"))
    plain = set(patterns)
    globs = [pattern for pattern in patterns if not pattern.endswith("/**") and set(pattern) & set("*?[")]
    found: dict[str, list[Any]] = {}
    for path, facts in described.items():
        named = path in plain or (below and f"{path}/".startswith(below))
        # Python writes its bytecode again whenever it likes.
        if "/__pycache__" not in path and (named or any(fnmatch.fnmatchcase(path, glob) for glob in globs)):
            found[path] = [*facts[:4], digest(path) if facts[0].startswith("0o100") else ""]
    return found


def digest(path: str) -> str:
    """Return the SHA-256 of a file, or why there is none."""
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError as error:
        return str(error)


def family(pid_files: list[str]) -> list[str]:
    """Return the processes whose numbers are in these files, and all that came from them."""
    known = {read(path).strip() for path in pid_files} - {""}
    parents = {
        pid: read(f"/proc/{pid}/stat").rpartition(")")[2].split()[1:2]
        for pid in filter(str.isdigit, os.listdir("/proc"))
    }
    while True:
        more = {pid for pid, parent in parents.items() if parent and parent[0] in known} - known
        if not more:
            return sorted(known)
        known |= more


def listens(pids: set[str]) -> set[str]:
    """Return the local addresses on which these processes listen, as /proc/net/tcp has them."""
    inodes = set()
    for pid in pids:
        try:
            inodes |= {os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}
        except OSError:
            continue
    lines = [line.split() for name in ("tcp", "tcp6") for line in read(f"/proc/net/{name}").splitlines()[1:]]
    return {words[1] for words in lines if words[3] == "0A" and f"socket:[{words[9]}]" in inodes}


def units(names: list[str]) -> dict[str, dict[str, str]]:
    """Return what systemd says of each unit."""
    blocks = output(["systemctl", "show", "--property", SHOW, *names]).split("\n\n")
    shown = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in blocks]
    return {unit["Id"]: unit for unit in shown}


def loaded() -> list[str]:
    """Return the names of all units in systemd's memory that do or did something; a transient one that stayed is among them."""
    rows = [
        line.split()
        for line in output(["systemctl", "list-units", "--all", "--plain", "--no-legend", "--no-pager"]).splitlines()
    ]
    return [row[0] for row in rows if len(row) > 3 and row[2] != "inactive"]


def exits(names: list[str]) -> dict[str, dict[str, int]]:
    """Return how often each unit's processes ended in which way, by the journal's structured fields."""
    counted: dict[str, dict[str, int]] = {name: {} for name in names}
    for line in output(["journalctl", "-q", "-o", "json", "--no-pager", PROCESS_EXIT]).splitlines():
        entry = json.loads(line)
        ways = counted.get(str(entry.get("UNIT")), {})
        way = f"{entry.get('EXIT_CODE')} {entry.get('EXIT_STATUS')}"
        ways[way] = ways.get(way, 0) + 1
    return counted


def processes() -> dict[str, list[str]]:
    """Return every process but this program's own line and logins: PID → start time, unit, command, control group."""
    found = {}
    mine = ancestors(os.getpid())
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) in mine:
            continue
        unit = unit_of(pid)
        words = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        command = read(f"/proc/{pid}/cmdline").replace("\0", " ").strip()
        # In init.scope are also those that systemd has forked and not yet turned into a service.
        # One without a command line is the container engine's own, on its way in.
        if not words or words[0] == "Z" or not command or unit == "login" or (unit == "init.scope" and pid != "1"):
            continue
        # sshd's listener writes the number of logins at present into its own command line.
        found[pid] = [words[19], unit, command.partition(" [listener]")[0], cgroup_of(pid)]
    return found


def unit_of(pid: str) -> str:
    """Return the unit in whose control group a process is, `login` for SSH sessions, or nothing."""
    parts = cgroup_of(pid).split("/")
    if any(part.startswith(("session-", "user-", "user@")) for part in parts):
        return "login"
    services = [part for part in parts if part.endswith((".service", ".scope")) and not part.startswith("docker-")]
    if services[:1] == ["ssh.service"] and "sshd -D" not in read(f"/proc/{pid}/cmdline").replace("\0", " "):
        return "login"
    return services[0] if services else ""


def cgroup_of(pid: str) -> str:
    """Return the path of a process in systemd's own tree of control groups."""
    lines = read(f"/proc/{pid}/cgroup").splitlines()
    ours = [line for line in lines if "name=systemd" in line] or [line for line in lines if line.startswith("0::")]
    return ours[0].split(":", 2)[2] if ours else ""


def ancestors(pid: int) -> set[int]:
    """Return a process and all above it."""
    line = set()
    while pid > 0 and pid not in line:
        line.add(pid)
        words = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        pid = int(words[1]) if words else 0
    return line


def sockets() -> list[list[str]]:
    """Return what listens, with the unit that owns it: protocol, address, unit."""
    owners: dict[str, str] = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            for descriptor in os.listdir(f"/proc/{pid}/fd"):
                # A service's child that systemd is just starting holds them for a moment too.
                link = os.readlink(f"/proc/{pid}/fd/{descriptor}")
                owners[link] = max(owners.get(link, ""), unit_of(pid).replace("init.scope", ""))
        except OSError:
            continue
    found = []
    for protocol, states in (("tcp", {"0A"}), ("tcp6", {"0A"}), ("udp", {"07"}), ("udp6", {"07"})):
        for line in read(f"/proc/net/{protocol}").splitlines()[1:]:
            words = line.split()
            if words[3] in states:
                found.append([protocol, words[1], owners.get(f"socket:[{words[9]}]", "")])
    return sorted(found)


def read(path: str) -> str:
    """Return a small file's text, or nothing."""
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def output(argv: list[str]) -> str:
    """Run a program and return what it printed."""
    return subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False, timeout=60).stdout


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
