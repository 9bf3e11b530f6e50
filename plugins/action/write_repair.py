# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Complete the bundle of a diagnosis with what was done, on the controller. Documented in plugins/modules/write_repair.py."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.firstaid.backend.plugins.plugin_utils._bundle.batch import judge, plain, plain_list, raw
from ansible_collections.firstaid.backend.plugins.plugin_utils._bundle.bundle import (
    add_repairs,
    add_verdicts,
    write_fleet,
    write_repairs,
)
from ansible_collections.firstaid.backend.plugins.plugin_utils._bundle.outcome import Outcome
from ansible_collections.firstaid.backend.plugins.plugin_utils._bundle.store import Store, StoreError

ARGUMENTS: dict[str, dict[str, Any]] = {
    "bundle": {"type": "str", "required": True},
    "evidence_variable": {"type": "str", "default": "__remediate_gathered"},
    "answer_variable": {"type": "str", "default": "__remediate_found"},
    "bundle_variable": {"type": "str", "default": "diagnose_bundle"},
    "repair_variable": {"type": "str", "default": "remediate_answer"},
}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Reads what the hosts left straight from their variables, as ``write_bundle`` does."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        _validation, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        try:
            return {**result, **self._write(arguments, variables)}
        except StoreError as exc:
            # The exception chain would make Ansible say the same sentence twice.
            raise AnsibleActionFail(f"firstaid.backend.write_repair: {exc}.") from None

    def _write(self, arguments: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
        path = os.path.normpath(str(arguments["bundle"]))
        batch = [str(host) for host in variables.get("ansible_play_batch") or []]
        outcomes: dict[str, Outcome] = {}
        answers: dict[str, list[dict[str, Any]]] = {}
        for host in map(str, variables.get("ansible_play_hosts_all") or batch):
            facts = raw(variables, host)
            if plain(facts.get(arguments["bundle_variable"])).get("path") != path:
                continue
            outcomes[host] = judge(host, variables, arguments)
            answers[host] = plain_list(facts.get(arguments["repair_variable"]))
            add_verdicts(outcomes[host])
            add_repairs(outcomes[host], answers[host])
        store = Store(os.path.dirname(path), path)
        try:
            for host in batch:
                if host in outcomes:
                    write_repairs(store, outcomes[host], path)
            write_fleet(store, outcomes.values(), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
        finally:
            store.close()
        return {
            "changed": False,
            "path": path,
            "hosts": {host: _told(outcomes[host], answers[host], path) for host in outcomes},
            "ansible_stats": {
                "data": {
                    "firstaid_repair": {host: _handed_on(answers[host], path) for host in batch if host in answers}
                },
                "per_host": False,
                "aggregate": True,
            },
        }


def _told(outcome: Outcome, answers: list[dict[str, Any]], path: str) -> dict[str, Any]:
    """Whether a host is well, and the lines that end the run."""
    lines = [outcome.problem] if outcome.problem else []
    for answer, verdict in zip(answers, outcome.verdicts):
        lines += [*([""] if lines else []), *answer.get("lines", []), f"{'files':<12}{path}/{verdict.directory}/"]
    missing = len(outcome.verdicts) - len(answers)
    if outcome.diagnosed and missing > 0:
        lines.append(
            f"{outcome.host}: {missing} of its backends were not looked after, because the run broke off before."
        )
    ok = outcome.diagnosed and missing <= 0 and not any(answer.get("failed") for answer in answers)
    return {"ok": ok, "lines": lines}


def _handed_on(answers: list[dict[str, Any]], path: str) -> dict[str, dict[str, Any]]:
    """What the next job of a workflow gets, for each backend of a host."""
    return {
        str(answer.get("service")): {
            "verdict": answer.get("verdict"),
            "cause": answer.get("cause"),
            "reason": answer.get("reason"),
            "runs": answer.get("runs"),
            "bundle": path,
        }
        for answer in answers
    }
