"""Ten thousand guessed tokens: none is accepted, nearly all are told to wait, and an honest worker enrols meanwhile."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from taskrun.adapters.ca.authority import FileAuthority
from taskrun.adapters.ca.enroll_keys import new_key_and_csr
from taskrun.adapters.ca.files import init_certs
from taskrun.adapters.http.app import create_app
from taskrun.adapters.http.server import HttpServer
from taskrun.adapters.stores.memory_api_keys import MemoryApiKeyStore
from taskrun.adapters.stores.memory_tokens import MemoryTokenStore
from taskrun.adapters.system.clock import SystemClock
from taskrun.domain import tokens
from taskrun.domain.identity import Role
from taskrun.engine.enrollment import Enroller
from taskrun.engine.key_ring import KeyRing
from tests.adapters.http.conftest import Workers

#: What an address may fail before it is slowed, and what all together may.
BURST, OVERALL_BURST = 20, 50
#: Connections that guess at once.
AT_ONCE = 20
CSR = new_key_and_csr()[1].decode()


@dataclass
class Target:
    """A control plane's HTTP on a network, with TLS."""

    port: int
    trust: ssl.SSLContext
    enroller: Enroller
    keys: KeyRing
    pin: str


@pytest.fixture
async def target(tmp_path: Path) -> AsyncIterator[Target]:
    init_certs(tmp_path)
    clock = SystemClock()
    authority = FileAuthority(tmp_path / "ca.crt", tmp_path / "ca.key", clock)
    enroller = Enroller(authority, MemoryTokenStore(), clock, lambda: "id")
    keys = KeyRing(MemoryApiKeyStore(), clock)

    async def metrics() -> bytes:
        return b""

    # The throttle's clock stands, so that what is counted here does not hang on how fast this machine guesses.
    moment = clock.now()
    app = create_app(Workers(), enroller, lambda: True, metrics, draining=lambda: False, keys=keys, now=lambda: moment)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    server = HttpServer(app, "127.0.0.1", 0, tls=tls)
    trust = ssl.create_default_context(cafile=tmp_path / "ca.crt")
    yield Target(await server.start(), trust, enroller, keys, authority.fingerprint())
    await server.stop()


def enrolment(token: str) -> bytes:
    body = msgspec.json.encode({"token": token, "csr_pem": CSR})
    head = "POST /v1/enroll HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
    return f"{head}{len(body)}\r\n\r\n".encode() + body


def look(key: str) -> bytes:
    return f"GET /v1/workers HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n".encode()


def guess_token(target: Target, number: int) -> bytes:
    return enrolment(tokens.compose(number.to_bytes(32), target.pin))


def guess_key(target: Target, number: int) -> bytes:
    return look(f"taskrunkey1_{number:043}")


class Caller:
    """One connection, kept alive; `address` is where it comes from."""

    def __init__(self, target: Target, address: str) -> None:
        self._target, self._address = target, address

    async def __aenter__(self) -> Caller:
        self._reader, self._writer = await asyncio.open_connection(
            "127.0.0.1",
            self._target.port,
            ssl=self._target.trust,
            server_hostname="localhost",
            local_addr=(self._address, 0),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """The status, and all of the answer."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        return int(head.split()[1]), head + await self._reader.readexactly(length)


async def guess(
    target: Target, guesses: int, make: Callable[[Target, int], bytes], address_of: Callable[[int], str]
) -> Counter[int]:
    """How all guesses were answered; every 429 says when to come again."""
    answered: Counter[int] = Counter()

    async def some(first: int) -> None:
        async with Caller(target, address_of(first)) as caller:
            for number in range(first, guesses, AT_ONCE):
                status, answer = await caller.ask(make(target, number))
                answered[status] += 1
                assert status != 429 or b"retry-after:" in answer.lower()

    await asyncio.gather(*map(some, range(AT_ONCE)))
    return answered


@pytest.mark.parametrize(
    ("guesses", "address_of", "told"),
    [(10_000, lambda _: "127.0.0.2", BURST), (2_000, lambda n: f"127.0.1.{n + 1}", OVERALL_BURST)],
    ids=["ten thousand of one address", "two thousand of twenty addresses"],
)
async def test_guessed_tokens_are_told_to_wait_while_an_honest_worker_enrols(
    target: Target, guesses: int, address_of: Callable[[int], str], told: int
) -> None:
    made = await target.enroller.create_token("w-1")
    guessing = asyncio.create_task(guess(target, guesses, guess_token, address_of))
    async with Caller(target, address_of(0)) as guesser:
        while (await guesser.ask(guess_token(target, guesses)))[0] != 429:
            told -= 1
    status, took = await asked_by_an_honest_one(target, enrolment(made.token))
    assert not guessing.done()
    answered = await guessing
    assert (status, took < 1.0) == (200, True)
    assert answered == {401: told, 429: guesses - told}


async def test_guessed_keys_are_told_to_wait_while_an_honest_reader_reads(target: Target) -> None:
    made = await target.keys.create("grafana", Role.READ, 0, "admin")
    guessing = asyncio.create_task(guess(target, 2_000, guess_key, lambda _: "127.0.0.2"))
    status, took = await asked_by_an_honest_one(target, look(made.text))
    assert not guessing.done()
    answered = await guessing
    assert (status, took < 1.0) == (200, True)
    assert answered == {401: BURST, 429: 2_000 - BURST}


async def asked_by_an_honest_one(target: Target, request: bytes) -> tuple[int, float]:
    """The status, and the seconds that it took, with the connection and its handshake."""
    began = time.monotonic()
    async with Caller(target, "127.0.0.9") as honest:
        status, _ = await honest.ask(request)
    return status, time.monotonic() - began
