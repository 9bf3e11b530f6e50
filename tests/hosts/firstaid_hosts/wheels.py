# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wheels for the hosts' Python versions, downloaded on this machine: pip can't be counted on inside a container."""

from __future__ import annotations

import platform
import shutil
import sys
from pathlib import Path

from .engine import CACHE
from .shell import HostsError, attempt, run, say

LISTS = Path(__file__).resolve().parent.parent / "image"
PLATFORMS = (
    "manylinux_2_28",
    "manylinux_2_17",
    "manylinux2014",
    "manylinux_2_12",
    "manylinux2010",
    "manylinux_2_5",
    "manylinux1",
)


def directory(python: str) -> Path:
    """Download what requirements-<python>.txt pins, once, and return the folder that holds it."""
    pins = LISTS / f"requirements-{python}.txt"
    where = CACHE / "wheels" / python
    stamp = where / "requirements.txt"
    if stamp.exists() and stamp.read_text() == pins.read_text():
        return where
    shutil.rmtree(where, ignore_errors=True)
    where.mkdir(parents=True)
    say(f"downloading wheels for Python {python}")
    machine = platform.machine()
    tags = [word for name in PLATFORMS for word in ("--platform", f"{name}_{machine}")]
    run(
        [_python_with_pip(), "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:",
         "--python-version", python, *tags, "-d", str(where), "-r", str(pins)],
        timeout_s=600,
    )  # fmt: skip
    shutil.copy(pins, stamp)
    return where


def _python_with_pip() -> str:
    local = Path(__file__).resolve().parents[3] / ".venv" / "bin" / "python"
    for candidate in (str(local), sys.executable, "python3"):
        if attempt([candidate, "-m", "pip", "--version"], timeout_s=30).returncode == 0:
            return candidate
    raise HostsError("no Python with pip was found; make the development environment first (.venv)")
