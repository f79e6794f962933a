from __future__ import annotations

from dataclasses import fields

import pytest

from taskrun.domain.batch import Batch, ClaimTask
from taskrun.domain.records import (
    OutputSegment,
    Requirement,
    Run,
    RunEvent,
    StoryEntry,
    Task,
    TaskChange,
    TaskSpec,
)
from taskrun.domain.status import RunEventType, RunStatus, TaskStatus

RUN = Run("r1", "w1", RunStatus.ASSIGNED, 1)
TASK = Task("t1", TaskSpec("echo", "1"), TaskStatus.PENDING, "client:me", 5, next_seq=1)
OUTPUT = StoryEntry(7, 0, OutputSegment("r1", 2, ("a", "b", "c"), {"k": "v"}))


def test_a_task_asks_for_its_agent_and_for_the_labels_of_its_selector() -> None:
    selector = (("gpu", "yes"),)
    assert TaskSpec("echo", "1", selector=selector).requirement == Requirement("echo", selector)


def test_a_step_changes_status_runs_and_seq_and_keeps_all_the_rest() -> None:
    task = Task("t1", TASK.spec, TaskStatus.RUNNING, "client:me", 5, (RUN,), True, 0, 4)
    ended = task.step(TaskStatus.FAILED, (), 9)
    assert (ended.status, ended.runs, ended.finished_at_ms, ended.next_seq) == (TaskStatus.FAILED, (), 9, 5)
    kept = [field.name for field in fields(Task) if field.name not in {"status", "runs", "finished_at_ms", "next_seq"}]
    assert [getattr(ended, name) for name in kept] == [getattr(task, name) for name in kept]


def test_a_run_is_added_or_takes_the_place_of_its_older_value() -> None:
    again = Run("r2", "w2", RunStatus.ASSIGNED, 2)
    running = Run("r2", "w2", RunStatus.RUNNING, 2)
    assert TASK.with_run(RUN) == (RUN,)
    task = TASK.step(TaskStatus.RUNNING, (RUN,))
    assert task.with_run(again) == (RUN, again)
    assert task.step(TaskStatus.RUNNING, (RUN, again)).with_run(running) == (RUN, running)


def test_records_take_no_attribute_that_they_do_not_have() -> None:
    with pytest.raises(AttributeError):
        TASK.surprise = 1  # type: ignore[attr-defined]


def test_an_output_segment_covers_one_seq_a_chunk_and_any_other_entry_one() -> None:
    assert OUTPUT.next_seq == 10
    assert StoryEntry(3, 0, TaskChange(TaskStatus.PENDING)).next_seq == 4
    assert StoryEntry(3, 0, OutputSegment("r1", 0, (), truncated=True)).next_seq == 4


def test_a_segment_is_cut_to_begin_where_a_reader_begins() -> None:
    assert OUTPUT.since(8) == StoryEntry(8, 0, OutputSegment("r1", 3, ("b", "c"), {"k": "v"}))
    assert OUTPUT.since(7) is OUTPUT
    assert OUTPUT.since(0) is OUTPUT


def test_other_entries_are_never_cut() -> None:
    event = StoryEntry(3, 0, RunEvent("r1", RunEventType.TOOL_REQUESTED))
    assert event.since(3) is event
    assert event.since(4) is event


@pytest.mark.parametrize("status", TaskStatus)
def test_a_story_ends_with_the_change_that_ends_the_task(status: TaskStatus) -> None:
    assert StoryEntry(0, 0, TaskChange(status)).is_end == status.is_terminal
    assert not OUTPUT.is_end


def test_a_batch_is_something_once_it_holds_anything() -> None:
    assert not Batch()
    assert Batch(tasks={"t1": TASK})
    assert Batch(story={"t1": [OUTPUT]})
    assert Batch(asks=[ClaimTask("t1")])


@pytest.mark.parametrize("words", [TaskStatus, RunStatus])
def test_the_ends_are_completed_failed_and_cancelled(words: type[TaskStatus] | type[RunStatus]) -> None:
    assert {word.name for word in words if word.is_terminal} == {"COMPLETED", "FAILED", "CANCELLED"}
