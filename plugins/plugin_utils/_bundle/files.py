# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The numbered text files of one backend: which evidence each shows, and in which form.

A further file is a further entry of ``FILES``. Numbers and names are an interface: none is ever given to another content.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from . import text
from .blocks import Evidence, import_run, kernel, log_sources, part, restarts, unit_files
from .outline import Lines, outline, section

Renderer = Callable[[Evidence], Lines]

RULE = "-" * text.WIDTH


@dataclass(frozen=True)
class NumberedFile:
    """``shows`` is the sentence under the heading; ``parts`` are (heading, sections used, renderer)."""

    name: str
    shows: str
    parts: tuple[tuple[str, tuple[str, ...], Renderer], ...]


def facts(name: str, *skip: str) -> tuple[str, tuple[str, ...], Renderer]:
    """A part that shows a whole section of the evidence as it is."""

    def render(evidence: Evidence) -> Lines:
        return section(evidence.get(name), skip)

    return (text.label(name), (name,), render)


KERNEL: tuple[str, tuple[str, ...], Renderer] = ("kernel", ("kernel",), kernel)


def _is_journal(source: Mapping[str, Any]) -> bool:
    return source.get("kind") == "journal"


def _is_error_log(source: Mapping[str, Any]) -> bool:
    return not _is_journal(source) and (
        source.get("stream") == "stderr" or "error" in str(source.get("path", "")).rpartition("/")[2]
    )


def _is_other_log(source: Mapping[str, Any]) -> bool:
    return not _is_journal(source) and not _is_error_log(source)


def _collection(evidence: Evidence) -> Lines:
    collectors = part(evidence, "collectors")
    entries = [{"collector": name, **entry} for name, entry in collectors.items() if isinstance(entry, Mapping)]
    return outline(entries) if entries else section(evidence.get("collectors"))


FILES = (
    NumberedFile(
        "01-service-status.txt",
        "What the supervisor itself says about the backend, and its processes.",
        (facts("service", "messages", "restart_times"), facts("processes")),
    ),
    NumberedFile(
        "02-service-config.txt",
        "How the backend is started: the effective unit with its drop-ins, and what its command line means.",
        (("unit", ("unit",), unit_files), facts("app", "health")),
    ),
    NumberedFile(
        "03-port-status.txt",
        "The ports it wants, who holds them, and whether a health endpoint answers.",
        (facts("ports"), ("health endpoint", ("app",), lambda evidence: section(part(evidence, "app").get("health")))),
    ),
    NumberedFile(
        "04-backend-log.txt",
        "What the backend wrote to its standard output and its own log files.",
        (("logs", ("logs",), log_sources(_is_other_log, "It has no log file but those in 05-error-log.txt and 06-journal.txt.")),),
    ),
    NumberedFile(
        "05-error-log.txt",
        "What the backend wrote to its standard error and its error logs.",
        (("logs", ("logs",), log_sources(_is_error_log, "It has no error log of its own: see 04-backend-log.txt and 06-journal.txt.")),),
    ),
    NumberedFile(
        "06-journal.txt",
        "What the system's journal holds of the backend.",
        (("journal", ("logs",), log_sources(_is_journal, "The journal is no source of this backend: its supervisor writes files.")),),
    ),
    NumberedFile(
        "07-restart-history.txt",
        "How often and when it was started again, and how each run ended.",
        (("restarts", ("service", "logs"), restarts), KERNEL),
    ),
    NumberedFile(
        "08-environment.txt",
        "The variables that the backend gets, where each comes from, and the environment files. Values are redacted.",
        (facts("environment"),),
    ),
    NumberedFile(
        "09-import-test.txt",
        "Importing the application as the backend's user, with its environment, interpreter and working directory.",
        (("import test", ("import_test",), import_run("import_test")),),
    ),
    NumberedFile(
        "10-memory-processes.txt",
        "Memory, disks, file descriptors and limits, the processes, and what the kernel killed.",
        (facts("resources"), facts("processes"), KERNEL),
    ),
    NumberedFile(
        "11-foreground-test.txt",
        "Running the backend in the foreground; off unless backend_foreground_test asks for it.",
        (("foreground test", ("foreground_test",), import_run("foreground_test")),),
    ),
    NumberedFile(
        "12-symlinks.txt",
        "Symbolic links in and around the code, and who may read what.",
        (facts("symlinks"), facts("access")),
    ),
    NumberedFile(
        "13-python-path.txt",
        "The interpreter, from the command down to the real Python, and where it looks for modules.",
        (facts("interpreter"), facts("python_path")),
    ),
    NumberedFile(
        "14-packages.txt",
        "Installed and declared packages, and how they fit.",
        (facts("packages"),),
    ),
    NumberedFile(
        "15-backing-services.txt",
        "Databases, caches and brokers that its settings name, and how far each can be reached.",
        (facts("backing_services"),),
    ),
    NumberedFile(
        "16-collection.txt",
        "How the evidence was gathered: the target, the clock, and how each collector fared.",
        (facts("target"), facts("clock"), ("collectors", ("collectors",), _collection)),
    ),
)  # fmt: skip


def render(entry: NumberedFile, evidence: Evidence, title: str) -> str:
    """One numbered file; ``title`` names host and backend. A part that fails is reported in its place."""
    lines = [f"{entry.name}   {title}", *text.wrap(entry.shows), *_gathering(entry, evidence), RULE]
    for heading, _sections, renderer in entry.parts:
        if len(entry.parts) > 1:
            lines += ["", f"# {heading}", ""]
        try:
            lines += renderer(evidence)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as exc:
            lines.append(
                f"This part could not be written as text ({type(exc).__name__}: {text.one_line(exc)}); it is in evidence.json."
            )
    return "\n".join(lines) + "\n"


def _gathering(entry: NumberedFile, evidence: Evidence) -> Lines:
    """How the collectors behind this file fared, when there is something to say."""
    collectors = part(evidence, "collectors")
    lines: Lines = []
    for name in dict.fromkeys(name for _heading, sections, _renderer in entry.parts for name in sections):
        status = collectors.get(name)
        if not isinstance(status, Mapping):
            continue
        took = f" in {text.measured('ms', status['ms'])}" if status.get("ms") is not None else ""
        remarks = [text.one_line(status["error"])] if status.get("error") else []
        remarks += ["cut to the size limit"] if status.get("truncated") else []
        lines += text.wrap(
            f"{name}: {status.get('status', 'unknown')}{took}{': ' if remarks else ''}{'; '.join(remarks)}"
        )
    return lines
