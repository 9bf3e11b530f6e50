# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an exit status or a signal says, in systemd's words and in a sentence. Tables from systemd.exec(5)."""

from __future__ import annotations

import signal
from typing import Any, Optional

from .numerals import whole

# Status → (name that systemd prints, what failed before the program could run).
SETUP_STEPS = {
    200: ("CHDIR", "systemd could not change to the working directory (WorkingDirectory=)"),
    201: ("NICE", "systemd could not set the nice level (Nice=)"),
    202: ("FDS", "systemd could not close or pass file descriptors"),
    203: ("EXEC", "systemd could not execute the command: missing, not executable, or its interpreter is missing"),
    204: ("MEMORY", "systemd ran out of memory while it prepared the process"),
    205: ("LIMITS", "systemd could not set a resource limit (Limit…=)"),
    206: ("OOM_ADJUST", "systemd could not set the out-of-memory score (OOMScoreAdjust=)"),
    207: ("SIGNAL_MASK", "systemd could not set the signal mask"),
    208: ("STDIN", "systemd could not set up standard input (StandardInput=)"),
    209: ("STDOUT", "systemd could not set up standard output (StandardOutput=)"),
    210: ("CHROOT", "systemd could not change the root directory (RootDirectory=, RootImage=)"),
    211: ("IOPRIO", "systemd could not set the I/O priority (IOSchedulingClass=)"),
    212: ("TIMERSLACK", "systemd could not set the timer slack (TimerSlackNSec=)"),
    213: ("SECUREBITS", "systemd could not set the secure bits (SecureBits=)"),
    214: ("SETSCHEDULER", "systemd could not set up CPU scheduling (CPUSchedulingPolicy=)"),
    215: ("CPUAFFINITY", "systemd could not set the CPU affinity (CPUAffinity=)"),
    216: ("GROUP", "systemd could not find or change to the group (Group=, SupplementaryGroups=)"),
    217: ("USER", "systemd could not find or change to the user (User=), or set up a user namespace (PrivateUsers=)"),
    218: ("CAPABILITIES", "systemd could not apply capabilities (CapabilityBoundingSet=, AmbientCapabilities=)"),
    219: ("CGROUP", "systemd could not set up the control group"),
    220: ("SETSID", "systemd could not create a session"),
    221: ("CONFIRM", "the execution was cancelled at the console (systemd.confirm_spawn=)"),
    222: ("STDERR", "systemd could not set up standard error (StandardError=)"),
    224: ("PAM", "systemd could not open a PAM session (PAMName=)"),
    225: ("NETWORK", "systemd could not set up the network namespace (PrivateNetwork=)"),
    226: ("NAMESPACE", "systemd could not set up the mount namespace: a path in ReadWritePaths=, BindPaths= and the like is missing"),
    227: ("NO_NEW_PRIVILEGES", "systemd could not set NoNewPrivileges="),
    228: ("SECCOMP", "systemd could not apply the system call filter (SystemCallFilter=)"),
    229: ("SELINUX_CONTEXT", "systemd could not change the SELinux context (SELinuxContext=)"),
    230: ("PERSONALITY", "systemd could not set the execution domain (Personality=)"),
    231: ("APPARMOR_PROFILE", "systemd could not change the AppArmor profile (AppArmorProfile=)"),
    232: ("ADDRESS_FAMILIES", "systemd could not restrict address families (RestrictAddressFamilies=)"),
    233: ("RUNTIME_DIRECTORY", "systemd could not set up the runtime directory (RuntimeDirectory=)"),
    235: ("CHOWN", "systemd could not change the owner of a socket"),
    236: ("SMACK_PROCESS_LABEL", "systemd could not set the SMACK label (SmackProcessLabel=)"),
    237: ("KEYRING", "systemd could not set up the kernel keyring"),
    238: ("STATE_DIRECTORY", "systemd could not set up the state directory (StateDirectory=)"),
    239: ("CACHE_DIRECTORY", "systemd could not set up the cache directory (CacheDirectory=)"),
    240: ("LOGS_DIRECTORY", "systemd could not set up the logs directory (LogsDirectory=)"),
    241: ("CONFIGURATION_DIRECTORY", "systemd could not set up the configuration directory (ConfigurationDirectory=)"),
    242: ("NUMA_POLICY", "systemd could not set the NUMA policy (NUMAPolicy=)"),
    243: ("CREDENTIALS", "systemd could not set up credentials (LoadCredential=, SetCredential=)"),
    245: ("BPF", "systemd could not apply BPF restrictions (RestrictFileSystems=)"),
}  # fmt: skip
# Names that systemd prints for statuses of programs (LSB init scripts).
_PROGRAM_NAMES = {
    0: "SUCCESS", 1: "FAILURE", 2: "INVALIDARGUMENT", 3: "NOTIMPLEMENTED", 4: "NOPERMISSION", 5: "NOTINSTALLED",
    6: "NOTCONFIGURED", 7: "NOTRUNNING",
}  # fmt: skip
_PROGRAM_MEANINGS = {
    0: "the process ended by itself and reported success",
    1: "the process ended with the general failure status, which Python gives after an uncaught exception",
    2: "the process refused its command line, as argument parsers do",
    3: "the process ended with status 3, which uvicorn and gunicorn give when the application does not start",
    4: "the process ended with status 4, which gunicorn gives when the application can't be loaded",
    120: "Python could not flush its output while it ended",
    126: "the shell that started the command found it, but could not execute it",
    127: "the shell that started the command did not find it",
}
_SIGNAL_MEANINGS = {
    "KILL": "killed with SIGKILL: by the kernel for lack of memory, by the supervisor after a stop that took too long, or by hand",
    "TERM": "ended by SIGTERM: asked to stop",
    "INT": "ended by SIGINT: asked to stop, as by Ctrl-C",
    "HUP": "ended by SIGHUP: its terminal or session closed",
    "SEGV": "crashed with SIGSEGV: an invalid memory access in native code",
    "ABRT": "aborted with SIGABRT: native code gave up, or a watchdog or the supervisor ended it",
    "ILL": "crashed with SIGILL: an instruction that this CPU lacks",
    "BUS": "crashed with SIGBUS: a mapped file was cut, or memory is faulty",
    "FPE": "crashed with SIGFPE: an arithmetic fault in native code",
    "PIPE": "ended by SIGPIPE: whoever read its output is gone",
    "SYS": "killed with SIGSYS: a system call that the filter forbids",
    "XCPU": "ended by SIGXCPU: the CPU time limit is used up",
    "USR1": "ended by SIGUSR1, for which it had no handler",
}
RESULTS = {
    "resources": "systemd could not set up what the start needs, for instance an environment file that is missing",
    "protocol": "the process did not follow the protocol of its Type=, for instance it ended before it reported readiness",
    "timeout": "a start or stop step took longer than its time limit",
    "watchdog": "the process did not send its watchdog messages in time",
    "start-limit-hit": "it was started too often in too short a time",
    "oom-kill": "the kernel killed one of its processes for lack of memory",
    "core-dump": "the process ended by a signal and dumped core",
    "exec-condition": "ExecCondition= said that it should not start",
}


def signal_name(number: int) -> str:
    """``KILL`` for 9; real-time signals count from RTMIN."""
    try:
        return signal.Signals(number).name[3:]
    except ValueError:
        offset = number - signal.SIGRTMIN
        return f"RTMIN+{offset}" if 0 <= offset <= 30 else str(number)


def signal_number(name: str) -> Optional[int]:
    """9 for ``KILL``, ``SIGKILL`` or ``9``; None for what is no signal."""
    number = whole(name)
    if number is not None:
        return number
    try:
        return int(signal.Signals[name if name.startswith("SIG") else f"SIG{name}"])
    except KeyError:
        return None


def explain(
    code: Optional[int], signal_: Optional[int], core_dumped: bool = False, systemd: bool = True
) -> dict[str, Any]:
    """The ``exit`` shape of the evidence.

    :param code: exit status, None when a signal ended the process.
    :param systemd: whether systemd is the supervisor, which has names for statuses and its own set-up steps from 200 on.
    """
    text, sentence = None, None
    if signal_ is not None:
        name = signal_name(signal_)
        text = f"{signal_}/{name}"
        sentence = _SIGNAL_MEANINGS.get(name, f"ended by signal SIG{name}")
    elif code is not None:
        step = SETUP_STEPS.get(code) if systemd else None
        name = step[0] if step else _PROGRAM_NAMES.get(code, "n/a")
        text = f"{code}/{name}" if systemd else str(code)
        sentence = step[1] if step else _PROGRAM_MEANINGS.get(code) or _by_shell(code)
        if code == 127 and not systemd:
            sentence = "supervisord's child could not change directory or user or execute the command, or a shell did not find it"
    return {"code": code, "signal": signal_, "status_text": text, "core_dumped": core_dumped, "explained": sentence}


def _by_shell(code: int) -> str:
    if 128 < code <= 128 + 64:
        name = signal_name(code - 128)
        meaning = _SIGNAL_MEANINGS.get(name, f"ended by signal SIG{name}")
        return f"a wrapper (shell or launcher) passed on that its program was {meaning}"
    return f"the process ended by itself with exit status {code}"
