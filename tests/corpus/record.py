#!/usr/bin/env python3
# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Record crashes of real software, one fault a recipe, into a corpus.

Usage (as root, Linux): record.py [--only ID …] [--out recorded.jsonl] [--list]

A recipe (recipes/*.yml, a list of maps) has the keys of a case (id, label, secondary, framework, adversarial, facts)
and says how to make it:
  env         the virtual environment of recipes/environments.yml; {venv} in texts is its path
  app         where the files go and the command runs; default /srv/<last part of the id>
  files       path below app -> content; links: path -> target
  setup       shell lines run first, quietly
  inside      shell lines run in the case's own mount, process and network namespaces (mount -t tmpfs …)
  background  shell lines started first and stopped at the end; the recorder waits until `ready` (a shell line) succeeds
  command     what is recorded, both streams as one
  variables   its environment, besides PATH and LANG
  drop        capabilities taken away, e.g. net_bind_service, or dac_override,dac_read_search to obey file modes
  netns       false keeps the host's network; shell: true runs the command below a shell that stays
  seconds     longest time; what still runs then is cut off without a last word, and counts as running
  during      shell lines run after `after` seconds, while it runs
  restarts    run it this many times into one log, as a supervisor would
  style       prefix added to every line afterwards: journal, compose, k8s, docker, heroku
  keep        lines kept of a long log: the first and last of this many (default 80)
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
VENVS = Path("/srv/venvs")
FACT_KEYS = ("id", "label", "secondary", "framework", "adversarial")


def python_of(version: str) -> str:
    """An interpreter whose version begins so. :raises SystemExit: when this machine has none."""
    candidates = [
        shutil.which(f"python{version}") or "",
        *map(str, sorted(Path.home().glob(f".pyenv/versions/{version}*/bin/python"))),
    ]
    for candidate in reversed(candidates):
        if (
            candidate
            and subprocess.run([candidate, "-c", "import venv"], capture_output=True, check=False).returncode == 0
        ):
            return candidate
    raise SystemExit(f"no Python {version} on this machine")


def make_environment(name: str, wanted: dict[str, Any]) -> Path:
    """The environment, made when it isn't there."""
    venv = VENVS / name
    if not (venv / "bin" / "pip").exists():
        subprocess.run([python_of(wanted["python"]), "-m", "venv", str(venv)], check=True)
    if not (venv / ".complete").exists():
        subprocess.run([str(venv / "bin/pip"), "install", "-q", *wanted["packages"]], check=True)
        if wanted.get("afterwards"):
            subprocess.run([str(venv / "bin/pip"), "install", "-q", "--no-deps", *wanted["afterwards"]], check=True)
        (venv / ".complete").touch()
    return venv


def recipes() -> list[dict[str, Any]]:
    """All recipes, in the order of the files."""
    found: list[dict[str, Any]] = []
    for path in sorted((HERE / "recipes").glob("*.yml")):
        if path.name != "environments.yml":
            found.extend(yaml.safe_load(path.read_text(encoding="utf-8")) or [])
    ids = [recipe["id"] for recipe in found]
    doubled = {name for name in ids if ids.count(name) > 1}
    if doubled:
        raise SystemExit(f"ids given twice: {', '.join(sorted(doubled))}")
    return found


def shell(lines: list[str], cwd: Path, env: dict[str, str]) -> None:
    """Run preparing lines; one that fails ends the recording of this case."""
    for line in lines:
        done = subprocess.run(
            ["bash", "-c", line], cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{line!r} ended with {done.returncode}: {done.stderr[-300:]}")


def record(recipe: dict[str, Any], venvs: dict[str, Path]) -> dict[str, Any]:
    """Make one case."""
    venv = venvs.get(recipe.get("env", ""))
    app = Path(recipe.get("app") or f"/srv/{recipe['id'].rsplit('-', 1)[-1]}")

    def filled(text: str) -> str:
        return (
            text.replace("{venv}", str(venv or ""))
            .replace("{app}", str(app))
            .replace("{recipes}", str(HERE / "recipes"))
        )

    # venvs stay where they are; everything else below /srv belongs to the case
    if app.exists():
        shutil.rmtree(app)
    app.mkdir(parents=True)
    for path, content in (recipe.get("files") or {}).items():
        file = app / path if not path.startswith("/") else Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else filled(content).encode())
    for path, target in (recipe.get("links") or {}).items():
        (app / path).parent.mkdir(parents=True, exist_ok=True)
        (app / path).symlink_to(filled(target))
    path = f"{venv}/bin:" if venv else ""
    env = {
        "PATH": f"{path}/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "LANG": "C.UTF-8",
        "HOME": str(app),
        "PYTHONUNBUFFERED": "1",
    }
    env.update({name: filled(str(value)) for name, value in (recipe.get("variables") or {}).items()})
    cwd = app / recipe.get("cwd", ".")
    script = [f"ip link set lo up 2>/dev/null; cd {cwd}"]
    shell([filled(line) for line in recipe.get("setup") or []], app, env)
    with tempfile.NamedTemporaryFile("w+b", suffix=".log") as log:
        code, running, term = run(recipe, filled, script, env, cwd, log.name)
        log.seek(0)
        text = log.read().decode("utf-8", "replace")
    case = finish(recipe, normalised(text), code, running, term)
    shutil.rmtree(app, ignore_errors=True)
    return case


def run(
    recipe: dict[str, Any], filled: Callable[[str], str], script: list[str], env: dict[str, str], cwd: Path, log: str
) -> tuple[int | None, bool, str | None]:
    """Run the recipe's command (and what it needs) in namespaces of its own. Returns exit code, running, signal."""
    script += [f"{filled(line)} >/dev/null 2>&1" for line in recipe.get("inside") or []]
    for line in recipe.get("background") or []:
        script.append(f"( {filled(line)} ) >/dev/null 2>&1 &")
    if recipe.get("ready"):
        script.append(f"for i in $(seq 200); do {filled(recipe['ready'])} >/dev/null 2>&1 && break; sleep 0.1; done")
    for index, line in enumerate(recipe.get("during") or []):
        script.append(f"( sleep {recipe.get('after', 2) + index * 0.3}; {filled(line)} ) >/dev/null 2>&1 &")
    command = filled(recipe["command"])
    command = f"bash -c {shquote(command if recipe.get('shell') else 'exec ' + command)}"
    if recipe.get("drop"):
        names = ",".join(f"-{name.strip()}" for name in recipe["drop"].split(","))
        command = f"setpriv --bounding-set={names} --inh-caps=-all {command}"
    seconds = recipe.get("seconds", 12)
    once = f"timeout --foreground -s KILL {seconds} {command} >>{log} 2>&1 </dev/null; code=$?"
    script += [once] * int(recipe.get("restarts", 1))
    script.append(f"echo $code > {log}.code")
    space = ["unshare", "-m", "-p", "-f", "--mount-proc", "--kill-child"] + (
        ["-n"] if recipe.get("netns", True) else []
    )
    child = subprocess.Popen(
        [*space, "bash", "-c", "\n".join(script)], cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        child.wait(timeout=(seconds + 4) * int(recipe.get("restarts", 1)) + 30)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    codes = Path(f"{log}.code")
    code = int(codes.read_text().strip() or 0) if codes.exists() else None
    codes.unlink(missing_ok=True)
    if code == 137:
        return None, True, None
    if code is not None and 128 < code < 160:
        return code, False, signal.Signals(code - 128).name
    return code, False, None


def program_of(command: str) -> str:
    """What journald would call the process."""
    return Path(command.rpartition("exec ")[2].split()[0]).name


def shquote(text: str) -> str:
    """Single quotes for the shell."""
    return "'" + text.replace("'", "'\\''") + "'"


def normalised(text: str) -> str:
    """Paths of the recording machine's interpreters become those of any other."""
    text = re.sub(r"/\S*?/\.pyenv/versions/[\d.]+/", "/usr/local/", text)
    return text.replace(os.uname().nodename, "web-1")


def styled(text: str, style: str | None, unit: str, seed: str) -> str:
    """The log as a transport would show it; times count up from a moment that depends on the case alone."""
    if not style:
        return text
    moment = 1_790_000_000 + int(hashlib.sha256(seed.encode()).hexdigest()[:6], 16)
    pid = moment % 60_000 + 900
    lines = []
    for number, line in enumerate(text.split("\n")):
        now = time.gmtime(moment + number // 40)
        iso = time.strftime("%Y-%m-%dT%H:%M:%S", now)
        lines.append(
            {
                "journal": f"{time.strftime('%b %d %H:%M:%S', now)} web-1 {unit}[{pid}]: {line}",
                "compose": f"{unit}-1  | {line}",
                "k8s": f"{iso}.{(number * 7919) % 10**9:09d}Z stderr F {line}",
                "docker": f"{iso}.{(number * 7919) % 10**9:09d}Z {line}",
                "heroku": f"{iso}.{number % 10**6:06d}+00:00 app[web.1]: {line}",
            }[style]
        )
    return "\n".join(lines)


def finish(recipe: dict[str, Any], text: str, code: int | None, running: bool, term: str | None) -> dict[str, Any]:
    """Shorten, add the style, and put the case together."""
    lines = [line[:20000] for line in text.rstrip("\n").split("\n")]
    keep = recipe.get("keep", 80)
    if len(lines) > keep:
        lines = lines[: keep // 2] + lines[-(keep - keep // 2) :]
    facts = dict(recipe.get("facts") or {})
    if recipe.get("known_exit", True):
        if running:
            facts.setdefault("running", True)
        elif term:
            facts.setdefault("signal", term)
        elif code is not None:
            facts.setdefault("exit_code", code)
    style = recipe.get("style")
    unit = recipe.get("unit_name") or {"journal": program_of(recipe["command"])}.get(style or "", "api")
    case = {key: recipe.get(key) for key in FACT_KEYS if recipe.get(key) is not None}
    case.setdefault("secondary", [])
    case["log"] = styled("\n".join(lines), style, unit, recipe["id"])
    case["facts"] = facts
    case["source"] = f"recorded: {recipe['command']}" + (f" (prefix style added: {style})" if style else "")
    case["confidence"] = recipe.get("confidence", "high")
    return case


def save(known: dict[str, dict[str, Any]], out: Path) -> list[dict[str, Any]]:
    """Write the corpus in the order of the recipes; cases whose recipe is gone are dropped."""
    order = {recipe["id"]: index for index, recipe in enumerate(recipes())}
    kept = sorted((case for case in known.values() if case["id"] in order), key=lambda case: order[case["id"]])
    out.write_text("".join(json.dumps(case, ensure_ascii=False) + "\n" for case in kept), encoding="utf-8")
    return kept


def main(argv: list[str] | None = None) -> int:
    """Record and write; cases that can't be recorded are named and keep their old record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", nargs="+", default=[], help="these ids, or prefixes ending in *")
    parser.add_argument("--new", action="store_true", help="only what the corpus doesn't have yet")
    parser.add_argument("--out", type=Path, default=HERE / "recorded.jsonl")
    parser.add_argument("--list", action="store_true", help="print ids and labels")
    parser.add_argument("--show", action="store_true", help="print the recorded logs")
    options = parser.parse_args(argv)
    chosen = recipes()
    if options.list:
        print("\n".join(f"{recipe['id']:45} {recipe['label']}" for recipe in chosen))
        return 0
    known = {}
    if options.out.exists():
        known = {case["id"]: case for case in map(json.loads, options.out.read_text(encoding="utf-8").splitlines())}
    if options.only:
        chosen = [
            r
            for r in chosen
            if any(r["id"] == o or (o.endswith("*") and r["id"].startswith(o[:-1])) for o in options.only)
        ]
    elif options.new:
        chosen = [recipe for recipe in chosen if recipe["id"] not in known]
    wanted = yaml.safe_load((HERE / "recipes/environments.yml").read_text(encoding="utf-8"))
    needed = {recipe["env"] for recipe in chosen if recipe.get("env")}
    venvs = {name: make_environment(name, wanted[name]) for name in sorted(needed)}
    failed = 0
    for recipe in chosen:
        try:
            case = record(recipe, venvs)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            failed += 1
            print(f"{recipe['id']}: not recorded: {error}", file=sys.stderr)
            continue
        known[recipe["id"]] = case
        save(known, options.out)
        last = [line for line in case["log"].split("\n") if line.strip()][-1:] or ["(silent)"]
        print(
            f"{recipe['id']:45} {case['facts'].get('exit_code', case['facts'].get('signal', 'running'))!s:9} {last[0][:110]}"
        )
        if options.show:
            print(case["log"] + "\n")
    kept = save(known, options.out)
    print(f"{len(kept)} cases in {options.out}, {failed} not recorded")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
