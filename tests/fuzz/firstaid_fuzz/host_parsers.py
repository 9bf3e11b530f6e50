# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parsers of what the host says: systemd, the journal, the kernel, /proc."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import (
    cgroups,
    env_file,
    journal,
    kernel,
    proc,
    resources,
    sockets,
    systemd_environment,
    systemd_journal,
    systemd_show,
    systemd_unit_files,
    systemd_words,
)
from ansible_collections.firstaid.backend.plugins.module_utils._evidence import target as host_facts
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import KIB, MIB

from .target import Broken, Target

BLANKS = (
    " ",
    "\t",
    "\n",
    "\r\n",
    "\\",
    "\\\n",
    "\0",
    "\ufeff",
    "é",
    "²",
    "٣",
    "\u2028",
    "\x85",
    "\udfff".encode("utf-8", "replace").decode(),
)
QUOTES = ('"', "'", '\\"', "`", "$")
NUMBERS = ("0", "1", "-1", "4294967296", "9" * 25, "1e999", "NaN", "0x7f", "1_000")


def _env(raw: bytes) -> env_file.EnvFile:
    return env_file.parse(raw)


def _env_old(raw: bytes) -> env_file.EnvFile:
    return env_file.parse(raw, 247)


def _env_agrees(raw: bytes, parsed: env_file.EnvFile) -> None:
    if not set(parsed.variables) <= set(parsed.names) | {
        name for name in parsed.variables if not env_file.NAME.match(name)
    }:
        raise Broken(f"variables that are no names of it: {sorted(set(parsed.variables) - set(parsed.names))}")
    if set(parsed.not_loaded) & set(parsed.variables):
        raise Broken("a name is loaded and not loaded")
    if parsed.load_error and parsed.variables:
        raise Broken("a file that is refused gives variables")


def _show(text: str) -> list[systemd_show.Properties]:
    return systemd_show.parse_show(text)


def _numbers(text: str) -> int:
    return sum(unit.number(name) for unit in systemd_show.parse_show(text) for name in unit.values)


def _unit(text: str) -> list[dict[str, Any]]:
    settings = systemd_unit_files.parse(text)
    systemd_unit_files.merge([settings])
    return systemd_unit_files.misplaced("/x", settings)


def _specifiers(text: str) -> str:
    return systemd_unit_files.expand_specifiers(text, "worker@3.service")


def _complaint(text: str) -> bool:
    file, _nul, complaint = text.partition("\0")
    return systemd_unit_files.still_there({"file": "/x", "line": 1, "text": complaint}, {"/x": file})


def _expand(text: str) -> list[str]:
    words = systemd_words.split_words(text)
    systemd_words.referenced_variables(words)
    return systemd_words.expand_variables(words, {"A": text, "B": "1 2"})


def _times(text: str) -> tuple[float | None, float | None, int | None]:
    return systemd_words.parse_timespan(text), systemd_words.parse_timestamp(text), systemd_words.parse_count(text)


def _journal(text: str) -> list[dict[str, Any]]:
    entries = [entry for entry in (journal.parse_entry(line, "api.service") for line in text.split("\n")) if entry]
    cuts = journal.to_cuts(entries)
    return [{"lines": cut.lines, "pid": cut.pid, "started": cut.started} for cut in cuts]


def _kernel(text: str) -> dict[str, Any]:
    return kernel.parse(kernel.parse_short_unix(text), lambda *_facts: None)


def _kmsg(text: str) -> dict[str, Any]:
    return kernel.parse(kernel.parse_kmsg(text.split("\n"), 1e9), lambda *_facts: None)


def _diag(data: bytes) -> tuple[list[sockets.Socket], bool]:
    return sockets.parse_diag(data)


def _groups(text: str) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
    return cgroups.parse_mounts(text), cgroups.parse_paths(text)


def _mounts(text: str) -> tuple[str | None, str | None, str | None]:
    return resources.mount_of("/srv/a b", resources.parse_mountinfo(text))


def _capabilities(text: str) -> list[str]:
    return host_facts.missing_privileges(0, host_facts.effective_capabilities(text), [])


def _environ(data: bytes) -> dict[str, str]:
    return systemd_environment.parse_process(data)


def _unit_of(text: str) -> str | None:
    return proc.unit_of(proc.parse_cgroup(text))


_ENTRY = json.dumps(
    {"__REALTIME_TIMESTAMP": "1700000000000000", "MESSAGE": "x", "_PID": "12", "_SYSTEMD_UNIT": "api.service"}
)
_JSON = (
    "{", "}", "[", "]", ":", ",", '"', "\n", '"__REALTIME_TIMESTAMP":', '"1700000000000000"', "1e999", "-1", '"MESSAGE":', "[255,10]", "null", '"_PID":',
    '"²"', '"1"', '"MESSAGE_ID":', '"UNIT":', '"CONFIG_LINE":', '"CONFIG_FILE":', '"EXIT_STATUS":', '"SYSLOG_IDENTIFIER":', '"_SYSTEMD_UNIT":',
    '"INVOCATION_ID":', '"_SYSTEMD_INVOCATION_ID":', f'"{"9" * 400}"', "9" * 400, _ENTRY + "\n", '"' + "\\u0000" + '"',
    '"Main process exited, code=exited, status=²/X"', '"Main process exited, code=killed, status=9/KILL"', '"7ad2d189f7e94e70a38c781354912448"',
)  # fmt: skip
_EXEC = (
    "{ path=/usr/bin/x ; argv[]=x a b ; ignore_errors=no ; start_time=[Sun 2026-11-22 04:43:16 UTC] ; stop_time=[n/a] ; pid=² ; ",
    "code=exited ; status=1 }", "code=killed ; status=9/KILL }", "status=²/X }", "; ", "{ ", " }", "path=", "argv[]=", "flags=", "pid=", "code=", "status=",
    "start_time=[", "]", "=", "ignore_errors=yes",
)  # fmt: skip
_UNIT_WORDS = (
    "[Service]\n", "[Unit]\n", "[X-y]\n", "[", "]", "ExecStart=", "Environment=", "Description=", "#", ";", "=", "\\\n", "/usr/bin/x", "-", "@", "%i", "%%",
    "%", "X-A=1\n", "Restart=no\n",
)  # fmt: skip
_KERNEL_WORDS = (
    "1700000000.123456 ", "1700000000.123456 kernel: ", "audit[1]: ", "6,339,5140900,-;", "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null)",
    ",oom_memcg=/a,task_memcg=/b,task=python3,pid=12,uid=0", "Memory cgroup out of memory: Killed process 12 (python3)", "Out of memory: Killed process ",
    "python3[12]: segfault at 0 ip 0 sp 0 error 4 in x", "traps: python3[", "12] trap invalid opcode ip:", "trap divide error", "type=1326 ", "SECCOMP ",
    "pid=12 comm=\"x\" ", "sig=31", "EXT4-fs (sda1): ", "error", "I/O error", "avc:  denied", "apparmor=\"DENIED\"", "INFO: task x:1 blocked for more",
    " than 120 seconds", "[", "]", "(", ")", ":", "\n",
)  # fmt: skip

TARGETS: tuple[Target, ...] = (
    Target("env-file", _env, (*BLANKS, *QUOTES, "=", "#", ";", "A", "B_1", "export ", "KEY=value\n", "#\\\n", "A='x' y\n"), raw=True, size=4 * MIB,
        repeats=("#\\\n", "A='x' y\n", "A=\\\n", "A", "\n", "A=1 #", "export A=1\n", "A=1\r", "'", '"\\', "A=é\n", "; \\\nA=1\n", "\\", "=", " "),
        check=_env_agrees, ),
    Target("env-file-247", _env_old, (*BLANKS, *QUOTES, "=", "#", "A=1\n", "#\\\n"), raw=True, size=4 * MIB, repeats=("#\\\n", "#=\\\n")),
    Target("unit-file", _unit, (*BLANKS, *QUOTES, *_UNIT_WORDS), size=MIB, repeats=("A=\\\n", "[", "\n", "A=1\n", "#\\\n", "[A]\nB=1\n", "A", " \\\n")),
    Target("unit-specifiers", _specifiers, (*BLANKS, *_UNIT_WORDS, "%I", "%P", "%j", "%h"), repeats=("%i", "%", "%Z")),
    Target("unit-name", systemd_unit_files.unit_name, (*BLANKS, "api", ".service", "@", "/", "-", ".", "\\x2d", ":")),
    Target("unit-template", systemd_unit_files.template_of, ("api", ".service", "@", ".", "x")),
    Target("unit-unescape", systemd_unit_files.unescape, (*BLANKS, "-", "\\x2d", "\\xff", "\\x", "a"), repeats=("\\x", "-")),
    Target("unit-complaint", _complaint, (*BLANKS, "\0", "'", "': ", "ExecStart", "Unknown key '"), repeats=("'", ": ", "\0'")),
    Target("show", _show, (*BLANKS, "Id=", "ActiveState=active\n", "Environment=A=1", "\n\n", "=", "MainPID="), size=16 * MIB, repeats=("A=1\n", "x\n",
        "\n", "A", "A=1\n\n", "Id=a\nx\nx\n", "A=\nA=\n"), ),
    Target("show-numbers", _numbers, ("A=", "B=", "\n", *NUMBERS, "²", "--1", "-", "٣"), repeats=("A=1\n", "9")),
    Target("show-exec", systemd_show.parse_exec, (*BLANKS, *_EXEC), size=MIB, repeats=("; path=", "{ path=/x ; ", " ; ", "path=")),
    Target("show-env-file", systemd_show.parse_environment_file, (*BLANKS, " (ignore_errors=", "yes)", "/etc/x"), repeats=(" (ignore_errors=", )),
    Target("words", systemd_words.split_words, (*BLANKS, *QUOTES, "$'", "\\x41", "\\u00e9", "\\U0010ffff", "\\U00110000", "\\777", "a"), size=128 * KIB,
        repeats=("a ", "\\", '"', "\\U0011ffff", "$'", "'"), ),
    Target("commands", systemd_words.split_commands, (*BLANKS, *QUOTES, ";", "-", "@", "+", "!", "!!", ":", "|", "/x"), repeats=("; ", "@", "-/x ;")),
    Target("expand", _expand, (*BLANKS, *QUOTES, "$A", "${A}", "${", "}", "$$", "B"), size=8 * KIB, repeats=("$A ", "${A}", "${")),
    Target("environment", systemd_words.parse_environment, (*BLANKS, *QUOTES, "A=1", "=", "A"), size=MIB, repeats=("A=1 ", "'A=1' ", '"')),
    Target("times", _times, (*NUMBERS, " ", "min", "s", "ms", "us", "d", "y", "infinity", ".", "Sun 2026-11-22 04:43:16 UTC", "²", "9999-12-31", "n/a",
        "month"), repeats=("1s", "1", "1min ", " ", "s", "1."), ),
    Target("journal-json", _journal, _JSON, size=4 * MIB, repeats=(_ENTRY + "\n", "[", '{"a":', "{\n")),
    Target("journal-history", systemd_journal.parse, _JSON, size=4 * MIB, repeats=(_ENTRY + "\n", "[", '{"a":', "\n")),
    Target("kernel-journal", _kernel, (*BLANKS, *_KERNEL_WORDS), size=2 * MIB, repeats=(*(f"1.5 kernel: {word}" for word in _KERNEL_WORDS),
        *_KERNEL_WORDS)),
    Target("kernel-kmsg", _kmsg, (*BLANKS, *_KERNEL_WORDS, *NUMBERS), size=512 * KIB, repeats=("6,1,2,-;x\n", "6,")),
    Target("proc-stat", proc.parse_stat, ("12 ", "(", ")", "py thon", " S ", "1 ", "-1 ", *NUMBERS, "² "), repeats=("(", ")", "1 ")),
    Target("proc-cgroup", _unit_of, ("0::", "1:name=systemd:", "/", "api.service", ":", "\n", "a.scope"), repeats=("0::/\n", "/", "a.service/")),
    Target("proc-status", proc.parse_uid, ("Uid:", "\t", "0", "\n", *NUMBERS, "²"), repeats=("Uid:", "Uid:\t", "\n", "Uid: 1 ")),
    Target("proc-capabilities", _capabilities, ("CapEff:", "\t", "\n", "ff", "zz", *NUMBERS), repeats=("CapEff:\n", )),
    Target("proc-net-tcp", lambda text: sockets.parse_tcp("head\n" + text, "tcp"), ("0: ", "0100007F:1F90 ", "00000000:0000 ", "0A ", "0 ", "zz ", ":",
        "\n", "00000000000000000000000001000000:", *NUMBERS), size=MIB, repeats=("\n", "0: 0100007F:1F90 00000000:0000 0A 0 0 0 0 0 12\n", " "),
        returns=list[sockets.Socket]),
    Target("proc-net-unix", lambda text: sockets.parse_unix("head\n" + text), ("0: ", "00000002 ", "00000000 ", "00010000 ", "0001 ", "01 ", "12 ",
        "/run/x", "\n", "zz ", " "), size=MIB, repeats=("1 2 3 4 5 6 7 /x\n", ), returns=list[sockets.Socket]),
    Target("proc-fib", lambda text: sockets.parse_local_addresses(text, text), ("|-- ", "127.0.0.1", "\n", "/32 host LOCAL",
        "00000000000000000000000000000001", " lo", "z" * 32), repeats=("|-- 1\n", ), returns=list[str]),
    Target("netlink", _diag, ("\x10", "\0", "\x14\0\x01", "\x02\0", "\x03\0", "a" * 72), raw=True, repeats=("\x10\0\0\0\x14\0", "\0"), allowed=(OSError, )),
    Target("proc-environ", _environ, ("A=1", "\0", "=", "\n", "PATH=", "é", "²"), raw=True, size=256 * KIB, repeats=("A=1\0", "\0", "=")),
    Target("cgroup-files", _groups, ("1 1 0:1 / /sys/fs/cgroup ", " - ", "cgroup2 ", "cgroup ", "x ", "rw,memory", "0::/", ":", "\n", ","), size=MIB,
        repeats=("0::/a\n", " - ", ",", "1 1 0:1 / /sys - cgroup2 x y\n")),
    Target("cgroup-number", cgroups.number, (*NUMBERS, "max", "\n", "²", "٣")),
    Target("meminfo", resources.parse_meminfo, ("MemTotal:", " ", "12", " kB", "\n", *NUMBERS, "٣"), repeats=("MemTotal: ", "9", "a", "a:1 kB\n")),
    Target("limits", resources.parse_limits, ("Max open files", "  ", "1024", "unlimited", "\n", "²", *NUMBERS), repeats=("Max open files ", )),
    Target("mountinfo", _mounts, ("1 1 0:1 / /srv/a\\040b ", "rw ", "- ", " - ", "ext4 ", "/dev/x", "\\777", "\\", "\n", "/"), size=MIB,
        repeats=("1 1 0:1 / / rw - ext4 x\n", "\\040", " - ")),
    Target("os-release", host_facts.os_release, ("ID=", "VERSION_ID=", '"', "'", "\n", "debian"), repeats=("ID=\n", "=")),
)  # fmt: skip
