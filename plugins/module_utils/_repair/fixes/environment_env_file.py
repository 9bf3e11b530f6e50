# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environment files: missing or misplaced (another one is loaded), unreadable (attributes), malformed (written anew).

systemd reads ``EnvironmentFile=`` as root; what the application or a start script reads has to be readable for its user. No file of
secrets is copied: a drop-in names it where it lies.
"""

from __future__ import annotations

import os
import pwd
import shlex
import stat
from typing import Optional

from ..._evidence import environment
from ..._evidence.access_check import check
from ..._evidence.env_file import MAX_BYTES, parse, path_type
from ..._evidence.model import Backend, EnvFileRef, Section
from ..._evidence.python_path import identity
from ..model import Change, Refused
from .environment_draft import Draft, NotEvident
from .environment_env_repair import Unclear, harmful, repair
from .environment_names import names
from .environment_trust import objection, own, planted
from .environment_world import headline, passed

MAX_SHOWN = 5


def env_files(draft: Draft) -> None:
    """Mend the environment files: the one that is named by an option, else all that the backend reads."""
    path, source = draft.option("env_file"), draft.option("env_file_source")
    if source:
        _load_instead(draft, path, source)
        return
    listed = environment.collect(draft.backend, draft.context())
    if path:
        path = os.path.normpath(os.path.join(draft.backend.cwd or "/", path))
    files = [item for item in listed["files"] if item["path"] == path]
    if path and not files and os.path.exists(path):
        _add(draft, path)
        return
    # One that is neither read nor there is only a name in somebody's message: all that are read are looked at.
    files = files or listed["files"]
    for item in files:
        if item["exists"] is False or item["type"] == "directory":
            _missing(draft, item, listed["candidates"])
        elif item["exists"] and item["readable"] is False:
            _unreadable(draft, item)
        elif item["exists"]:
            _malformed(draft, item, chosen=item["path"] == path)


def _by_systemd(item: Section) -> bool:
    return str(item["origin"]).startswith("EnvironmentFile")


# Another file


def _load_instead(draft: Draft, path: str, source: str) -> None:
    """The user's own choice of a file, checked."""
    _check_chosen(source, draft, "environment_env_file_source")
    known = [ref.path for ref in draft.backend.env_files]
    if source in known and (not path or path not in known or path == source):
        return
    draft.because(
        f"{source} is loaded{f' in place of {path}' if path in known else ''}, as environment_env_file_source says."
    )
    draft.use_env_file(source, path if path in known else None)


def _add(draft: Draft, path: str) -> None:
    """A file that the user names and the backend does not read yet."""
    _check_chosen(path, draft, "environment_env_file")
    _no_link_of_others(path)
    if not check(path, identity(draft.backend)).readable and not own(path, draft.backend):
        # systemd reads it as root, and a log line may have named it.
        raise Refused(
            f"{path} exists, isn't the backend's, and {draft.backend.user} may not read it: loading it would hand its content over. If it is meant, "
            "say so with environment_env_file_source.",
            [f"ls -l {shlex.quote(path)}"],
        )
    draft.because(f"{path} is loaded, as environment_env_file says.")
    draft.use_env_file(path, None)


def _check_chosen(path: str, draft: Draft, option: str) -> None:
    content = draft.context().read(path, max_bytes=MAX_BYTES)
    if not path.startswith("/") or content.error:
        raise Refused(f"{content.error or f'{path} is no absolute path'}: correct {option}.", [f"ls -l '{path}'"])
    error = parse(content.raw).load_error
    if error:
        raise Refused(f"{path} can't be loaded by systemd ({error}): mend it first, or correct {option}.")


def _missing(draft: Draft, item: Section, candidates: list[Section]) -> None:
    """A file that is not there. It matters when systemd insists on it, or when variables are missing."""
    required = _by_systemd(item) and not item["optional"]
    if not required and draft.imported() is not False:
        return
    fitting = [one for one in candidates if _sensible(draft, one, item)]
    proved = {one["path"]: one for one in fitting if _helps(draft, one["path"], required)}
    chosen = _one_of(proved, item["path"], draft)
    if chosen is None:
        if not required and not _wants_variables(draft):
            return
        raise NotEvident(*_nothing_found(draft, item, list(proved), [one["path"] for one in candidates]))
    draft.because(
        f"The environment file {item['path']} does not exist; {chosen} is the only one on this host with the variables that the code needs: "
        f"it is loaded{' instead' if required else ''} from where it lies."
    )
    draft.use_env_file(chosen, item["path"] if required else None)


def _wants_variables(draft: Draft) -> bool:
    """Whether the import fails in a way that variables could cause."""
    exception = draft.trial().get("exception") or {}
    return bool(exception) and exception["type"] not in (
        "ModuleNotFoundError",
        "ImportError",
        "SyntaxError",
        "IndentationError",
    )


def _sensible(draft: Draft, one: Section, item: Section) -> bool:
    """Whether a file may be loaded at all: a real one of the host or backend, no example, nobody else's."""
    if (
        not one["exists"]
        or not one["readable"]
        or one["type"] != "file"
        or one["load_error"]
        or one["path"] == item["path"]
    ):
        return False
    if "example" in str(one["origin"]) or not one["names"] or one["not_loaded"]:
        return False
    return objection(one["path"], draft.backend) is None and planted(one["path"]) is None


def _helps(draft: Draft, path: str, required: bool) -> bool:
    """Whether the application starts with this file's variables; where that can't be tried, whether it has all that the code needs."""
    content = draft.context().read(path, max_bytes=MAX_BYTES)
    variables = parse(content.raw).variables
    before = draft.trial()
    test = draft.try_as(_with(draft, variables), f"env {path} {draft.stamp}")
    needed = names(draft.backend, draft.context())
    has = {name.upper() for name in variables}
    lacking = needed.required - has - {name.upper() for name in draft.backend.environ}
    if passed(test) is True and passed(before) is False:
        return bool(needed.read & has) or not needed.read
    if passed(test) is False and (not required or headline(test) != headline(before)):
        # Something else may be wrong as well: the next thing, but not a variable.
        return bool(needed.read & has) and not lacking and not _same_failure(test, before)
    return bool(needed.read & has) and not lacking


def _same_failure(first: Section, second: Section) -> bool:
    one, two = first.get("exception") or {}, second.get("exception") or {}
    return (one.get("type"), one.get("message")) == (two.get("type"), two.get("message"))


def _with(draft: Draft, variables: dict[str, str]) -> Backend:
    return draft.with_changes(environ={**draft.backend.environ, **variables})


def _one_of(proved: dict[str, Section], missing: str, draft: Draft) -> Optional[str]:
    """The one that is meant: the only one, the only one of that name, or any of several with equal content."""
    paths = list(proved)
    if len(paths) > 1:
        same_name = [path for path in paths if os.path.basename(path) == os.path.basename(missing)]
        paths = same_name if len(same_name) == 1 else paths
    if len(paths) > 1:
        ctx = draft.context()
        contents = {tuple(sorted(parse(ctx.read(path, max_bytes=MAX_BYTES).raw).variables.items())) for path in paths}
        paths = paths[:1] if len(contents) == 1 else paths
    return paths[0] if len(paths) == 1 else None


def _nothing_found(draft: Draft, item: Section, proved: list[str], seen: list[str]) -> tuple[str, list[str]]:
    needed = sorted(names(draft.backend, draft.context()).required - {name.upper() for name in draft.backend.environ})
    wants = f" The code needs {', '.join(needed[:8])}." if needed else ""
    commands = [
        f"install -m 0640 -o root -g '{draft.backend.user or 'root'}' /dev/null '{item['path']}'   # then fill it in"
    ]
    if len(proved) > 1:
        return (
            f"The environment file {item['path']} does not exist, and several others would do: {', '.join(proved[:MAX_SHOWN])}. "
            f"Choose one with environment_env_file_source.",
            commands,
        )
    looked = f" Looked at: {', '.join(seen[:MAX_SHOWN])}." if seen else ""
    return (
        f"The environment file {item['path']} does not exist, and no other file on this host has its variables.{wants}{looked} "
        f"Somebody has to provide it.",
        commands,
    )


# Rights


def _unreadable(draft: Draft, item: Section) -> None:
    """A file that the application itself reads and may not: its group gets the right to read, nobody else."""
    backend, path = draft.backend, os.path.realpath(item["path"])
    if _by_systemd(item):
        raise NotEvident(
            f"{path} is {item['type']}, and systemd can't read it: {item['load_error']}.", [f"ls -ld '{path}'"]
        )
    _no_link_of_others(item["path"])
    access = check(path, identity(backend))
    if access.status is None or backend.uid is None or (access.blocked_at and access.blocked_at != path):
        raise NotEvident(
            f"{item['path']} can't be read by {backend.user}: {access.blocked_at or path} refuses ({access.reason}). Opening a directory "
            f"is a decision about others too.",
            [f"namei -l '{item['path']}'"],
        )
    if access.status.st_mode & stat.S_IRGRP and access.status.st_gid not in (0, backend.gid):
        raise NotEvident(
            f"{item['path']} can't be read by {backend.user}, and its group reads it: an access list would serve both.",
            [f"setfacl -m u:{backend.user}:r '{path}'"],
        )
    draft.changes.append(readable_for(path, access.status, backend.uid, backend.gid, backend.user))
    draft.because(
        f"{item['path']} is read by the application itself, and {backend.user} may not read it: {backend.user} is given the right to read it, nobody else is."
    )


def _no_link_of_others(path: str) -> None:
    """A service user may not lead us to the files of others, neither to open nor to rewrite them."""
    why = planted(path)
    if why:
        raise NotEvident(
            f"{why}: what such a link leads to is not touched. Let root make the link, or put a file in its place.",
            [f"namei -l {shlex.quote(path)}"],
        )


def readable_for(path: str, status: os.stat_result, uid: int, gid: Optional[int], user: Optional[str]) -> Change:
    """The smallest change of attributes that lets one user read a file."""
    mode = stat.S_IMODE(status.st_mode)
    why = "the backend's user may read it"
    if status.st_uid == uid:
        return Change("attributes", path, why, mode=mode | stat.S_IRUSR)
    if gid is not None and _private(gid, uid, user):
        return Change(
            "attributes",
            path,
            why,
            mode=(mode | stat.S_IRGRP) & ~(stat.S_IWGRP if status.st_gid != gid else 0),
            gid=gid,
        )
    return Change("attributes", path, why, mode=mode & ~0o077 | stat.S_IRUSR, uid=uid)


def _private(gid: int, uid: int, user: Optional[str]) -> bool:
    """Whether a group is one user's own: named like it or of its number, and nobody else's main group."""
    others = [entry.pw_name for entry in pwd.getpwall() if entry.pw_gid == gid and entry.pw_uid != uid]
    return gid != 0 and not others and user is not None


# Content


def _malformed(draft: Draft, item: Section, chosen: bool) -> None:
    """A file that its reader can't take as it is."""
    path = os.path.realpath(item["path"])
    reader = "systemd" if _by_systemd(item) else "shell" if str(item["origin"]).startswith("start script") else "dotenv"
    content = draft.context().read(path, max_bytes=MAX_BYTES)
    if content.error or content.truncated or path_type(path) != "file":
        return
    parsed = parse(content.raw)
    if not harmful(parsed, reader):
        return
    stops = bool(parsed.load_error) and reader == "systemd" and not item["optional"]
    if not chosen and not stops and draft.imported() is not False:
        return
    _no_link_of_others(item["path"])
    if objection(path, draft.backend):
        raise NotEvident(
            f"{objection(path, draft.backend)}: a file of somebody else's is not rewritten.", [f"ls -l '{path}'"]
        )
    try:
        repaired = repair(content.raw, reader)
    except Unclear as exc:
        raise NotEvident(
            f"{item['path']} is malformed, and no repair is sure: {exc}. Correct it by hand.",
            [f"cut -d= -f1 '{item['path']}' | cat -An"],
        ) from exc
    if reader == "systemd" and not (chosen or stops) and not _improves(draft, parse(repaired.content).variables):
        return
    if reader == "systemd" and _read_by_shell(draft, item["path"]):
        raise NotEvident(
            f"{item['path']} is read by systemd and by a shell script, which need it in different forms: correct it by hand."
        )
    draft.because(
        f"{item['path']} is malformed for {reader}; it is written anew with the same values: {', '.join(repaired.done)}."
    )
    draft.notes += [f"{item['path']}: {remark}." for remark in repaired.left[:MAX_SHOWN]]
    draft.rewrite(path, repaired.content, "; ".join(repaired.done))


def _improves(draft: Draft, variables: dict[str, str]) -> bool:
    """Whether the application gets further with the variables of the repaired file."""
    before = draft.trial()
    test = draft.try_as(_with(draft, variables))
    return passed(test) is not False or not _same_failure(test, before)


def _read_by_shell(draft: Draft, path: str) -> bool:
    refs: list[EnvFileRef] = draft.backend.env_files
    return any(ref.path == path and ref.origin.startswith("start script") for ref in refs)
