# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A container engine: the machine's own when it answers, else a dockerd of ours."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from .shell import HostsError, attempt, run, say

# /run, because the sockets under an exec root have to stay below the 108 characters of a socket path.
RUN_DIR = Path("/run/firstaid-hosts")
SOCKET = RUN_DIR / "docker.sock"
PID_FILE = RUN_DIR / "docker.pid"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "firstaid-backend"
PACKAGES = {"docker": "docker.io", "dockerd": "docker.io", "iptables": "iptables", "mmdebstrap": "mmdebstrap"}


def connect(*, start: bool) -> bool:
    """Point this process and its children at a working engine; start one only when `start`; tell whether there is one."""
    if attempt(["docker", "info"], timeout_s=20).returncode == 0:
        return True
    if SOCKET.exists() and attempt(["docker", "info"], timeout_s=20, env=_own()).returncode == 0:
        os.environ.update(_own())
        return True
    if not start:
        return False
    if os.geteuid() != 0:
        raise HostsError(
            "no container engine answers (docker info failed) and starting one needs root. "
            "Start Docker and let this user reach it, or run this command as root."
        )
    install(["docker", "dockerd", "iptables"])
    _start()
    os.environ.update(_own())
    return True


def install(programs: list[str]) -> None:
    """Install from Debian what is missing of `programs`; only root can."""
    missing = sorted({PACKAGES[name] for name in programs if shutil.which(name) is None})
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise HostsError(f"these packages are missing and can't be installed here: {', '.join(missing)}")
    say(f"installing {', '.join(missing)}")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "-q"], timeout_s=300, env=quiet)
    run(["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing], timeout_s=600, env=quiet)


def stop() -> None:
    """Stop our own dockerd, by its recorded PID and only when that PID is a dockerd."""
    try:
        pid = int(PID_FILE.read_text())
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except (OSError, ValueError):
        return
    if name != "dockerd":
        return
    say(f"stopping our dockerd (PID {pid})")
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)


def _own() -> dict[str, str]:
    return {"DOCKER_HOST": f"unix://{SOCKET}"}


def _start() -> None:
    data = CACHE / "engine"
    data.mkdir(parents=True, exist_ok=True)
    RUN_DIR.mkdir(mode=0o700, exist_ok=True)
    log_path = RUN_DIR / "dockerd.log"
    say(f"starting a dockerd of our own (data in {data}, log in {log_path})")
    with log_path.open("wb") as log:
        subprocess.Popen(
            [
                "dockerd",
                "--data-root",
                str(data),
                "--exec-root",
                str(RUN_DIR / "exec"),
                "--pidfile",
                str(PID_FILE),
                "--host",
                f"unix://{SOCKET}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if attempt(["docker", "info"], timeout_s=10, env=_own()).returncode == 0:
            return
        time.sleep(0.2)
    tail = "\n".join(log_path.read_text(errors="replace").splitlines()[-10:])
    raise HostsError(f"dockerd did not become ready within 60 s; the end of {log_path}:\n{tail}")
