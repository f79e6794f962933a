"""Certificates for people and programs, made where the CA's key is: a directory for each, to be handed over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.verification import VerificationError

from taskrun.adapters.ca import ledger
from taskrun.adapters.ca.certificates import Issuer, client_certificate, pem
from taskrun.adapters.ca.disk import create_all
from taskrun.adapters.ca.files import load_key_pair
from taskrun.adapters.ca.identity import ROLE_UNIT
from taskrun.adapters.ca.keys import new_key, to_pem
from taskrun.adapters.ca.malformed import MALFORMED
from taskrun.domain.errors import FailedPrecondition, InvalidArgument
from taskrun.domain.identity import CLIENT_ROLES, Role, check_client_name

LONGEST = timedelta(days=10 * 365)


def create_client(
    certs: Path, directory: Path, name: str, role: Role, lifetime: timedelta, *, now: datetime | None = None
) -> list[Path]:
    """Makes `client.key`, `client.crt` and a copy of `ca.crt` in `directory`, and returns their paths.

    The certificate is `client:<name>` with this role, signed by the CA in `certs`; it lasts a second to ten years, and
    no longer than the CA. A copy of it stays in the ledger beside that. Raises `InvalidArgument` for a bad name, role
    or lifetime, and `FailedPrecondition` if the CA cannot sign, or rather than overwrite: then nothing was written.
    """
    check_client_name(name)
    if role not in CLIENT_ROLES:
        raise InvalidArgument(f"{role.value} is no role of a client.")
    if not timedelta(seconds=1) <= lifetime <= LONGEST:
        raise InvalidArgument("A client's certificate lasts 1 second to 10 years.")
    now = (now or datetime.now(UTC)).replace(microsecond=0)
    issuer, key = _issuer(certs, now), new_key()
    try:
        certificate = client_certificate(
            issuer, f"client:{name}", key.public_key(), now, lifetime, f"{ROLE_UNIT}{role.value}"
        )
    except (VerificationError, x509.ExtensionNotFound, *MALFORMED) as error:
        raise FailedPrecondition(f"{certs / 'ca.crt'} is no CA's certificate that others can rely on.") from error
    files = {"ca.crt": pem(issuer.certificate), "client.crt": pem(certificate), "client.key": to_pem(key)}
    # First, so that there is none of which nobody knows.
    copy = ledger.enter(certs, certificate)
    try:
        return create_all(directory, files)
    except BaseException:
        copy.unlink(missing_ok=True)
        raise


def _issuer(certs: Path, now: datetime) -> Issuer:
    pair = load_key_pair(certs / "ca.crt", certs / "ca.key", now=now)
    if not isinstance(pair.key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise FailedPrecondition(f"The CA's key {certs / 'ca.key'} must be P-256, P-384, or RSA of 2048 to 4096 bits.")
    return Issuer(pair.certificate, pair.key)
