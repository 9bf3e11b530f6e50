# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the health endpoint answers as expected, asked by GET."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional
from urllib.parse import urljoin, urlsplit

from .._evidence import health, proc, sockets
from .._evidence.context import KIB, MIB
from .._evidence.health import PATHS, Answer, Place
from .._evidence.model import Backend
from .._evidence.probes import resolve

BODY_BYTES = 64 * KIB
REQUEST_SECONDS = 5.0
SEARCH_SECONDS = 8.0
MAX_REDIRECTS = 3
# Servers of which the command line alone tells that they speak HTTP. uwsgi may speak a protocol of its own.
_HTTP = {"uvicorn", "gunicorn", "hypercorn", "daphne", "granian", "waitress", "flask", "django"}
# It answers, and wants to know who asks.
_WANTS_LOGIN = (401, 403)


@dataclass(frozen=True)
class Expectation:
    """What counts as good. Without ``status``: what :func:`judge` says. ``body`` is a text that must occur, or a mapping
    that the JSON answer must contain."""

    status: tuple[int, ...] = ()
    body: Any = None
    validate_certs: bool = True


@dataclass(frozen=True)
class HealthLook:
    """``ok`` is None where there is nothing to ask. ``word`` is for the timeline: a status, ``no answer``, ``-``."""

    ok: Optional[bool]
    text: str
    word: str = "-"
    url: Optional[str] = None


def expected_body(given: Any) -> Any:
    """The body that the caller expects: a text that holds a JSON object, as it comes from a command line, means that object."""
    if isinstance(given, Mapping):
        return dict(given)
    text = str(given or "")
    if text.lstrip().startswith("{"):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return text
        return found if isinstance(found, dict) else text
    return text or None


class Endpoint:
    """The health endpoint of one backend; remembers which of the usual paths it was."""

    def __init__(self, backend: Backend, url: Optional[str], expectation: Expectation) -> None:
        self.given = url or None
        self.expectation = expectation
        self.server = backend.app.server
        self.wanted_port = backend.app.port
        self.tls = health.tls_first(backend)
        self.path: Optional[str] = None

    def look(self, places: list[Place], main_pid: Optional[int]) -> HealthLook:
        """Ask once. ``places`` are those on which the backend's own processes listen."""
        if self.given and not self.given.startswith("/"):
            return ask_url(self.given, self.expectation)
        if not self.given and self.server in health.NOT_WEB:
            return HealthLook(None, f"{self.server} serves no HTTP")
        theirs, ours = proc.readlink(f"/proc/{main_pid}/ns/net"), proc.readlink("/proc/self/ns/net")
        if theirs and ours and theirs != ours:
            return HealthLook(None, "the backend has a network of its own, which can't be reached from here")
        place = health.choose_place(places, self.wanted_port)
        if place is None:
            must = bool(self.given or self.wanted_port or self.expectation.body or self.expectation.status)
            return HealthLook(False if must else None, "none of its processes listens on a port", "no listener")
        return self._ask(place)

    def _ask(self, place: Place) -> HealthLook:
        """The path that was good before, or the one that was named, or each of the usual ones until one is good."""
        paths = [self.given] if self.given else [self.path] if self.path else list(PATHS)
        answers: list[tuple[str, Answer, HealthLook]] = []
        left = SEARCH_SECONDS
        for path in paths:
            answer, scheme = self._request(place, path, min(REQUEST_SECONDS, left))
            left -= answer.ms / 1000
            found = judge(place.url(scheme, path), answer, self.expectation, named=bool(self.given))
            answers.append((path, answer, found))
            if answer.status is None or left < 0.5:
                break
            # A server error on a health path is its word; a path that isn't there is none.
            if (found.ok and answer.status != 404) or answer.status >= 500:
                break
        path, answer, best = min(answers, key=lambda item: _rank(item[1], item[2]))
        if best.ok:
            self.path = path
        elif answer.status is None and not self._must_speak_http(answer):
            return HealthLook(None, f"it listens at {best.url or place.url('tcp', '')} and speaks no HTTP", "no HTTP")
        return best

    def _request(self, place: Place, path: str, seconds: float) -> tuple[Answer, str]:
        for scheme in ("https", "http") if self.tls else ("http", "https"):
            answer = health.request(place, scheme, path, "localhost", max(0.2, seconds), BODY_BYTES)
            plain_on_tls = scheme == "http" and answer.wants_tls
            tls_on_plain = scheme == "https" and self.tls and (answer.error or "").startswith("TLS:")
            if not (plain_on_tls or tls_on_plain):
                self.tls = scheme == "https"
                break
        return answer, scheme

    def _must_speak_http(self, answer: Answer) -> bool:
        """Whether an answer that is no HTTP is a fault. No answer at all always is one."""
        silent = not (answer.error or "").startswith(("it does not speak HTTP", "the connection was closed"))
        return silent or bool(self.given or self.expectation.status or self.expectation.body) or self.server in _HTTP


def _rank(answer: Answer, found: HealthLook) -> int:
    """Good before server error before refused, and a missing path last of those that answered."""
    if answer.status is None:
        return 9
    if found.ok:
        return 1 if answer.status == 404 else 0
    return 2 if answer.status >= 500 else 3


def judge(url: str, answer: Answer, expectation: Expectation, named: bool) -> HealthLook:
    """Whether an answer is good.

    Without expected statuses, everything below 400 is, and 401 and 403, which say that it works and wants a login. On a path that nobody
    named, so is everything below 500: 404 of the backend's own process says that it works and has no such path.
    """
    if answer.status is None:
        return HealthLook(False, f"{url} gave no good answer: {answer.error or 'none at all'}", "no answer", url)
    word = str(answer.status)
    if expectation.status:
        good = answer.status in expectation.status
        want = f", expected {' or '.join(map(str, expectation.status))}"
    elif named:
        good, want = answer.status < 400 or answer.status in _WANTS_LOGIN, ", expected less than 400, 401 or 403"
    else:
        good, want = answer.status < 500, ", expected less than 500"
    if not good:
        return HealthLook(False, f"{url} answers {word}{want}", word, url)
    if expectation.body is not None:
        wrong = body_complaint(answer.body, expectation.body)
        if wrong:
            return HealthLook(False, f"{url} answers {word}, but {wrong}", f"{word}, other body", url)
    remark = " (it wants a login)" if answer.status in _WANTS_LOGIN else ""
    if answer.status == 404 and not named:
        remark = " (it has none of the usual health paths)"
    return HealthLook(True, f"{url} answers {word}{remark}", word, url)


def body_complaint(body: str, wanted: Any) -> Optional[str]:
    """What is wrong with a body, as a clause; None when it is as expected. The body itself stays out, it may hold anything."""
    if not isinstance(wanted, dict):
        return None if str(wanted) in body else "its body has not the text that was expected"
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return "its body is no JSON"
    missing = _differences(found, wanted, "")
    return f"its body differs in {', '.join(missing[:5])}" if missing else None


def _differences(found: Any, wanted: Mapping[str, Any], at: str) -> list[str]:
    result: list[str] = []
    for key, value in wanted.items():
        place = f"{at}.{key}" if at else str(key)
        if not isinstance(found, dict) or key not in found:
            result.append(f"{place} (missing)")
        elif isinstance(value, Mapping):
            result += _differences(found[key], value, place)
        elif not same_value(found[key], value):
            result.append(place)
    return result


def same_value(found: Any, wanted: Any) -> bool:
    """Equal, or equal as text: on a command line every value is text, and ``true`` there means JSON's."""
    if found == wanted and isinstance(found, bool) == isinstance(wanted, bool):
        return True
    if not isinstance(wanted, str) or isinstance(found, (dict, list, str)):
        return False
    return json.dumps(found) == wanted or (isinstance(found, bool) and wanted.lower() == str(found).lower())


def ask_url(url: str, expectation: Expectation) -> HealthLook:
    """Ask a URL that somebody named. A redirect is followed as long as it stays on the same host name."""
    shown = _without_login(url)
    host = _host(url)
    for _hop in range(MAX_REDIRECTS + 1):
        try:
            parts = urlsplit(url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError as exc:
            return HealthLook(False, f"{shown} is no usable URL: {exc}", "no URL", shown)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return HealthLook(
                False, f"{shown} is no usable URL: it needs http:// or https://, and a host", "no URL", shown
            )
        answer = _get(parts.scheme, parts.hostname, port, _target(parts.path, parts.query), expectation.validate_certs)
        moved = answer.status in (301, 302, 303, 307, 308) and answer.location
        if not moved or answer.status in expectation.status:
            return judge(_without_login(url), answer, expectation, named=True)
        there = urljoin(url, str(answer.location))
        if _host(there) != host:
            text = f"{_without_login(url)} redirects to another host, which is not followed: name the final URL, or expect the status {answer.status}"
            return HealthLook(False, text, str(answer.status), shown)
        url = there
    return HealthLook(False, f"{shown} redirects more than {MAX_REDIRECTS} times", "redirects", shown)


def ask_all(urls: Sequence[Mapping[str, Any]], validate_certs: bool) -> Optional[HealthLook]:
    """The first of further URLs that does not answer as expected, or one look for all; None when there are none."""
    good = []
    for item in urls:
        status = tuple(int(code) for code in item.get("status") or ())
        found = ask_url(str(item["url"]), Expectation(status, expected_body(item.get("body")), validate_certs))
        if not found.ok:
            return found
        good.append(f"{found.url} {found.word}")
    return HealthLook(True, "further URLs answer as expected: " + ", ".join(good)) if good else None


def _get(scheme: str, host: str, port: int, target: str, validate_certs: bool) -> Answer:
    """One GET on the addresses of a name, in turn, so that a service on one address family only is found."""
    found = resolve(host, port)
    if not found["ok"]:
        return Answer(error=f"{host} does not resolve: {found['error']}")
    answer = Answer(error="it has no address")
    for address in found["addresses"][:3]:
        # A backend's own certificate is often self-signed; on this host's own addresses nobody can be in between.
        verify = validate_certs and not is_own_address(address)
        answer = health.request(Place(address, port), scheme, target, host, REQUEST_SECONDS, BODY_BYTES, verify)
        if answer.status is not None:
            break
    return answer


def is_own_address(address: str) -> bool:
    """Whether an address is one of this host."""
    try:
        if ipaddress.ip_address(address.split("%")[0]).is_loopback:
            return True
    except ValueError:
        return False
    base = "/proc/self/net"
    tables = (proc.slurp(f"{base}/fib_trie", MIB) or "", proc.slurp(f"{base}/if_inet6", MIB) or "")
    return address in sockets.parse_local_addresses(*tables)


def _target(path: str, query: str) -> str:
    return (path or "/") + (f"?{query}" if query else "")


def _host(url: str) -> Optional[str]:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _without_login(url: str) -> str:
    scheme, colon, rest = url.partition("://")
    authority, slash, tail = rest.partition("/")
    return scheme + colon + authority.rpartition("@")[2] + slash + tail
