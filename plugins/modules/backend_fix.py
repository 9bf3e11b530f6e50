#!/usr/bin/python
# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Apply one fix to one backend, in one transaction. See docs/repair.md."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: backend_fix
short_description: Apply one fix to a Python backend, proved by its import test, or take it back
version_added: 0.2.0
description:
  - Lets a fix look at the backend and propose changes, keeps what was there before, makes the changes, imports the application as its server
    would, and restarts the service only when that does not fail. When a step fails, all that was done is taken back at once.
  - Each change is written to a manifest below O(state_dir) before it is made, so that a run that was killed can be taken back
    with M(firstaid.backend.backend_rollback).
  - Whether the backend is healthy afterwards is for M(firstaid.backend.backend_ready) to tell. The roles do all of this in order.
  - A fix that can't be made safely is refused with the commands to type. That is an answer, not a failure of the module.
options:
  fix:
    description: Which fix.
    type: str
    required: true
    choices: [symlink, environment, dependencies, settings, port, clean_restart]
  options:
    description: What the fix is told. Each role of a fix documents them as its variables.
    type: dict
    default: {}
  secret_options:
    description:
      - Options that hold secrets, as the base64 text of a JSON object. They take the place of those in O(options).
      - The filters C(to_json) and C(b64encode) make it. It is one opaque text because Ansible blanks each value of it in all that is returned.
    type: str
  session:
    description: Session that holds the lock, from M(firstaid.backend.backend_session). Without it, the module takes the lock and releases it.
    type: str
  cause:
    description: Id of the cause that this is to repair, for the history and the loop breaker.
    type: str
  subject:
    description: What the cause is about, such as a path, a module or a port.
    type: str
  keep_unproven:
    description:
      - Whether the changes stay when the import test fails for another reason than before, for a dispatcher that goes on with the next cause.
        The service is not restarted then.
    type: bool
    default: false
  restart:
    description: Whether the service is restarted when the change is proved, so that it uses it.
    type: bool
    default: true
  start:
    description: Whether the service is started too when it was stopped, and not by its own failure.
    type: bool
    default: false
  timeout:
    description: Seconds that all of it may take. Taking back what failed is not bound by it.
    type: float
    default: 900
extends_documentation_fragment:
  - firstaid.backend.backend
  - firstaid.backend.backend.application
  - firstaid.backend.attributes.changes
author:
  - firstaid contributors (@firstaid)
seealso:
  - module: firstaid.backend.backend_rollback
  - module: firstaid.backend.backend_ready
notes:
  - Runs on targets with Python 3.9 or newer and needs nothing else there.
  - Everything that it returns is redacted on the target.
"""

EXAMPLES = r"""
- name: Repair the link of a package, whatever way its code imports itself
  firstaid.backend.backend_fix:
    service: api
    fix: symlink
    options:
      action: auto
  register: fixed

- name: See what would be done about the environment
  firstaid.backend.backend_fix:
    service: api
    fix: environment
  check_mode: true
  diff: true

- name: Give a setting that only the user knows
  firstaid.backend.backend_fix:
    service: api
    fix: settings
    secret_options: "{{ {'values': {'SECRET_KEY': vault_secret_key}} | to_json | b64encode }}"
"""

RETURN = r"""
decision:
  description: What is done and why.
  returned: success
  type: str
outcome:
  description:
    - V(not_needed) when all was well, V(refused), V(undone) when it was taken back, V(failed) when there was nothing to take back,
      V(rollback_refused) when a part could not be taken back.
    - Null when verification has to tell.
  returned: success
  type: str
reason:
  description: Why it was taken back or failed, in a sentence. Null when it was not.
  returned: success
  type: str
refused:
  description: Why it can't be done safely, with the next step. Null when it can.
  returned: success
  type: str
commands:
  description: What to type instead, when it was refused.
  returned: success
  type: list
  elements: str
run:
  description: Id of the run, for M(firstaid.backend.backend_rollback). Null in check mode.
  returned: success
  type: str
  sample: 20261122T101500Z-1f2e3d
changes:
  description: The changes in order.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: Its kind, such as V(file) or V(link).
      type: str
      returned: always
    path:
      description: What was changed.
      type: str
      returned: always
    why:
      description: What for.
      type: str
      returned: always
    state:
      description: V(planned), V(done) or V(undone).
      type: str
      returned: always
proof:
  description: The import test after the change. Null when none was due.
  returned: success
  type: dict
  contains:
    passed:
      description: Whether the application can be imported. Null when the test could not tell.
      type: bool
      returned: always
    exception:
      description: Type, message and missing module of what was raised. Null when nothing was.
      type: dict
      returned: always
    statement:
      description: The statement that failed.
      type: str
      returned: always
    why:
      description: What failed, or why the test could not tell.
      type: str
      returned: always
restarted:
  description: Whether the order to start or restart was given.
  returned: success
  type: bool
service_before:
  description: State of the service before anything was done.
  returned: success
  type: dict
refused_paths:
  description: Paths that could not be put back, with the reason.
  returned: success
  type: list
  elements: dict
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

from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.runner import place
from ansible_collections.firstaid.backend.plugins.module_utils._repair import fixing, lock, module_face, session
from ansible_collections.firstaid.backend.plugins.module_utils._repair.site import Site
from ansible_collections.firstaid.backend.plugins.module_utils._repair.transaction import Answer, Order, Transaction

ARGUMENTS: dict[str, dict[str, Any]] = {
    **module_face.BACKEND,
    **module_face.APPLICATION,
    "fix": {"type": "str", "required": True, "choices": list(fixing.FIXES)},
    "options": {"type": "dict", "default": {}},
    "secret_options": {"type": "str", "no_log": True},
    "session": {"type": "str"},
    "cause": {"type": "str"},
    "subject": {"type": "str"},
    "keep_unproven": {"type": "bool", "default": False},
    "restart": {"type": "bool", "default": True},
    "start": {"type": "bool", "default": False},
    "timeout": {"type": "float", "default": 900},
}


def apply(params: dict[str, Any], ctx: Context, check: bool) -> Answer:
    """Do the fix, or say what it would do."""
    order = Order(
        fix=params["fix"],
        options=module_face.merged_options(params, ctx),
        session=params["session"] or "",
        cause=params["cause"] or "",
        subject=params["subject"] or "",
        keep_unproven=params["keep_unproven"],
        restart=params["restart"],
        start=params["start"],
    )
    propose = fixing.load(order.fix)
    site = Site(ctx)
    with session.backend_folder(params["state_dir"], site.backend.name, create=not check) as folder:
        if check:
            interrupted = session.half_way(folder)
            answer = _refused(interrupted) if interrupted else Transaction(site, propose, order, None).run()
            found = lock.holder(folder)
            if found is not None and found.get("session") != order.session:
                answer.notes.append(lock.told(found))
            return answer
        with session.held(folder, order.session, max(lock.LEASE_S, 2 * params["timeout"])) as name:
            order.session = name
            interrupted = session.half_way(folder)
            return _refused(interrupted) if interrupted else Transaction(site, propose, order, folder).run()


def _refused(why: str) -> Answer:
    return Answer(outcome="refused", refused=why)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    wrong = module_face.refusals(params)
    if wrong:
        module.fail_json(msg=" ".join(wrong))
    ctx = module_face.context(params, params["timeout"])
    try:
        answer = apply(params, ctx, module.check_mode)
    except module_face.TOLD as exc:
        module.fail_json(msg=module_face.message(exc, ctx), near_names=getattr(exc, "near_names", []))
    except module_face.SecretOptionsError as exc:
        module.fail_json(msg=str(exc))
    except Exception as exc:  # a trace would show values
        module.fail_json(
            msg=f"The fix {params['fix']} has a defect: {place(exc)}. Nothing was changed by it after that point."
        )
    clean = module_face.redacted(asdict(answer), ctx)
    changed = clean.pop("changed")
    diff = clean.pop("diff")
    module.exit_json(changed=changed, diff=diff, **clean)


if __name__ == "__main__":
    main()
