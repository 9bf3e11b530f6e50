# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kind of change that puts a log file aside, so that its writers go on and nothing that was written is lost."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import tempfile
import time
from typing import Optional

from .._evidence.context import MIB, Context
from .changes import ChangeError, Means, Record, State
from .files import FileError, Place, words, write_all
from .model import Change

LOGROTATE, RENAME, COPY = "logrotate", "rename", "copy"
LOGROTATE_S = 120.0
# What is left free beside the copy of a log.
SPARE_BYTES = 64 * MIB
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Rotate:
    """``rotate``: ``options`` say how.

    ``by`` is ``logrotate`` (``content`` is then a configuration for this file alone), ``rename`` (its writers start anew right after),
    or ``copy`` (its writers append, and go on at the new end of the file). ``otherwise`` is the way when logrotate refuses.
    An older file is never overwritten: the log goes to a name with the time in it.
    """

    reversible = False
    atomic = True

    def before(self, change: Change, means: Means) -> State:
        try:
            with Place(change.path) as place:
                status = _status(place)
        except (OSError, FileError) as exc:
            raise ChangeError(f"{change.path} can't be rotated: {_why(exc)}.") from exc
        return {
            "type": "file",
            "size": status.st_size,
            "inode": status.st_ino,
            "mode": f"{stat.S_IMODE(status.st_mode):04o}",
            "uid": status.st_uid,
            "gid": status.st_gid,
            "by": str(change.options.get("by") or COPY),
        }

    def after(self, change: Change, before: State, means: Means) -> State:
        if before["by"] == LOGROTATE:
            return {"by": LOGROTATE, "size": 0}
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        return {"by": before["by"], "aside": f"{change.path}.{stamp}-{secrets.token_hex(2)}"}

    def apply(self, change: Change, record: Record, means: Means) -> None:
        by = str(record["after"]["by"])
        if by == LOGROTATE:
            problem = self._by_logrotate(change, record, means.ctx)
            if problem is None:
                return
            by = str(change.options.get("otherwise") or "")
            if not by:
                raise ChangeError(f"{change.path} was not rotated: {problem}.")
            aside = {**self.after(change, {**record["before"], "by": by}, means), "logrotate": problem}
            record["after"] = aside
        try:
            with Place(change.path) as place:
                aside_name = os.path.basename(str(record["after"]["aside"]))
                (_rename if by == RENAME else _copy)(place, aside_name)
        except (OSError, FileError) as exc:
            raise ChangeError(f"{change.path} was not rotated: {_why(exc)}.") from exc

    def _by_logrotate(self, change: Change, record: Record, ctx: Context) -> Optional[str]:
        """Run the system's logrotate for this one file; a clause that says why it did not work, None when it did.

        Its own state file is left alone: it belongs to the timer, and what is noted there would only defer the next regular turn.
        """
        folder = tempfile.mkdtemp(prefix="firstaid-logrotate-")
        try:
            config = os.path.join(folder, "conf")
            descriptor = os.open(config, _NEW, 0o600)
            try:
                write_all(descriptor, change.content or b"")
            finally:
                os.close(descriptor)
            argv = ["logrotate", "--force", "--state", os.path.join(folder, "state"), config]
            result = ctx.run(argv, timeout=LOGROTATE_S)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if result.error or not result.ok:
            lines = (result.error or result.stderr).strip().splitlines()
            return f"logrotate says: {lines[-1][:200]}" if lines else "logrotate failed without a word"
        try:
            status: Optional[os.stat_result] = os.stat(change.path, follow_symlinks=False)
        except OSError:
            status = None
        same = status is not None and status.st_ino == record["before"]["inode"]
        if same and status is not None and status.st_size >= int(record["before"]["size"]):
            return "logrotate left it as it was"
        return None

    def undo(self, record: Record, means: Means) -> None:
        """Nothing: what was written is in the file beside it."""

    def is_before(self, record: Record, means: Means) -> bool:
        aside = record.get("after", {}).get("aside")
        if aside:
            return not os.path.lexists(aside)
        try:
            return bool(os.stat(str(record["path"]), follow_symlinks=False).st_ino == record["before"]["inode"])
        except OSError:
            return False

    def is_after(self, record: Record, means: Means) -> bool:
        return not self.is_before(record, means)

    def diff(self, change: Change, before: State, means: Means) -> dict[str, str]:
        return {
            "before": f"{before['size']} bytes\n",
            "after": "0 bytes\n",
            "before_header": change.path,
            "after_header": f"{change.path} (rotated by {before['by']})",
        }


def _status(place: Place) -> os.stat_result:
    status = os.stat(place.name, dir_fd=place.folder, follow_symlinks=False)
    if not stat.S_ISREG(status.st_mode):
        raise FileError(f"{place.path} is no regular file")
    if status.st_nlink != 1:
        # A service user could have made it another name of a file that is not his.
        raise FileError(f"{place.path} has {status.st_nlink} names (hard links)")
    return status


def _rename(place: Place, aside: str) -> None:
    """Put the file under another name and an empty one of the same owner and mode in its place; there is always one."""
    status = _status(place)
    fresh = f".{aside}.new"
    descriptor = os.open(fresh, _NEW, 0o600, dir_fd=place.folder)
    try:
        _like(descriptor, status)
        # A link fails where a rename would overwrite.
        os.link(place.name, aside, src_dir_fd=place.folder, dst_dir_fd=place.folder, follow_symlinks=False)
        os.rename(fresh, place.name, src_dir_fd=place.folder, dst_dir_fd=place.folder)
    except OSError:
        os.unlink(fresh, dir_fd=place.folder)
        raise
    finally:
        os.close(descriptor)
    os.fsync(place.folder)


def _copy(place: Place, aside: str) -> None:
    """Copy the file, then cut it to nothing; its writers keep their handles."""
    _status(place)
    source = os.open(place.name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=place.folder)
    try:
        status = os.fstat(source)
        room = os.fstatvfs(source)
        if room.f_bavail * room.f_frsize < status.st_size + SPARE_BYTES:
            raise FileError(f"there is no room for a copy of {status.st_size // MIB} MiB")
        copy = os.open(aside, _NEW, 0o600, dir_fd=place.folder)
        try:
            _drain(source, copy)
            _like(copy, status)
            os.fsync(copy)
            # What was written meanwhile; between the last read and the cut are two system calls.
            _drain(source, copy)
            os.ftruncate(source, 0)
            os.fsync(copy)
        except OSError as exc:
            if exc.errno in (errno.ENOSPC, errno.EDQUOT):
                os.unlink(aside, dir_fd=place.folder)
            raise
        finally:
            os.close(copy)
    finally:
        os.close(source)
    os.fsync(place.folder)


def _drain(source: int, copy: int) -> None:
    while True:
        chunk = os.read(source, MIB)
        if not chunk:
            return
        write_all(copy, chunk)


def _like(descriptor: int, status: os.stat_result) -> None:
    made = os.fstat(descriptor)
    if (made.st_uid, made.st_gid) != (status.st_uid, status.st_gid):
        os.fchown(descriptor, status.st_uid, status.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(status.st_mode))


def _why(exc: Exception) -> str:
    return words(exc) if isinstance(exc, OSError) else str(exc)


ROTATE = Rotate()
