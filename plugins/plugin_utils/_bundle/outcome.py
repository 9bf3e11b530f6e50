# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of each host: its evidence and diagnoses, or a sentence that says what was tried and what to do next."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import text
from .blocks import part, records
from .verdict import Verdict, service_name

# What a failed connection or module says → what to do about it. The first that fits is taken.
ADVICE = (
    (r"sudo: (?:unknown user|unable to|error)",
     "check ansible_become_user and the sudo rules of this host, or look with fewer rights with -e backend_become=false"),
    (r"missing sudo password|sudo: a password is required|incorrect sudo password|become password|timeout.*privilege escalation",
     "give the password with --ask-become-pass, or look with fewer rights with -e backend_become=false"),
    (r"not in the sudoers|not allowed to execute|may not run sudo|sudo: command not found|su: ",
     "use a login that may become root, or look with fewer rights with -e backend_become=false"),
    (r"permission denied|publickey|authentication fail|invalid/incorrect password",
     "check ansible_user and its key or password for this host"),
    (r"host key verification|remote host identification",
     "compare the host's key, then correct known_hosts"),
    (r"could not resolve|name or service not known|nodename nor servname|temporary failure in name",
     "check ansible_host in the inventory and the name service of the controller"),
    (r"timed out|timeout|no route|refused|unreachable|connection closed|closed by",
     "check that the host is up and that SSH answers: ansible -m ansible.builtin.ping {host}"),
    (r"python.*not found|no such file.*python|interpreter|/usr/bin/env: .python",
     "set ansible_python_interpreter to a Python 3.9 or newer on this host"),
    (r"no space left", "free some space on the host: the module needs a few hundred KiB in its temporary directory"),
)  # fmt: skip

# Messages of Ansible that only say that the module gave no answer; why is in the module's stderr.
EMPTY_WORDS = ("MODULE FAILURE", "See stdout/stderr", "Module result deserialization failed")


@dataclass
class Outcome:
    """``kind`` is diagnosed, nothing_found, unreachable, unknown_backend, failed or unclassified.

    ``examined`` are all services that were considered when none was asked for. ``documents`` are pairs of evidence and
    diagnosis, ``None`` where the classifier failed. ``labels`` name the host of each document where that isn't ``host``, in
    a saved bundle that is classified again.
    """

    host: str
    kind: str
    problem: str = ""
    examined: list[Mapping[str, Any]] = field(default_factory=list)
    documents: list[tuple[Mapping[str, Any], Mapping[str, Any] | None]] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def diagnosed(self) -> bool:
        return self.kind in ("diagnosed", "nothing_found")

    @property
    def sick(self) -> bool:
        return any(verdict.sick for verdict in self.verdicts)


def outcome(
    host: str, gathered: Mapping[str, Any], diagnoses: Any, wanted: str | None, connection: str, error: str = ""
) -> Outcome:
    """Judge one host.

    :param gathered: the registered result of ``backend_info``.
    :param diagnoses: the diagnoses in the order of ``gathered['backends']``; anything else when classifying failed.
    :param wanted: the backend that was asked for, if any.
    :param connection: how the host is reached, for the sentence about what was tried.
    :param error: why classifying failed, if it did.
    """
    asked = f"backend {wanted}" if wanted else "its backends"
    said = message(gathered)
    if gathered.get("unreachable"):
        return Outcome(
            host, "unreachable",
            f"{host} can't be reached, so {asked} could not be looked at. Tried: {connection}. "
            f"It said: {said}. Next: {advice(said, host, 'timeout')}.",
        )  # fmt: skip
    backends = records(gathered.get("backends"))
    if not backends and (gathered.get("failed") or gathered.get("msg") or gathered.get("module_stderr")):
        near = near_names(gathered)
        next_step = advice(said, host, "")
        return Outcome(
            host, "unknown_backend" if near else "failed",
            f"{host}: {asked} could not be diagnosed. Tried: backend_info over {connection}. It said: {said}."
            + (f" Names that are close: {', '.join(near)}." if near else "")
            + (f" Next: {next_step}." if next_step else ""),
        )  # fmt: skip
    examined = records(gathered.get("examined"))
    notes = gathered.get("notes")
    remarks = " ".join(text.one_line(note) for note in notes) if isinstance(notes, list) else ""
    if not backends:
        looked = f" among the {len(examined)} services of this host" if examined else ""
        return Outcome(
            host, "nothing_found",
            f"{host}: no service that looks like a Python backend has failed, keeps restarting or doesn't answer{looked}. "
            f"Name one with -e backend_service=<name> to have it looked at all the same. {remarks}".rstrip(),
            examined,
        )  # fmt: skip
    answers: list[Any] = list(diagnoses) if isinstance(diagnoses, list) else []
    answers += [None] * (len(backends) - len(answers))
    result = Outcome(
        host,
        "diagnosed",
        f"{host}: {remarks}" if remarks else "",
        examined=examined,
        documents=list(zip(backends, answers)),
    )
    absent = [one for one in backends if part(one, "service").get("exists") is False]
    if absent:
        near = [text.one_line(name) for name in part(absent[0], "service").get("near_names") or []]
        result.kind = "unknown_backend"
        result.problem = f"{host}: there is no backend {service_name(absent[0])}. " + (
            f"Names that are close: {', '.join(near)}."
            if near
            else "Leave backend_service out to have the sick ones found."
        )
    elif any(answer is None for answer in answers[: len(backends)]):
        result.kind = "unclassified"
        result.problem = (
            f"{host}: the evidence of {asked} was gathered, but it could not be classified"
            f"{f' ({text.one_line(error)})' if error else ''}. Next: read the numbered files, and report the bundle's evidence.json."
        )
    return result


def message(result: Mapping[str, Any]) -> str:
    """The most telling sentence of a failed task, on one line."""
    said = str(result.get("msg") or "")
    stderr = str(result.get("module_stderr") or result.get("stderr") or "").strip()
    if stderr and (not said or any(words in said for words in EMPTY_WORDS)):
        # sudo gives its reason first, Python's last.
        lines = stderr.splitlines()
        said = lines[0] if lines[0].startswith("sudo:") else lines[-1]
    said = re.sub(r"^(?:(?:Task|Action|Module) failed: )+", "", text.one_line(said))
    return text.cut(said or "nothing", 400).rstrip(".")


def advice(said: str, host: str, otherwise: str) -> str:
    """What to do about a failed connection or module; ``otherwise`` is matched when ``said`` tells nothing."""
    for wording in (said, otherwise):
        for pattern, words in ADVICE:
            if wording and re.search(pattern, wording, re.IGNORECASE):
                return words.format(host=host)
    return ""


def near_names(gathered: Mapping[str, Any]) -> list[str]:
    """Names close to the one that was asked for, if the module found any."""
    found = gathered.get("near_names")
    return [text.one_line(name) for name in found][:5] if isinstance(found, list) else []
