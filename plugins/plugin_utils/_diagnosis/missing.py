# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules that an import did not find: whose they are, who imported them, and where that was seen.

The top-level name is compared with the project's own packages, then with the standard library, then with known
distributions; a name that is in none of them is judged by who imports it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from .module_names import LOCAL_NAMES, STDLIB_NATIVE, THIRD_PARTY, known_distribution, stdlib_gap
from .observe import Observed
from .observed import Citation, Hit, Seen, cite_fact, resolve

_NO_MODULE = re.compile(r"No module named '?(?P<module>[A-Za-z_][\w.]{0,200})'?(?P<rest>; '[\w.]+' is not a package)?")
# Servers and command line tools that import what the operator names on the command line.
SERVERS = frozenset(
    ("uvicorn", "gunicorn", "hypercorn", "daphne", "celery", "granian", "waitress", "uwsgi", "flask", "sanic", "quart", "rq", "arq",
     "dramatiq", "kombu", "taskiq", "fastapi_cli", "litestar", "huey", "flower", "mangum", "robyn", "faststream")
)  # fmt: skip


@dataclass(frozen=True)
class Missing:
    """A module that an import did not find. ``kind`` is local, third_party, stdlib, native or unknown."""

    name: str
    kind: str
    citation: Citation
    weight: float
    source: str
    by_app: bool = False
    by_package: str = ""
    by_server: bool = False
    sure: bool = True
    provider: str = ""

    @property
    def top(self) -> str:
        """The top-level package."""
        return self.name.partition(".")[0]

    def hit(self, *more: Citation, **captures: str) -> Hit:
        """A hit that names the module."""
        names = {"module": self.name, "package": self.top, **captures}
        provider = self.provider or known_distribution(self.name)
        if provider and self.kind != "local":
            names.setdefault("distribution", provider)
        kind = self.source if self.source != "log" else "exception"
        return Hit((self.citation, *more), kind, self.weight, names)


def missing_modules(observed: Observed) -> list[Missing]:
    """Modules that were not found, the weightiest first, one entry each."""
    key = "missing_modules"
    if key not in observed.memo:
        found: dict[str, Missing] = {}
        for missing in [*_from_import_test(observed), *_from_exceptions(observed), *_from_lines(observed)]:
            known = found.get(missing.name)
            if known is None or missing.weight > known.weight:
                found[missing.name] = missing
        observed.memo[key] = sorted(found.values(), key=lambda missing: -missing.weight)
    result: list[Missing] = observed.memo[key]
    return result


def _from_import_test(observed: Observed) -> list[Missing]:
    section = observed.fact("import_test.missing_module")
    if not isinstance(section, Mapping) or not isinstance(section.get("name"), str):
        return []
    name = section["name"]
    seen = next((s for s in observed.seen if s.source == "import_test" and s.raised.name == name), None)
    kind = str(section.get("kind") or "unknown")
    sure = kind != "unknown"
    if not sure:
        kind, sure = kind_of(name, observed, seen)
    citation = cite_fact("import_test.missing_module", f"No module named '{name}'")
    # A distribution that was only guessed to be called like its module isn't claimed.
    attested = section.get("distribution_source") not in (None, "name")
    provider = str(section.get("distribution") or "") if attested else ""
    base = Missing(name, kind, citation, 1.0, "import_test", sure=sure, provider=provider)
    return [_imported_by(base, seen, observed) if seen else base]


def _from_exceptions(observed: Observed) -> list[Missing]:
    found = []
    for seen in observed.seen:
        match = _NO_MODULE.search(seen.raised.message[:600])
        if match is None or seen.raised.type not in (
            "ModuleNotFoundError",
            "ImportError",
            "ImproperlyConfigured",
            "RuntimeError",
        ):
            continue
        if match.group("rest"):
            continue  # 'x' is not a package: a file shadows it, which is no missing module
        kind, sure = kind_of(match.group("module"), observed, seen)
        base = Missing(match.group("module"), kind, seen.citation, seen.weight, seen.source, sure=sure)
        found.append(_imported_by(base, seen, observed))
    return found


def _from_lines(observed: Observed) -> list[Missing]:
    found = []
    for line in observed.lines:
        if "no module named" not in line.lowered:
            continue
        match = _NO_MODULE.search(line.text)
        if match and not match.group("rest") and line.by == "app":
            kind, sure = kind_of(match.group("module"), observed, None)
            # A sentence that merely quotes the error is often one the application survived.
            optional = re.search(
                r"optional|not available|fallback|skipp|disabled|warning|could not import", line.lowered
            )
            weight = line.weight * (0.35 if optional and observed.seen else 0.8)
            found.append(Missing(match.group("module"), kind, line.citation, weight, "log", by_app=True, sure=sure))
    return found


def _imported_by(missing: Missing, seen: Seen, observed: Observed) -> Missing:
    """Add who imports: the application, a package, or a server that was told to."""
    frame = seen.failing
    app = seen.raised.last_app_frame is not None
    package = frame.package if frame and frame.package else ""
    server = not app and bool(set(seen.packages) & SERVERS) and (not package or package in SERVERS)
    target = observed.fact("app.target.module")
    if frame and re.match(r"\s*(?:import|from) ", frame.code or ""):
        server = False  # a plain import statement, not the loading of what an option names
    named = isinstance(target, str) and (target == missing.name or target.startswith(missing.name + "."))
    if named and not app:
        server = True
    elif missing.kind == "third_party" and missing.sure:
        server = False  # a server also imports its own options, such as gunicorn's worker class
    return replace(missing, by_app=app, by_package=package or "", by_server=server)


def kind_of(name: str, observed: Observed, seen: Seen | None) -> tuple[str, bool]:
    """Whose module a name is, and whether that is sure or guessed."""
    top = name.partition(".")[0]
    if top in STDLIB_NATIVE:
        return "native", True
    if top in local_packages(observed):
        return "local", True
    if stdlib_gap(name):
        return "stdlib", True
    if top in declared(observed):
        return "third_party", True
    if top.lower() in THIRD_PARTY:
        return "third_party", top not in LOCAL_NAMES
    if seen is not None and _in_own_path(top, seen):
        return "local", True
    if top.lower() in LOCAL_NAMES:
        return "local", False
    if seen is not None and seen.origin == "site-packages":
        return "third_party", False
    return ("local", False) if _sounds_own(top, observed) else ("unknown", False)


def _sounds_own(top: str, observed: Observed) -> bool:
    """Whether a name is made of words that projects use for their own parts, or of the project's or the unit's name."""
    words = {word for word in top.lower().split("_") if len(word) > 2}
    if words & THIRD_PARTY - LOCAL_NAMES:
        return False  # flask_utils: mostly an extension of what it is named after
    names = [str(observed.fact(path) or "") for path in ("service.name", "target.service", "app.target.module")]
    names.append(str(observed.fact("app.code_dir") or "").rstrip("/").rpartition("/")[2])
    project = {word for name in names for word in re.split(r"[^a-z0-9]+", name.removesuffix(".service").lower())}
    return bool(words & (LOCAL_NAMES | {word for word in project if len(word) > 3 and word not in SERVERS}))


def local_packages(observed: Observed) -> set[str]:
    found = observed.fact("app.local_packages")
    return {str(name) for name in found} if isinstance(found, list) else set()


def declared(observed: Observed) -> set[str]:
    """Names of declared distributions, as import names would be spelled."""
    key = "declared"
    if key not in observed.memo:
        names = set()
        for path in ("packages.declared[*].name", "packages.missing[*].name", "packages.installed[*].name"):
            names |= {str(value).lower().replace("-", "_") for _path, value in resolve(observed.evidence, path)}
        observed.memo[key] = names
    result: set[str] = observed.memo[key]
    return result


def _in_own_path(top: str, seen: Seen) -> bool:
    """Whether the application's own files lie in a directory of that name, or one whose parent has it."""
    for raised in seen.traceback.walk():
        for frame in raised.frames:
            if frame.origin == "app" and f"/{top}/" in frame.file:
                return True
    return False
