# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Another interpreter for a backend whose own is gone, moved or of the wrong version. Each one is tried before it is proposed."""

from __future__ import annotations

import os
import re
from typing import Optional

from ..._evidence import packages
from ..._evidence.model import Backend, Section, Unavailable
from ..._evidence.requirements_versions import satisfies
from ..._evidence.systemd_words import split_words
from ..model import Refused
from .environment_command import interpreted, with_interpreter
from .environment_draft import Draft, NotEvident
from .environment_interpreter_find import Candidate, groups, site_of
from .environment_trust import objection, own
from .environment_world import headline, passed, undecided

# Steps around the main command that may use the same environment.
_OTHER_STEPS = ("ExecStartPre", "ExecStartPost", "ExecCondition", "ExecReload", "ExecStop", "ExecStopPost")
MAX_SHOWN = 6


def interpreter(draft: Draft) -> None:
    """Mend the interpreter."""
    _python_home(draft)
    _other_site_packages(draft)
    wanted = draft.option("interpreter")
    if wanted:
        _chosen(draft, wanted)
        return
    reason = broken(draft)
    if reason is None:
        return
    tried: list[str] = []
    for group in groups(draft):
        accepted: dict[str, tuple[Candidate, Section]] = {}
        for candidate in group:
            test, why_not = attempt(draft, candidate)
            if test is None:
                tried.append(f"{candidate.python}: {why_not}")
                continue
            accepted.setdefault(os.path.realpath(candidate.prefix), (candidate, test))
        working = [item for item in accepted.values() if passed(item[1])] or list(accepted.values())
        if len(working) > 1:
            names = ", ".join(item[0].python for item in working[:MAX_SHOWN])
            raise NotEvident(
                f"{reason}. Several interpreters would do: {names}. Choose one with environment_interpreter."
            )
        if working and working[0][0].foreign:
            raise NotEvident(*_foreign(draft, reason, working[0][0]))
        if working:
            take(draft, working[0][0], reason)
            return
    shown = f" Tried: {'; '.join(tried[:MAX_SHOWN])}." if tried else ""
    raise NotEvident(
        f"{reason}. No other interpreter on this host runs the application and satisfies the project's requirements.{shown} "
        f"Build the environment again, or choose an interpreter with environment_interpreter.",
        [f"namei -l '{draft.backend.app.program or draft.backend.python or ''}'"],
    )


def _foreign(draft: Draft, reason: str, candidate: Candidate) -> tuple[str, list[str]]:
    """One that would do, and belongs to others: whoever changes it for them would change this backend."""
    name, python = draft.backend.name, candidate.python
    return (
        f"{reason}. {python} ({candidate.told}) would run the application, but was not made for it: build the environment again, or choose "
        f"that one with environment_interpreter.",
        [
            f"namei -l '{draft.backend.app.program or draft.backend.python or ''}'",
            f"ansible-playbook playbooks/fix-backend-environment.yml -e backend_service={name} -e environment_interpreter={python}",
        ],
    )


def broken(draft: Draft) -> Optional[str]:
    """Why the present interpreter can't stay, as a sentence without its full stop; None when it can."""
    section = draft.backend.interpreter
    if section.get("error"):
        return f"The interpreter of {draft.backend.name} does not work: {section['error']}"
    if section.get("runs") is False:
        return f"The interpreter {section.get('python')} does not start"
    sites = section.get("site_packages", [])
    if any(not site["used"] for site in sites) and not any(site["exists"] for site in sites if site["used"]):
        other = next(site for site in sites if not site["used"])
        return f"The environment's packages are for Python {other['python_version']}, its interpreter is {section.get('version')}"
    if draft.imported() is not False:
        return None
    return _mismatch(draft)


def _mismatch(draft: Draft) -> Optional[str]:
    """Whether the import fails because of the interpreter's version or environment."""
    test, section = draft.trial(), draft.backend.interpreter
    version = section.get("version")
    missing = test.get("missing_module") or {}
    if missing.get("kind") == "stdlib" and missing.get("stdlib_has") is False:
        return f"Python {version} has no module {missing['name']}"
    exception = test.get("exception") or {}
    syntax = exception.get("syntax") or {}
    if "-packages/" in str(syntax.get("file")):
        return f"{syntax['file']} is written for another Python than {version}"
    required = section.get("requires_python")
    if required and version and satisfies(str(version), str(required)) is False:
        return f"The project needs Python {required}, this is {version}"
    elsewhere = [
        place
        for place in missing.get("found_at") or []
        if place["why"] in ("other_python", "compiled_for_other_python")
    ]
    in_own_environment = section.get("kind") in ("venv", "conda") and own(str(section.get("python")), draft.backend)
    if missing.get("kind") == "third_party" and elsewhere and not in_own_environment:
        return f"{missing['name']} is installed, but not for {section.get('python')}"
    if any(place["why"] == "compiled_for_other_python" for place in elsewhere):
        return f"{missing['name']} was compiled for another Python than {version}"
    return None


def attempt(draft: Draft, candidate: Candidate) -> tuple[Optional[Section], str]:
    """The import test under another interpreter; None, with the reason, when it must not or can't be used."""
    against = objection(candidate.runs or candidate.python, draft.backend) or objection(candidate.prefix, draft.backend)
    if against:
        return None, against
    backend = as_if(draft, candidate)
    if backend is None:
        return None, f"the command can't be run by it ({draft.backend.app.program})"
    section = backend.interpreter
    if section.get("error") or section.get("runs") is False:
        return None, str(section.get("error") or "it does not start")
    required = section.get("requires_python")
    if required and satisfies(str(section.get("version")), str(required)) is False:
        return None, f"it is Python {section.get('version')}, the project needs {required}"
    lacking = unmet(draft, backend)
    if lacking:
        return None, f"it lacks {', '.join(lacking[:4])}"
    test = draft.try_as(backend, f"interpreter {candidate.python} {draft.stamp}")
    if passed(test) or undecided(test) or (passed(test) is False and not _still_wrong(test)):
        return test, ""
    return None, headline(test)


def _still_wrong(test: Section) -> bool:
    """Whether a failed import is the fault of the interpreter's environment. Anything else comes after the interpreter."""
    missing = test.get("missing_module")
    if missing:
        return bool(missing.get("kind") != "local")
    exception = test.get("exception") or {}
    if "-packages/" in str((exception.get("syntax") or {}).get("file")):
        return True
    return exception.get("type") == "ImportError" or test.get("outcome") in ("crashed", "killed")


def unmet(draft: Draft, backend: Backend) -> list[str]:
    """Declared requirements that an environment does not satisfy."""
    try:
        section = packages.collect(backend, draft.context())
    except Unavailable:
        return []
    missing = [item["name"] for item in section["missing"]]
    return missing + [f"{item['name']}{item['specifier']} (has {item['installed']})" for item in section["mismatched"]]


def as_if(draft: Draft, candidate: Candidate) -> Optional[Backend]:
    """The backend under another interpreter, resolved; None when its command can't be run by it."""
    argv = _argv(draft, candidate.runs or candidate.python)
    if argv is None:
        return None
    environ = dict(draft.backend.environ)
    if candidate.link:
        environ["PYTHONPATH"] = ":".join(
            [*([environ["PYTHONPATH"]] if environ.get("PYTHONPATH") else []), candidate.site or ""]
        )
    return draft.with_changes(argv=argv, environ=environ)


def _argv(draft: Draft, python: str) -> Optional[list[str]]:
    backend = draft.backend
    program = backend.app.program or ""
    ctx = draft.context()
    for index, text in enumerate(backend.argv):
        if text == program or ("/" not in text and os.path.basename(program) == text and index == 0):
            start = interpreted(program, python, ctx)
            return [*backend.argv[:index], *start, *backend.argv[index + 1 :]] if start else None
    return None


def take(draft: Draft, candidate: Candidate, reason: str) -> None:
    """Put a candidate into the draft: by a link of the environment, or by another command."""
    backend = draft.backend
    if candidate.link:
        argv = _argv(draft, candidate.runs or candidate.python)
        draft.because(
            f"{reason}. The packages of {candidate.prefix} are for Python {candidate.version}, which this host has as "
            f"{candidate.runs}: the environment's link {candidate.link.path} is led there."
        )
        draft.changes += [candidate.link, *candidate.further]
        if not _launcher_works(backend, candidate):
            _rewrite(draft, candidate.python)
        draft.pretend(argv or backend.argv, candidate.site or "")
        return
    draft.because(
        f"{reason}. {candidate.python} ({candidate.told}) runs the application: the service is started with it."
    )
    _rewrite(draft, candidate.python)


def _launcher_works(backend: Backend, candidate: Candidate) -> bool:
    """Whether the command reaches the mended link by itself: it names it, or its first line does."""
    chain = [step["path"] for step in backend.interpreter.get("chain", [])]
    return candidate.link is not None and candidate.link.path in chain


def _rewrite(draft: Draft, python: str) -> None:
    """Name another interpreter in all commands of the unit that use the broken one."""
    backend = draft.backend
    program = backend.app.program or ""
    ctx = draft.context()
    if not draft.dropin:
        draft.set_commands("ExecStart", [" ".join(_argv(draft, python) or backend.argv)])
        return
    settings = draft.dropin.effective()
    written = settings.get("ExecStart", [])
    lines = [with_interpreter(value, [program], python, backend.name, ctx) or value for value in written]
    if lines == written:
        raise NotEvident(
            f"ExecStart= does not name {program} itself, so no drop-in can name another interpreter: change the script behind it.",
            [f"systemctl cat {backend.name}", f"# {python} works"],
        )
    folder = os.path.dirname(program)
    changed = {}
    for step in _OTHER_STEPS:
        values = settings.get(step, [])
        new = [_other(value, folder, python, draft) for value in values]
        if new != values:
            changed[step] = new
    for step, values in changed.items():
        draft.set_commands(step, values)
    draft.set_commands("ExecStart", lines)


def _other(value: str, folder: str, python: str, draft: Draft) -> str:
    """A command of another step, led away from the broken environment where it names a program of it."""
    if os.path.basename(folder) != "bin" or folder in ("/usr/bin", "/bin", "/usr/local/bin"):
        return value
    programs = [text for text in split_words(value.lstrip("-@:+!|")) if text.startswith(f"{folder}/")]
    return (
        with_interpreter(value, programs[:1], python, draft.backend.name, draft.context()) if programs else None
    ) or value


def _chosen(draft: Draft, wanted: str) -> None:
    """The user's own choice, checked: it runs the application, or at least gets past what is missing."""
    if not os.path.isfile(wanted) or not os.access(wanted, os.X_OK):
        raise Refused(f"{wanted} is not an executable file: correct environment_interpreter.", [f"ls -l '{wanted}'"])
    backend = draft.backend
    if (
        backend.python
        and os.path.normpath(backend.python) == os.path.normpath(wanted)
        and not backend.interpreter.get("error")
    ):
        return
    candidate = Candidate(wanted, os.path.dirname(os.path.dirname(wanted)), "environment_interpreter")
    test, why_not = attempt(draft, candidate)
    if test is None and draft.trial().get("why_not") != (why_not or None) and "turned off" not in why_not:
        raise Refused(
            f"{wanted} does not run the application: {why_not}. Choose another one with environment_interpreter.",
            [f"'{wanted}' -V"],
        )
    draft.because(f"The service is started with {wanted}, as environment_interpreter says.")
    _rewrite(draft, wanted)


def _python_home(draft: Draft) -> None:
    """``PYTHONHOME`` that leads nowhere keeps every interpreter from starting."""
    home = draft.backend.environ.get("PYTHONHOME")
    if not home or draft.backend.interpreter.get("runs") is not False:
        return
    environ = {name: value for name, value in draft.backend.environ.items() if name != "PYTHONHOME"}
    without = draft.with_changes(environ=environ)
    if without.interpreter.get("runs"):
        draft.because(
            f"PYTHONHOME={home} keeps {without.python} from starting, and without it it starts: the variable is taken away."
        )
        draft.unset_variable("PYTHONHOME")


def _other_site_packages(draft: Draft) -> None:
    """Directories of another version's packages that ``PYTHONPATH`` names by hand."""
    value = draft.backend.environ.get("PYTHONPATH", "")
    version = ".".join(str(draft.backend.interpreter.get("version") or "").split(".")[:2])
    foreign = [part for part in value.split(":") if site_of(part) and version and site_of(part) != version]
    if not foreign or draft.imported() is not False or draft.backend.environ_origin.get("PYTHONPATH") != "Environment=":
        return
    parts = [part for part in value.split(":") if part]
    swapped = [re.sub(r"/python\d+\.\d+/", f"/python{version}/", part) if part in foreign else part for part in parts]
    ways = {
        "the packages beside them for this version take their place": [part for part in swapped if os.path.isdir(part)],
        "they are taken off it": [part for part in parts if part not in foreign],
    }
    for told, kept in ways.items():
        environ = {**draft.backend.environ, "PYTHONPATH": ":".join(kept)}
        if any(objection(part, draft.backend) for part in kept) or not passed(
            draft.try_as(draft.with_changes(environ=environ))
        ):
            continue
        draft.because(
            f"PYTHONPATH names packages of another Python ({', '.join(foreign)}), and this is {version}: {told}."
        )
        draft.set_variable("PYTHONPATH", ":".join(kept))
        return
