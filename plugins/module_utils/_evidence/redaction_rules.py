# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shapes that secrets have in one line of text: a table of rules, each a name, a pattern and what of it to hide.

Every pattern is linear: no nested or adjoining open repetitions over the same characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .secret_names import is_sensitive_name, is_trivial_value

Mask = Callable[[str], str]
Rewrite = Callable[["re.Match[str]", Mask], str]
Rule = tuple[str, "re.Pattern[str]", Rewrite]

# A line without any of these can't match a rule; most log lines are done with one search.
TRIGGER = re.compile(
    r"pass|pwd|secret|token|key|auth|cred|dsn|cookie|salt|sig|otp|pin|jwt|bearer|://|eyJ|BEGIN|pw\W"
    r"|AKIA|ASIA|AIza|gh[opsur]_|github_pat|glpat|xox|sk[-_]|rk_|SG\.|whsec|npm_|pypi-|hf_|dop_v1|shp|SK[0-9a-f]|=(?![\w=])",
    re.IGNORECASE,
)

_VALUE = (
    r"""(?:(?P<b>[bru]{0,2})(?P<q>["'])(?P<quoted>(?:\\.|(?!(?P=q)).){0,8192})(?P=q)?"""
    r"""|(?P<bare>[^\s,;&|"'<>(){}\[\]]{1,8192}(?:[(){}\[\]<>"'|][^\s,;&]{0,4096})?))"""
)
_ASSIGNMENT = re.compile(
    r"""(?<![A-Za-z0-9_.])(?P<head>(?P<nq>["']?)(?P<name>[A-Za-z_][A-Za-z0-9_.\-]{0,127})(?P=nq)"""
    r"""(?P<type>:\s?[A-Za-z_]{1,20})?(?P<sep>\s{0,4}(?::=|=(?!=)|:(?![/:\\]))\s{0,4}))""" + _VALUE
)
# The whole rest of the line is the value in an env file and after Environment=, unless quotes end it.
_ENV_LINE = re.compile(
    r"""^(?P<head>\s*(?:[+\-]|export\s|set\s|declare\s-x\s|Environment=)?\s?["']?"""
    r"""(?P<name>[A-Za-z_][A-Za-z0-9_]{0,127})=)(?P<value>[^\s=].{0,16384})$"""
)
_OPTION = re.compile(r"""(?P<head>(?<![\w-])--?(?P<name>[A-Za-z][A-Za-z0-9_\-]{1,63})[ \t]{1,3})(?![-\s])""" + _VALUE)
_HEADER = re.compile(
    r"""(?P<head>\b(?:proxy-)?(?:authorization|cookie|set-cookie|x-api-key|x-auth-token|x-csrf-?token|api-key)"""
    r"""["']?\s{0,3}[:=,]\s{0,3}["']?(?:bearer|basic|token|digest|apikey)?\s{0,3})(?P<value>[^\s"',][^"'\n]{0,8192})""",
    re.IGNORECASE,
)
_BEARER = re.compile(r"(?P<head>\b(?:bearer|basic)\s{1,3})(?P<value>[A-Za-z0-9_\-.~+/]{8,8192}={0,2})", re.IGNORECASE)
_JWT = re.compile(r"\beyJ[A-Za-z0-9_\-]{8,8192}\.[A-Za-z0-9_\-]{2,8192}(?:\.[A-Za-z0-9_\-]{0,4096})?")
# Up to the last @ before white space or a quote: an unescaped @ or / in a password must not leave half of it behind.
_URL = re.compile(r"""(?P<head>\b[A-Za-z][A-Za-z0-9+.\-]{1,40}://)(?P<login>[^\s"'<>`|]{1,2048})@(?=[^\s"'<>`@|])""")
_PORT_AND_PATH = re.compile(r"\d{1,5}/")
_QUERY = re.compile(r"""(?P<head>[?&;](?P<name>[A-Za-z_][A-Za-z0-9_.\-]{0,63})=)(?P<value>[^&#\s"'<>;]{1,4096})""")
_VENDOR_SHAPES = (
    r"(?:AKIA|ASIA)[0-9A-Z]{16}",
    r"AIza[0-9A-Za-z_\-]{35}",
    r"gh[opsur]_[A-Za-z0-9]{20,255}",
    r"github_pat_[A-Za-z0-9_]{20,255}",
    r"glpat-[A-Za-z0-9_\-]{16,64}",
    r"xox[abeprs]-[A-Za-z0-9\-]{10,255}",
    r"[sr]k_(?:live|test)_[A-Za-z0-9]{10,255}",
    r"sk-[A-Za-z0-9_\-]{20,255}",
    r"SG\.[A-Za-z0-9_\-]{16,64}\.[A-Za-z0-9_\-]{16,128}",
    r"whsec_[A-Za-z0-9+/=]{16,128}",
    r"npm_[A-Za-z0-9]{30,64}",
    r"pypi-[A-Za-z0-9_\-]{40,512}",
    r"hf_[A-Za-z0-9]{30,64}",
    r"dop_v1_[a-f0-9]{64}",
    r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}",
    r"SK[0-9a-f]{32}",
)
_VENDOR = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(_VENDOR_SHAPES)})(?![A-Za-z0-9])")
_FERNET = re.compile(r"(?<![A-Za-z0-9_\-+/.])(?!sha\d)[A-Za-z0-9_\-+/]{43}=(?![A-Za-z0-9=])")
_SLACK_HOOK = re.compile(
    r"(?P<head>hooks\.slack\.com/(?:services|workflows)/|discord(?:app)?\.com/api/webhooks/)(?P<value>[A-Za-z0-9/_\-]{10,200})"
)
_ODBC = re.compile(r"(?P<head>;\s?pwd=)(?P<value>[^;\s]{1,1024})", re.IGNORECASE)

# What stands behind "=" or ":" in source lines of a traceback and in type hints: code that names a secret, not the secret.
_CODE = re.compile(
    r"^[A-Za-z_]\w{0,63}(?:\.\w{1,64}){0,8}(?:\(|\[|\.$)|^[A-Za-z_]\w{0,63}(?:\.[A-Za-z_]\w{0,63}){1,8}$|^[$%{<]|^\*+$"
)


def _keep(match: re.Match[str]) -> str:
    return match.group(0)


def _bare_value(match: re.Match[str]) -> tuple[str, str, str]:
    """Opening, secret and closing part of a value matched by ``_VALUE``."""
    quote = match.group("q")
    if quote is None:
        return "", match.group("bare"), ""
    closed = match.group(0).endswith(quote) and len(match.group("quoted")) >= 0
    return (match.group("b") or "") + quote, match.group("quoted"), quote if closed else ""


def _named(match: re.Match[str], mask: Mask) -> str:
    name = match.group("name")
    opening, value, closing = _bare_value(match)
    if not is_sensitive_name(name) or is_trivial_value(value) or value == name or "<redacted:" in value:
        return _keep(match)
    if not opening and _CODE.match(value):
        return _keep(match)
    separator = match.groupdict().get("sep") or ""
    if ":" in separator and not opening and not match.group("nq") and _is_prose(match):
        return _keep(match)
    return match.group("head") + opening + mask(value) + closing


def _is_prose(match: re.Match[str]) -> bool:
    """True for "... invalid token: signature ...": a word of a sentence and a colon, not a YAML key."""
    before = match.string[: match.start()].rstrip()
    after = match.string[match.end() :].strip()
    in_sentence = bool(before) and before[-1] not in "{[,;|(-│"
    return in_sentence and (" " in after or match.group("bare").isalpha())


def _env_line(match: re.Match[str], mask: Mask) -> str:
    value = match.group("value")
    if (
        not is_sensitive_name(match.group("name"))
        or is_trivial_value(value)
        or "<redacted:" in value
        or _CODE.match(value.rstrip(" ,)"))
    ):
        return _keep(match)
    if value[0] in "\"'" and value[0] in value[1:]:
        end = value.index(value[0], 1)
        return match.group("head") + value[0] + mask(value[1:end]) + value[end:]
    head = match.group("head")
    quote = next((mark for mark in "\"'" if mark in head), "")
    if quote and quote in value:
        secret, rest = value.split(quote, 1)
        return head + mask(secret) + quote + rest
    if head.lstrip().startswith("Environment="):
        secret, blank, rest = value.partition(" ")
        return head + mask(secret) + blank + rest
    return head + mask(value.rstrip()) + value[len(value.rstrip()) :]


def _value(match: re.Match[str], mask: Mask) -> str:
    return _keep(match) if "<redacted:" in match.group("value") else match.group("head") + mask(match.group("value"))


def _query(match: re.Match[str], mask: Mask) -> str:
    return _value(match, mask) if is_sensitive_name(match.group("name")) else _keep(match)


def _whole(match: re.Match[str], mask: Mask) -> str:
    return mask(match.group(0))


def _url(match: re.Match[str], mask: Mask) -> str:
    user, colon, password = match.group("login").partition(":")
    if "<redacted:" in match.group("login") or _PORT_AND_PATH.match(password):
        return _keep(match)
    if colon:
        return match.group("head") + user + ":" + (mask(password) if password else "") + "@"
    # A login without a password is a user name, or, as in a Sentry DSN, the key itself.
    return match.group("head") + (mask(user) if len(user) >= 16 else user) + "@"


RULES: tuple[Rule, ...] = (
    ("vendor_key", _VENDOR, _whole),
    ("jwt", _JWT, _whole),
    ("url", _URL, _url),
    ("query", _QUERY, _query),
    ("webhook", _SLACK_HOOK, _value),
    ("env_line", _ENV_LINE, _env_line),
    ("header", _HEADER, _value),
    ("bearer", _BEARER, _value),
    ("assignment", _ASSIGNMENT, _named),
    ("option", _OPTION, _named),
    ("odbc", _ODBC, _value),
    ("fernet", _FERNET, _whole),
)
