"""What one turn of the core leads to: changes for the store, and what is done once they are stored.

Nothing in here has happened yet. The engine commits `batch` first; the rest is said only after it, in the order of the
fields.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from taskrun.domain.batch import Batch
from taskrun.domain.control_plane.inputs import CancelTask, ContinueTask, CreateTask, ReplyTo
from taskrun.domain.errors import TaskRunError
from taskrun.domain.events import DomainEvent, RunAssigned, RunEnded, TaskMoved, TaskRequeued
from taskrun.domain.now import Now
from taskrun.domain.protocol import AssignRun, Stored, ToWorker
from taskrun.domain.quotas import Figures
from taskrun.domain.records import StoryBody, StoryEntry, Task

#: What is answered with a task that others may have changed meanwhile.
Request = CreateTask | CancelTask | ContinueTask


@dataclass(frozen=True, slots=True)
class Placed:
    """A new task that a worker is to have at once, under limits on how many run."""

    #: As it was made, before it was given to the worker.
    task: Task
    #: In which accounts it would wait, of each of which so many may.
    room: Figures


@dataclass(slots=True)
class Turn:
    """Filled while the inputs of one batch are handled."""

    now: Now
    #: The watchers of every task with a new story entry are woken.
    batch: Batch = field(default_factory=Batch)
    #: What to send, by session.
    sends: dict[int, list[ToWorker]] = field(default_factory=dict)
    #: The workers that spoke in it, by session: how many messages of the transport are stored with it.
    stored: dict[int, int] = field(default_factory=dict)
    #: Streams to end, and why.
    closes: list[tuple[int, TaskRunError]] = field(default_factory=list)
    #: Answers; a `TaskRunError` is a refusal.
    replies: list[tuple[ReplyTo, object]] = field(default_factory=list)
    #: By task, the requests among them whose answer is only true if the task was this control plane's to change.
    resting_on: dict[str, list[Request]] = field(default_factory=dict)
    #: New tasks that run only if the store finds that limits allow it, by id.
    placed: dict[str, Placed] = field(default_factory=dict)
    events: list[DomainEvent] = field(default_factory=list)

    def save(self, task: Task, body: StoryBody, span: int = 1) -> None:
        """Stores the task as it now is, and the entry of its story that `task.next_seq` already counts."""
        self.batch.tasks[task.id] = task
        entry = StoryEntry(task.next_seq - span, self.now.utc_ms, body)
        story = self.batch.story.get(task.id)
        if story is None:
            self.batch.story[task.id] = [entry]
        else:
            story.append(entry)

    def send(self, session: int, message: ToWorker) -> None:
        """Queues a message for the worker on this stream."""
        messages = self.sends.get(session)
        if messages is None:
            self.sends[session] = [message]
        else:
            messages.append(message)

    def answer(self, request: Request, task: Task, refusal: TaskRunError | None = None) -> None:
        """Answers the request with a task that is saved in this turn, or a refusal because of it. It is true only if
        the task is stored, which others may have to say in."""
        self.replies.append((request.reply, refusal or task))
        self.resting_on.setdefault(task.id, []).append(request)

    def take_back(self, task_ids: Collection[str]) -> list[Request]:
        """Leaves unsaid what rests on these tasks, of which nothing was stored. Returns the requests to put again."""
        again = [request for task_id in task_ids for request in self.resting_on.pop(task_id, ())]
        unsaid = {request.reply for request in again}
        self.replies = [(reply, value) for reply, value in self.replies if reply not in unsaid]
        self.events = [event for event in self.events if _task_of(event) not in task_ids]
        self.call_off(task_ids)
        return again

    def call_off(self, task_ids: Collection[str]) -> None:
        """No worker is told to begin with one of these tasks."""
        for session, messages in self.sends.items():
            self.sends[session] = [
                message for message in messages if type(message) is not AssignRun or message.task_id not in task_ids
            ]

    def acknowledgements(self) -> Iterator[tuple[int, Stored]]:
        """One for each session. Nobody waits for it: it is sent when all else is said."""
        for session, messages in self.stored.items():
            yield session, Stored(messages)


def _task_of(event: DomainEvent) -> str:
    """The task of which the event tells, if there is one."""
    if isinstance(event, RunAssigned | RunEnded):
        return event.task_id
    return event.task.id if isinstance(event, TaskMoved | TaskRequeued) else ""
