# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says of a module that could not be imported whose it is, where it lies on disk, and what would provide it."""

from __future__ import annotations

import re
from typing import Any, Optional

from . import app, packages, packages_find, stdlib_modules
from .context import Context
from .model import Backend, Section

_MISSING = re.compile(r"No module named '?(?P<name>[\w.]+)'?")
# Found in one of these ways, a module lies where the application's own code lies.
OWN_PLACES = ("elsewhere_on_disk", "not_readable", "wrong_type", "dangling_link")
# Distributions of backends that are called like their module; the table of names knows those that are not.
WELL_KNOWN = frozenset(
    """
    aiobotocore aiofiles aiohttp aiokafka aiomysql aiopg aioredis aiosmtplib aiosqlite alembic amqp anthropic anyio
    apscheduler arq asgiref asyncpg authlib backoff bcrypt billiard bleach blinker boto3 botocore cachetools celery
    certifi cffi channels channels_redis chardet click cloudpickle coverage cryptography daphne databases dramatiq
    elasticsearch emails eventlet fastapi filelock fiona flask flower fsspec gevent geopandas grpcio gunicorn h11 h2
    httptools httpx huey hypercorn idna isodate itsdangerous jinja2 jsonschema kombu langchain limits loguru lxml mako
    mangum markdown markupsafe marshmallow matplotlib minio mongoengine motor msgpack mypy networkx nltk numpy oauthlib
    openai openpyxl orjson packaging pandas paramiko passlib peewee pendulum pika playwright prometheus_client psutil
    psycopg psycopg2 pyarrow pyasn1 pydantic pydantic_settings pymongo pymssql pymysql pyodbc pyotp pyparsing pytest
    pytz qrcode quart redis regex reportlab requests requests_oauthlib rich rq rsa s3fs sanic scipy scrapy seaborn
    sentry_sdk setuptools pkg_resources shapely shortuuid simplejson six slowapi sniffio sqlalchemy sqlmodel sqlparse
    starlette strawberry stripe structlog sympy tenacity tensorflow tiktoken torch torchvision tornado tortoise tqdm
    transformers twilio twisted typer typing_extensions tzdata tzlocal ujson urllib3 uvicorn uvloop validators vine
    waitress watchdog watchfiles websocket websockets werkzeug whitenoise wrapt wtforms xmltodict yarl zeep zmq
    """.split()
)


def analyse(found: Section, backend: Backend, ctx: Context) -> Optional[Section]:
    """The ``missing_module`` of an import test's section; None when no module was missing. Never raises.

    ``found`` is the section so far: the exception with its chain, and the interpreter's version.
    """
    exception = missing_in((found.get("exception") or {}).get("chain") or [])
    if exception is None:
        return None
    return describe(name_of(exception), exception, found.get("python_version"), backend, ctx)


def describe(name: str, exception: Section, python_version: Optional[str], backend: Backend, ctx: Context) -> Section:
    """All that is known about one missing module."""
    frames = [frame for frame in exception["frames"] if not frame["file"].startswith("<")]
    importer = frames[-1] if frames else None
    places = [_reworded(place) for place in packages_find.find_module_on_disk(name, backend, ctx)]
    provider: dict[str, Any] = packages.distribution_for_module(name, backend, ctx)
    declared = packages.declared_in(name, backend, ctx)
    known, since, until = stdlib_modules.lookup(name)
    version = stdlib_modules.parse_version(python_version)
    kind = kind_of(name, known, importer, places, provider, bool(declared), app.local_packages(backend), backend)
    if kind in ("local", "stdlib"):
        provider, declared = {}, []
    return {
        "name": name,
        "top": name.partition(".")[0],
        "kind": kind,
        "importer": importer["file"] if importer else None,
        "importer_line": importer["line"] if importer else None,
        "importer_origin": importer["origin"] if importer else None,
        "found_at": places,
        "declared_in": declared,
        "distribution": provider.get("distribution"),
        "distribution_source": provider.get("source"),
        "distribution_installed": provider.get("installed"),
        "stdlib_since": _dotted(since) if kind == "stdlib" else None,
        "stdlib_until": _dotted(until) if kind == "stdlib" else None,
        "stdlib_has": stdlib_modules.has(name, version) if version and kind == "stdlib" else None,
    }


def missing_in(chain: list[Section]) -> Optional[Section]:
    """The last missing module of a chain: an earlier one is a fallback that the code coped with."""
    return next((one for one in reversed(chain) if one["type"] == "ModuleNotFoundError"), None)


def name_of(exception: Section) -> str:
    """The dotted name that was missing."""
    match = _MISSING.search(exception["message"])
    return exception["name"] or (match["name"] if match else exception["message"][:200])


def kind_of(
    name: str,
    in_stdlib: bool,
    importer: Optional[Section],
    places: list[Section],
    provider: dict[str, Any],
    declared: bool,
    local: list[str],
    backend: Backend,
) -> str:
    """``local``, ``third_party``, ``stdlib`` or ``unknown``: what speaks for each, the surest first."""
    top = name.partition(".")[0]
    origin = importer["origin"] if importer else None
    own = [place for place in places if place["why"] in OWN_PLACES and not _in_site(place["path"])]
    if in_stdlib and not own:
        return "stdlib"
    if provider.get("source") == "installed":
        return "third_party"
    if top in local or (own and origin != "site-packages"):
        return "local"
    if declared or provider.get("source") in ("declared", "table") or top.lower() in WELL_KNOWN:
        return "third_party"
    if origin in ("site-packages", "stdlib") or any(place["why"] == "other_python" for place in places):
        return "third_party"
    targets = [backend.app.module, backend.app.settings_module]
    if any(text and text.partition(".")[0] == top for text in targets):
        return "local"
    return "unknown"


def _reworded(place: Section) -> Section:
    """A place below some Python's own library is not the application's, wherever that Python lies."""
    if place["why"] == "elsewhere_on_disk" and _in_site(place["path"]):
        return dict(place, why="other_python")
    return place


def _in_site(path: str) -> bool:
    return bool(re.search(r"/(site|dist)-packages/|/lib(64)?/python\d", path))


def _dotted(version: Optional[tuple[int, int]]) -> Optional[str]:
    return f"{version[0]}.{version[1]}" if version else None
