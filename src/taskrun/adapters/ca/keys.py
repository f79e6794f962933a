"""Which keys and hashes are good enough: one rule for requests, for peers and for the CA itself."""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

#: The elliptic curves that gRPC connects with and that we accept (P-521, secp256k1 and Ed25519 fail its handshake).
CURVES = (ec.SECP256R1, ec.SECP384R1)
HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
#: Below: weak, though gRPC's handshake takes 1024 bits. Above: a way to keep us computing.
RSA_BITS = range(2048, 4097)


def new_key() -> ec.EllipticCurvePrivateKey:
    """A fresh P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def to_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The private key as unencrypted PKCS #8."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def is_strong(key: CertificatePublicKeyTypes, *, allow_rsa: bool) -> bool:
    """Whether the key is P-256 or P-384 or, if allowed, RSA of 2048 to 4096 bits."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return isinstance(key.curve, CURVES)
    return allow_rsa and isinstance(key, rsa.RSAPublicKey) and key.key_size in RSA_BITS
