"""Calls from one control plane to the others, by LISTEN and NOTIFY.

A call is sent after the commit that it tells of, in a transaction of its own: a commit with a NOTIFY in it would hold a
lock of the whole server while it is written to the disk. What gathers while one call is on its way is the next. Who is
alone says nothing. A call that is lost costs the others the time to their next meeting.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from uuid import uuid4

import msgspec
import psycopg
from loguru import logger

from taskrun.adapters.stores.postgres.database import AsyncConnection, Database
from taskrun.adapters.stores.postgres.failures import translated
from taskrun.domain.batch import Batch, RelayCancel
from taskrun.domain.errors import StoreFailed
from taskrun.domain.records import Requirement, Share
from taskrun.domain.relayed import AnswerMessage, RelayMessage
from taskrun.domain.status import TaskStatus
from taskrun.ports.peers import Call

CHANNEL = "taskrun"
#: Bytes of one notification; the server takes less than 8000. An id has 36.
_MOST = 7900
_STORIES = 190
#: Of what is stored with these a meeting tells.
_NEWS = frozenset({RelayCancel, RelayMessage, AnswerMessage})

_RING = f"SELECT pg_notify('{CHANNEL}', message) FROM unnest(%s::text[]) AS message"  # noqa: S608  # a name of ours


class _Message(msgspec.Struct, omit_defaults=True):
    """A notification."""

    #: The process that sent it, which hears it too.
    by: str
    stories: tuple[str, ...] = ()
    waiting: tuple[tuple[str, tuple[tuple[str, str], ...], Share, int], ...] = ()
    meet: bool = False
    #: Runs have ended that a limit counts, or a place for one was given up.
    room: bool = False


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Message).decode


class Bells:
    """One control plane's voice and ear."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._name = uuid4().hex[:8]
        #: Whether there is anybody to hear.
        self.others = False
        self._stories: dict[str, None] = {}
        self._waiting = Counter[Requirement]()
        self._meet = self._room = False
        self._sending: asyncio.Task[None] | None = None
        self._closed = False

    def tell(self, batch: Batch, *, limited: bool = False, room: bool = False) -> None:
        """What is stored with this batch is of interest to others. `limited`: so is that runs have ended. `room`: that
        was kept for one who did not use it."""
        if self.others:
            self._stories.update(dict.fromkeys(batch.story))
            waiting = (task.requirement for task in batch.tasks.values() if task.status is TaskStatus.PENDING)
            self._waiting.update(waiting)
            self._room |= room or (
                limited and any(task.status is not TaskStatus.RUNNING for task in batch.tasks.values())
            )
            self._ring(meet=any(type(ask) in _NEWS for ask in batch.asks))

    def call_together(self) -> None:
        """The next meeting has something new."""
        if self.others:
            self._ring(meet=True)

    async def calls(self) -> AsyncIterator[Call]:
        """See `Peers.calls`. On a connection of its own."""
        with translated():
            connection = await psycopg.AsyncConnection.connect(self._database.conninfo, autocommit=True)
            try:
                await connection.execute(f"LISTEN {CHANNEL}".encode())
                yield Call(meet=True, missed=True)
                async for notification in connection.notifies():
                    call = self._heard(notification.payload)
                    if call is not None:
                        yield call
            finally:
                await connection.close()
        raise StoreFailed("The tasks' database cannot be heard.")

    async def last_call(self) -> None:
        """Calls the others together, and returns when all is said."""
        self.call_together()
        if self._sending is not None:
            await asyncio.wait([self._sending])

    async def close(self) -> None:
        """Says no more; doing it twice is harmless."""
        self._closed = True
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.wait([self._sending])

    def _ring(self, *, meet: bool) -> None:
        self._meet = self._meet or meet
        if (self._stories or self._waiting or self._meet or self._room) and self._sending is None and not self._closed:
            self._sending = asyncio.create_task(self._send(), name="bells")

    async def _send(self) -> None:
        try:
            while messages := list(self._messages()):
                await self._database.read(_notify, messages)
        except StoreFailed as error:
            logger.debug("other control planes were not told: {}", error.message)
        finally:
            self._sending = None

    def _messages(self) -> Iterator[str]:
        """All that has gathered, in as many notifications as it takes."""
        stories, self._stories = iter(self._stories), {}
        waiting, self._waiting = self._waiting, Counter()
        meet, self._meet = self._meet, False
        room, self._room = self._room, False
        while ids := tuple(islice(stories, _STORIES)):
            yield self._encoded(_Message(self._name, stories=ids))
        for requirement, more in waiting.items():
            yield self._encoded(_Message(self._name, waiting=((*requirement, more),)))
        if room:
            yield self._encoded(_Message(self._name, room=True))
        if meet:
            yield self._encoded(_Message(self._name, meet=True))

    def _encoded(self, message: _Message) -> str:
        """What is too long is for the next meeting to tell."""
        text = _encode(message)
        return (text if len(text) <= _MOST else _encode(_Message(self._name, meet=True))).decode()

    def _heard(self, payload: str) -> Call | None:
        """What somebody else said in words that we know."""
        with suppress(msgspec.MsgspecError):
            message = _decode(payload)
            if message.by != self._name:
                lines = message.waiting
                waiting = {Requirement(agent, selector, share): more for agent, selector, share, more in lines}
                return Call(message.stories, waiting, message.meet, room=message.room)
        return None


async def _notify(connection: AsyncConnection, messages: Iterable[str]) -> None:
    await connection.execute(_RING, [list(messages)])
