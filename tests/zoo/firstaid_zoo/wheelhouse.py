# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small wheels, made of data: the same bytes every time, so that a lock file can name their hashes."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Mapping
from typing import Any

LONG_AGO = (2026, 1, 1, 0, 0, 0)


def build(name: str, files: Mapping[str, str], requires: tuple[str, ...] = ()) -> tuple[str, bytes]:
    """Make the wheel of `<distribution>-<version>`; return its file name and content."""
    distribution, _, version = name.rpartition("-")
    stem = f"{distribution.replace('-', '_')}-{version}"
    metadata = ["Metadata-Version: 2.1", f"Name: {distribution}", f"Version: {version}"]
    metadata += [f"Requires-Dist: {line}" for line in requires]
    content = dict(files)
    content[f"{stem}.dist-info/METADATA"] = "\n".join(metadata) + "\n"
    content[f"{stem}.dist-info/WHEEL"] = (
        "Wheel-Version: 1.0\nGenerator: zoo\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    record = [f"{path},sha256={_record_hash(text)},{len(text.encode())}" for path, text in content.items()]
    content[f"{stem}.dist-info/RECORD"] = "\n".join([*record, f"{stem}.dist-info/RECORD,,"]) + "\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path, text in content.items():
            member = zipfile.ZipInfo(path, LONG_AGO)
            member.external_attr = 0o644 << 16
            archive.writestr(member, text)
    return f"{stem}-py3-none-any.whl", buffer.getvalue()


def fill_in(text: str, folders: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Put the hash of a wheel in the place of `@SHA256:<distribution>-<version>@`."""
    for wheels in folders.values():
        for name, facts in wheels.items():
            word = f"@SHA256:{name}@"
            if word in text:
                made = build(name, facts["files"], tuple(facts.get("requires", ())))[1]
                text = text.replace(word, hashlib.sha256(made).hexdigest())
    return text


def _record_hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
