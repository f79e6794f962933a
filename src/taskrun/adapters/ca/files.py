"""The certificate files: what `taskrun init` makes, and how a certificate with its key is loaded again."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import VerificationError

from taskrun.adapters.ca.certificates import client_certificate, pem, self_signed_ca, server_certificate
from taskrun.adapters.ca.chain import verify_client, verify_issued
from taskrun.adapters.ca.disk import create_all, read_private, read_public
from taskrun.adapters.ca.hosts import is_dns_name
from taskrun.adapters.ca.identity import ROLE_UNIT
from taskrun.adapters.ca.keys import new_key, to_pem
from taskrun.adapters.ca.malformed import MALFORMED
from taskrun.domain.errors import FailedPrecondition, InvalidArgument
from taskrun.domain.identity import Role

#: A server certificate always holds these names.
LOCAL_HOSTS = ("localhost", "::1", "127.0.0.1")
#: Of the certificates that `init_certs` makes; the CA's is in `certificates`.
LIFETIME = timedelta(days=365)
#: The peers that `init_certs` makes: file name, identity and organisational unit.
PEERS = {"worker": ("worker:local", ""), "client": ("client:admin", f"{ROLE_UNIT}{Role.ADMIN.value}")}

#: All that it makes.
CERT_FILES = tuple(f"{name}.{kind}" for name in ("ca", "server", *PEERS) for kind in ("crt", "key"))


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate with its private key, as objects and as the files hold them."""

    certificate: x509.Certificate
    key: PrivateKeyTypes
    certificate_pem: bytes
    key_pem: bytes

    def __repr__(self) -> str:
        """Without the key."""
        return f"KeyPair({self.certificate.subject.rfc4514_string()})"


def init_certs(directory: Path, hosts: Sequence[str] = (), *, now: datetime | None = None) -> list[Path]:
    """Makes ca, server, worker and client `.crt` and `.key` in `directory` and returns their paths.

    The server's certificate holds `LOCAL_HOSTS` and `hosts` (DNS names or IP addresses). Raises `InvalidArgument`
    for a malformed host, and `FailedPrecondition` rather than overwrite: then nothing was written.
    """
    names = [_host_name(host) for host in dict.fromkeys((*LOCAL_HOSTS, *hosts))]
    now = (now or datetime.now(UTC)).replace(microsecond=0)
    keys = {name: new_key() for name in ("ca", "server", *PEERS)}
    ca = self_signed_ca(keys["ca"], now)
    certificates = {
        "ca": ca.certificate,
        "server": server_certificate(ca, "server", keys["server"].public_key(), now, LIFETIME, names),
        **{
            name: client_certificate(ca, identity, keys[name].public_key(), now, LIFETIME, unit)
            for name, (identity, unit) in PEERS.items()
        },
    }
    files: dict[str, bytes] = {}
    for name, certificate in certificates.items():
        files |= {f"{name}.crt": pem(certificate), f"{name}.key": to_pem(keys[name])}
    return create_all(directory, files)


def check_certs(directory: Path, *, now: datetime | None = None) -> None:
    """Raises `FailedPrecondition`, which names a file, unless all that `init_certs` makes is there and good."""
    now = now or datetime.now(UTC)
    ca = load_key_pair(directory / "ca.crt", directory / "ca.key", now=now)
    load_server_pair(directory / "server.crt", directory / "server.key", directory / "ca.crt", now=now)
    for name in PEERS:
        path = directory / f"{name}.crt"
        try:
            verify_client(load_key_pair(path, path.with_suffix(".key"), now=now).certificate, ca.certificate, now)
        except (VerificationError, *MALFORMED) as error:
            raise FailedPrecondition(f"{path} is no client's certificate of the CA beside it.") from error


def load_ca(path: Path) -> bytes:
    """A file of CAs to trust, as it is. Raises `FailedPrecondition`, which names it, if no certificate can be read."""
    text, _ = _certificates(path)
    return text


def load_key_pair(certificate_path: Path, key_path: Path, *, now: datetime | None = None) -> KeyPair:
    """The certificate (the first of its file) and its key.

    Raises `FailedPrecondition`, one sentence that names the file, if one is missing or malformed, if others may read
    the key, if they do not belong together, or if the certificate is not valid now.
    """
    key_pem = read_private(key_path)
    certificate_pem, [certificate, *_] = _certificates(certificate_path)
    try:
        public_key = certificate.public_key()
    except MALFORMED as error:
        raise FailedPrecondition(f"{certificate_path} holds no certificate that can be read.") from error
    try:
        key = load_pem_private_key(key_pem, password=None)
    except MALFORMED as error:
        raise FailedPrecondition(f"{key_path} holds no private key that can be read without a password.") from error
    if key.public_key() != public_key:
        raise FailedPrecondition(f"{key_path} is not the key of {certificate_path}.")
    _check_validity(certificate, certificate_path, now or datetime.now(UTC))
    return KeyPair(certificate, key, certificate_pem, key_pem)


def load_server_pair(certificate_path: Path, key_path: Path, ca_path: Path, *, now: datetime | None = None) -> KeyPair:
    """A server's certificate and key, as `load_key_pair`; certificates after the first lead to the CA.

    Raises `FailedPrecondition` also for a certificate that no peer would accept: one that does not follow from the CA
    at `ca_path`, or that is not for servers.
    """
    now = now or datetime.now(UTC)
    pair = load_key_pair(certificate_path, key_path, now=now)
    try:
        _check_for_servers(pair.certificate, certificate_path)
        [ca, *_] = x509.load_pem_x509_certificates(read_public(ca_path))
        _, *between = x509.load_pem_x509_certificates(pair.certificate_pem)
        verify_issued(pair.certificate, between, ca, now)
    except VerificationError as error:
        raise FailedPrecondition(
            f"{certificate_path} was not signed by the CA {ca_path}: workers and clients would refuse it."
        ) from error
    except MALFORMED as error:
        raise FailedPrecondition(f"{certificate_path} or {ca_path} holds what cannot be read.") from error
    return pair


def _certificates(path: Path) -> tuple[bytes, list[x509.Certificate]]:
    """A file and its certificates. Who serves or calls with it reads it to its end, by OpenSSL, which says of nothing
    that it cannot read in which file that is."""
    text = read_public(path)
    try:
        certificates = x509.load_pem_x509_certificates(text)
    except MALFORMED as error:
        raise FailedPrecondition(f"{path} holds no certificate that can be read.") from error
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError as error:
        raise FailedPrecondition(
            f"{path} holds more than its certificate, and that cannot be read: was something copied to it in part?"
        ) from error
    return text, certificates


def _check_for_servers(certificate: x509.Certificate, path: Path) -> None:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        # It is for everything, then.
        return
    if not {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}.intersection(usages):
        raise FailedPrecondition(
            f"{path} is no certificate for servers (serverAuth): workers and clients would refuse it."
        )


def _check_validity(certificate: x509.Certificate, path: Path, now: datetime) -> None:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now >= ends:
        raise FailedPrecondition(f"The certificate {path} expired at {ends:%Y-%m-%d %H:%M:%S} UTC.")
    if now < begins:
        raise FailedPrecondition(
            f"The certificate {path} is valid from {begins:%Y-%m-%d %H:%M:%S} UTC on: is this machine's clock right?"
        )


def _host_name(host: str) -> x509.DNSName | x509.IPAddress:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        pass
    if not is_dns_name(host):
        raise InvalidArgument(f"{host!r} is no DNS name or IP address (give it without scheme and port).")
    return x509.DNSName(host.lower())
