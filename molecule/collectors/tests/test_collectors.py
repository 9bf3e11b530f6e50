# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each fault of the host itself, planted, diagnosed and taken away again, on Python 3.9 and 3.13."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import lab
import pytest

testinfra_hosts = ["local://"]
CAUSE = "settings_invalid"


def right(run: lab.Run) -> bool:
    """The cause is found; on a machine so busy that the import test had no time, and without a log, none is named either."""
    found = lab.diagnosis(run)["root_cause"]["id"]
    untold = run.evidence["import_test"].get("outcome") in (None, "timeout", "could_not_run")
    return bool(found == CAUSE or (found == "unknown" and untold))


@pytest.fixture(params=lab.HOSTS)
def machine(request: pytest.FixtureRequest) -> Iterator[str]:
    lab.plant(request.param)
    yield request.param
    lab.heal(request.param)


@contextmanager
def instead_of(machine: str, name: str, script: str) -> Iterator[None]:
    """Another program in place of one of the host's; without a script, none."""
    path = lab.sh(machine, f"readlink -f $(command -v {name})")
    lab.sh(machine, f"mv {path} {path}.aside")
    try:
        if script:
            lab.put(machine, path, script)
            lab.sh(machine, f"chmod 755 {path}")
        yield
    finally:
        lab.sh(machine, f"mv -f {path}.aside {path}")


@contextmanager
def hung(machine: str) -> Iterator[None]:
    lab.put(machine, "/root/hung_fs.py", lab.HUNG)
    lab.sh(
        machine,
        "mkdir -p /mnt/hung; (setsid python3 /root/hung_fs.py /mnt/hung >/dev/null 2>&1 & echo $! > /root/hung.pid); sleep 1; grep -q hung /proc/mounts",
    )
    try:
        yield
    finally:
        lab.heal(machine)


def test_whole_host_first(machine: str) -> None:
    run = lab.Run(machine)
    assert run.within_budget()
    assert run.evidence["target"]["python"].startswith(lab.PYTHONS[machine])
    # A container has no kernel log of its own.
    assert not {"service", "logs", "environment", "import_test"} & set(run.told), run.told
    assert right(run)


def test_environment_file_that_is_a_fifo(machine: str) -> None:
    # Before version 254 it is systemd itself that waits for it, and answers nobody.
    lab.sh(machine, "rm /etc/shop/shop.env; mkfifo /etc/shop/shop.env")
    lab.reload(machine)
    run = lab.Run(machine)
    assert run.within_budget()
    [file] = [one for one in run.evidence["environment"]["files"] if one["path"] == "/etc/shop/shop.env"]
    assert file["type"] == "fifo" and "is a FIFO, not a regular file" in file["load_error"]
    assert "it is a FIFO and no file" in str(lab.diagnosis(run))


@pytest.mark.parametrize("what", ["main.py", "logs"])
def test_other_fifos(machine: str, what: str) -> None:
    if what == "main.py":
        lab.sh(
            machine,
            "rm /opt/shop/main.py; mkfifo -m 644 /opt/shop/main.py; for name in .env pyproject.toml requirements.txt; do mkfifo /opt/shop/$name; done",
        )
    else:
        lab.sh(machine, "mkfifo -m 666 /opt/shop/app.log /opt/shop/error.log; ln -s app.log /opt/shop/link.log")
    run = lab.Run(machine, log_files=["/opt/shop/app.log", "/opt/shop/link.log"])
    assert run.within_budget()
    assert "FIFO" in str(run.evidence)


@pytest.mark.parametrize("what", ["environment file", "directory", "log"])
def test_share_that_does_not_answer(machine: str, what: str) -> None:
    with hung(machine):
        places = {"environment file": "env_file", "directory": "directory", "log": "output"}
        value = {
            "environment file": "/mnt/hung/shop.env",
            "directory": "/mnt/hung",
            "log": "append:/mnt/hung/shop.log",
        }[what]
        unit = {"directory": "/opt/shop", "env_file": "/etc/shop/shop.env", "output": "journal", places[what]: value}
        lab.define(machine, **unit)
        # systemd itself may hang on it.
        lab.sh(machine, "timeout -s KILL 5 systemctl daemon-reload", check=False)
        run = lab.Run(machine)
        assert run.within_budget()
        assert "/mnt/hung (fuse.hung) does not answer" in " ".join(run.result["notes"])
        if what == "directory":
            assert "a file system that does not answer" in run.told["import_test"]
        assert not lab.sh(machine, "pgrep -f ansible_firstaid; true")


@pytest.mark.parametrize(
    ("name", "script", "words"),
    [
        ("systemctl", "", "No such file"),
        (
            "systemctl",
            "#!/bin/sh\necho 'Failed to connect to bus: Connection refused' >&2\nexit 1",
            "its bus is down",
        ),
        ("systemctl", "#!/bin/sh\ntrap '' TERM INT HUP\nwhile :; do sleep 1; done", "did not tell all"),
        ("systemctl", "#!/bin/sh\nexec yes Id=shop.service", "did not tell all"),
    ],
    ids=["missing", "no bus", "ignores SIGTERM", "endless"],
)
def test_systemctl_that_fails(machine: str, name: str, script: str, words: str) -> None:
    with instead_of(machine, name, script):
        run = lab.Run(machine)
    assert run.within_budget()
    assert words in run.told["service"] and "read" in run.told["service"]
    # The unit's files and the journal are enough to see why.
    assert right(run)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("", "No such file"),
        ("#!/bin/sh\necho 'Failed to search journal ACL: Bad message' >&2\nexit 1", "Bad message"),
        ("#!/bin/sh\ntrap '' TERM INT HUP\nwhile :; do sleep 1; done", "did not finish within"),
        ("#!/bin/sh\nexec tr -dc 'a-z' </dev/urandom", ""),
    ],
    ids=["missing", "fails", "ignores SIGTERM", "endless garbage"],
)
def test_journalctl_that_fails(machine: str, script: str, words: str) -> None:
    with instead_of(machine, "journalctl", script):
        run = lab.Run(machine)
    assert run.within_budget()
    assert words in run.told.get("logs", "") + run.told.get("service", ""), run.told
    # The import test meets the same error as the service.
    assert right(run)


def test_no_bus_at_all(machine: str) -> None:
    lab.sh(machine, "mv /run/systemd/private /run/systemd/private.aside; mv /run/dbus /run/dbus.aside")
    try:
        run = lab.Run(machine)
    finally:
        lab.sh(machine, "mv /run/systemd/private.aside /run/systemd/private; mv /run/dbus.aside /run/dbus")
    assert run.within_budget()
    assert "bus is down" in run.told["service"]
    assert right(run)


def test_journald_stopped(machine: str) -> None:
    units = "systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket"
    lab.sh(machine, f"systemctl stop {units}")
    try:
        run = lab.Run(machine)
    finally:
        lab.sh(machine, f"systemctl start {units}")
    assert run.within_budget()
    assert right(run)


def test_journal_corrupted(machine: str) -> None:
    # Zeros and noise in the middle of each file, and one that is cut off.
    lab.sh(
        machine,
        "journalctl --sync; for file in $(find /run/log/journal /var/log/journal -name '*.journal' 2>/dev/null); do "
        "dd if=/dev/urandom of=$file bs=4096 seek=16 count=200 conv=notrunc status=none; "
        "dd if=/dev/zero of=$file bs=4096 seek=400 count=50 conv=notrunc status=none; done",
    )
    try:
        run = lab.Run(machine)
    finally:
        lab.sh(machine, "rm -rf /run/log/journal/*/* /var/log/journal/*/*; systemctl restart systemd-journald")
    assert run.within_budget()
    assert right(run)


def test_full_disk(machine: str) -> None:
    lab.sh(
        machine,
        "fallocate -l 1G /tmp/full 2>/dev/null; cat /dev/zero > /tmp/full2 2>/dev/null; fallocate -l 1G /dev/shm/full 2>/dev/null; true",
    )
    try:
        run = lab.Run(machine)
    finally:
        lab.sh(machine, "rm -f /tmp/full /tmp/full2 /dev/shm/full")
    assert run.within_budget()
    full = [one["path"] for one in run.evidence["resources"]["disks"] if one.get("free_bytes") == 0]
    assert "/tmp" in full
    assert run.evidence["import_test"]["outcome"] == "exception", run.evidence["import_test"]


def test_read_only_root(machine: str) -> None:
    if (
        lab.sh(
            machine,
            "mount -o remount,ro,bind / 2>/dev/null || mount -o remount,ro / 2>/dev/null && echo read-only; true",
        )
        != "read-only"
    ):
        pytest.skip("this engine does not let the root of a container be remounted")
    try:
        run = lab.Run(machine)
    finally:
        lab.sh(machine, "mount -o remount,rw,bind / 2>/dev/null || mount -o remount,rw /; touch /opt/x; rm /opt/x")
    assert run.within_budget()
    assert run.evidence["import_test"]["outcome"] == "exception", run.evidence["import_test"]
    assert right(run)


def test_no_memory(machine: str) -> None:
    lab.put(machine, "/root/small-python", '#!/bin/sh\nulimit -v 90000\nexec /usr/bin/python3 "$@"')
    lab.sh(machine, "chmod 755 /root/small-python; chmod 711 /root")
    run = lab.Run(machine, python="/root/small-python")
    assert run.within_budget()
    # Either it still tells what it could see, or it says what it lacked.
    assert not run.failed or "memory" in run.text.lower(), run.text[-800:]


def test_processes_that_come_and_go(machine: str) -> None:
    lab.put(
        machine,
        "/root/storm.py",
        "import os, time\nend = time.time() + 25\nwhile time.time() < end:\n    if os.fork() == 0:\n        os._exit(0)\n    os.wait()",
    )
    lab.sh(machine, "(setsid python3 /root/storm.py >/dev/null 2>&1 &)")
    run = lab.Run(machine)
    assert run.within_budget()
    assert run.evidence["collectors"]["processes"]["status"] == "ok"
    assert right(run)
