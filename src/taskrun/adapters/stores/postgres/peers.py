"""Meeting the other control planes on a database: a short transaction beside the batches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from taskrun.adapters.stores.postgres import crews, messages, owners, rates, reader, waiting
from taskrun.adapters.stores.postgres.bells import Bells
from taskrun.adapters.stores.postgres.database import SHARDS, AsyncConnection, Database
from taskrun.adapters.stores.postgres.writer import Writer
from taskrun.domain.errors import LeaseLost, StoreFailed
from taskrun.domain.records import WorkerView
from taskrun.domain.status import WorkerStatus
from taskrun.ports.peers import Call, Meeting

#: Seconds that an end waits for the database.
_GOODBYE = 1.0

#: Who has the task and was told of the cancel says so in the task itself.
_CANCELS = """
    SELECT id FROM tasks
    WHERE cancel_wanted AND finished_at IS NULL AND (waits OR owner = %s)
        AND state::json ->> 'cancel_requested' IS DISTINCT FROM 'true'
    ORDER BY id
"""
_SHOW = """
    INSERT INTO workers (owner, id, view) SELECT %s, * FROM unnest(%s::text[], %s::text[])
    ON CONFLICT (owner, id) DO UPDATE SET view = excluded.view
"""
_HIDE_OTHERS = "DELETE FROM workers WHERE owner = %s AND id <> ALL(%s::text[])"
_WORKERS = "SELECT view FROM workers WHERE owner <> %s"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(WorkerView).decode

#: By id.
_Views = Mapping[str, WorkerView]


class PostgresPeers:
    """Implements `Peers`."""

    def __init__(self, database: Database, writer: Writer, bells: Bells) -> None:
        self._database, self._writer, self._bells = database, writer, bells
        #: What the others can see, and under which number.
        self._shown: tuple[int, _Views] = (0, {})
        #: The last meeting did, if it was stored.
        self._took_over = False

    async def meet(self, workers: Sequence[WorkerView]) -> Meeting:
        """See `Peers.meet`."""
        owner, views = self._writer.owner, {view.id: view for view in workers}
        before = self._shown[1] if self._shown[0] == owner else {}
        self._shown = (0, {})
        # By itself, so that nothing which others hold locked can take it back.
        await self._database.change(owners.renew, owner, self._writer.lease)
        self._took_over = False
        try:
            meeting = await self._database.change(self._meet, owner, views, before)
        except StoreFailed as error:
            if self._took_over:
                raise LeaseLost("Whether this control plane has taken over from another is not known.") from error
            raise
        self._bells.others = meeting.others
        if meeting.others:
            self._shown = (owner, views)
            if _whereabouts(views) != _whereabouts(before):
                self._bells.call_together()
        return meeting

    async def leave(self) -> None:
        """Lets others take over at once, if the database can be told. Who is alone may be followed by a new process,
        too, and the server may take a moment to see that a connection is gone."""
        if not self._writer.owner:
            return
        with suppress(StoreFailed, TimeoutError):
            async with asyncio.timeout(_GOODBYE):
                await self._database.change(owners.resign, self._writer.owner)
                await self._bells.last_call()

    def calls(self) -> AsyncIterator[Call]:
        """See `Peers.calls`."""
        return self._bells.calls()

    async def _meet(self, connection: AsyncConnection, owner: int, views: _Views, before: _Views) -> Meeting:
        others = await owners.others(connection, owner)
        inherited = await owners.take_over(connection, owner, SHARDS - 1)
        self._took_over = bool(inherited)
        if others:
            await self._show(connection, owner, views, before)
        meeting = Meeting(
            others,
            inherited,
            {needs: each.waiting for needs, each in (await reader.backlog(connection)).items()},
            await reader.next_expiry(connection),
            [task_id for (task_id,) in await _all(connection, _CANCELS, [owner])],
            await messages.wait_for(connection, owner),
            await messages.answered(connection, owner),
            [_decode(view) for (view,) in await _all(connection, _WORKERS, [owner])],
        )
        # The last of all, and what takes long first: whoever wants an account that goes waits for little more than the
        # commit.
        await crews.tidy(connection)
        await waiting.tidy(connection)
        await rates.tidy(connection)
        return meeting

    async def _show(self, connection: AsyncConnection, owner: int, views: _Views, before: _Views) -> None:
        """Writes what has changed since the last meeting; everything, if nobody knows what is there."""
        changed = [view for view in views.values() if before.get(view.id) != view]
        if changed:
            texts = [_encode(view).decode() for view in changed]
            await connection.execute(_SHOW, [owner, [view.id for view in changed], texts])
        if not before.keys() <= views.keys() or not before:
            await connection.execute(_HIDE_OTHERS, [owner, list(views)])


def _whereabouts(views: _Views) -> set[tuple[str, bool, int]]:
    """What others want to know at once: who is here, and who is away."""
    away = WorkerStatus.DISCONNECTED
    return {(view.id, view.status is away, view.connected_at_ms) for view in views.values()}


async def _all(connection: AsyncConnection, sql: str, given: Sequence[Any]) -> list[tuple[Any, ...]]:
    return await (await connection.execute(sql, given)).fetchall()
