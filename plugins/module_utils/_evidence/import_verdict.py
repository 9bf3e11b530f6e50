# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the sandbox's result to the ``import_test`` section: pure functions.

What the probe reports comes from a process in which the application's code ran. It is checked for shape and size,
and never decides on its own what the sandbox or the kernel know better.
"""

from __future__ import annotations

import os
import re
from typing import Any, Callable, Optional

from . import import_shapes as shapes
from .access_check import Identity, check
from .import_shapes import integer, plain_list, text
from .model import Section
from .sandbox import Result

# Refused connections, absent networks and names that don't resolve, whatever library says so.
NETWORK_ERRNOS = frozenset({64, 99, 100, 101, 103, 104, 110, 111, 113, -2, -3, -5})
NETWORK_TYPES = frozenset({"gaierror", "herror", "ConnectionError", "ConnectionRefusedError", "ConnectError"})
NETWORK_WORDS = re.compile(
    r"machine is not on the network|network is unreachable|name resolution|name or service not known|connection refused"
    r"|no route to host|could not translate host name|getaddrinfo failed|nodename nor servname|cannot assign requested",
    re.IGNORECASE,
)
EAGAIN, EACCES, EFBIG, ENOSPC, EROFS = 11, 13, 27, 28, 30
STAGES = {
    "cwd": "the working directory {cwd} can't be entered as user {user}: {text}",
    "exec": "the interpreter {python} can't be started as user {user}: {text}",
    "user": "the test can't become user {user}: {text}",
    "sandbox": "no sandbox could be made: {text}",
}


def section(result: Result, words: dict[str, str], host: Host) -> Section:
    """The section for a test that was tried. ``words`` are cwd, user and python for sentences."""
    final = _last(result, "final")
    sudden = _last(result, "sudden_end")
    start = _last(result, "start")
    ended = result.ended or {}
    found: Section = {
        "ran": True,
        "why_not": None,
        "python_version": text(start.get("version"), 100),
        "duration_ms": integer(final.get("duration_ms")) if final else integer(ended.get("ms")),
        "statement": text(final.get("statement")) or _progress(result),
        "sandbox": sandbox_words(result.sandbox),
        "withheld": [
            shapes.withheld(entry) for entry in plain_list(final.get("withheld") or sudden.get("withheld"))[:50]
        ],
        "private": [shapes.withheld(entry) for entry in plain_list(final.get("private") or sudden.get("private"))[:50]],
        "exception": None,
        "missing_name": None,
        "attribute": shapes.attribute(final.get("attribute")),
        "system_exit": None,
        "exit_code": integer(ended.get("code")),
        "signal": integer(ended.get("signal")),
        "limit": text(ended.get("limit")),
        "starved": starved(ended),
        "cpu_ms": integer(ended.get("cpu_ms")),
        "peak_rss_bytes": integer(ended.get("peak_rss_bytes")),
        "stack": [],
        "importing": [text(name, 200) for name in plain_list(final.get("importing") or sudden.get("importing"))[:30]],
        "slowest": [shapes.slow(entry) for entry in plain_list(final.get("slowest"))[:10]],
        "import_count": integer(final.get("import_count")),
        "sys_path": [text(path, 1000) for path in plain_list(final.get("sys_path"))[:100]],
        "script": final.get("script") if isinstance(final.get("script"), dict) else None,
        "stdout": result.stdout,
        "stderr": result.stderr,
        "output_truncated": result.output_truncated,
        "faulthandler": result.fault[:8192] or None,
    }
    chain = [as_on_host(shapes.exception(entry), host) for entry in plain_list((final or sudden).get("chain"))[:8]]
    if chain:
        found["exception"] = dict(chain[-1], chain=chain)
        found["missing_name"] = shapes.missing_name(chain, final.get("names"))
    found["outcome"] = _outcome(result, final, sudden, start, chain, found, words, host)
    if found["outcome"] in ("timeout", "killed", "crashed"):
        found["stack"] = shapes.stack_of(result.fault, host.origin)
        if sudden.get("kill") is not None and not found["stack"] and found["limit"] is None:
            found["stack"] = [shapes.frame(entry) for entry in plain_list(sudden.get("stack"))[: shapes.MAX_FRAMES]]
            found["sent_by_itself"] = True
    return found


class Host:
    """What the judgement asks of the host; tests put their own answers in its place."""

    def __init__(
        self,
        origin: Callable[[str], str],
        read_only: Callable[[str], bool],
        full: Callable[[str], bool],
        denied: Callable[[str], bool],
    ) -> None:
        self.origin, self.read_only, self.full, self.denied = origin, read_only, full, denied


def _outcome(
    result: Result,
    final: Section,
    sudden: Section,
    start: Section,
    chain: list[Section],
    found: Section,
    words: dict[str, str],
    host: Host,
) -> str:
    if result.failed is not None:
        stage = str(result.failed.get("stage"))
        sentence = STAGES.get(stage, "the test could not be started (" + stage + "): {text}")
        return _not_run(
            found, sentence.format(text=text(result.failed.get("text")), **words), result.failed.get("errno")
        )
    if final:
        return _final_outcome(final, chain, found, host)
    if found["limit"] == "time":
        return "timeout"
    if found["limit"]:
        return "killed"
    if sudden and sudden.get("kill") is None:
        found["exit_code"] = integer(sudden.get("code"))
        found["system_exit"] = {
            "code": integer(sudden.get("code")),
            "message": "os._exit",
            "file": text(sudden.get("file")),
            "line": integer(sudden.get("line")),
            "function": text(sudden.get("function"), 200),
        }
        found["stack"] = [shapes.frame(entry) for entry in plain_list(sudden.get("stack"))[: shapes.MAX_FRAMES]]
        return "system_exit"
    failure = text(_last(result, "probe").get("error"))
    if failure:
        return _not_run(found, f"the probe failed: {failure}")
    if result.ended is None and start:
        found["why_not"] = result.error
        return "timeout"
    if result.ended is None:
        return _not_run(found, result.error or "the sandbox ended without a word")
    if found["signal"] is not None:
        return "killed" if found["signal"] == 9 else "crashed"
    if not start:
        first = next((line for line in result.stderr.splitlines() if line.strip()), "it said nothing")
        return _not_run(
            found,
            f"the interpreter {words['python']} ended with status {found['exit_code']} before it ran a line: {first[:300]}",
        )
    return "crashed"


def starved(ended: Section) -> bool:
    """Whether the time ran out because the host gave too little processor time, not because the program waited."""
    cpu, wall = integer(ended.get("cpu_ms")), integer(ended.get("ms"))
    return ended.get("limit") == "time" and ended.get("state") == "R" and cpu is not None and 2 * cpu < (wall or 0)


def _not_run(found: Section, sentence: str, errno: Any = None) -> str:
    found.update(ran=False, why_not=sentence, errno=integer(errno))
    return "could_not_run"


def _final_outcome(final: Section, chain: list[Section], found: Section, host: Host) -> str:
    if not chain:
        return "ok"
    why = withheld_reason(chain, bool(final.get("refused")), found["withheld"], host, found["sandbox"]["kind"])
    if why is not None:
        if not found["withheld"]:
            last: Section = next((one for one in chain[-1]["frames"][::-1] if one["origin"] == "app"), {})
            entry = {
                "what": why,
                "detail": chain[0]["message"][:300],
                "file": last.get("file"),
                "line": last.get("line"),
            }
            found["withheld"].append(entry)
        return "withheld"
    if any(one["type"] == "MemoryError" for one in chain):
        found["limit"] = "memory"
        return "killed"
    leave = final.get("system_exit")
    if isinstance(leave, dict):
        found["exit_code"] = integer(leave.get("code"))
        found["system_exit"] = {
            "code": integer(leave.get("code")),
            "message": text(leave.get("message")),
            "file": text(leave.get("file")),
            "line": integer(leave.get("line")),
            "function": text(leave.get("function"), 200),
        }
        return "system_exit"
    return "exception"


def withheld_reason(
    chain: list[Section], refused: bool, withheld: list[Section], host: Host, held: str
) -> Optional[str]:
    """What the sandbox kept from the application, when that alone may explain the exception; else None."""
    places = {(entry["file"], entry["line"]): entry["what"] for entry in withheld if entry["file"]}
    for one in chain:
        number, filename = one["errno"], one["filename"] or ""
        if number in NETWORK_ERRNOS or one["type"] in NETWORK_TYPES or "ConnectionError" in one["bases"]:
            return "connect"
        if NETWORK_WORDS.search(one["message"]):
            return "connect"
        if number == EROFS and not (filename and host.read_only(filename)):
            return "write"
        if number == ENOSPC and not (filename and host.full(filename)):
            return "write"
        if number == EFBIG or (number is not None and filename.startswith("/dev/")):
            return "write"
        if number == EACCES and held == "audit_hook" and filename.startswith("/") and not host.denied(filename):
            return "write"
        if number == EAGAIN or "can't start new thread" in one["message"]:
            return "exec"
    if refused:
        return str(withheld[-1]["what"]) if withheld else "write"
    for one in chain:
        for entry in one["frames"]:
            what = places.get((entry["file"], entry["line"]))
            # A private write went well, so an exception at the same line has another reason.
            if what in ("connect", "resolve") or (what == "bind" and number_of(one) is not None):
                return str(what)
    return None


def as_on_host(one: Section, host: Host) -> Section:
    """A write outside the private places is refused as read-only; where the host denies it too, say it as the host would."""
    filename = one["filename"] or ""
    if one["errno"] == EROFS and filename.startswith("/") and host.denied(filename):
        message = f"[Errno {EACCES}] Permission denied: {filename!r}"
        return dict(one, type="PermissionError", errno=EACCES, message=message, corrected=True)
    return one


def number_of(one: Section) -> Optional[int]:
    """The errno of an exception in the evidence's shape."""
    return integer(one["errno"])


def sandbox_words(held: Optional[Section]) -> Section:
    """The section's ``sandbox``: what held, what it did with writes and network, and why not more."""
    if held is None:
        return {"kind": "none", "writes": "withheld", "network": "withheld", "reason": "no sandbox was entered"}
    kind = str(held.get("kind"))
    private = kind in ("namespaces", "user_namespace")
    reasons = [str(reason) for reason in plain_list(held.get("reasons"))] + [
        str(one) for one in plain_list(held.get("weaker"))
    ]
    uncovered = [str(place) for place in plain_list(held.get("uncovered"))]
    if uncovered:
        reasons.append("writes refused below " + ", ".join(uncovered))
    if not held.get("seccomp"):
        reasons.append("no system call filter on this architecture")
    return {
        "kind": kind,
        "writes": "private" if private else "withheld",
        "network": "withheld",
        "reason": "; ".join(reasons) or None,
    }


def _progress(result: Result) -> Optional[str]:
    """The step at which a test ended that could not say so itself."""
    step = _last(result, "progress").get("step")
    if not isinstance(step, dict):
        return None
    subject = next((step[name] for name in ("module", "path", "app", "name") if isinstance(step.get(name), str)), "")
    return f"{step.get('step')} {subject}".strip()[:400]


def _last(result: Result, name: str) -> Section:
    return next((message[name] for message in reversed(result.reports) if isinstance(message.get(name), dict)), {})


def host_read_only(path: str) -> bool:
    """Whether the file system that holds ``path`` is read-only on the host itself."""
    status = _statvfs(path)
    return bool(status and status.f_flag & os.ST_RDONLY)


def host_full(path: str) -> bool:
    """Whether the file system that holds ``path`` has nothing left for ordinary users on the host itself."""
    status = _statvfs(path)
    return bool(status and (status.f_bavail == 0 or (status.f_files and status.f_favail == 0)))


def host_denies(path: str, who: Identity) -> bool:
    """Whether the host itself would not let the user write at ``path``, for want of permission."""
    while not os.path.lexists(path) and path != "/":
        path = os.path.dirname(path)
    answer = check(path, who)
    return not answer.writable and not host_read_only(path)


def _statvfs(path: str) -> Optional[os.statvfs_result]:
    while path.startswith("/"):
        try:
            return os.statvfs(path)
        except OSError:
            if path == "/":
                return None
            path = os.path.dirname(path)
    return None
