"""Who a peer is. The certificate says so; what a message claims about its sender is never trusted."""

from __future__ import annotations

import re

from taskrun.domain.errors import InvalidArgument
from taskrun.domain.status import Word
from taskrun.domain.values import value


class Role(Word):
    """What somebody is here for; `taskrun.domain.rights` says what that allows."""

    #: A machine's daemon. Its certificate is `worker:<id>`.
    WORKER = "worker"
    #: People and programs. Each of these may do all that the one before may.
    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"
    #: Somebody who showed nothing that says who it is. Only HTTP knows such callers.
    NOBODY = "nobody"


#: What people and programs can be given.
CLIENT_ROLES = (Role.READ, Role.SUBMIT, Role.ADMIN)

#: What an owner is at least, by the word before the colon of its common name.
_LEAST = {"worker": Role.WORKER, "client": Role.READ}
_CLIENT_NAME = re.compile(r"[a-zA-Z0-9._@-]{1,63}")


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
        """The common name in its certificate: `worker:<id>` or `client:<name>`."""
        return f"{'worker' if self.role is Role.WORKER else 'client'}:{self.name}"

    @classmethod
    def of(cls, owner: str, not_after_ms: int, serial: str, issued_at_ms: int) -> Identity:
        """The one of this owner; what a client may is not in its name, so it is the least here. Raises `ValueError`
        for an owner of another kind."""
        word, _, name = owner.partition(":")
        if word not in _LEAST:
            raise ValueError(f"{owner!a} is the owner of no certificate.")
        return cls(_LEAST[word], name, not_after_ms, serial, issued_at_ms)


def check_client_name(name: str) -> None:
    """Raises `InvalidArgument` unless it can be the name of a person or a program."""
    if not _CLIENT_NAME.fullmatch(name):
        raise InvalidArgument("A name has 1 to 63 letters, digits, dots, underscores, hyphens and @ signs.")
