# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backends this run is about: the one that is named, or each that is sick."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .context import Context
from .model import Backend, EnvFileRef, Unavailable
from .selection import Candidate, InputError
from .silent_mounts import sentences, within
from .systemd_environment import account, all_groups

DEFAULT_MAX_BACKENDS = 10


@dataclass
class Chosen:
    """The backends to gather evidence of, all services that were looked at, and remarks for the reader."""

    backends: list[Backend] = field(default_factory=list)
    examined: list[Candidate] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    resolve_ms: dict[str, int] = field(default_factory=dict)


def choose(params: Mapping[str, Any], ctx: Context) -> Chosen:
    """Select by name, or find what is sick.

    :raises InputError: nothing of the given name exists, or a parameter names what does not exist.
    :raises Unavailable: no supervisor can be asked, or something hangs.
    """
    chosen = within(ctx, _choose, params, ctx)
    chosen.notes += sentences()
    return chosen


def _choose(params: Mapping[str, Any], ctx: Context) -> Chosen:
    name = str(params.get("service") or "").strip()
    chosen = Chosen()
    if name:
        begun = time.monotonic()
        backend = _named(name, str(params.get("runtime") or "auto"), ctx)
        chosen.resolve_ms[backend.name] = int((time.monotonic() - begun) * 1000)
        chosen.backends.append(backend)
    else:
        sick(params, ctx, chosen)
    for backend in chosen.backends:
        override(backend, params)
    return chosen


def named(name: str, runtime: str, ctx: Context) -> Backend:
    """The backend of that name. With ``auto``, whichever runtime has it; the first refusal is the one that is told.

    :raises InputError: there is none.
    :raises Unavailable: no supervisor can be asked, or something hangs.
    """
    return within(ctx, _named, name, runtime, ctx)


def _named(name: str, runtime: str, ctx: Context) -> Backend:
    order = [runtime] if runtime != "auto" else automatic_order()
    refusals: list[Exception] = []
    for item in order:
        try:
            return resolver(item)(name, ctx)
        except (InputError, Unavailable) as exc:
            refusals.append(exc)
    refused = [exc for exc in refusals if isinstance(exc, InputError)]
    if not refused:
        raise Unavailable("; ".join(str(exc) for exc in refusals))
    if len(refused) == 1:
        raise refused[0]
    near = list(dict.fromkeys(near for exc in refused for near in exc.near_names))
    raise InputError(" ".join(exc.message for exc in refused), near)


def resolver(runtime: str) -> Callable[[str, Context], Backend]:
    """The function that finds a backend of a runtime by name. Only the adapter that is needed is loaded."""
    if runtime == "supervisor":
        from . import supervisor

        return supervisor.resolve
    from . import systemd

    return systemd.resolve


def automatic_order() -> list[str]:
    """systemd first where it is the init system, else supervisord first."""
    return ["systemd", "supervisor"] if os.path.isdir("/run/systemd/system") else ["supervisor", "systemd"]


def sick(params: Mapping[str, Any], ctx: Context, chosen: Chosen) -> None:
    """Fill ``chosen`` with every sick service that looks like Python, up to ``max_backends``."""
    from . import discovery

    runtime = str(params.get("runtime") or "auto")
    order = [runtime] if runtime != "auto" else automatic_order()
    failures: dict[str, str] = {}
    for item in order:
        try:
            chosen.examined += discovery.discover(item, ctx)
        except Unavailable as exc:
            failures[item] = str(exc)
    if len(failures) == len(order):
        raise Unavailable("; ".join(failures.values()))
    # That the second choice is not there is no news.
    if order[0] in failures:
        chosen.notes.append(failures[order[0]])
    limit = int(params.get("max_backends") or DEFAULT_MAX_BACKENDS)
    wanted = [candidate for candidate in chosen.examined if candidate.sick and candidate.python]
    if order[0] in failures and not wanted:
        # "Nothing is sick" would be a guess: the supervisor that runs most of this host's services was not heard.
        raise Unavailable(f"whether a service is sick is not known: {failures[order[0]]}")
    if len(wanted) > limit:
        left = ", ".join(candidate.name for candidate in wanted[limit:])
        chosen.notes.append(
            f"{len(wanted)} services are sick; only {limit} are looked at (max_backends). Left out: {left}."
        )
    for candidate in wanted[:limit]:
        begun = time.monotonic()
        try:
            backend = resolver(candidate.runtime)(candidate.name, ctx)
        except (InputError, Unavailable) as exc:
            chosen.notes.append(f"{candidate.name} was found to be sick and could not be looked at: {exc}")
            continue
        backend.selected_because = str(candidate.sick)
        chosen.resolve_ms[backend.name] = int((time.monotonic() - begun) * 1000)
        chosen.backends.append(backend)


def override(backend: Backend, params: Mapping[str, Any]) -> None:
    """Apply what the caller knows better: user and further environment file.

    :raises InputError: the user does not exist.
    """
    name = params.get("user")
    if name:
        user = account(str(name))
        if user is None:
            raise InputError(f"There is no user {name} on this host: correct backend_user, or leave it out.")
        backend.user, backend.uid, backend.gid = user.pw_name, user.pw_uid, user.pw_gid
        backend.groups = all_groups(user, user.pw_gid)
    path = params.get("env_file")
    if path and path not in [file.path for file in backend.env_files]:
        backend.env_files.append(EnvFileRef(str(path), False, "override backend_env_file"))
