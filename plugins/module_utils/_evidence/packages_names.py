# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Import names whose distribution is called otherwise. Used only when nothing installed or declared tells."""

from __future__ import annotations

from typing import Optional

# One pair a line: import name, distribution as PyPI spells it. Dotted names are namespace packages.
_TABLE = """
attr attrs
babel Babel
bcrypt bcrypt
bs4 beautifulsoup4
bson pymongo
cairo pycairo
cairosvg CairoSVG
celery_once celery-once
charset_normalizer charset-normalizer
chromadb chromadb
clickhouse_connect clickhouse-connect
clickhouse_driver clickhouse-driver
confluent_kafka confluent-kafka
constance django-constance
corsheaders django-cors-headers
Crypto pycryptodome
Cryptodome pycryptodomex
crispy_forms django-crispy-forms
cv2 opencv-python
dateutil python-dateutil
dbus dbus-python
debug_toolbar django-debug-toolbar
decouple python-decouple
discord discord.py
django Django
django_celery_beat django-celery-beat
django_celery_results django-celery-results
django_extensions django-extensions
django_filters django-filter
django_redis django-redis
dns dnspython
docx python-docx
dotenv python-dotenv
drf_spectacular drf-spectacular
drf_yasg drf-yasg
elasticsearch elasticsearch
email_validator email-validator
engineio python-engineio
environ django-environ
faiss faiss-cpu
fastapi_cache fastapi-cache2
fastapi_mail fastapi-mail
fastapi_pagination fastapi-pagination
fastapi_users fastapi-users
fitz PyMuPDF
flask Flask
flask_admin Flask-Admin
flask_bcrypt Flask-Bcrypt
flask_caching Flask-Caching
flask_cors Flask-Cors
flask_jwt_extended Flask-JWT-Extended
flask_limiter Flask-Limiter
flask_login Flask-Login
flask_mail Flask-Mail
flask_marshmallow flask-marshmallow
flask_migrate Flask-Migrate
flask_restful Flask-RESTful
flask_restx flask-restx
flask_socketio Flask-SocketIO
flask_sqlalchemy Flask-SQLAlchemy
flask_wtf Flask-WTF
git GitPython
github PyGithub
gi PyGObject
google.auth google-auth
google.cloud.storage google-cloud-storage
google.cloud.bigquery google-cloud-bigquery
google.cloud.pubsub google-cloud-pubsub
google.cloud.secretmanager google-cloud-secret-manager
google.generativeai google-generativeai
google.protobuf protobuf
googleapiclient google-api-python-client
grpc grpcio
grpc_status grpcio-status
grpc_tools grpcio-tools
guardian django-guardian
import_export django-import-export
itsdangerous itsdangerous
jinja2 Jinja2
jose python-jose
jwt PyJWT
kafka kafka-python
kubernetes kubernetes
langchain_community langchain-community
langchain_core langchain-core
langchain_openai langchain-openai
ldap python-ldap
ldap3 ldap3
llama_index llama-index
lxml lxml
magic python-magic
markdown Markdown
markupsafe MarkupSafe
memcache python-memcached
multipart python-multipart
MySQLdb mysqlclient
mysql.connector mysql-connector-python
nacl PyNaCl
OpenSSL pyOpenSSL
openid python3-openid
opentelemetry opentelemetry-api
opentelemetry.sdk opentelemetry-sdk
paho paho-mqtt
peewee peewee
PIL Pillow
pkg_resources setuptools
pika pika
prometheus_client prometheus-client
prometheus_fastapi_instrumentator prometheus-fastapi-instrumentator
psycopg psycopg
psycopg2 psycopg2-binary
pwdlib pwdlib
pydantic_settings pydantic-settings
pylibmc pylibmc
pymysql PyMySQL
pyotp pyotp
PyPDF2 PyPDF2
pythonjsonlogger python-json-logger
pytz pytz
redis redis
redis_om redis-om
rest_framework djangorestframework
rest_framework_simplejwt djangorestframework-simplejwt
ruamel.yaml ruamel.yaml
sendgrid sendgrid
sentence_transformers sentence-transformers
sentry_sdk sentry-sdk
serial pyserial
skimage scikit-image
sklearn scikit-learn
slack_sdk slack-sdk
slowapi slowapi
slugify python-slugify
snowflake.connector snowflake-connector-python
social_django social-auth-app-django
socketio python-socketio
socks PySocks
sqlalchemy SQLAlchemy
sqlalchemy_utils SQLAlchemy-Utils
storages django-storages
systemd systemd-python
telegram python-telegram-bot
telebot pyTelegramBotAPI
tensorflow tensorflow
usb pyusb
uvicorn_worker uvicorn-worker
webob WebOb
websocket websocket-client
werkzeug Werkzeug
whisper openai-whisper
whitenoise whitenoise
win32api pywin32
wtforms WTForms
wx wxPython
yaml PyYAML
zmq pyzmq
zope.interface zope.interface
"""
DISTRIBUTIONS: dict[str, str] = dict(line.split() for line in _TABLE.strip().splitlines())


def distribution_by_table(module: str) -> Optional[str]:
    """The distribution of a dotted module by the longest entry of the table that fits; None when none does."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        found = DISTRIBUTIONS.get(".".join(parts[:length]))
        if found:
            return found
    return None
