from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from taskrun.adapters.stores.memory import MemoryStore
from taskrun.adapters.system.ids import UuidV7Source
from taskrun.domain.timers import ControlPlaneTimers
from taskrun.engine.control_plane import ControlPlane
from taskrun.testing.clock import JumpingClock
from taskrun.testing.faulty_store import FaultyStore
from taskrun.testing.harness import RecordingTelemetry
from tests.engine.peers import Peer


@pytest.fixture
def jumping() -> JumpingClock:
    """Time for the control plane; `advance(0)` waits until everything has happened that can."""
    return JumpingClock()


@pytest.fixture
def telemetry() -> RecordingTelemetry:
    return RecordingTelemetry()


@pytest.fixture
async def store() -> AsyncIterator[FaultyStore]:
    store = FaultyStore(MemoryStore())
    yield store
    await store.close()


@pytest.fixture
def idle_plane(store: FaultyStore, jumping: JumpingClock, telemetry: RecordingTelemetry) -> ControlPlane:
    """A control plane that was not started yet."""
    return ControlPlane(store, jumping, UuidV7Source(), telemetry, ControlPlaneTimers())


@pytest.fixture
async def plane(idle_plane: ControlPlane, store: FaultyStore) -> AsyncIterator[ControlPlane]:
    await idle_plane.start()
    yield idle_plane
    store.unclog()
    await idle_plane.stop()


@pytest.fixture
def peer(plane: ControlPlane) -> Peer:
    """A worker that has not connected yet."""
    return Peer(plane)
