"""A control plane that is one of several on a store: it meets the others, and hears what they call out.

A meeting is held a few times in each lease, and at once when somebody calls; it reads all there is to know, so that no
call has to arrive. Calls of which the store knows nothing new cost a look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from loguru import logger

from taskrun.domain.control_plane.inputs import (
    CancelWanted,
    MessagesAnswered,
    MessagesLeft,
    News,
    QueueGrew,
    QueueSeen,
    RoomMade,
    RosterSeen,
    TasksInherited,
    WorkerElsewhere,
)
from taskrun.domain.control_plane.roster import came_after, merged
from taskrun.domain.errors import LeaseLost, StoreFailed
from taskrun.domain.events import WorkerMoved
from taskrun.domain.records import WorkerView
from taskrun.domain.status import WorkerStatus
from taskrun.engine.alarm import Alarm
from taskrun.engine.watching import Watchers
from taskrun.ports.clock import Clock
from taskrun.ports.peers import LEASE, Call, Meeting, Peers

#: Seconds at least between two meetings, however much is called, and between two attempts to hear.
REST, DEAF_PAUSE = 0.05, 1.0
#: A worker that moves between these is where it was.
_HERE = frozenset({WorkerStatus.IDLE, WorkerStatus.BUSY, WorkerStatus.DRAINING, WorkerStatus.ERROR})


class Replica:
    """Two tasks of its own: one that meets and one that listens. What it learns it submits to the loop."""

    def __init__(
        self,
        peers: Peers | None,
        clock: Clock,
        watchers: Watchers,
        own_workers: Callable[[], Sequence[WorkerView]],
        submit: Callable[[News], None],
        begin_again: Callable[[StoreFailed], None],
        lease: float = LEASE,
    ) -> None:
        """Without `peers` it is alone. `begin_again` is called when others have taken over; `lease` is in seconds."""
        self._peers, self._clock, self._watchers = peers, clock, watchers
        self._own_workers, self._submit, self._begin_again = own_workers, submit, begin_again
        self._pause = lease / 3
        self._wanted = asyncio.Event()
        self._alarm = Alarm(clock, self._wanted.set)
        self._tasks: list[asyncio.Task[None]] = []
        #: Counts the beginnings of the loop: what was learnt before one says nothing after it. None in between.
        self._term: int | None = None
        self._terms = 0
        #: The term in which the loop was last told of the others' workers.
        self._shown: int | None = None
        #: The workers of the others, by id, as of the last meeting.
        self.workers: Mapping[str, WorkerView] = {}

    def start(self) -> None:
        """Begins, unless it is alone; doing it twice is harmless."""
        if self._peers is not None and not self._tasks:
            self._tasks = [
                asyncio.create_task(self._keep_meeting(self._peers), name="meetings"),
                asyncio.create_task(self._keep_listening(self._peers), name="listening"),
            ]

    async def stop(self) -> None:
        """Ends; doing it twice is harmless."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._alarm.stop()

    def loop_began(self) -> None:
        """The loop knows what the store holds."""
        self._terms += 1
        self._term = self._terms

    def loop_ended(self) -> None:
        """The loop is about to read the store again, and with it all that was learnt so far."""
        self._term = None

    def worker_moved(self, event: WorkerMoved) -> None:
        """The others want to know at once where a worker is."""
        if not _HERE.issuperset((event.old, event.new)):
            self._wanted.set()

    async def _keep_meeting(self, peers: Peers) -> None:
        while True:
            self._wanted.clear()
            await self._meet(peers)
            now = self._clock.now().mono
            self._alarm.set(now + self._pause)
            await self._clock.sleep_until(now + REST)
            await self._wanted.wait()

    async def _meet(self, peers: Peers) -> None:
        term = self._term
        if term is None:
            return
        try:
            meeting = await peers.meet(self._own_workers())
        except LeaseLost as error:
            if term == self._term:
                self._begin_again(error)
        except StoreFailed as error:
            # Nobody has taken over, or the next commit hears of it.
            logger.warning("other control planes cannot be met now: {}", error.message)
        except Exception:
            # Without meetings this one would be taken for dead.
            logger.exception("a meeting failed")
        else:
            if term == self._term:
                self._learn(meeting)

    def _learn(self, meeting: Meeting) -> None:
        if meeting.inherited:
            logger.info("{} running tasks of a control plane that died are taken over", len(meeting.inherited))
            self._submit(TasksInherited(meeting.inherited))
        self.workers = {view.id: view for view in merged((), meeting.workers)}
        if meeting.others or self._shown != self._term:
            self._shown = self._term
            self._submit(RosterSeen(self.workers.keys()))
        if meeting.others:
            self._submit(QueueSeen(meeting.waiting, meeting.expires_at_ms))
            self._watchers.ring_all()
            away = {view.id: view for view in self._own_workers() if view.status is WorkerStatus.DISCONNECTED}
            for worker_id in sorted(away.keys() & self.workers.keys()):
                if came_after(self.workers[worker_id], away[worker_id]):
                    self._submit(WorkerElsewhere(worker_id))
        for task_id in meeting.cancels:
            self._submit(CancelWanted(task_id))
        if meeting.messages:
            self._submit(MessagesLeft())
        if meeting.answered:
            self._submit(MessagesAnswered(meeting.answered))

    async def _keep_listening(self, peers: Peers) -> None:
        while True:
            try:
                async for call in peers.calls():
                    self._hear(call)
            except StoreFailed as error:
                logger.warning("other control planes cannot be heard now: {}", error.message)
            await self._clock.sleep_until(self._clock.now().mono + DEAF_PAUSE)

    def _hear(self, call: Call) -> None:
        self._watchers.ring(call.stories)
        if call.missed:
            self._watchers.ring_all()
        if call.waiting and self._term is not None:
            self._submit(QueueGrew(call.waiting))
        if call.room and self._term is not None:
            self._submit(RoomMade())
        if call.meet:
            self._wanted.set()
