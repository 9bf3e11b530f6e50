# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fix ``settings``: the backend refuses to start because of variables that are missing or have a value that it doesn't take.

Nothing is guessed. Values come from the user, or are made where that is safe and asked for; a value that is refused, a default or unfit for
production is not put in. What the backend would say with the new values is tried before anything is written.

Options: ``variables`` (names or fields, from the diagnosis), ``values`` (name → value), ``generate`` (name → kind), ``file`` (where to write),
``production`` (bool; by default from the backend's own words), ``allow_local`` (names), ``bypass`` (variable, value, minutes, restart).
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Optional

from ..._evidence import import_test
from ..._evidence.model import Section
from ..._evidence.secret_names import is_trivial_value
from ..model import Host, Proposal, Refused
from . import settings_bypass, settings_places, settings_source, settings_values
from .settings_files import Target
from .settings_names import Complaint, complaints, is_settings_title, words
from .settings_places import Places
from .settings_source import Sources

MAX_NOTED = 12
# A trial takes as long as an import; with less than this left, the engine's own proof has to do.
MIN_TRIAL_S = 4.0


@dataclass
class Need:
    """One variable that the backend wants; ``label`` is the backend's own word for it where that differs."""

    name: str
    label: str
    complaint: Complaint


@dataclass
class Work:
    """What one call of the fix collects. ``wrong`` are sentences on values that are not put in."""

    host: Host
    test: Section
    said: str
    sources: Sources
    places: Places
    needs: list[Need] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    given: dict[str, str] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def writes(self) -> dict[str, str]:
        return {**self.given, **self.made}


def propose(host: Host) -> Proposal:
    """Set the variables that are missing or refused; see docs/repair.md.

    :raises Refused: a value is missing or may not be put in; all of them are named, with where each belongs and what to type.
    """
    test = host.evidence("import_test")
    sources = settings_source.read(host.backend, host.ctx)
    work = Work(host, test, words(test), sources, settings_places.find(host))
    _needs(work, complaints(test))
    _given(work)
    _generated(work)
    bypass = settings_bypass.parse(host)
    if work.wrong:
        raise _refused(work, " ".join(work.wrong))
    missing = [need for need in work.needs if need.name not in work.writes]
    if (missing or work.elsewhere) and bypass is None:
        raise _refused(work, "")
    if not work.writes and bypass is None:
        return _nothing_to_do(work)
    changes = work.places.changes(_by_file(work))
    decision = _decision(work) if changes else ""
    overlay = dict(work.writes)
    if bypass is not None:
        overlay[bypass.variable] = bypass.value
        more = settings_bypass.changes(host, bypass, sources, [need.name for need in missing])
        changes += more.changes
        decision = " ".join(part for part in (decision, more.decision) if part)
        work.notes += more.notes
    if changes:
        _try(work, overlay, bypassed=bypass is not None)
    return Proposal(
        decision or "Nothing is to be done.", changes, restart=bool(changes), prove=bool(changes), notes=work.notes
    )


def _needs(work: Work, found: Iterable[Complaint]) -> None:
    """From the backend's words to names of variables."""
    environ = work.places.known()
    for complaint in found:
        name = _variable(complaint, work.sources, environ)
        if name is None:
            if complaint.kind == "setting":
                work.elsewhere.append(complaint.name)
            continue
        _add(work, Need(name, complaint.name, complaint))
    listed = work.host.options.get("variables") or []
    for label in [listed] if isinstance(listed, str) else listed:
        told = Complaint(str(label).strip(), "field" if not str(label).isupper() else "variable")
        owner = next((cls for cls in work.sources.classes.values() if told.name.partition(".")[0] in cls.fields), None)
        complaint = dataclasses.replace(told, title=owner.name) if owner else told
        name = _variable(complaint, work.sources, environ) if told.name else None
        name = work.sources.settings.get(told.name, name or "")
        # A diagnosis may be older than the last change: only what still has no value is taken from it.
        if name and not work.places.value(name) and settings_values.NAME.match(name):
            _add(work, Need(name, told.name, complaint))


def _add(work: Work, need: Need) -> None:
    if all(need.name.lower() != other.name.lower() for other in work.needs):
        work.needs.append(need)


def _variable(complaint: Complaint, sources: Sources, environ: Mapping[str, str]) -> Optional[str]:
    """The environment variable behind a complaint; None when it is not about one."""
    if complaint.kind == "setting":
        return sources.settings.get(complaint.name)
    if complaint.kind == "field":
        known = sources.settings_class(complaint.title)
        if known is None and complaint.title and not is_settings_title(complaint.title):
            return None
        return sources.variable(complaint.title, complaint.name, environ)
    return complaint.name


def _given(work: Work) -> None:
    """The user's values: matched to what is wanted, checked, and left out where the backend has them already."""
    values = work.host.options.get("values") or {}
    if not isinstance(values, Mapping):
        raise Refused(
            "settings_values is no mapping: give names with their values, such as {SMTP_HOST: mail.example.org}."
        )
    production = _production(work)
    local = {str(name) for name in work.host.options.get("allow_local") or []}
    for key, raw in values.items():
        text = settings_values.text_of(raw)
        if text is None:
            continue
        need = _need_for(str(key), work.needs)
        name = need.name if need else _named(work, str(key))
        _remember(work, name, text)
        current = work.places.value(name)
        fernet = (
            "fernet"
            if need and "fernet" in (need.complaint.problem + work.said).lower() and len(work.needs) == 1
            else ""
        )
        reason = settings_values.name_reason(name) or settings_values.value_reason(
            name, text, production, bool({name, str(key)} & local), fernet
        )
        if reason is None and need and current == text:
            reason = "it is the value that the backend refuses now"
        if reason:
            work.wrong.append(f"{name} was not set: {reason}.")
        elif current != text:
            work.given[name] = text
        else:
            work.notes.append(f"{name} has this value already.")


def _need_for(key: str, needs: Iterable[Need]) -> Optional[Need]:
    """The want that a given name means: the variable itself, the field, or a name that ends like the field of an unknown class."""
    wanted = list(needs)
    for need in wanted:
        if key.lower() in (need.name.lower(), need.label.lower()):
            return need
    near = [need for need in wanted if need.complaint.kind == "field" and key.lower().endswith("_" + need.name.lower())]
    if len(near) == 1:
        near[0].name = key
        return near[0]
    return None


def _named(work: Work, key: str) -> str:
    """The variable behind a field that the backend doesn't complain about now, so that a second run finds what the first one set."""
    known = work.places.known()
    if key in known or key.isupper():
        return key
    for title, cls in work.sources.classes.items():
        if key.partition(".")[0] in cls.fields:
            name = work.sources.variable(title, key, known)
            if name:
                return name
    return key


def _generated(work: Work) -> None:
    """Values made here: only for what has none, so that a second run and every open session keep theirs."""
    asked = work.host.options.get("generate") or {}
    if not isinstance(asked, Mapping):
        raise Refused("settings_generate is no mapping: give names with a kind, such as {SECRET_KEY: urlsafe}.")
    for key, kind in asked.items():
        need = _need_for(str(key), work.needs)
        name = need.name if need else _named(work, str(key))
        if str(kind).lower() == "true":
            kind = settings_values.kind_for(name, work.said) or "urlsafe"
        reason = settings_values.name_reason(name) or settings_values.may_generate(name, str(kind))
        if name in work.given:
            continue
        if reason:
            work.wrong.append(f"{name} was not made: {reason}.")
        elif work.places.value(name):
            if need:
                work.wrong.append(
                    f"{name} was not made: it has a value, which the backend refuses, and one that is there is never replaced by a made-up one; "
                    "give the right one in settings_values."
                )
            else:
                work.notes.append(f"{name} has a value already, which was kept.")
        else:
            work.made.update(settings_values.generate([name], {name: str(kind)}))
            _remember(work, name, work.made[name])
            if str(kind) == "fernet":
                work.notes.append(f"What was encrypted with a former {name} can't be read with the new one.")


def _remember(work: Work, name: str, value: str) -> None:
    if not is_trivial_value(value):
        work.host.ctx.add_secret(value, name)


def _production(work: Work) -> Optional[str]:
    told = work.host.options.get("production")
    if isinstance(told, str):
        told = {"true": True, "yes": True, "false": False, "no": False}.get(told.strip().lower())
    return settings_values.in_production(work.places.known(), work.said, told)


def _siblings(work: Work, name: str) -> list[str]:
    """Variables of the settings class that wants this one."""
    need = next((item for item in work.needs if item.name == name), None)
    cls = work.sources.settings_class(need.complaint.title) if need else None
    known = work.places.known()
    return [work.sources.variable(cls.name, other, known) or "" for other in cls.fields] if cls else []


def _by_file(work: Work) -> list[tuple[Target, dict[str, str]]]:
    """What is written where.

    :raises Refused: no file of this backend can hold it.
    """
    found: list[tuple[Target, dict[str, str]]] = []
    for name, value in work.writes.items():
        target = work.places.place(name, _siblings(work, name))
        if target is None:
            raise Refused(
                f"{name} has no file that {work.host.backend.name} reads; its values stand in the configuration of its supervisor. "
                f"Add it there, and tell the supervisor to read it again.",
                settings_bypass.supervisor_lines(work.host, list(work.writes)),
            )
        for known, values in found:
            if known is target:
                values[name] = value
                break
        else:
            found.append((target, {name: value}))
    return found


def _decision(work: Work) -> str:
    parts = []
    for target, values in _by_file(work):
        made = [name for name in values if name in work.made]
        told = [name for name in values if name not in work.made]
        what = [f"{', '.join(told)} from you"] if told else []
        what += [f"{', '.join(made)} made from this host's random numbers"] if made else []
        parts.append(
            f"Sets {' and '.join(what)} in {target.path}{'' if target.exists else ' (new, readable for root only)'}."
        )
    return " ".join(parts)


def _nothing_to_do(work: Work) -> Proposal:
    outcome = str(work.test.get("outcome") or "")
    if outcome in ("exception", "system_exit"):
        raised = (work.test.get("exception") or {}).get("type") or "an exit"
        raise Refused(
            f"{work.host.backend.name} doesn't complain about a setting: its import ends in {raised}. Diagnose it first.",
            [
                f"ansible-playbook playbooks/diagnose-backend-crash.yml -e backend_service={shlex.quote(work.host.backend.name)}"
            ],
        )
    if outcome not in ("ok", "withheld"):
        why = str(
            work.test.get("why_not") or work.test.get("unavailable") or work.test.get("statement") or outcome
        ).rstrip(".")
        if not (work.host.options.get("values") or work.host.options.get("generate")):
            raise Refused(
                f"Whether a setting is missing is not known, because the import test gave no answer: {why}. Give the settings, or run it again."
            )
        work.notes.append(f"The import test could not tell whether other settings are missing: {why}.")
    return Proposal(
        "No setting is missing or refused, and none was given that differs.",
        restart=False,
        prove=False,
        notes=work.notes,
    )


def _try(work: Work, overlay: Mapping[str, str], bypassed: bool) -> None:
    """Import the backend as if the variables were set, before anything is written.

    :raises Refused: it refuses a value, or wants still more; all that it wants now is named.
    """
    ctx, backend = work.host.ctx, work.host.backend
    if ctx.remaining() < MIN_TRIAL_S or work.test.get("outcome") == "could_not_run":
        return
    environ = {**backend.environ, **overlay}
    test = import_test.collect(dataclasses.replace(backend, environ=environ), ctx)
    known = {**work.places.known(), **overlay}
    still: list[Need] = []
    for complaint in complaints(test):
        name = _variable(complaint, work.sources, known)
        if name and all(name != need.name for need in still):
            still.append(Need(name, complaint.name, complaint))
    if not still:
        failed = test.get("outcome") in ("exception", "system_exit")
        if failed:
            kind = (test.get("exception") or {}).get("type") or "an exit"
            work.notes.append(
                f"With these settings the import gets further, and then ends in {kind}, which is no matter of settings."
            )
        else:
            work.notes.append("It was tried with these settings before anything was written.")
        return
    refused = [need.name for need in still if need.name in overlay]
    more = [need for need in still if need.name not in overlay]
    parts = []
    if refused:
        parts.append(f"The backend refuses the value given for {', '.join(refused)} too.")
    if bypassed and more:
        parts.append("The bypass does not turn that check off.")
    work.needs = more if more else [need for need in still if need.name in refused]
    raise _refused(work, " ".join(parts), given=list(overlay))


def _refused(work: Work, why: str, given: Iterable[str] = ()) -> Refused:
    """One sentence for each variable: what is wrong with it and where it belongs; and what to type."""
    already = set(given) | set(work.writes)
    open_needs = [need for need in work.needs if need.name not in work.writes or need.name in given]
    parts = [why] if why else []
    if open_needs:
        lines = [_line(work, need) for need in open_needs]
        count = "a value is" if len(lines) == 1 else f"{len(lines)} values are"
        parts.append(f"{count[:1].upper()}{count[1:]} needed that nobody gave: {'; '.join(lines)}.")
    for name in work.elsewhere:
        parts.append(
            f"{name} is set in the settings module and not read from the environment, so it has to be corrected there."
        )
    wanted = {need.name for need in work.needs} | already
    demanded = {
        name: place
        for name, place in work.sources.demanded.items()
        if name not in wanted and not work.places.value(name)
    }
    if demanded:
        listed = ", ".join(f"{name} ({place})" for name, place in sorted(demanded.items())[:MAX_NOTED])
        parts.append(f"The code also reads these without a default, and they are not set: {listed}.")
    told, commands = _commands(work, [need.name for need in open_needs])
    if told:
        # Not as "NAME: value": what follows the name of a secret is hidden from every output.
        parts.append(
            f"In the file that the first command opens, write settings_values with {', '.join(told)} and their values."
        )
    return Refused(" ".join(parts), commands)


def _line(work: Work, need: Need) -> str:
    current = bool(work.places.value(need.name))
    called = f" (the backend calls it {need.label})" if need.label.lower() != need.name.lower() else ""
    try:
        target = work.places.place(need.name, _siblings(work, need.name))
        where = f"belongs in {target.path}" if target else "belongs in the supervisor's configuration"
    except Refused as exc:
        where = str(exc).rstrip(".")
    return f"{need.name}{called} {'has a value that is refused' if current else 'is missing'}, {where}"


def _commands(work: Work, names: list[str]) -> tuple[list[str], list[str]]:
    """The variables whose value only the user knows, for a vault file, and what to type; for the others a kind is suggested."""
    service = shlex.quote(work.host.backend.name)
    play = f"ansible-playbook playbooks/fix-backend-settings.yml -e backend_service={service}"
    kinds = [name for name in names if settings_values.kind_for(name, work.said) and not work.places.value(name)]
    told = [name for name in names if name not in kinds]
    commands = []
    if told or not names:
        commands.append("ansible-vault create settings.yml")
        play += " -e @settings.yml --ask-vault-pass"
    if kinds:
        inside = ", ".join(f'"{name}": true' for name in kinds)
        play += f" -e '{{\"settings_generate\": {{{inside}}}}}'"
    return told, [*commands, play]
