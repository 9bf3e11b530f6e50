# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The supervisord adapter: from the name of a program to a backend."""

from __future__ import annotations

import os
import pwd
import time
from typing import Any, Optional

from . import exit_status, supervisor_config, supervisor_instances, supervisor_log
from .context import KIB, Context
from .model import Backend, LogRef, Section, Unavailable
from .proc import iso
from .redaction import learn
from .selection import InputError, near_names, suggestion
from .supervisor_config import Program
from .supervisor_instances import Instance
from .supervisor_log import History
from .systemd_environment import Environment, account, add_from_process, all_groups
from .systemd_unit import find_executable

DEFAULT_WINDOW_S = 600.0
MAX_CONFIG_BYTES = 64 * KIB
# supervisord's state → state and sub-state in the words that all runtimes share.
STATES = {
    "RUNNING": "active",
    "STARTING": "activating",
    "BACKOFF": "activating",
    "STOPPING": "deactivating",
    "STOPPED": "inactive",
    "EXITED": "inactive",
    "FATAL": "failed",
    "UNKNOWN": "failed",
}


def resolve(name: str, ctx: Context) -> Backend:
    """Everything that supervisord and its configuration tell of one program.

    :raises InputError: no instance has such a program; near names are suggested.
    :raises Unavailable: there is no supervisord here.
    """
    instances = supervisor_instances.find(ctx)
    if not instances:
        raise Unavailable(
            "no supervisord was found: none runs, and none of its usual configuration files exists "
            f"({', '.join(supervisor_instances.DEFAULT_CONFIGS[:2])}); name its file in supervisor_config"
        )
    for instance in instances:
        program = pick(name, instance)
        if program is not None:
            return build(instance, program, ctx)
    known = [program.full_name for instance in instances for program in instance.programs]
    near = near_names(name, known)
    files = ", ".join(instance.config.path for instance in instances)
    unread = [problem["text"] for instance in instances for problem in instance.config.problems]
    raise InputError(
        f"There is no program {name} in {files}.{suggestion(near)}"
        + (f" Part of the configuration could not be read: {unread[0]}." if unread else "")
        + " Correct backend_service, or leave it out to find what is failing.",
        near,
    )


def pick(name: str, instance: Instance) -> Optional[Program]:
    """The process that a name means. Of several processes of one program, one that does not run comes first."""
    name = name.strip()
    matching = [
        program
        for program in instance.programs
        if name in (program.full_name, f"{program.group}:{program.name}", program.name, program.program, program.group)
    ]
    exact = [program for program in matching if name in (program.full_name, program.name)]
    pool = exact or matching
    return min(pool, key=lambda program: state_of(instance, program) == "RUNNING") if pool else None


def info_of(instance: Instance, program: Program) -> dict[str, Any]:
    """supervisord's answer on the process; empty when it gave none."""
    return instance.status.processes.get((program.group, program.name), {})


def state_of(instance: Instance, program: Program) -> Optional[str]:
    """supervisord's word for the state of the process, None when it can't be asked."""
    return info_of(instance, program).get("statename")


def build(instance: Instance, program: Program, ctx: Context) -> Backend:
    """The backend of one process of a program."""
    info = info_of(instance, program)
    history = supervisor_log.read(instance.log_path(), program.name, ctx)
    backend = Backend(program.full_name, "supervisor", selected_because="named by the caller")
    environment = _environment(instance, program)
    learn(environment.values, ctx)
    backend.main_pid = info.get("pid") or None
    if backend.main_pid:
        add_from_process(environment, backend.main_pid)
    backend.environ, backend.environ_origin = environment.values, environment.origins
    argv = program.argv
    backend.argv = [find_executable(argv[0], backend.environ.get("PATH", "")), *argv[1:]] if argv else []
    _set_identity(backend, instance, program)
    backend.cwd = _directory(instance, program)
    backend.pids = [backend.main_pid] if backend.main_pid else []
    backend.running = bool(backend.main_pid)
    backend.log_files = _log_files(instance, program, info)
    backend.unit = _unit_section(instance, program, backend)
    backend.service = _service_section(
        instance, program, info, history, float(ctx.params.get("window") or DEFAULT_WINDOW_S)
    )
    reasons = [reason for reason in (instance.error, history.error) if reason]
    if reasons:
        backend.service["_partial"] = "; ".join(reasons)
    return backend


def unexpected_exit(program: Program, info: dict[str, Any], history: History) -> bool:
    """Whether an ended process ended in a way that its ``exitcodes`` don't expect."""
    if history.last_exit and history.last_exit["signal"] is not None:
        return not history.last_exit["expected"]
    expected = [code.strip() for code in program.options.get("exitcodes", "0").split(",")]
    return str(info.get("exitstatus", 0)) not in expected


def spawn_error(info: dict[str, Any]) -> Optional[str]:
    """Why the process could not even be started; supervisord keeps "Exited too quickly" in the same place."""
    text = info.get("spawnerr") or ""
    return None if "too quickly" in text else text or None


def _service_section(
    instance: Instance, program: Program, info: dict[str, Any], history: History, window_s: float
) -> Section:
    statename = info.get("statename")
    active = STATES.get(str(statename)) if statename else None
    if statename == "EXITED" and unexpected_exit(program, info, history):
        active = "failed"
    running = statename in ("RUNNING", "STARTING", "STOPPING")
    now = time.time()
    since = info.get("start") if running else info.get("stop") or info.get("start")
    return {
        "name": program.full_name,
        "runtime": "supervisor",
        "exists": True,
        "load_state": "loaded",
        "active_state": active,
        "sub_state": statename.lower() if statename else None,
        "result": _result(statename, info, history),
        "masked": False,
        "enabled": program.yes("autostart", True),
        "description": info.get("description") or None,
        "exit": _exit(statename, info, history),
        "control_exits": [],
        "main_pid": info.get("pid") or None,
        "main_pid_start": iso(info["start"]) if running and info.get("start") else None,
        "restarts": history.restarts if not history.error else None,
        "restart_times": [iso(when) for when in history.restart_times],
        "restarts_in_window": sum(1 for when in history.restart_times if when >= now - window_s)
        if not history.error
        else None,
        "window_s": window_s,
        "restart_policy": program.options.get("autorestart", "unexpected"),
        "restart_delay_s": None,
        "start_limit": {
            "hit": statename == "FATAL",
            "burst": program.number("startretries", 3),
            "interval_s": None,
        },
        "start_seconds_s": program.number("startsecs", 1),
        "since": iso(since) if since else None,
        "uptime_s": round(max(0.0, now - info["start"]), 1) if statename == "RUNNING" and info.get("start") else None,
        "invocation_id": None,
        "load_error": spawn_error(info),
        "near_names": [],
        "messages": history.messages,
        "supervisor": {
            "version": instance.status.version,
            "state": instance.status.state,
            "pid": instance.pid,
            "url": instance.url,
            "config": instance.config.path,
        },
    }


def _exit(statename: Optional[str], info: dict[str, Any], history: History) -> dict[str, Any]:
    """The last end: from the log, which knows signals; else the status that supervisord keeps."""
    last = history.last_exit
    if last is None and statename in ("EXITED", "BACKOFF", "FATAL") and isinstance(info.get("exitstatus"), int):
        # -1 is its word for "by a signal"; a command that could not be spawned leaves 0.
        known = info["exitstatus"] >= 0 and not (info["exitstatus"] == 0 and statename != "EXITED")
        last = {
            "code": info["exitstatus"] if known else None,
            "signal": None,
            "core_dumped": False,
            "at": iso(info["stop"]) if info.get("stop") else None,
        }
    last = last or {"code": None, "signal": None, "core_dumped": False, "at": None}
    return {**exit_status.explain(last["code"], last["signal"], last["core_dumped"], systemd=False), "at": last["at"]}


def _result(statename: Optional[str], info: dict[str, Any], history: History) -> Optional[str]:
    if statename is None:
        return None
    if statename in ("FATAL", "BACKOFF") and spawn_error(info):
        return "spawn-error"
    if statename in ("RUNNING", "STOPPED", "STARTING"):
        return "success"
    if history.last_exit and history.last_exit["signal"] is not None:
        return "signal"
    return "exit-code" if statename in ("FATAL", "BACKOFF") or info.get("exitstatus") else "success"


def _unit_section(instance: Instance, program: Program, backend: Backend) -> Section:
    config = instance.config
    section = next(
        (
            kind + program.program
            for kind in supervisor_config.PROGRAM_KINDS
            if kind + program.program in config.sections
        ),
        "",
    )
    problems = list(config.problems)
    for text in program.problems:
        option = text.split()[0]
        problems.append(
            {
                "file": program.file,
                "line": supervisor_config.line_of(config.texts.get(program.file, ""), section, option),
                "text": text,
            }
        )
    if program.command and not program.argv:
        problems.append({"file": program.file, "line": None, "text": "command= has a quote that is not closed"})
    files = [
        {"path": path, "kind": "config", "text": config.texts.get(path, "")[:MAX_CONFIG_BYTES], "error": None}
        for path in dict.fromkeys([config.path, program.file])
    ]
    return {
        "files": files,
        "directives": {name: [value] for name, value in config.sections.get(section, {}).items()},
        "exec_start": [program.argv] if program.argv else [],
        "exec_start_pre": [],
        "type": "supervisor",
        "user": program.user,
        "user_exists": account(program.user) is not None if program.user else True,
        "group": None,
        "group_exists": True,
        "dynamic_user": False,
        "working_directory": program.directory,
        "working_directory_optional": False,
        "working_directory_exists": os.path.isdir(backend.cwd) if backend.cwd else None,
        "root_directory": None,
        "environment_names": sorted(backend.environ),
        "environment_files": [],
        "standard_output": program.options.get("stdout_logfile", "AUTO"),
        "standard_error": "stdout"
        if program.yes("redirect_stderr", False)
        else program.options.get("stderr_logfile", "AUTO"),
        "timeout_start_s": float(program.number("startsecs", 1)),
        "timeout_stop_s": float(program.number("stopwaitsecs", 10)),
        "watchdog_s": None,
        "limits": {"nofile": None, "nproc": None, "memory_max": None, "tasks_max": None},
        "sandboxing": {},
        "problems": problems,
        "needs_daemon_reload": None,
    }


def _environment(instance: Instance, program: Program) -> Environment:
    """supervisord's own environment, what it adds, and ``environment=``. ``user=`` changes neither HOME nor USER."""
    result = Environment()
    for name, value in instance.environ.items():
        result.set(name, value, "supervisord's environment")
    own = {"SUPERVISOR_ENABLED": "1", "SUPERVISOR_PROCESS_NAME": program.name, "SUPERVISOR_GROUP_NAME": program.group}
    if instance.url:
        own["SUPERVISOR_SERVER_URL"] = instance.url
    for name, value in own.items():
        result.set(name, value, "supervisord")
    for name, value in program.environment.items():
        inherited = instance.config.environment.get(name) == value
        result.set(
            name,
            value,
            "environment= of [supervisord]" if inherited else f"environment= of [program:{program.program}]",
        )
    return result


def _set_identity(backend: Backend, instance: Instance, program: Program) -> None:
    """The program's user, else supervisord's own."""
    user: Optional[pwd.struct_passwd] = None
    if program.user:
        backend.user = program.user
        user = account(program.user)
    else:
        own = instance.uid if instance.uid is not None else os.geteuid()
        backend.user, backend.uid = str(own), own
        user = account(str(own))
    if user is not None:
        backend.user, backend.uid, backend.gid = user.pw_name, user.pw_uid, user.pw_gid
        backend.groups = all_groups(user, user.pw_gid)


def _directory(instance: Instance, program: Program) -> Optional[str]:
    base = instance.cwd or os.path.dirname(instance.config.path)
    own = os.path.join(base, os.path.expanduser(instance.config.option("supervisord", "directory") or ""))
    return os.path.normpath(os.path.join(own, os.path.expanduser(program.directory or "")))


def _log_files(instance: Instance, program: Program, info: dict[str, Any]) -> list[LogRef]:
    """Where supervisord says that the output goes; without its answer, what the configuration says."""
    found: list[LogRef] = []
    base = instance.cwd or os.path.dirname(instance.config.path)
    for stream in ("stdout", "stderr"):
        option = f"{stream}_logfile"
        path, origin = info.get(option), "supervisord"
        written = program.options.get(option, "")
        if not path and written and written.upper() not in ("AUTO", "NONE", "OFF", "SYSLOG"):
            path, origin = os.path.join(base, os.path.expanduser(written)), f"{option}="
        if path and not path.startswith("/dev/") and path not in [log.path for log in found]:
            found.append(LogRef(path, origin, stream))
    return found
