# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An environment, wheels and an application to repair, and what the engine does with a proposal."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any, Optional, cast

from ansible_collections.firstaid.backend.plugins.module_utils._evidence import interpreter, missing_module, packages
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.context import Context
from ansible_collections.firstaid.backend.plugins.module_utils._evidence.model import App, Backend, Section
from ansible_collections.firstaid.backend.plugins.module_utils._repair.change_packages import PACKAGES
from ansible_collections.firstaid.backend.plugins.module_utils._repair.changes import ChangeError, Means
from ansible_collections.firstaid.backend.plugins.module_utils._repair.fixes import dependencies
from ansible_collections.firstaid.backend.plugins.module_utils._repair.model import Control, Host, Proposal


def wheel(
    directory: Path,
    name: str,
    version: str,
    files: Optional[dict[str, str]] = None,
    requires: Optional[list[str]] = None,
    scripts: Optional[dict[str, str]] = None,
) -> str:
    """Write a wheel; returns its SHA-256."""
    stem = f"{name.replace('-', '_')}-{version}"
    content = dict(files if files is not None else {f"{name.replace('-', '_')}.py": "x = 1\n"})
    content.update({f"{stem}.data/scripts/{key}": f"#!python\n{text}" for key, text in (scripts or {}).items()})
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    content[f"{stem}.dist-info/METADATA"] = (
        "\n".join([*lines, *(f"Requires-Dist: {item}" for item in requires or [])]) + "\n"
    )
    content[f"{stem}.dist-info/WHEEL"] = (
        "Wheel-Version: 1.0\nGenerator: lab\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    record = ""
    for path, text in content.items():
        checksum = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={checksum},{len(text.encode())}\n"
    content[f"{stem}.dist-info/RECORD"] = f"{record}{stem}.dist-info/RECORD,,\n"
    path = directory / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inner, text in content.items():
            member = zipfile.ZipInfo(inner, (2026, 1, 1, 0, 0, 0))
            member.external_attr = 0o644 << 16
            archive.writestr(member, text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def content_of(top: Path) -> dict[str, tuple[Any, ...]]:
    """All that an environment consists of, bytecode left out: path -> type, mode, owner, time, content or target."""
    result: dict[str, tuple[Any, ...]] = {}
    for path in sorted(top.rglob("*")):
        if "__pycache__" in path.parts or path.suffix == ".pyc":
            continue
        status = path.lstat()
        owner = (status.st_mode, status.st_uid, status.st_gid)
        if path.is_symlink():
            result[str(path)] = ("link", os.readlink(path))
        elif path.is_file():
            result[str(path)] = (*owner, status.st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        else:
            result[str(path)] = owner
    return result


@lru_cache(maxsize=4)
def _template(python: str) -> Path:
    place = Path(tempfile.mkdtemp(prefix="firstaid-template-"))
    subprocess.run([python, "-m", "venv", str(place / "venv")], check=True, capture_output=True)
    return place / "venv"


class DirectoryKeep:
    """Keeps content in a directory, as the engine does."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir()

    def write(self, content: bytes, suffix: str = "") -> str:
        name = f"0001{suffix}"
        with (self.place / name).open("xb") as stream:
            stream.write(content)
        return name

    def read(self, name: str) -> bytes:
        try:
            return (self.place / name).read_bytes()
        except OSError as exc:
            raise ChangeError(str(exc)) from exc


class Lab:
    """``app`` is the code, ``prefix`` its environment, ``wheels`` the wheel directory."""

    def __init__(self, place: Path, python: str = sys.executable) -> None:
        self.place, self.app, self.prefix, self.wheels = place, place / "app", place / "venv", place / "wheels"
        self.app.mkdir()
        self.wheels.mkdir()
        shutil.copytree(_template(os.path.realpath(python)), self.prefix, symlinks=True)
        self.python = str(self.prefix / "bin/python")
        self.site = next(self.prefix.glob("lib/python*/site-packages"))
        self.ctx = Context({}, time.monotonic() + 600)
        self.kind, self.record, self.runs = PACKAGES, cast("dict[str, Any]", {}), 0

    def wheel(self, name: str, version: str, files: Any = None, requires: Any = None, scripts: Any = None) -> str:
        return wheel(self.wheels, name, version, files, requires, scripts)

    def pip(self, *lines: str, deps: bool = True) -> None:
        argv = [self.python, "-m", "pip", "install", "--no-index", "-q", "--find-links", str(self.wheels), *lines]
        subprocess.run([*argv, *([] if deps else ["--no-deps"])], check=True, capture_output=True)

    def code(self, text: str, files: dict[str, str]) -> None:
        shutil.rmtree(self.app)
        self.app.mkdir()
        for name, content in {"main.py": text, **files}.items():
            (self.app / name).write_text(content)

    def installed(self) -> dict[str, str]:
        argv = [self.python, "-m", "pip", "list", "--format", "freeze", "--disable-pip-version-check"]
        if not (self.site / "pip").exists():
            return {path.name.split("-")[0]: path.name.split("-")[1] for path in self.site.glob("*.dist-info")}
        text = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
        return dict(line.split("==") for line in text.splitlines() if "==" in line)

    def imports(self) -> str:
        """``ok``, or the last line of the traceback."""
        argv = [self.python, "-B", "-c", "import main"]
        answer = subprocess.run(argv, check=False, capture_output=True, text=True, cwd=self.app)
        return "ok" if answer.returncode == 0 else answer.stderr.strip().splitlines()[-1]

    def host(self, **options: Any) -> Host:
        app = App(
            server="uvicorn", module="main", attribute="app", code_dir=str(self.app), path_prepend=[str(self.app)]
        )
        app.program = self.python
        backend = Backend("demo.service", "systemd", cwd=str(self.app), uid=os.geteuid(), gid=os.getegid(), app=app)
        interpreter.resolve(backend, self.ctx)
        chosen = {"wheel_dir": str(self.wheels), **options}
        return Host(backend, self.ctx, chosen, cast("Control", None), lambda name: self._evidence(name, backend))

    def _evidence(self, name: str, backend: Backend) -> Section:
        if name == "packages":
            return packages.collect(backend, self.ctx)
        said = self.imports()
        section: Section = {"ran": True, "outcome": "ok" if said == "ok" else "exception", "missing_module": None}
        match = re.match(r"ModuleNotFoundError: No module named '([\w.]+)'", said)
        if match:
            frames = [{"file": str(self.app / "main.py"), "line": 1, "origin": "app"}]
            exception = {"type": "ModuleNotFoundError", "message": said, "name": match.group(1), "frames": frames}
            section["missing_module"] = missing_module.describe(match.group(1), exception, "3.11", backend, self.ctx)
        return section

    def propose(self, **options: Any) -> Proposal:
        return dependencies.propose(self.host(**options))

    def plan(self, proposal: Proposal) -> None:
        """Up to the moment before the change."""
        self.runs += 1
        (change,) = proposal.changes
        keep = DirectoryKeep(self.place / f"run{self.runs}")
        self.means = Means(self.ctx, cast("Control", None), keep)
        before = self.kind.before(change, self.means)
        self.record = {"kind": "packages", "path": change.path, "before": before, "state": "planned"}
        self.record["after"] = self.kind.after(change, before, self.means)

    def diff(self, proposal: Proposal) -> dict[str, str]:
        self.plan(proposal)
        return self.kind.diff(proposal.changes[0], self.record["before"], self.means)

    def apply(self, proposal: Proposal) -> None:
        self.plan(proposal)
        self.kind.apply(proposal.changes[0], self.record, self.means)
        self.record["state"] = "done"

    def heal(self, **options: Any) -> None:
        self.apply(self.propose(**options))

    def undo(self) -> None:
        self.kind.undo(self.record, self.means)
