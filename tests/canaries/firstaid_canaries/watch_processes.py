# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes down every command line that a host has, until its standard input closes: run on the host, with nothing but Python."""

from __future__ import annotations

import json
import os
import select
import sys


def main() -> None:
    """A line for each new command line, after ``ready``."""
    print("ready", flush=True)
    known: set[tuple[str, bytes]] = set()
    while not select.select([sys.stdin], [], [], 0.02)[0]:
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    raw = file.read(1 << 20)
            except OSError:
                continue
            if raw and (pid, raw) not in known:
                known.add((pid, raw))
                print(json.dumps(raw.decode("utf-8", "replace").rstrip("\0").split("\0")), flush=True)


main()
