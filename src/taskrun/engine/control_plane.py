"""The control plane's loop: gather inputs, let the core decide, commit, and only then speak.

One turn handles whatever gathered while the last one was being stored, so an idle system answers at once and a busy one
pays one commit for many inputs. Nothing leaves before the commit it rests on; a commit that fails takes its whole
turn with it: callers hear UNAVAILABLE, streams are ended, and the core begins again from what the store holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import count

from loguru import logger

from taskrun.domain.batch import Answer
from taskrun.domain.control_plane.core import ControlPlaneCore
from taskrun.domain.control_plane.inputs import (
    CancelTask,
    ConnectWorker,
    ContinueTask,
    CreateTask,
    DrainStarted,
    Input,
    PolicyChanged,
    WorkerExpelled,
    WorkerGone,
    WorkerSpoke,
)
from taskrun.domain.control_plane.leaving_out import leave_out
from taskrun.domain.control_plane.overruling import overrule
from taskrun.domain.control_plane.roster import matching, merged
from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.conversation import last_session
from taskrun.domain.errors import (
    NotFound,
    Overbooked,
    Overruled,
    ResourceExhausted,
    StoreFailed,
    TaskRunError,
    Unavailable,
)
from taskrun.domain.explanation import MOST_AHEAD, Explanation, ahead_of, explain
from taskrun.domain.protocol import FromWorker, Hello
from taskrun.domain.quotas import FREE, Policy
from taskrun.domain.records import Requirement, StoryEntry, Task, TaskPage, TaskQuery, TaskSpec, WorkerView
from taskrun.domain.status import WorkerStatus
from taskrun.domain.timers import ControlPlaneTimers
from taskrun.engine.alarm import Alarm
from taskrun.engine.inbox import Inbox
from taskrun.engine.patience import ENOUGH, Patience
from taskrun.engine.replica import Replica
from taskrun.engine.replies import Replies, Slot, accepted
from taskrun.engine.respite import Respite
from taskrun.engine.speaker import Speaker
from taskrun.engine.watching import Watchers
from taskrun.ports.clock import Clock
from taskrun.ports.control_plane import WorkerOutbox
from taskrun.ports.ids import IdSource
from taskrun.ports.peers import LEASE, Peers
from taskrun.ports.store import Backlog, Recovery, Store
from taskrun.ports.telemetry import Telemetry

#: Seconds between attempts to reach a store that failed.
RECOVERY_PAUSE = 1.0

#: What is not let in while the store has no room for new tasks.
_MAKES_TASKS = frozenset({CreateTask, ContinueTask})


class ControlPlane:
    """Implements `TaskApi`, `WorkerApi` and `WorkerGateway` over a store."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        new_id: IdSource,
        telemetry: Telemetry,
        timers: ControlPlaneTimers,
        peers: Peers | None = None,
        lease: float = LEASE,
        policy: Policy = FREE,
    ) -> None:
        """With `peers` it may be one of several on the store, and has to be heard of by them within `lease` seconds."""
        self._store, self._clock, self._new_id, self._timers = store, clock, new_id, timers
        #: The ids of the workers that were ever let in.
        self._seen: set[str] = set()
        self._shared = peers is not None
        self._policy = policy
        self._core = self._new_core()
        self._inbox = Inbox()
        self._patience = Patience()
        self._respite = Respite()
        self._alarm = Alarm(clock, self._inbox.wake)
        self._watchers = Watchers(store)
        self._replica = Replica(peers, clock, self._watchers, self._own_workers, self._submit, self._lose, lease)
        self._speaker = Speaker(self._watchers, telemetry, self._replica.worker_moved)
        self._sessions = count(1)
        self._loop: asyncio.Task[None] | None = None
        #: Held while it starts or stops, so that neither overtakes the other.
        self._turning = asyncio.Lock()
        self._taken_over: Recovery | None = None
        self._draining = False
        self._recovered = False
        #: Why the loop has to begin again, if it has.
        self._lost: StoreFailed | None = None

    # Life.

    @property
    def ready(self) -> bool:
        """Whether tasks and workers are taken in."""
        return self._recovered and not self._draining and self._loop is not None

    @property
    def draining(self) -> bool:
        """Whether it ends: it was told to drain or to stop."""
        return self._draining

    async def start(self) -> Recovery:
        """Takes over what the store holds, and begins; once, doing it again is harmless. Raises `StoreFailed`."""
        async with self._turning:
            if self._taken_over is None:
                self._taken_over = await self._recover()
                self._loop = asyncio.create_task(self._run(), name="control plane")
                self._submit_drain()
                self._replica.start()
        return self._taken_over

    async def drain(self) -> None:
        """From now on no task and no worker is taken in; what is under way goes on."""
        self._draining = True
        self._submit_drain()

    def rule(self, policy: Policy) -> None:
        """From now on these limits hold: for new tasks, and for all that wait and run."""
        self._policy = policy
        self._submit(PolicyChanged(policy))

    async def stop(self) -> None:
        """Ends every stream and watch, then the loop; doing it twice is harmless. The store stays open."""
        self._draining = True
        self._watchers.close()
        self._speaker.hang_up(Unavailable("The control plane is shutting down."))
        async with self._turning:
            await self._replica.stop()
            loop, self._loop = self._loop, None
            if loop is not None:
                loop.cancel()
                await asyncio.wait([loop])
        self._alarm.stop()
        self._inbox.clear()

    # TaskApi.

    async def create(self, specs: Sequence[TaskSpec], created_by: str) -> Sequence[Task | TaskRunError]:
        """See `TaskApi.create`."""
        if not specs:
            return []
        replies = Replies(len(specs))
        for index, spec in enumerate(specs):
            self._request(CreateTask(replies.slot(index), spec, created_by))
        answers: list[Task | TaskRunError] = await replies.all()  # type: ignore[assignment]  # as the core answers
        return answers

    async def get(self, task_id: str) -> Task:
        """See `TaskApi.get`."""
        task = await self._store.get(task_id)
        if task is None:
            raise NotFound(f"There is no task {task_id}.")
        return task

    async def find(self, query: TaskQuery) -> TaskPage:
        """See `TaskApi.find`."""
        return await self._store.find(query)

    async def explain(self, task_id: str) -> Explanation:
        """See `TaskApi.explain`."""
        task = await self.get(task_id)
        place = await self._store.ahead(task_id, MOST_AHEAD)
        rests_until_ms = self._core.rests_until_ms(task_id, self._clock.now())
        return explain(task, self.workers(), ahead_of(place), rests_until_ms, self._core.held_by(task))

    async def cancel(self, task_id: str) -> Task:
        """See `TaskApi.cancel`."""
        replies = Replies(1)
        self._request(CancelTask(replies.slot(0), task_id))
        task = accepted((await replies.all())[0])
        assert isinstance(task, Task)
        return task

    async def continue_task(
        self, task_id: str, message: str, asked_by: str, *, fork: bool = False, key: str = ""
    ) -> Task:
        """See `TaskApi.continue_task`."""
        task = await self.get(task_id)
        run = last_session(task)
        elsewhere = self._replica.workers.get(run.worker_id) if run else None
        replies = Replies(1)
        self._request(ContinueTask(replies.slot(0), task, message, asked_by, fork, key, elsewhere))
        answer = accepted((await replies.all())[0])
        assert isinstance(answer, Task)
        return answer

    def watch(self, task_id: str, from_seq: int = 0) -> AsyncIterator[Sequence[StoryEntry]]:
        """See `TaskApi.watch`."""
        return self._watchers.watch(task_id, from_seq)

    async def backlog(self) -> Mapping[Requirement, Backlog]:
        """What waits, by requirement."""
        return await self._store.backlog()

    # WorkerApi.

    def workers(self, agent: str = "", status: WorkerStatus | None = None) -> Sequence[WorkerView]:
        """See `WorkerApi.workers`."""
        return matching(merged(self._own_workers(), self._replica.workers.values()), agent, status)

    def worker(self, worker_id: str) -> WorkerView:
        """See `WorkerApi.worker`."""
        known = (self._core.worker(worker_id), self._replica.workers.get(worker_id))
        for view in merged(*([view] if view else [] for view in known)):
            return view
        raise NotFound(f"There is no worker {worker_id}.")

    def _own_workers(self) -> Sequence[WorkerView]:
        return self._core.workers()

    # WorkerGateway.

    async def connect(self, worker_id: str, hello: Hello, outbox: WorkerOutbox) -> int:
        """See `WorkerGateway.connect`."""
        session = next(self._sessions)
        self._speaker.connect(session, outbox)
        replies = Replies(1)
        self._request(ConnectWorker(replies.slot(0), session, worker_id, hello))
        try:
            accepted((await replies.all())[0])
        except BaseException:
            await self.disconnect(session)
            raise
        return session

    async def receive(self, session: int, messages: Sequence[FromWorker], size: int = 0) -> None:
        """See `WorkerGateway.receive`."""
        if self._speaker.connected(session):
            self._submit(WorkerSpoke(session, messages, size))
            await self._inbox.room()

    async def disconnect(self, session: int) -> None:
        """See `WorkerGateway.disconnect`."""
        self._speaker.disconnect(session)
        self._submit(WorkerGone(session))

    def expel(self, worker_id: str) -> None:
        """The worker's certificate was revoked: its runs go to others at once, and its stream ends if it is here."""
        self._submit(WorkerExpelled(worker_id))

    # The loop.

    def _submit(self, item: Input) -> None:
        """Puts it before the core; what comes before the start or after the end concerns nobody."""
        if self._loop is not None:
            self._inbox.put(item)

    def _submit_drain(self) -> None:
        """The core is to know, also one that has just begun."""
        if self._draining:
            self._submit(DrainStarted())

    def _request(self, item: CreateTask | CancelTask | ContinueTask | ConnectWorker) -> None:
        """Submits what is answered later."""
        slot = item.reply
        assert isinstance(slot, Slot)
        if self._loop is None or not self._recovered:
            slot.put(Unavailable("The control plane is not ready."))
        elif type(item) in _MAKES_TASKS and not self._store.room:
            slot.put(
                ResourceExhausted("The store has no room for new tasks: free some of its disk, or try again later.")
            )
        elif self._inbox.full:
            slot.put(ResourceExhausted("The control plane has more to do than it can hold: try again later."))
        else:
            self._speaker.owe(slot)
            self._submit(item)

    async def _run(self) -> None:
        while True:
            await self._inbox.something()
            await self._patience.gather(self._inbox)
            try:
                await self._work()
            except StoreFailed as error:
                logger.error("the store failed: {}", error.message)
                await self._begin_again()
            except Exception:
                logger.exception("a turn failed; the control plane begins again from its store")
                await self._begin_again()

    async def _work(self) -> None:
        """Turns, until nothing is left to do now."""
        answers: Sequence[Input] = ()
        first = True
        while answers or self._inbox or first:
            first = False
            if self._lost is not None:
                raise self._lost
            large = self._inbox.load >= ENOUGH
            turn = self._core.handle([*answers, *self._inbox.take()], self._clock.now())
            answers = await self._commit(turn)
            again = leave_out(turn, answers)
            if turn.batch.tasks:
                # An ask alone writes nothing, and succeeds on a full disk too.
                self._respite.after_success()
            answers = [*answers, *again] if again else answers
            self._speaker.speak(turn)
            self._alarm.set(self._core.next_deadline())
            # Others get their say between two turns, and what they bring is in the next. If some came while this one
            # was stored, more are on their way; but after a large one there is much to say while the next is stored.
            if self._inbox and not large:
                await self._patience.gather(self._inbox)
            else:
                await asyncio.sleep(0)

    async def _commit(self, turn: Turn) -> Sequence[Answer]:
        """Stores the turn; with it the cancels that others have promised of tasks which end in it. New tasks
        that find no room to run beside those of others wait."""
        while turn.batch:
            try:
                return await self._store.commit(turn.batch)
            except Overruled as error:
                overrule(turn, error.task_ids)
            except Overbooked as error:
                self._core.overbooked(turn, error.task_ids)
        return ()

    async def _recover(self) -> Recovery:
        self._core = self._new_core()
        recovery = await self._store.recover()
        self._lost = None
        turn = self._core.recover(recovery, self._clock.now())
        await self._commit(turn)
        self._speaker.speak(turn)
        # Nobody may come for a long time, and what was taken over has its deadlines.
        self._alarm.set(self._core.next_deadline())
        self._recovered = True
        self._replica.loop_began()
        return recovery

    def _new_core(self) -> ControlPlaneCore:
        return ControlPlaneCore(self._timers, self._new_id, self._seen, shared=self._shared, policy=self._policy)

    async def _begin_again(self) -> None:
        """The turn is lost, and with it what the core knew: the store is the truth."""
        self._recovered = False
        self._replica.loop_ended()
        self._inbox.clear()
        self._speaker.hang_up(Unavailable("The control plane could not store what it decided; nothing was changed."))
        self._speaker.take_back()
        await self._clock.sleep_until(self._clock.now().mono + self._respite.after_failure())
        while not self._recovered:
            try:
                await self._recover()
            except Exception as error:
                logger.error("cannot begin again yet: {}", error)
                await self._clock.sleep_until(self._clock.now().mono + RECOVERY_PAUSE)
        # A commit may have been stored although its answer did not come.
        self._watchers.ring_all()
        self._submit_drain()

    def _lose(self, error: StoreFailed) -> None:
        """What this control plane had is another's: the loop begins again, as after a commit that failed."""
        self._lost = error
        self._inbox.wake()
