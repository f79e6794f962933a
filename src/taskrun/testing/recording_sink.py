"""A sink that remembers: for trying an agent by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from taskrun.domain.status import RunEventType


class RecordingSink:
    """Implements `AgentSink`; keeps all it is given, in order."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.events: list[tuple[RunEventType, dict[str, str]]] = []
        self._changed = asyncio.Condition()

    async def text(self, text: str) -> None:
        if text:
            await self._keep(lambda: self.texts.append(text))

    async def event(self, type: RunEventType, **metadata: str) -> None:
        await self._keep(lambda: self.events.append((type, metadata)))

    @property
    def output(self) -> str:
        """All text so far."""
        return "".join(self.texts)

    def metadata(self, type: RunEventType) -> list[dict[str, str]]:
        """What the events of this type said."""
        return [metadata for kind, metadata in self.events if kind is type]

    async def until(self, condition: Callable[[RecordingSink], object]) -> None:
        """Returns once `condition` holds; it is looked at after everything new."""
        async with self._changed:
            await self._changed.wait_for(lambda: condition(self))

    async def _keep(self, change: Callable[[], None]) -> None:
        async with self._changed:
            change()
            self._changed.notify_all()
