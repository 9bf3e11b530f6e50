#!/usr/bin/python
# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Begin and end a session of repairs on one backend. See docs/repair.md."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: backend_session
short_description: Take and release the lock of a backend's repairs, and tell what earlier ones left
version_added: 0.2.0
description:
  - With O(state=begin), takes the lock of the backend on its host, tells which runs were interrupted, and whether the loop breaker is open.
    That somebody else holds the lock is an answer (RV(held_by)), not a failure.
  - With O(state=end), writes the outcomes of the session's runs to the history, and releases the lock.
  - With O(state=show), tells the same as O(state=begin) with the history and all runs, and changes nothing.
  - A lock is a lease. It is taken over when its time is up, when the host booted since, or when this controller holds it and
    the process that took it is gone.
options:
  state:
    description: What to do.
    type: str
    required: true
    choices: [begin, end, show]
  session:
    description: The session to end.
    type: str
  outcomes:
    description:
      - With O(state=end), the outcome of each run that verification judged, by the run's id. One of V(healed), V(progress), V(failed),
        V(rolled_back), V(rollback_refused), V(undone), V(not_needed) and V(refused).
    type: dict
    default: {}
  breaker_reset:
    description: With O(state=begin), whether the loop breaker forgets the history up to now. The history itself stays.
    type: bool
    default: false
  lease:
    description: Seconds after which the lock is free unless the session's modules renewed it.
    type: float
    default: 1800
  controller:
    description:
      - The process that asks, as C(host), C(pid) and C(started), to be shown to whoever finds the lock held. The action plugin sets it.
    type: dict
  gone:
    description: A session whose process is gone from its controller. The action plugin finds out and sets it.
    type: str
extends_documentation_fragment:
  - firstaid.backend.backend
  - firstaid.backend.attributes.changes
author:
  - firstaid contributors (@firstaid)
seealso:
  - module: firstaid.backend.backend_fix
notes:
  - It never reports a change, because the lock and the history are no part of the host's configuration.
  - Runs on targets with Python 3.9 or newer and needs nothing else there.
"""

EXAMPLES = r"""
- name: Begin
  firstaid.backend.backend_session:
    service: api
    state: begin
  register: session

- name: End, with what verification said
  firstaid.backend.backend_session:
    service: api
    state: end
    session: "{{ session.session }}"
    outcomes: "{{ {fixed.run: 'healed'} }}"

- name: Look at what was repaired here
  firstaid.backend.backend_session:
    service: api
    state: show
  register: shown
"""

RETURN = r"""
session:
  description: Id of the session that now holds the lock. Null when it was not taken.
  returned: success
  type: str
  sample: 20261122T101500Z-1f2e3d
held_by:
  description: Who holds the lock. Null when nobody else does.
  returned: when O(state) is V(begin) or V(show)
  type: dict
  contains:
    session:
      description: The session.
      type: str
      returned: always
    controller:
      description: Host and process that began it. Null when a module took the lock by itself.
      type: dict
      returned: always
    since:
      description: Since when.
      type: str
      returned: always
    lease_until:
      description: Until when, unless it is renewed.
      type: str
      returned: always
    why:
      description: All of it in a sentence.
      type: str
      returned: always
took_over:
  description: Whose lock was taken over and why, in the shape of RV(held_by). Null when it was free.
  returned: when O(state) is V(begin) or V(show)
  type: dict
unfinished:
  description: Runs that did not end, the newest first.
  returned: when O(state) is V(begin) or V(show)
  type: list
  elements: dict
  contains:
    run:
      description: Id of the run.
      type: str
      returned: always
    fix:
      description: The fix.
      type: str
      returned: always
    cause:
      description: Id of the cause.
      type: str
      returned: always
    subject:
      description: What the cause is about.
      type: str
      returned: always
    state:
      description: V(changed) when all was changed and nothing verified. In any other state it is to be taken back.
      type: str
      returned: always
breaker:
  description: The loop breaker.
  returned: when O(state) is V(begin) or V(show)
  type: dict
  contains:
    open:
      description: Whether automation hands over whatever the fix.
      type: bool
      returned: always
    why:
      description: Why. Null when it is closed.
      type: str
      returned: always
    causes:
      description: For which fixes it is open, as C(fix/cause) with the reason.
      type: dict
      returned: always
ended:
  description: The runs whose outcome was written.
  returned: when O(state=end)
  type: list
  elements: str
history:
  description: The latest rows of the history, the newest last.
  returned: when O(state=show)
  type: list
  elements: dict
runs:
  description: Runs with a manifest, the newest last.
  returned: when O(state=show)
  type: list
  elements: dict
near_names:
  description: Names like the one that was asked for.
  returned: when the service does not exist
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import choose
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.runner import place
from ansible_collections.firstaid.backend.plugins.module_utils._repair import lock, module_face, session

ARGUMENTS: dict[str, dict[str, Any]] = {
    **module_face.BACKEND,
    "state": {"type": "str", "required": True, "choices": ["begin", "end", "show"]},
    "session": {"type": "str", "no_log": False},
    "outcomes": {"type": "dict", "default": {}},
    "breaker_reset": {"type": "bool", "default": False},
    "lease": {"type": "float", "default": lock.LEASE_S},
    "controller": {"type": "dict"},
    "gone": {"type": "str"},
}
RESOLVE_S = 60.0


def answer(params: dict[str, Any], check: bool) -> dict[str, Any]:
    """Do what ``state`` says."""
    ctx = module_face.context(params, RESOLVE_S)
    backend = choose.named(params["service"], params["runtime"], ctx)
    only_look = check or params["state"] == "show"
    with session.backend_folder(params["state_dir"], backend.name, create=not only_look) as folder:
        if params["state"] == "end":
            ended = [] if check else session.end(folder, params["session"], params["outcomes"])
            return {"session": None, "ended": ended}
        found = session.begin(
            folder, params["controller"], params["lease"], params["gone"], params["breaker_reset"], check=only_look
        )
        if params["state"] == "show":
            found.update(history=session.rows(folder), runs=session.summaries(folder))
        return module_face.redacted(found, ctx)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=ARGUMENTS, required_if=[("state", "end", ("session",))], supports_check_mode=True
    )
    wrong = module_face.refusals(module.params)
    if wrong:
        module.fail_json(msg=" ".join(wrong))
    try:
        found = answer(module.params, module.check_mode)
    except module_face.TOLD as exc:
        module.fail_json(msg=module_face.message(exc), near_names=getattr(exc, "near_names", []))
    except Exception as exc:
        module.fail_json(msg=f"The session has a defect: {place(exc)}.")
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
