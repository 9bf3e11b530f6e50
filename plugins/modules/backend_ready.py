#!/usr/bin/python
# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait until a Python backend is healthy and stays so. Reads only."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: backend_ready
short_description: Wait until a Python backend is healthy and stays so
version_added: 0.2.0
description:
  - Polls a service under systemd or supervisord until it has been healthy for a whole window, and says why not when it has not.
  - Healthy means that the service is up with the same main process, its restart counter stands still, none of its workers ends
    behind the living parent, its own process listens on its port, and its health endpoint answers as expected.
    The window begins when all of this holds, and begins anew when any of it breaks. A service that answers once and dies is not healthy.
  - What does not apply is left out. A worker without a port is healthy by its processes alone, a job (C(Type=oneshot)) by its success.
  - It gives up early when waiting has no sense, which is when the service failed and nothing restarts it, when it was restarted twice
    meanwhile, or when its workers keep ending.
  - It changes nothing. It sends GET requests to the backend, and reads.
options:
  window:
    description:
      - Seconds for which everything has to hold without a break, from 1 to 3600.
      - Without it, 15 seconds, or more where the service restarts late or used to live longer between its crashes, up to 60. That is its
        restart delay (C(RestartSec)), a quarter more than the shortest life between two restarts of the last hour, and 2 seconds.
    type: float
  deadline:
    description:
      - Seconds within which the window has to begin, from 1 to 3600. A window that began in time is watched to its end, so that the module
        takes at most the deadline and the window together.
      - Slow starters need a longer one. The default is longer than systemd waits for a start (C(TimeoutStartSec), 90 seconds).
    type: float
    default: 120
  health_url:
    description:
      - URL of the health endpoint, or its path on the backend's own port, such as V(/healthz).
      - Without it, the usual paths are tried where the backend's own process listens, by HTTP or HTTPS, IPv4 or IPv6 as it does.
      - A redirect is followed as long as it stays on the same host name.
    type: str
  health_status:
    description:
      - Statuses that count as healthy.
      - Without it, those below 400, and 401 and 403, with which a backend says that it works and wants a login. Where no
        O(health_url) is given, all below 500, because the backend may have none of the usual paths.
    type: list
    elements: int
    default: []
  health_body:
    description:
      - What the answer has to contain. A mapping means a JSON object with at least these keys and values, nested ones included;
        any other value is a text.
      - For backends that answer with status 200 while they are degraded.
    type: raw
  extra_urls:
    description: Further URLs that have to answer, asked from the target.
    type: list
    elements: dict
    default: []
    suboptions:
      url:
        description: The URL.
        type: str
        required: true
      status:
        description: Statuses that count as good. Without it, those below 400, and 401 and 403.
        type: list
        elements: int
        default: []
      body:
        description: As O(health_body).
        type: raw
  validate_certs:
    description: Whether a certificate of a URL on another host has to be valid. Those of this host's own addresses are never verified.
    type: bool
    default: true
  probe_health:
    description: Whether to ask the health endpoint at all.
    type: bool
    default: true
  port:
    description: Port that the backend should listen on, where it can't be derived.
    type: int
  app:
    description: Import target such as V(main:app), where it can't be derived from the command line.
    type: str
  code_dir:
    description: Directory of the application's code, where it can't be derived.
    type: path
  user:
    description: The user that the backend runs as, where it can't be derived from the service.
    type: str
  env_file:
    description: An environment file that the application reads by itself, for what it says about the port.
    type: path
  session:
    description: Id of the session that M(firstaid.backend.backend_session) began. Its lock is renewed while this module waits.
    type: str
extends_documentation_fragment:
  - firstaid.backend.attributes
  - firstaid.backend.backend
attributes:
  check_mode:
    description: Can run in C(check_mode) without changing anything.
    support: full
    details:
      - In check mode it looks once and does not wait.
author:
  - firstaid contributors (@firstaid)
notes:
  - That the backend is not ready is an answer, in RV(ready), and no failure of the module.
  - Runs on targets with Python 3.9 or newer and needs nothing else there. Without root it may not see which process holds a port.
seealso:
  - module: firstaid.backend.backend_info
"""

EXAMPLES = r"""
- name: Wait until the backend is healthy
  firstaid.backend.backend_ready:
    service: api
  register: health
  failed_when: not health.ready

- name: Wait for a slow starter that reports itself degraded with status 200
  firstaid.backend.backend_ready:
    service: api
    deadline: 300
    window: 60
    health_url: https://localhost:8443/health
    health_body:
      status: ok
      database: {connected: true}
    extra_urls:
      - url: https://localhost:8443/login
        status: [302]
"""

RETURN = r"""
ready:
  description: Whether the backend was healthy for the whole window. In check mode, whether it is now.
  returned: success
  type: bool
reason:
  description: Why, in a sentence.
  returned: success
  type: str
  sample: api.service stayed up for 15 s without a restart; its own process listens on port 8000; http://127.0.0.1:8000/health answers 200.
next_step:
  description: What to do now, in a sentence.
  returned: success
  type: str
service:
  description: Full name of the service.
  returned: success
  type: str
runtime:
  description: What supervises it.
  returned: success
  type: str
began:
  description: When the first look was taken, by the target's clock, in ISO 8601 UTC.
  returned: success
  type: str
waited:
  description: Seconds from the first look to the last.
  returned: success
  type: float
window:
  description: The window in seconds.
  returned: success
  type: float
window_because:
  description: Why the window is that long.
  returned: success
  type: str
deadline:
  description: The deadline in seconds.
  returned: success
  type: float
restarts:
  description: How often the service was restarted while it was watched.
  returned: success
  type: int
breaks:
  description: What ended a window that had begun, the last 20, each with the time.
  returned: success
  type: list
  elements: str
checks:
  description:
    - Each condition (C(stayed_up), C(restarts_still), C(workers), C(port_owned), C(health), C(extra_urls)) with C(ok), which is null where
      it does not apply or was not decided, and a sentence in C(text).
  returned: success
  type: dict
  sample: {port_owned: {ok: true, text: Its own process listens on port 8000.}}
timeline:
  description: A row for each change that was seen, at most 200. Of more, those in the middle are left out.
  returned: success
  type: list
  elements: dict
  contains:
    t:
      description: Seconds since the first look.
      type: float
      returned: always
    state:
      description: C(running), C(finished), C(starting), C(restarting), C(stopping), C(stopped), C(failed) or C(unknown).
      type: str
      returned: always
    main_pid:
      description: Process id of the main process.
      type: int
      returned: always
    restarts:
      description: The supervisor's restart counter; where it has none, the restarts that were seen.
      type: int
      returned: always
    port_owner:
      description: Who holds the port. C(own), C(none), C(shared), or the process. Null where no port is known.
      type: str
      returned: always
    health:
      description: The endpoint's status, C(no answer), or C(-) where it was not asked.
      type: str
      returned: always
timeline_dropped:
  description: How many rows of the timeline were left out.
  returned: success
  type: int
near_names:
  description: Names like the one that was asked for.
  returned: when the service does not exist
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import Unavailable
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.selection import InputError
from ansible_collections.firstaid.backend.plugins.module_utils._repair import module_face
from ansible_collections.firstaid.backend.plugins.module_utils._repair.lock import Locked
from ansible_collections.firstaid.backend.plugins.module_utils._repair.ready import check
from ansible_collections.firstaid.backend.plugins.module_utils._repair.store import StateError

URL_ARGUMENTS: dict[str, dict[str, Any]] = {
    "url": {"type": "str", "required": True},
    "status": {"type": "list", "elements": "int", "default": []},
    "body": {"type": "raw"},
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    **module_face.BACKEND,
    "window": {"type": "float"},
    "deadline": {"type": "float", "default": 120},
    "health_url": {"type": "str"},
    "health_status": {"type": "list", "elements": "int", "default": []},
    "health_body": {"type": "raw"},
    "extra_urls": {"type": "list", "elements": "dict", "default": [], "options": URL_ARGUMENTS},
    "validate_certs": {"type": "bool", "default": True},
    "probe_health": {"type": "bool", "default": True},
    "port": {"type": "int"},
    "app": {"type": "str"},
    "code_dir": {"type": "path"},
    "user": {"type": "str"},
    "env_file": {"type": "path"},
    "session": {"type": "str"},
}
# Lowest and highest sensible value.
LIMITS = {"window": (1, 3600), "deadline": (1, 3600), "port": (1, 65535)}


def refusals(params: dict[str, Any]) -> list[str]:
    """What is wrong with the parameters, a sentence each."""
    found = []
    for name, (low, high) in LIMITS.items():
        if params[name] is not None and not low <= params[name] <= high:
            found.append(f"{name} is {params[name]:g}: give a value from {low} to {high}.")
    codes = [*params["health_status"], *(code for item in params["extra_urls"] for code in item["status"])]
    for code in codes:
        if not 100 <= code <= 599:
            found.append(f"{code} is no HTTP status: give a value from 100 to 599.")
    url = params["health_url"]
    if url and not url.startswith(("/", "http://", "https://")):
        found.append(
            f"health_url is {url!r}: give a URL that starts with http:// or https://, or a path that starts with /."
        )
    return found


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    wrong = refusals(module.params)
    if wrong:
        module.fail_json(msg=" ".join(wrong))
    try:
        told = check(module.params, once=module.check_mode)
    except InputError as exc:
        module.fail_json(msg=exc.message, near_names=exc.near_names)
    except Unavailable as exc:
        module.fail_json(msg=f"{module.params['service']} can't be watched: {exc}.")
    except (Locked, StateError) as exc:
        module.fail_json(msg=f"{module.params['service']} was not watched to the end: {exc}")
    module.exit_json(changed=False, **told)


if __name__ == "__main__":
    main()
