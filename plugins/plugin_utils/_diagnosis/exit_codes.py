# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What exit codes and signals mean: systemd's 200 to 243 (systemd.exec(5)), shells and containers, and signals."""

from __future__ import annotations

SYSTEMD: dict[int, tuple[str, str]] = {
    200: ("CHDIR", "changing to the working directory failed"),
    201: ("NICE", "setting the scheduling priority failed"),
    202: ("FDS", "closing or arranging file descriptors failed"),
    203: ("EXEC", "the executable could not be run"),
    204: ("MEMORY", "memory ran out before the program was started"),
    205: ("LIMITS", "a resource limit (Limit…=) could not be set"),
    206: ("OOM_ADJUST", "OOMScoreAdjust= could not be applied"),
    207: ("SIGNAL_MASK", "the signal mask could not be set"),
    208: ("STDIN", "StandardInput= could not be set up"),
    209: ("STDOUT", "StandardOutput= could not be set up"),
    210: ("CHROOT", "changing the root directory failed"),
    211: ("IOPRIO", "the input/output priority could not be set"),
    212: ("TIMERSLACK", "TimerSlackNSec= could not be applied"),
    213: ("SECUREBITS", "SecureBits= could not be applied"),
    214: ("SETSCHEDULER", "the CPU scheduling policy could not be set"),
    215: ("CPUAFFINITY", "CPUAffinity= could not be applied"),
    216: ("GROUP", "the group doesn't exist or could not be changed to"),
    217: ("USER", "the user doesn't exist or could not be changed to"),
    218: ("CAPABILITIES", "capabilities could not be dropped or set"),
    219: ("CGROUP", "the control group could not be set up"),
    220: ("SETSID", "a new session could not be created"),
    221: ("CONFIRM", "the start was refused at the console"),
    222: ("STDERR", "StandardError= could not be set up"),
    224: ("PAM", "the PAM session could not be set up"),
    225: ("NETWORK", "the network namespace could not be set up"),
    226: (
        "NAMESPACE",
        "the mount namespace could not be set up, mostly a path of a sandboxing directive that doesn't exist",
    ),
    227: ("NO_NEW_PRIVILEGES", "NoNewPrivileges= could not be set"),
    228: ("SECCOMP", "the system call filter could not be applied"),
    229: ("SELINUX_CONTEXT", "the SELinux context could not be set"),
    230: ("PERSONALITY", "Personality= could not be set"),
    231: ("APPARMOR_PROFILE", "the AppArmor profile could not be applied"),
    232: ("ADDRESS_FAMILIES", "RestrictAddressFamilies= could not be applied"),
    233: ("RUNTIME_DIRECTORY", "RuntimeDirectory= could not be created"),
    235: ("CHOWN", "ownership of a socket could not be changed"),
    236: ("SMACK_PROCESS_LABEL", "the SMACK label could not be set"),
    237: ("KEYRING", "the kernel keyring could not be set up"),
    238: ("STATE_DIRECTORY", "StateDirectory= could not be created"),
    239: ("CACHE_DIRECTORY", "CacheDirectory= could not be created"),
    240: ("LOGS_DIRECTORY", "LogsDirectory= could not be created"),
    241: ("CONFIGURATION_DIRECTORY", "ConfigurationDirectory= could not be created"),
    242: ("NUMA_POLICY", "NUMAPolicy= could not be applied"),
    243: ("CREDENTIALS", "a credential (LoadCredential=, SetCredential=) could not be set up"),
}
GENERAL: dict[int, str] = {
    1: "an error that the program itself reported, mostly an uncaught Python exception",
    2: "refused command line arguments",
    3: "uvicorn or a gunicorn worker gave up at start",
    4: "gunicorn could not load the application",
    120: "Python could not flush its output at exit",
    125: "the container engine itself failed",
    126: "the command is not executable",
    127: "the command was not found",
    129: "ended by SIGHUP: the terminal or session went away",
    130: "ended by SIGINT (Ctrl-C)",
    132: "ended by SIGILL: an instruction that this CPU lacks",
    134: "ended by SIGABRT: the program or a library aborted",
    135: "ended by SIGBUS",
    136: "ended by SIGFPE",
    137: "ended by SIGKILL: the kernel for lack of memory, a health probe, or somebody",
    139: "ended by SIGSEGV: a native library crashed",
    143: "ended by SIGTERM: an ordinary stop",
    255: "an exit status out of range, or a failed tool such as alembic or ssh",
}
SIGNALS: dict[int, tuple[str, str]] = {
    1: ("SIGHUP", "the terminal or session went away"),
    2: ("SIGINT", "Ctrl-C"),
    3: ("SIGQUIT", "a quit with core dump was asked for"),
    4: ("SIGILL", "an instruction that this CPU lacks"),
    6: ("SIGABRT", "the program or a library aborted, or the watchdog did"),
    7: ("SIGBUS", "a mapped file was cut short, or the disk failed"),
    8: ("SIGFPE", "an arithmetic error in native code"),
    9: (
        "SIGKILL",
        "killed without a chance to react: by the kernel for lack of memory, by a supervisor, or by somebody",
    ),
    11: ("SIGSEGV", "a native library crashed"),
    13: ("SIGPIPE", "the reader of its output went away"),
    14: ("SIGALRM", "a timer ran out"),
    15: ("SIGTERM", "an ordinary stop"),
    24: ("SIGXCPU", "the limit of CPU time was reached"),
    25: ("SIGXFSZ", "the limit of file size was reached"),
    31: ("SIGSYS", "a forbidden system call (seccomp)"),
}


def explain_exit(code: int | None, signal: str | int | None) -> str:
    """One clause on how a process ended, empty when neither code nor signal is known."""
    if signal not in (None, "", 0):
        for number, (name, meaning) in SIGNALS.items():
            if signal == number or str(signal).upper().removeprefix("SIG") == name.removeprefix("SIG"):
                return f"signal {name}: {meaning}"
        return f"signal {signal}"
    if code is None:
        return ""
    if code in SYSTEMD:
        name, meaning = SYSTEMD[code]
        return f"exit status {code}/{name}: {meaning}"
    if code == 0:
        return "exit status 0: it ended by itself, without an error"
    return f"exit status {code}: {GENERAL[code]}" if code in GENERAL else f"exit status {code}"
