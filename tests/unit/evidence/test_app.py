# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import app as app_module
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import Backend

Resolve = Callable[..., Backend]


@pytest.fixture
def ctx() -> Context:
    return Context(params={}, deadline=time.monotonic() + 30)


@pytest.fixture
def resolve(tmp_path: Path, ctx: Context) -> Resolve:
    """Plant files, give a command line with ``@`` for the directory, get the resolved backend."""

    def run(
        command: str, files: Optional[dict[str, str]] = None, environ: Optional[dict[str, str]] = None, runtime: str = "systemd",
        cwd: str = "@", params: Optional[dict[str, Any]] = None,
    ) -> Backend:  # fmt: skip
        for name, text in (files or {}).items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        ctx.params = params or {}
        argv = [word.replace("@", str(tmp_path)) for word in shlex.split(command)]
        backend = Backend("demo", runtime, argv=argv, cwd=cwd.replace("@", str(tmp_path)), environ=dict(environ or {}))
        app_module.resolve(backend, ctx)
        return backend

    return run


MAIN = {"main.py": "from fastapi import FastAPI\napp = FastAPI()\n"}
V = "/opt/v/bin"

# command, environment, (server, module, attribute, host, port)
CASES: list[tuple[str, dict[str, str], tuple[Any, ...]]] = [
    (f"{V}/uvicorn main:app --port 8443", {}, ("uvicorn", "main", "app", "127.0.0.1", 8443)),
    (f"{V}/uvicorn --host 0.0.0.0 --reload --proxy-headers main:app", {}, ("uvicorn", "main", "app", "0.0.0.0", 8000)),
    (
        f"{V}/uvicorn app.main:create_app --factory --port=9",
        {},
        ("uvicorn", "app.main", "create_app", "127.0.0.1", 9),
    ),
    (f"{V}/uvicorn main:app", {"UVICORN_PORT": "81", "UVICORN_HOST": "::"}, ("uvicorn", "main", "app", "::", 81)),
    (f"{V}/python -m uvicorn main:app --port 1234", {}, ("uvicorn", "main", "app", "127.0.0.1", 1234)),
    (f"{V}/python -X dev -W error -um uvicorn main:app", {}, ("uvicorn", "main", "app", "127.0.0.1", 8000)),
    (f"{V}/python {V}/uvicorn main:app --port 77", {}, ("uvicorn", "main", "app", "127.0.0.1", 77)),
    (f"/usr/bin/env PORT=5 {V}/uvicorn main:app", {}, ("uvicorn", "main", "app", "127.0.0.1", 8000)),
    (
        f"/bin/sh -c 'exec {V}/uvicorn main:app --port $PORT'",
        {"PORT": "91"},
        ("uvicorn", "main", "app", "127.0.0.1", 91),
    ),
    ("/usr/bin/bash -lc 'cd /opt && uvicorn main:app --port 92'", {}, ("uvicorn", "main", "app", "127.0.0.1", 92)),
    ("/usr/local/bin/poetry run uvicorn main:app --port 93", {}, ("uvicorn", "main", "app", "127.0.0.1", 93)),
    ("uv run --frozen --no-dev uvicorn main:app --port 94", {}, ("uvicorn", "main", "app", "127.0.0.1", 94)),
    ("conda run -n prod --no-capture-output gunicorn m:a -b :95", {}, ("gunicorn", "m", "a", "0.0.0.0", 95)),
    ("nice -n 5 sudo -u www pipenv run hypercorn m:a -b [::]:96", {}, ("hypercorn", "m", "a", "::", 96)),
    ("tini -- gunicorn m", {}, ("gunicorn", "m", "application", "127.0.0.1", 8000)),
    (
        f"{V}/gunicorn -w 4 -k uvicorn.workers.UvicornWorker main:app -b 0.0.0.0:8001",
        {},
        ("gunicorn", "main", "app", "0.0.0.0", 8001),
    ),
    (f"{V}/gunicorn -w4 'main:create_app()' --bind=[::1]:8002", {}, ("gunicorn", "main", "create_app", "::1", 8002)),
    (
        f"{V}/gunicorn m:a",
        {"GUNICORN_CMD_ARGS": "--bind=127.0.0.1:8003 -w 3"},
        ("gunicorn", "m", "a", "127.0.0.1", 8003),
    ),
    (f"{V}/gunicorn m:a", {"PORT": "8004"}, ("gunicorn", "m", "a", "0.0.0.0", 8004)),
    (f"{V}/gunicorn m:a --bind unix:/run/x.sock", {}, ("gunicorn", "m", "a", None, None)),
    (f"{V}/gunicorn m:a --bind fd://3", {}, ("gunicorn", "m", "a", None, None)),
    (f"{V}/gunicorn m:a --work 2 -b localhost:1", {}, ("gunicorn", "m", "a", "localhost", 1)),
    (
        f"{V}/daphne -b 0.0.0.0 -p 8005 proj.asgi:application",
        {},
        ("daphne", "proj.asgi", "application", "0.0.0.0", 8005),
    ),
    (
        f"{V}/daphne -e ssl:443:privateKey=k:certKey=c proj.asgi:application",
        {},
        ("daphne", "proj.asgi", "application", "0.0.0.0", 443),
    ),
    (f"{V}/celery -A proj worker -l info --concurrency=4", {}, ("celery", "proj", None, None, None)),
    (f"{V}/celery worker --app=proj.celery:app", {}, ("celery", "proj.celery", "app", None, None)),
    (f"{V}/python manage.py runserver 0.0.0.0:8006 --noreload", {}, ("django", None, None, "0.0.0.0", 8006)),
    (f"{V}/flask --app shop:create_app run -h 0.0.0.0 -p 8007", {}, ("flask", "shop", "create_app", "0.0.0.0", 8007)),
    (f"{V}/flask run", {"FLASK_APP": "shop.py"}, ("flask", "shop", None, "127.0.0.1", 5000)),
    (f"{V}/waitress-serve --listen=*:8008 --call m:f", {}, ("waitress", "m", "f", "0.0.0.0", 8008)),
    (
        "/usr/bin/uwsgi --http-socket :8009 --module proj.wsgi:app --chdir /srv",
        {},
        ("uwsgi", "proj.wsgi", "app", "0.0.0.0", 8009),
    ),
    (f"{V}/python -m http.server 8010 --bind 127.0.0.2", {}, ("module", None, None, "127.0.0.2", 8010)),
    (f"{V}/python -m pkg.server --port 8011", {}, ("module", "pkg.server", None, None, 8011)),
    (
        "/usr/bin/python3 -c 'import uvicorn; uvicorn.run(\"main:app\", port=8012)'",
        {},
        ("unknown", "main", "app", "127.0.0.1", 8012),
    ),
    ("/usr/bin/node server.js", {}, ("unknown", None, None, None, None)),
    ("", {}, ("unknown", None, None, None, None)),
]


@pytest.mark.parametrize(("command", "environ", "expected"), CASES, ids=[case[0][:60] for case in CASES])
def test_command_lines(resolve: Resolve, command: str, environ: dict[str, str], expected: tuple[Any, ...]) -> None:
    app = resolve(command, environ=environ).app
    assert (app.server, app.module, app.attribute, app.host, app.port) == expected


def test_gunicorn_configuration_is_parsed_and_never_run(resolve: Resolve, tmp_path: Path) -> None:
    config = f"""
import os, multiprocessing
open({str(tmp_path / "ran")!r}, 'w').close()
host = os.environ.get("HOST", "0.0.0.0")
bind = f"{{host}}:{{os.getenv('APP_PORT', '8100')}}"
workers = int(os.environ.get("W", 2)) + 1
errorlog = "/var/log/shop/error.log"
accesslog = "-"
wsgi_app = "shop.wsgi:app"
raw_env = ["STAGE=prod"]
chdir = "src"
"""
    backend = resolve(
        f"{V}/gunicorn -c conf/g.py", {"conf/g.py": config, "src/shop/wsgi.py": "app = 1"}, {"APP_PORT": "8101"}
    )
    app = backend.app
    assert (app.module, app.attribute, app.host, app.port, app.workers) == ("shop.wsgi", "app", "0.0.0.0", 8101, 3)
    assert backend.cwd == app.code_dir == str(tmp_path / "src")
    assert backend.environ["STAGE"] == "prod"
    assert [ref.path for ref in backend.log_files] == ["/var/log/shop/error.log"]
    assert not (tmp_path / "ran").exists()


def test_gunicorn_finds_its_usual_configuration_file(resolve: Resolve) -> None:
    assert (
        resolve(f"{V}/gunicorn m:a", {"gunicorn.conf.py": "bind = ['unix:x.sock', '127.0.0.1:8102']"}).app.uds
        is not None
    )


def test_hypercorn_toml(resolve: Resolve) -> None:
    text = 'bind = ["0.0.0.0:8103", "unix:/run/x"]\nworkers = 2\nerrorlog = "/var/log/h.log"\n'
    backend = resolve(f"{V}/hypercorn -c h.toml asgi:app", {"h.toml": text})
    assert (backend.app.host, backend.app.port, backend.app.workers) == ("0.0.0.0", 8103, 2)
    assert backend.log_files[0].path == "/var/log/h.log"


def test_uwsgi_ini(resolve: Resolve, tmp_path: Path) -> None:
    ini = "[uwsgi]\nbase = %d\nchdir = %(base)app\nmodule = shop.wsgi:application\nhttp = :8104\n"
    ini += "virtualenv = /opt/v\nenv = A=b\nlogto = /var/log/%n.log\n[other]\nhttp = :1\n"
    backend = resolve("/usr/bin/uwsgi --ini @/shop.ini", {"shop.ini": ini, "app/shop/wsgi.py": "application = 1"})
    app = backend.app
    assert (app.module, app.port, app.environment_dir, app.code_dir) == (
        "shop.wsgi",
        8104,
        "/opt/v",
        str(tmp_path / "app"),
    )
    assert backend.environ == {"A": "b"}
    assert backend.log_files[0].path == "/var/log/shop.log"


ARGPARSE = """
import argparse, uvicorn
p = argparse.ArgumentParser()
p.add_argument('--port', type=int, default=8207)
args = p.parse_args()
uvicorn.run('a:b', port=args.port)
"""


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import uvicorn\nuvicorn.run('main:app', host='0.0.0.0', port=int(os.getenv('PORT', 8201)))", ("main", "0.0.0.0", 8201)),
        ("import os, uvicorn\ndef main():\n    port = int(os.environ.get('PORT', '8202'))\n    uvicorn.run(app, port=port)\nmain()", (None, "127.0.0.1", 8202)),
        ("from flask import Flask\napp = Flask(__name__)\nif __name__ == '__main__':\n    app.run(debug=True, port=8203)", (None, "127.0.0.1", 8203)),
        ("from flask import Flask\napp = Flask(__name__)\napp.run()", (None, "127.0.0.1", 5000)),
        ("from aiohttp import web\nweb.run_app(app)", (None, "0.0.0.0", 8080)),
        ("from waitress import serve\nserve(app, listen='*:8204')", (None, "0.0.0.0", 8204)),
        ("from http.server import HTTPServer as S\nPORT = 8205\nS(('', PORT), H).serve_forever()", (None, "0.0.0.0", 8205)),
        ("import socket\ns = socket.socket()\ns.bind(('127.0.0.1', 8206))", (None, "127.0.0.1", 8206)),
        (ARGPARSE, ("a", "127.0.0.1", 8207)),
        ("import uvicorn\nfrom settings import settings\nuvicorn.run('a:b', port=settings.port)", ("a", "127.0.0.1", 8208)),
        ("import asyncio\nasyncio.run(main())\nsubprocess.run(['x'])", (None, None, None)),
        ("this is not python", (None, None, None)),
        ("import runner\nrunner.go()", ("z", "127.0.0.1", 8209)),
    ],
)  # fmt: skip
def test_scripts(resolve: Resolve, source: str, expected: tuple[Any, ...]) -> None:
    files = {
        "run.py": source,
        "settings.py": "class Settings(BaseSettings):\n    port: int = Field(8208)\nsettings = Settings()\n",
        "runner.py": "import uvicorn\ndef go():\n    uvicorn.run('z:app', port=8209)\n",
    }
    app = resolve("/usr/bin/python3 @/run.py", files, cwd="/").app
    assert app.server == "script"
    assert (app.module, app.host, app.port) == expected
    assert app.code_dir == app.path_prepend[0]


def test_script_port_from_environment_says_so(resolve: Resolve) -> None:
    source = "import os, uvicorn\nuvicorn.run(app, port=int(os.environ['PORT']))"
    app = resolve("/usr/bin/python3 run.py", {"run.py": source}, {"PORT": "8210"}).app
    assert app.port == 8210
    assert app.origin["port"].endswith("run.py:2, environment PORT")


def test_django(resolve: Resolve, tmp_path: Path) -> None:
    manage = "import os\ndef main():\n    os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\n"
    settings = (
        "from pathlib import Path\nBASE_DIR = Path(__file__).resolve().parent.parent\nLOGGING = {'handlers': {'f': {'class':"
        " 'logging.FileHandler', 'filename': BASE_DIR / 'logs' / 'shop.log'}}}\n"
    )
    files = {"manage.py": manage, "shop/settings.py": settings, "shop/wsgi.py": manage}
    backend = resolve("/usr/bin/python3 @/manage.py runserver 8301", files, cwd="/")
    assert (backend.app.settings_module, backend.app.port) == ("shop.settings", 8301)
    assert backend.log_files[0].path == str(tmp_path / "logs/shop.log")
    assert resolve(f"{V}/gunicorn shop.wsgi", files).app.settings_module == "shop.settings"


def test_start_script(resolve: Resolve, tmp_path: Path) -> None:
    script = '#!/bin/bash\ncd "$(dirname "$0")"\nset -a; . ./prod.env; set +a\nexport STAGE=prod\nexec uvicorn main:app --port ${PORT:-1}\n'
    backend = resolve(
        "@/start.sh", {**MAIN, "start.sh": script, "prod.env": "TOKEN=x\n"}, cwd="/", runtime="supervisor"
    )
    assert (backend.app.server, backend.app.module, backend.app.port) == ("uvicorn", "main", 1)
    assert backend.cwd == backend.app.code_dir == str(tmp_path)
    assert (backend.environ["STAGE"], backend.environ["TOKEN"]) == ("prod", "x")
    assert backend.env_files[0].path == str(tmp_path / "prod.env")
    assert [step["step"] for step in backend.app.steps] == ["launcher"]


def test_fastapi_run_finds_file_and_object(resolve: Resolve, tmp_path: Path) -> None:
    backend = resolve(
        f"{V}/fastapi run", {"app/__init__.py": "", "app/main.py": "from fastapi import FastAPI\nservice = FastAPI()\n"}
    )
    app = backend.app
    assert (app.module, app.attribute, app.host, app.port) == ("app.main", "service", "0.0.0.0", 8000)
    assert app.code_dir == str(tmp_path)


def test_overrides_win_and_say_so(resolve: Resolve) -> None:
    params = {"app": "other:api", "port": 9999, "code_dir": "/srv/x", "log_files": ["/var/log/x.log"]}
    backend = resolve(f"{V}/uvicorn main:app --port 1", MAIN, params=params)
    app = backend.app
    assert (app.module, app.attribute, app.port, app.code_dir) == ("other", "api", 9999, "/srv/x")
    assert app.origin["port"] == "override backend_port"
    assert backend.log_files[0].path == "/var/log/x.log"


def test_log_files_from_configuration_code_and_usual_places(resolve: Resolve, tmp_path: Path) -> None:
    files = {
        **MAIN,
        "log.yaml": "handlers:\n  f:\n    class: logging.FileHandler\n    filename: /var/log/a.log\n",
        "core/log.py": "import logging.handlers as h, os\nD = os.path.join(os.path.dirname(__file__), 'x')\nh.RotatingFileHandler(os.path.join(D, 'b.log'))\n",
        "logs/c.log": "",
        "venv/pyvenv.cfg": "",
        "venv/lib/d.py": "import logging\nlogging.FileHandler('/var/log/never.log')",
    }
    backend = resolve(f"{V}/uvicorn main:app --log-config log.yaml", files)
    assert [ref.path for ref in backend.log_files] == [
        "/var/log/a.log",
        str(tmp_path / "core/x/b.log"),
        str(tmp_path / "logs/c.log"),
    ]
    assert backend.log_files[1].origin.endswith("core/log.py:3")


def test_section(resolve: Resolve, ctx: Context, tmp_path: Path) -> None:
    files = {
        "main.py": "from x import *\nimport os as o\ntry:\n    app = 1\nexcept E:\n    api = 2\nif __name__ == '__main__':\n    z = 1\n"
    }
    files["pkg/__init__.py"] = files["docs/readme.md"] = ""
    section = app_module.collect(resolve(f"{V}/uvicorn main:app", files), ctx)
    assert section["target"] == {"text": "main:app", "module": "main", "attribute": "app", "factory": False}
    assert section["target_file"] == {"path": str(tmp_path / "main.py"), "exists": True}
    assert section["target_names"] == ["o", "app", "api"] and section["target_names_dynamic"]
    assert section["local_packages"] == ["main", "pkg"]
    missing = app_module.collect(resolve(f"{V}/uvicorn nothere.sub:app", files), ctx)
    assert missing["target_file"] == {"path": str(tmp_path / "nothere/sub.py"), "exists": False}
    assert missing["target_names"] is None


def test_wrapper_that_loads_an_environment_file(resolve: Resolve, tmp_path: Path) -> None:
    backend = resolve(f"{V}/dotenv -f prod.env run -- uvicorn main:app --port 5", {**MAIN, "prod.env": "A=1\n"})
    assert (backend.app.port, backend.environ["A"]) == (5, "1")
    assert backend.env_files[0].path == str(tmp_path / "prod.env")
