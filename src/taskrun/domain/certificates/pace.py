"""How often a worker may renew its certificate.

An honest one does so twice in a life, and more often only while answers are lost. Each renewal costs a signature, and a
row in the store for a month after the certificate's end: who has a worker's key must not get them without end.
"""

from __future__ import annotations

from taskrun.domain.certificates.life import Life
from taskrun.domain.errors import ResourceExhausted
from taskrun.domain.identity import Identity
from taskrun.domain.pacing import Pacing

#: Renewals that a worker may ask for at once. After these it may as often as one whose renewals fail tries again.
AT_ONCE = 40


class RenewalPace:
    """Counts renewals by worker."""

    def __init__(self) -> None:
        self._pacing: Pacing[str] = Pacing()

    def count(self, peer: Identity, mono: float) -> None:
        """The worker renews once more. Raises `ResourceExhausted`, which costs it nothing, if that is too often."""
        every = Life(peer.issued_at_ms, peer.not_after_ms).retry_ms() / 1000
        if wait := self._pacing.wait(peer.owner, every * (AT_ONCE - 1), mono):
            raise ResourceExhausted(f"The worker {peer.name} renews too often: try again in {wait:.1f} s.")
        self._pacing.count(peer.owner, every, mono)
