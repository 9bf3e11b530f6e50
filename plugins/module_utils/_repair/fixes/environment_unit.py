# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""User, group, type and misplaced lines of a unit, where the right value is evident."""

from __future__ import annotations

import difflib
import grp
import os
import pwd
import re
import time
from collections.abc import Sequence
from typing import Optional

from ..._evidence.app_logs import sources
from ..._evidence.context import KIB
from ..._evidence.env_file import group_name, user_name
from ..._evidence.model import Backend, Section
from ..._evidence.systemd_environment import account
from ..._evidence.systemd_unit_files import Setting, expand_specifiers, parse
from ..._evidence.systemd_words import parse_environment
from ..model import Refused
from .environment_draft import Draft, NotEvident
from .environment_trust import SHARED

NEAR = 0.75
# Servers that never send READY=1. gunicorn does, by its own systemd module.
_SILENT = ("uvicorn", "hypercorn", "daphne", "waitress", "flask", "celery")
_STAYS = (*_SILENT, "gunicorn")
_DETACHES = re.compile(r"--?(?:D|daemon|detach|daemonize2?)(?:=.*)?\Z|multi\Z")
_NOTIFIES = re.compile(rb"sd_?notify|NOTIFY_SOCKET|systemd\.daemon|cysystemd")
# Settings that are taken over from a place where systemd ignores them.
_RECOVERED = ("Environment", "EnvironmentFile", "WorkingDirectory")


def accounts(draft: Draft) -> None:
    """``User=`` and ``Group=`` that name nobody."""
    unit = draft.backend.unit
    wanted, group = draft.option("user"), draft.option("group")
    if wanted:
        _chosen_user(draft, wanted)
    elif unit.get("user_exists") is False:
        _missing_user(draft, str(unit.get("user")))
    if group:
        gid = _gid(group)
        if gid is None:
            raise Refused(
                f"There is no group {group} on this host: correct environment_group.", [f"getent group {group}"]
            )
        if group != draft.backend.unit.get("group"):
            draft.because(f"Group= becomes {group}, as environment_group says.")
            draft.set_account(group=group, gid=gid)
    elif unit.get("group_exists") is False:
        _missing_group(draft, str(unit.get("group")))


def _chosen_user(draft: Draft, wanted: str) -> None:
    if account(wanted) is None:
        raise Refused(f"There is no user {wanted} on this host: correct environment_user.", [f"getent passwd {wanted}"])
    current = draft.backend.unit.get("user") or draft.backend.user
    if wanted == current:
        return
    draft.because(f"User= becomes {wanted} (was {current or 'root'}), as environment_user says.")
    draft.set_account(user=wanted)


def _missing_user(draft: Draft, missing: str) -> None:
    names = [entry.pw_name for entry in pwd.getpwall() if entry.pw_uid != 0]
    found = near(missing, names)
    owner = owner_of_code(draft.backend)
    name = user_name(owner) if owner is not None else None
    if len(found) == 1 and found[0] == name:
        draft.because(
            f"The user {missing} does not exist; the code belongs to {name}, the only user with a similar name: User= becomes {name}."
        )
        draft.set_account(user=name)
        return
    similar = f" Similar: {', '.join(found)}." if found else ""
    raise NotEvident(
        f"The user {missing} of User= does not exist, and which one is meant isn't evident "
        f"(the code belongs to {name or 'root, or to several users'}).{similar} Create the account, or choose one with environment_user.",
        [f"getent passwd {missing}", f"useradd --system --no-create-home --shell /usr/sbin/nologin {missing}"],
    )


def _missing_group(draft: Draft, missing: str) -> None:
    found = near(missing, [entry.gr_name for entry in grp.getgrall() if entry.gr_gid != 0])
    gids = {status.st_gid for status in _code_statuses(draft.backend)}
    name = group_name(next(iter(gids))) if len(gids) == 1 else None
    gid = _gid(found[0]) if len(found) == 1 and found[0] == name else None
    if gid is not None and name is not None:
        draft.because(
            f"The group {missing} does not exist; the code belongs to {name}, the only group with a similar name: Group= becomes {name}."
        )
        draft.set_account(group=name, gid=gid)
        return
    similar = f" Similar: {', '.join(found)}." if found else ""
    raise NotEvident(
        f"The group {missing} of Group= does not exist, and which one is meant isn't evident.{similar} "
        f"Create it, or choose one with environment_group.",
        [f"getent group {missing}", f"groupadd --system {missing}"],
    )


def near(missing: str, names: Sequence[str]) -> list[str]:
    """Names that differ from the missing one by a typing error, or by a part such as ``svc-``."""
    found = difflib.get_close_matches(missing, names, n=5, cutoff=NEAR)
    parts = {part for part in re.split(r"[-_.]", missing) if len(part) >= 4}
    found += [name for name in names if parts & set(re.split(r"[-_.]", name)) or name in parts]
    return list(dict.fromkeys(found))


def owner_of_code(backend: Backend) -> Optional[int]:
    """The user to whom directory and target of the code belong; None for root and where they differ."""
    owners = {status.st_uid for status in _code_statuses(backend)}
    return next(iter(owners)) if len(owners) == 1 and owners != {0} else None


def _code_statuses(backend: Backend) -> list[os.stat_result]:
    result = []
    for path in (backend.app.code_dir, backend.app.script):
        try:
            if path and path not in SHARED:
                result.append(os.stat(path))
        except OSError:
            continue
    return result


def _gid(name: str) -> Optional[int]:
    try:
        return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def misplaced(draft: Draft) -> None:
    """Settings that systemd ignores because they stand in the wrong section or have a typing error."""
    if not draft.dropin or not draft.backend.unit.get("problems") or draft.imported() is True:
        return
    texts = {item["path"]: parse(item["text"]) for item in draft.backend.unit.get("files", [])}
    for problem in draft.backend.unit["problems"]:
        setting = next((item for item in texts.get(problem["file"], []) if item.line == problem["line"]), None)
        name = intended(setting) if setting else None
        if setting is None or name is None or not setting.value:
            continue
        value = expand_specifiers(setting.value, draft.backend.name)
        if not _take_over(draft, name, value):
            continue
        draft.because(
            f"systemd ignores line {setting.line} of {problem['file']} ({setting.name}= in [{setting.section}]): {name}= is set in [Service]."
        )


def intended(setting: Setting) -> Optional[str]:
    """The setting of ``[Service]`` that an ignored line was meant to be; None when that isn't evident."""
    if setting.name in _RECOVERED and setting.section != "Service":
        return setting.name
    close = difflib.get_close_matches(setting.name, _RECOVERED, n=2, cutoff=0.85)
    return close[0] if len(close) == 1 and setting.name not in _RECOVERED else None


def _take_over(draft: Draft, name: str, value: str) -> bool:
    backend = draft.backend
    if name == "EnvironmentFile":
        path = value.lstrip("-")
        if path in [ref.path for ref in backend.env_files] or not os.path.isfile(path):
            return False
        draft.use_env_file(path, None)
        return True
    if name == "WorkingDirectory":
        if backend.unit.get("working_directory") or not os.path.isdir(value):
            return False
        draft.set_directory(value)
        return True
    missing = {key: text for key, text in parse_environment(value).items() if key not in backend.environ}
    for key, text in missing.items():
        draft.set_variable(key, text)
    return bool(missing)


def unit_type(draft: Draft) -> None:
    """``Type=`` that waits for what the server never does, and a watchdog that it never feeds."""
    unit, service = draft.backend.unit, draft.backend.service
    if not draft.systemd or not _timed_out(service):
        return
    server = draft.backend.app.server
    kind = str(unit.get("type"))
    if kind in ("notify", "notify-reload") and server in _SILENT and not _notifies(draft):
        draft.because(
            f"{server} never tells systemd that it is ready, so Type={kind} waits in vain: Type= becomes simple."
        )
        draft.set_setting("Type", "simple")
    elif kind == "forking" and server in _STAYS and not _detaches(draft):
        draft.because(f"{server} stays in the foreground, so Type=forking waits in vain: Type= becomes simple.")
        draft.set_setting("Type", "simple")
    else:
        return
    if unit.get("watchdog_s"):
        draft.because(f"WatchdogSec= is switched off: {server} never feeds the watchdog.")
        draft.set_setting("WatchdogSec", "0")


def _timed_out(service: Section) -> bool:
    return service.get("result") in ("timeout", "protocol") or service.get("active_state") == "activating"


def _notifies(draft: Draft) -> bool:
    code_dir = draft.backend.app.code_dir
    if not code_dir:
        return True
    ctx = draft.context()
    return any(_NOTIFIES.search(ctx.read(path, 256 * KIB).raw) for path in sources([code_dir], time.monotonic() + 1.0))


def _detaches(draft: Draft) -> bool:
    app = draft.backend.app
    if any(_DETACHES.match(text) for text in app.argv):
        return True
    ctx = draft.context()
    return any("daemon" in ctx.read(path).text for path in app.config_files)
