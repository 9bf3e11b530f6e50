# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Repairs the link that the imports go through, or removes the one that misleads them; each decision is tried out on paper first."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field
from typing import Optional

from ..model import Change, Host, Proposal, Refused
from .symlink_candidates import Suspect, suspect, suspects, targets, texts_in, written
from .symlink_imports import Walk, walk
from .symlink_overlay import Overlay

AUTO, REMOVE, RESTORE = "auto", "remove", "restore"
MAX_LINKS = 5
SHOWN = 4
# An import that never ends, or a path that does not.
_CIRCLES = ("RecursionError",)
_CIRCLE_ERRNO = (36, 40)


@dataclass
class Step:
    """One link to change: ``target`` as it will be written, None to remove it; ``why`` is a sentence."""

    one: Suspect
    target: Optional[str]
    why: str


@dataclass
class Bench:
    """Tries out links: ``thought`` are those that are decided already."""

    host: Host
    thought: dict[str, Optional[str]] = field(default_factory=dict)
    tried: list[str] = field(default_factory=list)
    open_targets: dict[str, list[str]] = field(default_factory=dict)

    def walk(self, one: Optional[Suspect] = None, target: Optional[str] = None) -> Walk:
        """The imports with a link as it would be."""
        links = {**self.thought, **({one.path: target} if one else {})}
        return walk(self.host.backend, self.host.ctx, Overlay(links))


def propose(host: Host) -> Proposal:
    """What to do about the link that is named, or about those that the evidence points at."""
    action = str(host.options.get("action") or AUTO)
    path = str(host.options.get("path") or "")
    target = str(host.options.get("target") or "")
    if action not in (AUTO, REMOVE, RESTORE):
        raise Refused(f"symlink_action is {action!r}: it can be {AUTO}, {REMOVE} or {RESTORE}.")
    if path and not path.startswith("/"):
        raise Refused(f"symlink_path is {path!r}: give the absolute path of the link.")
    if target and (action != RESTORE or not path):
        raise Refused("symlink_target goes with symlink_action=restore and symlink_path, which are not both given.")
    bench = Bench(host)
    named = _named(host, path)
    if action == REMOVE:
        return _remove(bench, named or _only(bench, action))
    if action == RESTORE:
        return _restore(bench, named or _only(bench, action), target)
    return _auto(bench, named)


def _named(host: Host, path: str) -> Optional[Suspect]:
    return suspect(path, texts_in(host.evidence("symlinks"))) if path else None


def _auto(bench: Bench, named: Optional[Suspect]) -> Proposal:
    """Repair, one after the other, the links without which the imports don't resolve."""
    host = bench.host
    test = host.evidence("import_test")
    if test.get("ran") and test.get("outcome") == "ok":
        return _nothing(bench, named, "The import test passes, so no link is in the way of the start.")
    begin = bench.walk()
    steps: list[Step] = []
    for _round in range(MAX_LINKS):
        step = _next(bench, named if not steps else None, steps)
        if step is None:
            break
        steps.append(step)
        bench.thought[step.one.path] = step.target
    if steps:
        rest = bench.walk().lacks()
        notes = [f"These imports resolve neither before nor after: {_list(rest)}."] if rest else []
        return Proposal(" ".join(step.why for step in steps), [_change(step) for step in steps], notes=notes)
    raise _no_way(bench, named, begin)


def _next(bench: Bench, named: Optional[Suspect], steps: list[Step]) -> Optional[Step]:
    """The next link to change: what was named first, then whatever the evidence points at."""
    before = bench.walk()
    missing = {item.what.partition(":")[0] for item in before.missing} | _missing_in_test(bench.host)
    done = {step.one.path for step in steps}
    listed = [named] if named else []
    listed += [
        one for one in suspects(bench.host, missing) if one.path not in done and (not named or one.path != named.path)
    ]
    for one in listed:
        step = _decide(bench, one)
        if step:
            return step
    return None


def _decide(bench: Bench, one: Suspect) -> Optional[Step]:
    """What would help with one link; None where nothing is sure to."""
    if one.kind in ("directory", "file", "none"):
        return None
    before = bench.walk(one, one.now)
    if not before.lacks():
        return _circle(bench, one, before) or _written_out(bench, one, before)
    if one.kind in ("self", "intact") and _better(before, bench.walk(one, None), one, removed=True):
        why = (
            f"{one.shown} {one.problem()}. {_importers(before)}: that resolves without the link only, so it is removed."
        )
        return Step(one, None, why)
    good = _good_targets(bench, one, before)
    if len(good) != 1:
        bench.open_targets[one.shown] = good
        return None
    link = written(one, good[0])
    others = "what it says" if one.kind == "text" else "the only place that has all that is imported through it"
    why = f"{one.shown} {one.problem()}. {_importers(before)}: {link} is {others}, so the link is pointed there."
    return Step(one, link, why)


def _good_targets(bench: Bench, one: Suspect, before: Walk) -> list[str]:
    """Targets with which the imports resolve; why another one does not is kept for the refusal."""
    good = []
    for target in targets(one, bench.host):
        after = bench.walk(one, target)
        if _better(before, after, one):
            good.append(target)
        else:
            lacking = _list(after.lacks())
            bench.tried.append(
                f"{target} lacks {lacking}" if lacking else f"{target} is not what the imports go through"
            )
    return good


def _better(before: Walk, after: Walk, one: Suspect, removed: bool = False) -> bool:
    """Whether a change resolves what was missing, leaves nothing of the application missing, and is what does it.

    What isn't installed is missing before and after, and is another repair's affair.
    """
    if not (after.entry and after.complete and before.lacks() - after.lacks()):
        return False
    own = {name.partition(".")[0] for name in after.files} | {one.module}
    if any(item.top in own for item in after.missing):
        return False
    return removed or one.path in after.passed


def _circle(bench: Bench, one: Suspect, before: Walk) -> Optional[Step]:
    """A link that leads into itself and is not needed, where the import went in circles."""
    exception = bench.host.evidence("import_test").get("exception") or {}
    round_about = exception.get("type") in _CIRCLES or exception.get("errno") in _CIRCLE_ERRNO
    if one.kind not in ("self", "loop") or not round_about or bench.walk(one, None).lacks():
        return None
    why = (
        f"{one.shown} {one.problem()}, and the import goes in circles ({exception.get('type')}). "
        "All imports of the application resolve without it, so it is removed."
    )
    return Step(one, None, why)


def _written_out(bench: Bench, one: Suspect, before: Walk) -> Optional[Step]:
    """A file in a link's place that is no module, such as a configuration: it says itself where it should lead."""
    exception = bench.host.evidence("import_test").get("exception") or {}
    named = str(exception.get("filename") or "")
    if one.kind != "text" or not one.target or not named or not os.path.realpath(named).startswith(one.path):
        return None
    if not os.path.exists(os.path.join(os.path.dirname(one.path), one.target)):
        return None
    why = f"{one.shown} {one.problem()}, and the application fails at {named}. The target is there, so the link is made again."
    return Step(one, one.target, why)


def _remove(bench: Bench, one: Suspect) -> Proposal:
    """Remove a link, if that breaks no import."""
    if one.kind == "none":
        return Proposal(f"{one.shown} isn't there; nothing is to be done.", restart=False, prove=False)
    if one.kind in ("directory", "file", "text"):
        raise Refused(
            f"{one.shown} {one.problem()}, and not a link: it is never deleted. Look at what is in it, and move it away by hand if that is right.",
            [f"ls -la {shlex.quote(one.shown)}"],
        )
    before, after = bench.walk(one, one.now), bench.walk(one, None)
    lost = after.lacks() - before.lacks()
    if lost:
        raise Refused(
            f"{one.shown} {one.problem()}, and without it these imports would not resolve: {_list(lost)}. It stays; with symlink_action=auto "
            "the evidence decides what helps.",
            [f"namei -l {shlex.quote(one.shown)}"],
        )
    why = f"{one.shown} {one.problem()}, and no import of the application needs it: it is removed, as asked for."
    return Proposal(why, [_change(Step(one, None, why))])


def _restore(bench: Bench, one: Suspect, given: str) -> Proposal:
    """Point a link where the imports resolve, or where the user wants it, if it breaks no import."""
    if one.kind in ("directory", "file"):
        raise Refused(
            f"{one.shown} {one.problem()}, which is never replaced: look at what is in it, and move it away by hand if the link shall stand there.",
            [f"ls -la {shlex.quote(one.shown)}"],
        )
    before = bench.walk(one, one.now)
    if given:
        return _to_given(bench, one, given, before)
    if one.kind == "intact" and not before.lacks():
        return Proposal(
            f"{one.shown} {one.problem()}, and all imports resolve; nothing is to be done.", restart=False, prove=False
        )
    good = _good_targets(bench, one, before)
    if len(good) != 1:
        bench.open_targets[one.shown] = good
        raise _no_way(bench, one, before)
    link = written(one, good[0])
    why = f"{one.shown} {one.problem()}. {_importers(before)}: {link} is the only place that has all of it, so the link is pointed there."
    return Proposal(why, [_change(Step(one, link, why))])


def _to_given(bench: Bench, one: Suspect, given: str, before: Walk) -> Proposal:
    if one.now == given and one.kind == "intact":
        return Proposal(f"{one.shown} leads to {given} already; nothing is to be done.", restart=False, prove=False)
    real = os.path.realpath(os.path.join(os.path.dirname(one.path), given))
    if not os.path.exists(real):
        raise Refused(
            f"symlink_target is {given}, which isn't there: give one that exists.", [f"namei -l {shlex.quote(real)}"]
        )
    if one.path.startswith(real.rstrip("/") + "/"):
        raise Refused(
            f"symlink_target is {given}, the link's own directory or one above it: every module would come under two names. Put the directory "
            "above on PYTHONPATH instead (playbooks/fix-backend-environment.yml)."
        )
    after = bench.walk(one, given)
    lost = after.lacks() - before.lacks()
    if lost and before.entry:
        raise Refused(
            f"With {one.shown} leading to {given} these imports would not resolve: {_list(lost)}. The link stays as it is."
        )
    notes = [f"These imports don't resolve all the same: {_list(after.lacks())}."] if after.lacks() else []
    why = f"{one.shown} {one.problem()}; it is pointed to {given}, as asked for."
    return Proposal(why, [_change(Step(one, given, why))], notes=notes)


def _only(bench: Bench, action: str) -> Suspect:
    """The one link that the evidence points at, where the user named none."""
    missing = {item.what.partition(":")[0] for item in bench.walk().missing} | _missing_in_test(bench.host)
    found = suspects(bench.host, missing)
    if len(found) == 1:
        return found[0]
    named = f"{_list({one.shown for one in found})} could be meant" if found else "the evidence points at none"
    raise Refused(f"It isn't said which link to {action}, and {named}: name it with symlink_path.")


def _change(step: Step) -> Change:
    why = "the imports resolve without it" if step.target is None else "the imports resolve through it"
    return Change("link", step.one.path, why, target=step.target, replaces_file=step.one.kind == "text")


def _nothing(bench: Bench, named: Optional[Suspect], why: str) -> Proposal:
    """Nothing to be done; broken links that nothing needs are told."""
    broken = [one for one in suspects(bench.host, set()) if one.kind in ("dangling", "loop", "text")]
    notes = [
        f"{one.shown} {one.problem()}; nothing that is imported needs it, so it is left alone."
        for one in broken[:SHOWN]
    ]
    told = f" {named.shown} {named.problem()} and is left alone." if named and named.kind != "none" else ""
    return Proposal(why + told, restart=False, prove=False, notes=notes)


def _no_way(bench: Bench, named: Optional[Suspect], before: Walk) -> Refused:
    """The refusal: which link, what the code wants of it, what was tried, and what a person can do."""
    host = bench.host
    missing = {item.what.partition(":")[0] for item in before.missing} | _missing_in_test(host)
    parts = {part for name in missing for part in name.split(".")}
    listed = (
        [named]
        if named
        else [one for one in suspects(host, missing) if one.module in parts or one.path in before.passed]
    )
    if not listed or (named and named.kind == "none" and not before.lacks()):
        return Refused(
            f"No link of {host.backend.name} is broken or carries the name of what is missing, so a link isn't the reason. Diagnose it again.",
            [f"ansible-playbook playbooks/diagnose-backend-crash.yml -e backend_service={host.backend.name}"],
        )
    one = listed[0]
    words = f"{one.shown} {one.problem()}. {_importers(before)}"
    open_targets = bench.open_targets.get(one.shown, [])
    commands = [f"namei -l {shlex.quote(one.shown)}"]
    if one.kind in ("directory", "file"):
        return Refused(
            f"{words}: what stands there is no link, and is never deleted. Look at what is in it.",
            [f"ls -la {shlex.quote(one.shown)}"],
        )
    if len(open_targets) > 1:
        call = f"ansible-playbook playbooks/fix-backend-symlink.yml -e backend_service={host.backend.name} -e symlink_path={shlex.quote(one.shown)}"
        commands += [
            f"{call} -e symlink_action=restore -e symlink_target={shlex.quote(written(one, item))}"
            for item in open_targets[:SHOWN]
        ]
        return Refused(
            f"{words}: {_list(set(open_targets))} would all do, and which one is meant only a person knows.", commands
        )
    tried = (
        f" What was found does not fit: {'; '.join(list(dict.fromkeys(bench.tried))[:SHOWN])}." if bench.tried else ""
    )
    if not before.lacks():
        return Refused(
            f"{one.shown} {one.problem()}, and all imports of the application resolve, so it isn't what stops the start.",
            commands,
        )
    return Refused(
        f"{words}: no place on this host has that, so it isn't evident where the link should lead.{tried} Deploy what is missing, or name the "
        "place with symlink_action=restore and symlink_target.",
        commands,
    )


def _importers(before: Walk) -> str:
    """How the code imports what is missing, with the place of the first."""
    first = next(iter(before.missing), None)
    if first is None:
        return "The application itself is reached through it" if not before.entry else "The imports resolve"
    place = f" ({first.file}, line {first.line})" if first.file else ""
    more = len(before.lacks()) - 1
    return f"The application imports {first.what.replace(':', '.')}{place}" + (
        f" and {more} more that are missing" if more > 0 else ""
    )


def _missing_in_test(host: Host) -> set[str]:
    name = (host.evidence("import_test").get("missing_module") or {}).get("name")
    return {str(name)} if name else set()


def _list(names: set[str]) -> str:
    ordered = sorted(name.replace(":", ".") for name in names)
    more = f" and {len(ordered) - SHOWN} more" if len(ordered) > SHOWN else ""
    return ", ".join(ordered[:SHOWN]) + more
