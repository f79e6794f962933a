"""A certificate authority for tests, free to make bad certificates."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from taskrun.adapters.grpc.tls import ClientTls, ServerTls
from taskrun.domain.identity import Role

HOUR = timedelta(hours=1)


def always(tls: ClientTls) -> Callable[[], ClientTls]:
    """What a worker shows that never renews its certificate."""
    return lambda: tls


class MiniCa:
    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")])
        now = datetime.now(UTC)
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def server(self, *hosts: str) -> ServerTls:
        names = [_host(host) for host in hosts or ("localhost", "::1", "127.0.0.1")]
        return ServerTls(self.pem, *self._issue("server", ExtendedKeyUsageOID.SERVER_AUTH, san=names))

    def client(
        self, common_name: str = "client:admin", age: timedelta = HOUR, lasts: timedelta = HOUR, unit: str = ""
    ) -> ClientTls:
        issued = self._issue(common_name, ExtendedKeyUsageOID.CLIENT_AUTH, age, lasts, unit=unit)
        return ClientTls(self.pem, *issued)

    def of(self, role: Role) -> ClientTls:
        """The certificate of somebody in this role."""
        return self.worker() if role is Role.WORKER else self.client("client:someone", unit=f"role:{role.value}")

    def worker(self, worker_id: str = "w-1", age: timedelta = HOUR, lasts: timedelta = HOUR) -> ClientTls:
        return self.client(f"worker:{worker_id}", age, lasts)

    def _issue(
        self,
        common_name: str,
        usage: x509.ObjectIdentifier,
        age: timedelta = HOUR,
        lasts: timedelta = HOUR,
        san: list[x509.GeneralName] | None = None,
        unit: str = "",
    ) -> tuple[bytes, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        units = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit)] if unit else []
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([*units, x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - age)
            .not_valid_after(now + lasts)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        )
        if san:
            builder = builder.add_extension(x509.SubjectAlternativeName(san), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return (
            certificate.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
