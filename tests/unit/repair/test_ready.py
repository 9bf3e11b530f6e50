# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole watch, on real processes that a tiny supervisor keeps."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.firstaid.backend.plugins.doc_fragments.backend import ModuleDocFragment
from ansible_collections.firstaid.backend.plugins.module_utils._evidence import app, choose
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import App, Backend
from ansible_collections.firstaid.backend.plugins.module_utils._repair import lock, ready, ready_look, store
from ansible_collections.firstaid.backend.plugins.module_utils._repair.ready_look import Word
from ansible_collections.firstaid.backend.plugins.modules import backend_ready

SERVER = """
import http.server, os, sys, threading, time
time.sleep({late})
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response({status}); self.end_headers(); self.wfile.write({body!r})
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", {port}), Handler)
if {life}:
    threading.Timer({life}, os._exit, [3]).start()
server.serve_forever(0.05)
"""


class Keeper:
    """A supervisor of one process: starts it, restarts it when told to, and says how it is."""

    def __init__(self, code: str, restarts: bool) -> None:
        self.code, self.restarting, self.restarts = code, restarts, 0
        self.child = self.spawn()

    def spawn(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", self.code], start_new_session=True)

    def word(self) -> Word:
        status = self.child.poll()
        if status is None:
            return Word("running", "active (running)", self.child.pid, self.restarts)
        if not self.restarting:
            return Word("failed", f"failed (failed), exit-code, status {status}", None, self.restarts)
        self.child, self.restarts = self.spawn(), self.restarts + 1
        return Word("restarting", "activating (auto-restart)", None, self.restarts)

    def end(self) -> None:
        if self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Start a server that behaves as told, and watch it."""
    keepers: list[Keeper] = []

    def start(
        params: dict[str, Any] | None = None,
        once: bool = False,
        restarts: bool = True,
        server: str = "script",
        settle: float = 0.0,
        environ: dict[str, str] | None = None,
        **behaviour: Any,
    ) -> dict[str, Any]:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        values = {"late": 0, "status": 200, "body": b"{}", "life": 0, "port": port, **behaviour}
        keeper = Keeper(SERVER.format(**values), restarts)
        keepers.append(keeper)
        found = Backend("api", "supervisor", app=App(server=server, port=port), environ=environ or {})

        def chosen(_params: Any, _ctx: Context) -> choose.Chosen:
            return choose.Chosen([found])

        monkeypatch.setattr(choose, "choose", chosen)
        monkeypatch.setattr(app, "resolve", lambda _backend, _ctx: None)
        monkeypatch.setattr(ready_look, "asker", lambda _backend, _ctx: keeper.word)
        time.sleep(settle)
        return ready.check({"window": 1.0, "deadline": 15.0, **(params or {})}, once)

    yield start
    for keeper in keepers:
        keeper.end()


def test_a_healthy_backend(run: Run) -> None:
    told = run()
    assert told["ready"] is True and told["waited"] >= 1
    assert told["reason"].startswith("api stayed up for 1 s without a restart; its own process listens on port")
    assert {name: item["ok"] for name, item in told["checks"].items()} == {
        "stayed_up": True,
        "restarts_still": True,
        "workers": None,
        "port_owned": True,
        "health": True,
        "extra_urls": None,
    }
    assert told["timeline"][-1]["port_owner"] == "own" and told["timeline"][-1]["health"] in ("200", "404")


def test_a_slow_starter_is_waited_for(run: Run) -> None:
    told = run(late=2)
    assert told["ready"] is True and told["waited"] >= 3
    assert told["timeline"][0]["port_owner"] == "none"


def test_a_deadline_bounds_the_beginning_of_the_window_only(run: Run) -> None:
    told = run({"deadline": 1.0}, late=60)
    assert told["ready"] is False and told["waited"] < 6
    assert told["reason"].startswith("api was not ready within 1 s: nothing listens on port")


def test_it_answers_once_and_dies(run: Run) -> None:
    told = run({"window": 20.0}, restarts=False, life=1.5)
    assert told["ready"] is False and told["waited"] < 12
    assert "it failed and nothing will restart it" in told["reason"]
    assert "200" in [row["health"] for row in told["timeline"]]
    assert told["checks"]["stayed_up"]["ok"] is False


def test_it_answers_between_its_crashes(run: Run) -> None:
    told = run({"window": 30.0}, life=1.0)
    assert told["ready"] is False and told["waited"] < 14
    assert told["restarts"] == 2 and "keeps crashing" in told["reason"]
    assert told["checks"]["restarts_still"]["ok"] is False and "diagnose-backend-crash" in told["next_step"]


def test_it_runs_and_is_not_well(run: Run) -> None:
    told = run({"deadline": 1.0}, status=503)
    assert told["ready"] is False and "answers 503" in told["reason"]
    assert told["checks"]["port_owned"]["ok"] is True


def test_it_answers_200_and_says_that_it_is_degraded(run: Run) -> None:
    params = {"deadline": 1.0, "health_url": "/up", "health_body": {"status": "ok"}}
    assert "its body differs in status" in run(params, body=b'{"status": "degraded"}')["reason"]


def test_check_mode_looks_once(run: Run) -> None:
    told = run({"window": 600.0}, once=True, settle=1.0)
    assert told["waited"] < 5 and len(told["timeline"]) == 1
    assert "looked at" in told["reason"] and told["checks"]["restarts_still"]["ok"] is None


def test_secrets_do_not_leave_the_target(run: Run) -> None:
    word = "s3cr3t-tok3n-value"
    told = run({"deadline": 1.0, "health_url": f"http://127.0.0.1:1/?key={word}"}, environ={"API_TOKEN": word})
    assert told["ready"] is False and word not in str(told)


def test_the_lock_of_the_session_is_kept(run: Run, tmp_path: Path) -> None:
    state = store.open_state(str(tmp_path / "state"), create=True)
    folder = state.folder("api", create=True)
    session, _former = lock.take(folder, lease_s=60)
    before = lock.epoch((lock.holder(folder) or {})["lease_until"])
    told = run({"session": session, "state_dir": str(tmp_path / "state")})
    after = lock.epoch((lock.holder(folder) or {})["lease_until"])
    assert told["ready"] and before is not None and after is not None and after > before
    with pytest.raises(lock.Locked):
        run({"session": "20261122T101500Z-000000", "state_dir": str(tmp_path / "state")})


def test_the_documentation_tells_every_option() -> None:
    options = {
        **yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"],
        **yaml.safe_load(backend_ready.DOCUMENTATION)["options"],
    }
    assert set(options) == set(backend_ready.ARGUMENTS)
    for name, spec in backend_ready.ARGUMENTS.items():
        assert {key: options[name].get(key) for key in ("type", "default", "elements")} == {
            key: spec.get(key) for key in ("type", "default", "elements")
        }, name


def test_the_documentation_tells_every_result(run: Run) -> None:
    documented = set(yaml.safe_load(backend_ready.RETURN)) - {"near_names"}
    assert documented == set(run(once=True))


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"window": 0.5}, "window is 0.5"),
        ({"deadline": 4000}, "deadline is 4000"),
        ({"port": 70000}, "port is 70000"),
        ({"health_status": [2000]}, "2000 is no HTTP status"),
        ({"extra_urls": [{"url": "http://x", "status": [1]}]}, "1 is no HTTP status"),
        ({"health_url": "healthz"}, "path that starts with /"),
    ],
)
def test_wrong_settings_are_refused(params: dict[str, Any], said: str) -> None:
    known = {"window": None, "deadline": 120, "port": None, "health_status": [], "extra_urls": [], "health_url": None}
    assert backend_ready.refusals(known) == []
    assert said in " ".join(backend_ready.refusals({**known, **params}))
