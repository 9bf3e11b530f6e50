# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals about imports: where a missing module lies instead, and what kind of import error it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .missing import Missing, local_packages, missing_modules
from .module_names import distribution, stdlib_gap
from .observe import Observed
from .observed import Hit, cite_fact, fact, resolve
from .signals import signal
from .wording import worded

# A plain requirement of a requirements file: name, extras, versions; no URL, option or marker.
_REQUIREMENT = re.compile(r"^\s*([A-Za-z0-9][\w.-]*(?:\[[\w.,-]+\])?(?:[=<>!~]=?[\w.,=<>!~*+-]+)?)\s*(?:#.*)?$")
_COMPILED = re.compile(r"(?:^|\.)_[a-z]\w*$|(?:^|\.)(?:speedups|etree|umath|multiarray|_C)$")


def _links(observed: Observed) -> list[tuple[str, Mapping[str, Any], str]]:
    """Links that are broken, or texts in a link's place: (evidence path, link, last name of its path)."""
    found = []
    for path, link in resolve(observed.evidence, "symlinks.links[*]"):
        if isinstance(link, Mapping) and (link.get("exists") is False or link.get("loop") or link.get("self")):
            found.append((path, link, str(link.get("path", "")).rstrip("/").rpartition("/")[2]))
    for path, item in resolve(observed.evidence, "access.paths[*]"):
        if isinstance(item, Mapping) and item.get("type") == "missing" and item.get("purpose") == "code":
            found.append((path, item, str(item.get("path", "")).rstrip("/").rpartition("/")[2]))
    for path, link in resolve(observed.evidence, "symlinks.text_instead_of_link[*]"):
        if isinstance(link, Mapping):
            found.append((path, link, str(link.get("path", "")).rstrip("/").rpartition("/")[2]))
    return found


def _whys(observed: Observed, name: str) -> list[tuple[str, Mapping[str, Any]]]:
    if observed.fact("import_test.missing_module.name") != name:
        return []
    paths = resolve(observed.evidence, "import_test.missing_module.found_at[*]")
    return [(path, item) for path, item in paths if isinstance(item, Mapping)]


@signal("module_behind_link")
def module_behind_link(observed: Observed) -> list[Hit]:
    """A module is missing, and a broken link carries one of its names."""
    hits = []
    for missing in missing_modules(observed):
        parts = missing.name.split(".")
        for path, link, last in _links(observed):
            if last in parts or last.removesuffix(".py") in parts:
                target = str(link.get("target") or link.get("content") or "")
                cite = cite_fact(path, link)
                more = {
                    "link": str(link.get("path", "")),
                    "target": target,
                    "problem": _problem(path, observed),
                }
                hits.append(missing.hit(cite, **more, **_right_target(observed, missing, link)))
        for path, item in _whys(observed, missing.name):
            if item.get("why") in ("dangling_link", "wrong_type"):
                hits.append(missing.hit(cite_fact(path, item), link=str(item.get("path", ""))))
    return hits


def _problem(path: str, observed: Observed) -> str:
    """What is wrong with a link, without its path."""
    return (worded(path, observed.evidence) or "").partition(" is ")[2]


def _right_target(observed: Observed, missing: Missing, link: Mapping[str, Any]) -> dict[str, str]:
    """Where a dangling link would have to lead, when one directory alone can be meant: the only other place of the module."""
    path = str(link.get("path", ""))
    if link.get("exists") is not False or not link.get("target") or path.rpartition("/")[2] != missing.name:
        return {}
    places = {
        str(item.get("path", "")).removesuffix("/__init__.py")
        for _path, item in _whys(observed, missing.name)
        if item.get("why") == "elsewhere_on_disk"
    }
    only = places.pop() if len(places) == 1 else ""
    return {"right": only} if only.rpartition("/")[2] == missing.name else {}


@signal("broken_link")
def broken_link(observed: Observed) -> list[Hit]:
    """A dangling, looping or self-referential link, or a text file in a link's place, in the code's directories."""
    hits = []
    for path, link, _last in _links(observed):
        captures = {"link": str(link.get("path", "")), "target": str(link.get("target") or link.get("content") or "")}
        captures["problem"] = _problem(path, observed)
        hits.append(Hit((cite_fact(path, link),), "fact", 1.0, captures))
    return hits


@signal("module_elsewhere")
def module_elsewhere(observed: Observed) -> list[Hit]:
    """A module of the project is missing from the path, and lies elsewhere on disk."""
    hits = []
    for missing in missing_modules(observed):
        for path, item in _whys(observed, missing.name):
            place = str(item.get("path", ""))
            if item.get("why") == "elsewhere_on_disk" and not _in_packages(place):
                directory = str(item.get("root") or place.rpartition("/")[0])
                more = {"found": place, "directory": directory, "search_path": _with_path(observed, directory)}
                hits.append(missing.hit(cite_fact(path, item), **more))
    return hits


def _with_path(observed: Observed, directory: str) -> str:
    """What ``PYTHONPATH`` would have to say, what it says now kept; empty where a part of it was redacted."""
    now = str(observed.fact("python_path.pythonpath") or "")
    return "" if "<redacted" in now else ":".join(filter(None, (now, directory)))


def _in_packages(path: str) -> bool:
    return "/site-packages" in path or "/dist-packages" in path


@signal("module_other_python")
def module_other_python(observed: Observed) -> list[Hit]:
    """A missing module is compiled for another version, or installed for the interpreter that was meant to run it."""
    hits = []
    for missing in missing_modules(observed):
        for path, item in _whys(observed, missing.name):
            why, place = item.get("why"), str(item.get("path", ""))
            installed = why == "other_python" or (why == "elsewhere_on_disk" and _in_packages(place))
            if why == "compiled_for_other_python" or (installed and _meant_instead(observed, place)):
                hits.append(missing.hit(cite_fact(path, item), found=place))
    return hits


def _meant_instead(observed: Observed, place: str) -> bool:
    """Whether another environment, rather than the one that runs, was made for the backend.

    Any Python of the host may happen to have a package that the backend's own environment lacks. Another environment was
    meant when most of what the project declares is missing here, or when this is no environment of its own and that one
    is, or lies beside the code.
    """
    declared, lacking = observed.fact("packages.declared"), observed.fact("packages.missing")
    if isinstance(declared, list) and isinstance(lacking, list) and declared:
        return len(lacking) * 2 > len(declared)
    if observed.fact("interpreter.kind") not in ("venv", "conda"):
        return True
    code = str(observed.fact("app.code_dir") or "")
    return bool(code) and place.startswith(code.rpartition("/")[0] + "/")


@signal("module_unreadable")
def module_unreadable(observed: Observed) -> list[Hit]:
    """A missing module is there, but the backend's user may not read it."""
    hits = []
    for missing in missing_modules(observed):
        for path, item in _whys(observed, missing.name):
            if item.get("why") == "not_readable":
                hits.append(missing.hit(cite_fact(path, item), path=str(item.get("path", ""))))
    return hits


def _is_compiled(missing: Missing) -> bool:
    """``pkg._x`` below a third-party package: the package is there, its compiled part is not."""
    return "." in missing.name and missing.kind != "local" and bool(_COMPILED.search(missing.name))


@signal("module_local")
def module_local(observed: Observed) -> list[Hit]:
    """A module of the project's own is missing (the server's import target aside)."""
    return [m.hit() for m in missing_modules(observed) if m.kind == "local" and m.sure and not m.by_server]


@signal("module_local_guess")
def module_local_guess(observed: Observed) -> list[Hit]:
    """A missing module whose name is one that projects give their own packages."""
    found = [m for m in missing_modules(observed) if m.kind == "local" and not m.sure and not m.by_server]
    return [m.hit(doubt=_doubt(m, observed)) if m.source == "import_test" else m.hit() for m in found]


@signal("module_local_doubtful")
def module_local_doubtful(observed: Observed) -> list[Hit]:
    """A module that only its name makes the project's own, though the host was searched: it may be a package all the same."""
    return [hit for hit in module_local_guess(observed) if hit.kind == "import_test"]


@signal("module_third_party")
def module_third_party(observed: Observed) -> list[Hit]:
    """A module that a known or declared distribution provides is missing as a whole."""
    found = missing_modules(observed)
    return [m.hit() for m in found if m.kind == "third_party" and m.sure and "." not in m.name and not m.by_server]


@signal("module_third_party_guess")
def module_third_party_guess(observed: Observed) -> list[Hit]:
    """A missing module that is neither the project's nor of the standard library as far as names tell."""
    hits = []
    for missing in missing_modules(observed):
        if missing.by_server or "." in missing.name:
            continue
        if missing.kind == "third_party" and not missing.sure:
            hits.append(missing.hit())
    return hits


def _doubt(missing: Missing, observed: Observed) -> str:
    """Why nobody can tell from here whose module it is."""
    searched = missing.source == "import_test" and observed.fact("import_test.missing_module.found_at") == []
    why = (
        "no requirements file declares it and no file of that name lies on this host"
        if searched
        else "only its name is known"
    )
    return f"It may be a package to install or a module of the project that was never deployed: {why}."


@signal("module_unknown")
def module_unknown(observed: Observed) -> list[Hit]:
    """A missing module that may as well be a package to install as a part of the project that was never deployed."""
    hits = []
    for missing in missing_modules(observed):
        if missing.kind != "unknown" or missing.by_server or "." in missing.name:
            continue
        hits.append(missing.hit(doubt=_doubt(missing, observed), lookup=missing.top))
    return hits


@signal("module_unknown_dotted")
def module_unknown_dotted(observed: Observed) -> list[Hit]:
    """A submodule of a package that nothing knows: most likely the project's own, never copied."""
    found = missing_modules(observed)
    return [m.hit() for m in found if m.kind == "unknown" and "." in m.name and not m.by_server and not m.by_package]


@signal("module_declared")
def module_declared(observed: Observed) -> list[Hit]:
    """A missing module's distribution stands in the project's requirements and isn't installed."""
    hits = []
    for missing in missing_modules(observed):
        declared = observed.fact("import_test.missing_module.declared_in[0]")
        if isinstance(declared, Mapping) and observed.fact("import_test.missing_module.name") == missing.name:
            cite = cite_fact("import_test.missing_module.declared_in[0]", declared)
            hits.append(missing.hit(cite, **_to_install(observed, declared.get("text"))))
            continue
        wanted = {distribution(missing.name).lower().replace("-", "_"), missing.top.lower()}
        for path, name in resolve(observed.evidence, "packages.missing[*].name"):
            if str(name).lower().replace("-", "_") in wanted and missing.kind != "local":
                item = observed.fact(path.removesuffix(".name"))
                wish = f"{name}{item.get('specifier') or ''}"
                hits.append(missing.hit(cite_fact(path, name), **_to_install(observed, wish)))
    return hits


def _to_install(observed: Observed, text: Any) -> dict[str, str]:
    """The requirement as pip takes it, when the backend has an environment of its own to install it into."""
    match = _REQUIREMENT.match(str(text or ""))
    own = observed.fact("interpreter.kind") == "venv" and observed.fact("interpreter.runs") is not False
    return {"requirement": match.group(1)} if match and own else {}


@signal("module_of_package")
def module_of_package(observed: Observed) -> list[Hit]:
    """A submodule of an installed third-party package is missing: a version that doesn't have it (any more)."""
    hits = []
    for missing in missing_modules(observed):
        dotted = "." in missing.name and (missing.kind == "third_party" or bool(missing.by_package))
        if dotted and missing.kind != "local" and not _is_compiled(missing) and not missing.by_server:
            hits.append(missing.hit())
    return hits


@signal("module_compiled")
def module_compiled(observed: Observed) -> list[Hit]:
    """The compiled part of an installed package is missing: built for another Python, or half installed."""
    return [m.hit() for m in missing_modules(observed) if _is_compiled(m)]


@signal("module_stdlib")
def module_stdlib(observed: Observed) -> list[Hit]:
    """A standard-library module that the running version doesn't have yet, or no longer has."""
    found = [m for m in missing_modules(observed) if m.kind == "stdlib"]
    return [m.hit(since=stdlib_gap(m.name) or "not part of this Python") for m in found]


@signal("module_stdlib_native")
def module_stdlib_native(observed: Observed) -> list[Hit]:
    """A part of the standard library that needs a shared library which this Python was built without."""
    return [m.hit() for m in missing_modules(observed) if m.kind == "native"]


@signal("module_is_target")
def module_is_target(observed: Observed) -> list[Hit]:
    """The module that the server was told to import is missing."""
    return [m.hit() for m in missing_modules(observed) if m.by_server]


@signal("target_exists")
def target_exists(observed: Observed) -> list[Hit]:
    """The file of the server's import target lies where the server's directory or the code is."""
    if observed.fact("app.target_file.exists") is True:
        return [Hit((cite_fact("app.target_file.path", observed.fact("app.target_file.path") or "exists"),))]
    target = observed.fact("app.target.module")
    if observed.fact("app.target_file.exists") is False and any(
        missing.name == target and "." in missing.name for missing in missing_modules(observed)
    ):
        return []  # its package was found and doesn't have it
    top = target.partition(".")[0] if isinstance(target, str) else ""
    if not top:
        top = next((m.top for m in missing_modules(observed) if m.by_server), "")
    if top and top in local_packages(observed):
        return [Hit((cite_fact("app.local_packages", observed.fact("app.local_packages")),), captures={"package": top})]
    return []


@signal("target_absent")
def target_absent(observed: Observed) -> list[Hit]:
    """The file of the server's import target doesn't exist, nor does a package of that name."""
    if observed.fact("app.target_file.exists") is False and not target_exists(observed):
        return [Hit((cite_fact("app.target_file", observed.fact("app.target_file")),))]
    return []


@signal("target_attribute_absent")
def target_attribute_absent(observed: Observed) -> list[Hit]:
    """The module of the import target was imported and doesn't have the attribute."""
    section = observed.fact("import_test.attribute")
    if isinstance(section, Mapping) and section.get("exists") is False:
        similar = ", ".join(str(name) for name in section.get("similar") or [])
        captures = {"attribute": str(section.get("wanted") or ""), "similar": similar}
        return [Hit((cite_fact("import_test.attribute", section),), "fact", 1.0, captures)]
    wanted, names = observed.fact("app.target.attribute"), observed.fact("app.target_names")
    told = (
        isinstance(wanted, str) and isinstance(names, list) and names and not observed.fact("app.target_names_dynamic")
    )
    if told and wanted.partition("(")[0].partition(".")[0] not in names:
        return [Hit((cite_fact("app.target_names", names),), "fact", 1.0, {"attribute": wanted})]
    return []


@signal("import_test_ok")
def import_test_ok(observed: Observed) -> list[Hit]:
    """The backend's import target can be imported, as its user and with its environment."""
    if observed.fact("import_test.outcome") == "ok":
        return [Hit((cite_fact("import_test.outcome", "ok"),))]
    return []


@signal("python_too_old")
def python_too_old(observed: Observed) -> list[Hit]:
    """The project asks for a Python version that the running one doesn't satisfy."""
    running, wanted = (
        fact(observed.evidence, "interpreter.version"),
        fact(observed.evidence, "interpreter.requires_python"),
    )
    if not isinstance(running, str) or not isinstance(wanted, str):
        return []
    version = _numbers(running)
    for operator, bound in re.findall(r"(>=|<=|<|>|==|~=)\s*([\d.]{1,12})", wanted):
        limit = _numbers(bound)
        short = version[: len(limit)]
        # == and ~= of a requirement fix the leading numbers.
        fits = {
            ">=": version >= limit, ">": version > limit, "<": version < limit, "<=": short <= limit,
            "==": short == limit, "~=": version >= limit and version[:1] == limit[:1],
        }[operator]  # fmt: skip
        if not fits:
            citations = (cite_fact("interpreter.version", running), cite_fact("interpreter.requires_python", wanted))
            return [Hit(citations, "fact", 1.0, {"version": running, "wanted": wanted})]
    return []


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])
