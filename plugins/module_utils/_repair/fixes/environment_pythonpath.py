# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``PYTHONPATH``: all directories of the backend's own tree that its imports need, and no more."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Optional

from ..._evidence import packages
from ..._evidence.access_check import check
from ..._evidence.missing_module import WELL_KNOWN
from ..._evidence.model import Section
from ..._evidence.packages_find import find_module_on_disk
from ..._evidence.python_path import flag_letters, identity
from ..model import Refused
from .environment_draft import Draft, NotEvident
from .environment_imports import unresolved
from .environment_trust import NOT_CODE, objection, own

MAX_DIRECTORIES = 8
MAX_SHOWN = 5


def pythonpath(draft: Draft) -> None:
    """Mend ``PYTHONPATH``."""
    given = draft.options.get("pythonpath")
    wanted = [str(item) for item in given] if isinstance(given, (list, tuple)) else str(given or "").split(":")
    wanted = [item for item in wanted if item]
    if wanted:
        _chosen(draft, wanted)
        return
    if draft.imported() is not False:
        return
    added: list[str] = []
    needed_by: list[str] = []
    while len(added) < MAX_DIRECTORIES:
        missing = draft.trial().get("missing_module") or {}
        if missing.get("kind") not in ("local", "unknown"):
            break
        root = _only_root(draft, missing)
        if root is None or root in added:
            break
        added.append(root)
        needed_by.append(str(missing["top"]))
        _put(draft, added[-1:])
    if not added:
        return
    for name, root in _later(draft):
        added.append(root)
        needed_by.append(name)
        _put(draft, [root])
    names = ", ".join(f"{root} (for {name})" for name, root in zip(needed_by, added))
    draft.because(
        f"The imports need {'a directory that is' if len(added) == 1 else 'directories that are'} not on the path: {names} added to PYTHONPATH."
    )
    for root in added:
        if os.path.isfile(os.path.join(root, "__init__.py")):
            draft.notes.append(
                f"{root} is itself a package: its modules can now be imported under two names, which makes two copies of each."
            )


def _later(draft: Draft) -> list[tuple[str, str]]:
    """Further directories that imports need which run later, inside functions: known from the source alone."""
    ctx = draft.context()
    result: list[tuple[str, str]] = []
    for name in unresolved(draft.backend, ctx):
        if name.lower() in WELL_KNOWN or packages.declared_in(name, draft.backend, ctx):
            continue
        roots = _roots(draft, name, find_module_on_disk(name, draft.backend, ctx))
        if len(roots) == 1 and roots[0] not in [root for _name, root in result]:
            result.append((name, roots[0]))
    return result


def _only_root(draft: Draft, missing: Section) -> Optional[str]:
    """The directory that makes a missing module importable.

    :raises NotEvident: there is none, or more than one.
    """
    name = str(missing["name"])
    roots = _roots(draft, name, missing.get("found_at") or [])
    if len(roots) == 1:
        return roots[0]
    if len(roots) > 1:
        raise NotEvident(
            f"The module {name} lies in several directories of the project ({', '.join(roots[:MAX_SHOWN])}), and which one is meant isn't "
            f"evident: choose with environment_pythonpath."
        )
    if missing.get("kind") == "unknown":
        return None
    raise NotEvident(
        f"The module {name} was not found in the backend's own tree, so no directory can be added to PYTHONPATH: it has to be deployed.",
        [
            f"find / -xdev \\( -name '{missing['top']}' -o -name '{missing['top']}.py' \\) -not -path '*/site-packages/*' 2>/dev/null"
        ],
    )


def _roots(draft: Draft, name: str, places: Sequence[Section]) -> list[str]:
    """Directories of the backend's own tree that hold a module, that its user may read and that nobody else may write."""
    found: dict[str, str] = {}
    who = identity(draft.backend)
    for place in places:
        root = str(place["root"])
        inside = _below(root, draft)
        if place["why"] != "elsewhere_on_disk" or not own(root, draft.backend) or set(inside) & NOT_CODE:
            continue
        access = check(str(place["path"]), who)
        if access.readable and ":" not in root and objection(root, draft.backend) is None:
            found.setdefault(os.path.realpath(root), root)
    return list(found.values())


def _below(root: str, draft: Draft) -> list[str]:
    """The directories between the code and a root: what is called ``tests`` or ``backup`` there is not meant."""
    code_dir = draft.backend.app.code_dir or draft.backend.cwd or "/"
    relative = os.path.relpath(root, code_dir)
    return [part for part in relative.split("/") if part not in (".", "..")]


def _chosen(draft: Draft, wanted: list[str]) -> None:
    """The user's own choice, checked: exactly these directories."""
    for item in wanted:
        if not item.startswith("/") or not os.path.isdir(item) or ":" in item:
            raise Refused(f"{item} is not an existing directory: correct environment_pythonpath.", [f"ls -ld '{item}'"])
        access = check(item, identity(draft.backend))
        if not (access.readable and access.executable):
            raise Refused(f"{draft.backend.user} can't read {item} ({access.reason}).", [f"namei -l '{item}'"])
    present = [
        part for part in draft.backend.environ.get("PYTHONPATH", "").split(":") if part and part not in draft.pretended
    ]
    if present == wanted:
        return
    draft.because(f"PYTHONPATH becomes {':'.join(wanted)}, as environment_pythonpath says.")
    _write(draft, wanted)


def _put(draft: Draft, roots: list[str]) -> None:
    """Add directories behind those that exist; entries that lead nowhere go."""
    cwd = draft.backend.cwd or "/"
    present = [
        part for part in draft.backend.environ.get("PYTHONPATH", "").split(":") if part and part not in draft.pretended
    ]
    kept = [part for part in present if os.path.isdir(os.path.join(cwd, part))]
    gone = [part for part in present if part not in kept]
    if gone:
        draft.because(f"PYTHONPATH names {', '.join(gone)}, which does not exist.")
    _write(draft, [*kept, *(root for root in roots if root not in kept)])


def _write(draft: Draft, entries: list[str]) -> None:
    """Set the variable where its setting counts.

    :raises NotEvident: the interpreter ignores it, or something sets it that no drop-in can overrule.
    """
    backend = draft.backend
    value = ":".join(entries)
    if set("EI") & set(flag_letters(backend)):
        raise NotEvident(
            f"The interpreter is started with an option (-E or -I) that makes it ignore PYTHONPATH, which would have to be {value}: "
            f"take the option away.",
            [f"systemctl cat {backend.name}"],
        )
    origin = backend.environ_origin.get("PYTHONPATH", "Environment=")
    files = [ref.path for ref in backend.env_files if ref.origin.startswith("EnvironmentFile")]
    if origin in files:
        # Environment files win over Environment=, in a drop-in too.
        _write_into(draft, origin, value)
    elif origin in ("Environment=", "PassEnvironment=") or origin.startswith(("systemd", "supervisor", "process")):
        draft.set_variable("PYTHONPATH", value)
    else:
        raise NotEvident(
            f"PYTHONPATH is set by {origin}, which wins over the unit's settings: change it there.",
            [f"PYTHONPATH={value}   # in {origin}"],
        )


def _write_into(draft: Draft, path: str, value: str) -> None:
    """Change the one line of an environment file that sets the variable."""
    real = os.path.realpath(path)
    content = draft.context().read(real)
    lines = re.findall(rb"(?m)^PYTHONPATH=[^\\\n]*$", content.raw)
    if (
        content.error
        or content.truncated
        or len(lines) != 1
        or not re.match(r"[\w./:@+,\-]+\Z", value)
        or objection(real, draft.backend)
    ):
        raise NotEvident(
            f"PYTHONPATH is set in {path}, which wins over the unit's settings: change it there.",
            [f"PYTHONPATH={value}   # in {path}"],
        )
    draft.because(f"PYTHONPATH is set in {path}, which wins over the unit's settings, so that line is changed.")
    draft.rewrite(
        real,
        content.raw.replace(lines[0], b"PYTHONPATH=" + value.encode(), 1),
        "PYTHONPATH leads to directories that exist",
    )
