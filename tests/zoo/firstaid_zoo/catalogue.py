# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults as they are written in tests/zoo/faults/*.yml."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

FAULTS = Path(__file__).resolve().parent.parent / "faults"
HOSTILE = FAULTS.with_name("hostile")
PYTHONS = {"d11": "3.9", "d12": "3.11", "d13": "3.13"}
WARM_KEYS = {"restarts", "state", "result", "active_s", "active", "listens", "journal", "times", "ran"}
EXPECT_KEYS = {
    "root",
    "accept",
    "contributing",
    "forbidden",
    "subject",
    "mentions",
    "confidence",
    "state",
    "discovered",
}


REPAIR_KEYS = {
    "expected",
    "fix",
    "why",
    "vars",
    "answers",
    "may_change",
    "becomes",
    "running",
    "leftovers",
    "told",
    "interrupt",
    "discovery",
    "brief",
}
VERDICTS = ("healed", "rolled_back", "handed_over")


class CatalogueError(Exception):
    """A fault is written in a way that can't be planted; says which file and why."""


@dataclass(frozen=True)
class Expect:
    """What the diagnosis has to say."""

    root: str
    accept: tuple[str, ...] = ()
    contributing: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    subject: str = ""
    mentions: tuple[str, ...] = ()
    confidence: dict[str, float] = field(default_factory=dict)
    state: tuple[str, ...] = ()
    # Whether it has to be found without being named; None: both are right.
    discovered: bool | None = True

    def right(self, cause: str) -> bool:
        """Tell whether this answer is the right one, or one that can't be told from it by the evidence."""
        return cause == self.root or cause in self.accept


@dataclass(frozen=True)
class Answers:
    """What has to come back over HTTP from the host itself; `body` is a part of it."""

    port: int
    path: str = "/"
    status: int = 200
    body: str = ""


@dataclass(frozen=True)
class Repair:
    """What fix-backend-crash.yml has to make of a fault, and what it may touch on the way."""

    expected: str
    # The fixes that have to be applied, in their order; none where a fault is handed over untouched.
    fix: tuple[str, ...] = ()
    why: str = ""
    vars: dict[str, Any] = field(default_factory=dict)
    answers: Answers | None = None
    # Paths (patterns) that may be new, changed or gone; all else stays as it was.
    may_change: tuple[str, ...] = ()
    # Path → a text that it has to hold afterwards, or a link's target as `-> target`.
    becomes: dict[str, str] = field(default_factory=dict)
    # Whether the service has to run afterwards; by default when it was healed.
    running: bool | None = None
    # Files with the PIDs of processes of this backend outside its unit, which a fix may end.
    leftovers: tuple[str, ...] = ()
    # What HANDOVER.md has to say.
    told: tuple[str, ...] = ()
    # What happens in the middle of the repair: a key of interruptions.KINDS.
    interrupt: str = ""
    # Also repaired in the batch that names no service.
    discovery: bool = False
    # One of the few that stand for all where time is short.
    brief: bool = False

    @property
    def runs(self) -> bool:
        """Whether the service has to run afterwards."""
        return self.expected == "healed" if self.running is None else self.running


@dataclass(frozen=True)
class Fault:
    """One fault on one kind of host; `hosts` are where it can live, the first is where it lives by default."""

    name: str
    story: str
    hosts: tuple[str, ...]
    service: str
    unit: str
    warm: dict[str, Any]
    expect: Expect
    users: tuple[str, ...] = ()
    trees: tuple[str, ...] = ()
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    dirs: dict[str, dict[str, str]] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    venvs: dict[str, Any] = field(default_factory=dict)
    wheels: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    dropins: dict[str, str] = field(default_factory=dict)
    companions: dict[str, str] = field(default_factory=dict)
    before: tuple[tuple[str, ...], ...] = ()
    after: tuple[tuple[str, ...], ...] = ()
    undo: tuple[tuple[str, ...], ...] = ()
    start: str = "now"
    canaries: tuple[str, ...] = ()
    steady: tuple[str, ...] = ()
    changing: tuple[str, ...] = ()
    repair: Repair | None = None

    @property
    def unit_name(self) -> str:
        """The service as systemd names it."""
        return f"{self.service}.service"


def load(names: list[str] | None = None, folder: Path = FAULTS) -> list[Fault]:
    """Read the faults of these names, or all, in the order of their names."""
    faults = [_read(path) for path in sorted(folder.glob("*.yml"))]
    unknown = set(names or ()) - {fault.name for fault in faults}
    if unknown:
        raise CatalogueError(f"no such fault: {', '.join(sorted(unknown))}; `tests/zoo/zoo list` shows all")
    services = [fault.service for fault in faults]
    doubled = sorted({service for service in services if services.count(service) > 1})
    if doubled:
        raise CatalogueError(
            f"two faults use the same service name, so they can't live side by side: {', '.join(doubled)}"
        )
    return [fault for fault in faults if not names or fault.name in names]


def place(faults: list[Fault], everywhere: bool) -> dict[str, list[Fault]]:
    """Say which faults live on which host: each on its first one, or on each where it can."""
    return {
        host: [fault for fault in faults if host in (fault.hosts if everywhere else fault.hosts[:1])]
        for host in PYTHONS
    }


def fill_in(text: str, host: str) -> str:
    """Put the host's Python version in the place of @PYTHON@."""
    return text.replace("@PYTHON@", PYTHONS[host])


def _read(path: Path) -> Fault:
    data = yaml.safe_load(path.read_text())
    try:
        expect = data.pop("expect")
        repair = data.pop("repair", None)
        _refuse_unknown(path, "warm", set(data["warm"]) - WARM_KEYS)
        _refuse_unknown(path, "expect", set(expect) - EXPECT_KEYS)
        _refuse_unknown(path, "hosts", set(data["hosts"]) - set(PYTHONS))
        data["files"] = {name: _file(content) for name, content in data.get("files", {}).items()}
        frozen = {key: _frozen(value) for key, value in data.items()}
        return Fault(
            name=path.stem,
            expect=Expect(**{key: _frozen(value) for key, value in expect.items()}),
            repair=_repair(path, repair) if repair else None,
            **frozen,
        )
    except (KeyError, TypeError) as error:
        raise CatalogueError(f"{path.name}: {error}") from error


def _repair(path: Path, data: dict[str, Any]) -> Repair:
    _refuse_unknown(path, "repair", set(data) - REPAIR_KEYS)
    if data["expected"] not in VERDICTS:
        raise CatalogueError(f"{path.name}: repair expects {data['expected']}, not one of {', '.join(VERDICTS)}")
    values = {key: _frozen(value) for key, value in data.items()}
    values["fix"] = _frozen(_list(data.get("fix", [])))
    values["answers"] = Answers(**data["answers"]) if "answers" in data else None
    repair = Repair(**values)
    if repair.expected == "healed" and not repair.fix:
        raise CatalogueError(f"{path.name}: repair names no fix that heals it")
    if (
        repair.expected == "healed"
        and not repair.may_change
        and "port" not in repair.fix
        and "clean_restart" not in repair.fix
    ):
        raise CatalogueError(f"{path.name}: repair names no path that the fix may change")
    unreadable = [place for place in repair.may_change if not place.startswith("/")]
    if unreadable:
        raise CatalogueError(f"{path.name}: may_change has paths that are not absolute: {', '.join(unreadable)}")
    return repair


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _refuse_unknown(path: Path, where: str, unknown: set[str]) -> None:
    if unknown:
        raise CatalogueError(f"{path.name}: {where} has unknown entries: {', '.join(sorted(unknown))}")


def _file(content: str | dict[str, Any]) -> dict[str, Any]:
    return content if isinstance(content, dict) else {"text": content}


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
