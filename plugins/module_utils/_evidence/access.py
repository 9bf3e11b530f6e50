# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the backend's user can use the paths that matter: code, interpreter, settings, logs and data."""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Optional
from urllib.parse import unquote

from .access_check import Access, Identity, check
from .app import target_file
from .context import Context
from .env_file import group_name, path_type, user_name
from .model import Backend, Section
from .packages import site_directories
from .python_path import identity

MAX_PATHS = 150
MAX_DATA_FILES = 300
# Directories of a project that applications usually write into.
_DATA_NAMES = frozenset(
    "data logs log uploads media instance var storage cache tmp run db static_root staticfiles".split()
)
_DATABASE = re.compile(r"sqlite(?:\+\w+)?:///(?P<path>/?[^?]+)")
_PATH_OPTION = re.compile(
    r"--?(?:ssl-?keyfile|ssl-?certfile|ssl-ca-certs|keyfile|certfile|pid(?:file)?|statedb|schedule|worker-tmp-dir|upload-dir)\Z"
)
_WRITES = re.compile(r"pid|statedb|schedule|tmp|upload")
_NO_DIRECTORY = re.compile(
    r"PATH\Z|\APWD|OLDPWD|SHELL|\AHOME\Z|_FILE\Z|MODULE|PYTHON|VIRTUAL_ENV|EXECUTABLE|_BIN\Z|INVOCATION|JOURNAL|LISTEN_|NOTIFY"
)
_WRITABLE_NAME = re.compile(
    r"DATA|LOG|UPLOAD|MEDIA|CACHE|TMP|TEMP|STORAGE|STATE|DB|RUN|OUTPUT|EXPORT|BACKUP|WORK", re.IGNORECASE
)
_HOMES = ("/home", "/root", "/run/user")
_TEMPORARY = ("/tmp", "/var/tmp")
# systemd setting → directory above the one that it makes for the unit.
_UNIT_DIRECTORIES = {
    "RuntimeDirectory": "/run", "StateDirectory": "/var/lib", "CacheDirectory": "/var/cache", "LogsDirectory": "/var/log",
}  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """A path, what it is for, and what the backend needs of it: letters of ``rwx``. ``certain`` is False for guesses."""

    path: str
    purpose: str
    needs: str
    certain: bool = True


def collect(backend: Backend, ctx: Context) -> Section:
    """The ``access`` section."""
    who = identity(backend)
    sandbox = backend.unit.get("sandboxing") or {}
    paths: list[dict[str, Any]] = []
    seen: set[tuple[str, str]] = set()
    truncated = False
    for wanted in _wanted(backend):
        key = (wanted.path, wanted.needs)
        if key in seen or not wanted.path.startswith("/"):
            continue
        if len(paths) >= MAX_PATHS:
            truncated = True
            break
        seen.add(key)
        paths.append(describe(wanted, who, sandbox))
    section: Section = {
        "user": user_section(backend),
        "paths": sorted(paths, key=lambda item: item["ok"] is not False),
        "denials": [],
        "enforcing": enforcing(ctx),
    }
    if truncated:
        section["_truncated"] = True
    return section


def user_section(backend: Backend) -> dict[str, Any]:
    """The user that the backend runs as, and whether the host knows it."""
    exists: Optional[bool] = backend.unit.get("user_exists")
    if exists is None and backend.user:
        try:
            pwd.getpwnam(backend.user)
            exists = True
        except KeyError:
            exists = False
    name = backend.user or (user_name(backend.uid) if backend.uid is not None else None)
    return {
        "name": name,
        "uid": backend.uid,
        "gid": backend.gid,
        "groups": [_group(gid) for gid in backend.groups],
        "exists": exists,
    }


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def describe(wanted: Wanted, who: Identity, sandbox: dict[str, Any]) -> dict[str, Any]:
    """One entry of ``access.paths``. ``ok`` is None when the path is missing or only guessed to be needed."""
    access = check(wanted.path, who)
    status = access.status
    kind = path_type(wanted.path)
    hidden = hidden_by(wanted.path, sandbox)
    sandboxed = hidden or (sandboxed_by(wanted.path, sandbox) if "w" in wanted.needs else None)
    entry = {
        "path": wanted.path,
        "purpose": wanted.purpose,
        "type": kind,
        "owner": user_name(status.st_uid) if status else None,
        "group": group_name(status.st_gid) if status else None,
        "mode": f"{stat.S_IMODE(status.st_mode):04o}" if status else None,
        "readable": access.readable and not hidden,
        "writable": access.writable and not sandboxed,
        "executable": access.executable and not hidden,
        "blocked_at": access.blocked_at,
        "needs": wanted.needs,
        "ok": None,
        "reason": None,
        "sandboxed_by": sandboxed,
    }
    if kind == "missing":
        _missing(entry, wanted, access, who, sandbox)
    elif kind == "out_of_reach" and not str(access.reason).startswith("mode "):
        # Refused to this process, and no directory that it can see refuses the backend's user.
        entry.update(dict.fromkeys(("readable", "writable", "executable", "blocked_at")))
        entry["reason"] = "these rights don't reach it, so nothing is known of it"
    elif access.status is None:
        entry["ok"], entry["reason"] = False, access.reason
    else:
        has = {"r": entry["readable"], "w": entry["writable"], "x": entry["executable"]}
        if all(has[letter] for letter in wanted.needs):
            entry["ok"] = True
        else:
            entry["ok"] = False if wanted.certain else None
            entry["reason"] = sandboxed or access.reason
    return entry


def _missing(entry: dict[str, Any], wanted: Wanted, access: Access, who: Identity, sandbox: dict[str, Any]) -> None:
    """A path that is not there: when it is to be written, whether its nearest directory lets the user make it."""
    entry["blocked_at"] = None
    entry["reason"] = "does not exist"
    if access.blocked_at and os.path.exists(access.blocked_at):
        entry["blocked_at"], entry["ok"], entry["reason"] = access.blocked_at, False, access.reason
        return
    if "w" not in wanted.needs:
        return
    parent = os.path.dirname(wanted.path)
    while parent != "/" and not os.path.lexists(parent):
        parent = os.path.dirname(parent)
    above = check(parent, who)
    sandboxed = sandboxed_by(parent, sandbox)
    if not (above.writable and above.executable) or sandboxed:
        entry["blocked_at"] = parent
        entry["reason"] = f"does not exist, and the user can't make it: {sandboxed or above.reason}"
        entry["ok"] = False if wanted.certain else None
        entry["sandboxed_by"] = sandboxed


def hidden_by(path: str, sandbox: dict[str, Any]) -> Optional[str]:
    """The systemd setting that makes a path invisible to the unit, None when none does."""
    path = os.path.realpath(path)
    if any(_under(path, item) for item in _split(sandbox.get("BindPaths")) + _split(sandbox.get("BindReadOnlyPaths"))):
        return None
    if any(_under(path, item) for item in _split(sandbox.get("InaccessiblePaths"))):
        return "InaccessiblePaths="
    if any(_under(path, item) and path != item for item in _split(sandbox.get("TemporaryFileSystem"))):
        return "TemporaryFileSystem="
    home = str(sandbox.get("ProtectHome", "no")).strip().lower()
    if home in ("yes", "true", "1", "on", "tmpfs") and any(_under(path, item) for item in _HOMES):
        return f"ProtectHome={home}"
    if _yes(sandbox.get("PrivateTmp")) and any(_under(path, item) and path != item for item in _TEMPORARY):
        return "PrivateTmp="
    return None


def sandboxed_by(path: str, sandbox: dict[str, Any]) -> Optional[str]:
    """The systemd setting that makes a path read-only for the unit, None when none does."""
    path = os.path.realpath(path)
    allowed = _split(sandbox.get("ReadWritePaths")) + _split(sandbox.get("BindPaths"))
    for setting, top in _UNIT_DIRECTORIES.items():
        allowed += [os.path.join(top, name.split(":")[0]) for name in _split(sandbox.get(setting))]
    best_allowed = max((len(item) for item in allowed if _under(path, item)), default=-1)
    for item in _split(sandbox.get("ReadOnlyPaths")):
        if _under(path, item) and len(item) > best_allowed:
            return f"ReadOnlyPaths={item}"
    if best_allowed >= 0 or any(_under(path, item) for item in ("/dev", "/proc", "/sys")):
        return None
    if _yes(sandbox.get("PrivateTmp")) and any(_under(path, item) for item in _TEMPORARY):
        return None
    if str(sandbox.get("ProtectHome", "no")).strip().lower() == "read-only" and any(
        _under(path, item) for item in _HOMES
    ):
        return "ProtectHome=read-only"
    system = str(sandbox.get("ProtectSystem", "no")).strip().lower()
    if _yes(sandbox.get("DynamicUser")) and system in ("no", ""):
        system = "strict"
    protected = {
        "strict": ("/",),
        "full": ("/usr", "/boot", "/efi", "/etc"),
        "yes": ("/usr", "/boot", "/efi"),
        "true": ("/usr", "/boot", "/efi"),
        "1": ("/usr", "/boot", "/efi"),
    }.get(system, ())
    return f"ProtectSystem={system}" if any(_under(path, item) for item in protected) else None


def _split(value: Any) -> list[str]:
    return [item.split(":")[0].lstrip("-+").strip('"') for item in str(value or "").split()]


def _yes(value: Any) -> bool:
    return str(value or "").strip().lower() in ("yes", "true", "1", "on", "disconnected")


def _under(path: str, top: str) -> bool:
    top = top.rstrip("/")
    return path == top or path.startswith(f"{top}/")


def _wanted(backend: Backend) -> Iterator[Wanted]:
    """All paths worth asking for, the most important first."""
    app = backend.app
    directory = backend.unit.get("working_directory") or backend.cwd
    if isinstance(directory, str):
        yield Wanted(directory, "working_directory", "x")
    if app.code_dir:
        yield Wanted(app.code_dir, "code_dir", "rx")
    if app.program and app.program.startswith("/"):
        yield Wanted(app.program, "command", "x")
    for step in app.steps:
        if step.get("step") == "launcher":
            yield Wanted(step["path"], "start script", "r")
    if app.script and not _same(app.script, app.program):
        yield Wanted(app.script, "script", "r")
    target = target_file(backend)
    if target:
        yield Wanted(target, "import target", "r")
    if backend.python:
        yield Wanted(backend.python, "interpreter", "x")
    for site in site_directories(backend)[:4]:
        yield Wanted(site, "site_packages", "rx")
    for path in app.config_files:
        yield Wanted(path, "config", "r")
    for ref in backend.env_files:
        # The supervisor reads its files as root, the application its own as its user.
        if not ref.origin.startswith("EnvironmentFile"):
            yield Wanted(ref.path, "env_file", "r")
    for log in backend.log_files:
        # systemd opens the unit's own outputs as root before it changes user.
        if not re.match(r"Standard(?:Output|Error)=|std(?:out|err)_logfile", log.origin):
            usual = log.origin == "usual place"
            yield Wanted(log.path, "log", "w", certain=not usual)
    if app.uds:
        yield Wanted(os.path.dirname(app.uds), "socket directory", "wx")
    yield from _from_options(backend)
    yield from _from_unit(backend)
    yield from _from_environment(backend)
    yield from _data_directories(backend)
    yield Wanted(backend.environ.get("TMPDIR", "/tmp"), "tmp", "wx", certain=False)
    home = backend.environ.get("HOME")
    if home:
        yield Wanted(home, "home", "x", certain=False)


def _same(path: str, other: Optional[str]) -> bool:
    return other is not None and os.path.realpath(path) == os.path.realpath(other)


def _absolute(path: str, backend: Backend) -> str:
    return os.path.normpath(os.path.join(backend.cwd or "/", path))


def _from_options(backend: Backend) -> Iterator[Wanted]:
    """Key, certificate, PID and state files of the command line."""
    words = backend.app.argv
    for index, word in enumerate(words):
        key, equals, value = word.partition("=")
        if not _PATH_OPTION.match(key):
            continue
        if not equals:
            value = words[index + 1] if index + 1 < len(words) else ""
        if value:
            needs = "w" if _WRITES.search(key) else "r"
            yield Wanted(_absolute(value, backend), key.lstrip("-"), needs)


def _from_unit(backend: Backend) -> Iterator[Wanted]:
    """Directories that systemd makes for the unit, and those that it opens for writing."""
    sandbox = backend.unit.get("sandboxing") or {}
    for setting, top in _UNIT_DIRECTORIES.items():
        for name in _split(sandbox.get(setting)):
            yield Wanted(os.path.join(top, name), setting, "rwx", certain=False)
    for path in _split(sandbox.get("ReadWritePaths")):
        yield Wanted(path, "ReadWritePaths", "rwx")


def _from_environment(backend: Backend) -> Iterator[Wanted]:
    """Paths in the values of variables: SQLite databases, data and log directories, key files."""
    for name, value in sorted(backend.environ.items()):
        database = _DATABASE.match(value)
        if database:
            path = unquote(database.group("path"))
            if path != ":memory:":
                full = _absolute(path, backend)
                yield Wanted(full, f"database of {name}", "rw")
                yield Wanted(os.path.dirname(full), f"directory of the database of {name}", "wx")
            continue
        if (
            not value.startswith("/")
            or ":" in value
            or "\n" in value
            or len(value) > 400
            or value in ("/", "/dev/null")
        ):
            continue
        if name.endswith(("_FILE", "_KEYFILE", "_CERT", "_PEM")):
            yield Wanted(os.path.normpath(value), f"variable {name}", "r")
        elif not _NO_DIRECTORY.search(name):
            writes = bool(_WRITABLE_NAME.search(name))
            yield Wanted(
                os.path.normpath(value),
                f"variable {name}",
                "rwx" if writes and not _is_file(value) else "r",
                certain=writes,
            )


def _is_file(path: str) -> bool:
    return os.path.isfile(path) or bool(re.search(r"\.\w{1,5}\Z", os.path.basename(path)))


def _data_directories(backend: Backend) -> Iterator[Wanted]:
    """Directories by the code that applications usually write into, and what in them belongs to somebody else.

    Files that a manual start as root left behind are a frequent reason for "permission denied".
    """
    who = identity(backend)
    asked = 0
    for base in dict.fromkeys([backend.app.code_dir, backend.cwd]):
        for name in sorted(_DATA_NAMES) if base and base != "/" else ():
            directory = os.path.join(str(base), name)
            if not os.path.isdir(directory):
                continue
            yield Wanted(directory, "data directory by its name", "rwx", certain=False)
            try:
                with os.scandir(directory) as entries:
                    for entry in entries:
                        asked += 1
                        if asked > MAX_DATA_FILES:
                            return
                        owned = entry.stat(follow_symlinks=False).st_uid == who.uid
                        if not owned and not who.root and entry.name[:1] != "." and not check(entry.path, who).writable:
                            yield Wanted(entry.path, f"in {name}", "rw", certain=False)
            except OSError:
                continue


def enforcing(ctx: Context) -> dict[str, Any]:
    """Whether a security module can refuse what modes allow."""
    selinux = ctx.read("/sys/fs/selinux/enforce", 16)
    apparmor = ctx.read("/sys/module/apparmor/parameters/enabled", 16)
    state = None if selinux.error else ("enforcing" if selinux.text.strip() == "1" else "permissive")
    return {"selinux": state or "disabled", "apparmor": apparmor.text.strip() == "Y"}
