# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend's own environment: whether packages may be installed there, as whom, and who else uses it."""

from __future__ import annotations

import configparser
import glob
import os
import pwd
import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Optional

from ..._evidence import proc
from ..._evidence.model import Backend
from ..._evidence.systemd_environment import all_groups
from ..model import Host, Refused
from ..packages_install import Environment, why_not_as_root

_NETWORK = ("http_proxy", "https_proxy", "no_proxy", "all_proxy", "ssl_cert_file", "ssl_cert_dir", "requests_ca_bundle")
_INDEXES = (
    "PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST PIP_CERT PIP_CLIENT_CERT PIP_PROXY PIP_CONFIG_FILE PIP_FIND_LINKS PIP_NO_INDEX"
    " PIP_TIMEOUT PIP_DEFAULT_TIMEOUT PIP_RETRIES UV_INDEX UV_DEFAULT_INDEX UV_INDEX_URL UV_EXTRA_INDEX_URL UV_FIND_LINKS UV_NO_INDEX"
    " UV_CONFIG_FILE UV_NATIVE_TLS UV_SYSTEM_CERTS UV_INSECURE_HOST"
).split()
_UNIT_DIRECTORIES = ("/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
MAX_UNITS = 1500


def environment_of(host: Host) -> Environment:
    """The environment that the backend's interpreter belongs to.

    :raises Refused: it has none of its own, or nobody may safely install there.
    """
    backend, facts = host.backend, host.backend.interpreter
    python = backend.python
    if not python:
        raise Refused(
            "The backend's interpreter was not found, so there is nothing to install into: set backend_python."
        )
    if facts.get("runs") is not True:
        raise Refused(
            f"{python} does not start ({facts.get('error') or 'it was not tried'}): repair the environment first.",
            [f"{python} --version"],
        )
    prefix = (facts.get("venv") or {}).get("path") or facts.get("prefix") or os.path.dirname(os.path.dirname(python))
    real = os.path.realpath(prefix)
    sites = tuple(
        item["path"]
        for item in facts.get("site_packages", [])
        if item["used"] and item["exists"] and os.path.realpath(item["path"]).startswith(f"{real}/")
    )
    _refuse_foreign(backend, facts, prefix, bool(host.options.get("allow_shared")))
    if not sites:
        raise Refused(
            f"{prefix} has no site-packages for Python {facts.get('version')}: make the environment anew.",
            [f"{facts.get('real_python') or 'python3'} -m venv --upgrade {shlex.quote(prefix)}"],
        )
    owner = os.stat(sites[0])
    groups, home = _account(owner.st_uid, owner.st_gid)
    environment = Environment(
        python, prefix, sites, str(facts.get("version") or "3"), str(facts.get("kind") or "other"),
        owner.st_uid, owner.st_gid, groups, home, str(facts.get("base_prefix") or ""), network_settings(backend, os.environ),
    )  # fmt: skip
    if host.ctx.euid not in (0, owner.st_uid):
        raise Refused(f"{prefix} belongs to {proc.user_name(owner.st_uid) or owner.st_uid}: run this with become.")
    unsafe = why_not_as_root(environment, host.ctx) or _foreign_files(environment, host.ctx.euid)
    if unsafe:
        name = backend.user or "the backend's user"
        raise Refused(
            f"{unsafe}: give the environment to one owner.",
            [f"chown -R root:root {shlex.quote(prefix)}", f"# or: chown -R {name}: {shlex.quote(prefix)}"],
        )
    return environment


def as_options(environment: Environment) -> dict[str, Any]:
    """The fields, for a change's options."""
    return asdict(environment)


def _refuse_foreign(backend: Backend, facts: Mapping[str, Any], prefix: str, allow_shared: bool) -> None:
    """The system's Python and others that belong to nobody's application."""
    kind = facts.get("kind")
    if kind in ("venv", "conda"):
        return
    stdlib = [path for path in facts.get("stdlib", []) if os.path.isfile(os.path.join(path, "os.py"))]
    marked = any(os.path.exists(os.path.join(path, "EXTERNALLY-MANAGED")) for path in stdlib)
    real = str(facts.get("real_python") or backend.python)
    code = backend.app.code_dir or backend.cwd or "/srv/app"
    commands = [f"{real} -m venv {shlex.quote(os.path.join(code, '.venv'))}"]
    if marked or (kind == "system" and not real.startswith("/usr/local/")):
        why = "is marked as externally managed" if marked else "belongs to the operating system"
        raise Refused(
            f"The backend runs with {real}, which {why}: give the backend an environment of its own, or the distribution's package.",
            commands,
        )
    if not allow_shared:
        raise Refused(
            f"The backend runs with {real} in {prefix}, which may serve others: give the backend its own, or set dependencies_allow_shared.",
            commands,
        )


def _account(uid: int, gid: int) -> tuple[tuple[int, ...], str]:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return (), "/nonexistent"
    return tuple(all_groups(entry, gid)), entry.pw_dir


def network_settings(backend: Backend, session: Mapping[str, str]) -> dict[str, str]:
    """Proxies, certificates and indexes: of this session, of /etc/environment, and of the backend, the last one wins."""
    result: dict[str, str] = {}
    general: dict[str, str] = {}
    try:
        with open("/etc/environment", encoding="utf-8", errors="replace") as stream:
            general = parse_environment(stream.read(64 * 1024))
    except OSError:
        pass
    for source in (session, general, backend.environ):
        for name, value in source.items():
            if name.lower() in _NETWORK or name in _INDEXES:
                result[name] = value
    return result


def parse_environment(text: str) -> dict[str, str]:
    """/etc/environment: pairs with optional ``export`` and quotes, as PAM reads them."""
    result = {}
    for line in text.splitlines():
        match = re.match(r"\s*(?:export\s+)?([A-Za-z_]\w*)=(.*)\Z", line)
        if match:
            value = match.group(2).strip()
            result[match.group(1)] = value[1:-1] if value[:1] in ("'", '"') and value[-1:] == value[:1] else value
    return result


def _foreign_files(environment: Environment, euid: int) -> Optional[str]:
    """A sentence when root's environment holds files that others can change: pip as root would run them."""
    if environment.uid != 0 or euid != 0:
        return None
    for site in environment.sites:
        for top, names, files in os.walk(site):
            for name in [*names, *files]:
                path = os.path.join(top, name)
                try:
                    status = os.lstat(path)
                except OSError:
                    continue
                writable = status.st_mode & 0o002 or (status.st_mode & 0o020 and status.st_gid != 0)
                link = status.st_mode & 0o170000 == 0o120000
                if status.st_uid != 0 or (writable and not link):
                    return f"{site} belongs to root, but {path} can be changed by others"
    return None


def other_users(host: Host, prefix: str) -> list[str]:
    """Units of other applications that use this environment, by their files and by what runs now; sorted."""
    backend = host.backend
    stem = backend.name[: -len(".service")] if backend.name.endswith(".service") else backend.name
    marks = tuple({f"{place}/bin/" for place in (prefix, os.path.realpath(prefix))})
    texts: dict[str, str] = {}
    for path in _unit_files():
        texts.setdefault(os.path.basename(path), _read(path))
    found = {name for name, text in texts.items() if any(mark in text for mark in marks)}
    stats = proc.scan()
    for pid in set(stats) - proc.own_pids(backend, stats):
        words = (proc.slurp(f"/proc/{pid}/cmdline") or "").split("\0")
        if any(word.startswith(marks) for word in words[:2]):
            unit = proc.unit_of(proc.parse_cgroup(proc.slurp(f"/proc/{pid}/cgroup") or ""))
            found |= {unit} if unit and unit.endswith(".service") else set()
    own = (f"{stem}.service", f"{stem}@.service")
    return sorted(name for name in found if name not in own and not _same_application(texts.get(name, ""), backend))


def _unit_files() -> list[str]:
    paths = [path for top in _UNIT_DIRECTORIES for path in glob.glob(f"{top}/*.service")]
    return paths[:MAX_UNITS]


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read(64 * 1024)
    except OSError:
        return ""


def _same_application(text: str, backend: Backend) -> bool:
    """A worker beside a web process: the same code by the same user shares its packages on purpose."""
    parser = configparser.RawConfigParser(
        strict=False, delimiters=("=",), comment_prefixes=("#", ";"), interpolation=None
    )
    try:
        parser.read_string(text)
    except configparser.Error:
        return False
    directory = parser.get("Service", "WorkingDirectory", fallback="").lstrip("-").rstrip("/")
    mine = {(place or "").rstrip("/") for place in (backend.cwd, backend.app.code_dir)} - {"", "/"}
    return directory in mine
