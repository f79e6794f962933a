"""What a failed call tells its caller: what the control plane said, or why nobody said anything."""

from __future__ import annotations

from typing import Any

import grpc

from taskrun.adapters.grpc.address import Address
from taskrun.adapters.grpc.errors import error_of
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
    ("Connection refused", "nothing listens there"),
    ("No route to host", "there is no way to it"),
    ("Network is unreachable", "there is no way to it"),
    ("errors resolving", "its name is unknown"),
    ("DNS resolution failed", "its name is unknown"),
    ("Socket closed", _HUNG_UP),
    ("Connection reset", _HUNG_UP),
    ("Broken pipe", _HUNG_UP),
    ("ping timeout", "it stopped answering"),
    ("keepalive", "it stopped answering"),
    ("Deadline Exceeded", "it did not answer in time"),
    ("failed to connect", "it does not answer"),
)


def failure(error: Any, address: Address, cert_pem: bytes, *, accepted: bool = False) -> TaskRunError:
    """The error behind a failed call: a `grpc.RpcError`, of either kind of channel.

    `accepted` says that the control plane had let the caller in: his certificate is not what ended the connection.
    """
    code, details = error.code(), error.details() or ""
    if code not in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}:
        return error_of(code, details)
    reason = next((meaning for needle, meaning in _REASONS if needle in details), None)
    if reason is None:
        return error_of(code, details)
    if accepted:
        return Unavailable(f"Lost {address}: {_BROKE if reason == _HUNG_UP else reason}.")
    return certificate_fault(cert_pem) or Unavailable(f"Cannot reach {address}: {reason}.")
