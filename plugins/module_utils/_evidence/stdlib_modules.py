# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which modules the standard library has in which Python 3 version; Python itself knows only about its own."""

from __future__ import annotations

import re
import sys
from typing import Optional

Version = tuple[int, int]

# In every version from 3.6 to 3.14. Sources here and below: sys.stdlib_module_names of 3.10 to 3.14, "What's New" before.
ALWAYS = frozenset(
    """
    abc antigravity argparse array ast asyncio atexit base64 bdb binascii bisect builtins bz2 cProfile calendar cmath
    cmd code codecs codeop collections colorsys compileall concurrent configparser contextlib copy copyreg csv ctypes
    curses datetime dbm decimal difflib dis doctest email encodings ensurepip enum errno faulthandler fcntl filecmp
    fileinput fnmatch fractions ftplib functools gc genericpath getopt getpass gettext glob grp gzip hashlib heapq hmac
    html http idlelib imaplib importlib inspect io ipaddress itertools json keyword linecache locale logging lzma
    mailbox marshal math mimetypes mmap modulefinder msvcrt multiprocessing netrc nt ntpath nturl2path numbers opcode
    operator optparse os pathlib pdb pickle pickletools pkgutil platform plistlib poplib posix posixpath pprint profile
    pstats pty pwd py_compile pyclbr pydoc pydoc_data pyexpat queue quopri random re readline reprlib resource
    rlcompleter runpy sched secrets select selectors shelve shlex shutil signal site smtplib socket socketserver
    sqlite3 sre_compile sre_constants sre_parse ssl stat statistics string stringprep struct subprocess symtable sys
    sysconfig syslog tabnanny tarfile tempfile termios textwrap this threading time timeit tkinter token tokenize trace
    traceback tracemalloc tty turtle turtledemo types typing unicodedata unittest urllib uuid venv warnings wave
    weakref webbrowser winreg winsound wsgiref xml xmlrpc zipapp zipfile zipimport zlib __future__ __main__
    _asyncio _bisect _bz2 _codecs _collections _csv _ctypes _curses _curses_panel _datetime _dbm _decimal _elementtree
    _gdbm _hashlib _heapq _json _lzma _multiprocessing _opcode _pickle _posixsubprocess _queue _random _socket _sqlite3
    _ssl _struct _thread _tkinter _uuid
    """.split()
)

# First version with the module.
ADDED: dict[str, Version] = {
    "contextvars": (3, 7),
    "dataclasses": (3, 7),
    "importlib.resources": (3, 7),
    "importlib.metadata": (3, 8),
    "multiprocessing.shared_memory": (3, 8),
    "unittest.async_case": (3, 8),
    "graphlib": (3, 9),
    "zoneinfo": (3, 9),
    "_zoneinfo": (3, 9),
    "tomllib": (3, 11),
    "asyncio.taskgroups": (3, 11),
    "asyncio.timeouts": (3, 11),
    "importlib.resources.abc": (3, 11),
    "wsgiref.types": (3, 11),
    "annotationlib": (3, 14),
    "compression": (3, 14),
    "concurrent.interpreters": (3, 14),
    "string.templatelib": (3, 14),
}

# Last version with the module.
REMOVED: dict[str, Version] = {
    "fpectl": (3, 6),
    "macurl2path": (3, 6),
    "asyncio.compat": (3, 6),
    "macpath": (3, 7),
    "_dummy_thread": (3, 8),
    "dummy_threading": (3, 8),
    "xml.etree.cElementTree": (3, 8),
    "formatter": (3, 9),
    "parser": (3, 9),
    "symbol": (3, 9),
    "binhex": (3, 10),
}
REMOVED.update((name, (3, 11)) for name in "asynchat asyncore distutils imp smtpd".split())
REMOVED.update(
    (name, (3, 12))
    for name in (
        "_crypt aifc audioop cgi cgitb chunk crypt imghdr lib2to3 mailcap msilib nis nntplib ossaudiodev pipes sndhdr spwd sunau"
        " telnetlib uu xdrlib"
    ).split()
)


def parse_version(text: Optional[str]) -> Optional[Version]:
    """``3.11`` of ``3.11.4``, None for anything else."""
    match = re.match(r"(\d+)\.(\d+)", text or "")
    return (int(match[1]), int(match[2])) if match else None


def lookup(name: str) -> tuple[bool, Optional[Version], Optional[Version]]:
    """Whether a dotted module belongs to the standard library of any version; its first and last version if limited."""
    top = name.partition(".")[0]
    parts = name.split(".")
    since = until = None
    for depth in range(1, len(parts) + 1):
        known = ".".join(parts[:depth])
        since, until = ADDED.get(known, since), REMOVED.get(known, until)
    known_now = top in getattr(sys, "stdlib_module_names", ())
    return top in ALWAYS or top in ADDED or top in REMOVED or known_now, since, until


def has(name: str, version: Version) -> Optional[bool]:
    """Whether this version's standard library has the module; None when no version's has."""
    known, since, until = lookup(name)
    if not known:
        return None
    return (since is None or version >= since) and (until is None or version <= until)
