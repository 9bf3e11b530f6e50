# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts the program with the backend's user and limits, watches time, memory and processes, and ends it all.

Runs in the launcher's child, which is PID 1 where there is a PID namespace, and a subreaper where there is none.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import signal
import sys
import time
from typing import Any, Optional

from . import sandbox_kernel as kernel
from .sandbox_mounts import TreeReport

Spec = dict[str, Any]

MIB = 1024 * 1024
TICK_S = 0.05
# Time between the request for the stack and the end, for the dump to be written.
STACK_GRACE_S = 0.3
STACK_SIGNAL = signal.SIGRTMAX - 2
MAX_TASKS = 512
MAX_PROCESSES = 100
# Room above the user's present tasks; less where nothing but the guard's own search finds what has to be ended.
NEW_TASKS = {"namespaces": 300, "user_namespace": 300, "audit_hook": 200}
# With more processes than this, memory that is used up together is the fault of their number.
MANY_PROCESSES = 16
# Room above the memory limit for memory that is reserved and never touched: thread stacks, buffers of BLAS libraries.
RESERVED_BYTES = 4096 * MIB
# Room for memory that belongs to no process (memfd, shared memory, files in memory) above the limit: the host's own
# services use such memory too, and the sandbox's own file systems need some.
SHARED_BYTES = 512 * MIB
# The program's own channels get numbers above its file limit: applications that close "all" descriptors spare them.
CHANNEL_BASE = 65536
CHANNELS = ("source", "report", "fault")
NOT_STARTED = 127


def say(spec: Spec, message: dict[str, Any]) -> None:
    """One line to the module: ``sandbox`` (kind and how well it holds), ``failed`` (stage, errno) or ``ended``."""
    os.write(spec["status_fd"], json.dumps(message).encode("ascii") + b"\n")


def prefer_as_victim() -> None:
    """When memory runs out, the kernel shall take the test and not a service."""
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as stream:
            stream.write("1000")
    except OSError:
        pass


def tasks_of(uid: int) -> int:
    """Threads that this user has now, as far as they can be seen: the base of its process limit."""
    count = 0
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if os.stat(f"/proc/{entry}").st_uid == uid:
                    count += max(1, os.stat(f"/proc/{entry}/task").st_nlink - 2)
            except OSError:
                continue
    return count


def run(kind: str, spec: Spec, report: TreeReport, reasons: list[str]) -> None:
    """Start the program, watch it to its end, report, and leave no process behind."""
    # Where the program has our user number, it must not reach into us and speak for us.
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    private, foreign = kind != "audit_hook", _is_32_bit(spec["argv"][0])
    seccomp = kernel.seccomp_program(platform.machine(), bind=private, connect=spec["connect"], foreign=foreign)
    if kind == "audit_hook" and not _has_landlock():
        report.weaker.append("without Landlock only Python's own writes are held back")
    held = {
        "kind": kind,
        "reasons": reasons,
        "weaker": report.weaker,
        "covered": report.covered,
        "uncovered": report.uncovered,
        "seccomp": seccomp is not None,
    }
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -5)  # to stay able to act when the program multiplies
    except OSError:
        pass
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    source_reader, source_writer = os.pipe()
    error_reader, error_writer = os.pipe()
    program = os.fork()
    if program == 0:
        stage = "start"
        try:
            for step in _become_program(kind, spec, seccomp, source_reader):
                stage = step
        except OSError as exc:
            text = exc.strerror or str(exc)
            os.write(error_writer, json.dumps({"stage": stage, "errno": exc.errno, "text": text}).encode("ascii"))
        except BaseException as exc:
            message = {"stage": stage, "errno": None, "text": f"{type(exc).__name__}: {exc}"}
            os.write(error_writer, json.dumps(message).encode("ascii"))
        finally:
            os._exit(NOT_STARTED)
    os.close(source_reader)
    os.close(error_writer)
    say(spec, {"sandbox": held})
    error = b""
    while chunk := os.read(error_reader, 4096):  # ends when exec closes it, or with the process
        error += chunk
    if error:
        say(spec, {"failed": json.loads(error)})
        os.waitpid(program, 0)
        return
    say(spec, {"ended": _watch(program, spec, source_writer)})
    if os.getpid() != 1:  # the end of PID 1 is the end of all others
        end_descendants()


def _is_32_bit(program: str) -> bool:
    """Whether a program needs the calls of another architecture than a 64-bit kernel's own."""
    if sys.maxsize <= 2**32:
        return True
    try:
        descriptor = os.open(program, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return os.read(descriptor, 5) == b"\x7fELF\x01"
        finally:
            os.close(descriptor)
    except OSError:
        return False


def _has_landlock() -> bool:
    """Whether ``forbid_writes`` works here, tried in a child."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
            kernel.forbid_writes(["/dev/null"])
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def _become_program(kind: str, spec: Spec, seccomp: Optional[bytes], source: int) -> Any:
    """A generator of stages: each name is given before its work, so that an error can name it."""
    yield "session"
    os.setsid()
    null = os.open("/dev/null", os.O_RDONLY)
    for number, descriptor in enumerate((null, spec["stdout_fd"], spec["stderr_fd"])):
        os.dup2(descriptor, number)
    yield "limits"
    numbers = _limits(kind, spec)
    if spec["source"]:
        for name, descriptor in zip(CHANNELS, (source, spec["report_fd"], spec["fault_fd"])):
            os.dup2(descriptor, numbers[name])
    _lower_file_limit(spec, min(numbers.values()))
    argv = [
        text.format(kind=kind, **numbers) if index in spec["numbered"] else text
        for index, text in enumerate(spec["argv"])
    ]
    yield "user"
    _become_user(kind, spec)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    yield "seccomp"
    if kind == "audit_hook":
        try:
            kernel.forbid_writes(["/dev/null"])
        except OSError:
            pass  # said by the guard
    if seccomp is not None:
        kernel.install_seccomp(seccomp)
    yield "cwd"
    os.chdir(spec["cwd"] or "/")
    yield "exec"
    os.umask(spec["umask"])
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(STACK_SIGNAL, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    environment = {os.fsencode(name): os.fsencode(value) for name, value in spec["env"].items()}
    os.execve(argv[0], argv, environment)


def _limits(kind: str, spec: Spec) -> dict[str, int]:
    """Set the limits that can be set before the user changes; give the channels' descriptor numbers."""
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: int(spec["timeout"]) + 5,
        resource.RLIMIT_FSIZE: 256 * MIB,
        resource.RLIMIT_DATA: spec["memory_bytes"] + RESERVED_BYTES,
    }
    if spec["uid"] != 0:
        # More than enough for thread pools, and few enough for the guard to get processor time beside a fork bomb.
        wanted[resource.RLIMIT_NPROC] = spec["tasks_of_user"] + NEW_TASKS[kind]
    for name, value in wanted.items():
        _soft, hard = resource.getrlimit(name)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(name, (value, value))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    base = min(CHANNEL_BASE, hard if hard != resource.RLIM_INFINITY else CHANNEL_BASE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (base, hard))
    return {name: base - 1 - index for index, name in enumerate(CHANNELS)}


def _lower_file_limit(spec: Spec, hard: int) -> None:
    soft = min(spec["nofile"] or hard, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _become_user(kind: str, spec: Spec) -> None:
    if spec["euid"] == 0:
        os.setgroups(spec["groups"])
        os.setresgid(spec["gid"], spec["gid"], spec["gid"])
        if spec["uid"] == 0:
            kernel.limit_capabilities(kernel.ROOT_CAPABILITIES)
        else:
            os.setresuid(spec["uid"], spec["uid"], spec["uid"])
    elif kind == "user_namespace":
        kernel.limit_capabilities(0)


def _watch(program: int, spec: Spec, source_writer: int) -> dict[str, Any]:
    started = time.monotonic()
    deadline = min(started + spec["timeout"], spec["until"])
    os.set_blocking(source_writer, False)
    pending = memoryview(spec["source"].encode("ascii"))
    state = ""
    peak, most, cpu_before, limit, asked, status = 0, 0, 0, None, False, None
    shared_before = shared_memory()
    while True:
        pending = _feed(source_writer, pending)
        signal.sigtimedwait([signal.SIGCHLD], TICK_S if not pending else 0.002)
        status = _reap(program)
        if status is not None:
            break
        now = time.monotonic()
        state, cpu = state_of(program)
        cpu_before = cpu or cpu_before
        if not asked and now >= deadline - STACK_GRACE_S:
            asked = True
            _send(program, STACK_SIGNAL)
        if now >= deadline:
            limit = "time"
            break
        biggest, total, tasks, processes = usage()
        peak, most = max(peak, biggest), max(most, tasks)
        if biggest > spec["memory_bytes"] or total > 2 * spec["memory_bytes"]:
            limit = "memory" if processes <= MANY_PROCESSES else "processes"
        elif tasks > MAX_TASKS or processes > MAX_PROCESSES:
            limit = "processes"
        elif shared_memory() - shared_before > spec["memory_bytes"] + SHARED_BYTES:
            limit = "memory"
        if limit == "memory":
            _send(program, STACK_SIGNAL)
            time.sleep(TICK_S)
        if limit:
            break
    if status is None:
        _send_all(program, signal.SIGKILL)
        # As PID 1 we end all by ending; only elsewhere is it worth the time to wait for one.
        status = signal.SIGKILL if os.getpid() == 1 else _reap(program, wait=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "cpu_ms": int((used.ru_utime + used.ru_stime) * 1000) or cpu_before,
        "code": os.WEXITSTATUS(status) if status is not None and os.WIFEXITED(status) else None,
        "signal": os.WTERMSIG(status) if status is not None and os.WIFSIGNALED(status) else None,
        "limit": limit,
        "state": state,
        "peak_rss_bytes": peak,
        "tasks": most,
        "ms": int((time.monotonic() - started) * 1000),
    }


def _feed(descriptor: int, pending: memoryview) -> memoryview:
    """Hand over more of the program's source; close the pipe when all is through or nobody reads it any more."""
    if not pending:
        return pending
    try:
        pending = pending[os.write(descriptor, pending) :]
    except BlockingIOError:
        return pending
    except OSError:
        pending = pending[:0]
    if not pending:
        os.close(descriptor)
    return pending


def _reap(program: int, wait: bool = False) -> Optional[int]:
    """Collect every child that ended; the answer is the program's own status, None while it runs."""
    deadline = time.monotonic() + 2.0
    while True:
        try:
            if os.getpid() != 1 and os.waitid(os.P_PID, program, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                # Its number is its group's too, and nobody else's until it is collected.
                _send_all(program, signal.SIGKILL)
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        if pid == program:
            return status
        if pid == 0:
            if not wait or time.monotonic() > deadline:
                return None
            time.sleep(0.002)


def _send_all(program: int, number: int) -> None:
    """A signal to all that the program started, in one call that no fork can outrun.

    PID 1 reaches its whole namespace with it. Elsewhere it is the program's process group.
    """
    try:
        if os.getpid() == 1:
            os.kill(-1, number)
        else:
            os.killpg(program, number)
    except OSError:
        pass


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except OSError:
        pass


def descendants() -> list[str]:
    """Numbers, as /proc spells them, of all processes below this one."""
    found: list[str] = []
    waiting = ["self"]
    while waiting and len(found) <= MAX_PROCESSES:
        process = waiting.pop()
        try:
            threads = os.listdir(f"/proc/{process}/task")
            for thread in threads:
                with open(f"/proc/{process}/task/{thread}/children", encoding="ascii") as stream:
                    children = stream.read().split()
                found += children
                waiting += children
        except OSError:
            continue
    return found


def state_of(program: int) -> tuple[str, int]:
    """The program's state (R runs or waits for a processor, S sleeps, D waits for a device) and its processor time in
    milliseconds; empty and 0 when /proc is not ours to read."""
    try:
        with open(f"/proc/{program}/stat", encoding="utf-8", errors="replace") as stream:
            fields = stream.read().rpartition(")")[2].split()
        return fields[0], int((int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK"))
    except (OSError, IndexError, ValueError):
        return "", 0


def shared_memory() -> int:
    """Bytes of memory on this host that belong to files in memory, not to one process; 0 when the kernel doesn't say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as stream:
            return next((int(line.split()[1]) * 1024 for line in stream if line.startswith("Shmem:")), 0)
    except (OSError, IndexError, ValueError):
        return 0


def usage() -> tuple[int, int, int, int]:
    """Below this process: resident bytes of the biggest process and of all, number of threads and of processes."""
    page = resource.getpagesize()
    biggest = total = tasks = 0
    # One look at the directory is cheap, which counts when processes multiply; it holds only where /proc is our own.
    if os.getpid() == 1 and os.readlink("/proc/self") == "1":
        crowd = sum(entry.isdigit() for entry in os.listdir("/proc")) - 1
        if crowd > MAX_PROCESSES:
            return 0, 0, 0, crowd
    found = descendants()
    if len(found) > MAX_PROCESSES:
        return 0, 0, 0, len(found)
    for process in found:
        try:
            with open(f"/proc/{process}/statm", encoding="ascii") as stream:
                size = int(stream.read().split()[1]) * page
            tasks += len(os.listdir(f"/proc/{process}/task"))
        except (OSError, IndexError, ValueError):
            continue
        biggest, total = max(biggest, size), total + size
    return biggest, total, tasks, len(found)


def end_descendants() -> None:
    """Kill and collect what is left below this process: what left the program's group; at most 5 s."""
    deadline = time.monotonic() + 5.0
    while time.monotonic() < deadline:
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for process in descendants():
                _send(int(process), number)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.005)
