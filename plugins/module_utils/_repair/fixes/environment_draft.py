# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the parts of the environment fix work on: the backend as it would be, and whether it could be imported then.

Nothing on the host is changed. Files that are to be written are seen with their new content by all that reads through the context.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from typing import Any, Optional

from ..._evidence import app, env_file, import_test, interpreter
from ..._evidence.model import Backend, EnvFileRef, Section
from ..._evidence.systemd_unit_files import expand_specifiers
from ..._evidence.systemd_words import expand_variables, parse_environment, split_words
from ..model import Change, Host, Proposal, Refused
from . import dropin
from .environment_world import FutureContext, become, fresh, headline, moved_path, passed, spell

FIX = "environment"
TRIAL_SECONDS = 25.0
MAX_TRIALS = 14


class NotEvident(Refused):
    """One part can't decide; what the others found may still be mended."""


class Draft:
    """The backend as it would be after the decisions taken so far, with the changes that lead there.

    ``backend`` is resolved anew after each decision. ``reasons`` are the decision's sentences, ``refusals`` what parts could not decide.
    ``by_hand`` are the lines that a person has to write where the runtime knows no drop-ins.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        self.options = host.options
        self.future: dict[str, bytes] = {}
        self.changes: list[Change] = []
        self.reasons: list[str] = []
        self.notes: list[str] = []
        self.refusals: list[NotEvident] = []
        self.by_hand: list[str] = []
        # Directories that stand in for a virtual environment whose link is mended by a change.
        self.pretended: list[str] = []
        self.systemd = host.backend.runtime == "systemd"
        self.dropin = dropin.open_for(host.backend, FIX) if self.systemd else None
        self._base = fresh(host)
        self._trials: dict[str, Section] = {}
        self._count = 0
        self._stamp = 0
        self.backend = host.backend

    # What is known

    def option(self, name: str) -> str:
        """A role's option as text; empty when not given."""
        value = self.options.get(name)
        return str(value).strip() if value not in (None, False) else ""

    def context(self) -> FutureContext:
        """A context for one more look, with time of its own."""
        ctx = self.host.ctx
        end = max(ctx.deadline, time.monotonic() + TRIAL_SECONDS)
        return FutureContext(ctx.params, end, ctx.secrets, ctx.euid, ctx.reader, self.future)

    def trial(self) -> Section:
        """The import test of the backend as it would be now."""
        return self.try_as(self.backend, str(self._stamp))

    def try_as(self, backend: Backend, name: str = "") -> Section:
        """The import test of a resolved backend; kept under ``name``."""
        if name in self._trials:
            return self._trials[name]
        if name == "0":
            found = self.host.evidence("import_test")
        elif self._count >= MAX_TRIALS:
            found = {"ran": False, "outcome": "could_not_run", "why_not": "too many import tests would be needed"}
        else:
            self._count += 1
            found = import_test.collect(backend, self.context())
        if name:
            self._trials[name] = found
        return found

    def imported(self) -> Optional[bool]:
        """Whether the import test passes now; None when it could not be run at all."""
        return passed(self.trial())

    def with_changes(self, **values: Any) -> Backend:
        """A resolved backend that differs from the present draft in these fields, for a look ahead."""
        changed = copy.deepcopy(self._base)
        for name, value in values.items():
            setattr(changed, name, value)
        return self.resolved(changed)

    @property
    def stamp(self) -> int:
        """Counts the decisions that the import can feel."""
        return self._stamp

    def resolved(self, backend: Backend) -> Backend:
        """Application and interpreter found anew."""
        ctx = self.context()
        app.resolve(backend, ctx)
        interpreter.resolve(backend, ctx)
        return backend

    # Decisions

    def because(self, sentence: str) -> None:
        """A sentence of the decision."""
        self.reasons.append(sentence)

    def set_variable(self, name: str, value: str) -> None:
        """Set one environment variable of the service."""
        if self.dropin:
            self.dropin.set_variable(name, value)
        self.by_hand.append(f'environment={name}="{value}"')
        if name == "PYTHONPATH":
            value = ":".join([value, *self.pretended])
        self._base.environ[name] = value
        self._base.environ_origin[name] = "Environment="
        self._renew()

    def unset_variable(self, name: str) -> None:
        """Take a variable away, whoever sets it."""
        if self.dropin:
            given = self.dropin.effective().get("UnsetEnvironment", [])
            self.dropin.set_list("UnsetEnvironment", [*given, name])
        self.by_hand.append(f"environment=  (without {name})")
        self._base.environ.pop(name, None)
        self._base.environ_origin.pop(name, None)
        self._renew()

    def use_env_file(self, path: str, instead_of: Optional[str]) -> None:
        """Load an environment file: in place of one that the unit names, else as the last."""
        line = spell(path)
        if any(char in path for char in "*?[\\"):
            raise Refused(f"{path} can't be named in EnvironmentFile=: systemd would take it for a pattern. Rename it.")
        if self.dropin:
            lines = list(self.dropin.effective().get("EnvironmentFile", []))
            same = [index for index, text in enumerate(lines) if self._path_of(text) == instead_of]
            if same:
                lines[same[0]] = line
                lines = [text for index, text in enumerate(lines) if index not in same[1:]]
            elif path not in [self._path_of(text) for text in lines]:
                lines.append(line)
            self.dropin.set_list("EnvironmentFile", lines)
        self.by_hand.append(f"the variables of {path} in environment=")
        refs = [ref for ref in self._base.env_files if ref.path not in (path, instead_of)]
        position = next((i for i, ref in enumerate(self._base.env_files) if ref.path == instead_of), len(refs))
        refs.insert(min(position, len(refs)), EnvFileRef(path, False, f"EnvironmentFile={path}"))
        self._base.env_files = refs
        self._reload_files()
        self._renew()

    def rewrite(self, path: str, content: bytes, why: str) -> None:
        """Write a file of settings anew; its values never show in a diff."""
        self.changes.append(Change("file", path, why, content=content, secret=True))
        self.future[path] = content
        self._reload_files()
        self._renew()

    def lead_link(self, change: Change, target: str) -> None:
        """Lead a link elsewhere. Until that is done, paths over the link are taken over its new target."""
        self.changes.append(change)
        base = self._base
        moved = {change.path: target}
        base.argv = [moved_path(text, moved) for text in base.argv]
        base.environ = {
            name: ":".join(moved_path(part, moved) for part in value.split(":")) for name, value in base.environ.items()
        }
        if base.cwd:
            base.cwd = moved_path(base.cwd, moved)
            base.unit.update(working_directory_exists=True)
        self._renew()

    def set_directory(self, path: str) -> None:
        """Another working directory."""
        if self.dropin:
            self.dropin.set("WorkingDirectory", spell(path))
        self.by_hand.append(f"directory={path}")
        self._base.cwd = path
        self._base.unit.update(working_directory=path, working_directory_exists=True)
        self._renew()

    def set_account(self, user: Optional[str] = None, group: Optional[str] = None, gid: Optional[int] = None) -> None:
        """Another user, or another group with its number."""
        base = self._base
        if user is not None:
            if self.dropin:
                self.dropin.set("User", spell(user))
            self.by_hand.append(f"user={user}")
            become(base, user)
        if group is not None and gid is not None:
            if self.dropin:
                self.dropin.set("Group", spell(group))
            self.by_hand.append(f"group {group}")
            base.gid = gid
            base.groups = sorted({*base.groups, gid})
            base.unit.update(group=group, group_exists=True)
        self._renew()

    def set_commands(self, step: str, lines: Sequence[str]) -> None:
        """Other commands of one step (``ExecStart`` …), as they stand in a unit file."""
        if self.dropin:
            self.dropin.sections.setdefault("Service", {})[step] = ["", *lines]
        if step != "ExecStart":
            return
        argv = split_words(lines[0].lstrip("-@:+!|"))
        self.by_hand.append(f"command={' '.join(argv)}")
        name = self._base.name
        argv = [expand_specifiers(item, name) for item in argv] if self.systemd else argv
        self._base.argv = expand_variables(argv, self._base.environ)
        self._renew()

    def pretend(self, argv: Sequence[str], directory: str) -> None:
        """Take this command, with the directory on the path, for what the service will run after a change of links."""
        self.pretended.append(directory)
        self._base.argv = list(argv)
        known = self._base.environ.get("PYTHONPATH")
        self._base.environ["PYTHONPATH"] = ":".join([*([known] if known else []), directory])
        self._renew()

    def set_setting(self, name: str, value: str) -> None:
        """A setting of the unit that the import does not feel."""
        if self.dropin:
            self.dropin.set(name, value)
        self.by_hand.append(f"{name}={value}")

    # The end

    def proposal(self) -> Proposal:
        """All decisions as one proposal.

        :raises Refused: nothing could be decided, or the runtime knows no drop-ins.
        """
        changes = list(self.changes)
        if self.dropin:
            change = self.dropin.change("settings that overrule the unit's own")
            if change:
                changes.append(change)
        elif self.by_hand:
            raise Refused(
                f"{' '.join(self.reasons)} {self.host.backend.runtime} knows no drop-ins, and its configuration is not edited by machine: "
                f"change these lines of [program:{self.host.backend.name}] and reread it.",
                [*self.by_hand, "supervisorctl update"],
            )
        notes = [*self.notes, *(str(refusal) for refusal in self.refusals)]
        if changes:
            return Proposal(" ".join(dict.fromkeys(self.reasons)), changes, notes=notes)
        return self._nothing(notes)

    def _nothing(self, notes: list[str]) -> Proposal:
        if self.refusals:
            first = self.refusals[0]
            raise Refused(
                " ".join(dict.fromkeys(notes)),
                [item for refusal in self.refusals for item in refusal.commands] or first.commands,
            )
        good = self.imported()
        if good is False:
            raise Refused(
                f"Nothing about the environment of {self.host.backend.name} explains why its import fails: "
                f"{headline(self.trial())}. Diagnose it again, or choose a value yourself (environment_… variables).",
                [f"ansible-playbook playbooks/diagnose-backend-crash.yml -e backend_service={self.host.backend.name}"],
            )
        said = (
            "and the application can be imported"
            if good
            else f"as far as can be told without an import test ({self.trial().get('why_not')})"
        )
        return Proposal(
            f"The environment of {self.host.backend.name} is as it should be, {said}: nothing is changed.",
            restart=False,
            notes=notes,
        )

    # Inside

    def _path_of(self, line: str) -> str:
        return expand_specifiers(line.lstrip("-"), self._base.name)

    def _renew(self) -> None:
        self._stamp += 1
        self.backend = self.resolved(copy.deepcopy(self._base))

    def _reload_files(self) -> None:
        """The variables of the environment files anew, in systemd's order: they win over ``Environment=``."""
        base = self._base
        former = {ref.path for ref in self.host.backend.env_files} | {ref.path for ref in base.env_files}
        gone = [name for name, origin in base.environ_origin.items() if origin in former]
        for name in gone:
            base.environ.pop(name, None)
            base.environ_origin.pop(name, None)
        own = self.dropin.effective().get("Environment", []) if self.dropin else []
        for name, value in parse_environment(expand_specifiers(" ".join(own), base.name)).items():
            if name in gone:
                base.environ[name], base.environ_origin[name] = value, "Environment="
        ctx = self.context()
        removed = set(
            split_words(" ".join((self.dropin.effective() if self.dropin else {}).get("UnsetEnvironment", [])))
        )
        for ref in base.env_files:
            if not ref.origin.startswith("EnvironmentFile"):
                continue
            content = ctx.read(ref.path, max_bytes=env_file.MAX_BYTES)
            if content.error or content.truncated:
                continue
            parsed = env_file.parse(content.raw)
            env_file.remember_secrets(parsed, ctx)
            for name, value in parsed.variables.items():
                if name not in removed:
                    base.environ[name], base.environ_origin[name] = value, ref.path
