"""A sink that remembers: for trying an agent by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from taskrun.ports.agent_events import AgentEvent

E = TypeVar("E", bound=AgentEvent)
T = TypeVar("T", str, AgentEvent)


class RecordingSink:
    """Implements `AgentSink`; keeps all it is given, in order."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.events: list[AgentEvent] = []
        #: Both, in the order in which they came.
        self.story: list[str | AgentEvent] = []
        self._changed = asyncio.Condition()

    async def text(self, text: str) -> None:
        if text:
            await self._keep(self.texts, text)

    async def event(self, event: AgentEvent) -> None:
        await self._keep(self.events, event)

    @property
    def output(self) -> str:
        """All text so far."""
        return "".join(self.texts)

    def those(self, kind: type[E]) -> list[E]:
        """The events of this kind."""
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, condition: Callable[[RecordingSink], object]) -> None:
        """Returns once `condition` holds; it is looked at after everything new."""
        async with self._changed:
            await self._changed.wait_for(lambda: condition(self))

    async def _keep(self, those: list[T], told: T) -> None:
        async with self._changed:
            those.append(told)
            self.story.append(told)
            self._changed.notify_all()
