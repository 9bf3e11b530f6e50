# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last look for secrets before redaction, for runs in which the collector of the environment didn't come to its end.

Shapes hide a secret where its place gives it away. A value that stands bare in a log is only known from the variable that holds it, so
that text of strangers is withheld when the variables could not be read.
"""

from __future__ import annotations

import glob
import os
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from .context import MIB, Context
from .env_file import parse, remember_secrets
from .model import Backend
from .redaction import learn

# Sections with text that the backend itself has written.
FREE_TEXT = ("logs", "import_test", "foreground_test")
WITHHELD = "withheld: the backend's secrets could not be read, so they can't be recognised in its text"
# Seconds for reading the environment files; a file system that doesn't answer must not hold the run.
PATIENCE_S = 2.0
MAX_FILES = 40


def known(backend: Backend, ctx: Context, record: Mapping[str, Any]) -> bool:
    """Whether the secrets of the backend were learnt: by its collector, whose ``record`` says so, or else here and now."""
    if record.get("status") in ("ok", "partial"):
        return True
    done: list[bool] = []
    thread = threading.Thread(target=_learn, args=(backend, ctx, done), daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return False
    thread.join(PATIENCE_S)
    return bool(done)


def _learn(backend: Backend, ctx: Context, done: list[bool]) -> None:
    learn(dict(backend.environ), ctx)
    for path in dict.fromkeys(_named(backend, ctx)):
        content = ctx.read(path, max_bytes=4 * MIB)
        # What isn't there gives nothing away; what can't be read might.
        if content.error and os.path.exists(path):
            return
        remember_secrets(parse(content.raw), ctx)
    done.append(True)
    # Files that nothing names are looked for as far as the time goes; the one who waits waits for them, too.
    for path in _beside(backend):
        remember_secrets(parse(ctx.read(path, max_bytes=4 * MIB).raw), ctx)


def _named(backend: Backend, ctx: Context) -> Iterator[str]:
    """The environment files that the supervisor, the user or the command line name."""
    for ref in backend.env_files:
        yield ref.path
    if ctx.params.get("env_file"):
        yield str(ctx.params["env_file"])
    words = backend.argv
    for number, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option == "--env-file" and (equals or number + 1 < len(words)):
            yield os.path.join(backend.cwd or "/", value if equals else words[number + 1])


def _beside(backend: Backend) -> list[str]:
    """Environment files beside the code."""
    found: list[str] = []
    for directory in {backend.cwd or "/", backend.app.code_dir or "/"} - {"/"}:
        found += glob.glob(os.path.join(glob.escape(directory), ".env*"))
    return [path for path in sorted(found) if os.path.isfile(path)][:MAX_FILES]
