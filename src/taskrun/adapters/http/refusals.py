"""How this surface says no: always JSON, always the same shape, never a traceback or a path.

{"error": {"code": "UNAUTHENTICATED", "message": "a sentence for a person"}}
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ExceptionHandler

from taskrun.domain.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    TaskRunError,
    Unauthenticated,
    Unavailable,
)

_STATUS: Mapping[type[TaskRunError], int] = {
    InvalidArgument: 400,
    Unauthenticated: 401,
    PermissionDenied: 403,
    NotFound: 404,
    AlreadyExists: 409,
    FailedPrecondition: 409,
    ResourceExhausted: 429,
    Unavailable: 503,
}
_CODES: Mapping[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    408: "TIMEOUT",
    409: "FAILED_PRECONDITION",
    413: "TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    421: "MISDIRECTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


class TooSoon(ResourceExhausted):
    """Come again in `wait` seconds."""

    def __init__(self, message: str, wait: float) -> None:
        super().__init__(message)
        self.wait = wait


def refusal(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """The answer that says no with this HTTP status."""
    return JSONResponse({"error": {"code": _CODES.get(status, "REFUSED"), "message": message}}, status, headers)


async def _taskrun_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, TaskRunError)
    status = next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)
    headers = {"Retry-After": str(math.ceil(error.wait))} if isinstance(error, TooSoon) else None
    return refusal(status, error.message, headers)


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return refusal(error.status_code, error.detail, error.headers)


async def _gone(_: Request, __: Exception) -> Response:
    """Nobody reads it."""
    return refusal(400, "The request ended early.")


HANDLERS: Mapping[type[Exception], ExceptionHandler] = {
    TaskRunError: _taskrun_error,
    HTTPException: _http_error,
    ClientDisconnect: _gone,
}
