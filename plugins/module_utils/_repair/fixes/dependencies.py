# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Installs what the project declares and its environment lacks or has at a version that doesn't fit.

Options: ``module`` (a module that can't be imported) or ``package`` (a distribution or module that doesn't fit); ``all`` (install every
declared distribution, also those that the code doesn't import); ``wheel_dir``; ``index_url``; ``allow_shared``; ``timeout`` in seconds.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from ..._evidence.access_check import Identity, check
from ..._evidence.model import Section
from ..._evidence.packages import candidates, project_of
from ..._evidence.packages_installed import Inventory, scan
from ..._evidence.packages_names import distribution_by_table
from ..._evidence.requirements import project_directories
from ..._evidence.requirements_versions import canonical, marker_environment, parse_requirement
from ..changes import ChangeError
from ..model import Change, Host, Proposal, Refused
from ..packages_install import DEFAULT_TIMEOUT_S, Environment, Tool, failure, find_tool, resolve
from . import dependencies_declared as files
from .dependencies_declared import Declarations
from .dependencies_environment import as_options, environment_of, other_users
from .dependencies_needed import Need, closure, distributions_for, imported_names, missing_needs, probable, wrong_needs

# Outcomes of the import test that say nothing about installed packages.
_SOUND = ("ok", "withheld")


def propose(host: Host) -> Proposal:
    """What has to be installed, by name, version and place."""
    section = host.evidence("packages")
    if section.get("unavailable"):
        raise Refused(f"What is installed could not be read: {section['unavailable']}.")
    environment = environment_of(host)
    backend, ctx = host.backend, host.ctx
    markers = marker_environment(environment.version, platform.machine())
    directories = project_directories(backend.app.code_dir, backend.cwd)
    declared = files.read(project_of(backend, ctx), directories, markers, ctx)
    section = _with_conda_file(section, declared, environment, host)
    inventory = scan(
        [item["path"] for item in backend.interpreter.get("site_packages", []) if item["used"] and item["exists"]], ctx
    )
    known = closure(declared, inventory, markers)
    needs, notes = _needs(host, section, declared, inventory, known, environment)
    if not needs:
        return Proposal(
            f"{environment.prefix} has all that the project declares and its code imports.",
            [],
            restart=False,
            notes=notes,
        )
    return _proposal(host, environment, declared, inventory, needs, notes)


def _with_conda_file(section: Section, declared: Declarations, environment: Environment, host: Host) -> Section:
    """The evidence doesn't know environment.yml; what that leaves to pip counts as declared."""
    if not declared.conda_file:
        return section
    inventory = scan(list(environment.sites), host.ctx).by_key()
    more = [
        {"name": item.name, "specifier": item.specifier, "file": item.file, "line": item.line}
        for item in declared.project.declared
        if item.file == declared.conda_file and item.key not in inventory
    ]
    return {**section, "missing": [*section.get("missing", []), *more]}


def _needs(
    host: Host,
    section: Section,
    declared: Declarations,
    inventory: Inventory,
    known: set[str],
    environment: Environment,
) -> tuple[list[Need], list[str]]:
    """What to install, and remarks. With a module or package named, only what has to do with that kind of trouble.

    :raises Refused: what is asked for is declared nowhere.
    """
    test = host.evidence("import_test")
    module = str(host.options.get("module") or "")
    package = str(host.options.get("package") or "")
    if not module and not package:
        missing = test.get("missing_module") or {}
        module = str(missing.get("name") or "") if missing.get("kind") in ("third_party", "unknown") else ""
    wanted = None if host.options.get("all") else distributions_for(imported_names(host.backend, host.ctx))
    absent, others = missing_needs(section, known, wanted, declared)
    wrong, unknown = wrong_needs(section, known, inventory, environment.prefix)
    notes = (
        [f"Declared, not installed, and not imported by the code, so left alone: {', '.join(others)}."]
        if others
        else []
    )
    if module:
        found = _needs_of_module(module, host, declared, inventory, [*absent, *wrong], environment)
        absent = [*found, *(item for item in absent if item.key not in {need.key for need in found})]
        notes = [] if any("all that is declared" in item.why for item in found) else notes
    if package and not module:
        absent = _named(package, absent) or _declared_by_name(package, declared, inventory)
        wrong = _named(package, wrong) or ([] if absent else wrong)
        if not absent and not wrong:
            _refuse_package(package, inventory, known, unknown, environment)
    failing = test.get("ran") is True and test.get("outcome") not in _SOUND
    if not package and not host.options.get("all") and (module or not failing):
        left = [item for item in wrong if item.key not in {need.key for need in absent}]
        notes += [f"Left alone, since the import test doesn't fail there: {item.why}." for item in left[:5]]
        wrong = [item for item in wrong if item.key in {need.key for need in absent}]
    if not absent and not wrong and unknown and failing and not module:
        _refuse_package(package, inventory, known, unknown, environment)
    needs: dict[str, Need] = {}
    for item in [*wrong, *absent]:
        needs.setdefault(item.key, item)
    return list(needs.values()), notes


def _named(name: str, needs: Sequence[Need]) -> list[Need]:
    keys = {canonical(name), *candidates(name.split(".")[0], distribution_by_table(name))}
    return [
        item
        for item in needs
        if item.key in keys or any(re.search(rf"(?i)\b{re.escape(key)}\b", item.why) for key in keys)
    ]


def _declared_by_name(package: str, declared: Declarations, inventory: Inventory) -> list[Need]:
    """A distribution that is asked for by name, declared and not installed, although no code imports it: a plugin of another one."""
    for key in [canonical(package), *candidates(package.split(".")[0], distribution_by_table(package))]:
        entry = declared.any(key)
        if entry and key not in inventory.by_key():
            return [Need(key, f"{entry.name} is declared in {entry.file}:{entry.line} and not installed")]
    return []


def _needs_of_module(
    module: str,
    host: Host,
    declared: Declarations,
    inventory: Inventory,
    needs: Sequence[Need],
    environment: Environment,
) -> list[Need]:
    """The distribution that a file of the project declares for a module; none when it is installed and sound.

    :raises Refused: no file declares one.
    """
    names = candidates(module.split(".")[0], distribution_by_table(module))
    for item in needs:
        if item.key in names:
            return [item]
    for key in names:
        if key in declared.conda and key not in inventory.by_key():
            spec = declared.conda[key]
            raise Refused(
                f"{module} comes with {spec}, which {declared.conda_file} leaves to conda: install it with conda.",
                [f"conda install --prefix {shlex.quote(environment.prefix)} {shlex.quote(spec)}"],
            )
    for key in names:
        entry = declared.any(key)
        if entry and key not in inventory.by_key():
            return [Need(key, f"{entry.name} is declared in {entry.file}:{entry.line} and not installed")]
    if any(key in inventory.by_key() for key in names):
        return []
    imported = imported_names(host.backend, host.ctx)
    found = probable(module, declared, inventory, str(host.options.get("wheel_dir") or ""), imported)
    if found:
        return found
    hint = distribution_by_table(module) or module.split(".")[0]
    looked = ", ".join(declared.project.files) or "no requirements, lock or project file was found"
    raise Refused(
        f"No file of the project declares a distribution for the module {module} (looked at: {looked}). It is not guessed; it is probably {hint}. "
        "Let whoever builds the backend confirm that, add it to the requirements, and run this again.",
        [f"{environment.python} -m pip install {hint}   # only once its name and version are confirmed"],
    )


def _refuse_package(
    package: str, inventory: Inventory, known: set[str], unknown: Sequence[str], environment: Environment
) -> None:
    """:raises Refused: when something is wrong that no file of the project decides."""
    if not unknown and (not package or canonical(package) in inventory.by_key() or canonical(package) in known):
        return
    what = "; ".join(unknown[:3]) or f"no file of the project declares {package}"
    raise Refused(
        f"Which versions belong together is written nowhere: {what}. Pin them in the requirements or a lock file, and run this again.",
        [f"{environment.python} -m pip check", f"{environment.python} -m pip list --format freeze"],
    )


def _proposal(
    host: Host,
    environment: Environment,
    declared: Declarations,
    inventory: Inventory,
    needs: Sequence[Need],
    notes: list[str],
) -> Proposal:
    try:
        tool = find_tool(environment, host.ctx)
    except ChangeError as exc:
        raise Refused(str(exc)) from exc
    environment = _with_index_variables(environment, declared, host)
    sources = _sources(host, environment, declared)
    users = other_users(host, environment.prefix)
    additive = bool(users) and not host.options.get("allow_shared")
    replaced = [item for item in needs if item.key in inventory.by_key()]
    if additive and replaced:
        _refuse_shared(environment, users, [item.why for item in replaced])
    if additive:
        kept = [f"{item.name}=={item.version}" for item in inventory.distributions if item.version]
        sources["constraints"] = [*(sources["constraints"] or []), *kept]
    plan = _plan(host, environment, tool, declared, inventory, needs, sources, additive)
    expected: Mapping[str, str] = plan["expected"]
    changed = [
        f"{name} {inventory.by_key()[canonical(name)].version}"
        for name in expected
        if canonical(name) in inventory.by_key()
    ]
    if additive and changed:
        _refuse_shared(environment, users, [f"{', '.join(changed)} would be replaced"])
    shown = ", ".join(f"{name} {version}".strip() for name, version in expected.items()) or ", ".join(
        plan["requirements"]
    )
    decision = (
        f"Install {shown} into {environment.prefix} with {tool.place}: {'; '.join(item.why for item in needs[:6])}."
    )
    if declared.pins_file:
        decision += f" Versions are those of {declared.pins_file}."
    if users:
        done = (
            "nothing that is installed there is replaced"
            if additive
            else "dependencies_allow_shared says that they may change"
        )
        notes.append(f"{environment.prefix} is also used by {', '.join(users[:6])}: {done}.")
    if declared.ambiguous:
        notes.append(
            f"{declared.pins_file} has several versions of {', '.join(declared.ambiguous[:6])}, so it pins none of them."
        )
    options = {
        "environment": as_options(environment), "tool": asdict(tool), "sources": sources, "additive": additive,
        "pins": plan["pins"], "first": plan["first"], "whole": plan["whole"], "expected": dict(expected),
        "remove": sorted({path for item in needs for path in item.remove}),
    }  # fmt: skip
    why = "; ".join(item.why for item in needs[:3])
    change = Change("packages", environment.prefix, why, requirements=tuple(plan["requirements"]), options=options)
    return Proposal(decision, [change], notes=notes)


def _refuse_shared(environment: Environment, users: Sequence[str], why: Sequence[str]) -> None:
    raise Refused(
        f"{environment.prefix} is also used by {', '.join(users[:6])}, so nothing that they may need is replaced there ({'; '.join(why[:3])}). "
        "Give the backend an environment of its own, or set dependencies_allow_shared: true.",
        [f"systemctl status {' '.join(shlex.quote(name) for name in users[:6])}"],
    )


def _sources(host: Host, environment: Environment, declared: Declarations) -> dict[str, Any]:
    """Where packages come from.

    :raises Refused: the wheel directory isn't there, or the environment's owner can't read it.
    """
    wheel_dir = str(host.options.get("wheel_dir") or "")
    if wheel_dir:
        access = check(wheel_dir, Identity(environment.uid, environment.gid, environment.groups))
        if not os.path.isdir(wheel_dir):
            raise Refused(
                f"dependencies_wheel_dir {wheel_dir} is no directory on this host: copy the wheels there first."
            )
        if not (access.readable and access.executable):
            raise Refused(
                f"{wheel_dir} can't be read by uid {environment.uid}, who owns {environment.prefix} ({access.blocked_at or access.reason}).",
                [f"chmod -R a+rX {shlex.quote(wheel_dir)}"],
            )
    index_url = str(host.options.get("index_url") or "")
    secret = re.search(r"://([^/\s@]+)@", index_url)
    for part in re.split(r":", secret.group(1)) if secret else []:
        host.ctx.add_secret(part, "dependencies_index_url")
    return {
        "wheel_dir": wheel_dir, "index_url": index_url, "lines": declared.index_lines,
        "constraints": declared.constraints, "timeout": float(host.options.get("timeout") or DEFAULT_TIMEOUT_S),
    }  # fmt: skip


def _with_index_variables(environment: Environment, declared: Declarations, host: Host) -> Environment:
    """Index lines may name variables (``${TOKEN}``); the backend's own environment may have them."""
    names = set(re.findall(r"\$\{([A-Z0-9_]+)\}", "\n".join(declared.index_lines)))
    more = {name: host.backend.environ[name] for name in names if name in host.backend.environ}
    for name, value in more.items():
        host.ctx.add_secret(value, name)
    return replace(environment, environ={**environment.environ, **more})


def _plan(
    host: Host,
    environment: Environment,
    tool: Tool,
    declared: Declarations,
    inventory: Inventory,
    needs: Sequence[Need],
    sources: Mapping[str, Any],
    additive: bool,
) -> dict[str, Any]:
    """Requirement lines, pins, and what is expected. Asks the installer where it can tell beforehand.

    :raises Refused: a line can't be said in pip's format, or the installer finds no solution.
    """
    pinned = {
        key: {"line": pin.line, "version": pin.version, "extras": list(pin.extras)}
        for key, pin in declared.pins.items()
    }
    by_lock = all(item.key in pinned for item in needs)
    # The lock's lines carry hashes, which the resolver would demand of everything else as well.
    lines = [_line(item, declared, inventory, hashes=False) for item in needs]
    first = [item.key for item in needs]
    plan: dict[str, Any] = {"requirements": lines, "pins": {}, "first": [], "expected": {}, "whole": True}
    if by_lock:
        plan.update(pins=pinned, first=first, whole=False)
        plan["expected"] = {declared.pins[key].name: declared.pins[key].version for key in first}
    if not tool.reports:
        return plan
    roots = [] if by_lock else _dependents(needs, inventory)
    result, report = resolve(environment, tool, [*lines, *roots], sources, host.ctx)
    if not result.ok:
        hint = ", while nothing that others use there is replaced (dependencies_allow_shared)" if additive else ""
        raise Refused(
            f"Nothing was changed{hint}: {failure(result, tool)}", [_by_hand(environment, tool, lines, sources)]
        )
    found = _reported(report)
    broken = {item.key: item for item in needs if item.remove}
    if by_lock:
        beyond = sorted(key for key in found if key not in pinned)
        if beyond:
            raise Refused(
                f"{declared.pins_file} has no version of {', '.join(beyond)}, which is needed too: bring the lock file up to date."
            )
        wanted = list(dict.fromkeys([*first, *found]))
        plan["first"] = wanted
        plan["expected"] = {declared.pins[key].name: declared.pins[key].version for key in wanted}
        return plan
    pins = {key: {"line": line, "version": version, "extras": []} for key, (_name, version, line) in found.items()}
    expected = {name: version for name, version, _line in found.values()}
    for key, item in broken.items():
        if key not in pins:
            line = _line(item, declared, inventory, hashes=True)
            requirement = parse_requirement(line.split(" --hash")[0])
            pins[key] = {"line": line, "version": item.version, "extras": []}
            expected[requirement.written if requirement else key] = item.version
    if not pins:
        raise Refused(
            f"{tool.name} finds nothing to install for {', '.join(lines)}, although {needs[0].why}.",
            [_by_hand(environment, tool, lines, sources)],
        )
    plan.update(pins=pins, first=list(pins), expected=expected, whole=False)
    return plan


def _line(need: Need, declared: Declarations, inventory: Inventory, hashes: bool) -> str:
    """The requirement line for one need: the lock's pin, else what a file declares, else what an installed requirer asks for.

    :raises Refused: the project's way to say it has no counterpart.
    """
    pin = declared.pins.get(need.key)
    if pin:
        return pin.line if hashes else replace(pin, hashes=()).line
    item = declared.main(need.key) or declared.any(need.key)
    if item is None:
        # Required by an installed distribution that the project declares; a broken one comes back at its own version.
        specifier = need.specifier or (f"=={need.version}" if need.version else "")
        return f"{need.key}{specifier}"
    line = files.line_for(item)
    if line is None:
        raise Refused(f"{item.file}:{item.line} says {item.text!r}, which can't be handed to pip: install it by hand.")
    requirement = parse_requirement(line)
    extra = [f"=={need.version}"] if need.remove and need.version and requirement and not requirement.specifier else []
    more = ",".join(part for part in [need.specifier, *extra] if part)
    if more and requirement and not requirement.url:
        extras = f"[{','.join(requirement.extras)}]" if requirement.extras else ""
        joined = ",".join(part for part in (requirement.specifier, more) if part)
        return f"{requirement.written}{extras}{joined}"
    return line


def _dependents(needs: Sequence[Need], inventory: Inventory) -> list[str]:
    """Lines that hold what requires the replaced at its version, so that the resolver sees those demands as well."""
    keys = {item.key for item in needs if item.key in inventory.by_key()}
    asked = {item.key for item in needs}
    result = []
    for item in inventory.by_key().values():
        names = {
            parsed.name for parsed in map(parse_requirement, item.requires) if parsed and "extra" not in parsed.marker
        }
        if names & keys and item.key not in asked and item.version:
            result.append(f"{item.name}=={item.version}")
    return result


def _reported(text: str) -> dict[str, tuple[str, str, str]]:
    """pip's report: canonical name -> (name, version, line with the archive's hash or the URL that was asked for).

    :raises Refused: it isn't one.
    """
    try:
        entries = json.loads(text)["install"]
    except (ValueError, KeyError, TypeError) as exc:
        raise Refused("Nothing was changed: pip's report can't be read.") from exc
    result: dict[str, tuple[str, str, str]] = {}
    for entry in entries:
        name, version = entry["metadata"]["name"], entry["metadata"]["version"]
        download = entry.get("download_info") or {}
        archive = download.get("archive_info") or {}
        checksum = (archive.get("hashes") or {}).get("sha256") or str(archive.get("hash") or "").partition("sha256=")[2]
        line = f"{name} @ {_direct(download)}" if entry.get("is_direct") else f"{name}=={version}"
        result[canonical(name)] = (name, version, f"{line} --hash=sha256:{checksum}" if checksum else line)
    return result


def _direct(download: Mapping[str, Any]) -> str:
    url, source = str(download.get("url", "")), download.get("vcs_info") or {}
    return f"{source['vcs']}+{url}@{source['commit_id']}" if source.get("commit_id") else url


def _by_hand(environment: Environment, tool: Tool, lines: Sequence[str], sources: Mapping[str, Any]) -> str:
    words = ["pip", "install", "--python", environment.python] if tool.name == "uv" else ["install"]
    where = ["--no-index", "--find-links", sources["wheel_dir"]] if sources.get("wheel_dir") else []
    return shlex.join([*tool.words, *words, *where, *lines])
