"""The certificates we make, built from scratch after one profile, and verified before they leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from taskrun.adapters.ca.chain import verify_client, verify_server
from taskrun.domain.certificates.life import Life
from taskrun.domain.errors import FailedPrecondition

#: Peers whose clocks are a little behind accept a new certificate all the same.
BACKDATED = timedelta(minutes=5)
CA_NAME = "TaskRun CA"
CA_LIFETIME = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Issuer:
    """A CA certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def moment(utc_ms: int) -> datetime:
    """Unix milliseconds as certificates tell the time: UTC, whole seconds."""
    return datetime.fromtimestamp(utc_ms // 1000, UTC)


def life_of(certificate: x509.Certificate) -> Life:
    """From the moment when it was issued, as far as it tells: it says that it began a little earlier than that."""
    begins, ends = certificate.not_valid_before_utc + BACKDATED, certificate.not_valid_after_utc
    return Life(*(int(at.timestamp()) * 1000 for at in (min(begins, ends), ends)))


def pem(certificate: x509.Certificate) -> bytes:
    """The certificate as one PEM block."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def self_signed_ca(key: ec.EllipticCurvePrivateKey, now: datetime) -> Issuer:
    """A CA that may sign end entities and no other CA, for ten years."""
    name = _name(CA_NAME)
    builder = (
        _builder(name, key.public_key(), now - BACKDATED, now + CA_LIFETIME)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
    )
    return Issuer(builder.sign(key, hashes.SHA256()), key)


def client_certificate(
    issuer: Issuer, cn: str, key: CertificatePublicKeyTypes, now: datetime, lifetime: timedelta, unit: str = ""
) -> x509.Certificate:
    """For clientAuth only; `unit` is the subject's organisational unit, if it is to have one.

    It ends with the CA at the latest; raises `FailedPrecondition` once that has expired.
    """
    builder = _end_entity(issuer, _name(cn, unit), key, now, lifetime, ExtendedKeyUsageOID.CLIENT_AUTH)
    certificate = builder.sign(issuer.key, hashes.SHA256())
    verify_client(certificate, issuer.certificate, now)
    return certificate


def server_certificate(
    issuer: Issuer,
    cn: str,
    key: CertificatePublicKeyTypes,
    now: datetime,
    lifetime: timedelta,
    names: Sequence[x509.DNSName | x509.IPAddress],
) -> x509.Certificate:
    """For serverAuth only, under these names. Ends and raises as `client_certificate`."""
    builder = _end_entity(issuer, _name(cn), key, now, lifetime, ExtendedKeyUsageOID.SERVER_AUTH)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = builder.sign(issuer.key, hashes.SHA256())
    for name in names:
        verify_server(certificate, issuer.certificate, now, name)
    return certificate


def _end_entity(
    issuer: Issuer,
    subject: x509.Name,
    key: CertificatePublicKeyTypes,
    now: datetime,
    lifetime: timedelta,
    usage: x509.ObjectIdentifier,
) -> x509.CertificateBuilder:
    ca = issuer.certificate
    if now >= ca.not_valid_after_utc:
        raise FailedPrecondition("The CA's certificate has expired: it signs nothing any more.")
    begins = max(now - BACKDATED, ca.not_valid_before_utc)
    ends = min(now + lifetime, ca.not_valid_after_utc)
    ca_key_id = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return (
        _builder(subject, key, begins, ends)
        # The very name in the CA's file: rebuilt, it would differ in an encoding one day and no chain would verify.
        .issuer_name(ca.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_key_id), critical=False)
    )


def _builder(
    name: x509.Name, key: CertificatePublicKeyTypes, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(cn: str, unit: str = "") -> x509.Name:
    units = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit)] if unit else []
    return x509.Name([*units, x509.NameAttribute(NameOID.COMMON_NAME, cn)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
