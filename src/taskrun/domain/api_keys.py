"""API keys: secrets with a name and a role, by which people and programs are known where no certificate can be shown.

    taskrunkey1_<43 characters of base64url: the 256-bit secret>

The prefix lets secret scanners and people recognise one. Only the secret's digest is ever stored.
"""

from __future__ import annotations

import re

from taskrun.domain.errors import InvalidArgument
from taskrun.domain.identity import CLIENT_ROLES, Role, check_client_name
from taskrun.domain.secret_text import PATTERN, decode, digest, encode
from taskrun.domain.status import Word
from taskrun.domain.values import value

PREFIX = "taskrunkey1_"
DAY_MS = 86_400_000
DEFAULT_TTL_MS = 90 * DAY_MS
MIN_TTL_MS = 1_000
MAX_TTL_MS = 366 * DAY_MS
#: So long after its end a key is still listed.
LISTED_MS = 30 * DAY_MS

_TEXT = re.compile(rf"{PREFIX}({PATTERN})")


class KeyState(Word):
    """What a key is worth."""

    VALID = "VALID"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"


@value(frozen=True, slots=True)
class ApiKey:
    """What is kept of a key."""

    #: Of all keys that are good at one moment, one has it.
    name: str
    role: Role
    #: SHA-256 of its secret.
    digest: bytes
    created_at_ms: int
    #: It is worth nothing from this moment on.
    expires_at_ms: int
    #: Who made it.
    created_by: str = ""
    #: 0 if it was not.
    revoked_at_ms: int = 0

    def state(self, now_ms: int) -> KeyState:
        """What it is worth at that moment. One that was revoked stays so after its end."""
        if self.revoked_at_ms:
            return KeyState.REVOKED
        return KeyState.VALID if now_ms < self.expires_at_ms else KeyState.EXPIRED


def new_key(name: str, role: Role, secret: bytes, now_ms: int, ttl_ms: int, created_by: str) -> ApiKey:
    """The key with this secret, good for `ttl_ms` (0 = 90 days, 1 s to 366 days) from now on.

    Raises `InvalidArgument` for a bad name, ttl, or role.
    """
    check_client_name(name)
    if role not in CLIENT_ROLES:
        raise InvalidArgument(f"{role.value} is no role of an API key.")
    ttl_ms = ttl_ms or DEFAULT_TTL_MS
    if not MIN_TTL_MS <= ttl_ms <= MAX_TTL_MS:
        raise InvalidArgument("An API key is good for 1 second to 366 days.")
    return ApiKey(name, role, digest(secret), now_ms, now_ms + ttl_ms, created_by)


def compose(secret: bytes) -> str:
    """The key's text for these 32 bytes."""
    return f"{PREFIX}{encode(secret)}"


def digest_of(text: str) -> bytes | None:
    """The digest of the secret in the key's text; None if it is no key's text."""
    match = _TEXT.fullmatch(text)
    secret = decode(match[1]) if match else None
    return None if secret is None else digest(secret)
