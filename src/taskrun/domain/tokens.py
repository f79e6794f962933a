"""The text of a bootstrap token: a secret that lets one worker in, and the pin by which it knows its control plane.

    taskrun1_<43 characters of base64url: the 256-bit secret>.<64 hexadecimal digits: the CA's SHA-256>

The prefix lets secret scanners and people recognise one. Only the secret's digest is ever stored.
"""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

from taskrun.domain.errors import InvalidArgument

PREFIX = "taskrun1_"
SECRET_BYTES = 32

_TEXT = re.compile(PREFIX + r"([A-Za-z0-9_-]{43})\.([0-9a-f]{64})")


def compose(secret: bytes, pin: str) -> str:
    """The token for these 32 bytes and the CA's fingerprint. Raises `InvalidArgument` if either has the wrong shape."""
    text = f"{PREFIX}{_encode(secret)}.{pin}"
    if len(secret) != SECRET_BYTES or not _TEXT.fullmatch(text):
        raise InvalidArgument("A bootstrap token is made of 32 secret bytes and 64 lower-case hexadecimal digits.")
    return text


def split(token: str) -> tuple[bytes, str]:
    """The token's secret and pin; the inverse of `compose`. Raises `InvalidArgument`, never quoting the token."""
    match = _TEXT.fullmatch(token)
    secret = urlsafe_b64decode(match[1] + "=") if match else b""
    # 43 characters carry 258 bits: without this four texts would name one secret.
    if match is None or _encode(secret) != match[1]:
        raise InvalidArgument(f"This is no bootstrap token: one begins with {PREFIX} and is {len(PREFIX) + 108} long.")
    return secret, match[2]


def digest(secret: bytes) -> bytes:
    """What is kept of a token: the SHA-256 of its secret."""
    return hashlib.sha256(secret).digest()


def _encode(secret: bytes) -> str:
    return urlsafe_b64encode(secret).rstrip(b"=").decode()
