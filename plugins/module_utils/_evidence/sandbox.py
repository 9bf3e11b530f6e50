# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one program as the backend's user in the strongest sandbox that this host allows.

The module's process may be threaded, so a launcher in a fresh interpreter does the work that belongs to a process.
Its source and its orders go through its standard input: nothing is written to the host, nothing secret is on a
command line.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Optional

from . import sandbox_guard, sandbox_kernel, sandbox_launcher, sandbox_mounts

KIB = 1024
MIB = 1024 * KIB
KINDS = ("namespaces", "user_namespace", "audit_hook")
OUTPUT_BYTES = 64 * KIB
REPORT_BYTES = 4 * MIB
# How long the launcher may take for making and taking away a sandbox, on top of the program's own limit.
GRACE_S = 8.0
# Part of it that making the sandbox may take before it counts against the program's time.
SETUP_S = 1.5

PACKAGE = "firstaid_sandbox"
# The launcher's interpreter runs isolated: neither the environment nor the current directory can change it.
BOOT = "import sys; exec(compile(sys.stdin.buffer.read(), '<firstaid launcher>', 'exec'))"
_LOADER = """
import sys
def _load(package, texts):
    kind = type(sys)
    own = dict(vars(sys.modules["builtins"]))  # an application may replace built-in functions, not ours
    root = kind(package)
    root.__path__ = []
    sys.modules[package] = root
    for name, text in texts:
        module = kind(package + "." + name)
        module.__package__ = package
        sys.modules[module.__name__] = module
        module.__builtins__ = own
        setattr(root, name, module)
        exec(compile(text, "<" + package + "." + name + ">", "exec"), module.__dict__)
    return module
"""


@dataclass
class Request:
    """One program to run.

    ``source`` is text for the program to read from its channel; ``numbered`` are the indexes of those arguments in
    which ``{source}``, ``{report}`` and ``{fault}`` stand for the channels' descriptors and ``{kind}`` for the sandbox's
    kind. ``writable`` directories get
    private writes, ``needed`` paths stay visible. ``timeout`` is in seconds. ``connect`` lets it reach its own
    loopback. ``kinds`` are the kinds of sandbox to try, the best first.
    """

    argv: list[str]
    env: dict[str, str]
    cwd: Optional[str]
    uid: int
    gid: int
    groups: list[int]
    timeout: float
    memory_bytes: int
    source: str = ""
    numbered: list[int] = field(default_factory=list)
    writable: list[str] = field(default_factory=list)
    needed: list[str] = field(default_factory=list)
    nofile: Optional[int] = None
    umask: int = 0o022
    private_tmp: bool = False
    connect: bool = False
    kinds: Sequence[str] = KINDS


@dataclass
class Result:
    """What came out. ``sandbox``, ``failed`` and ``ended`` are the launcher's words, None when it never came to them.

    ``reports`` are the objects among the program's own lines, not to be trusted; ``stray_lines`` counts the others, ``report_cut`` the
    bytes for which there was no room. ``limit`` is time, memory or processes.
    """

    sandbox: Optional[dict[str, Any]] = None
    failed: Optional[dict[str, Any]] = None
    ended: Optional[dict[str, Any]] = None
    reports: list[dict[str, Any]] = field(default_factory=list)
    stray_lines: int = 0
    report_cut: int = 0
    stdout: str = ""
    stderr: str = ""
    fault: str = ""
    output_truncated: bool = False
    error: Optional[str] = None
    ms: int = 0

    @property
    def limit(self) -> Optional[str]:
        return self.ended.get("limit") if self.ended else None


class _Capped:
    """Keeps the head and the tail of a stream; ``cut`` counts the bytes between them."""

    def __init__(self, size: int, head: int) -> None:
        self.size, self.head_size = size, head
        self.head, self.tail = bytearray(), bytearray()
        self.cut = 0

    def add(self, chunk: bytes) -> None:
        room = self.head_size - len(self.head)
        self.head += chunk[:room] if room > 0 else b""
        self.tail += chunk[max(0, room) :]
        surplus = len(self.tail) - (self.size - self.head_size)
        if surplus > 0:
            self.cut += surplus
            del self.tail[:surplus]

    def text(self) -> str:
        note = f"\n[… {self.cut} bytes left out …]\n".encode() if self.cut else b""
        return (bytes(self.head) + note + bytes(self.tail)).decode("utf-8", errors="replace")


def source_of(module: ModuleType) -> str:
    """A module's text, wherever its loader has it; modules travel to the target inside an archive."""
    spec = module.__spec__
    loader: Any = spec.loader if spec else None
    text = loader.get_source(module.__name__) if hasattr(loader, "get_source") else None
    if text is None:
        raise OSError(f"the source of {module.__name__} can't be had")
    return str(text)


def bundle(package: str, modules: Sequence[ModuleType], call: str) -> str:
    """One program text, ASCII only, that loads ``modules`` as ``package`` and then runs the statement ``call``."""
    texts = [(module.__name__.rpartition(".")[2], source_of(module)) for module in modules]
    return f"{_LOADER}\n_main = _load({package!r}, {texts!a})\n{call}\n"


def run(request: Request) -> Result:
    """Run the program; at most its time limit plus ``GRACE_S``. Never raises for what the program does."""
    started = time.monotonic()
    result = Result()
    pipes = {name: os.pipe() for name in ("status", "stdout", "stderr", "report", "fault")}
    writers = [pair[1] for pair in pipes.values()]
    spec = dict(vars(request))
    spec.update({f"{name}_fd": pair[1] for name, pair in pipes.items()})
    spec["euid"] = os.geteuid()
    # The clock is the same in all processes: a slow host shortens the program's time, not the caller's.
    spec["until"] = started + request.timeout + SETUP_S
    program = bundle(
        PACKAGE,
        (sandbox_kernel, sandbox_mounts, sandbox_guard, sandbox_launcher),
        f"sys.exit(_main.main({spec!a}))",
    )
    try:
        launcher = subprocess.Popen(  # pylint: disable=ansible-bad-function
            [sys.executable or "/usr/bin/python3", "-I", "-S", "-B", "-c", BOOT],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
            cwd="/",
            pass_fds=writers,
            start_new_session=True,
        )
    except (OSError, ValueError) as exc:
        result.error = f"the sandbox's launcher could not be started: {exc}"
        for pair in pipes.values():
            os.close(pair[0])
        return result
    finally:
        for descriptor in writers:
            os.close(descriptor)
    buffers = {
        "status": _Capped(256 * KIB, 256 * KIB),
        "stdout": _Capped(OUTPUT_BYTES, OUTPUT_BYTES // 4),
        "stderr": _Capped(OUTPUT_BYTES, OUTPUT_BYTES // 4),
        "report": _Capped(REPORT_BYTES, REPORT_BYTES),
        "fault": _Capped(256 * KIB, 256 * KIB),
        "launcher": _Capped(16 * KIB, 0),
    }
    readers = {name: pair[0] for name, pair in pipes.items()}
    try:
        in_time = _pump(launcher, program.encode("ascii"), readers, buffers, started + request.timeout + GRACE_S)
    finally:
        _end(launcher)
        for descriptor in readers.values():
            os.close(descriptor)
    _fill(result, buffers, in_time)
    result.ms = int((time.monotonic() - started) * 1000)
    return result


def _pump(
    launcher: subprocess.Popen[bytes],
    program: bytes,
    readers: dict[str, int],
    buffers: dict[str, _Capped],
    deadline: float,
) -> bool:
    """Feed the launcher and drain all pipes until the launcher has ended; False when it had to be stopped."""
    if launcher.stdin is None or launcher.stderr is None:
        raise ValueError("the launcher must be started with pipes")
    pending = memoryview(program)
    with selectors.DefaultSelector() as selector:
        os.set_blocking(launcher.stdin.fileno(), False)
        selector.register(launcher.stdin.fileno(), selectors.EVENT_WRITE, "stdin")
        for name, descriptor in (*readers.items(), ("launcher", launcher.stderr.fileno())):
            os.set_blocking(descriptor, False)
            selector.register(descriptor, selectors.EVENT_READ, name)
        finished = False
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            # Once the status pipe is closed nothing of the sandbox lives; what is left in the pipes is read, no more.
            events = selector.select(0 if finished else left)
            if finished and not events:
                return True
            for key, _mask in events:
                if key.data == "stdin":
                    pending = _write_some(key.fd, pending)
                    if not pending:
                        selector.unregister(key.fd)
                        launcher.stdin.close()
                    continue
                try:
                    chunk = os.read(key.fd, 64 * KIB)
                except BlockingIOError:
                    continue
                if chunk:
                    buffers[key.data].add(chunk)
                else:
                    selector.unregister(key.fd)
                    finished = finished or key.data == "status"
    return True


def _write_some(descriptor: int, pending: memoryview) -> memoryview:
    try:
        return pending[os.write(descriptor, pending[: 64 * KIB]) :]
    except BlockingIOError:
        return pending
    except OSError:
        return pending[:0]


def _end(launcher: subprocess.Popen[bytes]) -> None:
    """The launcher's end takes its children with it (parent-death signals, then the PID namespace)."""
    try:
        launcher.wait(0.2 if launcher.stdin is not None and launcher.stdin.closed else 0)
    except subprocess.TimeoutExpired:
        try:
            os.killpg(launcher.pid, signal.SIGKILL)
        except OSError:
            pass
        try:
            launcher.wait(2)
        except subprocess.TimeoutExpired:
            pass
    for stream in (launcher.stdin, launcher.stderr):
        if stream is not None:
            try:
                stream.close()
            except OSError:
                pass


def _fill(result: Result, buffers: dict[str, _Capped], in_time: bool) -> None:
    for message in json_lines(bytes(buffers["status"].head)):
        for name in ("sandbox", "failed", "ended"):
            if isinstance(message.get(name), dict):
                setattr(result, name, message[name])
    report = bytes(buffers["report"].head)
    result.reports, result.report_cut = json_lines(report), buffers["report"].cut
    result.stray_lines = sum(bool(line.strip()) for line in report.splitlines()) - len(result.reports)
    result.stdout, result.stderr = buffers["stdout"].text(), buffers["stderr"].text()
    result.fault = buffers["fault"].text()
    result.output_truncated = bool(buffers["stdout"].cut or buffers["stderr"].cut)
    words = buffers["launcher"].text().strip()
    if not in_time:
        result.error = "the sandbox did not end in time and was stopped from outside"
    elif result.ended is None and result.failed is None:
        result.error = "the sandbox ended without a word" + (f": {words.splitlines()[-1][:300]}" if words else "")


def json_lines(data: bytes) -> list[dict[str, Any]]:
    """The objects among the lines of ``data``; whatever else stands there is left out."""
    found = []
    for line in data.splitlines():
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            found.append(value)
    return found
