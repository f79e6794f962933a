"""Reading a request's body: no more than is allowed, no longer than is decent, and only JSON that means one thing."""

from __future__ import annotations

import asyncio
import json
from typing import TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request

from taskrun.domain.errors import InvalidArgument

#: No route takes more; some take less.
MAX_BODY_BYTES = 1024 * 1024
#: Seconds for a body to arrive in.
BODY_TIMEOUT = 10.0

Shape = TypeVar("Shape", bound=msgspec.Struct)


async def read_json(request: Request, shape: type[Shape], limit: int, timeout: float = BODY_TIMEOUT) -> Shape:
    """The body as `shape`, which forbids unknown fields. At most `limit` bytes are read, within `timeout` seconds.

    Answers 415, 413 or 408, and raises `InvalidArgument` for what is no such JSON: NaN and doubled keys included.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "Send JSON, with Content-Type: application/json.")
    try:
        async with asyncio.timeout(timeout):
            body = await _read(request, limit)
    except TimeoutError:
        raise HTTPException(408, "The body did not arrive in time.", {"Connection": "close"}) from None
    return _decode(body, shape)


async def _read(request: Request, limit: int) -> bytes:
    declared = request.headers.get("content-length", "0")
    body = bytearray()
    if int(declared) <= limit:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                break
        else:
            return bytes(body)
    raise HTTPException(413, f"The body is larger than {limit} bytes.")


def _decode(body: bytes, shape: type[Shape]) -> Shape:
    try:
        value = msgspec.json.decode(body, type=shape)
        # msgspec would let the last of two equal keys win, and a proxy before us may have looked at the first.
        json.loads(body, object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"The body is not what is expected here: {error}.") from None
    return value


def _distinct(pairs: list[tuple[str, object]]) -> None:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key stands in it twice")
