# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs on the zoo's hosts, by way of the container engine."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from .catalogue import PYTHONS


class HostError(Exception):
    """A program on a host failed, and the zoo can't go on without it."""


@dataclass(frozen=True)
class ZooHost:
    """One host, by its short name (`d12`) and its container's name."""

    short: str
    container: str

    def run(self, argv: list[str], data: bytes = b"", timeout_s: float = 120.0) -> str:
        """Run a program as root on the host, with `data` as its input, and return what it printed."""
        done = subprocess.run(
            ["docker", "exec", "-i", self.container, *argv],
            input=data,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
        if done.returncode != 0:
            words = done.stderr.decode(errors="replace").strip()
            raise HostError(f"{self.container}: {' '.join(argv[:4])} ended with {done.returncode}: {words[-2000:]}")
        return done.stdout.decode(errors="replace")

    def python(self, program: str, argument: str, timeout_s: float = 120.0) -> str:
        """Run a Python program (text) with the host's own Python; it gets `argument` as its first argument."""
        return self.run(["/usr/bin/python3", "-I", "-B", "-", argument], program.encode(), timeout_s)


def zoo_hosts(prefix: str) -> dict[str, ZooHost]:
    """Return the three hosts of a set by their short names."""
    return {short: ZooHost(short, f"{prefix}-{short}") for short in PYTHONS}
