# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one choke point: nothing leaves the target that has not been through :func:`redact`.

Two means work together: the exact values of sensitive variables, in every encoding they may turn up in, and the shapes
of :mod:`redaction_rules`. A hidden value becomes ``<redacted:3f9a2c:32+>``: six digits that are the same for the same
secret within a run (keyed with a salt that is never returned), and the class of its length.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Optional
from urllib.parse import quote, quote_plus, unquote

from .context import Context
from .redaction_rules import RULES, TRIGGER, Rewrite
from .secret_names import COMMON_WORDS, is_sensitive_name, is_trivial_value

__all__ = ["RedactionError", "Redactor", "is_sensitive_name", "learn", "redact"]

_LENGTH_CLASSES = (64, 32, 16, 8, 1)
_URL_LOGIN = re.compile(r"^[A-Za-z][A-Za-z0-9+.\-]{1,40}://[^:/@\s]{0,256}:(?P<password>.{1,1024})@[^@]{0,1024}$")
_KEY_VALUE_PASSWORD = re.compile(r"(?:^|[\s;,])(?:password|pwd)=(?P<password>[^\s;,]{1,1024})", re.IGNORECASE)
_PEM_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----")
_PEM_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----")
_INPUT_VALUE = re.compile(r"(?P<head>input_value=)(?P<value>.{1,8192}?)(?P<tail>, input_type=|\]|$)")
_FIELD_LINE = re.compile(r"^\W*(?P<field>[A-Za-z_][A-Za-z0-9_.\-]{0,127})\W*$")

# An option that is an argument of its own, as in a list of arguments: its value is the next one.
_LONE_OPTION = re.compile(r"--?(?P<name>[A-Za-z][A-Za-z0-9_\-]{1,63})")


class RedactionError(Exception):
    """Redaction of a section failed; the section must be withheld. The message never holds any of its text."""


def learn(environ: Mapping[str, str], ctx: Context) -> None:
    """Remember the exact secrets of an environment, passwords inside its URLs included.

    A value that a harmless variable has too (``DB_USER=acme DB_PASSWORD=acme``) is not searched for everywhere: its
    place gives it away, and elsewhere it is a name that the reader needs.
    """
    harmless = {value for name, value in environ.items() if not is_sensitive_name(name)}
    for name, value in environ.items():
        if is_sensitive_name(name) and not is_trivial_value(value) and value not in harmless:
            ctx.add_secret(value.strip(), name)
        for pattern in (_URL_LOGIN, _KEY_VALUE_PASSWORD):
            match = pattern.search(value.strip().strip("'\""))
            if match:
                for form in {match.group("password"), unquote(match.group("password"))} - harmless:
                    ctx.add_secret(form, name)


def redact(evidence: dict[str, Any], ctx: Context, salt: Optional[bytes] = None) -> dict[str, Any]:
    """A copy of the evidence without secrets, with a ``redactions`` section that counts what was hidden, by rule and section.

    :param salt: keys the tokens; by default random for each call. Give the same one for all backends of a run.
    A section whose redaction fails is replaced by ``{"unavailable": ...}``.
    """
    redactor = Redactor(ctx.secrets, salt or os.urandom(16), ctx.params.get("redaction_extra") or ())
    clean: dict[str, Any] = {}
    by_section: dict[str, dict[str, int]] = {}
    for section, content in evidence.items():
        redactor.counts = {}
        try:
            clean[section] = redactor.clean(content)
        except Exception as exc:  # whatever goes wrong here must not let the text through
            clean[section] = {"unavailable": f"withheld: redaction failed ({type(exc).__name__})"}
            redactor.counts = {"withheld": 1}
        if redactor.counts:
            by_section[section] = redactor.counts
    totals: dict[str, int] = {}
    for counts in by_section.values():
        for rule, number in counts.items():
            totals[rule] = totals.get(rule, 0) + number
    clean["redactions"] = {"total": sum(totals.values()), "by_rule": totals, "by_section": by_section}
    return clean


class Redactor:
    """Hides secrets in plain data (dicts, lists, strings).

    :param secrets: exact values → variable name.
    :param salt: keys the tokens.
    :param extra: further regular expressions; a group called ``secret``, or else the whole match, is hidden.
    """

    def __init__(self, secrets: Mapping[str, str], salt: bytes, extra: Sequence[str] = ()) -> None:
        self.counts: dict[str, int] = {}
        self._salt = salt
        self._extra = [re.compile(pattern) for pattern in extra]
        self._forms = _forms(secrets)
        # Longest first, so that a secret that contains another one is hidden whole.
        ordered = sorted(self._forms, key=len, reverse=True)
        self._exact = re.compile("|".join(_bounded(form) for form in ordered)) if ordered else None
        self._cores = {core: secret for secret in secrets if _searchable(secret) for core in _base64_cores(secret)}
        self._encoded = (
            re.compile("|".join(f"[\\w+/-]{{0,3}}{re.escape(core)}[\\w+/=-]{{0,4}}" for core in self._cores))
            if self._cores
            else None
        )

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

    def _mapping(self, data: Mapping[Any, Any]) -> dict[str, Any]:
        named = data.get("name") if isinstance(data.get("value"), str) else None
        hide = isinstance(named, str) and (is_sensitive_name(named) or data.get("sensitive") is True)
        result = {}
        for key, value in data.items():
            if hide and key == "value":
                result[key] = self._named(str(named), value)
                continue
            result[str(key)] = self.clean(value, str(key))
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
        if "\0" in text:
            return "\0".join(self.text(part) for part in text.split("\0"))
        if "\n" in text:
            return "\n".join(self.lines(text.split("\n")))
        return self.lines([text])[0]

    def lines(self, lines: list[str]) -> list[str]:
        """Lines that belong together, in order."""
        result = []
        in_key = False
        field = ""
        option = None
        for line in lines:
            named = option is not None and not line.startswith("-") and is_sensitive_name(option["name"])
            option = _LONE_OPTION.fullmatch(line)
            if named and not is_trivial_value(line):
                result.append(self._mask("option", line))
                continue
            if "\n" in line or "\0" in line:
                result.append(self.text(line))
                continue
            if in_key:
                end = _PEM_END.search(line)
                in_key = end is None
                result.append(line[end.start() :] if end else self._mask("pem", line) if line.strip() else line)
                continue
            begin = _PEM_BEGIN.search(line)
            if begin:
                end = _PEM_END.search(line, begin.end())
                in_key = end is None
                body = line[begin.end() : end.start() if end else None]
                tail = line[end.start() :] if end else ""
                line = line[: begin.end()] + (self._mask("pem", body) if body.strip() else body) + tail
            result.append(self._line(line, field))
            match = _FIELD_LINE.match(line)
            field = match.group("field") if match else ""
        return result

    def _line(self, line: str, field: str) -> str:
        if self._exact is not None:
            line = self._exact.sub(lambda match: self._mask("exact", match.group(0)), line)
        if self._encoded is not None:
            line = self._encoded.sub(self._mask_encoded, line)
        for pattern in self._extra:
            line = pattern.sub(self._custom, line)
        if field and "input_value=" in line and is_sensitive_name(field):
            line = _INPUT_VALUE.sub(
                lambda match: (
                    match.group("head") + self._mask("input_value", match.group("value")) + match.group("tail")
                ),
                line,
            )
        if not TRIGGER.search(line):
            return line
        for rule, pattern, rewrite in RULES:
            line = pattern.sub(partial(self._rewritten, rule, rewrite), line)
        return line

    def _rewritten(self, rule: str, rewrite: Rewrite, match: re.Match[str]) -> str:
        return rewrite(match, partial(self._mask, rule))

    def _custom(self, match: re.Match[str]) -> str:
        if "secret" not in match.re.groupindex or match.group("secret") is None:
            return self._mask("user_rule", match.group(0))
        start, end = match.span("secret")
        whole = match.group(0)
        return (
            whole[: start - match.start()]
            + self._mask("user_rule", match.group("secret"))
            + whole[end - match.start() :]
        )

    def _mask_encoded(self, match: re.Match[str]) -> str:
        return self._mask("exact", next(secret for core, secret in self._cores.items() if core in match.group(0)))

    def _digest(self, secret: str) -> str:
        canonical = self._forms.get(secret, secret)
        return hmac.new(self._salt, canonical.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:6]

    def _mask(self, rule: str, secret: str) -> str:
        if secret.startswith("<redacted:") and secret.endswith(">"):
            return secret
        self.counts[rule] = self.counts.get(rule, 0) + 1
        length = next((limit for limit in _LENGTH_CLASSES if len(secret) >= limit), 1)
        return f"<redacted:{self._digest(secret)}:{length}+>"


def _forms(secrets: Mapping[str, str]) -> dict[str, str]:
    """Every spelling of each exact secret that is worth a search → the secret itself."""
    forms: dict[str, str] = {}
    for secret in secrets:
        if not _searchable(secret):
            continue
        spellings = {
            secret,
            quote(secret, safe=""),
            quote(secret),
            quote_plus(secret),
            json.dumps(secret)[1:-1],
            repr(secret)[1:-1],
        }
        if "\\n" in secret:
            spellings.add(secret.replace("\\n", "\n"))
        spellings.update(line for line in re.split(r"\n|\\n", secret) if len(line) >= 16 and "-----" not in line)
        for spelling in spellings:
            forms.setdefault(spelling, secret)
    return forms


def _searchable(secret: str) -> bool:
    return len(secret) >= 4 and secret.lower() not in COMMON_WORDS


def _base64_cores(secret: str) -> set[str]:
    """The part of the base64 text of a secret that stays the same whatever stands before and after it, at each of the
    three alignments, for instance inside ``user:password``; nothing for secrets too short to be told apart."""
    raw = secret.encode("utf-8", "surrogatepass")
    cores = set()
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
        whole = (shift + len(raw)) // 3 * 4
        core = encoded[(0, 2, 3)[shift] : whole]
        if len(core) >= 10:
            cores.update({core, core.replace("+", "-").replace("/", "_")})
    return cores


def _bounded(form: str) -> str:
    """A short secret is only searched for as a whole word."""
    pattern = re.escape(form)
    return pattern if len(form) >= 8 else rf"(?<![A-Za-z0-9_]){pattern}(?![A-Za-z0-9_])"
