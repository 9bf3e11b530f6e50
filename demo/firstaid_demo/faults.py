# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults as data (demo/faults/*.yml), and the few operations that plant them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

DEMO = Path(__file__).resolve().parents[1]


class DemoError(Exception):
    """The demo can't go on; the message says why and what to do."""


@dataclass(frozen=True)
class Fault:
    """``show`` is how the fault becomes visible, see ``supervisor.SHOWN``; ``needs`` is what it can't be planted without.

    ``expect`` holds the cause and state that must be diagnosed, and a text that the answer must contain.
    """

    name: str
    title: str
    story: str
    plant: list[dict[str, dict[str, str]]]
    show: str
    expect: dict[str, str]
    needs: str = ""


def names() -> list[str]:
    """All faults, in alphabetical order."""
    return sorted(path.stem for path in (DEMO / "faults").glob("*.yml"))


def load(name: str) -> Fault:
    """:raises DemoError: there is no such fault."""
    if name not in names():
        raise DemoError(f"there is no fault {name!r}; these exist: {', '.join(names())}")
    data: dict[str, Any] = yaml.safe_load((DEMO / "faults" / f"{name}.yml").read_text(encoding="utf-8"))
    return Fault(name=name, **data)


def plant(fault: Fault, root: Path, values: Mapping[str, str]) -> None:
    """Lay the intact backend into ``root``, break it, and fill in paths and ports."""
    shutil.copytree(DEMO / "backend", root, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for directory in ("var/log", "var/lib/orders"):
        (root / directory).mkdir(parents=True)
    late = [step for step in fault.plant if "mode" in step]
    for step in [step for step in fault.plant if step not in late]:
        _apply(step, root, fault)
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            text = path.read_text(encoding="utf-8")
            filled = fill(text, values)
            if filled != text:
                path.write_text(filled, encoding="utf-8")
    for step in late:
        _apply(step, root, fault)


def fill(text: str, values: Mapping[str, str]) -> str:
    """``@NAME@`` replaced by the value of that name."""
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _apply(step: Mapping[str, Mapping[str, str]], root: Path, fault: Fault) -> None:
    for operation, given in step.items():
        path = root / given["path"]
        if operation not in ("move", "remove"):
            path.parent.mkdir(parents=True, exist_ok=True)
        _OPERATIONS[operation](path, given, root, fault)


def _write(path: Path, given: Mapping[str, str], _root: Path, _fault: Fault) -> None:
    path.write_text(given["text"], encoding="utf-8")


def _append(path: Path, given: Mapping[str, str], _root: Path, _fault: Fault) -> None:
    path.write_text(path.read_text(encoding="utf-8") + given["text"], encoding="utf-8")


def _replace(path: Path, given: Mapping[str, str], _root: Path, fault: Fault) -> None:
    text = path.read_text(encoding="utf-8")
    if given["old"] not in text:
        raise DemoError(f"demo/faults/{fault.name}.yml no longer fits: {given['path']} has no {given['old']!r}")
    path.write_text(text.replace(given["old"], given["new"], 1), encoding="utf-8")


def _remove(path: Path, _given: Mapping[str, str], _root: Path, _fault: Fault) -> None:
    path.unlink()


def _move(path: Path, given: Mapping[str, str], root: Path, _fault: Fault) -> None:
    path.rename(root / given["to"])


def _link(path: Path, given: Mapping[str, str], _root: Path, _fault: Fault) -> None:
    path.symlink_to(given["to"])


def _mode(path: Path, given: Mapping[str, str], _root: Path, _fault: Fault) -> None:
    path.chmod(int(given["mode"], 8))


_OPERATIONS = {
    "write": _write,
    "append": _append,
    "replace": _replace,
    "remove": _remove,
    "move": _move,
    "link": _link,
    "mode": _mode,
}
