# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shapes that secrets have in one line of text: a table of rules, in the order in which they are applied.

A rule is its name, hints, and what it does to a line. Only lines that hold one of its hints, in lower case, are given to it; most log
lines are done with that. Every pattern is linear: no nested or adjoining open repetitions over the same characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote

from .redaction_values import (
    NAME,
    QUOTE,
    Mask,
    hide_named,
    hide_options,
    hide_pairs,
    looks_random,
    value_at,
)
from .redaction_vendor import FERNET, HASH, JWT, TELEGRAM, VENDOR, VENDOR_HINTS, WEBHOOK
from .secret_names import is_sensitive_name, is_trivial_value

Rewrite = Callable[["re.Match[str]", Mask], str]
Rule = tuple[str, tuple[str, ...], Callable[[str, Mask], str]]

# What every name of a secret has in it; see secret_names.py.
_NAMED = (
    "pass", "pwd", "pw", "secret", "token", "key", "auth", "cred", "dsn", "cookie", "salt", "sig", "otp", "pin", "jwt", "bearer",
    "csrf", "xsrf", "session",
)  # fmt: skip
# The whole rest of the line is the value in an env file and after Environment=, unless quotes end it.
_ENV_LINE = re.compile(
    r"""^(?P<head>\s*(?:[#+;\-]{1,4}\s{0,2})?(?:(?:export|set|declare\s-x|typeset\s-x|setenv|ENV|ARG)\s{1,4}|Environment=)?\$?["']?"""
    r"""(?P<name>[A-Za-z_][A-Za-z0-9_.]{0,127})(?P<sep>=|(?:(?<=\w)[ \t](?=[^\s=:])))\$?)(?P<value>[^\s=].*)$"""
)
_SPACE_NAMED = re.compile(r"^\s*(?:setenv|ENV|ARG)\s")
_INI_LINE = re.compile(
    r"^(?P<head>(?P<name>[A-Za-z_][A-Za-z0-9_.\-]{0,127})\s{1,4}=\s{0,4})(?P<value>[^\s=\"'\[({].*)$"
)
_HEADER = re.compile(
    r"""(?P<before>["']?)(?<![\w\-])(?P<name>(?:proxy-|http_|x-)?(?:authorization|cookie|api-key|api-token)|set-cookie|apikey|http_x_api_key)"""
    r"""(?P<after>["']?)(?P<sep>\s{0,3}[:=,]\s{0,3})(?P<open>b?["'])?(?P<scheme>(?:bearer|basic|token|digest|apikey|negotiate|ntlm)\s{1,3})?""",
    re.IGNORECASE,
)
# Quoted parameters belong to the value (Digest username="x"), a quote that isn't one ends it; so does a written \r\n.
_HEADER_REST = re.compile(r"""(?:(?<==)"[^"\n]*"|\\(?![rn])|[^"'\n\\])+""")
_BEARER = re.compile(r"(?P<head>\b(?:bearer|basic)\s{1,3})(?P<value>[A-Za-z0-9_\-.~+/]{8,65536}={0,2})", re.IGNORECASE)
_SCHEME = re.compile(r"(?<![A-Za-z0-9+.\-])[A-Za-z][A-Za-z0-9+.\-]{1,40}://")
_ADDRESS = re.compile(r"""[^\s"'<>`|]+""")
_URL_ENCODED = re.compile(
    r"(?P<head>%3A%2F%2F[^\s%&\"']{0,256}%3A)(?P<value>(?:(?!%40|%2F)[^\s&\"']){1,1024})(?=%40)", re.IGNORECASE
)
_GO_DSN = re.compile(r"""(?P<head>(?<![\w/:])[\w.\-]{1,64}:)(?P<value>[^\s@"']{1,256})(?=@(?:tcp|unix|udp)\()""")
_PORT_AND_PATH = re.compile(r"\d{1,5}/")
_QUERY = re.compile(
    r"""(?P<head>(?:[?&;#]|^|(?<=\s))(?P<name>[A-Za-z_][A-Za-z0-9_.\-]{0,63})=)(?P<value>[^&#\s"'<>;]{1,65536})(?P<more>&?)"""
)
_QUERY_ENCODED = re.compile(
    r"(?P<head>(?:%3F|%26|%3B|\?|&|;)(?P<name>[A-Za-z_][A-Za-z0-9_.\-]{0,63})%3D)(?P<value>(?:(?!%26|%3B)[^&\s\"'<>;]){1,4096})",
    re.IGNORECASE,
)
_ODBC = re.compile(
    r"(?P<head>(?:^|[;?\"'])\s?(?:pwd|password|accountkey|sharedaccesskey|sharedaccesssignature)\s?=\s?)(?P<value>\{[^}]{1,1024}\}?|[^;\"'\s{]{1,1024})",
    re.IGNORECASE,
)
_SQL = re.compile(
    r"""(?P<head>\b(?:(?i:password)|(?:IDENTIFIED|(?i:user)\s+\S{1,128}\s+(?i:identified))(?:\s+(?i:with)\s+\S{1,64})?\s+(?i:by)(?:\s+(?i:password))?)"""
    r"""\s+(?:(?i:for)\s+\S{1,128}\s*=\s*)?)'(?P<value>(?:''|[^'\n]){1,4096})'?"""
)
_REDIS_AUTH = re.compile(
    r"""(?P<head>(?:^|["'>]\s?)AUTH\s+(?:[\w.@\-]{1,64}\s+)?)(?P<value>[^\s"']{4,1024})(?=["']?$)"""
)
_NETRC = re.compile(
    r"(?P<head>\blogin\s+\S{1,256}\s+(?:account\s+\S{1,256}\s+)?password\s+|^\s*password\s+)(?P<value>\S{4,1024})(?=\s|$)"
)
_PGPASS = re.compile(
    r"^(?P<head>(?:[\w.\-]{1,253}|\*):(?:\d{4,5}|\*):(?:[A-Za-z_][\w\-]{0,63}|\*):(?:[A-Za-z_][\w\-]{0,63}|\*):)(?P<value>[^\s:]{6,1024})$"
)
_PHRASE = re.compile(
    r"""(?P<head>\b(?:password|passwd|passphrase|secret|token|(?:secret|api|access|private|signing|encryption|session|shared|auth)[ _]key)"""
    r"""(?:\s(?:is|was|to|are)\s?:?\s|\s?[=:]\s?|\s(?=["']))["']?)(?P<value>[^\s"',;)]{6,4096})""",
    re.IGNORECASE,
)
# Short options that mean a password behind these programs only.
_PROGRAMS = tuple(
    (re.compile(rf"(?<![\w\-])(?:{program})(?![\w\-])"), re.compile(option))
    for program, option in (
        ("curl", r"(?P<head>\s(?:-u|--user|-U|--proxy-user)[ =]?['\"]?[^\s:'\"]{0,256}:)(?P<value>[^\s'\"]{1,1024})"),
        (r"(?:mysql|mariadb)(?:dump|admin|import|check|-\w+)?", r"(?P<head>\s-p)(?P<value>[^\s]{1,1024})"),
        ("redis-cli|valkey-cli", r"(?P<head>\s-a\s{1,4})(?P<value>\S{1,1024})"),
        ("sshpass", r"(?P<head>\s-p\s{0,4})(?P<value>\S{1,1024})"),
        (r"ldap(?:search|modify|add|delete|whoami|passwd)", r"(?P<head>\s-w\s{1,4})(?P<value>\S{1,1024})"),
        ("smbclient", r"(?P<head>\s-U\s{0,4}[^\s%]{1,256}%)(?P<value>\S{1,1024})"),
    )
)
_PASS_PHRASE = re.compile(r"(?P<head>(?<![\w\-])pass:)(?P<value>[^\s\"',;]{4,1024})")
_XML = re.compile(rf"(?P<head><(?P<name>{NAME})(?:\s[^<>]{{0,200}})?>)(?P<value>[^<\n]{{1,65536}})(?=</)")
# An entry of a list of names and values: the name in one field, the value in another.
_ENTRY = re.compile(
    rf"(?:(?<=[\"';{{<,(\s])|(?<=\\\")|^)(?:name|key|id|variable|header){QUOTE}?\s{{0,2}}[:=]\s{{0,2}}(?P<nq>{QUOTE})(?P<name>{NAME})(?P=nq)"
    rf"[^<>{{}}]{{0,80}}?(?:value|content|default){QUOTE}?\s{{0,2}}[:=]\s{{0,2}}",
    re.IGNORECASE,
)
_LOCATION = re.compile(r"""["']loc["']:\s?[(\[](?P<loc>[^)\]]{1,256})[)\]].{0,512}?["']input["']:\s?""")
_WRAPPED = re.compile(
    r"""(?P<head>\bSecret(?:Str|Bytes)?\(b?(?P<q>["']))(?P<value>(?:\\.|[^\\"'\n]){1,4096})(?=(?P=q))"""
)
_TUPLE = re.compile(
    r"""(?P<head>\b\w{0,20}auth\w{0,20}\s?=\s?\(\s?(?P<u>["'])[^"']{0,256}(?P=u)\s?,\s?(?P<q>["']))(?P<value>[^"'\n]{1,4096})(?=(?P=q))""",
    re.IGNORECASE,
)
_LOCAL = re.compile(rf"^(?P<head>\W{{0,20}}(?P<name>{NAME})\t+)(?P<value>\S.*)$")
_COOKIE = re.compile(r"(?P<head><Cookie [^\s=<>]{1,256}=)(?P<value>[^\s<>]{1,4096})(?= for )")
# A string in code that no word, path or name looks like.
_RANDOM = re.compile(r"""(?P<open>["'])(?P<value>[A-Za-z0-9+/_\-]{20,4096}={0,2})(?=(?P=open))""")


def _masked(match: re.Match[str], mask: Mask, wanted: bool = True) -> str:
    """The match with its ``value`` hidden, unless that tells nothing or is hidden already."""
    value = match.group("value")
    if not wanted or "<redacted:" in value or is_trivial_value(value):
        return match.group(0)
    start, end = match.start("value") - match.start(), match.end("value") - match.start()
    return match.group(0)[:start] + mask(value) + match.group(0)[end:]


def _whole(match: re.Match[str], mask: Mask) -> str:
    return mask(match.group(0))


def _if_named(match: re.Match[str], mask: Mask) -> str:
    return _masked(match, mask, is_sensitive_name(match.group("name")))


def _if_random(match: re.Match[str], mask: Mask) -> str:
    value = match.group("value")
    odd = any(not (char.isalnum() or char in "_-.:/'()[]<>") for char in value) and value.isprintable() is not False
    return _masked(match, mask, looks_random(value) or (odd and any(char.isdigit() for char in value)))


def _query(match: re.Match[str], mask: Mask) -> str:
    name, value = match.group("name"), match.group("value")
    # Without "?" or "&" it is a form's body, or any other assignment, which is not for this rule.
    if match.group("head")[0] not in "?&;#" and not match.group("more"):
        return match.group(0)
    code = name.lower() == "code" and len(value) >= 16
    return _masked(match, mask, code or is_sensitive_name(name))


def _query_encoded(match: re.Match[str], mask: Mask) -> str:
    # PWD is the working directory to a shell, and the password to ODBC.
    return _masked(match, mask, match.group("name").lower() == "pwd" or is_sensitive_name(match.group("name")))


def _url(line: str, mask: Mask) -> str:
    """The login of each address: up to the last @ before white space or a quote, because an @ or / that was not encoded in a
    password must not leave half of it behind."""
    result: list[str] = []
    done = 0
    match = _SCHEME.search(line) if "@" in line else None
    while match is not None:
        start = match.end()
        address = _ADDRESS.match(line, start)
        end = address.end() if address else start
        following = _SCHEME.search(line, start)
        # One address ends where the next one of a list begins, and not where a password holds "://".
        while following is not None and following.start() < end and line[following.start() - 1] not in ",;=&(?[":
            following = _SCHEME.search(line, following.end())
        if following is not None:
            end = min(end, following.start())
        at = line.rfind("@", start, end - 1)
        if at > start:
            result += [line[done:start], _login(line[start:at], mask)]
            done = at
        match = following
    return "".join(result) + line[done:]


def _login(login: str, mask: Mask) -> str:
    user, colon, password = login.partition(":")
    if "<redacted:" in login or _PORT_AND_PATH.match(password) or set(password) == {"*"}:
        return login
    if colon:
        # The token is that of the password itself, so that it can be compared with a variable of its own.
        return user + ":" + (mask(unquote(password)) if password else "")
    # A login without a password is a user name, or, as in a Sentry DSN, the key itself.
    return mask(user) if len(user) >= 16 else user


def _env_line(match: re.Match[str], mask: Mask) -> str:
    value, head = match.group("value"), match.group("head")
    if match.group("sep") != "=" and not _SPACE_NAMED.match(head):
        return match.group(0)
    if (
        not is_sensitive_name(match.group("name"))
        or is_trivial_value(value)
        or "<redacted:" in value
        or _is_code(value)
    ):
        return match.group(0)
    if value[0] in "\"'`":
        found = value_at(value, 0)
        if found is not None and found.closing:
            return head + found.opening + mask(found.text) + found.closing + value[found.end :]
        return head + value[0] + mask(value[1:])
    quote = next((mark for mark in "\"'" if mark in head), "")
    if quote and quote in value:
        secret, rest = value.split(quote, 1)
        return head + mask(secret) + quote + rest
    if head.lstrip().startswith("Environment="):
        secret, blank, rest = value.partition(" ")
        return head + mask(secret) + blank + rest
    # To some readers what follows " #" is a comment, to others part of the value.
    secret, mark, comment = value.rstrip().partition(" # ")
    return head + mask(secret.rstrip()) + (mark + mask(comment) if comment else "")


_CODE_LINE = re.compile(
    r"[A-Za-z_]\w{0,63}(?:\.\w{1,64}){0,8}[(\[]|[A-Za-z_]\w{0,63}(?:\.[A-Za-z_]\w{0,63}){1,8}[\s,)]*$"
    r"|\$\{[^}]*\}\s*$|\$[A-Z_][A-Z0-9_]*\s*$|\$\(|%[({]|\{[\w\"']|<[\w .:\-]*>\s*$|\*+\s*$"
)


def _is_code(value: str) -> bool:
    return _CODE_LINE.match(value) is not None


def _ini_line(match: re.Match[str], mask: Mask) -> str:
    value = match.group("value")
    first = value.split(None, 1)[0]
    # "password = a b": the words behind the first belong to it only where the first is no code.
    wanted = is_sensitive_name(match.group("name")) and " " in value and looks_random(first) and not _is_code(value)
    return _masked(match, mask, wanted)


def _header(line: str, mask: Mask) -> str:
    result: list[str] = []
    position = 0
    while True:
        match = _HEADER.search(line, position)
        if match is None:
            return "".join(result) + line[position:]
        start = match.end()
        opened = match.group("open") or (match.group("before") if not match.group("after") else "")
        if match.group("sep").strip() == "," and not match.group("open"):
            opened = ""
            start = end = match.end()
        elif opened:
            end = line.find(opened[-1], start)
            end = len(line) if end < 0 else end
        else:
            rest = _HEADER_REST.match(line, start)
            end = rest.end() if rest else start
        value = line[start:end]
        hide = bool(value.strip()) and "<redacted:" not in value and not _is_code(value) and not is_trivial_value(value)
        # A sentence about the header, and a type hint, are no header.
        hide = hide and not (
            match.group("scheme") is None and re.match(r"[a-z]+(?: [a-z]+)*\W?$", value, re.IGNORECASE)
        )
        result.append(line[position:start] + (mask(value) if hide else value))
        position = max(end, start)


def _entry(line: str, mask: Mask) -> str:
    for pattern, names in ((_ENTRY, "name"), (_LOCATION, "loc")):
        result: list[str] = []
        position = 0
        for match in pattern.finditer(line):
            if match.end() < position:
                continue
            words = re.findall(NAME, match.group(names))
            found = value_at(line, match.end())
            if (
                found is None
                or not any(map(is_sensitive_name, words))
                or is_trivial_value(found.text)
                or "<redacted:" in found.text
            ):
                continue
            result += [line[position : match.end()], found.opening, mask(found.text), found.closing]
            position = found.end
        line = "".join(result) + line[position:]
    return line


def _programs(line: str, mask: Mask) -> str:
    for program, option in _PROGRAMS:
        found = program.search(line)
        if found:
            line = line[: found.end()] + option.sub(lambda match: _masked(match, mask), line[found.end() :])
    return _PASS_PHRASE.sub(lambda match: _masked(match, mask), line)


def _local(match: re.Match[str], mask: Mask) -> str:
    return _masked(match, mask, is_sensitive_name(match.group("name")) and not _is_code(match.group("value")))


def _random(match: re.Match[str], mask: Mask) -> str:
    value = match.group("value")
    counts = [sum(map(test, value)) for test in (str.isdigit, str.isupper, str.islower)]
    # A mangled symbol of C++ is none, nor is a path.
    return _masked(match, mask, min(counts) >= 3 and not value.startswith(("_Z", "/")) and value.count("/") < 3)


def _by(pattern: re.Pattern[str], rewrite: Rewrite) -> Callable[[str, Mask], str]:
    return lambda line, mask: pattern.sub(lambda match: rewrite(match, mask), line)


RULES: tuple[Rule, ...] = (
    ("vendor_key", VENDOR_HINTS, _by(VENDOR, _whole)),
    ("jwt", ("eyj",), _by(JWT, _whole)),
    ("vendor_key", (":aa",), _by(TELEGRAM, _whole)),
    ("password_hash", ("$",), _by(HASH, _whole)),
    ("url", ("://",), _url),
    ("url", ("%3a%2f%2f",), _by(_URL_ENCODED, _masked)),
    ("url", ("@tcp(", "@unix(", "@udp("), _by(_GO_DSN, _masked)),
    ("env_line", ("=", "setenv", "env ", "arg "), _by(_ENV_LINE, _env_line)),
    ("assignment", (" = ",), _by(_INI_LINE, _ini_line)),
    ("query", ("?", "&", ";", "#"), _by(_QUERY, _query)),
    ("query", ("%3d",), _by(_QUERY_ENCODED, _query_encoded)),
    ("webhook", ("hooks.slack.com/", "/api/webhooks/", "webhook.office.com/"), _by(WEBHOOK, _masked)),
    ("header", ("authorization", "cookie", "api-key", "apikey", "api-token", "api_key"), _header),
    ("bearer", ("bearer", "basic"), _by(_BEARER, _masked)),
    ("entry", ("value", "content", "default", "loc"), _entry),
    ("wrapped", ("secretstr", "secretbytes", "secret("), _by(_WRAPPED, _masked)),
    ("wrapped", ("auth",), _by(_TUPLE, _masked)),
    ("pair", ("',", '",', "&quot;,"), hide_pairs),
    ("assignment", _NAMED, hide_named),
    ("odbc", ("pwd", "password", "accountkey", "sharedaccess"), _by(_ODBC, _masked)),
    ("option", ("-",), hide_options),
    ("command", ("curl", "mysql", "mariadb", "-cli", "sshpass", "ldap", "smbclient", "pass:"), _programs),
    ("sql", ("password", "identified"), _by(_SQL, _masked)),
    ("sql", ("auth ",), _by(_REDIS_AUTH, _if_random)),
    ("login", ("password",), _by(_NETRC, _if_random)),
    ("login", (":",), _by(_PGPASS, _if_random)),
    ("phrase", ("pass", "secret", "token", "key"), _by(_PHRASE, _if_random)),
    ("markup", ("</",), _by(_XML, _if_named)),
    ("cookie", ("<cookie ",), _by(_COOKIE, _masked)),
    ("local", ("\t",), _by(_LOCAL, _local)),
    ("fernet", ("=",), _by(FERNET, _whole)),
    ("random", ("'", '"'), _by(_RANDOM, _random)),
)


def hide_shapes(line: str, mask_for: Callable[[str], Mask]) -> str:
    """One line without what any rule recognises; ``mask_for`` gives, for a rule's name, what replaces a secret."""
    low = line.lower()
    for name, hints, rewrite in RULES:
        if any(hint in low for hint in hints):
            line = rewrite(line, mask_for(name))
    return line
