# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What several backends of the shop share: it lives outside of them and is linked into each."""

from __future__ import annotations


def invoice(article: str, count: int, total: int, currency: str) -> dict[str, object]:
    return {"article": article, "count": count, "total": f"{total / 100:.2f} {currency}"}
