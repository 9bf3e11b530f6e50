# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backend for tests whose supervisor is a file: real files, real manifests, no systemd."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any, Optional, cast

from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import Backend
from ansible_collections.firstaid.backend.plugins.module_utils._repair import session
from ansible_collections.firstaid.backend.plugins.module_utils._repair.model import (
    Change,
    Control,
    ControlError,
    Host,
    Proposal,
    ServiceState,
)
from ansible_collections.firstaid.backend.plugins.module_utils._repair.rollback import Undone, roll_back
from ansible_collections.firstaid.backend.plugins.module_utils._repair.site import Proof, Site, no_proof
from ansible_collections.firstaid.backend.plugins.module_utils._repair.transaction import Answer, Order, Transaction

NAME = "web.service"


class FileControl:
    """A supervisor that keeps its state in a file, and each order in another, so that both outlive a process."""

    runtime = "systemd"

    def __init__(self, root: Path, refuse: str = "") -> None:
        self.root, self.refuse = root, refuse

    def state(self) -> ServiceState:
        return ServiceState((self.root / "service").read_text())

    def pids(self) -> list[int]:
        return []

    def _order(self, verb: str, state: Optional[str]) -> None:
        with open(self.root / "orders", "a", encoding="ascii") as stream:
            stream.write(verb + "\n")
        if self.refuse == verb:
            raise ControlError(f"{verb} was refused")
        if state:
            (self.root / "service").write_text(state)

    def reload(self) -> None:
        self._order("reload", None)

    def start(self) -> None:
        self._order("start", "running")

    def stop(self) -> None:
        self._order("stop", "stopped")

    def restart(self) -> None:
        self._order("restart", "running")


class FileSite:
    """Stands in for ``Site``: the proof is the content of a file, ``true``, ``false`` or nothing."""

    def __init__(self, root: Path, refuse: str = "") -> None:
        self.root = root
        self.backend = Backend(NAME, "systemd")
        self.ctx = Context({}, time.monotonic() + 60)
        self.control: Control = FileControl(root, refuse)
        self.proofs = 0

    def resolve(self) -> None:
        pass

    def host(self, options: dict[str, Any]) -> Host:
        return Host(self.backend, self.ctx, options, self.control, lambda name: {})

    def proof(self) -> Proof:
        self.proofs += 1
        words = (self.root / "proof").read_text().split()
        word = words[min(self.proofs, len(words)) - 1] if words else ""
        if not word:
            return no_proof("nobody knows")
        passed = word == "true"
        what = None if passed else {"type": "KeyError", "message": word, "module": None}
        return {
            "passed": passed,
            "outcome": "ok" if passed else "exception",
            "exception": what,
            "statement": None,
            "why": word,
        }


class World:
    """A directory with an application, a service and a state directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.app = root / "app"
        self.state_dir = str(root / "state")

    def make(self, service: str = "starting", proof: str = "true") -> World:
        self.app.mkdir()
        (self.app / "settings.env").write_text("A=1\n")
        os.chmod(self.app / "settings.env", 0o640)
        os.utime(self.app / "settings.env", ns=(10**18, 10**18))
        (self.app / "link").symlink_to("gone")
        (self.root / "service").write_text(service)
        (self.root / "proof").write_text(proof)
        (self.root / "orders").write_text("")
        return self

    @property
    def orders(self) -> list[str]:
        return (self.root / "orders").read_text().split()

    @property
    def service(self) -> str:
        return (self.root / "service").read_text()

    def snapshot(self) -> dict[str, tuple[Any, ...]]:
        """All that is below the application: type, mode, owner, content or target, time of change."""
        found: dict[str, tuple[Any, ...]] = {}
        for path in sorted(self.app.rglob("*")):
            status = path.lstat()
            body: Any = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
            times = status.st_mtime_ns if path.is_file() and not path.is_symlink() else None
            found[str(path.relative_to(self.app))] = (status.st_mode, status.st_uid, status.st_gid, body, times)
        return found

    def changes(self) -> list[Change]:
        """A bit of everything: replace, attributes of it, link, a file in directories that have to be made, and a removal."""
        return [
            Change(
                "file", str(self.app / "settings.env"), "the variable is missing", content=b"A=1\nB=2\n", secret=True
            ),
            Change("link", str(self.app / "link"), "it dangles", target="settings.env"),
            Change(
                "file", str(self.app / "unit.d" / "more" / "90-firstaid-test.conf"), "a drop-in", content=b"[Service]\n"
            ),
            Change("attributes", str(self.app), "others can't read it", mode=0o750),
        ]

    def propose(self, _host: Host) -> Proposal:
        return Proposal("Adds a variable and repairs the link.", self.changes())

    def fix(
        self, propose: Any = None, check: bool = False, site: Any = None, checkpoint: Any = None, **order: Any
    ) -> Answer:
        """One transaction, with the lock."""
        one = site or FileSite(self.root)
        wanted = Order("test", cause="env_file_missing", **order)
        hook = {} if checkpoint is None else {"checkpoint": checkpoint}
        if check:
            return Transaction(cast(Site, one), propose or self.propose, wanted, None, **hook).run()
        with session.backend_folder(self.state_dir, NAME) as folder, session.held(folder, None) as name:
            wanted.session = name
            return Transaction(cast(Site, one), propose or self.propose, wanted, folder, **hook).run()

    def roll_back(
        self, run: str = "latest", check: bool = False, refuse: str = "", checkpoint: Any = None
    ) -> Optional[Undone]:
        """Take a run back, as the module does."""
        site = FileSite(self.root, refuse)
        hook = {} if checkpoint is None else {"checkpoint": checkpoint}
        with session.backend_folder(self.state_dir, NAME) as folder, session.held(folder, None):
            manifest = session.pick_run(folder, run)
            if manifest is None:
                return None
            done = roll_back(manifest, site.control, site.ctx, check, **hook)
            if not check:
                session.end_run(folder, manifest.run, done.outcome)
            manifest.close()
            return done

    def outlook(self) -> dict[str, Any]:
        """What the next session is told."""
        with session.backend_folder(self.state_dir, NAME) as folder:
            return session.begin(folder, None, 60, check=True)

    def rows(self) -> list[dict[str, Any]]:
        with session.backend_folder(self.state_dir, NAME) as folder:
            return session.rows(folder)


class Killer:
    """A checkpoint that ends the process, as a power failure or the kernel would."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.passed: list[str] = []

    def __call__(self, name: str) -> None:
        if len(self.passed) == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.passed.append(name)


def act(what: str, root: Path, number: int) -> None:
    """``fix`` or ``roll_back``, killed at that checkpoint; with -1 it goes through, and the names of all are in the file ``passed``."""
    killer = Killer(number)
    world = World(root)
    if what == "fix":
        world.fix(checkpoint=killer)
    else:
        world.roll_back(checkpoint=killer)
    (root / "passed").write_text(json.dumps(killer.passed))
