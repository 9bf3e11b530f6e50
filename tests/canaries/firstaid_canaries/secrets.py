# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets that nothing else contains: made from a seed, so that a run can be repeated, and found again in every encoding."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shlex
import string
from collections.abc import Callable
from urllib.parse import quote, quote_plus

ALPHANUMERIC = string.ascii_letters + string.digits
# Any piece of a secret of this many characters counts as found.
PIECE = 9


def characters(seed: str, count: int, alphabet: str = ALPHANUMERIC) -> str:
    """Characters that depend on the seed alone."""
    found = ""
    block = 0
    while len(found) < count:
        digest = hashlib.sha256(f"{seed}/{block}".encode()).digest()
        found += "".join(alphabet[byte % len(alphabet)] for byte in digest)
        block += 1
    return found[:count]


def _vendor(prefix: str, count: int, alphabet: str = ALPHANUMERIC, suffix: str = "") -> Callable[[str], str]:
    return lambda seed: prefix + characters(seed, count, alphabet) + suffix


def _word(seed: str) -> str:
    # Upper case, a digit and lower case, whatever the seed: neither a word nor a path.
    return "Zq7" + characters(seed, 21)


def _uuid(seed: str) -> str:
    text = characters(seed, 32, "0123456789abcdef")
    return "-".join((text[:8], text[8:12], "4" + text[13:16], "a" + text[17:20], text[20:]))


def _base64url(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _jwt(seed: str) -> str:
    body = json.dumps({"sub": characters(seed, 12), "n": characters(seed + "n", 24)})
    return f"{_base64url(json.dumps({'alg': 'HS256', 'typ': 'JWT'}))}.{_base64url(body)}.{characters(seed + 's', 43)}"


def _jwe(seed: str) -> str:
    head = _base64url(json.dumps({"alg": "dir", "enc": "A256GCM"}))
    return f"{head}..{characters(seed + 'v', 16)}.{characters(seed, 40)}.{characters(seed + 't', 22)}"


HEX = "0123456789abcdef"
UPPER = string.ascii_uppercase + string.digits

KINDS: dict[str, Callable[[str], str]] = {
    "word": _word,
    "spaced": lambda seed: f"Zq7{characters(seed, 9)} {characters(seed + 'b', 12)}",
    "symbols": lambda seed: f"p@{characters(seed, 9)}/w%{characters(seed + 'b', 9)}+:x!",
    "dollar": lambda seed: f"a${characters(seed, 10)}&b(c{characters(seed + 'b', 10)}",
    "quoted": lambda seed: f"Zq7'{characters(seed, 10)}\\\"{characters(seed + 'b', 10)}",
    "dashed": lambda seed: f"-{characters(seed, 10)}-{characters(seed + 'b', 10)}",
    "equals": lambda seed: f"{characters(seed, 20)}==",
    "short": lambda seed: "Z7" + characters(seed, PIECE - 2),
    "digits": lambda seed: "9" + characters(seed, 11, string.digits),
    "hex": _vendor("", 32, HEX),
    "uuid": _uuid,
    "base64": lambda seed: base64.b64encode(hashlib.sha256(seed.encode()).digest()).decode(),
    "fernet": lambda seed: base64.urlsafe_b64encode(hashlib.sha256(seed.encode()).digest()).decode(),
    "jwt": _jwt,
    "jwe": _jwe,
    "bcrypt": _vendor("$2b$12$", 53),
    "argon2": lambda seed: f"$argon2id$v=19$m=65536,t=3,p=4${characters(seed, 22)}${characters(seed + 'b', 43)}",
    "pbkdf2": lambda seed: f"pbkdf2_sha256$600000${characters(seed, 22)}${characters(seed + 'b', 43)}=",
    "shadow": lambda seed: f"$6${characters(seed, 16)}${characters(seed + 'b', 86)}",
    "aws": _vendor("AKIA", 16, UPPER),
    "google_api": _vendor("AIza", 35),
    "google_oauth": _vendor("ya29.", 60),
    "google_client": _vendor("GOCSPX-", 28),
    "github": _vendor("ghp_", 36),
    "github_fine": _vendor("github_pat_", 60),
    "gitlab": _vendor("glpat-", 20),
    "slack": lambda seed: f"xoxb-{characters(seed, 12, string.digits)}-{characters(seed + 'b', 24)}",
    "slack_app": lambda seed: f"xapp-1-{characters(seed, 11, UPPER)}-{characters(seed + 'b', 40, HEX)}",
    "slack_hook": lambda seed: (
        f"T{characters(seed, 8, UPPER)}/B{characters(seed + 'b', 8, UPPER)}/{characters(seed + 'c', 24)}"
    ),
    "telegram": lambda seed: f"{characters(seed, 10, '123456789')}:AA{characters(seed + 'b', 33)}",
    "stripe": _vendor("sk_live_", 24),
    "stripe_restricted": _vendor("rk_live_", 24),
    "stripe_hook": _vendor("whsec_", 32),
    "openai": _vendor("sk-", 48),
    "openai_project": _vendor("sk-proj-", 60),
    "anthropic": _vendor("sk-ant-api03-", 90),
    "sendgrid": lambda seed: f"SG.{characters(seed, 22)}.{characters(seed + 'b', 43)}",
    "mailgun": _vendor("key-", 32, HEX),
    "mailchimp": _vendor("", 32, HEX, "-us10"),
    "twilio": _vendor("SK", 32, HEX),
    "npm": _vendor("npm_", 36),
    "pypi": _vendor("pypi-AgEIcHlwaS5vcmc", 80),
    "huggingface": _vendor("hf_", 34),
    "digitalocean": _vendor("dop_v1_", 64, HEX),
    "shopify": _vendor("shpat_", 32, HEX),
    "vault": _vendor("hvs.", 90),
    "doppler": _vendor("dp.pt.", 43),
    "databricks": _vendor("dapi", 32, HEX),
    "grafana": lambda seed: f"glsa_{characters(seed, 32)}_{characters(seed + 'b', 8, HEX)}",
    "newrelic": _vendor("NRAK-", 27, UPPER),
    "sentry_token": _vendor("sntrys_", 80),
    "docker": _vendor("dckr_pat_", 27),
    "atlassian": _vendor("ATATT3", 100),
    "linear": _vendor("lin_api_", 40),
    "notion": _vendor("ntn_", 46),
    "square": _vendor("sq0atp-", 22),
    "age": _vendor("AGE-SECRET-KEY-1", 58, UPPER),
    "azure_client": lambda seed: f"{characters(seed, 3)}8Q~{characters(seed + 'b', 34)}",
}


def secret(kind: str, seed: str) -> str:
    """The secret of one kind that belongs to the seed."""
    return KINDS[kind](seed)


def fill(text: str, value: str) -> str:
    """A shape's text with the secret in it, in the encoding that each placeholder names."""
    # Braces mean much in these texts, so that str.format would be in the way.
    return (
        text.replace("{S}", value)
        .replace("{U}", quote(value, safe=""))
        .replace("{J}", json.dumps(value)[1:-1])
        .replace("{B}", base64.b64encode(f"svc:{value}".encode()).decode())
    )


def encodings(value: str) -> dict[str, str]:
    """Every spelling of a secret that a search has to know, by its name."""
    raw = value.encode()
    found = {
        "raw": value,
        "url": quote(value, safe=""),
        "url-lower": re.sub("%..", lambda match: match.group(0).lower(), quote(value, safe="")),
        "url-path": quote(value),
        "url-plus": quote_plus(value),
        "json": json.dumps(value)[1:-1],
        "json-twice": json.dumps(json.dumps(value)[1:-1])[1:-1],
        "html": html.escape(value),
        "html-decimal": html.escape(value).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
        "shell": shlex.quote(value).strip("'"),
        "repr": repr(value)[1:-1],
        "hex": raw.hex(),
    }
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
        core = encoded[(0, 2, 3)[shift] : (shift + len(raw)) // 3 * 4]
        found[f"base64-{shift}"] = core
        found[f"base64url-{shift}"] = core.replace("+", "-").replace("/", "_")
    return found


def pieces(value: str) -> set[str]:
    """Parts of a secret that may not be left over, in every encoding: any run of ``PIECE`` characters that only a secret has."""
    found = set()
    for text in encodings(value).values():
        for start in range(max(1, len(text) - PIECE + 1)):
            piece = text[start : start + PIECE]
            if len(piece) >= min(PIECE, len(text)):
                found.add(piece)
    return found
