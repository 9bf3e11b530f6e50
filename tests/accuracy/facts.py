# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of a recorded case, written down by hand or by a recorder, to evidence of schema 1.

Every key has one small translator. What a case doesn't say stays out: a missing section means that nobody looked.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.firstaid.backend.plugins.module_utils._evidence.backing_urls import declared

Evidence = dict[str, Any]
Translator = Callable[[Evidence, Any, Mapping[str, Any]], None]

_MISSING = re.compile(r"No module named '?(?P<name>[\w.]+)'?")
_SERVERS = ("uvicorn", "gunicorn", "hypercorn", "daphne", "uwsgi", "celery", "flask")


def evidence_of(case: Mapping[str, Any]) -> Evidence:
    """The partial evidence that a case amounts to. Keys that nobody knows are ignored."""
    facts = case.get("facts") or {}
    log = case["log"]
    lines = log.split("\n") if isinstance(log, str) else list(log)
    source = {
        "id": "log",
        "kind": "file",
        "path": "backend.log",
        "origin": "recorded",
        "numbering": "file",
        "attempts": [{"segments": [{"first_line": 1, "lines": lines}]}] if any(lines) else [],
    }
    evidence: Evidence = {"schema": 1, "logs": {"sources": [source]}}
    context = {**facts, "_log": log if isinstance(log, str) else "\n".join(log)}
    for key, translate in TRANSLATORS.items():
        if key in facts and facts[key] is not None:
            translate(evidence, facts[key], context)
    return evidence


def _section(evidence: Evidence, *path: str) -> dict[str, Any]:
    section = evidence
    for step in path:
        section = section.setdefault(step, {})
    return section


def _list(evidence: Evidence, *path: str) -> list[Any]:
    *parents, last = path
    result: list[Any] = _section(evidence, *parents).setdefault(last, [])
    return result


def _as_map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _exit_code(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    service = _section(evidence, "service")
    service.setdefault("exit", {})["code"] = value
    if not facts.get("running"):
        service.setdefault("active_state", "failed" if value else "inactive")
        service.setdefault("result", "exit-code" if value else "success")


def _signal(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    service = _section(evidence, "service")
    service.setdefault("exit", {})["signal"] = value
    if not facts.get("running"):
        service.setdefault("active_state", "failed")
        service.setdefault("result", "signal")


def _set(*path: str) -> Translator:
    def translate(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
        *parents, last = path
        _section(evidence, *parents)[last] = value

    return translate


def _running(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    service = _section(evidence, "service")
    service["active_state"] = "active" if value else "failed"
    service["sub_state"] = "running" if value else "dead"


def _process_running(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    if value:
        _list(evidence, "processes", "own").append({"pid": None, "state": "S"})
    else:
        _section(evidence, "processes")["own"] = []


def _message(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    texts = value if isinstance(value, list) else [value]
    _list(evidence, "service", "messages").extend(str(text) for text in texts)


_UNIT_KEYS = {"User": "user", "Group": "group", "WorkingDirectory": "working_directory", "Type": "type",
              "StandardOutput": "standard_output", "StandardError": "standard_error"}  # fmt: skip


def _unit(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    if isinstance(value, str):
        _section(evidence, "service")["name"] = value
        return
    unit = _section(evidence, "unit")
    for name, directive in _as_map(value).items():
        values = directive if isinstance(directive, list) else [directive]
        unit.setdefault("directives", {})[name] = [str(item) for item in values]
        if name in _UNIT_KEYS:
            unit[_UNIT_KEYS[name]] = str(directive)
        elif name == "LimitNOFILE":
            unit.setdefault("limits", {})["nofile"] = directive
            _section(evidence, "resources", "limits")["NOFILE"] = {"soft": directive, "hard": directive}
        elif name == "ExecStart":
            unit["exec_start"] = [_argv(str(directive))]


def _supervisor(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    _section(evidence, "target")["runtime"] = "supervisor"
    for name, directive in _as_map(value).items():
        _section(evidence, "unit", "directives")[name] = [str(directive)]
        if name == "directory":
            _section(evidence, "unit")["working_directory"] = directive


def _argv(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:
        return command.split()


def _command(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    command = value if isinstance(value, str) else " ".join(map(str, value))
    argv = _argv(command)
    app = _section(evidence, "app")
    app["command"] = command
    _section(evidence, "unit")["exec_start"] = [argv]
    names = [word.rsplit("/", 1)[-1] for word in argv]
    server = next((name for name in _SERVERS if name in names), None)
    if server is None and "manage.py" in names:
        server = "django"
    app["server"] = server or "unknown"
    target = next((word for word in argv if re.fullmatch(r"[\w.]+:[\w.()]+", word)), None)
    for flag in ("-A", "--app"):
        if flag in argv[:-1]:
            target = argv[argv.index(flag) + 1]
    if target:
        module, _, attribute = target.partition(":")
        app["target"] = {
            "text": target,
            "module": module,
            "attribute": attribute or None,
            "factory": "--factory" in argv,
        }
    for flag, key in (("--port", "port"), ("-p", "port"), ("--host", "host")):
        if flag in argv[:-1]:
            text = argv[argv.index(flag) + 1]
            app[key] = int(text) if key == "port" and text.isdigit() else text


def _cwd(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    if value:
        _section(evidence, "unit").setdefault("working_directory", value)


def _cwd_on_path(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    if value and facts.get("cwd"):
        _list(evidence, "python_path", "entries").append({"path": facts["cwd"], "origin": "cwd", "exists": True})


def _uid(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    _section(evidence, "access", "user")["uid"] = value


def _stdin(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    _section(evidence, "unit", "directives")["StandardInput"] = [str(value)]


def _tty(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    _section(evidence, "unit", "directives")["TTY"] = [str(value)]


def _package_locations(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    """A module that the log misses and that lies somewhere is what the import test would have found."""
    found = list(_MISSING.finditer(str(facts["_log"])))
    wanted = found[-1]["name"] if found else None
    for name, path in _as_map(value).items():
        installed = any(part in str(path) for part in ("site-packages", "dist-packages"))
        if installed:
            _list(evidence, "packages", "installed").append({"name": name, "version": None, "location": path})
        if wanted and wanted.split(".")[0] == name.split(".")[0] and path:
            kind = "local" if not installed else "third_party"
            why = "other_python" if installed else "elsewhere_on_disk"
            missing = _section(evidence, "import_test", "missing_module")
            missing.update(name=wanted, top=wanted.split(".")[0], kind=kind)
            missing.setdefault("found_at", []).append({"path": path, "why": why, "detail": None})
            evidence["import_test"].setdefault("ran", False)


def _module_attributes(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    app = _section(evidence, "app")
    target = _as_map(app.get("target")).get("module")
    attributes = _as_map(value)
    module = target if target in attributes else next(iter(attributes), None)
    if module is not None:
        app["target_names"] = list(attributes[module])
        app["target_names_dynamic"] = False


def _requirements(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    for requirement in value:
        name = re.match(r"[\w.-]+", str(requirement))
        _list(evidence, "packages", "declared").append(
            {
                "name": name[0] if name else requirement,
                "specifier": str(requirement),
                "file": "requirements.txt",
                "line": None,
            }
        )


def _pythonpath(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    section = _section(evidence, "python_path")
    entries = value if isinstance(value, list) else str(value).split(":")
    section["pythonpath"] = ":".join(entries)
    for entry in entries:
        section.setdefault("entries", []).append({"path": entry, "origin": "pythonpath"})


def _python(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    section = _section(evidence, "interpreter")
    if isinstance(value, str):
        section["version"] = value
        return
    section["version"] = _as_map(value).get("running")
    section["requires_python"] = _as_map(value).get("requires_python")


def _interpreter(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    section = _section(evidence, "interpreter")
    value = _as_map(value)
    section["python"] = value.get("path")
    if value.get("exists") is False:
        section["runs"] = False
    _list(evidence, "interpreter", "chain").append(
        {"step": "python", "path": value.get("path"), "exists": value.get("exists"), "target": value.get("target")}
    )


def _venv_with_packages(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    found = list(_MISSING.finditer(str(facts["_log"])))
    if found:
        missing = _section(evidence, "import_test", "missing_module")
        name = found[-1]["name"]
        missing.update(name=name, top=name.split(".")[0], kind="third_party")
        missing.setdefault("found_at", []).append({"path": value, "why": "other_python", "detail": None})
        evidence["import_test"].setdefault("ran", False)


def _venv_in_use(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    if isinstance(value, str):
        _section(evidence, "interpreter", "venv")["path"] = value


def _symlinks(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    for path, link in _as_map(value).items():
        link = _as_map(link)
        if "target" not in link and link.get("exists") is False and not link.get("loop"):
            _list(evidence, "access", "paths").append({"path": path, "purpose": "code", "type": "missing"})
            continue
        _list(evidence, "symlinks", "links").append(
            {"path": path, "target": link.get("target"), "exists": link.get("exists"), "loop": bool(link.get("loop")),
             "self": bool(link.get("self")), "target_type": link.get("target_type")}
        )  # fmt: skip


def _files(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    for path, file in _as_map(value).items():
        file = _as_map(file)
        kind = "missing" if file.get("exists") is False else file.get("type", "file")
        _list(evidence, "access", "paths").append(
            {
                "path": path,
                "purpose": file.get("purpose", "file"),
                "type": kind,
                **{key: file.get(key) for key in ("owner", "group", "mode")},
            }
        )
        if file.get("content") is not None and kind == "file" and "\n" not in str(file["content"]).strip():
            _list(evidence, "symlinks", "text_instead_of_link").append({"path": path, "content": file["content"]})
        if "shebang" in file:
            chain = _list(evidence, "interpreter", "chain")
            chain.append({"step": "command", "path": path, "exists": file.get("exists", True)})
            chain.append({"step": "shebang", "path": file["shebang"], "exists": file.get("shebang_exists")})
        elif "/bin/" in path and kind == "missing":
            _list(evidence, "interpreter", "chain").append({"step": "command", "path": path, "exists": False})
        if path == _as_map(evidence.get("unit")).get("working_directory") and kind == "missing":
            evidence["unit"]["working_directory_exists"] = False


def _mounts(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    for path, options in _as_map(value).items():
        read_only = "ro" in str(options.get("options") if isinstance(options, dict) else options).split(",")
        _list(evidence, "resources", "disks").append({"path": path, "mount": path, "read_only": read_only})


def _disk(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    for path, disk in _as_map(value).items():
        if isinstance(disk, dict):
            free = disk.get("free_bytes")
            inodes = disk.get("inodes_free", disk.get("free_inodes"))
            size = disk.get("size_bytes", disk.get("total_bytes"))
            _list(evidence, "resources", "disks").append(
                {"path": path, "mount": path, "free_bytes": free, "free_for_user_bytes": free, "size_bytes": size,
                 "inodes_free": inodes}
            )  # fmt: skip


def _env(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    given = {name: str(text) for name, text in _as_map(value).items() if text is not None}
    for name in _as_map(value).keys() - given.keys():
        _list(evidence, "environment", "unset_in_process").append(name)
    for name, text in given.items():
        _list(evidence, "environment", "variables").append(
            {"name": name, "origin": "recorded", "empty": text == "", "length": len(text), "value": text}
        )
    _urls(evidence, given, str(facts["_log"]))


def _urls(evidence: Evidence, environ: Mapping[str, str], log: str) -> None:
    """Services that the variables declare, read by the collector's own parser and not asked."""
    for target in declared(dict(environ), strict_postgres="sqlalchemy" in log):
        _list(evidence, "backing_services", "services").append(
            {
                "kind": target.kind, "origin": target.origin, "scheme": target.scheme, "host": target.host,
                "port": target.port, "uds": target.uds, "database": target.database, "url_problems": target.problems,
            }
        )  # fmt: skip


def _env_names(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    known = {variable["name"] for variable in _list(evidence, "environment", "variables")}
    for name in value:
        if name not in known:
            _list(evidence, "environment", "variables").append({"name": name, "origin": "recorded"})


def _env_files(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    for path, file in _as_map(value).items():
        file = dict(_as_map(file))
        entry = {"path": path, "origin": "recorded", "exists": file.pop("exists", None), **file}
        entry.setdefault("malformed", [])
        if entry.get("line_endings") == "crlf":
            entry["malformed"].append({"line": 1, "problem": "carriage_return", "text": ""})
        _list(evidence, "environment", "files").append(entry)


def _port(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    _section(evidence, "app")["port"] = value
    _list(evidence, "ports", "wanted").append({"host": None, "port": value, "origin": "recorded"})


def _bind(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    host, _, port = str(value).rpartition(":")
    app = _section(evidence, "app")
    app["host"] = host.strip("[]") or None
    if port.isdigit():
        app["port"] = int(port)
    _list(evidence, "ports", "wanted").append({"host": app["host"], "port": app.get("port"), "origin": "recorded"})


def _port_open(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    _section(evidence, "ports")["listening_on_wanted"] = bool(value)


def _port_owner(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    value = _as_map(value)
    process = {"pid": value.get("pid"), "command": value.get("cmd")}
    own = value.get("same_service")
    socket = {"proto": "tcp", "address": None, "port": value.get("port"), "state": "listening", "pid": value.get("pid"),
              "process": process, "own": own, "same_code": own}  # fmt: skip
    _list(evidence, "ports", "sockets").append(socket)
    _list(evidence, "ports", "wanted_taken_by").append(socket)


def _host_addresses(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    _section(evidence, "ports")["local_addresses"] = list(value)
    host = _as_map(evidence.get("app")).get("host")
    if host and host not in ("0.0.0.0", "::"):
        _section(evidence, "ports")["host_is_local"] = host in [str(address).split("/")[0] for address in value]


def _health(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    value = value if isinstance(value, dict) else {"status": value}
    status = value.get("status")
    health = _section(evidence, "app", "health")
    if status in ("healthy", "ok", "pass", "up"):
        health["status"] = 200
    elif isinstance(status, int):
        health["status"] = status
    else:
        health["status"] = None
        health["error"] = str(value.get("last") or value.get("probe") or status)


def _health_probe(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    health = _section(evidence, "app", "health")
    probes = [probe for probe in value if isinstance(probe, dict)]
    health["tried"] = [
        {"url": probe.get("path"), "status": probe.get("status"), "error": probe.get("error")} for probe in probes
    ]
    if probes:
        last = probes[-1]
        health.update(url=last.get("path"), status=last.get("status"), body=last.get("body"), error=last.get("error"))


def _listeners(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    for line in value:
        found = re.search(
            r"LISTEN\s+\d+\s+\d+\s+(?P<address>\S+):(?P<port>\d+)\s.*?(?:\"(?P<name>[^\"]+)\",pid=(?P<pid>\d+))?", line
        )
        if found:
            pid = re.search(r"pid=(\d+)", line)
            _list(evidence, "ports", "sockets").append(
                {"proto": "tcp", "address": found["address"], "port": int(found["port"]), "state": "listening",
                 "pid": int(pid[1]) if pid else None}
            )  # fmt: skip


def _processes(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    for line in value:
        parts = str(line).split(None, 3)
        if len(parts) == 4 and parts[0].isdigit():
            _list(evidence, "processes", "own").append(
                {"pid": int(parts[0]), "ppid": int(parts[1]), "state": parts[2][:1], "command": parts[3]}
            )


def _oom_killed(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    kernel = _section(evidence, "kernel")
    kernel.setdefault("source", "journal")
    kernel.setdefault("oom_kills", [])
    _section(evidence, "service").setdefault("exit", {})["oom_killed"] = bool(value)
    if value:
        kernel["oom_kills"].append(
            {"time": None, "pid": None, "process": None, "own": True, "text": "recorded: oom_killed"}
        )


def _dmesg(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    kernel = _section(evidence, "kernel")
    kernel.setdefault("source", "kmsg")
    for line in value if isinstance(value, list) else str(value).split("\n"):
        pid = re.search(r"(?:process|pid[ =]|\[)\s*(\d+)", line)
        entry = {"time": None, "pid": int(pid[1]) if pid else None, "text": line, "own": True}
        if re.search(r"oom-kill|Out of memory|Killed process", line):
            kernel.setdefault("oom_kills", []).append(entry)
        elif re.search(r"segfault|trap |general protection", line):
            kernel.setdefault("crashes", []).append({**entry, "signal": "SIGSEGV"})
        else:
            kind = "read_only_remount" if "read-only" in line else "io_error" if "I/O error" in line else "audit"
            kernel.setdefault("other", []).append({**entry, "kind": kind})


def _audit(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    for line in value if isinstance(value, list) else [value]:
        kind = "apparmor" if "apparmor" in str(line).lower() else "selinux"
        _list(evidence, "access", "denials").append({"time": None, "kind": kind, "text": str(line)})


def _limits(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    for name, limit in _as_map(value).items():
        both = limit if isinstance(limit, dict) else {"soft": limit, "hard": limit}
        _section(evidence, "resources", "limits")[name.upper().removeprefix("RLIMIT_")] = both


def _memory_limit(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    units = {"k": 1024, "m": 1024**2, "g": 1024**3}
    found = re.match(r"(\d+)\s*([kmg]?)", str(value).lower())
    if found:
        _section(evidence, "resources", "memory", "cgroup")["max_bytes"] = int(found[1]) * units.get(found[2], 1)


def _memory(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    for key, number in _as_map(value).items():
        place = "cgroup" if key in ("current_bytes", "max_bytes", "peak_bytes", "oom_kills") else None
        section = _section(evidence, "resources", "memory", *([place] if place else []))
        section[key] = number


def _clock(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    clock = _section(evidence, "clock")
    value = _as_map(value)
    clock["ntp_synchronized"] = value.get("ntp_synchronized")
    clock["controller_offset_s"] = value.get("offset_s")


def _containers(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    kinds = {"redis": "redis", "valkey": "redis", "postgres": "postgresql", "db": "postgresql", "mysql": "mysql",
             "mariadb": "mysql", "rabbit": "amqp", "broker": "amqp", "mongo": "mongodb"}  # fmt: skip
    for name, container in _as_map(value).items():
        state = container.get("state", container.get("status")) if isinstance(container, dict) else container
        kind = next((kind for word, kind in kinds.items() if word in name.lower()), None)
        if kind:
            running = str(state).startswith(("running", "up", "Up"))
            _list(evidence, "backing_services", "services").append(
                {"kind": kind, "origin": "recorded", "host": name,
                 "local": {"is_local": True, "unit": name, "active_state": "active" if running else "inactive"}}
            )  # fmt: skip


def _k8s(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    value = _as_map(value)
    if value.get("events"):
        _message(evidence, value["events"], facts)
    if value.get("readOnlyRootFilesystem"):
        _list(evidence, "resources", "disks").append(
            {"path": "/", "mount": "/", "read_only": True, "purpose": ["root"]}
        )


def _workers_booted(evidence: Evidence, value: Any, facts: Mapping[str, Any]) -> None:
    _section(evidence, "processes", "young_workers")["count"] = value


TRANSLATORS: dict[str, Translator] = {
    "running": _running, "exit_code": _exit_code, "signal": _signal, "result": _set("service", "result"),
    "restarts": _set("service", "restarts"), "restart_policy": _set("service", "restart_policy"),
    "restart_reason": _message, "process_running": _process_running, "unit": _unit, "supervisor": _supervisor,
    "command": _command, "cwd": _cwd, "cwd_on_path": _cwd_on_path, "uid": _uid, "stdin": _stdin, "tty": _tty,
    "started_by": _message, "local_packages": _set("app", "local_packages"), "package_locations": _package_locations,
    "module_attributes": _module_attributes, "requirements": _requirements, "pythonpath": _pythonpath, "python": _python,
    "interpreter": _interpreter, "venv_in_use": _venv_in_use, "venv_with_packages": _venv_with_packages,
    "symlinks": _symlinks, "files": _files, "config_files": _files, "mounts": _mounts, "disk": _disk, "env": _env,
    "env_names": _env_names, "env_files": _env_files, "port": _port, "bind": _bind, "port_open": _port_open,
    "port_owner": _port_owner, "host_addresses": _host_addresses, "health": _health, "health_probe": _health_probe,
    "listeners": _listeners, "processes": _processes, "oom_killed": _oom_killed,
    "oom_kill_count": _set("resources", "memory", "cgroup", "oom_kills"), "dmesg": _dmesg, "audit": _audit,
    "limits": _limits, "memory": _memory, "memory_limit": _memory_limit, "clock": _clock, "containers": _containers,
    "k8s": _k8s, "workers_booted": _workers_booted,
}  # fmt: skip
