# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fix with real files, real interpreters and the real import test; only the unit is a text of the test."""

from __future__ import annotations

import grp
import os
import pwd
import stat
import sys
from pathlib import Path
from typing import Any, Optional

import pytest
from bench import apply, kinds, make

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import systemd_unit_files
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.env_file import parse
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import EnvFileRef
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.systemd_words import (
    parse_environment,
    split_commands,
)
from ansible_collections.firstaid.backend.plugins.module_utils._repair.fixes import dropin, environment
from ansible_collections.firstaid.backend.plugins.module_utils._repair.fixes.environment_env_file import readable_for
from ansible_collections.firstaid.backend.plugins.module_utils._repair.fixes.environment_unit import intended, near
from ansible_collections.firstaid.backend.plugins.module_utils._repair.model import Host, Proposal, Refused

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture(autouse=True)
def units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Drop-ins go below the test's own directory."""
    folder = tmp_path / "units"
    folder.mkdir()
    monkeypatch.setattr(dropin, "DIRECTORY", str(folder))
    monkeypatch.setattr(dropin.open_for, "__defaults__", (str(folder),))
    return folder


def host(
    units: Path, text: str, options: Optional[dict[str, Any]] = None, runtime: str = "systemd", **more: Any
) -> Host:
    """The backend of a unit, with what a drop-in of an earlier run says."""
    texts = [("fragment", str(units / "demo.service"), text)]
    own = units / "demo.service.d/90-firstaid-environment.conf"
    texts += [("dropin", str(own), own.read_text())] if own.exists() else []
    files = [{"path": path, "kind": kind, "text": content, "error": None} for kind, path, content in texts]
    settings = systemd_unit_files.merge(
        [one for one in systemd_unit_files.parse(str(item["text"])) if one.section == "Service"] for item in files
    )
    values = parse_environment(" ".join(settings.get("Environment", [])))
    origins = dict.fromkeys(values, "Environment=")
    refs = []
    for line in settings.get("EnvironmentFile", []):
        path = line.lstrip("-")
        refs.append(EnvFileRef(path, line.startswith("-"), f"EnvironmentFile={line}"))
        if os.path.exists(path):
            found = parse(Path(path).read_bytes()).variables
            values.update(found)
            origins.update(dict.fromkeys(found, path))
    cwd = settings.get("WorkingDirectory", ["/"])[-1]
    unit = {
        "files": files,
        "directives": settings,
        "working_directory": cwd,
        "working_directory_optional": False,
        "type": settings.get("Type", ["simple"])[-1],
        "user_exists": True,
        "group_exists": True,
        "problems": [
            item
            for file in files
            for item in systemd_unit_files.misplaced(str(file["path"]), systemd_unit_files.parse(str(file["text"])))
        ],
        **more.pop("unit", {}),
    }
    environ = {"PATH": "/usr/bin:/bin", **values}
    return make(
        Path(cwd),
        split_commands(settings["ExecStart"][-1])[0].argv,
        options,
        runtime=runtime,
        unit=unit,
        environ=environ,
        environ_origin=origins,
        env_files=refs,
        **more,
    )


def proposed(one: Host, folder: Path) -> Proposal:
    """The proposal, which is carried out."""
    proposal = environment.propose(one)
    (folder / "demo.service.d").mkdir(exist_ok=True)
    apply(one, [change for change in proposal.changes if change.kind != "file"])
    for change in proposal.changes:
        if change.kind == "file" and change.content is not None:
            Path(change.path).write_bytes(change.content)
    return proposal


def refused(one: Host) -> Refused:
    with pytest.raises(Refused) as caught:
        environment.propose(one)
    return caught.value


def unit(site: Path, *lines: str, script: str = "main.py") -> str:
    return "\n".join(
        ["[Service]", f"WorkingDirectory={site}", f"ExecStart={sys.executable} {site}/{script}", *lines, ""]
    )


def own(folder: Path) -> list[str]:
    text = (folder / "demo.service.d/90-firstaid-environment.conf").read_text()
    return [line for line in text.splitlines() if line and not line.startswith(("#", "["))]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    write(tmp_path / "project/pyproject.toml", "[project]\nname = 'demo'\n")
    write(tmp_path / "project/app/main.py", "import os\n\nprint(os.environ['DEMO_KEY'])\n")
    return tmp_path / "project/app"


def test_all_is_well(site: Path, units: Path) -> None:
    proposal = environment.propose(host(units, unit(site, "Environment=DEMO_KEY=1")))
    assert proposal.changes == [] and not proposal.restart and "as it should be" in proposal.decision


def test_a_misplaced_env_file_is_loaded_from_where_it_lies_and_only_once(site: Path, units: Path) -> None:
    write(site / ".env", "DEMO_KEY=canary-7731\n").chmod(0o600)
    write(site / ".env.example", "DEMO_KEY=\n")
    write(site / "other.env", "NOTHING=1\n")
    text = unit(site, "EnvironmentFile=/nowhere/demo.env")
    proposal = proposed(host(units, text), units)
    assert kinds(proposal) == ["file"] and proposal.prove and proposal.restart
    assert own(units) == ["EnvironmentFile=", f"EnvironmentFile={site}/.env"]
    assert "canary" not in proposal.decision + str(proposal.notes)
    assert environment.propose(host(units, text)).changes == []


def test_an_optional_env_file_is_not_reset(site: Path, units: Path) -> None:
    write(site / "settings.env", "DEMO_KEY=x\n")
    proposed(host(units, unit(site, "EnvironmentFile=-/nowhere/demo.env")), units)
    assert own(units) == [f"EnvironmentFile={site}/settings.env"]


def test_two_files_that_would_do_are_named_and_none_is_taken(site: Path, units: Path) -> None:
    write(site / "a.env", "DEMO_KEY=canary-1111\n")
    write(site / "b.env", "DEMO_KEY=canary-2222\n")
    answer = refused(host(units, unit(site, "EnvironmentFile=/nowhere/demo.env")))
    assert f"{site}/a.env" in str(answer) and f"{site}/b.env" in str(answer) and "canary" not in str(answer)
    proposal = environment.propose(
        host(
            units,
            unit(site, "EnvironmentFile=/nowhere/demo.env"),
            {"env_file": "/nowhere/demo.env", "env_file_source": f"{site}/b.env"},
        )
    )
    assert proposal.changes[0].content is not None and f"{site}/b.env".encode() in proposal.changes[0].content


def test_a_file_that_everybody_may_write_is_not_loaded(site: Path, units: Path) -> None:
    write(site / ".env", "DEMO_KEY=x\n").chmod(0o666)
    answer = refused(host(units, unit(site, "EnvironmentFile=/nowhere/demo.env")))
    assert "DEMO_KEY" in str(answer) and "provide" in str(answer)


def test_a_malformed_env_file_is_written_anew(site: Path, units: Path) -> None:
    file = site.parent / "demo.env"
    file.write_bytes(b"\xef\xbb\xbfDEMO_KEY=canary x\r\n")
    file.chmod(0o640)
    text = unit(site, f"EnvironmentFile={file}")
    proposal = proposed(host(units, text), units)
    (change,) = proposal.changes
    assert change.secret and change.content == b"DEMO_KEY=canary x\n" and change.mode is None
    assert "canary" not in proposal.decision
    assert environment.propose(host(units, text)).changes == []


def test_all_directories_that_imports_need_and_no_more(site: Path, units: Path) -> None:
    project = site.parent
    write(site / "main.py", "import first\n\n\ndef late():\n    import third\n\n    return third\n")
    write(project / "lib/first/__init__.py", "from second import X\n")
    write(project / "shared/second.py", "X = 1\n")
    write(project / "deep/er/third.py")
    write(project / "unused/fourth.py")
    write(project / "tests/first/__init__.py")
    text = unit(site, f"Environment=PYTHONPATH={project}/libs:{project}/shared2")
    proposal = proposed(host(units, text), units)
    assert own(units) == [f"Environment=PYTHONPATH={project}/lib:{project}/shared:{project}/deep/er"]
    assert "libs" in proposal.decision
    assert environment.propose(host(units, text)).changes == []


def test_a_module_in_two_places_is_left_to_a_person(site: Path, units: Path) -> None:
    write(site / "main.py", "import first\n")
    write(site.parent / "v1/first.py")
    write(site.parent / "v2/first.py")
    answer = refused(host(units, unit(site)))
    assert "v1" in str(answer) and "v2" in str(answer) and "environment_pythonpath" in str(answer)
    chosen = host(units, unit(site), {"pythonpath": [f"{site.parent}/v2"]})
    proposed(chosen, units)
    assert own(units) == [f"Environment=PYTHONPATH={site.parent}/v2"]


def test_a_wrong_choice_is_refused(site: Path, units: Path) -> None:
    for options in (
        {"pythonpath": ["/nowhere/at/all"]},
        {"working_directory": "/nowhere"},
        {"user": "no-such-user-here"},
        {"group": "no-such-group-here"},
        {"interpreter": "/nowhere/python"},
        {"env_file_source": "/nowhere/env"},
        {"app": "rm -rf"},
    ):
        answer = refused(host(units, unit(site, "Environment=DEMO_KEY=1"), options))
        assert f"environment_{next(iter(options))}" in str(answer), options


def test_path_and_env_file_in_one_run(site: Path, units: Path) -> None:
    write(site / "main.py", "import core\n")
    write(site.parent / "lib/core.py", "import os\nKEY = os.environ['DEMO_KEY']\n")
    file = site.parent / "demo.env"
    file.write_bytes(b"export DEMO_KEY=x\n")
    proposal = proposed(host(units, unit(site, f"EnvironmentFile={file}")), units)
    assert sorted(kinds(proposal)) == ["file", "file"] and file.read_bytes() == b"DEMO_KEY=x\n"
    assert own(units) == [f"Environment=PYTHONPATH={site.parent}/lib"]


def test_a_removed_release_is_replaced_by_the_only_other(tmp_path: Path, units: Path) -> None:
    write(tmp_path / "shop/releases/43/shop.py", "app = 1\n")
    text = f"[Service]\nWorkingDirectory={tmp_path}/shop/releases/42\nExecStart={sys.executable} -m shop\n"
    proposed(host(units, text), units)
    assert own(units) == [f"WorkingDirectory={tmp_path}/shop/releases/43"]
    write(tmp_path / "shop/releases/44/shop.py", "app = 1\n")
    (units / "demo.service.d/90-firstaid-environment.conf").unlink()
    answer = refused(host(units, text))
    assert "releases/43" in str(answer) and "releases/44" in str(answer)


def test_a_dangling_link_to_the_release_is_led_there(tmp_path: Path, units: Path) -> None:
    write(tmp_path / "shop/releases/43/shop.py", "app = 1\n")
    link = tmp_path / "shop/current"
    link.symlink_to("releases/42")
    text = f"[Service]\nWorkingDirectory={link}\nExecStart={sys.executable} -m shop\n"
    proposal = proposed(host(units, text), units)
    assert kinds(proposal) == ["link"] and os.readlink(link) == "releases/43"
    assert environment.propose(host(units, text)).changes == []


def environment_of(prefix: Path, shebang: str) -> Path:
    """A virtual environment with a launcher whose first line names some interpreter."""
    (prefix / "bin").mkdir(parents=True)
    real = os.path.realpath(sys.executable)
    (prefix / "bin/python").symlink_to(real)
    write(prefix / "pyvenv.cfg", f"home = {os.path.dirname(real)}\nversion = {sys.version.split()[0]}\n")
    site = prefix / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    write(site / "uvicorn/__init__.py")
    write(site / "uvicorn/__main__.py")
    launcher = write(prefix / "bin/uvicorn", f"#!{shebang}\nimport uvicorn\n")
    launcher.chmod(0o755)
    return launcher


def test_launchers_of_a_moved_environment_are_passed_by(tmp_path: Path, units: Path) -> None:
    write(tmp_path / "web/main.py", "app = 1\n")
    launcher = environment_of(tmp_path / "web/venv", "/old/place/venv/bin/python")
    text = f"[Service]\nWorkingDirectory={tmp_path}/web\nExecStart={launcher} main:app --port 80\nExecStartPre=-{launcher} --version\n"
    proposal = proposed(host(units, text), units)
    python = tmp_path / "web/venv/bin/python"
    assert own(units) == [
        "ExecStartPre=",
        f"ExecStartPre=-{python} -m uvicorn --version",
        "ExecStart=",
        f"ExecStart={python} -m uvicorn main:app --port 80",
    ]
    assert launcher.read_text().startswith("#!/old/place") and "the environment's own interpreter" in proposal.decision
    assert environment.propose(host(units, text)).changes == []


def test_an_interpreter_that_serves_others_is_proposed_to_a_person_only(tmp_path: Path, units: Path) -> None:
    write(tmp_path / "web/main.py", "app = 1\n")
    other = tmp_path / "elsewhere/venv"
    environment_of(other, "/x")
    text = f"[Service]\nWorkingDirectory={tmp_path}/web\nExecStart={tmp_path}/gone/venv/bin/uvicorn main:app\n"
    assert "does not work" in str(refused(host(units, text)))
    proposed(host(units, text, {"interpreter": f"{other}/bin/python"}), units)
    assert own(units)[-1] == f"ExecStart={other}/bin/python -m uvicorn main:app"


def test_packages_of_another_python_on_the_path_give_way_to_those_of_this_one(tmp_path: Path, units: Path) -> None:
    now = f"{sys.version_info[0]}.{sys.version_info[1]}"
    write(tmp_path / "web/main.py", "import speedy\n")
    write(tmp_path / f"web/env/lib/python{now}/site-packages/speedy.py", "")
    write(tmp_path / "web/env/lib/python3.2/site-packages/speedy.py", "raise ImportError('built for 3.2')\n")
    text = unit(tmp_path / "web", f"Environment=PYTHONPATH={tmp_path}/web/env/lib/python3.2/site-packages")
    proposed(host(units, text), units)
    assert own(units) == [f"Environment=PYTHONPATH={tmp_path}/web/env/lib/python{now}/site-packages"]


def test_settings_in_the_wrong_section_are_taken_over(site: Path, units: Path) -> None:
    text = unit(site) + "[Install]\nWantedBy=multi-user.target\nEnvironment=DEMO_KEY=1\n"
    proposal = proposed(host(units, text), units)
    assert own(units) == ["Environment=DEMO_KEY=1"] and "[Install]" in proposal.decision
    setting = systemd_unit_files.Setting
    assert intended(setting("Service", "EnviromentFile", "/x", 3)) == "EnvironmentFile"
    assert intended(setting("Service", "Restrat", "always", 3)) is None


def test_a_server_that_never_notifies(tmp_path: Path, units: Path) -> None:
    write(tmp_path / "web/main.py", "app = 1\n")
    launcher = environment_of(tmp_path / "web/venv", str(tmp_path / "web/venv/bin/python"))
    text = f"[Service]\nType=notify\nWorkingDirectory={tmp_path}/web\nExecStart={launcher} main:app\n"
    proposed(host(units, text, service={"result": "timeout"}), units)
    assert own(units) == ["Type=simple"]
    (units / "demo.service.d/90-firstaid-environment.conf").unlink()
    write(tmp_path / "web/main.py", "import os\nSOCKET = os.environ.get('NOTIFY_SOCKET')\napp = 1\n")
    assert environment.propose(host(units, text, service={"result": "timeout"})).changes == []


def test_near_names() -> None:
    names = ["web", "www-data", "audit", "webb", "auditor", "daemon"]
    assert near("svc-audit", names) == ["audit"]
    assert near("wwwdata", names) == ["www-data"]
    assert near("nothing-like-it", names) == []


@ROOT_ONLY
def test_a_missing_user_is_replaced_by_the_owner_of_the_code_when_it_is_the_only_near_one(
    site: Path, units: Path
) -> None:
    entry = pwd.getpwnam("www-data")
    for path in (site, site / "main.py"):
        os.chown(path, entry.pw_uid, entry.pw_gid)
    text = unit(site, "User=wwwdata", "Environment=DEMO_KEY=1")
    missing = {"user": "wwwdata", "user_exists": False}
    proposed(host(units, text, unit=missing), units)
    assert own(units) == ["User=www-data"]
    (units / "demo.service.d/90-firstaid-environment.conf").unlink()
    for path in (site, site / "main.py"):
        os.chown(path, 0, 0)
    assert "isn't evident" in str(refused(host(units, text, unit=missing)))


def test_a_target_is_never_changed_by_itself(tmp_path: Path, units: Path) -> None:
    write(tmp_path / "web/main.py", "app = 1\n")
    launcher = environment_of(tmp_path / "web/venv", str(tmp_path / "web/venv/bin/python"))
    text = f"[Service]\nWorkingDirectory={tmp_path}/web\nExecStart={launcher} main:application\n"
    answer = refused(host(units, text))
    assert "main:app" in str(answer) and any("environment_app=main:app" in command for command in answer.commands)
    assert "can't be loaded" in str(refused(host(units, text, {"app": "main:nothing"})))
    proposed(host(units, text, {"app": "main:app"}), units)
    assert own(units) == ["ExecStart=", f"ExecStart={launcher} main:app"]


def test_supervisord_gets_lines_to_change_and_keeps_its_configuration(site: Path, units: Path) -> None:
    write(site / "main.py", "import first\n")
    write(site.parent / "lib/first.py")
    answer = refused(host(units, unit(site), runtime="supervisor"))
    assert f'environment=PYTHONPATH="{site.parent}/lib"' in answer.commands and "no drop-ins" in str(answer)
    assert not (units / "demo.service.d").exists()


def test_another_failure_is_not_ours(site: Path, units: Path) -> None:
    write(site / "main.py", "import broken\n")
    write(site / "broken.py", "raise RuntimeError('canary-5521')\n")
    answer = refused(host(units, unit(site)))
    assert "RuntimeError" in str(answer) and "canary" not in str(answer)


@pytest.mark.parametrize(
    ("mode", "owner", "group", "wanted"),
    [
        (0o600, 0, 0, {"mode": 0o640, "gid": 54321, "uid": None}),
        (0o660, 0, 0, {"mode": 0o640, "gid": 54321, "uid": None}),
        (0o040, 54321, 0, {"mode": 0o440, "gid": None, "uid": None}),
    ],
)
def test_nobody_else_may_read_it_afterwards(
    tmp_path: Path, mode: int, owner: int, group: int, wanted: dict[str, Any]
) -> None:
    status = os.stat_result((stat.S_IFREG | mode, 1, 1, 1, owner, group, 0, 0, 0, 0))
    change = readable_for("/x/.env", status, 54321, 54321, "svc")
    assert {name: getattr(change, name) for name in wanted} == wanted and not (change.mode or 0) & 0o007
    assert 54321 not in [entry.gr_gid for entry in grp.getgrall()]


@ROOT_ONLY
@pytest.mark.parametrize("link", [".env", "conf"])
def test_what_a_users_link_leads_to_is_neither_rewritten_nor_opened(site: Path, units: Path, link: str) -> None:
    secret = write(site.parent / "etc/secret.env", "export DEMO_KEY=canary-7702\n")
    (site / link).symlink_to(secret if link == ".env" else secret.parent)
    os.chown(site / link, 12345, 12345, follow_symlinks=False)
    path = site / ".env" if link == ".env" else site / "conf/secret.env"
    answer = refused(host(units, unit(site, f"EnvironmentFile={path}")))
    assert "user 12345" in str(answer) and "canary" not in str(answer)
    os.chown(site / link, 0, 0, follow_symlinks=False)
    proposed(host(units, unit(site, f"EnvironmentFile={path}")), units)
    assert secret.read_text() == "DEMO_KEY=canary-7702\n"


def test_a_file_that_a_message_names_is_found_from_the_working_directory(site: Path, units: Path) -> None:
    write(site / "named.env", "DEMO_KEY=1\n")
    proposed(host(units, unit(site), {"env_file": "named.env"}), units)
    assert own(units) == [f"EnvironmentFile={site}/named.env"]
    write(site / ".env", "DEMO_KEY=1\n")
    (units / "demo.service.d/90-firstaid-environment.conf").unlink()
    (site / "named.env").unlink()
    proposed(host(units, unit(site, "EnvironmentFile=/nowhere/demo.env"), {"env_file": "not-there.env"}), units)
    assert own(units) == ["EnvironmentFile=", f"EnvironmentFile={site}/.env"]


@ROOT_ONLY
def test_a_file_of_roots_is_not_handed_over_because_a_message_names_it(site: Path, units: Path) -> None:
    secret = write(site.parent.parent / "root/secret.env", "DEMO_KEY=canary-7703\n")
    secret.chmod(0o600)
    more = {"uid": 12345, "gid": 12345, "groups": [12345], "user": "svc"}
    answer = refused(host(units, unit(site), {"env_file": str(secret)}, **more))
    assert "environment_env_file_source" in str(answer) and "canary" not in str(answer)
    proposed(host(units, unit(site), {"env_file": str(secret)}), units)
    assert own(units) == [f"EnvironmentFile={secret}"]


def test_a_later_drop_in_is_named_with_its_line(site: Path, units: Path) -> None:
    write(site / "main.py", "import first\n")
    write(site.parent / "lib/first.py")
    one = host(units, unit(site))
    path = str(units / "demo.service.d/override.conf")
    one.backend.unit["files"].append(
        {"path": path, "kind": "dropin", "text": "[Service]\nEnvironment=PYTHONPATH=/typo\n", "error": None}
    )
    answer = refused(one)
    assert f"{path} is read after" in str(answer) and "line 2" in str(answer)
    assert any(f"PYTHONPATH={site.parent}/lib" in command for command in answer.commands)
