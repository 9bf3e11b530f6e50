# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only way collectors touch the host: bounded commands, bounded reads, and the secrets seen so far."""

from __future__ import annotations

import errno
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from .access_check import WRITE
from .reach import NOBODY_IN_PARTICULAR, OutOfReach, Reader, closed, open_file

MAX_STEPS = 400
# Mount point → type of each file system that does not answer, see ``silent_mounts``. One for the process: what hangs, hangs for all.
SILENT: dict[str, str] = {}
KIB = 1024
MIB = 1024 * KIB

# PATH of a root login, for targets whose sudo or SSH session has a shorter one.
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass
class CommandResult:
    """The end of a command; ``error`` is a sentence when it could not start, ran too long or was cut."""

    argv: list[str]
    exit_status: Optional[int] = None
    stdout: str = ""
    stderr: str = ""
    timed_out: bool = False
    truncated: bool = False
    error: Optional[str] = None

    @property
    def ok(self) -> bool:
        return self.exit_status == 0 and not self.timed_out


@dataclass
class FileText:
    """What a bounded read gave. ``first_line`` is the number of the first line returned, None when a tail hides it.

    ``no_right``: it is our own rights, or what we allow ourselves, that kept us from it; others may read it all the same.
    """

    path: str
    text: str = ""
    size: int = 0
    offset: int = 0
    truncated: bool = False
    binary: bool = False
    error: Optional[str] = None
    raw: bytes = b""
    no_right: bool = False


@dataclass
class Context:
    """Shared by all collectors of one run.

    ``params`` are the module's parameters. ``deadline`` is a ``time.monotonic()`` value after which nothing new is
    started. ``secrets`` are exact values that redaction must remove wherever they turn up: value → variable name.
    ``reader`` is whom files are read for: nothing is read that he, having chosen which file it is, couldn't read himself.
    """

    params: Mapping[str, Any]
    deadline: float
    secrets: dict[str, str] = field(default_factory=dict)
    euid: int = field(default_factory=os.geteuid)
    reader: Reader = NOBODY_IN_PARTICULAR

    def remaining(self) -> float:
        """Seconds left in the module's budget, never negative."""
        return max(0.0, self.deadline - time.monotonic())

    def add_secret(self, value: str, name: str) -> None:
        """Remember an exact sensitive value; values under four characters would redact half of every text."""
        if len(value) >= 4:
            self.secrets.setdefault(value, name)

    def run(
        self,
        argv: Sequence[str],
        timeout: float = 5.0,
        max_bytes: int = MIB,
        env: Optional[Mapping[str, str]] = None,
        stdin: bytes = b"",
        cwd: Optional[str] = None,
    ) -> CommandResult:
        """Run a command without a shell, in its own session; kill the whole group at the limit. Never raises.

        :param timeout: seconds, further bounded by what is left of the budget.
        :param max_bytes: bytes kept of each stream; a command that prints more is stopped and marked as truncated.
        """
        limit = min(timeout, self.remaining())
        result = CommandResult(list(argv))
        if limit <= 0:
            result.error = f"{argv[0]} was not run: the time budget is used up"
            result.timed_out = True
            return result
        full_env = {"PATH": SEARCH_PATH, "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8"}
        full_env.update(env or {})
        try:
            # AnsibleModule.run_command knows neither limits of time nor of size, and is not there without Ansible.
            process = subprocess.Popen(  # pylint: disable=ansible-bad-function
                list(argv),
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=full_env,
                cwd=cwd or "/",
                start_new_session=True,
                close_fds=True,
            )
        except (OSError, ValueError) as exc:
            result.error = f"{argv[0]} could not be started: {exc}"
            return result
        out, err = _pump(process, stdin, limit, max_bytes, result)
        result.stdout = out.decode("utf-8", errors="replace")
        result.stderr = err.decode("utf-8", errors="replace")
        result.exit_status = process.returncode
        if result.timed_out:
            result.error = f"{argv[0]} did not finish within {limit:.1f} s"
        return result

    def closed(self, path: str) -> bool:
        """Whether the names in a directory are not for the backend's user, who led to it (see ``reach``), or nobody gives them."""
        return silence(path) is not None or closed(path, self.reader)

    def closed_socket(self, path: str) -> bool:
        """Whether a Unix socket is not for the backend's user, who led to it."""
        return closed(path, self.reader, WRITE)

    def read(self, path: str, max_bytes: int = 256 * KIB, tail: bool = False) -> FileText:
        """Read a regular file, at most ``max_bytes`` from its head or tail, never blocking on a FIFO or device.

        What the backend's user led to and may not read himself is refused with a sentence, see ``reach``.
        """
        result = FileText(path)
        result.error = silence(path)
        if result.error:
            return result
        try:
            descriptor = open_file(path, self.reader)
        except OutOfReach as exc:
            result.error, result.no_right = exc.strerror, exc.errno == errno.EACCES
            return result
        except OSError as exc:
            result.error, result.no_right = f"{path} can't be read: {exc.strerror}", isinstance(exc, PermissionError)
            return result
        try:
            status = os.fstat(descriptor)
            result.size = status.st_size
            if tail and status.st_size > max_bytes:
                result.offset = os.lseek(descriptor, status.st_size - max_bytes, os.SEEK_SET)
            chunks = []
            wanted = max_bytes
            while wanted > 0:
                chunk = os.read(descriptor, min(wanted, MIB))
                if not chunk:
                    break
                chunks.append(chunk)
                wanted -= len(chunk)
            result.raw = b"".join(chunks)
        except OSError as exc:
            result.error = f"{path} can't be read: {exc.strerror}"
            return result
        finally:
            os.close(descriptor)
        result.truncated = result.size > len(result.raw)
        result.binary = b"\0" in result.raw[: 8 * KIB] and not result.raw.startswith((b"\xff\xfe", b"\xfe\xff"))
        result.text = result.raw.decode("utf-8", errors="replace")
        return result


def silence(path: str) -> Optional[str]:
    """A sentence when a path leads to a file system that doesn't answer: nothing there may be touched."""
    mount = lies_on(path, SILENT) if SILENT else None
    if mount is None:
        return None
    return f"{path} is {'' if path == mount else f'on {mount}, '}a file system that does not answer"


def lies_on(path: str, mounts: Container[str]) -> Optional[str]:
    """Which of these mount points a path leads below, through its links; found out without touching what is mounted there."""
    done, rest = "/", [part for part in path.split("/") if part not in ("", ".")]
    for _step in range(MAX_STEPS):
        if done in mounts:
            return done
        if not rest:
            break
        part = rest.pop(0)
        following = os.path.normpath(os.path.join(done, part))
        if following in mounts:
            return following
        try:
            target = os.readlink(following)
        except OSError:
            done = following
            continue
        done = "/" if target.startswith("/") else done
        rest = [part for part in target.split("/") if part not in ("", ".")] + rest
    return None


def is_there(path: str, wanted: Optional[Callable[[int], bool]] = None) -> Optional[bool]:
    """Whether a path leads to something; None when this process may not look there, or would wait for ever.

    :param wanted: a test of the ``st_mode``, such as ``stat.S_ISREG``; by default anything will do.
    """
    if silence(path):
        return None
    try:
        mode = os.stat(path).st_mode
    except PermissionError:
        return None
    except (OSError, ValueError):
        return False
    return wanted is None or bool(wanted(mode))


def _pump(
    process: subprocess.Popen[bytes], stdin: bytes, limit: float, max_bytes: int, result: CommandResult
) -> tuple[bytes, bytes]:
    """Feed and drain a process until it ends, is cut for size, or the limit is reached."""
    end = time.monotonic() + limit
    buffers: dict[str, bytearray] = {"out": bytearray(), "err": bytearray()}
    with selectors.DefaultSelector() as selector:
        for stream, name in ((process.stdout, "out"), (process.stderr, "err")):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ, name)
        pending = memoryview(stdin)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE, "in")
        while selector.get_map():
            left = end - time.monotonic()
            if left <= 0:
                result.timed_out = True
                break
            for key, _events in selector.select(left):
                if key.data == "in":
                    try:
                        pending = pending[os.write(key.fd, pending[: 64 * KIB]) :]
                    except BrokenPipeError:
                        pending = pending[:0]
                    if not pending:
                        selector.unregister(key.fileobj)
                        process.stdin.close()  # type: ignore[union-attr]
                    continue
                chunk = os.read(key.fd, 64 * KIB)
                if not chunk:
                    selector.unregister(key.fileobj)
                    continue
                buffer = buffers[key.data]
                buffer += chunk[: max(0, max_bytes - len(buffer))]
                if len(buffer) >= max_bytes:
                    result.truncated = True
            if result.truncated:
                break
    _finish(process, end, result)
    return bytes(buffers["out"]), bytes(buffers["err"])


def _finish(process: subprocess.Popen[bytes], end: float, result: CommandResult) -> None:
    """Reap the process; what does not end by itself, or is to be cut, is killed with its whole session."""
    if not (result.timed_out or result.truncated):
        try:
            process.wait(max(0.05, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            result.timed_out = True
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except OSError:
            pass
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            result.error = f"{result.argv[0]} can't be ended (state D?)"
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
