"""Who a peer is: read from its certificate, after the handshake has proved that it holds the key.

gRPC's own reading of the subject cuts a CN at a NUL (`worker:victim\\x00.evil` becomes `worker:victim`), and its
handshake accepts weak keys and certificates made for servers. So the certificate itself is parsed, and checked again.
"""

from __future__ import annotations

import re
from functools import lru_cache

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from taskrun.adapters.ca.certificates import life_of
from taskrun.adapters.ca.keys import is_strong
from taskrun.adapters.ca.malformed import MALFORMED
from taskrun.domain.errors import InvalidArgument, PermissionDenied, Unauthenticated
from taskrun.domain.identity import Identity, Role
from taskrun.domain.limits import check_old_worker_id

_ROLES = {role.value: role for role in Role}
_CLIENT_NAME = re.compile(r"[a-zA-Z0-9._@-]{1,63}")


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
    common_names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(common_names) != 1:
        raise Unauthenticated("The client certificate must have exactly one common name.")
    word, _, name = str(common_names[0].value).partition(":")
    role = _ROLES.get(word)
    if role is None or not _is_name(role, name):
        raise Unauthenticated("The client certificate's common name must be worker:<id> or client:<name>.")
    return role, name


def _is_name(role: Role, name: str) -> bool:
    if role is Role.CLIENT:
        return _CLIENT_NAME.fullmatch(name) is not None
    try:
        check_old_worker_id(name)
    except InvalidArgument:
        return False
    return True
