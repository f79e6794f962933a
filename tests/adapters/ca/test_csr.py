from __future__ import annotations

from base64 import encodebytes

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from taskrun.adapters.ca.csr import MAX_REQUEST_BYTES, requested_key
from taskrun.domain.errors import InvalidArgument
from taskrun.testing.contracts.authority import BAD_REQUESTS, make_request

REQUEST = make_request()
DER = x509.load_pem_x509_csr(REQUEST).public_bytes(Encoding.DER)
SIGNED = x509.load_pem_x509_csr(REQUEST).tbs_certrequest_bytes


def test_rsa_is_refused_unless_enabled() -> None:
    request = make_request(rsa.generate_private_key(65537, 2048))
    with pytest.raises(InvalidArgument, match="P-256 or P-384"):
        requested_key(request)


def test_rsa_of_2048_bits_passes_if_enabled() -> None:
    key = rsa.generate_private_key(65537, 2048)
    assert requested_key(make_request(key), allow_rsa=True) == key.public_key()


def test_rsa_of_1024_bits_is_refused_even_so() -> None:
    with pytest.raises(InvalidArgument, match="2048"):
        requested_key(make_request(rsa.generate_private_key(65537, 1024)), allow_rsa=True)


@pytest.mark.parametrize("fault", BAD_REQUESTS)
@pytest.mark.parametrize("allow_rsa", [False, True])
def test_no_bad_request_has_a_key_for_anybody(fault: str, allow_rsa: bool) -> None:
    with pytest.raises(InvalidArgument):
        requested_key(BAD_REQUESTS[fault](), allow_rsa=allow_rsa)


def test_a_request_of_exactly_the_limit_passes() -> None:
    requested_key(REQUEST.ljust(MAX_REQUEST_BYTES, b"\n"))


def test_a_byte_more_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="8 KiB"):
        requested_key(REQUEST.ljust(MAX_REQUEST_BYTES + 1, b"\n"))


def test_line_ends_of_windows_pass() -> None:
    requested_key(REQUEST.replace(b"\n", b"\r\n"))


@settings(deadline=None)
@given(position=st.integers(0, len(SIGNED) - 1), flip=st.integers(1, 255))
def test_a_request_with_any_signed_byte_changed_is_refused(position: int, flip: int) -> None:
    changed = bytearray(SIGNED)
    changed[position] ^= flip
    with pytest.raises(InvalidArgument):
        requested_key(_as_pem(DER.replace(SIGNED, changed)))


@settings(deadline=None)
@given(st.binary(max_size=2000))
def test_random_bytes_are_refused_by_name(noise: bytes) -> None:
    for request in (noise, _as_pem(noise)):
        with pytest.raises(InvalidArgument):
            requested_key(request)


def _as_pem(der: bytes) -> bytes:
    body = encodebytes(der)
    return b"-----BEGIN CERTIFICATE REQUEST-----\n" + body + b"-----END CERTIFICATE REQUEST-----\n"
