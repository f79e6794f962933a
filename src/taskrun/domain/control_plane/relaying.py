"""Messages that callers of this control plane have for runs of others: left in the store, and collected there.

Whatever becomes of the other meanwhile, the caller hears of it as soon as it would of a run here. A message that nobody
has claimed by then is taken back and was not said; one that was claimed may be said still.
"""

from __future__ import annotations

from taskrun.domain.control_plane.askers import NOT_TAKEN
from taskrun.domain.control_plane.inputs import ContinueTask, MessagesAnswered
from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.conversation import known_as
from taskrun.domain.deadlines import Deadlines
from taskrun.domain.errors import FailedPrecondition, NotFound, TaskRunError, Unavailable, Unconfirmed
from taskrun.domain.records import Task
from taskrun.domain.relayed import CollectMessage, MessageAnswered, MessageCollected, MessageRelayed, RelayMessage
from taskrun.domain.status import TaskStatus
from taskrun.domain.timers import ControlPlaneTimers

#: "{}" is the task.
MOVES = "Task {} is between two steps just now, or with another control plane."
_UNHEARD = "The control plane that has task {} has not heard of the message in time: it was not said."
_UNCONFIRMED = (
    "The control plane that has task {} has not confirmed in time that its run takes the message. It may do so still:"
    " its history tells."
)


class Relaying:
    """Leaves messages, and answers those who sent them."""

    def __init__(self, timers: ControlPlaneTimers) -> None:
        self._timers = timers
        #: Who waits to hear of each message that was left, by its id; all of them said the same under one key.
        self._left: dict[str, list[ContinueTask]] = {}
        #: When each is collected at the latest. One that is being collected has no time any more.
        self._due: Deadlines[str] = Deadlines()

    def leave(self, turn: Turn, request: ContinueTask, id: str) -> None:
        """Leaves the message for the run that the task has, once for each id."""
        requests = self._left.setdefault(id, [])
        requests.append(request)
        if len(requests) == 1:
            task = request.task
            turn.batch.asks.append(RelayMessage(id, task.id, task.runs[-1].id, request.message))
            self._due.arm(id, turn.now.mono + self._timers.follow_up)

    def relayed(self, turn: Turn, answer: MessageRelayed) -> None:
        """It was left, or there was no other that has the task by then."""
        if not answer.relayed:
            self._answer(turn, answer.ask.id, Unavailable(MOVES.format(answer.ask.task_id)))

    def answered(self, turn: Turn, news: MessagesAnswered) -> None:
        """Of these there is something to know."""
        for id in news.ids:
            self._collect(turn, id)

    def answered_here(self, turn: Turn, answer: MessageAnswered) -> None:
        """The run has come here meanwhile, and with it a message that was left from here."""
        self._collect(turn, answer.ask.message.id)

    def next(self) -> float | None:
        """When the first message is to be collected; seconds, monotonic."""
        return self._due.next()

    def expire(self, turn: Turn) -> None:
        """Messages of which nothing was heard for long enough are taken back."""
        while (id := self._due.pop(turn.now.mono)) is not None:
            self._take_back(turn, id)

    def collected(self, turn: Turn, answer: MessageCollected) -> None:
        """What became of it."""
        self._answer(turn, answer.ask.id, self._outcome(answer))

    def _collect(self, turn: Turn, id: str) -> None:
        if self._due.of(id) is not None:
            self._due.disarm(id)
            self._take_back(turn, id)

    def _take_back(self, turn: Turn, id: str) -> None:
        turn.batch.asks.append(CollectMessage(id, self._left[id][0].task.id))

    def _answer(self, turn: Turn, id: str, outcome: Task | TaskRunError) -> None:
        self._due.disarm(id)
        turn.replies += [(request.reply, outcome) for request in self._left.pop(id, ())]

    def _outcome(self, answer: MessageCollected) -> Task | TaskRunError:
        """The task if one of its runs has taken the message, or else why none has, the first of these that is so."""
        id, task_id, task = answer.ask.id, answer.ask.task_id, answer.task
        if task is None:
            return NotFound(f"There is no task {task_id}.")
        if known_as(id, task) == id:
            return task
        if answer.refusal is not None:
            return answer.refusal.error()
        if task.status is not TaskStatus.RUNNING or task.runs[-1].id != self._run_of(id):
            return FailedPrecondition(NOT_TAKEN.format(task_id))
        return Unconfirmed(_UNCONFIRMED.format(task_id)) if answer.claimed else Unavailable(_UNHEARD.format(task_id))

    def _run_of(self, id: str) -> str:
        """The run that the message was for."""
        return self._left[id][0].task.runs[-1].id
