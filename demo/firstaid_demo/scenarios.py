# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks as somebody types them who makes mistakes: wrong names, hosts that don't answer, bad directories."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .run import REPOSITORY, newest_bundle

PLAYBOOKS = REPOSITORY / "playbooks"


@dataclass
class Bench:
    """One planted host, and a directory for bundles and inventories of the scenarios."""

    host: Path
    work: Path

    def run(
        self, *arguments: str, hosts: dict[str, Any] | None = None, playbook: Path | None = None
    ) -> tuple[int, str]:
        """Run a playbook on ``hosts`` (by default one, ``demo``); returns exit status and output."""
        common = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "backend_become": False,
            "backend_runtime": "supervisor",
            "backend_service": "orders",
            "backend_supervisor_config": str(self.host / "etc/supervisord.conf"),
            "backend_output_dir": str(self.work),
        }
        inventory = self.work / "inventory.yml"
        inventory.write_text(yaml.safe_dump({"backend": {"hosts": hosts or {"demo": {}}, "vars": common}}))
        command = [
            str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(inventory),
            str(playbook or PLAYBOOKS / "diagnose-backend-crash.yml"), *arguments,
        ]  # fmt: skip
        environ = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(PLAYBOOKS / "collections"), "ANSIBLE_NOCOLOR": "1"}
        done = subprocess.run(
            command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr

    def bundles(self) -> list[Path]:
        return sorted(self.work.glob("backend-diagnostics-*"))

    def hosts(self) -> dict[str, Any]:
        """What the newest bundle says of each host."""
        found: dict[str, Any] = json.loads((newest_bundle(self.work) / "diagnosis.json").read_text())["hosts"]
        return found


def expect(condition: bool, what: str, log: str = "") -> None:
    """:raises ValueError: the condition doesn't hold."""
    if not condition:
        raise ValueError(f"{what}\n{log}")


def check_mode(bench: Bench) -> None:
    status, log = bench.run("--check", "--diff")
    expect(status == 0, "--check fails", log)
    expect(bench.hosts()["demo"]["backends"][0]["cause"] == "symlink_conflict", "--check gives another answer", log)
    expect(re.search(r"changed=0 .*failed=0", log) is not None, "--check reports a change", log)
    tasks = re.findall(r"^TASK \[", log, re.MULTILINE)
    expect(len(tasks) <= 8, f"{len(tasks)} tasks per host are more than 8", log)


def fleet(bench: Bench) -> None:
    """A host that can't be reached and one without Python keep nobody from an answer, and get a sentence."""
    hosts = {
        "gone": {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1},
        "good": {},
        "nopython": {"ansible_python_interpreter": "/nowhere/python3"},
    }
    status, log = bench.run(hosts=hosts)
    found = bench.hosts()
    expect(status == 2, f"the exit status is {status}", log)
    expect(found["good"]["backends"][0]["cause"] == "symlink_conflict", "the good host has no answer", log)
    expect(
        "gone can't be reached" in found["gone"]["problem"] and "Next:" in found["gone"]["problem"],
        "no sentence for gone",
        log,
    )
    expect("ansible_python_interpreter" in found["nopython"]["problem"], "no sentence for nopython", log)
    expect(log.count("gone can't be reached") > 0 and "symlink_conflict" in log, "the console doesn't say it", log)


def batches(bench: Bench) -> None:
    """With serial, one bundle holds all hosts; a second diagnosis in the same run starts another."""
    playbook = bench.work / "serial.yml"
    play = {"name": "x", "hosts": "backend", "serial": 1, "gather_facts": False, "roles": ["firstaid.backend.diagnose"]}
    playbook.write_text(yaml.safe_dump([play, {**play, "hosts": "one"}]))
    before = len(bench.bundles())
    status, log = bench.run(hosts={"one": {}, "two": {}, "three": {}}, playbook=playbook)
    expect(status == 0, "serial fails", log)
    made = bench.bundles()[before:]
    expect(
        [len(json.loads((one / "diagnosis.json").read_text())["hosts"]) for one in made] == [3, 1],
        f"bundles: {made}",
        log,
    )
    expect((made[0] / "three/orders/00-SUMMARY.txt").is_file(), "a later batch's files are missing", log)


def unknown_program(bench: Bench) -> None:
    status, log = bench.run("-e", "backend_service=order")
    expect(status == 2 and "orders" in bench.hosts()["demo"]["problem"], "no near name is given", log)


def sick_fails_when_asked(bench: Bench) -> None:
    status, log = bench.run("-e", "backend_fail_when_sick=true")
    expect(status == 2 and "symlink_conflict" in log, f"the exit status is {status}", log)


def bad_settings(bench: Bench) -> None:
    """Each fails before any host is asked, with a sentence."""
    link = bench.work / "link"
    link.unlink(missing_ok=True)
    link.symlink_to(bench.work)
    before = len(bench.bundles())
    for setting, said in (
        (f"backend_output_dir={link}", "symbolic link"),
        ("backend_output_dir=/nonexistent/dir", "doesn't exist"),
        (f"backend_output_dir={bench.work}/inventory.yml", "isn't a directory"),
        ("backend_port=99999", "from 1 to 65535"),
        ("backend_runtime=upstart", "one of: auto"),
    ):
        status, log = bench.run("-e", setting)
        expect(status == 2 and said in log, f"{setting}: the sentence lacks {said!r}", log)
        expect("Gather the evidence" not in log, f"{setting}: hosts were asked all the same", log)
    expect(len(bench.bundles()) == before, "a bundle was written all the same")


def classified_again(bench: Bench) -> None:
    """A saved bundle gives the same answer without the host, and a bare log an answer too."""
    for saved in (newest_bundle(bench.work), bench.host / "var/log/orders-error.log"):
        status, log = bench.run(
            "-e",
            f"backend_saved={saved}",
            "-e",
            f"backend_output_dir={bench.work}",
            playbook=PLAYBOOKS / "classify-bundle.yml",
        )
        expect(status == 0, f"{saved} isn't classified", log)
        (backend,) = next(iter(bench.hosts().values()))["backends"]
        expect(backend["cause"] != "unknown", f"{saved}: the answer is {backend['cause']}", log)
    status, log = bench.run("-e", "backend_saved=/nonexistent", playbook=PLAYBOOKS / "classify-bundle.yml")
    expect(status == 2 and "can't be read" in log, "no sentence for a file that isn't there", log)


SCENARIOS: tuple[Callable[[Bench], None], ...] = (
    check_mode, fleet, classified_again, batches, unknown_program, sick_fails_when_asked, bad_settings,
)  # fmt: skip
