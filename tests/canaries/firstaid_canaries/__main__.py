# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plant, diagnose, repair, take back, and look for every secret in every output: `run`, `run demo`, `run systemd`, `run --brief demo`."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import threading
import time

from .planting import SURVIVORS, Estate, estate
from .running import REPOSITORY, Run
from .searching import Search, damaged_survivors, evidence_of
from .sites import DemoSite, Site, SystemSite, own_command

SITES = {"demo": DemoSite, "systemd": SystemSite}
LEAST_SECRETS, LEAST_SURVIVORS = 150, 60
# Enough for all that the backend prints at one start, three times; and time, because a busy machine must not decide what is found.
LOG = {
    "backend_log_lines": 20000,
    "backend_log_bytes": 8 << 20,
    "backend_budget": 60,
    "backend_import_test_timeout": 60,
}


def main() -> int:
    """:returns: 0 when no secret was found and no signature damaged."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sites", nargs="*", choices=[[], *SITES], help="where; default: all")
    parser.add_argument("--brief", action="store_true", help="one diagnosis and no repair: under a minute")
    parser.add_argument("--seed", default="firstaid", help="what the secrets are made from")
    parser.add_argument("--keep", action="store_true", help="leave the backend as it is at the end")
    options = parser.parse_args()
    begun = time.monotonic()
    good = [_one(SITES[name](), options.seed, options.brief, options.keep) for name in options.sites or SITES]
    print(f"{time.monotonic() - begun:.0f} s")
    return 0 if all(good) else 1


def _one(site: Site, seed: str, brief: bool, keep: bool) -> bool:
    work = REPOSITORY / ".build" / "canaries" / site.name
    shutil.rmtree(work, ignore_errors=True)
    (work / "out").mkdir(parents=True, mode=0o700)
    (work / "bundles").mkdir(mode=0o700)
    planted = estate(seed)
    try:
        site.plant(planted)
        run = Run(work, work / "inventory.yml", {**site.inventory(work / "inventory.yml"), **LOG})
        watcher = site.watch()
        commands: list[str] = []
        reader = threading.Thread(target=lambda: commands.extend(watcher.stdout or ()), daemon=True)
        reader.start()
        wrong = _steps(site, run, planted, brief)
        if watcher.stdin is not None:
            watcher.stdin.close()
        watcher.wait(20)
        reader.join(20)
        return _judge(site, run, planted, commands, brief, wrong)
    finally:
        if not keep:
            site.clean()


def _steps(site: Site, run: Run, planted: Estate, brief: bool) -> list[str]:
    """Run everything; returns what didn't go as it has to for the rest to mean something."""
    wrong = []

    def expect(step: str, text: str, wanted: str) -> None:
        if wanted not in text:
            wrong.append(f"{step}: the console doesn't say {wanted!r} (exit status {run.statuses[step]})")

    expect("diagnose", run.play("diagnose", "diagnose-backend-crash.yml"), "settings_invalid")
    if brief:
        return wrong
    site.calm(planted)
    # Nothing answers at the planted addresses, and that would be the next cause.
    run.variables["backend_probe_services"] = False
    unfit = {"settings_values": {"SESSION_SECRET": planted.given("unfit", "unfit")}}
    fit = {"settings_values": {"SESSION_SECRET": planted.given("fit")}}
    expect("preview", run.play("preview", "fix-backend-crash.yml", fit, "--check", "--diff"), "settings")
    expect("repair in vain", run.play("repair in vain", "fix-backend-crash.yml", unfit, "--diff"), "ROLLED BACK")
    expect("repair", run.play("repair", "fix-backend-crash.yml", fit, "--diff"), "HEALED")
    run.play("look again", "diagnose-backend-crash.yml")
    run.play("rollback", "rollback-backend-fix.yml", None, "--diff")
    wrong += [f"rollback: exit status {run.statuses['rollback']}"] if run.statuses["rollback"] else []
    index = {
        "dependencies_index_url": f"https://svc:{planted.given('index')}@127.0.0.1:9/simple",
        "dependencies_all": True,
    }
    run.play("dependencies", "fix-backend-dependencies.yml", index)
    run.play("wrong type", "fix-backend-settings.yml", {"settings_values": planted.given("wrong type")})
    run.play(
        "placeholder", "fix-backend-settings.yml", {"settings_values": {"NO_SUCH_NAME": planted.given("unknown name")}}
    )
    run.runner("runner diagnose", "diagnose-backend-crash.yml")
    run.runner("runner repair", "fix-backend-crash.yml", fit)
    if not run.events():
        wrong.append("ansible-runner wrote no events")
    bundle = max((run.work / "bundles").glob("backend-diagnostics-*"), key=lambda path: path.stat().st_mtime)
    run.play("classify", "classify-bundle.yml", {"backend_saved": str(bundle)}, "-e", "backend_hosts=localhost")
    return wrong


def _judge(site: Site, run: Run, planted: Estate, commands: list[str], brief: bool, wrong: list[str]) -> bool:
    search = Search(planted.planted)
    search.directory("bundles", run.work / "bundles")
    for path in sorted((run.work / "out").iterdir()):
        name = path.name.split("-")[0] if path.is_file() else path.name
        if path.is_dir():
            search.directory(name, path)
        else:
            search.text(name, path.read_text(encoding="utf-8", errors="replace"))
    shown = [line for line in commands if not own_command(_argv(line), planted)]
    search.text("process list of the target", "\n".join(shown))
    for name, text in site.outputs():
        search.text(name, text)
    open_to_others, raw = [], 0
    for kept, text in site.kept():
        aside = Search(planted.planted)
        aside.text(kept.path, text)
        raw += bool(aside.found)
        if not kept.private:
            open_to_others.append(kept.path)
        if aside.found and kept.path.endswith((".json", ".jsonl")):
            wrong.append(f"{kept.path}, which is no copy of a file, holds {aside.found[0].canary.name}")
    damaged = damaged_survivors(evidence_of(run.work / "bundles"))
    return _tell(site, search, planted, damaged, open_to_others, raw, brief, wrong)


def _argv(line: str) -> list[str]:
    found = json.loads(line)
    return [str(word) for word in found]


def _tell(
    site: Site, search: Search, planted: Estate, damaged: list[str], open_to_others: list[str], raw: int, brief: bool,
    wrong: list[str],
) -> bool:  # fmt: skip
    places: dict[str, int] = {}
    for one in planted.planted:
        places[one.place] = places.get(one.place, 0) + 1
    found = search.secrets_found()
    print(f"== {site.name}{' (brief)' if brief else ''}")
    print(
        f"planted             {len(planted.planted)} ({', '.join(f'{place} {count}' for place, count in places.items())})"
    )
    print(f"found               {len(found)}")
    print(f"signatures damaged  {len(damaged)} of {_survivors()}")
    print(f"places looked at    {len(search.looked_at)} ({sum(search.looked_at.values()):,} characters)")
    for name, size in sorted(search.looked_at.items()):
        print(f"                    {size:>12,}  {name}")
    if not brief:
        print(f"copies of files     {raw} with secrets, by design; {len(open_to_others)} paths open to others")
    for one in search.found[:40]:
        print(f"LEAK  {one.canary.place}/{one.canary.name} as {one.encoding} in {one.output}: ...{one.around}...")
    for line in damaged[:20]:
        print(f"DAMAGED  {line}")
    for path in open_to_others:
        print(f"OPEN  {path}")
    for sentence in wrong:
        print(f"WRONG  {sentence}")
    enough = len(planted.planted) >= LEAST_SECRETS and _survivors() >= LEAST_SURVIVORS
    return enough and not (found or damaged or open_to_others or wrong)


def _survivors() -> int:
    return len(SURVIVORS)


if __name__ == "__main__":
    sys.exit(main())
