from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import pytest

from taskrun.domain.events import TasksRemoved
from taskrun.domain.status import TaskStatus
from taskrun.engine.retention import LEAST_REST, PAUSE, REST, STEP, Pruner
from taskrun.ports.store import Retention
from taskrun.testing.clock import JumpingClock
from taskrun.testing.contracts.store_cases import COMPLETED, RUNNING, make_task, save
from taskrun.testing.faulty_store import FaultyStore
from taskrun.testing.harness import RecordingTelemetry

DAY = 24 * 3600.0


@pytest.fixture
async def pruner(store: FaultyStore, jumping: JumpingClock, telemetry: RecordingTelemetry) -> AsyncIterator[Pruner]:
    """It keeps finished tasks for a week."""
    pruner = Pruner(store, jumping, telemetry, age=7 * DAY, max_bytes=0)
    yield pruner
    store.unclog()
    await pruner.stop()


async def _fill(store: FaultyStore, jumping: JumpingClock, count: int) -> None:
    """Tasks that end now, and one that does not."""
    now_ms = jumping.now().utc_ms
    done = (replace(make_task(n, COMPLETED, at_ms=now_ms), finished_at_ms=now_ms) for n in range(count))
    await save(store, *done, make_task(10_000, RUNNING, at_ms=1))


async def _left(store: FaultyStore) -> int:
    return (await store.recover()).counts[COMPLETED]


async def test_tasks_go_a_week_after_their_end(pruner: Pruner, store: FaultyStore, jumping: JumpingClock) -> None:
    await _fill(store, jumping, 3)
    pruner.start()
    await jumping.advance(7 * DAY)
    assert await _left(store) == 3
    await jumping.advance(PAUSE)
    assert await _left(store) == 0
    assert (await store.recover()).counts[RUNNING] == 1


async def test_they_go_in_steps_with_rests_and_telemetry_is_told(
    pruner: Pruner, store: FaultyStore, jumping: JumpingClock, telemetry: RecordingTelemetry
) -> None:
    await _fill(store, jumping, 2 * STEP + 1)
    await jumping.advance(8 * DAY)
    pruner.start()
    left = []
    for seconds in (0, LEAST_REST, LEAST_REST):
        await jumping.advance(seconds)
        left.append(await _left(store))
    assert left == [STEP + 1, 1, 0]
    assert [event.counts for event in telemetry.events if isinstance(event, TasksRemoved)] == [
        {COMPLETED: STEP},
        {COMPLETED: STEP},
        {COMPLETED: 1},
    ]


async def test_a_slow_store_is_left_alone_for_longer(pruner: Pruner, store: FaultyStore, jumping: JumpingClock) -> None:
    await _fill(store, jumping, STEP + 1)
    await jumping.advance(8 * DAY)
    store.clog()
    pruner.start()
    await jumping.advance(2)
    store.unclog()
    await jumping.advance(2 * REST - 0.1)
    assert await _left(store) == 1
    await jumping.advance(0.1)
    assert await _left(store) == 0


async def test_it_tries_again_when_the_store_is_mended(
    pruner: Pruner, store: FaultyStore, jumping: JumpingClock
) -> None:
    await _fill(store, jumping, 1)
    await jumping.advance(8 * DAY)
    store.break_down()
    pruner.start()
    await jumping.advance(0)
    store.mend()
    assert await _left(store) == 1
    await jumping.advance(PAUSE)
    assert await _left(store) == 0


async def test_a_store_that_is_too_large_is_cut_but_for_keys_that_count(
    store: FaultyStore, jumping: JumpingClock, telemetry: RecordingTelemetry
) -> None:
    now_ms = jumping.now().utc_ms
    tasks = [replace(make_task(n, COMPLETED, at_ms=now_ms), finished_at_ms=now_ms) for n in range(3)]
    await save(store, *tasks, replace(make_task(3, COMPLETED, at_ms=now_ms, idempotency_key="k"), finished_at_ms=1))
    pruner = Pruner(store, jumping, telemetry, age=0, max_bytes=1)
    pruner.start()
    await jumping.advance(PAUSE)
    assert await _left(store) == 1
    await jumping.advance(DAY + PAUSE)
    assert await _left(store) == 0
    await pruner.stop()


async def test_no_limit_asks_for_nothing(
    store: FaultyStore, jumping: JumpingClock, telemetry: RecordingTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Retention] = []

    async def prune(retention: Retention, limit: int) -> Mapping[TaskStatus, int]:
        asked.append(retention)
        return {}

    monkeypatch.setattr(store, "prune", prune)
    pruner = Pruner(store, jumping, telemetry, age=0, max_bytes=0)
    pruner.start()
    await jumping.advance(PAUSE)
    assert {(each.ended_before_ms, each.max_bytes) for each in asked} == {(0, 0)}
    await pruner.stop()


async def test_starting_and_stopping_twice_is_harmless(pruner: Pruner, jumping: JumpingClock) -> None:
    await pruner.stop()
    for _ in range(50):
        pruner.start()
        pruner.start()
        await jumping.advance(0)
        await pruner.stop()
        await pruner.stop()
