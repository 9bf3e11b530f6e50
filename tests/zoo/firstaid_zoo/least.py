# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same faults, looked at with every privilege that docs/least-privilege.md names, and compared.

Writes .build/zoo/least-results.json: rank → fault → what was answered, and what could not be seen; and what became of repairs.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from firstaid_hosts import access, containers

from . import diagnose, run, snapshot
from .catalogue import Fault
from .hosts import ZooHost

PREFIX = "firstaid-least"
WORK = diagnose.STATE / "least"
RESULTS = diagnose.STATE / "least-results.json"
GUIDE = diagnose.ROOT / "docs" / "least-privilege.md"
FIX = diagnose.ROOT / "playbooks" / "fix-backend-crash.yml"
# Faults of many kinds, each under a user of its own.
FAULTS = (
    "env-file-missing",
    "symlink-dangling-package",
    "dependency-missing-declared",
    "settings-variable-missing",
    "syntax-error",
    "working-directory-missing",
    "port-held-by-own-leftover",
    "interpreter-venv-dangling",
    "memory-max",
    "database-refused",
)
# Above this an answer is taken for certain by those who read it.
SURE = 0.8


@dataclass(frozen=True)
class Rank:
    """One way to look: the login, its groups, its sudo rule as it stands in the guide (by the heading above it)."""

    login: str
    groups: tuple[str, ...] = ()
    rule: str = ""
    become_user: str = ""
    flags: str = ""
    vars: dict[str, Any] = field(default_factory=dict)


RANKS = {
    "root": Rank("fa-root", rule="root", become_user="root"),
    "service user and journal": Rank(
        "fa-mate", rule="service user", become_user="@", flags="-H -S -n -g systemd-journal"
    ),
    "journal": Rank("fa-reader", groups=("systemd-journal",)),
    "nothing": Rank("fa-nobody"),
}


def everything(placed: run.Placed, *, keep: bool) -> int:
    """Plant, make the logins, look with each, compare, clean; 1 when an answer misleads or something changed."""
    cold = run.plant(placed)
    try:
        for host, faults in placed.items():
            prepare(host, faults)
        return max(cold, compared(placed))
    finally:
        if not keep:
            run.clean(placed)


def rules() -> dict[str, str]:
    """The sudo rules of the guide, by the name in the comment of their first line."""
    blocks = re.findall(r"```sudoers\n# ([^\n]+)\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    return {name.strip(): text for name, text in blocks}


def prepare(host: ZooHost, faults: Iterable[Fault]) -> None:
    """Make the logins and put the guide's rules in place, as they are written there."""
    users = sorted({fault.users[0] for fault in faults if fault.users})
    written = rules()
    lines = ["set -eu"]
    for rank in RANKS.values():
        home = f"/home/{rank.login}"
        lines += [
            f"id -u {rank.login} >/dev/null 2>&1 || useradd -m -s /bin/bash {rank.login}",
            *(f"usermod -aG {group} {rank.login}" for group in rank.groups),
            f"install -d -m 0700 -o {rank.login} -g {rank.login} {home}/.ssh",
            f"install -m 0600 -o {rank.login} -g {rank.login} /home/ops/.ssh/authorized_keys {home}/.ssh/authorized_keys",
        ]
        if rank.rule:
            text = written[rank.rule].replace("diagnose", rank.login).replace("acme,billing", ",".join(users))
            lines += [
                f"printf %s {shlex.quote(text)} > /etc/sudoers.d/{rank.login}.new",
                f"chmod 0440 /etc/sudoers.d/{rank.login}.new && visudo -cqf /etc/sudoers.d/{rank.login}.new",
                f"mv /etc/sudoers.d/{rank.login}.new /etc/sudoers.d/{rank.login}",
            ]
    host.run(["sh"], "\n".join(lines).encode())


def compared(placed: run.Placed) -> int:
    """Look with each rank between two snapshots, print the table, and write it down."""
    WORK.mkdir(parents=True, exist_ok=True)
    faults = {diagnose.alias(fault, host): fault for host, own in placed.items() for fault in own}
    found: dict[str, dict[str, Any]] = {}
    changes: list[str] = []
    for name, rank in RANKS.items():
        before = {host: snapshot.take(host, own) for host, own in placed.items()}
        bundle = look(name, rank, placed)
        for host, own in placed.items():
            changes += [f"{name}: {line}" for line in snapshot.compare(before[host], snapshot.take(host, own), own)]
        found[name] = {alias: answer(bundle, alias, fault) for alias, fault in faults.items()}
    wrong = []
    print(f"{'fault':34}" + "".join(f"{name:34}" for name in RANKS))
    for alias, fault in faults.items():
        cells = [found[name][alias] for name in RANKS]
        print(f"{alias:34}" + "".join(f"{cell['cause']} {cell['confidence']:.2f}".ljust(34) for cell in cells))
        for name, cell in zip(RANKS, cells, strict=True):
            right = fault.expect.right(cell["cause"]) or cell["cause"] in fault.expect.contributing
            if not right and cell["confidence"] >= SURE:
                wrong.append(f"{name}: {alias} is {cell['cause']} with {cell['confidence']:.2f}")
            if name != "root" and not cell["not_seen"]:
                wrong.append(f"{name}: {alias} does not say what could not be seen")
    for line in [*wrong, *changes]:
        print(f"WRONG: {line}")
    right = {
        name: sum(fault.expect.right(found[name][alias]["cause"]) for alias, fault in faults.items()) for name in RANKS
    }
    print(f"faults {len(faults)}, right: " + ", ".join(f"{name} {count}" for name, count in right.items()))
    refused, repaired = repairs(placed)
    told = {
        "found": found,
        "right": right,
        "wrong": wrong,
        "changes": changes,
        "repairs": refused,
        "repaired": repaired,
    }
    RESULTS.write_text(json.dumps(told, indent=1))
    touched = any(one["changed"] for one in refused.values())
    return 1 if wrong or changes or touched or set(repaired.values()) != {"healed"} else 0


def repairs(placed: run.Placed) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """What a repair says and changes without root, by rank; and the verdicts of the repairs with the rule for root."""
    healable = {
        diagnose.alias(fault, host): (host, fault)
        for host, faults in placed.items()
        for fault in faults
        if fault.repair and fault.repair.expected == "healed"
    }
    first = next(iter(healable))
    host, _fault = healable[first]
    refused = {}
    for name, rank in RANKS.items():
        if name == "root":
            continue
        before = snapshot.take(host, placed[host])
        output = _folder(f"repair-{name}")
        play(FIX, inventory(name, rank, placed), output, ["--limit", first])
        changed = snapshot.compare(before, snapshot.take(host, placed[host]), placed[host])
        verdict = _verdicts(output).get(first, {})
        refused[name] = {"changed": changed, "said": verdict.get("reason") or "", "verdict": verdict.get("verdict")}
        print(f"repair as {name}: {verdict.get('verdict')}: {verdict.get('reason')} {changed or ''}")
    output = _folder("repair-root")
    play(FIX, inventory("root", RANKS["root"], placed), output, ["-f", "3", "--limit", ",".join(healable)])
    verdicts = {alias: str(_verdicts(output).get(alias, {}).get("verdict")) for alias in healable}
    print(f"repairs as root: {verdicts}")
    return refused, verdicts


def _folder(name: str) -> Path:
    output = WORK / name.replace(" ", "-")
    output.mkdir(parents=True, exist_ok=True)
    output.chmod(0o700)
    return output


def _verdicts(output: Path) -> dict[str, dict[str, Any]]:
    bundles = sorted(output.glob("backend-diagnostics-*"))
    found = sorted(bundles[-1].rglob("repair.json")) if bundles else []
    return {path.parent.parent.name: json.loads(path.read_text()) for path in found}


def inventory(name: str, rank: Rank, placed: run.Placed) -> Path:
    """Write an inventory in which one rank looks at every fault."""
    base = yaml.safe_load(access.HEAD.format(key=access.KEY))["all"]["vars"]
    base.update(ansible_user=rank.login, backend_become=bool(rank.become_user), ansible_become=bool(rank.become_user))
    if rank.flags:
        base["ansible_become_flags"] = rank.flags
    hosts = {}
    for host, faults in placed.items():
        for fault in faults:
            user = (fault.users[0] if fault.users else "acme") if rank.become_user == "@" else rank.become_user
            hosts[diagnose.alias(fault, host)] = {
                "ansible_host": containers.address(host.container),
                "backend_service": fault.service,
                **(fault.repair.vars if fault.repair else {}),
                **({"ansible_become_user": user} if user else {}),
            }
    path = WORK / f"{name.replace(' ', '-')}.yml"
    path.write_text(yaml.safe_dump({"all": {"vars": base, "children": {diagnose.BY_NAME: {"hosts": hosts}}}}))
    return path


def look(name: str, rank: Rank, placed: run.Placed) -> Path:
    """Diagnose all faults with a rank, and return the bundle."""
    output = _folder(name)
    play(diagnose.PLAYBOOK, inventory(name, rank, placed), output, ["-f", "2"])
    return sorted(output.glob("backend-diagnostics-*"))[-1]


def play(playbook: Path, hosts: Path, output: Path, more: Iterable[str] = ()) -> str:
    """Run a playbook as a user would; return what it printed."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(hosts), str(playbook),
         "-e", f"backend_hosts={diagnose.BY_NAME}", "-e", f"backend_output_dir={output}", "-e", "backend_budget=60", *more],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", cwd=diagnose.ROOT, check=False, timeout=1200,
        env={**os.environ, "ANSIBLE_HOST_KEY_CHECKING": "false", "ANSIBLE_FORCE_COLOR": "false", "ANSIBLE_TIMEOUT": "60"},
    )  # fmt: skip
    (output / "console").write_text(done.stdout + done.stderr)
    return done.stdout + done.stderr


def answer(bundle: Path, alias: str, fault: Fault) -> dict[str, Any]:
    """What was said about one fault."""
    folders = [path for path in (bundle / alias / fault.service, bundle / alias / fault.unit_name) if path.is_dir()]
    if not folders:
        return {"cause": "none", "confidence": 0.0, "not_seen": [], "import_test": None}
    diagnosis = json.loads((folders[0] / "diagnosis.json").read_text())
    evidence = json.loads((folders[0] / "evidence.json").read_text())
    root = diagnosis.get("root_cause") or {}
    return {
        "cause": str(root.get("id", "unknown")),
        "confidence": float(root.get("confidence") or 0.0),
        "not_seen": evidence["target"].get("missing_privileges") or [],
        "import_test": (evidence.get("import_test") or {}).get("outcome"),
        "euid": evidence["target"].get("euid"),
    }
