"""Making room while the control plane runs: finished tasks go in small steps, with rests between them.

A step asks the store for little, and is followed by a rest many times as long as it took: whatever the disk is like,
the loop's commits have the store nearly to themselves. When nothing is left to remove, it looks again a minute later.
"""

from __future__ import annotations

from loguru import logger

from taskrun.domain.batch import Retention
from taskrun.domain.errors import StoreFailed
from taskrun.domain.events import TasksRemoved
from taskrun.engine.background import Background
from taskrun.engine.log import log_events
from taskrun.ports.clock import Clock
from taskrun.ports.store import Store
from taskrun.ports.telemetry import Telemetry

#: Tasks that one step removes at most.
STEP = 200
#: A rest is this many times as long as the step before it, and at least so many seconds.
REST, LEAST_REST = 9, 0.05
#: Seconds until the next look, when there was nothing to remove or the store failed.
PAUSE = 60.0


class Pruner:
    """Removes tasks that ended more than `age` seconds ago, and the oldest while the store is above `max_bytes`.

    0 is no limit. A task with an idempotency key stays as long as its key counts.
    """

    def __init__(self, store: Store, clock: Clock, telemetry: Telemetry, age: float, max_bytes: int) -> None:
        self._store, self._clock, self._telemetry = store, clock, telemetry
        self._age_ms, self._max_bytes = round(age * 1000), max_bytes
        self._background = Background("pruner", self._run)

    def start(self) -> None:
        """Begins; doing it twice is harmless."""
        self._background.start()

    async def stop(self) -> None:
        """Ends; doing it twice is harmless."""
        await self._background.stop()

    async def _run(self) -> None:
        while True:
            began = self._clock.now().mono
            removed = await self._step()
            ended = self._clock.now().mono
            rest = max(LEAST_REST, REST * (ended - began)) if removed else PAUSE
            await self._clock.sleep_until(ended + rest)

    async def _step(self) -> bool:
        """Whether anything was removed."""
        retention = Retention.at(self._clock.now().utc_ms, self._age_ms, self._max_bytes)
        try:
            removed = await self._store.prune(retention, STEP)
        except StoreFailed as error:
            logger.warning("finished tasks cannot be removed now: {}", error.message)
            return False
        if removed:
            events = [TasksRemoved(removed)]
            log_events(events)
            self._telemetry.record(events)
        return bool(removed)
