# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Another user of the controller races for the names of bundles, in a directory like /tmp."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from ansible_collections.firstaid.backend.plugins.plugin_utils._bundle.store import Store

RACER = """
import os, sys, time
os.chdir(sys.argv[1])
while True:
    for name in os.listdir("."):
        if name.endswith(".partial"):
            try: os.rename(name, "stolen-" + name)
            except OSError: pass
    for ahead in range(4):
        name = time.strftime("backend-diagnostics-%Y%m%dT%H%M%SZ", time.gmtime(time.time() + ahead))
        try: os.symlink(sys.argv[2], name)
        except OSError: pass
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can play another user")
def test_a_race_for_the_names_of_bundles_wins_nothing():
    top = Path(tempfile.mkdtemp(prefix="firstaid-race-", dir="/var/tmp"))
    top.chmod(0o755)
    shared, trap = top / "shared", top / "trap"
    shared.mkdir()
    shared.chmod(0o1777)
    trap.mkdir()
    trap.chmod(0o777)
    racer = subprocess.Popen(
        ["/usr/bin/python3", "-c", RACER, str(shared), str(trap)], user=65534, group=65534, stderr=subprocess.DEVNULL
    )
    try:
        made = []
        deadline = time.monotonic() + 4
        while time.monotonic() < deadline:
            store = Store(str(shared))
            store.write("host/service/evidence.json", "secret\n")
            made.append(Path(store.finish()))
            store.close()
    finally:
        racer.kill()
        racer.wait()
    try:
        assert list(trap.iterdir()) == []
        assert len(made) > 3
        for path in made:
            assert not path.is_symlink() and path.stat().st_uid == 0
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert any(link.is_symlink() for link in shared.iterdir()), "the racer never got to it"
    finally:
        shutil.rmtree(top)
