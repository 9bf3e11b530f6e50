# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file tree of the sandbox: the host's tree, read-only, with private overlays where a backend writes.

A backend that opens its log file while it is imported must get as far as it would on the host, and leave nothing
there. So directories in which it may write are covered by overlays whose upper layer is memory of the sandbox.
Runs in the launcher, inside namespaces of its own; nothing of it is seen by the host.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from typing import Optional

from . import sandbox_kernel as kernel

STAGE = "/tmp"  # exists on every host; the staging file system is seen in the sandbox's namespace alone
STAGE_OPTIONS = "size=128m,nr_inodes=65536,mode=0755"
MAX_SUBMOUNTS = 64
MAX_PLACES = 48
LOCAL_TYPES = ("ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "bcachefs", "jfs", "reiserfs", "tmpfs")
# File systems whose server may be gone: looking at them can block for ever.
REMOTE_TYPES = ("nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs", "autofs", "afs", "lustre", "beegfs")
SPECIAL = ("/proc", "/sys", "/dev", "/boot")
# Mounts of other containers and pods: many, and never a backend's own.
FOREIGN = ("/var/lib/docker", "/var/lib/containers", "/var/lib/kubelet", "/run/docker", "/run/netns", "/snap")
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


@dataclass(frozen=True)
class Mount:
    """One line of ``mountinfo``; ``flags`` are the per-mount MS_ flags, ``read_only`` counts the superblock too."""

    path: str
    fstype: str
    flags: int
    read_only: bool


_FLAGS = {
    "ro": kernel.MS_RDONLY,
    "nosuid": kernel.MS_NOSUID,
    "nodev": kernel.MS_NODEV,
    "noexec": kernel.MS_NOEXEC,
    "noatime": kernel.MS_NOATIME,
    "nodiratime": kernel.MS_NODIRATIME,
    "relatime": kernel.MS_RELATIME,
}


def parse_mountinfo(text: str) -> list[Mount]:
    """Mounts in the order of the kernel, the later of two at one path being the visible one."""
    mounts = []
    for line in text.splitlines():
        left, separator, right = line.partition(" - ")
        fields, more = left.split(), right.split()
        if not separator or len(fields) < 6 or len(more) < 3:
            continue
        path = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), fields[4])
        options = fields[5].split(",")
        flags = sum(_FLAGS.get(option, 0) for option in set(options))
        mounts.append(Mount(path, more[0], flags, "ro" in options or "ro" in more[2].split(",")))
    return mounts


def below(path: str, parent: str) -> bool:
    """Whether ``path`` is ``parent`` or lies in it."""
    return path == parent or path.startswith(parent.rstrip("/") + "/")


def mount_of(path: str, mounts: list[Mount]) -> Mount:
    """The mount that ``path`` lies on; the mounts must hold the root."""
    best = None
    for mount in mounts:
        if below(path, mount.path) and (best is None or len(mount.path) >= len(best.path)):
            best = mount
    if best is None:
        raise ValueError("the mount table has no root")
    return best


def writable_places(wanted: list[str], top_level: list[str], mounts: list[Mount], whole: bool) -> list[str]:
    """The directories to cover with overlays, parents first, none inside another one on the same mount.

    ``wanted`` are the backend's own directories; everything at the top is added, the distribution's directories too,
    because a write that the host would deny must be denied for the same reason. ``whole`` adds other mounts; without
    it (a user namespace can't cover a directory that holds mounts) the likely places are added one by one.
    """
    chosen = {path for path in [*wanted, *top_level] if path.startswith("/") and path != "/"}
    if not whole:
        chosen |= {"/tmp", "/var/tmp", "/var/log", "/var/lib", "/var/cache"}
    else:
        chosen |= {mount.path for mount in mounts if mount.path != "/" and mount.fstype in LOCAL_TYPES}
    places: list[str] = []
    for path in sorted(chosen):
        own = mount_of(path, mounts)
        if any(below(path, other) for other in SPECIAL + FOREIGN) or len(places) >= MAX_PLACES:
            continue
        if own.read_only or own.fstype in REMOTE_TYPES:
            continue
        inside = any(below(path, place) and mount_of(place, mounts) == own for place in places)
        # Without the right to any owner's number, an overlay can't copy a directory of another owner, so that a
        # backend's own directory needs its own overlay, inside of others too.
        if not inside if whole else not _holds(path, mounts):
            places.append(path)
    return places


def _holds(path: str, mounts: list[Mount]) -> bool:
    """Whether something is mounted inside a directory."""
    return any(below(mount.path, path) and mount.path != path for mount in mounts)


@dataclass
class TreeReport:
    """What the tree could do: directories with private writes, and what stayed weaker than wished, as phrases."""

    covered: list[str]
    uncovered: list[str]
    weaker: list[str]


def build(wanted: list[str], needed: list[str], whole: bool, empty_tmp: bool) -> TreeReport:
    """Make the tree and enter it. Raises ``OSError`` when it would not be read-only: then nothing may run in it.

    ``needed`` are paths that must stay visible even on a remote file system. ``empty_tmp`` hides what is in /tmp, as
    the unit's ``PrivateTmp=`` does.
    """
    kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as stream:
        mounts = parse_mountinfo(stream.read())
    report = TreeReport([], [], [])
    kernel.mount("tmpfs", STAGE, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, STAGE_OPTIONS)
    root = STAGE + "/root"
    os.mkdir(root, 0o755)
    kernel.mount("/", root, None, kernel.MS_BIND | kernel.MS_REC)
    kernel.detach(root + STAGE)  # the copy of the staging file system; the host's own directory shows again
    _drop_remote(root, mounts, needed)
    covers = _covers(root, mounts, wanted, whole)
    _make_read_only(root, mounts)
    _cover_all(root, covers, empty_tmp, report)
    _private_dev(root, report)
    _fresh_proc(root, report)
    kernel.enter_root(root)
    return report


def _drop_remote(root: str, mounts: list[Mount], needed: list[str]) -> None:
    for mount in mounts:
        if mount.fstype in REMOTE_TYPES and not any(below(path, mount.path) for path in needed):
            try:
                kernel.detach(root + mount.path)
            except OSError:
                pass  # a locked mount of a user namespace stays; it is made read-only below like all others


def _make_read_only(root: str, mounts: list[Mount]) -> None:
    try:
        kernel.read_only_recursively(root)
        return
    except OSError as exc:
        if exc.errno not in (kernel.ENOSYS, 1, 22):
            raise
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as stream:
        current = parse_mountinfo(stream.read())
    for mount in current:
        if not below(mount.path, root) or mount.flags & kernel.MS_RDONLY:
            continue
        flags = mount.flags | kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY
        try:
            kernel.mount(None, mount.path, None, flags)
        except OSError:
            # What can't be made read-only must not be there; the root itself has to be read-only.
            if mount.path == root:
                raise
            kernel.detach(mount.path)


def _top_level() -> list[str]:
    with os.scandir("/") as entries:
        return ["/" + entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]


@dataclass
class Cover:
    """A directory to cover: its state, the mounts inside, and what it grants us where its owner can't be kept."""

    place: str
    status: os.stat_result
    own: Mount
    inner: list[str]
    rights: Optional[int]
    lower: int


def _covers(root: str, mounts: list[Mount], wanted: list[str], whole: bool) -> list[Cover]:
    """Look at all places while the copy of the tree is still writable: later every right to write is gone."""
    found = []
    for place in writable_places(wanted, _top_level(), mounts, whole):
        # Below STAGE the host's directories are hidden from us, but not in the copy.
        target = root + place
        try:
            status = os.lstat(target)
        except OSError:
            continue
        if stat.S_ISDIR(status.st_mode):
            inner = {mount.path for mount in mounts if below(mount.path, place) and mount.path != place}
            shown = sorted(path for path in inner if not any(below(path, other) for other in FOREIGN))
            rights = sum(bit for bit in (os.R_OK, os.W_OK, os.X_OK) if os.access(target, bit))
            lower = os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            found.append(Cover(place, status, mount_of(place, mounts), shown, None if whole else rights, lower))
    return found


def _cover_all(root: str, covers: list[Cover], empty_tmp: bool, report: TreeReport) -> None:
    for number, cover in enumerate(covers):
        try:
            if empty_tmp and cover.place in ("/tmp", "/var/tmp"):
                _private_directory(root + cover.place)
            else:
                _cover(root, number, cover)
            report.covered.append(cover.place)
        except OSError as exc:
            report.uncovered.append(f"{cover.place} ({exc.strerror})")


def _cover(root: str, number: int, cover: Cover) -> None:
    """Put an overlay on a place and show again what is mounted inside of it."""
    if len(cover.inner) > MAX_SUBMOUNTS:
        raise OSError(0, f"{len(cover.inner)} mounts inside")
    target, status = root + cover.place, cover.status
    upper, work = f"{STAGE}/upper{number}", f"{STAGE}/work{number}"
    for directory in (upper, work):
        os.mkdir(directory, 0o755)
    # The merged directory shows the upper one's owner and mode.
    if cover.rights is None:
        os.chown(upper, status.st_uid, status.st_gid)
        os.chmod(upper, stat.S_IMODE(status.st_mode))
    else:
        # Owners may have no number in a user namespace, so the upper directory is ours: as its owner we get what the
        # real directory grants us, and nothing more.
        os.chmod(upper, stat.S_IMODE(status.st_mode) & ~0o700 | cover.rights << 6)
    shown: list[tuple[str, int]] = []
    try:
        for path in cover.inner:
            try:
                shown.append((path, os.open(root + path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)))
            except OSError:
                continue
        # Paths by descriptor: a directory's name may hold the characters that separate options.
        data = f"lowerdir=/proc/self/fd/{cover.lower},upperdir={upper},workdir={work}"
        keep = kernel.MS_NOSUID | kernel.MS_NODEV | (cover.own.flags & kernel.MS_NOEXEC)
        _mount_overlay(target, keep, data, cover.rights is None)
        try:
            for path, descriptor in shown:
                kernel.mount(f"/proc/self/fd/{descriptor}", root + path, None, kernel.MS_BIND)
        except OSError:
            kernel.detach(target)
            raise
    finally:
        for descriptor in [cover.lower] + [descriptor for _path, descriptor in shown]:
            os.close(descriptor)


def _mount_overlay(target: str, flags: int, data: str, whole: bool) -> None:
    """The options that keep the kernel's log quiet first; older kernels know fewer of them."""
    last: OSError = OSError(22, "overlay")
    quiet = ",index=off,metacopy=off,xino=off"
    attempts = (quiet, "") if whole else (quiet + ",userxattr", ",userxattr", "")
    for extra in attempts:
        try:
            kernel.mount("overlay", target, "overlay", flags, data + extra)
            return
        except OSError as exc:
            last = exc
    raise last


def _private_directory(target: str) -> None:
    kernel.mount("tmpfs", target, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=64m,mode=1777")


def _private_dev(root: str, report: TreeReport) -> None:
    """A /dev with the harmless devices only: no disks, no /dev/log, a /dev/shm of its own."""
    target, stage = root + "/dev", STAGE + "/dev"
    os.mkdir(stage, 0o755)
    kernel.mount("tmpfs", stage, "tmpfs", kernel.MS_NOSUID | kernel.MS_NOEXEC, "size=64m,mode=0755")
    for name in DEVICES:
        if not os.path.exists("/dev/" + name):
            continue
        with open(f"{stage}/{name}", "w", encoding="ascii"):
            pass
        try:
            kernel.mount("/dev/" + name, f"{stage}/{name}", None, kernel.MS_BIND)
        except OSError as exc:
            report.weaker.append(f"/dev/{name} is missing: {exc.strerror}")
    for name, link in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        os.symlink("/proc/self/fd" + link, f"{stage}/{name}")
    os.mkdir(stage + "/shm", 0o777)
    os.chmod(stage + "/shm", 0o1777)
    kernel.mount(stage, target, None, kernel.MS_BIND | kernel.MS_REC)


def _fresh_proc(root: str, report: TreeReport) -> None:
    """A /proc of this PID namespace, read-only, so that not even root reaches the kernel's settings."""
    flags = kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    try:
        kernel.mount("proc", root + "/proc", "proc", flags)
    except OSError as exc:
        report.weaker.append(f"/proc is the host's, read-only: {exc.strerror}")
