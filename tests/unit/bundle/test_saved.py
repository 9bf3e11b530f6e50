# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence from a bundle and from a bare log."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.firstaid.backend.plugins.plugin_utils._bundle import saved as module
from ansible_collections.firstaid.backend.plugins.plugin_utils._bundle.saved import SavedError, saved
from ansible_collections.firstaid.backend.plugins.plugin_utils._bundle.store import Store

from . import samples


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    store = Store(str(tmp_path))
    for host in ("web2", "web1"):
        store.write_json(f"{host}/web.service/evidence.json", samples.EVIDENCE)
    path = store.finish()
    store.close()
    return Path(path)


def test_a_bundle_gives_back_what_was_written(bundle: Path) -> None:
    found = saved(str(bundle))
    assert [one["label"] for one in found] == ["web1", "web2"]
    assert found[0]["evidence"] == samples.EVIDENCE


@pytest.mark.parametrize("part", ["web2", "web2/web.service", "web2/web.service/evidence.json"])
def test_a_part_of_a_bundle_does_too(bundle: Path, part: str) -> None:
    assert [one["label"] for one in saved(str(bundle / part))] == ["web2"]


def test_a_log_keeps_its_line_numbers(tmp_path: Path) -> None:
    log = tmp_path / "error.log"
    log.write_bytes(b"one\n\xff\xfe two\n{{ not templated }}\n")
    (found,) = saved(str(log))
    (source,) = found["evidence"]["logs"]["sources"]
    assert source["attempts"] == [
        {"segments": [{"first_line": 1, "lines": ["one", "\ufffd\ufffd two", "{{ not templated }}"]}]}
    ]
    assert found["evidence"]["target"]["service"] == "error.log"


def test_of_a_long_log_the_end_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOG_LIMIT", 20)
    log = tmp_path / "long.log"
    log.write_text("".join(f"line {number}\n" for number in range(100)))
    source = saved(str(log))[0]["evidence"]["logs"]["sources"][0]
    assert source["truncated"] and source["attempts"] == [
        {"numbering": "window", "segments": [{"first_line": 1, "lines": ["line 98", "line 99"]}]}
    ]


def test_what_is_no_evidence_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[1]")
    (tmp_path / "y.json").write_text("{")
    os.mkfifo(tmp_path / "fifo")
    for name, said in (
        ("", "holds no evidence.json"),
        ("x.json", "no schema"),
        ("y.json", "no JSON"),
        ("fifo", "neither"),
        ("absent", "can't be read"),
    ):
        with pytest.raises(SavedError, match=said):
            saved(str(tmp_path / name))


def test_a_bare_log_is_redacted_before_anybody_reads_it(tmp_path: Path) -> None:
    log = tmp_path / "error.log"
    log.write_text(
        "connecting to postgresql://shop:hunter2secret@db/shop\nDB_PASSWORD=hunter2secret\n"
        "ModuleNotFoundError: No module named 'billing'\n"
    )
    document = saved(str(log))[0]["evidence"]
    assert "hunter2secret" not in str(document)
    assert "No module named 'billing'" in str(document) and "postgresql://shop:<redacted:" in str(document)
    assert document["redactions"]["total"] == 2 and set(document["redactions"]["by_section"]) == {"logs"}
