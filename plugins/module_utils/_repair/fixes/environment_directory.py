# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A working directory that is gone: the one that holds the code now, or the link to it led there again."""

from __future__ import annotations

import os
import time
from typing import Optional

from ..._evidence.access_check import check
from ..._evidence.app_logs import SKIP
from ..._evidence.model import Backend
from ..._evidence.python_path import identity
from ..._evidence.servers import module_file
from ..._evidence.symlinks import links_on_the_way
from ..model import Change, Refused
from .environment_draft import Draft, NotEvident
from .environment_trust import NOT_CODE, SHARED, objection, relatives
from .environment_world import passed

MAX_DEPTH = 3
MAX_WALKED = 5000
MAX_SECONDS = 2.0
MAX_SHOWN = 5


def directory(draft: Draft) -> None:
    """Mend ``WorkingDirectory=``."""
    unit = draft.backend.unit
    wanted = draft.option("working_directory")
    current = unit.get("working_directory") or (draft.backend.cwd if not draft.systemd else None)
    if wanted:
        _chosen(draft, wanted, current)
        return
    if not current or os.path.isdir(current) or unit.get("working_directory_optional"):
        return
    if os.path.lexists(current) and not os.path.islink(current):
        raise NotEvident(f"The working directory {current} is no directory.", [f"ls -ld '{current}'"])
    found = candidates(draft, current)
    if len(found) != 1:
        raise NotEvident(
            _why_not(current, found), [f"ls -ld '{current}' '{_existing(current)}'", f"ls -l '{_existing(current)}'"]
        )
    link = dangling_link(current)
    if link:
        _lead_link(draft, current, link, found[0])
        return
    draft.because(
        f"The working directory {current} does not exist; {found[0]} is the only directory of this project that holds {_target(draft.backend)}."
    )
    draft.set_directory(found[0])


def _chosen(draft: Draft, wanted: str, current: Optional[str]) -> None:
    """The user's own choice, checked."""
    if not wanted.startswith("/") or not os.path.isdir(wanted):
        raise Refused(
            f"{wanted} is not an existing directory: correct environment_working_directory.", [f"ls -ld '{wanted}'"]
        )
    access = check(wanted, identity(draft.backend))
    if not access.executable and draft.backend.unit.get("user_exists") is not False:
        raise Refused(
            f"The backend's user {draft.backend.user} can't enter {wanted} ({access.blocked_at or access.reason}).",
            [f"namei -l '{wanted}'"],
        )
    if wanted != current:
        draft.because(f"The working directory becomes {wanted}, as environment_working_directory says.")
        draft.set_directory(wanted)


def candidates(draft: Draft, missing: str) -> list[str]:
    """Directories of the same project that hold the import target or script, and from which it can be imported."""
    backend = draft.backend
    found = [item for item in _holding(backend, missing) if objection(item, backend) is None]
    result = []
    for item in found[: MAX_SHOWN + 1]:
        unit = {**backend.unit, "working_directory": item, "working_directory_exists": True}
        verdict = passed(draft.try_as(draft.with_changes(cwd=item, unit=unit)))
        if verdict is not False or len(found) == 1:
            result.append(item)
    return result


def _holding(backend: Backend, missing: str) -> list[str]:
    app = backend.app
    if app.script and os.path.isfile(app.script) and not app.module:
        folder = os.path.dirname(app.script)
        return [folder] if relatives(folder, missing) else []
    if not app.module and not app.script:
        return []
    start = _existing(missing)
    if start in SHARED:
        return []
    result: list[str] = []
    queue = [(start, 0)]
    end = time.monotonic() + MAX_SECONDS
    walked = 0
    inside = os.path.relpath(app.script, missing) if app.script and not app.module else None
    while queue and walked < MAX_WALKED and time.monotonic() < end:
        current, depth = queue.pop(0)
        if _holds(current, app.module, inside):
            result.append(current)
            continue
        try:
            with os.scandir(current) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)[:500]
        except OSError:
            continue
        for entry in listed:
            walked += 1
            wanted = entry.name not in SKIP and entry.name not in NOT_CODE and not entry.name.startswith(".")
            if depth < MAX_DEPTH and wanted and entry.is_dir(follow_symlinks=False):
                queue.append((entry.path, depth + 1))
    return result


def _holds(folder: str, module: Optional[str], script: Optional[str]) -> bool:
    if module:
        path = module_file(module, [folder])
        return bool(path) and os.path.isfile(str(path))
    return bool(script) and not str(script).startswith("..") and os.path.isfile(os.path.join(folder, str(script)))


def _existing(path: str) -> str:
    """The nearest directory above a missing path that exists; behind a dangling link, above its target."""
    link = dangling_link(path)
    if link:
        path = os.path.normpath(os.path.join(os.path.dirname(link), os.readlink(link)))
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def dangling_link(path: str) -> Optional[str]:
    """The link on the way to a path that leads nowhere."""
    return next((item for item in reversed(links_on_the_way(path)) if not os.path.exists(item)), None)


def _lead_link(draft: Draft, current: str, link: str, found: str) -> None:
    """Lead the link to the directory: whatever deploys next will move the link, and must not meet a drop-in."""
    below = os.path.relpath(current, link)
    target = found if below == "." else found[: -len(below)].rstrip("/") if found.endswith("/" + below) else None
    if target is None:
        raise NotEvident(f"The link {link} leads nowhere, and {found} is not where it could lead.", [f"ls -l '{link}'"])
    old = os.readlink(link)
    new = target if old.startswith("/") else os.path.relpath(target, os.path.realpath(os.path.dirname(link)))
    draft.because(
        f"The working directory {current} leads over the link {link} to {old}, which does not exist; {found} is the only directory of "
        f"this project that holds {_target(draft.backend)}: the link is led there."
    )
    draft.lead_link(Change("link", link, "leads to the directory that holds the code", target=new), target)


def _target(backend: Backend) -> str:
    app = backend.app
    return str(app.module or (os.path.basename(app.script) if app.script else "the code"))


def _why_not(current: str, found: list[str]) -> str:
    if not found:
        return (
            f"The working directory {current} does not exist, and no directory of its project holds the application. "
            f"Deploy it, or choose a directory with environment_working_directory."
        )
    return (
        f"The working directory {current} does not exist, and which directory is meant isn't evident: "
        f"{', '.join(found[:MAX_SHOWN])}. Choose one with environment_working_directory."
    )
