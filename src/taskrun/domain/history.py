"""Who said what in a conversation, and when: read from the stories of its tasks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from taskrun.domain.records import OutputSegment, RunEvent, RunMessage, StoryEntry, Task, TaskChange
from taskrun.domain.status import ChatRole, RunStatus
from taskrun.domain.utterance import Utterance
from taskrun.domain.values import value

#: Tasks of a conversation that are looked at, the newest: each follow-up names the task before it.
MAX_TASKS = 100


@value(frozen=True, slots=True)
class Said:
    """One message of a conversation."""

    task_id: str
    #: "" for the input of a task.
    run_id: str
    role: ChatRole
    content: str
    at_ms: int


def said_in(task: Task, story: Iterable[StoryEntry]) -> list[Said]:
    """What was said in this task, oldest first: its input, and what its story tells.

    An agent without sessions has its answers kept as output only: the answer of such a run is that, cut if it is long.
    """
    listener = _Listener(task)
    for entry in story:
        listener.hear(entry)
    return listener.said


class _Listener:
    """Goes through one story."""

    def __init__(self, task: Task) -> None:
        self._task_id = task.id
        self.said = [Said(task.id, "", ChatRole.USER, _text_of(task.spec.input_json), task.created_at_ms)]
        #: The output of each run that has put none of it as a message.
        self._outputs: dict[str, Utterance] = {}
        self._steps: dict[type, Callable[[Any, int], None]] = {
            OutputSegment: self._output,
            RunMessage: self._message,
            TaskChange: self._change,
            RunEvent: lambda body, at_ms: None,
        }

    def hear(self, entry: StoryEntry) -> None:
        self._steps[type(entry.body)](entry.body, entry.at_ms)

    def _output(self, body: OutputSegment, at_ms: int) -> None:
        output = self._outputs.setdefault(body.run_id, Utterance())
        for content in body.contents:
            output.add(content)

    def _message(self, body: RunMessage, at_ms: int) -> None:
        self._say(body.run_id, body.role, body.content, at_ms)
        if body.role is ChatRole.ASSISTANT:
            self._outputs.pop(body.run_id, None)

    def _change(self, body: TaskChange, at_ms: int) -> None:
        if body.run is not None and body.run.status is RunStatus.COMPLETED:
            text = self._outputs.pop(body.run.id, Utterance()).text()
            if text:
                self._say(body.run.id, ChatRole.ASSISTANT, text, at_ms)

    def _say(self, run_id: str, role: ChatRole, content: str, at_ms: int) -> None:
        self.said.append(Said(self._task_id, run_id, role, content, at_ms))


def _text_of(input_json: str) -> str:
    """The input as somebody said it: JSON that is a text is that text."""
    try:
        value = json.loads(input_json)
    except (ValueError, RecursionError):
        return input_json
    return value if isinstance(value, str) else input_json
