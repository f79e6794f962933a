"""The CA whose key is a file."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.verification import VerificationError

from taskrun.adapters.ca.certificates import Issuer, client_certificate, moment, pem
from taskrun.adapters.ca.chain import fingerprint
from taskrun.adapters.ca.csr import requested_key
from taskrun.adapters.ca.files import load_key_pair
from taskrun.adapters.ca.keys import is_strong, new_key
from taskrun.adapters.ca.malformed import MALFORMED
from taskrun.domain.errors import FailedPrecondition
from taskrun.ports.authority import IssuedCertificate
from taskrun.ports.clock import Clock

WORKER_LIFETIME = timedelta(days=7)


class FileAuthority:
    """Implements `CertificateAuthority`. Its files are read once, here.

    Raises `FailedPrecondition` at once if they are missing, open to others, not a pair, expired or not a CA's.
    """

    def __init__(
        self,
        cert_path: Path,
        key_path: Path,
        clock: Clock,
        *,
        allow_rsa: bool = False,
        lifetime: timedelta = WORKER_LIFETIME,
    ) -> None:
        """`lifetime` is that of workers' certificates, whole seconds."""
        self._clock, self._lifetime = clock, lifetime
        self._allow_rsa = allow_rsa
        self._issuer = self._load(cert_path, key_path)
        self._certificate_pem = pem(self._issuer.certificate)
        self._fingerprint = fingerprint(self._issuer.certificate)

    def certificate_pem(self) -> bytes:
        """The CA's own certificate."""
        return self._certificate_pem

    def fingerprint(self) -> str:
        """SHA-256 of the CA certificate's DER form, 64 lower-case hexadecimal digits: the pin in bootstrap tokens."""
        return self._fingerprint

    def check_request(self, csr_pem: bytes) -> bytes:
        """SHA-256 of the key to certify. Raises `InvalidArgument` unless this CA would sign the request."""
        key = requested_key(csr_pem, allow_rsa=self._allow_rsa)
        return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()

    def sign_worker(self, csr_pem: bytes, worker_id: str) -> IssuedCertificate:
        """A client certificate for `worker:<worker_id>` and the request's public key, for its `lifetime`.

        Raises `InvalidArgument` as `check_request`, `FailedPrecondition` once the CA has expired.
        """
        key = requested_key(csr_pem, allow_rsa=self._allow_rsa)
        now = moment(self._clock.now().utc_ms)
        certificate = client_certificate(self._issuer, f"worker:{worker_id}", key, now, self._lifetime)
        not_after_ms = int(certificate.not_valid_after_utc.timestamp()) * 1000
        return IssuedCertificate(pem(certificate), f"{certificate.serial_number:x}", not_after_ms)

    def _load(self, cert_path: Path, key_path: Path) -> Issuer:
        now = moment(self._clock.now().utc_ms)
        pair = load_key_pair(cert_path, key_path, now=now)
        if not isinstance(pair.key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) or not is_strong(
            pair.key.public_key(), allow_rsa=True
        ):
            raise FailedPrecondition(f"The CA's key {key_path} must be P-256, P-384, or RSA of 2048 to 4096 bits.")
        issuer = Issuer(pair.certificate, pair.key)
        try:
            # The one check that forgets nothing: sign a certificate for nobody, and verify it.
            client_certificate(issuer, "worker:nobody", new_key().public_key(), now, self._lifetime)
        except (VerificationError, x509.ExtensionNotFound, *MALFORMED) as error:
            raise FailedPrecondition(f"{cert_path} is no CA's certificate that others can rely on.") from error
        return issuer
