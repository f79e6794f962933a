"""Rooms for runs that have a session: a run enters one, and what it leaves is kept for the next run of its session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from loguru import logger

from taskrun.adapters.agents.containment.directory import RunDirectory
from taskrun.adapters.agents.sessions.shelf import HeldDirectory, Keeping, SessionShelf

T = TypeVar("T")

#: At the latest after so many seconds it is looked again for what has expired: the machine's clock may be set.
_LONGEST_REST = 3600.0


@dataclass(slots=True)
class Room:
    """A run's place while it lasts."""

    directory: RunDirectory
    #: The session that is to be kept here. Set it before you leave: without one, all that is here is deleted.
    session_id: str = ""


class SessionRooms:
    """The sessions of one worker, in asyncio. What takes long on the disk is done beside the loop, and to its end."""

    def __init__(self, place: Path, keeping: Keeping) -> None:
        self._shelf = SessionShelf(place, keeping)
        self._rest: asyncio.TimerHandle | None = None
        self._tidying: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def room(
        self, agent: str, session_id: str = "", *, fork: bool = False, keep: float | None = None
    ) -> AsyncIterator[Room]:
        """A room for one run of this agent: that of a session, a copy of it for a `fork`, or by default a fresh one.

        When it is left, what is in it is kept for `keep` seconds, by default as long as the worker keeps sessions, if
        it has a session then. One that was gone on with stays, however its run ended. Raises `NotKept`, and OSError
        if there is no room to be had.
        """
        held = await _beside(
            lambda: self._enter(agent, session_id, fork),
            HeldDirectory.let_go if session_id and not fork else HeldDirectory.delete,
        )
        room = Room(held.directory, "" if fork else session_id)
        seconds = self._shelf.keeping.seconds if keep is None else keep
        try:
            yield room
        finally:
            await _beside(lambda: self._leave(held, agent, room.session_id, seconds))
            await self.tidy()

    async def tidy(self) -> None:
        """Deletes what is to be kept no longer, and what workers left that were killed; and again when more expires."""
        seconds = await _beside(self._shelf.tidy)
        if self._rest:
            self._rest.cancel()
            self._rest = None
        if seconds is not None:
            self._rest = asyncio.get_running_loop().call_later(min(seconds, _LONGEST_REST), self._tidy_again)

    def _tidy_again(self) -> None:
        self._tidying = asyncio.create_task(self.tidy())

    def _enter(self, agent: str, session_id: str, fork: bool) -> HeldDirectory:
        if not session_id:
            return self._shelf.fresh()
        return (self._shelf.copy if fork else self._shelf.take)(agent, session_id)

    def _leave(self, held: HeldDirectory, agent: str, session_id: str, seconds: float) -> None:
        if not session_id or seconds <= 0:
            held.delete()
            return
        try:
            self._shelf.keep(held, agent, session_id, seconds)
        except OSError as error:
            # The run is what it is. Its session stays as it was kept before, if it was.
            logger.warning("a session is not kept: {}", error.strerror or error, session_id=session_id)
        finally:
            held.let_go()


async def _beside(work: Callable[[], T], undo: Callable[[T], None] = lambda done: None) -> T:
    """Does it in a thread, and to its end. A cancellation meanwhile undoes it, and is raised then."""
    working = asyncio.ensure_future(asyncio.to_thread(work))
    impatience: asyncio.CancelledError | None = None
    while not working.done():
        try:
            await asyncio.wait([working])
        except asyncio.CancelledError as error:
            impatience = error
    if impatience is None:
        return working.result()
    if working.exception() is None:
        undo(working.result())
    raise impatience
