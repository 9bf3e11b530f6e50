# Copyright (c) 2026 firstaid contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys that are recognised by what they look like, wherever they stand: those of vendors, tokens, and password hashes."""

from __future__ import annotations

import re

# A prefix that is looked for first, in lower case, and the whole shape.
_SHAPES = (
    ("akia", r"AKIA[0-9A-Z]{16}"),
    ("asia", r"ASIA[0-9A-Z]{16}"),
    ("aiza", r"AIza[0-9A-Za-z_\-]{35}"),
    ("ya29.", r"ya29\.[A-Za-z0-9_\-]{20,2048}"),
    ("gocspx-", r"GOCSPX-[A-Za-z0-9_\-]{20,64}"),
    ("1//0", r"1//0[A-Za-z0-9_\-]{30,256}"),
    ("gh", r"gh[opsur]_[A-Za-z0-9]{20,255}"),
    ("github_pat_", r"github_pat_[A-Za-z0-9_]{20,255}"),
    ("gl", r"gl(?:pat|ptt|rt|dt|cbt|ft|soat|agent|imt|oas)-[A-Za-z0-9_\-.]{16,128}"),
    ("xox", r"xox[abceoprs]-[A-Za-z0-9\-]{10,255}"),
    ("xapp-", r"xapp-[A-Za-z0-9\-]{20,255}"),
    ("k_", r"[sr]k_(?:live|test)_[A-Za-z0-9]{10,255}"),
    ("sk-", r"sk-[A-Za-z0-9_\-]{20,255}"),
    ("whsec_", r"whsec_[A-Za-z0-9+/=]{16,128}"),
    ("sg.", r"SG\.[A-Za-z0-9_\-]{16,64}\.[A-Za-z0-9_\-]{16,128}"),
    ("key-", r"key-[0-9a-f]{32}"),
    ("-us", r"[0-9a-f]{32}-us\d{1,2}"),
    ("sk", r"SK[0-9a-f]{32}"),
    ("npm_", r"npm_[A-Za-z0-9]{30,64}"),
    ("pypi-", r"pypi-[A-Za-z0-9_\-]{40,512}"),
    ("hf_", r"hf_[A-Za-z0-9]{30,64}"),
    ("_v1_", r"do[opr]_v1_[a-f0-9]{64}"),
    ("shp", r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    ("hv", r"hv[sbr]\.[A-Za-z0-9_\-]{24,512}"),
    ("dp.", r"dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9_.\-]{32,128}"),
    ("dapi", r"dapi[0-9a-f]{32}(?:-\d)?"),
    ("gl", r"gl(?:sa|c)_[A-Za-z0-9_+/=]{32,400}"),
    ("nra", r"NRA[KL]-[A-Z0-9]{27}"),
    ("sntry", r"sntry[su]_[A-Za-z0-9_+/=\-]{40,512}"),
    ("dckr_", r"dckr_(?:pat|oat)_[A-Za-z0-9_\-]{20,64}"),
    ("atatt3", r"AT(?:ATT|CTT|BBT)3[A-Za-z0-9_\-=]{50,512}"),
    ("lin_", r"lin_(?:api|oauth)_[A-Za-z0-9]{30,80}"),
    ("ntn_", r"ntn_[A-Za-z0-9]{40,60}"),
    ("sq0", r"sq0(?:atp|csp|idp)-[A-Za-z0-9_\-]{22,60}"),
    ("eaaa", r"EAAA[A-Za-z0-9_\-]{60}"),
    ("age-secret-key-", r"AGE-SECRET-KEY-1[A-Z0-9]{50,60}"),
    ("8q~", r"[A-Za-z0-9_.\-]{3}8Q~[A-Za-z0-9_.~\-]{31,34}"),
    ("pscale_", r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.\-]{32,64}"),
    ("pmak-", r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}"),
    ("figd_", r"figd_[A-Za-z0-9_\-]{40,64}"),
    ("rubygems_", r"rubygems_[0-9a-f]{48}"),
    ("hrku-", r"HRKU-[A-Za-z0-9_\-]{36,64}"),
    ("atlasv1", r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=\-]{60,80}"),
)
VENDOR_HINTS = tuple(dict.fromkeys(hint for hint, _shape in _SHAPES))
VENDOR = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(shape for _hint, shape in _SHAPES)})(?![A-Za-z0-9])")

# A signed token has three parts, an encrypted one five, some of them empty.
JWT = re.compile(r"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_\-]{8,65536}(?:\.[A-Za-z0-9_\-]{0,65536}){1,4}")
TELEGRAM = re.compile(r"(?:(?<=bot)|(?<![A-Za-z0-9]))\d{8,10}:AA[A-Za-z0-9_\-]{33}(?![A-Za-z0-9])")
FERNET = re.compile(r"(?<![A-Za-z0-9_\-+/.])(?!sha\d)[A-Za-z0-9_\-+/]{43}=(?![A-Za-z0-9=])")
WEBHOOK = re.compile(
    r"(?P<head>hooks\.slack\.com/(?:services|workflows|triggers)/|discord(?:app)?\.com/api/webhooks/\d{0,24}/?"
    r"|webhook\.office\.com/webhookb2/)(?P<value>[A-Za-z0-9/_@\-]{10,400})"
)
# Hashes of passwords, as crypt(3), passlib, Django and Werkzeug write them: worth an attack, and of no use to a reader.
HASH = re.compile(
    r"\$(?:[1256y]|2[abxy]|gy|7|apr1|argon2(?:id|i|d)|scrypt|bcrypt-sha256|pbkdf2(?:-[a-z0-9]+)?)\$[A-Za-z0-9./+=,$\-]{20,512}"
    r"|(?<![A-Za-z0-9])(?:pbkdf2_sha(?:1|256|512)|bcrypt_sha256|scrypt|argon2)\$[A-Za-z0-9./+=,$\-]{20,512}"
    r"|(?<![A-Za-z0-9])(?:pbkdf2:sha(?:1|256|512)|scrypt)(?::\d{1,9}){1,3}\$[A-Za-z0-9]{1,64}\$[0-9a-f]{40,256}"
)
