# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ast
import inspect
import itertools
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import (
    choose,
    registry,
    runner,
    shared_commands,
    target,
)
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.bounds import bounded, plain, size
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import CommandResult, Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import Backend, Section, Unavailable
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.registry import (
    COLLECTORS,
    RESOLVERS,
    Collector,
)
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.selection import InputError, near_names

Function = Callable[[Backend, Context], Section]


def document(*collectors: tuple[str, Function, dict[str, Any]], params: dict[str, Any] | None = None) -> dict[str, Any]:
    table = [Collector(name, function, **{"seconds": 2.0, **options}) for name, function, options in collectors]
    backend = Backend("api.service", "systemd", service={"name": "api.service"}, unit={"problems": []})
    return runner.gather_one(backend, Context(params or {}, time.monotonic() + 5), b"salt", 7, table, [])


def fine(backend: Backend, ctx: Context) -> Section:
    return {"value": 1}


def test_a_collector_fails_alone() -> None:
    def broken(backend: Backend, ctx: Context) -> Section:
        secret = "do not show"
        raise ValueError(secret)

    result = document(("good", fine, {}), ("bad", broken, {}))
    assert result["good"] == {"value": 1}
    assert result["collectors"]["good"]["status"] == "ok"
    record = result["collectors"]["bad"]
    assert record["status"] == "failed" and "ValueError" in record["error"] and "do not show" not in record["error"]
    assert result["bad"]["unavailable"] == record["error"]


def test_unavailable_is_a_sentence_for_the_reader() -> None:
    def missing(backend: Backend, ctx: Context) -> Section:
        raise Unavailable("no such tool")

    result = document(("x", missing, {}))
    assert result["x"] == {"unavailable": "no such tool"}
    assert result["collectors"]["x"]["status"] == "failed"


def test_a_collector_that_hangs_is_left_behind() -> None:
    release = threading.Event()

    def hangs(backend: Backend, ctx: Context) -> Section:
        release.wait(20)
        return {"late": True}

    begun = time.monotonic()
    result = document(("slow", hangs, {"seconds": 0.4}), ("good", fine, {}))
    release.set()
    assert time.monotonic() - begun < 3
    assert result["collectors"]["slow"]["status"] == "timeout"
    assert "0.4 s" in result["slow"]["unavailable"]
    assert result["good"] == {"value": 1}


def test_collectors_run_side_by_side() -> None:
    both = threading.Barrier(2, timeout=1.5)

    def meets(backend: Backend, ctx: Context) -> Section:
        both.wait()
        return {}

    result = document(("a", meets, {}), ("b", meets, {}))
    assert {result["collectors"][name]["status"] for name in "ab"} == {"ok"}


def test_a_collector_gets_a_deadline_of_its_own() -> None:
    seen: dict[str, float] = {}

    def looks(backend: Backend, ctx: Context) -> Section:
        seen["left"] = ctx.remaining()
        return {}

    document(("short", looks, {"seconds": 1.0}))
    assert seen["left"] < 1.0
    document(("long", looks, {"seconds": 3.0, "extra": "import_test_timeout"}), params={"import_test_timeout": 30})
    assert 30 < seen["left"] < 33


def test_a_spent_budget_skips() -> None:
    backend = Backend("api", "systemd")
    result = runner.gather_one(backend, Context({}, time.monotonic() - 1), b"", 0, [Collector("x", fine, 1.0)], [])
    assert result["collectors"]["x"]["status"] == "skipped"
    assert "budget" in result["x"]["unavailable"]


def test_a_floor_outlasts_the_budget() -> None:
    backend = Backend("api", "systemd")
    vital = Collector("x", fine, 1.0, floor=1.0)
    result = runner.gather_one(backend, Context({}, time.monotonic() - 1), b"", 0, [vital], [])
    assert result["collectors"]["x"]["status"] == "ok"


def test_remarks_are_taken_out_of_the_section() -> None:
    def remarks(backend: Backend, ctx: Context) -> Section:
        return {"a": 1, "_partial": "half of it", "_truncated": True}

    result = document(("x", remarks, {}))
    assert result["x"] == {"a": 1}
    assert result["collectors"]["x"] == {
        "status": "partial",
        "ms": result["collectors"]["x"]["ms"],
        "truncated": True,
        "error": "half of it",
    }


def test_too_much_is_cut_and_said() -> None:
    def floods(backend: Backend, ctx: Context) -> Section:
        return {"lines": ["x" * 100] * 5000, "small": 1}

    result = document(("x", floods, {"max_bytes": 10000}))
    assert size(result["x"]) <= 10000 and result["x"]["small"] == 1
    assert result["collectors"]["x"]["truncated"] and "lines" in result["collectors"]["x"]["error"]


def test_results_can_go_into_another_section() -> None:
    result = document(("health", fine, {"into": ("unit", "health")}))
    assert result["unit"] == {"problems": [], "health": {"value": 1}}
    assert "health" not in result and "health" in result["collectors"]


def test_everything_is_redacted_with_secrets_that_collectors_read() -> None:
    def reads(backend: Backend, ctx: Context) -> Section:
        ctx.add_secret("hunter2hunter2", "DB_PASSWORD")
        return {"text": "it said hunter2hunter2"}

    result = document(("x", reads, {}), ("y", lambda backend, ctx: {"other": "hunter2hunter2"}, {}))
    assert "hunter2" not in json.dumps(result)
    assert result["redactions"]["total"] >= 2


def test_a_section_whose_redaction_fails_is_withheld(monkeypatch: pytest.MonkeyPatch) -> None:
    def withheld(evidence: dict[str, Any], ctx: Context, salt: bytes) -> dict[str, Any]:
        return {**evidence, "x": {"unavailable": "withheld: redaction failed (KeyError)"}}

    monkeypatch.setattr(runner, "redact", withheld)
    assert document(("x", fine, {}))["collectors"]["x"]["status"] == "withheld"


def test_the_table_has_no_name_twice() -> None:
    names = [collector.name for collector in (*COLLECTORS, *RESOLVERS)]
    assert len(names) == len(set(names))
    assert all(0 < collector.seconds <= 10 for collector in COLLECTORS)


@pytest.mark.parametrize("collector", [*RESOLVERS, *COLLECTORS], ids=lambda collector: collector.name)
def test_every_collector_is_shipped_and_can_be_loaded(collector: Collector) -> None:
    assert callable(collector.load())
    tree = ast.parse(inspect.getsource(registry))
    shipped = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and not node.module
        for alias in node.names
    }
    assert collector.source in shipped


def test_a_collector_that_can_not_be_loaded_fails_alone() -> None:
    backend = Backend("api", "systemd")
    table = [Collector("x", "no_such_module", 1.0), Collector("good", fine, 1.0)]
    result = runner.gather_one(backend, Context({}, time.monotonic() + 5), b"", 0, table, [])
    assert "can't be loaded" in result["collectors"]["x"]["error"]
    assert result["good"] == {"value": 1}


def test_plain_survives_anything() -> None:
    class Odd:
        def __str__(self) -> str:
            return "odd"

    deep: Any = []
    for _level in range(100):
        deep = [deep]
    result = plain(
        {1: b"\xff", "s": "\udcff", "set": {"b", "a"}, "nan": float("nan"), "odd": Odd(), "deep": deep, "t": (1,)}
    )
    json.dumps(result).encode("utf-8")
    assert (result["1"], result["set"], result["nan"], result["odd"], result["t"]) == (
        "\ufffd",
        ["a", "b"],
        None,
        "odd",
        [1],
    )
    result["s"].encode("utf-8")


def test_bounded_keeps_what_fits() -> None:
    section = {"a": 1, "b": "x" * 50}
    assert bounded(section, 1000) == (section, "")
    cut, names = bounded({"text": "begin" + "x" * 5000 + "end", "n": {"deep": [["y" * 100] * 100]}}, 1000)
    assert size(cut) <= 1000 and names == "n, text"
    assert cut["text"].startswith("begin") and cut["text"].endswith("end")


def test_host_commands_are_shared_between_backends_only(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = itertools.count(1)
    monkeypatch.setattr(
        Context, "run", lambda ctx, argv, *rest: CommandResult(list(argv), 0, stdout=str(next(numbers)))
    )
    pool = shared_commands.SharedCommands()
    ctx = Context({}, time.monotonic() + 5)
    first, second = pool.context(ctx), pool.context(ctx)
    assert first.run(["journalctl", "-k"]).stdout == "1"
    assert first.run(["journalctl", "-k"]).stdout == "2"
    assert second.run(["journalctl", "-k"]).stdout == "1"
    assert second.run(["python3", "-c", ""]).stdout == "3"
    assert first.run(["python3", "-c", ""]).stdout == "4"
    assert second.secrets is ctx.secrets


def test_missing_privileges() -> None:
    assert target.missing_privileges(0, 0x1FFFFFFFFFF, []) == []
    assert "CAP_SYS_PTRACE" in target.missing_privileges(0, 0xA82C25FB & ~(1 << 19), [])[0]
    assert len(target.missing_privileges(1000, 0, [])) == 3
    assert target.os_release('ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian 12"\n')["version"] == "12"


def test_near_names() -> None:
    names = ["api.service", "api-worker.service", "postgresql.service", "cron.service"]
    assert near_names("apii.service", names)[0] == "api.service"
    assert near_names("worker", names) == ["api-worker.service"]
    assert near_names("zzz", names) == []


def answering(outcome: Any) -> Callable[[str, Context], Backend]:
    def resolve(name: str, ctx: Context) -> Backend:
        if isinstance(outcome, Exception):
            raise outcome
        return Backend(name, str(outcome))

    return resolve


@pytest.mark.parametrize(
    ("systemd", "supervisor", "expected"),
    [
        ("systemd", "supervisor", "systemd"),
        (InputError("none", ["api"]), "supervisor", "supervisor"),
        (Unavailable("down"), "supervisor", "supervisor"),
        (InputError("not a unit.", ["api"]), Unavailable("none"), "not a unit."),
        (InputError("one.", ["a"]), InputError("two.", ["b"]), "one. two."),
        (Unavailable("down"), Unavailable("none"), "down; none"),
    ],
)
def test_named(systemd: Any, supervisor: Any, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = {"systemd": systemd, "supervisor": supervisor}
    monkeypatch.setattr(choose, "resolver", lambda runtime: answering(outcomes[runtime]))
    monkeypatch.setattr(choose, "automatic_order", lambda: ["systemd", "supervisor"])
    try:
        found = choose.named("x", "auto", Context({}, 1e12)).runtime
    except (InputError, Unavailable) as exc:
        found = str(exc)
    assert found == expected


def test_unknown_user_is_refused() -> None:
    with pytest.raises(InputError, match="no user nobody-here"):
        choose.override(Backend("x", "systemd"), {"user": "nobody-here"})


def test_a_backend_that_breaks_the_run_is_told_beside_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def chosen(params: Any, ctx: Context) -> choose.Chosen:
        return choose.Chosen([Backend("good.service", "systemd"), Backend("bad.service", "systemd")])

    def one(backend: Backend, *rest: Any) -> dict[str, Any]:
        if backend.name == "bad.service":
            raise ValueError("with text that may hold anything")
        return {"service": {"name": backend.name}}

    monkeypatch.setattr(runner.choose, "choose", chosen)
    monkeypatch.setattr(runner, "gather_one", one)
    gathered = runner.gather({})
    assert [document["service"]["name"] for document in gathered.backends] == ["good.service"]
    assert "bad.service could not be looked at" in gathered.notes[0] and "anything" not in gathered.notes[0]
