"""Why a task waits, put together from what the store and the core know."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from taskrun.domain.errors import NotFound, StoreFailed
from taskrun.domain.explanation import Ahead, Explanation
from taskrun.domain.fitness import WorkerFit
from taskrun.domain.protocol import RunReport
from taskrun.domain.records import Task, TaskSpec
from taskrun.domain.status import FailureKind, RunStatus, TaskStatus
from taskrun.engine.control_plane import ControlPlane
from taskrun.testing.clock import JumpingClock
from taskrun.testing.faulty_store import FaultyStore
from tests.engine.peers import Peer

SPEC = TaskSpec("echo", "1")


async def made(plane: ControlPlane, *specs: TaskSpec) -> Sequence[Task]:
    tasks = [task for task in await plane.create(specs, "client:me") if isinstance(task, Task)]
    assert len(tasks) == len(specs)
    return tasks


async def test_a_task_that_waits_has_a_place_a_sentence_and_a_word_for_every_worker(
    plane: ControlPlane, peer: Peer
) -> None:
    await peer.connect("w1", slots=1)
    await made(plane, SPEC)
    first, second = await made(plane, SPEC, SPEC)
    assert await plane.explain(second.id) == Explanation(
        second.id,
        TaskStatus.PENDING,
        "no worker that it could go to has a free slot",
        second.created_at_ms,
        Ahead(1),
        workers=(WorkerFit("w1", ("has no free slot: 1 of 1 runs",)),),
        workers_looked_at=1,
    )
    assert (await plane.explain(first.id)).ahead == Ahead(0)


async def test_a_task_that_runs_and_one_that_has_ended_wait_for_nobody(
    plane: ControlPlane, peer: Peer, jumping: JumpingClock
) -> None:
    await peer.connect("w1")
    [task] = await made(plane, SPEC)
    running = Explanation(task.id, TaskStatus.RUNNING, "run 1 is on w1")
    assert await plane.explain(task.id) == running
    await peer.end(peer.runs[0].run_id)
    await jumping.advance(0)
    assert (await plane.explain(task.id)).summary == "it has ended"


async def test_a_task_that_rests_says_until_when(plane: ControlPlane, peer: Peer, jumping: JumpingClock) -> None:
    await peer.connect("w1")
    [task] = await made(plane, TaskSpec("echo", "1", max_attempts=5, retry_on=frozenset({FailureKind.AGENT_ERROR})))
    for attempt in range(2):
        await peer.say(RunReport(peer.runs[attempt].run_id, RunStatus.FAILED, "no", FailureKind.AGENT_ERROR))
        await jumping.advance(0)
    told, now_ms = await plane.explain(task.id), jumping.now().utc_ms
    assert now_ms < told.rests_until_ms <= now_ms + 1000
    assert told.summary.startswith("it rests before attempt 3, until ")
    assert (told.ahead, told.workers) == (None, (WorkerFit("w1"),))


async def test_an_unknown_task_is_not_found_and_a_store_that_fails_says_so(
    plane: ControlPlane, store: FaultyStore
) -> None:
    with pytest.raises(NotFound, match="unknown"):
        await plane.explain("unknown")
    store.break_down()
    with pytest.raises(StoreFailed):
        await plane.explain("unknown")
    store.mend()
