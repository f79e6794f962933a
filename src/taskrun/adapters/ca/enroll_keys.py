"""The worker's side of its enrolment: its own key, its request, and the distrust with which it reads the answer."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import VerificationError

from taskrun.adapters.ca.certificates import pem
from taskrun.adapters.ca.chain import fingerprint, verify_client
from taskrun.adapters.ca.identity import parse_peer
from taskrun.adapters.ca.keys import new_key, to_pem
from taskrun.adapters.ca.malformed import MALFORMED
from taskrun.domain.errors import FailedPrecondition, ProtocolViolation, TaskRunError, Unauthenticated
from taskrun.domain.identity import Role
from taskrun.ports.enrollment import Enrollment


def new_key_and_csr() -> tuple[bytes, bytes]:
    """A fresh P-256 key and a request for it, both PEM. What the request calls itself is nobody's concern."""
    key = new_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "worker")])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return to_pem(key), csr.public_bytes(serialization.Encoding.PEM)


def checked_enrollment(enrollment: Enrollment, pin: str, key_pem: bytes, now: datetime) -> Enrollment:
    """The answer, if it comes from the CA that the token is pinned to and is for us.

    Nothing that came along with it is kept: another certificate beside the CA's would be one more to trust.

    Raises `Unauthenticated` for another CA, `FailedPrecondition` when our clock is outside of the certificate's time,
    `ProtocolViolation` for a certificate that is not this CA's client certificate for our key and the id we were told.
    """
    ca = _the_certificate(enrollment.ca_pem)
    # Before anything else in the answer is looked at: until here anybody may have sent it.
    if fingerprint(ca) != pin:
        raise Unauthenticated("The control plane's CA is not the one in the token: somebody is in between.")
    certificate = _the_certificate(enrollment.certificate_pem)
    if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
        raise FailedPrecondition("By this machine's clock the new certificate is not valid now: set the clock.")
    try:
        verify_client(certificate, ca, now)
        identity = parse_peer(pem(certificate))
    except (VerificationError, TaskRunError, *MALFORMED) as error:
        raise ProtocolViolation("The control plane answered with a certificate that does not hold.") from error
    if (identity.role, identity.name) != (Role.WORKER, enrollment.worker_id):
        raise ProtocolViolation("The control plane answered with somebody else's certificate.")
    if certificate.public_key() != load_pem_private_key(key_pem, password=None).public_key():
        raise ProtocolViolation("The control plane answered with a certificate for another key.")
    return replace(enrollment, certificate_pem=pem(certificate), ca_pem=pem(ca))


def fingerprint_of(certificate_pem: bytes) -> str:
    """The pin of the one certificate in there; "" if that is not what it is."""
    try:
        return fingerprint(_the_certificate(certificate_pem))
    except ProtocolViolation:
        return ""


def _the_certificate(text: bytes) -> x509.Certificate:
    try:
        (certificate,) = x509.load_pem_x509_certificates(text)
        certificate.public_key()
    except MALFORMED as error:
        raise ProtocolViolation("The control plane answered with something that is not one certificate.") from error
    return certificate
