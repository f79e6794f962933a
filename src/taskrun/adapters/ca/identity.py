"""Who a peer is: read from its certificate, after the handshake has proved that it holds the key.

gRPC's own reading of the subject cuts a CN at a NUL (`worker:victim\\x00.evil` becomes `worker:victim`), and its
handshake accepts weak keys and certificates made for servers. So the certificate itself is parsed, and checked again.

The common name says who it is, `worker:<id>` or `client:<name>`; of a client an organisational unit, `role:submit`,
says what it may. Both are written by the CA alone: it copies no name out of a request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from taskrun.adapters.ca.certificates import life_of
from taskrun.adapters.ca.keys import is_strong
from taskrun.adapters.ca.malformed import MALFORMED
from taskrun.domain.errors import InvalidArgument, PermissionDenied, Unauthenticated
from taskrun.domain.identity import CLIENT_ROLES, Identity, Role, check_client_name
from taskrun.domain.limits import check_old_worker_id

#: What stands before the colon of a common name, and what has to stand behind it.
_CHECKS: Mapping[str, Callable[[str], None]] = {"worker": check_old_worker_id, "client": check_client_name}
#: An organisational unit that begins so is ours, however it goes on; any other is its owner's own affair.
ROLE_UNIT = "role:"
_ROLES = {f"{ROLE_UNIT}{role.value}": role for role in CLIENT_ROLES}
#: Of a client's certificate that tells no role, as all were made before there were roles. Only the holder of the CA's
#: key can have made one (enrolment signs workers alone), and a client could do everything then.
UNTOLD_ROLE = Role.ADMIN


# Parsing costs 0.1 ms, a client makes many calls with one certificate, and the answer depends on nothing else.
@lru_cache(maxsize=2048)
def parse_peer(pem: bytes) -> Identity:
    """The identity in a peer's certificate (one PEM block). It says when it expires; whether it has is for the caller.

    Raises `Unauthenticated` when the subject names nobody of ours, `PermissionDenied` when the certificate is not one
    for a client: clientAuth is missing, or the key is none of P-256, P-384, RSA of 2048 to 4096 bits.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        _check_purpose(certificate)
        role, name = _names(certificate.subject)
        not_after_ms = int(certificate.not_valid_after_utc.timestamp()) * 1000
        return Identity(role, name, not_after_ms, f"{certificate.serial_number:x}", life_of(certificate).begins_ms)
    except MALFORMED as error:
        raise Unauthenticated("The client certificate cannot be read.") from error


def _check_purpose(certificate: x509.Certificate) -> None:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        raise PermissionDenied("The client certificate has no extended key usage: it must say clientAuth.") from None
    if ExtendedKeyUsageOID.CLIENT_AUTH not in usages:
        raise PermissionDenied("The certificate is not for client authentication.")
    if not is_strong(certificate.public_key(), allow_rsa=True):
        raise PermissionDenied("The client certificate's key must be P-256, P-384, or RSA of 2048 to 4096 bits.")


def _names(subject: x509.Name) -> tuple[Role, str]:
    common_names = _values(subject, NameOID.COMMON_NAME)
    if len(common_names) != 1:
        raise Unauthenticated("The client certificate must have exactly one common name.")
    word, _, name = common_names[0].partition(":")
    try:
        _CHECKS[word](name)
    except (KeyError, InvalidArgument):
        raise Unauthenticated("The client certificate's common name must be worker:<id> or client:<name>.") from None
    told = [unit for unit in _values(subject, NameOID.ORGANIZATIONAL_UNIT_NAME) if unit.lower().startswith(ROLE_UNIT)]
    return (_client_role(told) if word == "client" else _worker_role(told)), name


def _client_role(told: Sequence[str]) -> Role:
    if not told:
        return UNTOLD_ROLE
    if len(told) > 1 or told[0] not in _ROLES:
        raise Unauthenticated("The client certificate must tell one role: role:read, role:submit or role:admin.")
    return _ROLES[told[0]]


def _worker_role(told: Sequence[str]) -> Role:
    if told:
        raise Unauthenticated("A worker's certificate must tell no client's role.")
    return Role.WORKER


def _values(subject: x509.Name, kind: x509.ObjectIdentifier) -> list[str]:
    return [str(attribute.value) for attribute in subject.get_attributes_for_oid(kind)]
