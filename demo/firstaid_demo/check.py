# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every fault of the demo end to end: planted, diagnosed by the playbook, compared; and nothing on the host changed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from .faults import DemoError, Fault, fill, load, names
from .run import WORK, Host, newest_bundle, playbook, prepare
from .scenarios import SCENARIOS, Bench
from .supervisor import Supervisor

SECRETS = ("demo-secret-3f9c1b7a44d2", "demo-password-81b2")
# Run side by side; each waits for its backend most of the time.
AT_ONCE = 2


def check(wanted: list[str], begun: float) -> int:
    """Check the faults ``wanted`` (``scenarios`` stands for the mistakes people make), or all; returns 0 when each got the right answer."""
    prepare()
    faults = [load(name) for name in wanted or names() if name != "scenarios"]
    skipped = [fault for fault in faults if fault.needs and os.geteuid() == 0]
    for fault in skipped:
        print(f"skip  {fault.name:<28} needs {fault.needs}")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(_guarded, [fault for fault in faults if fault not in skipped]))
    if not wanted or "scenarios" in wanted:
        results += _scenarios()
    failed = sum(not passed for passed in results)
    print(f"{time.monotonic() - begun:.0f} s")
    print(f"demo: {len(results) - failed} passed, {failed} failed, {len(skipped)} skipped")
    return 1 if failed or not results else 0


def _guarded(fault: Fault) -> bool:
    host = Host(f"check-{fault.name}")
    try:
        wrong, answer = _one(fault, host)
    except (DemoError, OSError, ValueError, KeyError) as exc:
        wrong, answer = [f"{type(exc).__name__}: {exc}"], "no answer"
    finally:
        host.take_away()
    print(f"{'FAIL' if wrong else 'ok':<6}{fault.name:<28} {answer}", flush=True)
    for sentence in wrong:
        print(f"      - {sentence}", flush=True)
    return not wrong


def _scenarios() -> list[bool]:
    """The mistakes that people make, on one planted host."""
    host = Host("check-scenarios")
    work = WORK / "check" / "scenarios"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(mode=0o700, parents=True)
    results = []
    fault = load("dangling_symlink")
    try:
        host.set_up(fault).wait_until_shown(fault.show)
        for scenario in SCENARIOS:
            try:
                scenario(Bench(host.root, work))
                wrong = ""
            except (DemoError, OSError, ValueError, KeyError) as exc:
                wrong = f"      - {type(exc).__name__}: {exc}"
            print(f"{'FAIL' if wrong else 'ok':<6}{scenario.__name__}", flush=True)
            if wrong:
                print(wrong, flush=True)
            results.append(not wrong)
    finally:
        host.take_away()
    return results


def _one(fault: Fault, host: Host) -> tuple[list[str], str]:
    """Returns what is wrong, and the answer in a few words."""
    supervisor = host.set_up(fault)
    supervisor.wait_until_shown(fault.show)
    output = WORK / "check" / fault.name
    shutil.rmtree(output, ignore_errors=True)
    steady = fault.show in ("answering", "not_answering")
    before = _state_of(host.root, supervisor, steady)
    status, log = playbook(host, output, quiet=True)
    after = _state_of(host.root, supervisor, steady)
    if status:
        return [f"the playbook ended with {status}:\n{log}"], "no answer"
    bundle = newest_bundle(output)
    found: dict[str, Any] = json.loads((bundle / "diagnosis.json").read_text())["hosts"]["demo"]["backends"][0]
    answer = f"{found['state']}: {found['cause']} {found['confidence']}"
    wrong = [
        f"{name} is {found[name]}, expected {fault.expect[name]}"
        for name in ("cause", "state")
        if found[name] not in fault.expect[name].split("|")
    ]
    says = fill(fault.expect.get("says", ""), {"PORT": str(supervisor.port)})
    texts = {path: path.read_text(errors="replace") for path in bundle.rglob("*") if path.is_file()}
    summary = (bundle / found["directory"] / "00-SUMMARY.txt").read_text()
    if says.startswith("@"):
        says = ""
    if says.lower() not in summary.lower():
        wrong.append(f"the summary doesn't say {says!r}")
    wrong += [
        f"{path.name} gives {secret} away"
        for path, text in texts.items()
        for secret in SECRETS
        if secret in text or secret in log
    ]
    wrong += [f"the diagnosis changed {name}" for name in before if before[name] != after.get(name)]
    wrong += [f"the diagnosis left {name}" for name in after if name not in before]
    return wrong, answer


def _state_of(root: Path, supervisor: Supervisor, steady: bool) -> dict[str, Any]:
    """Everything on the "host" that a diagnosis must leave alone; a crashing backend writes its own files anew meanwhile."""
    state: dict[str, Any] = {"supervisord": supervisor.pid()}
    if steady:
        state["the backend's PID"] = (supervisor.info() or {}).get("pid")
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        status = path.lstat()
        if name.startswith(("var/log", "run")) or stat.S_ISSOCK(status.st_mode):
            continue
        content = (
            os.readlink(path)
            if path.is_symlink()
            else hashlib.sha256(path.read_bytes()).hexdigest()
            if path.is_file()
            else ""
        )
        state[name] = (status.st_mode, status.st_uid, content, status.st_mtime_ns if steady else 0)
    return state
