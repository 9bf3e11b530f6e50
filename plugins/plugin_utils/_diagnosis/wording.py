# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts as sentences: what a citation of the evidence says to somebody who doesn't know its keys.

One renderer per evidence path, with ``[*]`` for any item of a list. A renderer gets the fact's value and the whole
evidence, and returns None when there is nothing to say in words. A fact without a renderer is shown as its name and value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from .observed import fact

Evidence = Mapping[str, Any]
Renderer = Callable[[Any, Evidence], "str | None"]
_INDEX = re.compile(r"\[\d+\]")
# Keys that say nothing against the rest of a record that has no renderer.
_IDLE: tuple[Any, ...] = (None, "", False, [], {})


def worded(path: str, evidence: Evidence) -> str | None:
    """The sentence for the fact at a concrete evidence path, or None when its value has to do."""
    value = fact(evidence, path)
    render = RENDERERS.get(_INDEX.sub("[*]", path))
    if value is not None and render is not None:
        try:
            return render(value, evidence)
        except (KeyError, TypeError, ValueError, AttributeError):
            return None  # a shape that another version wrote; the raw value is shown instead
    if isinstance(value, Mapping):
        said = [f"{key.replace('_', ' ')} {_plain(item)}" for key, item in value.items() if item not in _IDLE]
        return ", ".join(said) or None
    return None


def _plain(value: Any) -> str:
    if value is True:
        return "yes"
    if isinstance(value, list):
        return " ".join(str(item) for item in value if not isinstance(item, (Mapping, list)))
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items() if item not in _IDLE)
    return str(value)


def _size(count: Any) -> str:
    amount = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "bytes" or amount >= 10 else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def _link(link: Any, evidence: Evidence) -> str:
    path, target = link["path"], link.get("target") or "nothing"
    if link.get("self"):
        return f"{path} is a link to itself"
    if link.get("loop"):
        return f"{path} is a link to {target}, which leads back to it: a loop"
    if link.get("exists") is False:
        real = link.get("resolved")
        missing = f" ({real})" if real and real != target else ""
        return f"{path} is a link to {target}, which doesn't exist{missing}"
    return f"{path} is a link to {target} (a {link.get('target_type') or 'file'})"


def _text_for_link(item: Any, evidence: Evidence) -> str:
    target = {True: ", which exists", False: ", which doesn't exist either"}.get(item.get("target_exists"), "")
    return f"{item['path']} is a text file that says {item.get('content')!r}{target}; it should be a link"


def _access(item: Any, evidence: Evidence) -> str:
    path, purpose = item["path"], str(item.get("purpose") or "needed").replace("_", " ")
    user = fact(evidence, "access.user.name") or fact(evidence, "unit.user") or "the backend's user"
    if item.get("type") == "missing":
        return f"{path} ({purpose}) doesn't exist"
    owned = f"{item.get('type') or 'file'}, {item.get('owner')}:{item.get('group')}, mode {item.get('mode')}"
    if item.get("blocked_at"):
        return f"{user} can't get to {path} ({purpose}): {item['blocked_at']} doesn't let it pass"
    verbs = {"r": "readable", "w": "writable", "x": "executable"}
    words = {"readable": "read", "writable": "write to", "executable": "execute or enter"}
    lacking = [words[verbs[letter]] for letter in item.get("needs") or "" if item.get(verbs.get(letter, "")) is False]
    if item.get("ok") is False or lacking:
        why = f"; {item['reason']}" if item.get("reason") else ""
        by = f"; {item['sandboxed_by']} forbids it" if item.get("sandboxed_by") else ""
        return f"{user} can't {' or '.join(lacking) or 'use'} {path} ({purpose}; {owned}){by or why}"
    return f"{user} has the rights that {path} needs ({purpose}; {owned})"


def _socket(socket: Any, evidence: Evidence) -> str:
    where = socket.get("address") or "any address"
    process = socket.get("process")
    command = process.get("command") if isinstance(process, Mapping) else process
    unit = process.get("unit") if isinstance(process, Mapping) else None
    owner = process.get("user") if isinstance(process, Mapping) else None
    who = f"process {socket['pid']}" if socket.get("pid") else "a process that couldn't be seen"
    about = ", ".join(filter(None, (f"of {unit}" if unit else "", f"user {owner}" if owner else "")))
    same = "; it runs this backend's code" if socket.get("same_code") else ""
    verb = {"listening": "listens on", "bound": "is bound to", "connected": "uses"}.get(
        str(socket.get("state")), "holds"
    )
    shown = f"{who}{f' ({about})' if about else ''} {verb} port {socket.get('port')} of {where}{same}"
    return f"{shown}: {command}" if command else shown


def _env_file(item: Any, evidence: Evidence) -> str:
    path = item["path"]
    origin = f" (named by {item['origin']})" if item.get("origin") else " (named by the unit)"
    if item.get("type") == "dangling_link":
        return f"the environment file {path}{origin} is a link that leads nowhere"
    if item.get("exists") is False:
        return f"the environment file {path}{origin} doesn't exist" + (
            ", and it is optional" if item.get("optional") else ""
        )
    owned = f" ({item.get('owner')}, mode {item.get('mode')})" if item.get("mode") else ""
    if item.get("readable") is False:
        return f"the environment file {path}{origin} can't be read by the backend's user{owned}"
    return f"the environment file {path}{origin} exists{' and is readable' if item.get('readable') else ''}{owned}"


def _requirement(item: Any) -> str:
    place = f"{item['file']}:{item['line']}" if item.get("line") else item.get("file") or "the project"
    return f"{place} requires {item['name']}{item.get('specifier') or ''}"


def _missing_name(name: Any, evidence: Evidence) -> str | None:
    listed = fact(evidence, "packages.missing") or []
    return next((f"{_requirement(item)}, which isn't installed" for item in listed if item.get("name") == name), None)


def _chain(step: Any, evidence: Evidence) -> str:
    kind = {"pyvenv.cfg": "pyvenv.cfg names", "shebang": "the first line names", "command": "the command is"}.get(
        str(step.get("step")), f"{step.get('step')}:"
    )
    target = f" -> {step['target']}" if step.get("target") else ""
    missing = "which doesn't exist" if step.get("exists") is False else ""
    problem = step.get("problem") or missing
    return f"{kind} {step['path']}{target}" + (f": {problem}" if problem else "")


def _disk(disk: Any, evidence: Evidence) -> str:
    free, inodes = disk.get("free_for_user_bytes", disk.get("free_bytes")), disk.get("inodes_free")
    used_for = ", ".join(str(item) for item in disk.get("purpose") or [])
    said = f"{disk.get('mount') or disk.get('path')} ({disk.get('device')}, {disk.get('fstype')})"
    if disk.get("read_only"):
        said += " is mounted read-only"
    elif free is not None:
        said += f" has {_size(free)} free of {_size(disk.get('size_bytes') or 0)}"
    if inodes is not None and disk.get("inodes_total"):
        said += f", {inodes} of {disk['inodes_total']} inodes free"
    return said + (f"; it holds the {used_for}" if used_for else "")


def _memory_group(group: Any, evidence: Evidence) -> str:
    limit = _size(group["max_bytes"]) if group.get("max_bytes") else "no limit"
    now = group.get("peak_bytes") or group.get("current_bytes")
    kills = f"; the kernel killed {group['oom_kills']} processes of it" if group.get("oom_kills") else ""
    return f"the backend's memory limit is {limit}" + (f", it used up to {_size(now)}" if now else "") + kills


def _fds(fds: Any, evidence: Evidence) -> str:
    if fds.get("open") is not None:
        return f"process {fds.get('pid')} has {fds['open']} descriptors open; its soft limit is {fds.get('soft_limit')}"
    return f"the host uses {fds.get('system_used')} of {fds.get('system_max')} descriptors"


def _named(kind: str) -> Renderer:
    """A renderer of a program's or directory's ``{path, exists}``."""

    def render(item: Any, evidence: Evidence) -> str:
        path = item.get("path") if isinstance(item, Mapping) else item
        gone = isinstance(item, Mapping) and item.get("exists") is False
        return f"{kind} {path} {'does not exist' if gone else 'exists'}"

    return render


def _existence(kind: str, path_of: str) -> Renderer:
    """A renderer of a truth value about something whose name stands elsewhere in the evidence."""

    def render(exists: Any, evidence: Evidence) -> str | None:
        name = fact(evidence, path_of)
        return f"{kind} {name or ''} {'exists' if exists else 'does not exist'}".replace("  ", " ")

    return render


def _exit_code(code: Any, evidence: Evidence) -> str:
    text = fact(evidence, "service.exit.status_text")
    name = f"{text}" if text and "/" in str(text) else str(code)
    why = fact(evidence, "service.exit.explained")
    return f"the supervisor saw it exit with status {name}" + (f": {why}" if why else "")


def _signal(name: Any, evidence: Evidence) -> str:
    core = " and it dumped core" if fact(evidence, "service.exit.core_dumped") else ""
    return f"the supervisor saw it killed by the signal {name}{core}"


def _result(result: Any, evidence: Evidence) -> str:
    why = fact(evidence, "service.result_explained")
    return f"the supervisor's result of the last run is {result!r}" + (f": {why}" if why else "")


def _sub_state(state: Any, evidence: Evidence) -> str:
    waits = str(state).startswith("auto-restart") or state in ("backoff", "restarting")
    return f"the supervisor waits to start it again ({state})" if waits else f"the supervisor says: {state}"


def _window(count: Any, evidence: Evidence) -> str:
    seconds = fact(evidence, "service.window_s")
    return f"the supervisor started it again {count} times" + (f" in {seconds / 60:g} min" if seconds else "")


def _attribute(item: Any, evidence: Evidence) -> str:
    module = fact(evidence, "import_test.target.module") or "the module"
    similar = ", ".join(str(name) for name in item.get("similar") or [])
    if item.get("exists"):
        return f"{module} has {item.get('wanted')!r} (a {item.get('type')})"
    return f"{module} was imported and has no attribute {item.get('wanted')!r}" + (
        f"; it has {similar}" if similar else ""
    )


def _outcome(outcome: Any, evidence: Evidence) -> str | None:
    statement, user = fact(evidence, "import_test.statement"), fact(evidence, "import_test.user")
    done = f"{statement or 'the import'!r} as {user or 'the backend'}"
    return {
        "ok": f"the import test ran {done} without an exception",
        "timeout": f"the import test ran {done} and it didn't come to an end",
        "killed": f"the import test ran {done} and it was killed",
        "crashed": f"the import test ran {done} and Python itself crashed",
        "system_exit": f"the import test ran {done} and it ended itself",
    }.get(str(outcome))


def _young_workers(item: Any, evidence: Evidence) -> str:
    oldest = item.get("oldest_worker_age_s")
    workers = "it has no worker" if oldest is None else f"its oldest worker {oldest:.0f} s"
    return f"the parent {item.get('parent_pid')} is {item.get('parent_age_s'):.0f} s old, {workers}: workers die and are replaced"


def _port_open(value: Any, evidence: Evidence) -> str:
    port = fact(evidence, "ports.wanted[0].port") or fact(evidence, "app.port") or "the backend's port"
    return f"{'something' if value else 'nothing'} listens on {port if isinstance(port, str) else f'port {port}'}"


def _wrong_version(item: Any, evidence: Evidence) -> str:
    return f"{_requirement(item)}, and {item.get('installed')} is installed"


def _health_status(status: Any, evidence: Evidence) -> str:
    asked = [fact(evidence, "app.health"), *(fact(evidence, "app.health.tried") or [])]
    url = next((one.get("url") for one in asked if isinstance(one, Mapping) and one.get("status") == status), None)
    return f"{url or 'its health endpoint'} answers with {status}"


RENDERERS: dict[str, Renderer] = {
    "app.health.status": _health_status,
    "app.health.tried[*].status": _health_status,
    "symlinks.links[*]": _link,
    "symlinks.text_instead_of_link[*]": _text_for_link,
    "access.paths[*]": _access,
    "ports.wanted_taken_by[*]": _socket,
    "ports.sockets[*]": _socket,
    "ports.listening_on_wanted": _port_open,
    "environment.files[*]": _env_file,
    "unit.environment_files[*]": _env_file,
    "packages.missing[*]": lambda item, evidence: f"{_requirement(item)}, which isn't installed",
    "packages.missing[*].name": _missing_name,
    "packages.mismatched[*]": _wrong_version,
    "packages.conflicts[*]": lambda item, evidence: (
        f"{item['name']} {item.get('version')} requires {item.get('requires')}, and {item.get('found') or 'nothing'} is installed"
    ),
    "packages.broken[*]": lambda item, evidence: f"{item['name']} at {item.get('path')}: {item.get('problem')}",
    "interpreter.chain[*]": _chain,
    "interpreter.runs": lambda runs, evidence: (
        f"{fact(evidence, 'interpreter.python')} {'runs' if runs else 'does not run'}"
        + (f": {fact(evidence, 'interpreter.error')}" if not runs and fact(evidence, "interpreter.error") else "")
    ),
    "interpreter.version": lambda version, evidence: f"the backend's Python is {version}",
    "interpreter.requires_python": lambda wanted, evidence: f"the project requires Python {wanted}",
    "resources.disks[*]": _disk,
    "resources.memory.cgroup": _memory_group,
    "resources.memory.cgroup.oom_kills": lambda kills, evidence: (
        f"the kernel killed {kills} processes of the backend for want of memory"
    ),
    "resources.fds": _fds,
    "import_test.missing_module.found_at[*]": lambda item, evidence: (
        f"{item['path']}: {item.get('detail') or item['why']}"
    ),
    "import_test.missing_module.declared_in[*]": lambda item, evidence: (
        f"{item['file']}:{item.get('line')} declares it: {item.get('text')}"
    ),
    "import_test.attribute": _attribute,
    "import_test.outcome": _outcome,
    "app.target_file": _named("the file of the import target"),
    "app.target_file.path": _named("the file of the import target"),
    "app.target_names": lambda names, evidence: (
        f"the target's module assigns {', '.join(map(str, names[:12])) or 'nothing'}"
    ),
    "app.local_packages": lambda names, evidence: f"the code's directory has {', '.join(map(str, names[:12]))}",
    "app.script_exists": _existence("the script", "app.script"),
    "app.code_dir_exists": _existence("the code's directory", "app.code_dir"),
    "unit.working_directory_exists": _existence("the working directory", "unit.working_directory"),
    "unit.user_exists": _existence("the user", "unit.user"),
    "unit.group_exists": _existence("the group", "unit.group"),
    "unit.user": lambda user, evidence: f"the backend runs as {user or 'root'}",
    "unit.problems[*]": lambda item, evidence: ":".join(
        str(part) for part in (item.get("file"), item.get("line"), f" {item.get('text')}") if part is not None
    ),
    "service.exit.code": _exit_code,
    "service.exit.signal": _signal,
    "service.exit.core_dumped": lambda core, evidence: "the process dumped core",
    "service.exit.status_text": lambda text, evidence: f"the supervisor gives the status {text}",
    "service.result": _result,
    "service.sub_state": _sub_state,
    "service.active_state": lambda state, evidence: f"the supervisor says that it is {state}",
    "service.load_state": lambda state, evidence: f"the supervisor couldn't load its definition: {state}",
    "service.restarts": lambda count, evidence: f"the supervisor has started it again {count} times",
    "service.restarts_in_window": _window,
    "service.uptime_s": lambda seconds, evidence: f"it has been up for {seconds:.0f} s",
    "service.start_limit": lambda limit, evidence: (
        f"the supervisor gave up after {limit.get('burst')} starts"
        + (f" in {limit['interval_s']:g} s" if limit.get("interval_s") else "")
    ),
    "service.messages[*]": lambda text, evidence: f"the supervisor: {text}",
    "processes.young_workers": _young_workers,
    "clock.controller_offset_s": lambda offset, evidence: f"the host's clock is {offset:+.0f} s off the controller's",
}
