"""The keys and certificates of one end of a connection, each as PEM."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ServerTls:
    """What the server shows, and whom it lets in: peers whose certificate `ca_pem` signed."""

    ca_pem: bytes
    cert_pem: bytes
    key_pem: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ClientTls:
    """What a worker or caller shows, and whom it believes: servers whose certificate `ca_pem` signed, no others."""

    ca_pem: bytes
    cert_pem: bytes
    key_pem: bytes = field(repr=False)
