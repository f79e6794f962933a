"""uvicorn's connection, with an end to the waiting for a request.

uvicorn itself waits for ever for the first request of a connection, and for the rest of any that has begun to come. Who
opens many and says nothing, or a byte now and then, would in time hold every file that the process may have open.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

#: Seconds for a TLS handshake, and then for a request's head to arrive in: from the connection's beginning, or from the
#: end of the last answer.
HEAD_TIMEOUT = 10.0


class PromptConnection(H11Protocol):
    """Hangs up on whoever asks nothing for `head_timeout` seconds while nothing is being answered."""

    def __init__(self, *args: Any, logger: logging.Logger, head_timeout: float = HEAD_TIMEOUT) -> None:
        """`logger` hears of requests that cannot be understood."""
        super().__init__(*args)
        self.logger = logger
        self._head_timeout = head_timeout
        #: Set while a request is awaited; what arrives of it does not set it anew.
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first request is awaited."""
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        super().connection_lost(exc)
        self._forget()

    def handle_events(self) -> None:
        """A request may be there."""
        super().handle_events()
        self._watch()

    def on_response_complete(self) -> None:
        """The next request is awaited, if it is not there already."""
        super().on_response_complete()
        self._watch()

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._forget()
        elif self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(self._head_timeout, self.transport.abort)

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
