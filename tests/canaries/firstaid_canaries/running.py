# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running the playbooks as a user does, loudly: everything that Ansible can write down is written down, below one directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[3]
PLAYBOOKS = REPOSITORY / "playbooks"
LIMIT_S = 600


@dataclass
class Run:
    """Where the outputs of one site's runs are. ``inputs`` are files with what the user gives: no outputs."""

    work: Path
    inventory: Path
    variables: dict[str, Any]
    statuses: dict[str, int] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(PLAYBOOKS / "collections"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_NOCOWS": "1",
            "ANSIBLE_HOST_KEY_CHECKING": "false",
            "ANSIBLE_LOG_PATH": str(self.work / "out" / "ansible.log"),
            "ANSIBLE_SHOW_CUSTOM_STATS": "true",
            "ANSIBLE_CACHE_PLUGIN": "jsonfile",
            "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(self.work / "out" / "fact-cache"),
            "ANSIBLE_RETRY_FILES_ENABLED": "true",
            "ANSIBLE_RETRY_FILES_SAVE_PATH": str(self.work / "out" / "retry"),
            "ANSIBLE_CALLBACK_PLUGINS": str(REPOSITORY / "tests" / "canaries" / "callback_plugins"),
            "ANSIBLE_CALLBACKS_ENABLED": "everything,ansible.builtin.junit,ansible.builtin.tree",
            "ANSIBLE_CALLBACK_TREE_DIR": str(self.work / "out" / "tree"),
            "JUNIT_OUTPUT_DIR": str(self.work / "out" / "junit"),
            "CANARIES_EVENTS": str(self.work / "out" / "events.jsonl"),
        }

    def play(self, step: str, playbook: str, given: dict[str, Any] | None = None, *options: str) -> str:
        """Run a playbook at -vvvv; what it prints is kept as ``console-<step>.txt``. ``given`` is what only this step gets."""
        name = step.replace(" ", "-")
        extra = self._extra(name, given)
        command = [
            str(Path(sys.executable).parent / "ansible-playbook"), "-vvvv", "-i", str(self.inventory), "-e", f"@{extra}",
            *options, str(PLAYBOOKS / playbook),
        ]  # fmt: skip
        done = subprocess.run(
            command, env=self.environment(), cwd=REPOSITORY, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", timeout=LIMIT_S, check=False,
        )  # fmt: skip
        (self.work / "out" / f"console-{name}.txt").write_text(done.stdout + done.stderr, encoding="utf-8")
        self.statuses[step] = done.returncode
        return done.stdout + done.stderr

    def runner(self, step: str, playbook: str, given: dict[str, Any] | None = None) -> None:
        """Run a playbook by ansible-runner; its artifacts and events are kept."""
        name = step.replace(" ", "-")
        private = self.work / "out" / f"runner-{name}"
        private.mkdir(parents=True)
        extra = self._extra(name, given)
        command = [
            str(Path(sys.executable).parent / "ansible-runner"), "run", str(private), "-p", str(PLAYBOOKS / playbook),
            "--inventory", str(self.inventory), f"--cmdline=-vvvv -e @{extra}",
        ]  # fmt: skip
        environment = self.environment() | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        # Its own callback takes the place of the default one.
        done = subprocess.run(
            command, env=environment, cwd=REPOSITORY, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", timeout=LIMIT_S, check=False,
        )  # fmt: skip
        (private / "console.txt").write_text(done.stdout + done.stderr, encoding="utf-8")
        self.statuses[step] = done.returncode

    def _extra(self, name: str, given: dict[str, Any] | None) -> Path:
        (self.work / "given").mkdir(exist_ok=True)
        path = self.work / "given" / f"{name}.json"
        path.write_text(
            json.dumps({**self.variables, "backend_output_dir": str(self.work / "bundles"), **(given or {})})
        )
        path.chmod(0o600)
        return path

    def events(self) -> int:
        """How many events ansible-runner wrote down."""
        return sum(1 for _path in (self.work / "out").glob("runner-*/artifacts/*/job_events/*.json"))
