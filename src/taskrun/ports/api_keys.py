"""API keys: an inbound port, and the place where they are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from taskrun.domain.api_keys import ApiKey
from taskrun.domain.identity import Role
from taskrun.domain.values import value


@value(frozen=True, slots=True)
class NewApiKey:
    """A key just made. `text` is shown this once; only its SHA-256 is kept."""

    text: str
    key: ApiKey


class ApiKeys(Protocol):
    """Keys, for the adapters that hand them out or are shown them. Each method may raise `StoreFailed`."""

    async def create(self, name: str, role: Role, ttl_ms: int, created_by: str) -> NewApiKey:
        """A new key, good for `ttl_ms` (0 = 90 days, at most 366 days). Raises `InvalidArgument` for a bad name, role
        or ttl, and `AlreadyExists` while another key of that name is good."""
        ...

    async def list(self) -> Sequence[ApiKey]:
        """All that are good, and those that ended of late, by name."""
        ...

    async def revoke(self, name: str) -> ApiKey:
        """Makes it worthless from now on, for good. Again it changes nothing. Raises `NotFound`, and
        `InvalidArgument` for what is no name."""
        ...

    async def authenticate(self, text: str) -> ApiKey:
        """The good key of this text. Raises `Unauthenticated`, in the same words for every reason."""
        ...


class ApiKeyStore(Protocol):
    """Keeps API keys. Raises `StoreFailed`."""

    async def put(self, key: ApiKey, now_ms: int) -> bool:
        """Keeps it, in place of one of its name that has expired or was revoked; false if that is still good.

        Of many calls at once with one name one gets true. What ended more than `LISTED_MS` ago is forgotten.
        """
        ...

    async def find(self, digest: bytes) -> ApiKey | None:
        """The key of that digest, whatever it is worth."""
        ...

    async def all(self) -> Sequence[ApiKey]:
        """Every key that is kept, by name in the order of its characters' numbers."""
        ...

    async def revoke(self, name: str, now_ms: int) -> ApiKey | None:
        """Marks the key of that name as revoked at that moment, unless it is already, and returns it as it is then;
        None if there is none."""
        ...
