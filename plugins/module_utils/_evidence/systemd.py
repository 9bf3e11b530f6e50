# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The systemd adapter: from the name of a unit to a backend."""

from __future__ import annotations

import grp
import os
import re
from collections.abc import Sequence
from typing import Any, Optional

from . import systemd_journal, systemd_service, systemd_unit, systemd_unit_files
from .aside import Aside
from .context import Context
from .model import Backend, Unavailable
from .selection import InputError, near_names, suggestion
from .systemd_environment import Environment, account, add_from_process, all_groups, effective
from .systemd_show import SERVICE_PROPERTIES, UNIT_PROPERTIES, Properties, list_names, show
from .systemd_unit_files import Setting

DEFAULT_WINDOW_S = 600.0
_CGROUP_ROOTS = ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup")
_VERSION = re.compile(r"\d+")
MAX_PIDS = 4096


def resolve(name: str, ctx: Context) -> Backend:
    """Everything the supervisor knows of one unit.

    :raises InputError: there is no such service; near names are suggested.
    :raises Unavailable: systemd does not answer and no file of the unit is on disk.
    """
    full = _service_name(name, ctx)
    asked_manager = Aside(_manager, ctx)
    asked_journal = Aside(systemd_journal.read, full, ctx)
    try:
        unit = show(ctx, [full], [*UNIT_PROPERTIES, *SERVICE_PROPERTIES])[0]
    except Unavailable as exc:
        return _from_files(full, str(exc), asked_journal.result(), ctx)
    manager, history = asked_manager.result(), asked_journal.result()
    if unit.get("Id") not in ("", full):
        history = systemd_journal.read(unit.get("Id"), ctx)
    if unit.get("LoadState") == "not-found":
        raise _not_found(name, full, ctx)
    fragment = "/dev/null" if unit.get("LoadState") == "masked" else unit.get("FragmentPath") or unit.get("SourcePath")
    files = systemd_unit_files.read_files(fragment or None, unit.get("DropInPaths").split(), ctx)
    backend = _build(unit, manager, files, history.problems, ctx)
    backend.service = systemd_service.section(unit, history, float(ctx.params.get("window") or DEFAULT_WINDOW_S))
    if history.error:
        backend.service["_partial"] = history.error
    return backend


def describe(names: Sequence[str], ctx: Context) -> list[Backend]:
    """Several units at once, without their history: for judging whether what runs also works.

    :raises Unavailable: systemd does not answer.
    """
    manager = _manager(ctx)
    backends = []
    for unit in show(ctx, names, [*UNIT_PROPERTIES, *SERVICE_PROPERTIES]):
        files = systemd_unit_files.read_files(unit.get("FragmentPath") or None, unit.get("DropInPaths").split(), ctx)
        backends.append(_build(unit, manager, files, [], ctx))
    return backends


def _build(
    unit: Properties, manager: Properties, files: list[dict[str, Any]], problems: list[dict[str, Any]], ctx: Context
) -> Backend:
    settings = {item["path"]: systemd_unit_files.parse(item["text"]) for item in files}
    directives = systemd_unit_files.merge(settings.values())
    problems = _problems(files, settings, problems)
    user = account(unit.get("User"))
    main_pid = unit.number("MainPID") or None
    environment = effective(unit, manager, _version(manager), ctx, user)
    if main_pid:
        add_from_process(environment, main_pid)
    backend = Backend(unit.get("Id"), "systemd", selected_because="named by the caller")
    backend.argv = systemd_unit.main_command(unit, directives, environment.values)
    backend.unit = systemd_unit.section(unit, files, directives, environment, problems)
    _set_identity(backend, unit)
    backend.cwd = backend.unit["working_directory"] or "/"
    backend.root_directory = backend.unit["root_directory"]
    _set_environment(backend, environment)
    backend.main_pid = main_pid
    backend.cgroup = unit.get("ControlGroup") or None
    backend.pids = cgroup_pids(backend.cgroup)
    backend.running = bool(backend.main_pid or backend.pids)
    backend.log_files = systemd_unit.log_files(unit, directives)
    return backend


def _problems(
    files: list[dict[str, Any]], settings: dict[str, list[Setting]], told: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """What systemd said about lines that are still there, and what is wrong by itself.

    ``systemd-analyze verify`` is not used: it touches files of the running manager and loads every unit that is near.
    """
    texts = {item["path"]: item["text"] for item in files}
    problems = [problem for problem in told if systemd_unit_files.still_there(problem, texts)]
    known = {(problem["file"], problem["line"]) for problem in problems}
    for path, found in settings.items():
        problems += [item for item in systemd_unit_files.misplaced(path, found) if (path, item["line"]) not in known]
    return problems


def _set_identity(backend: Backend, unit: Properties) -> None:
    """User, group and supplementary groups; a service without ``User=`` runs as root."""
    backend.user = unit.get("User") or "root"
    user = account(backend.user)
    if user is None and backend.user.isdigit():
        # Without an account systemd changes the user only.
        backend.uid, backend.gid, backend.groups = int(backend.user), 0, [0]
    if user is None:
        return
    backend.user, backend.uid, backend.gid = user.pw_name, user.pw_uid, user.pw_gid
    groups = [_gid(name) for name in [unit.get("Group"), *unit.get("SupplementaryGroups").split()] if name]
    if unit.get("Group") and groups[0] is not None:
        backend.gid = groups[0]
    backend.groups = sorted({*all_groups(user, backend.gid), *(gid for gid in groups if gid is not None)})


def _set_environment(backend: Backend, environment: Environment) -> None:
    backend.environ = environment.values
    backend.environ_origin = environment.origins
    backend.env_files = environment.files


def _from_files(full: str, reason: str, history: systemd_journal.History, ctx: Context) -> Backend:
    """Configuration and journal, where the manager can't be asked. The present state stays unknown, which is said."""
    fragment, drop_ins = systemd_unit_files.find(full)
    if fragment is None:
        raise Unavailable(f"{full} could not be looked at: {reason}, and no unit file of that name is on disk")
    files = systemd_unit_files.read_files(fragment, drop_ins, ctx)
    directives = systemd_unit_files.merge(systemd_unit_files.parse(item["text"]) for item in files)
    unit = properties_from_files(full, directives)
    backend = _build(unit, Properties(), files, history.problems, ctx)
    backend.service = systemd_service.section(unit, history, float(ctx.params.get("window") or DEFAULT_WINDOW_S))
    backend.service["masked"] = fragment == "/dev/null"
    read = "only the unit's files on disk were read" if history.error else "the unit's files and the journal were read"
    backend.service["_partial"] = f"{reason}; {read}"
    return backend


def properties_from_files(full: str, directives: dict[str, list[str]]) -> Properties:
    """Properties as ``show`` would give them, as far as settings translate one to one."""
    values: dict[str, list[str]] = {"Id": [full]}
    for setting in ("User", "Group", "Type", "Restart", "DynamicUser", "RootDirectory", "StandardOutput",
                    "StandardError", "KillMode", "StartLimitBurst"):  # fmt: skip
        if setting in directives:
            values[setting] = [systemd_unit_files.expand_specifiers(directives[setting][-1], full)]
    for setting in ("Environment", "PassEnvironment", "UnsetEnvironment", "SupplementaryGroups"):
        if setting in directives:
            values[setting] = [systemd_unit_files.expand_specifiers(" ".join(directives[setting]), full)]
    for setting, name in (("RestartSec", "RestartUSec"), ("TimeoutStartSec", "TimeoutStartUSec")):
        if setting in directives:
            values[name] = [directives[setting][-1]]
    folder = (directives.get("WorkingDirectory") or [""])[-1]
    values["WorkingDirectory"] = [
        ("!" if folder.startswith("-") else "") + systemd_unit_files.expand_specifiers(folder.lstrip("-"), full)
    ]
    values["EnvironmentFiles"] = [
        systemd_unit_files.expand_specifiers(path.lstrip("-"), full)
        + f" (ignore_errors={'yes' if path.startswith('-') else 'no'})"
        for path in directives.get("EnvironmentFile", [])
    ]
    return Properties(values)


def cgroup_pids(cgroup: Optional[str]) -> list[int]:
    """Processes of a control group and those below it; empty when it does not exist."""
    if not cgroup or cgroup == "/":
        return []
    for root in _CGROUP_ROOTS:
        pids: list[int] = []
        for folder, _below, files in os.walk(root + cgroup):
            if "cgroup.procs" in files:
                try:
                    with open(f"{folder}/cgroup.procs", encoding="ascii") as stream:
                        pids += [int(line) for line in stream.read(1 << 20).split()]
                except (OSError, ValueError):
                    continue
        if pids:
            return sorted(pids)[:MAX_PIDS]
    return []


def _manager(ctx: Context) -> Properties:
    try:
        return (show(ctx, [], ["Version", "Environment"]) or [Properties()])[0]
    except Unavailable:
        return Properties()


def _version(manager: Properties) -> int:
    match = _VERSION.search(manager.get("Version"))
    return int(match.group(0)) if match else 254


def _service_name(name: str, ctx: Context) -> str:
    full = systemd_unit_files.unit_name(name)
    if full is None:
        raise InputError(f"{name!r} can't be the name of a systemd unit: give a name such as api or api.service.")
    if not full.endswith(".service"):
        wanted = full.rpartition(".")[0] + ".service"
        raise InputError(f"{full} is no service: name the service that runs the backend, perhaps {wanted}.")
    if "@." in full:
        prefix = full.partition("@")[0] + "@"
        names = [item for item in list_names(ctx) if item.startswith(prefix) and not item.startswith(f"{prefix}.")]
        raise InputError(
            f"{full} is a template: name one of its instances, such as {prefix}1.service."
            + (f" Instances here: {', '.join(names[:10])}." if names else ""),
            names[:10],
        )
    return full


def _not_found(name: str, full: str, ctx: Context) -> InputError:
    near = near_names(full, list_names(ctx))
    return InputError(
        f"There is no systemd unit {full} on this host (asked for as {name!r}; units loaded and unit files on disk "
        f"were searched).{suggestion(near)} Correct backend_service, or leave it out to find what is failing.",
        near,
    )


def _gid(name: str) -> Optional[int]:
    try:
        return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid
    except KeyError:
        return None
