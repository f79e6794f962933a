"""What of a turn was not stored: nothing that rests on it is said.

Of a task that another control plane has only that one may speak, so who asked is heard again. A new task that was
turned away never was: who asked for it is refused, as if it had been known before. That is true for all who asked for
the same under one idempotency key; who asked for something else under it, and was told that the key is used, is heard
again.
"""

from __future__ import annotations

from collections.abc import Sequence

from taskrun.domain.batch import Answer, Disowned, TurnedAway
from taskrun.domain.control_plane.admission import refusal_of
from taskrun.domain.control_plane.inputs import CreateTask
from taskrun.domain.control_plane.turn import Request, Turn


def leave_out(turn: Turn, answers: Sequence[Answer]) -> list[Request]:
    """Corrects the turn by what its commit has answered. Returns the requests to put again, after these answers."""
    again: list[Request] = []
    for news in answers:
        if not isinstance(news, TurnedAway):
            break
        again += _turn_away(turn, news)
    if answers and isinstance(answers[-1], Disowned):
        again += turn.take_back(answers[-1].task_ids)
    return again


def _turn_away(turn: Turn, news: TurnedAway) -> list[CreateTask]:
    asked = [(request, task.spec) for task in news.tasks for request in turn.resting_on[task.id]]
    turn.take_back({task.id for task in news.tasks})
    for task in news.tasks:
        del turn.batch.tasks[task.id], turn.batch.story[task.id]
    refusal, event = refusal_of(news)
    again = []
    for request, spec in asked:
        # Nobody else knows of a task that is new.
        assert isinstance(request, CreateTask)
        if request.spec == spec:
            turn.replies.append((request.reply, refusal))
            turn.events.append(event)
        else:
            again.append(request)
    return again
