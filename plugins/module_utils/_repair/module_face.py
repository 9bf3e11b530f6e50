# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules of repairs have in common: their options, their errors as sentences, and redaction of all they return."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import time
from collections.abc import Mapping
from typing import Any, Optional

from .._evidence.bounds import plain
from .._evidence.context import Context
from .._evidence.model import Unavailable
from .._evidence.redaction import redact
from .._evidence.selection import InputError
from .lock import Locked
from .model import ControlError
from .store import DEFAULT_STATE_DIR, StateError

# What ends a module with its message, and nothing else.
TOLD = (InputError, Unavailable, ControlError, StateError, Locked)

BACKEND: dict[str, dict[str, Any]] = {
    "service": {"type": "str", "required": True},
    "runtime": {"type": "str", "choices": ["auto", "systemd", "supervisor"], "default": "auto"},
    "supervisor_config": {"type": "path"},
    "state_dir": {"type": "path", "default": DEFAULT_STATE_DIR},
}
APPLICATION: dict[str, dict[str, Any]] = {
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
    "redaction_extra": {"type": "list", "elements": "str", "default": [], "no_log": False},
}
# Lowest and highest sensible value.
LIMITS = {
    "port": (1, 65535),
    "import_test_timeout": (1, 600),
    "import_test_memory_mb": (32, 1 << 20),
    "timeout": (30, 86400),
    "lease": (60, 86400),
}


class SecretOptionsError(Exception):
    """``secret_options`` can't be read; the message never holds any of it."""


def refusals(params: Mapping[str, Any]) -> list[str]:
    """What is wrong with the parameters, a sentence each."""
    found = []
    for name, (low, high) in LIMITS.items():
        value = params.get(name)
        if value is not None and not low <= value <= high:
            found.append(f"{name} is {value:g}: give a value from {low} to {high}.")
    for pattern in params.get("redaction_extra") or ():
        try:
            re.compile(pattern)
        except re.error as exc:
            found.append(f"redaction_extra has {pattern!r}, which is no regular expression: {exc}.")
    return found


def context(params: Mapping[str, Any], seconds: float) -> Context:
    """The context of a module's run, with that much time."""
    return Context(params, time.monotonic() + seconds)


def merged_options(params: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """The fix's options with the secret ones over them; all text in those is remembered as secret.

    :raises SecretOptionsError: ``secret_options`` is not what it should be.
    """
    options = dict(params.get("options") or {})
    text = params.get("secret_options")
    if not text:
        return options
    try:
        decoded = json.loads(base64.b64decode(str(text), validate=True).decode("utf-8"))
    except (binascii.Error, ValueError, RecursionError):
        decoded = None
    if not isinstance(decoded, dict):
        raise SecretOptionsError(
            "secret_options can't be read: give the base64 text of a JSON object, as `to_json | b64encode` makes it."
        )
    _remember(decoded, "secret_options", ctx)
    return {**options, **decoded}


def redacted(answer: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """An answer without secrets, as plain data."""
    clean = redact(plain(dict(answer)), Context(ctx.params, ctx.deadline, dict(ctx.secrets), ctx.euid), os.urandom(16))
    clean.pop("redactions", None)
    return clean


def message(exc: Exception, ctx: Optional[Context] = None) -> str:
    """An error's sentence, redacted and with its full stop."""
    text = exc.message if isinstance(exc, InputError) else str(exc)
    text = text if text.endswith((".", "?")) else f"{text}."
    return text if ctx is None else str(redacted({"msg": text}, ctx)["msg"])


def _remember(value: Any, name: str, ctx: Context) -> None:
    if isinstance(value, str):
        ctx.add_secret(value, name)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _remember(item, str(key), ctx)
    elif isinstance(value, list):
        for item in value:
            _remember(item, name, ctx)
