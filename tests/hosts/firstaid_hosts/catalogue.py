# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts there are: data only."""

from __future__ import annotations

from dataclasses import dataclass

# Python versions are those of the release's own python3; the wheels are downloaded for them.
PYTHONS = {"bullseye": "3.9", "bookworm": "3.11", "trixie": "3.13"}
EXTRA = {"bullseye": "", "bookworm": "postgresql redis-server supervisor", "trixie": ""}


@dataclass(frozen=True)
class Host:
    """One container; `capabilities` are what a real machine's root has and a container's lacks by default."""

    name: str
    release: str
    groups: tuple[str, ...] = ("backend",)
    capabilities: tuple[str, ...] = ("SYS_ADMIN", "SYS_PTRACE")
    devices: tuple[str, ...] = ()
    # Options of `docker run` that keep what runs inside from taking the machine down with it.
    limits: tuple[str, ...] = ()


SHORT = {"d11": "bullseye", "d12": "bookworm", "d13": "trixie"}


def three(prefix: str, group: str, limits: tuple[str, ...] = ()) -> tuple[Host, ...]:
    """One host of each Debian release; each set is apart, so that test runs don't meet on a host."""
    return tuple(Host(f"{prefix}-{short}", release, groups=(group,), limits=limits) for short, release in SHORT.items())


# Fork bombs and programs that fill memory run on these.
CAGED = ("--memory", "3g", "--memory-swap", "3g", "--pids-limit", "2000", "--cpus", "1.5")
SETS = {
    "default": three("firstaid", "backend"),
    "zoo": three("firstaid-zoo", "zoo"),
    "molecule": three("firstaid-mol", "molecule"),
    # The last one is restarted in the middle of repairs.
    "repair": (*three("firstaid-repair", "repair"), Host("firstaid-repair-boot", "bookworm", groups=("repair",))),
    "hostile": three("firstaid-hostile", "hostile", CAGED),
    # Where logins with few rights look at backends.
    "least": (Host("firstaid-least-d12", "bookworm", groups=("least",), limits=CAGED),),
    # Oldest and newest Python, with what breaks collectors: they are damaged on purpose, and can mount a file system that never answers.
    "collectors": tuple(
        Host(f"firstaid-collectors-{short}", SHORT[short], groups=("collectors",), devices=("/dev/fuse",))
        for short in ("d11", "d13")
    ),
    # A host full of secrets, for tests/canaries.
    "canaries": (Host("firstaid-canaries", "trixie", groups=("canaries",)),),
    # A host on which not even root sees who owns a port of another user.
    "hardened": (Host("firstaid-hardened", "bookworm", groups=("hardened",), capabilities=("SYS_ADMIN",)),),
}


def bench(count: int) -> tuple[Host, ...]:
    """`count` equal hosts for benchmarks."""
    return tuple(Host(f"firstaid-b{number:02d}", "bookworm", groups=("bench",)) for number in range(1, count + 1))


def everything() -> dict[str, Host]:
    """Every host that can be asked for, by name."""
    return {host.name: host for host in (*(host for chosen in SETS.values() for host in chosen), *bench(99))}
