# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Frees the port that the backend wants from what this same backend left behind. Whoever else holds it is named."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from ..._evidence import proc, sockets
from ..._evidence.ports import View, ephemeral_range
from ..._evidence.sockets import BOUND, CONNECTED, CONNECTING, LISTENING, TIME_WAIT, Socket
from ..ending import GRACE_S
from ..model import Change, Host, Proposal, Refused
from . import leftovers
from .leftovers import LEFTOVER, OWN, Judge

SHOWN = 4
# A busy host, or one with many containers, must not hide a holder from a repair as it may from a look.
OWNERS_S = 20.0
MAX_UNKNOWN = 10000


@dataclass
class Held:
    """Who has the wanted place: processes by verdict, sockets whose owner can't be seen, and connections that the kernel keeps."""

    place: str
    own: list[int] = field(default_factory=list)
    listening: bool = False
    leftovers: dict[int, str] = field(default_factory=dict)
    foreign: dict[int, str] = field(default_factory=dict)
    hidden: list[Socket] = field(default_factory=list)
    waiting: int = 0


def propose(host: Host) -> Proposal:
    """End the leftovers that hold the port, and start the backend."""
    app = host.backend.app
    number = _number(host)
    if number is None and not app.uds:
        raise Refused("It isn't known which port the backend wants: say it with port_number.")
    judge = Judge(host)
    held = find(host, judge, number)
    if held.foreign or held.hidden:
        raise _refusal(host, judge, held, number)
    if held.leftovers:
        return _free(host, judge, held, number)
    return _nobody(host, judge, held, number)


def find(host: Host, judge: Judge, number: Optional[int]) -> Held:
    """Look who holds the port, or the Unix socket; bound sockets that don't listen included."""
    app = host.backend.app
    held = Held(f"port {number}" if number is not None else f"socket {app.uds}")
    view = View(host.backend, host.ctx, OWNERS_S, MAX_UNKNOWN)
    ephemeral = ephemeral_range()
    # A port that was named by hand may be wanted on any address.
    address = app.host if number == app.port else None
    for item in view.sockets:
        mine = item.address == app.uds if number is None else item.port == number and item.proto != "unix"
        if not mine or (number is not None and not sockets.overlaps(address, item)):
            continue
        if item.state == TIME_WAIT:
            held.waiting += 1
        elif _in_the_way(item, number) and not view.passing(item, ephemeral):
            _sort(held, item, view, judge)
    return held


def _in_the_way(item: Socket, number: Optional[int]) -> bool:
    """Whether a socket in this state can keep a bind from succeeding; of a Unix socket, whether anybody listens."""
    if number is None:
        return item.state == LISTENING
    return item.state in (LISTENING, BOUND, CONNECTED, CONNECTING)


def _sort(held: Held, item: Socket, view: View, judge: Judge) -> None:
    """Put the owners of one socket where they belong."""
    pids = view.holders(item)
    if not pids:
        if view.owners.denied or not view.owners.complete:
            held.hidden.append(item)
        return
    if 1 in pids:
        if view.own(item):
            held.own.append(1)
        else:
            held.foreign[1] = "systemd itself listens there for a socket unit"
        return
    for pid in pids:
        verdict = judge.verdict(pid, holds_port=True)
        if verdict.kind == OWN:
            held.own.append(pid)
            held.listening = held.listening or item.state == LISTENING
        elif verdict.kind == LEFTOVER:
            held.leftovers[pid] = verdict.why
        elif pid in judge.stats:
            held.foreign[pid] = verdict.why


def _free(host: Host, judge: Judge, held: Held, number: Optional[int]) -> Proposal:
    grace = float(host.options.get("grace") or GRACE_S)
    roots = {judge.root(pid): why for pid, why in held.leftovers.items()}
    changes = [
        leftovers.change(judge, pid, f"it holds {held.place}: {why}", grace) for pid, why in sorted(roots.items())
    ]
    if number is not None:
        changes.append(_wait(number, time_wait=False))
    named = "; ".join(judge.describe(pid) for pid in sorted(roots)[:SHOWN])
    why = next(iter(roots.values()))
    serving = held.listening and judge.state == "running"
    return Proposal(
        f"{held.place[0].upper()}{held.place[1:]} is held by what an earlier start of this backend left behind ({named}): {why}. It is ended, "
        + ("and the backend, which listens there too, goes on." if serving else "and the backend started."),
        changes,
        restart=not serving,
        prove=not serving,
    )


def _nobody(host: Host, judge: Judge, held: Held, number: Optional[int]) -> Proposal:
    """Nobody else has the port. What does not run may have failed because somebody had it until a moment ago."""
    if judge.state == "running" or judge.state in ("stopped", "unknown"):
        told = f"{held.place[0].upper()}{held.place[1:]} is held by nobody but the backend itself, if at all; nothing is to be done."
        notes = []
        if held.own and not held.listening and judge.state == "running" and 1 not in held.own:
            notes.append(
                f"Its own process has bound {held.place} and doesn't listen: see playbooks/fix-backend-clean-restart.yml."
            )
        return Proposal(told, restart=False, prove=False, notes=notes)
    if held.waiting and number is not None:
        told = f"Nobody holds {held.place} any more; {held.waiting} closed connections are waited for, then the backend is started."
        return Proposal(told, [_wait(number, time_wait=True)])
    return Proposal(f"Nobody holds {held.place} any more; the backend is started.")


def _wait(number: int, time_wait: bool) -> Change:
    why = (
        "the kernel keeps closed connections for a minute" if time_wait else "the port has to be free before the start"
    )
    return Change("wait_port", f"port {number}", why, options={"port": number, "time_wait": time_wait})


def _refusal(host: Host, judge: Judge, held: Held, number: Optional[int]) -> Refused:
    """The refusal that names who holds the port, and what a person can look at."""
    look = [f"ss -H -tlnp 'sport = :{number}'" if number is not None else f"ss -H -xlp src {host.backend.app.uds}"]
    if held.hidden and not held.foreign:
        uids = sorted({str(proc.user_name(item.uid)) for item in held.hidden if item.uid is not None})
        whose = f" of user {', '.join(uids)}" if uids else ""
        return Refused(
            f"{held.place[0].upper()}{held.place[1:]} is held by a process{whose} that these rights don't show: run it with become, "
            "or look on the host itself if it is a container.",
            look,
        )
    told = [f"{judge.describe(pid)} ({why})" for pid, why in sorted(held.foreign.items())[:SHOWN]]
    commands = list(look)
    for pid in sorted(held.foreign)[:SHOWN]:
        if pid > 1:
            commands.append(f"ps -o pid,ppid,user,lstart,args -p {pid}")
            unit = proc.inspect(judge.stats[pid]).unit
            commands += [f"systemctl status {unit}"] if unit and unit != host.backend.name else []
        else:
            commands.append("systemctl list-sockets")
    commands.append(
        f"systemctl cat {host.backend.name}" if host.backend.runtime == "systemd" else "supervisorctl status"
    )
    return Refused(
        f"{held.place[0].upper()}{held.place[1:]} is held by {'; '.join(told)}. That is no leftover of this backend, so it isn't touched: "
        "ask whoever runs it which of the two should have it.",
        list(dict.fromkeys(commands)),
    )


def _number(host: Host) -> Optional[int]:
    """The port: the option, else what the backend is configured to listen on."""
    given = host.options.get("number")
    if given in (None, ""):
        return host.backend.app.port
    try:
        number = int(str(given))
    except ValueError:
        number = -1
    if not 0 < number < 65536:
        raise Refused(f"port_number is {given!r}, which is no port: give a number from 1 to 65535, or leave it out.")
    return number
