# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions, version specifiers, requirements and markers by the packaging standards (PEP 440, PEP 503, PEP 508)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from .numerals import whole

_VERSION = re.compile(
    r"\s*v?(?:(?P<epoch>[0-9]+)!)?(?P<release>[0-9]+(?:\.[0-9]+)*)"
    r"(?:[-_.]?(?P<pre_l>alpha|beta|preview|pre|a|b|c|rc)[-_.]?(?P<pre_n>[0-9]+)?)?"
    r"(?:-(?P<post_i>[0-9]+)|[-_.]?(?P<post_l>post|rev|r)[-_.]?(?P<post_n>[0-9]+)?)?"
    r"(?P<dev>[-_.]?dev[-_.]?(?P<dev_n>[0-9]+)?)?"
    r"(?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?\s*\Z",
    re.IGNORECASE,
)
_PRE = {"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc"}
_CLAUSE = re.compile(r"\s*(~=|===|==|!=|<=|>=|<|>|\^|~)?\s*([^\s,]+)\s*\Z")
_REQUIREMENT = re.compile(
    r"\s*(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(?:\[(?P<extras>[^\]]*)\])?\s*"
    r"(?:@\s*(?P<url>\S+)|\(?(?P<spec>(?:(?:~=|===?|!=|<=|>=|<|>)[^;#()]*)?)\)?)\s*(?:;(?P<marker>.*))?\Z",
    re.DOTALL,
)
_TOKEN = re.compile(r"\s*(?:([()])|(['\"])(.*?)\2|(<=|>=|==|!=|~=|===|<|>)|(not\s+in\b|in\b|and\b|or\b)|([A-Za-z_.]+))")

INFINITY = float("inf")
MAX_VERSION = 200


@dataclass(frozen=True)
class Version:
    """One version; ``key`` orders it. ``local`` is what follows the plus sign."""

    text: str
    epoch: int
    release: tuple[int, ...]
    pre: Optional[tuple[str, int]]
    post: Optional[int]
    dev: Optional[int]
    local: Optional[str]

    @property
    def prerelease(self) -> bool:
        return self.pre is not None or self.dev is not None

    @property
    def key(self) -> tuple[Any, ...]:
        """Sorts as PEP 440 says: dev before pre before release before post; local versions after their base."""
        return (*self.public_key, _local_key(self.local))

    @property
    def public_key(self) -> tuple[Any, ...]:
        """Like ``key``, without the local part."""
        release = self.release
        while len(release) > 1 and release[-1] == 0:
            release = release[:-1]
        pre: tuple[Any, ...]
        if self.pre is None and self.post is None and self.dev is not None:
            pre = (-1,)
        elif self.pre is None:
            pre = (1,)
        else:
            pre = (0, *self.pre)
        post = -1 if self.post is None else self.post
        dev = INFINITY if self.dev is None else self.dev
        return (self.epoch, release, pre, post, dev)


def _local_key(local: Optional[str]) -> tuple[Any, ...]:
    if local is None:
        return ()
    return tuple(
        (0, 0, part.lower()) if (number := whole(part)) is None else (1, number, "")
        for part in re.split(r"[-_.]", local)
    )


@dataclass(frozen=True)
class Requirement:
    """One requirement: normalised and written name, specifier such as ``>=1,<2``, marker text, and a URL in place of a version."""

    name: str
    written: str
    extras: tuple[str, ...]
    specifier: str
    marker: str
    url: Optional[str]


def canonical(name: str) -> str:
    """A distribution's name as it is compared: lower case, runs of ``-_.`` as one dash."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse_version(text: str) -> Optional[Version]:
    """The version in a text, or None when it is none."""
    match = _VERSION.match(text) if len(text) <= MAX_VERSION else None
    if not match:
        return None
    part = match.groupdict()
    pre = None
    if part["pre_l"]:
        letter = part["pre_l"].lower()
        pre = (_PRE.get(letter, letter), int(part["pre_n"] or 0))
    post = None
    if part["post_i"] or part["post_l"]:
        post = int(part["post_i"] or part["post_n"] or 0)
    return Version(
        text.strip(),
        int(part["epoch"] or 0),
        tuple(int(item) for item in part["release"].split(".")),
        pre,
        post,
        int(part["dev_n"] or 0) if part["dev"] else None,
        part["local"],
    )


def satisfies(version: str, specifier: str) -> Optional[bool]:
    """Whether a version fits all clauses of a specifier, pre-releases included; None when either can't be understood.

    Poetry's ``^1.2`` and ``~1.2`` count as well; ``||`` separates alternatives.
    """
    if "||" in specifier:
        results = [satisfies(version, part) for part in specifier.split("||")]
        return True if True in results else None if None in results else False
    found = parse_version(version)
    answer: Optional[bool] = True
    for clause in specifier.split(","):
        if not clause.strip() or clause.strip() == "*":
            continue
        match = _CLAUSE.match(clause)
        if not match or (found is None and match.group(1) != "==="):
            return None
        fits = _fits(version, found, match.group(1) or "==", match.group(2))
        if fits is False:
            return False
        answer = None if fits is None else answer
    return answer


def _fits(text: str, found: Optional[Version], operator: str, wanted_text: str) -> Optional[bool]:
    if operator == "===":
        return text.strip().lower() == wanted_text.lower()
    prefix = wanted_text.endswith(".*")
    wanted = parse_version(wanted_text[:-2] if prefix else wanted_text)
    if wanted is None or found is None:
        return None
    if operator in ("==", "!=") and prefix:
        return _begins(found, wanted) is (operator == "==")
    if operator in ("==", "!="):
        equal = found.key == wanted.key if wanted.local else found.public_key == wanted.public_key
        return equal is (operator == "==")
    if operator == "~=":
        series = Version("", wanted.epoch, wanted.release[:-1], None, None, None, None)
        return len(wanted.release) > 1 and found.public_key >= wanted.public_key and _begins(found, series)
    if operator in ("^", "~"):
        return found.public_key >= wanted.public_key and found.release < _poetry_limit(operator, wanted)
    if operator == "<=":
        return found.public_key <= wanted.public_key
    if operator == ">=":
        return found.public_key >= wanted.public_key
    same_release = Version("", found.epoch, found.release, None, None, None, None).public_key == (
        Version("", wanted.epoch, wanted.release, None, None, None, None).public_key
    )
    if operator == "<":
        if found.prerelease and not wanted.prerelease and same_release:
            return False
        return found.public_key < wanted.public_key
    if found.post is not None and wanted.post is None and same_release:
        return False
    return found.public_key > wanted.public_key


def _begins(found: Version, wanted: Version) -> bool:
    release = found.release + (0,) * (len(wanted.release) - len(found.release))
    return found.epoch == wanted.epoch and release[: len(wanted.release)] == wanted.release


def _poetry_limit(operator: str, wanted: Version) -> tuple[int, ...]:
    """The first release that ``^`` or ``~`` no longer allows."""
    release = wanted.release
    last = len(release) - 1
    first_nonzero = next((position for position, part in enumerate(release) if part), last)
    index = min(1, last) if operator == "~" else first_nonzero
    return (*release[:index], release[index] + 1)


def parse_requirement(text: str) -> Optional[Requirement]:
    """A requirement as in metadata and requirements files; None when it is something else."""
    match = _REQUIREMENT.match(text)
    if not match:
        return None
    extras = tuple(canonical(item.strip()) for item in (match.group("extras") or "").split(",") if item.strip())
    return Requirement(
        canonical(match.group("name")),
        match.group("name"),
        extras,
        re.sub(r"\s+", "", match.group("spec") or ""),
        (match.group("marker") or "").strip(),
        match.group("url"),
    )


def marker_environment(python_version: str, machine: str) -> dict[str, str]:
    """The variables of markers for CPython on Linux of the given version."""
    parts = python_version.split(".")
    return {
        "python_version": ".".join(parts[:2]),
        "python_full_version": python_version if len(parts) > 2 else f"{python_version}.0",
        "implementation_version": python_version,
        "os_name": "posix",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": machine,
        "platform_release": "",
        "platform_version": "",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
        "extra": "",
    }


def marker_holds(marker: str, environment: Mapping[str, str]) -> bool:
    """Whether a marker is true; one that can't be understood counts as true."""
    if not marker.strip():
        return True
    tokens: list[tuple[str, str]] = []
    position = 0
    while position < len(marker.rstrip()):
        match = _TOKEN.match(marker, position)
        if not match:
            return True
        position = match.end()
        if match.group(1):
            tokens.append((match.group(1), match.group(1)))
        elif match.group(2):
            tokens.append(("value", match.group(3)))
        elif match.group(4):
            tokens.append(("operator", match.group(4)))
        elif match.group(5):
            word = re.sub(r"\s+", " ", match.group(5))
            tokens.append((word, word) if word in ("and", "or") else ("operator", word))
        else:
            name = match.group(6).replace("os.name", "os_name").replace("sys.platform", "sys_platform")
            tokens.append(("name", name.replace("platform.machine", "platform_machine")))
    try:
        value, rest = _either(tokens, environment, 0)
    except (IndexError, RecursionError):
        return True
    return value if not rest else True


def _either(
    tokens: list[tuple[str, str]], environment: Mapping[str, str], depth: int
) -> tuple[bool, list[tuple[str, str]]]:
    value, tokens = _both(tokens, environment, depth)
    while tokens and tokens[0][0] == "or":
        other, tokens = _both(tokens[1:], environment, depth)
        value = value or other
    return value, tokens


def _both(
    tokens: list[tuple[str, str]], environment: Mapping[str, str], depth: int
) -> tuple[bool, list[tuple[str, str]]]:
    value, tokens = _single(tokens, environment, depth)
    while tokens and tokens[0][0] == "and":
        other, tokens = _single(tokens[1:], environment, depth)
        value = value and other
    return value, tokens


def _single(
    tokens: list[tuple[str, str]], environment: Mapping[str, str], depth: int
) -> tuple[bool, list[tuple[str, str]]]:
    if tokens[0][0] == "(":
        value, tokens = _either(tokens[1:], environment, depth + 1)
        return value, tokens[1:]
    left, operator, right = tokens[0], tokens[1], tokens[2]
    versions = "version" in left[1] + right[1] and "platform_version" not in (left[1], right[1])
    left_value = environment.get(left[1], "") if left[0] == "name" else left[1]
    right_value = environment.get(right[1], "") if right[0] == "name" else right[1]
    return _compare(left_value, operator[1], right_value, versions), tokens[3:]


def _compare(left: str, operator: str, right: str, versions: bool) -> bool:
    if operator in ("in", "not in"):
        return (left in right) is (operator == "in")
    if versions:
        result = satisfies(left, operator + right)
        if result is not None:
            return result
    table = {
        "==": left == right,
        "!=": left != right,
        "<": left < right,
        ">": left > right,
        "<=": left <= right,
        ">=": left >= right,
    }
    return table.get(operator, True)
