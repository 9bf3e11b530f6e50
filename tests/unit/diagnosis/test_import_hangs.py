# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An import test that doesn't end, against what the supervisor saw on the host."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.catalogue import load_catalogue
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.classify import classify

LOG = [
    "Traceback (most recent call last):",
    '  File "/srv/shop/main.py", line 6, in <module>',
    '    raise RuntimeError("the ledger is closed")',
    "RuntimeError: the ledger is closed",
]


def evidence(service: dict[str, Any], log: list[str]) -> dict[str, Any]:
    attempt = {"segments": [{"first_line": 1, "lines": log}]}
    return {
        "schema": 1,
        "service": {"name": "shop.service", **service},
        "import_test": {"ran": True, "outcome": "timeout", "limit": "time", "starved": False, "stack": []},
        "logs": {"sources": [{"id": "journal", "kind": "journal", "attempts": [attempt]}]},
    }


@pytest.mark.parametrize(
    ("service", "log", "cause"),
    [
        ({"active_state": "failed", "result": "exit-code", "exit": {"code": 1}}, LOG, "application_exception"),
        ({"active_state": "activating", "sub_state": "start", "main_pid": 7}, [], "deadlock_or_hang"),
    ],
    ids=["the host saw it end", "the host sees it hang"],
)
def test_a_hang_in_the_sandbox_is_one_on_the_host_only_where_it_does_not_end(
    service: dict[str, Any], log: list[str], cause: str
) -> None:
    assert classify(evidence(service, log), load_catalogue())["root_cause"]["id"] == cause
