"""Errors between the domain and gRPC: one mapping, both ways."""

from __future__ import annotations

from typing import Any

import grpc

from taskrun.domain import errors

S = grpc.StatusCode

#: Any error has the status of the nearest of its classes that is in here.
_STATUSES: dict[type[errors.TaskRunError], S] = {
    errors.TaskRunError: S.INTERNAL,
    errors.InvalidArgument: S.INVALID_ARGUMENT,
    errors.NotFound: S.NOT_FOUND,
    errors.FailedPrecondition: S.FAILED_PRECONDITION,
    errors.AlreadyExists: S.ALREADY_EXISTS,
    errors.Unauthenticated: S.UNAUTHENTICATED,
    errors.PermissionDenied: S.PERMISSION_DENIED,
    errors.ResourceExhausted: S.RESOURCE_EXHAUSTED,
    # What was said may be fine; it was not its turn.
    errors.ProtocolViolation: S.FAILED_PRECONDITION,
    errors.Unavailable: S.UNAVAILABLE,
}
#: What a caller makes of a status. Any other is an error that names no one at fault.
_ERRORS: dict[S, type[errors.TaskRunError]] = {
    **{status: error for error, status in _STATUSES.items() if error is not errors.ProtocolViolation},
    S.DEADLINE_EXCEEDED: errors.Unavailable,
    S.CANCELLED: errors.Unavailable,
    S.OUT_OF_RANGE: errors.InvalidArgument,
    # The other side lacks what a newer one has.
    S.UNIMPLEMENTED: errors.FailedPrecondition,
}
_BY_NUMBER = {status.value[0]: status for status in S}

#: Goes with UNAVAILABLE where that is our word and not gRPC's. `Unavailable` promises that nothing was changed; gRPC,
#: which says the same status for a connection that broke, does not.
_UNCHANGED = "taskrun-unchanged"

#: Bytes. gRPC sends details in a header, escaped to up to three times their length; all headers together have 8 KiB.
MAX_DETAILS = 2000


def status_of(error: errors.TaskRunError) -> S:
    """The status that says this error."""
    return next(_STATUSES[kind] for kind in type(error).__mro__ if kind in _STATUSES)


def details_of(error: errors.TaskRunError) -> str:
    """The error's message, in a length that can be sent. A fault of our own is nobody's business."""
    if status_of(error) is S.INTERNAL:
        return "internal error"
    message = error.message
    encoded = message.encode(errors="replace")
    return (
        message if len(encoded) <= MAX_DETAILS and message.isascii() else encoded[:MAX_DETAILS].decode(errors="ignore")
    )


def trailer_of(error: errors.TaskRunError) -> tuple[tuple[str, str], ...]:
    """The trailing metadata that goes with the status."""
    unchanged = isinstance(error, errors.Unavailable) and not isinstance(error, errors.Unconfirmed)
    return ((_UNCHANGED, "1"),) if unchanged else ()


def is_unchanged(failed: Any) -> bool:
    """Whether a `grpc.RpcError` is a control plane's own word that it did nothing, now."""
    return _UNCHANGED in dict(failed.trailing_metadata() or ())


def error_of(status: S | int, details: str) -> errors.TaskRunError:
    """The error that a status, or its number in `google.rpc.Code`, says."""
    known = _BY_NUMBER.get(status) if isinstance(status, int) else status
    return _ERRORS.get(known or S.UNKNOWN, errors.TaskRunError)(details)
