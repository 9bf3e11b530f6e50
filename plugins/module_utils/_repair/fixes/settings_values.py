# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of settings: which are refused, and which may be made here.

A reason names the rule that a value breaks, never the value.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Optional
from urllib.parse import urlsplit

from ..._evidence.secret_names import is_sensitive_name

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}\Z")
# The environment of a process has a limit (ARG_MAX); what is larger was meant to be a file.
MAX_VALUE_BYTES = 64 * 1024

# These decide which code runs. Setting them is the work of the fix `environment`.
_LOADER = re.compile(
    r"(?:LD_|PYTHON[A-Z]|DYLD_|MALLOC_|GLIBC_)|(?:PATH|HOME|SHELL|IFS|BASH_ENV|ENV_FILE|NOTIFY_SOCKET|TMPDIR)\Z"
)
_STAGE = re.compile(r"(?:.*_)?(?:ENV|ENVIRONMENT|STAGE|DEPLOYMENT|DEPLOY_ENV)\Z", re.IGNORECASE)
_PRODUCTION = frozenset("prod production live prd".split())
_PRODUCTION_WORD = re.compile(
    r"\b(?:in|for|of) (?:prod|production)\b|\bproduction (?:mode|environment|settings?)\b", re.IGNORECASE
)
# Never a real value of anything.
_PLACEHOLDER = re.compile(
    r"change[-_ ]?(?:me|this|it)\W*|replace[-_ ]?(?:me|this|with.*)\W*|to[-_]?do\W*|fix[-_]?me\W*|x{3,}|\*{3,}|\.{3,}|<.*>|\[.*redacted.*\]"
    r"|your[-_ ].*|placeholder|insert[-_ ].*|none|null|undefined|n/?a",
    re.IGNORECASE,
)
# Never a real secret.
_DEFAULT_SECRETS = frozenset(
    """
    secret secretkey secret_key secret-key mysecret supersecret super-secret topsecret password passw0rd passwd pass admin root toor guest
    default dev develop development local test testing tests tester example sample demo dummy fake foo bar foobar key token jwt jwtsecret
    jwt-secret jwt_secret insecure unsafe letmein qwerty abc abc123 123456 12345678 123456789 1234567890 00000000 postgres mysql redis
    """.split()
)
_DEFAULT_SECRET = re.compile(
    r"(?:dev|test|local|dummy|insecure|unsafe|example|default|django-insecure)[-_].*|.*[-_](?:changeme|change-me|change-in-production|insecure)"
    r"|(.)\1*",
    re.IGNORECASE,
)
_WILDCARD_NAMES = re.compile(r"HOST|ORIGIN|CORS|ALLOW|TRUSTED|REFERER|AUDIENCE|REDIRECT", re.IGNORECASE)
_LOCAL_HOSTS = re.compile(r"localhost\Z|localhost\.|127\.|0\.0\.0\.0\Z|::1?\Z|\[::1?\]", re.IGNORECASE)
_BARE_HOST = re.compile(r"(?:[A-Za-z0-9_.-]+|\[[0-9a-f:]+\])(?::\d{1,5})?\Z")
_TEMPLATE = re.compile(r"\{\{.*\}\}|\{%.*%\}|\$\{[A-Za-z_]\w*\}|\A\$[A-Z_][A-Z0-9_]*\Z|\A%\([a-z_]+\)s\Z")

# A secret that only this backend uses may be made here. With these words somebody else has the other half of it.
_OWN = frozenset("SECRET KEY SALT PEPPER FERNET JWT SIGNING SIGN SESSION CSRF COOKIE ENCRYPTION HMAC".split())
_SHARED = frozenset(
    """
    API CLIENT ACCESS PUBLIC PASSWORD PASSWD PASS PWD URL URI DSN USER LOGIN HOST WEBHOOK OAUTH OIDC OAUTH2 SSO SAML AWS S3 GCP GOOGLE AZURE
    STRIPE PAYPAL TWILIO SENDGRID MAILGUN SLACK GITHUB GITLAB HUBSPOT APPLE FACEBOOK OPENAI SENTRY SMTP EMAIL MAIL DB DATABASE POSTGRES MYSQL
    REDIS AMQP RABBITMQ MONGO LICENSE ACCOUNT SERVICE ID SSH TLS SSL CERT CERTIFICATE PEM FILE PATH PARTNER VENDOR SHARED EXTERNAL
    """.split()
)


def _fernet() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode("ascii")


# Kind -> what it makes, from the kernel's random numbers.
GENERATORS: dict[str, Callable[[], str]] = {
    "hex": lambda: secrets.token_hex(32),
    "urlsafe": lambda: secrets.token_urlsafe(48),
    "fernet": _fernet,
    "jwt": lambda: secrets.token_urlsafe(64),
}


def text_of(value: Any) -> Optional[str]:
    """A value as the text of an environment variable: ``true`` and ``false``, JSON for lists and mappings; None for None."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return json.dumps(value, separators=(",", ":"))
    return str(value)


def in_production(environ: Mapping[str, str], complaint: str, told: Optional[bool] = None) -> Optional[str]:
    """Why this backend counts as one in production, as a clause; None when it does not.

    :param complaint: what the backend said when it refused to start.
    :param told: the user's word, which decides.
    """
    if told is not None:
        return "you said that it is in production" if told else None
    for name, value in sorted(environ.items()):
        if (_STAGE.match(name) and value.strip().lower() in _PRODUCTION) or (
            name == "DJANGO_SETTINGS_MODULE" and value.rpartition(".")[2].lower() in _PRODUCTION
        ):
            return f"{name} says that it is in production"
    return "its own check says that it is in production" if _PRODUCTION_WORD.search(complaint) else None


def name_reason(name: str) -> Optional[str]:
    """Why a variable of this name is not set here; None when it may be."""
    if not NAME.match(name):
        return "it is no name of a variable"
    if _LOADER.match(name):
        return "it decides which code runs; that is the work of fix_backend_environment"
    return None


def value_reason(
    name: str, value: str, production: Optional[str] = None, local_allowed: bool = False, kind: str = ""
) -> Optional[str]:
    """Why a value is not put into a variable, as a clause without the value; None when it may be.

    :param production: from :func:`in_production`.
    :param local_allowed: SQLite and this host itself are fine even there.
    :param kind: ``fernet`` when the backend said that it wants a Fernet key.
    """
    return _form(value) or _default(name, value) or _for_production(name, value, production, local_allowed) or (
        _no_fernet_key(value) if kind == "fernet" else None
    )  # fmt: skip


def _form(value: str) -> Optional[str]:
    if not value.strip():
        return "the value is empty"
    if len(value.encode("utf-8", "surrogatepass")) > MAX_VALUE_BYTES:
        return f"the value is larger than {MAX_VALUE_BYTES // 1024} KiB"
    if any(
        (ord(char) < 32 and char not in "\t\n") or ord(char) == 127 or 0xD800 <= ord(char) < 0xE000 for char in value
    ):
        return "the value has a control character, such as a carriage return"
    if value != value.strip() and "-----BEGIN" not in value:
        return "the value begins or ends with a blank or line end"
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return "the value has quotes around it, which would become part of it"
    if _TEMPLATE.search(value):
        return "the value is a template or reference that nothing fills in"
    return None


def _default(name: str, value: str) -> Optional[str]:
    bare = value.strip()
    if _PLACEHOLDER.fullmatch(bare):
        return "the value is a placeholder"
    if not is_sensitive_name(name):
        password = _url(bare).get("password", "")
        known = password.lower() in ("changeme", "change-me", "change_me", "secret") or _PLACEHOLDER.fullmatch(password)
        return "the password in the URL is a placeholder" if password and known else None
    if bare.lower() in _DEFAULT_SECRETS or _DEFAULT_SECRET.fullmatch(bare):
        return "the value is a default that everybody knows"
    return None


def _for_production(name: str, value: str, production: Optional[str], local_allowed: bool) -> Optional[str]:
    if production is None:
        return None
    bare = value.strip()
    if _STAGE.match(name) and bare.lower() not in _PRODUCTION:
        return f"{production}, and another stage would turn its checks off"
    parts = [part.strip(" \"'") for part in bare.strip("[]").split(",")]
    if "*" in parts and _WILDCARD_NAMES.search(name):
        return f"{production}, and * lets everybody in"
    if local_allowed:
        return None
    url = _url(bare)
    if url.get("scheme", "").startswith("sqlite") or bare == ":memory:":
        return f"{production}, and the value is an SQLite database"
    host = url.get("host") or (bare.rpartition(":")[0] if re.search(r"[^:]:\d+\Z", bare) else bare)
    if (url or (_BARE_HOST.match(bare) and not _listens(name))) and _LOCAL_HOSTS.match(host):
        return f"{production}, and the value points to this host itself"
    return None


def _listens(name: str) -> bool:
    """HOST and BIND are where the backend itself listens, which may well be this host only."""
    return name.upper() in (
        "HOST",
        "BIND",
        "LISTEN",
        "BIND_HOST",
        "LISTEN_HOST",
        "APP_HOST",
        "SERVER_HOST",
        "UVICORN_HOST",
    )


def _url(text: str) -> dict[str, str]:
    """Scheme, host and password of a URL; empty for what is none."""
    if "://" not in text:
        return {}
    try:
        parts = urlsplit(text)
        return {"scheme": parts.scheme.lower(), "host": parts.hostname or "", "password": parts.password or ""}
    except ValueError:
        return {}


def _no_fernet_key(value: str) -> Optional[str]:
    try:
        good = len(base64.b64decode(value.encode("ascii"), altchars=b"-_", validate=True)) == 32
    except (binascii.Error, ValueError):
        good = False
    return None if good else "a Fernet key is 32 bytes in URL-safe base64 (44 characters)"


def may_generate(name: str, kind: str) -> Optional[str]:
    """Why no value can be made for a variable, as a clause; None when one can."""
    if kind not in GENERATORS:
        return f"there is no kind of value with this name (known: {', '.join(GENERATORS)})"
    words = [word for word in re.split(r"[^A-Z0-9]+", name.upper()) if word]
    if not _OWN.intersection(words) and "".join(words) not in ("SECRETKEY", "JWTSECRET", "SESSIONSECRET"):
        return "its name doesn't say that it is a secret of this backend alone"
    shared = [word for word in words if word in _SHARED]
    if shared:
        return f"its name ({shared[0]}) says that somebody else has the other half of it, so a value made here would fit nothing"
    return None


def kind_for(name: str, complaint: str) -> Optional[str]:
    """The kind of value to suggest for a variable that can be made; None when it can't."""
    if may_generate(name, "urlsafe"):
        return None
    if "FERNET" in name.upper() or re.search(r"\bfernet\b", complaint, re.IGNORECASE):
        return "fernet"
    return "jwt" if "JWT" in name.upper() else "urlsafe"


def generate(names: Iterable[str], kinds: Mapping[str, str]) -> dict[str, str]:
    """A fresh value for each name."""
    return {name: GENERATORS[kinds[name]]() for name in names}
