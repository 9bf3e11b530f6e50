# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose files a backend may be made to use, and which directories are its own."""

from __future__ import annotations

import os
import stat
from typing import Optional

from ..._evidence.env_file import group_name, user_name
from ..._evidence.model import Backend
from ..._evidence.requirements import project_directories
from ..files import FileError, follow

# Directories that hold the trees of many: having one of them in common makes no two paths relatives.
SHARED = frozenset(
    "/ /srv /opt /home /usr /usr/local /var /var/lib /var/www /etc /tmp /var/tmp /root /mnt /data /usr/share /usr/lib".split()
)
NOT_CODE = frozenset(
    "tests test build dist old backup backups bak node_modules site-packages dist-packages __pycache__ .git .tox .venv venv".split()
)


def objection(path: str, backend: Backend) -> Optional[str]:
    """Why a backend must not be led to a path: somebody else could change it. None when there is nothing against it."""
    real = os.path.realpath(path)
    try:
        status = os.stat(real)
    except OSError as exc:
        return f"{path} can't be looked at: {exc.strerror}"
    allowed = {0, backend.uid, *_owners(backend)}
    if status.st_uid not in allowed:
        return f"{path} belongs to {user_name(status.st_uid)}, who is neither root nor the backend's user"
    if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        return f"{path} can be written by everybody"
    if status.st_mode & stat.S_IWGRP and status.st_gid not in {0, backend.gid, *backend.groups, status.st_uid}:
        return f"{path} can be written by the group {group_name(status.st_gid)}"
    return None


def planted(path: str) -> Optional[str]:
    """Why a file is not what the backend's owner may lead us to, as a clause: a link into the files of somebody else."""
    try:
        follow(path)
    except FileError as exc:
        return str(exc)
    except OSError:
        return None
    return None


def _owners(backend: Backend) -> set[int]:
    """The owner of the code: who may change that may change what the backend runs anyway."""
    result = set()
    for path in (backend.app.code_dir, backend.app.script):
        try:
            if path and path not in SHARED:
                result.add(os.stat(path).st_uid)
        except OSError:
            continue
    return result


def own_directories(backend: Backend) -> list[str]:
    """The directories that hold this backend's code and what belongs to it."""
    return [item for item in project_directories(backend.app.code_dir, backend.cwd) if item not in SHARED]


def own(path: str, backend: Backend) -> bool:
    """Whether a path lies in the backend's own tree."""
    real = os.path.realpath(path)
    for directory in own_directories(backend):
        for top in (directory, os.path.realpath(directory)):
            if real == top or real.startswith(top.rstrip("/") + "/"):
                return True
    return False


def relatives(first: str, second: str) -> bool:
    """Whether two paths lie in one project: what they have in common is more than a directory of many projects."""
    common = os.path.commonpath([os.path.normpath(first), os.path.normpath(second)])
    return common not in SHARED
