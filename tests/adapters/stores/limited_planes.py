"""Control planes in this process on one database, under limits. They meet, and hear each other, as ever."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from taskrun.adapters.stores.postgres.database import Database
from taskrun.adapters.stores.postgres.store import PostgresStore
from taskrun.adapters.system.clock import SystemClock
from taskrun.adapters.system.ids import UuidV7Source
from taskrun.domain.errors import NotFound, TaskRunError
from taskrun.domain.quotas import Limit, Policy
from taskrun.domain.records import Task, TaskSpec
from taskrun.domain.timers import ControlPlaneTimers
from taskrun.engine.control_plane import ControlPlane
from taskrun.ports.peers import LEASE
from taskrun.testing.harness import RecordingTelemetry

Outcomes = Sequence[Task | TaskRunError]
Start = Callable[..., Awaitable[ControlPlane]]


class Planes:
    """Starts control planes, and ends them."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._planes: list[tuple[ControlPlane, PostgresStore]] = []

    async def start(self, *limits: Limit, lease: float = LEASE) -> ControlPlane:
        """One more, under these limits. It meets the others three times in each lease, in seconds."""
        store = PostgresStore(await asyncio.to_thread(Database, self._url), lease)
        clock, telemetry, policy = SystemClock(), RecordingTelemetry(), Policy(limits)
        timers = ControlPlaneTimers()
        plane = ControlPlane(store, clock, UuidV7Source(), telemetry, timers, store.peers, lease, policy)
        self._planes.append((plane, store))
        await plane.start()
        return plane

    async def stop(self, *planes: ControlPlane) -> None:
        """These, or all of them."""
        for plane, store in self._planes:
            if not planes or plane in planes:
                await plane.stop()
                await store.close()


async def rule(*limits: Limit, by: Sequence[ControlPlane]) -> None:
    """From now on these limits hold at these control planes, which have counted what runs there."""
    for plane in by:
        plane.rule(Policy(limits))
    for plane in by:
        # What is answered was heard after it.
        with suppress(NotFound):
            await plane.cancel("nothing")


async def create(plane: ControlPlane, *keys: str, by: str = "client:ann") -> Outcomes:
    """Creates one task for each key."""
    return await plane.create([TaskSpec("echo", "1", idempotency_key=key) for key in keys], by)


def kinds(outcomes: Outcomes) -> Counter[type]:
    """How many there are of each kind."""
    return Counter(map(type, outcomes))
