# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``unit`` section of a systemd unit: its files, its effective settings, and what those name on this host."""

from __future__ import annotations

import grp
import os
import stat
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from .context import is_there
from .model import LogRef, Section
from .systemd_environment import DEFAULT_PATH, Environment, account
from .systemd_service import commands
from .systemd_show import ExecStatus, Properties
from .systemd_unit_files import SANDBOX_SETTINGS, expand_specifiers
from .systemd_words import ExecLine, expand_variables, parse_count, parse_timespan, split_commands, split_words

_FILE_OUTPUTS = ("append:", "file:", "truncate:")


def section(
    unit: Properties,
    files: list[dict[str, Any]],
    directives: dict[str, list[str]],
    environment: Environment,
    problems: list[dict[str, Any]],
) -> Section:
    """Build the section from the manager's properties and the text of the files.

    :param directives: effective settings as written, from :func:`systemd_unit_files.merge`.
    """
    user, group = unit.get("User"), unit.get("Group")
    folder, optional = working_directory(unit)
    return {
        "files": files,
        "directives": directives,
        "exec_start": all_argv(unit, directives, "ExecStart"),
        "exec_start_pre": all_argv(unit, directives, "ExecStartPre"),
        "type": unit.get("Type") or None,
        "user": user or None,
        "user_exists": unit.yes("DynamicUser") or user_exists(user),
        "group": group or None,
        "group_exists": unit.yes("DynamicUser") or group_exists(group),
        "dynamic_user": unit.yes("DynamicUser"),
        "working_directory": folder,
        "working_directory_optional": optional,
        "working_directory_exists": is_there(folder, stat.S_ISDIR) if folder else None,
        "root_directory": unit.get("RootDirectory") or unit.get("RootImage") or None,
        "environment_names": sorted(environment.values),
        "environment_files": [
            {"path": file.path, "optional": file.optional, "exists": is_there(file.path)} for file in environment.files
        ],
        "standard_output": output(unit, directives, "StandardOutput"),
        "standard_error": output(unit, directives, "StandardError"),
        "timeout_start_s": parse_timespan(unit.get("TimeoutStartUSec")),
        "timeout_stop_s": parse_timespan(unit.get("TimeoutStopUSec")),
        "watchdog_s": parse_timespan(unit.get("WatchdogUSec")) or None,
        "limits": {
            "nofile": parse_count(unit.get("LimitNOFILE")),
            "nproc": parse_count(unit.get("LimitNPROC")),
            "memory_max": parse_count(unit.get("MemoryMax")),
            "tasks_max": parse_count(unit.get("TasksMax")),
        },
        "kill_mode": unit.get("KillMode") or None,
        "sandboxing": {setting: " ".join(directives[setting]) for setting in SANDBOX_SETTINGS if setting in directives},
        "problems": problems,
        "needs_daemon_reload": unit.yes("NeedDaemonReload"),
    }


def all_argv(unit: Properties, directives: Mapping[str, Sequence[str]], step: str) -> list[list[str]]:
    """The commands of one step; as written, where systemd did not take them."""
    written, name = directives.get(step, []), unit.get("Id")
    known = commands(unit, step)
    if known:
        return [exact_argv(item, written, name) for item in known]
    lines = [line for value in written for line in split_commands(value)]
    return [[expand_specifiers(word, name) for word in line.argv] for line in lines]


def main_command(unit: Properties, directives: Mapping[str, Sequence[str]], environ: Mapping[str, str]) -> list[str]:
    """The command that is executed, variables replaced; of several (oneshot) the first that failed. Empty if none."""
    statuses = commands(unit, "ExecStart")
    if not statuses:
        written = all_argv(unit, directives, "ExecStart")
        return expand_variables(written[0], environ) if written else []
    status = next((item for item in statuses if item.failed), statuses[0])
    argv = exact_argv(status, directives.get("ExecStart", []), unit.get("Id"))
    argv[0] = find_executable(argv[0], environ.get("PATH", DEFAULT_PATH))
    return argv if ":" in status.flags else expand_variables(argv, environ)


def exact_argv(status: ExecStatus, written: Sequence[str], name: str) -> list[str]:
    """The words of a command, with the quotes of the unit file respected.

    ``systemctl show`` joins the words with blanks. The text of the unit file gives them back, if it says the same.
    """
    lines: list[ExecLine] = []
    for value in written:
        lines += split_commands(value)
    for line in lines:
        argv = [expand_specifiers(word, name) for word in line.argv]
        if " ".join(argv[1:]).split() == status.words[1:] and os.path.basename(argv[0]) == os.path.basename(
            status.path
        ):
            return [status.path, *argv[1:]]
    return [status.path, *status.words[1:]]


def find_executable(path: str, search: str) -> str:
    """A command without a slash, looked up as systemd does; unchanged when it isn't found."""
    if "/" in path:
        return path
    for folder in (search or DEFAULT_PATH).split(":"):
        candidate = os.path.join(folder, path)
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    return path


def working_directory(unit: Properties) -> tuple[Optional[str], bool]:
    """The working directory (``~`` resolved) and whether it may be missing; None where it is not set."""
    text = unit.get("WorkingDirectory")
    optional = text.startswith("!")
    text = text.lstrip("!")
    if text == "~":
        user = account(unit.get("User") or "root")
        return (user.pw_dir if user else None), optional
    return text or None, optional


def output(unit: Properties, directives: Mapping[str, Sequence[str]], setting: str) -> Optional[str]:
    """Where the stream goes, with the path of a file, which ``systemctl show`` leaves out."""
    written = (directives.get(setting) or [""])[-1]
    if written.startswith(_FILE_OUTPUTS):
        return expand_specifiers(written, unit.get("Id"))
    return unit.get(setting) or written or None


def log_files(unit: Properties, directives: Mapping[str, Sequence[str]]) -> list[LogRef]:
    """The files that the unit sends its output to."""
    found: list[LogRef] = []
    for setting, stream in (("StandardOutput", "stdout"), ("StandardError", "stderr")):
        kind, colon, path = (output(unit, directives, setting) or "").partition(":")
        if colon and f"{kind}:" in _FILE_OUTPUTS and path not in [log.path for log in found]:
            found.append(LogRef(path, f"{setting}={kind}:", stream))
    for argv in [line.argv for value in directives.get("ExecStart", []) for line in split_commands(value)]:
        found += [log for log in _redirections(argv) if log.path not in [known.path for known in found]]
    return found


def user_exists(name: str) -> bool:
    """Whether systemd can change to the user: none given is root, a number needs no account."""
    return not name or name.isdigit() or account(name) is not None


def group_exists(name: str) -> bool:
    """Whether systemd can change to the group: none given is the user's, a number needs no entry."""
    if not name or name.isdigit():
        return True
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def _redirections(argv: Sequence[str]) -> list[LogRef]:
    """Absolute files behind ``>``, ``>>`` and ``2>`` in the text of ``sh -c``."""
    if len(argv) < 3 or os.path.basename(argv[0]) not in ("sh", "bash", "dash") or not argv[1].startswith("-"):
        return []
    words = split_words(" ".join(argv[2:]).replace(">>", ">").replace(">", " > "))
    return [
        LogRef(after, "shell redirection in ExecStart=", "stderr" if before == "2" else "stdout")
        for before, sign, after in zip(["", *words], words, words[1:])
        if sign == ">" and after.startswith("/") and not after.startswith("/dev/")
    ]
