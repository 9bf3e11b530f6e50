#!/usr/bin/env python3
# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Record crash loops of real systemd units on the test hosts (tests/hosts/up) into units.jsonl.

Usage: record_units.py [--only ID …] [--show]

A recipe of units/units.yml names the host (d11, d12, d13), the unit's directives, and files below /srv/<name>; `links`,
`env_file` (its content, written to .env), `mode` of the files, `before` (a shell line that runs meanwhile), `then` (a
shell line run a second after the start, in which {unit} is the unit) and `wait` (seconds) are optional. Units carry a
prefix on the host and are removed afterwards; in the record they don't. The hosts are the containers firstaid-d11 …;
CORPUS_HOSTS=firstaid-corpus- names others.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OUT = HERE / "units.jsonl"
PREFIX = "corpusrec-"
HOSTS = os.environ.get("CORPUS_HOSTS", "firstaid-")
SHOWN = ("Result", "ExecMainStatus", "ExecMainCode", "NRestarts", "ActiveState", "SubState")


def environment() -> dict[str, str]:
    """The shell environment, with the engine that tests/hosts/up started."""
    env = dict(os.environ)
    engine = ROOT / ".build/hosts/engine.env"
    if engine.exists():
        found = re.search(r"DOCKER_HOST=(\S+)", engine.read_text(encoding="utf-8"))
        if found:
            env["DOCKER_HOST"] = found[1]
    return env


def on_host(host: str, script: str, timeout: int = 90) -> str:
    """Run a script on a test host and return what it printed. :raises RuntimeError: when it ended with an error."""
    done = subprocess.run(
        ["docker", "exec", "-i", f"{HOSTS}{host}", "bash", "-s"], input=script, capture_output=True, text=True,
        timeout=timeout, env=environment(), check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{host}: {done.stderr[-400:]}")
    return done.stdout


def script_for(recipe: dict[str, Any], app: str) -> str:
    """Plant, start, wait, print journal and state, remove."""
    unit = f"{PREFIX}{recipe['name']}.service"
    lines = ["set -e", f"rm -rf {app}; mkdir -p {app}"]
    files = dict(recipe.get("files") or {})
    if "env_file" in recipe:
        files[".env"] = recipe["env_file"]
    for path, content in files.items():
        full = f"{app}/{path}"
        lines.append(
            f"mkdir -p $(dirname {full}); printf %s {shlex.quote(content)} > {full}; chmod {recipe.get('mode', '644')} {full}"
        )
    for path, target in (recipe.get("links") or {}).items():
        lines.append(f"ln -s {target} {app}/{path}")
    directives = "\n".join(f"{name}={value}" for name, value in recipe["unit"].items())
    text = f"[Unit]\nDescription={recipe['name'].title()} service\n[Service]\n{directives}\n".replace("{app}", app)
    lines.append(f"cat > /run/systemd/system/{unit} <<'UNIT'\n{text}UNIT")
    lines.append("systemctl daemon-reload")
    if recipe.get("before"):
        lines.append(
            f"( cd /tmp; timeout 60 {recipe['before']} >/dev/null 2>&1 </dev/null & echo $! > /run/{unit}.pid ); sleep 1"
        )
    lines += [
        "since=$(date +%s)",
        f"systemctl start --no-block {unit} || true",
        f"sleep 1; {recipe['then'].replace('{unit}', unit)}" if recipe.get("then") else ":",
        f"sleep {recipe.get('wait', 4)}",
        f"journalctl -u {unit} --since=@$since --no-pager -o short | grep -v '^-- '  || true",
        "echo ====",
        f"systemctl show {unit} " + " ".join(f"-p {name}" for name in SHOWN),
        f"systemctl stop {unit} 2>/dev/null || true; systemctl reset-failed {unit} 2>/dev/null || true",
        f"rm -f /run/systemd/system/{unit}; systemctl daemon-reload; rm -rf {app}",
        f"[ -e /run/{unit}.pid ] && kill $(cat /run/{unit}.pid) || true; rm -f /run/{unit}.pid",
    ]
    return "\n".join(lines) + "\n"


def record(recipe: dict[str, Any]) -> dict[str, Any]:
    """One case."""
    app = f"/srv/{recipe['name']}"
    log, _separator, state = on_host(recipe["host"], script_for(recipe, app)).rpartition("====\n")
    shown = dict(line.split("=", 1) for line in state.splitlines() if "=" in line)
    lines = log.replace(PREFIX, "").replace(f"{HOSTS}{recipe['host']}", "web-1").rstrip("\n").split("\n")
    lines = [re.sub(r"^(\S+ +\d+ [\d:]+) \S+ ", r"\1 web-1 ", line) for line in lines]
    if len(lines) > 80:
        lines = lines[:20] + lines[-60:]
    directives = {name: str(value).replace("{app}", app) for name, value in recipe["unit"].items()}
    facts: dict[str, Any] = {
        "unit": directives,
        "command": directives["ExecStart"],
        "restarts": int(shown.get("NRestarts") or 0),
    }
    facts.update(json.loads(json.dumps(recipe.get("facts") or {}).replace("{app}", app)))
    if shown.get("ActiveState") == "active" and shown.get("SubState") == "running" and facts["restarts"] == 0:
        facts["running"] = True
    else:
        if shown.get("Result") != "success":  # while systemd waits for the next start it says success
            facts["result"] = shown.get("Result")
        status = int(shown.get("ExecMainStatus") or 0)
        if shown.get("ExecMainCode") == "2" or shown.get("ExecMainCode") == "3":
            facts["signal"] = {9: "SIGKILL", 11: "SIGSEGV", 6: "SIGABRT", 15: "SIGTERM"}.get(status, str(status))
        elif shown.get("ExecMainCode") == "1":
            facts["exit_code"] = status
    versions = {"d11": "systemd 247", "d12": "systemd 252", "d13": "systemd 257"}
    return {
        "id": recipe["id"], "label": recipe["label"], "secondary": recipe.get("secondary", []), "log": "\n".join(lines),
        "facts": facts, "framework": f"systemd unit, {versions[recipe['host']]}", "source": "recorded: journalctl of a real unit",
        "adversarial": recipe.get("adversarial", []), "confidence": recipe.get("confidence", "high"),
    }  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Record and write; what can't be recorded keeps its old record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args(argv)
    recipes = yaml.safe_load((HERE / "units/units.yml").read_text(encoding="utf-8"))
    known = {}
    if OUT.exists():
        known = {case["id"]: case for case in map(json.loads, OUT.read_text(encoding="utf-8").splitlines())}
    failed = 0
    for recipe in recipes:
        if options.only and recipe["id"] not in options.only:
            continue
        try:
            known[recipe["id"]] = case = record(recipe)
        except (RuntimeError, subprocess.SubprocessError, KeyError) as error:
            failed += 1
            print(f"{recipe['id']}: not recorded: {error}", file=sys.stderr)
            continue
        seen = {key: case["facts"].get(key) for key in ("result", "exit_code", "signal", "restarts", "running")}
        print(f"{recipe['id']:30} {case['log'].count(chr(10)) + 1:3} lines  {seen}")
        if options.show:
            print(case["log"] + "\n")
        OUT.write_text(
            "".join(json.dumps(known[r["id"]], ensure_ascii=False) + "\n" for r in recipes if r["id"] in known),
            encoding="utf-8",
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
