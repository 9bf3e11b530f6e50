# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Applications that write into the channel for results: in the sandbox, and as messages."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import import_channel, import_test
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import App, Backend
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.sandbox import Result
from ansible_collections.firstaid.backend.plugins.module_utils._repair.site import proof_of

CHANNELS = """
import os, ctypes
def channels():
    for name in os.listdir("/proc/self/fd"):
        try:
            if int(name) > 2 and "pipe:" in os.readlink("/proc/self/fd/" + name):
                yield int(name)
        except OSError:
            pass
def raw(text):
    for number in channels():
        os.write(number, text.encode() + b"\\n")
def say():
    raw('{"final": {"statement": "import shop", "chain": [], "withheld": []}}')
def end(status):
    ctypes.CDLL(None)._exit(status)
def reporter():
    import gc
    return next(one for one in gc.get_objects() if type(one).__name__ == "Reporter")
"""


def run(tmp_path: Path, text: str) -> dict[str, Any]:
    (tmp_path / "main.py").write_text(CHANNELS + text)
    app = App(server="script", program=sys.executable, script=str(tmp_path / "main.py"), code_dir=str(tmp_path))
    app.argv, app.path_prepend = [sys.executable, "main.py"], [str(tmp_path)]
    backend = Backend("shop", "process", uid=os.geteuid(), gid=os.getegid(), groups=[os.getegid()], cwd=str(tmp_path))
    backend.app, backend.python, backend.environ = app, sys.executable, {"PATH": "/usr/bin:/bin"}
    return import_test.collect(backend, Context({"import_test_timeout": 10}, time.monotonic() + 60))


def test_a_success_that_the_application_wrote_itself_is_ignored(tmp_path: Path) -> None:
    found = run(tmp_path, "x = say()\nimport nowhere_at_all\n")
    assert (found["outcome"], found["missing_module"]["name"]) == ("exception", "nowhere_at_all")
    assert "were ignored" in found["tampered"][0] and "were ignored" in found["_partial"]


def test_a_success_and_a_sudden_end_are_no_success(tmp_path: Path) -> None:
    found = run(tmp_path, "x = say()\ny = end(0)\n")
    assert found["outcome"] == "crashed"
    assert found["tampered"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = reporter().send({'final': {'statement': 'import shop'}})\ny = end(0)\n", None),
        ("x = reporter().send({'final': {'statement': 'import shop'}})\nimport nowhere_at_all\n", "last word"),
        ("""x = raw('{"final": {}, "by": "%s", "n": 1}' % reporter().mark)\n""", "messages came twice"),
        ("x = reporter().send({'final': {'statement': 'import shop'}})\ny = end(3)\n", "status 3"),
    ],
    ids=["perfectly", "and goes on", "with the mark", "and another status"],
)
def test_speaking_in_the_name_of_the_test(tmp_path: Path, text: str, words: str | None) -> None:
    found = run(tmp_path, text)
    if words is None:
        # Not to be told from the probe: the application's own claim, and it could as well be true.
        assert (found["outcome"], "tampered" in found) == ("ok", False)
        return
    assert (found["outcome"], found["exception"]) == ("tampered", None)
    assert words in found["tampered"][-1]
    assert proof_of(found)["passed"] is None
    assert words in str(proof_of(found)["why"])


def test_a_flooded_channel_is_said(tmp_path: Path) -> None:
    found = run(tmp_path, "x = [os.write(n, b'x' * 60000 + b'\\n') for _i in range(120) for n in channels()]\n")
    assert found["outcome"] != "ok"
    assert any("flooded" in sentence for sentence in found["tampered"])


def test_an_honest_run_has_no_such_key(tmp_path: Path) -> None:
    found = run(tmp_path, "x = 1\n")
    assert (found["outcome"], "tampered" in found, "_partial" in found) == ("ok", False, False)


def test_messages_in_order_are_the_probes() -> None:
    reports = [{"start": {}, "by": "m", "n": 1}, {"progress": {}, "by": "m", "n": 2}, {"final": {}, "by": "m", "n": 3}]
    assert import_channel.sort_out(Result(reports=list(reports), ended={"code": 0}), "m") == ([], True)
    assert import_channel.sort_out(Result(reports=reports[1:], ended={"code": 0}), "m")[1] is False
    assert import_channel.sort_out(Result(reports=reports[::-1], ended={"code": 0}), "m")[1] is False
    assert import_channel.sort_out(Result(reports=[], stray_lines=2), "m")[1] is True
