# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's backend: a small shop that takes orders."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import storage
from billing import invoice
from fastapi import FastAPI, HTTPException
from pricing import price
from pydantic import BaseModel
from settings import settings

log = logging.getLogger("orders")
logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s [%(name)s] %(message)s")


class Order(BaseModel):
    article: str
    count: int = 1


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    store = storage.connect(settings.database_url, settings.data_dir)
    log.info("storage ready: %s", store.kind)
    yield
    store.close()


app = FastAPI(title="orders", lifespan=lifespan)


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/orders")
async def order(wanted: Order) -> dict[str, object]:
    try:
        total = price(wanted.article) * wanted.count
    except KeyError as exc:
        raise HTTPException(404, f"no such article: {wanted.article}") from exc
    return invoice(wanted.article, wanted.count, total, settings.currency)
