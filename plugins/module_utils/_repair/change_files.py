# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds ``file``, ``link`` and ``attributes``. Each replaces in one step, so a killed run leaves the former or the new, nothing between."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

from . import files
from .change_words import article, attribute_lines, heading, shown, target_line
from .changes import ChangeError, Means, Record, State
from .files import FileError, Look, Place
from .model import Change

NEW_FILE_MODE = 0o644
NEW_SECRET_MODE = 0o600


class _OnDisk:
    """What the three have in common: how a path is looked at, compared and put back."""

    reversible = True
    atomic = True
    compared: tuple[str, ...] = ("type", "sha256", "mode", "uid", "gid", "target")

    def is_before(self, record: Record, means: Means) -> bool:
        """Whether the path is as it was, in all that is compared."""
        return self._same(record["path"], record["before"])

    def is_after(self, record: Record, means: Means) -> bool:
        """Whether the path is as the change left it."""
        return self._same(record["path"], record["after"])

    def undo(self, record: Record, means: Means) -> None:
        """Put the former file, link or absence back, and take away what the change made for it."""
        path, before = str(record["path"]), record["before"]
        with _told(path):
            made = before.get("made_directories") or []
            try:
                with Place(path) as place:
                    place.remove_temporary(str(before["temporary"]))
                    if not self._matches(place.look(content=True), before):
                        self._put_back(place, before, means)
            except FileNotFoundError as exc:
                # Its directory was to be made, and was not, or is gone again.
                if not made:
                    raise ChangeError(
                        f"{path} can't be put back: its directory is gone; make it and roll back again"
                    ) from exc
            for folder in reversed(made):
                files.remove_empty_directory(folder)

    def _put_back(self, place: Place, before: State, means: Means) -> None:
        now = place.look()
        if now.type in ("directory", "other"):
            raise ChangeError(f"{place.path} is {article(now.type)} now and was not before: it is left alone")
        if before["type"] == "none":
            if now.exists:
                place.remove()
        elif before["type"] == "link":
            place.put_link(str(before["temporary"]), str(before["target"]), before.get("uid"), before.get("gid"))
        else:
            place.put_file(str(before["temporary"]), means.keep.read(str(before["backup"])), _wanted(before))

    def _same(self, path: str, state: State) -> bool:
        try:
            with Place(path) as place:
                return self._matches(place.look(content=True), state)
        except FileNotFoundError:
            return bool(state["type"] == "none")
        except (FileError, OSError):
            return False

    def _matches(self, found: Look, state: State) -> bool:
        now = found.as_state()
        return all(now.get(name) == state.get(name) for name in self.compared)


class FileKind(_OnDisk):
    """A regular file with new content, or none."""

    def before(self, change: Change, means: Means) -> State:
        """What is there, with its content kept."""
        if change.content is not None and len(change.content) > files.MAX_CONTENT:
            raise ChangeError(f"the new content of {change.path} is larger than {files.MAX_CONTENT // files.MIB} MiB")
        return _look_before(change, means, ("file", "none"), "it is replaced only when it is a regular file")

    def after(self, change: Change, before: State, means: Means) -> State:
        """Type, hash and attributes that the file will have."""
        if change.content is None:
            return {"exists": False, "type": "none"}
        new = NEW_SECRET_MODE if change.secret else NEW_FILE_MODE
        return {
            "exists": True,
            "type": "file",
            "size": len(change.content),
            "sha256": hashlib.sha256(change.content).hexdigest(),
            "mode": f"{change.mode:04o}" if change.mode is not None else before.get("mode", f"{new:04o}"),
            **_owner(change, before),
        }

    def apply(self, change: Change, record: Record, means: Means) -> None:
        """Write beside it, sync, rename, sync."""
        with _told(change.path):
            _make_directories(record)
            with Place(change.path) as place:
                self._still(place, record)
                if change.content is None:
                    if record["before"]["exists"]:
                        place.remove()
                    return
                wanted = _wanted(record["after"])
                wanted.xattrs = dict(record["before"].get("xattrs") or {})
                if change.mode is not None:
                    # An access list would bring back the mode that is to go.
                    wanted.xattrs.pop("system.posix_acl_access", None)
                place.put_file(str(record["before"]["temporary"]), change.content, wanted)

    def diff(self, change: Change, before: State, means: Means) -> dict[str, str]:
        """Both contents, unless it is secret or no text."""
        former = b""
        if before["type"] == "file":
            with _told(change.path), Place(change.path) as place:
                former = place.look(content=True).content
        after = self.after(change, before, means)
        return {
            "before_header": change.path,
            "after_header": change.path,
            "before": heading(before, after) + shown(former if before["exists"] else None, change.secret and "former"),
            "after": heading(after, before) + shown(change.content, change.secret and "new"),
        }

    def _still(self, place: Place, record: Record) -> None:
        if not self._matches(place.look(content=True), record["before"]):
            raise ChangeError(f"{place.path} was changed by somebody else just now: nothing was done to it; run again")


class LinkKind(FileKind):
    """A symbolic link with a new target, or none."""

    def before(self, change: Change, means: Means) -> State:
        """What is there; a file in its place is kept."""
        if change.target is not None and (not change.target or "\0" in change.target):
            raise ChangeError(f"the new target of {change.path} is empty or holds a NUL byte")
        allowed = ("link", "none", "file") if change.replaces_file else ("link", "none")
        return _look_before(change, means, allowed, "only a symbolic link is replaced or removed here")

    def after(self, change: Change, before: State, means: Means) -> State:
        """Target and owner that the link will have."""
        if change.target is None:
            return {"exists": False, "type": "none"}
        former = (
            before
            if before["type"] == "link"
            else {**before, "uid": before.get("folder_uid"), "gid": before.get("folder_gid")}
        )
        return {
            "exists": True,
            "type": "link",
            "size": len(os.fsencode(change.target)),
            # The kernel gives every link this mode, and it means nothing.
            "mode": "0777",
            "target": change.target,
            **_owner(change, former),
        }

    def apply(self, change: Change, record: Record, means: Means) -> None:
        """Make the link beside it, rename, sync."""
        with _told(change.path):
            _make_directories(record)
            with Place(change.path) as place:
                self._still(place, record)
                after = record["after"]
                if change.target is not None:
                    place.put_link(
                        str(record["before"]["temporary"]), change.target, after.get("uid"), after.get("gid")
                    )
                elif record["before"]["exists"]:
                    place.remove()

    def diff(self, change: Change, before: State, means: Means) -> dict[str, str]:
        """Both targets."""
        after = self.after(change, before, means)
        return {
            "before_header": change.path,
            "after_header": change.path,
            "before": target_line(before),
            "after": target_line(after),
        }


class AttributesKind(_OnDisk):
    """Owner and mode of anything but a link. Two steps, so a killed run may leave one of them done."""

    atomic = False
    compared = ("type", "mode", "uid", "gid")

    def before(self, change: Change, means: Means) -> State:
        """The present attributes."""
        with _told(change.path):
            try:
                with Place(change.path) as place:
                    found = place.look()
            except FileNotFoundError:
                found = Look()
        if not found.exists:
            raise ChangeError(f"{change.path} does not exist, so its owner and mode can't be changed")
        if found.type == "link":
            raise ChangeError(f"{change.path} is a symbolic link: name what it points to")
        if found.type == "file" and found.links > 1:
            raise ChangeError(
                f"{change.path} has {found.links} names (hard links): its owner and mode would change under all of them; "
                "give it a copy of its own first"
            )
        return found.as_state()

    def after(self, change: Change, before: State, means: Means) -> State:
        """The attributes that it will have."""
        wanted = f"{change.mode:04o}" if change.mode is not None else before["mode"]
        return {"exists": True, "type": before["type"], "mode": wanted, **_owner(change, before)}

    def apply(self, change: Change, record: Record, means: Means) -> None:
        """Owner first, because that clears bits of the mode."""
        _set_attributes(change.path, record["before"]["type"], record["after"])

    def undo(self, record: Record, means: Means) -> None:
        """The former owner and mode."""
        _set_attributes(str(record["path"]), record["before"]["type"], record["before"])

    def diff(self, change: Change, before: State, means: Means) -> dict[str, str]:
        """Owner, group and mode, a line each."""
        return {
            "before_header": change.path,
            "after_header": change.path,
            "before": attribute_lines(before),
            "after": attribute_lines(self.after(change, before, means)),
        }


def _look_before(change: Change, means: Means, allowed: tuple[str, ...], rule: str) -> State:
    with _told(change.path):
        absent = files.absent_directories(change.path)
        found, folder = Look(), None
        if not absent:
            with Place(change.path) as place:
                found = place.look(content="file" in allowed)
                folder = os.fstat(place.folder)
        else:
            above = files.open_directory(os.path.dirname(absent[0]))
            folder = os.fstat(above)
            os.close(above)
    if found.type not in allowed:
        raise ChangeError(f"{change.path} is {article(found.type, found.target)}: {rule}; it was left alone")
    if found.type == "file" and found.links > 1:
        raise ChangeError(f"{change.path} has {found.links} names (hard links): give it a copy of its own first")
    state = found.as_state()
    state["temporary"] = files.temporary_name()
    state["folder_uid"], state["folder_gid"] = folder.st_uid, folder.st_gid
    if absent and (change.content is not None or change.target is not None):
        state["made_directories"] = absent
    if found.type == "file":
        state["backup"] = means.keep.write(found.content)
    return state


def _make_directories(record: Record) -> None:
    for folder in record["before"].get("made_directories") or []:
        files.make_directory(folder)


def _owner(change: Change, before: State) -> dict[str, int]:
    """The owner that something new gets: as told, as before, or as its directory; only root can choose."""
    uid = change.uid if change.uid is not None else before.get("uid", before.get("folder_uid"))
    gid = change.gid if change.gid is not None else before.get("gid", before.get("folder_gid"))
    if uid is None or gid is None:
        uid, gid = before["folder_uid"], before["folder_gid"]
    euid = os.geteuid()
    if euid != 0 and uid != euid:
        raise ChangeError(f"{change.path} would belong to user {uid}, which only root can do: run it with become")
    return {"uid": uid, "gid": gid}


def _wanted(state: State) -> Look:
    return Look(
        type=str(state["type"]),
        mode=int(str(state["mode"]), 8),
        uid=state.get("uid"),
        gid=state.get("gid"),
        mtime_ns=state.get("mtime_ns"),
        xattrs=dict(state.get("xattrs") or {}),
    )


def _set_attributes(path: str, kind: str, state: State) -> None:
    with _told(path), Place(path) as place:
        # O_PATH neither opens devices nor blocks on a FIFO; what it holds is reached by its number.
        descriptor = os.open(place.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.folder)
        try:
            status = os.fstat(descriptor)
            if files.TYPES.get(status.st_mode & 0o170000, "other") != kind or (kind == "file" and status.st_nlink > 1):
                raise ChangeError(f"{path} is not what it was a moment ago: it was left alone; run again")
            itself = f"/proc/self/fd/{descriptor}"
            if (status.st_uid, status.st_gid) != (state["uid"], state["gid"]):
                os.chown(itself, state["uid"], state["gid"])
            os.chmod(itself, int(str(state["mode"]), 8))
            os.fsync(place.folder)
        finally:
            os.close(descriptor)


@contextmanager
def _told(path: str) -> Iterator[None]:
    """Errors of the system as sentences."""
    try:
        yield
    except FileError as exc:
        raise ChangeError(f"{exc}.") from exc
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise ChangeError(f"{path} can't be changed: {files.words(exc)}.") from exc


FILE = FileKind()
LINK = LinkKind()
ATTRIBUTES = AttributesKind()
