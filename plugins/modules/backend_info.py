#!/usr/bin/python
# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gather evidence on why a Python backend keeps crashing. Reads only."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: backend_info
short_description: Gather evidence on why a Python backend keeps crashing
version_added: 0.1.0
description:
  - Gathers, in one round trip, the facts that tell why a Python service under systemd or supervisord does not run. They cover
    the state and history of the service, the effective unit, the chain from command to Python interpreter, the import test, ports, processes,
    resources, the kernel's messages, backing services and logs.
  - It changes nothing. It never stops, restarts or signals a service, binds no port and leaves no file behind.
  - All values are redacted on the target, before anything is returned.
  - A part that can't be gathered says why, in the evidence and in RV(backends[].collectors).
options:
  service:
    description:
      - The unit or supervisord program to look at. The suffix C(.service) may be left out.
      - Without it, every service that loops, failed, restarts now and then, or runs without working, and that looks like a Python
        service, is looked at.
    type: str
  runtime:
    description:
      - What supervises the service. With V(auto), systemd is asked first, then supervisord.
    type: str
    choices: [auto, systemd, supervisor]
    default: auto
  code_dir:
    description: Directory of the application's code, where it can't be derived from the command, its target and its working directory.
    type: path
  app:
    description: Import target such as V(main:app), where it can't be derived from the command line.
    type: str
  port:
    description: Port that the backend should listen on, where it can't be derived.
    type: int
  health_url:
    description: URL or path of the health endpoint. Without it, the usual paths are tried on the backend's own port.
    type: str
  env_file:
    description: An environment file that the application reads by itself, in addition to those that the service names.
    type: path
  python:
    description: The Python interpreter, where it can't be derived from the command.
    type: path
  user:
    description: The user whose rights and environment are used, where it can't be derived from the service.
    type: str
  log_files:
    description: Log files to read in addition to those that are found.
    type: list
    elements: path
    default: []
  import_test:
    description:
      - Whether to import the application, as the backend's own user and in a sandbox that can't write to the host where the kernel
        allows one. Importing runs the application's code.
    type: bool
    default: true
  import_test_timeout:
    description: Seconds that the import may take.
    type: float
    default: 20
  import_test_memory_mb:
    description: Memory that the import may use, in MiB. Without it, a bound that fits the host is chosen.
    type: int
  foreground_test:
    description:
      - Whether to start the backend's command for a moment in the sandbox of the import test, on no port. Off, because it runs more of the
        application's code than an import.
    type: bool
    default: false
  probe_health:
    description:
      - Whether to ask the health endpoint of a backend that runs. A request may leave a line in its access log.
      - Without O(service), every running service that looks like Python and listens is asked, to find those that do not answer.
    type: bool
    default: true
  probe_services:
    description: Whether to connect to the databases, caches and brokers that the backend is configured for, without logging in.
    type: bool
    default: true
  log_lines:
    description: How many of the latest journal entries are read. Without it, a sensible number.
    type: int
  log_bytes:
    description: How much is read from the end of each log file, in bytes. Without it, a sensible size.
    type: int
  budget:
    description:
      - Seconds that all but the import test may take together. The command line, the interpreter and the logs are given up to five
        seconds more, since without them a starved host would tell nothing.
    type: float
    default: 15
  window:
    description: Seconds back from now in which restarts count as recent.
    type: float
    default: 600
  max_backends:
    description: How many backends are looked at when O(service) is not given.
    type: int
    default: 10
  supervisor_config:
    description: Configuration file of supervisord. Without it, the files that supervisord itself would use are tried.
    type: path
  controller_time:
    description: The controller's clock in seconds since 1970, to tell how far the target's clock is off.
    type: float
  redaction_extra:
    description:
      - Regular expressions of further text to hide. Of a match, the group named C(secret) is hidden, or else all of it.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - firstaid.backend.attributes
author:
  - firstaid contributors (@firstaid)
notes:
  - Runs on targets with Python 3.9 or newer and needs nothing else there.
  - Without root it gathers what its user may see, and says in RV(backends[].target) what is missing.
"""

EXAMPLES = r"""
- name: Gather evidence on one service
  firstaid.backend.backend_info:
    service: api
  register: evidence

- name: Find what is failing on this host and looks like a Python service
  firstaid.backend.backend_info:
  register: evidence

- name: Look at a supervisord program without running any of its code
  firstaid.backend.backend_info:
    service: worker
    runtime: supervisor
    supervisor_config: /srv/app/supervisord.conf
    import_test: false

- name: Hide in-house ticket numbers too
  firstaid.backend.backend_info:
    service: api
    redaction_extra:
      - 'TICKET-(?P<secret>[0-9]+)'
"""

RETURN = r"""
backends:
  description: One evidence document for each backend.
  returned: success
  type: list
  elements: dict
  contains:
    schema:
      description: Version of the document's layout.
      type: int
      returned: always
      sample: 1
    target:
      description: The host, the rights the module had, and why this backend was selected.
      type: dict
      returned: always
    collectors:
      description: Status, milliseconds, truncation and error of each part that gathers evidence.
      type: dict
      returned: always
      sample: {ports: {status: ok, ms: 12, truncated: false, error: null}}
    service:
      description: The supervisor's own verdict, its state, last exit, restarts and start limit.
      type: dict
      returned: always
    unit:
      description: The effective configuration of the service.
      type: dict
      returned: always
    redactions:
      description: How much was hidden, by rule and by section.
      type: dict
      returned: always
examined:
  description: All services that were looked at when O(service) was not given, with their state.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the service.
      type: str
      returned: always
    runtime:
      description: What supervises it.
      type: str
      returned: always
    state:
      description: State in the supervisor's words.
      type: str
      returned: always
    python:
      description: Whether it looks like a Python service. Null when that was not looked at.
      type: bool
      returned: always
    sick:
      description: What is wrong with it, in a sentence. Null when nothing is.
      type: str
      returned: always
    restarts:
      description: How often the supervisor restarted it.
      type: int
      returned: always
notes:
  description: Sentences on what could not be looked at.
  returned: success
  type: list
  elements: str
near_names:
  description: Names like the one that was asked for.
  returned: when the service does not exist
  type: list
  elements: str
"""

import re
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import Unavailable
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.runner import gather
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.selection import InputError

ARGUMENTS: dict[str, dict[str, Any]] = {
    "service": {"type": "str"},
    "runtime": {"type": "str", "choices": ["auto", "systemd", "supervisor"], "default": "auto"},
    "code_dir": {"type": "path"},
    "app": {"type": "str"},
    "port": {"type": "int"},
    "health_url": {"type": "str"},
    "env_file": {"type": "path"},
    "python": {"type": "path"},
    "user": {"type": "str"},
    "log_files": {"type": "list", "elements": "path", "default": []},
    "import_test": {"type": "bool", "default": True},
    "import_test_timeout": {"type": "float", "default": 20},
    "import_test_memory_mb": {"type": "int"},
    "foreground_test": {"type": "bool", "default": False},
    "probe_health": {"type": "bool", "default": True},
    "probe_services": {"type": "bool", "default": True},
    "log_lines": {"type": "int"},
    "log_bytes": {"type": "int"},
    "budget": {"type": "float", "default": 15},
    "window": {"type": "float", "default": 600},
    "max_backends": {"type": "int", "default": 10},
    "supervisor_config": {"type": "path"},
    "controller_time": {"type": "float"},
    "redaction_extra": {"type": "list", "elements": "str", "default": [], "no_log": False},
}
# Lowest and highest sensible value.
LIMITS = {
    "port": (1, 65535),
    "import_test_timeout": (1, 600),
    "import_test_memory_mb": (32, 1 << 20),
    "log_lines": (10, 100000),
    "log_bytes": (4096, 64 << 20),
    "budget": (2, 300),
    "window": (10, 86400 * 30),
    "max_backends": (1, 100),
}


def refusals(params: dict[str, Any]) -> list[str]:
    """What is wrong with the parameters, a sentence each."""
    found = []
    for name, (low, high) in LIMITS.items():
        if params[name] is not None and not low <= params[name] <= high:
            found.append(f"{name} is {params[name]:g}: give a value from {low} to {high}.")
    for pattern in params["redaction_extra"]:
        try:
            re.compile(pattern)
        except re.error as exc:
            found.append(f"redaction_extra has {pattern!r}, which is no regular expression: {exc}.")
    return found


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    wrong = refusals(module.params)
    if wrong:
        module.fail_json(msg=" ".join(wrong))
    try:
        gathered = gather(module.params)
    except InputError as exc:
        module.fail_json(msg=exc.message, near_names=exc.near_names)
    except Unavailable as exc:
        module.fail_json(msg=f"No evidence could be gathered: {exc}.")
    module.exit_json(changed=False, backends=gathered.backends, examined=gathered.examined, notes=gathered.notes)


if __name__ == "__main__":
    main()
