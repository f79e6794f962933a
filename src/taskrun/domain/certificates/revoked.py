"""All that was revoked, as every control plane keeps it in memory: one look-up for each call."""

from __future__ import annotations

from taskrun.domain.certificates.certificate import Revocation
from taskrun.domain.identity import Identity


class Revoked:
    """Learns what was revoked, in any order and as often as it is told."""

    def __init__(self) -> None:
        self._serials: dict[str, Revocation] = {}
        #: The latest word about all of an owner's: it covers whatever an earlier one does.
        self._owners: dict[str, Revocation] = {}

    def learn(self, revocation: Revocation) -> None:
        """From now on it counts."""
        if revocation.serial:
            self._serials[revocation.serial] = revocation
            return
        known = self._owners.get(revocation.owner)
        if known is None or known.at_ms < revocation.at_ms:
            self._owners[revocation.owner] = revocation

    def covers(self, peer: Identity) -> bool:
        """Whether the peer's certificate is worth nothing."""
        of_all = self._owners.get(peer.owner)
        return peer.serial in self._serials or (of_all is not None and of_all.covers(peer))
