# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the resolvers learn about one backend, and what every collector is handed.

Nothing in here leaves the target: values are as the supervisor would use them, secrets included.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

Section = dict[str, Any]


@dataclass
class EnvFileRef:
    """One environment file that the supervisor or the application reads; ``origin`` says who names it."""

    path: str
    optional: bool = False
    origin: str = ""


@dataclass
class LogRef:
    """One log file of the backend; ``origin`` says how it was found, ``stream`` is stdout, stderr or app."""

    path: str
    origin: str
    stream: str = "app"


@dataclass
class App:
    """The server and its import target, as far as command line, configuration and environment tell.

    ``origin`` maps a field's name to where its value came from, for instance ``port`` to ``command line --port``.
    ``argv`` is the command with wrappers (shell, ``env``, ``poetry run``) taken off, ``program`` the path of its first word,
    ``python_flags`` the interpreter's own options, ``code`` the text of ``python -c``. ``steps`` are the wrappers and links
    passed on the way, in the shape of ``interpreter.chain``; ``environment_dir`` is the virtual or conda environment that a
    wrapper chose. ``path_prepend`` is what the server puts in front of ``sys.path``. ``problem`` is a sentence when the
    command line led nowhere.
    """

    server: str = "unknown"
    argv: list[str] = field(default_factory=list)
    program: Optional[str] = None
    python_flags: list[str] = field(default_factory=list)
    code: Optional[str] = None
    steps: list[Section] = field(default_factory=list)
    environment_dir: Optional[str] = None
    problem: Optional[str] = None
    module: Optional[str] = None
    attribute: Optional[str] = None
    factory: bool = False
    script: Optional[str] = None
    host: Optional[str] = None
    port: Optional[int] = None
    uds: Optional[str] = None
    workers: Optional[int] = None
    code_dir: Optional[str] = None
    config_files: list[str] = field(default_factory=list)
    path_prepend: list[str] = field(default_factory=list)
    settings_module: Optional[str] = None
    origin: dict[str, str] = field(default_factory=dict)


@dataclass
class Backend:
    """One backend of this host.

    ``argv`` is the effective main command, split and unquoted, empty when unknown. ``environ`` is what the supervisor
    hands to the process, ``environ_origin`` names the source of each variable. ``pids`` are the processes of its
    cgroup (systemd) or process group (supervisor). ``service`` and ``unit`` are finished evidence sections.
    """

    name: str
    runtime: str
    argv: list[str] = field(default_factory=list)
    user: Optional[str] = None
    uid: Optional[int] = None
    gid: Optional[int] = None
    groups: list[int] = field(default_factory=list)
    cwd: Optional[str] = None
    root_directory: Optional[str] = None
    environ: dict[str, str] = field(default_factory=dict)
    environ_origin: dict[str, str] = field(default_factory=dict)
    env_files: list[EnvFileRef] = field(default_factory=list)
    main_pid: Optional[int] = None
    pids: list[int] = field(default_factory=list)
    cgroup: Optional[str] = None
    running: bool = False
    log_files: list[LogRef] = field(default_factory=list)
    selected_because: str = ""
    service: Section = field(default_factory=dict)
    unit: Section = field(default_factory=dict)
    app: App = field(default_factory=App)
    python: Optional[str] = None
    interpreter: Section = field(default_factory=dict)


def unavailable(reason: str) -> Section:
    """The shape of a section that could not be gathered; ``reason`` is one sentence for the reader."""
    return {"unavailable": reason}


class Unavailable(Exception):
    """A section can't be gathered; the message is one sentence for the reader that says what was tried."""
