# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which installer serves an environment, and how it is run: as the environment's owner, bounded, without a shell."""

from __future__ import annotations

import glob
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Optional

from .._evidence.context import SEARCH_PATH, CommandResult, Context
from .._evidence.interpreter import as_user
from .._evidence.model import Backend
from .._evidence.numerals import whole
from .._evidence.packages_installed import scan
from .._evidence.requirements_versions import parse_requirement
from .changes import ChangeError

DEFAULT_TIMEOUT_S = 300.0
MAX_REPORT_BYTES = 64 * 1024 * 1024
REPORTS_SINCE = (22, 2)
OTHER_PYTHON_SINCE = (22, 3)
_RUN_WHEELS = (
    "import glob,runpy,sys;sys.path[:0]=sorted(glob.glob('{directory}/*.whl'));sys.argv[0]='pip';"
    "runpy.run_module('pip',run_name='__main__',alter_sys=True)"
)
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")


@dataclass(frozen=True)
class Environment:
    """One Python environment. ``uid`` and ``gid`` own its site-packages; ``environ`` is what installers may know of the host."""

    python: str
    prefix: str
    sites: tuple[str, ...]
    version: str
    kind: str
    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/nonexistent"
    base: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Tool:
    """An installer as it is called for one environment. ``place`` is a clause for the reader."""

    name: str
    words: tuple[str, ...]
    version: tuple[int, ...]
    place: str

    @property
    def reports(self) -> bool:
        """Whether it can tell beforehand, as JSON, what it would install."""
        return self.name == "pip" and self.version >= REPORTS_SINCE


@dataclass(frozen=True)
class Calls:
    """How an installer spells what is needed of it. ``{python}`` in a word is the environment's interpreter."""

    install: tuple[str, ...]
    check: tuple[str, ...]
    index: tuple[str, ...]


# What an installer is told beside the common words -r, -c, --no-deps, --require-hashes, --no-index and --find-links.
CALLS: dict[str, Calls] = {
    "pip": Calls(
        ("install", "--no-cache-dir", "--no-input", "--disable-pip-version-check", "--no-warn-script-location"),
        ("check", "--disable-pip-version-check"),
        ("PIP_INDEX_URL",),
    ),
    "uv": Calls(
        ("pip", "install", "--no-cache", "--no-progress", "--link-mode", "copy", "--python", "{python}"),
        ("pip", "check", "--no-cache", "--python", "{python}"),
        ("UV_DEFAULT_INDEX", "UV_INDEX_URL"),
    ),
}


def find_tool(environment: Environment, ctx: Context) -> Tool:
    """The installer for an environment: its own pip, else uv, else the pip that comes with its Python, else another's.

    :raises ChangeError: there is none.
    """
    for finder in (_own_pip, _uv, _bundled_pip, _other_pip):
        found = finder(environment, ctx)
        if found:
            return found
    raise ChangeError(
        f"{environment.prefix} has no pip, and neither uv nor another pip that could serve it was found: install uv, or python3-pip 22.3 or newer."
    )


def _own_pip(environment: Environment, ctx: Context) -> Optional[Tool]:
    for item in scan(environment.sites, ctx).distributions:
        if item.key == "pip" and os.path.isfile(os.path.join(item.location, "pip", "__main__.py")):
            # Isolated: neither the working directory nor PYTHONPATH may put another pip in front.
            words = (environment.python, "-I", "-m", "pip")
            return Tool("pip", words, version_of(item.version), "the environment's own pip")
    return None


def _uv(environment: Environment, ctx: Context) -> Optional[Tool]:
    places = [os.path.join(environment.prefix, "bin"), *SEARCH_PATH.split(":")]
    places += [os.path.join(environment.home, inner) for inner in (".local/bin", ".cargo/bin")]
    program = shutil.which("uv", path=":".join(places))
    if not program or run(environment, [program, "--version"], ctx, 10).exit_status != 0:
        return None
    return Tool("uv", (program,), (), f"uv ({program})")


def _bundled_pip(environment: Environment, ctx: Context) -> Optional[Tool]:
    short = ".".join(environment.version.split(".")[:2])
    patterns = (
        f"{environment.base}/lib/python{short}/ensurepip/_bundled/pip-*.whl",
        "/usr/share/python-wheels/pip-*.whl",
    )
    for pattern in patterns:
        for path in sorted(glob.glob(pattern), reverse=True):
            # A wheel is an archive that Python can run from, so nothing of it gets into the environment. Older Debians have pip's
            # own requirements beside it.
            words = (environment.python, "-I", "-c", _RUN_WHEELS.format(directory=os.path.dirname(path)))
            if run(environment, [*words, "--version"], ctx, 15).ok:
                return Tool("pip", words, version_of(os.path.basename(path).split("-")[1]), f"the pip in {path}")
    return None


def _other_pip(environment: Environment, ctx: Context) -> Optional[Tool]:
    for python in ("/usr/bin/python3", "/usr/local/bin/python3"):
        if not os.path.exists(python):
            continue
        answer = run(environment, [python, "-I", "-m", "pip", "--version"], ctx, 15)
        match = re.match(r"pip (\S+) ", answer.stdout)
        if answer.ok and match and version_of(match.group(1)) >= OTHER_PYTHON_SINCE:
            words = (python, "-I", "-m", "pip", "--python", environment.python)
            return Tool("pip", words, version_of(match.group(1)), f"the pip of {python}")
    return None


def version_of(text: str) -> tuple[int, ...]:
    """The leading numbers of a version."""
    match = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(whole(part) or 0 for part in match.group().split(".")) if match else ()


def why_not_as_root(environment: Environment, ctx: Context) -> Optional[str]:
    """A sentence when root would have to run what others may write, None when it need not or may."""
    if environment.uid != 0 or ctx.euid != 0:
        return None
    for path in (environment.python, environment.prefix):
        if as_user(Backend("", ""), ctx, path)[0] is None:
            return f"{path} can be written by others than root, so root must not run its installer"
    return None


def run(
    environment: Environment,
    argv: Sequence[str],
    ctx: Context,
    timeout: float,
    extra: Optional[Mapping[str, str]] = None,
) -> CommandResult:
    """Run a command as the environment's owner, with the host's proxies and index settings. It ends when this process does.

    :param timeout: seconds; not bounded by the context's own budget, which is made for reading.
    :raises ChangeError: this process may not act as the owner.
    """
    bounded = Context(ctx.params, time.monotonic() + timeout, ctx.secrets, ctx.euid)
    environ = {**environment.environ, "HOME": environment.home, "PYTHONNOUSERSITE": "1", "PIP_USER": "0"}
    environ.update({"PIP_ROOT_USER_ACTION": "ignore", "PIP_PROGRESS_BAR": "off", "NO_COLOR": "1", **(extra or {})})
    # A hardened umask of the session would make packages that the backend's user can't read.
    former = os.umask(0o022)
    begun = time.monotonic()
    try:
        return bounded.run([*_as_owner(environment, ctx), *argv], timeout, env=environ)
    finally:
        os.umask(former)
        # What the installer took isn't taken from the budget of those who read.
        ctx.deadline += time.monotonic() - begun


def _as_owner(environment: Environment, ctx: Context) -> list[str]:
    tool = shutil.which("setpriv", path=SEARCH_PATH)
    # An installer that outlived a killed run would write while the next run takes it back.
    dies = ["--pdeathsig", "KILL"] if tool and _knows_death_signal(tool) else []
    if environment.uid == ctx.euid:
        return [str(tool), *dies, "--"] if dies else []
    if ctx.euid != 0:
        raise ChangeError(f"{environment.prefix} belongs to uid {environment.uid}: run this with become.")
    if not tool:
        raise ChangeError(f"setpriv (util-linux) is missing: it is needed to install as uid {environment.uid}.")
    groups = (
        ["--groups", ",".join(str(item) for item in environment.groups)] if environment.groups else ["--clear-groups"]
    )
    identity = ["--reuid", str(environment.uid), "--regid", str(environment.gid), *groups]
    return [tool, *identity, "--no-new-privs", *dies, "--", "/usr/bin/env"]


@lru_cache(maxsize=2)
def _knows_death_signal(tool: str) -> bool:
    return "--pdeathsig" in Context({}, time.monotonic() + 5).run([tool, "--help"]).stdout


@contextmanager
def request_files(environment: Environment, contents: Mapping[str, Sequence[str]]) -> Iterator[dict[str, str]]:
    """Files of lines that only the environment's owner can read, in a directory that only this process can write."""
    directory = tempfile.mkdtemp(prefix="firstaid-packages-")
    try:
        os.chmod(directory, 0o711)
        paths = {}
        for name, lines in contents.items():
            paths[name] = os.path.join(directory, name)
            handle = os.open(paths[name], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write("\n".join(lines) + "\n")
                if os.geteuid() == 0:
                    os.fchown(handle, environment.uid, environment.gid)
        yield paths
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def install(
    environment: Environment, tool: Tool, lines: Sequence[str], sources: Mapping[str, Any], ctx: Context, *words: str
) -> CommandResult:
    """Install these requirement lines. ``sources``: wheel_dir, index_url, lines, constraints, timeout."""
    return _install(environment, tool, lines, sources, ctx, words, None)


def resolve(
    environment: Environment, tool: Tool, lines: Sequence[str], sources: Mapping[str, Any], ctx: Context
) -> tuple[CommandResult, str]:
    """What the installer would do for these lines, and its report. Nothing is installed."""
    report: list[str] = []
    return _install(environment, tool, lines, sources, ctx, ("--dry-run",), report), "".join(report)


def _install(
    environment: Environment,
    tool: Tool,
    lines: Sequence[str],
    sources: Mapping[str, Any],
    ctx: Context,
    words: Sequence[str],
    report: Optional[list[str]],
) -> CommandResult:
    calls = CALLS[tool.name]
    wheel_dir, index_url = sources.get("wheel_dir"), sources.get("index_url")
    # The project's own index lines hold unless the caller knows better.
    head = [] if wheel_dir or index_url else list(sources.get("lines") or [])
    contents: dict[str, Sequence[str]] = {"requirements.txt": [*head, *lines]}
    limits = [] if "--no-deps" in words else _others(sources.get("constraints") or [], lines)
    if limits:
        contents["constraints.txt"] = limits
    if report is not None:
        contents["report.json"] = []
    argv = [*tool.words, *(word.replace("{python}", environment.python) for word in calls.install), *words]
    argv += ["--no-index", "--find-links", str(wheel_dir)] if wheel_dir else []
    extra = {name: str(index_url) for name in calls.index} if index_url and not wheel_dir else {}
    with request_files(environment, contents) as paths:
        argv += ["-r", paths["requirements.txt"]]
        argv += ["-c", paths["constraints.txt"]] if limits else []
        argv += ["--report", paths["report.json"]] if report is not None else []
        result = run(environment, argv, ctx, float(sources.get("timeout") or DEFAULT_TIMEOUT_S), extra)
        if report is not None:
            text = ctx.read(paths["report.json"], MAX_REPORT_BYTES)
            report.append("" if text.truncated else text.text)
        return result


def _others(constraints: Sequence[str], lines: Sequence[str]) -> list[str]:
    """Constraints without those that a line repeats: pip would call a version that isn't there a conflict of the two."""
    named = {item.name for item in map(parse_requirement, lines) if item and (item.specifier or item.url)}
    parsed = [(text, parse_requirement(text)) for text in constraints]
    return [text for text, item in parsed if item is None or item.name not in named]


def check(environment: Environment, tool: Tool, ctx: Context) -> list[str]:
    """The complaints of ``pip check``, sorted; empty when there are none."""
    words = [word.replace("{python}", environment.python) for word in CALLS[tool.name].check]
    answer = run(environment, [*tool.words, *words], ctx, 60)
    if answer.exit_status == 0:
        return []
    lines = (answer.stdout + "\n" + answer.stderr).splitlines()
    wanted = re.compile(r" requires | has requirement |not supported|incompatible")
    return sorted({line.strip() for line in lines if wanted.search(line)})


def last_lines(result: CommandResult, count: int = 6) -> str:
    """What an installer said at its end, and what it calls the reason of a conflict, without credentials, as one line."""
    reason = re.search(r"The conflict is caused by:\n((?:    .+\n)+)", result.stdout)
    caused = [f"the conflict: {'; '.join(reason.group(1).split(chr(10))[:6])}"] if reason else []
    lines = [line.strip() for line in (result.stderr or result.stdout).splitlines() if line.strip()]
    wanted = [
        line for line in lines if not line.startswith(("WARNING: Retrying", "[notice]", "WARNING: You are using"))
    ]
    said = re.sub(r"\s+", " ", " | ".join([*caused, *wanted[-count:]]))[:1200]
    return _CREDENTIALS.sub("***@", said) or result.error or f"status {result.exit_status}"


def failure(result: CommandResult, tool: Tool) -> str:
    """The sentence for an installer that did not do what it was asked."""
    if result.timed_out:
        return f"{tool.name} {result.error or 'ran too long'}; raise dependencies_timeout, or give a wheel directory: {last_lines(result, 3)}"
    return f"{tool.name} failed with status {result.exit_status}: {last_lines(result)}"
