from __future__ import annotations

import asyncio
import signal
import socket
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from taskrun.adapters.ca.files import init_certs
from taskrun.adapters.http.server import HttpServer
from taskrun.domain.errors import FailedPrecondition, Unavailable


async def hello(_: Scope, __: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


async def ask(url: str, verify: ssl.SSLContext | bool = False) -> str:
    async with httpx.AsyncClient(verify=verify) as client:
        return (await client.get(url)).text


def uvicorn_connections(server: HttpServer) -> list[Any]:
    assert server._server is not None
    return list(server._server.server_state.connections)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[::1]", "localhost"])
async def test_port_0_is_a_port_that_is_told(host: str) -> None:
    server = HttpServer(hello, host, 0)
    port = await server.start()
    name = f"[{host}]" if host == "::1" else host
    assert await ask(f"http://{name}:{port}") == "hello"
    await server.stop()


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
async def test_a_taken_port_is_one_clear_sentence(host: str, shown: str) -> None:
    first = HttpServer(hello, host, 0)
    port = await first.start()
    with pytest.raises(Unavailable) as refused:
        await HttpServer(hello, host, port).start()
    await first.stop()
    assert refused.value.message == f"Cannot listen for HTTP on {shown}:{port}: Address already in use."


async def test_a_host_that_is_not_ours_is_one_clear_sentence() -> None:
    with pytest.raises(Unavailable, match=r"Cannot listen for HTTP on no-such-host.invalid:0: "):
        await HttpServer(hello, "no-such-host.invalid", 0).start()


async def test_a_port_can_be_had_again_at_once() -> None:
    first = HttpServer(hello, "127.0.0.1", 0)
    port = await first.start()
    await ask(f"http://127.0.0.1:{port}")
    await first.stop()
    second = HttpServer(hello, "127.0.0.1", port)
    assert await second.start() == port
    await second.stop()


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
async def test_plain_http_beyond_loopback_is_refused(host: str) -> None:
    with pytest.raises(FailedPrecondition, match="open to other machines"):
        await HttpServer(hello, host, 0).start()


async def test_plain_http_beyond_loopback_can_be_insisted_on() -> None:
    server = HttpServer(hello, "0.0.0.0", 0, allow_remote=True)
    port = await server.start()
    assert await ask(f"http://127.0.0.1:{port}") == "hello"
    await server.stop()


async def test_with_tls_it_may_listen_everywhere(tmp_path: Path) -> None:
    init_certs(tmp_path, [])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    server = HttpServer(hello, "0.0.0.0", 0, tls=context)
    port = await server.start()
    trust = ssl.create_default_context(cafile=tmp_path / "ca.crt")
    assert await ask(f"https://localhost:{port}", trust) == "hello"
    await server.stop()


async def test_start_and_stop_may_be_said_twice() -> None:
    server = HttpServer(hello, "127.0.0.1", 0)
    await server.stop()
    assert await server.start() == await server.start()
    await server.stop()
    await server.stop()


async def test_many_starts_and_stops_leave_nothing_behind() -> None:
    before = asyncio.all_tasks()
    for _ in range(5):
        server = HttpServer(hello, "127.0.0.1", 0)
        await server.start()
        await server.stop()
    assert asyncio.all_tasks() == before


async def test_the_signal_handlers_of_the_process_stay_its_own() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    server = HttpServer(hello, "127.0.0.1", 0)
    await server.start()
    during = {number: signal.getsignal(number) for number in before}
    await server.stop()
    assert during == before


async def test_a_request_under_way_is_answered_before_the_end() -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        entered.set()
        await leave.wait()
        await hello(scope, receive, send)

    server = HttpServer(slow, "127.0.0.1", 0)
    port = await server.start()
    asked = asyncio.create_task(ask(f"http://127.0.0.1:{port}"))
    await entered.wait()
    stopped = asyncio.create_task(server.stop())
    leave.set()
    assert await asked == "hello"
    await stopped


async def test_a_request_that_never_ends_does_not_keep_the_server() -> None:
    entered = asyncio.Event()

    async def stuck(scope: Scope, receive: Receive, send: Send) -> None:
        entered.set()
        await asyncio.Event().wait()

    server = HttpServer(stuck, "127.0.0.1", 0, stop_grace=0.1)
    port = await server.start()
    asked = asyncio.create_task(ask(f"http://127.0.0.1:{port}"))
    await entered.wait()
    async with asyncio.timeout(20):
        await server.stop()
    assert await asked == "Internal Server Error"


async def test_a_peer_that_only_holds_its_connection_does_not_keep_the_server() -> None:
    server = HttpServer(hello, "127.0.0.1", 0, stop_grace=0.1)
    port = await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: loc")
    await writer.drain()
    async with asyncio.timeout(20):
        await server.stop()
        assert await reader.read() == b""
    writer.close()


async def is_over(reader: asyncio.StreamReader, within: float) -> bool:
    """Whether the server hangs up in so many seconds."""
    try:
        async with asyncio.timeout(within):
            return await reader.read(1) == b""
    except TimeoutError:
        return False


@pytest.mark.parametrize(
    ("begins", "goes_on"),
    [
        (b"", b""),
        (b"GET / HTTP/1.1\r\nHost: loc", b""),
        (b"GET / HTTP/1.1\r\n", b"X: y\r\n"),
        # What was asked before is answered, and does not help.
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\n", b"X: y\r\n"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n", b"a part of the body"),
    ],
    ids=["nothing", "a part", "ever more of it", "one, and ever more of another", "one, and ever more of its body"],
)
async def test_who_does_not_ask_to_the_end_is_hung_up_on(begins: bytes, goes_on: bytes) -> None:
    server = HttpServer(hello, "127.0.0.1", 0, head_timeout=0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", await server.start())
    writer.write(begins)
    if b"\r\n\r\n" in begins:
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 ")
        # The end of the answer's body, which is in chunks.
        await reader.readuntil(b"0\r\n\r\n")
    async with asyncio.timeout(20):
        with suppress(ConnectionError):
            while not await is_over(reader, within=0.02):
                writer.write(goes_on)
    assert uvicorn_connections(server) == []
    writer.close()
    await server.stop()


@pytest.mark.parametrize("begins", [b"", b"\x16\x03\x01\x02\x00"], ids=["nothing", "a part"])
async def test_who_does_not_finish_the_handshake_is_hung_up_on(tmp_path: Path, begins: bytes) -> None:
    init_certs(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    server = HttpServer(hello, "127.0.0.1", 0, tls=tls, head_timeout=0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", await server.start())
    writer.write(begins)
    assert await is_over(reader, within=20)
    writer.close()
    await server.stop()


async def test_who_waits_for_an_answer_is_not_hung_up_on_however_long_that_takes() -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        # Others are hung up on meanwhile.
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        writer.close()
        await hello(scope, receive, send)

    server = HttpServer(slow, "127.0.0.1", 0, head_timeout=0.1)
    port = await server.start()
    assert await ask(f"http://127.0.0.1:{port}") == "hello"
    await server.stop()


async def test_one_connection_carries_one_request_after_the_other() -> None:
    server = HttpServer(hello, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{await server.start()}"
    async with httpx.AsyncClient() as client:
        for _ in range(5):
            assert (await client.get(url)).text == "hello"
        assert len(uvicorn_connections(server)) == 1
    await server.stop()


async def test_after_bytes_that_are_no_http_it_serves_on() -> None:
    server = HttpServer(hello, "127.0.0.1", 0)
    port = await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(bytes(range(256)) * 10)
    assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    writer.close()
    assert await ask(f"http://127.0.0.1:{port}") == "hello"
    await server.stop()


async def test_a_small_answer_is_sent_at_once() -> None:
    nodelay = 0

    async def look(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal nodelay
        [connection] = uvicorn_connections(server)
        nodelay = connection.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        await hello(scope, receive, send)

    server = HttpServer(look, "127.0.0.1", 0)
    await ask(f"http://127.0.0.1:{await server.start()}")
    await server.stop()
    assert nodelay


async def test_the_port_is_shared_with_nobody() -> None:
    server = HttpServer(hello, "127.0.0.1", 0)
    port = await server.start()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
    await server.stop()


async def test_a_server_that_was_stopped_has_ended_and_one_that_ends_by_itself_says_so() -> None:
    stopped = HttpServer(hello, "127.0.0.1", 0)
    await stopped.start()
    end = asyncio.create_task(stopped.ended())
    await asyncio.sleep(0)
    await stopped.stop()
    await end

    broken = HttpServer(hello, "127.0.0.1", 0)
    await broken.start()
    assert broken._server is not None
    broken._server.should_exit = True
    with pytest.raises(Unavailable, match="ended by itself"):
        await broken.ended()
    await broken.stop()
