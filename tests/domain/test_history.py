from __future__ import annotations

import pytest

from taskrun.domain.history import Said, said_in
from taskrun.domain.records import (
    OutputSegment,
    Run,
    RunEvent,
    RunMessage,
    StoryBody,
    StoryEntry,
    Task,
    TaskChange,
    TaskSpec,
)
from taskrun.domain.status import ChatRole, RunEventType, RunStatus, TaskStatus
from taskrun.domain.utterance import MAX_UTTERANCE, Utterance

DONE = TaskChange(TaskStatus.COMPLETED, run=Run("r", "w", RunStatus.COMPLETED, 1))
LOST = TaskChange(TaskStatus.PENDING, run=Run("r", "w", RunStatus.FAILED, 1))


def heard(*story: StoryBody, input_json: str = '"hello"') -> list[tuple[ChatRole, str]]:
    task = Task("t", TaskSpec("echo", input_json), TaskStatus.RUNNING, "me", 5)
    said = said_in(task, [StoryEntry(seq, 10 + seq, body) for seq, body in enumerate(story)])
    assert said[0].at_ms == 5
    return [(each.role, each.content) for each in said]


@pytest.mark.parametrize(
    ("input_json", "text"), [('"hé"', "hé"), ('{"a": 1}', '{"a": 1}'), ("1", "1"), ("[" * 100_000, "[" * 100_000)]
)
def test_the_first_word_is_the_input_which_is_a_text_if_it_is_one(input_json: str, text: str) -> None:
    assert heard(TaskChange(TaskStatus.PENDING), input_json=input_json) == [(ChatRole.USER, text)]


def test_messages_are_told_with_their_task_run_and_time() -> None:
    task = Task("t", TaskSpec("echo", "1"), TaskStatus.RUNNING, "me", 5)
    assert said_in(task, [StoryEntry(3, 13, RunMessage("r", ChatRole.SYSTEM, "oh"))])[1:] == [
        Said("t", "r", ChatRole.SYSTEM, "oh", 13)
    ]


def test_the_output_of_an_agent_that_answers_in_messages_is_not_told_twice() -> None:
    story = (
        RunEvent("r", RunEventType.THOUGHT),
        OutputSegment("r", 0, ("fi", "ne")),
        RunMessage("r", ChatRole.ASSISTANT, "fine"),
        RunMessage("r", ChatRole.USER, "and then?"),
    )
    said = [(ChatRole.USER, "hello"), (ChatRole.ASSISTANT, "fine"), (ChatRole.USER, "and then?")]
    assert heard(*story) == said
    assert heard(*story, DONE) == said


def test_the_output_of_a_run_without_messages_is_its_answer_once_it_is_done() -> None:
    output = OutputSegment("r", 0, ("fi", "ne"))
    assert heard(output) == [(ChatRole.USER, "hello")]
    assert heard(output, LOST) == [(ChatRole.USER, "hello")]
    assert heard(output, DONE) == [(ChatRole.USER, "hello"), (ChatRole.ASSISTANT, "fine")]
    assert heard(DONE) == [(ChatRole.USER, "hello")]


def test_a_long_answer_is_cut_and_says_so() -> None:
    said = Utterance()
    for _ in range(3):
        said.add("x" * MAX_UTTERANCE)
    assert said.text() == "x" * MAX_UTTERANCE + f" ... (cut: it has {3 * MAX_UTTERANCE} characters)"


def test_what_the_agent_calls_its_answer_stands_for_all_before_it() -> None:
    said = Utterance()
    said.add("thinking aloud. ")
    said.settle("42", 2)
    assert said.text() == "42"
    said.settle("42", 200)
    assert said.text() == "42 ... (cut: it has 200 characters)"
