# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Denials of SELinux and AppArmor as kernels and auditd write them: seen, of whom, and what they lead to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import kernel
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import Backend
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.catalogue import load_catalogue
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.classify import classify

# In the shape of auditd (Red Hat), and of the kernel in the journal (Fedora, Ubuntu).
AUDITD = (
    'type=AVC msg=audit(4102444800.364:1234): avc:  denied  { open } for  pid=4711 comm="gunicorn" path="/srv/shop/shop.env" dev="dm-0" '
    "ino=131 scontext=system_u:system_r:init_t:s0 tcontext=unconfined_u:object_r:user_home_t:s0 tclass=file permissive=0\n"
    'type=SYSCALL msg=audit(4102444800.364:1234): arch=c000003e syscall=257 success=no exit=-13 comm="gunicorn"\n'
)
SELINUX = (
    'audit: type=1400 audit(1763805600.364:77): avc:  denied  { name_bind } for  pid=4711 comm="uvicorn" src=8443 '
    "scontext=system_u:system_r:httpd_t:s0 tcontext=system_u:object_r:unreserved_port_t:s0 tclass=tcp_socket permissive=0"
)
APPARMOR = (
    'audit: type=1400 audit(1763805600.364:78): apparmor="DENIED" operation="open" class="file" profile="/srv/venv/bin/python3" '
    'name="/srv/shop/shop.env" pid=4711 comm="python3" requested_mask="r" denied_mask="r" fsuid=33 ouid=0'
)


def section(text: str, **fields: Any) -> dict[str, Any]:
    backend = Backend("shop.service", "systemd", argv=["/srv/venv/bin/python3", "main.py"], **fields)
    return kernel.parse([kernel.Line(1763805600.0, text)], kernel._Ownership(backend))


@pytest.mark.parametrize(
    "text", [SELINUX, APPARMOR, AUDITD.split(": ", 1)[1].split("\n")[0]], ids=["selinux", "apparmor", "auditd"]
)
def test_a_denial_is_seen_and_whose_it_is(text: str) -> None:
    [ours] = section(text, pids=[4711])["other"]
    assert (ours["kind"], ours["own"]) == ("audit", True)
    [others] = section(text.replace('comm="python3"', 'comm="nginx"').replace("4711", "12"))["other"]
    assert others["own"] is False


def test_audit_log_of_auditd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "audit.log"
    old = AUDITD.replace("4102444800.364", "1000000000.1")
    log.write_text(old + "type=USER_LOGIN msg=audit(4102444800.1:9): pid=1 uid=0\n" + AUDITD)
    monkeypatch.setattr(kernel, "AUDIT_LOG", str(log))
    [found] = kernel._audit_log(Context({}, 1e12))
    assert found.text.startswith("avc:  denied") and found.time == pytest.approx(4102444800.364)
    monkeypatch.setattr(kernel, "AUDIT_LOG", str(tmp_path / "none"))
    assert kernel._audit_log(Context({}, 1e12)) == []


def evidence(text: str, own: bool | None) -> dict[str, Any]:
    traceback = [
        "Traceback (most recent call last):", '  File "/srv/shop/main.py", line 3, in <module>', "    open('shop.env')",
        "PermissionError: [Errno 13] Permission denied: 'shop.env'",
    ]  # fmt: skip
    return {
        "schema": 1,
        "service": {"state": "crash_loop", "active_state": "activating", "exit": {"code": 1}, "restarts": 9},
        "kernel": {"other": [{"time": "2026-11-22T04:50:20.002Z", "kind": "audit", "text": text, "own": own}]},
        # By its mode the file can be read, which is why nobody finds it.
        "access": {
            "paths": [
                {"path": "/srv/shop/shop.env", "purpose": "env_file", "readable": True, "ok": True, "type": "file"}
            ]
        },
        "logs": {
            "sources": [
                {
                    "id": "log",
                    "kind": "file",
                    "path": "/x",
                    "attempts": [{"segments": [{"first_line": 1, "lines": traceback}]}],
                }
            ]
        },
    }


def cited(found: dict[str, Any]) -> bool:
    return found["root_cause"]["id"] == "permission_denied" and "kernel.other" in str(found["root_cause"]["evidence"])


@pytest.mark.parametrize(
    "text", [APPARMOR, SELINUX.replace("src=8443", 'name="shop.env"')], ids=["apparmor", "selinux"]
)
def test_a_denial_of_a_needed_path_is_the_proof(text: str) -> None:
    assert cited(classify(evidence(text, None), load_catalogue()))


@pytest.mark.parametrize(
    ("text", "own"),
    [
        (APPARMOR, False),
        (SELINUX.replace("permissive=0", "permissive=1"), True),
        (APPARMOR.replace("shop.env", "other"), None),
    ],
    ids=["of another process", "only noted", "of another path"],
)
def test_what_proves_nothing_is_not_cited(text: str, own: bool | None) -> None:
    assert not cited(classify(evidence(text, own), load_catalogue()))


@pytest.mark.parametrize(("kind", "word"), [("fifo", "FIFO"), ("directory", "directory"), ("socket", "socket")])
def test_what_stands_in_place_of_an_environment_file_is_named(kind: str, word: str) -> None:
    file = {
        "path": "/etc/shop/shop.env",
        "origin": "EnvironmentFile=/etc/shop/shop.env",
        "exists": True,
        "readable": False,
        "type": kind,
    }
    lines = [
        "Traceback (most recent call last):",
        '  File "/srv/shop/main.py", line 3, in <module>',
        '    os.environ["A"]',
        "KeyError: 'A'",
    ]
    found = classify(
        {
            "schema": 1,
            "service": {"state": "crash_loop", "active_state": "activating", "exit": {"code": 1}, "restarts": 9},
            "environment": {"files": [file]},
            "logs": {
                "sources": [
                    {
                        "id": "log",
                        "kind": "file",
                        "path": "/x",
                        "attempts": [{"segments": [{"first_line": 1, "lines": lines}]}],
                    }
                ]
            },
        },
        load_catalogue(),
    )
    assert found["root_cause"]["id"] == "env_file_malformed", found["root_cause"]
    assert "/etc/shop/shop.env" in found["root_cause"]["explanation"] and word in found["root_cause"]["explanation"]
