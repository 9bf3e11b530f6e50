# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's import target. Only a person knows what it should be; a choice is checked and put into the command."""

from __future__ import annotations

import re
from typing import Optional

from ..._evidence.app import collect
from ..._evidence.model import Section
from ..model import Refused
from .environment_command import with_target
from .environment_draft import Draft, NotEvident
from .environment_world import headline, passed

_TARGET = re.compile(r"[A-Za-z_][\w.]*(:[A-Za-z_][\w.]*(\(\))?)?\Z")
_USUAL = ("app", "application", "api", "asgi", "wsgi", "server", "create_app", "celery")


def target(draft: Draft) -> None:
    """Mend the import target."""
    wanted = draft.option("app")
    present = _text(draft)
    if wanted:
        _chosen(draft, wanted, present)
        return
    test = draft.trial()
    similar = _similar(draft, test)
    if draft.imported() is False and similar is not None:
        hint = f" Perhaps {' or '.join(similar)}." if similar else ""
        raise NotEvident(
            f"The server is told to load {present}, which does not exist ({headline(test)}); only somebody who knows the application can say "
            f"what it is called.{hint} Choose with environment_app.",
            [
                f"ansible-playbook playbooks/fix-backend-environment.yml -e backend_service={draft.backend.name} -e environment_app={item}"
                for item in similar
            ],
        )


def _text(draft: Draft) -> str:
    app = draft.backend.app
    return f"{app.module}:{app.attribute}" if app.module and app.attribute else str(app.module or "")


def _similar(draft: Draft, test: Section) -> Optional[list[str]]:
    """Targets that may be meant; None when the import does not fail at its target."""
    app = draft.backend.app
    attribute = test.get("attribute") or {}
    if app.module and attribute.get("exists") is False:
        names = collect(draft.backend, draft.context()).get("target_names") or []
        return [
            f"{app.module}:{name}"
            for name in dict.fromkeys([*(attribute.get("similar") or []), *(item for item in names if item in _USUAL)])
        ][:3]
    missing = test.get("missing_module") or {}
    if app.module and missing.get("name") in (app.module, *_parents(app.module)) and not missing.get("found_at"):
        return []
    return None


def _parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


def _chosen(draft: Draft, wanted: str, present: str) -> None:
    """The user's own choice, checked by importing it."""
    if not _TARGET.match(wanted):
        raise Refused(f"{wanted!r} can't be an import target: environment_app looks like package.module:name.")
    if wanted == present:
        return
    argv = draft.backend.argv
    if present not in argv and not any(text.endswith("=" + present) for text in argv):
        raise Refused(
            f"The command does not name {present or 'an import target'} as a word of its own, so it can't be replaced in a drop-in.",
            [f"systemctl cat {draft.backend.name}"],
        )
    changed = [
        wanted if text == present else re.sub(re.escape("=" + present) + r"\Z", lambda _match: "=" + wanted, text)
        for text in argv
    ]
    test = draft.try_as(draft.with_changes(argv=changed))
    if passed(test) is False:
        raise Refused(f"{wanted} can't be loaded: {headline(test)}. Correct environment_app.")
    draft.because(f"The server loads {wanted} instead of {present}, as environment_app says.")
    if not draft.dropin:
        draft.set_commands("ExecStart", [" ".join(changed)])
        return
    lines = [with_target(value, present, wanted) or value for value in draft.dropin.effective().get("ExecStart", [])]
    draft.set_commands("ExecStart", lines)
