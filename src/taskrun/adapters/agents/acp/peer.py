"""JSON-RPC 2.0 with a program: a message a line over its standard streams, as the Agent Client Protocol has it.

Messages are taken in one after the other, each to its end: what an agent said before it answered is passed on before
the answer counts, and while nobody takes its output the agent has to wait.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, Protocol

from taskrun.adapters.agents import loose
from taskrun.adapters.agents.containment.lines import Line, LineSplitter
from taskrun.adapters.agents.containment.process import ContainedProcess

#: An object of JSON.
Json = Mapping[str, Any]

#: Codes of errors: the first is JSON-RPC's, the second the Agent Client Protocol's.
METHOD_NOT_FOUND = -32601
AUTH_REQUIRED = -32000

#: Nobody waits for an answer to it, so the conversation goes on without one that is too long.
_UPDATE = re.compile(r'"method"\s*:\s*"session/update"')
_HEAD_CHARACTERS = 1000


class Refused(Exception):
    """The agent answered with an error, or is to be answered so."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


class BrokenOff(Exception):
    """The program's output ended while somebody waited for an answer."""


class TooLong(Exception):
    """A line that somebody waits for exceeds the limit, so what it says is unknown."""


class Host(Protocol):
    """Who is at this end of the line."""

    async def asked(self, method: str, params: Json) -> Json:
        """Answers a request of the agent. Raises `Refused`."""

    async def told(self, method: str, params: Json) -> None:
        """Takes in a notification of the agent."""

    async def puzzled(self, line: Line) -> None:
        """Takes in a line that is no message, or is left out because it is too long."""


class Peer:
    """The agent at the other end. Ask only inside `listening`."""

    def __init__(self, process: ContainedProcess, host: Host) -> None:
        self._process = process
        self._host = host
        self._ids = count()
        #: Gets the whole message of the answer; None: there will be none.
        self._waiting: dict[object, asyncio.Future[Json | None]] = {}
        #: Why there will be no answers any more.
        self._end: Exception | None = None

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Takes in what the agent says for as long as the block lasts."""
        listener = asyncio.create_task(self._listen())
        try:
            yield
        finally:
            listener.cancel()
            await asyncio.wait([listener])

    async def ask(self, method: str, params: Json) -> asyncio.Future[Json | None]:
        """Sends a request. What is returned is for `answer`, and never holds an exception."""
        answer: asyncio.Future[Json | None] = asyncio.get_running_loop().create_future()
        id = next(self._ids)
        if self._end is None:
            self._waiting[id] = answer
            await self._send({"id": id, "method": method, "params": params})
        else:
            answer.set_result(None)
        return answer

    async def answer(self, asked: asyncio.Future[Json | None]) -> Json:
        """What the agent answers: an object, empty for anything else. Raises `Refused`; `BrokenOff` and `TooLong` if
        no answer can come; and whatever the host raised."""
        message = await asyncio.shield(asked)
        if message is None:
            assert self._end is not None
            raise self._end
        error = message.get("error")
        if error is not None:
            raise _refusal(error)
        return loose.mapping(message.get("result"))

    async def request(self, method: str, params: Json) -> Json:
        """Asks, and returns the answer. See `answer`."""
        return await self.answer(await self.ask(method, params))

    async def notify(self, method: str, params: Json) -> None:
        """Says what needs no answer."""
        await self._send({"method": method, "params": params})

    async def _listen(self) -> None:
        lines = LineSplitter()
        try:
            async for block in self._process.output():
                for line in lines.feed(block):
                    await self._take(line)
            for line in lines.finish():
                await self._take(line)
            self._end = BrokenOff()
        except Exception as error:
            self._end = error
        for asked in self._waiting.values():
            asked.set_result(None)
        self._waiting.clear()

    async def _take(self, line: Line) -> None:
        message = _message(line)
        if message is None:
            if line.text.strip():
                await self._host.puzzled(line)
            return
        method, params = loose.text(message.get("method")), loose.mapping(message.get("params"))
        if not method:
            self._answered(message)
        elif "id" in message:
            await self._reply(message["id"], method, params)
        else:
            await self._host.told(method, params)

    def _answered(self, message: Json) -> None:
        id = message.get("id")
        asked = self._waiting.pop(id, None) if isinstance(id, int) else None
        if asked is not None:
            asked.set_result(message)

    async def _reply(self, id: Any, method: str, params: Json) -> None:
        try:
            await self._send({"id": id, "result": await self._host.asked(method, params)})
        except Refused as refusal:
            await self._send({"id": id, "error": {"code": refusal.code, "message": str(refusal)}})

    async def _send(self, message: Json) -> None:
        # As ASCII: half of a surrogate pair passes as it came.
        await self._process.tell(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")


def _message(line: Line) -> Json | None:
    """What a line says; None if it is no message. Raises `TooLong`."""
    if line.cut:
        if line.text.lstrip().startswith("{") and not _UPDATE.search(line.text[:_HEAD_CHARACTERS]):
            raise TooLong
        return None
    try:
        message = json.loads(line.text)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def _refusal(error: Any) -> Refused:
    told = loose.mapping(error)
    code = told.get("code")
    return Refused(code if isinstance(code, int) else 0, loose.text(told.get("message")), told.get("data"))
