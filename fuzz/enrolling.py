"""What lets somebody in: a desk where workers enrol, with a CA and one token, and a ring with one API key."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from taskrun.adapters.ca.authority import FileAuthority
from taskrun.adapters.ca.files import init_certs
from taskrun.adapters.stores.memory_api_keys import MemoryApiKeyStore
from taskrun.adapters.stores.memory_tokens import MemoryTokenStore
from taskrun.adapters.system.clock import SystemClock
from taskrun.domain import api_keys, tokens
from taskrun.domain.identity import Role
from taskrun.engine.enrollment import Enroller
from taskrun.engine.key_ring import KeyRing

_SECRET = bytes(range(32))
#: The CA is made anew for each process, so the pin in the token is not its own: only a worker looks at it.
TOKEN = tokens.compose(_SECRET, "ab" * 32)
KEY = api_keys.compose(_SECRET)


async def desk() -> Enroller:
    """A desk as it is when nobody has enrolled yet: `TOKEN` is good."""
    enroller = Enroller(_authority(), MemoryTokenStore(), SystemClock(), lambda: "an id", lambda: _SECRET)
    await enroller.create_token("w-1")
    return enroller


async def key_ring() -> KeyRing:
    """A ring on which `KEY` is a reader's."""
    ring = KeyRing(MemoryApiKeyStore(), SystemClock(), lambda: _SECRET)
    await ring.create("reader", Role.READ, 0, "client:admin")
    return ring


@cache
def _authority() -> FileAuthority:
    with TemporaryDirectory() as directory:
        init_certs(Path(directory), ["localhost"])
        return FileAuthority(Path(directory, "ca.crt"), Path(directory, "ca.key"), SystemClock())
