# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import http.server
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import health
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.health import Answer, Place
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import App, Backend


@contextmanager
def web(pages: dict[str, tuple[int, bytes]]) -> Iterator[tuple[int, list[str]]]:
    """A loopback web server: (its port, the methods and paths that it was asked)."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.command} {self.path}")
            status, body = pages.get(self.path, (404, b"nothing"))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        worker = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        worker.start()
        yield server.server_address[1], asked
        server.shutdown()


@contextmanager
def raw(answer: bytes | None) -> Iterator[int]:
    """A server that says one thing to every client, or nothing at all."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            kept = []
            while True:
                try:
                    link, _peer = listener.accept()
                except OSError:
                    return
                if answer is None:
                    kept.append(link)
                    continue
                with link:
                    link.recv(4096)
                    link.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def collect(port: int | None, **params: Any) -> dict[str, Any]:
    """Take this very process for the backend, since it holds the servers' sockets."""
    backend = Backend("api", "supervisor", running=True, main_pid=os.getpid(), app=App(server="uvicorn", port=port))
    return health.collect(backend, Context(params, time.monotonic() + 10))


def test_the_first_good_path_is_taken() -> None:
    with web({"/healthz": (200, b'{"status": "ok"}'), "/": (200, b"home")}) as (port, asked):
        found = collect(port)
    assert (found["status"], found["body"], found["error"]) == (200, '{"status": "ok"}', None)
    assert found["url"].endswith(f":{port}/healthz")
    assert asked == ["GET /health", "GET /healthz"]
    assert [item["status"] for item in found["tried"]] == [404, 200]


def test_a_server_error_on_a_health_path_is_the_answer() -> None:
    with web({"/health": (503, b"database down\x1b[31m"), "/": (200, b"home")}) as (port, _asked):
        found = collect(port)
    assert (found["status"], found["body"]) == (503, "database down")


def test_an_answer_without_any_health_path_is_still_an_answer() -> None:
    with web({}) as (port, asked):
        found = collect(port)
    assert (found["status"], found["error"]) == (404, None)
    assert len(asked) == len(health.PATHS)


def test_a_hang_is_a_time_out_within_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "REQUEST_SECONDS", 0.2)
    begun = time.monotonic()
    with raw(None) as port:
        found = collect(port)
    assert time.monotonic() - begun < 1.5
    assert found["status"] is None
    assert "timed out" in found["error"]
    assert len(found["tried"]) == 2


def test_what_is_no_web_server() -> None:
    with raw(b"SSH-2.0-OpenSSH_9.2\r\n") as port:
        assert "does not speak HTTP" in collect(port)["error"]


@pytest.mark.parametrize(
    ("data", "tls", "status"),
    [
        (b"\x15\x03\x01\x00\x02\x02\x46", True, None),
        (b"HTTP/1.1 400 Bad Request\r\n\r\nThe plain HTTP request was sent to HTTPS port", True, 400),
        (b"HTTP/1.1 200 OK\r\n\r\nfine", False, 200),
        (b"HTTP/2 204 No Content\r\n\r\n", False, 204),
        (b"", False, None),
    ],
)
def test_answers(data: bytes, tls: bool, status: int | None) -> None:
    answer = Answer()
    health.parse_answer(data, answer)
    assert (answer.wants_tls, answer.status) == (tls, status)
    assert bool(answer.error) == (status is None)


def test_bodies_are_capped_and_clean() -> None:
    answer = Answer()
    health.parse_answer(b"HTTP/1.1 200 OK\r\n\r\n\x1b[2J" + b"x" * 100_000, answer)
    assert len(answer.body) <= health.BODY_BYTES
    assert "\x1b" not in answer.body


def test_nothing_is_asked_of_a_backend_that_is_down_or_serves_no_http() -> None:
    ctx = Context({}, time.monotonic() + 5)
    down = health.collect(Backend("api", "systemd"), ctx)
    assert (down["skipped"], down["tried"]) == ("the backend does not run", [])
    celery = Backend("worker", "systemd", running=True, app=App(server="celery"))
    assert "no HTTP" in health.collect(celery, ctx)["skipped"]
    off = Context({"probe_health": False}, time.monotonic() + 5)
    assert "turned off" in health.collect(celery, off)["skipped"]


def test_the_endpoint_that_the_user_named() -> None:
    with web({"/up?full=1": (200, b"up")}) as (port, asked):
        found = collect(None, backend_health_url=f"http://127.0.0.1:{port}/up?full=1")
        assert (found["status"], found["origin"], asked) == (200, "backend_health_url", ["GET /up?full=1"])
    assert "no usable URL" in collect(None, backend_health_url="ftp://x")["skipped"]
    assert "does not resolve" in collect(None, backend_health_url="http://no.invalid/")["error"]


def test_unix_sockets(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            link, _peer = listener.accept()
            with link:
                link.recv(4096)
                link.sendall(b"HTTP/1.1 200 OK\r\n\r\nhi")

        threading.Thread(target=serve, daemon=True).start()
        found = health.ask(Place("", uds=path), False, 2.0)
    assert (found["status"], found["url"]) == (200, f"http+unix://{path}:/health")


def test_the_configured_port_is_preferred() -> None:
    places = [Place("127.0.0.1", 9000), Place("127.0.0.1", 8443), Place("", uds="/run/x")]
    assert health.choose_place(places, 9000) == places[0]
    assert health.choose_place(places, 7) == places[1]
    assert health.choose_place(places[2:], 7) == places[2]
    assert health.choose_place([], 7) is None
    assert Place("::1", 80).url("http", "/x") == "http://[::1]:80/x"
