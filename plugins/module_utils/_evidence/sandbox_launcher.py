# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that makes a sandbox, has one program run in it, and takes all of it away.

It runs apart from the module, because namespaces, credentials and limits belong to a process. Three processes:
the launcher; the guard, which builds the file tree, is PID 1 of the new PID namespace and so takes every process
with it when it ends; and the program. What happened goes to the status pipe as JSON lines, see ``say``.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable
from typing import Optional

from . import sandbox_guard as guard
from . import sandbox_kernel as kernel
from . import sandbox_mounts as mounts
from .sandbox_guard import Spec

SETUP_FAILED = 97


class SetupFailed(Exception):
    """This kind of sandbox can't be had here; the message is a phrase for the evidence."""


def main(spec: Spec) -> int:
    """Try the kinds of sandbox from the strongest to the weakest; run the program in the first that holds."""
    _die_with_parent()
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    gc.disable()
    for name in ("status_fd", "stdout_fd", "stderr_fd", "report_fd", "fault_fd"):
        os.set_inheritable(spec[name], False)
    guard.prefer_as_victim()
    spec["tasks_of_user"] = guard.tasks_of(spec["uid"])
    reasons: list[str] = []
    for kind in spec["kinds"]:
        failure = _in_child(lambda kind=kind: _run_in(kind, spec, reasons))  # type: ignore[misc]
        guard.end_descendants()
        if failure is None:
            return 0
        reasons.append(f"{kind}: {failure}")
    guard.say(spec, {"failed": {"stage": "sandbox", "text": "; ".join(reasons), "errno": None}})
    return 1


def _die_with_parent() -> None:
    kernel.prctl(kernel.PR_SET_PDEATHSIG, int(signal.SIGKILL))


def _in_child(work: Callable[[], None]) -> Optional[str]:
    """Run ``work`` in a child and wait for it; the answer is None, or the phrase of the ``SetupFailed`` it raised."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reader)
            _die_with_parent()
            work()
            code = 0
        except SetupFailed as exc:
            os.write(writer, str(exc).encode("utf-8", "replace"))
            code = SETUP_FAILED
        except BaseException as exc:
            os.write(writer, f"{type(exc).__name__}: {exc}".encode("utf-8", "replace"))
            code = SETUP_FAILED
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        text = stream.read(4096).decode("utf-8", "replace")
    _pid, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == SETUP_FAILED:
        return text or "no reason given"
    return None


def _run_in(kind: str, spec: Spec, reasons: list[str]) -> None:
    """Enter the namespaces of ``kind`` and let the guard run the program there."""
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    if spec["euid"] not in (0, spec["uid"]):
        raise SetupFailed("only root can become another user")
    if kind == "audit_hook":
        guard.run(kind, spec, mounts.TreeReport([], [], []), reasons)
        return
    try:
        if kind == "user_namespace":
            _own_user_namespace(spec)
        elif not kernel.effective_capabilities() & (1 << kernel.CAP_SYS_ADMIN):
            raise SetupFailed("CAP_SYS_ADMIN is missing")
        kernel.unshare(kernel.ALL_NAMESPACES)
    except OSError as exc:
        raise SetupFailed(exc.strerror or str(exc)) from exc
    failure = _in_child(lambda: _in_namespaces(kind, spec, reasons))
    if failure is not None:
        raise SetupFailed(failure)


def _in_namespaces(kind: str, spec: Spec, reasons: list[str]) -> None:
    """The guard's part: PID 1 of the namespace."""
    needed = [spec["cwd"] or "/", spec["argv"][0]] + spec["needed"]
    try:
        report = mounts.build(spec["writable"], needed, kind == "namespaces", spec["private_tmp"])
    except OSError as exc:
        raise SetupFailed(exc.strerror or str(exc)) from exc
    try:
        kernel.loopback_up()
    except OSError as exc:
        report.weaker.append(f"its loopback interface stays down ({exc.strerror or exc})")
    guard.run(kind, spec, report, reasons)


def _own_user_namespace(spec: Spec) -> None:
    """Enter a user namespace in which the backend's user keeps its number."""
    pid = os.getpid()
    uids, gids = {spec["uid"]}, {spec["gid"]}
    alone = spec["euid"] == spec["uid"] != 0
    if alone:
        gids = {os.getegid()}
    else:
        uids |= {0}
        gids |= {0} | set(spec["groups"])
    reader, writer = os.pipe()
    # Maps of several numbers can only be written from outside, so a helper stays there.
    helper = os.fork()
    if helper == 0:
        code = 1
        try:
            os.close(writer)
            if os.read(reader, 1):
                if alone:
                    _write(f"/proc/{pid}/setgroups", "deny")
                _write(f"/proc/{pid}/uid_map", "".join(f"{number} {number} 1\n" for number in sorted(uids)))
                _write(f"/proc/{pid}/gid_map", "".join(f"{number} {number} 1\n" for number in sorted(gids)))
                code = 0
        except OSError as exc:
            code = exc.errno or 1
        finally:
            os._exit(code)
    os.close(reader)
    try:
        kernel.unshare(kernel.CLONE_NEWUSER)
        os.write(writer, b"1")
    finally:
        os.close(writer)
        _pid, status = os.waitpid(helper, 0)
    if status != 0:
        raise SetupFailed(f"the user map can't be written: {os.strerror(os.WEXITSTATUS(status))}")


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode("ascii"))
    finally:
        os.close(descriptor)
