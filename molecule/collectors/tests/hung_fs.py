# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file system that never answers, as a share whose server is gone: ``hung_fs.py MOUNTPOINT``, by FUSE and without a library."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import time


def main() -> None:
    """Mount it, answer the kernel's first word (FUSE_INIT), and nothing after it."""
    device = os.open("/dev/fuse", os.O_RDWR)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    if libc.mount(b"hung", os.fsencode(sys.argv[1]), b"fuse.hung", 0, options):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    _length, _opcode, unique = struct.unpack_from("=IIQ", os.read(device, 65536))
    answer = struct.pack("=IIIIHHII", 7, 12, 65536, 0, 12, 9, 4096, 1)
    os.write(device, struct.pack("=IiQ", 16 + len(answer), 0, unique) + answer)
    while True:
        time.sleep(3600)


main()
