"""Nothing is said before it is stored, and one commit carries all that gathered during the last."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence, Sized

import pytest

from taskrun.domain.errors import ResourceExhausted, Unavailable
from taskrun.domain.events import SlotsChanged, WorkerMoved
from taskrun.domain.protocol import Heartbeat, HeartbeatAck, Stored
from taskrun.domain.records import OutputSegment, StoryEntry, Task, TaskSpec
from taskrun.domain.status import TaskStatus, WorkerStatus
from taskrun.engine import inbox
from taskrun.engine.control_plane import ControlPlane
from taskrun.engine.patience import ENOUGH, Patience
from taskrun.testing.clock import JumpingClock
from taskrun.testing.faulty_store import FaultyStore
from taskrun.testing.harness import RecordingTelemetry
from tests.engine.peers import Peer

SPEC = TaskSpec("echo", "1")
BEAT = Heartbeat(WorkerStatus.IDLE, 0, 10)


async def one_task(plane: ControlPlane) -> Task:
    [task] = await plane.create([SPEC], "client:me")
    assert isinstance(task, Task)
    return task


def creating(plane: ControlPlane, count: int = 1) -> asyncio.Task[Sequence[object]]:
    return asyncio.create_task(plane.create([SPEC] * count, "client:me"))


async def test_a_store_without_room_takes_no_new_task_but_all_else(
    plane: ControlPlane, store: FaultyStore, peer: Peer, jumping: JumpingClock
) -> None:
    await peer.connect()
    task = await one_task(plane)
    store.fill_up()
    [refused] = await plane.create([SPEC], "client:me")
    assert isinstance(refused, ResourceExhausted)
    assert "no room for new tasks" in refused.message
    await peer.end(peer.runs[0].run_id)
    await jumping.advance(0)
    assert (await plane.get(task.id)).status is TaskStatus.COMPLETED
    store.mend()
    await one_task(plane)


# Before the commit.


async def test_no_caller_is_answered_before_the_commit(
    plane: ControlPlane, store: FaultyStore, jumping: JumpingClock
) -> None:
    stored = store.lag()
    call = creating(plane)
    await jumping.advance(0)
    assert not call.done()
    stored.set()
    [task] = await call
    assert isinstance(task, Task)
    assert await plane.get(task.id) == task


async def test_no_assignment_leaves_before_the_commit(
    plane: ControlPlane, store: FaultyStore, jumping: JumpingClock, peer: Peer
) -> None:
    await peer.connect()
    stored = store.lag()
    call = creating(plane)
    await jumping.advance(0)
    assert peer.runs == []
    stored.set()
    await call
    assert len(peer.runs) == 1


async def test_no_output_is_acknowledged_and_no_watcher_woken_before_the_commit(
    plane: ControlPlane, store: FaultyStore, jumping: JumpingClock, peer: Peer
) -> None:
    await peer.connect(process="p")
    task = await one_task(plane)
    seen: list[StoryEntry] = []

    async def watch() -> None:
        async for entries in plane.watch(task.id, task.next_seq):
            seen.extend(entries)

    watcher = asyncio.create_task(watch())
    await jumping.advance(0)
    stored = store.lag()
    peer.heard.clear()
    await peer.say(OutputSegment(peer_run(task), 0, ("x",)), Heartbeat(WorkerStatus.BUSY, 1, 10, 7))
    await jumping.advance(0)
    assert (peer.heard, seen) == ([], [])
    stored.set()
    await jumping.advance(0)
    assert peer.heard == [HeartbeatAck(7), Stored(1)]
    assert [entry.body for entry in seen] == [OutputSegment(peer_run(task), 0, ("x",))]
    await peer.end(peer_run(task))
    await watcher


def peer_run(task: Task) -> str:
    return task.runs[-1].id


async def test_no_event_is_told_before_the_commit(
    plane: ControlPlane, store: FaultyStore, jumping: JumpingClock, telemetry: RecordingTelemetry
) -> None:
    stored = store.lag()
    call = creating(plane)
    await jumping.advance(0)
    assert telemetry.events == []
    stored.set()
    await call
    assert len(telemetry.events) == 1


# Batches.


async def test_what_gathers_during_a_commit_goes_in_one_next_commit(
    plane: ControlPlane, store: FaultyStore, jumping: JumpingClock
) -> None:
    stored = store.lag()
    calls = [creating(plane)]
    await store.held()
    before = store.commits
    calls += [creating(plane, count) for count in (1, 5, 20)]
    await jumping.advance(0)
    assert store.commits == before
    stored.set()
    answers = await asyncio.gather(*calls)
    assert store.commits == before + 1
    assert [len(answer) for answer in answers] == [1, 1, 5, 20]


async def test_many_tasks_created_at_once_cost_one_commit_and_are_answered_in_order(
    plane: ControlPlane, store: FaultyStore
) -> None:
    specs = [TaskSpec("echo", str(number)) for number in range(500)]
    tasks = await plane.create(specs, "client:me")
    assert store.commits == 1
    assert [task.spec for task in tasks if isinstance(task, Task)] == specs


async def test_nothing_to_create_is_nothing_to_store(plane: ControlPlane, store: FaultyStore) -> None:
    assert await plane.create([], "client:me") == []
    assert store.commits == 0


async def test_what_changes_nothing_costs_no_commit(plane: ControlPlane, store: FaultyStore, peer: Peer) -> None:
    await peer.connect()
    await peer.say(BEAT, BEAT)
    await peer.connect()
    assert HeartbeatAck(0) in peer.heard
    assert store.commits == 0


async def test_a_turn_is_bounded(
    plane: ControlPlane, store: FaultyStore, jumping: JumpingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "MAX_TURN", 10)
    await asyncio.gather(*[creating(plane) for _ in range(25)])
    assert store.commits == 3


# Backpressure.


async def test_a_worker_is_not_read_while_the_control_plane_is_behind(
    plane: ControlPlane, store: FaultyStore, jumping: JumpingClock, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "MAX_INBOX", 3)
    await peer.connect()
    stored = store.lag()
    call = creating(plane)
    await store.held()
    await peer.say(BEAT)
    await peer.say(BEAT)
    blocked = asyncio.create_task(peer.say(BEAT))
    await jumping.advance(0)
    assert not blocked.done()
    stored.set()
    await blocked
    await call


async def test_behind_is_also_a_matter_of_bytes(
    plane: ControlPlane, store: FaultyStore, jumping: JumpingClock, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "MAX_INBOX_BYTES", 1000)
    await peer.connect()
    stored = store.lag()
    call = creating(plane)
    await store.held()
    blocked = asyncio.create_task(plane.receive(peer.session, [BEAT], 1000))
    await jumping.advance(0)
    assert not blocked.done()
    stored.set()
    await blocked
    await call


async def test_callers_are_turned_away_while_the_control_plane_is_far_behind(
    plane: ControlPlane, store: FaultyStore, jumping: JumpingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "MAX_INBOX", 2)
    stored = store.lag()
    first = creating(plane)
    await store.held()
    waiting = [creating(plane), creating(plane)]
    await jumping.advance(0)
    [refused] = await plane.create([TaskSpec("echo", "1")], "me")
    assert isinstance(refused, ResourceExhausted)
    stored.set()
    await asyncio.gather(first, *waiting)


async def test_a_worker_that_waits_to_be_read_is_let_go_when_the_control_plane_stops(
    plane: ControlPlane, store: FaultyStore, jumping: JumpingClock, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "MAX_INBOX", 1)
    await peer.connect()
    store.lag()
    call = creating(plane)
    await store.held()
    blocked = asyncio.create_task(peer.say(BEAT))
    await jumping.advance(0)
    await plane.stop()
    await asyncio.wait_for(blocked, 10)
    await peer.say(BEAT)
    [answer] = await asyncio.gather(call, return_exceptions=True)
    assert answer


# A commit that fails.


async def test_a_failed_commit_fails_its_whole_turn_and_stores_nothing_of_it(
    plane: ControlPlane, store: FaultyStore, jumping: JumpingClock, peer: Peer
) -> None:
    await peer.connect()
    store.fail_commits()
    answers = await asyncio.gather(creating(plane, 2), creating(plane))
    assert all(isinstance(answer, Unavailable) for answer in [*answers[0], *answers[1]])
    assert peer.runs == []
    assert isinstance(peer.error, Unavailable)
    await jumping.advance(0)
    assert not await store.backlog()


async def test_after_a_failed_commit_it_begins_again_from_the_store_and_serves_on(
    plane: ControlPlane, store: FaultyStore, jumping: JumpingClock, peer: Peer
) -> None:
    waiting = await one_task(plane)
    store.fail_commits()
    with pytest.raises(Unavailable):
        await plane.cancel(waiting.id)
    await jumping.advance(0)
    assert plane.ready
    await peer.connect()
    await jumping.advance(0)
    assert [run.task_id for run in peer.runs] == [waiting.id]
    await peer.end(peer.runs[0].run_id)
    await jumping.advance(0)
    assert (await plane.get(waiting.id)).status is TaskStatus.COMPLETED


async def test_runs_that_were_under_way_at_a_failed_commit_go_to_the_next_worker(
    plane: ControlPlane, store: FaultyStore, jumping: JumpingClock, peer: Peer
) -> None:
    await peer.connect()
    task = await one_task(plane)
    store.fail_commits()
    await creating(plane)
    await jumping.advance(0)
    again = Peer(plane)
    await again.connect()
    await jumping.advance(0)
    assert [(run.task_id, run.attempt) for run in again.runs] == [(task.id, 2)]


async def test_a_watcher_reads_what_was_stored_by_a_commit_whose_answer_got_lost(
    plane: ControlPlane, store: FaultyStore, jumping: JumpingClock, peer: Peer
) -> None:
    await peer.connect()
    task = await one_task(plane)
    story = plane.watch(task.id)
    await anext(story)
    rest = asyncio.ensure_future(anext(story))
    await jumping.advance(0)
    store.lose_answers()
    await peer.end(peer.runs[0].run_id)
    await jumping.advance(0)
    assert (await rest)[-1].is_end


async def test_workers_that_were_cut_off_by_a_failed_commit_are_gone_for_the_metrics_too(
    plane: ControlPlane, store: FaultyStore, jumping: JumpingClock, peer: Peer, telemetry: RecordingTelemetry
) -> None:
    await peer.connect()
    store.fail_commits()
    await creating(plane)
    await jumping.advance(0)
    assert plane.workers() == []
    # As it was told before: that the lost turn made it BUSY was never heard of.
    assert telemetry.events[-2:] == [WorkerMoved("w1", WorkerStatus.IDLE, None), SlotsChanged(0, 0)]


async def test_a_store_that_goes_on_failing_is_asked_less_and_less_often(
    plane: ControlPlane, store: FaultyStore, jumping: JumpingClock
) -> None:
    """Else all the workers that come back to a full disk would only fail it again."""
    store.fail_commits(10)
    for pause in (0, 1, 2, 4, 8, 16, 30, 30):
        await fail(plane)
        await jumping.advance(max(0, pause - 0.5))
        assert plane.ready is not bool(pause)
        await jumping.advance(0.5)
        assert plane.ready
    store.mend()
    await one_task(plane)
    store.fail_commits()
    await fail(plane)
    await jumping.advance(0)
    assert plane.ready


async def fail(plane: ControlPlane) -> None:
    [failed] = await plane.create([SPEC], "client:me")
    assert isinstance(failed, Unavailable)


async def test_while_the_store_is_down_it_is_not_ready_and_refuses_at_once(
    plane: ControlPlane, store: FaultyStore, jumping: JumpingClock
) -> None:
    store.break_down()
    await creating(plane)
    await jumping.advance(5)
    assert not plane.ready
    assert not plane.draining
    [refusal] = await creating(plane)
    assert isinstance(refusal, Unavailable)
    store.mend()
    await jumping.advance(1)
    assert plane.ready
    assert isinstance((await creating(plane))[0], Task)


async def test_a_bug_in_one_turn_does_not_end_the_control_plane(
    plane: ControlPlane, jumping: JumpingClock, telemetry: RecordingTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(events: object) -> None:
        monkeypatch.undo()
        raise ZeroDivisionError

    monkeypatch.setattr(telemetry, "record", broken)
    await creating(plane)
    await jumping.advance(0)
    assert plane.ready
    assert isinstance(await one_task(plane), Task)


async def test_a_drain_outlives_a_failed_commit(
    plane: ControlPlane, store: FaultyStore, jumping: JumpingClock, peer: Peer
) -> None:
    await peer.connect()
    task = await one_task(plane)
    await plane.drain()
    store.fail_commits()
    await peer.end(peer_run(task))
    await jumping.advance(0)
    with pytest.raises(Unavailable, match="shutting down"):
        await Peer(plane).connect("w2")
    assert not plane.ready


# Between two turns.


@pytest.mark.parametrize(
    ("stored_before", "come", "waited"),
    [(1, 1, True), (1, 0, False), (ENOUGH, 1, False)],
    ids=["more are on their way", "nobody came", "after a large turn there is much to say"],
)
async def test_others_go_first_if_some_came_while_a_small_turn_was_stored(
    plane: ControlPlane,
    store: FaultyStore,
    jumping: JumpingClock,
    monkeypatch: pytest.MonkeyPatch,
    stored_before: int,
    come: int,
    waited: bool,
) -> None:
    found: list[int] = []

    async def gather(_: Patience, inbox: Sized) -> None:
        found.append(len(inbox))

    stored = store.lag()
    calls = [creating(plane, stored_before)]
    await jumping.advance(0)
    calls += [creating(plane) for _ in range(come)]
    await jumping.advance(0)
    monkeypatch.setattr(Patience, "gather", gather)
    stored.set()
    await asyncio.gather(*calls)
    assert (found[:1] == [come]) is waited
