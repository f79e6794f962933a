"""Bytes on the HTTP port, through the server's own parser: requests, their bodies, and enrolment among them."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from base64 import b64encode
from functools import cache
from itertools import count
from typing import Any, cast

import uvicorn
from uvicorn.server import ServerState

from fuzz.enrolling import KEY, TOKEN, desk, key_ring
from fuzz.loop import in_the_loop
from fuzz.target import Target
from taskrun.adapters.http.app import create_app
from taskrun.adapters.http.connection import PromptConnection
from taskrun.domain.errors import NotFound
from taskrun.domain.now import Now
from taskrun.domain.records import WorkerView
from taskrun.domain.status import WorkerStatus
from taskrun.testing.contracts.authority import make_request

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
#: What an answer shows to nobody.
_INSIDES = re.compile(rb'Traceback|File "|/src/|site-packages|SELECT ')


class _Workers:
    """A `WorkerApi` of an empty house."""

    def workers(self, agent: str = "", status: WorkerStatus | None = None) -> list[WorkerView]:
        """See `WorkerApi`."""
        return []

    def worker(self, worker_id: str) -> WorkerView:
        """See `WorkerApi`."""
        raise NotFound("There is no such worker.")


class _Wire(asyncio.Transport):
    """A connection that keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 40_000), "sockname": ("127.0.0.1", 50_052)})
        self.sent = bytearray()
        self.over = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    def is_closing(self) -> bool:
        return self.over

    def close(self) -> None:
        self.over = True

    abort = close

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None: ...


async def _metrics() -> bytes:
    return b"taskrun_tasks_total 1\n"


class _House:
    """What is behind the port: put together once, for that takes longer than a case; as new for each."""

    def __init__(self) -> None:
        self._minutes = count()
        self._app = create_app(
            _Workers(),
            self,  # type: ignore[arg-type]  # nobody makes tokens by HTTP
            lambda: True,
            _metrics,
            draining=lambda: False,
            # Nobody is slowed here: every case is to be looked at.
            now=lambda: Now(next(self._minutes) * 3600.0, 1_700_000_000_000),
            keys=self,  # type: ignore[arg-type]  # nor keys
        )
        self.config = uvicorn.Config(
            self._app, http="h11", ws="none", lifespan="off", interface="asgi3", log_config=None
        )
        self.config.load()
        # What it warns of is what bytes are no HTTP.
        self.logger = logging.getLogger("uvicorn.error")
        self.logger.setLevel(logging.CRITICAL)

    async def renew(self) -> None:
        """Nobody has enrolled yet."""
        self.enroll = (await desk()).enroll
        self.authenticate = (await key_ring()).authenticate


@cache
def _house() -> _House:
    return _House()


async def _take(case: bytes) -> None:
    house, state, wire = _house(), ServerState(), _Wire()
    await house.renew()
    protocol = PromptConnection(cast(Any, house.config), state, {}, logger=house.logger)
    protocol.connection_made(wire)
    # A loop tells of no empty piece.
    if case:
        protocol.data_received(case)
    protocol.connection_lost(None)
    while state.tasks:
        await asyncio.wait(list(state.tasks))
    _check(bytes(wire.sent))


def _check(sent: bytes) -> None:
    codes = [int(code) for code in _STATUS.findall(sent)]
    assert all(code < 500 for code in codes), sent
    assert not _INSIDES.search(sent), sent


def _get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost:50052", *headers, "", ""]).encode()


def _post(body: bytes, length: str = "") -> bytes:
    length = length or f"Content-Length: {len(body)}"
    head = ("POST /v1/enroll HTTP/1.1", "Host: [::1]:50052", "Content-Type: application/json", length, "", "")
    return "\r\n".join(head).encode() + body


def _in_chunks(body: bytes) -> bytes:
    return _post(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body), "Transfer-Encoding: chunked")


_ENROL = json.dumps({"token": TOKEN, "csr_pem": make_request().decode()}).encode()

_BEARER = f"Authorization: Bearer {KEY}"

TARGET = Target(
    in_the_loop(_take),
    {
        "health": _get("/health"),
        "metrics": _get("/metrics", _BEARER),
        "root": _get("/", "Accept: text/html"),
        "workers": _get("/v1/workers?agent=general&status=IDLE", "Origin: http://localhost:50052", _BEARER),
        "page": _get("/ui/workers", f"Authorization: Basic {b64encode(f'me:{KEY}'.encode()).decode()}"),
        "no_key": _get("/ui/workers", "Authorization: Bearer nobody"),
        "live": _get("/ui/workers/live", _BEARER),
        "asset": _get("/ui/assets/page.css", 'If-None-Match: "x"', _BEARER),
        "enrol": _post(_ENROL),
        "enrol_with_a_wrong_token": _post(json.dumps({"token": "x", "csr_pem": "y"}).encode()),
        "enrol_in_chunks": _in_chunks(_ENROL),
        "two_in_one": _get("/health") + _get("/v1/workers", _BEARER),
    },
)
