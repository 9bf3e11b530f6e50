# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a backend would be if something were changed, without changing it: files with their new content, another user, moved paths."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

from ..._evidence import choose
from ..._evidence.context import KIB, Context, FileText
from ..._evidence.model import Backend, Section, Unavailable
from ..._evidence.selection import InputError
from ..._evidence.systemd_environment import account, all_groups
from ..model import Host, Refused
from ..site import proof_of
from . import dropin

_HARMLESS = ("ModuleNotFoundError", "ImportError", "AttributeError", "NameError", "SyntaxError", "KeyError")


@dataclass
class FutureContext(Context):
    """A context that shows files as they will be. ``future`` maps a path to its new content."""

    future: dict[str, bytes] = field(default_factory=dict)

    def read(self, path: str, max_bytes: int = 256 * KIB, tail: bool = False) -> FileText:
        """The new content of a file that is to be written, else the file."""
        raw = self.future.get(path)
        if raw is None:
            return super().read(path, max_bytes, tail)
        cut = raw[-max_bytes:] if tail else raw[:max_bytes]
        return FileText(
            path, cut.decode("utf-8", errors="replace"), len(raw), len(raw) - len(cut), len(cut) < len(raw), raw=cut
        )


def fresh(host: Host) -> Backend:
    """The backend as its supervisor has it, before wrappers and server were looked through."""
    try:
        backend = choose.named(host.backend.name, host.backend.runtime, host.ctx)
        choose.override(backend, host.ctx.params)
        return backend
    except (InputError, Unavailable):
        return copy.deepcopy(host.backend)


def become(backend: Backend, user: str) -> None:
    """Change a backend's user, with all that follows from it.

    :raises Refused: there is no such user.
    """
    entry = account(user)
    if entry is None:
        raise Refused(f"There is no user {user} on this host.", [f"getent passwd {user}"])
    backend.user, backend.uid, backend.gid = entry.pw_name, entry.pw_uid, entry.pw_gid
    backend.groups = all_groups(entry, entry.pw_gid)
    backend.unit.update(user=user, user_exists=True)
    for name, value in (("USER", entry.pw_name), ("LOGNAME", entry.pw_name), ("HOME", entry.pw_dir)):
        if backend.environ_origin.get(name, "systemd").startswith("systemd"):
            backend.environ[name], backend.environ_origin[name] = value, "systemd, from User="


def moved_path(path: str, moved: Mapping[str, str]) -> str:
    """A path over one of the links, over its new target instead."""
    for link, target in moved.items():
        if path == link or path.startswith(link + "/"):
            return target + path[len(link) :]
    return path


def spell(text: str) -> str:
    """A value for the rest of a line.

    :raises Refused: no unit file can hold it.
    """
    try:
        return dropin.whole(text)
    except ValueError as exc:
        raise Refused(f"{exc}: rename it, or name another one.") from exc


def passed(test: Section) -> Optional[bool]:
    """Whether an import test says that the application can be imported, as the proof after the change will; None when it says nothing."""
    result: Optional[bool] = proof_of(test)["passed"]
    return result


def undecided(test: Section) -> bool:
    """Whether an import got as far as the sandbox or the test's time let it: nothing speaks against its interpreter."""
    return passed(test) is None and bool(test.get("ran")) and not test.get("starved")


def headline(test: Section) -> str:
    """The outcome of an import test in one line, without values: the texts of other errors may hold some."""
    exception = test.get("exception")
    if exception and exception["type"] in _HARMLESS:
        return f"{exception['type']}: {exception['message']}"[:300]
    if exception:
        return str(exception["type"])
    return str(test.get("why_not") or test.get("statement") or test.get("outcome"))[:300]
