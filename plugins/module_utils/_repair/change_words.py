# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files, links and attributes in words: what diffs and refusals say of them."""

from __future__ import annotations

import grp
import hashlib
import pwd
from typing import Any, Optional, Union

from .changes import State

MAX_DIFF_CHARS = 64 * 1024


def heading(state: State, other: State) -> str:
    """Attributes stand in a diff of contents only where they differ."""
    names = ("mode", "uid", "gid")
    if not state["exists"] or not other["exists"] or all(state.get(name) == other.get(name) for name in names):
        return ""
    return attribute_lines(state) + "\n"


def attribute_lines(state: State) -> str:
    """Owner, group and mode, a line each."""
    return f"owner: {user(state['uid'])}\ngroup: {group(state['gid'])}\nmode: {state['mode']}\n"


def target_line(state: State) -> str:
    """What stands in the place of a link."""
    if state["type"] == "link":
        return f"symbolic link to {state['target']}\n"
    return "" if state["type"] == "none" else f"{article(state['type'])} of {state.get('size')} bytes\n"


def shown(content: Optional[bytes], secret: Union[str, bool]) -> str:
    """A content as it stands in a diff. ``secret`` is a word for one that is not shown."""
    if not content:
        return ""
    if secret:
        # Neither size nor hash: a short secret could be guessed from them.
        return f"({secret} content, not shown)\n"
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        return f"(no text, {len(content)} bytes, {hashlib.sha256(content).hexdigest()[:12]})\n"
    return text if len(text) <= MAX_DIFF_CHARS else text[:MAX_DIFF_CHARS] + "\n(cut)\n"


def article(kind: str, target: Any = None) -> str:
    """A type of file as it stands in a sentence."""
    table = {"file": "a regular file", "link": "a symbolic link", "directory": "a directory", "none": "not there"}
    return table.get(kind, "a device, socket or FIFO") + (f" to {target}" if target else "")


def user(uid: int) -> str:
    """A user's name, or the number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group(gid: int) -> str:
    """A group's name, or the number where it has none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
