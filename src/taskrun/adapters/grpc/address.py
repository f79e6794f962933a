"""Where a gRPC server listens or is found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from taskrun.domain.errors import InvalidArgument

DEFAULT_PORT = 50051


@dataclass(frozen=True, slots=True)
class Address:
    """A host, without brackets, and a port."""

    host: str
    port: int

    @property
    def target(self) -> str:
        """The form that gRPC takes."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine without doubt."""
        return self.host in {"localhost", "::1"} or self.host.startswith("127.")

    def __str__(self) -> str:
        return f"https://{self.target}"


def parse_address(text: str) -> Address:
    """Reads `https://host:port`, `host:port` or `[::1]:port`; the port is 50051 unless given.

    Raises `InvalidArgument` for anything else.
    """
    scheme, separator, rest = text.rpartition("://")
    if scheme == "http":
        raise InvalidArgument(f"{text!r} asks for a connection without TLS, and there is none: write https://{rest}")
    if separator and scheme != "https":
        raise _malformed(text)
    try:
        parts = urlsplit(f"//{rest}")
        port = parts.port
    except ValueError:
        raise _malformed(text) from None
    # An IPv6 address without brackets reads as a host and a port that nobody meant.
    bare_ipv6 = rest.count(":") > 1 and not rest.startswith("[")
    if not parts.hostname or bare_ipv6 or parts.netloc != rest.rstrip("/") or "@" in rest:
        raise _malformed(text)
    return Address(parts.hostname, DEFAULT_PORT if port is None else port)


def split_addresses(given: str | Iterable[str]) -> tuple[str, ...]:
    """Several addresses, one a text or, with commas or spaces between them, several; each once, in their order."""
    texts = [given] if isinstance(given, str) else given
    return tuple(dict.fromkeys(part for text in texts for part in text.replace(",", " ").split()))


def parse_addresses(given: str | Iterable[str]) -> tuple[Address, ...]:
    """Reads what `split_addresses` takes. Raises `InvalidArgument` for what is no address, and if there is none."""
    addresses = tuple(dict.fromkeys(map(parse_address, split_addresses(given))))
    if not addresses:
        raise InvalidArgument("There is no address: write https://host:port.")
    return addresses


def _malformed(text: str) -> InvalidArgument:
    return InvalidArgument(f"{text!r} is no address: write https://host:port or https://[::1]:port.")
