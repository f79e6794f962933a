"""One of several control planes: what it says at meetings, and what it learns there and by calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

import pytest

from taskrun.adapters.stores.batches import without
from taskrun.adapters.system.ids import UuidV7Source
from taskrun.domain.control_plane.roster import merged
from taskrun.domain.errors import (
    LeaseLost,
    NotFound,
    Overbooked,
    Overruled,
    ResourceExhausted,
    StoreFailed,
    Unavailable,
)
from taskrun.domain.events import TaskMoved
from taskrun.domain.fitness import WorkerFit
from taskrun.domain.protocol import Heartbeat, HeartbeatAck, RunReport, Stored
from taskrun.domain.quotas import AccountName, Limit, Policy
from taskrun.domain.records import (
    WORKER_LABEL,
    AgentSpec,
    Continuation,
    Requirement,
    Run,
    Task,
    TaskSpec,
    WorkerInfo,
    WorkerView,
)
from taskrun.domain.status import FailureKind, RunStatus, TaskStatus, WorkerStatus
from taskrun.domain.timers import ControlPlaneTimers
from taskrun.engine.control_plane import ControlPlane
from taskrun.engine.replica import DEAF_PAUSE, REST
from taskrun.ports.peers import LEASE, Call, Meeting
from taskrun.ports.store import Answer, Backlog, Batch, ClaimNext, Disowned, TaskClaimed, TasksClaimed, TurnedAway
from taskrun.testing.clock import JumpingClock
from taskrun.testing.faulty_store import FaultyStore
from taskrun.testing.harness import RecordingTelemetry
from tests.engine.peers import Peer

IDLE, AWAY = WorkerStatus.IDLE, WorkerStatus.DISCONNECTED
RUN = Run("run-1", "worker-1", RunStatus.RUNNING, 1, 1, 2, process="p")
TASK = Task("t", TaskSpec("echo", "1"), TaskStatus.RUNNING, "ann", 1, (RUN,), next_seq=3)
FOLLOW_UP = Task(
    "t",
    TaskSpec("echo", "1", selector=((WORKER_LABEL, "worker-1"),), continues=Continuation("t-0", "s")),
    TaskStatus.PENDING,
    "ann",
    1,
    next_seq=1,
)


BEAT = Heartbeat(WorkerStatus.IDLE, 0, 10)


def view(worker_id: str, status: WorkerStatus = IDLE, connected_at_ms: int = 5) -> WorkerView:
    return WorkerView(worker_id, WorkerInfo("there", "1", (AgentSpec("echo"),)), status, 0, 5, 6, connected_at_ms)


class Village:
    """Implements `Peers`: the others are the test."""

    def __init__(self) -> None:
        self.next = Meeting(others=True)
        #: What becomes of the next meeting.
        self.failure: Exception | None = None
        self.deaf = False
        #: What was shown at each meeting.
        self.met: list[Sequence[WorkerView]] = []
        self._calls: asyncio.Queue[Call] = asyncio.Queue()
        self.listeners = 0
        #: While it is set a meeting goes on.
        self.long: asyncio.Event | None = None

    async def meet(self, workers: Sequence[WorkerView]) -> Meeting:
        self.met.append(workers)
        meeting, failure, self.failure = self.next, self.failure, None
        if self.long is not None:
            await self.long.wait()
        if failure is not None:
            raise failure
        self.next = Meeting(others=True, workers=meeting.workers)
        return meeting

    async def calls(self) -> AsyncIterator[Call]:
        self.listeners += 1
        if self.deaf:
            if self.listeners % 2:
                return
            raise StoreFailed("deaf")
        while True:
            yield await self._calls.get()

    def call(self, call: Call) -> None:
        self._calls.put_nowait(call)


@pytest.fixture
def village() -> Village:
    return Village()


@pytest.fixture
def idle_plane(
    store: FaultyStore, jumping: JumpingClock, telemetry: RecordingTelemetry, village: Village
) -> ControlPlane:
    """A control plane that is one of several, and was not started yet."""
    return ControlPlane(store, jumping, UuidV7Source(), telemetry, ControlPlaneTimers(), village)


@pytest.fixture
async def settled(plane: ControlPlane, jumping: JumpingClock) -> ControlPlane:
    """One that has met the others once."""
    await jumping.advance(REST)
    return plane


async def test_it_meets_the_others_at_once_and_a_few_times_in_each_lease(
    settled: ControlPlane, village: Village, jumping: JumpingClock
) -> None:
    assert len(village.met) == 1
    await jumping.advance(LEASE)
    assert len(village.met) == 4


async def test_who_calls_for_a_meeting_gets_one_and_many_calls_one(
    settled: ControlPlane, village: Village, jumping: JumpingClock
) -> None:
    village.call(Call(meet=True))
    await jumping.advance(0)
    assert len(village.met) == 2
    for _ in range(10):
        village.call(Call(meet=True))
    await jumping.advance(REST)
    assert len(village.met) == 3


async def test_others_hear_at_once_that_a_worker_came_or_went(
    settled: ControlPlane, peer: Peer, village: Village, jumping: JumpingClock
) -> None:
    await peer.connect("worker-1")
    await jumping.advance(REST)
    assert [[each.id for each in workers] for workers in village.met] == [[], ["worker-1"]]
    await settled.disconnect(peer.session)
    await jumping.advance(REST)
    assert len(village.met) == 3


async def test_the_workers_of_the_others_are_listed_beside_its_own(
    settled: ControlPlane, peer: Peer, village: Village, jumping: JumpingClock
) -> None:
    await peer.connect("worker-1")
    village.next = Meeting(others=True, workers=[view("a"), view("z", AWAY), view("z"), view("worker-1", AWAY)])
    await jumping.advance(REST)
    assert [(each.id, each.info.hostname, each.status) for each in settled.workers()] == [
        ("a", "there", IDLE),
        ("worker-1", settled.worker("worker-1").info.hostname, IDLE),
        ("z", "there", IDLE),
    ]
    assert settled.worker("a") == view("a")
    assert settled.workers(status=AWAY) == settled.workers("nothing") == []
    with pytest.raises(NotFound):
        settled.worker("unknown")


async def test_to_explain_why_a_task_waits_the_workers_of_the_others_are_looked_at_too(
    settled: ControlPlane, village: Village, jumping: JumpingClock
) -> None:
    village.next = Meeting(others=True, workers=[view("a", WorkerStatus.DRAINING)])
    village.call(Call(meet=True))
    await jumping.advance(REST)
    [task] = await settled.create([TaskSpec("echo", "1")], "client:me")
    assert isinstance(task, Task)
    assert (await settled.explain(task.id)).workers == (WorkerFit("a", ("is DRAINING",)),)


def test_a_worker_that_two_have_is_where_it_came_last() -> None:
    early, late, away = view("w", connected_at_ms=1), view("w", connected_at_ms=2), view("w", AWAY, 3)
    for own, other in ((early, late), (late, early), (away, late), (late, away)):
        assert list(merged([own], [other])) == [late]


async def test_running_tasks_of_one_that_died_are_taken_over(
    settled: ControlPlane, store: FaultyStore, village: Village, jumping: JumpingClock
) -> None:
    await store.commit(Batch({"t": TASK}))
    village.next = Meeting(others=True, inherited=[TASK])
    village.call(Call(meet=True))
    await jumping.advance(0)
    assert settled.worker("worker-1").status is AWAY
    await jumping.advance(ControlPlaneTimers().grace)
    assert (await settled.get("t")).status is TaskStatus.PENDING


async def test_what_others_put_into_the_queue_is_claimed_by_call_and_by_meeting(
    settled: ControlPlane, peer: Peer, store: FaultyStore, village: Village, jumping: JumpingClock
) -> None:
    await peer.connect("worker-1")
    tasks = {f"t{n}": Task(f"t{n}", TaskSpec("echo", "1"), TaskStatus.PENDING, "ann", 1, next_seq=1) for n in (1, 2)}
    await store.commit(Batch({"t1": tasks["t1"]}))
    village.call(Call(waiting={Requirement("echo"): 1}))
    await jumping.advance(0)
    assert (await settled.get("t1")).status is TaskStatus.RUNNING
    await store.commit(Batch({"t2": tasks["t2"]}))
    village.next = Meeting(others=True, waiting={Requirement("echo"): 1})
    await jumping.advance(LEASE / 3)
    assert (await settled.get("t2")).status is TaskStatus.RUNNING


async def test_a_cancel_that_others_were_asked_for_is_done(
    settled: ControlPlane, store: FaultyStore, village: Village, jumping: JumpingClock
) -> None:
    [task] = await settled.create([TaskSpec("echo", "1")], "ann")
    assert isinstance(task, Task)
    village.next = Meeting(others=True, cancels=[task.id])
    village.call(Call(meet=True))
    await jumping.advance(0)
    assert (await settled.get(task.id)).status is TaskStatus.CANCELLED


async def test_what_a_meeting_says_of_messages_is_asked_of_the_store(
    settled: ControlPlane, store: FaultyStore, village: Village, jumping: JumpingClock
) -> None:
    await store.commit(Batch({"t": TASK}))
    asking = asyncio.create_task(settled.continue_task("t", "more", "ann"))
    await jumping.advance(0)
    # Nobody shares this store, whatever the village says.
    with pytest.raises(Unavailable, match="between two steps"):
        await asking
    commits = store.commits
    village.next = Meeting(others=True, messages=True, answered=["m"])
    village.call(Call(meet=True))
    await jumping.advance(REST)
    assert store.commits == commits + 1


async def test_a_watcher_is_woken_by_a_call_and_by_a_meeting(
    settled: ControlPlane, store: FaultyStore, village: Village, jumping: JumpingClock
) -> None:
    [task] = await settled.create([TaskSpec("echo", "1")], "ann")
    assert isinstance(task, Task)
    seen: list[int] = []

    async def watch() -> None:
        async for entries in settled.watch(task.id):
            seen.extend(entry.seq for entry in entries)

    watching = asyncio.create_task(watch())
    await jumping.advance(0)
    [entry] = await store.story(task.id, 0)
    for seq, step in ((1, Call(stories=(task.id,))), (2, Call(missed=True)), (3, None)):
        await store.commit(Batch(story={task.id: [replace(entry, seq=seq)]}))
        if step is not None:
            village.call(step)
        await jumping.advance(0 if step else LEASE / 3)
        assert seen == list(range(seq + 1))
    watching.cancel()


async def test_a_worker_that_went_elsewhere_is_not_waited_for(
    settled: ControlPlane, store: FaultyStore, village: Village, jumping: JumpingClock
) -> None:
    await store.commit(Batch({"t": TASK}))
    village.next = Meeting(others=True, inherited=[TASK], workers=[view("worker-1", AWAY), view("other")])
    village.call(Call(meet=True))
    await jumping.advance(REST)
    village.next = Meeting(others=True, workers=[view("worker-1")])
    village.call(Call(meet=True))
    await jumping.advance(REST)
    assert (await settled.get("t")).status is TaskStatus.PENDING
    assert settled.worker("worker-1") == view("worker-1")


async def test_a_follow_up_fails_when_the_worker_with_its_session_does_not_come_to_any_control_plane(
    settled: ControlPlane, store: FaultyStore, village: Village, jumping: JumpingClock
) -> None:
    await store.commit(Batch({"t": FOLLOW_UP}))
    for workers in ([view("worker-1")], []):
        village.next = Meeting(others=True, workers=workers)
        village.call(Call(meet=True))
        await jumping.advance(REST)
    await jumping.advance(ControlPlaneTimers().grace - 1)
    assert (await settled.get("t")).status is TaskStatus.PENDING
    await jumping.advance(2)
    assert (await settled.get("t")).failure is FailureKind.WORKER_LOST


async def test_one_that_is_alone_waits_for_that_worker_no_longer_either(
    idle_plane: ControlPlane, store: FaultyStore, village: Village, jumping: JumpingClock
) -> None:
    await store.commit(Batch({"t": FOLLOW_UP}))
    village.next = Meeting(others=False)
    await idle_plane.start()
    await jumping.advance(ControlPlaneTimers().grace + 1)
    assert (await idle_plane.get("t")).failure is FailureKind.WORKER_LOST
    await idle_plane.stop()


async def test_one_that_others_have_taken_over_begins_again(
    settled: ControlPlane, peer: Peer, village: Village, jumping: JumpingClock
) -> None:
    await peer.connect("worker-1")
    village.failure = LeaseLost("another has taken over")
    await jumping.advance(LEASE / 3)
    assert peer.error is not None
    assert settled.ready
    await jumping.advance(LEASE / 3)
    assert village.met[-1] == []


@pytest.mark.parametrize("failure", [StoreFailed("busy"), ZeroDivisionError()])
async def test_a_meeting_that_fails_changes_nothing(
    settled: ControlPlane, peer: Peer, village: Village, jumping: JumpingClock, failure: Exception
) -> None:
    await peer.connect("worker-1")
    village.failure = failure
    await jumping.advance(LEASE)
    assert peer.error is None
    assert len(village.met) > 3


@pytest.mark.parametrize("failure", [None, LeaseLost("another has taken over")])
async def test_what_a_meeting_said_before_the_loop_began_again_says_nothing_after_it(
    settled: ControlPlane,
    store: FaultyStore,
    village: Village,
    jumping: JumpingClock,
    failure: StoreFailed | None,
) -> None:
    village.long, village.failure = asyncio.Event(), failure
    village.next = Meeting(others=True, inherited=[TASK], cancels=["t"])
    village.call(Call(meet=True))
    await jumping.advance(0)
    store.fail_commits(1)
    with pytest.raises(Unavailable):
        await settled.cancel("unknown")
    await jumping.advance(0)
    village.long.set()
    commits = store.commits
    await jumping.advance(0)
    assert settled.ready
    assert store.commits == commits
    assert settled.workers() == []


async def test_there_is_no_meeting_while_the_loop_begins_again_and_what_is_called_is_in_the_store(
    settled: ControlPlane, store: FaultyStore, village: Village, jumping: JumpingClock
) -> None:
    store.break_down()
    with pytest.raises(Unavailable):
        await settled.cancel("unknown")
    met = len(village.met)
    village.call(Call(waiting={Requirement("echo"): 1}, meet=True))
    await jumping.advance(REST)
    assert len(village.met) == met
    store.mend()
    await jumping.advance(LEASE / 3)
    assert len(village.met) > met


async def test_who_cannot_hear_listens_again(idle_plane: ControlPlane, village: Village, jumping: JumpingClock) -> None:
    village.deaf = True
    await idle_plane.start()
    await idle_plane.start()
    await jumping.advance(2 * DEAF_PAUSE)
    assert village.listeners == 3
    await idle_plane.stop()


async def test_a_claim_that_others_were_faster_at_is_not_repeated(
    settled: ControlPlane, peer: Peer, store: FaultyStore, village: Village, jumping: JumpingClock
) -> None:
    await peer.connect("worker-1")
    village.call(Call(waiting={Requirement("echo"): 3}))
    await jumping.advance(0)
    commits = store.commits
    await jumping.advance(LEASE / 6)
    assert store.commits == commits
    assert await store.commit(Batch(asks=[ClaimNext(None, (Requirement("echo"),), 1)]))


async def test_what_a_limit_holds_is_asked_for_again_when_others_have_made_room(
    idle_plane: ControlPlane,
    peer: Peer,
    store: FaultyStore,
    village: Village,
    jumping: JumpingClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    idle_plane.rule(Policy([Limit("client", running=1)]))
    await idle_plane.start()
    await jumping.advance(REST)
    await peer.connect("worker-1")
    real, full = store.commit, True

    async def commit(batch: Batch) -> Sequence[Answer]:
        """Others have runs of everybody, as long as it is `full`."""
        if full and batch.running:
            raise Overbooked(tuple(batch.running))
        claims = [ask for ask in batch.asks if isinstance(ask, ClaimNext)] if full else []
        others = [ask for ask in batch.asks if ask not in claims]
        held = [TasksClaimed(ask, (), tuple(name for name, _ in ask.limits)) for ask in claims]
        return [*await real(Batch(batch.tasks, batch.story, others)), *held]

    monkeypatch.setattr(store, "commit", commit)
    [task] = await idle_plane.create([TaskSpec("echo", "1")], "client:ann")
    assert isinstance(task, Task)
    await jumping.advance(0)
    assert (await idle_plane.get(task.id)) == task
    assert (task.status, peer.runs) == (TaskStatus.PENDING, [])
    full = False
    village.call(Call(room=True))
    await jumping.advance(0)
    assert (await idle_plane.get(task.id)).status is TaskStatus.RUNNING
    store.break_down()
    with pytest.raises(Unavailable):
        await idle_plane.cancel("unknown")
    # While the loop begins again nobody is told: what it begins with has forgotten who was full.
    village.call(Call(room=True))
    await jumping.advance(0)
    store.mend()
    await idle_plane.stop()


@pytest.fixture
def rival(store: FaultyStore, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Another control plane takes this task, and keeps it."""

    def take(task_id: str) -> None:
        real = store.commit

        async def commit(batch: Batch) -> Sequence[Answer]:
            tasks = {each: task for each, task in batch.tasks.items() if each != task_id}
            story = {each: entries for each, entries in batch.story.items() if each != task_id}
            answers = [
                replace(answer, elsewhere=True) if isinstance(answer, TaskClaimed) else answer
                for answer in await real(Batch(tasks, story, batch.asks))
            ]
            return [*answers, Disowned((task_id,))] if task_id in batch.tasks else answers

        monkeypatch.setattr(store, "commit", commit)

    return take


async def test_a_cancel_of_a_task_that_another_has_meanwhile_is_answered_as_one_of_theirs(
    settled: ControlPlane, peer: Peer, rival: Callable[[str], None]
) -> None:
    await peer.connect("worker-1")
    [task] = await settled.create([TaskSpec("echo", "1")], "ann")
    assert isinstance(task, Task)
    rival(task.id)
    answer = await settled.cancel(task.id)
    assert (answer.status, answer.cancel_requested) == (TaskStatus.RUNNING, True)
    assert await settled.get(task.id) == task
    await peer.end(peer.runs[0].run_id)
    assert await settled.get(task.id) == task


@pytest.fixture
def crowded(store: FaultyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one client's tasks the first new one of each commit may wait, and no other."""
    real = store.commit

    async def commit(batch: Batch) -> Sequence[Answer]:
        late = tuple([batch.tasks[task_id] for task_id in list(batch.waiting)[1:]])
        kept = without(batch, {task.id for task in late})
        return [*([TurnedAway(late, AccountName("client", "ann"), 1, 1)] if late else []), *await real(kept)]

    monkeypatch.setattr(store, "commit", commit)


@pytest.mark.usefixtures("crowded")
async def test_who_is_turned_away_is_refused_and_nobody_hears_of_it(
    settled: ControlPlane, peer: Peer, telemetry: RecordingTelemetry, jumping: JumpingClock
) -> None:
    settled.rule(Policy([Limit("client", waiting=1)]))
    first, *others = await settled.create([TaskSpec("echo", "1")] * 3, "client:ann")
    assert isinstance(first, Task)
    assert [type(each) for each in others] == [ResourceExhausted] * 2
    assert list((await settled.backlog()).values()) == [Backlog(1, first.created_at_ms)]
    assert [event.task for event in telemetry.events if isinstance(event, TaskMoved)] == [first]
    await peer.connect("worker-1")
    await jumping.advance(0)
    assert [run.task_id for run in peer.runs] == [first.id]


@pytest.fixture
def promised(store: FaultyStore, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Tasks of which another control plane has said that they are cancelled."""
    task_ids: set[str] = set()
    real = store.commit

    async def commit(batch: Batch) -> Sequence[Answer]:
        ended = {task.id for task in batch.tasks.values() if task.status in {TaskStatus.COMPLETED, TaskStatus.FAILED}}
        for task_id in sorted(ended & task_ids):
            # Each in its turn: another may come while the first is corrected.
            raise Overruled((task_id,))
        return await real(batch)

    monkeypatch.setattr(store, "commit", commit)
    return task_ids


async def test_an_end_that_a_cancel_overrules_is_stored_and_said_as_that_of_a_cancelled_task(
    settled: ControlPlane, peer: Peer, promised: set[str], telemetry: RecordingTelemetry, jumping: JumpingClock
) -> None:
    await peer.connect("worker-1", process="p")
    tasks = [task for task in await settled.create([TaskSpec("echo", "1")] * 3, "ann") if isinstance(task, Task)]
    promised |= {task.id for task in tasks[:2]}
    await peer.say(*(RunReport(run.run_id, RunStatus.COMPLETED, seq=0) for run in peer.runs), BEAT)
    await jumping.advance(0)
    assert [(await settled.get(task.id)).status for task in tasks] == [
        TaskStatus.CANCELLED,
        TaskStatus.CANCELLED,
        TaskStatus.COMPLETED,
    ]
    assert peer.heard[-2:] == [HeartbeatAck(0), Stored(1)]
    moves = [event for event in telemetry.events if isinstance(event, TaskMoved) and event.new.is_terminal]
    assert [event.new for event in moves] == [TaskStatus.CANCELLED, TaskStatus.CANCELLED, TaskStatus.COMPLETED]


async def test_what_ends_as_the_loop_begins_may_be_overruled_too(
    idle_plane: ControlPlane, store: FaultyStore, promised: set[str]
) -> None:
    run = replace(RUN, process="")
    await store.commit(Batch({"t": replace(TASK, spec=replace(TASK.spec, max_attempts=1), runs=(run,))}))
    promised.add("t")
    await idle_plane.start()
    assert (await idle_plane.get("t")).status is TaskStatus.CANCELLED
    await idle_plane.stop()


async def test_one_that_is_alone_learns_nothing_new(
    settled: ControlPlane, peer: Peer, store: FaultyStore, village: Village, jumping: JumpingClock
) -> None:
    await peer.connect("worker-1")
    village.next = Meeting(others=False, waiting={Requirement("echo"): 1})
    commits = store.commits
    await jumping.advance(LEASE / 3)
    assert store.commits == commits
