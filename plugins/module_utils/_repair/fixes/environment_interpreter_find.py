# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interpreters that could run a backend, the nearest first."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Optional

from ..._evidence.app_program import is_python
from ..._evidence.interpreter import environments_near
from ..._evidence.interpreter_chain import parse_pyvenv
from ..model import Change
from .environment_draft import Draft
from .environment_trust import own

_SITE = re.compile(r"/python(\d+\.\d+)/(?:site|dist)-packages/?\Z")
_SYSTEM = ("/usr/bin", "/usr/local/bin")
# Where Pythons of other versions are usually put.
_ELSEWHERE = ("/opt/python*/bin/python3*", "/opt/pyenv/versions/*/bin/python3*", "/root/.pyenv/versions/*/bin/python3*")
_NAMES = ("python", "python3")
MAX_OF_A_GROUP = 5


@dataclass
class Candidate:
    """One interpreter. With ``link``, it works once that change is made; until then ``runs`` with the packages of ``site`` stands in.

    ``told`` says for the reader what it is. One that is ``foreign`` was not made for this backend: it is proposed to a person only.
    """

    python: str
    prefix: str
    told: str
    foreign: bool = False
    version: Optional[str] = None
    runs: Optional[str] = None
    site: Optional[str] = None
    link: Optional[Change] = None
    further: list[Change] = field(default_factory=list)


def site_of(path: str) -> Optional[str]:
    """The Python version that a directory of packages is for; None when it is no such directory."""
    match = _SITE.search(path)
    return match.group(1) if match else None


def groups(draft: Draft) -> Iterator[list[Candidate]]:
    """Candidates in groups; the first group in which one works decides."""
    seen = {os.path.normpath(draft.backend.python)} if draft.backend.python and _works_alone(draft) else set()
    for group in (
        _own_environment(draft),
        _mended(draft),
        _named_by_path(draft),
        _near(draft, True),
        _near(draft, False),
        _system(_prefix(draft) is not None),
    ):
        chosen = []
        for candidate in group:
            path = os.path.normpath(candidate.python)
            if path not in seen or candidate.link:
                seen.add(path)
                chosen.append(candidate)
        yield chosen[:MAX_OF_A_GROUP]


def _works_alone(draft: Draft) -> bool:
    """Whether the present interpreter itself is sound, so that trying it again under another name is no use."""
    return not draft.backend.interpreter.get("error") and draft.backend.interpreter.get("runs") is not False


def _prefix(draft: Draft) -> Optional[str]:
    """The environment that the command belongs to."""
    for program in (draft.backend.app.program, draft.backend.python):
        folder = os.path.dirname(program or "")
        if os.path.basename(folder) == "bin" and folder not in ("/bin", *_SYSTEM):
            return os.path.dirname(folder)
    return None


def _own_environment(draft: Draft) -> list[Candidate]:
    """The environment's own interpreter, for launchers whose first line leads elsewhere since it was moved."""
    prefix = _prefix(draft)
    if not prefix:
        return []
    found = []
    for path in [
        *(os.path.join(prefix, "bin", name) for name in _NAMES),
        *sorted(glob.glob(glob.escape(prefix) + "/bin/python3.*")),
    ]:
        if is_python(path) and os.path.isfile(path) and os.access(path, os.X_OK):
            found.append(Candidate(path, prefix, "the environment's own interpreter"))
    return found[:1]


def _mended(draft: Draft) -> list[Candidate]:
    """A virtual environment whose packages are there and whose link to Python leads nowhere."""
    prefix = _prefix(draft)
    if not prefix or not os.path.isfile(os.path.join(prefix, "pyvenv.cfg")):
        return []
    sites = [path for path in glob.glob(glob.escape(prefix) + "/lib/python3.*/site-packages") if os.listdir(path)]
    version = site_of(sites[0]) if len(sites) == 1 else None
    link = _dangling(os.path.join(prefix, "bin"))
    real = next(
        (f"{folder}/python{version}" for folder in _SYSTEM if os.path.isfile(f"{folder}/python{version}")), None
    )
    if not version or not link or not real:
        return []
    why = f"leads to the Python {version} that the environment's packages are for"
    candidate = Candidate(os.path.join(prefix, "bin", "python"), prefix, "mended", False, version, real, sites[0])
    candidate.link = Change("link", link, why, target=real)
    candidate.further = _home(draft, prefix, os.path.dirname(real))
    return [candidate]


def _dangling(folder: str) -> Optional[str]:
    """The link that breaks all names of Python in a ``bin`` directory; None when it isn't one."""
    found = set()
    for name in [*_NAMES, *(os.path.basename(path) for path in glob.glob(glob.escape(folder) + "/python3.*"))]:
        path = os.path.join(folder, name)
        for _hop in range(5):
            if not os.path.islink(path) or os.path.exists(path):
                break
            target = os.path.normpath(os.path.join(folder, os.readlink(path)))
            if os.path.dirname(target) != folder or not os.path.islink(target):
                found.add(path)
                break
            path = target
    return next(iter(found)) if len(found) == 1 else None


def _home(draft: Draft, prefix: str, home: str) -> list[Change]:
    """``pyvenv.cfg`` with the right home, where the one it names is gone."""
    path = os.path.join(prefix, "pyvenv.cfg")
    content = draft.context().read(path)
    old = parse_pyvenv(content.text).get("home")
    if content.error or not old or os.path.isdir(old):
        return []
    text = re.sub(r"(?mi)^(home\s*=\s*).*$", lambda match: match.group(1) + home, content.text, count=1)
    return [Change("file", path, "names the directory of the Python that the environment uses", content=text.encode())]


def _named_by_path(draft: Draft) -> list[Candidate]:
    """The environment whose packages the command borrows by ``PYTHONPATH``."""
    found = []
    for part in draft.backend.environ.get("PYTHONPATH", "").split(":"):
        if site_of(part) and part not in draft.pretended:
            prefix = os.path.normpath(os.path.join(part, "..", "..", ".."))
            found += [
                Candidate(path, prefix, "the environment whose packages PYTHONPATH names") for path in _pythons(prefix)
            ]
    return found


def _near(draft: Draft, inside: bool) -> list[Candidate]:
    """Environments by the code (``inside``), or beside its tree."""
    found = []
    for item in environments_near(draft.backend, draft.context()):
        prefix = os.path.dirname(os.path.dirname(item["path"]))
        if item["exists"] and own(prefix, draft.backend) == inside:
            found.append(
                Candidate(
                    item["path"],
                    prefix,
                    f"Python {item['version'] or '?'}, an environment {'of the project' if inside else 'near the project'}",
                    foreign=not inside,
                )
            )
    parent = os.path.dirname(_prefix(draft) or "")
    if not inside and os.path.basename(parent) == "envs":
        # A conda environment that was deleted has its sisters beside it.
        for prefix in sorted(glob.glob(glob.escape(parent) + "/*")):
            found += [Candidate(path, prefix, "a conda environment", foreign=True) for path in _pythons(prefix)]
    return found


def _pythons(prefix: str) -> list[str]:
    path = next((path for path in (os.path.join(prefix, "bin", name) for name in _NAMES) if os.path.isfile(path)), None)
    return [path] if path else []


def _system(instead: bool) -> list[Candidate]:
    """Pythons that belong to the host, newest first; ``instead`` of an environment, they are foreign."""
    found: dict[str, Candidate] = {}
    patterns = [*(f"{folder}/python3*" for folder in _SYSTEM), *_ELSEWHERE]
    for path in sorted((path for pattern in patterns for path in glob.glob(pattern)), key=_age, reverse=True):
        real = os.path.realpath(path)
        if re.search(r"/python3(\.\d+)?\Z", path) and os.path.isfile(real) and os.access(real, os.X_OK):
            found.setdefault(
                real, Candidate(path, os.path.dirname(os.path.dirname(path)), "a Python of this host", foreign=instead)
            )
    return list(found.values())


def _age(path: str) -> tuple[int, ...]:
    match = re.search(r"python3\.(\d+)", path)
    return (int(match.group(1)),) if match else (0,)
