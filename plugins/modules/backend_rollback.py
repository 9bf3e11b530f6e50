#!/usr/bin/python
# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take a repair back, exactly. See docs/repair.md."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: backend_rollback
short_description: Take a repair of a Python backend back, exactly
version_added: 0.2.0
description:
  - Goes backwards through the changes of a run of M(firstaid.backend.backend_fix), and brings back former content, owners, modes, links and
    packages as the run's manifest lists them.
  - What somebody changed since the run is left alone and named; the rest is taken back.
  - Puts the service back to what it was. It runs again when it ran or kept restarting before, and is stopped when it was stopped.
  - Also takes back a run that was killed half-way. It can be killed and repeated at any point itself.
options:
  run:
    description: Id of the run. V(latest) is the newest one that has something to take back.
    type: str
    default: latest
  session:
    description: Session that holds the lock, from M(firstaid.backend.backend_session). Without it, the module takes the lock and releases it.
    type: str
  timeout:
    description: Seconds that all of it may take.
    type: float
    default: 900
  redaction_extra:
    description:
      - Regular expressions of further text to hide. Of a match, the group named C(secret) is hidden, or else all of it.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - firstaid.backend.backend
  - firstaid.backend.attributes.changes
author:
  - firstaid contributors (@firstaid)
seealso:
  - module: firstaid.backend.backend_fix
notes:
  - Runs on targets with Python 3.9 or newer and needs nothing else there.
  - Everything that it returns is redacted on the target.
"""

EXAMPLES = r"""
- name: Take the latest repair back
  firstaid.backend.backend_rollback:
    service: api

- name: See what taking back a certain run would change
  firstaid.backend.backend_rollback:
    service: api
    run: 20261122T101500Z-1f2e3d
  check_mode: true
  diff: true
"""

RETURN = r"""
run:
  description: The run that was taken back. Null when there was none.
  returned: success
  type: str
fix:
  description: The fix of that run. Null when there was none.
  returned: success
  type: str
outcome:
  description:
    - V(rolled_back), V(rollback_refused) when a path was changed by somebody since, or V(not_needed) when there is nothing to take back.
  returned: success
  type: str
undone:
  description: Paths that were brought back, in order.
  returned: success
  type: list
  elements: str
refused_paths:
  description: Paths that were left alone, with the reason.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The path.
      type: str
      returned: always
    why:
      description: Why it was left alone.
      type: str
      returned: always
kept:
  description: What can't be taken back, such as processes that were ended.
  returned: success
  type: list
  elements: str
service:
  description: State of the service afterwards. Null in check mode, or when it could not be asked.
  returned: success
  type: str
notes:
  description: Sentences for the reader.
  returned: success
  type: list
  elements: str
near_names:
  description: Names like the one that was asked for.
  returned: when the service does not exist
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import choose
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.runner import place
from ansible_collections.firstaid.backend.plugins.module_utils._repair import lock, module_face, session
from ansible_collections.firstaid.backend.plugins.module_utils._repair.control import control_of
from ansible_collections.firstaid.backend.plugins.module_utils._repair.manifest import Manifest
from ansible_collections.firstaid.backend.plugins.module_utils._repair.model import Control
from ansible_collections.firstaid.backend.plugins.module_utils._repair.rollback import roll_back
from ansible_collections.firstaid.backend.plugins.module_utils._repair.store import Folder

ARGUMENTS: dict[str, dict[str, Any]] = {
    **module_face.BACKEND,
    "run": {"type": "str", "default": "latest"},
    "session": {"type": "str"},
    "timeout": {"type": "float", "default": 900},
    "redaction_extra": {"type": "list", "elements": "str", "default": [], "no_log": False},
}
NOTHING: dict[str, Any] = {
    "changed": False,
    "run": None,
    "fix": None,
    "outcome": "not_needed",
    "undone": [],
    "refused_paths": [],
    "kept": [],
    "service": None,
    "notes": [],
    "diff": [],
}


def take_back(params: dict[str, Any], ctx: Context, check: bool) -> dict[str, Any]:
    """Take the run back, or say what that would change."""
    backend = choose.named(params["service"], params["runtime"], ctx)
    control = control_of(backend, ctx)
    with session.backend_folder(params["state_dir"], backend.name, create=False) as folder:
        if folder.missing:
            if params["run"] != "latest":
                session.pick_run(folder, params["run"])
            return dict(NOTHING)
        if check:
            return _one(folder, params["run"], control, ctx, check)
        with session.held(folder, params["session"], max(lock.LEASE_S, 2 * params["timeout"])):
            return _one(folder, params["run"], control, ctx, check)


def _one(folder: Folder, run: str, control: Control, ctx: Context, check: bool) -> dict[str, Any]:
    manifest = session.pick_run(folder, run)
    if manifest is None:
        return dict(NOTHING)
    try:
        return _taken_back(folder, manifest, control, ctx, check)
    finally:
        manifest.close()


def _taken_back(folder: Folder, manifest: Manifest, control: Control, ctx: Context, check: bool) -> dict[str, Any]:
    told = {**NOTHING, "run": manifest.run, "fix": manifest.data["fix"]}
    if manifest.ended and all(record["state"] == "undone" for record in manifest.changes):
        return {
            **told,
            "notes": [
                f"Run {manifest.run} changed nothing that is still there: its outcome was {manifest.data['outcome']}."
            ],
        }
    done = roll_back(manifest, control, ctx, check)
    session.name_later_runs(folder, manifest.run, done.refused)
    if not check:
        session.end_run(folder, manifest.run, done.outcome)
    return {
        **told,
        "changed": bool(done.undone),
        "outcome": done.outcome,
        "undone": done.undone,
        "refused_paths": done.refused,
        "kept": done.kept,
        "service": done.service,
        "notes": [done.problem] if done.problem else [],
        "diff": done.diff,
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    wrong = module_face.refusals(params)
    if wrong:
        module.fail_json(msg=" ".join(wrong))
    ctx = module_face.context(params, params["timeout"])
    try:
        answer = take_back(params, ctx, module.check_mode)
    except module_face.TOLD as exc:
        module.fail_json(msg=module_face.message(exc, ctx), near_names=getattr(exc, "near_names", []))
    except Exception as exc:  # a trace would show values
        module.fail_json(
            msg=f"The rollback has a defect: {place(exc)}. What was taken back so far is recorded; it can be repeated."
        )
    module.exit_json(**module_face.redacted(answer, ctx))


if __name__ == "__main__":
    main()
