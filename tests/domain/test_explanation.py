from __future__ import annotations

from dataclasses import replace

import pytest

from taskrun.domain.explanation import MOST_AHEAD, MOST_WORKERS, Ahead, Explanation, ahead_of, explain
from taskrun.domain.fitness import WorkerFit
from taskrun.domain.records import AgentSpec, Continuation, Run, Task, TaskSpec, WorkerInfo, WorkerView
from taskrun.domain.status import FailureKind, RunStatus, TaskStatus, WorkerStatus

WAITING = Task("t-1", TaskSpec("coder", "1"), TaskStatus.PENDING, "me", 5000)
ON_GPU = replace(WAITING, spec=TaskSpec("coder", "1", selector=(("gpu", "yes"),)))
FOR_ATLAS = replace(WAITING, spec=TaskSpec("coder", "1", selector=(("taskrun.worker", "atlas"),)))
FOLLOW_UP = replace(FOR_ATLAS, spec=replace(FOR_ATLAS.spec, continues=Continuation("t-0", "s")))
FAILED = Run("r-1", "atlas", RunStatus.FAILED, 1, finished_at_ms=7000, failure=FailureKind.AGENT_ERROR)
TRIED = replace(WAITING, runs=(FAILED,))
FIRST = Ahead(0)


def worker(
    worker_id: str, status: WorkerStatus = WorkerStatus.IDLE, *, agent: str = "coder", runs: int = 0, **labels: str
) -> WorkerView:
    return WorkerView(worker_id, WorkerInfo(agents=(AgentSpec(agent),), labels=labels), status, runs, 2, 0, 0)


def running(**changes: object) -> Task:
    run = replace(FAILED, status=RunStatus.RUNNING, attempt=2)
    return replace(WAITING, status=TaskStatus.RUNNING, runs=(run,), **changes)  # type: ignore[arg-type]  # of a task


AWAY, DRAINING = WorkerStatus.DISCONNECTED, WorkerStatus.DRAINING


@pytest.mark.parametrize(
    ("task", "workers", "summary"),
    [
        (WAITING, [], "no worker is connected"),
        (WAITING, [worker("atlas", AWAY)], "no worker is connected"),
        (WAITING, [worker("bruno", agent="writer")], "no connected worker offers the agent coder"),
        (
            WAITING,
            [worker("atlas", AWAY), worker("bruno", agent="writer")],
            "no connected worker offers the agent coder",
        ),
        (
            ON_GPU,
            [worker("atlas", gpu="no"), worker("bruno", AWAY, gpu="yes"), worker("chip", agent="writer", gpu="yes")],
            "no worker that offers the agent coder has the labels that it asks for",
        ),
        (
            ON_GPU,
            [worker("atlas", gpu="yes", runs=2), worker("bruno", DRAINING, gpu="yes"), worker("chip")],
            "no worker that it could go to has a free slot",
        ),
        (FOR_ATLAS, [worker("bruno")], "the worker atlas, the only one that it may go to, is not connected"),
        (
            FOR_ATLAS,
            [worker("atlas", AWAY), worker("bruno")],
            "the worker atlas, the only one that it may go to, is not connected",
        ),
        (
            FOLLOW_UP,
            [worker("bruno")],
            "the worker atlas, which has its session, is not connected: it fails if that one stays away",
        ),
        (
            FOLLOW_UP,
            [worker("atlas", AWAY)],
            "the worker atlas, which has its session, is not connected: it fails if that one stays away",
        ),
        (FOR_ATLAS, [worker("atlas", runs=2), worker("bruno")], "no worker that it could go to has a free slot"),
        (WAITING, [worker("atlas", runs=2), worker("bruno")], "it is about to be given out"),
    ],
)
def test_what_nobody_has_is_said_in_one_sentence(task: Task, workers: list[WorkerView], summary: str) -> None:
    assert explain(task, workers, FIRST).summary == summary


@pytest.mark.parametrize(
    ("task", "workers", "summary"),
    [
        (WAITING, [worker("atlas")], "a limit holds it"),
        (WAITING, [worker("atlas", runs=2)], "a limit holds it"),
        (
            WAITING,
            [worker("bruno", agent="writer")],
            "no connected worker offers the agent coder, and a limit holds it",
        ),
        (
            ON_GPU,
            [worker("atlas", gpu="no")],
            "no worker that offers the agent coder has the labels that it asks for, and a limit holds it",
        ),
        (WAITING, [worker("atlas", AWAY)], "no worker is connected"),
        (FOR_ATLAS, [worker("bruno")], "the worker atlas, the only one that it may go to, is not connected"),
    ],
)
def test_what_does_not_come_by_itself_is_said_before_the_limit_that_holds_a_task(
    task: Task, workers: list[WorkerView], summary: str
) -> None:
    assert explain(task, workers, FIRST, held="a limit holds it").summary == summary


@pytest.mark.parametrize(
    ("task", "summary"),
    [
        (replace(WAITING, status=TaskStatus.CANCELLED), "it has ended"),
        (replace(WAITING, status=TaskStatus.FAILED, error="nobody came"), "it has ended: nobody came"),
        (replace(TRIED, status=TaskStatus.FAILED, runs=(replace(FAILED, error="poison"),)), "it has ended: poison"),
        (replace(TRIED, status=TaskStatus.CANCELLED, runs=(replace(FAILED, error="stopped"),)), "it has ended"),
        (running(), "run 2 is on atlas"),
        (running(cancel_requested=True), "run 2 is on atlas, and was told to stop"),
    ],
)
def test_a_task_that_does_not_wait_is_where_it_is_and_no_worker_is_looked_at(task: Task, summary: str) -> None:
    assert explain(task, [worker("atlas"), worker("bruno", AWAY)], None) == Explanation("t-1", task.status, summary)


def test_of_a_task_whose_worker_is_away_that_is_said() -> None:
    assert explain(running(), [worker("atlas", AWAY)], None).summary == "run 2 is on atlas, which is DISCONNECTED"


def test_a_task_that_rests_says_until_when_whoever_is_free() -> None:
    told = explain(TRIED, [worker("atlas")], None, rests_until_ms=1_700_000_000_000)
    assert told.summary == "it rests before attempt 2, until 2023-11-14 22:13:20+00:00"
    assert (told.rests_until_ms, told.waits_since_ms) == (1_700_000_000_000, 7000)


def test_a_run_that_was_turned_away_is_no_attempt() -> None:
    rejected = replace(FAILED, failure=FailureKind.REJECTED)
    told = explain(replace(WAITING, runs=(FAILED, rejected)), [], None, rests_until_ms=1)
    assert told.summary.startswith("it rests before attempt 2, ")


def test_a_task_out_of_the_queue_is_being_given_out_or_rests_where_another_knows() -> None:
    assert explain(WAITING, [], None).summary == "a control plane gives it out at this moment"
    again = "a control plane gives it out at this moment, or lets it rest before attempt 2"
    assert explain(TRIED, [], None).summary == again


def test_every_worker_is_looked_at_and_the_nearest_come_first() -> None:
    workers = [worker("atlas", agent="writer"), worker("bruno", DRAINING, runs=2), worker("chip", runs=2)]
    assert explain(WAITING, workers, Ahead(3)) == Explanation(
        "t-1",
        TaskStatus.PENDING,
        "no worker that it could go to has a free slot",
        waits_since_ms=5000,
        ahead=Ahead(3),
        workers=(
            WorkerFit("chip", ("has no free slot: 2 of 2 runs",)),
            WorkerFit("bruno", ("is DRAINING", "has no free slot: 2 of 2 runs")),
            WorkerFit("atlas", ("does not offer the agent coder",), fits=False),
        ),
        workers_looked_at=3,
    )


def test_of_many_workers_the_nearest_are_told_and_all_are_counted() -> None:
    crowd = [worker(f"w-{n:03}", agent="writer") for n in range(MOST_WORKERS + 20)]
    told = explain(WAITING, [*crowd, worker("z", runs=2)], FIRST)
    assert (len(told.workers), told.workers_looked_at) == (MOST_WORKERS, MOST_WORKERS + 21)
    assert [fit.worker_id for fit in told.workers[:2]] == ["z", "w-000"]


def test_a_place_in_the_queue_is_counted_as_far_as_anybody_counts() -> None:
    assert ahead_of(None) is None
    assert ahead_of(MOST_AHEAD - 1) == Ahead(MOST_AHEAD - 1)
    assert ahead_of(MOST_AHEAD) == Ahead(MOST_AHEAD, or_more=True)
