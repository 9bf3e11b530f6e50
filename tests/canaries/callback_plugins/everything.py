# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes all that a callback is handed to a file, as the callbacks for machines do: results, statistics, messages."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: everything
type: notification
short_description: Write every event that callbacks get
description: For the canaries alone. The file is named by the environment variable C(CANARIES_EVENTS).
"""


class CallbackModule(CallbackBase):
    """One line of JSON for each event."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "everything"
    CALLBACK_NEEDS_ENABLED = True

    def v2_on_any(self, *args: Any, **kwargs: Any) -> None:
        """Any event."""
        with open(os.environ["CANARIES_EVENTS"], "a", encoding="utf-8") as file:
            for one in (*args, *kwargs.values()):
                told = getattr(one, "_result", None)
                if told is None:
                    told = {"custom": getattr(one, "custom", None)} if hasattr(one, "custom") else str(one)
                file.write(json.dumps(told, default=str) + "\n")
