# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every known shape of a secret at the choke point, every signature that has to survive it, and the time that it takes."""

from __future__ import annotations

import base64
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import redaction_rules
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.redaction import Redactor, learn, redact

TESTS = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TESTS / "canaries")]

from firstaid_canaries.secrets import KINDS, encodings, fill, pieces, secret  # noqa: E402
from firstaid_canaries.shapes import SHAPES  # noqa: E402

SURVIVORS = (TESTS / "canaries" / "survivors.txt").read_text(encoding="utf-8").splitlines()
TOKEN = re.compile(r"<redacted:[0-9a-f]{6}:\d{1,2}\+>")


def through(text: str, secrets: dict[str, str] | None = None, params: dict[str, Any] | None = None) -> str:
    """The text after the choke point, as a log's lines and as one string, one below the other."""
    context = Context(params or {}, 1e12, dict(secrets or {}))
    evidence = {"logs": {"lines": text.split("\n")}, "unit": {"text": text}}
    if "\0" in text:
        del evidence["logs"]
    clean = redact(evidence, context, b"salt")
    parts = [clean["unit"]["text"], *clean.get("logs", {}).get("lines", [])]
    return "\n".join(parts)


def left_of(value: str, text: str, shape: str = "") -> list[str]:
    """The pieces of a secret that a text still has, without what every secret of its kind has in common."""
    common = {piece for piece in pieces(value) if piece in shape}
    kind = next((name for name in KINDS if secret(name, "x")[:PREFIX] == value[:PREFIX]), None)
    if kind is not None:
        common |= pieces(value) & pieces(secret(kind, "another"))
    return sorted(piece for piece in pieces(value) - common if piece in text)


PREFIX = 4


@pytest.mark.parametrize(("name", "kind", "text"), SHAPES, ids=[name for name, _kind, _text in SHAPES])
def test_a_secret_goes_by_its_shape_alone(name: str, kind: str, text: str) -> None:
    value = secret(kind, name)
    hidden = through(fill(text, value))
    assert left_of(value, hidden, text) == []
    assert TOKEN.search(hidden)


def test_there_are_enough_shapes_and_signatures_to_mean_something() -> None:
    assert len(SHAPES) >= 150 and len({name for name, _kind, _text in SHAPES}) == len(SHAPES)
    assert len(SURVIVORS) >= 60


@pytest.mark.parametrize("line", SURVIVORS)
def test_a_signature_survives_byte_for_byte(line: str) -> None:
    assert Redactor({}, b"salt").text(line) == line


def test_signatures_survive_together_and_beside_many_secrets() -> None:
    known = {secret(kind, kind): kind for kind in KINDS}
    assert Redactor(known, b"salt").lines(SURVIVORS) == SURVIVORS
    assert json.loads(json.dumps(redact({"logs": {"lines": SURVIVORS}}, Context({}, 1e12, known))))["logs"] == {
        "lines": SURVIVORS
    }


def test_signatures_survive_a_backend_whose_passwords_are_ordinary_words() -> None:
    context = Context({}, 1e12)
    words = ("password", "acme", "secret", "postgres", "failed", "token", "default", "service")
    learn({f"DB{number}_PASSWORD": word for number, word in enumerate(words)} | {"DB_USER": "acme"}, context)
    assert Redactor(context.secrets, b"salt").lines(SURVIVORS) == SURVIVORS


@pytest.mark.parametrize("encoding", sorted(encodings(secret("symbols", "x"))))
@pytest.mark.parametrize("kind", ["symbols", "quoted", "dollar", "spaced", "word"])
def test_a_known_secret_goes_in_every_encoding_and_keeps_its_token(kind: str, encoding: str) -> None:
    value = secret(kind, "known")
    spelling = encodings(value)[encoding]
    bare = through(f"prose {value} end", {value: "X"}).split()[1]
    hidden = through(f"prose {spelling} end", {value: "X"})
    assert left_of(value, hidden) == []
    assert TOKEN.findall(hidden) == [bare, bare]
    assert hidden.split("\n")[0].startswith("prose ") and hidden.endswith(" end")


@pytest.mark.parametrize("before", ["", "a", "ab", "user:", "some-user:"])
def test_a_known_secret_goes_inside_base64_at_every_alignment(before: str) -> None:
    value = secret("word", "aligned")
    encoded = base64.b64encode(f"{before}{value}@tail".encode()).decode()
    hidden = through(f"refused {encoded} today", {value: "X"})
    assert left_of(value, hidden) == [] and TOKEN.search(hidden)


@pytest.mark.parametrize(
    "text",
    [
        "input_value='{head}...{tail}', input_type=str",
        "input_value={{'a': 'x{head}\u2026{tail}'}}",
        "repr: '{head} ...",
        "... {tail}' is too long",
    ],
)
def test_a_secret_that_was_cut_goes_too(text: str) -> None:
    value = secret("word", "cut") + secret("word", "cut-again")
    head, tail = value[:20], value[-20:]
    hidden = through(text.format(head=head, tail=tail), {value: "X"})
    assert head[:12] not in hidden and tail[-12:] not in hidden


def test_what_a_shape_gave_away_is_hidden_where_it_stands_bare() -> None:
    value = secret("word", "bare")
    evidence = {"unit": {"command": f"web --token {value}"}, "logs": {"lines": [f"upstream said {value}?", "fine"]}}
    clean = redact(evidence, Context({}, 1e12), b"salt")
    assert value not in json.dumps(clean)
    assert TOKEN.findall(clean["unit"]["command"]) == TOKEN.findall(clean["logs"]["lines"][0])
    assert clean["redactions"]["by_section"] == {"unit": {"option": 1}, "logs": {"exact": 1}}


def test_a_key_of_a_mapping_is_text_too() -> None:
    value = secret("symbols", "key")
    clean = redact({"logs": {f"postgresql://svc:{value}@db": 1, "lines": []}}, Context({}, 1e12), b"salt")
    assert left_of(value, json.dumps(clean)) == [] and "lines" in clean["logs"]


def test_secrets_within_values_are_learnt() -> None:
    values = [secret("word", name) for name in ("json", "query", "libpq", "login", "second")]
    context = Context({}, 1e12)
    learn(
        {
            "FIREBASE": json.dumps({"client_secret": values[0], "x": 1}),
            "CALLBACK": f"https://h/x?access_token={values[1]}&y=1",
            "PG": f"host=db password='{values[2]}' dbname=app",
            "REPOSITORY": f"https://{values[3]}@git.example.org/x",
            "BROKERS": f"amqp://a:b-{values[0]}@one,amqp://a:{values[4]}@two",
        },
        context,
    )
    assert set(values) <= set(context.secrets)


def test_the_same_secret_has_one_token_whatever_the_place_and_the_encoding() -> None:
    value = secret("symbols", "same")
    texts = [fill(text, value) for text in ("DB_PASSWORD={S}", "x postgresql://svc:{U}@db/app", '{"password": "{J}"}')]
    hidden = [through(text) for text in texts]
    tokens = {token for text in hidden for token in TOKEN.findall(text)}
    assert len(tokens) == 1
    assert tokens == set(TOKEN.findall(through(texts[1], {value: "X"})))


@pytest.mark.parametrize(
    ("length", "shown"), [(4, "1+"), (8, "8+"), (31, "16+"), (32, "32+"), (64, "64+"), (500, "64+")]
)
def test_the_length_class_survives_and_nothing_else(length: int, shown: str) -> None:
    value = ("Zq7x" * 200)[:length]
    assert TOKEN.findall(through(f"DB_PASSWORD={value}"))[0].endswith(f":{shown}>")


def test_a_section_is_withheld_when_a_rule_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    value = secret("word", "withheld")

    def broken(line: str, _mask: object) -> str:
        raise ValueError(line)

    monkeypatch.setattr(redaction_rules, "RULES", (("broken", ("boom",), broken), *redaction_rules.RULES))
    evidence = {"logs": {"lines": [f"boom {value}"]}, "unit": {"text": "port 80"}}
    clean = redact(evidence, Context({}, 1e12), b"salt")
    assert clean["logs"] == {"unavailable": "withheld: redaction failed (ValueError)"}
    assert clean["unit"] == {"text": "port 80"}
    assert clean["redactions"]["by_section"] == {"logs": {"withheld": 1}}
    assert value not in json.dumps(clean)


def test_everything_is_withheld_when_the_rules_cannot_be_made() -> None:
    value = secret("word", "unmade")
    clean = redact({"logs": {"lines": [value]}, "unit": {}}, Context({"redaction_extra": ["("]}, 1e12), b"salt")
    assert "withheld: redaction failed" in clean["logs"]["unavailable"]
    assert clean["logs"] == clean["unit"]
    assert value not in json.dumps(clean)


def test_rules_of_the_user_come_on_top_of_all_defaults() -> None:
    params = {"redaction_extra": [r"customer-(?P<secret>\d+)", r"internal\.acme\.\w+", r"x*"]}
    value = secret("word", "default")
    hidden = through(f"customer-12345 at internal.acme.org with --token {value} left", params=params)
    first = hidden.split("\n")[0]
    assert re.fullmatch(
        r"customer-<redacted:\w+:1\+> at <redacted:\w+:16\+> with --token <redacted:\w+:16\+> left", first
    )


def test_counts_name_section_and_rule_and_hold_no_value() -> None:
    value = secret("word", "counted")
    clean = redact({"logs": {"lines": [f"--token {value}", f"pg://b:{value}@c"]}}, Context({}, 1e12), b"salt")
    assert clean["redactions"] == {
        "total": 2,
        "by_rule": {"option": 1, "url": 1},
        "by_section": {"logs": {"option": 1, "url": 1}},
    }


@pytest.mark.parametrize(
    "unit",
    [
        "a", "a.", "key:", "token=", "token=a.b(", "password: ", "a://b", "http://a:b@", "eyJaaaaaaaaaa.", "%3A%2F%2F",
        "'loc':('a',)", "curl ", "\\", '"', "authorization: ", "-----BEGIN PRIVATE KEY-----", "--token ", "<password>",
        "abcdefgh...", "auth=('a',", "$2b$12$", "input_value='", "getenv('token',", "&a=", " ",
    ],
)  # fmt: skip
def test_a_hostile_line_takes_time_in_proportion_to_its_length(unit: str) -> None:
    known = {secret("symbols", str(number)): "X" for number in range(20)}

    def seconds(length: int) -> float:
        line = (unit * (length // len(unit) + 1))[:length]
        begun = time.process_time()
        Redactor(known, b"salt").text(line)
        return time.process_time() - begun

    seconds(1000)
    short, long = min(seconds(20_000) for _ in range(3)), seconds(160_000)
    # Eight times the length; a square would be 64 times the time.
    assert long < 24 * short + 0.5


def test_a_megabyte_line_with_a_secret_at_its_end() -> None:
    value = secret("word", "megabyte")
    line = "x" * 600_000 + " key: " * 60_000 + f" password={value}"
    begun = time.process_time()
    assert value not in Redactor({}, b"salt").text(line)
    assert time.process_time() - begun < 20
