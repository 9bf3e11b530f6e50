# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``make diagnose``, ``make diagnose-clean`` and ``make demo-check`` do."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .faults import DEMO, DemoError, Fault, load, names, plant
from .supervisor import Supervisor

REPOSITORY = DEMO.parent
WORK = REPOSITORY / ".demo"
VENV = WORK / "venv"
# sun_path holds 108 bytes on Linux and 104 elsewhere, the final zero and supervisord's temporary suffix included.
LONGEST_SOCKET = 80


class Host:
    """The directory that stands for a host, in which one fault is planted. Its state file says how to take it away."""

    def __init__(self, name: str, work: Path = WORK) -> None:
        self.root = work / "hosts" / name
        self._state = work / "hosts" / f"{name}.json"

    def supervisor(self) -> Supervisor | None:
        try:
            state = json.loads(self._state.read_text())
        except (OSError, ValueError):
            return None
        return Supervisor(self.root, Path(state["run"]), state["port"])

    def take_away(self) -> None:
        """Stop what runs in it and remove its directories."""
        supervisor = self.supervisor()
        if supervisor is not None:
            supervisor.stop()
            shutil.rmtree(supervisor.run, ignore_errors=True)
        if self.root.exists():
            for directory in [
                self.root,
                *(path for path in self.root.rglob("*") if path.is_dir() and not path.is_symlink()),
            ]:
                directory.chmod(0o700)
            shutil.rmtree(self.root)
        self._state.unlink(missing_ok=True)

    def set_up(self, fault: Fault) -> Supervisor:
        """Plant the fault and start the backend under supervisord; what was here before is taken away."""
        self.take_away()
        self.root.parent.mkdir(parents=True, exist_ok=True)
        run = self.root / "run"
        if len(str(run / "supervisor.sock")) > LONGEST_SOCKET:
            run = Path(tempfile.mkdtemp(prefix="firstaid-demo-"))
        port, closed = _free_ports(2)
        self._state.write_text(json.dumps({"run": str(run), "port": port}))
        values = {
            "ROOT": str(self.root), "RUN": str(run), "VENV": str(VENV), "PORT": str(port), "CLOSED_PORT": str(closed),
            "AS_ROOT": "user=root" if os.geteuid() == 0 else "",
        }  # fmt: skip
        plant(fault, self.root, values)
        run.mkdir(mode=0o700, exist_ok=True)
        supervisor = Supervisor(self.root, run, port)
        supervisor.start(VENV)
        return supervisor


def prepare() -> None:
    """Make the backend's virtual environment, once for each content of demo/requirements.txt."""
    wanted = hashlib.sha256((DEMO / "requirements.txt").read_bytes() + sys.version.encode()).hexdigest()
    mark = VENV / ".complete"
    if mark.exists() and mark.read_text() == wanted:
        return
    print("Installing FastAPI, uvicorn and supervisor for the demo into .demo/venv ...", flush=True)
    shutil.rmtree(VENV, ignore_errors=True)
    WORK.mkdir(mode=0o700, exist_ok=True)
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    for command in ([sys.executable, "-m", "venv", str(VENV)], [*pip, "--requirement", str(DEMO / "requirements.txt")]):
        if subprocess.run(command, check=False).returncode:
            raise DemoError(f"this failed: {' '.join(command)}")
    mark.write_text(wanted)


def playbook(host: Host, output: Path, quiet: bool = False) -> tuple[int, str]:
    """Run the diagnosis, with the demo's inventory; returns the exit status and, when quiet, the output."""
    output.mkdir(mode=0o700, parents=True, exist_ok=True)
    environ = {
        **os.environ,
        "FIRSTAID_DEMO_HOST": str(host.root),
        "FIRSTAID_DEMO_OUTPUT": str(output),
        "ANSIBLE_LOCALHOST_WARNING": "false",
    }
    command = [
        str(Path(sys.executable).parent / "ansible-playbook"),
        "-i", str(REPOSITORY / "inventory" / "demo"), str(REPOSITORY / "playbooks" / "diagnose-backend-crash.yml"),
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environ, stdin=subprocess.DEVNULL, check=False, text=True,
        stdout=subprocess.PIPE if quiet else None, stderr=subprocess.STDOUT if quiet else None,
    )  # fmt: skip
    return done.returncode, done.stdout or ""


def newest_bundle(output: Path) -> Path:
    """:raises DemoError: there is none."""
    found = sorted(output.glob("backend-diagnostics-*"), key=lambda path: path.stat().st_mtime_ns)
    if not found:
        raise DemoError(f"no bundle was written to {output}")
    return found[-1]


def diagnose(name: str) -> int:
    """Plant one fault, wait until it shows, and diagnose it."""
    if name == "list":
        for fault in map(load, names()):
            print(f"{fault.name:<28}{fault.title}")
        return 0
    fault = load(name)
    refuse_unfit(fault)
    prepare()
    for other in sorted(path.stem for path in (WORK / "hosts").glob("*.json")):
        Host(other).take_away()
    print(f"\n{fault.title} (FAULT={fault.name}).\n{fault.story}\n", flush=True)
    host = Host("demo")
    took = host.set_up(fault).wait_until_shown(fault.show)
    print(
        f"The backend runs under supervisord in .demo/hosts/demo; after {took:.1f} s this shows. Diagnosing.",
        flush=True,
    )
    status, _output = playbook(host, WORK / "bundles")
    bundle = newest_bundle(WORK / "bundles").relative_to(REPOSITORY)
    print(f"The bundle: {bundle}/\n  cat {bundle}/*/*/00-SUMMARY.txt\n  report for a browser: {bundle}/report.html")
    print("Other faults: make diagnose FAULT=list     Take it all away: make diagnose-clean")
    return status


def refuse_unfit(fault: Fault) -> None:
    """:raises DemoError: this user can't plant the fault."""
    if fault.needs and os.geteuid() == 0:
        raise DemoError(f"FAULT={fault.name} needs {fault.needs}")


def clean() -> int:
    """Stop every supervisord of the demo and remove .demo."""
    for name in sorted({path.stem for path in (WORK / "hosts").glob("*.json")}):
        Host(name).take_away()
    shutil.rmtree(WORK, ignore_errors=True)
    if WORK.exists():
        raise DemoError(f"{WORK} could not be removed: it holds files of another user")
    print("The demo is taken away.")
    return 0


def _free_ports(count: int) -> list[int]:
    """Ports on the loopback that nobody holds now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def main(arguments: list[str]) -> int:
    """:param arguments: ``diagnose NAME``, ``clean`` or ``check [NAME ...]``."""
    from .check import check

    begun = time.monotonic()
    try:
        if arguments[:1] == ["check"]:
            return check(arguments[1:], begun)
        return clean() if arguments[:1] == ["clean"] else diagnose((arguments[1:] or ["dangling_symlink"])[0])
    except DemoError as exc:
        print(f"demo: {exc}", file=sys.stderr)
        return 1
