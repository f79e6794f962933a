"""The certificates that were issued, and the word that some of them are worth nothing any more."""

from __future__ import annotations

from collections.abc import Iterable

from taskrun.domain.identity import Identity
from taskrun.domain.status import Word
from taskrun.domain.values import value

#: So long after its end a certificate is still listed.
LISTED_MS = 30 * 86_400_000


class CertificateState(Word):
    """What a certificate is worth."""

    VALID = "VALID"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"


@value(frozen=True, slots=True)
class Certificate:
    """What is kept of a certificate that was issued."""

    #: Hexadecimal, lower case, without zeros in front.
    serial: str
    #: The common name: `worker:<id>`.
    owner: str
    issued_at_ms: int
    #: It is worth nothing from this moment on.
    not_after_ms: int
    #: 0 if it was not.
    revoked_at_ms: int = 0

    def state(self, now_ms: int) -> CertificateState:
        """What it is worth at that moment. One that was revoked stays so after its end."""
        if self.revoked_at_ms:
            return CertificateState.REVOKED
        return CertificateState.VALID if now_ms < self.not_after_ms else CertificateState.EXPIRED

    @property
    def identity(self) -> Identity:
        """Who shows it, as a peer is known."""
        return Identity.of(self.owner, self.not_after_ms, self.serial, self.issued_at_ms)


@value(frozen=True, slots=True)
class Revocation:
    """The word that one certificate is worth nothing, or all that an owner was given before. It is never taken back."""

    #: When it was said.
    at_ms: int
    #: "" if it is about one certificate.
    owner: str = ""
    #: "" if it is about all of an owner's.
    serial: str = ""
    #: Its place in the order in which a store heard them, from 1; 0 before that.
    number: int = 0

    def names(self, certificate: Certificate) -> bool:
        """Whether it is about this one, which was recorded before it was said."""
        return self.serial == certificate.serial if self.serial else self.owner == certificate.owner

    def owners(self, marked: Iterable[Certificate]) -> set[str]:
        """Whose it is about: its own, and those of the certificates that were marked for it."""
        return {self.owner, *(each.owner for each in marked)} - {""}

    def covers(self, peer: Identity) -> bool:
        """Whether it is about this peer's certificate.

        A certificate tells its time in whole seconds. What was issued to an owner in the very second of the word is
        not meant, because it may have been afterwards; what the store has recorded of it by then is revoked by serial.
        """
        if self.serial:
            return self.serial == peer.serial
        return self.owner == peer.owner and peer.issued_at_ms // 1000 < self.at_ms // 1000


@value(frozen=True, slots=True)
class CertificateQuery:
    """Which certificates to list. The newest come first."""

    #: "" is everybody's.
    owner: str = ""
    #: 1 to 1000; 0 is 100.
    limit: int = 0
    #: Of the page before; "" begins at the newest.
    page_token: str = ""


@value(frozen=True, slots=True)
class CertificatePage:
    """One page of certificates. `next_page_token` is "" on the last."""

    certificates: tuple[Certificate, ...]
    next_page_token: str = ""


def normal_serial(text: str) -> str:
    """A serial number as people and tools write it (`0A:1B`, `a1b`), in the one form that is compared; "" if it is
    none."""
    digits = text.strip().replace(":", "").lower().removeprefix("0x").lstrip("0")
    return digits if 0 < len(digits) <= 40 and not digits.strip("0123456789abcdef") else ""
