"""Control planes in this process on one database. They meet when the test says so, and hear no calls in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import psycopg
import pytest

from taskrun.adapters.stores.postgres.database import Database
from taskrun.adapters.stores.postgres.store import PostgresStore
from taskrun.adapters.system.ids import UuidV7Source
from taskrun.domain.errors import AlreadyExists, FailedPrecondition, NotFound, Unavailable, Unconfirmed
from taskrun.domain.protocol import ContinueRun, HelloAck, LiveRun, RunDirective, RunReport
from taskrun.domain.records import RunEvent, RunMessage, Task, TaskChange, TaskSpec, WorkerView
from taskrun.domain.status import ChatRole, FailureKind, RunEventType, RunStatus, TaskStatus, Verdict
from taskrun.domain.timers import ControlPlaneTimers
from taskrun.engine.control_plane import ControlPlane
from taskrun.engine.replica import REST
from taskrun.ports.peers import Call, Meeting, Peers
from taskrun.testing.clock import JumpingClock
from taskrun.testing.harness import RecordingTelemetry
from tests.engine.peers import Peer

COMPLETED, CANCELLED, PENDING = TaskStatus.COMPLETED, TaskStatus.CANCELLED, TaskStatus.PENDING


class Deaf:
    """Implements `Peers`: nothing is heard but what the test calls."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self.heard: asyncio.Queue[Call] = asyncio.Queue()
        #: How many meetings have begun, and which was the last that ended.
        self.begun = self.ended = 0
        #: Whether a meeting gave tasks of another; while `told` is not set nobody hears of them.
        self.inherited = False
        self.told = asyncio.Event()
        self.told.set()

    async def meet(self, workers: Sequence[WorkerView]) -> Meeting:
        self.begun += 1
        number = self.begun
        meeting = await self._peers.meet(workers)
        if meeting.inherited:
            self.inherited = True
            await self.told.wait()
        self.ended = number
        return meeting

    async def calls(self) -> AsyncIterator[Call]:
        while True:
            yield await self.heard.get()


class Plane:
    """One control plane, with a clock, a store and workers of its own."""

    def __init__(self, url: str) -> None:
        self.clock, self.store, self.telemetry = JumpingClock(), PostgresStore(Database(url)), RecordingTelemetry()
        self.peers = Deaf(self.store.peers)
        timers = ControlPlaneTimers()
        self.engine = ControlPlane(self.store, self.clock, UuidV7Source(), self.telemetry, timers, self.peers)

    async def meet(self) -> None:
        """Meets the others, and does what follows from it."""
        # One that is under way does not know all.
        begun = self.peers.begun
        self.peers.heard.put_nowait(Call(meet=True))
        await self.until(lambda: self.peers.ended > begun)

    async def until(self, so: Callable[[], bool]) -> None:
        """Goes on until it is so, and does what follows from it."""
        while not so():
            await self.clock.advance(REST)
            await self.do_all()
        await self.do_all()

    async def do_all(self) -> None:
        """Returns when all that was submitted before is handled: what is asked of the store after it is answered."""
        with pytest.raises(NotFound):
            await self.engine.cancel("unknown")

    async def worker(self, worker_id: str, *live: LiveRun) -> Peer:
        peer = Peer(self.engine)
        await peer.connect(worker_id, process="p", live=live)
        return peer

    async def create(self, **spec: Any) -> Task:
        [task] = await self.engine.create([TaskSpec("echo", "1", **spec)], "ann")
        assert isinstance(task, Task)
        return task

    async def ends(self, task: Task) -> list[TaskChange]:
        """Of the task's story, what says how it ended."""
        story = await self.store.story(task.id, 0)
        return [each.body for each in story if each.is_end and isinstance(each.body, TaskChange)]

    async def stop(self) -> None:
        await self.engine.stop()
        await self.store.close()


Start = Callable[[], Awaitable[Plane]]


@pytest.fixture
async def start(emptied_url: str) -> AsyncIterator[Start]:
    """Starts a control plane."""
    planes: list[Plane] = []

    async def start() -> Plane:
        plane = await asyncio.to_thread(Plane, emptied_url)
        planes.append(plane)
        await plane.engine.start()
        await plane.clock.advance(REST)
        return plane

    yield start
    for plane in planes:
        await plane.stop()


# Cancels of what another has.


@pytest.mark.parametrize("reported", [RunStatus.COMPLETED, RunStatus.FAILED])
async def test_a_task_whose_cancel_was_acknowledged_elsewhere_ends_cancelled_whatever_its_run_reports(
    start: Start, reported: RunStatus
) -> None:
    a, b = await start(), await start()
    worker = await a.worker("one")
    task = await a.create()
    assert (await b.engine.cancel(task.id)).cancel_requested
    await worker.end(worker.runs[0].run_id, reported)
    await a.do_all()
    done = await b.engine.get(task.id)
    assert (done.status, done.cancel_requested, done.runs[0].status) == (CANCELLED, True, reported)
    assert await b.ends(task) == [TaskChange(CANCELLED, True, done.runs[0])]


# Assignments that were stored and never sent.


async def assigned_to_one_that_left(a: Plane, b: Plane) -> tuple[Task, Peer]:
    """A task that `a` has given to a worker which is with `b` by then; it may have one attempt. And the worker."""
    await a.worker("one")
    await b.clock.advance(1)
    worker = await b.worker("one")
    await b.meet()
    task = await a.create(max_attempts=1)
    assert (task.status, task.runs[0].worker_id) == (TaskStatus.RUNNING, "one")
    return task, worker


async def test_a_run_that_its_worker_left_without_is_no_attempt(start: Start) -> None:
    a, b = await start(), await start()
    task, _ = await assigned_to_one_that_left(a, b)
    await a.engine.disconnect(1)
    await a.meet()
    task = await a.engine.get(task.id)
    assert (task.status, [run.failure for run in task.runs]) == (PENDING, [FailureKind.REJECTED])


async def test_who_inherits_a_run_of_which_its_worker_here_never_heard_gives_it_out_again(start: Start) -> None:
    a, b = await start(), await start()
    task, worker = await assigned_to_one_that_left(a, b)
    await a.stop()
    await b.meet()
    task = await b.engine.get(task.id)
    assert [(run.failure, run.attempt) for run in task.runs] == [(FailureKind.REJECTED, 1), (None, 1)]
    assert [order.run_id for order in worker.runs] == [task.runs[1].id]


async def test_who_inherits_a_run_whose_worker_is_elsewhere_and_never_heard_of_it_puts_it_back(start: Start) -> None:
    a, b, c = await start(), await start(), await start()
    task, worker = await assigned_to_one_that_left(a, b)
    await a.stop()
    # At one it inherits the task and awaits the worker; at the next it hears where that is.
    await c.meet()
    await c.meet()
    assert (await c.engine.get(task.id)).runs[0].failure is FailureKind.REJECTED
    await b.meet()
    task = await b.engine.get(task.id)
    assert [(run.failure, run.attempt) for run in task.runs] == [(FailureKind.REJECTED, 1), (None, 1)]
    assert [order.run_id for order in worker.runs] == [task.runs[1].id]


async def test_a_worker_goes_on_with_runs_that_are_inherited_in_the_moment_in_which_it_comes(start: Start) -> None:
    """The store has them with the new one already, which has not heard of it when the worker asks."""
    a, b = await start(), await start()
    before = await a.worker("one")
    task = await a.create(max_attempts=1)
    [order] = before.runs
    await before.say(RunReport(order.run_id, RunStatus.RUNNING, seq=0))
    await a.do_all()
    await a.stop()
    b.peers.told.clear()
    b.peers.heard.put_nowait(Call(meet=True))
    await b.until(lambda: b.peers.inherited)
    worker = await b.worker("one", LiveRun(order.run_id, 1))
    [welcome, *_] = worker.heard
    assert isinstance(welcome, HelloAck)
    assert welcome.directives == (RunDirective(order.run_id, Verdict.GO_ON, 1),)
    await worker.say(RunReport(order.run_id, RunStatus.COMPLETED, seq=1))
    await b.do_all()
    b.peers.told.set()
    await b.meet()
    task = await b.engine.get(task.id)
    assert (task.status, len(task.runs)) == (COMPLETED, 1)


# Messages for runs that another has.

PATIENCE = ControlPlaneTimers().follow_up
SESSION = {"session_id": "s-1"}


class Talk:
    """A run at one control plane, whose agent has a session, and somebody who talks to it at others."""

    def __init__(self, owner: Plane, worker: Peer, task: Task) -> None:
        self.owner, self.worker, self.task = owner, worker, task
        self.run_id = worker.runs[0].run_id

    def say(self, at: Plane, message: str = "more", key: str = "") -> asyncio.Task[Task]:
        return asyncio.create_task(at.engine.continue_task(self.task.id, message, "ann", key=key))

    async def left(self) -> None:
        """Returns when a message waits for the run, and nobody has claimed it."""
        while not (await self.owner.store.peers.meet([])).messages:
            pass

    async def heard(self, count: int = 1) -> list[str]:
        """The ids of the messages that the worker is sent, once there are so many."""
        while len(ids := [each.id for each in self.worker.heard if isinstance(each, ContinueRun)]) < count:
            await self.owner.meet()
        return ids

    async def confirm(self, id: str, message: str = "more") -> None:
        await self.worker.say(RunMessage(self.run_id, ChatRole.USER, message, seq=2, id=id))
        await self.owner.do_all()

    async def said(self) -> list[str]:
        story = await self.owner.store.story(self.task.id, 0)
        return [each.body.content for each in story if isinstance(each.body, RunMessage)]

    async def move(self, to: Plane) -> None:
        """The worker goes to another control plane, and has not confirmed anything."""
        self.owner, self.worker = to, await to.worker("one", LiveRun(self.run_id, 2))
        await to.meet()


async def talk(a: Plane, *, opened: bool = True) -> Talk:
    talk = Talk(a, await a.worker("one"), await a.create(max_attempts=1))
    await talk.worker.say(RunReport(talk.run_id, RunStatus.RUNNING, seq=0))
    if opened:
        await talk.worker.say(RunEvent(talk.run_id, RunEventType.SESSION_INITIALIZED, SESSION, seq=1))
    # Also what its worker's coming leads to: from now on it meets nobody by itself.
    await a.meet()
    return talk


async def nothing_is_left(url: str) -> bool:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        return not await (await connection.execute("SELECT id FROM messages")).fetchall()


async def test_a_message_for_a_run_that_another_has_is_passed_on_and_its_sender_answered_when_it_is_taken(
    start: Start, emptied_url: str
) -> None:
    a, b = await start(), await start()
    run = await talk(a)
    saying = run.say(b)
    [id] = await run.heard()
    await run.confirm(id)
    await b.meet()
    task = await saying
    assert (task.id, task.runs[0].taken) == (run.task.id, (id,))
    assert await run.said() == ["more"]
    assert await nothing_is_left(emptied_url)


async def test_one_key_says_one_message_whoever_is_asked(start: Start) -> None:
    a, b, c = await start(), await start(), await start()
    run = await talk(a)
    everybody = [run.say(each, key="k") for each in (a, b, b, c)]
    [id] = await run.heard()
    await run.confirm(id)
    while not all(each.done() for each in everybody):
        for plane in (a, b, c):
            await plane.meet()
    assert {task.id for task in await asyncio.gather(*everybody)} == {run.task.id}
    assert await run.heard() == [id]
    with pytest.raises(AlreadyExists):
        await run.say(c, "something else", key="k")


async def test_who_is_frozen_passes_nothing_on_after_the_sender_has_heard_that_it_was_not_said(
    start: Start, emptied_url: str
) -> None:
    a, b = await start(), await start()
    run = await talk(a)
    saying = run.say(b)
    await run.left()
    await b.clock.advance(PATIENCE)
    with pytest.raises(Unavailable, match="it was not said") as refused:
        await saying
    assert type(refused.value) is Unavailable
    assert await nothing_is_left(emptied_url)
    await a.meet()
    assert not [each for each in run.worker.heard if isinstance(each, ContinueRun)]


async def test_of_a_message_that_was_passed_on_and_not_confirmed_nobody_knows(start: Start, emptied_url: str) -> None:
    a, b = await start(), await start()
    run = await talk(a)
    saying = run.say(b)
    [id] = await run.heard()
    await b.clock.advance(PATIENCE)
    with pytest.raises(Unconfirmed, match="has not confirmed in time"):
        await saying
    assert await nothing_is_left(emptied_url)
    await run.confirm(id)
    assert await run.said() == ["more"]


@pytest.mark.parametrize("dies", [True, False])
async def test_who_has_the_run_next_finds_the_message(start: Start, dies: bool) -> None:
    a, b, c = await start(), await start(), await start()
    run = await talk(a)
    saying = run.say(b)
    [id] = await run.heard()
    if dies:
        await a.stop()
    await run.move(to=c)
    assert await run.heard() == [id]
    await run.confirm(id)
    await b.meet()
    assert (await saying).runs[0].taken == (id,)
    assert await run.said() == ["more"]


async def test_a_run_that_comes_to_where_its_message_was_left_hears_it_there(start: Start) -> None:
    a, b = await start(), await start()
    run = await talk(a)
    saying = run.say(b)
    await run.left()
    await run.move(to=b)
    [id] = await run.heard()
    await run.confirm(id)
    assert (await saying).runs[0].taken == (id,)


async def test_who_refuses_a_message_says_why(start: Start, emptied_url: str) -> None:
    a, b = await start(), await start()
    run = await talk(a, opened=False)
    saying = run.say(b)
    await run.left()
    await a.meet()
    await b.meet()
    with pytest.raises(FailedPrecondition, match="has no session so far"):
        await saying
    assert await nothing_is_left(emptied_url)


@pytest.mark.parametrize("claims", [True, False])
async def test_a_run_that_ends_first_has_not_heard_it(start: Start, claims: bool) -> None:
    a, b = await start(), await start()
    run = await talk(a)
    saying = run.say(b)
    await (run.heard() if claims else run.left())
    await run.worker.say(RunReport(run.run_id, RunStatus.COMPLETED, seq=2))
    await a.do_all()
    await b.meet()
    with pytest.raises(FailedPrecondition, match="nothing of it was said"):
        await saying
