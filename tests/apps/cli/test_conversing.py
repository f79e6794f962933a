"""Going on with a task, and what was said in it."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest

from taskrun.domain.explanation import Explanation
from taskrun.domain.history import MAX_TASKS
from taskrun.domain.records import Continuation, OutputSegment, RunMessage, StoryEntry, TaskChange
from taskrun.domain.status import ChatRole, TaskStatus
from tests.apps.cli.conftest import Taskrun
from tests.apps.cli.stub import RUN, TASK, StubClient

FOLLOW_UP = replace(TASK, id="t-2", spec=replace(TASK.spec, continues=Continuation("t-1", "s-1")))
RUNNING = replace(TASK, status=TaskStatus.RUNNING, next_seq=8)


def test_a_message_prints_the_id_of_the_task_that_will_have_the_answer(client: StubClient, taskrun: Taskrun) -> None:
    client.answer = FOLLOW_UP
    ended = taskrun("continue-task", "t-1", "and then?", "--fork", "--idempotency-key", "k")
    assert (ended.code, ended.out) == (0, "t-2\n")
    assert "taskrun watch-task t-2" in ended.err
    assert client.asked[1] == ("t-1", "and then?", True, "k")


@pytest.mark.parametrize("status", [TaskStatus.PENDING, TaskStatus.RUNNING])
def test_who_has_to_wait_for_the_answer_hears_why(client: StubClient, taskrun: Taskrun, status: TaskStatus) -> None:
    client.answer = replace(FOLLOW_UP, status=TaskStatus.PENDING)
    client.explanation = Explanation("t-2", status, "the worker w1, which has its session, is not connected")
    ended = taskrun("continue-task", "t-1", "and then?")
    said = "It waits: the worker w1, which has its session, is not connected." in ended.err
    assert said == (status is TaskStatus.PENDING)


def test_a_message_can_come_on_standard_input(
    client: StubClient, taskrun: Taskrun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("é\n".encode())))
    assert taskrun("continue-task", "t-1", "-").code == 0
    assert client.asked[1] == ("t-1", "é\n", False, "")


def test_an_empty_message_is_refused_before_anybody_is_asked(client: StubClient, taskrun: Taskrun) -> None:
    ended = taskrun("continue-task", "t-1", " ")
    assert (ended.code, client.asked) == (2, [])
    assert "The message is empty" in ended.err


@pytest.mark.parametrize(("answer", "from_seq"), [(FOLLOW_UP, 0), (RUNNING, 7)])
def test_who_watches_sees_the_new_task_from_its_beginning_and_a_running_one_from_the_message_on(
    client: StubClient, taskrun: Taskrun, answer: object, from_seq: int
) -> None:
    client.answer = answer  # type: ignore[assignment]  # it is one of the two tasks
    client.story = [StoryEntry(9, 1, TaskChange(TaskStatus.COMPLETED, run=RUN))]
    assert taskrun("continue-task", "t-1", "more", "--watch").code == 0
    assert client.asked[-1] == (client.answer.id, from_seq)


# What was said.


def test_a_history_tells_who_said_what_through_all_tasks_of_the_conversation(
    client: StubClient, taskrun: Taskrun
) -> None:
    client.tasks = [replace(TASK, next_seq=3), replace(FOLLOW_UP, next_seq=3)]
    client.story = [
        StoryEntry(0, 1, OutputSegment("r-1", 0, ("fine",))),
        StoryEntry(1, 2, RunMessage("r-1", ChatRole.ASSISTANT, "fine\n\x1b[2Jthanks")),
        StoryEntry(2, 3, TaskChange(TaskStatus.COMPLETED, run=RUN)),
        StoryEntry(3, 4, RunMessage("r-1", ChatRole.SYSTEM, "said after the look")),
    ]
    ended = taskrun("get-task", "t-2", "--history")
    assert (ended.code, ended.err) == (0, "")
    shown = [line.partition("  19")[0] for line in ended.out.splitlines()]
    turns = ["  USER", "    hi", "  ASSISTANT", "    fine", "    \\x1b[2Jthanks"]
    assert shown == ["Task t-1", *turns, "Task t-2", *turns]


def test_a_history_in_json_is_a_list_of_messages(client: StubClient, taskrun: Taskrun) -> None:
    client.tasks = [replace(TASK, next_seq=1)]
    client.story = [StoryEntry(0, 1, TaskChange(TaskStatus.PENDING))]
    [message] = json.loads(taskrun("get-task", "t-1", "--history", "--json").out)["messages"]
    assert message == {"task_id": "t-1", "run_id": "", "role": "USER", "content": "hi", "timestamp_ms": 1000}


def test_what_is_not_kept_any_more_is_said_to_be_missing(client: StubClient, taskrun: Taskrun) -> None:
    client.tasks = [FOLLOW_UP]
    ended = taskrun("get-task", "t-2", "--history")
    assert ended.out.startswith("Task t-2\n")
    assert "What came before, in task t-1, is not shown" in ended.err


def test_an_endless_conversation_is_shown_from_its_newest_tasks(client: StubClient, taskrun: Taskrun) -> None:
    spec = replace(TASK.spec, continues=Continuation("t-1", "s-1"))
    client.tasks = [replace(TASK, spec=spec)]
    ended = taskrun("get-task", "t-1", "--history")
    assert ended.out.count("USER") == MAX_TASKS
    assert "is not shown" in ended.err


def test_a_follow_up_says_what_it_goes_on_with(client: StubClient, taskrun: Taskrun) -> None:
    client.tasks = [FOLLOW_UP]
    assert "Continues  t-1\n" in taskrun("get-task", "t-2").out
    form = json.loads(taskrun("get-task", "t-2", "--json").out)
    assert (form["continues"], form["continued_session_id"], form["fork"]) == ("t-1", "s-1", False)
    client.tasks = [replace(FOLLOW_UP, spec=replace(TASK.spec, continues=Continuation("t-1", "s-1", fork=True)))]
    assert "Continues  t-1 with a copy of its session\n" in taskrun("get-task", "t-2").out
