# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment that systemd hands to a service's process, with the origin of each variable."""

from __future__ import annotations

import glob
import os
import pwd
from dataclasses import dataclass, field
from typing import Optional

from . import env_file
from .context import Context, silence
from .model import EnvFileRef
from .numerals import whole
from .redaction import learn
from .systemd_show import Properties, parse_environment_file
from .systemd_words import parse_environment, split_words

# What the manager's PATH is compiled to, for when it can't be asked.
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MAX_ENV_FILES = 50
# Setting → (variable, parent directory), systemd.exec(5).
_DIRECTORIES = {
    "RuntimeDirectory": ("RUNTIME_DIRECTORY", "/run"),
    "StateDirectory": ("STATE_DIRECTORY", "/var/lib"),
    "CacheDirectory": ("CACHE_DIRECTORY", "/var/cache"),
    "LogsDirectory": ("LOGS_DIRECTORY", "/var/log"),
    "ConfigurationDirectory": ("CONFIGURATION_DIRECTORY", "/etc"),
}
# Set anew for every process, or by the shell of a start script; copying them from a process would mislead.
_PER_PROCESS = {
    "NOTIFY_SOCKET", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "MAINPID",
    "WATCHDOG_PID", "WATCHDOG_USEC", "MANAGERPID", "PWD", "OLDPWD", "SHLVL", "_", "MEMORY_PRESSURE_WATCH",
    "MEMORY_PRESSURE_WRITE", "INVOCATION_ID", "CREDENTIALS_DIRECTORY",
}  # fmt: skip


@dataclass
class Environment:
    """``values`` are what the process gets, ``origins`` where each comes from."""

    values: dict[str, str] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    files: list[EnvFileRef] = field(default_factory=list)

    def set(self, name: str, value: str, origin: str) -> None:
        self.values[name] = value
        self.origins[name] = origin


def effective(
    unit: Properties, manager: Properties, version: int, ctx: Context, user: Optional[pwd.struct_passwd]
) -> Environment:
    """Merge the sources in systemd's order: manager, what it sets itself, passed on, ``Environment=``, files, unset.

    :param manager: properties of the manager itself; may be empty.
    :param user: the account of ``User=``; None where none is set or it does not exist.
    """
    result = Environment()
    own = parse_environment(manager.get("Environment"))
    for name, value in {"PATH": DEFAULT_PATH, **own}.items():
        result.set(name, value, "systemd manager")
    if user is not None:
        for name, value in _login(user).items():
            result.set(name, value, "systemd, from User=")
    elif unit.yes("DynamicUser"):
        result.set("HOME", "/", "systemd, from DynamicUser=")
    for setting, (name, parent) in _DIRECTORIES.items():
        folders = [word.split(":")[0] for word in split_words(unit.get(setting))]
        if folders:
            result.set(name, ":".join(f"{parent}/{folder}" for folder in folders), f"systemd, from {setting}=")
    if unit.get("InvocationID"):
        result.set("INVOCATION_ID", unit.get("InvocationID"), "systemd")
    for name in split_words(unit.get("PassEnvironment")):
        if name in own:
            result.set(name, own[name], "PassEnvironment=")
    for name, value in parse_environment(unit.get("Environment")).items():
        result.set(name, value, "Environment=")
    for text in unit.all("EnvironmentFiles"):
        path, optional = parse_environment_file(text)
        _add_file(result, path, optional, version, ctx)
    for word in split_words(unit.get("UnsetEnvironment")):
        name, equals, value = word.partition("=")
        if name in result.values and (not equals or result.values[name] == value):
            del result.values[name], result.origins[name]
    learn(result.values, ctx)
    return result


def add_from_process(result: Environment, pid: int) -> None:
    """Add what only the running process has, such as variables that a start script exports."""
    for name, value in read_process(pid).items():
        if name not in result.values and name not in _PER_PROCESS:
            result.set(name, value, f"process {pid}")


def read_process(pid: int) -> dict[str, str]:
    """The environment a process was started with; empty without the right to read it."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as stream:
            return parse_process(stream.read(256 * 1024))
    except OSError:
        return {}


def parse_process(raw: bytes) -> dict[str, str]:
    """The variables in /proc/PID/environ; a process can write anything there, so what is no name is left out."""
    pairs = (item.decode("utf-8", errors="replace").partition("=") for item in raw.split(b"\0") if item)
    return {name: value for name, equals, value in pairs if equals and env_file.NAME.match(name)}


def _add_file(result: Environment, pattern: str, optional: bool, version: int, ctx: Context) -> None:
    globbed = any(char in pattern for char in "*?[") and not silence(pattern.partition("*")[0])
    paths = sorted(glob.glob(pattern)) if globbed else [pattern]
    for path in (paths or [pattern])[:MAX_ENV_FILES]:
        result.files.append(EnvFileRef(path, optional, f"EnvironmentFile={'-' if optional else ''}{pattern}"))
        content = ctx.read(path, max_bytes=env_file.MAX_BYTES)
        if content.error or content.truncated:
            continue
        parsed = env_file.parse(content.raw, version)
        env_file.remember_secrets(parsed, ctx)
        for name, value in parsed.variables.items():
            result.set(name, value, path)


def _login(user: pwd.struct_passwd) -> dict[str, str]:
    values = {"LOGNAME": user.pw_name, "USER": user.pw_name}
    if user.pw_dir:
        values["HOME"] = user.pw_dir
    if user.pw_shell:
        values["SHELL"] = user.pw_shell
    return values


def account(name: str) -> Optional[pwd.struct_passwd]:
    """The account of a name or number; None when there is none, or no name is given."""
    if not name:
        return None
    try:
        number = whole(name)
        return pwd.getpwnam(name) if number is None else pwd.getpwuid(number)
    except (KeyError, OverflowError):
        return None


def all_groups(user: pwd.struct_passwd, gid: int) -> list[int]:
    """All groups of an account, the given main group among them."""
    try:
        return sorted(set(os.getgrouplist(user.pw_name, gid)))
    except OSError:
        return [gid]
