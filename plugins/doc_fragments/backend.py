# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that say which backend it is, and what of it is known better than it can be derived."""

from __future__ import annotations


class ModuleDocFragment:
    """For modules that work on one backend."""

    DOCUMENTATION = r"""
options:
  service:
    description: The unit or supervisord program. The suffix C(.service) may be left out.
    type: str
    required: true
  runtime:
    description: What supervises the service. With V(auto), systemd is asked first, then supervisord.
    type: str
    choices: [auto, systemd, supervisor]
    default: auto
  supervisor_config:
    description: Configuration file of supervisord. Without it, the files that supervisord itself would use are tried.
    type: path
  state_dir:
    description:
      - Directory on the target for locks, history, manifests and former content. It is made with mode 0700.
      - It must belong to the user that the module runs as, and nobody else may write to it.
    type: path
    default: /var/lib/firstaid
"""

    APPLICATION = r"""
options:
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
    description: URL or path of the health endpoint, where the usual paths don't lead to it.
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
      - Whether a change is proved by importing the application, as the backend's own user and in a sandbox that can't write to the host
        where the kernel allows one. Importing runs the application's code.
    type: bool
    default: true
  import_test_timeout:
    description: Seconds that the import may take.
    type: float
    default: 20
  import_test_memory_mb:
    description: Memory that the import may use, in MiB. Without it, a bound that fits the host is chosen.
    type: int
  redaction_extra:
    description:
      - Regular expressions of further text to hide. Of a match, the group named C(secret) is hidden, or else all of it.
    type: list
    elements: str
    default: []
"""
