# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module's name alone tells: third-party distribution, standard library of which versions, or the project's own.

Used where the evidence has no import test to ask. The tables hold names whose import name is well known; a name that
is in none of them is judged by who imports it.
"""

from __future__ import annotations

# Import name to the distribution that provides it, where they differ.
DISTRIBUTIONS = {
    "MySQLdb": "mysqlclient", "PIL": "Pillow", "bs4": "beautifulsoup4", "cv2": "opencv-python", "dateutil": "python-dateutil",
    "decouple": "python-decouple", "dotenv": "python-dotenv", "environ": "django-environ", "fitz": "PyMuPDF",
    "github": "PyGithub", "google": "google-api-core", "grpc": "grpcio", "jose": "python-jose", "jwt": "PyJWT",
    "magic": "python-magic", "markdown": "Markdown", "multipart": "python-multipart", "mysql": "mysql-connector-python",
    "OpenSSL": "pyOpenSSL", "pkg_resources": "setuptools", "psycopg2": "psycopg2-binary", "rest_framework": "djangorestframework",
    "serial": "pyserial", "skimage": "scikit-image", "sklearn": "scikit-learn", "slugify": "python-slugify",
    "socks": "PySocks", "telegram": "python-telegram-bot", "win32api": "pywin32", "yaml": "PyYAML", "zmq": "pyzmq",
    "Crypto": "pycryptodome", "Cryptodome": "pycryptodomex", "attr": "attrs", "corsheaders": "django-cors-headers",
    "debug_toolbar": "django-debug-toolbar", "django_filters": "django-filter", "dns": "dnspython", "docx": "python-docx",
    "flask_cors": "Flask-Cors", "flask_jwt_extended": "Flask-JWT-Extended", "flask_login": "Flask-Login",
    "flask_migrate": "Flask-Migrate", "flask_sqlalchemy": "Flask-SQLAlchemy", "gi": "PyGObject", "ldap": "python-ldap",
    "levenshtein": "python-Levenshtein", "lxml_html_clean": "lxml_html_clean", "nacl": "PyNaCl", "pptx": "python-pptx",
    "pythonjsonlogger": "python-json-logger", "sentry_sdk": "sentry-sdk", "socketio": "python-socketio", "engineio": "python-engineio",
    "whitenoise": "whitenoise", "xdist": "pytest-xdist", "Xlib": "python-xlib", "psycopg": "psycopg", "memcache": "python-memcached",
    "pydantic_settings": "pydantic-settings", "dj_database_url": "dj-database-url", "social_django": "social-auth-app-django",
    "rest_framework_simplejwt": "djangorestframework-simplejwt", "drf_yasg": "drf-yasg", "drf_spectacular": "drf-spectacular",
    "flask_restx": "flask-restx", "flask_wtf": "Flask-WTF", "flask_mail": "Flask-Mail", "flask_caching": "Flask-Caching",
    "flask_socketio": "Flask-SocketIO", "flask_limiter": "Flask-Limiter", "flask_marshmallow": "flask-marshmallow",
}  # fmt: skip
_SAME_NAME = """
aiobotocore aiocache aiofiles aiohttp aiokafka aiomysql aiopg aioredis aiosmtplib aiosqlite aio_pika aiormq alembic altair
anthropic anyio apscheduler apispec argon2 arq arrow asgiref asyncmy asyncpg authlib autobahn azure babel backoff bcrypt
beanie billiard black blinker boto3 botocore bottle brotli cachetools cattrs celery certifi cffi channels channels_redis
chardet charset_normalizer chromadb click cloudinary colorama coloredlogs confluent_kafka cryptography cx_Oracle cython
daphne databases datadog dask ddtrace diskcache django docker docutils dramatiq duckdb dynaconf ecdsa elasticsearch
emails eventlet environs faiss falcon fakeredis fastapi fastapi_users fastavro fastmcp fastparquet feedparser filelock
flask flower freezegun fsspec geoalchemy2 geopandas gevent gitlab google_auth gradio granian graphene graphql greenlet
gspread gunicorn h11 h5py hiredis httpcore httptools httpx httpx_oauth huey huggingface_hub hvac hypercorn hypothesis
imageio influxdb_client ipython itsdangerous jinja2 joblib joserfc jsonpickle jsonschema kafka keyring kombu kubernetes
langchain langchain_core langchain_openai limits litellm litestar llama_index locust loguru lxml mako mariadb markupsafe marshmallow
matplotlib memcached minio mongoengine motor msal msgpack msgspec multidict mypy nats netaddr networkx newrelic nltk
numba numpy oauthlib odmantic onnxruntime openai openpyxl opensearchpy opentelemetry oracledb orjson ormar pandas
paramiko passlib pathspec peewee pendulum pexpect phonenumbers pika pillow pinecone playwright plotly polars portalocker pony
prefect prisma prometheus_client prometheus_fastapi_instrumentator propcache protobuf psutil pulsar py pyarrow pyasn1 pycountry pycurl
pydantic pydantic_core pygments pymemcache pymongo pymssql pymysql pyodbc pyotp pypdf PyPDF2 pyparsing pyramid pytesseract
pytest pytz qrcode qdrant_client quart ray redis reportlab requests requests_oauthlib rich rq ruamel s3fs
saml2 sanic scipy selenium sendgrid sentence_transformers setproctitle setuptools shapely shortuuid simplejson six slack_sdk slowapi
snowflake spacy sqlalchemy sqlalchemy_utils sqlmodel sqlparse sse_starlette starlette starlette_exporter statsmodels strawberry streamlit stripe
structlog sympy tabulate taskiq tenacity tensorflow textblob threadpoolctl tiktoken tinydb toml tomli tomlkit torch torchvision
tornado tortoise tqdm transformers trio twilio twisted typeguard typer typing_extensions tzdata tzlocal ujson unidecode
urllib3 uvicorn uvloop validators waitress watchdog watchfiles weasyprint websocket websockets werkzeug wheel wrapt wtforms
xgboost xlrd xlsxwriter xmltodict yarl zeep zstandard geopy cachecontrol svix mangum aws_lambda_powertools edgedb gel
fastapi_limiter fastapi_mail fastapi_pagination email_validator imagehash ffmpeg moviepy pydub librosa soundfile watchtower
""".split()
THIRD_PARTY = frozenset(name.lower() for name in [*_SAME_NAME, *DISTRIBUTIONS])

# First version that has a module, and the first that no longer has it.
STDLIB_SINCE = {
    "contextvars": (3, 7), "dataclasses": (3, 7), "importlib.resources": (3, 7), "importlib.metadata": (3, 8),
    "zoneinfo": (3, 9), "graphlib": (3, 9), "tomllib": (3, 11), "wsgiref.types": (3, 11), "asyncio.taskgroups": (3, 11),
    "importlib.resources.abc": (3, 11), "annotationlib": (3, 14), "compression": (3, 14), "concurrent.interpreters": (3, 14),
    "string.templatelib": (3, 14), "pathlib.types": (3, 14), "secrets": (3, 6),
}  # fmt: skip
STDLIB_UNTIL = {
    **dict.fromkeys(("dummy_threading", "_dummy_threading", "macpath"), (3, 9)),
    **dict.fromkeys(("formatter", "parser", "symbol"), (3, 10)),
    **dict.fromkeys(("binhex",), (3, 11)),
    **dict.fromkeys(("asynchat", "asyncore", "distutils", "imp", "smtpd"), (3, 12)),
    **dict.fromkeys(
        (
            "aifc", "audioop", "cgi", "cgitb", "chunk", "crypt", "imghdr", "lib2to3", "mailcap", "msilib", "nis", "nntplib",
            "ossaudiodev", "pipes", "sndhdr", "spwd", "sunau", "telnetlib", "uu", "xdrlib",
        ),
        (3, 13),
    ),
    **dict.fromkeys(
        ("ConfigParser", "Queue", "urllib2", "urlparse", "StringIO", "cPickle", "httplib", "__builtin__", "cStringIO", "commands"),
        (3, 0),
    ),
}  # fmt: skip
# Parts of the standard library that need a shared library which the build of this Python lacked.
STDLIB_NATIVE = frozenset(
    (
        "_ssl",
        "_sqlite3",
        "_ctypes",
        "_bz2",
        "_lzma",
        "_hashlib",
        "_curses",
        "_tkinter",
        "_uuid",
        "_zlib",
        "zlib",
        "readline",
        "_dbm",
        "_gdbm",
    )
)
# Names that projects give their own packages and hardly any distribution has.
LOCAL_NAMES = frozenset(
    """
    api app apps application backend base bot code common conf config configs constants controllers core crud data database db
    domain exceptions extensions handlers helpers infra infrastructure jobs lib libs local_settings main manage middleware
    middlewares models modules myapp myproject myproj mysite project proj repositories repository resources router routers
    routes run schemas scripts server serializers service services settings shared shop site src stack tasks tests utils util
    views web website worker workers wsgi asgi celery_app celeryapp entities adapters internal pipeline pipelines plugins
    orders billing accounts users auth catalog inventory payments
    """.split()
)


def distribution(module: str) -> str:
    """The distribution to install for an import name; the name itself where nothing else is known."""
    return DISTRIBUTIONS.get(module.partition(".")[0], module.partition(".")[0])


def known_distribution(module: str) -> str:
    """The distribution that is known to provide an import name; empty where the name would only be repeated."""
    top = module.partition(".")[0]
    return distribution(top) if top in DISTRIBUTIONS or top.lower() in THIRD_PARTY else ""


def stdlib_gap(module: str) -> str | None:
    """One clause that says which Python versions have a standard-library module; None for other modules."""
    for name in (module, module.partition(".")[0]):
        if name in STDLIB_SINCE:
            return f"part of Python since {_version(STDLIB_SINCE[name])}"
        if name in STDLIB_UNTIL:
            until = STDLIB_UNTIL[name]
            return "a module of Python 2" if until == (3, 0) else f"no longer part of Python since {_version(until)}"
    return None


def _version(pair: tuple[int, int]) -> str:
    return f"{pair[0]}.{pair[1]}"
