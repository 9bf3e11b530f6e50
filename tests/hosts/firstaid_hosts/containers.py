# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts themselves: containers whose PID 1 is systemd."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .catalogue import Host
from .shell import HostsError, attempt, run, say

LABEL = "firstaid-host"
BOOT_S = 60.0
BOOTED = ("running", "degraded")
# Each systemd takes about five inotify instances of its user, of which all hosts have one: root.
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_PER_HOST = 5


def ensure(hosts: list[Host], images: dict[str, str], public_key: str) -> dict[str, str]:
    """Make or start each host, let the key in, and return name → address."""
    _make_room(len({*names(), *(host.name for host in hosts)}))
    with ThreadPoolExecutor(max_workers=8) as pool:
        addresses = list(pool.map(lambda host: _one(host, images[host.release], public_key), hosts))
    return {host.name: address for host, address in zip(hosts, addresses, strict=True)}


def names() -> list[str]:
    """Return the names of all hosts that exist, running or not."""
    return sorted(run(["docker", "ps", "-a", "--filter", f"label={LABEL}", "--format", "{{.Names}}"]).split())


def remove(which: list[str]) -> None:
    """Remove these hosts with what they wrote."""
    if which:
        run(["docker", "rm", "-f", "-v", *which])


def address(name: str) -> str | None:
    """Return the address of a running host, or None."""
    answer = attempt(["docker", "inspect", name])
    if answer.returncode != 0:
        return None
    facts = json.loads(answer.stdout)[0]
    if not facts["State"]["Running"]:
        return None
    return next(
        (str(net["IPAddress"]) for net in facts["NetworkSettings"]["Networks"].values() if net["IPAddress"]), None
    )


def _make_room(count: int) -> None:
    """Let the kernel give that many hosts what they watch files with; without it, they hang while they boot."""
    wanted = 10 + count * INOTIFY_PER_HOST
    if int(INOTIFY.read_text()) >= wanted:
        return
    try:
        INOTIFY.write_text(f"{wanted}\n")
        say(f"fs.inotify.max_user_instances is {wanted} now, for {count} hosts")
    except OSError as exc:
        raise HostsError(f"{count} hosts need sysctl fs.inotify.max_user_instances={wanted} ({exc.strerror})") from exc


def _one(host: Host, image: str, public_key: str) -> str:
    if _image_of(host.name) not in (None, image):
        say(f"{host.name}: its image changed, making it anew")
        remove([host.name])
    if address(host.name) is None:
        if attempt(["docker", "start", host.name]).returncode != 0:
            remove([host.name] if host.name in names() else [])
            _create(host, image)
        wait_booted(host.name)
    _let_in(host.name, public_key)
    found = address(host.name)
    if found is None:
        raise HostsError(f"{host.name} stopped right after its start; look at: docker logs {host.name}")
    return found


def _create(host: Host, image: str) -> None:
    rights = [word for name in host.capabilities for word in ("--cap-add", name)]
    rights += [word for path in host.devices for word in ("--device", path)]
    run(
        ["docker", "run", "-d", "--name", host.name, "--hostname", host.name, "--label", LABEL, *rights, *host.limits,
         "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined",
         "--cgroupns=host", "-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw",
         # Docker lets everybody bind every port; a machine doesn't.
         "--sysctl", "net.ipv4.ip_unprivileged_port_start=1024",
         "--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp:exec,mode=1777,size=256m",
         "--stop-signal", "SIGRTMIN+3", image, "/lib/systemd/systemd"],
    )  # fmt: skip


def wait_booted(name: str) -> None:
    """Wait until systemd in this host has come up."""
    # Polled, since "is-system-running --wait" may find no bus right after the start.
    deadline = time.monotonic() + BOOT_S
    state = ""
    while time.monotonic() < deadline:
        state = attempt(["docker", "exec", name, "systemctl", "is-system-running"]).stdout.strip()
        if state in BOOTED:
            return
        time.sleep(0.2)
    raise HostsError(
        f"{name} did not boot within {BOOT_S:.0f} s (state: {state or 'no answer'}); look at: docker logs {name}"
    )


def _let_in(name: str, public_key: str) -> None:
    script = (
        "install -d -m 0700 -o ops -g ops /home/ops/.ssh && cd /home/ops/.ssh && touch authorized_keys && "
        'grep -qxF "$0" authorized_keys || echo "$0" >> authorized_keys; chown ops:ops authorized_keys; chmod 0600 authorized_keys'
    )
    run(["docker", "exec", name, "sh", "-c", script, public_key])


def _image_of(name: str) -> str | None:
    answer = attempt(["docker", "inspect", "--format", "{{.Config.Image}}", name])
    return answer.stdout.strip() if answer.returncode == 0 else None
