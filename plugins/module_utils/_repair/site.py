# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One backend as a repair sees it: resolved, its supervisor at hand, its evidence gathered when asked for, its import test as proof."""

from __future__ import annotations

import errno
import time
from dataclasses import replace
from typing import Any, Optional

from .._evidence import choose, runner
from .._evidence.context import Context
from .._evidence.model import Backend, Section, Unavailable, unavailable
from .._evidence.registry import COLLECTORS, RESOLVERS, Collector
from .control import control_of
from .model import Control, Host

Proof = dict[str, Any]
# Ends of the import test that say nothing of the application: the test's own limits, the sandbox, or that it could not be made.
_NO_ANSWER = frozenset({"withheld", "could_not_run", "timeout", "tampered"})
_HOST_ERRNOS = frozenset({errno.ENOENT, errno.EACCES, errno.ENOTDIR, errno.ELOOP, errno.ENOEXEC})
TRIES, PAUSE_S = 3, 1.0
# A repair waits longer for a part of the evidence than a diagnosis, which has many hosts to look at.
LEAST_SECONDS = 20.0


class Site:
    """A backend by name. ``resolve`` looks at it anew; ``ctx.params`` has ``service``, ``runtime`` and what overrides the derived."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.backend = Backend("", "")
        self._sections: dict[str, Section] = {}
        self.resolve()
        self.control: Control = control_of(self.backend, ctx)

    def resolve(self) -> None:
        """Ask the supervisor and the files as they are now; what was gathered before is forgotten.

        :raises InputError: there is no such backend.
        :raises Unavailable: no supervisor can be asked.
        """
        params = self.ctx.params
        name, runtime = str(params.get("service") or ""), str(params.get("runtime") or "auto")
        self.backend = self._named(name, runtime)
        choose.override(self.backend, params)
        self._sections = {"service": self.backend.service, "unit": self.backend.unit}
        for resolver in RESOLVERS:
            self._sections[resolver.name] = _gather(resolver, self.backend, self.ctx)

    def _named(self, name: str, runtime: str) -> Backend:
        # A host that is busy because its backend loops may be slow to answer; giving up here would take a good change back.
        for _attempt in range(TRIES - 1):
            try:
                return choose.named(name, runtime, self.ctx)
            except Unavailable:
                time.sleep(PAUSE_S)
        return choose.named(name, runtime, self.ctx)

    def evidence(self, name: str) -> Section:
        """A section of the evidence, gathered when first asked for; not redacted.

        :raises KeyError: there is no such section.
        """
        if name not in self._sections:
            collector = next((one for one in COLLECTORS if one.name == name), None)
            if collector is None:
                raise KeyError(name)
            self._sections[name] = _gather(collector, self.backend, self.ctx)
        return self._sections[name]

    def host(self, options: dict[str, Any]) -> Host:
        """What a fix is handed."""
        return Host(self.backend, self.ctx, options, self.control, self.evidence)

    def proof(self) -> Proof:
        """The import test of the backend as it was last resolved, as a proof."""
        return proof_of(self.evidence("import_test"))


def proof_of(section: Section) -> Proof:
    """The ``import_test`` section as a proof: ``passed`` is null when the test says nothing of the application."""
    if "unavailable" in section:
        return no_proof(str(section["unavailable"]))
    outcome = str(section.get("outcome"))
    attribute = section.get("attribute")
    proof: Proof = {
        "passed": outcome == "ok",
        "outcome": outcome,
        "exception": _exception(section),
        "statement": section.get("statement"),
        "why": None,
    }
    if outcome == "ok" and isinstance(attribute, dict) and attribute.get("exists") is False:
        proof.update(passed=False, why=f"the import works, and it has no {attribute.get('wanted')}")
    elif outcome == "could_not_run" and section.get("errno") in _HOST_ERRNOS:
        # The host itself keeps the backend's user from its directory or interpreter, so the service would fail too.
        proof["why"] = str(section.get("why_not"))
    elif outcome in _NO_ANSWER or (outcome == "killed" and section.get("limit")):
        proof.update(passed=None, why=_why_none(section, outcome))
    elif not proof["passed"]:
        proof["why"] = _why_failed(section, outcome)
    return proof


def no_proof(why: str) -> Proof:
    """The proof that says nothing; ``why`` is a clause for the reader."""
    return {"passed": None, "outcome": None, "exception": None, "statement": None, "why": why}


def same_failure(first: Proof, second: Proof) -> bool:
    """Whether two import tests failed in the same way: then what was done between them did not help."""
    if first["passed"] is not False or second["passed"] is not False:
        return False
    if first["outcome"] != second["outcome"]:
        return False
    one, two = first["exception"], second["exception"]
    if one is None or two is None:
        return bool(one == two and first["why"] == second["why"])
    return all(one[name] == two[name] for name in ("type", "message", "module"))


def _exception(section: Section) -> Optional[dict[str, Any]]:
    found = section.get("exception")
    if not isinstance(found, dict):
        return None
    missing = section.get("missing_module") or {}
    named = section.get("missing_name") or {}
    return {
        "type": found.get("type"),
        "message": found.get("message"),
        "module": missing.get("name") or named.get("module"),
    }


def _why_none(section: Section, outcome: str) -> str:
    if outcome == "withheld":
        kinds = dict.fromkeys(str(entry.get("what")) for entry in section.get("withheld") or [])
        return f"what it ran into is only what its sandbox withheld ({', '.join(kinds) or 'not said'})"
    if outcome == "timeout":
        return "the import did not end in the time that the test has"
    if outcome == "killed":
        return f"the test's own limit of {section.get('limit')} ended it"
    if outcome == "tampered":
        return "; ".join(map(str, section.get("tampered") or []))
    return str(section.get("why_not") or "the test could not be made")


def _why_failed(section: Section, outcome: str) -> str:
    found = section.get("exception")
    if isinstance(found, dict):
        return f"{found.get('type')}: {str(found.get('message'))[:300]}"
    if outcome == "system_exit":
        return f"the application ended itself on import, status {section.get('exit_code')}"
    return f"the interpreter was {outcome} on import" + (
        f" by signal {section['signal']}" if section.get("signal") else ""
    )


def _gather(collector: Collector, backend: Backend, ctx: Context) -> Section:
    outcome = runner.run(replace(collector, seconds=max(collector.seconds, LEAST_SECONDS)), backend, ctx)
    if outcome.section is not None:
        return outcome.section
    return unavailable(str(outcome.record.get("error") or "not gathered"))
