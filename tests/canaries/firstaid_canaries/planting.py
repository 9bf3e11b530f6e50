# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backend with a secret in every place that can hold one: its files, as text, and the list of what was planted."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from .secrets import fill, secret
from .shapes import SHAPES

SURVIVORS = (Path(__file__).resolve().parents[1] / "survivors.txt").read_text(encoding="utf-8").splitlines()

_COMPLAINT = re.compile(
    r"Error|error|refused|denied|could not|expired|[Ii]nvalid|Traceback|unauthorized|cannot|401|404|password auth"
)

# What an environment file, an Environment= or environment= sets: the variable, the kind of its secret, how the file writes it.
_ENV_FILE = (
    ("CAN_PLAIN_SECRET", "word", "{S}"),
    ("CAN_DOUBLE_PASSWORD", "spaced", '"{S}"'),
    ("CAN_SINGLE_PASSWORD", "spaced", "'{S}'"),
    ("CAN_SYMBOL_PASSWORD", "symbols", "'{S}'"),
    ("CAN_SHORT_PASSWORD", "short", "{S}"),
    ("CAN_HEX_KEY", "hex", "{S}"),
    ("CAN_FERNET_KEY", "fernet", "{S}"),
    ("CAN_UUID_TOKEN", "uuid", "{S}"),
    ("CAN_JWT", "jwt", "{S}"),
    ("CAN_ADMIN_PIN", "digits", "{S}"),
    ("CAN_STORE_URL", "symbols", "postgresql://svc:{U}@127.0.0.1:9/app"),
    ("CAN_CACHE_URL", "word", "redis://:{S}@127.0.0.1:9/0"),
    ("CAN_BROKER_URL", "word", "amqp://svc:{S}@127.0.0.1:9//"),
    ("CAN_MONGO_URL", "word", "mongodb://svc:{S}@127.0.0.1:9"),
    ("CAN_SENTRY_DSN", "hex", "https://{S}@127.0.0.1:9/42"),
    ("CAN_LIBPQ", "word", '"host=127.0.0.1 port=9 user=svc password={S} dbname=app"'),
    ("CAN_ODBC", "word", '"Driver={ODBC};Server=127.0.0.1,9;UID=svc;PWD={S};"'),
    ("CAN_CALLBACK", "word", "https://127.0.0.1:9/cb?access_token={S}&x=1"),
    ("CAN_DOCUMENT", "word", '\'{"type": "x", "client_secret": "{S}"}\''),
    ("CAN_PEM", "word", "'-----BEGIN PRIVATE KEY-----\\n{S}\\n-----END PRIVATE KEY-----\\n'"),
    ("CAN_STRIPE", "stripe", "{S}"),
    ("CAN_AWS_ACCESS", "aws", "{S}"),
    ("CAN_AWS_SECRET_ACCESS_KEY", "base64", "{S}"),
    ("CAN_GITHUB", "github", "{S}"),
    ("CAN_SLACK", "slack", "{S}"),
)
_UNIT = (
    ("CAN_UNIT_SECRET", "word", "{S}"),
    ("CAN_UNIT_PASSWORD", "spaced", "{S}"),
    ("CAN_UNIT_TOKEN", "hex", "{S}"),
    ("CAN_UNIT_URL", "word", "postgresql://svc:{S}@127.0.0.1:9/app"),
    ("CAN_UNIT_JWT", "jwt", "{S}"),
)

_SETTINGS = '''"""Settings; a missing one stops the import, on purpose."""

from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import BaseSettings


class Settings(BaseSettings):
    session_secret: SecretStr
    partner_token: str
    can_store_url: str
    can_plain_secret: str
    data_dir: Path = Path("/")


settings = Settings(partner_token="@SOURCE@")
'''
_MAIN = '''"""A shop that says too much in its log."""

import json
import sys
from contextlib import asynccontextmanager
from pathlib import Path

for line in json.loads(Path(__file__).with_name("noise.json").read_text(encoding="utf-8")):
    print(line, file=sys.stderr)
sys.stderr.flush()

from fastapi import FastAPI
from settings import settings


@asynccontextmanager
async def lifespan(_app):
    secret = settings.session_secret.get_secret_value()
    if secret.startswith("unfit"):
        raise RuntimeError(f"the partner refuses session secret {secret!r}")
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/health")
async def health():
    return {"status": "ok"}
'''


@dataclass(frozen=True)
class Canary:
    """One planted secret: where, in what shape, and its value."""

    place: str
    name: str
    kind: str
    value: str


@dataclass
class Estate:
    """``files``: path below the backend's directory → text. ``environment``: variables of the unit. ``options``: of the command line.
    ``calmer`` is what it prints once it has been diagnosed: no complaints that lead a repair away from the setting that misses."""

    seed: str
    planted: list[Canary] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    options: list[str] = field(default_factory=list)
    calmer: str = ""

    def canary(self, place: str, name: str, kind: str) -> str:
        """A new secret, written down."""
        value = secret(kind, f"{self.seed}/{place}/{name}")
        self.planted.append(Canary(place, name, kind, value))
        return value

    def given(self, name: str, prefix: str = "") -> str:
        """A secret that the user gives to a repair."""
        return prefix + self.canary("given by the user", name, "word")


def estate(seed: str) -> Estate:
    """Everything that is planted in one backend."""
    made = Estate(seed)
    lines = [f"{name}={fill(text, made.canary('environment file', name, kind))}" for name, kind, text in _ENV_FILE]
    made.files["etc/web.env"] = "\n".join(["# settings of the shop", *lines, "DATA_DIR=/", ""])
    for name, kind, text in _UNIT:
        made.environment[name] = fill(text, made.canary("unit", name, kind))
    made.options = [
        "--header", f"X-Api-Key:{made.canary('command line', 'header', 'word')}",
        "--ssl-keyfile-password", made.canary("command line", "option", "word"),
        f"--header=Authorization:Bearer {made.canary('command line', 'bearer', 'word')}",
    ]  # fmt: skip
    noise = list(SURVIVORS)
    for name, kind, text in SHAPES:
        if "\0" in text and "\n" in text:
            # A log has lines: nothing tells any more that the second one belonged to a variable.
            continue
        noise += ["-" * 8, *fill(text, made.canary("log", name, kind)).split("\n")]
    # The values of other places, bare and in other encodings, as an application prints them.
    for one in [one for one in made.planted if one.place != "log"]:
        noise.append(f"connecting with {one.value} now")
    made.files["app/noise.json"] = json.dumps([*noise, "-" * 8])
    made.calmer = json.dumps([line for line in noise if line not in SURVIVORS and not _COMPLAINT.search(line)])
    made.files["app/main.py"] = _MAIN
    made.files["app/settings.py"] = _SETTINGS.replace("@SOURCE@", made.canary("source line", "keyword", "word"))
    return made
