# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parsers of what belongs to an application: its command, its configuration, its packages, what supervises it."""

from __future__ import annotations

import shlex
from typing import Any

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import (
    app,
    app_shell,
    app_static,
    backing_urls,
    health,
    import_shapes,
    interpreter_chain,
    logs_text,
    packages_installed,
    packages_toml,
    requirements,
    requirements_versions,
    secret_names,
    servers,
    servers_asgi,
    servers_wsgi,
    supervisor_config,
    supervisor_log,
    supervisor_rpc,
)
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import KIB, MIB
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import Backend, Section, Unavailable

from .host_parsers import BLANKS, NUMBERS, QUOTES
from .target import Broken, Target, holding, no_host

PYTHON = "3.11"


def _resolved(text: str) -> Section:
    """A whole command line through wrappers and servers."""
    backend = Backend(
        "api",
        "systemd",
        argv=text.split("\n"),
        cwd="/nonexistent/firstaid-fuzz",
        environ={"UVICORN_PORT": "٣", "WEB_CONCURRENCY": "²"},
    )
    ctx = no_host()
    app.resolve(backend, ctx)
    found: Section = vars(backend.app)
    return found


def _shell(text: str) -> app_shell.ShellResult:
    return app_shell.follow(text, {"A": "1"}, "/nonexistent/firstaid-fuzz", "/nonexistent/x.sh", ["a"])


def _commands(text: str) -> list[tuple[int, list[str], list[str]]]:
    return app_shell.commands(text)


def _static(text: str) -> tuple[list[str], bool] | None:
    tree = app_static.parse_source(text)
    if tree is None:
        return None
    evaluator = app_static.Evaluator({}, "/x.py")
    evaluator.load(tree)
    return app_static.top_level_names(tree)


def _versions(text: str) -> tuple[bool | None, bool]:
    version, _bar, specifier = text.partition("|")
    requirements_versions.parse_version(version)
    environment = requirements_versions.marker_environment(PYTHON, "x86_64")
    return requirements_versions.satisfies(version, specifier), requirements_versions.marker_holds(
        specifier, environment
    )


def _version(text: str) -> Any:
    found = requirements_versions.parse_version(text)
    if found is not None and not requirements_versions.satisfies(text.strip(), f"=={text.strip()}"):
        raise Broken(f"{text!r} is not equal to itself")
    return found


def _project(reader: Any) -> Any:
    def read(text: str) -> list[requirements.Declared]:
        try:
            found: list[requirements.Declared] = reader(text, "/nonexistent/requirements.txt", no_host())
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            # read_project goes on without a file that its reader refuses so.
            return []
        return found

    return read


def _toml(text: str) -> dict[str, Any]:
    found = packages_toml.tolerant(text)
    loaded, problem = packages_toml.loads(text)
    if not problem and not _agrees(loaded, found):
        raise Broken(f"tomllib reads {loaded!r}, and without it {found!r} is read")
    return found


def _agrees(loaded: Any, found: Any) -> bool:
    """Whether both have the same tables, lists and texts; numbers and dates are nothing that anybody needs."""
    if isinstance(loaded, dict):
        return (
            isinstance(found, dict)
            and loaded.keys() == found.keys()
            and all(_agrees(loaded[key], found[key]) for key in loaded)
        )
    if isinstance(loaded, list):
        return isinstance(found, list) and len(loaded) == len(found) and all(map(_agrees, loaded, found))
    return bool(loaded == found) if isinstance(loaded, str) else not isinstance(found, (dict, list))


def _distribution(text: str) -> dict[str, Any]:
    ctx = holding(text)
    item = packages_installed._read("/nonexistent/site", "x-1.dist-info", "x", "1", ctx)
    packages_installed.modules_of(item, ctx)
    packages_installed.record_paths(item, ctx)
    for tag in item.tags:
        packages_installed.foreign_tags([tag], PYTHON, "x86_64")
    return vars(item)


def _supervisord(text: str) -> list[supervisor_config.Program]:
    config = supervisor_config.load("/nonexistent/supervisord.conf", {"HOME": "/root"}, holding(text))
    for section in config.sections:
        supervisor_config.line_of(text, section, "command")
    return supervisor_config.programs(config, {"HOME": "/root"})


def _rpc(text: str) -> supervisor_rpc.Status:
    return supervisor_rpc.read_answer(text.encode("utf-8"), supervisor_rpc.Address("x"))


def _urls(text: str) -> list[backing_urls.Target]:
    names = ("DATABASE_URL", "REDIS_URL", "KAFKA_BROKERS", "DB_HOST", "DB_PORT", "CELERY_BROKER_URL")
    return backing_urls.declared(dict(zip(names, (text, *text.split("\n")), strict=False)))


def _answer(data: bytes) -> health.Answer:
    answer = health.Answer()
    health.parse_answer(data, answer)
    return answer


def _stack(text: str) -> list[Section]:
    return import_shapes.stack_of(text, lambda _file: "app")


def _log_text(raw: bytes) -> list[dict[str, Any]]:
    logs_text.looks_binary(raw)
    lines = logs_text.split_lines(logs_text.decode(raw))
    attempts, omitted, _short = logs_text.pack(logs_text.cut_attempts(lines, 1), 64 * KIB)
    if not omitted and any(
        "\x1b" in line or "\0" in line for one in attempts for part in one["segments"] for line in part["lines"]
    ):
        raise Broken("a control character came through")
    return attempts


def _sensitive(text: str) -> bool:
    return secret_names.is_sensitive_name(text) or secret_names.is_trivial_value(text)


_COMMANDS = (
    "uvicorn", "gunicorn", "main:app", "--port", "--port=8000", "-b", "--bind", "unix:/run/x", "[::1]:80", "python3", "-m", "-c", "sh", "bash", "env", "-i",
    "A=1", "-S", "sudo", "-u", "x", "exec", "uwsgi", "--ini", "celery", "-A", "worker", "manage.py", "runserver", "hypercorn", "daphne", "-e", "granian",
    "flask", "run", "waitress-serve", "--listen=*:80", "fastapi", "poetry", "uv", "--", "-", "--host", "--workers=²", "-w", "9" * 5000, "\n", "'", '"',
    "nohup", "timeout", "5", "dotenv", "-f", "$A", "${A:-b}", "tcp:port=80:interface=::", "--fd", "3", "-k", "http.server", "x.sh", "--reload-dir", "\0",
)  # fmt: skip
_SCRIPT = (
    "exec ", "cd ", "export ", "A=1 ", "if ", "then\n", "fi\n", "case x in\n", "esac\n", "$(", ")", "`", "${A:-", "}", "${A#", "<<EOF\n", "EOF\n", ">",
    ">>", "2>&1", "|", "&&", "||", "&", "#", "source ", ". ", "/x", "set -a\n", "uvicorn main:app ", "function f() {\n", "}\n", "$@", "$0", "((", "))",
    "[[ ", " ]]", "while ", "do\n", "done\n", "$((1+1))", "{", "<", "<<-", "<<<",
)  # fmt: skip
_REQUIREMENTS = (
    "flask", "==", ">=", "1.0", ",", "<2", "~=", "^", "[extra]", ";", " python_version < '3.9'", " # note", "-r ", "other.txt", "-c ", "-e ",
    "--hash=sha256:x", "git+https://x/y.git#egg=z", " @ https://x/y.whl", "\\\n", "and", " or ", "(", ")", "'", '"', "in", "not in", "!", "1!2", ".post1",
    ".dev0", "+local", "a1", "rc", "*", "||", "|",
)  # fmt: skip
_TOML_WORDS = (
    "[project]\n", "[[package]]\n", "[tool.poetry.dependencies]\n", "name = ", "version = ", '"1.0"', "dependencies = [", "]", "{", "}", "=", ",", '"""',
    "'''", "'", '"', "\\", "\\u00e9", ".", "a", "true", "1", "1.5", "1979-05-27", "#", "optional-dependencies = {x = [",
    "{version = \"^1\", optional = true}", "[dependency-groups]\n", "[tool]\npoetry = 1\n", "project = 1\n", "inf", "0x1f", "1_0", "[[", "]]",
    "[packages]\n",
)  # fmt: skip
_INI = (
    "[supervisord]\n", "[program:web]\n", "[include]\n", "files = ", "command=", "environment=", 'A="1"', ",", "%(ENV_HOME)s", "%(here)s",
    "%(process_num)02d", "numprocs=", "numprocs_start=", "%(", ")", "%%", "%(numprocs)9999999999d", "%(program_name)s", ";", "#", " x", "[group:g]\n",
    "programs=", "²", "exitcodes=", "9" * 12, "[", "]", ":", "process_name=", "%(numprocs)s", "umask=", "startsecs=", "'", '"', "=",
    "[unix_http_server]\nfile=", "serverurl=",
)  # fmt: skip
_LOG = "2026-11-22 04:43:16,123 INFO "

TARGETS: tuple[Target, ...] = (
    Target("command-line", _resolved, _COMMANDS, size=128 * KIB, repeats=("sh\n-c\n", "env\n", "uvicorn\n", "-b\nx\n", "[", "unix:", "A=1\n")),
    Target("shell-script", _shell, (*BLANKS, *QUOTES, *_SCRIPT), size=256 * KIB, repeats=("$(", "${A:-", "A=$A$A\n", "A", "((", "<<E\n", "`", "cd x\n", "{",
        "'", "\\\n", "export A=x\n", "if x\nthen\n")),
    Target("shell-commands", _commands, (*BLANKS, *QUOTES, *_SCRIPT), size=256 * KIB, repeats=("<<E\n", "$(", "a ", "a\n", "((", "#", ">", "> x")),
    Target("source", _static, ("import os\n", "x = ", "os.environ['A']", "(", ")", "[", "]", "-", "not ", "1", "+", "'a'", "*", "def f():\n ", "if x:\n ",
        "\\", '"""', "\0", "\ufeff", "9" * 5000, "**", "f'{x}'", "lambda: ", ".get(", "<<", "9999999", "'a' * "), size=256 * KIB, repeats=("(", "-",
        "x = 1\n", "1+", "'a'\\\n", "[", "not ")),
    Target("app-target", servers.parse_target, ("main", ":", "app", "(", ")", ".py", "/", "\n", " "), repeats=("(", ":", "/", ".")),
    Target("bind", servers.parse_bind, ("unix:", "//", "[", "]", "::1", ":", "80", "fd://", "tcp://", *NUMBERS, "\n"), repeats=("[", ":", "http://", "/")),
    Target("twisted-endpoint", servers_asgi.parse_endpoint, ("tcp:", "ssl:", "unix:", "port=", "80", "interface=", "\\:", ":", *NUMBERS), repeats=(":",
        "\\:", "a=")),
    Target("uwsgi-ini", lambda text: servers_wsgi.uwsgi_config(text, "/x.ini", {}), (*BLANKS, *QUOTES, "[uwsgi]\n", "a = b\n", "%(a)", "$(HOME)", "%d", "%",
        "for = 1\n"), size=256 * KIB, repeats=("a=%(a)%(a)\n", "%(", "a=1\n", "["), returns=list[tuple[str, str]]),
    Target("uwsgi-xml", lambda text: servers_wsgi.uwsgi_config(text, "/x.xml", {}), ("<", ">", "</", "a", "socket", " ", "\n", "-"), size=256 * KIB,
        repeats=("<a>", "<a", "<", "a", "<a></a"), returns=list[tuple[str, str]]),
    Target("uwsgi-json", lambda text: servers_wsgi.uwsgi_config(text, "/x.json", {}), ("{", "}", '"uwsgi"', ":", "[", "]", ",", "1", '"a"', "9" * 5000),
        size=256 * KIB, repeats=("[", '{"a":'), returns=list[tuple[str, str]]),
    Target("shebang", interpreter_chain.parse_shebang, ("#!", "/usr/bin/env", " ", "-S", "python3", "\r", "\n", "\t", "\ufeff"), raw=True, size=4 * KIB,
        repeats=("#!", " ")),
    Target("pyvenv", interpreter_chain.parse_pyvenv, ("home", "=", " ", "version", "\n", "include-system-site-packages = true\n"), repeats=("=", "a=1\n")),
    Target("toml", _toml, (*BLANKS, *QUOTES, *_TOML_WORDS), size=2 * MIB, repeats=("[[a]]\n", "a=[", "[", "[a.b]\n", "a.b.", '"', "{", "a=1\n", "x\n",
        "a = '", "a=\"\\", "[a\n", "a={b=", "#")),
    Target("pyproject", _project(requirements.pyproject), (*BLANKS, *QUOTES, *_TOML_WORDS, *_REQUIREMENTS), size=2 * MIB,
        repeats=('[project]\ndependencies=["a"]\n', )),
    Target("pipfile-lock", _project(requirements.pipfile_lock), ('{"default": {', '"flask": {', '"version": "==1"', "}", ",", "[", "]", "1", '"'),
        size=2 * MIB, repeats=("[", '{"default":')),
    Target("setup-cfg", _project(requirements.setup_cfg), ("[options]\n", "install_requires =\n", "  flask\n", "[", "]", "%", "=", "\n", ":"), size=2 * MIB,
        repeats=("[a]\n", " a\n", "a=1\n")),
    Target("lock", _project(requirements.toml_lock), ("[[package]]\n", 'name = "a"\n', 'version = "1"\n', "[", '"', "\n"), size=2 * MIB,
        repeats=('[[package]]\nname = "a"\nversion = "1"\n', "[[")),
    Target("requirements", _project(requirements.requirements_file), (*BLANKS, *_REQUIREMENTS), size=2 * MIB, repeats=("flask\n", "a\\\n", "-r x\n", " #",
        "#egg=", "a ", "[", "a-", "a>=1,", "a ; ", "--hash ", "a" + " " * 50, "\t")),
    Target("requirement", requirements_versions.parse_requirement, (*BLANKS, *_REQUIREMENTS), repeats=("a", "a-", "a[", "a ", ",", " ;", "a @ ", "a>=1,",
        "==")),
    Target("version", _version, (*_REQUIREMENTS, *NUMBERS, "v", ".", "-", "_", "²"), repeats=("1.", "1", "a", "-", "1+a.", "1.0.dev")),
    Target("marker", _versions, (*_REQUIREMENTS, "python_version", " ", "sys_platform", "os.name", "extra", "|", "<", "1."), size=8 * KIB, repeats=("(",
        "a or ", "'", "a", "||", "a<'1' and ")),
    Target("metadata", _distribution, ("Name: x\n", "Version: 1\n", "Requires-Dist: ", "flask>=1", "\n\n", "\r\n", "Tag: py3-none-any\n", "Tag: ",
        "cp39-cp39-linux_x86_64", "-", "x/y.py,,\n", "[a]", *BLANKS), size=256 * KIB, repeats=("Name: ", "Tag: ", "\n", "\r\n", "\r", "x.py,,\n",
        "Name:" + " " * 30, "Name: x \r")),
    Target("supervisord-ini", _supervisord, (*BLANKS, *_INI), size=MIB, repeats=("[program:a]\n", "a=1\n", "[a]\nb=1\n", " x\n",
        "[program:a]\nnumprocs=9\n", "%(")),
    Target("supervisord-environment", supervisor_config.parse_environment, (*BLANKS, *QUOTES, "A", "=", ",", "1", "#", "-"), size=MIB, allowed=(ValueError,
        ), repeats=("A=1,", "'", "#", "A")),
    Target("supervisord-log", lambda text: supervisor_log.parse(text, "web"), (_LOG, "spawned: 'web' with pid 12\n",
        "exited: web (exit status 1; not expected)\n", "gave up: web entered FATAL state\n", "supervisord started with pid ", "²", "\n",
        "9999-99-99 99:99:99,1 INFO ", "exited: web (terminated by SIGKILL; not expected)\n", "stopped: web (", "spawnerr: can't find command 'x'\n",
        "0000-00-00 00:00:00,000 ", *NUMBERS), size=512 * KIB, repeats=(_LOG + "spawned: 'web' with pid 12\n", _LOG, "web "),
        returns=supervisor_log.History),
    Target("supervisord-answer", _rpc, ("<?xml version='1.0'?>", "<methodResponse>", "<params><param>", "<value>", "</value>", "<array><data>",
        "</data></array>", "<struct>", "<member>", "<name>statename</name>", "<int>", "²", "</int>", "</member>", "</struct>",
        "</param></params></methodResponse>", "<!DOCTYPE x [<!ENTITY a 'b'>]>", "&a;", "<string>x</string>", "1" * 30), size=MIB, repeats=("<value>", "<a>",
        "&a;"), allowed=(Unavailable, )),
    Target("service-urls", _urls, (*BLANKS, "postgres://", "redis://", "user:", "p@ss", "@", "host", ":", "5432", "/", "db", "?", "sslmode=require", "&",
        "%40", "%", ",", "[", "]", "::1", "unix://", "host=", "port=", "kafka:9092", "${X}", "'", "\\", *NUMBERS), size=8 * KIB, repeats=("a:", "@", "/",
        "a,", "?", "host=", "redis://a,", "%", "'", "[", "${")),
    Target("http-answer", _answer, ("HTTP/1.1 ", "200 OK", "\r\n", "Location: ", "http://x/", "400", "HTTPS", "²",
        "plain HTTP request was sent to HTTPS port", "\0", "é"), raw=True, repeats=("HTTP/1.1 ", "Location: ", "\r\n", "a")),
    Target("faulthandler", _stack, ("Current thread 0x1 (most recent call first):\n", '  File "x.py", line ', "12", " in f\n", "²", "???", "Thread 0x2\n",
        '  File "'), repeats=('  File "', "Thread\n")),
    Target("log-file", _log_text, (*BLANKS, "Traceback (most recent call last):\n", '  File "x.py", line 1, in <module>\n', "ValueError: x\n", "\r",
        "\x1b[31m", "\x1b]0;t\x07", "\x1b", _LOG, "During handling of the above exception, another exception occurred:\n",
        "INFO:     Started server process [1]\n", "\x85", "\x9b"), raw=True, size=2 * MIB, repeats=("a", "\r", "\ra", "\x1b", "\x1b[", "\x1b]", "\n",
        "Traceback (most recent call last):\n", "\0", "é", "INFO:     Started server process [1]\n", " ", "1", "[", "\x1b]0;")),
    Target("sensitive-name", _sensitive, ("DB_", "PASSWORD", "KEY", "TOKEN", "_", "URL", "*", "x", "${A}"), repeats=("_", "A_", "KEY")),
    Target("shell-join", lambda text: _commands(shlex.join([word for word in text.split("\n") if word] or ["x"])), (*BLANKS, *QUOTES, "a", "b c", "$x", ";",
        "#"), repeats=("a\n", ), returns=list[tuple[int, list[str], list[str]]]),
)  # fmt: skip
