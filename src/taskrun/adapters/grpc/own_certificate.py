"""One's own certificate, looked at before it is shown.

A server that refuses a certificate only closes the connection; why, one has to find out by oneself.
"""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509
from cryptography.x509.oid import NameOID

from taskrun.domain.errors import InvalidArgument, TaskRunError, Unauthenticated, Unavailable


def certificate_fault(cert_pem: bytes, now: datetime | None = None) -> TaskRunError | None:
    """Why this certificate would be refused now, as far as it shows; None if it does not.

    `Unauthenticated` if it has expired or is none, `Unavailable` if waiting, or setting the clock, will help.
    """
    now = now or datetime.now(UTC)
    try:
        certificate = x509.load_pem_x509_certificate(cert_pem)
    except ValueError:
        return Unauthenticated("The certificate to show cannot be read: it must be PEM.")
    if certificate.not_valid_after_utc <= now:
        return Unauthenticated(f"The certificate expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC.")
    if certificate.not_valid_before_utc > now:
        begins = f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        return Unavailable(f"The certificate is valid from {begins} on, and here it is {now:%Y-%m-%d %H:%M} UTC.")
    return None


def own_name(cert_pem: bytes) -> str:
    """The name in the certificate's subject, without its role; "" if there is none. Raises `InvalidArgument`."""
    try:
        names = x509.load_pem_x509_certificate(cert_pem).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError:
        raise InvalidArgument("The certificate cannot be read: it must be PEM.") from None
    return str(names[0].value).partition(":")[2] if names else ""
