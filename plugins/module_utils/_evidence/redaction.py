# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one choke point: nothing leaves the target that has not been through :func:`redact`.

Two means work together: the exact values of sensitive variables, in every encoding they may turn up in, and the shapes
of :mod:`redaction_rules`. A secret that a shape gave away in one place is searched for in all others. A hidden value becomes
``<redacted:3f9a2c:32+>``: six digits that are the same for the same secret within a run (keyed with a salt that is never returned),
and the class of its length.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Optional
from urllib.parse import unquote

from .context import Context
from .redaction_blocks import Neighbours
from .redaction_exact import ExactValues, searchable
from .redaction_rules import hide_shapes
from .redaction_values import looks_random
from .secret_names import is_sensitive_name, is_trivial_value

__all__ = ["RedactionError", "Redactor", "is_sensitive_name", "learn", "redact"]

_LENGTH_CLASSES = (64, 32, 16, 8, 1)
_URL_LOGIN = re.compile(r"^[A-Za-z][A-Za-z0-9+.\-]{1,40}://[^:/@\s]{0,256}:(?P<password>.{1,1024})@[^@]{0,1024}$")
# Keys of our own documents; every other key of a mapping is text from the host.
_SCHEMA_KEY = re.compile(r"[a-z][a-z0-9_]{0,39}")
_TOKEN = re.compile(r"<redacted:[0-9a-f]{6}:\d{1,2}\+>")
# Rules whose finds are no values of their own, or are too short to be looked for elsewhere.
_LOCAL_RULES = frozenset({"exact", "random", "user_rule", "password_hash"})
# What holds more than one value, or a value among other words: its parts are looked for, too.
_COMPOUND_RULES = frozenset({"header", "pem", "spanning", "env_line", "cookie"})
_PARTS = re.compile(r"[A-Za-z0-9+/_\-]{16,}={0,2}")
_VARIABLE = re.compile(r"[A-Za-z_]\w{0,127}")
# NUL where it separates entries, as log lines show it.
_NUL = re.compile("[\0\u2400]")


class RedactionError(Exception):
    """Redaction of a section failed; the section must be withheld. The message never holds any of its text."""


def learn(environ: Mapping[str, str], ctx: Context) -> None:
    """Remember the exact secrets of an environment, those inside its addresses, lists and documents included.

    A value that a harmless variable has too (``DB_USER=acme DB_PASSWORD=acme``) is not searched for everywhere: its
    place gives it away, and elsewhere it is a name that the reader needs.
    """
    harmless = {value for name, value in environ.items() if not is_sensitive_name(name)}
    for name, value in environ.items():
        text = value.strip().strip("'\"")
        sensitive = is_sensitive_name(name) and not is_trivial_value(value)
        inner: set[str] = set()
        match = _URL_LOGIN.search(text)
        if match:
            inner.update((match.group("password"), unquote(match.group("password"))))
        if not sensitive or len(text) > 24:
            inner.update(_secrets_in(text))
        if sensitive and value not in harmless:
            ctx.add_secret(value.strip(), name)
        for form in sorted(inner - harmless):
            if not is_trivial_value(form):
                ctx.add_secret(form, name)


def _secrets_in(text: str) -> list[str]:
    """What the shapes alone find in a text."""
    finder = Redactor({}, b"")
    finder.text(text)
    return finder.found


def redact(evidence: dict[str, Any], ctx: Context, salt: Optional[bytes] = None) -> dict[str, Any]:
    """A copy of the evidence without secrets, with a ``redactions`` section that counts what was hidden, by rule and section.

    :param salt: keys the tokens; by default random for each call. Give the same one for all backends of a run.
    A section whose redaction fails is replaced by ``{"unavailable": ...}``.
    """
    key = salt or os.urandom(16)
    clean: dict[str, Any] = {}
    by_section: dict[str, dict[str, int]] = {}
    try:
        redactor = Redactor(ctx.secrets, key, ctx.params.get("redaction_extra") or ())
    except Exception as exc:  # without rules nothing may leave
        clean = {section: _withheld(exc) for section in evidence}
        by_section = {section: {"withheld": 1} for section in evidence}
        return _counted(clean, by_section)
    for section, content in evidence.items():
        redactor.counts = {}
        try:
            clean[section] = redactor.clean(content)
        except Exception as exc:  # whatever goes wrong here must not let the text through
            clean[section] = _withheld(exc)
            redactor.counts = {"withheld": 1}
        by_section[section] = redactor.counts
    try:
        again = redactor.follow_up()
    except Exception as exc:  # what was learnt in one section must not stay readable in another
        return _counted({section: _withheld(exc) for section in clean}, {section: {"withheld": 1} for section in clean})
    for section, content in clean.items():
        again.counts = by_section[section]
        try:
            clean[section] = again.clean_exact(content)
        except Exception as exc:  # as above
            clean[section] = _withheld(exc)
            by_section[section] = {"withheld": 1}
    return _counted(clean, by_section)


def _withheld(exc: Exception) -> dict[str, str]:
    return {"unavailable": f"withheld: redaction failed ({type(exc).__name__})"}


def _counted(clean: dict[str, Any], by_section: dict[str, dict[str, int]]) -> dict[str, Any]:
    by_section = {section: counts for section, counts in by_section.items() if counts}
    totals: dict[str, int] = {}
    for counts in by_section.values():
        for rule, number in counts.items():
            totals[rule] = totals.get(rule, 0) + number
    clean["redactions"] = {"total": sum(totals.values()), "by_rule": totals, "by_section": by_section}
    return clean


class Redactor:
    """Hides secrets in plain data (dicts, lists, strings). ``found`` are the secrets that shapes alone gave away.

    :param secrets: exact values → variable name.
    :param salt: keys the tokens.
    :param extra: further regular expressions; a group called ``secret``, or else the whole match, is hidden.
    """

    def __init__(self, secrets: Mapping[str, str], salt: bytes, extra: Sequence[str] = ()) -> None:
        self.counts: dict[str, int] = {}
        self.found: list[str] = []
        self._salt = salt
        self._extra = [re.compile(pattern) for pattern in extra]
        self._secrets = dict(secrets)
        self._exact = ExactValues(secrets)
        # A crashing backend writes the same lines again and again.
        self._harmless: set[str] = set()

    def follow_up(self) -> Redactor:
        """A redactor for what the shapes found, and looks like nothing but a secret, wherever else it stands bare."""
        known = {secret: "" for secret in self.found if _worth_following(secret) and secret not in self._secrets}
        return Redactor(known, self._salt)

    def clean(self, data: Any, name: str = "") -> Any:
        """The same data with secrets replaced; ``name`` is the key under which it stands."""
        if isinstance(data, str):
            return self._named(name, data) if name and is_sensitive_name(name) else self.text(data)
        if isinstance(data, Mapping):
            return self._mapping(data)
        if isinstance(data, (list, tuple)):
            if data and all(isinstance(item, str) for item in data):
                return (
                    self.lines(list(data))
                    if not is_sensitive_name(name)
                    else [self._named(name, item) for item in data]
                )
            return [self.clean(item) for item in data]
        return data

    def clean_exact(self, data: Any) -> Any:
        """The same data without the exact secrets; shapes are left alone."""
        if not self._secrets:
            return data
        if isinstance(data, str):
            return self._exact_only(data)
        if isinstance(data, Mapping):
            return {self._key(key, self._exact_only): self.clean_exact(item) for key, item in data.items()}
        if isinstance(data, (list, tuple)):
            return [self.clean_exact(item) for item in data]
        return data

    def _exact_only(self, text: str) -> str:
        return self._exact.hide(text, self._exact.present(text), self._exact.cores(text), partial(self._mask, "exact"))

    @staticmethod
    def _key(key: Any, clean: Any) -> str:
        return str(key) if _SCHEMA_KEY.fullmatch(str(key)) else str(clean(str(key)))

    def _mapping(self, data: Mapping[Any, Any]) -> dict[str, Any]:
        named = data.get("name") if isinstance(data.get("value"), str) else None
        hide = isinstance(named, str) and (is_sensitive_name(named) or data.get("sensitive") is True)
        result = {}
        for key, value in data.items():
            if hide and key == "value":
                result[key] = self._named(str(named), value)
                continue
            result[self._key(key, self.text)] = self.clean(value, str(key))
        if hide and "fingerprint" in data and data["value"]:
            result["fingerprint"] = self._digest(data["value"])
        return result

    def _named(self, name: str, value: str) -> str:
        # An address with a login keeps its readable part; so does the path of a file that holds a secret.
        if is_trivial_value(value):
            return value
        if "://" in value:
            address = self.text(value)
            if address != value:
                return address
        return self._mask("name", value)

    def text(self, text: str) -> str:
        """One string; more lines than one are looked at together, because keys and validation errors span lines."""
        if "\0" in text or "\u2400" in text:
            marks = _NUL.findall(text)
            entries = self._entries(_NUL.split(text))
            return entries[0] + "".join(mark + entry for mark, entry in zip(marks, entries[1:]))
        if "\n" in text:
            return "\n".join(self.lines(text.split("\n")))
        return self.lines([text])[0]

    def _entries(self, entries: list[str]) -> list[str]:
        """The entries of an environment or a command line as the kernel gives it: a value may hold line breaks."""
        result = self.lines(entries)
        for number, entry in enumerate(entries):
            name, equals, value = entry.partition("=")
            if equals and "\n" in value and _VARIABLE.fullmatch(name) and is_sensitive_name(name):
                result[number] = f"{name}={self._mask('env_line', value)}"
        return result

    def lines(self, lines: list[str]) -> list[str]:
        """Lines that belong together, in order."""
        whole = "\n".join(lines)
        present, cores = self._exact.present(whole), self._exact.cores(whole)
        neighbours = Neighbours(lines, self._mask)
        result = []
        for number, line in enumerate(lines):
            if "\n" in line or "\0" in line or "\u2400" in line:
                result.append(self.text(line))
                continue
            line, goes_on = neighbours.hide(number, line)
            result.append(self._line(line, present, cores) if goes_on and line not in self._harmless else line)
        return result

    def _line(self, line: str, present: Optional[re.Pattern[str]], cores: list[str]) -> str:
        before = line
        line = self._exact.hide(line, present, cores, partial(self._mask, "exact"))
        for pattern in self._extra:
            line = pattern.sub(self._custom, line)
        line = hide_shapes(line, self._mask_for)
        if line == before:
            self._harmless.add(before)
        return line

    def _custom(self, match: re.Match[str]) -> str:
        whole = match.group(0)
        if "secret" not in match.re.groupindex or match.group("secret") is None:
            return self._mask("user_rule", whole) if whole else whole
        start, end = match.start("secret") - match.start(), match.end("secret") - match.start()
        return whole[:start] + (self._mask("user_rule", whole[start:end]) if end > start else "") + whole[end:]

    def _mask_for(self, rule: str) -> Any:
        return partial(self._mask, rule)

    def _digest(self, secret: str) -> str:
        return hmac.new(self._salt, secret.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:6]

    def _mask(self, rule: str, secret: str) -> str:
        if _TOKEN.fullmatch(secret):
            return secret
        self.counts[rule] = self.counts.get(rule, 0) + 1
        # Whatever the spelling, the token is that of the secret itself.
        secret = self._exact.spellings.get(secret, secret)
        if rule not in _LOCAL_RULES:
            self.found.append(secret)
        if rule in _COMPOUND_RULES:
            self.found += [part for part in _PARTS.findall(secret.replace("\\n", "\n")) if _is_mixed(part)]
        length = next((limit for limit in _LENGTH_CLASSES if len(secret) >= limit), 1)
        return f"<redacted:{self._digest(secret)}:{length}+>"


def _worth_following(secret: str) -> bool:
    return (
        10 <= len(secret) <= 4096
        and searchable(secret)
        and looks_random(secret)
        and not _TOKEN.search(secret)
        and " " not in secret
        and "://" not in secret
    )


def _is_mixed(part: str) -> bool:
    """Whether a word is one that nobody would write: upper and lower case and digits mixed, or many hexadecimal digits."""
    counts = [sum(map(test, part)) for test in (str.isdigit, str.isupper, str.islower)]
    return min(counts) >= 2 or (len(part) >= 32 and re.fullmatch("[0-9a-f]+", part) is not None)
