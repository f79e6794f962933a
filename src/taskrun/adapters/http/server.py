"""An HTTP server in the loop that runs already: one port, no signal handlers, a bounded end."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from taskrun.adapters.http.connection import HEAD_TIMEOUT, PromptConnection
from taskrun.adapters.http.exposure import refuse_exposed
from taskrun.adapters.http.seldom import seldom
from taskrun.domain.errors import Unavailable

#: Seconds for requests under way to end in, when the server stops.
STOP_GRACE = 4.0
BACKLOG = 512


class HttpServer:
    """Serves `app` on one address. With port 0 the system chooses.

    Plain HTTP is for loopback: any other address is refused unless there is `tls`, or `allow_remote` insists.
    """

    def __init__(
        self,
        app: ASGIApp,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        allow_remote: bool = False,
        stop_grace: float = STOP_GRACE,
        head_timeout: float = HEAD_TIMEOUT,
    ) -> None:
        self._app = app
        self._host, self._port = host.removeprefix("[").removesuffix("]"), port
        self._tls = tls
        self._allow_remote = allow_remote
        self._stop_grace, self._head_timeout = stop_grace, head_timeout
        self._server: _QuietServer | None = None
        self._serving: asyncio.Task[None] | None = None
        self._bound_port = 0

    async def start(self) -> int:
        """Begins to listen and returns the port; doing it twice is harmless.

        Raises `Unavailable` if the address cannot be had, `FailedPrecondition` if it must not be.
        """
        if self._serving is None:
            listener = await self._listen()
            self._bound_port = listener.getsockname()[1]
            self._server = server = _QuietServer(self._config(), self._head_timeout)
            self._serving = asyncio.create_task(server.serve([listener]), name="http server")
            await server.begun.wait()
            if not server.started:
                # This raises what went wrong.
                await self.stop()
        return self._bound_port

    async def ended(self) -> None:
        """Returns once the server was stopped. Raises `Unavailable` if it ends without that; it must have started."""
        serving = self._serving
        assert serving is not None
        await asyncio.wait([serving])
        if self._serving is serving:
            raise Unavailable("The HTTP server ended by itself.")

    async def stop(self) -> None:
        """Takes no more, lets what is under way end for a few seconds, then cuts it; doing it twice is harmless."""
        serving, server = self._serving, self._server
        if serving is None or server is None:
            return
        self._serving = self._server = None
        server.should_exit = True
        await asyncio.wait([serving])
        server.cut()
        with suppress(asyncio.CancelledError):
            serving.result()

    def _config(self) -> uvicorn.Config:
        config = uvicorn.Config(
            self._app,
            http=PromptConnection,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=5,
            # uvicorn hands it to asyncio.wait_for, which takes parts of a second too.
            timeout_graceful_shutdown=self._stop_grace,  # type: ignore[arg-type]
        )
        config.load()
        config.ssl = self._tls
        return config

    async def _listen(self) -> socket.socket:
        family, address = await self._resolve()
        if not (self._tls or self._allow_remote):
            refuse_exposed(address[0], self._where())
        # The protocol is named so that asyncio sends small answers at once (TCP_NODELAY): without it each takes 40 ms.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            # So that a restart need not wait for the last connections to fade. Two servers still cannot share a port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setblocking(False)
            listener.bind(address)
            # Here and not only in uvicorn: of two that are bound, it is the listening that fails.
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            raise self._cannot_listen(error) from error
        return listener

    async def _resolve(self) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
        except OSError as error:
            raise self._cannot_listen(error) from error
        family, _, _, _, address = found[0]
        return family, address

    def _cannot_listen(self, error: OSError) -> Unavailable:
        reason = error.strerror or (os.strerror(error.errno) if error.errno else str(error))
        return Unavailable(f"Cannot listen for HTTP on {self._where()}: {reason}.")

    def _where(self) -> str:
        return f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"


class _QuietServer(uvicorn.Server):
    """uvicorn as a guest: the process has signal handlers of its own, and wants to know when it listens."""

    def __init__(self, config: uvicorn.Config, head_timeout: float) -> None:
        super().__init__(config)
        self._head_timeout = head_timeout
        self._logger = seldom(logging.getLogger("uvicorn.error"))
        self.begun = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, which has no word for how long a TLS handshake may take: asyncio gives it a minute."""
        try:
            self.servers = [await self._listen_on(listener) for listener in sockets or []]
            self.started = True
        finally:
            self.begun.set()

    async def _listen_on(self, listener: socket.socket) -> asyncio.Server:
        config, state = self.config, self.lifespan.state
        return await asyncio.get_running_loop().create_server(
            partial(
                PromptConnection, config, self.server_state, state, logger=self._logger, head_timeout=self._head_timeout
            ),
            sock=listener,
            ssl=config.ssl,
            ssl_handshake_timeout=self._head_timeout if config.ssl else None,
            backlog=config.backlog,
        )

    def cut(self) -> None:
        """Ends the connections that outlived the grace."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()
