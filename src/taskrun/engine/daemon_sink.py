"""What a running agent writes into."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from taskrun.domain.daemon.chunks import chunks, clipped
from taskrun.domain.daemon.lane import Lane
from taskrun.domain.daemon.outbox import Outbox
from taskrun.domain.limits import MAX_CHUNK_BYTES
from taskrun.domain.records import RunEvent, Usage
from taskrun.domain.usage import bounded
from taskrun.domain.utterance import Utterance
from taskrun.engine.daemon_room import Room
from taskrun.ports.agent_events import AgentEvent, OutputGenerated, UsageReported

#: Characters. An event says what happened; whoever needs the whole of a tool's answer reads the output.
MAX_EVENT_VALUE = 8192


class RunSink:
    """Implements `AgentSink` over a lane of the outbox. While there is room nothing waits and nothing is scheduled."""

    __slots__ = ("_before", "_lane", "_outbox", "_room", "_wake", "said", "usage")

    def __init__(
        self, outbox: Outbox, lane: Lane, room: Room, wake: Callable[[], None], before: Usage | None = None
    ) -> None:
        """`wake` tells the writer that there is something to send. `before` is what the run's turns before have
        consumed."""
        self._outbox, self._lane, self._room, self._wake, self._before = outbox, lane, room, wake, before
        #: What the agent said last of what it has consumed in this turn.
        self.usage: Usage | None = None
        #: What the agent answers.
        self.said = Utterance()

    async def text(self, text: str) -> None:
        """See `AgentSink.text`."""
        if len(text) > MAX_CHUNK_BYTES or not text.isascii():
            for chunk in chunks(text):
                await self._put(chunk)
        elif text:
            await self._put(text)

    async def event(self, event: AgentEvent) -> None:
        """See `AgentSink.event`."""
        if self._outbox.full or self._lane.closed:
            await self._pause()
        if isinstance(event, UsageReported):
            self.usage = bounded(event.usage())
            event = event.after(self._before)
        run_id = self._lane.run_id
        known = {key: clipped(value, MAX_EVENT_VALUE) for key, value in event.metadata().items()}
        self._lane.add(RunEvent(run_id, event.TYPE, known, f"{run_id}-{self._lane.events}"))
        self._lane.events += 1
        if isinstance(event, OutputGenerated) and event.text:
            self.said.settle(clipped(event.text, len(event.text)), event.characters)
        self._wake()

    async def _put(self, chunk: str) -> None:
        if self._outbox.full or self._lane.closed:
            await self._pause()
        self._lane.text(chunk)
        self.said.add(chunk)
        self._wake()

    async def _pause(self) -> None:
        """Waits for room. Who writes into a closed lane only lets others go on, so that it can be cancelled."""
        if self._lane.closed:
            await asyncio.sleep(0)
        else:
            await self._room.wait()
