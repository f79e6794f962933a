"""Certificate requests, from anybody at all: what is not plainly right is refused, and only the public key is used."""

from __future__ import annotations

import re

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from taskrun.adapters.ca.keys import HASHES, is_strong
from taskrun.adapters.ca.malformed import MALFORMED
from taskrun.domain.errors import InvalidArgument

MAX_REQUEST_BYTES = 8 * 1024

_ONE_BLOCK = re.compile(rb"\s*-----BEGIN CERTIFICATE REQUEST-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE REQUEST-----\s*")


def requested_key(csr_pem: bytes, *, allow_rsa: bool = False) -> CertificatePublicKeyTypes:
    """The public key to certify, its holder having proved that he has the private one.

    Raises `InvalidArgument` unless it is one PEM block of at most 8 KiB with a valid SHA-2 signature by a P-256
    or P-384 key (or RSA of 2048 to 4096 bits if `allow_rsa`).
    """
    if len(csr_pem) > MAX_REQUEST_BYTES:
        raise InvalidArgument("The certificate request is larger than 8 KiB.")
    if not _ONE_BLOCK.fullmatch(csr_pem):
        raise InvalidArgument("The certificate request must be exactly one PEM block, CERTIFICATE REQUEST.")
    try:
        return _checked_key(x509.load_pem_x509_csr(csr_pem), allow_rsa)
    except MALFORMED as error:
        raise InvalidArgument("The certificate request cannot be read.") from error


def _checked_key(csr: x509.CertificateSigningRequest, allow_rsa: bool) -> CertificatePublicKeyTypes:
    key = csr.public_key()
    if not is_strong(key, allow_rsa=allow_rsa):
        rsa = ", or RSA of 2048 to 4096 bits" if allow_rsa else ""
        raise InvalidArgument(f"The certificate request's key must be P-256 or P-384{rsa}.")
    if not isinstance(csr.signature_hash_algorithm, HASHES):
        raise InvalidArgument("The certificate request must be signed with SHA-256, SHA-384 or SHA-512.")
    if not csr.is_signature_valid:
        raise InvalidArgument("The certificate request is not signed by its own key.")
    return key
