"""A certificate and its key in two files that are replaced as one, though no system renames two files at once.

    the next key is beside the key   ->   the certificate is replaced   ->   the next key takes the key's place

The step in the middle is the one that counts. A process that is killed before it leaves the old pair, with a key beside
it that belongs to nothing; one that is killed after it leaves the new certificate, and whoever loads that puts its key
where it belongs.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from taskrun.adapters.ca.disk import put, take_place
from taskrun.adapters.ca.files import KeyPair, load_key_pair
from taskrun.domain.errors import FailedPrecondition


class PairFiles:
    """The two files of one worker. One process at a time uses them."""

    def __init__(self, certificate_path: Path, key_path: Path) -> None:
        self._certificate, self._key = certificate_path, key_path
        self._next = key_path.with_name(f"{key_path.name}.next")

    def load(self, *, now: datetime | None = None) -> KeyPair:
        """The pair, as `load_key_pair`; a replacement that was interrupted is finished first."""
        key, pair = self._found(now)
        if key != self._key:
            take_place(key, self._key)
        return pair

    def look(self, *, now: datetime | None = None) -> KeyPair:
        """The same, and leaves the files as they are: for whoever does not use them."""
        _, pair = self._found(now)
        return pair

    def _found(self, now: datetime | None) -> tuple[Path, KeyPair]:
        """Where the certificate's key is, and the pair."""
        try:
            return self._key, load_key_pair(self._certificate, self._key, now=now)
        except FailedPrecondition:
            try:
                return self._next, load_key_pair(self._certificate, self._next, now=now)
            except FailedPrecondition:
                pass
            raise

    def stage(self, key_pem: bytes) -> None:
        """Keeps the next key, before anybody is asked to certify it. Raises `FailedPrecondition` if it cannot."""
        # What was staged before may be the key of the certificate that is there.
        self.load()
        put(self._next, key_pem, private=True)

    def commit(self, certificate_pem: bytes) -> None:
        """The staged key and this certificate, which is for it, are the pair from now on. Raises `FailedPrecondition`;
        then `load` finds a whole pair, the old one or this."""
        put(self._certificate, certificate_pem, private=False)
        take_place(self._next, self._key)

    def discard(self) -> None:
        """Forgets the staged key, which nobody has certified; doing it twice is harmless."""
        self._next.unlink(missing_ok=True)
