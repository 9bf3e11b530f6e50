# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The search for exact values, in every encoding in which they may turn up, cut ones included."""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
from collections.abc import Callable, Iterable
from typing import Optional
from urllib.parse import quote, quote_plus, unquote

from .secret_names import COMMON_WORDS

# What stands for a part that somebody else cut out: pydantic, reprlib, Sentry, and this collection itself.
_ELLIPSIS = re.compile(r"[ ]?(?:\[\.{3} \d+ characters left out \.{3}\]|\.{3}|\u2026|\[\u2026cut\u2026\])[ ]?")
# The least that is left of a cut secret to be worth hiding, and the most that is looked at on each side.
PIECE = 6
REACH = 96
_SHELL_SPECIAL = re.compile(r"([^A-Za-z0-9_@%+=:,./\-])")


class ExactValues:
    """Finds secrets in text. Longest first, so that a secret that contains another one is hidden whole."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = [secret for secret in secrets if searchable(secret)]
        # A value that is only another one's URL encoding is that one.
        plain = {secret for secret in known if unquote(secret) == secret or unquote(secret) not in known}
        self.spellings: dict[str, str] = {}
        self._cores: dict[str, str] = {}
        for secret in sorted(plain, key=lambda one: (-len(one), one)):
            for spelling in spellings(secret):
                self.spellings.setdefault(spelling, secret)
            for core in base64_cores(secret):
                self._cores.setdefault(core, secret)
        self._ordered = sorted(self.spellings, key=lambda one: (-len(one), one))
        self._heads: dict[str, list[str]] = {}
        self._tails: dict[str, list[str]] = {}
        for spelling in self._ordered:
            if len(spelling) > 2 * PIECE:
                self._heads.setdefault(spelling[:PIECE], []).append(spelling)
                self._tails.setdefault(spelling[-PIECE:], []).append(spelling)
        self._compiled: dict[tuple[str, ...], re.Pattern[str]] = {}

    def present(self, text: str) -> Optional[re.Pattern[str]]:
        """A pattern of the spellings that a text holds at all, for its lines; None where it holds none. This is what makes
        many secrets in much text quick: looking for a fixed string costs next to nothing."""
        found = tuple(spelling for spelling in self._ordered if spelling in text)
        if not found:
            return None
        if found not in self._compiled:
            self._compiled[found] = re.compile("|".join(map(_bounded, found)))
        return self._compiled[found]

    def cores(self, text: str) -> list[str]:
        """The base64 spellings that a text holds."""
        return [core for core in self._cores if core in text]

    def hide(self, line: str, present: Optional[re.Pattern[str]], cores: list[str], mask: Callable[[str], str]) -> str:
        """One line without the secrets that ``present`` and ``cores`` found in its text; ``mask`` gets the secret itself."""
        if present is not None:
            line = present.sub(lambda match: mask(self.spellings[match.group(0)]), line)
        for core in cores:
            if core in line:
                # What stands beside the core is the rest of the same base64 text.
                pattern = re.compile(rf"[\w+/\-]{{0,3}}{re.escape(core)}[\w+/=\-]{{0,4}}")
                line = pattern.sub(mask(self._cores[core]).replace("\\", ""), line)
        return self._hide_cut(line, mask) if "..." in line or "\u2026" in line else line

    def _hide_cut(self, line: str, mask: Callable[[str], str]) -> str:
        """The beginning of a secret in front of an ellipsis, and the end of one behind."""
        heads = [head for head in self._heads if head in line]
        tails = [tail for tail in self._tails if tail in line]
        if not heads and not tails:
            return line
        result = []
        position = 0
        for match in _ELLIPSIS.finditer(line):
            if match.start() < position:
                continue
            start = self._begins(line, max(position, match.start() - REACH), match.start(), heads)
            end = self._ends(line, match.end(), tails)
            result.append(line[position:start] + (mask(line[start : match.start()]) if start < match.start() else ""))
            result.append(match.group(0) + (mask(line[match.end() : end]) if end > match.end() else ""))
            position = end
        return "".join(result) + line[position:]

    def _begins(self, line: str, low: int, end: int, heads: list[str]) -> int:
        """Where the first part of a secret begins that ends at ``end``; ``end`` where none does."""
        found = end
        for head in heads:
            at = line.find(head, low, end)
            while at >= 0 and at < found:
                if any(secret.startswith(line[at:end]) for secret in self._heads[head]):
                    found = at
                at = line.find(head, at + 1, end)
        return found

    def _ends(self, line: str, start: int, tails: list[str]) -> int:
        """Where the last part of a secret ends that begins at ``start``; ``start`` where none does."""
        found = start
        for tail in tails:
            at = line.find(tail, start, start + REACH)
            while at >= 0:
                end = at + len(tail)
                if end > found and any(secret.endswith(line[start:end]) for secret in self._tails[tail]):
                    found = end
                at = line.find(tail, at + 1, start + REACH)
        return found


def searchable(secret: str) -> bool:
    """Whether a value is worth a search everywhere; ordinary words are hidden only where their place gives them away."""
    return len(secret) >= 4 and secret.lower() not in COMMON_WORDS


def spellings(secret: str) -> set[str]:
    """A secret as it is, and as URLs, JSON, HTML, shells, Python and configuration files write it."""
    json_text = json.dumps(secret)[1:-1]
    html_text = html.escape(secret)
    encoded = {quote(secret, safe=""), quote(secret), quote_plus(secret), quote(secret, safe="!*'()~")}
    found = {
        secret,
        *encoded,
        *(re.sub(r"%[0-9A-F]{2}", lambda match: match.group(0).lower(), one) for one in encoded),
        quote(quote(secret, safe=""), safe=""),
        json_text,
        json.dumps(secret, ensure_ascii=False)[1:-1],
        json.dumps(json_text)[1:-1],
        html_text,
        html_text.replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
        html.escape(secret, quote=False),
        repr(secret)[1:-1],
        repr(secret.encode("utf-8", "surrogatepass"))[2:-1],
        shlex.quote(secret)[1:-1] if "'" in secret else secret,
        secret.replace("'", "'\\''"),
        _SHELL_SPECIAL.sub(r"\\\1", secret),
        re.sub(r"([\\\"$`])", r"\\\1", secret),
        re.sub(r"([\\\"])", r"\\\1", secret),
        secret.replace("'", "\\'"),
        secret.replace("%", "%%"),
        secret.replace("$", "$$"),
    }
    if "\\n" in secret:
        found.add(secret.replace("\\n", "\n"))
    if len(secret) >= 8:
        digits = secret.encode("utf-8", "surrogatepass").hex()
        found.update({digits, digits.upper()})
    found.update(line for line in re.split(r"\n|\\n", secret) if len(line) >= 12 and "-----" not in line)
    return {one for one in found if len(one) >= 4}


def base64_cores(secret: str) -> set[str]:
    """The part of the base64 text of a secret that stays the same whatever stands before and after it, at each of the
    three alignments, for instance inside ``user:password``; nothing for secrets too short to be told apart."""
    raw = secret.encode("utf-8", "surrogatepass")
    cores = set()
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
        whole = (shift + len(raw)) // 3 * 4
        core = encoded[(0, 2, 3)[shift] : whole]
        if len(core) >= 8:
            cores.update({core, core.replace("+", "-").replace("/", "_")})
    return cores


def _bounded(form: str) -> str:
    """A short secret is only searched for as a whole word."""
    pattern = re.escape(form)
    return pattern if len(form) >= 8 else rf"(?<![A-Za-z0-9_]){pattern}(?![A-Za-z0-9_])"
