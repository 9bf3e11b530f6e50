# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools
from typing import Optional

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence.requirements_versions import (
    canonical,
    marker_environment,
    marker_holds,
    parse_requirement,
    parse_version,
    satisfies,
)

# The order that PEP 440 gives as its example, with epochs and local versions.
ORDERED = ["1.0.dev456", "1.0a1", "1.0a2.dev456", "1.0a12.dev456", "1.0a12", "1.0b1.dev456", "1.0b2", "1.0b2.post345.dev456", "1.0b2.post345",
           "1.0rc1.dev456", "1.0rc1", "1.0", "1.0+abc.5", "1.0+abc.7", "1.0+5", "1.0.post456.dev34", "1.0.post456", "1.1.dev1", "1.10", "1!0.1"]  # fmt: skip


def test_order() -> None:
    keys = [parse_version(text).key for text in ORDERED]  # type: ignore[union-attr]
    for earlier, later in itertools.pairwise(keys):
        assert earlier < later


@pytest.mark.parametrize(
    ("version", "specifier", "expected"),
    [
        ("1.2.3", "", True),
        ("1.2.3", "==1.2.3", True),
        ("1.2", "==1.2.0", True),
        ("1.2.3", "==1.2.*", True),
        ("1.20.3", "==1.2.*", False),
        ("1.2.3", "!=1.2.*", False),
        ("1.2.3+cpu", "==1.2.3", True),
        ("1.2.3", "==1.2.3+cpu", False),
        ("2.0", ">=1.0,<2.0", False),
        ("2.0rc1", "<2.0", False),
        ("1.9", "<2.0", True),
        ("1.0.post1", ">1.0", False),
        ("1.0.1", ">1.0", True),
        ("1.4.5", "~=1.4.2", True),
        ("1.5", "~=1.4.2", False),
        ("1.9", "~=1.4", True),
        ("2.0", "~=1.4", False),
        ("1.10", ">=1.9", True),
        ("2.5.0", "^2.1", True),
        ("3.0", "^2.1", False),
        ("0.4.0", "^0.3.1", False),
        ("1.2.9", "~1.2.3", True),
        ("1.3", "~1.2.3", False),
        ("1.0", ">=2 || <1.5", True),
        ("weird", "===weird", True),
        ("weird", ">=1", None),
        ("1.0", ">=what", None),
        ("2024.1", ">=2022", True),
    ],
)
def test_satisfies(version: str, specifier: str, expected: Optional[bool]) -> None:
    assert satisfies(version, specifier) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("requests", ("requests", "", "")),
        ("uvicorn[standard]>=0.20,<1 ; python_version >= '3.8'", ("uvicorn", ">=0.20,<1", "python_version >= '3.8'")),
        ("SQLAlchemy (>=2.0)", ("sqlalchemy", ">=2.0", "")),
        ("zope.interface ~= 5.0", ("zope-interface", "~=5.0", "")),
        ("pip @ https://x/y.zip ; sys_platform == 'linux'", ("pip", "", "sys_platform == 'linux'")),
    ],
)
def test_requirement(text: str, expected: tuple[str, str, str]) -> None:
    found = parse_requirement(text)
    assert found is not None
    assert (found.name, found.specifier, found.marker) == expected


@pytest.mark.parametrize("text", ["", "-r other.txt", "=1.0", "what ever", "./local"])
def test_not_a_requirement(text: str) -> None:
    assert parse_requirement(text) is None


@pytest.mark.parametrize(
    ("marker", "expected"),
    [
        ("python_version < '3.10'", False),
        ("python_version >= '3.8' and sys_platform == 'linux'", True),
        ("sys_platform == 'win32' or (python_full_version > '3.11.1' and os_name == \"posix\")", True),
        ("extra == 'dev'", False),
        ("'linux' in sys_platform", True),
        ("platform_machine not in 'aarch64 arm64'", True),
        ("implementation_name == 'pypy'", False),
        ("python_version in '3.10, 3.11'", True),
        ("((((", True),
        ("gibberish $$", True),
    ],
)
def test_marker(marker: str, expected: bool) -> None:
    assert marker_holds(marker, marker_environment("3.11.2", "x86_64")) is expected


def test_canonical() -> None:
    assert canonical("Zope._-Interface") == "zope-interface"
