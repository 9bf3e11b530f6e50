# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running programs: one place that shows what failed and why."""

from __future__ import annotations

import os
import subprocess
import sys


class HostsError(Exception):
    """A sentence for the person who typed the command."""


def say(text: str) -> None:
    """Tell progress on standard error, so that standard output stays usable for data."""
    print(f"hosts: {text}", file=sys.stderr, flush=True)


def run(
    argv: list[str], *, timeout_s: float = 120.0, env: dict[str, str] | None = None, text_in: str | None = None
) -> str:
    """Run a program and return its standard output; raise HostsError with its last words when it fails."""
    done = attempt(argv, timeout_s=timeout_s, env=env, text_in=text_in)
    if done.returncode != 0:
        words = "\n".join((done.stderr or done.stdout or "").strip().splitlines()[-15:])
        raise HostsError(f"{' '.join(argv[:6])} … ended with {done.returncode}:\n{words}")
    return done.stdout


def attempt(
    argv: list[str], *, timeout_s: float = 120.0, env: dict[str, str] | None = None, text_in: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program whose failure is an answer too (127: not found, 124: took longer than `timeout_s`)."""
    try:
        return subprocess.run(
            argv,
            input=text_in,
            stdin=subprocess.DEVNULL if text_in is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            env={**os.environ, **(env or {})},
            check=False,
        )
    except FileNotFoundError as error:
        return subprocess.CompletedProcess(argv, 127, "", str(error))
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(argv, 124, "", f"no answer within {timeout_s:.0f} s")
