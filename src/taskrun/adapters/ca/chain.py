"""Whether a certificate follows from a CA: the path validation of RFC 5280, as `cryptography` does it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store

_CA_POLICY = ExtensionPolicy.webpki_defaults_ca()
_SERVER_POLICY = ExtensionPolicy.webpki_defaults_ee()
#: Our clients are named by their subject alone, the web's by alternative names.
_CLIENT_POLICY = ExtensionPolicy.webpki_defaults_ee().may_be_present(
    x509.SubjectAlternativeName, Criticality.AGNOSTIC, None
)
#: For a certificate that somebody else may have made, and that is looked at for its signature alone.
_ANY_POLICY = ExtensionPolicy.permit_all()


def verify_client(leaf: x509.Certificate, ca: x509.Certificate, at: datetime) -> None:
    """Raises `VerificationError` unless `leaf` is, at that moment, a client certificate that this CA signed."""
    _policy(ca, at, _CLIENT_POLICY).build_client_verifier().verify(leaf, [])


def verify_server(
    leaf: x509.Certificate, ca: x509.Certificate, at: datetime, name: x509.DNSName | x509.IPAddress
) -> None:
    """Raises `VerificationError` unless `leaf` is, at that moment, this CA's certificate for the server `name`."""
    _policy(ca, at, _SERVER_POLICY).build_server_verifier(name).verify(leaf, [])


def verify_issued(
    leaf: x509.Certificate, between: Sequence[x509.Certificate], ca: x509.Certificate, at: datetime
) -> None:
    """Raises `VerificationError` unless `leaf`, whatever it is for, follows from this CA by way of those `between`."""
    _policy(ca, at, _ANY_POLICY).build_client_verifier().verify(leaf, list(between))


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of its DER form: 64 lower-case hexadecimal digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def _policy(ca: x509.Certificate, at: datetime, leaf_policy: ExtensionPolicy) -> PolicyBuilder:
    builder = PolicyBuilder().store(Store([ca])).time(at)
    return builder.extension_policies(ca_policy=_CA_POLICY, ee_policy=leaf_policy)
