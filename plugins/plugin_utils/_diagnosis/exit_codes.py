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
    245: ("BPF", "BPF restrictions (RestrictFileSystems=) could not be applied"),
}
# Between 200 and 243 systemd once had these and gives them no more; a program that ends with them means something of its own.
RETIRED = {223: "TCPWRAP", 234: "MAKE_STARTER"}
GENERAL: dict[int, str] = {
    1: "an error that the program itself reported, mostly an uncaught Python exception",
    2: "refused command line arguments",
    3: "uvicorn or a gunicorn worker gave up at start",
    4: "gunicorn could not load the application",
    5: "what the service runs is not installed",
    6: "the service is not configured",
    7: "the program is not running",
    22: "uWSGI found no application to load",
    64: "refused command line arguments (sysexits: USAGE)",
    65: "refused input data (sysexits: DATAERR)",
    66: "an input file is missing or can't be read (sysexits: NOINPUT)",
    67: "a user is unknown (sysexits: NOUSER)",
    68: "a host is unknown (sysexits: NOHOST)",
    69: "a service that it needs is not available (sysexits: UNAVAILABLE)",
    70: "an internal error of the program (sysexits: SOFTWARE)",
    71: "an error of the operating system (sysexits: OSERR)",
    72: "a file of the system is missing (sysexits: OSFILE)",
    73: "an output file can't be made (sysexits: CANTCREAT)",
    74: "an input or output error (sysexits: IOERR)",
    75: "a failure that may pass; trying again may help (sysexits: TEMPFAIL)",
    76: "the other side broke the protocol (sysexits: PROTOCOL)",
    77: "a permission is missing (sysexits: NOPERM)",
    78: "the configuration is wrong (sysexits: CONFIG)",
    120: "Python could not flush its output at exit",
    125: "the container engine itself failed",
    126: "the command is not executable",
    127: "the command was not found",
    255: "an exit status out of range, or a failed tool such as alembic or ssh",
}
SIGNALS: dict[int, tuple[str, str]] = {
    1: ("SIGHUP", "the terminal or session went away"),
    2: ("SIGINT", "Ctrl-C"),
    3: ("SIGQUIT", "a quit with core dump was asked for"),
    4: ("SIGILL", "an instruction that this CPU lacks"),
    5: ("SIGTRAP", "a breakpoint of a debugger, or native code gave up"),
    6: ("SIGABRT", "the program or a library aborted, or the watchdog did"),
    7: ("SIGBUS", "a mapped file was cut short, or the disk failed"),
    8: ("SIGFPE", "an arithmetic error in native code"),
    9: (
        "SIGKILL",
        "killed without a chance to react: by the kernel for lack of memory, by a supervisor or a health probe, or by somebody",
    ),
    10: ("SIGUSR1", "a message that the program doesn't handle, such as that to reopen logs"),
    11: ("SIGSEGV", "a native library crashed"),
    12: ("SIGUSR2", "a message that the program doesn't handle, such as that to reload"),
    13: ("SIGPIPE", "the reader of its output went away"),
    14: ("SIGALRM", "a timer ran out"),
    15: ("SIGTERM", "an ordinary stop"),
    16: ("SIGSTKFLT", "a fault of the coprocessor's stack; nothing sends it today"),
    17: ("SIGCHLD", "a child process ended"),
    18: ("SIGCONT", "it was told to go on"),
    19: ("SIGSTOP", "it was stopped, and waits until it is told to go on"),
    20: ("SIGTSTP", "stopped from the terminal (Ctrl-Z)"),
    21: ("SIGTTIN", "in the background it wanted to read from a terminal"),
    22: ("SIGTTOU", "in the background it wanted to write to a terminal"),
    23: ("SIGURG", "urgent data on a socket"),
    24: ("SIGXCPU", "the limit of CPU time was reached"),
    25: ("SIGXFSZ", "the limit of file size was reached"),
    26: ("SIGVTALRM", "a timer of CPU time ran out"),
    27: ("SIGPROF", "a timer of a profiler ran out"),
    28: ("SIGWINCH", "the terminal's window changed"),
    29: ("SIGIO", "input or output became possible"),
    30: ("SIGPWR", "the power supply fails"),
    31: ("SIGSYS", "a forbidden system call (seccomp)"),
}
REAL_TIME = range(34, 65)


def explain_exit(code: int | None, signal: str | int | None) -> str:
    """One clause on how a process ended, empty when neither code nor signal is known."""
    if signal not in (None, "", 0):
        return f"signal {_signal(signal)}"
    if code is None:
        return ""
    if code in SYSTEMD:
        name, meaning = SYSTEMD[code]
        return f"exit status {code}/{name}: {meaning}"
    if code == 0:
        return "exit status 0: it ended by itself, without an error"
    if code in GENERAL:
        return f"exit status {code}: {GENERAL[code]}"
    if code < 0:
        return f"signal {_signal(-code)}"
    # Shells and container engines pass a signal on so.
    if code - 128 in SIGNALS or code - 128 in REAL_TIME:
        return f"exit status {code}: ended by signal {_signal(code - 128)}"
    return f"exit status {code}"


def _signal(signal: str | int | None) -> str:
    """Name and meaning of a signal given as a number or with its name."""
    wanted = str(signal).upper().removeprefix("SIG")
    for number, (name, meaning) in SIGNALS.items():
        if wanted in (str(number), name.removeprefix("SIG")):
            return f"{name}: {meaning}"
    if wanted.isdigit() and int(wanted) in REAL_TIME:
        return f"SIGRTMIN+{int(wanted) - REAL_TIME.start}: a real-time signal that the program doesn't handle"
    return str(signal)
