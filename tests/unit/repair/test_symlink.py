# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from bench import PYTHON, apply, kinds, make

from ansible_collections.firstaid.backend.plugins.module_utils._repair.fixes import symlink
from ansible_collections.firstaid.backend.plugins.module_utils._repair.fixes.symlink_imports import imports
from ansible_collections.firstaid.backend.plugins.module_utils._repair.fixes.symlink_overlay import Overlay
from ansible_collections.firstaid.backend.plugins.module_utils._repair.model import Host, Proposal, Refused


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def host(directory: Path, script: str = "main.py", **options: Any) -> Host:
    return make(directory, [sys.executable, str(directory / script)], options)


def refused(one: Host) -> Refused:
    with pytest.raises(Refused) as caught:
        symlink.propose(one)
    return caught.value


def decided(one: Host) -> Proposal:
    return symlink.propose(one)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    write(tmp_path / "shared/pricing/__init__.py", "RATE = 3\n")
    write(tmp_path / "site/main.py", "import pricing\n\nprint(pricing.RATE)\n")
    return tmp_path / "site"


def test_a_link_that_became_text_is_made_again_as_it_says(site: Path) -> None:
    write(site / "pricing", "../shared/pricing")
    proposal = decided(host(site))
    (change,) = proposal.changes
    assert (change.kind, change.path, change.target, change.replaces_file) == (
        "link",
        str(site / "pricing"),
        "../shared/pricing",
        True,
    )
    assert "text file" in proposal.decision and "pricing" in proposal.decision and proposal.restart and proposal.prove
    (site / "pricing").unlink()
    (site / "pricing").symlink_to("../shared/pricing")
    assert decided(host(site)).changes == [] and not decided(host(site)).restart


def test_a_module_that_became_text_is_made_a_link_again(tmp_path: Path) -> None:
    write(tmp_path / "shared/common.py", "RATE = 3\n")
    write(tmp_path / "site/main.py", "from common import RATE\n")
    write(tmp_path / "site/common.py", "../shared/common.py")
    (change,) = decided(host(tmp_path / "site")).changes
    assert (change.target, change.replaces_file) == ("../shared/common.py", True)


def test_a_file_with_content_of_its_own_is_never_replaced(site: Path) -> None:
    write(site / "pricing", "some notes about prices\nand more\n")
    before = (site / "pricing").read_text()
    found = refused(host(site, path=str(site / "pricing"), action="restore"))
    assert "regular file" in str(found) and (site / "pricing").read_text() == before


@pytest.mark.parametrize("action", ["auto", "remove", "restore"])
def test_a_directory_in_the_place_of_a_link_is_never_deleted(site: Path, action: str) -> None:
    write(site / "pricing/old.py", "x = 1\n")
    write(site / "main.py", "from pricing import RATE\nfrom pricing.tax import VAT\n")
    found = refused(host(site, path=str(site / "pricing"), action=action))
    assert "directory" in str(found)


def versions(root: Path, *found: str, names: str = "class Account: ...\n") -> Path:
    write(root / "current/main.py", "from ledger_core.models import Account\n")
    for version in found:
        write(root / f"shared/ledger-core-{version}/ledger_core/__init__.py")
        write(root / f"shared/ledger-core-{version}/ledger_core/models.py", names)
    (root / "shared").mkdir(exist_ok=True)
    (root / "current/ledger_core").symlink_to("../shared/ledger-core-2.3/ledger_core")
    return root / "current"


def test_the_only_other_version_that_has_all_names_is_where_it_leads(tmp_path: Path) -> None:
    (change,) = decided(host(versions(tmp_path, "2.4"))).changes
    assert change.target == "../shared/ledger-core-2.4/ledger_core" and not change.replaces_file


def test_a_version_that_lacks_a_name_is_no_candidate(tmp_path: Path) -> None:
    found = refused(host(versions(tmp_path, "2.4", names="class Ledger: ...\n")))
    assert "Account" in str(found) and "ledger_core" in str(found) and found.commands


def test_two_versions_are_a_decision_for_a_person(tmp_path: Path) -> None:
    found = refused(host(versions(tmp_path, "2.2", "2.4")))
    assert "2.2" in str(found) and "2.4" in str(found)
    assert sum("symlink_target=" in command for command in found.commands) == 2


def test_a_version_that_lacks_a_name_leaves_the_other_as_the_only_one(tmp_path: Path) -> None:
    current = versions(tmp_path, "2.4")
    write(tmp_path / "shared/ledger-core-2.1/ledger_core/__init__.py")
    (change,) = decided(host(current)).changes
    assert change.target == "../shared/ledger-core-2.4/ledger_core"


def test_nothing_to_lead_to_is_refused_and_names_the_link(tmp_path: Path) -> None:
    found = refused(host(versions(tmp_path)))
    assert str(tmp_path / "current/ledger_core") in str(found)


def test_a_link_to_itself_without_the_package_anywhere_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "main.py", "from backend.routes import app\n")
    (tmp_path / "backend").symlink_to("backend")
    found = refused(host(tmp_path))
    assert "circle" in str(found) and "backend.routes" in str(found)


def test_a_link_to_its_own_directory_that_hides_the_package_is_removed(tmp_path: Path) -> None:
    write(tmp_path / "lib/backend/__init__.py")
    write(tmp_path / "lib/backend/routes.py", "app = 1\n")
    write(tmp_path / "app/__init__.py")
    write(tmp_path / "app/main.py", "from backend.routes import app\n")
    (tmp_path / "app/backend").symlink_to(".")
    one = make(
        tmp_path / "app",
        [sys.executable, str(tmp_path / "app/main.py")],
        environ={"PYTHONPATH": str(tmp_path / "lib")},
    )
    (change,) = decided(one).changes
    assert (change.path, change.target) == (str(tmp_path / "app/backend"), None)


def test_a_release_link_leads_to_the_only_release_with_the_application(tmp_path: Path) -> None:
    write(tmp_path / "releases/2026-11-02/blog.py", "async def app(scope, receive, send): ...\n")
    write(tmp_path / "releases/2026-11-03.partial/README", "")
    (tmp_path / "current").symlink_to("releases/2026-10-17")
    one = make(
        tmp_path / "current", [sys.executable, "-m", "uvicorn", "blog:app", "--app-dir", str(tmp_path / "current")]
    )
    (change,) = decided(one).changes
    assert (change.path, change.target) == (str(tmp_path / "current"), "releases/2026-11-02")


def test_absolute_targets_stay_absolute(tmp_path: Path) -> None:
    current = versions(tmp_path, "2.4")
    (current / "ledger_core").unlink()
    (current / "ledger_core").symlink_to(tmp_path / "shared/ledger-core-2.3/ledger_core")
    (change,) = decided(host(current)).changes
    assert change.target == str(tmp_path / "shared/ledger-core-2.4/ledger_core")


def test_others_may_not_have_the_link_led_to_them(tmp_path: Path) -> None:
    current = versions(tmp_path, "2.4")
    (tmp_path / "shared/ledger-core-2.4/ledger_core").chmod(0o777)
    assert "evident" in str(refused(host(current)))


def test_two_broken_links_are_both_repaired(site: Path) -> None:
    write(site.parent / "shared/stock/__init__.py", "LEFT = 1\n")
    write(site / "main.py", "import pricing\nfrom stock import LEFT\n")
    write(site / "pricing", "../shared/pricing")
    write(site / "stock", "../shared/stock")
    proposal = decided(host(site))
    assert {os.path.basename(change.path): change.target for change in proposal.changes} == {
        "pricing": "../shared/pricing",
        "stock": "../shared/stock",
    }


def test_what_is_not_installed_is_another_repairs_affair_and_told(site: Path) -> None:
    write(site / "main.py", "import pricing\nimport surely_not_installed_xyz\n")
    write(site / "pricing", "../shared/pricing")
    proposal = decided(host(site))
    assert len(proposal.changes) == 1 and "surely_not_installed_xyz" in proposal.notes[0]


def test_a_broken_link_that_nothing_needs_is_left_alone_and_told(tmp_path: Path) -> None:
    write(tmp_path / "main.py", "import json\n")
    (tmp_path / "old").symlink_to("../gone")
    proposal = decided(host(tmp_path))
    assert (proposal.changes, proposal.restart) == ([], False) and "old" in proposal.notes[0]


def test_no_link_is_to_blame_for_a_missing_distribution(tmp_path: Path) -> None:
    write(tmp_path / "main.py", "import surely_not_installed_xyz\n")
    (tmp_path / "data").symlink_to("/nowhere/at/all")
    assert "isn't the reason" in str(refused(host(tmp_path)))


def test_remove_keeps_a_link_that_the_imports_need(site: Path) -> None:
    (site / "pricing").symlink_to("../shared/pricing")
    found = refused(host(site, path=str(site / "pricing"), action="remove"))
    assert "pricing" in str(found) and (site / "pricing").is_symlink()
    (site / "unused").symlink_to("../shared")
    (change,) = decided(host(site, path=str(site / "unused"), action="remove")).changes
    assert change.target is None
    (site / "unused").unlink()
    assert decided(host(site, path=str(site / "unused"), action="remove")).changes == []


def test_restore_as_told(site: Path) -> None:
    link = str(site / "pricing")
    (change,) = decided(host(site, path=link, action="restore", target="../shared/pricing")).changes
    assert change.target == "../shared/pricing"
    assert "isn't there" in str(refused(host(site, path=link, action="restore", target="../nowhere")))
    assert "two names" in str(refused(host(site, path=link, action="restore", target="..")))
    (site / "pricing").symlink_to("../shared/pricing")
    assert decided(host(site, path=link, action="restore", target="../shared/pricing")).changes == []
    assert decided(host(site, path=link, action="restore")).changes == []


def test_restore_makes_the_link_that_is_missing_where_one_place_has_all(site: Path) -> None:
    (change,) = decided(host(site, path=str(site / "pricing"), action="restore")).changes
    assert change.target == "../shared/pricing"


@pytest.mark.parametrize(
    "options", [{"action": "delete"}, {"path": "relative"}, {"target": "/x"}, {"target": "/x", "action": "restore"}]
)
def test_wrong_options_are_refused_before_anything(tmp_path: Path, options: dict[str, str]) -> None:
    write(tmp_path / "main.py")
    refused(host(tmp_path, **options))


def test_only_imports_that_have_to_succeed_count() -> None:
    import ast

    tree = ast.parse(
        "import a\nfrom .b import c\ntry:\n import d\nexcept ImportError:\n import e\nif TYPE_CHECKING:\n import f\n"
        "def g():\n import h\nclass I:\n import j\ntry:\n import k\nexcept KeyError:\n pass\nif sys.version_info > (3,):\n import m\n"
    )
    assert [(level, name, names) for _node, level, name, names in imports(tree)] == [
        (0, "a", []),
        (1, "b", ["c"]),
        (0, "j", []),
        (0, "k", []),
        (0, "m", []),
    ]


def test_an_overlay_resolves_as_the_kernel_would(tmp_path: Path) -> None:
    (tmp_path / "real/deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "loop").symlink_to("loop")
    root = str(tmp_path)
    assert Overlay().resolve(f"{root}/link/deep/..") == f"{root}/real"
    assert Overlay().resolve(f"{root}/loop") is None
    assert Overlay({f"{root}/link": None}).resolve(f"{root}/link/deep") is None
    assert Overlay({f"{root}/new": "link/deep"}).resolve(f"{root}/new") == f"{root}/real/deep"
    assert Overlay({f"{root}/new": "link/deep"}).names(root) == ["link", "loop", "new", "real"]


def test_the_change_is_made_and_leaves_the_imports_working(site: Path) -> None:
    write(site / "pricing", "../shared/pricing")
    one = host(site)
    proposal = decided(one)
    assert kinds(proposal) == ["link"] and PYTHON
    apply(one, proposal.changes)
    assert os.readlink(site / "pricing") == "../shared/pricing"
