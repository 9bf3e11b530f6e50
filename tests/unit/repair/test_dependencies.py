# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real environments, real wheels made on the spot, the real pip, no network."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from dependencies_lab import Lab, content_of, wheel

from ansible_collections.firstaid.backend.plugins.module_utils._repair import packages_install, packages_tree
from ansible_collections.firstaid.backend.plugins.module_utils._repair.changes import ChangeError
from ansible_collections.firstaid.backend.plugins.module_utils._repair.fixes import (
    dependencies,
    dependencies_environment,
)
from ansible_collections.firstaid.backend.plugins.module_utils._repair.model import Refused


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setattr(dependencies_environment, "_UNIT_DIRECTORIES", (str(tmp_path / "units"),))
    (tmp_path / "units").mkdir()
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_")):
            monkeypatch.delenv(name)
    return Lab(tmp_path)


def test_installs_the_declared_version_and_nothing_else(lab: Lab) -> None:
    lab.wheel("meterkit", "2.3", {"meterkit.py": "UNIT = 'kWh'\n"})
    lab.wheel("meterkit", "3.0", {"meterkit.py": "raise RuntimeError\n"})
    lab.wheel("other", "1.0")
    lab.code("import meterkit\n", {"requirements.txt": "meterkit>=2,<3\nother\n"})
    before = content_of(lab.prefix)
    proposal = lab.propose()
    assert "meterkit 2.3" in proposal.decision and "requirements.txt:1" in proposal.decision
    assert any("other" in note and "left alone" in note for note in proposal.notes)
    assert content_of(lab.prefix) == before, "a proposal changes nothing"
    diff = lab.diff(proposal)
    assert "meterkit==2.3" in diff["after"] and "meterkit" not in diff["before"]
    lab.apply(proposal)
    assert lab.imports() == "ok"
    assert "other" not in lab.installed() and lab.installed()["meterkit"] == "2.3"
    assert lab.propose().changes == [], "a second run has nothing to do"
    assert lab.kind.is_after(lab.record, lab.means) and not lab.kind.is_before(lab.record, lab.means)
    lab.undo()
    assert content_of(lab.prefix) == before
    assert lab.kind.is_before(lab.record, lab.means)


def test_takes_all_that_the_code_imports_and_what_that_pulls_in(lab: Lab) -> None:
    lab.wheel("aaa", "1.0", requires=["ccc>=1"])
    lab.wheel("bbb", "1.0")
    lab.wheel("ccc", "1.5")
    lab.wheel("ccc", "2.0")
    files = {
        "requirements.txt": "-r more.txt\naaa\n-c limits.txt\n",
        "more.txt": "bbb\n",
        "limits.txt": "ccc<2\n",
        "lazy.py": "def f():\n    import bbb\n",
    }
    lab.code("import aaa\n", files)
    lab.heal()
    assert {name: lab.installed().get(name) for name in ("aaa", "bbb", "ccc")} == {
        "aaa": "1.0",
        "bbb": "1.0",
        "ccc": "1.5",
    }


def test_a_declared_distribution_of_another_name_is_found_in_its_wheel(lab: Lab) -> None:
    lab.wheel("zoo-meter-kit", "2.3", {"meter_reading/__init__.py": ""})
    lab.code("import meter_reading\n", {"requirements.txt": "zoo-meter-kit\nzoo-not-there\n"})
    lab.heal()
    assert lab.imports() == "ok" and "zoo-not-there" not in lab.installed()


def test_without_a_wheel_directory_a_name_that_contains_the_module_is_taken(lab: Lab) -> None:
    lab.wheel("zoo-meter-kit", "2.3", {"meter_kit/__init__.py": ""})
    lab.code(
        "import meter_kit\n",
        {"requirements.txt": f"--no-index\n--find-links {lab.wheels}\nzoo-meter-kit\nzoo-not-there\n"},
    )
    lab.heal(wheel_dir="")
    assert lab.imports() == "ok"


@pytest.mark.parametrize("files", [{"requirements.txt": "flask\n"}, {}])
def test_an_undeclared_module_is_never_guessed(lab: Lab, files: dict[str, str]) -> None:
    lab.wheel("yaml", "6.6", {"yaml.py": "raise RuntimeError('taken over')\n"})
    lab.code("import yaml\n", files)
    with pytest.raises(Refused, match=r"not guessed; it is probably PyYAML") as refusal:
        lab.propose()
    assert any("pip install PyYAML" in command for command in refusal.value.commands)


def test_pyproject_and_poetry_specifiers(lab: Lab) -> None:
    for version in ("1.1.2", "1.4", "2.0"):
        lab.wheel("stars", version)
        lab.wheel("moons", version)
    project = '[project]\nname = "x"\nversion = "1"\ndependencies = ["stars~=1.1.0"]\n'
    poetry = '[tool.poetry.dependencies]\npython = "^3.9"\nmoons = "^1.1"\n'
    lab.code("import stars, moons\n", {"pyproject.toml": project + poetry})
    lab.heal()
    assert lab.installed()["stars"] == "1.1.2" and lab.installed()["moons"] == "1.4"


POETRY = """
[[package]]
name = "span-kit"
version = "1.4"
files = [{{file = "span_kit-1.4-py3-none-any.whl", hash = "sha256:{span}"}}]
[package.dependencies]
wire = "*"

[[package]]
name = "wire"
version = "0.9"
files = [{{file = "wire-0.9-py3-none-any.whl", hash = "sha256:{wire}"}}]
"""
UV = """
[[package]]
name = "span-kit"
version = "1.4"
source = {{ registry = "https://example.org/simple" }}
wheels = [{{ url = "https://example.org/s.whl", hash = "sha256:{span}", size = 1 }}]

[[package]]
name = "wire"
version = "0.9"
source = {{ registry = "https://example.org/simple" }}
wheels = [{{ url = "https://example.org/w.whl", hash = "sha256:{wire}", size = 1 }}]

[[package]]
name = "mine"
version = "0.1"
source = {{ virtual = "." }}
"""
LOCKS = {
    "poetry.lock": POETRY,
    "uv.lock": UV,
    "Pipfile.lock": '{{"default": {{"span-kit": {{"version": "==1.4", "hashes": ["sha256:{span}"]}},'
    ' "wire": {{"version": "==0.9", "hashes": ["sha256:{wire}"]}}}}}}',
    "requirements.txt": "span-kit==1.4 \\\n    --hash=sha256:{span}\nwire==0.9 --hash=sha256:{wire}\n",
}


@pytest.mark.parametrize("lock", sorted(LOCKS))
@pytest.mark.parametrize("reports", [True, False])
def test_locks_pin_versions_and_hashes(lab: Lab, lock: str, reports: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with a pip that can't tell beforehand what it would install."""
    if not reports:
        monkeypatch.setattr(packages_install, "REPORTS_SINCE", (99, 0))
    span = lab.wheel("span-kit", "1.4", {"span_kit.py": "import wire\n"}, ["wire"])
    wire = lab.wheel("wire", "0.9")
    lab.wheel("wire", "1.0", {"wire.py": "raise RuntimeError\n"})
    lab.wheel("span-kit", "1.5", {"span_kit.py": "raise RuntimeError\n"})
    lab.code("import span_kit\n", {lock: LOCKS[lock].format(span=span, wire=wire)})
    lab.heal()
    assert lab.imports() == "ok" and lab.installed()["wire"] == "0.9"
    # The same with a wheel that isn't the one of the lock: pip's own words, and nothing stays.
    lab.undo()
    lab.wheel("wire", "0.9", {"wire.py": "evil = 1\n"})
    before = content_of(lab.prefix)
    with pytest.raises(ChangeError, match=r"(?i)hash"):
        lab.apply(lab.propose())
    lab.undo()
    assert content_of(lab.prefix) == before


@pytest.mark.parametrize("reports", [True, False])
def test_a_version_that_the_lock_does_not_allow_is_replaced_and_comes_back(
    lab: Lab, reports: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not reports:
        monkeypatch.setattr(packages_install, "REPORTS_SINCE", (99, 0))
    lab.wheel("ledger", "1.0", {"ledger.py": "from formats import legacy\n"}, ["formats<2"])
    lab.wheel("formats", "1.9", {"formats.py": "legacy = 1\n"})
    lab.wheel(
        "formats",
        "2.0",
        {"formats.py": "new = 1\n", "formats_data/a.txt": "kept\n"},
        scripts={"formats-tool": "print('2')\n"},
    )
    lab.pip("ledger==1.0", "formats==2.0", deps=False)
    (lab.site / "formats_data" / "local.cfg").write_text("by hand")
    lab.code("import ledger\n", {"requirements.txt": "ledger\n", "requirements.lock": "ledger==1.0\nformats==1.9\n"})
    before = content_of(lab.prefix)
    lab.heal()
    assert lab.imports() == "ok" and lab.installed()["formats"] == "1.9"
    lab.undo()
    assert content_of(lab.prefix) == before and lab.installed()["formats"] == "2.0"


def test_a_conflict_is_resolved_from_what_installed_requirers_say(lab: Lab) -> None:
    lab.wheel("ledger", "1.0", {"ledger.py": "from formats import legacy\n"}, ["formats<2"])
    lab.wheel("formats", "1.9", {"formats.py": "legacy = 1\n"})
    lab.wheel("formats", "2.0", {"formats.py": "new = 1\n"})
    lab.pip("ledger==1.0", "formats==2.0", deps=False)
    lab.code("import ledger\n", {"requirements.txt": "ledger==1.0\n"})
    lab.heal(package="ledger")
    assert lab.imports() == "ok" and lab.installed()["formats"] == "1.9"


def test_a_conflict_that_no_file_decides_is_handed_over(lab: Lab) -> None:
    lab.wheel("ledger", "1.0", {"ledger.py": "from formats import legacy\n"}, ["formats<2"])
    lab.wheel("formats", "2.0", {"formats.py": "new = 1\n"})
    lab.pip("ledger==1.0", "formats==2.0", deps=False)
    lab.code("import ledger\n", {})
    for options in ({"package": "formats"}, {}):
        with pytest.raises(Refused, match=r"formats<2, 2\.0 is installed.*no file of the project declares ledger"):
            lab.propose(**options)


@pytest.mark.parametrize("damage", ["no_record", "file_gone", "two_versions", "other_abi"])
def test_broken_distributions_are_made_whole(lab: Lab, damage: str) -> None:
    lab.wheel("solid", "1.0", {"solid/__init__.py": "from solid import core\n", "solid/core.py": ""})
    lab.pip("solid==1.0")
    info = lab.site / "solid-1.0.dist-info"
    if damage == "no_record":
        (info / "RECORD").unlink()
        (lab.site / "solid/core.py").unlink()
    elif damage == "file_gone":
        shutil.rmtree(lab.site / "solid")
    elif damage == "two_versions":
        shutil.copytree(info, lab.site / "solid-0.9.dist-info")
        (lab.site / "solid-0.9.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: solid\nVersion: 0.9\n")
        (lab.site / "solid/core.py").unlink()
    else:
        (info / "WHEEL").write_text("Wheel-Version: 1.0\nTag: cp27-cp27m-linux_x86_64\n")
        (lab.site / "solid/core.py").unlink()
    lab.code("import solid\n", {"requirements.txt": "solid==1.0\n"})
    before = content_of(lab.prefix)
    assert lab.imports() != "ok"
    lab.heal(package="solid")
    assert lab.imports() == "ok"
    lab.undo()
    assert content_of(lab.prefix) == before


@pytest.mark.parametrize("reports", [True, False])
def test_a_failing_pip_is_told_and_nothing_stays(lab: Lab, reports: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not reports:
        monkeypatch.setattr(packages_install, "REPORTS_SINCE", (99, 0))
    lab.code("import nowhere\n", {"requirements.txt": "nowhere==9\n"})
    before = content_of(lab.prefix)
    with pytest.raises((Refused, ChangeError), match=r"No matching distribution found for nowhere==9"):
        lab.apply(lab.propose())
    if not reports:
        lab.undo()
    assert content_of(lab.prefix) == before


def test_a_new_conflict_with_what_is_installed_is_a_failure(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip only warns of it and ends with 0."""
    lab.wheel("fresh", "1.0", requires=["base>=2"])
    lab.wheel("base", "1.0")
    lab.wheel("base", "2.0")
    lab.wheel("old", "1.0", requires=["base<2"])
    lab.pip("base==1.0", "old==1.0")
    lab.code("import fresh\n", {"requirements.txt": "fresh\n"})
    before = content_of(lab.prefix)
    with pytest.raises(ChangeError, match=r"old 1\.0 .*base"):
        lab.apply(lab.propose())
    lab.undo()
    assert content_of(lab.prefix) == before and lab.installed()["base"] == "1.0"


def test_a_killed_pip_leaves_nothing_behind(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The build of a source distribution hangs after the first wheel of the wave is in and the old version is out."""
    lab.wheel("aaa", "2.0", {"aaa.py": "x = 2\n"})
    lab.wheel("aaa", "1.0", {"aaa.py": "x = 1\n", "aaa_old.py": "\n"})
    lab.pip("aaa==1.0")
    lab.code("import aaa_new\n", {"requirements.txt": "aaa==2.0\nbbb\n"})
    lab.wheel("bbb", "1.0", {"aaa_new.py": ""}, ["aaa>=2"])
    before = content_of(lab.prefix)
    proposal = lab.propose()
    lab.plan(proposal)
    # What a kill between two steps of pip leaves: old files gone, new half there, a moved-away directory.
    (lab.site / "aaa_old.py").unlink()
    (lab.site / "aaa-1.0.dist-info").rename(lab.site / "~aa-1.0.dist-info")
    (lab.site / "aaa.py").write_text("half")
    (lab.site / "bbb").mkdir()
    (lab.site / "bbb/__pycache__").mkdir()
    (lab.site / "bbb/__pycache__/x.pyc").write_text("")
    (lab.prefix / "share").mkdir()
    (lab.prefix / "share/new").write_text("")
    shutil.rmtree(lab.site / "aaa-1.0.dist-info", ignore_errors=True)
    assert not lab.kind.is_before(lab.record, lab.means) and not lab.kind.is_after(lab.record, lab.means)
    assert lab.kind.atomic is False, "so that a half-way state is undone"
    lab.undo()
    assert content_of(lab.prefix) == before


def test_large_environments_keep_only_what_is_replaced(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.firstaid.backend.plugins.module_utils._repair import change_packages

    monkeypatch.setattr(change_packages, "KEEP_ALL_BYTES", 0)
    lab.wheel("formats", "1.9", {"formats/__init__.py": "legacy = 1\n"})
    lab.wheel("formats", "2.0", {"formats/__init__.py": "new = 1\n"}, scripts={"formats-tool": "print('2')\n"})
    lab.pip("formats==2.0")
    (lab.site / "formats" / "local.cfg").write_text("by hand")
    lab.code("from formats import legacy\n", {"requirements.txt": "formats<2\n"})
    before = content_of(lab.prefix)
    lab.heal()
    kept = json.loads(lab.means.keep.read(lab.record["before"]["content"]))
    assert not any("/pip/" in path for path in kept) and any("formats/local.cfg" in path for path in kept)
    lab.undo()
    assert content_of(lab.prefix) == before


def test_somebody_elses_later_change_is_seen(lab: Lab) -> None:
    lab.wheel("aaa", "1.0")
    lab.code("import aaa\n", {"requirements.txt": "aaa\n"})
    lab.heal()
    (lab.site / "aaa.py").write_text("changed = 1\n")
    assert not lab.kind.is_after(lab.record, lab.means)


def test_links_in_the_environment_are_not_followed(lab: Lab, tmp_path: Path) -> None:
    """A service that owns its environment must not make root write elsewhere."""
    lab.wheel("aaa", "1.0", {"aaa/__init__.py": "x = 1\n"})
    lab.wheel("aaa", "2.0", {"aaa/__init__.py": "x = 2\n"})
    lab.pip("aaa==1.0")
    lab.code("import aaa.two\n", {"requirements.txt": "aaa==2.0\n"})
    proposal = lab.propose(package="aaa")
    lab.plan(proposal)
    trap = tmp_path / "trap"
    trap.mkdir()
    (trap / "__init__.py").write_text("not yours")
    shutil.rmtree(lab.site / "aaa")
    (lab.site / "aaa").symlink_to(trap)
    lab.undo()
    assert (trap / "__init__.py").read_text() == "not yours"
    assert (lab.site / "aaa/__init__.py").read_text() == "x = 1\n" and not (lab.site / "aaa").is_symlink()


def test_the_system_python_is_refused(lab: Lab) -> None:
    lab.code("import aaa\n", {"requirements.txt": "aaa\n"})
    lab.python = "/usr/bin/python3"
    with pytest.raises(Refused, match=r"externally managed|operating system") as refusal:
        lab.propose()
    assert any("-m venv" in command for command in refusal.value.commands)


def test_a_shared_environment_gains_packages_but_loses_none(lab: Lab, tmp_path: Path) -> None:
    lab.wheel("aaa", "1.0")
    lab.wheel("formats", "1.9", {"formats.py": "legacy = 1\n"})
    lab.wheel("formats", "2.0", {"formats.py": ""})
    lab.wheel("needsold", "1.0", requires=["formats<2"])
    lab.pip("formats==2.0")
    unit = tmp_path / "units/other.service"
    unit.write_text(f"[Service]\nWorkingDirectory=/srv/other\nExecStart={lab.prefix}/bin/gunicorn x\n")
    lab.code("import aaa\n", {"requirements.txt": "aaa\n"})
    proposal = lab.propose()
    assert any("other.service" in note for note in proposal.notes)
    lab.apply(proposal)
    for names in ("formats<2\n", "formats==1.9\n"):
        lab.code("from formats import legacy\n", {"requirements.txt": names})
        with pytest.raises(Refused, match=r"other\.service") as refusal:
            lab.propose()
        assert "dependencies_allow_shared" in str(refusal.value)
    lab.code("import needsold\n", {"requirements.txt": "needsold\n"})
    with pytest.raises(Refused, match="formats"):
        lab.propose()
    unit.write_text(unit.read_text().replace("/srv/other", str(lab.app)))
    lab.heal()
    assert lab.imports() == "ok", "a second unit of the same code doesn't make it shared"


def test_no_pip_inside_another_one_serves(lab: Lab) -> None:
    shutil.rmtree(lab.site / "pip")
    for info in lab.site.glob("pip-*.dist-info"):
        shutil.rmtree(info)
    lab.wheel("aaa", "1.0")
    lab.code("import aaa\n", {"requirements.txt": "aaa\n"})
    lab.heal()
    assert lab.imports() == "ok" and not (lab.site / "pip").exists()


def test_credentials_do_not_get_into_messages_or_arguments(lab: Lab) -> None:
    lab.code("import aaa\n", {"requirements.txt": "aaa\n"})
    with pytest.raises(Refused) as refusal:
        lab.propose(wheel_dir="", index_url="http://user:hunter22@127.0.0.1:9/simple", timeout=20)
    assert "hunter22" not in str(refusal.value) + str(refusal.value.commands)
    assert lab.ctx.secrets.get("hunter22") == "dependencies_index_url"


def test_a_time_limit_ends_pip(lab: Lab) -> None:
    lab.code("import aaa\n", {"requirements.txt": "--index-url http://127.0.0.1:9/simple\naaa\n"})
    with pytest.raises(Refused, match=r"did not finish within 0\.5 s; raise dependencies_timeout"):
        lab.propose(wheel_dir="", timeout=0.5)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to hand files to another user")
def test_an_unreadable_wheel_directory_is_said_before_anything_runs(lab: Lab) -> None:
    lab.code("import aaa\n", {"requirements.txt": "aaa\n"})
    for path in [lab.prefix, *lab.prefix.rglob("*")]:
        os.chown(path, 12345, 12345, follow_symlinks=False)
    os.chmod(lab.wheels, 0o700)
    with pytest.raises(Refused, match="can't be read by uid 12345"):
        lab.propose()


def test_root_does_not_run_what_others_may_write(lab: Lab) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    lab.code("import aaa\n", {"requirements.txt": "aaa\n"})
    os.chown(lab.site / "pip" / "__main__.py", 12345, 12345)
    with pytest.raises(Refused, match=r"pip/__main__\.py can be changed by others"):
        lab.propose()


def test_installs_as_the_owner_of_the_environment(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0 or not os.path.exists("/usr/bin/setpriv"):
        pytest.skip("needs root and setpriv")
    import tempfile

    place = Path(tempfile.mkdtemp(prefix="firstaid-owner-"))
    try:
        place.chmod(0o755)
        lab = Lab(place, python="/usr/bin/python3")
        lab.wheel("aaa", "1.0")
        lab.code("import aaa\n", {"requirements.txt": "aaa\n"})
        for path in [lab.prefix, *lab.prefix.rglob("*")]:
            os.chown(path, 12345, 12346, follow_symlinks=False)
        os.umask(0o077)
        lab.heal()
        for path in lab.prefix.rglob("*"):
            assert os.lstat(path).st_uid == 12345, path
        assert (lab.site / "aaa.py").stat().st_mode & 0o044 == 0o044
        lab.undo()
        assert "aaa" not in lab.installed()
    finally:
        os.umask(0o022)
        shutil.rmtree(place)


def test_conda_installs_what_conda_declares(lab: Lab) -> None:
    lab.wheel("fromwheel", "1.0")
    text = "name: x\ndependencies:\n  - python=3.11\n  - conda-forge::numpy=1.26\n  - pip:\n      - fromwheel==1.0\n"
    lab.code("import fromwheel\n", {"environment.yml": text})
    lab.heal()
    assert lab.imports() == "ok"
    lab.code("import numpy\n", {"environment.yml": text})
    with pytest.raises(Refused, match="leaves to conda") as refusal:
        lab.propose()
    assert any(
        re.match(r"conda install --prefix \S+ conda-forge::numpy=1\.26", item) for item in refusal.value.commands
    )


def test_uv_serves_an_environment_without_pip(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    program = shutil.which("uv") or os.environ.get("FIRSTAID_TEST_UV")
    if not program:
        pytest.skip("uv is not installed")
    for path in lab.site.glob("pip*"):
        shutil.rmtree(path)
    shutil.copy(program, lab.prefix / "bin/uv")
    lab.wheel("aaa", "1.0", requires=["bbb"])
    lab.wheel("bbb", "1.0")
    lab.code("import aaa\n", {"requirements.txt": "aaa\n"})
    before = content_of(lab.prefix)
    proposal = lab.propose()
    assert "uv (" in proposal.decision
    lab.apply(proposal)
    assert lab.imports() == "ok"
    lab.undo()
    assert content_of(lab.prefix) == before


def test_roots_are_inside_the_environment(tmp_path: Path) -> None:
    (tmp_path / "v/lib/site").mkdir(parents=True)
    roots = packages_tree.roots_of(str(tmp_path / "v"), [str(tmp_path / "v/lib/site"), "/usr/lib"])
    assert roots[0] == "lib/site" and not any(root.startswith("..") for root in roots)


def test_a_wheel_of_the_lab_is_one_that_pip_accepts(lab: Lab) -> None:
    wheel(lab.wheels, "aaa", "1.0", {"aaa.py": ""})
    lab.pip("aaa")
    answer = subprocess.run([lab.python, "-m", "pip", "check"], check=False, capture_output=True)
    assert answer.returncode == 0 and dependencies.DEFAULT_TIMEOUT_S == 300
