"""Messages for runs that another control plane has.

Whoever is asked leaves the message with the task. Whoever has the run claims it there, passes it on, and says when the
task tells what became of it, or why it was refused. Who left it collects it, and with it what there is to know.
"""

from __future__ import annotations

from taskrun.domain.errors import (
    AlreadyExists,
    FailedPrecondition,
    ResourceExhausted,
    TaskRunError,
    Unavailable,
    Unconfirmed,
)
from taskrun.domain.records import Task
from taskrun.domain.values import value

_KINDS: dict[str, type[TaskRunError]] = {
    kind.__name__: kind for kind in (AlreadyExists, FailedPrecondition, ResourceExhausted, Unavailable, Unconfirmed)
}


@value(frozen=True, slots=True)
class Refusal:
    """Why a message was not taken, in a form that can be stored."""

    #: The error's name.
    kind: str
    why: str

    @classmethod
    def of(cls, error: TaskRunError) -> Refusal:
        """The refusal that stands for the error."""
        return cls(type(error).__name__, error.message)

    def error(self) -> TaskRunError:
        """What its sender hears. Of one whose kind is not known it hears that nobody knows."""
        return _KINDS.get(self.kind, Unconfirmed)(self.why)


@value(frozen=True, slots=True)
class RelayedMessage:
    """A message as the one that has the run finds it."""

    #: The control plane that left it, by the store's number.
    sender: int
    id: str
    task_id: str
    #: It is for this run and no other.
    run_id: str
    message: str
    #: It was claimed before, by another, which may have passed it on.
    again: bool = False


# What is asked of the store.


@value(frozen=True, slots=True)
class RelayMessage:
    """Leave a message for a run, if its task is RUNNING and another control plane has it. It is gone with the asker."""

    id: str
    task_id: str
    run_id: str
    message: str


@value(frozen=True, slots=True)
class ClaimMessages:
    """Ask for the messages for RUNNING tasks that the asker has, in the order in which they were left.

    Each is claimed once by the same asker, and no more when it was answered.
    """


@value(frozen=True, slots=True)
class AnswerMessage:
    """Say that there is something to know of a message, if the asker has its task: the refusal, or what the task itself
    tells."""

    message: RelayedMessage
    refusal: Refusal | None = None


@value(frozen=True, slots=True)
class CollectMessage:
    """Take back a message that the asker has left: from then on nobody can claim it."""

    id: str
    task_id: str


# What it answers.


@value(frozen=True, slots=True)
class MessageRelayed:
    """The answer to `RelayMessage`: whether it was left."""

    ask: RelayMessage
    relayed: bool


@value(frozen=True, slots=True)
class MessagesClaimed:
    """The answer to `ClaimMessages`."""

    ask: ClaimMessages
    messages: tuple[RelayedMessage, ...]


@value(frozen=True, slots=True)
class MessageAnswered:
    """The answer to `AnswerMessage`."""

    ask: AnswerMessage


@value(frozen=True, slots=True)
class MessageCollected:
    """The answer to `CollectMessage`: the task as stored, whether the message had been claimed, and the refusal.

    Without a task there is no such message of the asker's, or the task is gone.
    """

    ask: CollectMessage
    task: Task | None
    claimed: bool = False
    refusal: Refusal | None = None


MessageAsk = RelayMessage | ClaimMessages | AnswerMessage | CollectMessage
MessageAnswer = MessageRelayed | MessagesClaimed | MessageAnswered | MessageCollected


def answer_alone(ask: MessageAsk) -> MessageAnswer:
    """What a store answers that nobody shares."""
    match ask:
        case RelayMessage():
            return MessageRelayed(ask, relayed=False)
        case ClaimMessages():
            return MessagesClaimed(ask, ())
        case AnswerMessage():
            return MessageAnswered(ask)
        case _:
            return MessageCollected(ask, None)
