# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which names hold secrets, and which values of them are worth hiding."""

from __future__ import annotations

import re

# A name is cut into words at underscores, dashes, dots and changes of case; it is sensitive when one of these words occurs ...
_WORDS = frozenset(
    """
    apikey auth authorization bearer cookie cookies credential credentials creds csrf csrftoken dsn jsessionid jwt jwts otp pass
    passcode passphrase passwd password passwords phpsessid pin privatekey pw pwd salt secret secretkey secrets sessid sessionid sig signature token
    tokens xauth xsrf
    """.split()
)
# ... or "key"/"keys" together with nothing that makes it a look-up key.
_KEY_WORDS = frozenset({"key", "keys"})
_HARMLESS_KEYS = frozenset(
    """
    primary foreign cache sort partition public lookup routing index unique map dict missing error errors hot
    """.split()
)
# A sensitive word followed by one of these at the end is about the secret, not the secret itself.
_HARMLESS_ENDS = frozenset(
    """
    alg algo algorithm algorithms audience backend bits class count days dir directory domain enabled endpoint error errors exp expire
    expires expiration expiry file filename format header headers hours httponly issuer length lifetime limit location max mechanism method
    min minutes mode name names path policy prefix provider required samesite scheme schemes secure seconds set size source ttl timeout type types
    uri url user username validator validators version
    """.split()
)
_HARMLESS_NAMES = frozenset(
    {
        "max_tokens",
        "pass_fds",
        "pin_memory",
        "pwd",
        "oldpwd",
        "ssh_auth_sock",
        "xauthority",
        "auth_user_model",
        "author",
        "monkey",
    }
)

_SPLIT = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

# Values that tell nothing, whatever their name.
_TRIVIAL = frozenset(
    """
    true false yes no on off none null undefined nil str int bool bytes float any optional secretstr string required missing
    invalid expired unset empty not set is was must has the a an bearer basic digest apikey
    negotiate ntlm token
    """.split()
)


def is_sensitive_name(name: str) -> bool:
    """True when a variable, option or field of this name usually holds a secret.

    >>> is_sensitive_name("STRIPE_SECRET_KEY"), is_sensitive_name("JWT_ALGORITHM"), is_sensitive_name("KeyError")
    (True, False, False)
    """
    if name.lower() in _HARMLESS_NAMES:
        return False
    words = [word.lower() for word in _SPLIT.split(name) if word]
    if not words or (words[-1] in _HARMLESS_ENDS and len(words) > 1):
        return False
    if any(word in _WORDS or word.rstrip("0123456789") in _WORDS for word in words):
        return True
    if _KEY_WORDS.intersection(words):
        return len(words) > 1 and not _HARMLESS_KEYS.intersection(words)
    joined = "".join(words)
    return joined.endswith(("password", "passwd", "secret", "apikey", "secretkey", "authtoken"))


def is_trivial_value(value: str) -> bool:
    """True for empty values, switches, small numbers, type names and single words of prose, which are no secrets."""
    bare = value.strip().strip("'\"()[]{}:;.,")
    return len(bare) < 2 or bare.lower() in _TRIVIAL or (bare.isdigit() and len(bare) < 4)


# Passwords that are also ordinary words: hidden where their place gives them away, but not searched for everywhere,
# because that would make user names, paths and sentences unreadable.
COMMON_WORDS = frozenset(
    """
    access active activating address admin administrator already anonymous api app authentication auto backend backoff bad changeme
    connect connected connection data database debug default denied dev development disabled django docker down enabled error example
    exception exit exited expected fail failed failure false fatal file flask found guest health host http https import inactive info
    internal invalid key letmein line local localhost login main master memory message missing module mysql name network none null open pass
    passwd password path permission port postgres postgresql private process prod production public python rabbitmq read redis refused
    reload replica request required response restart retry return root running secret server service session signal socket stage staging
    start started starting state status stop stopped success supervisor system systemd table temp test testing timeout token true type unit
    unknown uptime user username value version waiting warning web worker workers write
    """.split()
)
