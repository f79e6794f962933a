"""What a failed call tells its caller: what the control plane said, or why nobody said anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from taskrun.adapters.grpc.address import Address
from taskrun.adapters.grpc.errors import error_of, is_unchanged
from taskrun.adapters.grpc.own_certificate import certificate_fault
from taskrun.domain.errors import TaskRunError, Unavailable

_WRONG_CA = "its certificate was not signed by the CA that is expected here"
_HUNG_UP = "it closed the connection, as it does when it does not accept a certificate"
_BROKE = "the connection broke"

#: What gRPC itself says when there is no connection, and what it means. The first that fits counts.
_REASONS = (
    ("certificate has expired", "its certificate has expired"),
    ("certificate is not yet valid", "its certificate is not valid yet, by the clock of this machine"),
    ("Hostname Verification Check failed", "its certificate is for another name"),
    ("CERTIFICATE_VERIFY_FAILED", _WRONG_CA),
    ("certificate signature failure", _WRONG_CA),
    ("Failed to create security handshaker", "the certificate, key or CA given here cannot be used"),
    ("WRONG_VERSION_NUMBER", "what listens there does not speak TLS"),
    ("missing selected ALPN property", "what listens there does not speak gRPC: is it the HTTP address?"),
    ("Connection refused", "nothing listens there"),
    ("No route to host", "there is no way to it"),
    ("Network is unreachable", "there is no way to it"),
    ("errors resolving", "its name is unknown"),
    ("DNS resolution failed", "its name is unknown"),
    ("Socket closed", _HUNG_UP),
    ("Connection reset", _HUNG_UP),
    ("Broken pipe", _HUNG_UP),
    ("Cancelling all calls", "it was stopped"),
    ("ping timeout", "it stopped answering"),
    ("keepalive", "it stopped answering"),
    ("Deadline Exceeded", "it did not answer in time"),
    ("failed to connect", "it does not answer"),
)


#: What gRPC says when a call has not left this machine: there was no connection to send it over.
_NEVER_SENT = ("failed to connect to all addresses", "errors resolving", "DNS resolution failed")


class Fate(Enum):
    """What became of a call that failed."""

    #: Somebody said no, or the caller's own certificate is at fault: it would be the same elsewhere.
    REFUSED = "refused"
    #: Nobody was reached, or whoever was does nothing now.
    UNDONE = "undone"
    #: It may have been done.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed call at one address."""

    #: What its caller is told, if no other address is asked.
    error: TaskRunError
    fate: Fate
    address: Address
    #: The same without the address: what follows it and a colon.
    reason: str

    def __str__(self) -> str:
        return f"{self.address}: {self.reason}"


def failure(error: Any, address: Address, cert_pem: bytes, *, accepted: bool = False) -> Failure:
    """What is behind a failed call: a `grpc.RpcError`, of either kind of channel.

    `accepted` says that the control plane had let the caller in: his certificate is not what ended the connection.
    """
    details = error.details() or ""
    said = error_of(error.code(), details)
    if not isinstance(said, Unavailable):
        return Failure(said, Fate.REFUSED, address, details)
    if is_unchanged(error):
        return Failure(said, Fate.UNDONE, address, details.removesuffix("."))
    fate = Fate.UNDONE if details.startswith(_NEVER_SENT) else Fate.UNKNOWN
    reason = next((meaning for needle, meaning in _REASONS if needle in details), None)
    if reason is None:
        return Failure(said, fate, address, details.removesuffix("."))
    return _lost(address, fate, reason) if accepted else _not_reached(address, fate, reason, cert_pem)


def _lost(address: Address, fate: Fate, reason: str) -> Failure:
    reason = _BROKE if reason == _HUNG_UP else reason
    return Failure(Unavailable(f"Lost {address}: {reason}."), fate, address, reason)


def _not_reached(address: Address, fate: Fate, reason: str, cert_pem: bytes) -> Failure:
    fault = certificate_fault(cert_pem)
    if fault is not None:
        return Failure(fault, Fate.REFUSED, address, fault.message)
    return Failure(Unavailable(f"Cannot reach {address}: {reason}."), fate, address, reason)


def united(failures: Sequence[Failure]) -> TaskRunError:
    """One error for a call that failed at each of these addresses, at least one: it names each, and says why."""
    if len(failures) == 1:
        return failures[0].error
    return Unavailable(f"No control plane can be reached: {'; '.join(map(str, failures))}.")
