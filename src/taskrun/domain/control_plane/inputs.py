"""What the core takes in: requests of callers, news of workers. Answers of the store come in as they are.

`reply` and `session` are chosen by the engine; the core hands them back and never looks into a `reply`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from taskrun.domain.batch import Answer
from taskrun.domain.errors import TaskRunError
from taskrun.domain.protocol import FromWorker, Hello
from taskrun.domain.quotas import Policy
from taskrun.domain.records import Requirement, Task, TaskSpec, WorkerView
from taskrun.domain.values import value

ReplyTo = object


@value(frozen=True, slots=True)
class CreateTask:
    """Somebody wants a task. Answered with the `Task`."""

    reply: ReplyTo
    spec: TaskSpec
    created_by: str
    #: Why there can be no new one: what its key has made already it gets all the same.
    refusal: TaskRunError | None = None


@value(frozen=True, slots=True)
class CancelTask:
    """Somebody wants a task to end. Answered with the `Task` as it then stands."""

    reply: ReplyTo
    task_id: str


@value(frozen=True, slots=True)
class ContinueTask:
    """Somebody has a message for the agent of a task. Answered with the `Task` that will have the agent's answer."""

    reply: ReplyTo
    #: The task as stored a moment ago: if it had ended by then, it is so still.
    task: Task
    message: str
    asked_by: str
    #: It goes on with a copy of the session.
    fork: bool = False
    #: An idempotency key, as of a `TaskSpec`.
    key: str = ""
    #: The worker that had the task's session, if another control plane knows it.
    elsewhere: WorkerView | None = None


@value(frozen=True, slots=True)
class ConnectWorker:
    """A worker's stream said hello; `session` is the stream. Answered with the session."""

    reply: ReplyTo
    session: int
    worker_id: str
    hello: Hello


@value(frozen=True, slots=True)
class WorkerSpoke:
    """A worker sent messages, in this order."""

    session: int
    messages: Sequence[FromWorker]
    #: Bytes on the wire.
    size: int = 0


@value(frozen=True, slots=True)
class WorkerGone:
    """A worker's stream ended."""

    session: int


@value(frozen=True, slots=True)
class WorkerExpelled:
    """The worker's certificate was revoked: nobody waits for it."""

    worker_id: str


@value(frozen=True, slots=True)
class DrainStarted:
    """No new tasks and workers from now on."""


@value(frozen=True, slots=True)
class TasksInherited:
    """These RUNNING tasks belonged to a control plane that is gone, and are ours now."""

    tasks: Sequence[Task]


@value(frozen=True, slots=True)
class QueueSeen:
    """How many wait, as the store says: of every requirement that somebody waits for."""

    waiting: Mapping[Requirement, int]
    #: When the next of them has waited long enough (Unix ms); 0 is never.
    expires_at_ms: int = 0


@value(frozen=True, slots=True)
class QueueGrew:
    """Another control plane has put so many more into the queue."""

    more: Mapping[Requirement, int]


@value(frozen=True, slots=True)
class RoomMade:
    """Runs of other control planes have ended, which may have been all that a limit allows."""


@value(frozen=True, slots=True)
class CancelWanted:
    """Somebody wants the task to end, and was answered by another control plane."""

    task_id: str


@value(frozen=True, slots=True)
class MessagesLeft:
    """There are messages for runs that are this control plane's, left by others or before the runs came here."""


@value(frozen=True, slots=True)
class MessagesAnswered:
    """Of these messages, which were left from here, there is something to know."""

    ids: Sequence[str]


@value(frozen=True, slots=True)
class WorkerElsewhere:
    """The worker is connected to another control plane, and was here before that."""

    worker_id: str


@value(frozen=True, slots=True)
class RosterSeen:
    """These are all the workers of the other control planes, by id: connected there, or awaited."""

    worker_ids: Set[str]


@value(frozen=True, slots=True)
class PolicyChanged:
    """From now on these limits hold."""

    policy: Policy


News = (
    TasksInherited
    | QueueSeen
    | QueueGrew
    | RoomMade
    | CancelWanted
    | MessagesLeft
    | MessagesAnswered
    | WorkerElsewhere
    | RosterSeen
)
Input = (
    CreateTask
    | CancelTask
    | ContinueTask
    | ConnectWorker
    | WorkerSpoke
    | WorkerGone
    | WorkerExpelled
    | DrainStarted
    | PolicyChanged
    | News
    | Answer
)
