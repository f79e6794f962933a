from __future__ import annotations

from base64 import encodebytes
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from taskrun.adapters.ca.identity import parse_peer
from taskrun.adapters.ca.keys import new_key
from taskrun.domain.errors import PermissionDenied, TaskRunError, Unauthenticated
from taskrun.domain.identity import Role

CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
ENDS = datetime(2036, 1, 2, 3, 4, 5, tzinfo=UTC)
CA_KEY = new_key()


def peer(
    *common_names: str,
    key: CertificatePublicKeyTypes | None = None,
    usages: Sequence[x509.ObjectIdentifier] = (CLIENT,),
    organisation: str = "",
    units: Sequence[str] = (),
) -> bytes:
    """A certificate such as a careless CA might have signed, and the handshake would let pass."""
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, cn) for cn in common_names]
    if organisation:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    parts += [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit) for unit in units]
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(parts))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "some CA")]))
        .public_key(key or new_key().public_key())
        .serial_number(0xBEEF)
        .not_valid_before(ENDS - timedelta(days=7))
        .not_valid_after(ENDS)
    )
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return builder.sign(CA_KEY, hashes.SHA256()).public_bytes(Encoding.PEM)


def test_a_worker_is_known_by_its_common_name() -> None:
    identity = parse_peer(peer("worker:w-1"))
    assert (identity.role, identity.name) == (Role.WORKER, "w-1")


def test_a_client_is_known_by_its_common_name() -> None:
    identity = parse_peer(peer("client:Ann.O_Nym-1@example"))
    assert identity.name == "Ann.O_Nym-1@example"


@pytest.mark.parametrize("role", [Role.READ, Role.SUBMIT, Role.ADMIN])
def test_a_clients_role_is_an_organisational_unit(role: Role) -> None:
    assert parse_peer(peer("client:ann", units=["Sales", f"role:{role.value}"])).role is role


@pytest.mark.parametrize("units", [[], ["Engineering"], ["admin"], ["read"]])
def test_a_client_that_tells_no_role_may_what_it_always_could(units: list[str]) -> None:
    assert parse_peer(peer("client:ann", units=units)).role is Role.ADMIN


@pytest.mark.parametrize(
    "units",
    [
        ["role:root"],
        ["role:"],
        ["role:worker"],
        ["role:nobody"],
        ["Role:read"],
        ["role:READ"],
        ["role:read "],
        ["role:read", "role:admin"],
        ["role:read", "role:read"],
        ["role:read\x00"],
    ],
)
def test_a_client_that_tells_a_crooked_role_is_nobody(units: list[str]) -> None:
    with pytest.raises(Unauthenticated, match="must tell one role"):
        parse_peer(peer("client:ann", units=units))


def test_a_worker_cannot_tell_a_clients_role() -> None:
    with pytest.raises(Unauthenticated, match="no client's role"):
        parse_peer(peer("worker:w-1", units=["role:admin"]))


def test_an_identity_says_when_it_ends_and_which_certificate_it_is() -> None:
    identity = parse_peer(peer("worker:w-1"))
    assert (identity.not_after_ms, identity.serial) == (int(ENDS.timestamp()) * 1000, "beef")


def test_an_old_worker_s_id_may_hold_capitals_and_underscores() -> None:
    assert parse_peer(peer("worker:Old_Worker-1")).name == "Old_Worker-1"


def test_other_parts_of_the_subject_mean_nothing() -> None:
    assert parse_peer(peer("worker:w-1", organisation="worker:victim")).name == "w-1"


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["worker:a", "worker:b"],
        ["worker:a", "worker:a"],
        ["worker:victim\x00.evil"],
        ["worker:\x00"],
        ["worker:victim\n"],
        ["worker:victim\u202e"],
        ["worker:"],
        ["client:"],
        ["worker"],
        ["w-1"],
        ["Worker:w-1"],
        [" worker:w-1"],
        ["admin:w-1"],
        ["worker:client:admin"],
        ["worker:\u0432\u043eker"],
        ["worker:-"],
        ["client:a\x7f"],
        ["client:a b"],
        ["client:é"],
    ],
)
def test_a_subject_that_names_nobody_is_refused(names: list[str]) -> None:
    with pytest.raises(Unauthenticated):
        parse_peer(peer(*names))


@pytest.mark.parametrize("usages", [[], [SERVER], [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]])
def test_a_certificate_that_is_not_for_clients_is_refused(usages: list[x509.ObjectIdentifier]) -> None:
    with pytest.raises(PermissionDenied):
        parse_peer(peer("worker:w-1", usages=usages))


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 1024).public_key(),
        ec.generate_private_key(ec.SECP521R1()).public_key(),
        ec.generate_private_key(ec.SECP256K1()).public_key(),
    ],
    ids=["rsa_1024", "p521", "secp256k1"],
)
def test_a_weak_or_odd_key_is_refused_though_the_handshake_took_it(key: CertificatePublicKeyTypes) -> None:
    with pytest.raises(PermissionDenied, match="key must be"):
        parse_peer(peer("worker:w-1", key=key))


@pytest.mark.parametrize(
    "key",
    [rsa.generate_private_key(65537, 2048).public_key(), ec.generate_private_key(ec.SECP384R1()).public_key()],
    ids=["rsa_2048", "p384"],
)
def test_a_strong_key_is_accepted(key: CertificatePublicKeyTypes) -> None:
    assert parse_peer(peer("worker:w-1", key=key)).name == "w-1"


@given(st.binary(max_size=500))
@settings(deadline=None)
def test_what_is_no_certificate_is_refused(noise: bytes) -> None:
    with pytest.raises(Unauthenticated):
        parse_peer(noise)


GOOD = x509.load_pem_x509_certificate(peer("worker:w-1")).public_bytes(Encoding.DER)


# A damaged serial number makes `cryptography` warn of its future.
@pytest.mark.filterwarnings("ignore")
@given(position=st.integers(0, len(GOOD) - 1), flip=st.integers(1, 255))
@settings(deadline=None)
def test_a_damaged_certificate_is_an_identity_or_a_clear_error(position: int, flip: int) -> None:
    damaged = bytearray(GOOD)
    damaged[position] ^= flip
    body = encodebytes(bytes(damaged))
    try:
        parse_peer(b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n")
    except TaskRunError as error:
        assert isinstance(error, Unauthenticated | PermissionDenied)  # noqa: PT017
