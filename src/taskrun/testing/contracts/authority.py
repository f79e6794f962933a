"""What every `CertificateAuthority` must do. A binding gives the `authority` fixture and the `clock` that it reads."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from taskrun.domain.errors import InvalidArgument
from taskrun.ports.authority import CertificateAuthority
from taskrun.ports.clock import Clock

Extension = TypeVar("Extension", bound=x509.ExtensionType)
RequestKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def make_request(
    key: RequestKey | None = None,
    *,
    common_names: Sequence[str] = ("anything",),
    extensions: Sequence[x509.ExtensionType] = (),
) -> bytes:
    """A certificate request as a stranger might send it, PEM; by default a good one with a fresh P-256 key."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn) for cn in common_names])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    key = key or ec.generate_private_key(ec.SECP256R1())
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM)


def forged_request() -> bytes:
    """A request whose signature was made by another key than the one in it."""
    victim, thief = (x509.load_pem_x509_csr(make_request()) for _ in range(2))
    der = victim.public_bytes(serialization.Encoding.DER)
    signature = victim.signature
    forged = der.replace(signature[-16:], thief.signature[-16:])
    return x509.load_der_x509_csr(forged).public_bytes(serialization.Encoding.PEM)


def _larger_than_8_kib() -> bytes:
    return make_request(common_names=["x" * 60] * 120)


#: A P-256 key's request; `cryptography` makes such signatures no more.
_SIGNED_WITH_SHA1 = b"""\
-----BEGIN CERTIFICATE REQUEST-----
MIHIMHECAQAwDzENMAsGA1UEAwwEc2hhMTBZMBMGByqGSM49AgEGCCqGSM49AwEH
A0IABJFOIc+ce+0tusC7gVZ0WcvIbo3x2LaTX9FR5foj6Um05FhFlOwzWfc/dF2Z
eXmihjzZaLSDOkVzabIi0DWBh8CgADAJBgcqhkjOPQQBA0gAMEUCIQCYAjOapzuu
C9Gv+XUKAIS49gQqZvAT/vSiN0PvaGJAsAIgPhKT6+6SKdVodUQatz1tPEE+L7Pm
f4Fn6rnavOEyQRw=
-----END CERTIFICATE REQUEST-----
"""

#: What no CA of ours signs.
BAD_REQUESTS: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "random_bytes": lambda: bytes(range(256)),
    "no_base64": lambda: b"-----BEGIN CERTIFICATE REQUEST-----\n====\n-----END CERTIFICATE REQUEST-----\n",
    "cut_short": lambda: b"\n".join([*make_request().splitlines()[:3], b"-----END CERTIFICATE REQUEST-----\n"]),
    "two_blocks": lambda: make_request() * 2,
    "text_around_it": lambda: b"Certificate Request:\n" + make_request(),
    "another_kind_of_block": lambda: make_request().replace(b"CERTIFICATE REQUEST", b"PUBLIC KEY"),
    "larger_than_8_kib": _larger_than_8_kib,
    "one_megabyte": lambda: make_request() + b"\n" * 1024 * 1024,
    "bad_signature": forged_request,
    "sha1": lambda: _SIGNED_WITH_SHA1,
    "p521": lambda: make_request(ec.generate_private_key(ec.SECP521R1())),
    "secp256k1": lambda: make_request(ec.generate_private_key(ec.SECP256K1())),
    "ed25519": lambda: make_request(ed25519.Ed25519PrivateKey.generate()),
    "rsa_1024": lambda: make_request(rsa.generate_private_key(65537, 1024)),
}

#: What a request may ask for in vain: it is signed, but only for its key.
VAIN_REQUESTS: dict[str, Callable[[RequestKey], bytes]] = {
    "another_worker": lambda key: make_request(key, common_names=["worker:victim"]),
    "a_client": lambda key: make_request(key, common_names=["client:admin"]),
    "nul_in_its_name": lambda key: make_request(key, common_names=["worker:victim\x00.evil"]),
    "two_names": lambda key: make_request(key, common_names=["worker:a", "worker:b"]),
    "no_name": lambda key: make_request(key, common_names=[]),
    "to_be_a_ca": lambda key: make_request(key, extensions=[x509.BasicConstraints(ca=True, path_length=None)]),
    "to_be_a_server": lambda key: make_request(
        key,
        extensions=[
            x509.SubjectAlternativeName([x509.DNSName("localhost")]),
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
        ],
    ),
    "any_use": lambda key: make_request(
        key, extensions=[x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])]
    ),
    "to_sign_code": lambda key: make_request(
        key, extensions=[x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])]
    ),
    "other_names": lambda key: make_request(
        key,
        extensions=[
            x509.SubjectAlternativeName(
                [
                    x509.DNSName("plane.example.org"),
                    x509.IPAddress(ip_address("192.0.2.7")),
                    x509.UniformResourceIdentifier("spiffe://example.org/client/admin"),
                    x509.RFC822Name("admin@example.org"),
                ]
            )
        ],
    ),
}


class AuthorityContract:
    """Sign it by subclassing with the fixtures `authority` and `clock`."""

    def test_its_fingerprint_is_the_sha256_of_its_certificate(self, authority: CertificateAuthority) -> None:
        der = _parsed(authority.certificate_pem()).public_bytes(serialization.Encoding.DER)
        assert authority.fingerprint() == hashlib.sha256(der).hexdigest()

    def test_a_certificate_holds_the_request_s_own_key(self, authority: CertificateAuthority) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        assert _sign(authority, make_request(key)).public_key() == key.public_key()

    def test_a_p384_key_is_as_good(self, authority: CertificateAuthority) -> None:
        key = ec.generate_private_key(ec.SECP384R1())
        assert _sign(authority, make_request(key)).public_key() == key.public_key()

    @pytest.mark.parametrize("wish", VAIN_REQUESTS)
    def test_the_name_is_the_given_one_whatever_the_request_asks(
        self, authority: CertificateAuthority, wish: str
    ) -> None:
        certificate = _sign(authority, VAIN_REQUESTS[wish](ec.generate_private_key(ec.SECP256R1())))
        assert [(part.oid, part.value) for part in certificate.subject] == [(NameOID.COMMON_NAME, "worker:w-1")]

    @pytest.mark.parametrize("wish", VAIN_REQUESTS)
    def test_no_extension_is_taken_from_the_request(self, authority: CertificateAuthority, wish: str) -> None:
        plain = _sign(authority, make_request())
        vain = _sign(authority, VAIN_REQUESTS[wish](ec.generate_private_key(ec.SECP256R1())))
        assert _kinds(vain) == _kinds(plain)
        assert not _extension(vain, x509.BasicConstraints).ca

    def test_a_certificate_is_for_client_authentication_only(self, authority: CertificateAuthority) -> None:
        certificate = _sign(authority, make_request())
        assert list(_extension(certificate, x509.ExtendedKeyUsage)) == [ExtendedKeyUsageOID.CLIENT_AUTH]

    def test_a_certificate_is_signed_by_the_ca(self, authority: CertificateAuthority) -> None:
        _sign(authority, make_request()).verify_directly_issued_by(_parsed(authority.certificate_pem()))

    def test_a_certificate_is_valid_now_and_for_seven_days_at_most(
        self, authority: CertificateAuthority, clock: Clock
    ) -> None:
        certificate = _sign(authority, make_request())
        now = datetime.fromtimestamp(clock.now().utc_ms // 1000, UTC)
        assert certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc <= now + timedelta(days=7)

    def test_no_certificate_outlives_the_ca(self, authority: CertificateAuthority) -> None:
        ca = _parsed(authority.certificate_pem())
        assert _sign(authority, make_request()).not_valid_after_utc <= ca.not_valid_after_utc

    def test_the_record_says_what_the_certificate_says(self, authority: CertificateAuthority) -> None:
        issued = authority.sign_worker(make_request(), "w-1")
        certificate = _parsed(issued.certificate_pem)
        assert int(issued.serial, 16) == certificate.serial_number
        assert issued.not_after_ms == certificate.not_valid_after_utc.timestamp() * 1000

    def test_the_same_request_gets_another_serial_each_time(self, authority: CertificateAuthority) -> None:
        request = make_request()
        assert len({authority.sign_worker(request, "w-1").serial for _ in range(5)}) == 5

    def test_the_check_of_a_good_request_tells_its_key(self, authority: CertificateAuthority) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        told = {authority.check_request(make_request(key, common_names=(name,))) for name in ("one", "two", "three")}
        public = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        assert told == {hashlib.sha256(key.public_key().public_bytes(*public)).digest()}
        assert authority.check_request(make_request()) not in told

    @pytest.mark.parametrize("fault", BAD_REQUESTS)
    def test_the_check_refuses_a_bad_request(self, authority: CertificateAuthority, fault: str) -> None:
        with pytest.raises(InvalidArgument):
            authority.check_request(BAD_REQUESTS[fault]())

    @pytest.mark.parametrize("fault", BAD_REQUESTS)
    def test_a_bad_request_is_not_signed(self, authority: CertificateAuthority, fault: str) -> None:
        with pytest.raises(InvalidArgument):
            authority.sign_worker(BAD_REQUESTS[fault](), "w-1")


def _sign(authority: CertificateAuthority, request: bytes) -> x509.Certificate:
    return _parsed(authority.sign_worker(request, "w-1").certificate_pem)


def _parsed(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def _kinds(certificate: x509.Certificate) -> set[x509.ObjectIdentifier]:
    return {extension.oid for extension in certificate.extensions}


def _extension(certificate: x509.Certificate, kind: type[Extension]) -> Extension:
    return certificate.extensions.get_extension_for_class(kind).value
