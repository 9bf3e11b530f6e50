# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fix ``settings`` with real applications that are really imported, and real files."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import import_test
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.env_file import parse
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import App, Backend, EnvFileRef
from ansible_collections.firstaid.backend.plugins.module_utils._repair.fixes import (
    settings,
    settings_bypass,
    settings_places,
)
from ansible_collections.firstaid.backend.plugins.module_utils._repair.model import Change, Host, Proposal, Refused

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the sandbox is Linux's")

SECRET = "wq8-Zt.41xVb-77"
# What a settings class does, without the library.
PYDANTIC = """
import os
class BaseSettings:
    pass
class ValidationError(ValueError):
    title = "Settings"
    def __init__(self, wrong):
        self.wrong = wrong
    def errors(self, **kwargs):
        return [{"loc": (name,), "type": kind, "msg": text} for name, kind, text in self.wrong]
"""
APPLICATION = """
import os
from fake import BaseSettings, ValidationError
class Settings(BaseSettings):
    class Config:
        env_prefix = "HR_"
    database_url: str
    secret_key: str
    smtp_host: str
    workers: int
    def __init__(self):
        wrong = [(n, "missing", "Field required") for n in ("database_url", "secret_key", "smtp_host") if not os.environ.get("HR_" + n.upper())]
        if not os.environ.get("HR_WORKERS", "1").isdigit():
            wrong.append(("workers", "int_parsing", "Input should be a valid integer"))
        if wrong:
            raise ValidationError(wrong)
settings = Settings()
"""
Make = Callable[..., Host]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A host with one backend whose environment file has ``env``; ``options`` are the role's."""
    monkeypatch.setattr(settings_places, "OWN_DIRECTORY", str(tmp_path / "etc"))

    def made(
        text: str = APPLICATION, env: str | None = "HR_DATABASE_URL=postgresql://db.internal/hr\n", **options: Any
    ) -> Host:
        code = tmp_path / "code"
        code.mkdir(exist_ok=True)
        (code / "main.py").write_text(text)
        (code / "fake.py").write_text(PYDANTIC)
        backend = Backend(
            "hr.service", "systemd", uid=os.geteuid(), gid=os.getegid(), cwd=str(code), python=sys.executable
        )
        backend.groups = [os.getegid()]
        backend.app = App(
            server="script", argv=[sys.executable, "main.py"], program=sys.executable, script=str(code / "main.py"),
            code_dir=str(code), path_prepend=[str(code)],
        )  # fmt: skip
        backend.environ = {"PATH": "/usr/bin:/bin"}
        if env is not None:
            path = tmp_path / "env"
            path.write_text(env)
            backend.env_files = [EnvFileRef(str(path), False, f"EnvironmentFile={path}")]
            for name, value in parse(env.encode()).variables.items():
                backend.environ[name], backend.environ_origin[name] = value, str(path)
        ctx = Context({"import_test_timeout": 10, "import_test_memory_mb": 256}, time.monotonic() + 60)
        sections: dict[str, Any] = {}

        def evidence(name: str) -> dict[str, Any]:
            return sections.setdefault(name, import_test.collect(backend, ctx))  # type: ignore[no-any-return]

        return Host(backend, ctx, options, None, evidence)  # type: ignore[arg-type]

    return made


def written(proposal: Proposal, path: Path) -> dict[str, str]:
    """What the proposal's change of a file makes of it."""
    change = next(change for change in proposal.changes if change.path == str(path))
    assert change.secret and change.content is not None
    return dict(parse(change.content).variables)


def told(proposal: Proposal | Refused) -> str:
    """All that a reader would see of it."""
    if isinstance(proposal, Refused):
        return " ".join([str(proposal), *proposal.commands])
    return " ".join(
        [proposal.decision, *proposal.notes, *(f"{change.path} {change.why}" for change in proposal.changes)]
    )


def test_all_that_is_missing_is_listed_with_its_place_and_its_command(make: Make, tmp_path: Path) -> None:
    with pytest.raises(Refused) as caught:
        settings.propose(make(env="HR_DATABASE_URL=x\nHR_WORKERS=many\n"))
    text = str(caught.value)
    for name in ("HR_SECRET_KEY", "HR_SMTP_HOST", "HR_WORKERS"):
        assert name in text
    assert "HR_WORKERS (the backend calls it workers) has a value that is refused" in text
    assert text.count(str(tmp_path / "env")) == 3 and "many" not in text
    assert "settings_values with HR_SMTP_HOST, HR_WORKERS" in text
    assert any(
        '"HR_SECRET_KEY": true' in command and "backend_service=hr.service" in command
        for command in caught.value.commands
    )


def test_values_go_to_their_neighbours_and_appear_nowhere(make: Make, tmp_path: Path) -> None:
    host = make(values={"smtp_host": "mail.example.org", "HR_SECRET_KEY": SECRET})
    proposal = settings.propose(host)
    assert written(proposal, tmp_path / "env") == {
        "HR_DATABASE_URL": "postgresql://db.internal/hr", "HR_SMTP_HOST": "mail.example.org", "HR_SECRET_KEY": SECRET,
    }  # fmt: skip
    assert SECRET not in told(proposal) and "mail.example.org" not in told(proposal)
    assert host.ctx.secrets[SECRET] == "HR_SECRET_KEY"
    assert proposal.prove and proposal.restart and [change.kind for change in proposal.changes] == ["file"]
    assert "tried with these settings" in told(proposal)
    assert "HR_SMTP_HOST" not in (tmp_path / "env").read_text()


def test_a_second_run_changes_nothing(make: Make, tmp_path: Path) -> None:
    given = {"smtp_host": "mail.example.org", "HR_SECRET_KEY": SECRET}
    change = settings.propose(make(values=given)).changes[0]
    assert change.content
    proposal = settings.propose(make(env=change.content.decode(), values=given, generate={"HR_SECRET_KEY": "hex"}))
    assert not proposal.changes and not proposal.restart


def test_a_value_is_made_once_and_never_replaced(make: Make, tmp_path: Path) -> None:
    given = {"smtp_host": "mail.example.org"}
    change = settings.propose(make(values=given, generate={"secret_key": "urlsafe"})).changes[0]
    assert change.content
    made = parse(change.content).variables["HR_SECRET_KEY"]
    assert len(made) > 40
    proposal = settings.propose(make(env=change.content.decode(), values=given, generate={"HR_SECRET_KEY": "urlsafe"}))
    assert not proposal.changes and "kept" in told(proposal)


def test_a_refused_value_is_not_replaced_by_a_made_one(make: Make) -> None:
    text = "import os\nif os.environ.get('APP_SECRET_KEY') in (None, 'changeme'):\n    raise RuntimeError('APP_SECRET_KEY must not be the default')\n"
    with pytest.raises(Refused, match="never replaced"):
        settings.propose(make(text, env="APP_SECRET_KEY=changeme\n", generate={"APP_SECRET_KEY": "hex"}))
    with pytest.raises(Refused, match="the value is a placeholder"):
        settings.propose(make(text, env="APP_SECRET_KEY=changeme\n", values={"APP_SECRET_KEY": "changeme"}))
    assert settings.propose(make(text, env="APP_SECRET_KEY=changeme\n", values={"APP_SECRET_KEY": SECRET})).changes


def test_one_value_too_few_changes_nothing(make: Make) -> None:
    with pytest.raises(Refused) as caught:
        settings.propose(make(values={"smtp_host": "mail.example.org"}))
    assert "HR_SECRET_KEY" in str(caught.value) and "HR_SMTP_HOST is" not in str(caught.value)


def test_what_comes_behind_is_found_before_anything_is_written(make: Make) -> None:
    text = "import os\nA = os.environ['A_KEY']\nB = os.environ['B_HOST']\nC = os.environ['C_HOST']\n"
    with pytest.raises(Refused) as caught:
        settings.propose(make(text, env="", values={"A_KEY": SECRET}))
    assert "B_HOST is missing" in str(caught.value)
    assert "C_HOST (" in str(caught.value) and "A_KEY is missing" not in str(caught.value)


def test_a_value_that_is_refused_again_is_named_and_not_written(make: Make) -> None:
    with pytest.raises(Refused, match="refuses the value given for HR_WORKERS") as caught:
        settings.propose(
            make(
                env="HR_DATABASE_URL=x\nHR_SECRET_KEY=k9Xw.2\nHR_SMTP_HOST=m\nHR_WORKERS=many\n",
                values={"workers": "several"},
            )
        )
    assert "several" not in told(caught.value)


@pytest.mark.parametrize(
    ("values", "env", "words"),
    [
        ({"HR_SECRET_KEY": "changeme", "smtp_host": "m"}, "HR_DATABASE_URL=x\n", "placeholder"),
        ({"HR_SECRET_KEY": "dev", "smtp_host": "m"}, "HR_DATABASE_URL=x\n", "everybody knows"),
        ({"HR_DATABASE_URL": "sqlite:///x.db"}, "HR_SMTP_HOST=m\nHR_SECRET_KEY=x\nAPP_ENV=production\n", "SQLite"),
        ({"HR_DATABASE_URL": "postgresql://127.0.0.1/x"}, "HR_SMTP_HOST=m\nHR_SECRET_KEY=x\nAPP_ENV=production\n", "this host itself"),
        ({"HR_DATABASE_URL": "postgresql://db/x", "HR_ALLOWED_HOSTS": "*"}, "HR_SMTP_HOST=m\nHR_SECRET_KEY=x\nENV=prod\n", "lets everybody in"),
        ({"HR_DATABASE_URL": "postgresql://db/x", "APP_ENV": "dev"}, "HR_SMTP_HOST=m\nHR_SECRET_KEY=x\nAPP_ENV=production\n", "another stage"),
        ({"LD_PRELOAD": "/x.so", "HR_SMTP_HOST": "m"}, "HR_DATABASE_URL=x\nHR_SECRET_KEY=x\n", "which code runs"),
    ],
)  # fmt: skip
def test_values_that_are_never_put_in(make: Make, values: Mapping[str, str], env: str, words: str) -> None:
    with pytest.raises(Refused, match=words) as caught:
        settings.propose(make(env=env, values=values))
    assert all(value not in told(caught.value) for value in values.values() if len(value) > 4)


def test_local_may_be_meant(make: Make) -> None:
    env = "HR_SMTP_HOST=m\nHR_SECRET_KEY=x\nAPP_ENV=production\n"
    given = {"HR_DATABASE_URL": "postgresql://127.0.0.1/x"}
    assert settings.propose(make(env=env, values=given, allow_local=["HR_DATABASE_URL"])).changes
    assert settings.propose(make(env=env, values=given, production="false")).changes


def test_without_an_environment_file_the_backend_gets_its_own(make: Make, tmp_path: Path) -> None:
    text = "import os\nos.environ['TOKEN_KEY']\n"
    proposal = settings.propose(make(text, env=None, values={"TOKEN_KEY": SECRET}))
    path = tmp_path / "etc" / "hr.service.env"
    assert written(proposal, path) == {"TOKEN_KEY": SECRET}
    first, second = proposal.changes
    assert (first.mode, first.uid) == (0o600, 0)
    assert second.path == "/etc/systemd/system/hr.service.d/90-firstaid-settings.conf"
    assert (
        second.content
        and f"EnvironmentFile={path}\n".encode() in second.content
        and SECRET.encode() not in second.content
    )


def test_a_variable_of_the_unit_itself_is_overruled_by_a_file(make: Make, tmp_path: Path) -> None:
    host = make("import os\nint(os.environ['CACHE_SIZE'])\n", env=None, values={"CACHE_SIZE": 100})
    host.backend.environ["CACHE_SIZE"], host.backend.environ_origin["CACHE_SIZE"] = "large", "Environment="
    assert written(settings.propose(host), tmp_path / "etc" / "hr.service.env") == {"CACHE_SIZE": "100"}


def test_what_a_start_script_sets_wins_over_every_file(make: Make) -> None:
    host = make("import os\nint(os.environ['CACHE_SIZE'])\n", values={"CACHE_SIZE": 100})
    host.backend.environ["CACHE_SIZE"], host.backend.environ_origin["CACHE_SIZE"] = "large", "start script /opt/run.sh"
    with pytest.raises(Refused, match=r"/opt/run\.sh"):
        settings.propose(host)


def test_a_file_that_another_unit_reads_is_left_alone(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = tmp_path / "units"
    (units / "other.service.d").mkdir(parents=True)
    (units / "other.service.d" / "x.conf").write_text(f"[Service]\nEnvironmentFile=-{tmp_path}/en*\n")
    monkeypatch.setattr(settings_places.unit_files, "SEARCH_PATH", (str(units),))
    proposal = settings.propose(make(values={"smtp_host": "m", "secret_key": SECRET}))
    assert proposal.changes[0].path == str(tmp_path / "etc" / "hr.service.env")
    with pytest.raises(Refused, match=r"other\.service"):
        settings.propose(make(values={"smtp_host": "m", "secret_key": SECRET}, file=str(tmp_path / "env")))


def test_the_applications_own_file_keeps_its_variables(make: Make, tmp_path: Path) -> None:
    text = "from dotenv import load_dotenv\nload_dotenv('.env')\n"
    fake = "def load_dotenv(name):\n    import os\n    for line in open(name):\n        os.environ.setdefault(*line.strip().split('=', 1))\n"
    host = make(
        text + "import os\nos.environ['APP_HOST']\nos.environ['APP_KEY']\n", env=None, values={"APP_KEY": SECRET}
    )
    (tmp_path / "code" / "dotenv.py").write_text(fake)
    (tmp_path / "code" / ".env").write_text("APP_HOST=h\n")
    proposal = settings.propose(host)
    assert written(proposal, tmp_path / "code" / ".env") == {"APP_HOST": "h", "APP_KEY": SECRET}
    assert proposal.changes[0].mode is None and len(proposal.changes) == 1


def test_under_supervisor_the_lines_to_change_are_told(make: Make) -> None:
    host = make("import os\nos.environ['APP_KEY']\n", env=None, values={"APP_KEY": SECRET})
    host.backend.name, host.backend.runtime = "shop", "supervisor"
    host.backend.service = {"supervisor": {"config": "/etc/supervisor/supervisord.conf"}}
    with pytest.raises(Refused) as caught:
        settings.propose(host)
    assert any('environment=: APP_KEY="..."' in command for command in caught.value.commands) and SECRET not in told(
        caught.value
    )


def test_another_failure_is_no_matter_of_settings(make: Make) -> None:
    with pytest.raises(Refused, match="ZeroDivisionError"):
        settings.propose(make("1 / 0\n"))
    proposal = settings.propose(make("import os\nos.environ['A_KEY']\n1 / 0\n", env="B=1\n", values={"A_KEY": SECRET}))
    assert "ZeroDivisionError" in told(proposal)


def test_a_healthy_backend_is_left_alone(make: Make) -> None:
    proposal = settings.propose(make("x = 1\n"))
    assert not proposal.changes and not proposal.restart


def test_a_diagnosis_may_name_what_no_import_shows(make: Make) -> None:
    with pytest.raises(Refused, match="SENTRY_KEY is missing"):
        settings.propose(make("x = 1\n", variables=["SENTRY_KEY"]))
    assert not settings.propose(make("x = 1\n", env="SENTRY_KEY=a\n", variables="SENTRY_KEY")).changes


CHECKED = "import os\nif not os.getenv('SKIP_CHECKS') and not os.getenv('APP_KEY'):\n    raise RuntimeError('APP_KEY must be set')\n"


def kinds(changes: list[Change]) -> list[tuple[str, str]]:
    return [(change.kind, os.path.basename(change.path)) for change in changes]


def test_a_variable_for_a_while_never_without_the_timer_that_ends_it(make: Make) -> None:
    proposal = settings.propose(make(CHECKED, bypass={"variable": "SKIP_CHECKS", "value": True, "minutes": 5}))
    assert kinds(proposal.changes) == [
        ("file", "firstaid-end-hr.service.service"), ("file", "firstaid-end-hr.service.timer"), ("start_unit", "firstaid-end-hr.service.timer"),
        ("file", "90-firstaid-temporary.env"), ("file", "90-firstaid-temporary.conf"),
    ]  # fmt: skip
    assert all(change.path.startswith("/run/systemd/system/") for change in proposal.changes)
    assert b"OnActiveSec=300\n" in (proposal.changes[1].content or b"")
    assert proposal.changes[3].content == b"SKIP_CHECKS=true\n"
    text = told(proposal)
    assert "APP_KEY stay" in text and "until its next restart" in text and "by a reboot" in text


def test_a_variable_that_runs_already_is_not_set_again(make: Make) -> None:
    asked = {"variable": "SKIP_CHECKS", "value": "true"}
    drop = settings.propose(make(CHECKED, bypass=asked)).changes[-1]
    host = make(CHECKED, bypass=asked)
    host.backend.environ["SKIP_CHECKS"] = "true"
    host.backend.unit = {"files": [{"path": drop.path, "text": (drop.content or b"").decode(), "kind": "dropin"}]}
    proposal = settings.propose(host)
    assert not proposal.changes and not proposal.restart and "set already" in told(proposal)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"variable": "NO_SUCH_SWITCH", "value": "1"}, "never names it"),
        ({"variable": "SKIP_CHECKS", "value": "1", "minutes": 100000}, "minutes from 1"),
        ({"variable": "SKIP_CHECKS"}, "value of one line"),
        ({"variable": "LD_PRELOAD", "value": "/x"}, "which code runs"),
        ({"value": "x"}, "needs variable"),
    ],
)
def test_a_while_that_is_not_set(make: Make, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused, match=words):
        settings.propose(make(CHECKED, bypass=asked))


def test_a_while_needs_a_supervisor_that_ends_it(make: Make) -> None:
    host = make(CHECKED, bypass={"variable": "SKIP_CHECKS", "value": "1"})
    host.backend.runtime = "supervisor"
    with pytest.raises(Refused, match="nothing would end it"):
        settings.propose(host)


def test_a_restart_at_the_end_only_when_asked(make: Make) -> None:
    asked = {"variable": "SKIP_CHECKS", "value": "1"}
    plain, restarting = (settings.propose(make(CHECKED, bypass={**asked, "restart": value})) for value in (False, True))
    assert b"try-restart" not in (plain.changes[0].content or b"") and b"try-restart hr.service\n" in (
        restarting.changes[0].content or b""
    )
    assert settings_bypass.DEFAULT_MINUTES == 30
