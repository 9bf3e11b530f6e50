# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the bundle of all hosts in one task, on the controller. Documented in plugins/modules/write_bundle.py."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.firstaid.backend.plugins.plugin_utils._bundle.batch import judge, plain, raw
from ansible_collections.firstaid.backend.plugins.plugin_utils._bundle.bundle import (
    add_verdicts,
    hand_on,
    last_words,
    write_fleet,
    write_host,
)
from ansible_collections.firstaid.backend.plugins.plugin_utils._bundle.store import (
    Store,
    StoreError,
    open_output_directory,
)

ARGUMENTS: dict[str, dict[str, Any]] = {
    "output_dir": {"type": "str", "default": "/tmp"},
    "evidence_variable": {"type": "str", "default": "__diagnose_gathered"},
    "answer_variable": {"type": "str", "default": "diagnose_answer"},
    "bundle_variable": {"type": "str", "default": "diagnose_bundle"},
    "check_only": {"type": "bool", "default": False},
}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Reads what the hosts of this batch gathered straight from their variables: as task arguments, Ansible would
    template every log line of every host."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        _validation, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        output_dir = str(arguments["output_dir"])
        try:
            if arguments["check_only"]:
                os.close(open_output_directory(output_dir))
                return {**result, "changed": False}
            return {**result, **self._write(output_dir, arguments, variables)}
        except StoreError as exc:
            # The exception chain would make Ansible say the same sentence twice.
            raise AnsibleActionFail(f"firstaid.backend.write_bundle: {exc}.") from None

    def _write(self, output_dir: str, arguments: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
        batch = [str(host) for host in variables.get("ansible_play_batch") or []]
        extend, earlier = _earlier_bundle(variables, batch, output_dir, str(arguments["bundle_variable"]))
        outcomes = {host: judge(host, variables, arguments) for host in [*earlier, *batch]}
        for one in outcomes.values():
            add_verdicts(one)
        now = time.time()
        store = Store(output_dir, extend)
        try:
            for host in batch:
                write_host(store, outcomes[host])
            write_fleet(store, outcomes.values(), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)))
            path = store.finish(now)
        except StoreError as exc:
            raise StoreError(f"{exc}; what was written so far is in {store.keep_partial()}") from exc
        finally:
            store.close()
        answers = hand_on(outcomes[host] for host in batch)
        return {
            "changed": False,
            "path": path,
            "hosts": {
                host: {
                    "diagnosed": one.diagnosed,
                    "sick": one.sick,
                    "lines": last_words(one, path),
                }
                for host, one in outcomes.items()
            },
            "ansible_stats": {
                "data": {"firstaid_diagnosis": {host: {**answer, "bundle": path} for host, answer in answers.items()}},
                "per_host": False,
                "aggregate": True,
            },
        }


def _earlier_bundle(
    variables: Mapping[str, Any], batch: list[str], output_dir: str, name: str
) -> tuple[str | None, list[str]]:
    """The bundle that an earlier batch of this play made, and its hosts; a host that is in it already starts a new one."""
    for host in reversed(variables.get("ansible_play_hosts_all") or []):
        if host in batch:
            continue
        bundle = plain(raw(variables, str(host)).get(name))
        path, hosts = bundle.get("path"), bundle.get("hosts")
        if not isinstance(path, str) or not isinstance(hosts, dict) or set(hosts) & set(batch):
            continue
        if os.path.dirname(path) == os.path.normpath(output_dir) and os.path.isdir(path):
            return path, list(hosts)
    return None, []
