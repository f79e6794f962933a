"""The text of a bootstrap token: a secret that lets one worker in, and the pin by which it knows its control plane.

    taskrun1_<43 characters of base64url: the 256-bit secret>.<64 hexadecimal digits: the CA's SHA-256>

The prefix lets secret scanners and people recognise one. Only the secret's digest is ever stored.
"""

from __future__ import annotations

import re

from taskrun.domain.errors import InvalidArgument
from taskrun.domain.secret_text import PATTERN, SECRET_BYTES, decode, encode
from taskrun.domain.secret_text import digest as digest

PREFIX = "taskrun1_"

_TEXT = re.compile(rf"{PREFIX}({PATTERN})\.([0-9a-f]{{64}})")


def compose(secret: bytes, pin: str) -> str:
    """The token for these 32 bytes and the CA's fingerprint. Raises `InvalidArgument` if either has the wrong shape."""
    text = f"{PREFIX}{encode(secret)}.{pin}"
    if len(secret) != SECRET_BYTES or not _TEXT.fullmatch(text):
        raise InvalidArgument("A bootstrap token is made of 32 secret bytes and 64 lower-case hexadecimal digits.")
    return text


def split(token: str) -> tuple[bytes, str]:
    """The token's secret and pin; the inverse of `compose`. Raises `InvalidArgument`, never quoting the token."""
    match = _TEXT.fullmatch(token)
    secret = decode(match[1]) if match else None
    if match is None or secret is None:
        raise InvalidArgument(f"This is no bootstrap token: one begins with {PREFIX} and is {len(PREFIX) + 108} long.")
    return secret, match[2]
