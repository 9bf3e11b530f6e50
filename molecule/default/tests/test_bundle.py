# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bundle that a run left on the controller."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from firstaid_zoo.catalogue import load

OUTPUT = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"]) / ".build" / "molecule-default"
FILES = (
    "00-SUMMARY.txt 01-service-status.txt 02-service-config.txt 03-port-status.txt 04-backend-log.txt 05-error-log.txt "
    "06-journal.txt 07-restart-history.txt 08-environment.txt 09-import-test.txt 10-memory-processes.txt "
    "11-foreground-test.txt 12-symlinks.txt 13-python-path.txt 14-packages.txt 15-backing-services.txt "
    "evidence.json diagnosis.json redactions.json"
).split()
SICK = ["symlink-dangling-package", "env-file-missing", "port-held-by-own-leftover", "workers-die-behind-gunicorn"]


def _newest() -> Path:
    return max(OUTPUT.glob("backend-diagnostics-*"), key=lambda path: path.name)


def _of(host, fault) -> Path:
    folder = _newest() / host.backend.get_hostname()
    return next(path for path in (folder / fault.service, folder / fault.unit_name) if path.is_dir())


@pytest.mark.parametrize("name", SICK)
def test_right_cause_first(host, name):
    (fault,) = load([name])
    diagnosis = json.loads((_of(host, fault) / "diagnosis.json").read_text())
    assert fault.expect.right(diagnosis["root_cause"]["id"]), diagnosis["root_cause"]
    assert diagnosis["root_cause"]["evidence"]
    assert diagnosis["state"] in fault.expect.state


@pytest.mark.parametrize("name", SICK)
def test_all_files_and_only_for_us(host, name):
    (fault,) = load([name])
    folder = _of(host, fault)
    assert set(FILES) <= {path.name for path in folder.iterdir()}
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in _newest().rglob("*")}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}


@pytest.mark.parametrize("name", SICK)
def test_summary_fits_a_screen(host, name):
    (fault,) = load([name])
    lines = (_of(host, fault) / "00-SUMMARY.txt").read_text().splitlines()
    assert 5 < len(lines) <= 40
    assert max(map(len, lines)) <= 80


def test_no_secret_is_in_it(host):
    (fault,) = load(["env-file-missing"])
    leaks = [
        path for path in _newest().rglob("*") if path.is_file() and fault.canaries[0].encode() in path.read_bytes()
    ]
    assert leaks == []


def test_the_healthy_service_is_not_in_it(host):
    assert not list((_newest() / host.backend.get_hostname()).glob("importer*"))


def test_report_names_every_host(host):
    assert host.backend.get_hostname() in (_newest() / "report.md").read_text()
