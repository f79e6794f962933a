"""How often a worker may renew its certificate.

An honest one does so twice in a life, and more often only while answers are lost. Each renewal costs a signature, and a
row in the store for a month after the certificate's end: who has a worker's key must not get them without end.
"""

from __future__ import annotations

from taskrun.domain.certificates.life import Life
from taskrun.domain.errors import ResourceExhausted
from taskrun.domain.identity import Identity

#: Renewals that a worker may ask for at once. After these it may as often as one whose renewals fail tries again.
AT_ONCE = 40
#: Workers of which it is known when they may go on; those that may are forgotten when there are more, or twice as many
#: as last stayed.
_MANY = 4096


class RenewalPace:
    """Counts renewals by worker, by the generic cell rate algorithm (ITU-T I.371)."""

    def __init__(self) -> None:
        #: When the worker would have used up what it was given, had it come evenly; seconds, monotonic.
        self._even: dict[str, float] = {}
        self._many = _MANY

    def count(self, peer: Identity, mono: float) -> None:
        """The worker renews once more. Raises `ResourceExhausted`, which costs it nothing, if that is too often."""
        every = Life(peer.issued_at_ms, peer.not_after_ms).retry_ms() / 1000
        even = max(self._even.get(peer.owner, mono), mono)
        wait = even - mono - every * (AT_ONCE - 1)
        # Less than a microsecond is what the arithmetic made of it.
        if wait > 1e-6:
            raise ResourceExhausted(f"The worker {peer.name} renews too often: try again in {wait:.1f} s.")
        if len(self._even) >= self._many:
            self._forget(mono)
        self._even[peer.owner] = even + every

    def _forget(self, mono: float) -> None:
        self._even = {owner: even for owner, even in self._even.items() if even > mono}
        self._many = max(_MANY, 2 * len(self._even))
