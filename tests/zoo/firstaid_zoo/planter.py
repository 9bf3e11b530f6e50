# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planting and cleaning: data in, files and units on the host out."""

from __future__ import annotations

import io
import shlex
import tarfile
from collections.abc import Iterable, Iterator
from typing import Any

from . import wheelhouse
from .catalogue import Fault, fill_in
from .hosts import ZooHost

UNITS = "/etc/systemd/system"
REPAIRS = "/var/lib/firstaid"
# Cleaning removes whole trees: never one of these, nor anything that isn't below one of them.
BELOW = ("/opt/", "/srv/", "/home/", "/etc/", "/var/lib/", "/var/log/", "/var/www/")
NEVER = (
    "/srv/venv",
    "/srv/acme",
    "/home/ops",
    "/etc/systemd",
    "/etc/ssh",
    "/var/lib/systemd",
    "/var/lib/postgresql",
    "/var/lib/redis",
    "/var/log/journal",
)


def plant(host: ZooHost, faults: list[Fault]) -> None:
    """Plant all these faults at once and start their services; those that start late wait for start_late()."""
    if not faults:
        return
    host.run(["sh", "-eu"], _prepare(faults).encode(), timeout_s=180)
    host.run(["tar", "-x", "-C", "/", "--same-owner", "-p", "-f", "-"], _archive(host.short, faults), timeout_s=180)
    lines = [shlex.join(command) for fault in faults for command in fault.before]
    lines.append("systemctl daemon-reload")
    lines += [f"systemctl start --no-block {unit}" for fault in faults for unit in fault.companions]
    lines += [f"systemctl start --no-block {fault.unit_name}" for fault in faults if fault.start == "now"]
    lines += [f"{{ {shlex.join(command)}; }}" for fault in faults for command in fault.after]
    host.run(["sh", "-eu"], "\n".join(lines).encode(), timeout_s=300)


def start_late(host: ZooHost, faults: list[Fault]) -> None:
    """(Re)start the services that have to be young when they are looked at."""
    late = [fault.unit_name for fault in faults if fault.start == "late"]
    if late:
        host.run(["systemctl", "restart", "--no-block", *late])


def clean(host: ZooHost, faults: list[Fault]) -> None:
    """Take everything away again; what isn't there is no failure."""
    if not faults:
        return
    units = [unit for fault in faults for unit in (fault.unit_name, *fault.companions)]
    lines = [
        f"systemctl kill --signal=KILL {shlex.join(units)} 2>/dev/null",
        f"systemctl stop {shlex.join(units)} 2>/dev/null",
    ]
    lines += [f"{{ {shlex.join(command)}; }} 2>/dev/null" for fault in faults for command in fault.undo]
    lines += [f"rm -rf {UNITS}/{unit} {UNITS}/{unit}.d" for unit in units]
    lines += [f"rm -rf {shlex.quote(tree)}" for fault in faults for tree in _trees(fault)]
    # What earlier repairs of it came to would weigh on the next one's.
    lines += [f"rm -rf {REPAIRS}/{unit}" for unit in units]
    lines += ["systemctl daemon-reload", f"systemctl reset-failed {shlex.join(units)} 2>/dev/null"]
    lines += [f"userdel {user} 2>/dev/null" for fault in faults for user in fault.users if user != "acme"]
    # What earlier services of these names said would be read as theirs.
    lines.append("journalctl -q --rotate --vacuum-time=1s >/dev/null 2>&1")
    host.run(["sh"], ("\n".join(lines) + "\ntrue\n").encode(), timeout_s=180)


def _trees(fault: Fault) -> Iterator[str]:
    for tree in fault.trees:
        if not tree.startswith(BELOW) or tree.rstrip("/") in NEVER or ".." in tree:
            raise ValueError(f"{fault.name}: {tree} is not a tree that the zoo may remove")
        yield tree


def _prepare(faults: list[Fault]) -> str:
    """Write the script that makes users and copies of the virtual environment (the launchers name the copy's own Python)."""
    lines = [
        f"id -u {user} >/dev/null 2>&1 || useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin {user}"
        for fault in faults
        for user in fault.users
    ]
    for fault in faults:
        for target, wanted in fault.venvs.items():
            source, only = (wanted["from"], wanted["only"]) if isinstance(wanted, dict) else (wanted, [])
            lines += [
                _copy(source, target, only),
                f"grep -lIs '^#!{source}/' {target}/bin/* | xargs -r sed -i '1s|^#!{source}/|#!{target}/|'",
            ]
    return "\n".join(lines) + "\n"


def _copy(source: str, target: str, only: list[str]) -> str:
    """Copy an environment; of its packages only these distributions, when any are named, and what it takes to install others."""
    if not only:
        return f"mkdir -p {target} && cp -a {source}/. {target}/"
    names = [*only, "pip", "setuptools", "pkg_resources", "_distutils_hack"]
    patterns = " ".join(f"{name} {name}.py {name}-*.dist-info" for name in names)
    return (
        f"for packages in {source}/lib/python3*/site-packages; do there={target}${{packages#{source}}}; "
        f'mkdir -p "$there" && cp -a {source}/bin {source}/pyvenv.cfg {target}/ && cd "$packages" && '
        f'for name in {patterns}; do test ! -e "$name" || cp -a "$name" "$there/"; done; done; cd /'
    )


def _archive(host: str, faults: list[Fault]) -> bytes:
    """Pack everything that has to lie on the host; tar takes owners by name."""
    buffer = io.BytesIO()
    made: set[str] = set()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for fault in faults:
            for path, facts in fault.dirs.items():
                _add(archive, path, tarfile.DIRTYPE, facts, mode="0755")
                made.add(path)
            for folder, wheels in fault.wheels.items():
                for name, facts in wheels.items():
                    file, content = wheelhouse.build(name, facts["files"], tuple(facts.get("requires", ())))
                    for parent in _new_parents(f"{folder}/{file}", made):
                        _add(archive, parent, tarfile.DIRTYPE, {}, mode="0755")
                    _add(archive, f"{folder}/{file}", tarfile.REGTYPE, {}, mode="0644", content=content)
            for path, facts in fault.files.items():
                place = fill_in(path, host)
                for parent in _new_parents(place, made):
                    _add(archive, parent, tarfile.DIRTYPE, {}, mode="0755")
                text = wheelhouse.fill_in(fill_in(facts["text"], host), fault.wheels) * int(facts.get("repeat", 1))
                content = text.encode(facts.get("encoding", "utf-8"))
                _add(archive, place, tarfile.REGTYPE, facts, mode="0644", content=content)
            for path, target in fault.links.items():
                _add(archive, fill_in(path, host), tarfile.SYMTYPE, {}, mode="0777", target=target)
            for name, text in _unit_files(fault):
                _add(archive, name, tarfile.REGTYPE, {}, mode="0644", content=fill_in(text, host).encode())
    return buffer.getvalue()


def _unit_files(fault: Fault) -> Iterable[tuple[str, str]]:
    # Nothing is enabled: a fault that survives a restart of its host would meet the next run.
    yield f"{UNITS}/{fault.unit_name}", fault.unit
    yield from ((f"{UNITS}/{fault.unit_name}.d/{name}", text) for name, text in fault.dropins.items())
    yield from ((f"{UNITS}/{name}", text) for name, text in fault.companions.items())


def _new_parents(path: str, made: set[str]) -> list[str]:
    parts = path.strip("/").split("/")[:-1]
    parents = ["/" + "/".join(parts[:count]) for count in range(3, len(parts) + 1)]
    fresh = [parent for parent in parents if parent not in made]
    made.update(fresh)
    return fresh


def _add(
    archive: tarfile.TarFile,
    path: str,
    kind: bytes,
    facts: dict[str, Any],
    *,
    mode: str,
    content: bytes = b"",
    target: str = "",
) -> None:
    member = tarfile.TarInfo(path.lstrip("/"))
    member.type = kind
    member.mode = int(str(facts.get("mode", mode)), 8)
    member.uname, _, member.gname = str(facts.get("owner", "root:root")).partition(":")
    member.linkname = target
    member.size = len(content)
    # A time in the past: a file that is written during the diagnosis stands out.
    member.mtime = 1_760_000_000
    archive.addfile(member, io.BytesIO(content) if kind == tarfile.REGTYPE else None)
