"""A story, told by one stream after the other: when one breaks, the next goes on where it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from taskrun.adapters.grpc.calls import WATCH, RemoteCall
from taskrun.domain.records import StoryEntry, Task

Question = TypeVar("Question")
Step = Task | Sequence[StoryEntry]


class Following:
    """What to ask for next: at first what the caller wants, later the rest of it."""

    def __init__(self, call: RemoteCall[Question, list[Step]], question: Question, task_id: str = "") -> None:
        """`call` and `question` begin it. `task_id` is the task's, if it is known."""
        self._call: RemoteCall[Any, list[Step]] = call
        self._question: object = question
        self._task_id = task_id

    @property
    def path(self) -> str:
        """The method to call now."""
        return self._call.path

    def request(self) -> bytes:
        """What to send to it. Raises `InvalidArgument` if that cannot be sent."""
        return self._call.request(self._question)

    def steps(self, data: bytes) -> list[Step]:
        """What came. Raises `ProtocolViolation` if it cannot be understood."""
        steps = self._call.answer(data)
        for step in steps:
            if isinstance(step, Task):
                self._goes_on(step.id, 0)
            elif step:
                self._goes_on(self._task_id, step[-1].next_seq)
        return steps

    def _goes_on(self, task_id: str, seq: int) -> None:
        self._task_id = task_id
        self._call, self._question = WATCH, (task_id, seq)
