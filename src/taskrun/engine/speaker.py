"""What leaves the control plane: said once the turn that it rests on is stored, and never before."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.errors import Unavailable
from taskrun.domain.events import DomainEvent, SlotsChanged, WorkerMoved
from taskrun.domain.protocol import ToWorker
from taskrun.domain.status import WorkerStatus
from taskrun.engine.log import log_events
from taskrun.engine.replies import Slot
from taskrun.engine.watching import Watchers
from taskrun.ports.control_plane import WorkerOutbox
from taskrun.ports.telemetry import Telemetry


class Speaker:
    """Knows all who are spoken to: workers by their streams, callers by what they wait for, watchers, telemetry."""

    def __init__(self, watchers: Watchers, telemetry: Telemetry, worker_moved: Callable[[WorkerMoved], None]) -> None:
        """`worker_moved` is called when a worker comes, goes or has something else to do."""
        self._watchers, self._telemetry, self._worker_moved = watchers, telemetry, worker_moved
        self._outboxes: dict[int, WorkerOutbox] = {}
        self._waiting: set[Slot] = set()
        #: How the workers that are connected stand for telemetry.
        self._told: dict[str, WorkerStatus] = {}

    def connect(self, session: int, outbox: WorkerOutbox) -> None:
        """From now on there is a way to this session's worker."""
        self._outboxes[session] = outbox

    def disconnect(self, session: int) -> None:
        """There is none any more; doing it twice is harmless."""
        self._outboxes.pop(session, None)

    def connected(self, session: int) -> bool:
        """Whether there is a way to the session's worker."""
        return session in self._outboxes

    def owe(self, slot: Slot) -> None:
        """Somebody waits for what will be put there."""
        self._waiting.add(slot)

    def speak(self, turn: Turn) -> None:
        """What the turn has to say, now that it is stored."""
        for session, messages in turn.sends.items():
            self._send(session, messages)
        for session, error in turn.closes:
            outbox = self._outboxes.pop(session, None)
            if outbox is not None:
                outbox.close(error)
        for slot, value in turn.replies:
            assert isinstance(slot, Slot)
            self._waiting.discard(slot)
            slot.put(value)
        self._watchers.ring(turn.batch.story)
        for session, ack in turn.acknowledgements():
            self._send(session, [ack])
        self._tell(turn.events)

    def hang_up(self, error: Unavailable) -> None:
        """Ends every stream and answers every caller that still waits."""
        outboxes, self._outboxes = self._outboxes, {}
        for outbox in outboxes.values():
            outbox.close(error)
        waiting, self._waiting = self._waiting, set()
        for slot in waiting:
            slot.put(error)

    def take_back(self) -> None:
        """Tells that all workers are gone: those that were told of, whatever was decided about them meanwhile."""
        self._tell([WorkerMoved(worker_id, status, None) for worker_id, status in self._told.items()])
        self._tell([SlotsChanged(0, 0)])

    def _send(self, session: int, messages: Sequence[ToWorker]) -> None:
        outbox = self._outboxes.get(session)
        if outbox is not None:
            outbox.send(messages)

    def _tell(self, events: Sequence[DomainEvent]) -> None:
        for event in events:
            if type(event) is WorkerMoved:
                self._worker_moved(event)
                if event.new is None:
                    del self._told[event.worker_id]
                else:
                    self._told[event.worker_id] = event.new
        if events:
            log_events(events)
            self._telemetry.record(events)
