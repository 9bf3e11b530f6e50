# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unit files as text: where they lie, what they set, and what the manager would make of ``%`` in them.

Needed beside ``systemctl show`` for what that does not tell (quotes of a command line, the file behind ``append:``),
and as its stand-in where the manager can't be asked.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from .context import KIB, Context

MAX_FILE_BYTES = 64 * KIB
MAX_FILES = 40
# In order of precedence, systemd.unit(5).
SEARCH_PATH = (
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/run/systemd/generator.late",
)
UNIT_SUFFIXES = (
    ".service", ".socket", ".target", ".timer", ".mount", ".automount", ".path", ".slice", ".scope", ".device", ".swap",
)  # fmt: skip
_VALID_NAME = re.compile(r"[A-Za-z0-9:_.\\@-]{1,255}\Z")
# Settings of which each line adds to a list; an empty one clears it. Of all others the last line counts.
LIST_SETTINGS = {
    "Environment", "EnvironmentFile", "PassEnvironment", "UnsetEnvironment", "ExecStart", "ExecStartPre",
    "ExecStartPost", "ExecCondition", "ExecStop", "ExecStopPost", "ExecReload", "ReadWritePaths", "ReadOnlyPaths",
    "InaccessiblePaths", "ExecPaths", "NoExecPaths", "BindPaths", "BindReadOnlyPaths", "TemporaryFileSystem",
    "SupplementaryGroups", "LoadCredential", "SetCredential", "After", "Before", "Wants", "Requires", "BindsTo",
    "PartOf", "Conflicts", "WantedBy", "RequiredBy", "SystemCallFilter", "CapabilityBoundingSet",
    "AmbientCapabilities", "RestrictAddressFamilies", "DeviceAllow", "RuntimeDirectory", "StateDirectory",
    "CacheDirectory", "LogsDirectory", "ConfigurationDirectory",
}  # fmt: skip
KNOWN_SECTIONS = ("Unit", "Service", "Install")
_INSTALL_SETTINGS = {"Alias", "WantedBy", "RequiredBy", "UpheldBy", "Also", "DefaultInstance"}
_UNIT_SETTINGS = {
    "Description", "Documentation", "After", "Before", "Wants", "Requires", "Requisite", "BindsTo", "PartOf", "Conflicts",
    "OnFailure", "StartLimitIntervalSec", "ConditionPathExists", "AssertPathExists", "WantedBy", "RequiredBy", "Alias",
}  # fmt: skip
_SERVICE_SETTINGS = {
    "Type", "ExecStart", "ExecStartPre", "ExecStartPost", "ExecStop", "ExecReload", "Restart", "RestartSec", "User", "Group",
    "WorkingDirectory", "Environment", "EnvironmentFile", "StandardOutput", "StandardError", "TimeoutStartSec",
    "TimeoutStopSec", "TimeoutSec", "WatchdogSec", "LimitNOFILE", "MemoryMax", "PIDFile", "KillMode", "UMask",
}  # fmt: skip
MAX_PROBLEMS = 50
SANDBOX_SETTINGS = (
    "ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "PrivateNetwork", "PrivateUsers", "PrivateMounts",
    "ProtectKernelTunables", "ProtectKernelModules", "ProtectControlGroups", "ProtectProc", "ProcSubset",
    "ProtectHostname", "ProtectClock", "NoNewPrivileges", "MemoryDenyWriteExecute", "LockPersonality",
    "RestrictNamespaces", "RestrictAddressFamilies", "RestrictRealtime", "RestrictSUIDSGID", "SystemCallFilter",
    "SystemCallArchitectures", "CapabilityBoundingSet", "AmbientCapabilities", "ReadWritePaths", "ReadOnlyPaths",
    "InaccessiblePaths", "ExecPaths", "NoExecPaths", "BindPaths", "BindReadOnlyPaths", "TemporaryFileSystem",
    "RootDirectory", "RootImage", "DynamicUser", "IPAddressDeny", "IPAddressAllow", "SocketBindDeny", "UMask",
    "RuntimeDirectory", "StateDirectory", "CacheDirectory", "LogsDirectory", "ConfigurationDirectory",
)  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """One assignment in a unit file; ``line`` is that of its first line. Without a name it is a line that assigns nothing."""

    section: str
    name: str
    value: str
    line: int


def parse(text: str) -> list[Setting]:
    """The assignments of a unit file, in order; continued lines are joined by a blank, comments inside them skipped."""
    settings: list[Setting] = []
    section, pending, first = "", "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if line.startswith(("#", ";")) or (not line and not pending):
            continue
        first = first or number
        if line.endswith("\\"):
            pending += line[:-1] + " "
            continue
        line, pending = (pending + line).strip(), ""
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        else:
            name, _equals, value = line.partition("=") if "=" in line else ("", "", line)
            settings.append(Setting(section, name.strip(), value.strip(), first))
        first = 0
    return settings


def merge(files: Iterable[Sequence[Setting]]) -> dict[str, list[str]]:
    """Effective settings of a fragment and its drop-ins, read in order: name → values."""
    result: dict[str, list[str]] = {}
    for settings in files:
        for setting in settings:
            if not setting.name or setting.name.startswith("X-") or setting.section.startswith("X-"):
                continue
            if not setting.value:
                result.pop(setting.name, None)
            elif setting.name in LIST_SETTINGS:
                result.setdefault(setting.name, []).append(setting.value)
            else:
                result[setting.name] = [setting.value]
    return result


def misplaced(path: str, settings: Iterable[Setting]) -> list[dict[str, Any]]:
    """Lines that every systemd ignores, in its words: settings in the wrong section, and lines that are no settings."""
    problems = []
    for setting in settings:
        if setting.section.startswith("X-") or setting.name.startswith("X-"):
            continue
        text = None
        if not setting.name:
            text = "Missing '=', ignoring line."
        elif not setting.section:
            text = "Assignment outside of section. Ignoring."
        elif setting.section not in KNOWN_SECTIONS:
            text = f"Unknown section '{setting.section}'. Ignoring."
        elif (
            (setting.section == "Install" and setting.name not in _INSTALL_SETTINGS)
            or (setting.section == "Unit" and setting.name in _SERVICE_SETTINGS)
            or (setting.section == "Service" and setting.name in _UNIT_SETTINGS)
        ):
            text = f"Unknown key '{setting.name}' in section [{setting.section}], ignoring."
        if text:
            problems.append({"file": path, "line": setting.line, "text": text})
    return problems[:MAX_PROBLEMS]


def still_there(problem: dict[str, Any], texts: dict[str, str]) -> bool:
    """Whether a complaint of the past is about what the file still says: the journal keeps it after it was corrected."""
    lines = texts.get(str(problem["file"]), "").splitlines()
    if problem["file"] not in texts or not problem["line"]:
        return True
    line = lines[problem["line"] - 1] if problem["line"] <= len(lines) else ""
    words = [*re.findall(r"'([^']+)'", problem["text"]), problem["text"].rpartition(": ")[2].strip("\"'")]
    return any(word and word in line for word in words)


def unit_name(name: str) -> Optional[str]:
    """The full name of the unit that a person means: path and missing suffix resolved; None for what can't be one."""
    name = name.strip()
    if name.startswith("/"):
        name = os.path.basename(name)
    if not _VALID_NAME.match(name) or name.startswith("-"):
        return None
    return name if name.endswith(UNIT_SUFFIXES) else f"{name}.service"


def template_of(name: str) -> Optional[str]:
    """``worker@.service`` for ``worker@3.service``; None for a unit that is no instance."""
    prefix, at, rest = name.partition("@")
    suffix = rest[rest.rfind(".") :] if "." in rest else ""
    return f"{prefix}@{suffix}" if at and rest != suffix else None


def find(name: str) -> tuple[Optional[str], list[str]]:
    """Fragment and drop-in files of a unit on disk, without the manager. A masked unit's fragment is ``/dev/null``."""
    names = [name] + ([str(template_of(name))] if template_of(name) else [])
    fragment = next(
        (path for item in names for path in (f"{folder}/{item}" for folder in SEARCH_PATH) if os.path.lexists(path)),
        None,
    )
    drop_ins: dict[str, str] = {}
    for folder in SEARCH_PATH:
        for item in [*names, "service"]:
            for path in _list(f"{folder}/{item}.d"):
                if path.endswith(".conf"):
                    drop_ins.setdefault(os.path.basename(path), path)
    if fragment and os.path.islink(fragment) and os.path.realpath(fragment) == "/dev/null":
        fragment = "/dev/null"
    return fragment, [drop_ins[key] for key in sorted(drop_ins)]


def read_files(fragment: Optional[str], drop_ins: Sequence[str], ctx: Context) -> list[dict[str, Any]]:
    """The ``files`` of the unit section: text of each file, or why it can't be read."""
    files = []
    paths = ([(fragment, "fragment")] if fragment else []) + [(path, "dropin") for path in drop_ins]
    for path, kind in paths[:MAX_FILES]:
        if path == "/dev/null":
            files.append({"path": path, "kind": kind, "text": "", "error": None})
            continue
        content = ctx.read(path, max_bytes=MAX_FILE_BYTES)
        error = content.error or (f"{path} is cut after {MAX_FILE_BYTES} bytes" if content.truncated else None)
        files.append({"path": path, "kind": kind, "text": content.text, "error": error})
    return files


def expand_specifiers(text: str, name: str) -> str:
    """Resolve ``%`` specifiers for a system unit; unknown ones stay. ``%u`` and ``%h`` are root's, whatever ``User=`` says.

    :param name: the full unit name.
    """
    prefix, at, rest = name.rpartition(".")[0].partition("@")
    instance = rest if at else ""
    table = {
        "n": name, "N": name.rpartition(".")[0], "p": prefix, "P": unescape(prefix), "i": instance, "I": unescape(instance),
        "j": prefix.rpartition("-")[2], "f": "/" + unescape(instance or prefix).lstrip("/"),
        "t": "/run", "S": "/var/lib", "C": "/var/cache", "L": "/var/log", "E": "/etc", "T": "/tmp", "V": "/var/tmp",
        "H": os.uname().nodename, "l": os.uname().nodename.split(".")[0], "v": os.uname().release, "u": "root", "U": "0",
        "g": "root", "G": "0", "h": _home("root"), "s": "/bin/sh", "%": "%",
    }  # fmt: skip
    return re.sub(r"%([A-Za-z%])", lambda match: table.get(match.group(1), match.group(0)), text)


def unescape(text: str) -> str:
    """The reverse of systemd-escape: ``-`` is a slash, ``\\x2d`` a byte."""
    text = re.sub(r"-", "/", text)
    return re.sub(r"\\x([0-9a-fA-F]{2})", lambda match: chr(int(match.group(1), 16)), text)


def _home(user: str) -> str:
    try:
        return pwd.getpwnam(user).pw_dir
    except KeyError:
        return "/root"


def _list(folder: str) -> list[str]:
    try:
        return sorted(f"{folder}/{name}" for name in os.listdir(folder))
    except OSError:
        return []
