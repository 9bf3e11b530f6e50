# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an answer cites first, in which words, and which commands it prints for which supervisor."""

from __future__ import annotations

import copy
import re
import shlex
from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.catalogue import Cause, load_catalogue
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.classify import classify
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.commands import commands
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.subjects import STANDARD, fill_command
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.wording import worded

CATALOGUE = load_catalogue()
FRAME = {"file": "/srv/shop/main.py", "line": 2, "function": "<module>", "code": "import billing", "origin": "app"}
RAISED = {
    "type": "ModuleNotFoundError", "message": "No module named 'billing'", "name": "billing", "relation": None, "frames": [FRAME],
}  # fmt: skip
EVIDENCE: dict[str, Any] = {
    "schema": 1,
    "target": {"host": "web1", "service": "shop.service"},
    "service": {
        "name": "shop.service", "runtime": "systemd", "active_state": "activating", "sub_state": "auto-restart",
        "exit": {"code": 1, "explained": "a general failure"}, "result": "exit-code", "restarts": 9,
    },
    "app": {"code_dir": "/srv/shop", "local_packages": ["main"], "target": {"module": "main"}},
    "import_test": {
        "ran": True, "outcome": "exception", "user": "shop", "exception": {**RAISED, "chain": [RAISED]},
        "missing_module": {
            "name": "billing", "top": "billing", "kind": "local",
            "found_at": [{"path": "/srv/shop/billing", "why": "dangling_link", "detail": "a link to ../b, which leads nowhere", "root": "/srv/shop"}],
        },
    },
    "symlinks": {"links": [{"path": "/srv/shop/billing", "target": "../b", "resolved": "/srv/b", "exists": False, "loop": False, "self": False}]},
    "logs": {"sources": [{"id": "log", "kind": "file", "path": "/var/log/shop.log", "attempts": [{"segments": [{"first_line": 40, "lines": [
        "Traceback (most recent call last):", '  File "/srv/shop/main.py", line 2, in <module>', "    import billing",
        "ModuleNotFoundError: No module named 'billing'",
    ]}]}]}]},
}  # fmt: skip


def answer(**sections: Any) -> dict[str, Any]:
    return classify({**copy.deepcopy(EVIDENCE), **sections}, CATALOGUE)


def test_the_failing_line_of_code_comes_first_and_facts_are_sentences() -> None:
    root = answer()["root_cause"]
    assert root["id"] == "symlink_conflict"
    places = [(one["kind"], one["file"], one["line"]) for one in root["evidence"]]
    assert places[0] == ("frame", "/srv/shop/main.py", 2) and root["evidence"][0]["quote"] == "import billing"
    assert places[1] == ("log", "/var/log/shop.log", 43)
    quotes = [one["quote"] for one in root["evidence"]]
    assert "the import test as shop meets the same" in quotes
    assert "/srv/shop/billing is a link to ../b, which doesn't exist (/srv/b)" in quotes
    assert any("exit with status 1: a general failure" in quote for quote in quotes)
    assert sum("/srv/shop/billing" in quote for quote in quotes) == 1, "the same link is cited twice"


def test_without_a_log_the_import_test_names_the_exception() -> None:
    root = answer(logs={"unavailable": "nothing there"})["root_cause"]
    assert root["evidence"][0]["file"] == "/srv/shop/main.py" and root["evidence"][0]["attested"]
    assert "meets ModuleNotFoundError: No module named 'billing'" in root["evidence"][1]["quote"]


@pytest.mark.parametrize(
    ("path", "section", "said"),
    [
        ("access.paths[0]", {"access": {"user": {"name": "shop"}, "paths": [
            {"path": "/srv/x", "purpose": "working_directory", "type": "directory", "owner": "root", "group": "root", "mode": "0700",
             "readable": False, "writable": False, "executable": False, "needs": "x", "ok": False}]}},
         "shop can't execute or enter /srv/x (working directory; directory, root:root, mode 0700)"),
        ("ports.wanted_taken_by[0]", {"ports": {"wanted_taken_by": [
            {"address": "0.0.0.0", "port": 8000, "state": "listening", "pid": 7, "same_code": True,
             "process": {"command": "python3 -m http.server", "user": "ops", "unit": "old.service"}}]}},
         "process 7 (of old.service, user ops) listens on port 8000 of 0.0.0.0; it runs this backend's code: python3 -m http.server"),
        ("packages.missing[0].name", {"packages": {"missing": [{"name": "redis", "specifier": ">=5", "file": "/srv/r.txt", "line": 3}]}},
         "/srv/r.txt:3 requires redis>=5, which isn't installed"),
        ("resources.disks[0]", {"resources": {"disks": [
            {"mount": "/var", "device": "/dev/vdb", "fstype": "ext4", "size_bytes": 10 << 30, "free_for_user_bytes": 0, "purpose": ["log"]}]}},
         "/var (/dev/vdb, ext4) has 0 bytes free of 10 GiB; it holds the log"),
        ("clock", {"clock": {"now": "x", "timezone": None}}, "now x"),
        ("symlinks.links[0]", {"symlinks": {"links": [{"no": "path"}]}}, None),
    ],
)  # fmt: skip
def test_facts_are_worded(path: str, section: dict[str, Any], said: str | None) -> None:
    assert worded(path, section) == said


SYSTEMD = ("systemctl status {service}", "systemctl cat {service}", "systemctl edit {service}", "ss -tln", "ls {path}")


def test_commands_fit_the_supervisor_and_can_be_typed() -> None:
    words = {"service": "shop", "supervisor_config": "/etc/my conf", "definition": "/etc/shop.conf"}
    assert commands(SYSTEMD, words, {"service": {"name": "shop", "runtime": "supervisor"}}) == [
        "supervisorctl -c '/etc/my conf' status shop", "grep -nFA20 '[program:' /etc/shop.conf", "ss -tln",
    ]  # fmt: skip
    assert commands(SYSTEMD, words, {"service": {"name": "shop", "runtime": "systemd"}})[0] == "systemctl status shop"
    assert commands(SYSTEMD, words, {"target": {"service": "error.log"}}) == ["ss -tln"]


def test_no_cause_prints_a_command_of_systemd_for_supervisord() -> None:
    evidence = {"service": {"name": "shop", "runtime": "supervisor"}}
    words = {slot: "x" for cause in CATALOGUE.causes.values() for slot in cause.subject} | {
        "service": "shop",
        "definition": "/d",
    }
    for cause in CATALOGUE.causes.values():
        for printed in commands(cause.commands, words, evidence):
            assert "shop" not in printed or not printed.startswith(("systemctl", "journalctl")), cause.id


def missing(name: str, **more: Any) -> dict[str, Any]:
    """The diagnosis of an import test that lacked a module, without any log."""
    raised = {**RAISED, "message": f"No module named '{name}'", "name": name}
    found = {
        "name": name,
        "top": name,
        "kind": "unknown",
        "found_at": [],
        "distribution": name,
        "distribution_source": "name",
        **more,
    }
    test = {"ran": True, "outcome": "exception", "exception": {**raised, "chain": [raised]}, "missing_module": found}
    return answer(import_test=test, symlinks={"links": []}, logs={"sources": []})


def test_a_name_alone_decides_neither_whose_module_it_is_nor_who_provides_it() -> None:
    diagnosis = missing("frobnicate")
    root = diagnosis["root_cause"]
    first, second = diagnosis["candidates"][:2]
    assert {first["id"], second["id"]} == {"dependency_missing", "pythonpath_missing"}
    assert root["confidence"] < 0.55 and abs(first["confidence"] - second["confidence"]) < 0.2
    assert "may be a package to install or a module of the project" in root["explanation"]
    assert "distribution" not in root["explanation"] and "distribution" not in root["subject"]
    assert any(command.startswith("find / ") for command in diagnosis["remediation"]["handover"]["commands"])


@pytest.mark.parametrize(
    ("name", "cause", "distribution"),
    [
        ("settings_of_acme", "pythonpath_missing", None),
        ("shop_pricing", "pythonpath_missing", None),
        ("flask_babel_utils", "dependency_missing", None),
        ("redis", "dependency_missing", "redis"),
        ("yaml", "dependency_missing", "PyYAML"),
    ],
)
def test_what_a_name_leans_to(name: str, cause: str, distribution: str | None) -> None:
    root = missing(name)["root_cause"]
    assert root["id"] == cause and root["subject"].get("distribution") == distribution
    if cause == "pythonpath_missing":
        assert root["confidence"] < 0.55 and "may be a package to install" in root["explanation"]


def test_a_declared_module_comes_with_the_command_that_installs_it() -> None:
    declared = {"file": "/srv/shop/requirements.txt", "line": 3, "text": "frobnicate==1.2  # pinned"}
    sections = {"interpreter": {"kind": "venv", "python": "/srv/my venv/bin/python"}}
    raised = {**RAISED, "message": "No module named 'frobnicate'", "name": "frobnicate"}
    found = {
        "name": "frobnicate",
        "top": "frobnicate",
        "kind": "third_party",
        "found_at": [],
        "declared_in": [declared],
    }
    test = {"ran": True, "outcome": "exception", "exception": {**raised, "chain": [raised]}, "missing_module": found}
    given = answer(import_test=test, symlinks={"links": []}, logs={"sources": []}, **sections)
    remedy = given["remediation"]
    assert "fix-backend-dependencies.yml" in remedy["command"]
    assert remedy["handover"]["commands"][0] == "'/srv/my venv/bin/python' -m pip install frobnicate==1.2"
    assert any("requirements.txt:3 declares it" in one["quote"] for one in given["root_cause"]["evidence"])


def test_a_link_is_only_redirected_where_one_directory_alone_can_be_meant() -> None:
    test = copy.deepcopy(EVIDENCE["import_test"])
    places = test["missing_module"]["found_at"]
    places.append(
        {"path": "/srv/b-2/billing/__init__.py", "why": "elsewhere_on_disk", "detail": "", "root": "/srv/b-2"}
    )
    remedy = answer(import_test=test)["remediation"]
    assert remedy["handover"]["commands"][0] == "ln -sfnT /srv/b-2/billing /srv/shop/billing"
    assert "point /srv/shop/billing at ../b again" in remedy["handover"]["note"]
    places.append(
        {"path": "/srv/b-1/billing/__init__.py", "why": "elsewhere_on_disk", "detail": "", "root": "/srv/b-1"}
    )
    printed = answer(import_test=test)["remediation"]["handover"]["commands"]
    assert not [command for command in printed if command.startswith("ln ")]


@pytest.mark.parametrize("cause", CATALOGUE.causes.values(), ids=lambda cause: cause.id)
def test_every_command_can_be_typed_as_printed(cause: Cause) -> None:
    slots = {*cause.subject, *STANDARD}
    for template in cause.commands:
        printed = fill_command(template, dict.fromkeys(slots, "value"))
        assert printed is not None and shlex.split(printed), template
        assert not re.search(r"\{[a-z_]+[|}]|\b(?:SERVER|CERTIFICATE)\b|(?<![$\w])(?:USER|PATH|FILE)\b", printed), (
            template
        )
        hostile = fill_command(template, dict.fromkeys(slots, 'x\'"; reboot; "'))
        assert hostile is None or "reboot" not in shlex.split(hostile), template


def test_a_value_cannot_leave_the_quotes_around_it() -> None:
    assert fill_command('bash -c "</dev/tcp/{server}/1"', {"server": '"; reboot; "'}) is None
    assert (
        fill_command('bash -c "</dev/tcp/{server}/1"', {"server": "db-1.local"}) == 'bash -c "</dev/tcp/db-1.local/1"'
    )
