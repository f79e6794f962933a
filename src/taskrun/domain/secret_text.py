"""256-bit secrets as people carry them: 43 characters of base64url, of which only the SHA-256 is ever stored."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode

SECRET_BYTES = 32
#: What a regular expression finds one by.
PATTERN = r"[A-Za-z0-9_-]{43}"


def encode(secret: bytes) -> str:
    """The text of these bytes."""
    return urlsafe_b64encode(secret).rstrip(b"=").decode()


def decode(text: str) -> bytes | None:
    """The secret of a text that matches `PATTERN`; None if it is not the one text of its secret.

    43 characters carry 258 bits: without this four texts would name one secret.
    """
    secret = urlsafe_b64decode(text + "=")
    return secret if encode(secret) == text else None


def digest(secret: bytes) -> bytes:
    """What is kept of a secret."""
    return hashlib.sha256(secret).digest()
