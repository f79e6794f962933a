"""Who a peer is. The certificate says so; what a message claims about its sender is never trusted."""

from __future__ import annotations

from taskrun.domain.status import Word
from taskrun.domain.values import value


class Role(Word):
    """What a certificate is for. The value is the word before the colon of its common name."""

    WORKER = "worker"
    CLIENT = "client"


@value(frozen=True, slots=True)
class Identity:
    """A peer whose certificate was verified in the handshake."""

    role: Role
    #: A worker's id, or the name of a client.
    name: str
    #: Unix milliseconds: the certificate is worth nothing after this.
    not_after_ms: int
    #: Hexadecimal.
    serial: str
