# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One supervisord of our own: started, asked, waited for and stopped, and never anybody else's."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import time
import xmlrpc.client
from pathlib import Path
from typing import Any

from .faults import DemoError

PROGRAM = "orders"
# Seconds until a planted fault must have become visible; a slow machine needs most of it for importing.
PATIENCE = 60.0


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=5)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(5)
        self.sock.connect(self._path)


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, _host: Any) -> http.client.HTTPConnection:
        return _UnixConnection(self._path)


class Supervisor:
    """The supervisord of the host directory ``root``; its socket and PID file are in ``run``, since a socket's path must be short."""

    def __init__(self, root: Path, run: Path, port: int) -> None:
        self.root = root
        self.run = run
        self.port = port

    @property
    def config(self) -> Path:
        return self.root / "etc" / "supervisord.conf"

    def start(self, venv: Path) -> None:
        """Start it as a daemon, as it runs on a server.

        :raises DemoError: it doesn't start.
        """
        # What a server's init would give it, and not what is set in the shell of whoever tries the demo.
        environ = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": str(self.root)}
        done = subprocess.run(
            [str(venv / "bin" / "supervisord"), "-c", str(self.config)],
            env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        if done.returncode:
            raise DemoError(f"supervisord didn't start: {(done.stdout + done.stderr).strip()}")
        deadline = time.monotonic() + 15
        while self.pid() is None or self.info() is None:
            if time.monotonic() > deadline:
                raise DemoError(f"supervisord doesn't answer: see {self.root}/var/log/supervisord.log")
            time.sleep(0.05)

    def call(self, method: str, *arguments: Any) -> Any:
        """Ask it; ``None`` when nothing answers."""
        transport = _UnixTransport(str(self.run / "supervisor.sock"))
        with xmlrpc.client.ServerProxy("http://localhost", transport=transport) as server:
            try:
                return getattr(server.supervisor, method)(*arguments)
            except (OSError, http.client.HTTPException, xmlrpc.client.Error):
                return None

    def info(self) -> dict[str, Any] | None:
        answer = self.call("getProcessInfo", PROGRAM)
        return answer if isinstance(answer, dict) else None

    def pid(self) -> int | None:
        try:
            return int((self.run / "supervisord.pid").read_text())
        except (OSError, ValueError):
            return None

    def starts(self) -> int:
        """How often the backend was started, or was tried to be."""
        try:
            log = (self.root / "var/log/supervisord.log").read_text(errors="replace")
        except OSError:
            return 0
        return log.count(f"spawned: '{PROGRAM}'") + log.count("spawnerr: ")

    def wait_until_shown(self, how: str) -> float:
        """Wait until the fault shows; returns the seconds that it took.

        :raises DemoError: it doesn't within ``PATIENCE``.
        """
        begun = time.monotonic()
        while not SHOWN[how](self):
            if time.monotonic() - begun > PATIENCE:
                raise DemoError(f"the fault didn't show within {PATIENCE:.0f} s: see {self.root}/var/log/")
            time.sleep(0.1)
        return time.monotonic() - begun

    def stop(self) -> None:
        """Shut it down by its own command; if it no longer listens, by its recorded PID when that is still this supervisord.

        :raises DemoError: it is still there after ten seconds.
        """
        pid = self.pid()
        if pid is None or not self._is_ours(pid):
            return
        if self.call("shutdown") is None:
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 15
        while self._is_ours(pid):
            if time.monotonic() > deadline:
                raise DemoError(f"supervisord (PID {pid}) didn't end: end it, then run this again")
            time.sleep(0.05)

    def _is_ours(self, pid: int) -> bool:
        """A PID may have been given to another process since; our configuration is in the command line of ours alone."""
        shown = subprocess.run(
            ["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        return str(self.config) in shown.stdout


def _crashing(supervisor: Supervisor) -> bool:
    info = supervisor.info()
    return info is not None and supervisor.starts() >= 2 and info["statename"] in ("BACKOFF", "EXITED", "FATAL")


def _gave_up(supervisor: Supervisor) -> bool:
    info = supervisor.info()
    return info is not None and (
        info["statename"] == "FATAL" or (supervisor.starts() >= 2 and info["statename"] == "BACKOFF")
    )


def _health(supervisor: Supervisor) -> str:
    """``answers``, ``silent`` (connected, then nothing) or ``closed``."""
    connection = http.client.HTTPConnection("127.0.0.1", supervisor.port, timeout=1)
    try:
        connection.connect()
    except OSError:
        return "closed"
    try:
        connection.request("GET", "/health")
        return "answers" if connection.getresponse().status == 200 else "silent"
    except (OSError, http.client.HTTPException):
        return "silent"
    finally:
        connection.close()


def _running(supervisor: Supervisor) -> bool:
    info = supervisor.info()
    return info is not None and info["statename"] == "RUNNING"


# How a fault becomes visible → whether it has.
SHOWN = {
    "crashing": _crashing,
    "gave_up": _gave_up,
    "answering": lambda supervisor: _running(supervisor) and _health(supervisor) == "answers",
    "not_answering": lambda supervisor: _running(supervisor) and _health(supervisor) == "silent",
}
