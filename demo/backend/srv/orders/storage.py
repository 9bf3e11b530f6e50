# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Orders in SQLite on a laptop, in PostgreSQL elsewhere."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any


class Store:
    def __init__(self, kind: str, connection: Any) -> None:
        self.kind = kind
        self._connection = connection

    def close(self) -> None:
        self._connection.close()


def connect(url: str, data_dir: Path) -> Store:
    scheme, _separator, rest = url.partition("://")
    if scheme == "sqlite":
        (data_dir / "orders.lock").write_text("in use\n")
        return Store("sqlite", sqlite3.connect(data_dir / rest.rpartition("/")[2]))
    if scheme == "postgresql":
        import psycopg

        return Store("postgresql", psycopg.connect(url, connect_timeout=3))
    raise ValueError(f"unknown database scheme {scheme!r}")
