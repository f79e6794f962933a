"""Who waits to hear what became of a message for a run: a caller of this control plane, or one of another.

The other is answered in the store, by the control plane that relayed its message.
"""

from __future__ import annotations

from collections.abc import Iterable

from taskrun.domain.control_plane.inputs import ContinueTask
from taskrun.domain.control_plane.turn import Turn
from taskrun.domain.errors import FailedPrecondition, TaskRunError, Unconfirmed
from taskrun.domain.records import Task
from taskrun.domain.relayed import AnswerMessage, Refusal, RelayedMessage

Asker = ContinueTask | RelayedMessage

#: "{}" is the task.
NOT_TAKEN = (
    "The run of task {} ended before its worker took the message: nothing of it was said. Continue the task once it has"
    " ended."
)
_ELSEWHERE = "Another control plane has task {} now. Whether its worker has taken the message its history tells."


def accept(turn: Turn, asker: Asker, task: Task) -> None:
    """The run has taken the message: the task, as it is stored with this turn, tells it."""
    if isinstance(asker, RelayedMessage):
        turn.batch.asks.append(AnswerMessage(asker))
    else:
        turn.answer(asker, task)


def refuse(turn: Turn, asker: Asker, error: TaskRunError) -> None:
    """It has not. Of a message that another may have passed on before only the task itself can tell that."""
    if isinstance(asker, RelayedMessage):
        turn.batch.asks.append(AnswerMessage(asker, None if asker.again else Refusal.of(error)))
    else:
        turn.replies.append((asker.reply, error))


def turn_away(turn: Turn, task_id: str, askers: Iterable[Asker]) -> None:
    """The run is over, and has not taken the message."""
    for asker in askers:
        refuse(turn, asker, FailedPrecondition(NOT_TAKEN.format(task_id)))


def hand_over(turn: Turn, task_id: str, askers: Iterable[Asker]) -> None:
    """Another control plane has the run, and claims what was relayed: only who asked here hears that nobody knows."""
    for asker in askers:
        if isinstance(asker, ContinueTask):
            refuse(turn, asker, Unconfirmed(_ELSEWHERE.format(task_id)))
