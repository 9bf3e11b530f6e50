# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drop-ins of systemd: how values are written in them, and what a unit says with one more.

``%`` begins a specifier in every setting, quotes and backslashes count only in settings that are split into words, and ``$``
only in commands. See systemd.unit(5) and systemd.syntax(7).
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Optional

from ..._evidence.model import Backend
from ..._evidence.systemd_unit_files import Setting, merge, parse
from ..._evidence.systemd_words import split_words
from ..model import Change, Refused

DIRECTORY = "/etc/systemd/system"
_PLAIN_WORD = re.compile(r"[A-Za-z0-9_@%+=:,./${}\-]+\Z")
_NAMED_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_HEADER = (
    "# Written by firstaid.backend, fix {fix}. It overrules the unit's own lines of the same name.\n"
    "# To take it back: firstaid.backend.rollback_backend_fix, or remove this file and run systemctl daemon-reload.\n"
)


def literal(text: str) -> str:
    """Text without specifiers, as it has to stand in a unit file to mean itself."""
    return text.replace("%", "%%")


def word(text: str) -> str:
    """One word of a command or list, in quotes where it needs them. Specifiers and variables in it stay what they are.

    :raises ValueError: no unit file can hold it.
    """
    if "\0" in text:
        raise ValueError("a NUL can't stand in a unit file")
    if _PLAIN_WORD.match(text):
        return text
    return '"' + "".join(_escaped(char) for char in text) + '"'


def words(texts: Sequence[str]) -> str:
    """A command or list of words."""
    return " ".join(word(text) for text in texts)


def assignment(name: str, value: str) -> str:
    """The value of ``Environment=`` that sets one variable to exactly this."""
    return word(literal(f"{name}={value}"))


def whole(text: str) -> str:
    """The value of a setting that takes the rest of the line (paths, user names), so that it means exactly this text.

    :raises ValueError: no unit file can hold it.
    """
    if text != text.strip() or text.endswith("\\") or any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise ValueError(f"{text!r} can't stand in a unit file")
    return literal(text)


def _escaped(char: str) -> str:
    if char in _NAMED_ESCAPES:
        return _NAMED_ESCAPES[char]
    if ord(char) < 32:
        return f"\\x{ord(char):02x}"
    # Controls and separators beyond ASCII end a line for many a reader, though not for systemd.
    return f"\\u{ord(char):04x}" if 127 <= ord(char) < 160 or char in "\u2028\u2029" else char


@dataclass
class DropIn:
    """The drop-in of one fix for one unit.

    ``before`` and ``behind`` are the unit's other files, in the order in which systemd reads them, with their settings.
    ``sections`` is what the drop-in says: section → setting → values, an empty value clears a list.
    """

    fix: str
    path: str
    text: str = ""
    before: list[tuple[str, list[Setting]]] = field(default_factory=list)
    behind: list[tuple[str, list[Setting]]] = field(default_factory=list)
    sections: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def set(self, name: str, value: str) -> None:
        """A setting of which the last line counts."""
        self._service()[name] = [value]

    def set_list(self, name: str, values: Sequence[str]) -> None:
        """A list as it shall be in the end: what the other files say is kept where it is a beginning, else cleared."""
        given = merge(settings for _path, settings in self.before).get(name, [])
        kept = list(values[: len(given)]) == given
        lines = list(values[len(given) :]) if kept else ["", *values]
        if lines:
            self._service()[name] = lines
        else:
            self._service().pop(name, None)

    def set_variable(self, name: str, value: str) -> None:
        """One variable of ``Environment=``; the drop-in's others stay."""
        lines = [line for line in self._service().get("Environment", []) if name not in variables([line])]
        self._service()["Environment"] = [*lines, assignment(name, value)]

    def render(self) -> str:
        """The drop-in's text; empty when it says nothing."""
        blocks = []
        for section, settings in self.sections.items():
            lines = [f"{name}={value}" for name, values in settings.items() for value in values]
            if lines:
                blocks.append("\n".join([f"[{section}]", *lines]) + "\n")
        return _HEADER.format(fix=self.fix) + "\n".join(blocks) if blocks else ""

    def effective(self, behind: bool = True) -> dict[str, list[str]]:
        """The unit's settings with the drop-in: name → values as written."""
        own = [
            Setting(section, name, value, 0)
            for section, settings in self.sections.items()
            for name, values in settings.items()
            for value in values
        ]
        after = [settings for _path, settings in self.behind] if behind else []
        return merge([*(settings for _path, settings in self.before), own, *after])

    def overruled(self) -> Optional[tuple[str, str, int]]:
        """The first of our settings that a file which systemd reads later takes back: (setting, file, line)."""
        for name in self._service():
            wanted = self.effective(behind=False).get(name, [])
            for path, settings in self.behind:
                for setting in settings:
                    if setting.name == name and _takes_back(setting, wanted):
                        return name, path, setting.line
        return None

    def change(self, why: str) -> Optional[Change]:
        """The change that writes it; None when the file says so already.

        :raises Refused: a file that systemd reads later would win.
        """
        text = self.render()
        if text == self.text:
            return None
        later = self.overruled()
        if later:
            name, path, line = later
            wanted = " and ".join(f"{name}={value}" for value in self._service()[name] if value)
            raise Refused(
                f"{path} is read after {os.path.basename(self.path)} and its line {line} sets {name}= again, so a drop-in has no effect: "
                f"change that line there.",
                [f"sed -n {line}p '{path}'   # shall say: {wanted}", "systemctl daemon-reload"],
            )
        return Change("file", self.path, why, content=text.encode() if text else None, mode=0o644, uid=0, gid=0)

    def _service(self) -> dict[str, list[str]]:
        return self.sections.setdefault("Service", {})


def variables(values: Sequence[str]) -> list[str]:
    """Names of the variables that values of ``Environment=`` set."""
    found = [text.partition("=") for value in values for text in split_words(value)]
    return [name for name, equals, _value in found if equals]


def _takes_back(setting: Setting, wanted: Sequence[str]) -> bool:
    """Whether a later line undoes what we want."""
    if not setting.value:
        return True
    if setting.name == "Environment":
        return bool(set(variables([setting.value])) & set(variables(wanted)))
    if setting.name in ("EnvironmentFile", "UnsetEnvironment"):
        return False
    return [setting.value] != list(wanted)


def open_for(backend: Backend, fix: str, directory: str = DIRECTORY) -> DropIn:
    """The drop-in of a fix for a unit, with what it says already.

    :raises Refused: the unit can't be changed by a drop-in.
    """
    if backend.service.get("masked"):
        raise Refused(f"{backend.name} is masked, so no setting of it counts.", [f"systemctl unmask {backend.name}"])
    path = f"{directory}/{backend.name}.d/90-firstaid-{fix}.conf"
    result = DropIn(fix, path)
    own = os.path.basename(path)
    for item in backend.unit.get("files", []):
        settings = parse(item["text"])
        if item["path"] == path:
            result.text = item["text"]
            result.sections = _sections(settings)
            continue
        # systemd ignores them elsewhere, and nothing but [Service] is written here.
        settings = [setting for setting in settings if setting.section == "Service"]
        late = item["kind"] == "dropin" and os.path.basename(item["path"]) > own
        (result.behind if late else result.before).append((item["path"], settings))
        if item["kind"] == "dropin" and os.path.basename(item["path"]) == own:
            raise Refused(f"{item['path']} has the name of our own drop-in and hides it: remove or rename it.")
    return result


def _sections(settings: Sequence[Setting]) -> dict[str, dict[str, list[str]]]:
    result: dict[str, dict[str, list[str]]] = {}
    for setting in settings:
        if setting.name and setting.section:
            result.setdefault(setting.section, {}).setdefault(setting.name, []).append(setting.value)
    return result
