"""What was signed where the CA's key is, without a control plane: a copy of each certificate stays beside that key.

    certs/issued/<serial>.crt

A control plane with these certificates lists them, whether or not anybody has used them yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from taskrun.adapters.ca.certificates import pem
from taskrun.adapters.ca.disk import put, read_public
from taskrun.adapters.ca.identity import parse_peer
from taskrun.adapters.ca.malformed import MALFORMED
from taskrun.domain.errors import FailedPrecondition, TaskRunError
from taskrun.domain.identity import Identity

DIRECTORY = "issued"


def enter(certs: Path, certificate: x509.Certificate) -> Path:
    """Keeps a copy beside the CA in `certs`, and returns its path. Raises `FailedPrecondition` if it cannot."""
    path = certs / DIRECTORY / f"{certificate.serial_number:x}.crt"
    try:
        _make(path.parent)
    except OSError as error:
        raise FailedPrecondition(f"{path.parent} cannot be written: {error.strerror or error}.") from error
    put(path, pem(certificate), private=False)
    return path


def _make(directory: Path) -> None:
    if not directory.is_dir():
        directory.mkdir()
        # Whatever the umask: who signs may be root, and who runs the control plane is not.
        directory.chmod(0o755)


class CertificateLedger:
    """Implements `Ledger`: those copies, and the certificates that `init_certs` has put beside the CA."""

    def __init__(self, certs: Path) -> None:
        self._certs = certs
        #: The time of each file that was looked at.
        self._seen: dict[Path, int] = {}

    async def news(self) -> Sequence[Identity]:
        """See `Ledger.news`."""
        return await asyncio.to_thread(self._news)

    def _news(self) -> Sequence[Identity]:
        new = {path: time for path, time in self._files() if self._seen.get(path) != time}
        if not new:
            return []
        ca = x509.load_pem_x509_certificate(read_public(self._certs / "ca.crt"))
        found = [_identity(path, ca) for path in new]
        self._seen |= new
        return [identity for identity in found if identity is not None]

    def _files(self) -> Iterator[tuple[Path, int]]:
        for directory in (self._certs, self._certs / DIRECTORY):
            for path in directory.glob("*.crt"):
                try:
                    time = path.stat().st_mtime_ns
                except OSError:
                    # It went meanwhile.
                    continue
                yield path, time


def _identity(path: Path, ca: x509.Certificate) -> Identity | None:
    """Who can come with it; None if nobody can, as with the CA's own and the server's."""
    try:
        text = read_public(path)
        x509.load_pem_x509_certificate(text).verify_directly_issued_by(ca)
        return parse_peer(text)
    except (TaskRunError, InvalidSignature, *MALFORMED):
        return None
