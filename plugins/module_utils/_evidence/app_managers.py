# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wrappers that choose an environment: poetry, uv, pipenv, pdm, hatch, rye and the condas."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Optional

from .app_program import Launch, after_options, find_program, note_step, option_values
from .context import Context

# Wrappers that choose an environment: directory names under which it is looked for come from ``environment_of``.
ENVIRONMENT_MANAGERS: dict[str, str] = {
    "poetry": "-C --directory -P --project",
    "uv": "--python -p --project --directory --env-file --with --extra --group --package --with-requirements --index-url -w",
    "pipenv": "--python",
    "pdm": "-p --project",
    "hatch": "-e --env -p --project",
    "rye": "--pyproject",
    "conda": "-n --name -p --prefix --cwd",
    "mamba": "-n --name -p --prefix --cwd",
    "micromamba": "-n --name -p --prefix --cwd -r --root-prefix",
    "pyenv": "",
}


def manager(launch: Launch, _ctx: Context) -> None:
    """``poetry run``, ``uv run``, ``conda run`` …: find the environment that they choose."""
    name = launch.name
    note_step(launch, "command", launch.argv[0])
    words = launch.argv[1:]
    options = ENVIRONMENT_MANAGERS[name]
    values = option_values(words, options.split())
    directory = next((values[key] for key in ("--directory", "-C", "--project", "--cwd") if key in values), None)
    if directory and name != "conda":
        launch.cwd = launch.absolute(directory)
    if "--env-file" in values:
        launch.env_files.append((launch.absolute(values["--env-file"]), f"{name} --env-file"))
    launch.environment_dir = environment_of(name, values, launch) or launch.environment_dir
    rest = after_options(words, options, 0)
    if rest[:1] in (["run"], ["exec"]):
        rest = after_options(rest[1:], options, 0)
    if words and "-m" in words and name == "uv" and "run" in words[: words.index("-m")]:
        rest = ["python", *words[words.index("-m") :]]
    if name == "uv" and rest[:1] and rest[0].endswith(".py"):
        rest = ["python", *rest]
    launch.argv = rest


def environment_of(manager: str, values: Mapping[str, str], launch: Launch) -> Optional[str]:
    """The environment directory that a manager would use; None when none is found where they keep them."""
    home = launch.environ.get("HOME", "/root")
    if "-p" in values and manager in ("conda", "mamba", "micromamba"):
        return launch.absolute(values["-p"])
    name = values.get("-n") or values.get("--name")
    if manager in ("conda", "mamba", "micromamba"):
        roots = [
            launch.environ.get("MAMBA_ROOT_PREFIX", ""),
            os.path.dirname(os.path.dirname(find_program(launch.argv[0], launch) or "")),
        ]
        roots += [f"{home}/miniconda3", f"{home}/anaconda3", f"{home}/miniforge3", "/opt/conda", "/opt/miniconda3"]
        wanted = [os.path.join(root, "envs", name) if name and name != "base" else root for root in roots if root]
        return next((path for path in wanted if os.path.isdir(path)), wanted[0] if wanted else None)
    named = launch.environ.get("UV_PROJECT_ENVIRONMENT") or launch.environ.get("VIRTUAL_ENV")
    if named:
        return launch.absolute(named)
    directory = launch.cwd or "/"
    while True:
        candidate = os.path.join(directory, ".venv")
        if os.path.isdir(candidate):
            return candidate
        if directory in ("/", ""):
            break
        directory = os.path.dirname(directory)
    return _cached_environment(manager, home, launch)


def _cached_environment(manager: str, home: str, launch: Launch) -> Optional[str]:
    """Environments that poetry and pipenv keep under the home directory; their names begin with the project's."""
    directory = {"poetry": f"{home}/.cache/pypoetry/virtualenvs", "pipenv": f"{home}/.local/share/virtualenvs"}.get(
        manager
    )
    project = os.path.basename(launch.cwd or "").lower().replace("_", "-")
    if not directory or not project:
        return None
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return None
    return next(
        (os.path.join(directory, name) for name in names if name.lower().replace("_", "-").startswith(project + "-")),
        None,
    )
