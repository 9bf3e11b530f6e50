# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.firstaid.backend.plugins.module_utils._evidence.app_shell import follow

ENTRYPOINT = """#!/bin/bash
set -euo pipefail
# change to the directory of this script
cd "$(dirname "$0")/.."
export DJANGO_SETTINGS_MODULE="shop.settings.${STAGE:-prod}"
PORT=${PORT:-8000}
if [ "${1:-}" = "worker" ]; then
    exec celery -A shop worker
fi
python manage.py migrate --noinput && python manage.py collectstatic
exec gunicorn shop.wsgi:application \\
    --bind "0.0.0.0:$PORT" \\
    --workers ${WORKERS:-3} "$@" >> /var/log/shop.log 2>&1
echo never
"""


@pytest.mark.parametrize(
    ("text", "argv"),
    [
        ("exec uvicorn main:app --port 8000", ["uvicorn", "main:app", "--port", "8000"]),
        ("cd /srv/app && venv/bin/uvicorn main:app", ["venv/bin/uvicorn", "main:app"]),
        ("source venv/bin/activate && python main.py", ["python", "main.py"]),
        ("python main.py 2>&1 | tee /tmp/log", ["python", "main.py"]),
        ("sleep 2; exec python -c 'print(\"a b\")'", ["python", "-c", 'print("a b")']),
        ("MODE=x exec python a.py", ["python", "a.py"]),
        ('uvicorn main:app --port "${PORT}"', ["uvicorn", "main:app", "--port", "9000"]),
        ("uvicorn main:app --port ${OTHER:-81}", ["uvicorn", "main:app", "--port", "81"]),
        ("uvicorn $ARGS", ["uvicorn", "main:app", "--reload"]),
        ("echo hello", []),
        ("python 'unclosed", ["python", "unclose"]),
        ("", []),
        ("if", []),
        ("case $1 in a) exec python a.py;; esac\nexec python b.py", ["python", "b.py"]),
        ("run() {\n exec python a.py\n}\nrun", ["python", "a.py"]),
    ],
)
def test_command_that_a_text_ends_in(text: str, argv: list[str]) -> None:
    result = follow(text, {"PORT": "9000", "ARGS": "main:app --reload"}, "/srv")
    assert result.argv == argv


def test_start_script() -> None:
    result = follow(ENTRYPOINT, {}, "/", script="/srv/shop/bin/start.sh", arguments=["--reload"])
    assert result.argv == ["gunicorn", "shop.wsgi:application", "--bind", "0.0.0.0:8000", "--workers", "3", "--reload"]
    assert result.line == 11
    assert result.cwd == "/srv/shop"
    assert result.exec_used
    assert result.outputs == ["/var/log/shop.log"]
    assert result.environ["DJANGO_SETTINGS_MODULE"] == "shop.settings.prod"
    assert "DJANGO_SETTINGS_MODULE" in result.exported and "PORT" not in result.exported


@pytest.mark.parametrize(
    ("text", "outputs"),
    [
        ("exec >>/var/log/a.log 2>&1\nexec python a.py", ["/var/log/a.log"]),
        ('python a.py > out.log 2> "$DIR/err.log" < /dev/null', ["out.log", "/d/err.log"]),
        ("python a.py &> /dev/null &", []),
    ],
)
def test_files_that_take_the_output(text: str, outputs: list[str]) -> None:
    assert follow(text, {"DIR": "/d"}, "/").outputs == outputs


def test_virtual_environment_and_environment_file() -> None:
    result = follow(
        "set -a\n. ./prod.env\nset +a\n. /opt/venv/bin/activate\ncd app\nuvicorn main:app &\nwait",
        {"PATH": "/usr/bin"},
        "/srv",
    )
    assert (result.venv, result.env_files, result.cwd) == ("/opt/venv", ["/srv/prod.env"], "/srv/app")
    assert result.environ["PATH"] == "/opt/venv/bin:/usr/bin"


def test_directory_of_the_script_by_bash_source() -> None:
    text = 'DIR="$( cd "$( dirname "${BASH_SOURCE[0]}" )" && pwd )"\ncat <<EOF\nexec python wrong.py\nEOF\nexec "$DIR/venv/bin/python" "$DIR/main.py"'
    assert follow(text, {}, "/", script="/srv/x/run.sh").argv == ["/srv/x/venv/bin/python", "/srv/x/main.py"]
