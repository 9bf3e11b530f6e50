# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
import tomllib

from ansible_collections.firstaid.backend.plugins.module_utils._evidence.packages_toml import loads, tolerant

DOCUMENT = '''
# a project
[project]
name = "shop"  # its name
requires-python = '>=3.9,<4'
dependencies = [
    "fastapi[standard] >= 0.110 ; python_version > '3.8'",  # web
    "uvicorn",
]
[project.optional-dependencies]
dev = ["pytest"]
[tool.poetry.dependencies]
python = "^3.11"
django = { version = "^5.0", extras = ["argon2", 'bcrypt'] }
"quoted.key" = 1
a.b.c = true
[tool.x]
text = """
first \\
   second "quoted"
third\\t"""
raw = \'\'\'a\\b\'\'\'
float = 1.5
number = 1_000
nested = [[1, 2], [3]]
[[package]]
name = "a"
[[package.source]]
url = "u"
[[package]]
name = "b\\u00e9\\n"
'''


def test_equals_the_standard_library() -> None:
    assert tolerant(DOCUMENT) == tomllib.loads(DOCUMENT)


def test_equals_the_standard_library_on_the_projects_own_file() -> None:
    text = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    assert tolerant(text) == tomllib.loads(text)


def test_broken_lines_do_not_hide_the_rest() -> None:
    document, problem = loads("[project\nname = 'a'\n[project]\nversion = \nname = 'b'\n")
    assert document["project"]["name"] == "b"
    assert problem


@pytest.mark.parametrize(
    "text",
    ["", "[", "a", "a=", "a=[", "a={", "a='", 'a="""', "=", "[[a]]\n[a.b]\n[[a.b]]", "[" * 5000, "a=" + "[" * 5000],
)
def test_never_raises(text: str) -> None:
    tolerant(text)
