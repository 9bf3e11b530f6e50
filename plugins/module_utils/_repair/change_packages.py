# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kind ``packages``: installs into one environment, and brings back exactly what was there.

Options of such a change: ``environment`` and ``tool`` (fields of those classes), ``pins`` (name -> {line, version, extras}), ``remove``
(metadata of broken distributions), ``whole`` (what will be replaced isn't known, so everything is kept), ``expected`` (name -> version),
``sources`` (see ``packages_install.install``).
"""

from __future__ import annotations

import csv
import json
import os
import platform
import time
from collections.abc import Iterable, Mapping
from typing import Any

from .._evidence.context import Context
from .._evidence.packages import conflicts
from .._evidence.packages_installed import Distribution, record_paths, scan
from .._evidence.requirements_versions import canonical, marker_environment, marker_holds, parse_requirement, satisfies
from .changes import ChangeError, Means, Record, State
from .model import Change
from .packages_install import Environment, Tool, check, failure, install
from .packages_tree import MIB, Listing, Tree, digest, kept_content, roots_of
from .store import NoKeep

# Up to this size all files of an environment are kept, also those that an installation isn't expected to touch.
KEEP_ALL_BYTES = 64 * MIB
MAX_WAVES = 25


class Packages:
    """See ``Kind``. ``apply`` is not one step: what was interrupted is undone."""

    reversible = True
    atomic = False

    def before(self, change: Change, means: Means) -> State:
        """The listing of the environment, its set of distributions, and the content of what may be replaced."""
        environment = _environment(change.options)
        roots = roots_of(environment.prefix, environment.sites)
        with Tree(environment.prefix, roots) as tree:
            listing = tree.listing()
            wanted = [] if isinstance(means.keep, NoKeep) else _to_keep(change, environment, listing, means.ctx)
            content = tree.keep(wanted, listing, means.keep)
            if digest(tree.listing()) != digest(listing):
                raise ChangeError(f"{environment.prefix} changes right now: is another installation running?")
        return {
            "prefix": environment.prefix,
            "sites": list(environment.sites),
            "roots": roots,
            "digest": digest(listing),
            "listing": means.keep.write(json.dumps(listing).encode(), "-listing.json"),
            "content": content,
            "packages": installed_set(environment.sites, means.ctx),
        }

    def after(self, change: Change, before: State, means: Means) -> State:
        """The set of distributions that is expected."""
        expected = expected_set(before["packages"], change.options.get("expected") or {})
        # A broken distribution comes back at its own version: the sets being equal doesn't mean that nothing is to be done.
        return {"packages": expected, "installed": True}

    def apply(self, change: Change, record: Record, means: Means) -> None:
        """Remove what is broken, install, and see that all is as it should be."""
        environment, tool, before = _environment(change.options), _tool(change.options), record["before"]
        with Tree(environment.prefix, before["roots"]) as tree:
            if digest(tree.listing()) != before["digest"]:
                raise ChangeError(f"{environment.prefix} was changed since it was looked at: start again.")
            known = _conflicts(environment, means.ctx)
            for path in change.options.get("remove") or []:
                _remove_distribution(tree, str(path), environment, means.ctx)
            _install(change, environment, tool, means.ctx)
            _prove(change, environment, means.ctx)
            complaints = check(environment, tool, means.ctx)
            fresh = [line for line in complaints if not any(name in line and other in line for name, other in known)]
            if fresh:
                raise ChangeError(f"what was installed does not fit the rest: {'; '.join(fresh[:4])}")
            os.sync()
            packages = installed_set(environment.sites, means.ctx)
            record["after"] = {
                "packages": packages,
                "installed": True,
                "digest": digest(tree.listing()),
                "complaints": complaints[:20],
            }

    def undo(self, record: Record, means: Means) -> None:
        """Remove what is new, bring back what is gone or differs."""
        before = record["before"]
        listing: Listing = json.loads(means.keep.read(before["listing"]))
        with Tree(before["prefix"], before["roots"]) as tree:
            tree.restore(listing, kept_content(means.keep, before["content"]))

    def is_before(self, record: Record, means: Means) -> bool:
        """Whether the listing is the former one."""
        return _digest(record["before"]) == str(record["before"]["digest"])

    def is_after(self, record: Record, means: Means) -> bool:
        """Whether the listing is the one that the installation left; false while that isn't known."""
        after = record.get("after") or {}
        return _digest(record["before"]) == str(after.get("digest") or "unknown")

    def diff(self, change: Change, before: State, means: Means) -> dict[str, str]:
        """The set of distributions before and, as far as it is known, after."""
        header = f"packages of {change.path}"
        expected = expected_set(before["packages"], change.options.get("expected") or {})
        if not change.options.get("expected"):
            expected += [f"# and: {line.split(' --hash')[0]}" for line in change.requirements]
        return {
            "before": "\n".join(before["packages"]) + "\n",
            "after": "\n".join(expected) + "\n",
            "before_header": header,
            "after_header": header,
        }


PACKAGES = Packages()


def installed_set(sites: Iterable[str], ctx: Context) -> list[str]:
    """``name==version`` of all distributions in these directories, sorted."""
    found = scan(list(sites), _reading(ctx))
    return sorted(f"{item.name}=={item.version}" for item in found.distributions)


def _conflicts(environment: Environment, ctx: Context) -> set[tuple[str, str]]:
    """Pairs of distributions that don't fit: the one that requires, and what it requires."""
    inventory = scan(environment.sites, _reading(ctx))
    markers = marker_environment(environment.version, platform.machine())
    found = conflicts(inventory, inventory.by_key(), markers)
    parsed = [(item["name"], parse_requirement(item["requires"])) for item in found]
    return {(name, requirement.written) for name, requirement in parsed if requirement}


def expected_set(former: Iterable[str], expected: Mapping[str, str]) -> list[str]:
    """The former set with what is expected to be installed put in."""
    wanted = {canonical(name) for name in expected}
    kept = [line for line in former if canonical(line.split("==")[0]) not in wanted]
    return sorted([*kept, *(f"{name}=={version}" if version else name for name, version in expected.items())])


def _environment(options: Mapping[str, Any]) -> Environment:
    values = dict(options["environment"])
    values.update(sites=tuple(values["sites"]), groups=tuple(values.get("groups") or ()))
    return Environment(**values)


def _tool(options: Mapping[str, Any]) -> Tool:
    values = dict(options["tool"])
    values.update(words=tuple(values["words"]), version=tuple(values["version"]))
    return Tool(**values)


def _reading(ctx: Context) -> Context:
    """A context whose time isn't used up: an installation takes longer than the budget for reading."""
    return Context(ctx.params, time.monotonic() + 30, ctx.secrets, ctx.euid)


def _digest(before: State) -> str:
    with Tree(before["prefix"], before["roots"]) as tree:
        return digest(tree.listing())


def _to_keep(change: Change, environment: Environment, listing: Listing, ctx: Context) -> list[str]:
    """Paths whose content has to be kept: of what is replaced or removed, and everything where that isn't much."""
    size = sum(entry[4] for entry in listing.values() if entry[0] == "file")
    if change.options.get("whole") or size <= KEEP_ALL_BYTES:
        return list(listing)
    pins: Mapping[str, Any] = change.options.get("pins") or {}
    removed = set(change.options.get("remove") or [])
    prefix = os.path.realpath(environment.prefix)
    result = [path for path in listing if path.startswith("bin/")]
    for item in scan(environment.sites, _reading(ctx)).distributions:
        metadata = os.path.relpath(os.path.realpath(item.path), prefix)
        pin = pins.get(item.key)
        if metadata in removed or (pin and pin.get("version") != item.version):
            result += _paths_of(item, metadata, prefix, listing, ctx)
    return result


def _paths_of(item: Distribution, metadata: str, prefix: str, listing: Listing, ctx: Context) -> list[str]:
    """All that may belong to a distribution: its files by RECORD, and all in its packages' directories."""
    site = os.path.dirname(metadata)
    files = [os.path.normpath(os.path.join(site, line)) for line in recorded(item, ctx)]
    tops = {f"{site}/{path[len(site) + 1 :].split('/')[0]}" for path in files if path.startswith(f"{site}/")}
    tops |= {metadata, f"{site}/{item.key.replace('-', '_')}", f"{site}/{item.key}"}
    inside = tuple(f"{top}/" for top in tops)
    return [path for path in listing if path in tops or path.startswith(inside)] + files


def recorded(item: Distribution, ctx: Context) -> list[str]:
    """The paths in a distribution's RECORD as they stand there, relative to its site directory."""
    content = ctx.read(os.path.join(item.path, "RECORD"), 32 * MIB)
    if content.error:
        return record_paths(item, ctx)
    return [row[0] for row in csv.reader(content.text.splitlines()) if row and not row[0].startswith("/")]


def _remove_distribution(tree: Tree, metadata: str, environment: Environment, ctx: Context) -> None:
    """Take away a broken distribution, so that the installer doesn't stumble over it."""
    site = os.path.dirname(metadata)
    full = os.path.join(tree.prefix, metadata)
    item = Distribution("", "", os.path.dirname(full), full)
    for line in recorded(item, _reading(ctx)) if metadata.endswith(".dist-info") else []:
        path = os.path.normpath(os.path.join(site, line))
        if path.startswith(tuple(f"{root}/" for root in tree.roots)):
            tree.remove(path)
    tree.remove(metadata)


def _install(change: Change, environment: Environment, tool: Tool, ctx: Context) -> None:
    """With pins: exactly those, wave by wave, until nothing that they require is missing. Else the installer resolves."""
    sources = change.options.get("sources") or {}
    pins: Mapping[str, Any] = change.options.get("pins") or {}
    if not pins:
        _run(environment, tool, list(change.requirements), sources, ctx)
        return
    wave = {canonical(str(name)): list(pins[name].get("extras") or []) for name in change.options["first"]}
    done: set[str] = set()
    for _number in range(MAX_WAVES):
        hashed = [pins[name]["line"] for name in wave if "--hash=" in pins[name]["line"]]
        plain = [pins[name]["line"] for name in wave if "--hash=" not in pins[name]["line"]]
        if hashed:
            _run(environment, tool, hashed, sources, ctx, "--no-deps", "--require-hashes")
        if plain:
            _run(environment, tool, plain, sources, ctx, "--no-deps")
        done |= set(wave)
        wave = _unmet(environment, wave, pins, done, ctx)
        _refuse_replacement(change, environment, wave, ctx)
        if not wave:
            return
    raise ChangeError("the requirements of what was installed don't come to an end")


def _refuse_replacement(change: Change, environment: Environment, wave: Mapping[str, list[str]], ctx: Context) -> None:
    """In an environment that others use too, nothing that they may need is replaced."""
    present = scan(environment.sites, _reading(ctx)).by_key() if change.options.get("additive") and wave else {}
    replaced = sorted(set(wave) & set(present))
    if replaced:
        raise ChangeError(
            f"{', '.join(replaced)} would be replaced in {environment.prefix}, which others use too: set dependencies_allow_shared"
        )


def _run(
    environment: Environment, tool: Tool, lines: list[str], sources: Mapping[str, Any], ctx: Context, *words: str
) -> None:
    result = install(environment, tool, lines, sources, ctx, *words)
    if not result.ok:
        raise ChangeError(failure(result, tool))


def _unmet(
    environment: Environment, wave: Mapping[str, list[str]], pins: Mapping[str, Any], done: set[str], ctx: Context
) -> dict[str, list[str]]:
    """What the distributions of a wave require and isn't there yet: name -> extras."""
    installed = scan(environment.sites, _reading(ctx)).by_key()
    result: dict[str, list[str]] = {}
    for name, extras in wave.items():
        item = installed.get(name)
        for text in item.requires if item else []:
            requirement = parse_requirement(text)
            if requirement is None or not _applies(requirement.marker, environment, extras):
                continue
            found = installed.get(requirement.name)
            fits = found is not None and satisfies(found.version, requirement.specifier) is not False
            if fits and not (requirement.extras and requirement.name not in done):
                continue
            if requirement.name not in pins:
                if fits:
                    continue
                raise ChangeError(
                    f"{name} needs {requirement.name}{requirement.specifier}, for which the lock file has no version: it is out of date"
                )
            if requirement.name not in done:
                result.setdefault(requirement.name, []).extend(requirement.extras)
    return result


def _applies(marker: str, environment: Environment, extras: Iterable[str]) -> bool:
    known = marker_environment(environment.version, platform.machine())
    return any(marker_holds(marker, {**known, "extra": extra}) for extra in ["", *extras])


def _prove(change: Change, environment: Environment, ctx: Context) -> None:
    """Whether what was asked for is there now: a foreign configuration can send installers elsewhere."""
    installed = scan(environment.sites, _reading(ctx)).by_key()
    for line in change.requirements:
        requirement = parse_requirement(line.split(" --hash")[0])
        if requirement is None or not marker_holds(
            requirement.marker, marker_environment(environment.version, platform.machine())
        ):
            continue
        found = installed.get(requirement.name)
        if found is None:
            raise ChangeError(
                f"{requirement.written} is still not in {environment.prefix}: does a configuration of the installer name another target?"
            )
        if requirement.specifier and satisfies(found.version, requirement.specifier) is False:
            raise ChangeError(f"{found.name} {found.version} was installed, {requirement.specifier} is required")
