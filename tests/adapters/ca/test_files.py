from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import VerificationError

from taskrun.adapters.ca.certificates import pem
from taskrun.adapters.ca.chain import verify_client, verify_server
from taskrun.adapters.ca.files import LIFETIME, init_certs, load_ca, load_key_pair, load_server_pair
from taskrun.adapters.ca.identity import parse_peer
from taskrun.adapters.ca.keys import new_key, to_pem
from taskrun.domain.errors import FailedPrecondition, InvalidArgument
from taskrun.domain.identity import Role

NAMES = ["ca", "server", "worker", "client"]


def certificate(directory: Path, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((directory / f"{name}.crt").read_bytes())


def test_init_makes_four_pairs(certs: Path) -> None:
    assert {path.name for path in certs.iterdir()} == {f"{name}.{kind}" for name in NAMES for kind in ("crt", "key")}


def test_init_returns_what_it_made(tmp_path: Path) -> None:
    assert sorted(init_certs(tmp_path / "certs")) == sorted((tmp_path / "certs").iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_each_key_is_p256_and_private(certs: Path, name: str) -> None:
    pair = load_key_pair(certs / f"{name}.crt", certs / f"{name}.key")
    assert isinstance(pair.key, ec.EllipticCurvePrivateKey)
    assert isinstance(pair.key.curve, ec.SECP256R1)
    assert stat.S_IMODE((certs / f"{name}.key").stat().st_mode) == 0o600


def test_no_two_share_a_key(certs: Path) -> None:
    assert len({(certs / f"{name}.key").read_bytes() for name in NAMES}) == 4


def test_two_inits_share_nothing(certs: Path, tmp_path: Path) -> None:
    init_certs(tmp_path)
    assert (tmp_path / "worker.key").read_bytes() != (certs / "worker.key").read_bytes()
    with pytest.raises(VerificationError):
        verify_client(certificate(tmp_path, "worker"), certificate(certs, "ca"), datetime.now(UTC))


def test_a_chain_verifies_and_its_names_are_the_ca_file_s(certs: Path) -> None:
    ca = certificate(certs, "ca")
    for name in ("worker", "client"):
        verify_client(certificate(certs, name), ca, datetime.now(UTC))
        assert certificate(certs, name).issuer.public_bytes() == ca.subject.public_bytes()


def test_the_ca_may_sign_end_entities_and_nothing_else(certs: Path) -> None:
    extensions = certificate(certs, "ca").extensions
    basics = extensions.get_extension_for_class(x509.BasicConstraints)
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert (basics.critical, basics.value.ca, basics.value.path_length) == (True, True, 0)
    assert (usage.critical, usage.value.key_cert_sign, usage.value.digital_signature) == (True, True, False)


def test_the_server_is_known_by_its_real_names(certs: Path) -> None:
    server, ca, now = certificate(certs, "server"), certificate(certs, "ca"), datetime.now(UTC)
    for host in ("localhost", "control.example.com"):
        verify_server(server, ca, now, x509.DNSName(host))
    for address in ("127.0.0.1", "::1", "192.0.2.7"):
        verify_server(server, ca, now, x509.IPAddress(ip_address(address)))


def test_the_server_is_not_known_by_another_name(certs: Path) -> None:
    with pytest.raises(VerificationError):
        verify_server(
            certificate(certs, "server"), certificate(certs, "ca"), datetime.now(UTC), x509.DNSName("example.com")
        )


@pytest.mark.parametrize(
    ("name", "usage"),
    [
        ("server", ExtendedKeyUsageOID.SERVER_AUTH),
        ("worker", ExtendedKeyUsageOID.CLIENT_AUTH),
        ("client", ExtendedKeyUsageOID.CLIENT_AUTH),
    ],
)
def test_each_certificate_has_one_use(certs: Path, name: str, usage: x509.ObjectIdentifier) -> None:
    extensions = certificate(certs, name).extensions
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [usage]
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_worker_and_client_carry_their_roles(certs: Path) -> None:
    worker, client = (parse_peer((certs / name).read_bytes()) for name in ("worker.crt", "client.crt"))
    assert (worker.role, worker.name) == (Role.WORKER, "local")
    assert (client.role, client.name) == (Role.ADMIN, "admin")


def test_validity_is_exact_to_the_second_and_begins_a_little_earlier(tmp_path: Path) -> None:
    now = datetime(2026, 3, 4, 15, 16, 17, 999, UTC)
    init_certs(tmp_path, now=now)
    worker = certificate(tmp_path, "worker")
    assert worker.not_valid_before_utc == datetime(2026, 3, 4, 15, 11, 17, tzinfo=UTC)
    assert worker.not_valid_after_utc == datetime(2026, 3, 4, 15, 16, 17, tzinfo=UTC) + LIFETIME


def test_init_never_overwrites(tmp_path: Path) -> None:
    init_certs(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(FailedPrecondition, match="exists already"):
        init_certs(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_init_beside_one_old_file_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "client.key").touch()
    with pytest.raises(FailedPrecondition, match=r"client\.key"):
        init_certs(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["client.key"]


def test_a_host_given_twice_is_named_once(tmp_path: Path) -> None:
    init_certs(tmp_path, ["localhost", "a.example", "a.example"])
    names = certificate(tmp_path, "server").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "a.example"]


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        "https://a.example",
        "a.example:50051",
        "[::1]",
        "a..example",
        "-a",
        "ü.example",
        "256.1.1.1",
        "*",
        "a\n",
    ],
)
def test_a_malformed_host_is_refused_and_nothing_is_written(tmp_path: Path, host: str) -> None:
    with pytest.raises(InvalidArgument, match="no DNS name or IP address"):
        init_certs(tmp_path, [host])
    assert list(tmp_path.iterdir()) == []


def test_a_pair_that_does_not_belong_together_is_refused(certs: Path) -> None:
    with pytest.raises(FailedPrecondition, match=r"worker\.key is not the key of .*server\.crt"):
        load_key_pair(certs / "server.crt", certs / "worker.key")


def test_an_expired_certificate_is_refused_with_its_end(certs: Path) -> None:
    later = datetime.now(UTC) + timedelta(days=366)
    with pytest.raises(FailedPrecondition, match=r"server\.crt expired at 20"):
        load_key_pair(certs / "server.crt", certs / "server.key", now=later)


def test_a_certificate_from_the_future_asks_about_the_clock(certs: Path) -> None:
    with pytest.raises(FailedPrecondition, match="clock"):
        load_key_pair(certs / "server.crt", certs / "server.key", now=datetime(2020, 1, 1, tzinfo=UTC))


def test_a_key_with_a_password_is_refused(certs: Path, tmp_path: Path) -> None:
    locked = new_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (tmp_path / "locked.key").write_bytes(locked)
    (tmp_path / "locked.key").chmod(0o600)
    with pytest.raises(FailedPrecondition, match=r"locked\.key holds no private key"):
        load_key_pair(certs / "server.crt", tmp_path / "locked.key")


def test_a_file_that_is_no_certificate_is_refused(certs: Path) -> None:
    with pytest.raises(FailedPrecondition, match=r"server\.key holds no certificate"):
        load_key_pair(certs / "server.key", certs / "server.key")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b"-----BEGIN CERTIFICATE-----\nMIIB"),
        (b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        (b"-----BEGIN CERTIFICATE-----\nMIIB\n", b""),
        (b"\x00" * 300, b""),
        (b"-----END CERTIFICATE-----", b""),
    ],
    ids=["the begin of one", "one of nonsense", "the begin of one before", "zeros before", "no end of line before"],
)
def test_a_file_with_more_than_a_certificate_that_nobody_can_read_is_named(
    certs: Path, tmp_path: Path, before: bytes, after: bytes
) -> None:
    path = tmp_path / "odd.crt"
    path.write_bytes(before + (certs / "server.crt").read_bytes() + after)
    with pytest.raises(FailedPrecondition, match=r"odd\.crt holds .* read"):
        load_key_pair(path, certs / "server.key")
    with pytest.raises(FailedPrecondition, match=r"odd\.crt holds .* read"):
        load_ca(path)


@pytest.mark.parametrize("beside", [b"# for the office\n", b"Subject: CN=caf\xc3\xa9\n"])
def test_words_beside_a_certificate_are_no_harm(certs: Path, tmp_path: Path, beside: bytes) -> None:
    path = tmp_path / "good.crt"
    path.write_bytes(beside + (certs / "server.crt").read_bytes() + beside)
    assert load_key_pair(path, certs / "server.key").certificate_pem == load_ca(path) == path.read_bytes()


def test_a_missing_key_is_named(certs: Path) -> None:
    with pytest.raises(FailedPrecondition, match=r"none\.key is missing"):
        load_key_pair(certs / "server.crt", certs / "none.key")


def test_a_key_pair_does_not_show_its_key(certs: Path) -> None:
    pair = load_key_pair(certs / "worker.crt", certs / "worker.key")
    assert repr(pair) == "KeyPair(CN=worker:local)"


def test_a_server_certificate_of_somebody_else_s_making_is_taken_if_peers_would_take_it(
    certs: Path, tmp_path: Path
) -> None:
    ca, key = load_key_pair(certs / "ca.crt", certs / "ca.key"), new_key()
    assert isinstance(ca.key, ec.EllipticCurvePrivateKey)
    now = datetime.now(UTC)
    bare = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(ca.certificate.subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("plane.example.org")]), critical=False)
        .sign(ca.key, hashes.SHA256())
    )
    (tmp_path / "server.crt").write_bytes(pem(bare))
    (tmp_path / "server.key").write_bytes(to_pem(key))
    (tmp_path / "server.key").chmod(0o600)
    pair = load_server_pair(tmp_path / "server.crt", tmp_path / "server.key", certs / "ca.crt")
    assert pair.certificate == bare


def test_a_server_s_certificate_is_for_servers_and_follows_from_its_ca(certs: Path, tmp_path: Path) -> None:
    init_certs(tmp_path)
    load_server_pair(certs / "server.crt", certs / "server.key", certs / "ca.crt")
    with pytest.raises(FailedPrecondition, match="was not signed by the CA"):
        load_server_pair(certs / "server.crt", certs / "server.key", tmp_path / "ca.crt")
    with pytest.raises(FailedPrecondition, match="is no certificate for servers"):
        load_server_pair(certs / "worker.crt", certs / "worker.key", certs / "ca.crt")
    (tmp_path / "ca.crt").write_text("no CA")
    with pytest.raises(FailedPrecondition, match="cannot be read"):
        load_server_pair(certs / "server.crt", certs / "server.key", tmp_path / "ca.crt")
