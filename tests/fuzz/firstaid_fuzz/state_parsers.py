# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parsers of the repairs: their own state on the target, and the files that they rewrite. Where there is an inverse, it has to give the input back."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import (
    env_file,
    systemd_unit_files,
    systemd_words,
)
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import KIB, MIB
from ansible_collections.firstaid.backend.plugins.module_utils._repair import (
    lock,
    manifest,
    packages_install,
    session,
    store,
)
from ansible_collections.firstaid.backend.plugins.module_utils._repair.fixes import (
    clean_restart_logs,
    dependencies_declared,
    dependencies_environment,
    dropin,
    environment_env_repair,
    settings_files,
)

from .host_parsers import BLANKS, NUMBERS, QUOTES
from .target import Broken, Target

RUN = "20261122T101500Z-1f2e3d"


@contextlib.contextmanager
def _folder(name: str, content: bytes, run: bool = False) -> Iterator[store.Folder]:
    """A backend's directory of the state with one file in it."""
    top = tempfile.mkdtemp(prefix="firstaid-fuzz-")
    try:
        backend = store.open_state(os.path.join(top, "state"), create=True).folder("web.service", create=True)
        where = backend.folder(RUN, create=True) if run else backend
        where.write(name, content)
        yield backend
    finally:
        shutil.rmtree(top)


def _state_error(exc: Exception, folder: store.Folder) -> store.StateError:
    return store.StateError(str(exc).replace(folder.path, "x"))


def _manifest(content: bytes) -> dict[str, Any]:
    with _folder(manifest.FILE, content, run=True) as folder:
        unfinished = list(manifest.unended(folder))
        try:
            told = session.half_way(folder)
            found = manifest.load(folder, RUN).data
        except store.StateError as exc:
            if not any(problem for _run, _manifest, problem in unfinished):
                raise Broken("a damaged manifest counts as ended") from exc
            raise _state_error(exc, folder) from exc
        if (found["state"] != "ended") != bool(told):
            raise Broken(f"state {found['state']} and told {told!r}")
        return found


def _history(content: bytes) -> list[dict[str, Any]]:
    with _folder(store.HISTORY, content) as folder:
        before = store.history(folder)
        store.append_row(folder, {"run": RUN, "outcome": "healed"})
        after = store.history(folder)
        if after != [*before, {"run": RUN, "outcome": "healed"}]:
            raise Broken("a row more changed those before it")
        session.summaries(folder)
        return after


def _lock(content: bytes) -> dict[str, Any] | None:
    with _folder(lock.FILE, content) as folder:
        try:
            found = lock.holder(folder)
            if found is not None:
                lock.free_because(found, {"host": "c", "pid": 1}, "x", 1e9, "boot")
                lock.told(found)
            return found
        except store.StateError as exc:
            raise _state_error(exc, folder) from exc


def _env_repair(raw: bytes) -> environment_env_repair.Repaired:
    done = environment_env_repair.repair(raw)
    again = env_file.parse(done.content)
    if environment_env_repair.harmful(again, "systemd") and not done.left:
        raise Broken(f"what was repaired is still harmful: {again}")
    return done


def _quoted(reader: str) -> Any:
    def quote(text: str) -> str:
        written = settings_files.quote(text, reader)
        parsed = env_file.parse(f"A={written}\n".encode())
        if reader == "systemd" and parsed.variables.get("A") != text:
            raise Broken(f"{text!r} was written as {written!r} and is read as {parsed.variables.get('A')!r}")
        return written

    return quote


def _word(text: str) -> str:
    written = dropin.word(text)
    if systemd_words.split_words(written) != [text]:
        raise Broken(f"{text!r} was written as {written!r} and is read as {systemd_words.split_words(written)!r}")
    line = f"[Service]\nExecStart={written}\n"
    if text and [one.value for one in systemd_unit_files.parse(line)] != [written]:
        raise Broken(f"{written!r} is no single line of a unit file")
    return written


def _assignment(text: str) -> str:
    written = dropin.assignment("A", text)
    read = systemd_words.parse_environment(systemd_unit_files.expand_specifiers(written, "x.service"))
    if read != {"A": text}:
        raise Broken(f"{text!r} was written as {written!r} and is read as {read!r}")
    return written


def _specifier(text: str) -> str | None:
    return dependencies_declared.to_pep440(text)


def _index(text: str) -> list[str]:
    return dependencies_declared.index_lines(text, "/nonexistent/requirements.txt")


_MANIFEST = (
    '{"schema": 1, "run": "' + RUN + '", "session": "s", "backend": {"name": "web"}, "fix": "test", "state": "changing", "changes": [',
    '], "service_before": {"state": "running"}, "proof": null}',
    '{"number": 1, "kind": "file", "path": "/x", "state": "planned", "before": {}, "after": {}}', ",", '"state": "done"', '"ended"', "{", "}", "[", "]",
    '"', "null", "1", "true", "\\u0000", "\\ud800", "9" * 5000, '"schema":', '"run":', "\xff", "NaN",
)  # fmt: skip

TARGETS: tuple[Target, ...] = (
    Target("manifest", _manifest, _MANIFEST, raw=True, size=256 * KIB, allowed=(store.StateError, ), repeats=("[", '{"a":')),
    Target("history", _history, ('{"run": "1", "outcome": "healed"}\n', "{", "}", "[", "\n", '"', "null", "\0", "9" * 5000, "\\ud800",
        '{"run": 1, "started": "x"}\n'), raw=True, size=MIB, repeats=("[", '{"a":', "{}\n", "\n")),
    Target("lock", _lock, ('{"session": "s", "lease_until": "', '2026-11-22T04:43:16Z"', ', "since": ', "{", "}", '"process": {"pid": ', "1",
        '"controller": {"host": "c"', ",", "null", "[", "]", '"', "²", "1e999", "9" * 30, "-1", '"boot_id": ', ":", '"start_ticks": '), raw=True,
        allowed=(store.StateError, ), repeats=("[", )),
    Target("env-repair", _env_repair, (*BLANKS, *QUOTES, "=", "#", "A", "B_1", "export ", "KEY=value\n", "A='x' y\n", "\xff"), raw=True, size=256 * KIB,
        allowed=(environment_env_repair.Unclear, ), repeats=("export A=1\n", "A='\n", "A=1\r\n", "#\\\n", "A = 1\n", "A\n")),
    Target("quote-systemd", _quoted("systemd"), (*BLANKS, *QUOTES, "#", ";", "a", " ", "${A}", "\x01"), allowed=(settings_files.CannotWrite, ),
        repeats=("'\\", "a ", '"')),
    Target("quote-dotenv", _quoted("dotenv"), (*BLANKS, *QUOTES, "#", ";", "a", " ", "${A}"), allowed=(settings_files.CannotWrite, ), repeats=("'\\", "${",
        "$")),
    Target("quote-lines", _quoted("lines"), (*BLANKS, *QUOTES, "#", ";", "a", " "), allowed=(settings_files.CannotWrite, ), repeats=("a#", " ")),
    Target("unit-word", _word, (*BLANKS, *QUOTES, "%", "$", ";", "a", "-", "\x01", "\x7f", "\u0085", "\U0001f600"), allowed=(ValueError, ), repeats=("\\",
        "é", "\x01")),
    Target("unit-assignment", _assignment, (*BLANKS, *QUOTES, "%", "%i", "$", ";", "a", "=", "\x01"), allowed=(ValueError, ), repeats=("%", "\n")),
    Target("logrotate", clean_restart_logs.parse, ("/var/log/x", " {\n", "}\n", "rotate 4\n", "postrotate\n", "endscript\n", "include ", "'", '"', "#",
        "\\", "\n", "~"), size=256 * KIB, repeats=("/x {\n}\n", "/x\n", "'", "include x\n", "/x {\n")),
    Target("etc-environment", dependencies_environment.parse_environment, (*BLANKS, *QUOTES, "export ", "A=", "=", "#"), size=256 * KIB, repeats=("A=1\n",
        " ", "export ", "export" + " " * 20)),
    Target("poetry-specifier", _specifier, ("^", "~", "==", ">=", "1.2", ",", " ", "*", "||", ".post1", *NUMBERS), repeats=("^1,", "1.", ",", " ")),
    Target("index-lines", _index, ("--index-url ", "-i", "https://x/y", " #", "=", "\n", "--find-links ", " ", "--extra-index-url="), size=256 * KIB,
        repeats=("-i x\n", " #", " ", "-f x\n")),
    Target("pip-version", packages_install.version_of, ("pip ", "1.2", ".", "²", *NUMBERS, "uv "), repeats=("1.", "1", "a")),
)  # fmt: skip
