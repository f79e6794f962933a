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
    #: Unix milliseconds, to the second: when it was issued, as far as the certificate tells.
    issued_at_ms: int = 0

    @property
    def owner(self) -> str:
        """The common name in its certificate: the role and the name."""
        return f"{self.role.value}:{self.name}"

    @classmethod
    def of(cls, owner: str, not_after_ms: int, serial: str, issued_at_ms: int) -> Identity:
        """The one of this owner. Raises `ValueError` for a role that there is none of."""
        role, _, name = owner.partition(":")
        return cls(Role(role), name, not_after_ms, serial, issued_at_ms)
