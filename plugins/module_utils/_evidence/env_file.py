# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environment files: what systemd loads from one, and what is wrong with it for whoever reads it.

``parse`` is pure. ``EnvFile.variables`` are systemd's; each problem names the other readers (python-dotenv, Docker's
``--env-file``, a shell) that it hurts.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
from dataclasses import dataclass, field
from typing import Any, Optional

from .context import MIB, Context, silence
from .env_file_split import BLANK, Assignment, split
from .redaction import learn
from .secret_names import is_sensitive_name

# systemd refuses to load anything larger (READ_FULL_BYTES_MAX in its src/basic/fileio.c).
MAX_BYTES = 4 * MIB
MAX_MALFORMED = 50
TEXT_LIMIT = 160
# Before this version a backslash at the end of a comment makes the next line part of the comment.
COMMENTS_END_SINCE = 254

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_EXPORT = re.compile(r"(?:export|set|SET)[ \t]+(?=\S)")
_TYPOGRAPHIC = "\u2018\u2019\u201c\u201d"
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_URL_PASSWORD = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://[^\s/:@]*:([^\s]+)@[^\s@]*")

# Which readers of environment files stumble over a problem.
_AFFECTS = {
    "export_prefix": ["systemd", "docker"],
    "spaces_around_equals": ["docker", "shell"],
    "unclosed_quote": ["systemd", "dotenv", "shell"],
    "no_equals": ["systemd", "dotenv", "docker", "shell"],
    "bad_name": ["systemd", "shell"],
    "trailing_garbage": ["systemd", "dotenv", "shell"],
    "carriage_return": ["shell"],
    "quotes_kept": ["systemd", "dotenv", "docker"],
    "inline_comment": ["systemd", "docker"],
    "nul": ["systemd", "dotenv", "docker", "shell"],
    "not_utf8": ["systemd", "dotenv", "docker"],
    "control_character": ["systemd", "dotenv", "docker"],
    "continued_comment": ["systemd"],
}


@dataclass
class Malformed:
    """One bad line; ``affects`` names the readers that stumble: systemd, dotenv, docker, shell."""

    line: int
    problem: str
    text: str
    affects: list[str]


@dataclass
class EnvFile:
    """The content of an environment file.

    ``variables`` is what systemd would set. ``intended`` is what the author meant by each name: ``export`` and byte-order
    mark removed, comment cut. ``names`` are all assigned names in order; ``not_loaded`` those that systemd drops.
    ``load_error`` is set when systemd refuses the whole file; ``variables`` is empty then.
    """

    size: int = 0
    encoding: str = "utf-8"
    bom: bool = False
    line_endings: str = "lf"
    lines: int = 0
    final_newline: bool = True
    variables: dict[str, str] = field(default_factory=dict)
    intended: dict[str, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    not_loaded: list[str] = field(default_factory=list)
    malformed: list[Malformed] = field(default_factory=list)
    load_error: Optional[str] = None
    most: int = field(default=MAX_MALFORMED, repr=False)


def sensitive(name: str, value: str = "") -> bool:
    """Whether a variable is secret by its name, or its value is a URL with a password in it."""
    if _URL_PASSWORD.search(value):
        return True
    return is_sensitive_name(name)


def parse(raw: bytes, systemd_version: int = COMMENTS_END_SINCE, most: int = MAX_MALFORMED) -> EnvFile:
    """Read the bytes of an environment file as the given systemd would. Never raises.

    :param most: how many malformed lines are named.
    """
    result = EnvFile(size=len(raw), most=most)
    text = _decode(raw, result)
    result.line_endings = _line_endings(text)
    result.lines = len(text.splitlines())
    result.final_newline = not text or text.endswith(("\n", "\r"))
    assignments, ignored = split(text, systemd_version < COMMENTS_END_SINCE)
    for line, content in ignored:
        _report(result, line, "continued_comment" if content[:1] in ("#", ";") else "no_equals", content)
    seen: dict[str, bool] = {}
    not_loaded: dict[str, None] = {}
    for entry in assignments:
        name = intended_name(entry.key)
        seen[name] = name in seen
        result.intended[name] = _intended_value(entry)
        _judge(entry, result)
        if NAME.match(entry.key):
            result.variables[entry.key] = entry.value
        else:
            not_loaded[name] = None
    result.names = list(seen)
    result.duplicates = [name for name, again in seen.items() if again]
    _carriage_returns(text, result)
    if result.load_error:
        result.variables, not_loaded = {}, dict.fromkeys(result.names)
    result.not_loaded = [name for name in not_loaded if name not in result.variables]
    result.malformed.sort(key=lambda item: item.line)
    return result


def describe(
    path: str, ctx: Context, origin: str, optional: bool = False, systemd_version: int = COMMENTS_END_SINCE
) -> dict[str, Any]:
    """The ``envfile`` shape of the evidence for one path; the secrets in it are registered with ``ctx``."""
    section: dict[str, Any] = {
        "path": path, "origin": origin, "optional": optional, "exists": False, "readable": False, "type": None,
        "owner": None, "mode": None, "size_bytes": None, "encoding": None, "bom": None, "line_endings": None,
        "lines": None, "final_newline": None, "names": [], "duplicates": [], "not_loaded": [], "malformed": [],
        "load_error": None,
    }  # fmt: skip
    hangs = silence(path)
    if hangs:
        section.update(exists=None, load_error=hangs)
        return section
    section["type"] = path_type(path)
    try:
        status = os.stat(path)
    except OSError as exc:
        if isinstance(exc, PermissionError):
            section.update(exists=None, load_error="can't be looked at with these rights: Permission denied")
            return section
        dangling = section["type"] == "dangling_link"
        section["load_error"] = f"{exc.strerror}" + (f" (a link to {_target(path)})" if dangling else "")
        return section
    section.update(
        exists=True,
        owner=f"{user_name(status.st_uid)}:{group_name(status.st_gid)}",
        mode=f"{stat.S_IMODE(status.st_mode):04o}",
        size_bytes=status.st_size,
    )
    content = ctx.read(path, max_bytes=MAX_BYTES)
    if content.error:
        # The supervisor reads it with rights of its own.
        section.update(load_error=content.error, readable=None if content.no_right else False)
        return section
    section["readable"] = True
    parsed = parse(content.raw, systemd_version)
    remember_secrets(parsed, ctx)
    section.update(
        encoding=parsed.encoding,
        bom=parsed.bom,
        line_endings=parsed.line_endings,
        lines=parsed.lines,
        final_newline=parsed.final_newline,
        names=parsed.names,
        duplicates=parsed.duplicates,
        not_loaded=parsed.not_loaded,
        malformed=[
            {"line": item.line, "problem": item.problem, "text": item.text, "affects": item.affects}
            for item in parsed.malformed
        ],
        load_error="larger than 4 MiB" if content.truncated else parsed.load_error,
    )
    return section


def remember_secrets(parsed: EnvFile, ctx: Context) -> None:
    """Hand every sensitive value to redaction, as loaded and as written, and text that may be a lost part of one."""
    learn(parsed.variables, ctx)
    learn(parsed.intended, ctx)
    for item in parsed.malformed:
        # A key that spans lines without quotes leaves its rest on lines of its own.
        if item.problem == "no_equals" and len(item.text) >= 16 and " " not in item.text:
            ctx.add_secret(item.text, f"line {item.line}")


def path_type(path: str) -> str:
    """What a path leads to: file, directory, fifo, socket, device, dangling_link, missing, or out_of_reach for these rights."""
    try:
        mode = os.stat(path).st_mode
    except PermissionError:
        return "out_of_reach"
    except OSError:
        return "dangling_link" if os.path.islink(path) else "missing"
    table = ((stat.S_ISREG, "file"), (stat.S_ISDIR, "directory"), (stat.S_ISFIFO, "fifo"), (stat.S_ISSOCK, "socket"))
    return next((name for test, name in table if test(mode)), "device")


def user_name(uid: int) -> str:
    """The name of a user, or its number where the host knows none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    """The name of a group, or its number where the host knows none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _decode(raw: bytes, result: EnvFile) -> str:
    """Text of the file, with encoding, byte-order mark and what makes systemd refuse it noted in ``result``."""
    for mark, encoding in _BOMS:
        if raw.startswith(mark):
            result.bom, result.encoding = True, encoding
            break
    else:
        if b"\0" in raw[:200]:
            zeros = (raw[0:200:2].count(0), raw[1:200:2].count(0))
            if max(zeros) > len(raw[:200]) // 4:
                result.encoding = "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
    if result.encoding != "utf-8":
        result.load_error = f"the file is {result.encoding.upper()}, systemd loads UTF-8 only"
        return raw.decode(result.encoding, errors="replace")
    if b"\0" in raw:
        line = raw[: raw.index(b"\0")].count(b"\n") + 1
        _report(result, line, "nul", "")
        result.load_error = f"a NUL byte in line {line}: systemd refuses the file (Bad message)"
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as exc:
        line = raw[: exc.start].count(b"\n") + 1
        result.encoding = "unknown"
        _report(result, line, "not_utf8", raw.split(b"\n")[line - 1].decode("latin-1"))
        result.load_error = f"line {line} is not valid UTF-8: systemd refuses the file (Invalid argument)"
        return raw.decode("utf-8", errors="replace")


def _judge(entry: Assignment, result: EnvFile) -> None:
    """Report what is wrong with one assignment."""
    first = re.split(r"[\r\n]", entry.source, maxsplit=1)[0]
    left, _equals, right = first.partition("=")
    bare_key = entry.key.lstrip("\ufeff")
    if _EXPORT.match(bare_key):
        _report(result, entry.line, "export_prefix", first)
    elif not NAME.match(bare_key):
        _report(result, entry.line, "bad_name", first)
    if left != left.rstrip(BLANK) or right != right.lstrip(BLANK):
        _report(result, entry.line, "spaces_around_equals", first)
    if not entry.closed:
        _report(result, entry.line, "unclosed_quote", first)
    elif entry.text_after_quote.startswith("#"):
        _report(result, entry.line, "inline_comment", first)
    elif entry.text_after_quote:
        _report(result, entry.line, "trailing_garbage", first)
    elif not entry.quotes and re.search(r"[ \t]#", right):
        _report(result, entry.line, "inline_comment", first)
    elif _keeps_quotes(entry):
        _report(result, entry.line, "quotes_kept", first)
    if _has_control(entry.value) and "\0" not in entry.value:
        _report(result, entry.line, "carriage_return" if "\r" in entry.value else "control_character", first, "systemd")


def _keeps_quotes(entry: Assignment) -> bool:
    """Quotes that stay in the value although the author meant them to group: doubled or typographic ones."""
    value = entry.value.strip()
    if len(value) < 2:
        return False
    if value[0] in _TYPOGRAPHIC and value[-1] in _TYPOGRAPHIC:
        return True
    return bool(entry.quotes) and value[0] == value[-1] and value[0] in "'\"" and not value.startswith("[")


def _carriage_returns(text: str, result: EnvFile) -> None:
    """CRLF troubles shells only, except that a continued line then ends for systemd too."""
    if "\r\n" not in text:
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.endswith("\\\r") and not line.lstrip().startswith(("#", ";")):
            _report(result, number, "carriage_return", line.rstrip("\r"), "systemd", "dotenv", "shell")
            return
    _report(
        result,
        text[: text.index("\r\n")].count("\n") + 1,
        "carriage_return",
        text[: text.index("\r\n")].split("\n")[-1],
    )


def _report(result: EnvFile, line: int, problem: str, text: str, *affects: str) -> None:
    if len(result.malformed) < result.most:
        result.malformed.append(Malformed(line, problem, text[:TEXT_LIMIT], list(affects) or list(_AFFECTS[problem])))


def intended_name(key: str) -> str:
    """The name that the author of a line meant: without ``export``, byte-order mark, blanks and quotes."""
    return _EXPORT.sub("", key.lstrip("\ufeff").strip(), count=1).strip("'\" \t") or key


def _intended_value(entry: Assignment) -> str:
    if entry.text_after_quote:
        return entry.value[: max(0, len(entry.value) - len(entry.text_after_quote.rstrip()))] or entry.value
    return entry.value if entry.quotes else re.split(r"[ \t]#", entry.value, maxsplit=1)[0].rstrip()


def _has_control(value: str) -> bool:
    return any((ord(char) < 32 and char not in "\t\n") or ord(char) == 127 for char in value)


def _line_endings(text: str) -> str:
    crlf = text.count("\r\n")
    lf = text.count("\n") - crlf
    cr = text.count("\r") - crlf
    used = [name for name, count in (("crlf", crlf), ("lf", lf), ("cr", cr)) if count]
    return "mixed" if len(used) > 1 else (used[0] if used else "lf")


def _target(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return "?"
