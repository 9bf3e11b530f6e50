# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host, its backend and what breaks it: everything here is done by the container engine, since the host's own ways may be gone."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(os.environ.get("MOLECULE_PROJECT_DIRECTORY") or Path(__file__).resolve().parents[3])
STATE = ROOT / ".build" / "hosts"
HOSTS = ("firstaid-collectors-d11", "firstaid-collectors-d13")
PYTHONS = {"firstaid-collectors-d11": "3.9", "firstaid-collectors-d13": "3.13"}
# Long, because the machine of the tests may be busy with others; each collector has its own limit of a few seconds below it.
BUDGET_S = 60.0
# The import test may outlast the budget by its own time; then comes the way over SSH and Ansible itself on a busy machine.
IMPORT_S = 20.0
OVERHEAD_S = 60.0
HUNG = Path(__file__).with_name("hung_fs.py").read_text()

APP = 'import os\nprint("starting", flush=True)\nos.environ["SHOP_KEY"]\n'
UNIT = """[Unit]
StartLimitIntervalSec=0
[Service]
User=acme
WorkingDirectory={directory}
EnvironmentFile={env_file}
ExecStart=/srv/venv/bin/python {directory}/main.py
Restart=always
RestartSec=15
StandardOutput={output}
StandardError={output}
"""


def _environment() -> dict[str, str]:
    engine = (STATE / "engine.env").read_text().partition("DOCKER_HOST=")[2].strip()
    return {**os.environ, **({"DOCKER_HOST": engine} if engine else {})}


def sh(host: str, script: str, seconds: float = 60.0, check: bool = True) -> str:
    """Run a script on the host as root; its output."""
    argv = ["docker", "exec", "-i", host, "sh", "-s"]
    done = subprocess.run(
        argv, input=script, env=_environment(), capture_output=True, text=True, timeout=seconds, check=False
    )
    assert done.returncode == 0 or not check, f"{host}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


def put(host: str, path: str, content: str) -> None:
    """Write a file on the host."""
    mark = "END_OF_FILE_OF_THE_TEST"
    sh(host, f"mkdir -p {os.path.dirname(path)} && cat > {path} <<'{mark}'\n{content}\n{mark}\n")


def plant(
    host: str, directory: str = "/opt/shop", env_file: str = "/etc/shop/shop.env", output: str = "journal"
) -> None:
    """A backend that dies at once, for want of a variable; under a new name each time, since the journal remembers."""
    _Planted.name = f"shop-{secrets.token_hex(4)}"
    put(host, "/opt/shop/main.py", APP)
    put(host, "/etc/shop/shop.env", "SHOP_MODE=1")
    define(host, directory, env_file, output)
    reload(host)


def define(
    host: str, directory: str = "/opt/shop", env_file: str = "/etc/shop/shop.env", output: str = "journal"
) -> None:
    """Write the backend's unit."""
    put(
        host,
        f"/etc/systemd/system/{_Planted.name}.service",
        UNIT.format(directory=directory, env_file=env_file, output=output),
    )


class _Planted:
    name = "shop"


def reload(host: str) -> None:
    """Let systemd read its files and start the backend; it may hang itself on what the test has planted."""
    sh(
        host,
        "timeout -s KILL 8 systemctl daemon-reload; timeout -s KILL 8 systemctl restart --no-block {_Planted.name}; sleep 1.5",
        check=False,
    )


def heal(host: str) -> None:
    """Free systemd from what it may wait for, and take the backend away."""
    script = f"""
pkill -KILL -f '^python3 /root/hung_fs.py'
sleep 0.3
while grep -q ' /mnt/hung ' /proc/mounts; do umount -l /mnt/hung; done
# Before version 254 systemd itself waits for somebody who writes to a FIFO that is an environment file, at each start.
(while [ -p /etc/shop/shop.env ]; do timeout 1 sh -c ': > /etc/shop/shop.env'; sleep 0.2; done) &
timeout -s KILL 20 systemctl stop {_Planted.name}
rm -f /etc/systemd/system/{_Planted.name}.service
timeout -s KILL 20 systemctl daemon-reload
rm -rf /opt/shop /etc/shop
"""
    sh(host, script, check=False)


class Run:
    """One run of ``backend_info``: what it gave, and how long it took."""

    def __init__(self, host: str, python: str = "/usr/bin/python3", **options: Any) -> None:
        values = {"service": _Planted.name, "budget": BUDGET_S, "import_test_timeout": IMPORT_S, **options}
        argv = [
            str(Path(sys.executable).with_name("ansible")), "-i", str(STATE / "inventory.yml"), host, "-m", "firstaid.backend.backend_info",
            "-e", f"ansible_python_interpreter={python}", "-a", json.dumps(values), "-o",
        ]  # fmt: skip
        environment = {
            **_environment(),
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "playbooks" / "collections"),
            "ANSIBLE_NOCOWS": "1",
        }
        begun = time.monotonic()
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=240, check=False)
        self.seconds = time.monotonic() - begun
        self.text = done.stdout + done.stderr
        start = done.stdout.find("{")
        self.result: dict[str, Any] = json.JSONDecoder().raw_decode(done.stdout[start:])[0] if start >= 0 else {}
        self.failed = done.returncode != 0

    @property
    def evidence(self) -> dict[str, Any]:
        assert not self.failed, self.text[-1500:]
        found: dict[str, Any] = self.result["backends"][0]
        return found

    @property
    def told(self) -> dict[str, str]:
        """What each collector that is not whole says of it."""
        return {name: str(one["error"]) for name, one in self.evidence["collectors"].items() if one["status"] != "ok"}

    @property
    def seconds_there(self) -> float:
        """Seconds of the module's own process on the host, until it told."""
        return float(self.evidence["target"]["self"]["wall_ms"]) / 1000

    def within_budget(self) -> bool:
        assert self.seconds < BUDGET_S + IMPORT_S + OVERHEAD_S, f"{self.seconds:.0f} s"
        return self.failed or self.seconds_there < BUDGET_S + IMPORT_S + 15


def diagnosis(run: Run) -> dict[str, Any]:
    """What the classifier makes of it."""
    sys.path.insert(0, str(ROOT / "playbooks" / "collections"))
    from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.catalogue import load_catalogue
    from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.classify import classify

    return classify(run.evidence, load_catalogue())
