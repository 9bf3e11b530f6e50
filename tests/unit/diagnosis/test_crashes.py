# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

from ansible_collections.firstaid.backend.plugins.plugin_utils._bundle.verdict import verdict
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.attempts import attempts_from_evidence
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.catalogue import load_catalogue
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.classify import classify
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.crashes import COMPARED, SILENT, crashes

CATALOGUE = load_catalogue()
EXIT = "systemd[1]: web.service: Main process exited, code=exited, status={}"


def died(words: str, line: int = 3) -> list[str]:
    return [
        "systemd[1]: Started web.service - Web.",
        "Traceback (most recent call last):",
        f'  File "/srv/web/main.py", line {line}, in <module>',
        "    go()",
        words,
        EXIT.format("1/FAILURE"),
    ]


def evidence(*starts: list[str], ended: bool = True) -> dict[str, Any]:
    attempts = [
        {"invocation": f"{number:032x}", "started": f"2026-11-22T03:0{number % 10}:00.000Z", "pid": 4000 + number,
         "ended": "2026-11-22T04:00:00.000Z" if ended or number < len(starts) - 1 else None,
         "segments": [{"first_line": 1 + 100 * number, "lines": lines}]}
        for number, lines in enumerate(starts)
    ]  # fmt: skip
    return {"schema": 1, "logs": {"sources": [{"id": "journal", "kind": "journal", "attempts": attempts}]}}


def of(*starts: list[str], ended: bool = True) -> dict[str, Any] | None:
    return crashes(attempts_from_evidence(evidence(*starts, ended=ended)))


def test_numbers_and_addresses_make_no_other_way_to_die() -> None:
    words = "RuntimeError: worker {} failed at 0x7f{}"
    found = of(*[died(words.format(number, number)) for number in range(4)])
    assert found is not None and found["same"] and found["ended"] == 4
    assert found["first"] == found["latest"] == found["most_frequent"]
    (kind,) = found["kinds"]
    assert kind["count"] == 4 and kind["says"] == "RuntimeError: worker 0 failed at 0x7f0, /srv/web/main.py:3"
    assert (kind["first"], kind["latest"]) == ("2026-11-22T03:00:00.000Z", "2026-11-22T03:03:00.000Z")


def test_first_latest_and_most_frequent_are_told_apart() -> None:
    first, often, last = died("OSError: taken"), died("KeyError: 'a'"), died("ValueError: b")
    found = of(first, often, often, last)
    assert found is not None and not found["same"]
    says = {kind["fingerprint"]: kind["says"].partition(":")[0] for kind in found["kinds"]}
    named = [says[found[name]] for name in ("first", "most_frequent", "latest")]
    assert named == ["OSError", "KeyError", "ValueError"]
    assert [kind["count"] for kind in found["kinds"]] == [2, 1, 1]


def test_what_says_nothing_is_told_apart_by_its_exit() -> None:
    quiet = ["systemd[1]: Started web.service - Web.", EXIT.format("203/EXEC")]
    other = ["systemd[1]: Started web.service - Web.", EXIT.format("200/CHDIR")]
    found = of(quiet, quiet, other)
    assert found is not None
    assert [(kind["says"], kind["count"]) for kind in found["kinds"]] == [
        (f"{SILENT} (code=exited, status=203/EXEC)", 2),
        (f"{SILENT} (code=exited, status=200/CHDIR)", 1),
    ]


def test_a_start_that_goes_on_is_none_that_ended() -> None:
    running = ["systemd[1]: Started web.service - Web.", "INFO:     Application startup complete."]
    assert of(died("KeyError: 'a'"), running, ended=False) is None
    assert of(died("KeyError: 'a'")) is None
    assert crashes([]) is None


def test_of_very_many_the_last_are_compared() -> None:
    found = of(*[died("OSError: old")] * 30, *[died("KeyError: 'a'")] * COMPARED)
    assert found is not None and found["same"] and found["ended"] == COMPARED + 30


def test_the_diagnosis_and_its_summary_say_it() -> None:
    facts = {"service": {"name": "web.service", "runtime": "systemd", "active_state": "failed", "sub_state": "failed"}}
    alike = evidence(*[died("KeyError: 'a'")] * 3) | facts
    changed = evidence(*[died("OSError: taken")] * 3, died("KeyError: 'a'")) | facts
    diagnosis = classify(alike, CATALOGUE)
    assert diagnosis["crashes"]["same"]
    assert verdict("h", alike, diagnosis, "d").starts == "all 3 in journal ended in the same way"
    told = verdict("h", changed, classify(changed, CATALOGUE), "d").starts
    assert told == "the last of 4 in journal ended in another way than most did (3): OSError: taken, /srv/web/main.py:3"
    assert verdict("h", {}, {}, "d").starts == ""
