# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The supervisord instances of this host: found by their processes, by the configuration given, or at the usual places."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Optional

from . import proc, supervisor_config, supervisor_rpc
from .context import Context
from .model import Unavailable
from .redaction import learn
from .supervisor_config import Config, Program
from .supervisor_rpc import Status
from .systemd_environment import read_process

# Where supervisord itself looks, without the ones that depend on its working directory.
DEFAULT_CONFIGS = (
    "/etc/supervisor/supervisord.conf",
    "/etc/supervisord.conf",
    "/usr/local/etc/supervisord.conf",
    "/opt/homebrew/etc/supervisord.conf",
)
_CONFIG_OPTIONS = ("-c", "--configuration")


@dataclass
class Instance:
    """One supervisord with its configuration. ``error`` says why it could not be asked; the rest is from files then."""

    config: Config
    pid: Optional[int] = None
    cwd: Optional[str] = None
    uid: Optional[int] = None
    environ: dict[str, str] = field(default_factory=dict)
    status: Status = field(default_factory=Status)
    error: Optional[str] = None
    url: Optional[str] = None
    programs: list[Program] = field(default_factory=list)

    def log_path(self) -> Optional[str]:
        """Its own log file, absolute; None where it keeps none."""
        text = self.config.option("supervisord", "logfile") or "supervisord.log"
        if text.lower() in ("none", "off", "syslog", "/dev/null") or text.startswith("/dev/"):
            return None
        folder = self.config.option("supervisord", "directory") or self.cwd or os.path.dirname(self.config.path)
        return os.path.join(folder, os.path.expanduser(text))


def find(ctx: Context) -> list[Instance]:
    """All instances; with the parameter ``supervisor_config`` that one only.

    :raises Unavailable: the given configuration can't be read.
    """
    running = running_instances()
    wanted = ctx.params.get("supervisor_config")
    if wanted:
        path = os.path.abspath(str(wanted))
        if not os.path.isfile(path):
            raise Unavailable(
                f"the configuration of supervisord, {path}, is no readable file: correct supervisor_config"
            )
        pid = next((pid for pid, known in running if os.path.realpath(known) == os.path.realpath(path)), None)
        return [open_instance(path, pid, ctx)]
    found: dict[str, Optional[int]] = {}
    for pid, path in running:
        found.setdefault(os.path.realpath(path), pid)
    for path in DEFAULT_CONFIGS:
        if os.path.isfile(path):
            found.setdefault(os.path.realpath(path), None)
    return [open_instance(path, pid, ctx) for path, pid in found.items()]


def running_instances() -> list[tuple[int, str]]:
    """Process ids of running supervisords, with their configuration files."""
    found = []
    for pid, stat in proc.scan().items():
        if not stat.comm.startswith(("supervisord", "python")):
            continue
        argv = [part for part in (proc.slurp(f"/proc/{pid}/cmdline") or "").split("\0") if part]
        at = next((number for number, word in enumerate(argv[:4]) if os.path.basename(word) == "supervisord"), None)
        if at is None and "supervisor.supervisord" not in argv[:4]:
            continue
        path = config_option(argv) or next((item for item in DEFAULT_CONFIGS if os.path.isfile(item)), None)
        folder = proc.readlink(f"/proc/{pid}/cwd") or "/"
        path = path or next(
            (
                f"{folder}/{name}"
                for name in ("supervisord.conf", "etc/supervisord.conf")
                if os.path.isfile(f"{folder}/{name}")
            ),
            None,
        )
        if path and proc.same_root(pid):
            found.append((pid, os.path.join(folder, path)))
    return found


def config_option(argv: list[str]) -> Optional[str]:
    """The value of ``-c`` or ``--configuration`` in a command line of supervisord."""
    for number, word in enumerate(argv):
        if word in _CONFIG_OPTIONS and number + 1 < len(argv):
            return argv[number + 1]
        if word.startswith("--configuration="):
            return word.partition("=")[2]
        if word.startswith("-c") and not word.startswith("--") and len(word) > 2:
            return word[2:]
    return None


def open_instance(path: str, pid: Optional[int], ctx: Context) -> Instance:
    """Read the configuration and ask the instance, if it runs."""
    environ = read_process(pid) if pid else {}
    instance = Instance(supervisor_config.load(path, environ or os.environ, ctx), pid, environ=environ)
    where = supervisor_rpc.address(instance.config)
    if where is None:
        instance.error = f"{path} has no section unix_http_server or inet_http_server, so supervisord can't be asked"
    else:
        instance.url = str(where)
        for secret, name in ((where.password, "supervisord password"),):
            if secret:
                ctx.add_secret(secret, name)
        try:
            instance.status = supervisor_rpc.ask(where, min(supervisor_rpc.RPC_SECONDS, max(0.1, ctx.remaining())))
        except Unavailable as exc:
            instance.error = str(exc)
    if instance.pid is None and instance.status.pid:
        instance.pid = instance.status.pid
        instance.environ = read_process(instance.pid)
        instance.config = supervisor_config.load(path, instance.environ or os.environ, ctx)
    if instance.pid:
        instance.cwd = proc.readlink(f"/proc/{instance.pid}/cwd")
        instance.uid = proc.parse_uid(proc.slurp(f"/proc/{instance.pid}/status") or "")
    elif instance.error:
        instance.error += "; no supervisord runs with this configuration"
    instance.programs = supervisor_config.programs(instance.config, instance.environ or os.environ)
    for program in instance.programs:
        learn(program.environment, ctx)
    return instance
