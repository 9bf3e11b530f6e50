# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watches what the application does while it is imported: what it reaches for, what takes long, and a sudden end.

Runs in the backend's interpreter; see ``import_probe_report`` for the rules that follow from that.
"""

import posix
import sys
import time

from .import_probe_report import Reporter, cap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional

ENONET, EROFS, EPERM = 64, 30, 1
MAX_WITHHELD = 50
WRITE_FLAGS = posix.O_WRONLY | posix.O_RDWR | posix.O_CREAT | posix.O_TRUNC | posix.O_APPEND
HARMLESS = ("/dev/null", "/dev/tty", "/dev/stdout", "/dev/stderr")

# Audit event → what the evidence calls it. The network never answers; the others are refused only where no
# namespace keeps them private.
EVENTS = {
    "socket.connect": "connect",
    "socket.sendto": "connect",
    "socket.sendmsg": "connect",
    "socket.bind": "bind",
    "socket.getaddrinfo": "resolve",
    "socket.gethostbyname": "resolve",
    "socket.gethostbyaddr": "resolve",
    "open": "write",
    "sqlite3.connect": "write",
    "subprocess.Popen": "exec",
    "os.system": "exec",
    "os.exec": "exec",
    "os.spawn": "exec",
    "os.posix_spawn": "exec",
    "os.startfile": "exec",
    "pty.spawn": "exec",
    "os.kill": "signal",
    "os.killpg": "signal",
}
EVENTS.update(
    ("os." + name, "write")
    for name in (
        "remove rename rmdir mkdir chmod chown chflags link symlink truncate utime setxattr removexattr lockf".split()
    )
)


class Watch:
    """Collects what was withheld, what stayed private, and how long each module took.

    ``refuse`` says that nothing but this hook holds writes and programs back.
    """

    def __init__(self, reporter: Reporter, refuse: bool) -> None:
        self.reporter = reporter
        self.refuse = refuse
        self.withheld: list[dict[str, Any]] = []
        self.private: list[dict[str, Any]] = []
        self.seen: set[Any] = set()
        self.refused: list[BaseException] = []
        self.times: list[Any] = []
        self.open_modules: list[list[Any]] = []
        self.active = False

    def start(self) -> None:
        """Put everything in place; from here on the application is watched."""
        hook = getattr(sys, "addaudithook", None)
        if hook is not None:
            hook(self.audit)
        self._time_imports()
        self._catch_sudden_end()
        self.active = True

    def audit(self, event: str, arguments: "Any") -> None:
        """The audit hook: record, and refuse what nothing else would hold back."""
        what = EVENTS.get(event)
        if what is None or not self.active:
            return
        detail = self._detail(event, arguments)
        if detail is None:
            return
        if event in ("os.kill", "os.killpg") and _may_hit(detail, self.refuse):
            self._sudden_end(sys._getframe(1), None, detail)
        elif self.refuse or what in ("connect", "resolve"):
            self._record(self.withheld, what, detail)
            if self.refuse:
                self._raise(what, detail)
        elif what not in ("exec", "signal"):  # what it starts and signals is inside the sandbox
            self._record(self.private, what, detail)

    def _detail(self, event: str, arguments: "Any") -> "Optional[str]":
        """What the event is about, or None when it changes nothing."""
        try:
            if event == "open":
                path, mode, flags = (*arguments, None, None, None)[:3]
                writes = (isinstance(flags, int) and flags & WRITE_FLAGS) or (
                    isinstance(mode, str) and any(letter in mode for letter in "wax+")
                )
                if isinstance(path, bytes):
                    path = path.decode("utf-8", "replace")
                if not writes or not isinstance(path, str) or path in HARMLESS or path.startswith("/proc/self/"):
                    return None
                return cap(path, 300)
            if event == "sqlite3.connect":
                path = str(arguments[0])
                return None if path in ("", ":memory:") or "mode=memory" in path or "mode=ro" in path else path
            if event in ("socket.connect", "socket.bind", "socket.sendto"):
                return _address(arguments[1])
            if event == "socket.sendmsg":
                return None if arguments[1] is None else _address(arguments[1])
            if event == "socket.getaddrinfo":
                return None if _numeric(arguments[0]) else _address(arguments[:2])
            if event == "subprocess.Popen":
                return cap(str(arguments[0] or arguments[1]), 300)
            return cap(" ".join(str(one) for one in arguments[:2] if isinstance(one, (str, bytes, int))), 300)
        except Exception:
            return event

    def _record(self, kept: "list[dict[str, Any]]", what: str, detail: str) -> None:
        key = (what, detail)
        if key in self.seen or len(kept) >= MAX_WITHHELD:
            return
        self.seen.add(key)
        name, line = self.reporter.app_frame(sys._getframe(2))
        kept.append({"what": what, "detail": detail, "file": name, "line": line})

    def _raise(self, what: str, detail: str) -> None:
        if what == "write":
            error = OSError(EROFS, "Read-only file system", detail)
        elif what in ("exec", "signal"):
            error = PermissionError(EPERM, "Operation not permitted", detail)
        else:
            error = OSError(ENONET, "Machine is not on the network")
        if len(self.refused) < MAX_WITHHELD:
            self.refused.append(error)
        raise error

    def _time_imports(self) -> None:
        """Replace the loaders' ``exec_module`` by one that takes the time.

        It is compiled under the import system's own file name, so that Python strips its frame from tracebacks as it
        strips the original's, and recursion is as deep as without it.
        """
        external = sys.modules.get("_frozen_importlib_external")
        internal = sys.modules.get("_frozen_importlib")
        basics = getattr(external, "_LoaderBasics", None)
        call = getattr(internal, "_call_with_frames_removed", None)
        if basics is None or call is None or "exec_module" not in vars(basics):
            return
        names: dict[str, Any] = {"_call_with_frames_removed": call, "_begin": self._begin, "_end": self._end}
        exec(compile(_TIMED, "<frozen importlib._bootstrap_external>", "exec"), names)  # noqa: S102 - our own text below
        basics.exec_module = names["exec_module"]

    def _begin(self, name: str) -> None:
        self.open_modules.append([name, time.perf_counter(), 0.0])

    def _end(self) -> None:
        if not self.open_modules:
            return
        name, started, inner = self.open_modules.pop()
        total = time.perf_counter() - started
        if self.open_modules:
            self.open_modules[-1][2] += total
        if len(self.times) < 20000:
            self.times.append((total - inner, total, name))

    def slowest(self, count: int = 10) -> "list[dict[str, Any]]":
        """The modules whose own code took longest; ``ms`` holds what they import too."""
        ordered = sorted(self.times, reverse=True)[:count]
        return [
            {"module": cap(str(name), 200), "ms": round(total * 1000, 1), "own_ms": round(own * 1000, 1)}
            for own, total, name in ordered
        ]

    def importing(self) -> "list[str]":
        """The modules whose execution has begun and not ended, outermost first."""
        return [cap(str(entry[0]), 200) for entry in self.open_modules[-30:]]

    def _catch_sudden_end(self) -> None:
        """``os._exit`` leaves no traceback; say where it was called, then do it."""
        real: Callable[[int], Any] = posix._exit

        def _exit(status: int) -> None:
            self._sudden_end(sys._getframe(1), status, None)
            real(status)

        self.real_exit = real
        for module in (posix, sys.modules.get("os")):
            if module is not None:
                module._exit = _exit  # type: ignore[attr-defined]

    def _sudden_end(self, frame: "Any", status: "Optional[int]", kill: "Optional[str]") -> None:
        """Say that ``frame`` is about to end this process, by an exit status or a signal that it sends."""
        handled = sys.exc_info()[1]
        name, line = self.reporter.app_frame(frame)
        self.reporter.send(
            {
                "sudden_end": {
                    "code": status if isinstance(status, int) else None,
                    "kill": kill,
                    "file": name,
                    "line": line,
                    "function": frame.f_code.co_name,
                    "stack": self.reporter.stack(frame),
                    "chain": self.reporter.chain(handled) if handled is not None else [],
                    "importing": self.importing(),
                    "withheld": self.withheld,
                    "private": self.private,
                }
            }
        )


_TIMED = '''
def exec_module(self, module):
    """Execute the module."""
    _begin(module.__name__)
    try:
        code = self.get_code(module.__name__)
        if code is None:
            raise ImportError('cannot load module {!r} when get_code() returns None'.format(module.__name__))
        _call_with_frames_removed(exec, code, module.__dict__)
    finally:
        _end()
'''


def _may_hit(detail: str, shared: bool) -> bool:
    """Whether ``pid signal`` hits the process itself: its number, its group, or everybody, if those are its own only."""
    target = detail.split(" ")[0]
    if target == "-1" and shared:
        return False
    return target in ("0", "-1", str(posix.getpid()), str(posix.getpgrp()), str(-posix.getpgrp()))


def _numeric(host: "Any") -> bool:
    text = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    return text is None or not isinstance(text, str) or text == "" or ":" in text or text.replace(".", "").isdigit()


def _address(value: "Any") -> str:
    if isinstance(value, tuple) and len(value) >= 2:
        host = value[0].decode("utf-8", "replace") if isinstance(value[0], bytes) else value[0]
        return cap(f"{host}:{value[1]}", 300)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return cap(str(value), 300)
