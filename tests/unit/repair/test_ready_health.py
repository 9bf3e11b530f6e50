# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import http.server
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence.health import Place
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import App, Backend
from ansible_collections.firstaid.backend.plugins.module_utils._repair import ready_health
from ansible_collections.firstaid.backend.plugins.module_utils._repair.ready_health import (
    Endpoint,
    Expectation,
    HealthLook,
    ask_all,
    ask_url,
    body_complaint,
    expected_body,
)

Pages = dict[str, tuple[int, bytes, dict[str, str]]]


class Server(http.server.ThreadingHTTPServer):
    pages: Pages
    asked: list[str]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        status, body, headers = self.server.pages.get(self.path, (404, b"nothing", {}))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: Any) -> None:
        pass


@contextmanager
def web(pages: Pages, certificate: Path | None = None, host: str = "127.0.0.1") -> Iterator[Server]:
    kind = type("Family", (Server,), {"address_family": socket.AF_INET6 if ":" in host else socket.AF_INET})
    with kind((host, 0), Handler) as server:
        server.pages, server.asked = pages, []
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        worker = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        worker.start()
        try:
            yield server
        finally:
            server.shutdown()


@contextmanager
def raw(answer: bytes | None) -> Iterator[int]:
    """A server that says one thing to every client, or nothing at all."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        kept: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    link, _peer = listener.accept()
                except OSError:
                    return
                kept.append(link)
                if answer is not None:
                    link.recv(4096)
                    link.sendall(answer)
                    link.close()

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        for link in kept:
            link.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate that nobody signed."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x -keyout".split()
    subprocess.run([*command, path, "-out", f"{path}.crt"], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


def endpoint(
    url: str | None = None, server: str = "uvicorn", port: int | None = 80, argv: list[str] | None = None, **more: Any
) -> Endpoint:
    backend = Backend("api", "systemd", argv=argv or [], app=App(server=server, port=port))
    return Endpoint(backend, url, Expectation(**more))


def ask(asked: Endpoint, port: int, host: str = "127.0.0.1") -> HealthLook:
    return asked.look([Place(host, port)], os.getpid())


def page(status: int, body: bytes = b"", **headers: str) -> tuple[int, bytes, dict[str, str]]:
    return status, body, headers


@pytest.mark.parametrize(
    ("status", "good"), [(200, True), (204, True), (401, True), (403, True), (405, True), (500, False), (503, False)]
)
def test_what_counts_as_an_answer_on_a_usual_path(status: int, good: bool) -> None:
    with web({"/health": page(status)}) as server:
        found = ask(endpoint(), server.server_address[1])
    assert (found.ok, found.word) == (good, str(status))


def test_a_backend_without_any_health_path_answers() -> None:
    with web({}) as server:
        asked = endpoint()
        found = ask(asked, server.server_address[1])
        assert found.ok is True and "none of the usual health paths" in found.text
        assert len(server.asked) == len(ready_health.PATHS)
        ask(asked, server.server_address[1])
    assert len(server.asked) == len(ready_health.PATHS) + 1


def test_the_path_that_was_good_is_asked_again_and_only_it() -> None:
    with web({"/healthz": page(200)}) as server:
        asked = endpoint()
        ask(asked, server.server_address[1])
        server.pages = {"/healthz": page(503), "/": page(200)}
        assert ask(asked, server.server_address[1]).ok is False
    assert server.asked == ["/health", "/healthz", "/healthz"]


@pytest.mark.parametrize(("status", "good"), [(200, True), (401, True), (404, False), (405, False), (500, False)])
def test_a_named_path_has_to_be_there(status: int, good: bool) -> None:
    with web({"/up?full=1": page(status)}) as server:
        found = ask(endpoint("/up?full=1"), server.server_address[1])
    assert found.ok is good and server.asked == ["/up?full=1"]


def test_an_expected_status_and_no_other() -> None:
    with web({"/up": page(200)}) as server:
        port = server.server_address[1]
        assert ask(endpoint("/up", status=(204,)), port).text.endswith("answers 200, expected 204")
        assert ask(endpoint("/up", status=(204, 200)), port).ok is True


def test_a_degraded_backend_that_answers_200() -> None:
    with web({"/health": page(200, b'{"status": "degraded", "db": {"up": false}}')}) as server:
        found = ask(endpoint(body={"status": "ok", "db": {"up": True}, "version": 3}), server.server_address[1])
    assert found.ok is False
    assert found.text.endswith("its body differs in status, db.up, version (missing)")
    assert "degraded" not in found.text


@pytest.mark.parametrize(
    ("body", "wanted", "good"),
    [
        ("all is well", "well", True),
        ("all is well", "ill", False),
        ('{"a": 1, "b": [1]}', {"a": 1}, True),
        ('{"a": true}', {"a": 1}, False),
        ('{"a": true}', {"a": "True"}, True),
        ('{"a": 1}', {"a": "1"}, True),
        ('{"a": "1"}', {"a": 1}, False),
        ("<html>", {"a": 1}, False),
        ("[1]", {"a": 1}, False),
    ],
)
def test_bodies(body: str, wanted: Any, good: bool) -> None:
    assert (body_complaint(body, wanted) is None) is good


def test_a_body_from_a_command_line() -> None:
    assert expected_body('{"status": "ok"}') == {"status": "ok"}
    assert expected_body("{not json") == "{not json"
    assert expected_body("") is None and expected_body(None) is None


def test_a_large_body_is_read_to_its_end() -> None:
    body = b'{"fill": "' + b"x" * 30000 + b'", "status": "ok"}'
    with web({"/health": page(200, body)}) as server:
        assert ask(endpoint(body={"status": "ok"}), server.server_address[1]).ok is True


def test_tls_is_found_and_its_own_certificate_is_fine(certificate: Path) -> None:
    with web({"/health": page(200)}, certificate) as server:
        found = ask(endpoint(argv=["uvicorn", "--ssl-certfile", "x"]), server.server_address[1])
        assert (found.ok, str(found.url)[:8]) == (True, "https://")
        named = ask_url(f"https://localhost:{server.server_address[1]}/health", Expectation())
        assert named.ok is True


def test_plain_http_behind_a_command_line_that_names_a_certificate() -> None:
    with web({"/health": page(200)}) as server:
        found = ask(endpoint(argv=["uvicorn", "--ssl-certfile", "x"]), server.server_address[1])
    assert (found.ok, str(found.url)[:7]) == (True, "http://")


def test_a_certificate_elsewhere_has_to_be_valid(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready_health, "is_own_address", lambda _address: False)
    with web({"/": page(200)}, certificate) as server:
        url = f"https://127.0.0.1:{server.server_address[1]}/"
        refused = ask_url(url, Expectation())
        assert refused.ok is False and "TLS" in refused.text
        assert ask_url(url, Expectation(validate_certs=False)).ok is True


def test_ipv6_only() -> None:
    try:
        with web({"/health": page(200)}, host="::1") as server:
            found = ask(endpoint(), server.server_address[1], "::1")
            assert found.ok is True and "[::1]" in found.text
            assert ask_url(f"http://[::1]:{server.server_address[1]}/health", Expectation()).ok is True
    except OSError:
        pytest.skip("no IPv6 here")


def test_redirects_stay_on_the_same_host() -> None:
    with web({"/": page(302, Location="/login"), "/login": page(200)}) as server:
        port = server.server_address[1]
        assert ask_url(f"http://127.0.0.1:{port}/", Expectation()).ok is True
        assert server.asked == ["/", "/login"]
        server.pages["/"] = page(302, Location="http://169.254.169.254/secret")
        found = ask_url(f"http://127.0.0.1:{port}/", Expectation())
        assert found.ok is False and "another host" in found.text and "169.254" not in found.text
        assert ask_url(f"http://127.0.0.1:{port}/", Expectation(status=(302,))).ok is True
        server.pages["/"] = page(302, Location="/")
        assert "more than 3 times" in ask_url(f"http://127.0.0.1:{port}/", Expectation()).text


def test_a_redirect_of_the_backend_itself_is_an_answer_and_not_followed() -> None:
    with web({"/health": page(307, Location="https://example.invalid/login")}) as server:
        assert ask(endpoint(), server.server_address[1]).ok is True
        assert server.asked == ["/health"]


def test_a_login_in_the_url_is_not_shown() -> None:
    with web({"/": page(500)}) as server:
        found = ask_url(f"http://joe:hunter22@127.0.0.1:{server.server_address[1]}/", Expectation())
    assert "hunter22" not in found.text + str(found.url)


def test_a_hang_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready_health, "REQUEST_SECONDS", 0.4)
    with raw(None) as port:
        assert ask(endpoint(server="script"), port).ok is False


def test_what_speaks_no_http_is_let_be_unless_it_should() -> None:
    with raw(b"* OK IMAP4 ready\r\n") as port:
        assert ask(endpoint(server="script"), port).ok is None
        assert ask(endpoint(server="gunicorn"), port).ok is False
        assert ask(endpoint("/up", server="script"), port).ok is False


def test_without_a_listener_it_depends_on_what_was_to_be() -> None:
    assert endpoint(server="celery", port=None).look([], None).ok is None
    assert endpoint(server="script", port=None).look([], None).ok is None
    assert endpoint(server="script", port=8000).look([], None).ok is False


def test_further_urls() -> None:
    with web({"/a": page(200), "/login": page(302, Location="https://example.invalid/")}) as server:
        base = f"http://127.0.0.1:{server.server_address[1]}"
        good: list[dict[str, Any]] = [{"url": f"{base}/a"}, {"url": f"{base}/login", "status": [302]}]
        found = ask_all(good, True)
        assert found is not None and found.ok is True
        bad = ask_all([*good, {"url": f"{base}/gone"}], True)
        assert bad is not None and bad.ok is False and "/gone answers 404" in bad.text
    assert ask_all([], True) is None


@pytest.mark.parametrize("url", ["ftp://x/", "http://", "http://[::1", "http://127.0.0.1:99999/"])
def test_an_unusable_url_is_said(url: str) -> None:
    assert "no usable URL" in ask_url(url, Expectation()).text
