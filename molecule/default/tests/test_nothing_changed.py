# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The diagnosis ran three times by now (converge, check, idempotence): each host has to be as it was before."""

from __future__ import annotations

import json

from firstaid_zoo import run, snapshot
from firstaid_zoo.catalogue import load
from firstaid_zoo.hosts import zoo_hosts


def _faults(host):
    kept = run.snapshot_file(host.backend.get_hostname())
    before = json.loads(kept.read_text())
    return before["snapshot"], load(before["faults"])


def test_everything_is_as_before(host):
    before, faults = _faults(host)
    name = host.backend.get_hostname()
    after = snapshot.take(zoo_hosts(name.rpartition("-")[0])[name.rpartition("-")[2]], faults)
    assert snapshot.compare(before, after, faults) == []


def test_the_leftover_still_runs(host):
    # Holding a port that the sick service wants is no reason to be ended by a diagnosis.
    assert host.socket("tcp://127.0.0.1:8144").is_listening


def test_the_healthy_service_was_left_alone(host):
    service = host.service("importer")
    assert service.is_running
    assert host.check_output("systemctl show -P NRestarts importer").strip() in {"0", ""}


def test_no_bytecode_was_written_in_the_code(host):
    assert (
        host.check_output(
            "find /opt /srv -path /srv/venv -prune -o -name '*.pyc' -newer /etc/systemd/system/importer.service -print"
        )
        == ""
    )


def test_no_temporary_file_stays(host):
    # The only file there is the leftover's own.
    assert host.check_output("find /tmp /var/tmp /dev/shm -type f") == "/tmp/quotes-leftover.pid"


def test_no_transient_unit_stays(host):
    units = host.check_output(
        "systemctl list-units --all --plain --no-legend 'run-*.service' 'run-*.scope' 'firstaid*'"
    )
    assert units == ""
