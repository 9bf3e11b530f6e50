# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The images: Debian releases (pulled, or bootstrapped where no registry is reached) and the test host on top."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import wheels
from .catalogue import EXTRA, PYTHONS
from .engine import install
from .shell import HostsError, attempt, run, say

CONTEXT = Path(__file__).resolve().parent.parent / "image"
DEFAULT_MIRROR = "http://deb.debian.org/debian"


def ensure(releases: set[str]) -> dict[str, str]:
    """Build what is missing and return the image of each release; unchanged input builds nothing."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        return dict(zip(sorted(releases), pool.map(_host_image, sorted(releases)), strict=True))


def tag(release: str) -> str:
    """Name the host image by everything that it is made of."""
    digest = hashlib.sha256()
    for path in (CONTEXT / "Dockerfile", CONTEXT / f"requirements-{PYTHONS[release]}.txt"):
        digest.update(path.read_bytes())
    digest.update(EXTRA[release].encode())
    return f"firstaid-host:{release}-{digest.hexdigest()[:12]}"


def _host_image(release: str) -> str:
    name = tag(release)
    if _exists(name):
        return name
    _debian(release)
    folder = wheels.directory(PYTHONS[release])
    say(f"building {name}")
    with tempfile.TemporaryDirectory(prefix="firstaid-image-") as context:
        shutil.copy(CONTEXT / "Dockerfile", context)
        shutil.copytree(folder, Path(context) / "wheels", copy_function=_link_or_copy)
        # Engines without the buildx plug-in still have the classic builder, and say so only by failing.
        classic = {} if attempt(["docker", "buildx", "version"]).returncode == 0 else {"DOCKER_BUILDKIT": "0"}
        run(
            ["docker", "build", "-q", "--force-rm", "-t", name, "--build-arg", f"RELEASE={release}",
             "--build-arg", f"EXTRA={EXTRA[release]}", context],
            timeout_s=900,
            env=classic,
        )  # fmt: skip
    return name


def _debian(release: str) -> None:
    name = f"debian:{release}"
    if _exists(name):
        return
    pulled = attempt(["docker", "pull", "-q", name], timeout_s=300)
    if pulled.returncode == 0:
        return
    if os.geteuid() != 0:
        raise HostsError(f"{name} can't be pulled, and bootstrapping it needs root: {pulled.stderr.strip()}")
    install(["mmdebstrap"])
    say(f"bootstrapping {name}, since no registry gives it")
    with tempfile.TemporaryDirectory(prefix="firstaid-debian-") as folder:
        tar = f"{folder}/{release}.tar"
        run(
            ["mmdebstrap", "--quiet", "--variant=minbase", "--mode=root", '--aptopt=Acquire::Languages "none"',
             "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/doc/*",
             "--dpkgopt=path-exclude=/usr/share/locale/*", release, tar, _mirror()],
            timeout_s=900,
        )  # fmt: skip
        run(["docker", "import", tar, name], timeout_s=300)


def _mirror() -> str:
    """Return the Debian archive that this machine itself uses."""
    fields = "$(ORIGIN) $(LABEL) $(REPO_URI)"
    for line in attempt(["apt-get", "indextargets", "--format", fields, "Created-By: Packages"]).stdout.splitlines():
        origin, _, rest = line.partition(" ")
        label, _, address = rest.rpartition(" ")
        if origin == label == "Debian" and address.startswith(("http://", "https://")):
            return address
    return DEFAULT_MIRROR


def _exists(name: str) -> bool:
    return attempt(["docker", "image", "inspect", name]).returncode == 0


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)
