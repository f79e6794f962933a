"""A certificate request, as a CA reads it from anybody."""

from __future__ import annotations

from contextlib import suppress

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from fuzz.target import Target
from taskrun.adapters.ca.csr import requested_key
from taskrun.domain.errors import InvalidArgument
from taskrun.testing.contracts.authority import VAIN_REQUESTS, make_request

_P256 = ec.generate_private_key(ec.SECP256R1())


def _take(case: bytes) -> None:
    for allow_rsa in (False, True):
        with suppress(InvalidArgument):
            key = requested_key(case, allow_rsa=allow_rsa)
            assert isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey)
            assert key.key_size >= 256


TARGET = Target(
    _take,
    {
        "p256": make_request(_P256),
        "p384": make_request(ec.generate_private_key(ec.SECP384R1())),
        "rsa_2048": make_request(rsa.generate_private_key(65537, 2048)),
        **{wish: make(_P256) for wish, make in VAIN_REQUESTS.items()},
    },
)
