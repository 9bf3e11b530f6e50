# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the backend full of secrets lives: under the demo's supervisord on this machine, and on a systemd host of its own."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import yaml
from firstaid_demo.faults import Fault
from firstaid_demo.run import WORK as DEMO_WORK
from firstaid_demo.run import Host, prepare
from firstaid_hosts import access, engine
from firstaid_hosts.shell import run as command

from .planting import Estate
from .running import REPOSITORY

WATCH = Path(__file__).with_name("watch_processes.py")
SYSTEM_HOST = "firstaid-canaries"
UNIT = "can-web"
# How long the broken backend may take to have failed twice.
PATIENCE_S = 120


@dataclass(frozen=True)
class Kept:
    """A file that holds secrets on purpose, on the target; ``private`` when nobody but its owner can reach it."""

    path: str
    private: bool


class Site(Protocol):
    """A place with a backend."""

    name: str

    def plant(self, estate: Estate) -> None:
        """Lay the files, start the backend, and wait until it has failed."""

    def calm(self, estate: Estate) -> None:
        """Let the backend print less from its next starts on, and wait for two of them."""

    def inventory(self, path: Path) -> dict[str, Any]:
        """Write the inventory; returns the variables of all runs."""

    def watch(self) -> subprocess.Popen[str]:
        """Start to write down the host's command lines."""

    def outputs(self) -> Iterator[tuple[str, str]]:
        """What a run left on the target, but for the backend's own files."""

    def kept(self) -> Iterator[tuple[Kept, str]]:
        """Files of the collection's own on the target, with their content."""

    def clean(self) -> None:
        """Take it all away."""


def own_command(argv: list[str], estate: Estate) -> bool:
    """Whether a command line is the backend's own: it holds secrets because the unit gives them to it."""
    return "main:app" in argv and argv[-len(estate.options) :] == estate.options and "uvicorn" in " ".join(argv[:2])


@dataclass
class DemoSite:
    """Without root: supervisord, as the demo runs it."""

    name: str = "supervisord"
    host: Host = field(default_factory=lambda: Host("canaries"))

    def plant(self, estate: Estate) -> None:
        prepare()
        environment = ",".join(f'{name}="{value.replace("%", "%%")}"' for name, value in estate.environment.items())
        options = " ".join(_quoted(one).replace("%", "%%") for one in estate.options)
        config = (REPOSITORY / "demo" / "backend" / "etc" / "supervisord.conf").read_text(encoding="utf-8")
        config = config.replace("--env-file @ROOT@/etc/orders.env", f"--env-file @ROOT@/etc/web.env {options}")
        config = config.replace("directory=@ROOT@/srv/orders", "directory=@ROOT@/app")
        config = config.replace('environment=PYTHONPATH="@ROOT@/srv/lib",', f"environment={environment},")
        files = {**estate.files, "etc/supervisord.conf": config}
        steps = [{"write": {"path": path, "text": text}} for path, text in files.items()]
        fault = Fault("canaries", "Canaries", "", steps, "crashing", {})
        self.host.set_up(fault).wait_until_shown("crashing")

    def calm(self, estate: Estate) -> None:
        (self.host.root / "app" / "noise.json").write_text(estate.calmer, encoding="utf-8")
        supervisor = self.host.supervisor()
        if supervisor is None:
            raise RuntimeError("supervisord is gone")
        starts = supervisor.starts()
        _until(
            lambda: supervisor.call("startProcess", "orders", False) is not None or supervisor.starts() >= starts + 2
        )
        _until(lambda: supervisor.starts() >= starts + 2)

    def inventory(self, path: Path) -> dict[str, Any]:
        variables = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "ansible_remote_tmp": str(path.parent / "out" / "remote-tmp"),
        }
        path.write_text(yaml.safe_dump({"backend": {"hosts": {"demo": variables}}}))
        return {
            "backend_become": False,
            "backend_runtime": "supervisor",
            "backend_service": "orders",
            "backend_supervisor_config": str(self.host.root / "etc" / "supervisord.conf"),
            "backend_state_dir": str(self._state),
        }

    @property
    def _state(self) -> Path:
        return self.host.root / "var" / "lib" / "firstaid"

    def watch(self) -> subprocess.Popen[str]:
        return _watcher([sys.executable])

    def outputs(self) -> Iterator[tuple[str, str]]:
        log = self.host.root / "var" / "log" / "supervisord.log"
        yield "supervisord's own log", log.read_text(encoding="utf-8", errors="replace")

    def kept(self) -> Iterator[tuple[Kept, str]]:
        if not self._state.exists():
            return
        for path in sorted([self._state, *self._state.rglob("*")]):
            mode = stat.S_IMODE(path.lstat().st_mode)
            text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
            yield Kept(str(path.relative_to(self._state.parent)), not mode & 0o077 or path.is_symlink()), text

    def clean(self) -> None:
        self.host.take_away()


@dataclass
class SystemSite:
    """A systemd host in a container of its own, over SSH with sudo."""

    name: str = "systemd"
    since: str = ""
    top: str = "/srv/can-web"

    def _sh(self, script: str, text_in: str | None = None, limit_s: float = 120) -> str:
        return command(["docker", "exec", "-i", SYSTEM_HOST, "sh", "-c", script], timeout_s=limit_s, text_in=text_in)

    def plant(self, estate: Estate) -> None:
        subprocess.run(
            [str(REPOSITORY / "tests" / "hosts" / "up"), "--set", "canaries"], check=True, capture_output=True
        )
        engine.connect(start=False)
        self.clean()
        self._sh(f"mkdir -p {self.top}/app {self.top}/etc")
        for path, text in estate.files.items():
            self._sh(f"cat > {self.top}/{path}", text_in=text)
        self._sh(
            f"chown -R acme: {self.top}/app; chmod 0640 {self.top}/etc/web.env; chown root:acme {self.top}/etc/web.env"
        )
        environment = "\n".join(
            f"Environment={_quoted(name + '=' + value.replace('%', '%%'))}"
            for name, value in estate.environment.items()
        )
        options = " ".join(_quoted(one).replace("%", "%%") for one in estate.options)
        unit = (
            f"[Unit]\nDescription=Shop\n[Service]\nUser=acme\nWorkingDirectory={self.top}/app\n"
            f"EnvironmentFile={self.top}/etc/web.env\n"
            f"ExecStart=/srv/venv/bin/uvicorn main:app --host 127.0.0.1 --port 8471 {options}\n"
            "Restart=always\nRestartSec=2\nStartLimitIntervalSec=0\n[Install]\nWantedBy=multi-user.target\n"
        )
        self._sh(f"cat > /etc/systemd/system/{UNIT}.service", text_in=unit)
        self._sh(f"mkdir -p /etc/systemd/system/{UNIT}.service.d; cat > /etc/systemd/system/{UNIT}.service.d/secrets.conf",
                 text_in=f"[Service]\n{environment}\n")  # fmt: skip
        self._sh(
            "journalctl --rotate --vacuum-time=1s >/dev/null 2>&1; rm -rf /var/lib/firstaid; systemctl daemon-reload"
        )
        self._sh(f"systemctl start {UNIT}")
        _until(lambda: self._restarts() >= 3)
        self.since = self._sh("date +%s").strip()
        self._sh("touch /run/can-begun; sleep 0.1")

    def _restarts(self) -> int:
        return int(self._sh(f"systemctl show -p NRestarts --value {UNIT}").strip() or 0)

    def calm(self, estate: Estate) -> None:
        self._sh(f"cat > {self.top}/app/noise.json", text_in=estate.calmer)
        before = self._restarts()
        _until(lambda: self._restarts() >= before + 2)

    def inventory(self, path: Path) -> dict[str, Any]:
        path.write_text(access.INVENTORY.read_text(encoding="utf-8"))
        return {"backend_hosts": "canaries", "backend_service": UNIT}

    def watch(self) -> subprocess.Popen[str]:
        self._sh("cat > /run/can-watch.py", text_in=WATCH.read_text(encoding="utf-8"))
        return _watcher(["docker", "exec", "-i", SYSTEM_HOST, "/usr/bin/python3", "/run/can-watch.py"], [])

    def outputs(self) -> Iterator[tuple[str, str]]:
        text = self._sh(f"journalctl --since=@{self.since} -o json --all --no-pager", limit_s=180)
        lines = []
        for line in text.splitlines():
            entry = json.loads(line)
            # What the backend itself prints is the backend's.
            if entry.get("_SYSTEMD_UNIT") != f"{UNIT}.service":
                lines.append("\n".join(f"{key}={value}" for key, value in entry.items()))
        yield "journal of the target", "\n".join(lines)
        places = (self.top, "/proc", "/sys", "/var/log/journal", "/run/log", "/var/lib/firstaid", "/etc/firstaid")
        left_out = " -o ".join(f"-path {place}" for place in places)
        found = f"find / \\( {left_out} \\) -prune -o -type f -newer /run/can-begun -not -path '/run/can-*' -print0 2>/dev/null"
        yield "new files on the target", self._sh(f"{found} | xargs -0 -r grep -a -H '' 2>/dev/null | head -c 50000000")
        yield "state of systemd", self._sh(f"systemctl status --no-pager -n0 {UNIT} | grep -v -F -e uvicorn || true")

    def kept(self) -> Iterator[tuple[Kept, str]]:
        listing = self._sh("find /var/lib/firstaid /etc/firstaid -printf '%y %m %u %p\\n' 2>/dev/null || true")
        for line in listing.splitlines():
            kind, mode, owner, path = line.split(" ", 3)
            text = self._sh(f"cat {_quoted(path)}") if kind == "f" else ""
            yield Kept(path, kind == "l" or (not int(mode, 8) & 0o077 and owner == "root")), text

    def clean(self) -> None:
        self._sh(f"systemctl stop {UNIT} 2>/dev/null; systemctl reset-failed {UNIT} 2>/dev/null; true")
        self._sh(f"rm -rf /etc/systemd/system/{UNIT}.service /etc/systemd/system/{UNIT}.service.d {self.top} /run/can-*"
                 " /var/lib/firstaid /etc/firstaid; systemctl daemon-reload")  # fmt: skip


def _until(condition: Callable[[], bool]) -> None:
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > PATIENCE_S:
            raise RuntimeError(f"the backend didn't fail again within {PATIENCE_S} s")
        time.sleep(0.5)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _watcher(start: list[str], script: list[str] | None = None) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [*start, *([str(WATCH)] if script is None else script)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, errors="replace", env={**os.environ},
    )  # fmt: skip
    if process.stdout is None or process.stdout.readline().strip() != "ready":
        raise RuntimeError("the processes can't be watched")
    return process


def demo_available() -> bool:
    """Whether the demo's virtual environment is there already."""
    return (DEMO_WORK / "venv" / ".complete").exists()
