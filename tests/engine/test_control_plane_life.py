"""Starting, serving, draining, stopping."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from taskrun.domain.errors import FailedPrecondition, NotFound, StoreFailed, Unavailable
from taskrun.domain.protocol import FEATURES, RESUME, ContinueRun, Heartbeat, HeartbeatAck, HelloAck, RunReport
from taskrun.domain.records import Continuation, Run, RunEvent, RunMessage, Task, TaskQuery, TaskSpec
from taskrun.domain.status import ChatRole, FailureKind, RunEventType, RunStatus, TaskStatus, WorkerStatus
from taskrun.domain.timers import ControlPlaneTimers
from taskrun.engine.control_plane import ControlPlane
from taskrun.ports.store import Backlog, Batch
from taskrun.testing.clock import JumpingClock
from taskrun.testing.faulty_store import FaultyStore
from taskrun.testing.harness import RecordingTelemetry
from tests.engine.peers import Peer, hello

SPEC = TaskSpec("echo", "1")


async def one_task(plane: ControlPlane) -> Task:
    [task] = await plane.create([SPEC], "client:me")
    assert isinstance(task, Task)
    return task


# Serving.


async def test_a_task_goes_from_its_caller_to_a_worker_and_back(plane: ControlPlane, peer: Peer) -> None:
    await peer.connect()
    task = await one_task(plane)
    assert [run.task_id for run in peer.runs] == [task.id]
    await peer.end(peer.runs[0].run_id)
    async for _ in plane.watch(task.id):
        pass
    assert (await plane.get(task.id)).status is TaskStatus.COMPLETED


async def test_a_message_goes_to_the_run_and_after_its_end_to_a_new_task(
    plane: ControlPlane, peer: Peer, jumping: JumpingClock
) -> None:
    await peer.connect()
    task = await one_task(plane)
    [run] = peer.runs
    opened = RunEvent(run.run_id, RunEventType.SESSION_INITIALIZED, {"session_id": "s"})
    await peer.say(RunReport(run.run_id, RunStatus.RUNNING), opened)
    asking = asyncio.ensure_future(plane.continue_task(task.id, "more", "client:me"))
    await jumping.advance(0)
    [order] = [word for word in peer.heard if isinstance(word, ContinueRun)]
    await peer.say(RunMessage(run.run_id, ChatRole.USER, "more", id=order.id))
    assert (await asking).id == task.id
    await peer.say(RunReport(run.run_id, RunStatus.COMPLETED, session_id="s"))
    async for _ in plane.watch(task.id):
        pass
    follow_up = await plane.continue_task(task.id, "and then?", "client:me", fork=True, key="k")
    assert follow_up.spec.continues == Continuation(task.id, "s", fork=True)
    assert (peer.runs[1].task_id, peer.runs[1].session_id) == (follow_up.id, "s")


async def test_a_message_is_refused_in_the_words_of_the_core(plane: ControlPlane) -> None:
    task = await one_task(plane)
    with pytest.raises(FailedPrecondition, match="waits still"):
        await plane.continue_task(task.id, "more", "client:me")


async def test_what_waits_is_told_by_requirement(plane: ControlPlane) -> None:
    task = await one_task(plane)
    assert await plane.backlog() == {task.requirement: Backlog(1, task.created_at_ms)}


async def test_tasks_are_found(plane: ControlPlane) -> None:
    task = await one_task(plane)
    assert (await plane.find(TaskQuery(agent="echo"))).tasks == (task,)
    assert (await plane.find(TaskQuery(agent="other"))).tasks == ()


async def test_an_unknown_task_is_not_found(plane: ControlPlane) -> None:
    for call in (plane.get("unknown"), plane.cancel("unknown"), plane.continue_task("unknown", "more", "client:me")):
        with pytest.raises(NotFound, match="unknown"):
            await call


async def test_a_cancel_is_answered_with_the_task(plane: ControlPlane) -> None:
    task = await one_task(plane)
    assert (await plane.cancel(task.id)).status is TaskStatus.CANCELLED
    with pytest.raises(FailedPrecondition):
        await plane.cancel(task.id)


async def test_workers_are_shown(plane: ControlPlane, peer: Peer) -> None:
    await peer.connect("w1", slots=3)
    assert plane.workers() == [plane.worker("w1")]
    assert plane.workers("other") == plane.workers(status=WorkerStatus.DRAINING) == []
    assert plane.worker("w1").max_concurrent_runs == 3
    with pytest.raises(NotFound):
        plane.worker("w2")


# Streams.


async def test_each_stream_is_a_session_of_its_own(plane: ControlPlane) -> None:
    first, second = Peer(plane), Peer(plane)
    await asyncio.gather(first.connect("w1"), second.connect("w2"))
    assert first.session != second.session
    assert [first.heard, second.heard] == [
        [HelloAck("w1", frozenset(FEATURES) - {RESUME})],
        [HelloAck("w2", frozenset(FEATURES) - {RESUME})],
    ]


async def test_a_newer_stream_takes_the_place_of_the_older_and_outlives_its_clean_up(
    plane: ControlPlane, jumping: JumpingClock
) -> None:
    old, new = Peer(plane), Peer(plane)
    await old.connect("w1")
    await new.connect("w1")
    assert isinstance(old.error, Unavailable)
    await plane.disconnect(old.session)
    await jumping.advance(0)
    await one_task(plane)
    assert len(new.runs) == 1
    assert new.error is None


async def test_a_stream_that_breaks_while_a_newer_takes_its_place_is_ended_once(
    plane: ControlPlane, store: FaultyStore, jumping: JumpingClock
) -> None:
    old, new = Peer(plane), Peer(plane)
    await old.connect("w1")
    stored = store.lag()
    call = asyncio.create_task(plane.create([SPEC], "client:me"))
    await store.held()
    connecting = asyncio.create_task(new.connect("w1"))
    await jumping.advance(0)
    await plane.disconnect(old.session)
    stored.set()
    await asyncio.gather(call, connecting)
    assert old.error is None
    assert [view.id for view in plane.workers()] == ["w1"]


async def test_a_worker_that_vanishes_while_it_is_being_let_in_leaves_nothing_behind(
    plane: ControlPlane, store: FaultyStore, jumping: JumpingClock, peer: Peer
) -> None:
    stored = store.lag()
    call = asyncio.create_task(plane.create([SPEC], "client:me"))
    await store.held()
    connecting = asyncio.create_task(peer.connect())
    await jumping.advance(0)
    connecting.cancel()
    stored.set()
    await call
    await jumping.advance(0)
    assert connecting.cancelled()
    assert plane.workers() == []


async def test_what_comes_from_a_stream_that_is_over_is_dropped(
    plane: ControlPlane, jumping: JumpingClock, peer: Peer
) -> None:
    await peer.connect()
    await plane.disconnect(peer.session)
    await plane.disconnect(peer.session)
    await peer.say(Heartbeat(WorkerStatus.IDLE, 0, 10, 7))
    await jumping.advance(0)
    assert HeartbeatAck(7) not in peer.heard


async def test_a_stream_that_breaks_the_protocol_is_ended(
    plane: ControlPlane, jumping: JumpingClock, peer: Peer
) -> None:
    await peer.connect()
    await peer.say(hello("echo"))
    await jumping.advance(0)
    assert peer.error is not None
    assert plane.workers() == []


async def test_deadlines_are_kept_without_any_input(plane: ControlPlane, jumping: JumpingClock, peer: Peer) -> None:
    await peer.connect()
    await jumping.advance(44)
    assert len(plane.workers()) == 1
    await jumping.advance(1)
    assert plane.workers() == []
    assert isinstance(peer.error, Unavailable)


# Starting.


async def test_before_its_start_it_is_not_ready_and_refuses(idle_plane: ControlPlane) -> None:
    assert not idle_plane.ready
    [refusal] = await idle_plane.create([SPEC], "client:me")
    assert isinstance(refusal, Unavailable)
    with pytest.raises(Unavailable):
        await Peer(idle_plane).connect()


async def test_it_starts_from_what_the_store_holds(
    plane: ControlPlane, store: FaultyStore, jumping: JumpingClock, telemetry: RecordingTelemetry
) -> None:
    task = await one_task(plane)
    await plane.stop()
    again = ControlPlane(store, jumping, lambda: "run 1", telemetry, ControlPlaneTimers())
    recovery = await again.start()
    assert recovery.counts[TaskStatus.PENDING] == 1
    peer = Peer(again)
    await peer.connect()
    await jumping.advance(0)
    assert [run.task_id for run in peer.runs] == [task.id]
    await again.stop()


async def test_a_start_without_a_store_is_refused_and_may_be_tried_again(
    idle_plane: ControlPlane, store: FaultyStore
) -> None:
    store.break_down()
    with pytest.raises(StoreFailed):
        await idle_plane.start()
    assert not idle_plane.ready
    store.mend()
    await idle_plane.start()
    assert idle_plane.ready
    await idle_plane.stop()


async def test_a_drain_before_the_start_holds_after_it(idle_plane: ControlPlane) -> None:
    await idle_plane.drain()
    await idle_plane.start()
    assert not idle_plane.ready
    with pytest.raises(Unavailable):
        await Peer(idle_plane).connect()
    await idle_plane.stop()


# Draining and stopping.


async def test_a_draining_control_plane_refuses_newcomers_and_ends_what_it_has(plane: ControlPlane, peer: Peer) -> None:
    await peer.connect()
    task = await one_task(plane)
    await plane.drain()
    assert plane.draining
    assert not plane.ready
    [refusal] = await plane.create([SPEC], "client:me")
    assert isinstance(refusal, Unavailable)
    await peer.end(peer.runs[0].run_id)
    async for _ in plane.watch(task.id):
        pass
    assert (await plane.get(task.id)).status is TaskStatus.COMPLETED


async def test_a_stop_ends_every_stream_and_answers_every_caller(
    plane: ControlPlane, store: FaultyStore, peer: Peer
) -> None:
    await peer.connect()
    store.lag()
    call = asyncio.create_task(plane.create([SPEC], "client:me"))
    await store.held()
    await plane.stop()
    [refusal] = await call
    assert isinstance(refusal, Unavailable)
    assert isinstance(peer.error, Unavailable)
    assert not plane.ready


async def test_after_its_stop_it_refuses(plane: ControlPlane) -> None:
    await plane.stop()
    [refusal] = await plane.create([SPEC], "client:me")
    assert isinstance(refusal, Unavailable)
    with pytest.raises(Unavailable):
        await Peer(plane).connect()


async def test_starting_and_stopping_in_any_order_and_at_once_is_harmless(
    idle_plane: ControlPlane, store: FaultyStore, peer: Peer
) -> None:
    await idle_plane.stop()
    others = asyncio.all_tasks()
    for _ in range(20):
        await asyncio.gather(
            *[call() for call in (idle_plane.start, idle_plane.stop, idle_plane.start, idle_plane.stop)]
        )
    assert asyncio.all_tasks() == others


async def test_two_starts_make_one_control_plane(idle_plane: ControlPlane) -> None:
    before = len(asyncio.all_tasks())
    first, second = await asyncio.gather(idle_plane.start(), idle_plane.start())
    assert first is second
    assert len(asyncio.all_tasks()) == before + 1
    await asyncio.gather(idle_plane.stop(), idle_plane.stop())
    assert len(asyncio.all_tasks()) == before


async def test_a_task_that_nobody_takes_in_time_ends_although_nobody_comes_any_more(
    plane: ControlPlane, jumping: JumpingClock
) -> None:
    [task] = await plane.create([replace(SPEC, queue_timeout_ms=5000)], "client:me")
    assert isinstance(task, Task)
    await jumping.advance(5)
    assert (await plane.get(task.id)).failure is FailureKind.QUEUE_TIMEOUT
    async for _ in plane.watch(task.id):
        pass


async def test_what_expired_while_nobody_was_there_ends_although_nobody_comes(
    idle_plane: ControlPlane, store: FaultyStore, jumping: JumpingClock
) -> None:
    task = Task("t1", SPEC, TaskStatus.PENDING, "client:me", 1, next_seq=1, expires_at_ms=2)
    await store.commit(Batch({task.id: task}))
    await idle_plane.start()
    await jumping.advance(0)
    expired = await idle_plane.get(task.id)
    await idle_plane.stop()
    assert (expired.status, expired.failure) == (TaskStatus.FAILED, FailureKind.QUEUE_TIMEOUT)


async def test_what_was_taken_over_has_its_deadlines_although_nobody_comes(
    idle_plane: ControlPlane, store: FaultyStore, jumping: JumpingClock
) -> None:
    """The worker died together with the control plane."""
    run = Run("run", "gone", RunStatus.RUNNING, 1, process="p1")
    task = Task("t1", SPEC, TaskStatus.RUNNING, "client:me", 1, (run,), next_seq=1)
    await store.commit(Batch({task.id: task}))
    await idle_plane.start()
    await jumping.advance(120)
    waiting = await idle_plane.get(task.id)
    await idle_plane.stop()
    assert (waiting.status, waiting.runs[0].failure) == (TaskStatus.PENDING, FailureKind.WORKER_LOST)
