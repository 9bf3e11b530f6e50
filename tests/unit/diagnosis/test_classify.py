# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The classifier as a whole: partial evidence, honesty about what isn't known, and what text can't do to it."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.catalogue import load_catalogue
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.classify import (
    EvidenceError,
    classify,
    evidence_from_log,
)
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.present import (
    of_attempts_since,
    of_present_start,
)

CATALOGUE = load_catalogue()
MISSING = """\
Traceback (most recent call last):
  File "/srv/a/main.py", line 1, in <module>
    import {module}
ModuleNotFoundError: No module named '{module}'
"""
FAILED: dict[str, Any] = {"active_state": "failed", "result": "exit-code", "exit": {"code": 1}}
RUNNING: dict[str, Any] = {"active_state": "active", "sub_state": "running", "uptime_s": 4000, "restarts": 0}


def diagnose(log: str = "", **sections: Any) -> dict[str, Any]:
    return classify({**evidence_from_log(log), **sections}, CATALOGUE)


def test_it_is_pure() -> None:
    evidence = {**evidence_from_log(MISSING.format(module="httpx")), "service": FAILED}
    before = copy.deepcopy(evidence)
    first, second = classify(evidence, CATALOGUE), classify(evidence, CATALOGUE)
    assert first == second
    assert evidence == before
    assert json.loads(json.dumps(first)) == first


@pytest.mark.parametrize("evidence", ["text", 3, None, ["x"]])
def test_what_is_no_mapping_is_refused(evidence: Any) -> None:
    with pytest.raises(EvidenceError, match="mapping"):
        classify(evidence, CATALOGUE)


def test_another_schema_is_refused() -> None:
    with pytest.raises(EvidenceError, match="schema 7"):
        classify({"schema": 7}, CATALOGUE)


def test_nothing_known_is_unknown_with_a_next_check() -> None:
    diagnosis = classify({"schema": 1}, CATALOGUE)
    assert diagnosis["root_cause"]["id"] == "unknown"
    assert diagnosis["next_check"]
    assert diagnosis["remediation"]["automatic"] is False


def test_unavailable_sections_are_named_and_harm_nothing() -> None:
    sections = {
        name: {"unavailable": "no privilege to read it"} for name in ("ports", "kernel", "symlinks", "app", "unit")
    }
    diagnosis = diagnose(MISSING.format(module="httpx"), service=FAILED, **sections)
    assert diagnosis["root_cause"]["id"] == "dependency_missing"
    assert "kernel: no privilege to read it" in diagnosis["evidence_gaps"]


def test_malformed_sections_harm_nothing() -> None:
    broken: dict[str, Any] = {
        name: [1, "x", {"a": None}]
        for name in ("service", "ports", "processes", "symlinks", "app", "packages", "kernel")
    }
    broken |= {"environment": {"files": ["x", None, {"malformed": "y"}]}, "resources": {"disks": 3, "memory": "much"}}
    broken |= {"import_test": {"ran": True, "outcome": "exception", "missing_module": "x", "exception": None}}
    diagnosis = diagnose(MISSING.format(module="httpx"), **broken)
    assert diagnosis["root_cause"]["id"] == "dependency_missing"


def test_a_sigkill_without_facts_is_a_tie_with_low_confidence() -> None:
    diagnosis = diagnose(service={"active_state": "failed", "result": "signal", "exit": {"signal": "SIGKILL"}})
    ids = {candidate["id"] for candidate in diagnosis["candidates"][:2]}
    assert ids == {"out_of_memory", "signal_killed"}
    assert diagnosis["root_cause"]["confidence"] <= 0.6
    assert diagnosis["remediation"]["automatic"] is False


def test_what_persists_outranks_what_came_once() -> None:
    start = "Nov 22 02:43:0{n} web systemd[1]: Started a.service - A.\n"
    end = "Nov 22 02:43:0{n} web systemd[1]: a.service: Main process exited, code=exited, status=1/FAILURE\n"
    line = "Nov 22 02:43:0{n} web a[{n}]: {text}\n"
    texts = ["redis.exceptions.ConnectionError: Error 111 connecting to 127.0.0.1:6379. Connection refused."]
    texts += ["OSError: [Errno 28] No space left on device: '/var/lib/a/x'"] * 3
    log = "".join(start.format(n=n) + line.format(n=n, text=text) + end.format(n=n) for n, text in enumerate(texts))
    assert diagnose(log)["root_cause"]["id"] == "disk_full"


def test_facts_outrank_text() -> None:
    """Whoever can write a log line can't talk the classifier out of what the kernel says, nor into a fix."""
    log = "MemoryError\nOSError: [Errno 98] Address already in use\n"
    kernel = {"source": "journal", "oom_kills": [{"pid": 3, "own": True, "text": "Killed process 3 (python3)"}]}
    diagnosis = diagnose(log, service=FAILED, kernel=kernel)
    assert diagnosis["root_cause"]["id"] == "out_of_memory"
    assert diagnosis["root_cause"]["attested"] is True
    forged = diagnose("OSError: [Errno 98] Address already in use: ('0.0.0.0', 8000)\n")
    assert forged["root_cause"]["attested"] is False
    assert forged["remediation"]["automatic"] is False


def test_what_the_sandbox_withheld_is_never_blamed() -> None:
    exception = {
        "type": "PermissionError",
        "message": "[Errno 13] Permission denied",
        "errno": 13,
        "frames": [],
        "chain": [],
    }
    section = {
        "ran": True,
        "outcome": "withheld",
        "withheld": [{"what": "connect", "detail": "127.0.0.1:5432"}],
        "exception": exception,
    }
    diagnosis = diagnose(service=RUNNING, import_test=section, app={"health": {"status": 200}})
    assert diagnosis["root_cause"]["id"] == "healthy"
    loop = diagnose(service=FAILED, import_test=section)
    assert loop["root_cause"]["id"] not in ("permission_denied", "database_unreachable")


def test_a_running_backend_that_answers_is_healthy_whatever_its_log_says() -> None:
    log = (
        MISSING.format(module="torch")
        + "ERROR: fatal error, everything failed\nOSError: [Errno 28] No space left on device\n"
    )
    diagnosis = diagnose(log, service=RUNNING, app={"health": {"status": 200}})
    assert (diagnosis["state"], diagnosis["root_cause"]["id"]) == ("healthy", "healthy")
    assert {symptom["explained_by"] for symptom in diagnosis["symptoms"]} == {"healthy"}


def test_a_slow_start_is_not_sick() -> None:
    ports = {"wanted": [{"host": "0.0.0.0", "port": 8000}], "listening_on_wanted": False}
    diagnosis = diagnose("loading the model\n", service={**RUNNING, "uptime_s": 30}, ports=ports)
    assert diagnosis["state"] == "healthy"
    late = diagnose("loading the model\n", service={**RUNNING, "uptime_s": 900}, ports=ports)
    assert late["state"] == "hung"


TWICE = {"active_state": "active", "restarts": 2, "restarts_in_window": 2}


@pytest.mark.parametrize(
    ("service", "state"),
    [
        ({"active_state": "activating", "sub_state": "auto-restart", "restarts": 9}, "crash_loop"),
        ({"active_state": "active", "uptime_s": 3, "restarts_in_window": 5}, "crash_loop"),
        ({"active_state": "failed", "result": "exit-code", "exit": {"code": 1}}, "failed"),
        ({"active_state": "active", "uptime_s": 900, "restarts": 0}, "healthy"),
        # It died 4 s after its start twice, and has run since; or it died after 50 s and hasn't lived longer yet.
        ({**TWICE, "restart_times": ["2026-11-22T07:43:23.1Z", "2026-11-22T07:43:27.1Z"], "uptime_s": 20}, "healthy"),
        ({**TWICE, "restart_times": ["2026-11-22T07:43:23Z", "2026-11-22T07:44:13Z"], "uptime_s": 20}, "crash_loop"),
        ({**TWICE, "restart_times": ["2026-11-22T07:43:23Z", "2026-11-22T07:44:13Z"], "uptime_s": 151}, "healthy"),
        # Somebody started it anew: the supervisor counts from there.
        (
            {**TWICE, "restart_times": ["2026-11-22T07:43:23Z", "2026-11-22T07:44:13Z"], "uptime_s": 20, "restarts": 0},
            "healthy",
        ),
    ],
)
def test_the_state_follows_the_supervisor(service: dict[str, Any], state: str) -> None:
    assert diagnose(service=service)["state"] == state


def test_workers_that_die_behind_a_living_parent_are_a_crash_loop() -> None:
    workers = {"young_workers": {"parent_age_s": 900, "oldest_worker_age_s": 2, "count": 2, "expected": 2}}
    assert diagnose(service=RUNNING, processes=workers)["state"] == "crash_loop"


@pytest.mark.parametrize(("replaced", "state"), [(True, "crash_loop"), (False, "healthy")])
def test_a_young_parent_is_suspected_only_when_children_of_it_have_ended(replaced: bool, state: str) -> None:
    facts = {"parent_age_s": 25, "oldest_worker_age_s": 3, "count": 1, "expected": 1, "replaced": replaced}
    assert diagnose(service=RUNNING, processes={"young_workers": facts})["state"] == state


def test_a_parent_without_any_worker_can_be_told() -> None:
    facts = {"parent_pid": 7, "parent_age_s": 90, "oldest_worker_age_s": None, "count": 0, "expected": 1}
    told = diagnose(service=RUNNING, processes={"young_workers": facts})["state_evidence"]
    assert any("no worker" in str(item) for item in told)


def test_log_text_is_data() -> None:
    hostile = "{{ lookup('pipe', 'id') }}; rm -rf / $(reboot)"
    diagnosis = diagnose(
        f"ModuleNotFoundError: No module named 'evil'\nOSError: [Errno 30] Read-only file system: '/x/{hostile}'\n"
    )
    command = diagnosis["remediation"]["command"]
    assert "$(reboot)" not in command.replace("'", "") or "'" in command
    assert hostile not in command.split("'")[0]


def test_a_rival_lowers_confidence() -> None:
    alone = diagnose("OSError: [Errno 28] No space left on device\n")["root_cause"]["confidence"]
    both = diagnose("OSError: [Errno 28] No space left on device\nOSError: [Errno 24] Too many open files\n")[
        "root_cause"
    ]["confidence"]
    assert both < alone


def test_a_wrapper_does_not_hide_the_first_exception() -> None:
    log = """\
Traceback (most recent call last):
  File "/srv/a/logs.py", line 3, in <module>
    open("/var/log/a/x.log", "a")
PermissionError: [Errno 13] Permission denied: '/var/log/a/x.log'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/srv/a/main.py", line 3, in <module>
    import logs
RuntimeError: Unable to configure handler 'file'
"""
    diagnosis = diagnose(log)
    assert diagnosis["root_cause"]["id"] == "permission_denied"
    assert diagnosis["root_cause"]["subject"]["path"] == "/var/log/a/x.log"


def test_megabytes_are_classified_in_time() -> None:
    log = "GET /health 200 some words that fill the line up to a usual length of a hundred characters\n" * 40_000
    assert diagnose(log + MISSING.format(module="httpx"))["root_cause"]["id"] == "dependency_missing"


def test_a_log_that_could_not_be_read_is_not_silent() -> None:
    diagnosis = classify(
        {"schema": 1, "service": FAILED, "logs": {"unavailable": "the time budget was used up"}}, CATALOGUE
    )
    assert diagnosis["root_cause"]["id"] == "unknown"
    assert diagnosis["state"] == "failed"
    assert diagnosis["evidence_gaps"] == ["logs: the time budget was used up"]


def test_of_a_backend_that_outlived_its_earlier_starts_only_the_present_one_counts() -> None:
    complaint = "five.service: Ignoring invalid environment assignment 'KEY=<redacted>': /etc/five.env"
    lines = [f"systemd[1]: {complaint}", *MISSING.format(module="httpx").splitlines()]
    attempts = [
        {"invocation": "a", "segments": [{"first_line": 1, "lines": lines, "offsets_s": [0.0] * len(lines)}]},
        {"invocation": "b", "segments": [{"first_line": 9, "lines": ["INFO: Started"], "offsets_s": [0.0]}]},
    ]
    service = {**RUNNING, "restarts": 3, "messages": [complaint], "exit": {"code": 1}}
    sources = [{"id": "journal", "kind": "journal", "attempts": attempts}]
    evidence = {"schema": 1, "service": service, "logs": {"sources": sources}, "health": {"status": 500}}
    before = copy.deepcopy(evidence)
    diagnosis = classify(of_present_start(evidence), CATALOGUE)
    assert diagnosis["root_cause"]["id"] in ("unknown", "healthy") and not diagnosis["contributing"]
    assert evidence == before
    attempts.append(attempts.pop(0))
    assert classify(of_present_start(evidence), CATALOGUE)["root_cause"]["id"] not in ("unknown", "healthy")
    assert of_present_start({"service": 3, "logs": {"sources": [3]}}) == {"service": 3, "logs": {"sources": [3]}}


def test_attempts_that_were_over_before_a_change_do_not_count() -> None:
    def attempt(module: str, started: str | None, ended: str | None) -> dict[str, Any]:
        lines = MISSING.format(module=module).splitlines()
        segments = [{"first_line": 1, "lines": lines, "offsets_s": [0.0] * len(lines)}]
        return {"invocation": module, "started": started, "ended": ended, "segments": segments}

    before, after = "2026-11-22T10:00:0{}.000Z", "2026-11-22T10:01:0{}.000Z"
    attempts = [attempt("oldone", before.format(turn), before.format(turn + 1)) for turn in range(3)]
    attempts.append(attempt("newone", after.format(1), after.format(2)))
    stale = {"id": "file:a", "kind": "file", "modified": before.format(1), "attempts": [attempt("stale", None, None)]}
    journal = {"id": "journal", "kind": "journal", "modified": after.format(2), "attempts": attempts}
    evidence = {"schema": 1, "service": FAILED, "logs": {"sources": [journal, stale, {"id": "x"}]}}
    untouched = copy.deepcopy(evidence)
    kept = of_attempts_since(evidence, after.format(0))
    assert [item["invocation"] for item in kept["logs"]["sources"][0]["attempts"]] == ["newone"]
    assert kept["logs"]["sources"][1:] == [{**stale, "attempts": []}, {"id": "x"}]
    assert classify(kept, CATALOGUE)["root_cause"]["subject"]["module"] == "newone"
    assert evidence == untouched
    written = {**stale, "modified": after.format(2)}
    assert of_attempts_since({"logs": {"sources": [written]}}, after.format(0))["logs"]["sources"] == [written]
    with pytest.raises(ValueError, match="no time in ISO 8601"):
        of_attempts_since(evidence, "yesterday")


def test_a_kill_some_starts_ago_is_not_why_the_last_ones_ended() -> None:
    killed = [
        "Started x.service - X.",
        "x.service: Sent signal SIGKILL to main process 605 (uvicorn) on client request.",
        "x.service: Main process exited, code=killed, status=9/KILL",
        "x.service: Scheduled restart job, restart counter is at 1.",
    ]
    refused = ["Started x.service - X.", "x.service: Main process exited, code=exited, status=3/NOTIMPLEMENTED"]
    log = "INFO:     Started server process [7]\nERROR:    [Errno 98] Address already in use\n"

    def of(messages: list[str], code: int | None, signal: str | None) -> dict[str, Any]:
        service = {**FAILED, "messages": messages, "exit": {"code": code, "signal": signal}}
        evidence = evidence_from_log(log) | {"service": service}
        return classify(evidence, CATALOGUE)

    later = of([*killed, *refused], 3, None)
    assert later["root_cause"]["id"] == "port_in_use"
    assert "signal_killed" not in [item["id"] for item in later["candidates"][1:2] if item["confidence"] > 0.3]
    pending = of([*killed, *refused, "Started x.service - X."], 3, None)
    assert pending["root_cause"]["confidence"] == later["root_cause"]["confidence"]
    now = of([*refused, *killed], None, "SIGKILL")
    assert (
        now["root_cause"]["id"] != "port_in_use" or now["root_cause"]["confidence"] < later["root_cause"]["confidence"]
    )


def test_a_loop_without_a_word_is_silent_while_it_runs_for_a_moment_too() -> None:
    said = "Nov 22 12:38:03 web-1 systemd[1]: "
    start = [f"{said}Started web.service - Web.", f"{said}web.service: Deactivated successfully."]
    again = said + "web.service: Scheduled restart job, restart counter is at {}."
    lines = [line for number in range(1, 4) for line in (*start, again.format(number))] + start[:1]
    times = [f"2026-11-22T12:38:{second}.000Z" for second in (23, 33, 43)]
    looping = {"restarts": 3, "restarts_in_window": 3, "window_s": 600.0, "restart_times": times, "uptime_s": 0.6}
    found = diagnose("\n".join(lines), service={**RUNNING, **looping, "result": "success"})
    assert (found["state"], found["root_cause"]["id"]) == ("crash_loop", "silent_exit")
    calm = {**looping, "uptime_s": 900.0, "restarts_in_window": 0}
    assert diagnose("\n".join(lines), service={**RUNNING, **calm})["root_cause"]["id"] != "silent_exit"
