# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue: causes as data, one YAML file each, checked when they are loaded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

# Importing these fills the table of signals.
from . import (  # noqa: F401  # pylint: disable=unused-import
    signals_bind,
    signals_exceptions,
    signals_imports,
    signals_network,
    signals_resources,
    signals_service,
    signals_settings,
)
from .conditions import Condition, ConditionError, compile_condition
from .subjects import SLOT, STANDARD

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML without libyaml
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

CAUSES_DIR = Path(__file__).parent / "causes"
COLLECTION_DIR = Path(__file__).parents[3]
FAMILIES = ("imports", "settings", "network", "backing_services", "resources", "supervision", "verdict")
_EXAMPLES = "\nexamples:\n"
_ID = re.compile(r"^[a-z][a-z0-9_]{2,40}$")
_REQUIRED = ("id", "title", "family", "explanation", "next_check")
_OPTIONAL = {
    "likely", "against", "requires", "excludes", "ruled_out", "explains", "subject", "remediation", "handover",
    "references", "prior", "permanent", "fallback",
}  # fmt: skip
_REMEDIATION = {"role", "vars", "automatic", "when", "why_not", "instead"}
_HANDOVER = {"commands", "ask", "note"}


class CatalogueError(ValueError):
    """A cause file is wrong; the message names the file, the line and the key."""


class Marked(dict[str, Any]):
    """A mapping that knows the line (1-based) at which it and its keys stand in the file."""

    line: int = 0
    key_lines: dict[str, int]


@dataclass(frozen=True)
class Remediation:
    """What repairs a cause: role without its ``fix_``, variables with slots, and when it may run unattended.

    The first of ``instead`` whose own ``when`` holds takes its place.
    """

    role: str | None = None
    vars: Mapping[str, str] = field(default_factory=dict)
    automatic: bool = False
    when: tuple[Condition, ...] = ()
    why_not: str = ""
    instead: tuple[Remediation, ...] = ()


@dataclass(frozen=True)
class RuledOut:
    """A fact that shows that a cause is not it, with the sentence to print."""

    condition: Condition
    says: str


@dataclass(frozen=True)
class Cause:
    """One entry of the catalogue. ``fallback`` marks causes that only hold while nothing more specific does;
    ``permanent`` those that don't heal by themselves, so that an error before a successful start still counts."""

    id: str
    title: str
    family: str
    explanation: str
    next_check: str
    likely: tuple[Condition, ...] = ()
    against: tuple[Condition, ...] = ()
    requires: tuple[Condition, ...] = ()
    excludes: tuple[Condition, ...] = ()
    ruled_out: tuple[RuledOut, ...] = ()
    explains: tuple[str, ...] = ()
    subject: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    remediation: Remediation = Remediation()
    commands: tuple[str, ...] = ()
    ask: str = ""
    note: str = ""
    references: tuple[str, ...] = ()
    prior: float = 0.0
    permanent: bool = False
    fallback: bool = False
    file: str = ""


@dataclass(frozen=True)
class Catalogue:
    """All causes by id, and the fix roles (``symlink``, ``port``, …) that exist in this collection."""

    causes: Mapping[str, Cause]
    built_roles: frozenset[str] = frozenset()
    min_confidence: float = 0.8
    min_margin: float = 0.25


def load_catalogue(paths: Iterable[str | Path] = (), collection: Path = COLLECTION_DIR) -> Catalogue:
    """Read the collection's causes and those of further files or directories.

    :param paths: directories with ``*.yml`` or single files, beside the collection's own causes.
    :param collection: the collection's root, whose ``roles/fix_*`` tell which fixes exist.
    :raises CatalogueError: for the first thing that is wrong, with file, line and key.
    """
    causes: dict[str, Cause] = {}
    for path in [CAUSES_DIR, *paths]:
        for file in cause_files(path):
            cause = load_cause(file)
            if cause.id in causes:
                raise CatalogueError(f"{file}: the id {cause.id!r} is already that of {causes[cause.id].file}")
            causes[cause.id] = cause
    for cause in causes.values():
        for other in cause.explains:
            if other not in causes and other != "*":
                raise CatalogueError(f"{cause.file}: 'explains' names {other!r}, which is no cause")
    roles = frozenset(role.name.removeprefix("fix_") for role in collection.glob("roles/fix_*") if role.is_dir())
    return Catalogue(causes, roles)


def cause_files(path: str | Path) -> list[Path]:
    """The cause files of a directory, or the one file.

    :raises CatalogueError: there is none.
    """
    path = Path(path)
    if not path.exists():
        raise CatalogueError(f"{path}: there is no such file or directory of causes")
    files = sorted(path.glob("*.yml")) if path.is_dir() else [path]
    if not files:
        raise CatalogueError(f"{path}: there is no cause in this directory; cause files end in .yml")
    return files


def load_cause(file: Path) -> Cause:
    """Read one cause file; its ``examples``, which stand last, are left to :func:`load_examples`.

    :raises CatalogueError: see :func:`load_catalogue`.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise CatalogueError(f"{file}: can't be read: {exc}") from exc
    # The examples are the larger part and only tests need them, so they aren't parsed at run time.
    try:
        return _cause(_parse(text.partition(_EXAMPLES)[0], file), file)
    except RecursionError as exc:
        raise CatalogueError(f"{file}: nested too deeply") from exc


def load_examples(file: Path) -> list[dict[str, Any]]:
    """The examples of a cause file: mappings with name, expect (hit, miss, look_alike), log, evidence, is.

    :raises CatalogueError: when they aren't a list.
    """
    text = file.read_text(encoding="utf-8")
    head, found, tail = text.partition(_EXAMPLES)
    # Empty lines stand for what comes before, so that an error names the line of the file.
    padding = "\n" * (head.count("\n") + 2)
    try:
        examples = yaml.load(padding + tail, Loader=_Loader) if found else []
    except yaml.YAMLError as exc:
        raise CatalogueError(f"{file}: {exc}") from exc
    if not isinstance(examples, list):
        raise CatalogueError(f"{file}: 'examples', the last key, is a list")
    return examples


def _parse(text: str, file: Path) -> Marked:
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as exc:
        raise CatalogueError(f"{file}: {exc}") from exc
    if not isinstance(node, yaml.MappingNode):
        raise CatalogueError(f"{file}:1: a cause is a mapping with {', '.join(_REQUIRED)}")
    result = _construct(node)
    if not isinstance(result, Marked):
        raise CatalogueError(f"{file}: a cause is a mapping")
    return result


def _construct(node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        marked = Marked()
        marked.line = node.start_mark.line + 1
        marked.key_lines = {}
        for key, value in node.value:
            marked[str(key.value)] = _construct(value)
            marked.key_lines[str(key.value)] = key.start_mark.line + 1
        return marked
    if isinstance(node, yaml.SequenceNode):
        return [_construct(item) for item in node.value]
    return _scalar(node)


def _scalar(node: yaml.Node) -> Any:
    value = node.value
    if node.tag.endswith(":int"):
        return int(value)
    if node.tag.endswith(":float"):
        return float(value)
    if node.tag.endswith(":bool"):
        return str(value).lower() in ("true", "yes", "on")
    return None if node.tag.endswith(":null") else value


def _cause(data: Marked, file: Path) -> Cause:
    def fail(key: str, message: str) -> CatalogueError:
        return CatalogueError(f"{file}:{data.key_lines.get(key, data.line)}: '{key}': {message}")

    for key in data:
        if key not in _REQUIRED and key not in _OPTIONAL:
            raise fail(key, f"unknown key; known are {', '.join(sorted({*_REQUIRED, *_OPTIONAL}))}")
    for key in _REQUIRED:
        if not isinstance(data.get(key), str) or not data[key].strip():
            raise fail(key, "must be a non-empty text")
    if not _ID.match(data["id"]):
        raise fail("id", "small letters, digits and underscores")
    if data["family"] not in FAMILIES:
        raise fail("family", f"one of {', '.join(FAMILIES)}")
    for key in ("likely", "against", "requires", "excludes", "ruled_out", "explains", "references"):
        if key in data and not isinstance(data[key], list):
            raise fail(key, "must be a list")
    for key in ("subject", "remediation", "handover"):
        if key in data and not isinstance(data[key], Marked):
            raise fail(key, "must be a mapping")
    subject = {
        slot: tuple(source if isinstance(source, list) else [source])
        for slot, source in data.get("subject", {}).items()
    }
    handover = data.get("handover", Marked())
    for key in set(handover) - _HANDOVER:
        raise fail("handover", f"unknown key {key!r}; known are {', '.join(sorted(_HANDOVER))}")
    cause = Cause(
        id=data["id"],
        title=data["title"],
        family=data["family"],
        explanation=" ".join(data["explanation"].split()),
        next_check=" ".join(data["next_check"].split()),
        likely=_conditions(data, "likely", file),
        against=_conditions(data, "against", file),
        requires=_conditions(data, "requires", file),
        excludes=_conditions(data, "excludes", file),
        ruled_out=tuple(_ruled_out(item, file) for item in data.get("ruled_out", [])),
        explains=tuple(data.get("explains", [])),
        subject=subject,
        remediation=_remediation(data, file, fail),
        commands=tuple(handover.get("commands", [])),
        ask=" ".join(str(handover.get("ask", "")).split()),
        note=" ".join(str(handover.get("note", "")).split()),
        references=tuple(data.get("references", [])),
        prior=float(data.get("prior", 0)),
        permanent=bool(data.get("permanent", False)),
        fallback=bool(data.get("fallback", False)),
        file=str(file),
    )
    _check_slots(cause, fail)
    return cause


def _conditions(data: Marked, key: str, file: Path) -> tuple[Condition, ...]:
    compiled = []
    for item in data.get(key, []):
        line = item.line if isinstance(item, Marked) else data.key_lines[key]
        try:
            condition = compile_condition(item)
        except ConditionError as exc:
            raise CatalogueError(f"{file}:{line}: '{key}': {exc}") from exc
        if key in ("likely", "against") and not condition.weight:
            raise CatalogueError(f"{file}:{line}: '{key}': the condition needs a 'weight' above 0")
        compiled.append(condition)
    return tuple(compiled)


def _ruled_out(item: Any, file: Path) -> RuledOut:
    line = item.line if isinstance(item, Marked) else 1
    if not isinstance(item, Marked) or set(item) != {"when", "says"}:
        raise CatalogueError(f"{file}:{line}: 'ruled_out': each entry has 'when' and 'says'")
    try:
        return RuledOut(compile_condition(item["when"]), str(item["says"]))
    except ConditionError as exc:
        raise CatalogueError(f"{file}:{line}: 'ruled_out': {exc}") from exc


def _remediation(data: Marked, file: Path, fail: Any) -> Remediation:
    block = data.get("remediation")
    return Remediation() if block is None else _remediation_of(block, file, fail)


def _remediation_of(block: Marked, file: Path, fail: Any) -> Remediation:
    if set(block) - _REMEDIATION:
        raise fail("remediation", f"known keys are {', '.join(sorted(_REMEDIATION))}")
    return Remediation(
        role=block.get("role"),
        vars={key: str(value) for key, value in block.get("vars", {}).items()},
        automatic=bool(block.get("automatic", False)),
        when=_conditions(block, "when", file) if "when" in block else (),
        why_not=" ".join(str(block.get("why_not", "")).split()),
        instead=tuple(_instead(other, file, fail) for other in block.get("instead", [])),
    )


def _instead(block: Any, file: Path, fail: Any) -> Remediation:
    if (
        not isinstance(block, Marked)
        or not block.keys() & {"role", "why_not"}
        or not block.get("when")
        or "instead" in block
    ):
        raise fail(
            "remediation",
            "each entry of 'instead' is a mapping with 'when' and 'role', or 'why_not' where none helps, and no 'instead' of its own",
        )
    return _remediation_of(block, file, fail)


def _check_slots(cause: Cause, fail: Any) -> None:
    """Every slot of a text must be one that the subject can have, so that no text prints a brace."""
    texts = {
        "explanation": [cause.explanation],
        "next_check": [cause.next_check],
        "handover": [*cause.commands, cause.ask, cause.note],
        "remediation": [
            text
            for plan in (cause.remediation, *cause.remediation.instead)
            for text in (*plan.vars.values(), plan.why_not)
        ],
    }
    known = {*cause.subject, *STANDARD}
    for key, values in texts.items():
        for value in values:
            for match in SLOT.finditer(value):
                if match.group(1) not in known:
                    raise fail(key, f"the slot {{{match.group(1)}}} is not in 'subject' ({', '.join(sorted(known))})")
