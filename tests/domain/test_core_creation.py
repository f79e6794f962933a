"""Creating tasks: what is answered, what is stored, and idempotency keys."""

from __future__ import annotations

from dataclasses import replace

import pytest

from taskrun.domain.control_plane.inputs import CreateTask
from taskrun.domain.errors import AlreadyExists
from taskrun.domain.events import TaskMoved
from taskrun.domain.records import StoryEntry, TaskChange, TaskSpec
from taskrun.domain.status import TaskStatus
from taskrun.testing.simulation import Simulation

KEYED = TaskSpec("echo", "1", idempotency_key="k")


def test_a_new_task_waits_when_nobody_offers_its_agent(sim: Simulation) -> None:
    task = sim.create(priority=3, by="client:me")
    assert (task.status, task.created_by, task.runs) == (TaskStatus.PENDING, "client:me", ())
    assert task.created_at_ms == sim.now.utc_ms
    assert sim.task(task.id) == task


def test_its_story_begins_with_seq_0(sim: Simulation) -> None:
    task = sim.create()
    assert sim.story(task.id) == [StoryEntry(0, sim.now.utc_ms, TaskChange(TaskStatus.PENDING))]


def test_the_answer_rests_on_the_same_turns_commit(sim: Simulation) -> None:
    turn = sim.turn(CreateTask("reply", TaskSpec("echo", "1"), "client:me"))
    [(reply, task)] = turn.replies
    assert reply == "reply"
    assert list(turn.batch.tasks.values()) == [task]


def test_a_task_with_a_free_slot_is_created_and_assigned_in_one_turn(sim: Simulation) -> None:
    session = sim.connect()
    turn = sim.turn(CreateTask("reply", TaskSpec("echo", "1"), "client:me"))
    [task] = turn.batch.tasks.values()
    assert task.status is TaskStatus.RUNNING
    assert sim.assigned(session).task_id == task.id
    assert [(move.old, move.new) for move in sim.happened(TaskMoved)] == [
        (None, TaskStatus.PENDING),
        (TaskStatus.PENDING, TaskStatus.RUNNING),
    ]


def test_the_same_key_gives_the_same_task_as_it_now_stands(sim: Simulation) -> None:
    [task] = sim.create_all(KEYED)
    sim.connect()
    [again] = sim.create_all(KEYED)
    assert again.id == task.id
    assert again.status is TaskStatus.RUNNING
    assert len(sim.store.tasks) == 1


def test_a_client_that_gives_up_waiting_and_tries_again_makes_no_second_task(sim: Simulation) -> None:
    [task] = sim.create_all(KEYED)
    sim.restart()
    [again] = sim.create_all(KEYED)
    assert again.id == task.id


def test_requests_with_one_key_in_one_turn_make_one_task(sim: Simulation) -> None:
    first, second = sim.create_all(KEYED, KEYED)
    assert first == second


def test_a_request_that_overtakes_the_answer_about_its_key_shares_it(sim: Simulation) -> None:
    sim.turn(CreateTask("first", KEYED, "client:me"))
    sim.turn(CreateTask("second", KEYED, "client:me"))
    sim.settle()
    assert sim.replies["first"] == sim.replies["second"]
    assert len(sim.store.tasks) == 1


def test_a_key_used_for_another_request_is_refused(sim: Simulation) -> None:
    sim.create_all(KEYED)
    with pytest.raises(AlreadyExists):
        sim.create_all(replace(KEYED, input_json="2"))
    assert len(sim.store.tasks) == 1


def test_a_key_belongs_to_its_caller(sim: Simulation) -> None:
    [mine] = sim.create_all(KEYED, by="client:me")
    [yours] = sim.create_all(KEYED, by="client:you")
    assert mine.id != yours.id


def test_a_key_is_forgotten_after_a_day(sim: Simulation) -> None:
    [task] = sim.create_all(KEYED)
    sim.wait(24 * 3600)
    assert sim.create_all(KEYED)[0].id == task.id
    sim.wait(0.001)
    assert sim.create_all(KEYED)[0].id != task.id
