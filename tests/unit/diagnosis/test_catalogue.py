# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cause files are checked when they are loaded, and a mistake is named with file and line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.catalogue import (
    CAUSES_DIR,
    CatalogueError,
    Cause,
    load_catalogue,
    load_cause,
    load_examples,
)
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.classify import classify, evidence_from_log
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.examples import evidence_of
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.patterns import PatternError, compile_pattern
from ansible_collections.firstaid.backend.plugins.plugin_utils._diagnosis.subjects import clean, fill, fill_command

GOOD = """\
id: moon_phase
title: The moon is full
family: resources
explanation: "Under a full moon {thing|it} stops."
next_check: Look up.
likely:
  - text: 'full moon over (?P<thing>\\w+)'
    weight: 6
subject:
  thing: [capture]
handover:
  commands: ['cal {thing}']
"""


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "moon_phase.yml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_further_cause_is_a_further_file(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    diagnosis = classify(evidence_from_log("full moon over paris; rm -rf /\n"), load_catalogue([tmp_path]))
    assert diagnosis["root_cause"]["id"] == "moon_phase"
    assert diagnosis["root_cause"]["explanation"] == "Under a full moon paris stops."
    assert diagnosis["remediation"]["command"] == "cal paris"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("title: The moon is full\n", "", "'title': must be"),
        ("family: resources", "family: astrology", ":3: 'family'"),
        ("weight: 6", "wieght: 6", ":7: 'likely': unknown key 'wieght'"),
        ("weight: 6", "weight: 99", "'weight' is a number"),
        ("    weight: 6\n", "", "needs a 'weight'"),
        ("(?P<thing>\\w+)", "(?P<thing>\\w+", "not a regular expression"),
        ("(?P<thing>\\w+)", "(?P<thing>(\\w+)+)", "exponential"),
        ("text: 'full", "signal: 'full", "there is no signal"),
        ("{thing|it}", "{think|it}", "the slot {think}"),
        ("next_check: Look up.", "next_check: Look up.\nfoo: 1", ":6: 'foo': unknown key"),
        ("id: moon_phase", "id: Moon", "'id': small letters"),
        ("likely:", "explains: [sun]\nlikely:", "names 'sun', which is no cause"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(CatalogueError) as caught:
        load_catalogue([tmp_path])
    assert message in str(caught.value)
    assert "moon_phase.yml" in str(caught.value)


def test_two_causes_of_one_id_are_refused(tmp_path: Path) -> None:
    write(tmp_path, GOOD.replace("moon_phase", "port_in_use"))
    with pytest.raises(CatalogueError, match="already that of"):
        load_catalogue([tmp_path])


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="no such file"):
        load_catalogue([tmp_path / "none"])


def test_every_cause_is_in_the_file_of_its_name() -> None:
    for file in CAUSES_DIR.glob("*.yml"):
        assert load_cause(file).id == file.stem


CATALOGUE = load_catalogue()
# What the application of a cause to a host always says; the verdicts "healthy" and "unknown" have no subject and no fix.
VERDICTS = {"healthy", "unknown"}
CAUSES = [cause for name, cause in sorted(CATALOGUE.causes.items()) if name not in VERDICTS]


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.id)
def test_a_cause_is_complete(cause: Cause) -> None:
    assert cause.likely and cause.against, "what makes it likely, and what speaks against it"
    assert cause.explains or cause.id == "start_limit_hit", "its consequences; the last of them all has none"
    assert cause.subject, "what the answer names"
    slots = {slot.split("|")[0] for slot in re.findall(r"\{([a-z_|]+)", cause.explanation)}
    assert slots & set(cause.subject), "the explanation names the subject"
    assert 20 <= len(cause.explanation.split()) <= 80, "one paragraph for a tired person"
    assert len(cause.title) <= 80 and not cause.title.endswith(".")
    assert len(cause.next_check.split()) >= 8
    assert cause.commands and cause.ask, "what a person does where no role repairs it"
    assert cause.remediation.role in {*CATALOGUE.built_roles, None, "backing_service", "resources", "supervision"}
    assert cause.remediation.why_not or cause.remediation.automatic
    assert cause.references and all(url.startswith("https://") for url in cause.references)


@pytest.mark.parametrize("name", sorted(VERDICTS))
def test_a_verdict_is_complete(name: str) -> None:
    verdict = CATALOGUE.causes[name]
    assert verdict.likely and verdict.against and verdict.explanation and verdict.next_check
    assert verdict.remediation.role is None and verdict.remediation.why_not


def test_no_cause_of_its_own_is_explained_by_a_fallback_alone() -> None:
    """A fallback says that nothing more specific is known, so it may explain other fallbacks and plain consequences only."""
    for cause in CAUSES:
        if cause.fallback:
            specific = [other for other in cause.explains if not CATALOGUE.causes[other].fallback]
            assert specific in ([], ["signal_killed"], ["silent_exit"]), cause.id


def test_built_roles_come_from_the_file_system(tmp_path: Path) -> None:
    (tmp_path / "roles" / "fix_port").mkdir(parents=True)
    catalogue = load_catalogue(collection=tmp_path)
    assert catalogue.built_roles == {"port"}
    evidence = evidence_from_log(
        "ERROR: [Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): in use\n"
    )
    remediation = classify({**evidence, "service": {"name": "shop api"}}, catalogue)["remediation"]
    assert remediation["role"] == "firstaid.backend.fix_port"
    assert remediation["command"] == (
        'ansible-playbook playbooks/fix-backend-port.yml -e \'{"backend_service": "shop api"}\' -e port_number=8000'
    )
    assert remediation["automatic"] is False


@pytest.mark.parametrize("pattern", ["(a+)+", "(.*)*", ".*.*.*", r"(\w)\1", "[", r"\w+\w+\w+"])
def test_patterns_that_could_blow_up_are_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "literals"),
    [
        (r"Address already in use", ("address already in use",)),
        (r"(?:foo|barbaz) x", ("foo", "barbaz")),
        (r"\d+", ()),
    ],
)
def test_lines_are_rejected_by_substrings_first(pattern: str, literals: tuple[str, ...]) -> None:
    assert compile_pattern(pattern).literals == literals


def test_texts_are_filled_without_evaluation() -> None:
    assert fill("{a|x} {b|y} {c}", {"a": "{{ 7*7 }}"}) == "{{ 7*7 }} y c"
    assert fill_command("ls {path}", {"path": "a b; reboot"}) == "ls 'a b; reboot'"
    assert fill_command("ls {path}", {}) is None
    assert fill("imports {module}<<, part of {dist}>>.", {"module": "x"}) == "imports x."
    assert fill("imports {module}<<, part of {dist}>>.", {"module": "x", "dist": "y"}) == "imports x, part of y."
    assert fill_command("ctl<< -c {config}>> status {service}", {"service": "a b"}) == "ctl status 'a b'"


def test_no_slot_without_words_is_glued_to_a_word() -> None:
    """``in use{limit|}`` reads "in use1"; what is said only with a value stands between << and >>."""
    for path in CAUSES_DIR.glob("*.yml"):
        rule = path.read_text(encoding="utf-8").partition("\nexamples:")[0]
        glued = [found for found in re.findall(r"[\w}]\{[a-z_]+\|\}", rule) if found != "}{place|}"]
        assert not glued, path.name


def test_subjects_are_one_line_without_secrets() -> None:
    assert clean("postgresql://me:secret@db/x\x1b[31m\n") == "postgresql://db/x [31m"
    assert len(clean("x" * 999)) == 200


def test_a_special_case_takes_the_place_of_the_usual_repair() -> None:
    example = load_examples(CAUSES_DIR / "permission_denied.yml")[0]
    remedy = classify(evidence_of(example), load_catalogue())["remediation"]
    assert (remedy["role"], remedy["automatic"]) == ("firstaid.backend.fix_environment", True)
    example["evidence"]["environment"]["files"][0]["readable"] = True
    remedy = classify(evidence_of(example), load_catalogue())["remediation"]
    assert remedy["role"] != "firstaid.backend.fix_environment"
