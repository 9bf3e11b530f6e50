# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One backend's evidence and diagnosis, as short as the files of a bundle allow."""

from __future__ import annotations

import copy
from typing import Any

TRACE = [
    "Traceback (most recent call last):",
    '  File "/opt/web/main.py", line 3, in <module>',
    "    from shared.settings import Settings",
    "ModuleNotFoundError: No module named 'shared'",
]

EVIDENCE: dict[str, Any] = {
    "schema": 1,
    "target": {
        "host": "web1", "hostname": "web1", "os": {"id": "debian", "version": "12", "pretty": "Debian GNU/Linux 12"},
        "service": "web.service", "runtime": "systemd", "collected_at": "2026-11-22T10:15:00Z", "uptime_s": 93784,
        "missing_privileges": ["The kernel log can't be read without root."],
    },
    "collectors": {
        "logs": {"status": "ok", "ms": 31, "truncated": True, "error": None},
        "kernel": {"status": "failed", "ms": 2, "truncated": False, "error": "dmesg was refused"},
    },
    "service": {
        "name": "web.service", "runtime": "systemd", "exists": True, "active_state": "activating", "sub_state": "auto-restart",
        "result": "exit-code", "exit": {"code": 1, "signal": None, "status_text": None}, "restarts": 14,
        "restarts_in_window": 14, "window_s": 600, "restart_times": ["2026-11-22T10:14:50Z"],
        "messages": ["web.service: Main process exited, code=exited, status=1/FAILURE"],
    },
    "unit": {
        "files": [{"path": "/etc/systemd/system/web.service", "kind": "fragment", "text": "[Service]\nExecStart=/opt/web/.venv/bin/uvicorn main:app\n"}],
        "exec_start": [["/opt/web/.venv/bin/uvicorn", "main:app"]], "user": "web", "limits": {"nofile": 1024, "memory_max": None},
    },
    "app": {"server": "uvicorn", "port": 8443, "health": {"url": "http://127.0.0.1:8443/health", "status": None, "error": "Connection refused"}},
    "symlinks": {"links": [{"path": "/opt/web/shared", "target": "../common/shared", "exists": False, "loop": False}]},
    "import_test": {
        "ran": True, "outcome": "exception", "duration_ms": 412, "sandbox": {"kind": "namespaces", "writes": "private"},
        "exception": {
            "type": "ModuleNotFoundError", "message": "No module named 'shared'", "relation": None,
            "frames": [{"file": "/opt/web/main.py", "line": 3, "function": "<module>", "code": "from shared.settings import Settings", "origin": "app"}],
        },
        "stdout": "starting\n", "sys_path": ["/opt/web", "/usr/lib/python3.11"],
    },
    "kernel": {"unavailable": "dmesg was refused"},
    "foreground_test": {"ran": False, "why_not": "it was not asked for"},
    "logs": {
        "sources": [
            {"id": "journal", "kind": "journal",
             "attempts": [{"started": "2026-11-22T10:14:50Z", "pid": 4711, "segments": [{"first_line": 1, "lines": TRACE}]}]},
            {"id": "error", "kind": "file", "stream": "stderr", "path": "/var/log/web/error.log",
             "attempts": [{"segments": [{"first_line": 231, "lines": TRACE}]}]},
        ]
    },
    "redactions": {"total": 2, "by_rule": {"url": 2}, "by_section": {"logs": {"url": 2}}},
}  # fmt: skip

DIAGNOSIS: dict[str, Any] = {
    "schema": 1,
    "state": "crash_loop",
    "root_cause": {
        "id": "symlink_conflict", "title": "A symbolic link that the imports need leads nowhere", "confidence": 0.93, "attested": True,
        "explanation": "The import of shared goes through /opt/web/shared, whose target ../common/shared doesn't exist.",
        "subject": "/opt/web/shared -> ../common/shared",
        "evidence": [
            {"kind": "log", "file": "/var/log/web/error.log", "line": 234, "quote": "ModuleNotFoundError: No module named 'shared'", "attested": False},
            {"kind": "fact", "file": "symlinks.links[0]", "line": None, "quote": "/opt/web/shared -> ../common/shared (missing)", "attested": True},
        ],
        "contradicting": [],
    },
    "candidates": [{"id": "symlink_conflict", "confidence": 0.93}, {"id": "pythonpath_missing", "confidence": 0.2}],
    "contributing": [], "symptoms": [{"id": "start_limit_hit"}],
    "ruled_out": [{"id": "dependency_missing", "why": "shared is no third-party package"}],
    "next_check": None,
    "remediation": {
        "role": "fix_symlink", "command": "ansible-playbook playbooks/fix-symlink.yml --limit web1 -e backend_service=web.service", "automatic": True,
    },
}  # fmt: skip


def evidence(**sections: Any) -> dict[str, Any]:
    """A copy of the sample with some sections replaced."""
    return {**copy.deepcopy(EVIDENCE), **sections}


def diagnosis(**parts: Any) -> dict[str, Any]:
    """A copy of the sample diagnosis with some parts replaced."""
    return {**copy.deepcopy(DIAGNOSIS), **parts}
